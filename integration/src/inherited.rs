//! Sockets that whoever started this process listens on already: systemd's socket activation.
//!
//! A section or a runtime API that is to listen where one of them does takes it, instead of listening itself; so callers are not refused while
//! the process starts, or starts again. The lock here is taken when something begins to listen, and never afterwards.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A socket that somebody listens on for us.
#[derive(Debug)]
pub enum Inherited {
    /// An address.
    Tcp(TcpListener),
    /// A path.
    Unix(UnixListener),
}

static SOCKETS: Mutex<Vec<Inherited>> = Mutex::new(Vec::new());

fn sockets() -> MutexGuard<'static, Vec<Inherited>> {
    SOCKETS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a socket until something is to listen where it does.
///
/// # Errors
/// When it cannot be made one that does not block.
pub fn adopt(socket: Inherited) -> io::Result<()> {
    match &socket {
        Inherited::Tcp(listener) => listener.set_nonblocking(true)?,
        Inherited::Unix(listener) => listener.set_nonblocking(true)?,
    }
    sockets().push(socket);
    Ok(())
}

/// Returns where the sockets listen that nobody has taken.
#[must_use]
pub fn left() -> Vec<String> {
    let place = |socket: &Inherited| match socket {
        Inherited::Tcp(listener) => listener.local_addr().map(|address| address.to_string()),
        Inherited::Unix(listener) => listener.local_addr().map(|address| {
            address.as_pathname().map_or_else(String::new, |path| path.display().to_string())
        }),
    };
    sockets().iter().map(|socket| place(socket).unwrap_or_default()).collect()
}

/// Takes the socket that listens at this address.
pub(crate) fn take_tcp(address: SocketAddr) -> Option<TcpListener> {
    let mut sockets = sockets();
    let is_it = |socket: &Inherited| match socket {
        Inherited::Tcp(listener) => listener.local_addr().is_ok_and(|own| own == address),
        Inherited::Unix(_) => false,
    };
    let at = sockets.iter().position(is_it)?;
    match sockets.remove(at) {
        Inherited::Tcp(listener) => Some(listener),
        Inherited::Unix(_) => None,
    }
}

/// Takes the socket that listens at this path.
pub(crate) fn take_unix(path: &Path) -> Option<UnixListener> {
    let mut sockets = sockets();
    let is_it = |socket: &Inherited| match socket {
        Inherited::Unix(listener) => {
            listener.local_addr().is_ok_and(|own| own.as_pathname() == Some(path))
        }
        Inherited::Tcp(_) => false,
    };
    let at = sockets.iter().position(is_it)?;
    match sockets.remove(at) {
        Inherited::Unix(listener) => Some(listener),
        Inherited::Tcp(_) => None,
    }
}
