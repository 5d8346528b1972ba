//! What a counter's state means: plain arithmetic, no atomics.

use super::word::{Period, clamp_age};
use crate::tick::Tick;

/// The state of a rate at one moment, from [`FreqCtr::snapshot`](super::FreqCtr::snapshot).
///
/// All readings take the period that the snapshot was taken with. Values past 32 bits are given as
/// `u32::MAX`. A start in the future, which a lagging clock sees, is taken for now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FreqSnapshot {
    /// The low bits of the tick at which the current period began. Even.
    pub start: u32,
    /// The events counted in the current period.
    pub current: u32,
    /// The events of the period before it, 0 if that was not the one just before.
    pub previous: u32,
}

impl FreqSnapshot {
    /// Returns the milliseconds since the current period began: with both counts, what a peer is sent.
    ///
    /// Arbitrary for an empty counter, as in HAProxy: nothing is counted then.
    #[must_use]
    pub const fn age(&self, now: Tick) -> u32 {
        clamp_age(now.low().wrapping_sub(self.start))
    }

    /// Returns the events of the sliding period times its length, the number that [`Self::read`] divides.
    ///
    /// All of the current period, plus the previous one by the share of the current that is still to
    /// come. A single event does not fade: where nothing came after it, it reads as one to the end of the
    /// period after its own, instead of dropping to 0 at once.
    #[inline]
    #[must_use]
    pub fn total(&self, now: Tick, period_ms: u32) -> u64 {
        let period = Period::new(period_ms);
        let faded = self.fade(now, period);
        if faded.current == 0 && faded.previous <= 1 {
            return u64::from(faded.previous) * u64::from(period.ms());
        }
        faded.total(period, 0)
    }

    /// Returns the events of the last period, as a sliding average rounded down.
    #[inline]
    #[must_use]
    pub fn read(&self, now: Tick, period_ms: u32) -> u32 {
        let events = self.total(now, period_ms) / u64::from(Period::new(period_ms).ms());
        saturate(events)
    }

    /// Returns how many more events `limit` per period allows now, if `pending` are under way.
    #[must_use]
    pub fn remaining_events(&self, now: Tick, period_ms: u32, limit: u32, pending: u32) -> u32 {
        let period = Period::new(period_ms);
        let events = self.fade(now, period).total(period, pending) / u64::from(period.ms());
        limit.saturating_sub(saturate(events))
    }

    /// Returns how many milliseconds to wait until `pending` events fit under `limit` per period.
    ///
    /// 0 if they do now; an estimate otherwise, to look again then.
    #[must_use]
    pub fn next_delay(&self, now: Tick, period_ms: u32, limit: u32, pending: u32) -> u32 {
        let period = Period::new(period_ms);
        let total = self.fade(now, period).total(period, pending);
        let allowed = u64::from(limit) * u64::from(period.ms());
        match total.checked_sub(allowed) {
            None => 0,
            Some(excess) => saturate((excess / u64::from(limit.max(1))).max(1)),
        }
    }

    /// Returns by how many events the current period is ahead of `limit` events spread evenly over it.
    ///
    /// 0 past the period, and for an empty counter.
    #[must_use]
    pub fn overshoot(&self, now: Tick, period_ms: u32, limit: u32) -> u32 {
        let period = Period::new(period_ms);
        // A start in the future says nothing of the pace: age 0 would count the whole period as ahead.
        let elapsed = now.low().wrapping_sub(self.start);
        if elapsed > period.ms() {
            return 0;
        }
        let even = u64::from(elapsed) * u64::from(limit) / u64::from(period.ms());
        self.current.saturating_sub(saturate(even))
    }

    /// Returns what is left of both periods now.
    #[inline]
    fn fade(&self, now: Tick, period: Period) -> Faded {
        let age = self.age(now);
        let (current, previous, over) = if age <= period.ms() {
            (self.current, self.previous, age)
        } else if age - period.ms() <= period.ms() {
            // Nobody rotated it: the current period is the previous one by now.
            (0, self.current, age - period.ms())
        } else {
            (0, 0, period.ms())
        };
        Faded { current, previous, remaining_ms: period.ms() - over }
    }
}

/// Both periods as of now.
struct Faded {
    current: u32,
    previous: u32,
    /// How much of the current period is still to come.
    remaining_ms: u32,
}

impl Faded {
    #[inline]
    fn total(&self, period: Period, pending: u32) -> u64 {
        // Neither product overflows: 2^33 events or less, times less than 2^31 milliseconds.
        let previous = u64::from(self.previous) * u64::from(self.remaining_ms);
        let current = (u64::from(self.current) + u64::from(pending)) * u64::from(period.ms());
        previous.saturating_add(current)
    }
}

fn saturate(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
