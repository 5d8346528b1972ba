//! The handshake, from both sides (peers protocol, section 2).

use stktable::Tick;

use super::event::{Reason, SessionError, SessionErrorKind};
use super::roster::{PeerMemory, text};
use super::sources::Present;
use super::teach::Teach;
use super::{Event, Session};
use crate::peers::codec::{Hello, HelloReader, Status, StatusLine, StatusReader, Version};
use std::sync::Arc;

/// How far a session is.
#[derive(Debug)]
pub(super) enum Phase {
    /// The caller is saying who it is.
    Hello(HelloReader),
    /// It has, and our owner decides.
    Deciding(Hello),
    /// We said who we are, and the answer is awaited.
    Status(StatusReader),
    /// Messages go both ways.
    Up,
    Over,
}

impl Session {
    /// Accepts the caller that [`Event::Hello`] named. `beside` says that another session with this peer is live: then this
    /// one is [held](Self::hold) until it is [promoted](Self::promote), and a heartbeat follows at once, since HAProxy may have
    /// forgotten that it has heard from us.
    ///
    /// Does nothing at any other time.
    pub fn accept(&mut self, now: Tick, memory: Arc<PeerMemory>, beside: bool) {
        let Phase::Deciding(hello) = &self.phase else { return };
        let version = hello.version;
        if hello.compares {
            self.compare.is_spoken = true;
            self.compare.is_told = true;
        }
        debug_assert_eq!(*hello.caller, *memory.name(), "the memory of this peer");
        Status::Accepted.encode(&mut self.ready);
        // Who announces 2.1 takes it.
        memory.set_version(version);
        self.up(now, memory, version);
        if beside {
            self.hold();
            self.ask_heartbeat();
        }
    }

    /// Nothing live is pushed until [`promote`](Self::promote): another session does that.
    pub const fn hold(&mut self) {
        self.held = true;
    }

    /// Goes on where the peer acknowledged last, on whichever session.
    pub fn promote(&mut self) {
        if std::mem::take(&mut self.held)
            && let Some(memory) = &self.memory
        {
            self.teach.resume(memory);
        }
    }

    /// Tells the caller that [`Event::Hello`] named to try again later, and closes. Does nothing at any other time.
    pub fn refuse(&mut self) {
        if matches!(self.phase, Phase::Deciding(_)) {
            Status::TryAgain.encode(&mut self.ready);
            self.close(Reason::TryAgain);
        }
    }

    /// Tells the caller that [`Event::Hello`] named that it is unknown, and closes, for this reason. Does nothing at any other
    /// time.
    pub fn deny(&mut self, why: String) {
        if matches!(self.phase, Phase::Deciding(_)) {
            Status::UnknownCaller.encode(&mut self.ready);
            self.close(Reason::Denied(why));
        }
    }

    /// Sends a heartbeat as soon as possible, for a session that took the place of another one.
    pub fn ask_heartbeat(&mut self) {
        if matches!(self.phase, Phase::Up) && !self.is_local() {
            self.timers.ask_heartbeat();
        }
    }

    fn up(&mut self, now: Tick, memory: Arc<PeerMemory>, version: Version) {
        self.teach = Teach::new(&self.roster, &memory);
        self.memory = Some(memory);
        self.version = Some(version);
        self.phase = Phase::Up;
        // None go between a process and its successor.
        self.timers.up(now, !self.is_local());
        self.events.push_back(Event::Up);
        let peer = self.memory.as_ref().map_or(&b""[..], |memory| memory.name());
        self.present = Present::begin(&self.roster, peer);
        if self.present.is_some() {
            self.request_resync();
        }
    }

    /// Reads the hello, line by line so that an error knows where its line begins.
    pub(super) fn read_hello(&mut self, bytes: &[u8]) -> Result<usize, SessionError> {
        let mut used = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Phase::Hello(reader) = &mut self.phase else { break };
            let roster = &self.roster;
            match reader.push(line, roster.local_peer(), |name| roster.is_peer(name)) {
                Ok((_, None)) => {}
                Ok((_, Some(hello))) => {
                    let (caller, version) = (hello.caller.clone(), hello.version);
                    self.peer = Some(text(&caller));
                    self.events.push_back(Event::Hello { caller, version });
                    self.phase = Phase::Deciding(hello);
                }
                Err(error) => {
                    if let Some(status) = error.status() {
                        status.encode(&mut self.ready);
                    }
                    return Err(self.fail(SessionErrorKind::Hello(error), self.line_start));
                }
            }
            used += line.len();
            if line.ends_with(b"\n") {
                self.line_start = self.offset + used as u64;
            }
        }
        Ok(used)
    }

    pub(super) fn read_status(&mut self, now: Tick, bytes: &[u8]) -> usize {
        let Phase::Status(reader) = &mut self.phase else { return 0 };
        let (used, status) = reader.push(bytes);
        match (status, &self.memory, self.version) {
            (Some(StatusLine::Known(Status::Accepted)), Some(memory), Some(version)) => {
                self.up(now, Arc::clone(memory), version);
            }
            (Some(status), memory, _) => {
                if let Some(memory) = memory
                    && status == StatusLine::Known(Status::BadVersion)
                {
                    memory.set_version(Version::V2_0);
                }
                self.close(Reason::RefusedBy(status));
            }
            (None, ..) => {}
        }
        used
    }
}
