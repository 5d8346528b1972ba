//! The one way in which entries die.

use core::ops::ControlFlow;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::metrics::Statistics;
use super::{Glance, StickTable, Walk};
use crate::entry::{Entry, Probe};
use crate::key::Key;
use crate::life::{FILED, QUEUED, Word};
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

/// Entries that one sweep after many looks at.
const SWEPT_AT_ONCE: u32 = 1024;
/// Bytes of a key of which a copy is made on the way.
const KEY_COPIED: usize = 64;

impl StickTable {
    /// Kills an entry that is as it was seen: alive, without users, untouched since. The caller has
    /// looked at its reason to kill after it read `seen`. Returns whether this call killed it.
    ///
    /// Between the mark and the unlinking, readers find the entry dead, which is absent. A killer that is stopped there
    /// holds nobody up: whoever creates the key again replaces the dead entry.
    ///
    /// # Safety
    /// 1. `pointer` is an entry of this table. The caller has it in hand, and hands it over if it is killed ([`Hands::Own`]), or
    ///    protects it until this returns.
    pub(super) unsafe fn kill(&self, pointer: NonNull<Entry>, seen: Word, hands: Hands) -> bool {
        // SAFETY: 1 of the contract; below, an entry in hand is used only until FILED is cleared.
        let entry = unsafe { pointer.as_ref() };
        let Some(dead) = entry.life.kill(seen) else { return false };
        self.used.fetch_sub(1, Ordering::Relaxed);
        if dead.has(QUEUED) {
            if !mutant(Mutant::NoForget) {
                self.updates.forget(entry);
            }
            if entry.life.clear(QUEUED) {
                self.retire(pointer);
            }
        }
        if let Some(ordered) = &self.ordered {
            ordered.remove(entry);
        }
        if let Some(names) = &self.names {
            names.forget(entry);
        }
        match hands {
            Hands::Own => self.unlink_in_hand(pointer),
            Hands::Elsewhere => {
                self.expiry.dead.fetch_add(1, Ordering::Relaxed);
                // The hook of the tree clears KEYED, here or wherever the entry is replaced.
                self.keys.remove(entry);
            }
        }
        true
    }

    /// Takes a dead entry in hand off the stacks, and out of the key index.
    fn unlink_in_hand(&self, pointer: NonNull<Entry>) {
        // SAFETY: in hand, so not retired before FILED is cleared.
        let entry = unsafe { pointer.as_ref() };
        let found = entry.probe();
        let mut copy = [0; KEY_COPIED];
        match copy.get_mut(..found.bytes.len()) {
            // By a copy of the key, the entry may go as soon as it is off the stacks: then the unlinking retires it.
            Some(bytes) => {
                bytes.copy_from_slice(found.bytes);
                let probe = Probe { hash: found.hash, bytes };
                self.clear_filed(pointer);
                self.keys.remove_dead(probe);
            }
            None => {
                self.keys.remove(entry);
                self.clear_filed(pointer);
            }
        }
    }

    /// Takes an entry in hand, which is dead, off the stacks. It may be freed then.
    pub(super) fn clear_filed(&self, pointer: NonNull<Entry>) {
        // SAFETY: in hand, so not retired before this.
        if unsafe { pointer.as_ref() }.life.clear(FILED) {
            self.retire(pointer);
        }
    }

    /// Sweeps some entries if too many dead ones wait in the stacks. Whoever kills entries elsewhere calls this.
    pub(super) fn sweep_after_kill(&self) {
        if self.has_too_many_dead() {
            self.sweep_dead(SWEPT_PER_KILL);
        }
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
        is_it: impl FnMut(Glance<'_>) -> bool,
    ) -> Removed {
        self.observe(now);
        let Some(bytes) = self.canonical(key) else { return Removed::Missing };
        let removed = self.keys.get_ptr_with(self.keys.probe(bytes), |pointer| {
            // SAFETY: protected during the call.
            let entry = unsafe { pointer.as_ref() };
            self.remove_seen(Glance::new(self, entry), now, is_it)
        });
        if removed == Some(Removed::Removed) {
            self.sweep_after_kill();
        }
        removed.unwrap_or(Removed::Missing)
    }

    /// Removes every entry that is not in use. Returns how many were removed, and how many were in use. Peers
    /// are not told.
    ///
    /// All at once: [`Walk::remove`](super::Walk::remove) does it in slices.
    pub fn clear(&self, now: Tick) -> (u32, u32) {
        self.clear_if(now, |_| true)
    }

    /// Removes every entry that `is_it` says and that is not in use, as [`clear`](Self::clear) does.
    pub fn clear_if(&self, now: Tick, mut is_it: impl FnMut(Glance<'_>) -> bool) -> (u32, u32) {
        let (mut removed, mut busy) = (0, 0);
        // Those that are over are taken on the way.
        Walk::new().visit_all(self, now, |entry| {
            match self.remove_seen(entry, now, &mut is_it) {
                Removed::Removed => removed += 1,
                Removed::Busy => busy += 1,
                Removed::Missing => {}
            }
            ControlFlow::Continue(())
        });
        self.sweep_after_many();
        (removed, busy)
    }

    /// Kills an entry that is being looked at, if `is_it` says so and nobody uses it. If it is over, it was missing. Dead entries are not
    /// swept: the caller sees to that when it has done.
    pub(super) fn remove_seen(
        &self,
        entry: Glance<'_>,
        now: Tick,
        mut is_it: impl FnMut(Glance<'_>) -> bool,
    ) -> Removed {
        loop {
            // Acquire, before anything is read of the entry: whoever changes it takes a reference, which changes the word.
            let seen = entry.entry().life.load();
            if seen.is_dead() {
                return Removed::Missing;
            }
            let is_unused = seen.references() == 0;
            let is_over = is_unused && self.is_over(entry.entry(), now);
            if !is_over && !is_it(entry) {
                return Removed::Missing;
            }
            if !is_unused {
                return Removed::Busy;
            }
            // SAFETY: who looks at it protects it.
            if unsafe { self.kill(entry.entry().into(), seen, Hands::Elsewhere) } {
                let Statistics { expired, removed, .. } = &self.statistics;
                let (counter, what) =
                    if is_over { (expired, Removed::Missing) } else { (removed, Removed::Removed) };
                counter.fetch_add(1, Ordering::Relaxed);
                return what;
            }
            crate::sync::relax();
        }
    }

    /// Sweeps dead entries until they are few, or all stacks were looked at.
    pub(super) fn sweep_after_many(&self) {
        let mut sweep = Sweep::new(self);
        while sweep.next(self, SWEPT_AT_ONCE) {}
    }
}

/// What is left to sweep after many entries died elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Sweep {
    /// Entries to look at, at most: those that stood in the stacks when it began.
    left: u32,
}

impl Sweep {
    pub(super) fn new(table: &StickTable) -> Self {
        let dead = u32::try_from(table.expiry.dead.load(Ordering::Relaxed)).unwrap_or(0);
        Self { left: dead.saturating_add(table.used()) }
    }

    /// Looks at the next entries in the stacks. Returns whether there is more to do.
    pub(super) fn next(&mut self, table: &StickTable, budget: u32) -> bool {
        if self.left == 0 || !table.has_too_many_dead() {
            return false;
        }
        let budget = budget.min(self.left);
        self.left -= budget;
        table.sweep_dead(budget);
        self.left > 0 && table.has_too_many_dead()
    }
}
