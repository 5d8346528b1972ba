//! Where the runtime API listens.

use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::net::UnixListener;

use super::Socket;

/// A TCP address or the path of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// An address; port 0 is any free one.
    Tcp(SocketAddr),
    /// A path.
    Unix(PathBuf),
}

/// A word that is neither an address nor a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointError(pub String);

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}`: expected ADDRESS:PORT, or the path of a Unix socket (with a `/` in it, or `unix@` before it)",
            self.0.escape_debug()
        )
    }
}

impl std::error::Error for EndpointError {}

/// A path has a `/` in it, or `unix@` before it. Anything else is an address with a port; `localhost` is
/// 127.0.0.1.
impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(word: &str) -> Result<Self, EndpointError> {
        let error = || EndpointError(word.to_owned());
        match word.strip_prefix("unix@") {
            Some("") => return Err(error()),
            Some(path) => return Ok(Self::Unix(path.into())),
            None if word.contains('/') => return Ok(Self::Unix(word.into())),
            None => {}
        }
        let address = match word.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}").parse(),
            None => word.parse(),
        };
        address.map(Self::Tcp).map_err(|_| error())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// The file of a socket that we made.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode: what tells it from one that was put in its place.
    identity: (u64, u64),
}

impl SocketFile {
    /// Removes it, if it is still ours.
    pub(super) fn remove(&self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket");
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Returns whether there is a socket at the path, or nothing.
pub(super) fn is_socket_or_absent(path: &Path) -> bool {
    fs::symlink_metadata(path).map_or(true, |found| found.file_type().is_socket())
}

/// Makes a socket with this mode and owner, and puts it in the place of what is at the path. It is made in a folder that only we
/// can enter, so that nobody connects before they are set.
pub(super) fn bind(path: &Path, words: &Socket) -> io::Result<(UnixListener, SocketFile)> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Short: the path of a socket has 107 bytes at most.
    let folder = parent.join(format!(".{:x}", std::process::id()));
    DirBuilder::new().mode(0o700).create(&folder)?;
    let made = bind_in(&folder.join("s"), path, words);
    let removed = fs::remove_dir(&folder);
    made.and_then(|made| removed.map(|()| made))
}

fn bind_in(aside: &Path, path: &Path, words: &Socket) -> io::Result<(UnixListener, SocketFile)> {
    let listener = UnixListener::bind(aside)?;
    let owned = match (words.user, words.group) {
        (None, None) => Ok(()),
        (user, group) => std::os::unix::fs::chown(aside, user, group),
    };
    let placed = owned
        .and_then(|()| fs::set_permissions(aside, Permissions::from_mode(words.mode)))
        .and_then(|()| identity(aside))
        .and_then(|identity| fs::rename(aside, path).map(|()| identity));
    match placed {
        Ok(identity) => Ok((listener, SocketFile { path: path.to_owned(), identity })),
        Err(error) => {
            // Best effort: what is reported is why it was not placed.
            let _ = fs::remove_file(aside);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_or_a_prefix_makes_a_path() {
        let unix = |path: &str| Ok(Endpoint::Unix(path.into()));
        assert_eq!("/run/x.sock".parse(), unix("/run/x.sock"));
        assert_eq!("./x".parse(), unix("./x"));
        assert_eq!("unix@x.sock".parse(), unix("x.sock"));
        assert_eq!("127.0.0.1:0".parse(), Ok(Endpoint::Tcp(([127, 0, 0, 1], 0).into())));
        assert_eq!("localhost:12".parse(), Ok(Endpoint::Tcp(([127, 0, 0, 1], 12).into())));
        assert_eq!("[::1]:9".parse::<Endpoint>().unwrap().to_string(), "[::1]:9");
        for wrong in ["", "x", "12", ":12", "unix@", "127.0.0.1", "localhost:", "host:99999"] {
            assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
        }
    }
}
