//! Expiry: what is over is taken, in slices.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::StickTable;
use super::kill::Hands;
use crate::entry::Entry;
use crate::index::expiry::Hand;
use crate::sync::{Mutant, mutant, relax};
use crate::tick::Tick;

/// What a call of [`StickTable::expire`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Entries taken because they were over.
    pub expired: u32,
    /// Entries looked at: at most the budget.
    pub visited: u32,
    /// The budget ran out before the work did.
    pub more: bool,
}

/// After how long an entry that is over and held is looked at again, at most: 12 days. Its date is moved on then.
const HELD_MAX_MS: u32 = 1 << 30;

/// What became of an entry in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Dead, and off the stacks.
    Gone,
    /// Killed by this call.
    Killed,
    /// Alive, and still in hand.
    Alive,
}

impl StickTable {
    /// Takes entries that are over, looking at no more than `budget` of them.
    ///
    /// Call it when the date that [`arm_expiry`](Self::arm_expiry) returned has come, and again while it says that there
    /// is more. Any number of threads may. An entry in use is left alone; whoever drops the last reference
    /// then takes it.
    pub fn expire(&self, now: Tick, budget: u32) -> Expired {
        self.observe(now);
        let mut done = Expired::default();
        if self.delay_ms() == 0 {
            return done;
        }
        let mut hand = Hand::new(&self.expiry, &self.keys, now, budget);
        while let Some(entry) = hand.pop() {
            done.visited += 1;
            match self.settle(entry, |entry| self.is_over(entry, now)) {
                Fate::Gone => {}
                Fate::Killed => done.expired += 1,
                Fate::Alive => self.file_again(entry, now),
            }
        }
        drop(hand);
        self.statistics.expired.fetch_add(u64::from(done.expired), Ordering::Relaxed);
        done.more = self.expiry.next_due().is_some_and(|due| due <= now);
        done
    }

    /// Returns the date at which [`expire`](Self::expire) has something to do, and remembers that somebody sleeps
    /// until then: [`Wake::expiry`](super::Wake::expiry) is called if something comes due earlier. `None` when nothing is
    /// going to expire.
    #[must_use]
    pub fn arm_expiry(&self) -> Option<Tick> {
        if self.delay_ms() == 0 { None } else { self.expiry.arm() }
    }

    /// Returns the date at which [`expire`](Self::expire) has something to do.
    #[must_use]
    pub fn next_due(&self) -> Option<Tick> {
        if self.delay_ms() == 0 { None } else { self.expiry.next_due() }
    }

    /// Deals with an entry in hand: takes it off if it is dead, kills it if `doomed` says so and nobody uses it. One that
    /// is doomed and in use is marked, so that whoever lets go of it last looks again.
    pub(super) fn settle(&self, pointer: NonNull<Entry>, doomed: impl Fn(&Entry) -> bool) -> Fate {
        // SAFETY: FILED, and in our hand: not retired before that is cleared, which is the last thing done below.
        let entry = unsafe { pointer.as_ref() };
        loop {
            let early = mutant(Mutant::DateFirst).then(|| doomed(entry));
            // Acquire, before the date is read (`life`: the generation).
            let seen = entry.life.load();
            if seen.is_dead() {
                // Its killer has counted it for us, or is about to.
                self.expiry.dead.fetch_sub(1, Ordering::Relaxed);
                self.clear_filed(pointer);
                return Fate::Gone;
            }
            if !early.unwrap_or_else(|| doomed(entry)) {
                // If it dies now, its killer counts it, and whoever has it in hand next finds it.
                return Fate::Alive;
            }
            if seen.references() != 0 {
                // Whoever drops the last reference sees the mark.
                if seen.is_overdue() || entry.life.set_overdue(seen) {
                    return Fate::Alive;
                }
            // SAFETY: in hand, and handed over.
            } else if unsafe { self.kill(pointer, seen, Hands::Own) } {
                return Fate::Killed;
            }
            // Touched, let go or killed meanwhile.
            relax();
        }
    }

    /// Files a living entry in hand: under its date, or a full delay ahead if it is over and held, at most
    /// [`HELD_MAX_MS`].
    pub(super) fn file_again(&self, in_hand: NonNull<Entry>, now: Tick) {
        // SAFETY: in hand, so FILED and not retired.
        let entry = unsafe { in_hand.as_ref() };
        let expire = self.date(entry, now);
        let over = self.delay_ms() != 0 && expire <= now;
        if over {
            entry.keep_over(expire, now);
        }
        self.file(in_hand, if over { now + self.delay_ms().min(HELD_MAX_MS) } else { expire });
    }

    /// Takes dead entries off the stacks, looking at no more than `budget` entries; for tables whose entries die
    /// long before their date.
    pub(super) fn sweep_dead(&self, budget: u32) {
        let mut left = budget;
        while left > 0 {
            let Some((key, mut chain)) = self.expiry.take_forced() else { return };
            let mut wake = false;
            while left > 0 {
                let Some(entry) = chain.pop() else { break };
                left -= 1;
                if self.settle(entry, |_| false) == Fate::Alive {
                    wake |= self.expiry.put_looked(key, entry);
                }
            }
            wake |= self.expiry.put_back(key, chain);
            if wake && self.delay_ms() != 0 {
                self.wake_expiry();
            }
        }
    }
}
