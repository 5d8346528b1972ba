//! How a map is made: its domain, and the fan-out of its root.

use core::fmt;
use core::marker::PhantomData;
use core::ops::RangeInclusive;

use super::map::EbTree;
use crate::key::Key;
use crate::reclaim::{Domain, Reclaimer};

/// Which root a key belongs to: a function that follows the order of the keys.
///
/// ```text
///   first ─────────────── range ──────────────── last
///   │ 0 │ 1 │ 2 │ … each of 2^shift leading values │ the rest │
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Roots {
    first: u64,
    shift: u32,
    last_root: u64,
}

impl Roots {
    pub(super) const ONE: Self = Self { first: 0, shift: 0, last_root: 0 };

    fn new(bits: u32, first: u64, last: u64) -> Self {
        let width = u64::BITS - last.saturating_sub(first).leading_zeros();
        Self { first, shift: width.saturating_sub(bits).min(63), last_root: (1 << bits) - 1 }
    }

    /// Returns the index of the root of the keys that lead with this.
    #[inline]
    pub(super) fn of(&self, leading: u64) -> usize {
        let root = leading.saturating_sub(self.first) >> self.shift;
        #[expect(clippy::cast_possible_truncation, reason = "indexes of roots fit")]
        let root = root.min(self.last_root) as usize;
        root
    }
}

/// Makes an [`EbTree`]; see [`EbTree::builder`].
///
/// ```
/// use ebtree::EbTree;
///
/// // A session table: keys are hashes, a million are expected.
/// let sessions = EbTree::<u64, String>::builder().fan_out(20).build();
/// sessions.insert(0x9e37_79b9_7f4a_7c15, "alice".to_owned());
///
/// // Due times of the next day, in milliseconds; whatever lies beyond is in order too.
/// let timers = EbTree::<u64, u32>::builder().fan_out_over(12, 0..=86_400_000).build();
/// timers.insert(1_000, 7);
/// assert_eq!(timers.first().map(|entry| *entry.key()), Some(1_000));
/// ```
#[must_use]
pub struct Builder<K, V, R = Domain> {
    domain: Option<R>,
    bits: u32,
    roots: Roots,
    map: PhantomData<fn() -> (K, V)>,
}

impl<K: Key, V: Send + Sync + 'static> Builder<K, V> {
    pub(super) const fn new() -> Self {
        Self { domain: None, bits: 0, roots: Roots::ONE, map: PhantomData }
    }
}

impl<K: Key, V: Send + Sync + 'static, R: Reclaimer> Builder<K, V, R> {
    /// Reclaims through `domain`, a [`Domain`] or another [reclaimer](crate::reclaim), instead of the
    /// [global](Domain::global) domain.
    pub fn domain<S: Reclaimer>(self, domain: S) -> Builder<K, V, S> {
        let Self { bits, roots, map, .. } = self;
        Builder { domain: Some(domain), bits, roots, map }
    }

    /// Gives the map `2^bits` roots of 8 bytes, for keys that are spread over all values of their type, as hashes are: each is the
    /// root of the keys with the same [leading](Key::leading) bits.
    ///
    /// An operation on one key then takes about `bits` steps less. As many roots as entries are expected are a good choice: a look-up
    /// is then two to four times as fast as without, and memory is not the price, since each root in use saves a node of twice its
    /// size. Roots that were never used take address space only. Order is kept; the operations that look for a neighbour look at
    /// the roots one after the other, so `first`, `pop_first`, `ge` and their like cost a look at each empty root on their way.
    ///
    /// # Panics
    /// When `bits` is above 32.
    pub fn fan_out(self, bits: u32) -> Self {
        self.fan_out_leading(bits, 0, u64::MAX)
    }

    /// Gives the map `2^bits` roots for keys in a part of their range, as dates and numbers in sequence are. Keys beyond
    /// it belong to the first root or to the last one, each of which is then a tree like one without a fan-out: in order, and as
    /// fast as without.
    ///
    /// # Panics
    /// When `bits` is above 32.
    pub fn fan_out_over(self, bits: u32, range: RangeInclusive<K>) -> Self {
        self.fan_out_leading(bits, range.start().leading(), range.end().leading())
    }

    fn fan_out_leading(mut self, bits: u32, first: u64, last: u64) -> Self {
        assert!(bits <= 32, "at most 2^32 roots");
        self.bits = bits;
        self.roots = Roots::new(bits, first, last);
        self
    }

    /// Makes the map.
    #[cfg(not(loom))]
    #[must_use]
    pub fn build(self) -> EbTree<K, V, R>
    where
        R: Default,
    {
        EbTree::with_roots(self.bits, self.roots, self.domain.unwrap_or_default())
    }

    /// Makes the map.
    #[cfg(loom)]
    #[must_use]
    pub fn build(self) -> EbTree<K, V, R> {
        let domain = self.domain.expect("models make their own domain");
        EbTree::with_roots(self.bits, self.roots, domain)
    }
}

impl<K, V, R> fmt::Debug for Builder<K, V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("roots", &(1_u64 << self.bits)).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn roots_follow_the_order_and_are_all_used() {
        let root = |roots: Roots, key: u64| roots.of(key);
        let whole = Roots::new(4, 0, u64::MAX);
        assert_eq!(
            [0, u64::MAX / 16, u64::MAX / 16 + 1, u64::MAX].map(|key| root(whole, key)),
            [0, 0, 1, 15]
        );
        let part = Roots::new(4, 100, 115);
        assert_eq!(
            [0, 99, 100, 101, 114, 115, 116, u64::MAX].map(|key| root(part, key)),
            [0, 0, 0, 1, 14, 15, 15, 15]
        );
        let narrow = Roots::new(8, 7, 7);
        assert_eq!([0, 7, 8, 300, u64::MAX].map(|key| root(narrow, key)), [0, 0, 1, 255, 255]);
        let upside_down = Roots::new(3, 9, 2);
        assert_eq!([0, 9, 10, u64::MAX].map(|key| root(upside_down, key)), [0, 0, 1, 7]);
        assert_eq!([0, 1, u64::MAX].map(|key| root(Roots::ONE, key)), [0; 3]);
    }
}
