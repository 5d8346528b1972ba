//! Comparing tables with a peer that is `stktabled` too: which of us lacks how many keys.
//!
//! HAProxy knows nothing of this, and never sees it. A caller says in its hello that it understands these messages, behind what HAProxy
//! reads of that line; only who has read that sends the first, and only who has received one sends others.
//!
//! ```text
//! caller                                                      called
//! | HAProxyS 2.1 / A / B 25379 1 stktabled-compare  --------->  |
//! |  <------------------------------- 200, then 53 01 (I do too) |
//! |  <- 53 80  number, seed, most bytes, key type and size, name |  either side asks
//! | 53 81  number, first cell, cells  (many of these)  ------->  |  or 53 82 number: there is no such table
//! ```
//!
//! The one who is asked walks its table in slices, so does the one who asks; each keeps one [sketch](crate::peers::sketch) meanwhile. One table
//! is compared at a time, in each direction.

use core::ops::ControlFlow;

use stktable::Tick;
use stktable::table::Walk;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::handshake::Phase;
use super::roster::{Roster, RosterTable};
use super::teach::is_dying;
use super::{Role, Session};
use crate::peers::codec::{DecodeError, compare as wire};
use crate::peers::sketch::{CELLS, Difference, Sketch};

/// Entries that are looked at in a turn.
const TURN_ENTRIES: u32 = 512;

/// The comparisons of a session.
#[derive(Debug, Default)]
pub(super) struct Compare {
    /// The peer understands.
    pub(super) is_spoken: bool,
    /// We say that we do.
    pub(super) is_told: bool,
    asking: Option<Asking>,
    answering: Option<Answering>,
    last_number: u64,
    /// By table: what was found, and when.
    found: Vec<Option<(Difference, Tick)>>,
}

/// What we ask of the peer.
#[derive(Debug)]
struct Asking {
    at: usize,
    number: u64,
    /// It was written.
    is_written: bool,
    keys: Keys,
    /// Cells received.
    received: usize,
}

/// What the peer asks of us.
#[derive(Debug)]
struct Answering {
    at: usize,
    number: u64,
    /// The most bytes of a message.
    most: usize,
    keys: Keys,
    /// Cells sent.
    sent: usize,
}

/// The keys of a table while they are looked at.
#[derive(Debug)]
struct Keys {
    seed: u64,
    /// `None` at the end.
    walk: Option<Walk>,
    sketch: Sketch,
}

impl Keys {
    fn new(seed: u64) -> Self {
        Self { seed, walk: Some(Walk::new()), sketch: Sketch::new() }
    }

    /// Looks at some more. Returns whether there were any.
    fn step(&mut self, ours: &RosterTable, now: Tick) -> bool {
        let Self { seed, walk, sketch } = self;
        let Some(under_way) = walk else { return false };
        let mut left = TURN_ENTRIES;
        let rests = under_way.visit(ours.table(), now, |entry| {
            if !is_dying(ours.table(), entry, now) {
                sketch.add(xxh3_64_with_seed(entry.key_bytes(), *seed));
            }
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if !rests {
            *walk = None;
        }
        true
    }
}

impl Compare {
    /// Returns what was found of a table, and when.
    pub(super) fn found(&self, at: usize) -> Option<(Difference, Tick)> {
        self.found.get(at).copied().flatten()
    }

    pub(super) const fn is_under_way(&self) -> bool {
        self.asking.is_some()
    }

    /// Begins with the table at this position, or the next that is there.
    fn ask(&mut self, at: usize, roster: &Roster) {
        self.asking = roster.tables().get(at).map(|_| {
            self.last_number += 1;
            let (number, keys) = (self.last_number, Keys::new(rand::random()));
            Asking { at, number, is_written: false, keys, received: 0 }
        });
    }

    /// Takes a message. What was not asked for, or is not whole, is dropped; so is a question while another is answered.
    fn receive(&mut self, message: &wire::Message<'_>, roster: &Roster) {
        match message {
            wire::Message::Spoken => self.is_spoken = true,
            wire::Message::Ask(ask) => {
                if self.answering.is_none() {
                    let same = |table: &RosterTable| {
                        let key = table.announced().key();
                        (u64::from(key.ty().number()), key.size() as u64) == ask.key
                    };
                    let at = roster.find(ask.name);
                    let at = at.filter(|at| roster.tables().get(*at).is_some_and(same));
                    self.answering = Some(Answering {
                        at: at.unwrap_or(usize::MAX),
                        number: ask.number,
                        most: usize::try_from(ask.most).unwrap_or(usize::MAX),
                        keys: Keys::new(ask.seed),
                        sent: 0,
                    });
                }
            }
            wire::Message::Part(part) => {
                if let Some(asking) = &mut self.asking
                    && (asking.number, asking.received) == (part.number, part.first)
                {
                    for cell in part.cells().take(CELLS - asking.received) {
                        asking.keys.sketch.subtract(asking.received, cell);
                        asking.received += 1;
                    }
                }
            }
            wire::Message::Refused { number } => {
                if self.asking.as_ref().is_some_and(|asking| asking.number == *number) {
                    self.conclude(None, roster);
                }
            }
        }
    }

    /// Notes what was found, and goes on with the next table.
    fn conclude(&mut self, found: Option<(Difference, Tick)>, roster: &Roster) {
        let Some(asking) = self.asking.take() else { return };
        if self.found.len() <= asking.at {
            self.found.resize(asking.at + 1, None);
        }
        if let Some(slot) = self.found.get_mut(asking.at) {
            *slot = found;
        }
        self.ask(asking.at + 1, roster);
    }

    /// Does some of what there is to do. Returns whether there was anything.
    pub(super) fn turn(&mut self, now: Tick, roster: &Roster, out: &mut Vec<u8>) -> bool {
        if std::mem::take(&mut self.is_told) {
            wire::spoken(out);
        }
        self.turn_asking(now, roster, out) | self.turn_answering(now, roster, out)
    }

    fn turn_asking(&mut self, now: Tick, roster: &Roster, out: &mut Vec<u8>) -> bool {
        let Some(asking) = &mut self.asking else { return false };
        let Some(ours) = roster.tables().get(asking.at) else { return false };
        if !asking.is_written {
            asking.is_written = true;
            let key = ours.announced().key();
            let ask = wire::Ask {
                number: asking.number,
                seed: asking.keys.seed,
                most: u64::from(roster.limits().message_bytes),
                key: (u64::from(key.ty().number()), key.size() as u64),
                name: ours.wire_name(),
            };
            if ask.encode(out).is_err() {
                self.conclude(None, roster);
            }
            return true;
        }
        if asking.keys.step(ours, now) {
            return true;
        }
        if asking.received < CELLS {
            return false;
        }
        let found = asking.keys.sketch.difference().map(|difference| (difference, now));
        self.conclude(found, roster);
        true
    }

    fn turn_answering(&mut self, now: Tick, roster: &Roster, out: &mut Vec<u8>) -> bool {
        let Some(answering) = &mut self.answering else { return false };
        let Some(ours) = roster.tables().get(answering.at) else {
            wire::refuse(answering.number, out);
            self.answering = None;
            return true;
        };
        if answering.keys.step(ours, now) {
            return true;
        }
        let rest = answering.keys.sketch.cells().get(answering.sent..).unwrap_or_default();
        let sent = wire::part(answering.number, answering.sent, rest, answering.most, out);
        answering.sent += sent;
        // None fits in what the peer takes.
        if sent == 0 || sent == rest.len() {
            self.answering = None;
        }
        true
    }
}

impl Session {
    /// Compares all tables with the peer, one after the other, if it is one of us and no comparison is under way. What is found
    /// is in the [status](Self::status).
    pub fn compare(&mut self) {
        if matches!(self.phase, Phase::Up) && self.compare.is_spoken && !self.compare.is_under_way()
        {
            self.compare.ask(0, &self.roster);
        }
    }

    /// Takes a message that HAProxy would not know.
    pub(super) fn foreign(&mut self, class: u8, ty: u8, body: &[u8]) -> Result<(), DecodeError> {
        // From nobody else: what others mean by it is not known.
        if (self.compare.is_spoken || self.role == Role::Caller)
            && let Some(message) = wire::Message::decode(class, ty, body)?
        {
            self.compare.receive(&message, &self.roster);
        }
        Ok(())
    }
}
