//! One connection in TLS, over a socket that never blocks.

use std::io::{self, BufRead as _, Read, Write};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::{ClientConnection, Connection, ServerConnection};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::config::{Acceptor, Connector, server_name};

/// Bytes that may wait here to be sent.
const BUFFER_MAX: usize = 64 << 10;

/// A connection in TLS.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: TcpStream,
    tls: Connection,
}

/// The certificate of the other side, for which somebody we trust has vouched.
#[derive(Debug)]
pub(crate) struct Certificate(CertificateDer<'static>);

impl Certificate {
    /// Returns what is wrong if the certificate is not for this name.
    pub(crate) fn check_name(&self, name: &str) -> Result<(), String> {
        let text = |error: rustls::Error| error.to_string();
        let wanted = server_name("verifyhost", name).map_err(|error| error.to_string())?;
        let certificate = ParsedCertificate::try_from(&self.0).map_err(text)?;
        rustls::client::verify_server_name(&certificate, &wanted).map_err(text)
    }
}

impl Stream {
    /// Does the handshake of a connection that was accepted.
    pub(crate) async fn accept(socket: TcpStream, acceptor: &Acceptor) -> io::Result<Self> {
        let config = acceptor.fresh().await;
        let tls = ServerConnection::new(config).map_err(io::Error::other)?;
        Self::handshake(socket, tls.into()).await
    }

    /// Does the handshake of a connection to a peer.
    pub(crate) async fn connect(socket: TcpStream, connector: &Connector) -> io::Result<Self> {
        let config = connector.fresh().await;
        let name = match &connector.settings().sni {
            Some(name) => server_name("sni", name).map_err(io::Error::other)?,
            // Stands for no name: an address is never sent.
            None => ServerName::from(socket.peer_addr()?.ip()),
        };
        let tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        Self::handshake(socket, tls.into()).await
    }

    async fn handshake(socket: TcpStream, mut tls: Connection) -> io::Result<Self> {
        tls.set_buffer_limit(Some(BUFFER_MAX));
        let mut stream = Self { socket, tls };
        while stream.tls.is_handshaking() || stream.tls.wants_write() {
            stream.flush()?;
            if !stream.tls.is_handshaking() && !stream.tls.wants_write() {
                break;
            }
            let mut interest = Interest::READABLE;
            if stream.tls.wants_write() {
                interest |= Interest::WRITABLE;
            }
            stream.socket.ready(interest).await?;
            match stream.fill() {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    // What there is to say of it: an alert.
                    let _ = stream.flush();
                    return Err(error);
                }
            }
        }
        Ok(stream)
    }

    pub(crate) const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Returns the certificate of the other side, if it was asked for one.
    pub(crate) fn certificate(&self) -> Option<Certificate> {
        let chain = self.tls.peer_certificates()?;
        Some(Certificate(chain.first()?.clone().into_owned()))
    }

    /// Whether something is left to be written to the socket.
    pub(crate) fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    /// Reads what there is into the room of a buffer, at least a piece of it. 0 is the end.
    pub(crate) fn try_read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            let mut reader = self.tls.reader();
            match reader.fill_buf() {
                Ok(bytes) => {
                    let taken = bytes.len();
                    buffer.extend_from_slice(bytes);
                    reader.consume(taken);
                    return Ok(taken);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            self.fill()?;
        }
    }

    /// Takes bytes to be sent, and writes what the socket takes. Returns how many were taken, and moved on.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.tls.writer().write(bytes)?;
        let written = self.flush()?;
        // Nothing new fits, but what was here moves.
        if taken == 0 && written == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(taken)
    }

    /// Says that nothing more comes, and returns the socket.
    pub(crate) fn close(mut self) -> TcpStream {
        self.tls.send_close_notify();
        // What the socket does not take now is not waited for.
        let _ = self.flush();
        self.socket
    }

    /// Reads from the socket once. What is malformed or refused is an error.
    fn fill(&mut self) -> io::Result<usize> {
        let read = self.tls.read_tls(&mut Socket(&self.socket))?;
        self.tls.process_new_packets().map_err(|error| match error {
            rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
                io::Error::other("the other side does not speak TLS")
            }
            error => io::Error::other(error),
        })?;
        Ok(read)
    }

    fn flush(&mut self) -> io::Result<usize> {
        let mut written = 0;
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Socket(&self.socket)) {
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }
}

/// A socket as rustls reads and writes it.
struct Socket<'a>(&'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
