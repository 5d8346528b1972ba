//! One remote peer: which session is with it, and when it is called (peers protocol, sections 2.5 and 14).

use std::sync::Arc;

use rand::RngExt as _;
use rand::rngs::SmallRng;
use stktable::Tick;

use super::SessionId;
use crate::peers::session::{PeerMemory, Reason};

/// How long after a failed call the next one is made.
const RETRY_MS: u32 = 5000;
/// What is added to that at random, so that those who failed together do not try together for ever.
const RETRY_SPREAD_MS: u32 = 500;
/// How long, at random, after a session has ended: who calls first has the next one.
const AGAIN_MS: std::ops::RangeInclusive<u32> = 50..=2049;

/// A call that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// There is no connection yet.
    Connecting(SessionId),
    /// Our hello is written, or about to be.
    Greeting(SessionId),
}

impl Call {
    const fn session(self) -> SessionId {
        match self {
            Self::Connecting(session) | Self::Greeting(session) => session,
        }
    }
}

/// A remote peer.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) memory: Arc<PeerMemory>,
    /// The session that is up.
    pub(super) live: Option<SessionId>,
    /// The last lesson of it was partial.
    pub(super) not_up_to_date: bool,
    call: Option<Call>,
    /// When to call.
    call_at: Option<Tick>,
}

impl Remote {
    /// The first call is made at once.
    pub(super) fn new(now: Tick, memory: Arc<PeerMemory>) -> Self {
        Self { memory, live: None, not_up_to_date: false, call: None, call_at: Some(now) }
    }

    /// The peer has called us, with a good hello. Returns the sessions which that one replaces.
    ///
    /// When both call at the same moment, both hellos are good, and HAProxy on both sides would give up its own call:
    /// then none is left. Between two of us the one with the lesser name gives up, the other one does not, and the
    /// call of the latter stands. With HAProxy on the other side either that is so, or both try again at a random moment.
    pub(super) fn called(&mut self, session: SessionId, local_peer: &[u8]) -> Vec<SessionId> {
        let mut replaced: Vec<_> = self.live.replace(session).into_iter().collect();
        let gives_up = match self.call {
            None => false,
            Some(Call::Connecting(_)) => true,
            Some(Call::Greeting(_)) => *local_peer < *self.memory.name(),
        };
        if gives_up {
            replaced.extend(self.call.take().map(Call::session));
        }
        self.call_at = None;
        self.not_up_to_date = false;
        replaced
    }

    /// Returns whether a call that is due is made now.
    pub(super) fn begin_call(&mut self, now: Tick, session: SessionId) -> bool {
        let is_due = self.call_at.is_some_and(|at| at <= now);
        if is_due {
            self.call_at = None;
            self.call = Some(Call::Connecting(session));
        }
        is_due
    }

    /// Our call has a connection. Returns whether it is still wanted.
    pub(super) fn connected(&mut self, session: SessionId) -> bool {
        let wanted = self.call == Some(Call::Connecting(session));
        if wanted {
            self.call = Some(Call::Greeting(session));
        }
        wanted
    }

    /// Our call was accepted. Returns the session which that one replaces, or nothing when the call is not
    /// wanted any more.
    pub(super) fn answered(&mut self, session: SessionId) -> Option<Option<SessionId>> {
        if self.call != Some(Call::Greeting(session)) {
            return None;
        }
        self.call = None;
        self.not_up_to_date = false;
        Some(self.live.replace(session))
    }

    /// A session, or a call, has ended. Returns whether the session was up.
    pub(super) fn ended(
        &mut self,
        now: Tick,
        session: SessionId,
        reason: Option<&Reason>,
        random: &mut SmallRng,
    ) -> bool {
        let was_live = self.live == Some(session);
        if was_live {
            self.live = None;
        } else if self.call.is_some_and(|call| call.session() == session) {
            self.call = None;
        } else {
            return false;
        }
        if self.live.is_none() && self.call.is_none() {
            let is_failure = !was_live || matches!(reason, Some(Reason::Error(_)));
            let delay = if is_failure {
                RETRY_MS + random.random_range(0..=RETRY_SPREAD_MS)
            } else {
                random.random_range(AGAIN_MS)
            };
            self.call_at = Some(now + delay);
        }
        was_live
    }

    pub(super) const fn next(&self) -> Option<Tick> {
        self.call_at
    }

    pub(super) const fn is_calling(&self) -> bool {
        self.call.is_some()
    }
}
