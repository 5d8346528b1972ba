//! What a sliding rate will read: when there is room again.
//!
//! What is computed is what [`FreqCtr`](stktable::data::freq_ctr::FreqCtr) will do: the period ends, its events fade over the next one, and
//! an event that comes then opens a new one.

use stktable::Tick;
use stktable::data::freq_ctr::FreqSnapshot;

/// Returns the state of a rate as it will be `wait_ms` from now, when `cost` more events have just been counted.
fn counted_then(
    rate: FreqSnapshot,
    now: Tick,
    period_ms: u32,
    wait_ms: u32,
    cost: u32,
) -> (FreqSnapshot, Tick) {
    let then = now + wait_ms;
    let period = u64::from(period_ms);
    let age = u64::from(rate.age(now)) + u64::from(wait_ms);
    let state = if cost == 0 {
        rate
    } else if age < period {
        FreqSnapshot { current: rate.current.saturating_add(cost), ..rate }
    } else if age < 2 * period {
        // Starts are even, and so are the steps between them.
        let start = rate.start.wrapping_add(period_ms & !1);
        FreqSnapshot { start, current: cost, previous: rate.current }
    } else {
        FreqSnapshot { start: then.low() & !1, current: cost, previous: 0 }
    };
    (state, then)
}

/// Returns what a rate will read `wait_ms` from now, if nothing is counted but `cost` events then.
pub(super) fn reading(
    rate: FreqSnapshot,
    now: Tick,
    period_ms: u32,
    wait_ms: u32,
    cost: u32,
) -> u32 {
    let (state, then) = counted_then(rate, now, period_ms, wait_ms, cost);
    state.read(then, period_ms)
}

/// Returns the milliseconds until `cost` events fit under `max`, if nothing is counted meanwhile. `None` if they never do.
pub(super) fn until_it_fits(
    rate: FreqSnapshot,
    now: Tick,
    period_ms: u32,
    max: u32,
    cost: u32,
) -> Option<u32> {
    let fits = |wait_ms| reading(rate, now, period_ms, wait_ms, cost) <= max;
    // Everything has faded after two periods.
    let faded = period_ms.saturating_mul(2).saturating_add(2);
    if !fits(faded) {
        return None;
    }
    // Readings only fall while nothing is counted.
    let (mut low, mut high) = (0, faded);
    while low < high {
        let middle = low + (high - low) / 2;
        if fits(middle) { high = middle } else { low = middle + 1 }
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use stktable::data::freq_ctr::FreqCtr;

    use super::*;

    /// What is foretold is what happens, at each millisecond from the first to the last of it.
    #[test]
    fn a_wait_is_exactly_as_long_as_it_must_be() {
        for period in [2, 7, 10, 1000, 1001, 60_000] {
            for (before, current, max, cost) in [
                (0, 11, 10, 1),
                (10, 1, 10, 1),
                (10, 10, 10, 3),
                (0, 100, 10, 10),
                (30, 11, 10, 0),
                (1, 1, 0, 0),
            ] {
                for age in [0, period / 3, period - 1] {
                    let counter = FreqCtr::new();
                    let start = Tick((1 << 32) - u64::from(period) - 5);
                    counter.add(start, period, before);
                    counter.add(start + period, period, current);
                    let now = start + period + age;
                    let wait =
                        until_it_fits(counter.snapshot(period), now, period, max, cost).unwrap();
                    let happens = |wait: u32| {
                        let copy = FreqCtr::new();
                        copy.add(start, period, before);
                        copy.add(start + period, period, current);
                        if cost > 0 {
                            copy.add(now + wait, period, cost);
                        }
                        copy.read(now + wait, period)
                    };
                    let case = (period, before, current, max, cost, age, wait);
                    assert!(happens(wait) <= max, "{case:?}");
                    assert!(wait == 0 || happens(wait - 1) > max, "{case:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_larger_than_the_limit_never_fits() {
        let counter = FreqCtr::new();
        counter.add(Tick(10_000), 1000, 1);
        assert_eq!(until_it_fits(counter.snapshot(1000), Tick(10_001), 1000, 10, 11), None);
        assert_eq!(until_it_fits(counter.snapshot(1000), Tick(10_001), 1000, 10, 10), Some(1000));
    }
}
