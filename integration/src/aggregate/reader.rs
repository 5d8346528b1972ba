//! One source as an aggregate reads it.

use std::ops::ControlFlow;
use std::sync::Arc;

use stktable::table::{Removed, Walk};
use stktable::{DataType, Key, StickTable, Tick};

use crate::peers::session::Source;
use crate::shared::SharedTable;

/// One source, how far it has been read, and whether it counts.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) source: Arc<Source>,
    /// The last change of its table that is in the sums.
    cursor: u64,
    /// How far this pass reads.
    upto: Option<u64>,
    /// What it says is part of the sums.
    pub(super) counts: bool,
    /// Since when it has no session.
    pub(super) lost_at: Option<Tick>,
    /// It has told everything since its session came up: seen when this pass began, before how far it reads was.
    pub(super) has_told: bool,
    /// What is being removed from its table.
    gone: Option<Gone>,
    /// It is a source no more.
    pub(super) removed: bool,
}

#[derive(Debug)]
struct Gone {
    /// What was not told again since this update.
    upto: u64,
    walk: Walk,
    /// Something of it was in use, and is still there.
    rest: bool,
}

impl Reader {
    pub(super) const fn new(source: Arc<Source>) -> Self {
        Self {
            source,
            cursor: 0,
            upto: None,
            counts: false,
            lost_at: None,
            has_told: false,
            gone: None,
            removed: false,
        }
    }

    pub(super) fn table(&self) -> &StickTable {
        self.source.table()
    }

    /// Whether it has told everything, and that is the whole of what it speaks of: where it makes sums itself, its lease says so.
    pub(super) fn is_in(&self, key: Option<&Key>, now: Tick) -> bool {
        let is_whole = |lease: &SharedTable| {
            key.and_then(|key| lease.get(key, now)?.read(DataType::Gpt0, 0, now)) == Some(1)
        };
        !self.removed
            && self.source.has_told()
            && self.source.lease().is_none_or(|lease| is_whole(lease))
    }

    /// Looks at how the source is, and how far it can be read.
    pub(super) fn begin(&mut self, timeout_ms: u32, key: Option<&Key>, now: Tick) {
        self.has_told = self.is_in(key, now);
        // After that look: what it told until then is below.
        self.upto = self.table().begin_updates(self.cursor);
        let mut upto = self.source.take_gone();
        let (mut is_up, mut mark) = (self.source.is_up(), 0);
        if !is_up {
            // Before another look: what a session tells that comes up later has a later sequence.
            mark = self.table().mark_updates();
            is_up = self.source.is_up();
        }
        if is_up && !self.removed {
            self.lost_at = None;
            self.counts = true;
        } else {
            let lost_at = *self.lost_at.get_or_insert(now);
            let is_over = self.removed || now.since(lost_at) >= timeout_ms.into();
            if self.counts && is_over {
                self.counts = false;
                // A removed source never comes back, and its sessions may go on.
                upto = upto.max(if self.removed { u64::MAX } else { mark });
            }
        }
        if upto > 0 {
            // What was to be removed before is not later.
            let upto = self.gone.as_ref().map_or(upto, |gone| gone.upto.max(upto));
            self.gone = Some(Gone { upto, walk: Walk::new(), rest: false });
        }
    }

    /// When the source stops to count, unless it comes back.
    pub(super) fn over_at(&self, timeout_ms: u32) -> Option<Tick> {
        self.lost_at.filter(|_| self.counts).map(|lost_at| lost_at + timeout_ms)
    }

    /// Collects keys that changed, up to `room` of them. Returns whether there are more.
    pub(super) fn changed(&mut self, room: usize, keys: &mut Vec<Key>) -> bool {
        let Some(upto) = self.upto else { return false };
        for _ in 0..room {
            let Some(taught) = self.source.table().next_update(self.cursor, upto) else {
                self.cursor = upto;
                self.upto = None;
                return false;
            };
            self.cursor = taught.seq;
            keys.push(taught.entry.key());
        }
        true
    }

    /// Removes what the source has no more, of `room` entries that are looked at, and collects the keys. Returns whether there may be
    /// more.
    pub(super) fn remove_gone(&mut self, room: usize, now: Tick, keys: &mut Vec<Key>) -> bool {
        let Some(gone) = &mut self.gone else { return false };
        let (table, upto) = (self.source.table(), gone.upto);
        let (first, mut left) = (keys.len(), room);
        let more = gone.walk.visit(table, now, |entry| {
            if entry.update_seq() <= upto {
                keys.push(entry.key());
            }
            left = left.saturating_sub(1);
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        for key in keys.iter().skip(first) {
            // Unless it was told again meanwhile.
            let removed = table.remove_if(key, now, |entry| entry.update_seq() <= upto);
            gone.rest |= removed == Removed::Busy;
        }
        match (more, gone.rest) {
            (true, _) => {}
            // In the next pass once more.
            (false, true) => *gone = Gone { upto, walk: Walk::new(), rest: false },
            (false, false) => self.gone = None,
        }
        more
    }

    /// Whether what it has no more is still to be removed.
    pub(super) const fn has_gone(&self) -> bool {
        self.gone.is_some()
    }

    /// How many changes are not in the sums yet, about.
    pub(super) fn behind(&self) -> u64 {
        self.table().last_update().saturating_sub(self.cursor)
    }

    /// Lets the table forget the order of what was read. Returns whether there is more.
    pub(super) fn trim(&self, budget: u32) -> bool {
        self.table().trim_updates(self.cursor, budget)
    }

    /// Asks for a signal when there is something new. Look again after it.
    pub(super) fn arm(&self) -> bool {
        self.table().arm_updates();
        self.table().begin_updates(self.cursor).is_some()
    }
}
