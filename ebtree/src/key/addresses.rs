//! IP addresses: as the numbers they are.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::Key;

macro_rules! address_keys {
    ($($ty:ty)*) => {$(
        impl Key for $ty {
            #[inline]
            fn first_difference(&self, other: &Self) -> Option<u16> {
                self.to_bits().first_difference(&other.to_bits())
            }

            #[inline]
            fn bit(&self, position: u16) -> bool {
                self.to_bits().bit(position)
            }

            #[inline]
            fn leading(&self) -> u64 {
                self.to_bits().leading()
            }
        }
    )*};
}

address_keys!(Ipv4Addr Ipv6Addr);
