//! What keys are looked up by: themselves, or what stands for one without being made into one.

use core::cmp::Ordering;
use core::ops::Bound;

use super::Key;

/// A key that is looked up by a `Q`, as [`Borrow`](core::borrow::Borrow) says it of std's maps: every key by itself, a
/// [`StrKey`](super::StrKey) by a `str`, a [`ByteKey`](super::ByteKey) by a `[u8]`. No key is made, and nothing is allocated.
///
/// A `Q` stands for a string of bits as a key does, perhaps for one that no key can have: a longer string than keys may be is in no
/// map, and has its place in their order.
///
/// Implement it for a key of your own where its borrowed form is cheaper to come by. The three methods must answer as those of
/// [`Key`] do where `query` is as long as a key may be, and in the same order beyond. An implementation that breaks this makes wrong
/// answers, never undefined behaviour.
///
/// # Examples
///
/// ```
/// use ebtree::{EbTree, StrKey};
///
/// let hits = EbTree::new();
/// hits.insert(StrKey::new("/static")?, 1);
/// assert!(hits.contains_key("/static"));
/// assert_eq!(hits.ge("/s").map(|entry| *entry), Some(1));
/// assert!(!hits.contains_key(&*"/".repeat(5000)));
/// assert_eq!(hits.remove(&StrKey::new("/static")?).map(|entry| *entry), Some(1));
/// # Ok::<_, ebtree::KeyTooLong>(())
/// ```
///
/// A key of one's own, found by the text that it is written as:
///
/// ```
/// use ebtree::{EbTree, Key, Lookup, StrKey};
///
/// #[derive(Clone)]
/// struct Host(StrKey);
///
/// impl Key for Host {
///     fn first_difference(&self, other: &Self) -> Option<u16> {
///         self.0.first_difference(&other.0)
///     }
///
///     fn bit(&self, position: u16) -> bool {
///         self.0.bit(position)
///     }
/// }
///
/// impl Lookup<str> for Host {
///     fn first_difference_from(&self, query: &str) -> Option<u16> {
///         self.0.first_difference_from(query)
///     }
///
///     fn bit_of(query: &str, position: u16) -> bool {
///         StrKey::bit_of(query, position)
///     }
///
///     fn leading_of(_: &str) -> u64 {
///         0 // As `Key::leading` of a host.
///     }
/// }
///
/// let hosts = EbTree::new();
/// hosts.insert(Host(StrKey::new("www")?), 443);
/// assert_eq!(hosts.get("www").map(|port| *port), Some(443));
/// # Ok::<_, ebtree::KeyTooLong>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a key of type `{Self}` is not looked up by a `{Q}`",
    note = "keys are looked up by themselves, `StrKey` by `str` too, and `ByteKey` by `[u8]` and arrays of bytes"
)]
pub trait Lookup<Q: ?Sized>: Key {
    /// Returns the position of the most significant bit where the key differs from what `query` stands for, `None` if it is
    /// that; see [`Key::first_difference`].
    fn first_difference_from(&self, query: &Q) -> Option<u16>;

    /// Returns the bit of what `query` stands for at a position; see [`Key::bit`].
    fn bit_of(query: &Q, position: u16) -> bool;

    /// Returns [`Key::leading`] of what `query` stands for.
    fn leading_of(query: &Q) -> u64;
}

impl<K: Key> Lookup<K> for K {
    #[inline]
    fn first_difference_from(&self, query: &K) -> Option<u16> {
        self.first_difference(query)
    }

    #[inline]
    fn bit_of(query: &K, position: u16) -> bool {
        query.bit(position)
    }

    #[inline]
    fn leading_of(query: &K) -> u64 {
        query.leading()
    }
}

/// The same as one argument, which maps pass on.
pub(crate) trait Sought<K>: Copy {
    fn differs_at(self, key: &K) -> Option<u16>;

    fn bit_at(self, position: u16) -> bool;

    fn leads_with(self) -> u64;

    /// Compares a key with it.
    #[inline]
    fn order(self, key: &K) -> Ordering {
        match self.differs_at(key) {
            None => Ordering::Equal,
            Some(position) if self.bit_at(position) => Ordering::Less,
            Some(_) => Ordering::Greater,
        }
    }
}

impl<K: Lookup<Q>, Q: ?Sized> Sought<K> for &Q {
    #[inline]
    fn differs_at(self, key: &K) -> Option<u16> {
        key.first_difference_from(self)
    }

    #[inline]
    fn bit_at(self, position: u16) -> bool {
        K::bit_of(self, position)
    }

    #[inline]
    fn leads_with(self) -> u64 {
        K::leading_of(self)
    }
}

/// Whether a walk upwards that ends here comes to `key`.
pub(crate) fn is_before_end<K>(key: &K, end: Bound<impl Sought<K>>) -> bool {
    match end {
        Bound::Unbounded => true,
        Bound::Included(end) => end.order(key).is_le(),
        Bound::Excluded(end) => end.order(key).is_lt(),
    }
}

/// Whether a walk downwards that ends here comes to `key`.
pub(crate) fn is_after_start<K>(key: &K, start: Bound<impl Sought<K>>) -> bool {
    match start {
        Bound::Unbounded => true,
        Bound::Included(start) => start.order(key).is_ge(),
        Bound::Excluded(start) => start.order(key).is_gt(),
    }
}
