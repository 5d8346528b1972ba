//! A prefix: the first bits of an address, which stand for all addresses that begin with them.
//!
//! As a key of a tree a prefix is a string of bits of its own. Each bit of the address is preceded by a 1, *it goes
//! on*, and a 0 ends what is shorter than an address:
//!
//! ```text
//! 128.0.0.0/1         1 1  0
//! 160.0.0.0/3         1 1  1 0  1 1  0
//! position           63 62 …                the j-th bit from the right stands at 2 j, what precedes it at 2 j + 1
//! ```
//!
//! So no prefix begins another one, which the tree asks of its keys, and a prefix comes right before those that
//! it covers. The string is never written down: it is read off the address and the length.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use super::Address;
use crate::key::Key;

/// The first bits of an address, and so all addresses that begin with them: a network.
///
/// Written `10.0.0.0/8`, `2001:db8::/32`; an address alone is the network of that address only. Ordered by address,
/// then by length: a prefix comes before those that it covers, and they come before anything else.
///
/// # Examples
///
/// ```
/// use ebtree::Ipv4Prefix;
///
/// let network: Ipv4Prefix = "10.1.0.0/16".parse()?;
/// assert!(network.contains([10, 1, 2, 3].into()));
/// assert!("10.0.0.0/8".parse::<Ipv4Prefix>()?.covers(&network));
/// assert_eq!("10.1.2.3/16".parse(), Ok(network), "bits beyond the length do not count");
/// # Ok::<(), ebtree::prefix::PrefixError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix<A> {
    /// All bits beyond the length are 0.
    address: A,
    length: u8,
}

/// A network of IPv4 addresses.
pub type Ipv4Prefix = Prefix<Ipv4Addr>;

/// A network of IPv6 addresses.
pub type Ipv6Prefix = Prefix<Ipv6Addr>;

impl<A: Address> Prefix<A> {
    /// The prefix without bits: all addresses.
    pub const ALL: Self = Self { address: A::FIRST, length: 0 };

    /// Returns the prefix of this length. Any address of a network will do: bits beyond the length are
    /// cleared.
    ///
    /// # Errors
    /// [`PrefixError::TooLong`] when an address has fewer bits.
    pub fn new(address: A, length: u8) -> Result<Self, PrefixError> {
        if length > A::BITS {
            return Err(PrefixError::TooLong { length: u32::from(length), bits: A::BITS });
        }
        Ok(Self::truncated(address, length))
    }

    #[inline]
    fn truncated(address: A, length: u8) -> Self {
        Self { address: address.filled(length, false), length }
    }

    /// Returns the prefix that is the whole address.
    #[inline]
    #[must_use]
    pub const fn host(address: A) -> Self {
        Self { address, length: A::BITS }
    }

    /// Returns the first address.
    #[must_use]
    pub const fn address(&self) -> A {
        self.address
    }

    /// Returns the last address.
    #[must_use]
    pub fn last_address(&self) -> A {
        self.address.filled(self.length, true)
    }

    /// Returns the number of bits.
    #[must_use]
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Returns whether the address begins with this prefix.
    #[must_use]
    pub fn contains(&self, address: A) -> bool {
        self.address.common(address) >= self.length
    }

    /// Returns whether this prefix begins the other one, or is equal to it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.length <= other.length && self.contains(other.address)
    }

    /// Returns the prefix that is one bit shorter, `None` if this one has no bits.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        Some(Self::truncated(self.address, self.length.checked_sub(1)?))
    }

    /// Returns the number, from the right, of the bit before which it is told at this position whether a prefix goes on,
    /// `None` if the position is that of a bit of the address itself.
    #[inline]
    fn goes_on_before(position: u16) -> Option<u16> {
        (position & 1 != 0).then_some(position >> 1)
    }

    /// Returns whether this is a position of which a prefix tells whether it goes on: then the one that has a 0
    /// there begins all others that agree with it so far.
    #[inline]
    pub(super) fn is_end(position: u16) -> bool {
        Self::goes_on_before(position).is_some()
    }
}

impl Ipv4Prefix {
    /// Returns the same network among the IPv6 addresses that stand for IPv4 ones: `::ffff:10.0.0.0/104` for `10.0.0.0/8`.
    /// So one table holds both.
    #[must_use]
    pub const fn to_ipv6_mapped(&self) -> Ipv6Prefix {
        Prefix { address: self.address.to_ipv6_mapped(), length: 96 + self.length }
    }
}

impl<A: Address> From<A> for Prefix<A> {
    fn from(address: A) -> Self {
        Self::host(address)
    }
}

impl<A: Address> Key for Prefix<A> {
    #[inline]
    fn first_difference(&self, other: &Self) -> Option<u16> {
        let shorter = self.length.min(other.length);
        let common = self.address.common(other.address).min(shorter);
        if common == shorter && self.length == other.length {
            return None;
        }
        // One of the two has a bit beyond the common ones, so there is one.
        let bit = u16::from(A::BITS - 1 - common);
        // Both go on and their bits differ, or one ends here.
        Some(2 * bit + u16::from(common == shorter))
    }

    #[inline]
    fn bit(&self, position: u16) -> bool {
        match Self::goes_on_before(position) {
            Some(bit) => u16::from(self.length) + bit >= u16::from(A::BITS),
            None => self.address.bit(position >> 1),
        }
    }
}

/// Why something is no prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrefixError {
    /// An address has fewer bits.
    TooLong {
        /// The length that was given.
        length: u32,
        /// How many bits an address has.
        bits: u8,
    },
    /// What stands before the slash is no address.
    Address,
    /// What stands behind the slash is no number.
    Length,
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { length, bits } => {
                write!(f, "a prefix of {length} bits, where an address has {bits}")
            }
            Self::Address => f.write_str("not an address"),
            Self::Length => f.write_str("the length of a prefix is not a number"),
        }
    }
}

impl core::error::Error for PrefixError {}

impl<A: Address + FromStr> FromStr for Prefix<A> {
    type Err = PrefixError;

    /// Reads `10.0.0.0/8`, or `10.0.0.1` for the prefix that is the whole address. Bits beyond the length are
    /// cleared, as by [`new`](Self::new).
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address = address.parse::<A>().map_err(|_| PrefixError::Address)?;
        let Some(length) = length else { return Ok(Self::host(address)) };
        // No sign, and no zeros in front, which some read as octal.
        let is_plain = length.bytes().all(|byte| byte.is_ascii_digit())
            && (length == "0" || !length.starts_with('0'));
        let length = length.parse::<u32>().ok().filter(|_| is_plain).ok_or(PrefixError::Length)?;
        match u8::try_from(length) {
            Ok(short) => Self::new(address, short),
            Err(_) => Err(PrefixError::TooLong { length, bits: A::BITS }),
        }
    }
}

impl<A: fmt::Display> fmt::Display for Prefix<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In one piece, so that a width pads all of it.
        f.pad(&format!("{}/{}", self.address, self.length))
    }
}

impl<A: fmt::Debug> fmt::Debug for Prefix<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}", self.address, self.length)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn four(text: &str) -> Ipv4Prefix {
        text.parse().unwrap()
    }

    /// The string of bits, written down.
    fn bits(prefix: &Ipv4Prefix, count: u16) -> String {
        (0..count).map(|index| if prefix.bit(63 - index) { '1' } else { '0' }).collect()
    }

    #[test]
    fn bits_as_documented() {
        assert_eq!(bits(&four("128.0.0.0/1"), 3), "110");
        assert_eq!(bits(&four("160.0.0.0/3"), 7), "1110110");
        assert_eq!(bits(&four("0.0.0.0/0"), 1), "0");
        assert_eq!(bits(&four("255.255.255.255"), 64), "1".repeat(64));
        assert_eq!(bits(&four("0.0.0.0"), 64), "10".repeat(32));
    }

    #[test]
    fn differences_are_where_the_bits_differ() {
        let addresses = ["0.0.0.0", "128.0.0.0", "160.0.0.0", "10.0.0.0", "10.1.0.0", "10.1.0.1"];
        let all: Vec<Ipv4Prefix> = addresses
            .iter()
            .flat_map(|text| (0..=32).map(move |length| four(&format!("{text}/{length}"))))
            .collect();
        for a in &all {
            for b in &all {
                let (left, right) = (bits(a, 64), bits(b, 64));
                let differs = left.bytes().zip(right.bytes()).position(|(x, y)| x != y);
                let expected = differs.map(|index| 63 - u16::try_from(index).unwrap());
                assert_eq!(a.first_difference(b), expected, "{a} and {b}");
                assert_eq!(a.cmp(b), left.cmp(&right), "{a} and {b}");
                assert_eq!(a.covers(b), a.contains(b.address()) && a.length() <= b.length());
            }
        }
    }

    #[test]
    fn any_position_has_an_answer() {
        for prefix in [four("10.0.0.0/8"), four("255.255.255.255")] {
            for position in [0, 63, 64, 255, 256, 511, 512, u16::MAX] {
                let _ = prefix.bit(position);
            }
        }
    }
}
