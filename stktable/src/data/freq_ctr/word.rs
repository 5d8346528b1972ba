//! One word of a counter, and the two lengths of a period.

use super::LAG_MAX_MS;
use crate::tick::DELAY_MAX_MS;

/// A period in 64 bits: the count above, the start below, and in its lowest bit the parity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(u64);

impl Word {
    const fn new(start: u32, parity: u32, count: u32) -> Self {
        Self((count as u64) << 32 | (start & !1 | parity) as u64)
    }

    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    /// Returns what to add to a word to count `n` events.
    pub(super) const fn addend(n: u32) -> u64 {
        (n as u64) << 32
    }

    pub(super) const fn count(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Returns start and parity: all that a rotation changes and an addition does not.
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
    pub(super) const fn period(self) -> u32 {
        self.0 as u32
    }

    pub(super) const fn start(self) -> u32 {
        self.period() & !1
    }

    pub(super) const fn parity(self) -> u32 {
        self.period() & 1
    }

    /// Returns whether nothing but the parity is set.
    pub(super) const fn is_zero(self) -> bool {
        self.0 & !1 == 0
    }

    /// Returns what makes this word, the older, the newest.
    pub(super) const fn rotated(self, start: u32, count: u32) -> Self {
        Self::new(start, self.parity() ^ 1, count)
    }

    /// Returns another period for this word that leaves it the older.
    pub(super) const fn renewed(self, start: u32, count: u32) -> Self {
        Self::new(start, self.parity(), count)
    }
}

/// The length of a period: 2 ms or more, so that a step is not 0.
#[derive(Clone, Copy)]
pub(super) struct Period(u32);

impl Period {
    pub(super) const fn new(ms: u32) -> Self {
        Self(if ms < 2 {
            2
        } else if ms > DELAY_MAX_MS {
            DELAY_MAX_MS
        } else {
            ms
        })
    }

    pub(super) const fn ms(self) -> u32 {
        self.0
    }

    /// Returns the distance between the starts of two linked periods, which are even.
    pub(super) const fn step(self) -> u32 {
        self.0 & !1
    }

    /// Returns an age at which nothing is left to read, whichever way the start is rounded.
    pub(super) const fn faded(self) -> u32 {
        self.0.saturating_mul(2).saturating_add(2)
    }
}

/// Returns an age that was computed in the circle of 32 bits, or 0 if it is rather a lag.
pub(super) const fn clamp_age(age: u32) -> u32 {
    if age > u32::MAX - LAG_MAX_MS { 0 } else { age }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_keeps_its_parts_apart() {
        for (start, count) in [(0, 0), (2, 7), (u32::MAX - 1, u32::MAX), (u32::MAX, 1)] {
            let word = Word::from_bits(0).rotated(start, count);
            assert_eq!((word.start(), word.parity(), word.count()), (start & !1, 1, count));
            assert_eq!(word.rotated(start, count).parity(), 0);
            assert_eq!(word.renewed(4, 4).parity(), 1);
            let added = Word::from_bits(word.bits().wrapping_add(Word::addend(u32::MAX)));
            assert_eq!(added.period(), word.period());
            assert_eq!(added.count(), count.wrapping_sub(1));
        }
        assert!(Word::from_bits(1).is_zero());
    }

    #[test]
    fn a_lag_has_no_age() {
        assert_eq!(clamp_age(0u32.wrapping_sub(1)), 0);
        assert_eq!(clamp_age(0u32.wrapping_sub(LAG_MAX_MS)), 0);
        assert_eq!(clamp_age(u32::MAX - LAG_MAX_MS), u32::MAX - LAG_MAX_MS);
    }
}
