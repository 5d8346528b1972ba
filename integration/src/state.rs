//! Tables on disk: a file that a process writes while it works, and reads when it starts.
//!
//! ```text
//! "STKSTATE" version  | header | table | entries | entries | ... | table | ... | end
//!                       a block each: kind, length, checksum, payload
//! ```
//!
//! Numbers are little-endian. A block of entries belongs to the table before it; its payload is entry after entry, each a key, what is left
//! to live, and the values of the columns that the table block lists. The end block has the number of entries, so a file that was cut off
//! is known to be. Nothing is loaded before the whole file was read once and found right.
//!
//! A file is written beside the old one and takes its place by renaming, when it is on the disk: whenever the process is killed, there is
//! a whole file. What is not written: `conn_cur`, since the connections end with the process; and the update order, since peers are told
//! everything when a process starts.
//!
//! [`save`] and [`load`] block; a daemon calls them on a thread of their own. Neither stops a table: an entry that changes meanwhile is
//! written as it was at some instant of the call.

mod block;
mod entry;
mod load;
mod save;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use load::{Loaded, Skipped, load};
pub use save::{Saved, save};

/// The version that is written, and the latest that is read.
pub const VERSION: u32 = 1;

/// Why tables could not be written or read. Nothing was changed then: neither the file nor a table.
#[derive(Debug)]
pub struct StateError {
    path: PathBuf,
    kind: StateErrorKind,
}

/// What is wrong with a state file.
#[derive(Debug)]
#[non_exhaustive]
pub enum StateErrorKind {
    /// The system refused something.
    Io {
        /// What was to be done.
        what: &'static str,
        /// Why it was not.
        error: io::Error,
    },
    /// It does not begin as such files do.
    Foreign,
    /// It was written by a later version.
    Newer {
        /// The version.
        version: u32,
    },
    /// It ends too early.
    Truncated {
        /// Where more was expected.
        offset: u64,
    },
    /// It is damaged.
    Damaged {
        /// Where the block begins that is wrong.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl StateError {
    fn new(path: &Path, kind: StateErrorKind) -> Self {
        Self { path: path.to_owned(), kind }
    }

    /// Returns what is wrong.
    #[must_use]
    pub const fn kind(&self) -> &StateErrorKind {
        &self.kind
    }

    /// Returns whether there was no file.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(&self.kind, StateErrorKind::Io { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.kind {
            StateErrorKind::Io { what, error } => write!(f, "cannot {what}: {error}"),
            StateErrorKind::Foreign => write!(f, "is no state file of stktabled"),
            StateErrorKind::Newer { version } => write!(
                f,
                "is of version {version}, and this program knows versions up to {VERSION}; nothing was loaded"
            ),
            StateErrorKind::Truncated { offset } => {
                write!(f, "ends at byte {offset}, in the middle; nothing was loaded")
            }
            StateErrorKind::Damaged { offset, what } => {
                write!(f, "is damaged at byte {offset}: {what}; nothing was loaded")
            }
        }
    }
}

impl std::error::Error for StateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            StateErrorKind::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}
