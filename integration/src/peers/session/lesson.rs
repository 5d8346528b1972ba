//! A lesson: the peer asked for everything, and is told everything (peers protocol, sections 12.3 and 12.4).
//!
//! Table by table: how far the order of changes goes is noted, then the whole index of keys is walked, entries that
//! were learned like those that were changed here. An entry that changes meanwhile is in the walk or beyond what
//! was noted, so once the peer confirms, the session goes on from there.
//!
//! ```text
//! request --> walk table 1 .. walk table n --> finished or partial --> (acks are ignored) --> confirm --> live
//!    ^----------------- a new request begins anew -----------------'
//! ```
//!
//! If the peer taught us at the same time, an entry that we told it may have been overwritten here by an older
//! value before the peer had ours: then both ends hold the value of the other. So after such a lesson the
//! session goes back to what was acknowledged before it, as HAProxy always does.

use core::ops::ControlFlow;

use stktable::table::Walk;

use super::roster::{PeerMemory, Roster};
use super::status::Counters;
use super::teach::{Pen, Teach, is_dying};
use crate::peers::codec::Control;
use crate::shared::Part;

/// A lesson that the peer asked for.
#[derive(Debug)]
pub(super) struct Lesson {
    /// The walk over the table at this position, once it has begun.
    walk: Option<Walk>,
    at: usize,
    /// By table whose walk has begun: how far the order went then.
    upto: Vec<u64>,
    /// Its end was written.
    ended: bool,
    /// The peer told us something meanwhile.
    pub(super) learned: bool,
}

impl Lesson {
    /// Begins a lesson; `learned` if one that it replaces had learned.
    pub(super) fn new(tables: usize, learned: bool) -> Self {
        Self { walk: None, at: 0, upto: Vec::with_capacity(tables), ended: false, learned }
    }
}

impl Teach {
    /// Begins a lesson, or begins it anew.
    pub(super) fn begin_lesson(&mut self, roster: &Roster) {
        let learned = self.lesson.as_ref().is_some_and(|lesson| lesson.learned);
        self.lesson = Some(Lesson::new(roster.tables().len(), learned));
        self.forget_definition();
    }

    /// Writes as much of the lesson as there is room for.
    pub(super) fn teach(&mut self, is_timed: bool, pen: &mut Pen<'_>) {
        // Taken out so that the cursors can be read beside it.
        let Some(mut lesson) = self.lesson.take() else { return };
        self.step(&mut lesson, is_timed, pen);
        self.lesson = Some(lesson);
    }

    fn step(&mut self, lesson: &mut Lesson, is_timed: bool, pen: &mut Pen<'_>) {
        while !lesson.ended && pen.has_room() {
            let Some(ours) = pen.roster.tables().get(lesson.at) else {
                let is_up_to_date = pen.roster.is_up_to_date();
                let end = [Control::ResyncPartial, Control::ResyncFinished];
                end[usize::from(is_up_to_date)].encode(pen.out);
                lesson.ended = true;
                return;
            };
            let table = ours.table();
            let (cursor, _) = self.table(lesson.at);
            if matches!(ours.shared().part(), Part::ToldLast) {
                // It speaks of how the other tables are, and they are told as they were.
                lesson.upto.push(cursor);
                lesson.at += 1;
                continue;
            }
            let walk = lesson.walk.get_or_insert_with(|| {
                lesson.upto.push(table.begin_updates(0).unwrap_or(0).max(cursor));
                Walk::new()
            });
            // Tables that are empty are announced too.
            self.define(lesson.at, ours, pen);
            // Nobody heeds what is acknowledged before the end of the lesson. But what is acknowledged once is not acknowledged
            // again: an id of what is live would leave it unacknowledged if it has to be pushed once more.
            let id = 0;
            if !pen.has_room() {
                return;
            }
            let rests = walk.visit(table, pen.now, |entry| {
                if !is_dying(table, entry, pen.now) {
                    let expire_ms = is_timed.then(|| entry.expires_in(pen.now));
                    self.write(lesson.at, ours, entry, id, expire_ms, pen);
                }
                if pen.has_room() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            if rests {
                return;
            }
            lesson.walk = None;
            lesson.at += 1;
        }
    }

    /// The peer has seen the end of a lesson. Returns whether there was one that had ended.
    pub(super) fn confirm(&mut self, memory: &PeerMemory, counters: &mut Counters) -> bool {
        let Some(lesson) = self.lesson.take_if(|lesson| lesson.ended) else { return false };
        for (at, upto) in lesson.upto.iter().enumerate() {
            self.after_lesson(at, (!lesson.learned).then_some(*upto), memory);
        }
        counters.lessons_taught += 1;
        true
    }
}
