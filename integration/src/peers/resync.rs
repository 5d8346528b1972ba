//! A section: which session there is with each peer, whom we call, and from whom we learn everything.
//!
//! Like a session it has neither sockets nor a clock. Its owner tells it what became of connections, and does what
//! [`Coordinator::poll_action`] says.
//!
//! ```text
//! poll_action: Call(peer) --> connect --> connected? --> Session::caller --Event::Up--> answered? --.
//!                                                                                                    > live
//! accept a connection ------------------> Session::called --Event::Hello--> called? --accept-------'
//! either way, at the end: ended
//! ```
//!
//! Of two sessions with one peer the newer one wins, whoever called (peers protocol, section 2.5), but not before it has proved
//! itself: until then the older one is live, and nothing is lost if the newer one comes to nothing.

mod calls;
mod state;

use std::collections::VecDeque;
use std::sync::Arc;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use stktable::Tick;

use super::session::{PeerMemory, Reason, Roster};
use calls::{Change, Remote};
use state::Resync;
pub use state::{PHASE_MS, ResyncState};

/// Tells a connection of a section from every other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

/// What the owner has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Call a peer, under this id. Whatever comes of it ends with [`Coordinator::ended`].
    Call {
        /// The name of the peer.
        peer: Box<[u8]>,
        /// The id.
        session: SessionId,
    },
    /// Close a session, or give up a call.
    Close {
        /// The session.
        session: SessionId,
        /// Why.
        reason: Reason,
    },
    /// A session waits beside another one: [`Session::hold`](super::session::Session::hold).
    Hold {
        /// The session.
        session: SessionId,
    },
    /// A session that waited is the live one: [`Session::promote`](super::session::Session::promote).
    Promote {
        /// The session.
        session: SessionId,
    },
    /// Ask the peer of a session to teach us.
    Request {
        /// The session.
        session: SessionId,
    },
}

/// What becomes of a caller.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// To be accepted.
    Accept {
        /// What is remembered of the peer.
        memory: Arc<PeerMemory>,
        /// Another one is live. This one waits beside it, and the owner reports
        /// [`Event::Proved`](super::session::Event::Proved).
        beside: bool,
    },
    /// No peer of the section any more.
    Unknown,
    /// To be told to try again later.
    TryAgain,
}

/// The peers of a section. See the [module](self).
#[derive(Debug)]
pub struct Coordinator {
    roster: Arc<Roster>,
    remotes: Vec<Remote>,
    /// The session of our process before a reload.
    local: Option<SessionId>,
    resync: Resync,
    random: SmallRng,
    last_id: u64,
    actions: VecDeque<Action>,
}

/// A peer at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerState {
    /// The session that is up.
    pub live: Option<SessionId>,
    /// It is being called.
    pub calling: bool,
    /// When it is called next.
    pub call_at: Option<Tick>,
    /// It taught us from the session that is up, and is the one that we learn from.
    pub assigned: bool,
    /// Its last lesson was partial: it is not asked again in this session.
    pub not_up_to_date: bool,
}

impl Coordinator {
    /// Begins: every peer is called at once. `predecessor` says that a process before us may come to teach us;
    /// `seed` is for the random delays.
    #[must_use]
    pub fn new(now: Tick, roster: Arc<Roster>, predecessor: bool, seed: u64) -> Self {
        let remotes: Vec<_> = roster
            .remote_peers()
            .iter()
            .map(|name| Remote::new(now, PeerMemory::new(&roster, name)))
            .collect();
        let mut coordinator = Self {
            resync: Resync::new(now, predecessor, !remotes.is_empty()),
            roster,
            remotes,
            local: None,
            random: SmallRng::seed_from_u64(seed),
            last_id: 0,
            actions: VecDeque::new(),
        };
        coordinator.settle();
        coordinator
    }

    /// Returns the id of a connection that was accepted.
    pub fn accepted(&mut self) -> SessionId {
        self.last_id += 1;
        SessionId(self.last_id)
    }

    /// A session reports [`Event::Hello`](super::session::Event::Hello). If the caller is accepted, the session
    /// is up.
    pub fn called(&mut self, session: SessionId, caller: &[u8]) -> Verdict {
        if caller == self.roster.local_peer() {
            if self.local.is_some() {
                return Verdict::TryAgain;
            }
            self.local = Some(session);
            self.resync.local_up();
            let memory = PeerMemory::new(&self.roster, caller);
            return Verdict::Accept { memory, beside: false };
        }
        let named = |remote: &&mut Remote| *remote.memory.name() == *caller;
        let Some(remote) = self.remotes.iter_mut().find(named) else { return Verdict::Unknown };
        let memory = Arc::clone(&remote.memory);
        let change = remote.called(session);
        let beside = change.beside;
        self.apply(change);
        Verdict::Accept { memory, beside }
    }

    fn apply(&mut self, change: Change) {
        for session in change.closed {
            self.actions.push_back(Action::Close { session, reason: Reason::Replaced });
        }
        if let Some(session) = change.held {
            self.actions.push_back(Action::Hold { session });
        }
        self.settle();
    }

    /// A session beside another one reports [`Event::Proved`](super::session::Event::Proved).
    pub fn proved(&mut self, session: SessionId) {
        let replaced = self.remotes.iter_mut().find_map(|remote| remote.proved(session));
        if let Some(replaced) = replaced {
            self.actions.push_back(Action::Close { session: replaced, reason: Reason::Replaced });
            self.actions.push_back(Action::Promote { session });
            self.settle();
        }
    }

    /// Adds a peer of the roster, which is called at once. One that is there already is no error.
    pub fn add_peer(&mut self, now: Tick, name: &[u8]) {
        if !self.remotes.iter().any(|remote| *remote.memory.name() == *name) {
            self.remotes.push(Remote::new(now, PeerMemory::new(&self.roster, name)));
        }
    }

    /// Removes a peer: its sessions and calls end, and what was remembered of it goes. The others are not touched.
    pub fn remove_peer(&mut self, now: Tick, name: &[u8]) {
        let named = |remote: &Remote| *remote.memory.name() == *name;
        let Some(at) = self.remotes.iter().position(named) else { return };
        let remote = self.remotes.remove(at);
        for session in remote.sessions() {
            self.resync.ended(now, session);
            self.actions.push_back(Action::Close { session, reason: Reason::Removed });
        }
        self.settle();
    }

    /// A call has a connection. Returns the memory for its session, or nothing if the call is not wanted any more.
    pub fn connected(&mut self, session: SessionId) -> Option<Arc<PeerMemory>> {
        let mut remotes = self.remotes.iter_mut();
        remotes.find_map(|remote| remote.connected(session).then(|| Arc::clone(&remote.memory)))
    }

    /// The session of a call reports [`Event::Up`](super::session::Event::Up). Returns whether there is another one beside it,
    /// or nothing if it is not wanted any more. It says something at once, so that the peer knows it has come up.
    pub fn answered(&mut self, session: SessionId) -> Option<bool> {
        let local_peer = self.roster.local_peer();
        let mut remotes = self.remotes.iter_mut();
        let change = remotes.find_map(|remote| remote.answered(session, local_peer))?;
        let beside = change.beside;
        self.apply(change);
        Some(beside)
    }

    /// A lesson of ours has ended.
    pub fn lesson_ended(&mut self, now: Tick, session: SessionId, finished: bool) {
        let has_remotes = !self.remotes.is_empty();
        if self.local == Some(session) {
            self.resync.local_lesson(now, finished, has_remotes);
        } else if self.resync.lesson(now, session, finished) {
            for remote in &mut self.remotes {
                remote.not_up_to_date |= remote.live == Some(session);
            }
        }
        self.settle();
    }

    /// A session, or a call, has ended; `reason` if it came as far as being a session. An id that is not known any more
    /// is no error.
    pub fn ended(&mut self, now: Tick, session: SessionId, reason: Option<&Reason>) {
        if self.local == Some(session) {
            self.local = None;
            self.resync.local_ended(now);
        }
        for remote in &mut self.remotes {
            if let Some(session) = remote.ended(now, session, reason, &mut self.random) {
                self.actions.push_back(Action::Promote { session });
            }
        }
        self.resync.ended(now, session);
        self.settle();
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Tick) {
        self.resync.timeout(now, !self.remotes.is_empty());
        for remote in &mut self.remotes {
            let session = SessionId(self.last_id + 1);
            if remote.begin_call(now, session) {
                self.last_id += 1;
                let peer = remote.memory.name().into();
                self.actions.push_back(Action::Call { peer, session });
            }
        }
        self.settle();
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is to be called. Changed by every call that takes the time, and
    /// by [`called`](Self::called).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Tick> {
        self.remotes.iter().filter_map(Remote::next).chain(self.resync.next()).min()
    }

    /// Returns what to do next. Changed by every other call but the polls.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Returns how far the resync is.
    #[must_use]
    pub const fn resync_state(&self) -> ResyncState {
        self.resync.state()
    }

    /// Returns what is remembered of a remote peer, by its position in the roster.
    #[must_use]
    pub fn memory(&self, at: usize) -> Option<&Arc<PeerMemory>> {
        Some(&self.remotes.get(at)?.memory)
    }

    /// Returns a remote peer, by its position in the roster.
    #[must_use]
    pub fn peer(&self, at: usize) -> Option<PeerState> {
        let remote = self.remotes.get(at)?;
        Some(PeerState {
            live: remote.live,
            calling: remote.is_calling(),
            call_at: remote.next(),
            assigned: remote.live.is_some() && remote.live == self.resync.assigned(),
            not_up_to_date: remote.not_up_to_date,
        })
    }

    /// Returns the session of our process before a reload.
    #[must_use]
    pub const fn local(&self) -> Option<SessionId> {
        self.local
    }

    /// Asks somebody if somebody is to be asked, and notes the end.
    fn settle(&mut self) {
        if self.resync.wants() {
            let can = |remote: &Remote| remote.live.filter(|_| !remote.not_up_to_date);
            if let Some(session) = self.remotes.iter().find_map(can) {
                self.resync.assign(session);
                self.actions.push_back(Action::Request { session });
            }
        }
        if self.resync.state() == ResyncState::Finished {
            self.roster.set_up_to_date();
        }
    }
}
