//! Events per sliding period.
//!
//! A rate answers "how many events in the last `P` milliseconds?" with two numbers: the events of the
//! current period, and those of the period before it, which weigh less and less as the current one
//! grows ([`FreqSnapshot`] does the arithmetic). What this module adds is that any number of threads may
//! count, read and set at the same time, with no lock and without losing an event. An event costs three
//! loads and one `fetch_add`; a rotation, once per period, one compare-and-swap; a counter 16 bytes, of
//! which all zero is the empty one.
//!
//! The counter is two words. Each is a period: when it began, and the events counted in it. One word is
//! the *newest*, the current period. The other is the *older*: it is the previous period if its start lies
//! one step behind, and a leftover that nobody reads if not. A rotation writes the new period over the
//! older word, which by that same write becomes the newest. Starts are even, so bit 0 is free to say
//! which is which: the words hold equal parities when `words[0]` is the newest.
//!
//! ```text
//!  63       32 31        1  0          words[0]      words[1]
//! +-----------+-----------+---+       100 |40| 0  * 000 | 0| 0     * newest (equal parities: words[0])
//! |   count   |   start   | p |       100 |40| 0    101 |20| 1 *   rotated: words[1] written
//! +-----------+-----------+---+       102 | 5| 1  * 101 |20| 1     rotated: words[0] written
//! ```
//!
//! The step from a period to the next is `P` without its lowest bit, as in HAProxy, whose starts are even
//! too: with an odd period the start slips back by 1 ms at each rotation.
//!
//! # Events that arrive late
//!
//! A thread that found the newest word and was then suspended still adds to that word. If it has been
//! rotated meanwhile, the event counts in the period that was current when the thread looked. If it has
//! been rotated twice, the word holds a younger period, and the event counts there. It is in no case
//! lost: an addition is one atomic operation on a word, and a word is only ever replaced by a
//! compare-and-swap of all 64 bits, which fails if an event came between.
//!
//! # Setting
//!
//! A set writes both words, one after the other: first a rotation to the new current period, then the
//! older word, in place, becomes the new previous period. Between the two, others see the new current
//! period with no previous one (less than what is being set), or, if the new start lies exactly one step
//! after the replaced one, with the replaced one as the previous: a mix of two values that were both true.
//! Once the first write is done the set has happened. Whoever rotates or sets after it, before the second
//! write, ends the set early: its previous period is by then two periods old, or has been set anew.
//! An event that races with a set is counted before it (and overwritten) or after it (and kept).
//!
//! # The clock
//!
//! A caller's clock may lag behind another's by up to [`LAG_MAX_MS`]: a period that begins in the future
//! is then the current one, and never a reason to rotate backwards. Any other distance is time gone by,
//! so a counter left alone for weeks has faded, though its 32-bit start wraps; it shows its last value
//! again only when left alone for 49.7 days (less [`LAG_MAX_MS`]). An empty counter has no start, so it
//! cannot lie in the future: its first event opens a period.
//!
//! # Invariants
//!
//! I1  The newest word changes by additions alone: its start and parity are fixed until it is the older.
//!     Whatever else is written, is written over the older word.
//! I2  The older word is replaced only by a compare-and-swap from the value that was read of it. Either
//!     the parity flips, and the word is the newest now (a rotation), or it stays, and the word is still
//!     the older (the second write of a set).
//! I3  A thread that has read both words of one moment, and then replaces the older one, therefore did so
//!     while the newest was still the one it had read: between the two there was no rotation, for
//!     a rotation writes the older word. Of several threads that want the same rotation, one has it.
//!     Only sets can repeat a word, since rotations move on: to be mistaken, a thread must be suspended
//!     between its read and its swap while three sets or more leave the same start and count in the same
//!     word. It then writes over the newest word, and the older becomes the newest: a value set in the
//!     same two milliseconds. A valid state of values that were true, in which the event of that thread is
//!     not visible.
//!
//! # Synchronization
//!
//! S1  Release, in `replace_older`  ->  Acquire, both loads of `load`   (who sees a period sees the other
//!                                      word at least as new as the writer of that period saw it)
//! S2  Release, in `add`            ->  Acquire, both loads of `load`   (who sees an event sees those
//!                                      before it, though they are in the other word)
//!
//! Every write is a read-modify-write, so whoever acquires a word is ordered after all earlier writers of
//! that word, not just the last: additions do not hide the rotation under them.

mod reading;
mod word;

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

pub use self::reading::FreqSnapshot;
use self::word::{Period, Word};
use crate::sync::{AtomicU64, Mutant, mutant, order, relax};
use crate::tick::Tick;

/// How far a caller's clock may lag behind the one that opened a period: 17.5 minutes.
///
/// Beyond, the lag is taken for the time since the period began, nearly 49.7 days. Periods longer than
/// half the circle of a 32-bit tick less this (24.85 days, just below [`DELAY_MAX_MS`]) lose the last
/// minutes of their fading to it.
///
/// [`DELAY_MAX_MS`]: crate::tick::DELAY_MAX_MS
pub const LAG_MAX_MS: u32 = 1 << 20;

/// Counts events per sliding period. See the module's documentation.
///
/// The period is not stored: all calls on one counter give the same. It is taken as at least 2 ms and at
/// most [`DELAY_MAX_MS`](crate::tick::DELAY_MAX_MS). Memory that is all zero is an empty counter.
#[derive(Debug)]
#[repr(C)]
pub struct FreqCtr {
    words: [AtomicU64; 2],
}

impl Default for FreqCtr {
    fn default() -> Self {
        Self::new()
    }
}

impl FreqCtr {
    /// Returns an empty counter.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self { words: [AtomicU64::new(0), AtomicU64::new(0)] }
    }

    /// Returns an empty counter.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self { words: [AtomicU64::new(0), AtomicU64::new(0)] }
    }

    /// Counts `n` events now, and returns the count of the period they fell into, which wraps.
    ///
    /// Lock-free: a turn of the loop is repeated only when another thread rotated, set, or put a late event
    /// into the word that this one wants to rotate. That period is the current one, save for a
    /// thread suspended in here (see "Events that arrive late").
    #[inline]
    pub fn add(&self, now: Tick, period_ms: u32, n: u32) -> u32 {
        self.add_observed(now, period_ms, n).0
    }

    /// [`FreqCtr::add`], which also returns the final count of the period that a rotation wrote over.
    ///
    /// All counts that were ever so returned, and those in the two words, are all events counted, unless
    /// the counter was set.
    #[doc(hidden)]
    #[inline]
    pub fn add_observed(&self, now: Tick, period_ms: u32, n: u32) -> (u32, Option<u32>) {
        let period = Period::new(period_ms);
        loop {
            let pair = self.load();
            let Some(start) = pair.next_start(now, period) else {
                // The linearization point of an event in the current period. No test that the word is
                // still the newest: a late event belongs there, too.
                // The sum wraps within the upper half: nothing is carried into the start.
                // Release, S2: who sees this event sees what happened before it.
                let before = Word::from_bits(
                    self.words[pair.newest_at]
                        .fetch_add(Word::addend(n), order(Release, Mutant::AddRelaxed)),
                );
                return (before.count().wrapping_add(n), None);
            };
            if self.replace_older(&pair, pair.older.rotated(start, n)) {
                return (n, Some(pair.older.count()));
            }
            relax();
        }
    }

    /// Returns the state at one moment during the call, ready for any number of readings.
    ///
    /// Events still under way may be missing; of two of which one came after the other, never only the
    /// first. Lock-free, and additions do not delay it: it repeats only when there were rotations or sets.
    #[inline]
    #[must_use]
    pub fn snapshot(&self, period_ms: u32) -> FreqSnapshot {
        let pair = self.load();
        let linked =
            pair.newest.start().wrapping_sub(pair.older.start()) == Period::new(period_ms).step();
        FreqSnapshot {
            start: pair.newest.start(),
            current: pair.newest.count(),
            previous: if linked { pair.older.count() } else { 0 },
        }
    }

    /// Returns the events of the last period, as a sliding average: [`FreqSnapshot::read`].
    #[inline]
    #[must_use]
    pub fn read(&self, now: Tick, period_ms: u32) -> u32 {
        self.snapshot(period_ms).read(now, period_ms)
    }

    /// Makes the counter read `value`, as an operator sets it: for a full period, then fading.
    ///
    /// Lock-free. See "Setting" in the module's documentation for what others see meanwhile.
    pub fn set(&self, now: Tick, value: u32) {
        let start = now.low() & !1;
        // The previous period is empty, and linked at no period: its start is no step away.
        self.replace_both((start, value), (start, 0));
    }

    /// Makes the counter what a peer sent: a current period that began `age_ms` ago, and the one before.
    ///
    /// An age that puts the start less than [`LAG_MAX_MS`] into the future is 0; one of more than two
    /// periods counts as just past them, so that what has faded cannot return. Lock-free. See "Setting"
    /// in the module's documentation for what others see meanwhile.
    pub fn set_from_peer(
        &self,
        now: Tick,
        age_ms: u32,
        current: u32,
        previous: u32,
        period_ms: u32,
    ) {
        let period = Period::new(period_ms);
        let age = word::clamp_age(age_ms).min(period.faded());
        // A date from outside is masked: bit 0 is ours.
        let start = now.low().wrapping_sub(age) & !1;
        self.replace_both((start, current), (start.wrapping_sub(period.step()), previous));
    }

    /// Writes a current and a previous period, each a start and a count.
    fn replace_both(&self, current: (u32, u32), previous: (u32, u32)) {
        // The linearization point of a set is the success of this one.
        let (at, ours) = loop {
            let pair = self.load();
            let ours = pair.older.rotated(current.0, current.1);
            if self.replace_older(&pair, ours) {
                break (pair.older_at(), ours);
            }
            relax();
        };
        loop {
            let pair = self.load();
            let is_ours = pair.newest_at == at && pair.newest.period() == ours.period();
            // By I3 the replacement fails if that changes after the test. A late event in the older word
            // makes it fail, too; then the test holds still, and it is tried again.
            if !is_ours && !mutant(Mutant::SetUnchecked)
                || self.replace_older(&pair, pair.older.renewed(previous.0, previous.1))
            {
                return;
            }
            relax();
        }
    }

    /// Reads both words as they were at one moment, the older one last.
    #[inline]
    fn load(&self) -> Pair {
        loop {
            // Acquire, S1 and S2: the other word is then at least as new as who wrote this one knew it.
            // Without, a period could be seen together with one that it had replaced.
            let first =
                Word::from_bits(self.words[0].load(order(Acquire, Mutant::LoadFirstRelaxed)));
            // Acquire, S1 and S2: the same for the second look at the first word.
            let second =
                Word::from_bits(self.words[1].load(order(Acquire, Mutant::LoadSecondRelaxed)));
            // Relaxed: nothing is read after it. It is no older than the first read of this word (same
            // word, same thread), nor than what the writers of `second` knew of it.
            let again = Word::from_bits(self.words[0].load(Relaxed));

            // The same period at both looks, so it was there when `second` was read: a word's start and
            // parity return only by the repeated sets of I3. Counts may differ, by additions.
            if first.period() == again.period() || mutant(Mutant::LoadOnce) {
                // The newest was read before the older in both cases. A missing event can so only be one
                // that was counted in the newest word after that read, or a late one: and no event that is
                // seen came after those.
                return if first.parity() == second.parity() {
                    Pair { newest: first, older: second, newest_at: 0 }
                } else if mutant(Mutant::OlderFirst) {
                    Pair { newest: second, older: first, newest_at: 1 }
                } else {
                    Pair { newest: second, older: again, newest_at: 1 }
                };
            }
            relax();
        }
    }

    /// Replaces the older word, if it is still what was read, and returns whether it was.
    fn replace_older(&self, pair: &Pair, new: Word) -> bool {
        let word = &self.words[pair.older_at()];
        let is_rotation = new.parity() != pair.older.parity();
        let by_store = if is_rotation { Mutant::RotateByStore } else { Mutant::SetByStore };
        if mutant(by_store) {
            word.store(new.bits(), Release);
            return true;
        }
        // By I3 this is the linearization point of a rotation, with the events that made it.
        // Release, S1: who sees the new period also sees the newest word that this thread saw. No
        // Acquire, since `load` had it for the same value. Failure is Relaxed: the caller loads again.
        word.compare_exchange(
            pair.older.bits(),
            new.bits(),
            order(Release, Mutant::RotateRelaxed),
            Relaxed,
        )
        .is_ok()
    }
}

/// Both words as they were at one moment.
struct Pair {
    newest: Word,
    older: Word,
    newest_at: usize,
}

impl Pair {
    const fn older_at(&self) -> usize {
        1 - self.newest_at
    }

    /// Returns when the period after the newest one begins, or `None` if that one goes on.
    #[inline]
    fn next_start(&self, now: Tick, period: Period) -> Option<u32> {
        let age = now.low().wrapping_sub(self.newest.start());
        // An empty counter began at no time, hence not in the future. (If the clock passes 0 just now, an
        // event that lags behind 0 may so leave a first event from after 0 behind. It is not read then.)
        let age =
            if self.newest.is_zero() && self.older.is_zero() { age } else { word::clamp_age(age) };
        if age < period.ms() {
            None
        } else if age - period.ms() < period.ms() {
            Some(self.newest.start().wrapping_add(period.step()))
        } else {
            // At least 2P later, and P >= 2: more than one step, so the newest word is not linked.
            Some(now.low() & !1)
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_two_words_and_zero_is_empty() {
        assert_eq!(size_of::<FreqCtr>(), 16);
        let counter = FreqCtr::new();
        assert_eq!(counter.snapshot(1000), FreqSnapshot::default());
        assert_eq!(counter.load().newest_at, 0);
    }

    #[test]
    fn rotations_alternate_between_the_words() {
        let counter = FreqCtr::new();
        for turn in 1..=8 {
            counter.add(Tick(turn * 1000), 1000, 1);
            assert_eq!(counter.load().newest_at, usize::from(turn % 2 == 1));
        }
    }

    #[test]
    fn a_late_event_is_counted_where_its_thread_looked() {
        let (counter, late) = (FreqCtr::new(), Word::addend(5));
        counter.add(Tick(10_000), 1000, 1);
        let looked = counter.load();
        counter.add(Tick(11_000), 1000, 2);
        counter.words[looked.newest_at].fetch_add(late, Relaxed);
        let expected = FreqSnapshot { start: 11_000, current: 2, previous: 6 };
        assert_eq!(counter.snapshot(1000), expected, "rotated once: the previous period");
        assert_eq!(counter.add_observed(Tick(12_000), 1000, 3), (3, Some(6)));
        counter.words[looked.newest_at].fetch_add(late, Relaxed);
        let expected = FreqSnapshot { start: 12_000, current: 8, previous: 2 };
        assert_eq!(counter.snapshot(1000), expected, "rotated twice: the current period");
    }

    #[test]
    fn a_count_wraps_and_leaves_its_start_alone() {
        let counter = FreqCtr::new();
        counter.add(Tick(10_000), 1000, u32::MAX);
        assert_eq!(counter.add(Tick(10_001), 1000, 3), 2);
        assert_eq!(counter.snapshot(1000), FreqSnapshot { start: 10_000, current: 2, previous: 0 });
    }
}
