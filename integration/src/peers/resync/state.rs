//! From whom we learn everything when we begin (peers protocol, section 13.1).

use std::fmt;

use stktable::Tick;

use super::SessionId;

/// How long each phase waits for somebody to learn from.
pub const PHASE_MS: u32 = 5000;

/// How far the resync of a section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ResyncState {
    /// Waits for the process before a reload to teach us.
    FromLocal,
    /// Asks one of the other peers.
    FromRemote,
    /// Over, for the life of the process. What is missed later the others push from what we acknowledged last.
    #[default]
    Finished,
}

impl fmt::Display for ResyncState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FromLocal => "from local",
            Self::FromRemote => "from remote",
            Self::Finished => "finished",
        })
    }
}

/// The resync of a section.
///
/// ```text
/// FromLocal --5 s without a session, or partial--> FromRemote --5 s with nobody to ask--> Finished
///     '------------------- finished -----------------------'------ finished --------------^
/// ```
#[derive(Debug)]
pub(super) struct Resync {
    state: ResyncState,
    /// When the phase ends; `None` while somebody teaches.
    deadline: Option<Tick>,
    /// Who was asked.
    assigned: Option<SessionId>,
}

impl Resync {
    /// Begins. `predecessor` says that a process before us may come to teach.
    pub(super) fn new(now: Tick, predecessor: bool, has_remotes: bool) -> Self {
        let state = match (predecessor, has_remotes) {
            (true, _) => ResyncState::FromLocal,
            (false, true) => ResyncState::FromRemote,
            (false, false) => ResyncState::Finished,
        };
        Self { state, deadline: Some(now + PHASE_MS), assigned: None }
    }

    pub(super) const fn state(&self) -> ResyncState {
        self.state
    }

    pub(super) const fn assigned(&self) -> Option<SessionId> {
        self.assigned
    }

    /// Whether somebody is to be asked.
    pub(super) fn wants(&self) -> bool {
        self.state == ResyncState::FromRemote && self.assigned.is_none()
    }

    /// Somebody was asked. A lesson may take as long as it needs.
    pub(super) fn assign(&mut self, session: SessionId) {
        self.assigned = Some(session);
        self.deadline = None;
    }

    /// The process before us has come.
    pub(super) fn local_up(&mut self) {
        if self.state == ResyncState::FromLocal {
            self.deadline = None;
        }
    }

    /// The process before us has gone.
    pub(super) fn local_ended(&mut self, now: Tick) {
        if self.state == ResyncState::FromLocal {
            self.deadline = Some(now + PHASE_MS);
        }
    }

    /// The process before us has taught.
    pub(super) fn local_lesson(&mut self, now: Tick, finished: bool, has_remotes: bool) {
        if self.state == ResyncState::FromLocal {
            if finished { self.finish() } else { self.ask_remotes(now, has_remotes) }
        }
    }

    /// The lesson of a remote peer has ended. Returns whether that peer is to be marked as not up to date.
    pub(super) fn lesson(&mut self, now: Tick, session: SessionId, finished: bool) -> bool {
        if self.assigned != Some(session) {
            return false;
        }
        if finished {
            self.finish();
            return false;
        }
        self.ended(now, session);
        true
    }

    /// A session has ended.
    pub(super) fn ended(&mut self, now: Tick, session: SessionId) {
        if self.assigned == Some(session) {
            self.assigned = None;
            self.deadline = Some(now + PHASE_MS);
        }
    }

    pub(super) fn timeout(&mut self, now: Tick, has_remotes: bool) {
        if self.next().is_none_or(|at| at > now) {
            return;
        }
        match self.state {
            ResyncState::FromLocal => self.ask_remotes(now, has_remotes),
            ResyncState::FromRemote | ResyncState::Finished => self.finish(),
        }
    }

    pub(super) fn next(&self) -> Option<Tick> {
        self.deadline.filter(|_| self.state != ResyncState::Finished)
    }

    fn ask_remotes(&mut self, now: Tick, has_remotes: bool) {
        if !has_remotes {
            return self.finish();
        }
        self.state = ResyncState::FromRemote;
        self.deadline = Some(now + PHASE_MS);
    }

    fn finish(&mut self) {
        self.state = ResyncState::Finished;
        self.deadline = None;
        self.assigned = None;
    }
}
