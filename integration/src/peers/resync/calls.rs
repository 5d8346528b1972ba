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

/// A session beside the one that is live: the peer has called while that one was up.
///
/// Neither side knows at once which of the two the other one keeps. HAProxy keeps the one whose handshake it completed last,
/// and closes every other; a connection that broke without a word is replaced by the peer's next call. So the live one
/// stays until the other has *proved* itself by a message behind its hello, or the live one ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spare {
    session: SessionId,
    /// Takes over only when the live one ends.
    waits: bool,
}

/// A remote peer.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) memory: Arc<PeerMemory>,
    /// The session that is up.
    pub(super) live: Option<SessionId>,
    spare: Option<Spare>,
    /// The last lesson of it was partial.
    pub(super) not_up_to_date: bool,
    call: Option<Call>,
    /// When to call.
    call_at: Option<Tick>,
}

/// What becomes of sessions when another one comes up.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Another one is up as well.
    pub(super) beside: bool,
    /// To be closed.
    pub(super) closed: Vec<SessionId>,
    /// To wait beside the live one.
    pub(super) held: Option<SessionId>,
}

impl Remote {
    /// The first call is made at once.
    pub(super) fn new(now: Tick, memory: Arc<PeerMemory>) -> Self {
        let call_at = Some(now);
        Self { memory, live: None, spare: None, not_up_to_date: false, call: None, call_at }
    }

    /// The peer has called us, with a good hello.
    ///
    /// A call of ours whose hello is written stands: HAProxy gives up its own call for it, so giving up ours, too, would leave
    /// none. What becomes of the two [`answered`](Self::answered) decides.
    pub(super) fn called(&mut self, session: SessionId) -> Change {
        self.call_at = None;
        let mut change = Change::default();
        if let Some(Call::Connecting(call)) = self.call {
            self.call = None;
            change.closed.push(call);
        }
        if self.live.is_some() {
            change.beside = true;
            let before = self.spare.replace(Spare { session, waits: false });
            change.closed.extend(before.map(|spare| spare.session));
        } else {
            self.live = Some(session);
            self.not_up_to_date = false;
        }
        change
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

    /// Our call was accepted. Returns nothing when it is not wanted any more.
    ///
    /// If the peer has called meanwhile, there are two sessions. With HAProxy ours is the one that is left: it gave up its own
    /// to accept ours. Between two of us, the one with the greater name closes the call of the other; the one with the
    /// lesser name keeps both until then.
    pub(super) fn answered(&mut self, session: SessionId, local_peer: &[u8]) -> Option<Change> {
        if self.call != Some(Call::Greeting(session)) {
            return None;
        }
        self.call = None;
        self.not_up_to_date = false;
        let live = self.live.replace(session);
        let spare = self.spare.take().map(|spare| spare.session);
        let mut change = Change { beside: live.is_some(), ..Change::default() };
        if *local_peer > *self.memory.name() {
            change.closed.extend(live.into_iter().chain(spare));
        } else {
            // The newer one: the peer has given up the other.
            change.closed.extend(live.filter(|_| spare.is_some()));
            change.held = spare.or(live);
            self.spare = change.held.map(|session| Spare { session, waits: true });
        }
        Some(change)
    }

    /// A session beside another one has received a message. Returns the one that it replaces, if it does.
    pub(super) fn proved(&mut self, session: SessionId) -> Option<SessionId> {
        self.spare.take_if(|spare| spare.session == session && !spare.waits)?;
        self.not_up_to_date = false;
        self.live.replace(session)
    }

    /// A session, or a call, has ended. Returns the session that takes its place, if one does.
    pub(super) fn ended(
        &mut self,
        now: Tick,
        session: SessionId,
        reason: Option<&Reason>,
        random: &mut SmallRng,
    ) -> Option<SessionId> {
        let was_live = self.live == Some(session);
        if was_live {
            self.not_up_to_date &= self.spare.is_none();
            self.live = self.spare.take().map(|spare| spare.session);
        } else if self.spare.is_some_and(|spare| spare.session == session) {
            self.spare = None;
        } else if self.call.is_some_and(|call| call.session() == session) {
            self.call = None;
        } else {
            return None;
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
        self.live.filter(|_| was_live)
    }

    /// Returns every session and call.
    pub(super) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        let spare = self.spare.map(|spare| spare.session);
        self.live.into_iter().chain(spare).chain(self.call.map(Call::session))
    }

    pub(super) const fn next(&self) -> Option<Tick> {
        self.call_at
    }

    pub(super) const fn is_calling(&self) -> bool {
        self.call.is_some()
    }
}
