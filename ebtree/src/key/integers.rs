//! Integers: a position is the number of the bit, from the least significant end.

use super::Key;

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
        }
    )*};
}

#[expect(clippy::cast_possible_truncation, reason = "a bit number fits 16 bits")]
mod unsigned {
    use super::Key;

    unsigned_keys!(u8 u16 u32 u64 u128 usize);
}

signed_keys!(i8 i16 i32 i64 i128 isize);
