//! TLS between peers: certificates and keys from files, and what a connection has proved (feature `tls`).
//!
//! ```text
//! Settings --Acceptor::load--> Acceptor    of a listener
//!          --Connector::load-> Connector   of a peer that is called
//! ```
//!
//! # Decisions
//!
//! - The words mean what they mean to HAProxy: `verify required` without `verifyhost` or `sni` takes any certificate that the
//!   `ca-file` vouches for. The name of a *caller* is bound to its certificate on top of that: see
//!   [`driver::Listen`](crate::peers::driver::Listen).
//! - Files are looked at before each handshake, off the tasks that serve connections, and read again when they have changed;
//!   a section reads them on demand, too. Files that cannot be used leave what there was in place, with an error in the
//!   log. Sessions that are up go on.
//! - Sessions of TLS are not resumed: each handshake is judged by the certificates there are then.
//! - TLS 1.2 and 1.3, by rustls with the provider ring. It does not take a certificate authority's own certificate for that of
//!   a peer, nor a certificate without a subject alternative name where a name is asked for.

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod config;
mod error;
#[cfg(feature = "tls")]
mod files;
#[cfg(feature = "tls")]
mod stream;

use std::path::PathBuf;

#[cfg(not(feature = "tls"))]
pub use absent::{Acceptor, Connector};
#[cfg(not(feature = "tls"))]
pub(crate) use absent::{Certificate, Stream, can_name};
#[cfg(feature = "tls")]
pub(crate) use config::can_name;
#[cfg(feature = "tls")]
pub use config::{Acceptor, Connector};
pub use error::{TlsError, TlsErrorKind};
#[cfg(feature = "tls")]
pub(crate) use stream::{Certificate, Stream};

/// How the certificate of the other side is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Not at all: the connection is encrypted, with whoever it is.
    None,
    /// If there is one, it has to be good. Listeners only.
    Optional,
    /// There has to be a good one.
    #[default]
    Required,
}

/// The versions of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// 1.2 and 1.3.
    #[default]
    Both,
    /// 1.2 alone.
    Tls12,
    /// 1.3 alone.
    Tls13,
}

/// What one side of a connection is set to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Our certificate and its chain, with the key unless that is elsewhere. A listener needs one.
    pub crt: Option<PathBuf>,
    /// The key, where it is neither in `crt` nor in a file beside that, of its name and `.key`.
    pub key: Option<PathBuf>,
    /// The certificates that vouch for the other side.
    pub ca_file: Option<PathBuf>,
    /// How the other side is judged.
    pub verify: Verify,
    /// The name that its certificate has to have. Of a peer that is called; and for a peer that calls, instead of its own
    /// name.
    pub verify_host: Option<String>,
    /// The name that it is called by in the handshake, which its certificate has to have if `verify_host` says nothing.
    pub sni: Option<String>,
    /// The versions.
    pub versions: Versions,
}
