//! Integers, and what is numbered as they are: a position is the number of the bit, from the least significant end.

use super::{FixedWidthKey, Key};

macro_rules! unsigned_keys {
    ($($ty:ty)*) => {$(
        impl Key for $ty {
            #[inline]
            fn first_difference(&self, other: &Self) -> Option<u16> {
                (self ^ other).checked_ilog2().map(|position| position as u16)
            }

            #[inline]
            fn bit(&self, position: u16) -> bool {
                // Masked: no position of this type is as large as its number of bits.
                self.wrapping_shr(u32::from(position)) & 1 != 0
            }

            #[inline]
            fn leading(&self) -> u64 {
                // The first 64 bits, wherever they are: of shorter ones all, at the upper end.
                let below = Self::BITS.saturating_sub(u64::BITS);
                (self.wrapping_shr(below) as u64) << u64::BITS.saturating_sub(Self::BITS)
            }
        }

        impl FixedWidthKey for $ty {
            const BITS: u32 = Self::BITS;
        }
    )*};
}

macro_rules! signed_keys {
    ($($ty:ty)*) => {$(
        impl Key for $ty {
            #[inline]
            fn first_difference(&self, other: &Self) -> Option<u16> {
                self.cast_unsigned().first_difference(&other.cast_unsigned())
            }

            #[inline]
            fn bit(&self, position: u16) -> bool {
                // The sign bit turned over puts the negative numbers first.
                (self.cast_unsigned() ^ Self::MIN.cast_unsigned()).bit(position)
            }

            #[inline]
            fn leading(&self) -> u64 {
                (self.cast_unsigned() ^ Self::MIN.cast_unsigned()).leading()
            }
        }

        impl FixedWidthKey for $ty {
            const BITS: u32 = Self::BITS;
        }
    )*};
}

#[expect(clippy::cast_possible_truncation, reason = "a bit number fits 16 bits")]
mod unsigned {
    use super::{FixedWidthKey, Key};

    unsigned_keys!(u8 u16 u32 u64 u128 usize);
}

signed_keys!(i8 i16 i32 i64 i128 isize);

impl Key for bool {
    #[inline]
    fn first_difference(&self, other: &Self) -> Option<u16> {
        (self != other).then_some(0)
    }

    #[inline]
    fn bit(&self, _: u16) -> bool {
        *self
    }

    #[inline]
    fn leading(&self) -> u64 {
        u64::from(*self) << (u64::BITS - <Self as FixedWidthKey>::BITS)
    }
}

impl FixedWidthKey for bool {
    const BITS: u32 = 1;
}

impl Key for char {
    #[inline]
    fn first_difference(&self, other: &Self) -> Option<u16> {
        u32::from(*self).first_difference(&u32::from(*other))
    }

    #[inline]
    fn bit(&self, position: u16) -> bool {
        u32::from(*self).bit(position)
    }

    #[inline]
    fn leading(&self) -> u64 {
        u64::from(u32::from(*self)) << (u64::BITS - <Self as FixedWidthKey>::BITS)
    }
}

impl FixedWidthKey for char {
    const BITS: u32 = (Self::MAX as u32).ilog2() + 1;
}
