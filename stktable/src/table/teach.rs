//! Teaching: how a session reads what its peer has to be told.

use core::sync::atomic::Ordering;

use super::{EntryRef, StickTable};
use crate::index::updates::UpdateIndex;
use crate::sync::{Mutant, fence, mutant};

/// An entry to be told to a peer, with the sequence of its latest change.
#[derive(Debug)]
pub struct Taught<'t> {
    /// The sequence. Its low 32 bits travel.
    pub seq: u64,
    /// The entry, held.
    pub entry: EntryRef<'t>,
}

impl StickTable {
    /// Returns how far a session whose cursor stands at `cursor` can read now, `None` if there is nothing beyond it.
    ///
    /// Values read after this call are at least as new as the updates up to the returned sequence: then call
    /// [`next_update`](Self::next_update) until there is no more, and set the cursor to what this returned.
    #[must_use]
    pub fn begin_updates(&self, cursor: u64) -> Option<u64> {
        let upto = self.updates.last();
        if upto <= cursor {
            return None;
        }
        self.updates.begin(upto);
        Some(upto)
    }

    /// Returns the first entry whose latest change has a sequence above `cursor` and up to `upto`, which
    /// [`begin_updates`](Self::begin_updates) returned. Entries that died or changed again are passed over; those that changed
    /// again stand beyond `upto`.
    #[must_use]
    pub fn next_update(&self, cursor: u64, upto: u64) -> Option<Taught<'_>> {
        let mut after = cursor;
        loop {
            let (seq, entry) = self.updates.next(&self.keys, after, upto)?;
            if entry.life.take_reference() {
                let held = EntryRef::new(self, entry.as_ptr());
                if UpdateIndex::seq(&entry) == seq {
                    return Some(Taught { seq, entry: held });
                }
                self.updates.help(&entry);
            }
            after = seq;
        }
    }

    /// Returns the sequence of the last update, for a session that tells its peer the whole table: walk it after
    /// [`begin_updates`](Self::begin_updates)`(0)`, then go on with updates from the sequence that returned. 0 if there is none.
    #[must_use]
    pub fn last_update(&self) -> u64 {
        self.updates.last()
    }

    /// Returns a sequence that tells what changed before this call from what changes after it: who changes an entry from now on gives it
    /// an [`update_seq`](EntryRef::update_seq) above it, also where nobody has read the last change yet.
    #[must_use]
    pub fn mark_updates(&self) -> u64 {
        self.updates.mark()
    }

    /// Takes what every session has behind it out of the update order, where it has kept its place until now: entries whose latest change
    /// has a sequence of at most `upto`. Does so for at most `budget` entries; returns whether there are more.
    ///
    /// `upto` is the lowest cursor of all sessions, of those among them that are to be resumed: of what their peers acknowledged.
    /// Whoever begins below it later has to be told the whole table.
    ///
    /// Lock-free; expected `O(log n)` for each entry. Gives back some 32 bytes of each.
    pub fn trim_updates(&self, upto: u64, budget: u32) -> bool {
        (0..budget).all(|_| self.updates.trim_first(upto))
    }

    /// Notes that a session sleeps until there are updates: [`Wake::updates`](super::Wake::updates) is called once there
    /// are. Look again with [`begin_updates`](Self::begin_updates) after this call, before sleeping.
    pub fn arm_updates(&self) {
        self.updates_armed.store(true, Ordering::Relaxed);
        // Pairs with the fence in `queue`: either the session's next look finds the leaf, or the toucher
        // finds it sleeping.
        if !mutant(Mutant::NoSleepFence) {
            fence(Ordering::SeqCst);
        }
    }
}
