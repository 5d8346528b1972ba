//! The timers of a session (peers protocol, section 14).

use stktable::Tick;

/// How long a handshake may take unless something else is said.
pub const HANDSHAKE_MS: u32 = 5000;
/// After how long without output a heartbeat is sent.
pub const HEARTBEAT_MS: u32 = 3000;
/// After how long without a byte of input the peer is dead.
pub const DEAD_MS: u32 = 5000;

/// What has come due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Handshake,
    Dead,
}

/// The timers of a session. Any byte counts as life, as for HAProxy's inactivity timeout.
#[derive(Debug)]
pub(super) struct Timers {
    up: bool,
    /// When to give up: on the handshake, or on a silent peer.
    give_up: Tick,
    /// When a heartbeat is due; `None` while one is waiting to be written, or none are sent.
    heartbeat: Option<Tick>,
    /// A heartbeat is waiting to be written.
    heartbeat_waits: bool,
    heartbeats: bool,
}

impl Timers {
    pub(super) fn new(now: Tick, handshake_ms: u32) -> Self {
        Self {
            up: false,
            give_up: now + handshake_ms,
            heartbeat: None,
            heartbeat_waits: false,
            heartbeats: false,
        }
    }

    /// The handshake is over.
    pub(super) fn up(&mut self, now: Tick, heartbeats: bool) {
        self.up = true;
        self.heartbeats = heartbeats;
        self.give_up = now + DEAD_MS;
        self.heartbeat = heartbeats.then(|| now + HEARTBEAT_MS);
    }

    /// Something was received.
    pub(super) fn read(&mut self, now: Tick) {
        if self.up {
            self.give_up = self.give_up.max(now + DEAD_MS);
        }
    }

    /// Something was written.
    pub(super) fn wrote(&mut self, now: Tick) {
        if self.up && self.heartbeats {
            self.heartbeat = Some(now + HEARTBEAT_MS);
            self.heartbeat_waits = false;
        }
    }

    /// Asks for a heartbeat at once.
    pub(super) fn ask_heartbeat(&mut self) {
        self.heartbeat = None;
        self.heartbeat_waits = true;
    }

    pub(super) const fn heartbeat_waits(&self) -> bool {
        self.heartbeat_waits
    }

    pub(super) fn check(&mut self, now: Tick) -> Due {
        if self.give_up <= now {
            return if self.up { Due::Dead } else { Due::Handshake };
        }
        if self.heartbeat.is_some_and(|at| at <= now) {
            self.ask_heartbeat();
        }
        Due::Nothing
    }

    pub(super) fn next(&self) -> Tick {
        self.heartbeat.map_or(self.give_up, |at| at.min(self.give_up))
    }
}
