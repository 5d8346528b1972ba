//! Certificates made for a test.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// Vouches for others.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Writes our own certificate.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> PathBuf {
        written(folder, name, &self.pem)
    }

    /// Writes a certificate for these names, and its key.
    pub(crate) fn issue(&self, folder: &Path, name: &str, names: &[&str]) -> PathBuf {
        let (certificate, key) = self.issued(names, false);
        written(folder, name, &(certificate + &key))
    }

    /// Writes one that is long over.
    pub(crate) fn issue_expired(&self, folder: &Path, name: &str, names: &[&str]) -> PathBuf {
        let (certificate, key) = self.issued(names, true);
        written(folder, name, &(certificate + &key))
    }

    /// Returns the PEM of a certificate and of its key.
    pub(crate) fn issued(&self, names: &[&str], expired: bool) -> (String, String) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "a peer");
        if expired {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

pub(crate) fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}
