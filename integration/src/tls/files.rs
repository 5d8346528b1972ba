//! Certificates and keys as they are on disk.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Settings;
use super::error::{TlsError, TlsErrorKind};

/// The most bytes of a file: 4 MiB, ten times what a system's bundle of authorities has.
const FILE_MAX: u64 = 4 << 20;

/// What is read of the files.
#[derive(Debug)]
pub(super) struct Loaded {
    /// Our chain and its key.
    pub(super) own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    pub(super) roots: Option<RootCertStore>,
}

/// When the files were written last, by what the file system says.
pub(super) type Stamp = Vec<Option<(SystemTime, u64)>>;

impl Loaded {
    pub(super) fn read(settings: &Settings) -> Result<Self, TlsError> {
        let own = settings.crt.as_deref().map(|crt| own(crt, settings.key.as_deref()));
        let roots = settings.ca_file.as_deref().map(roots);
        Ok(Self { own: own.transpose()?, roots: roots.transpose()? })
    }
}

/// Returns the stamp of the files. One that is not there has none.
pub(super) fn stamp(settings: &Settings) -> Stamp {
    let beside = settings.crt.as_deref().map(beside);
    let files = [&settings.crt, &settings.key, &beside, &settings.ca_file];
    let of = |file: &PathBuf| {
        let metadata = fs::metadata(file).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.into_iter().map(|file| file.as_ref().and_then(of)).collect()
}

/// Returns the file in which HAProxy looks for a key that is not in the file of the certificate.
fn beside(crt: &Path) -> PathBuf {
    let mut name = crt.as_os_str().to_owned();
    name.push(".key");
    name.into()
}

fn own(
    crt: &Path,
    key: Option<&Path>,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let text = read("crt", crt)?;
    let chain = certificates("crt", crt, &text)?;
    let (word, file, key) = match key {
        Some(file) => ("key", file, key_of(&read("key", file)?)),
        None => match key_of(&text) {
            Err(pem::Error::NoItemsFound) if beside(crt).exists() => {
                ("crt", crt, key_of(&read("crt", &beside(crt))?))
            }
            other => ("crt", crt, other),
        },
    };
    let failed = |error| TlsError {
        word,
        file: Some(file.to_owned()),
        kind: match error {
            pem::Error::NoItemsFound => TlsErrorKind::NoKey,
            error => TlsErrorKind::Pem(error.to_string()),
        },
    };
    Ok((chain, key.map_err(failed)?))
}

fn key_of(text: &[u8]) -> Result<PrivateKeyDer<'static>, pem::Error> {
    PrivateKeyDer::from_pem_slice(text)
}

fn roots(file: &Path) -> Result<RootCertStore, TlsError> {
    let text = read("ca-file", file)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca-file", file, &text)? {
        roots.add(certificate).map_err(|error| TlsError {
            word: "ca-file",
            file: Some(file.to_owned()),
            kind: TlsErrorKind::Tls(error.to_string()),
        })?;
    }
    Ok(roots)
}

/// Returns the certificates of a file, at least one.
fn certificates(
    word: &'static str,
    file: &Path,
    text: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |kind| TlsError { word, file: Some(file.to_owned()), kind };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let found = found.map_err(|error| failed(TlsErrorKind::Pem(error.to_string())))?;
    if found.is_empty() { Err(failed(TlsErrorKind::NoCertificate)) } else { Ok(found) }
}

fn read(word: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |kind| TlsError { word, file: Some(file.to_owned()), kind };
    let read = || -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        File::open(file)?.take(FILE_MAX + 1).read_to_end(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|error| failed(TlsErrorKind::Unreadable(error)))?;
    if text.len() as u64 > FILE_MAX {
        return Err(failed(TlsErrorKind::TooLarge(FILE_MAX)));
    }
    Ok(text)
}
