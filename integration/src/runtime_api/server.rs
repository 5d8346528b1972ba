//! The socket of the runtime API: one task for each client.
//!
//! Clients are few and bounded in everything: their number, the length of a line, the time they may say or read nothing, and
//! the memory of a reply. A session answers the lines that came together, and ends; after `prompt` it goes on.
//!
//! Who may connect may change tables. So a Unix socket has mode 0600 unless its [words](Socket) say otherwise, which holds from the moment at
//! which it can be found, and a TCP address has to be a loopback one. A line that is no command of ours ends a session and what was sent
//! after it, so that a web page which makes a browser post to the port is not heeded.

mod client;
mod endpoint;
mod socket;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::{Api, Level};
use crate::clock::Clock;
use crate::inherited;

pub use endpoint::{Endpoint, EndpointError};
pub use socket::{Socket, SocketError};

/// How long to wait when a connection cannot be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// How clients are served.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How long a client may send nothing, or read nothing, before it is disconnected.
    pub idle: Duration,
    /// Clients at one time. Those beyond are told so, and disconnected.
    pub clients_max: usize,
    /// Bytes of a line.
    pub line_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { idle: Duration::from_secs(60), clients_max: 32, line_max: 16 * 1024 }
    }
}

/// Why the runtime API cannot be served.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The address is not a loopback one.
    NotLoopback(SocketAddr),
    /// Another process listens on the socket.
    InUse(PathBuf),
    /// There is something at the path that is no socket.
    NotASocket(PathBuf),
    /// The machine refused.
    Io {
        /// Where to listen.
        endpoint: Endpoint,
        /// Why.
        error: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLoopback(address) => write!(
                f,
                "runtime API: {address} is not a loopback address, and whoever reaches it could change tables; \
                 expected 127.0.0.1:PORT, [::1]:PORT or the path of a Unix socket"
            ),
            Self::InUse(path) => {
                write!(f, "runtime API: {}: another process listens there", path.display())
            }
            Self::NotASocket(path) => {
                write!(f, "runtime API: {}: there is a file that is no socket", path.display())
            }
            Self::Io { endpoint, error } => {
                write!(f, "runtime API: cannot listen on {endpoint}: {error}")
            }
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// The runtime API, served. Dropping it closes everything.
#[derive(Debug)]
pub struct Server {
    local: Endpoint,
    socket: Option<endpoint::SocketFile>,
    task: JoinHandle<()>,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Server {
    /// Listens, and serves clients until it is stopped.
    ///
    /// # Errors
    /// When it cannot listen there, or should not.
    pub async fn start(
        socket: impl Into<Socket>,
        api: Arc<Api>,
        clock: Clock,
        options: Options,
    ) -> Result<Self, StartError> {
        let words = socket.into();
        let endpoint = &words.endpoint;
        let failed = |error| StartError::Io { endpoint: endpoint.clone(), error };
        let (listener, local, socket) = match endpoint {
            Endpoint::Tcp(address) => {
                if !address.ip().is_loopback() {
                    return Err(StartError::NotLoopback(*address));
                }
                let listener = match inherited::take_tcp(*address) {
                    Some(listener) => TcpListener::from_std(listener),
                    None => TcpListener::bind(address).await,
                };
                let listener = listener.map_err(failed)?;
                let local = Endpoint::Tcp(listener.local_addr().map_err(failed)?);
                (Listener::Tcp(listener), local, None)
            }
            Endpoint::Unix(path) => match inherited::take_unix(path) {
                // Its file, mode and owner are whose it is.
                Some(listener) => {
                    let listener = UnixListener::from_std(listener).map_err(failed)?;
                    (Listener::Unix(listener), endpoint.clone(), None)
                }
                None => {
                    free(path).await?;
                    let (listener, socket) = endpoint::bind(path, &words).map_err(failed)?;
                    (Listener::Unix(listener), endpoint.clone(), Some(socket))
                }
            },
        };
        tracing::info!(endpoint = %local, level = %words.level, "runtime API");
        let task = tokio::spawn(accept(listener, api, clock, words.level, options));
        Ok(Self { local, socket, task })
    }

    /// Returns where it listens, with the port that was found.
    #[must_use]
    pub const fn local(&self) -> &Endpoint {
        &self.local
    }

    /// Disconnects every client, and removes the socket.
    pub async fn stop(mut self) {
        self.task.abort();
        // Ended by us, or by a panic that was reported.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(socket) = &self.socket {
            socket.remove();
        }
    }
}

/// Checks that a path may be taken: there is nothing, or a socket that nobody listens on.
async fn free(path: &Path) -> Result<(), StartError> {
    if !endpoint::is_socket_or_absent(path) {
        return Err(StartError::NotASocket(path.to_owned()));
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(StartError::InUse(path.to_owned())),
        // Nobody listens; if it is for another reason, `bind` meets it again.
        Err(_) => Ok(()),
    }
}

/// Accepts clients. The clients' tasks end with this one.
async fn accept(listener: Listener, api: Arc<Api>, clock: Clock, level: Level, options: Options) {
    let seats = Arc::new(Semaphore::new(options.clients_max));
    let mut clients = JoinSet::new();
    loop {
        let seat = Arc::clone(&seats);
        let accepted = match &listener {
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                let api = Arc::clone(&api);
                clients.spawn(client::run(
                    stream,
                    seat.try_acquire_owned().ok(),
                    api,
                    clock,
                    level,
                    options,
                ));
            }),
            Listener::Unix(listener) => listener.accept().await.map(|(stream, _)| {
                let api = Arc::clone(&api);
                clients.spawn(client::run(
                    stream,
                    seat.try_acquire_owned().ok(),
                    api,
                    clock,
                    level,
                    options,
                ));
            }),
        };
        while clients.try_join_next().is_some() {}
        if let Err(error) = accepted {
            tracing::warn!(%error, "runtime API: cannot accept");
            tokio::time::sleep(PAUSE).await;
        }
    }
}
