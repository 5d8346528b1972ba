//! The bytes of a connection: a socket, or TLS over one.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest, Ready};
use tokio::net::TcpStream;

use crate::tls::{Acceptor, Certificate, Connector, Stream};

/// A connection that bytes go through. Nothing here blocks.
#[derive(Debug)]
pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<Stream>),
}

impl Wire {
    pub(super) async fn accept(socket: TcpStream, tls: Option<&Acceptor>) -> io::Result<Self> {
        // Only costs delay where it fails.
        let _ = socket.set_nodelay(true);
        Ok(match tls {
            None => Self::Plain(socket),
            Some(acceptor) => Self::Tls(Box::new(Stream::accept(socket, acceptor).await?)),
        })
    }

    pub(super) async fn connect(socket: TcpStream, tls: Option<&Connector>) -> io::Result<Self> {
        let _ = socket.set_nodelay(true);
        Ok(match tls {
            None => Self::Plain(socket),
            Some(connector) => Self::Tls(Box::new(Stream::connect(socket, connector).await?)),
        })
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.socket(),
        }
    }

    /// Returns the certificate of the other side, if there is one that was verified.
    pub(super) fn certificate(&self) -> Option<Certificate> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.certificate(),
        }
    }

    /// Whether bytes that were taken wait for the socket.
    pub(super) fn wants_write(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.wants_write(),
        }
    }

    /// Waits until the socket can be read, or written if asked for.
    pub(super) async fn ready(&self, write: bool) -> io::Result<Ready> {
        let interest =
            if write { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        self.socket().ready(interest).await
    }

    /// Reads into the room of a buffer. 0 is the end.
    pub(super) fn try_read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.try_read_buf(buffer),
            Self::Tls(stream) => stream.try_read(buffer),
        }
    }

    /// Takes bytes to be sent. Returns how many.
    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.try_write(bytes),
            Self::Tls(stream) => stream.try_write(bytes),
        }
    }

    /// Writes the last bytes, and reads until the other side closes.
    pub(super) async fn linger(mut self, mut output: &[u8]) -> io::Result<()> {
        while !output.is_empty() || self.wants_write() {
            match self.try_write(output) {
                Ok(taken) => output = output.get(taken..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if !output.is_empty() || self.wants_write() {
                self.socket().ready(Interest::WRITABLE).await?;
            }
        }
        let mut socket = match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.close(),
        };
        socket.shutdown().await?;
        let mut dropped = [0; 4096];
        while socket.read(&mut dropped).await? > 0 {}
        Ok(())
    }
}
