//! What prefixes are made of: addresses, as strings of bits.

use core::net::{Ipv4Addr, Ipv6Addr};

/// An address: a string of bits, of the same length for all addresses of the type.
///
/// Implemented for IP addresses; a hardware address or a plain number may have prefixes as well. `Ord` must compare
/// bit by bit, the most significant first. A type that breaks the contract makes wrong answers, never undefined
/// behaviour.
pub trait Address: Copy + Ord + Send + Sync + 'static {
    /// How many bits an address has, 1 at least.
    const BITS: u8;

    /// The address of which no bit is set.
    const FIRST: Self;

    /// Returns the bit of this number: 0 is the least significant one. Must not panic, also for numbers that no bit has.
    fn bit(self, number: u16) -> bool;

    /// Returns how many bits the two have in common, from the most significant on: [`BITS`](Self::BITS) if they are
    /// equal.
    fn common(self, other: Self) -> u8;

    /// Returns the address with all bits beyond the first `length` cleared, or all set. `length` is at most
    /// [`BITS`](Self::BITS).
    fn filled(self, length: u8, ones: bool) -> Self;
}

macro_rules! addresses {
    ($($ty:ty: $bits:ty)*) => {$(
        impl Address for $ty {
            const BITS: u8 = <$bits>::BITS as u8;
            const FIRST: Self = Self::UNSPECIFIED;

            #[inline]
            fn bit(self, number: u16) -> bool {
                self.to_bits().wrapping_shr(u32::from(number)) & 1 != 0
            }

            #[inline]
            fn common(self, other: Self) -> u8 {
                (self.to_bits() ^ other.to_bits()).leading_zeros() as u8
            }

            #[inline]
            fn filled(self, length: u8, ones: bool) -> Self {
                // Nothing is left of the mask when all bits count.
                let rest = <$bits>::MAX.checked_shr(u32::from(length)).unwrap_or(0);
                let bits = self.to_bits();
                Self::from_bits(if ones { bits | rest } else { bits & !rest })
            }
        }
    )*};
}

#[expect(clippy::cast_possible_truncation, reason = "128 bits at most")]
mod internet {
    use super::{Address, Ipv4Addr, Ipv6Addr};

    addresses!(Ipv4Addr: u32 Ipv6Addr: u128);
}
