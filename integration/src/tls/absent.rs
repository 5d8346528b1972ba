//! What stands in for TLS where it was not built in: types that nobody can have.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::Settings;
use super::error::{TlsError, TlsErrorKind};

const ABSENT: TlsError = TlsError { word: "ssl", file: None, kind: TlsErrorKind::Absent };

/// Whether a certificate can have this name.
pub(crate) const fn can_name(_name: &str) -> bool {
    true
}

/// The TLS of a listener.
#[derive(Debug)]
pub enum Acceptor {}

/// The TLS of calls to one peer.
#[derive(Debug)]
pub enum Connector {}

/// A connection in TLS.
#[derive(Debug)]
pub(crate) enum Stream {}

/// The certificate of the other side.
#[derive(Debug)]
pub(crate) enum Certificate {}

impl Acceptor {
    /// Fails: there is no TLS in this build.
    ///
    /// # Errors
    /// Always.
    pub fn load(_settings: Settings) -> Result<Arc<Self>, TlsError> {
        Err(ABSENT)
    }

    /// Cannot be called.
    ///
    /// # Errors
    /// Never.
    pub fn reload(&self) -> Result<(), TlsError> {
        match *self {}
    }

    /// Cannot be called.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        match *self {}
    }
}

impl Connector {
    /// Fails: there is no TLS in this build.
    ///
    /// # Errors
    /// Always.
    pub fn load(_settings: Settings) -> Result<Arc<Self>, TlsError> {
        Err(ABSENT)
    }

    /// Cannot be called.
    ///
    /// # Errors
    /// Never.
    pub fn reload(&self) -> Result<(), TlsError> {
        match *self {}
    }

    /// Cannot be called.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        match *self {}
    }
}

impl Certificate {
    pub(crate) fn check_name(&self, _name: &str) -> Result<(), String> {
        match *self {}
    }
}

impl Stream {
    pub(crate) async fn accept(_: TcpStream, acceptor: &Acceptor) -> io::Result<Self> {
        match *acceptor {}
    }

    pub(crate) async fn connect(_: TcpStream, connector: &Connector) -> io::Result<Self> {
        match *connector {}
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        match *self {}
    }

    pub(crate) fn certificate(&self) -> Option<Certificate> {
        match *self {}
    }

    pub(crate) fn wants_write(&self) -> bool {
        match *self {}
    }

    pub(crate) fn try_read(&mut self, _: &mut Vec<u8>) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn try_write(&mut self, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn close(self) -> TcpStream {
        match self {}
    }
}
