//! What there is to know of a session, for whoever looks after it.

use stktable::Tick;

use crate::peers::codec::Version;
use crate::peers::sketch::Difference;

/// Counts since the session began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Heartbeats sent.
    pub heartbeats_sent: u64,
    /// Heartbeats received.
    pub heartbeats_received: u64,
    /// Messages received, whatever they were.
    pub messages_received: u64,
    /// Updates sent, those of lessons included.
    pub updates_sent: u64,
    /// Updates received that were stored.
    pub updates_learned: u64,
    /// Updates received that were over when they came, and had no entry here.
    pub updates_over: u64,
    /// Updates received that were not stored for want of room.
    pub updates_refused: u64,
    /// Names in `server_key` that were not kept: no text, too long, or one too many.
    pub names_refused: u64,
    /// Updates received while no table was selected.
    pub updates_skipped: u64,
    /// Definitions of tables that are not ours, or have other keys.
    pub definitions_ignored: u64,
    /// Acknowledgements sent.
    pub acks_sent: u64,
    /// Acknowledgements received that were heeded.
    pub acks_received: u64,
    /// Acknowledgements received of what was never sent, acknowledged before, or in a lesson.
    pub acks_ignored: u64,
    /// Lessons taught to their end.
    pub lessons_taught: u64,
    /// Ends of lessons received.
    pub lessons_learned: u64,
    /// Error messages received.
    pub errors_received: u64,
    /// Errors found in what was received; the first ends the session.
    pub errors_found: u64,
}

/// Which side opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We did.
    Caller,
    /// The peer did.
    Called,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The handshake is under way.
    Handshake,
    /// Messages go both ways.
    Up,
    /// It is over.
    Over,
}

/// A session at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStatus {
    /// The peer, if it has said who it is.
    pub peer: Option<String>,
    /// Who called.
    pub role: Role,
    /// The version, once it is known.
    pub version: Option<Version>,
    /// How far it is.
    pub stage: Stage,
    /// We teach the peer everything.
    pub teaching: bool,
    /// The peer teaches us everything, as we asked.
    pub learning: bool,
    /// The peer is one of us, and can compare tables.
    pub compares: bool,
    /// Tables are being compared.
    pub comparing: bool,
    /// What was counted.
    pub counters: Counters,
    /// Each table of the section.
    pub tables: Vec<TableStatus>,
}

/// What a session knows of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableStatus {
    /// Its local name.
    pub name: String,
    /// Our number for it.
    pub local_id: u64,
    /// The peer's number for it, once it was announced.
    pub remote_id: Option<u64>,
    /// The last update received, as it was numbered by the peer.
    pub last_get: u32,
    /// The last update that we acknowledged.
    pub last_acked: u32,
    /// The last update of ours that the peer acknowledged.
    pub peer_acked: u64,
    /// The last update of ours that was sent, or needed not be.
    pub cursor: u64,
    /// How far the table is ahead of that, in sequence numbers: at least as many as there are entries to be sent.
    pub lag: u64,
    /// How its keys differed from the peer's when they were last compared in this session, and when that was.
    pub found: Option<(Difference, Tick)>,
}
