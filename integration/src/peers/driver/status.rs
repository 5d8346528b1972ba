//! What there is to know of a section.

use std::net::SocketAddr;

use super::TableDifference;
use crate::peers::resync::ResyncState;
use crate::peers::session::SessionStatus;

/// A section at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SectionStatus {
    /// Its name.
    pub name: String,
    /// Our own name.
    pub local_peer: String,
    /// How far the resync is.
    pub resync: ResyncState,
    /// The other peers, as they were given.
    pub peers: Vec<PeerStatus>,
    /// The session of our process before a reload.
    pub predecessor: Option<SessionStatus>,
    /// Connections, those included that have not said who they are.
    pub connections: usize,
    /// Connections that were closed at once: there were too many, or they came from where nobody may call.
    pub connections_refused: u64,
    /// Callers with whom TLS was not agreed upon.
    pub handshakes_failed: u64,
}

/// A peer at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerStatus {
    /// Its name.
    pub name: String,
    /// Where it is called.
    pub address: String,
    /// The addresses that were found there last.
    pub resolved: Vec<SocketAddr>,
    /// The session that is up.
    pub session: Option<SessionStatus>,
    /// Bytes that are written and that the socket has not taken: never more than some 80 KB, however far behind the peer is.
    pub queued_bytes: usize,
    /// It is being called.
    pub calling: bool,
    /// In how many milliseconds it is called next.
    pub call_in_ms: Option<u64>,
    /// It was asked to teach us, and has not ended.
    pub teaches_us: bool,
    /// It has taught us in this session, and said that it is not up to date itself.
    pub not_up_to_date: bool,
    /// How far it is behind, by table; whether or not there is a session.
    pub lag: Vec<TableLag>,
    /// How its keys differed from ours, by table, when they were last compared: see [`Section::compare`](super::Section::compare).
    pub differences: Vec<TableDifference>,
    /// Sessions since we began.
    pub sessions: u64,
    /// Sessions that ended because of what the peer sent.
    pub protocol_errors: u64,
    /// Calls without a connection.
    pub calls_failed: u64,
    /// Why the last session or call ended, while there is none.
    pub last_end: Option<String>,
}

/// How far a peer is behind with one table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableLag {
    /// The local name of the table.
    pub table: String,
    /// Updates of ours that it has not acknowledged. An entry that changed several times counts as often.
    pub unacked: u64,
    /// For how many milliseconds the oldest of them has waited, to a tenth of a second or so; 0 if there is none.
    pub waited_ms: u64,
}

impl PeerStatus {
    /// Returns how many updates of all tables it has not acknowledged.
    #[must_use]
    pub fn unacked(&self) -> u64 {
        self.lag.iter().map(|lag| lag.unacked).sum()
    }

    /// Returns for how many milliseconds the oldest of them has waited.
    #[must_use]
    pub fn waited_ms(&self) -> u64 {
        self.lag.iter().map(|lag| lag.waited_ms).max().unwrap_or(0)
    }
}
