//! The life of an entry: one word that decides who may use it and who frees it.
//!
//! ```text
//! 63          32 31           5     4       3      2       1       0
//! +-------------+--------------+---------+------+-------+--------+-------+
//! | generation  | references   | OVERDUE | DEAD | KEYED | QUEUED | FILED |
//! +-------------+--------------+---------+------+-------+--------+-------+
//! ```
//!
//! A user enters by a CAS that fails on DEAD. Expiry, purge, clear and kill all go through [`Life::kill`], whose only
//! way in is the CAS `(0 references, alive) → DEAD`. So an entry cannot die under a user, and a
//! user cannot enter a dead entry: the fault of HAProxy 3.0-dev7, where a peer raised the count of
//! an entry while the expiry task freed it, has no way to be written.
//!
//! The *generation* is bumped by every reference taken. A killer compares the whole word that it read
//! before it looked at the reason to kill; so an entry that was touched in between survives, though its count is
//! zero again.
//!
//! KEYED, QUEUED and FILED say in which indexes the entry stands: by key, in the update order, in the expiry stacks.
//! Whoever takes the entry out of an index clears its bit; whoever clears the last one after DEAD retires the entry.
//!
//! OVERDUE says that a sweep found the entry over, and held: whoever drops the last reference must look whether to kill
//! it. It is set by a CAS on the word that showed the reference, and the last reference is dropped by a CAS too, so one of
//! the two sees the other, whatever their clocks say.
//!
//! # Invariants
//! L1  References 0 and alive implies KEYED and FILED.
//! L2  DEAD is set once, with references 0, and never cleared; no reference is taken after it.
//! L3  Exactly one clearing leaves DEAD with no index bit: its caller, and nobody else, retires the entry.
//!
//! # Synchronization
//! S1  reference dropped, Release  ->  kill, AcqRel           (the last use, before the death)
//! S2  kill, AcqRel                ->  reference taken, Acquire (who fails sees why)
//! S3  bit cleared, AcqRel         ->  the last bit cleared, AcqRel (every unlinking, before the retirement)

use core::fmt;
use core::sync::atomic::Ordering;

use crate::sync::{AtomicU64, Mutant, mutant, relax};

/// Stands in an expiry stack, or in the hands of a sweep.
pub(crate) const FILED: u64 = 1;
/// Stands in the update order.
pub(crate) const QUEUED: u64 = 1 << 1;
/// Is found by its key.
pub(crate) const KEYED: u64 = 1 << 2;
/// Nobody enters any more.
const DEAD: u64 = 1 << 3;
const INDEXES: u64 = FILED | QUEUED | KEYED;

/// A sweep has passed by while the entry was over and held.
const OVERDUE: u64 = 1 << 4;

const REFERENCE: u64 = 1 << 5;
const REFERENCES: u64 = (1 << 32) - REFERENCE;
const GENERATION: u64 = 1 << 32;

/// What was read from a [`Life`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(u64);

impl Word {
    pub(crate) const fn is_dead(self) -> bool {
        self.0 & DEAD != 0
    }

    /// Returns how many users there are.
    pub(crate) const fn references(self) -> u32 {
        ((self.0 & REFERENCES) / REFERENCE) as u32
    }

    pub(crate) const fn is_overdue(self) -> bool {
        self.0 & OVERDUE != 0
    }

    pub(crate) const fn has(self, index: u64) -> bool {
        self.0 & index != 0
    }

    /// Returns whether whoever brought about this word must retire the entry (L3).
    const fn is_over(self) -> bool {
        self.is_dead() && self.0 & INDEXES == 0
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} references, generation {}", self.references(), self.0 >> 32)?;
        for (bit, name) in [(DEAD, "DEAD"), (KEYED, "KEYED"), (QUEUED, "QUEUED"), (FILED, "FILED")]
        {
            if self.has(bit) {
                write!(f, " {name}")?;
            }
        }
        Ok(())
    }
}

/// The word of one entry.
#[derive(Debug)]
pub(crate) struct Life(AtomicU64);

impl Life {
    /// A new entry, still private: held once by its creator, and bound for the key index and a stack.
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(GENERATION | REFERENCE | KEYED | FILED))
    }

    /// Reads the word. Acquire: S2, and what the reason to kill is judged by must not be read earlier.
    #[inline]
    pub(crate) fn load(&self) -> Word {
        Word(self.0.load(Ordering::Acquire))
    }

    /// Takes a reference, unless the entry is dead. The caller protects the entry's memory.
    ///
    /// Lock-free.
    #[inline]
    pub(crate) fn take_reference(&self) -> bool {
        // Relaxed: a first guess for the CAS.
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            if word & DEAD != 0 {
                return false;
            }
            assert!(word & REFERENCES != REFERENCES, "2^27 references to one entry");
            let bump = if mutant(Mutant::NoGeneration) { 0 } else { GENERATION };
            // The generation wraps out of the top.
            let taken = word.wrapping_add(REFERENCE).wrapping_add(bump);
            // Acquire: what the former users wrote. No Release: nothing of ours is published.
            match self.0.compare_exchange_weak(word, taken, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
            relax();
        }
    }

    /// Gives a reference back, unless the entry is OVERDUE and needs to be looked at: then it returns false, and nothing
    /// is done. After this the entry may be freed at once, unless the caller protects it.
    #[inline]
    pub(crate) fn try_drop_reference(&self) -> bool {
        // Acquire on every read of the word here: who finds it OVERDUE sees the time that the sweep noted.
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            if word & OVERDUE != 0 && !mutant(Mutant::OverdueUnseen) {
                return false;
            }
            debug_assert!(word & REFERENCES != 0 && word & DEAD == 0, "held, so alive (L2)");
            // Release: S1.
            match self.0.compare_exchange_weak(
                word,
                word - REFERENCE,
                Ordering::Release,
                Ordering::Acquire,
            ) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
            relax();
        }
    }

    /// Gives a reference back. After this the entry may be freed at once, unless the caller protects it.
    pub(crate) fn drop_reference(&self) {
        // Release: S1.
        let before = self.0.fetch_sub(REFERENCE, Ordering::Release);
        debug_assert!(before & REFERENCES != 0 && before & DEAD == 0, "held, so alive (L2)");
    }

    /// Marks an entry that is held as OVERDUE, if it is as it was `seen`.
    pub(crate) fn set_overdue(&self, seen: Word) -> bool {
        debug_assert!(seen.references() != 0 && !seen.is_dead(), "there is somebody to see it");
        // Release: the time that the sweep noted.
        self.0
            .compare_exchange(seen.0, seen.0 | OVERDUE, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes the mark off an entry that is as it was `seen`: refreshed since.
    pub(crate) fn clear_overdue(&self, seen: Word) {
        // Relaxed, and lost if anything changed: the mark only costs a look.
        let _ = self.0.compare_exchange(
            seen.0,
            seen.0 & !OVERDUE,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    /// Marks the entry dead if it is exactly as it was `seen`, alive and without users. Returns the word
    /// on success. The one way in which an entry dies.
    pub(crate) fn kill(&self, seen: Word) -> Option<Word> {
        if seen.is_dead() || seen.references() != 0 {
            return None;
        }
        let dead = seen.0 | DEAD;
        if mutant(Mutant::KillByStore) {
            self.0.fetch_or(DEAD, Ordering::AcqRel);
            return Some(Word(dead));
        }
        // AcqRel: Acquire for S1, Release for S2. Relaxed on failure: nothing is done then.
        self.0
            .compare_exchange(seen.0, dead, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
            .then_some(Word(dead))
    }

    /// Notes that the entry stands in an index. The caller holds a reference.
    pub(crate) fn set(&self, index: u64) {
        // Relaxed: read by killers only, after this reference is dropped (S1).
        self.0.fetch_or(index, Ordering::Relaxed);
    }

    /// Notes that the entry was taken out of an index. Returns whether the caller must retire it (L3).
    #[must_use]
    pub(crate) fn clear(&self, index: u64) -> bool {
        let looked = mutant(Mutant::ClearByLooking).then(|| self.0.load(Ordering::Acquire));
        // AcqRel: S3.
        let before = looked.unwrap_or(self.0.fetch_and(!index, Ordering::AcqRel));
        debug_assert!(before & index != 0, "cleared once");
        Word(before & !index).is_over()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_touch_in_between_saves_the_entry() {
        let life = Life::new();
        life.drop_reference();
        let seen = life.load();
        assert!(life.take_reference());
        life.drop_reference();
        assert_eq!(life.load().references(), 0);
        assert_eq!(life.kill(seen), None, "touched since it was seen");
        assert!(life.kill(life.load()).is_some());
        assert!(!life.take_reference());
        assert_eq!(life.kill(life.load()), None, "dead already");
    }

    #[test]
    fn the_last_reference_sees_the_sweep() {
        let life = Life::new();
        assert!(life.take_reference());
        assert!(life.try_drop_reference());
        assert!(life.set_overdue(life.load()));
        assert!(!life.try_drop_reference(), "needs a look");
        life.drop_reference();
        assert!(life.load().is_overdue());
        life.clear_overdue(life.load());
        assert!(life.kill(life.load()).is_some());
    }

    #[test]
    fn the_last_index_retires() {
        let life = Life::new();
        life.set(QUEUED);
        life.drop_reference();
        life.kill(life.load()).unwrap();
        assert!(!life.clear(KEYED));
        assert!(!life.clear(FILED));
        assert!(life.clear(QUEUED));
    }

    #[test]
    fn a_held_entry_is_not_killed() {
        let life = Life::new();
        assert_eq!(life.kill(life.load()), None);
        life.drop_reference();
        assert!(life.kill(life.load()).is_some());
    }
}
