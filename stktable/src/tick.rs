//! A point in time, counted in milliseconds.
//!
//! This crate has no clock: whoever calls it says what time it is. A [`Tick`] counts
//! milliseconds from an origin that the caller chooses, in 64 bits, so it never wraps. What is stored in
//! an entry and what travels to a peer are its low 32 bits, which wrap every 49.7 days; they are only
//! ever compared with a full tick nearby ([`Tick::low`], [`Tick::near`]). Every delay is therefore
//! limited to [`DELAY_MAX_MS`].

use core::ops::Add;

/// The longest delay of a table, in milliseconds: 24.8 days, half the circle of a 32-bit tick.
pub const DELAY_MAX_MS: u32 = i32::MAX as u32;

/// A point in time: milliseconds since an origin that the caller chose.
///
/// The caller's clock should never go backwards. Where two threads hold slightly different ticks, the
/// older one is treated as "still in the current period", never as a step back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

impl Tick {
    /// Returns the low 32 bits: what entries and counters store.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is asked for")]
    pub const fn low(self) -> u32 {
        self.0 as u32
    }

    /// Returns the full tick whose low bits are `low` and which lies nearest to `self`.
    ///
    /// Right for every `low` stored less than 24.8 days from `self`, before or after. Before the origin
    /// there is nothing: such a tick is returned as 0.
    #[must_use]
    pub const fn near(self, low: u32) -> Self {
        let difference = low.wrapping_sub(self.low()).cast_signed();
        Self(self.0.saturating_add_signed(difference as i64))
    }

    /// Returns the full tick whose low bits are `low` and which lies at most `ahead_ms` after `self`.
    ///
    /// What is left of the circle lies before `self`: 49.7 days less `ahead_ms`. Before the origin there is
    /// nothing: such a tick is returned as 0.
    #[must_use]
    pub const fn at_most_ahead(self, low: u32, ahead_ms: u32) -> Self {
        let after = low.wrapping_sub(self.low());
        if after <= ahead_ms {
            return Self(self.0.saturating_add(after as u64));
        }
        Self(self.0.saturating_sub((1 << 32) - after as u64))
    }

    /// Returns the milliseconds from `earlier` to `self`, 0 if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<u32> for Tick {
    type Output = Self;

    fn add(self, delay_ms: u32) -> Self {
        Self(self.0.saturating_add(u64::from(delay_ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_crosses_the_wrap_both_ways() {
        let before = Tick((1 << 32) - 10);
        let after = Tick((1 << 32) + 10);
        assert_eq!(before.near(after.low()), after);
        assert_eq!(after.near(before.low()), before);
        assert_eq!(Tick(5).near(0xffff_fff0), Tick(0), "nothing lies before the origin");
    }

    #[test]
    fn what_is_not_so_far_ahead_lies_behind() {
        let now = Tick((1 << 32) + 10);
        assert_eq!(now.at_most_ahead(1010, 1000), Tick((1 << 32) + 1010));
        assert_eq!(now.at_most_ahead(1011, 1000), Tick(1011));
        assert_eq!(now.at_most_ahead(9, 1000), Tick((1 << 32) + 9));
        assert_eq!(Tick(5).at_most_ahead(4, 0), Tick(4));
        assert_eq!(Tick(5).at_most_ahead(6, 0), Tick(0), "nothing lies before the origin");
    }
}
