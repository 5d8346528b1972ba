//! The one way in which entries die.

use core::sync::atomic::Ordering;

use ebtree::intrusive::Ref;

use super::{Glance, StickTable};
use crate::entry::Entry;
use crate::key::Key;
use crate::life::{QUEUED, Word};
use crate::sync::{Mutant, mutant};
use crate::tick::Tick;

/// Who has the entry's place in the expiry index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hands {
    /// The killer: it clears FILED itself.
    Own,
    /// A stack, or another sweep: it will find the entry dead.
    Elsewhere,
}

/// What became of an entry that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is gone.
    Removed,
    /// It is in use, and stays.
    Busy,
    /// There was none.
    Missing,
}

/// Dead entries in stacks beyond which killers sweep: this, or an eighth of those alive.
const DEAD_MIN: u32 = if cfg!(loom) { 1 } else { 1024 };
/// Entries that a killer beyond that mark looks at.
const SWEPT_PER_KILL: u32 = 16;

impl StickTable {
    /// Kills an entry that is as it was seen: alive, without users, untouched since. The caller protects it, and has
    /// looked at its reason to kill after it read `seen`. Returns whether this call killed it.
    ///
    /// Between the mark and the unlinking, readers find the entry dead, which is absent. A killer that is stopped there
    /// holds nobody up: whoever creates the key again replaces the dead entry.
    pub(super) fn kill(&self, entry: &Ref<'_, Entry>, seen: Word, hands: Hands) -> bool {
        let Some(dead) = entry.life.kill(seen) else { return false };
        self.used.fetch_sub(1, Ordering::Relaxed);
        if hands == Hands::Elsewhere {
            self.expiry.dead.fetch_add(1, Ordering::Relaxed);
        }
        if dead.has(QUEUED) {
            if !mutant(Mutant::NoForget) {
                self.updates.forget(entry);
            }
            if entry.life.clear(QUEUED) {
                self.retire(entry.as_ptr());
            }
        }
        // The hook of the tree clears KEYED, here or wherever the entry is replaced.
        self.keys.remove(entry);
        if let Some(ordered) = &self.ordered {
            ordered.remove(entry);
        }
        if let Some(names) = &self.names {
            names.forget(entry);
        }
        if hands == Hands::Elsewhere && self.has_too_many_dead() {
            self.sweep_dead(SWEPT_PER_KILL);
        }
        true
    }

    fn has_too_many_dead(&self) -> bool {
        let mark = DEAD_MIN.max(self.used() / 8);
        self.expiry.dead.load(Ordering::Relaxed) > i64::from(mark)
    }

    /// Removes the entry of a key, unless it is in use. Peers are not told.
    pub fn remove(&self, key: &Key, now: Tick) -> Removed {
        self.remove_if(key, now, |_| true)
    }

    /// Removes the entry of a key if `is_it` says so and it is not in use. Peers are not told.
    ///
    /// An entry that is changed after `is_it` looked at it is looked at again.
    pub fn remove_if(
        &self,
        key: &Key,
        now: Tick,
        mut is_it: impl FnMut(&super::EntryRef<'_>) -> bool,
    ) -> Removed {
        self.observe(now);
        let Some(bytes) = self.canonical(key) else { return Removed::Missing };
        let Some(entry) = self.keys.get(self.keys.probe(bytes)) else { return Removed::Missing };
        self.kill_if(&entry, now, &mut is_it)
    }

    /// Kills a protected entry that is not in use if `is_it` says so.
    pub(super) fn kill_if(
        &self,
        entry: &Ref<'_, Entry>,
        now: Tick,
        is_it: &mut dyn FnMut(&super::EntryRef<'_>) -> bool,
    ) -> Removed {
        loop {
            let Some(held) = self.enter(entry, now) else { return Removed::Missing };
            // Read while we hold it: a later reference changes the word. Our own is taken off below.
            let seen = entry.life.load();
            if !is_it(&held) {
                return Removed::Missing;
            }
            if seen.references() > 1 {
                return Removed::Busy;
            }
            drop(held);
            if self.kill(entry, seen.without_reference(), Hands::Elsewhere) {
                self.statistics.removed.fetch_add(1, Ordering::Relaxed);
                return Removed::Removed;
            }
            crate::sync::relax();
        }
    }

    /// Removes every entry that is not in use. Returns how many were removed, and how many were in use. Peers
    /// are not told.
    pub fn clear(&self, now: Tick) -> (u32, u32) {
        self.clear_if(now, |_| true)
    }

    /// Removes every entry that `is_it` says and that is not in use, as [`clear`](Self::clear) does.
    pub fn clear_if(
        &self,
        now: Tick,
        mut is_it: impl FnMut(&super::EntryRef<'_>) -> bool,
    ) -> (u32, u32) {
        let (mut removed, mut busy) = (0, 0);
        self.for_each(now, |entry| {
            let Some(held) = entry.hold(self) else { return };
            if !is_it(&held) {
                return;
            }
            drop(held);
            // Looked at again, and taken only as it was seen.
            match self.remove_seen(entry, now, &mut is_it) {
                Removed::Removed => removed += 1,
                Removed::Busy => busy += 1,
                Removed::Missing => {}
            }
        });
        (removed, busy)
    }

    /// Removes an entry that is being looked at, as [`remove_if`](Self::remove_if) does. If another has its key by now, that one.
    pub(super) fn remove_seen(
        &self,
        entry: Glance<'_>,
        now: Tick,
        mut is_it: impl FnMut(&super::EntryRef<'_>) -> bool,
    ) -> Removed {
        let Some(entry) = self.keys.get(entry.probe()) else { return Removed::Missing };
        self.kill_if(&entry, now, &mut is_it)
    }
}
