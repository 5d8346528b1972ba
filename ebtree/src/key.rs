//! Keys: how a key is read bit by bit.
//!
//! | key | order | depth at most |
//! | --- | --- | --- |
//! | `u8` … `u128`, `usize`, `i8` … `i128`, `isize` | by value | the bits of the type |
//! | `Ipv4Addr`, `Ipv6Addr` | as numbers | 32, 128 |
//! | `[u8; N]`, `N` up to 8,191 | byte by byte | `8 N` |
//!
//! The tree is a PATRICIA trie (Morrison, JACM 1968): a descent looks at those bits only in which keys that are there
//! differ, and compares the whole key once, at the leaf.

mod addresses;
mod bytes;
mod integers;

/// A key of a tree: a string of bits, of which any two different ones differ somewhere.
///
/// A *position* numbers a bit. Higher positions are more significant: two keys are ordered by the
/// bit at the highest position where they differ. `first_difference` and `bit` must agree with each other
/// and with `Ord`. A key type that breaks this makes wrong answers, never undefined behaviour.
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
