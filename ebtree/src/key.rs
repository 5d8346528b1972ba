//! Keys: how a key is read bit by bit.
//!
//! | key | order | depth at most | tuples of it |
//! | --- | --- | --- | --- |
//! | `u8` … `u128`, `usize`, `i8` … `i128`, `isize` | by value | the bits of the type | yes |
//! | `bool`, `char` | by value | 1, 21 | yes |
//! | `Ipv4Addr`, `Ipv6Addr` | as numbers | 32, 128 | yes |
//! | `IpAddr` | all of IPv4, then all of IPv6 | 129 | yes |
//! | `[u8; N]`, `N` up to 8,191 | byte by byte | `8 N` | yes |
//! | tuples of 2 to 4 of these, 65,536 bits in all | by the first element that differs | the sum of theirs | yes |
//! | [`ByteKey`], up to 4,095 bytes | byte by byte, "a" before "ab" | 9 a byte, and 1 | no |
//! | [`StrKey`], up to 4,095 bytes | by code point, "a" before "ab" | 9 a byte, and 1 | no |
//!
//! Each is ordered as its `Ord` says. Comparing two keys takes a step for every 8 bytes that they have in common.
//!
//! The tree is a PATRICIA trie (Morrison, JACM 1968): a descent looks at those bits only in which keys that are there
//! differ, and compares the whole key once, at the leaf. The depth is thus that of the worst set of keys; of
//! evenly spread ones it is about `1.4 log₂ n`, however long they are.
//!
//! A map looks a key up by the key, or by what stands for one ([`Lookup`]): a `StrKey` by a `str`.
//!
//! Two lengths of key are told apart by the type ([`FixedWidthKey`]), or by the bits: no key may be the beginning of
//! another, for then there would be no bit where they differ. `ByteKey` says how it sees to that.

mod addresses;
mod bytes;
mod integers;
mod lookup;
mod strings;
mod tuples;

pub use lookup::Lookup;
pub(crate) use lookup::{Sought, is_after_start, is_before_end};
pub use strings::{ByteKey, KeyTooLong, StrKey};

/// A key of a tree: a string of bits, of which any two different ones differ somewhere.
///
/// A *position* numbers a bit. Higher positions are more significant: two keys are ordered by the
/// bit at the highest position where they differ. `first_difference` and `bit` must agree with each other
/// and with `Ord`. A key type that breaks this makes wrong answers, never undefined behaviour.
///
/// Walks clone the keys that they pass, so a clone should be cheap.
pub trait Key: Clone + Send + Sync + 'static {
    /// Returns the position of the most significant bit where the two keys differ, `None` if they are
    /// equal.
    fn first_difference(&self, other: &Self) -> Option<u16>;

    /// Returns the bit at a position that `first_difference` returned for some two keys. At any other
    /// position the answer means nothing.
    fn bit(&self, position: u16) -> bool;

    /// Returns a number that follows the order of the keys: of two keys the smaller one does not have the larger number.
    ///
    /// A [fanned-out](crate::tree::Builder::fan_out) map chooses the root by it. The keys' first 64 bits are best; with the
    /// default, 0 for all keys, a fan-out brings nothing.
    #[inline]
    fn leading(&self) -> u64 {
        0
    }
}

/// A key whose positions all lie below a number that the type alone decides, so that another key can follow it.
///
/// Tuples of such keys are keys. Implement it for a type of your own to use that in a tuple:
///
/// 1. Any position that [`first_difference`](Key::first_difference) returns is below [`BITS`](Self::BITS).
/// 2. [`bit`](Key::bit) does not panic at any position.
///
/// An implementation that breaks the first makes wrong answers in tuples, never undefined behaviour.
///
/// # Examples
///
/// ```
/// use ebtree::{EbTree, FixedWidthKey, Key};
/// use std::net::Ipv4Addr;
///
/// #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
/// enum Protocol {
///     Tcp,
///     Udp,
/// }
///
/// impl Key for Protocol {
///     fn first_difference(&self, other: &Self) -> Option<u16> {
///         (self != other).then_some(0)
///     }
///
///     fn bit(&self, _: u16) -> bool {
///         *self == Self::Udp
///     }
/// }
///
/// impl FixedWidthKey for Protocol {
///     const BITS: u32 = 1;
/// }
///
/// let flows = EbTree::new();
/// let host = Ipv4Addr::new(192, 0, 2, 1);
/// flows.insert((host, Protocol::Tcp, 443_u16), "web");
/// flows.insert((host, Protocol::Udp, 53), "names");
/// let next = flows.ge(&(host, Protocol::Tcp, 444));
/// assert_eq!(next.map(|flow| *flow.value()), Some("names"));
/// ```
///
/// All 65,536 positions may be used. What needs more does not compile:
///
/// ```
/// # use ebtree::FixedWidthKey;
/// assert_eq!(<([u8; 8191], u8)>::BITS, 65_536);
/// ```
/// ```compile_fail
/// # use ebtree::FixedWidthKey;
/// let _ = <([u8; 8191], u8, bool)>::BITS;
/// ```
/// ```compile_fail
/// # use ebtree::FixedWidthKey;
/// let _ = <[u8; 8192]>::BITS;
/// ```
pub trait FixedWidthKey: Key {
    /// One more than the highest position; at most 65,536.
    const BITS: u32;
}
