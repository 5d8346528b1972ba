//! Keys: how a key is read bit by bit.

/// A key of a tree: a string of bits, of which any two different ones differ somewhere.
///
/// A *position* numbers a bit. Higher positions are more significant: two keys are ordered by the
/// bit at the highest position where they differ. `first_difference` and `bit` must agree with each other
/// and with `Ord`. A key type that breaks this makes wrong answers, never undefined behaviour.
pub trait Key: Clone + Send + Sync + 'static {
    /// Returns the position of the most significant bit where the two keys differ, `None` if they are
    /// equal.
    fn first_difference(&self, other: &Self) -> Option<u16>;

    /// Returns the bit at a position that `first_difference` returned for some two keys.
    fn bit(&self, position: u16) -> bool;
}

macro_rules! integer_keys {
    ($($ty:ty)*) => {$(
        impl Key for $ty {
            #[inline]
            fn first_difference(&self, other: &Self) -> Option<u16> {
                let difference = self ^ other;
                // At most 63, so the conversion is exact.
                (difference != 0).then(|| (<$ty>::BITS - 1 - difference.leading_zeros()) as u16)
            }

            #[inline]
            fn bit(&self, position: u16) -> bool {
                // `checked_shr` instead of a panic: a position of another key type has no bit here.
                self.checked_shr(u32::from(position)).is_some_and(|rest| rest & 1 != 0)
            }
        }
    )*};
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a bit number of a 64-bit integer fits 16 bits"
)]
mod integers {
    use super::Key;

    integer_keys!(u32 u64);
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn the_difference_orders() {
        for (low, high) in [(0_u64, 1), (1, 2), (7, 8), (u64::MAX - 1, u64::MAX), (0, u64::MAX)] {
            let at = low.first_difference(&high).unwrap();
            assert!(!low.bit(at) && high.bit(at));
            assert_eq!(high.first_difference(&low), Some(at));
            assert_eq!(low.first_difference(&low), None);
        }
        assert_eq!(5_u32.first_difference(&(1 << 31)), Some(31));
    }
}
