//! What a peer may cost us.

use std::time::Duration;

use super::timers::HANDSHAKE_MS;
use crate::peers::codec::{BODY_MAX, dictionary};

/// What the peers of a section may cost us. The default is what HAProxy's own limits make them need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that are accepted at a time, by the section; `None` for three of each peer and of ourselves.
    pub sessions: Option<usize>,
    /// How long a handshake may take, and as long again with TLS.
    pub handshake_ms: u32,
    /// The most bytes in the body of a message, up to [`MESSAGE_MAX`](Self::MESSAGE_MAX).
    pub message_bytes: u32,
    /// Tables that one peer may define in a session. What it defines past them is not learned.
    pub tables: usize,
    /// Names in `server_key` that one peer may have us keep for its session. Past them they are not learned.
    pub names: u8,
}

impl Limits {
    /// The most that [`message_bytes`](Self::message_bytes) counts.
    pub const MESSAGE_MAX: u32 = 60 << 10;

    /// Returns the time of a handshake.
    #[must_use]
    pub const fn handshake(&self) -> Duration {
        Duration::from_millis(self.handshake_ms as u64)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: None,
            handshake_ms: HANDSHAKE_MS,
            message_bytes: BODY_MAX,
            tables: usize::MAX,
            names: dictionary::ENTRIES,
        }
    }
}
