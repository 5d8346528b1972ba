//! IP addresses: as the numbers they are, and those of both families with the family above the number.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{FixedWidthKey, Key};

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

        impl FixedWidthKey for $ty {
            const BITS: u32 = Self::BITS;
        }
    )*};
}

address_keys!(Ipv4Addr Ipv6Addr);

/// The bit above the number: whether it is of IPv6, so that IPv4 comes first, as in `Ord`.
const FAMILY: u16 = 128;

impl Key for IpAddr {
    #[inline]
    fn first_difference(&self, other: &Self) -> Option<u16> {
        if self.is_ipv6() != other.is_ipv6() {
            return Some(FAMILY);
        }
        number(*self).first_difference(&number(*other))
    }

    #[inline]
    fn bit(&self, position: u16) -> bool {
        if position == FAMILY { self.is_ipv6() } else { number(*self).bit(position) }
    }

    #[inline]
    fn leading(&self) -> u64 {
        // The family, and the first bits of the address, which of one family have one length.
        match self {
            Self::V4(v4) => v4.leading() >> 1,
            Self::V6(v6) => 1 << 63 | v6.leading() >> 1,
        }
    }
}

impl FixedWidthKey for IpAddr {
    const BITS: u32 = 129;
}

/// The address in as many bits as the longer family has: the shorter one has an answer at each of its positions.
#[inline]
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}
