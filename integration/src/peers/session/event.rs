//! What a session tells its owner, and why it ends.

use std::fmt;

use crate::peers::codec::{DecodeError, ErrorMessage, HelloError, StatusLine, Version};

/// Something that the owner of a session must or may act on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A caller's hello is good. Nothing more is read until [`Session::accept`](super::Session::accept) or
    /// [`Session::refuse`](super::Session::refuse) is called.
    Hello {
        /// A peer of the section, possibly ourselves.
        caller: Box<[u8]>,
        /// The version of the session.
        version: Version,
    },
    /// The handshake is over.
    Up,
    /// The session waits beside another one, and the peer has sent its first message: it means this one.
    Proved,
    /// The peer asks to be taught. It will be.
    LessonRequested,
    /// The peer has seen the end of the lesson that it was taught.
    LessonTaught,
    /// The peer has ended a lesson of ours.
    LessonEnded {
        /// The peer is up to date itself.
        finished: bool,
        /// We had asked for it.
        asked: bool,
    },
    /// Entries were not stored for want of room. At most once every 10 s for each table.
    TableFull {
        /// The position of the table in the roster.
        table: usize,
        /// How many were not stored since the last such event.
        skipped: u64,
    },
    /// The peer announces a table of ours with other keys or in a way that cannot be used; it is not learned. Once a
    /// session for each table.
    TableIgnored {
        /// The position of the table in the roster.
        table: usize,
        /// Why.
        why: String,
    },
    /// A table that the peer defines was created. It is the owner's to look after: it expires, and it signals.
    TableLearned {
        /// The position of the table in the roster.
        table: usize,
    },
    /// A table that the peer defines was not created, though tables are learned. Once a session.
    TableNotLearned {
        /// Its name on the network, as text.
        name: String,
        /// Why.
        why: String,
    },
    /// The peer says that we made an error. It closes.
    PeerError(ErrorMessage),
    /// The session is over. Write what [`Session::poll_transmit`](super::Session::poll_transmit) still has, then
    /// close the connection.
    Closed(Reason),
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The peer closed the connection, or it broke.
    Disconnected,
    /// What the peer sent is malformed.
    Error(SessionError),
    /// The handshake took too long.
    HandshakeTimeout,
    /// Nothing was received for too long.
    Dead,
    /// Our hello was answered with this.
    RefusedBy(StatusLine),
    /// The caller has to try again later: a session under our own name is up.
    TryAgain,
    /// The caller gave a name that it may not use, for this reason. It is told that it is unknown.
    Denied(String),
    /// The TLS of the connection failed.
    Tls(String),
    /// Another session with the same peer took its place.
    Replaced,
    /// The peer is none of the section any more.
    Removed,
    /// We are stopping.
    Stopped,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected => f.write_str("the connection was closed"),
            Self::Error(error) => error.fmt(f),
            Self::HandshakeTimeout => f.write_str("the handshake took too long"),
            Self::Dead => f.write_str("nothing was received for too long"),
            Self::RefusedBy(StatusLine::Known(status)) => write!(f, "refused: {status}"),
            Self::RefusedBy(StatusLine::Other(code)) => write!(f, "refused: {code}"),
            Self::RefusedBy(StatusLine::Garbage) => f.write_str("the status line is no number"),
            Self::TryAgain => f.write_str("a session under our own name is up already"),
            Self::Denied(why) => f.write_str(why),
            Self::Tls(why) => write!(f, "TLS: {why}"),
            Self::Replaced => f.write_str("another session with the peer took its place"),
            Self::Removed => f.write_str("the peer was removed"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

/// What was wrong in what a peer sent. What came before is learned and stays; nothing of what is malformed is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionError {
    /// The peer, if it has said who it is.
    pub peer: Option<String>,
    /// The table that was selected.
    pub table: Option<String>,
    /// Where in the stream of the peer the field at fault begins, the handshake included.
    pub offset: u64,
    /// What was wrong.
    pub kind: SessionErrorKind,
}

/// What was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionErrorKind {
    /// A message. The peer is told [`DecodeError::answer`].
    Message(DecodeError),
    /// The hello. The caller is told [`HelloError::status`].
    Hello(HelloError),
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.peer {
            Some(peer) => write!(f, "peer {peer}: ")?,
            None => f.write_str("unknown peer: ")?,
        }
        if let Some(table) = &self.table {
            write!(f, "table {table}: ")?;
        }
        match &self.kind {
            SessionErrorKind::Message(error) => error.fmt(f)?,
            SessionErrorKind::Hello(error) => error.fmt(f)?,
        }
        write!(f, ", byte {} of the stream", self.offset)
    }
}

impl std::error::Error for SessionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match &self.kind {
            SessionErrorKind::Message(error) => error,
            SessionErrorKind::Hello(error) => error,
        })
    }
}
