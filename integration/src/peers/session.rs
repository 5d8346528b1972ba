//! A session: one connection between two peers as a state machine, without a socket and without a clock.
//!
//! Bytes and the time come in as arguments; what to do comes out by polling. The same calls with the same tables give
//! the same bytes, so every run can be replayed.
//!
//! ```text
//!            handle_input(now, bytes) ---> +---------+ ---> poll_transmit(now, out)   bytes to send
//!            handle_timeout(now) --------> | Session | ---> poll_timeout()            when to call handle_timeout
//!  accept, refuse, request_resync, ..  --> +---------+ ---> poll_event()              what the owner must know
//!                                           |       |
//!                                     [`Roster`]  [`PeerMemory`]
//!                                 names and tables  what the peer has acknowledged, across sessions
//! ```
//!
//! After any call into the session its owner polls until there is nothing: events first, since one may ask for
//! [`Session::accept`]. Before it sleeps, it calls [`Session::arm_updates`] and polls
//! [`Session::poll_transmit`] once more.
//!
//! Output is made on demand, in one *turn* of bounded size after another: acks, then updates or what is left of a
//! lesson, then confirmations, then a heartbeat if there was nothing else. An owner whose socket is full goes on
//! reading, and nothing piles up here meanwhile.

mod compare;
mod event;
mod handshake;
mod inspect;
mod learn;
mod lesson;
mod limits;
mod roster;
mod sources;
mod status;
mod tables;
mod teach;
mod timers;

use std::collections::VecDeque;
use std::sync::Arc;

use stktable::Tick;

pub use crate::peers::sketch::Difference;
pub use event::{Event, Reason, SessionError, SessionErrorKind};
pub use limits::Limits;
pub use roster::{PeerMemory, Roster, RosterError, RosterTable};
pub use sources::{Source, Sources};
pub use status::{Counters, Role, SessionStatus, Stage, TableStatus};
pub use tables::{LearnTables, Tables};
pub use timers::{DEAD_MS, HANDSHAKE_MS, HEARTBEAT_MS};

use crate::peers::codec::{
    Control, DecodeError, Decoder, Hello, HelloReader, Message, StatusReader, Version,
};
use compare::Compare;
use handshake::Phase;
use learn::{Desk, Learn};
use roster::text;
use sources::Present;
use teach::{Pen, Teach, id_of};
use timers::{Due, Timers};

/// [`Session::poll_transmit`] begins no message once there are this many bytes in the buffer it is given.
pub const OUT_MAX: usize = 64 << 10;

/// The most updates of one table in a turn, so that tables share.
const TURN_UPDATES: u32 = 200;

/// One connection with a peer. See the [module](self).
#[derive(Debug)]
pub struct Session {
    roster: Arc<Roster>,
    role: Role,
    phase: Phase,
    /// Of the peer, once it is known.
    memory: Option<Arc<PeerMemory>>,
    peer: Option<String>,
    version: Option<Version>,
    decoder: Decoder,
    /// Bytes of the stream that were used.
    offset: u64,
    /// Bytes of the stream that were seen.
    seen: u64,
    /// Where the line of the hello begins that has not ended.
    line_start: u64,
    timers: Timers,
    learn: Learn,
    teach: Teach,
    /// A resync request is to be written.
    request: bool,
    /// We asked for a lesson that has not ended.
    waiting: bool,
    /// Another session is the one that pushes.
    held: bool,
    /// It has the [ear](PeerMemory) of its peer.
    hears: bool,
    /// It was told that a message has come while it was held.
    proved: bool,
    /// The peer is a source of tables that are kept apart.
    present: Option<Present>,
    compare: Compare,
    /// Confirmations owed.
    confirms: u64,
    /// What is to be written whatever the phase: hello, status line, error.
    ready: Vec<u8>,
    events: VecDeque<Event>,
    counters: Counters,
}

impl Session {
    /// Makes the session of a connection that a peer has opened.
    #[must_use]
    pub fn called(now: Tick, roster: Arc<Roster>) -> Self {
        Self::new(now, roster, Role::Called, Phase::Hello(HelloReader::new()))
    }

    /// Makes the session of a connection that we have opened to the peer of this memory. `process_id` is for the
    /// peer's logs.
    #[must_use]
    pub fn caller(
        now: Tick,
        roster: Arc<Roster>,
        memory: Arc<PeerMemory>,
        process_id: u32,
    ) -> Self {
        let mut session = Self::new(now, roster, Role::Caller, Phase::Status(StatusReader::new()));
        let version = memory.version();
        let (called, caller) = (memory.name(), session.roster.local_peer());
        let id = u64::from(process_id);
        let written = Hello::encode_ours(version, called, caller, id, &mut session.ready);
        debug_assert!(written.is_ok(), "the names of a roster are checked");
        session.version = Some(version);
        session.peer = Some(text(called));
        session.memory = Some(memory);
        session
    }

    fn new(now: Tick, roster: Arc<Roster>, role: Role, phase: Phase) -> Self {
        let nobody = PeerMemory::new(&roster, b"");
        Self {
            role,
            phase,
            memory: None,
            peer: None,
            version: None,
            decoder: Decoder::with_limit(roster.limits().message_bytes.min(Limits::MESSAGE_MAX)),
            offset: 0,
            seen: 0,
            line_start: 0,
            timers: Timers::new(now, roster.limits().handshake_ms),
            learn: Learn::new(&roster),
            teach: Teach::new(&roster, &nobody),
            request: false,
            waiting: false,
            held: false,
            hears: false,
            proved: false,
            present: None,
            compare: Compare::default(),
            confirms: 0,
            ready: Vec::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            roster,
        }
    }

    /// Takes bytes of the connection: those that were not used by the last call, and what came since. Returns how many
    /// were used; the rest is the beginning of a message, never more than [`input_max`](Self::input_max) bytes.
    ///
    /// While the owner has not answered [`Event::Hello`], and while the session is [deaf](Self::is_deaf), nothing is used; call again
    /// when it has, and when another session has ended, with the same bytes if there are no others. When the session is
    /// over everything is used and dropped.
    ///
    /// # Errors
    /// When the bytes are malformed. The session is then over: the peer is owed what
    /// [`poll_transmit`](Self::poll_transmit) says. What came before is learned.
    pub fn handle_input(&mut self, now: Tick, bytes: &[u8]) -> Result<usize, SessionError> {
        let end = self.offset + bytes.len() as u64;
        if end > self.seen {
            self.seen = end;
            self.timers.read(now);
        }
        let mut used = 0;
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            let step = match self.phase {
                Phase::Hello(_) => self.read_hello(rest)?,
                Phase::Status(_) => self.read_status(now, rest),
                Phase::Up => {
                    if self.hears() {
                        self.read_messages(now, rest)?
                    } else {
                        self.prove(rest);
                        0
                    }
                }
                Phase::Deciding(_) => 0,
                Phase::Over => rest.len(),
            };
            if step == 0 {
                return Ok(used);
            }
            used += step;
            self.offset += step as u64;
        }
    }

    /// Returns the size of a buffer for input in which there is always room for more.
    #[must_use]
    pub const fn input_max(&self) -> usize {
        self.decoder.message_max() + 1
    }

    /// The peer has closed the connection, or it broke.
    pub fn handle_end(&mut self) {
        self.close(Reason::Disconnected);
    }

    /// Does what is due. Call it when the date of [`poll_timeout`](Self::poll_timeout) has come, after what was received
    /// until then was given to [`handle_input`](Self::handle_input).
    pub fn handle_timeout(&mut self, now: Tick) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        match self.timers.check(now) {
            Due::Nothing => {}
            Due::Handshake => self.close(Reason::HandshakeTimeout),
            Due::Dead => self.close(Reason::Dead),
        }
        let again =
            self.present.as_mut().and_then(|present| present.again.take_if(|at| *at <= now));
        if again.is_some() {
            self.request_resync();
        }
    }

    /// Asks the peer to teach us everything. Nothing live is pushed to it until the lesson has ended. Does nothing
    /// unless the session is up.
    pub fn request_resync(&mut self) {
        if matches!(self.phase, Phase::Up) && !self.waiting {
            self.request = true;
            self.waiting = true;
        }
    }

    /// Teaches the peer everything, unasked, as a process does with its successor. Does nothing unless the session is up.
    pub fn teach(&mut self) {
        if matches!(self.phase, Phase::Up) {
            self.teach.begin_lesson(&self.roster);
        }
    }

    /// Ends the session without another message. Does nothing when it is over.
    pub fn close(&mut self, reason: Reason) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        if matches!(reason, Reason::Replaced | Reason::Removed | Reason::Stopped | Reason::Dead) {
            self.ready.clear();
        }
        self.phase = Phase::Over;
        self.present = None;
        self.fall_silent();
        self.waiting = false;
        self.events.push_back(Event::Closed(reason));
    }

    /// Appends what is to be sent, and returns whether there was anything, or something was done that may lead to it. Begins no message once `out` holds
    /// [`OUT_MAX`] bytes.
    ///
    /// Changed by every other call, and by changes of the tables; by itself until it returns false.
    pub fn poll_transmit(&mut self, now: Tick, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        out.append(&mut self.ready);
        let worked = matches!(self.phase, Phase::Up) && self.turn(now, out);
        let wrote = out.len() > before;
        if wrote {
            self.timers.wrote(now);
        }
        wrote || worked
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is to be called; `None` when the session is over.
    ///
    /// Changed by [`handle_input`](Self::handle_input), [`handle_timeout`](Self::handle_timeout),
    /// [`accept`](Self::accept) and a [`poll_transmit`](Self::poll_transmit) that returned true.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Tick> {
        let again = self.present.as_ref().and_then(|present| present.again);
        let next = self.timers.next();
        (!matches!(self.phase, Phase::Over)).then(|| again.map_or(next, |again| again.min(next)))
    }

    /// Returns the next event.
    ///
    /// Changed by [`handle_input`](Self::handle_input), [`handle_timeout`](Self::handle_timeout),
    /// [`handle_end`](Self::handle_end), [`accept`](Self::accept), [`refuse`](Self::refuse) and
    /// [`close`](Self::close).
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Asks the tables for a signal when there is something to push. Poll [`poll_transmit`](Self::poll_transmit) again
    /// after this call: only when there is nothing the owner may sleep.
    pub fn arm_updates(&self) {
        for table in self.roster.tables().iter() {
            table.table().arm_updates();
        }
    }

    /// Returns whether nothing is used of what the peer sends because another session with it is heard, the older one: what is on its way in
    /// that one is older still, and would replace what is said here. Then the owner reads no more than it has room for.
    #[must_use]
    pub const fn is_deaf(&self) -> bool {
        matches!(self.phase, Phase::Up) && !self.hears
    }

    /// Returns whether the session is over.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Returns what there is to know of the session now.
    #[must_use]
    pub fn status(&self) -> SessionStatus {
        let table = |(at, table): (usize, &RosterTable)| {
            let (remote_id, last_get, last_acked) = self.learn.table(at);
            let (cursor, peer_acked) = self.teach.table(at);
            let lag = table.table().last_update().saturating_sub(cursor);
            let name = table.local_name().to_owned();
            let local_id = id_of(at);
            let found = self.compare.found(at);
            TableStatus {
                name,
                local_id,
                remote_id,
                last_get,
                last_acked,
                peer_acked,
                cursor,
                lag,
                found,
            }
        };
        SessionStatus {
            peer: self.peer.clone(),
            role: self.role,
            version: self.version,
            stage: match self.phase {
                Phase::Up => Stage::Up,
                Phase::Over => Stage::Over,
                Phase::Hello(_) | Phase::Deciding(_) | Phase::Status(_) => Stage::Handshake,
            },
            teaching: self.teach.lesson.is_some(),
            learning: self.waiting,
            compares: self.compare.is_spoken,
            comparing: self.compare.is_under_way(),
            counters: self.counters,
            tables: self.roster.tables().iter().enumerate().map(table).collect(),
        }
    }

    /// Whether what the peer sends is used: once no other session with it is heard.
    fn hears(&mut self) -> bool {
        if !self.hears {
            self.hears = self.memory.as_ref().is_some_and(|memory| memory.take_ear());
        }
        self.hears
    }

    /// Another session may be heard.
    fn fall_silent(&mut self) {
        if std::mem::take(&mut self.hears)
            && let Some(memory) = &self.memory
        {
            memory.give_ear();
        }
    }

    /// Tells the owner of a session that is held that its peer means it, once there is something behind the hello.
    fn prove(&mut self, rest: &[u8]) {
        if self.held && !self.proved && !rest.is_empty() {
            self.proved = true;
            self.events.push_back(Event::Proved);
        }
    }

    /// Whether the peer is our own process before a reload: it teaches and goes away.
    fn is_local(&self) -> bool {
        self.memory.as_ref().is_some_and(|memory| memory.name() == self.roster.local_peer())
    }

    /// Reads a row of updates, or else one message. Returns how many bytes there were, 0 when the message is not whole.
    fn read_messages(&mut self, now: Tick, bytes: &[u8]) -> Result<usize, SessionError> {
        let (roster, counters) = (&*self.roster, &mut self.counters);
        let (events, present) = (&mut self.events, self.present.as_ref());
        let mut desk = Desk { now, roster, present, counters, events };
        let (count, used, read) = self.learn.updates(self.decoder, bytes, &mut desk);
        self.counters.messages_received += count;
        if used > 0
            && let Some(lesson) = &mut self.teach.lesson
        {
            lesson.learned = true;
        }
        match read {
            Ok(()) if used > 0 => Ok(used),
            Ok(()) => self.read_message(now, bytes),
            Err(error) => Err(self.malformed(error, used)),
        }
    }

    /// Reads one message. Returns how many bytes it had, 0 when it is not whole.
    fn read_message(&mut self, now: Tick, bytes: &[u8]) -> Result<usize, SessionError> {
        let read = match self.decoder.decode(bytes) {
            Ok(None) => return Ok(0),
            Ok(Some((message, size))) => self.message(now, message).map(|()| size),
            Err(error) => Err(error),
        };
        read.map_err(|error| self.malformed(error, 0))
    }

    /// Ends the session because of a message that begins so many bytes further on.
    fn malformed(&mut self, error: DecodeError, further: usize) -> SessionError {
        error.answer().encode(&mut self.ready);
        let offset = self.offset + (further + error.offset()) as u64;
        self.fail(SessionErrorKind::Message(error), offset)
    }

    fn message(&mut self, now: Tick, message: Message<'_>) -> Result<(), DecodeError> {
        self.counters.messages_received += 1;
        let (roster, counters) = (&*self.roster, &mut self.counters);
        let (events, present) = (&mut self.events, self.present.as_ref());
        let mut desk = Desk { now, roster, present, counters, events };
        match message {
            Message::Control(control) => self.control(now, control),
            Message::Error(error) => {
                self.counters.errors_received += 1;
                self.events.push_back(Event::PeerError(error));
            }
            Message::Definition(definition) => self.learn.define(&definition, &mut desk)?,
            Message::Switch { table_id } => self.learn.switch(table_id),
            Message::Update(update) => {
                let is_ours = self.learn.update(&update, &mut desk)?;
                if let Some(lesson) = &mut self.teach.lesson {
                    lesson.learned |= is_ours;
                }
            }
            Message::Ack(ack) => {
                if let Some(memory) = &self.memory {
                    self.teach.ack(ack, memory, &mut self.counters)?;
                }
            }
            Message::Unknown { class, ty, body } => self.foreign(class, ty, body)?,
        }
        Ok(())
    }

    fn control(&mut self, now: Tick, control: Control) {
        match control {
            Control::ResyncRequest => {
                self.teach.begin_lesson(&self.roster);
                self.events.push_back(Event::LessonRequested);
            }
            Control::ResyncFinished | Control::ResyncPartial => {
                self.confirms += 1;
                self.counters.lessons_learned += 1;
                let asked = std::mem::take(&mut self.waiting);
                self.request = false;
                let finished = control == Control::ResyncFinished;
                if let Some(present) = self.present.as_mut().filter(|_| asked) {
                    present.told(finished, now);
                }
                self.events.push_back(Event::LessonEnded { finished, asked });
            }
            Control::ResyncConfirm => {
                if let Some(memory) = &self.memory
                    && self.teach.confirm(memory, &mut self.counters)
                {
                    self.events.push_back(Event::LessonTaught);
                }
            }
            Control::Heartbeat => self.counters.heartbeats_received += 1,
        }
    }

    /// Writes one turn. Returns whether something is under way though nothing was written.
    fn turn(&mut self, now: Tick, out: &mut Vec<u8>) -> bool {
        if out.len() >= OUT_MAX {
            return false;
        }
        let before = out.len();
        if std::mem::take(&mut self.request) {
            if let Some(present) = &mut self.present {
                present.asked();
            }
            Control::ResyncRequest.encode(out);
        }
        self.learn.acks(&mut self.counters, out);
        let is_local = self.is_local();
        let mut pen = Pen { now, roster: &self.roster, counters: &mut self.counters, out };
        if self.teach.lesson.is_some() {
            let is_timed = self.version.is_some_and(Version::is_timed);
            self.teach.teach(is_timed, &mut pen);
        } else if !self.waiting && !is_local && !self.held {
            self.teach.push(&mut pen);
            if let Some(memory) = &self.memory {
                self.teach.settle(memory);
            }
        }
        while self.confirms > 0 && out.len() < OUT_MAX {
            self.confirms -= 1;
            Control::ResyncConfirm.encode(out);
        }
        let worked = out.len() < OUT_MAX && self.compare.turn(now, &self.roster, out);
        if self.timers.heartbeat_waits() && out.len() == before {
            Control::Heartbeat.encode(out);
            self.counters.heartbeats_sent += 1;
        }
        worked
    }

    fn fail(&mut self, kind: SessionErrorKind, offset: u64) -> SessionError {
        let selected = self.learn.selected().and_then(|at| self.roster.tables().get(at));
        let table = selected.map(|table| table.local_name().to_owned());
        let error = SessionError { peer: self.peer.clone(), table, offset, kind };
        self.counters.errors_found += 1;
        self.close(Reason::Error(error.clone()));
        error
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.fall_silent();
    }
}
