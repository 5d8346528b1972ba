//! Why TLS cannot be set up.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why the files of a listener or a peer cannot be used.
#[derive(Debug)]
pub struct TlsError {
    /// The word of the configuration at fault: `crt`, `key`, `ca-file`, `verifyhost`, `sni` or `ssl`.
    pub word: &'static str,
    /// The file that was read last.
    pub file: Option<PathBuf>,
    /// What is wrong.
    pub kind: TlsErrorKind,
}

/// What is wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsErrorKind {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// The file is larger than this many bytes.
    TooLarge(u64),
    /// The file is no PEM, or its PEM is broken.
    Pem(String),
    /// The file has no certificate.
    NoCertificate,
    /// There is no key without a pass phrase in the file, nor in the one beside it.
    NoKey,
    /// No file is named.
    Missing,
    /// It is no name that a certificate can have.
    Name(String),
    /// What rustls says: a key of another certificate, a certificate that it cannot read.
    Tls(String),
    /// This build has no TLS.
    Absent,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        match &self.kind {
            TlsErrorKind::Unreadable(error) => write!(f, "cannot be read: {error}"),
            TlsErrorKind::TooLarge(max) => write!(f, "is larger than {max} bytes"),
            TlsErrorKind::Pem(error) => write!(f, "is no good PEM: {error}"),
            TlsErrorKind::NoCertificate => f.write_str("has no certificate"),
            TlsErrorKind::NoKey => f.write_str(
                "has no private key that can be read without a pass phrase, and there is none in a file of this name \
                 with `.key` behind it",
            ),
            TlsErrorKind::Missing => write!(f, "no file; expected `{} FILE`", self.word),
            TlsErrorKind::Name(name) => {
                write!(f, "{name:?} is no name that a certificate can have")
            }
            TlsErrorKind::Tls(error) => f.write_str(error),
            TlsErrorKind::Absent => {
                f.write_str("this program was built without TLS; expected one with the feature `tls`")
            }
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            TlsErrorKind::Unreadable(error) => Some(error),
            _ => None,
        }
    }
}
