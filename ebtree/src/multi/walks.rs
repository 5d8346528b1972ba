//! Walks over the entries of a map with several values of a key.

use core::fmt;
use core::iter::FusedIterator;
use core::ops::{Bound, RangeBounds};

use super::{At, EbMultiTree, Entry, MultiKey, Numbered};
use crate::key::Lookup;
use crate::reclaim::{Domain, Reclaimer};
use crate::tree;

/// A walk over all entries; see [`EbMultiTree::iter`].
pub type Iter<'t, K, V, R = Domain> = Range<'t, K, V, R>;

/// A walk over the entries in a range of keys, from both ends; see [`EbMultiTree::range`].
#[derive(Clone)]
pub struct Range<'t, K: MultiKey, V: Send + Sync + 'static, R: Reclaimer = Domain>(
    tree::Range<'t, Numbered<K>, V, R>,
);

/// A walk over a range whose ends are what keys are looked up by; see [`EbMultiTree::range_by`].
pub struct RangeBy<'t, 'q, K, V, Q, R = Domain>(tree::Between<'t, Numbered<K>, V, R, At<'q, Q>>)
where
    K: MultiKey,
    V: Send + Sync + 'static,
    Q: ?Sized,
    R: Reclaimer;

/// Takes entries from the front of a map; see [`EbMultiTree::drain_until`].
#[must_use = "entries are taken as the iterator is driven"]
pub struct DrainUntil<'t, K: MultiKey, V: Send + Sync + 'static, R: Reclaimer = Domain>(
    tree::DrainUntil<'t, Numbered<K>, V, R>,
);

impl<K: MultiKey, V: Send + Sync + 'static, R: Reclaimer> EbMultiTree<K, V, R> {
    /// Walks all entries by ascending keys, and those of one key oldest first; or from both ends.
    ///
    /// An entry that is present during the whole life of the walk is seen once; one that comes or goes meanwhile may or may not be
    /// seen. A walk keeps nothing alive and may stand still for as long as it likes.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, K, V, R> {
        Range(self.tree.iter())
    }

    /// Walks the entries in a range of keys, as [`iter`](Self::iter) does.
    #[must_use]
    pub fn range<'k>(&self, range: impl RangeBounds<&'k K>) -> Range<'_, K, V, R>
    where
        K: 'k,
    {
        let start = match range.start_bound() {
            Bound::Unbounded => Bound::Unbounded,
            Bound::Included(key) => Bound::Included(Numbered::first(*key)),
            Bound::Excluded(key) => Bound::Excluded(Numbered::last(*key)),
        };
        let end = match range.end_bound() {
            Bound::Unbounded => Bound::Unbounded,
            Bound::Included(key) => Bound::Included(Numbered::last(*key)),
            Bound::Excluded(key) => Bound::Excluded(Numbered::first(*key)),
        };
        Range(self.tree.range((start, end)))
    }

    /// Walks the entries between two ends, as [`range`](Self::range) does; the ends may be what [stands for](Lookup) a key. For
    /// the entries of one key give that as both ends, [included](Bound::Included).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::ops::Bound::Included;
    ///
    /// use ebtree::{EbMultiTree, StrKey};
    ///
    /// let mails = EbMultiTree::new();
    /// mails.insert(StrKey::new("alice")?, "hello")?;
    /// mails.insert(StrKey::new("alice")?, "and again")?;
    /// mails.insert(StrKey::new("bob")?, "hi")?;
    /// let of_alice = mails.range_by(Included("alice"), Included("alice"));
    /// assert!(of_alice.map(|mail| *mail).eq(["hello", "and again"]));
    /// assert_eq!(mails.remove_all("alice"), 2);
    /// # Ok::<_, ebtree::KeyTooLong>(())
    /// ```
    #[must_use]
    pub const fn range_by<'q, Q: ?Sized>(
        &self,
        start: Bound<&'q Q>,
        end: Bound<&'q Q>,
    ) -> RangeBy<'_, 'q, K, V, Q, R>
    where
        K: Lookup<Q>,
    {
        let start = match start {
            Bound::Unbounded => Bound::Unbounded,
            Bound::Included(key) => Bound::Included(At::first(key)),
            Bound::Excluded(key) => Bound::Excluded(At::last(key)),
        };
        let end = match end {
            Bound::Unbounded => Bound::Unbounded,
            Bound::Included(key) => Bound::Included(At::last(key)),
            Bound::Excluded(key) => Bound::Excluded(At::first(key)),
        };
        RangeBy(tree::Between::new(&self.tree, start, end))
    }

    /// Takes the entries whose keys are at most `end`, in order, as the iterator is driven; see
    /// [`EbTree::drain_until`](crate::EbTree::drain_until), also for when it does not end.
    pub fn drain_until(&self, end: &K) -> DrainUntil<'_, K, V, R> {
        DrainUntil(self.tree.drain_until(&Numbered::last(end)))
    }
}

impl<'t, K: MultiKey, V: Send + Sync + 'static, R: Reclaimer> Iterator for Range<'t, K, V, R> {
    type Item = Entry<'t, K, V, R>;

    fn next(&mut self) -> Option<Entry<'t, K, V, R>> {
        self.0.next().map(Entry)
    }
}

impl<K: MultiKey, V: Send + Sync + 'static, R: Reclaimer> DoubleEndedIterator
    for Range<'_, K, V, R>
{
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(Entry)
    }
}

impl<K: MultiKey, V: Send + Sync + 'static, R: Reclaimer> FusedIterator for Range<'_, K, V, R> {}

impl<K: MultiKey + fmt::Debug, V: Send + Sync + 'static, R: Reclaimer> fmt::Debug
    for Range<'_, K, V, R>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'t, K, V, Q: ?Sized, R> Iterator for RangeBy<'t, '_, K, V, Q, R>
where
    K: MultiKey + Lookup<Q>,
    V: Send + Sync + 'static,
    R: Reclaimer,
{
    type Item = Entry<'t, K, V, R>;

    fn next(&mut self) -> Option<Entry<'t, K, V, R>> {
        self.0.next().map(Entry)
    }
}

impl<K, V, Q: ?Sized, R> DoubleEndedIterator for RangeBy<'_, '_, K, V, Q, R>
where
    K: MultiKey + Lookup<Q>,
    V: Send + Sync + 'static,
    R: Reclaimer,
{
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(Entry)
    }
}

impl<K, V, Q: ?Sized, R> FusedIterator for RangeBy<'_, '_, K, V, Q, R>
where
    K: MultiKey + Lookup<Q>,
    V: Send + Sync + 'static,
    R: Reclaimer,
{
}

impl<K: MultiKey, V: Send + Sync + 'static, Q: ?Sized, R: Reclaimer> Clone
    for RangeBy<'_, '_, K, V, Q, R>
{
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: MultiKey, V: Send + Sync + 'static, Q: ?Sized, R: Reclaimer> fmt::Debug
    for RangeBy<'_, '_, K, V, Q, R>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeBy").finish_non_exhaustive()
    }
}

impl<'t, K: MultiKey, V: Send + Sync + 'static, R: Reclaimer> Iterator for DrainUntil<'t, K, V, R> {
    type Item = Entry<'t, K, V, R>;

    /// Takes the next entry. After `None`, entries that were inserted since may come.
    fn next(&mut self) -> Option<Entry<'t, K, V, R>> {
        self.0.next().map(Entry)
    }
}

impl<K: MultiKey + fmt::Debug, V: Send + Sync + 'static, R: Reclaimer> fmt::Debug
    for DrainUntil<'_, K, V, R>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainUntil").finish_non_exhaustive()
    }
}

impl<'t, K: MultiKey, V: Send + Sync + 'static, R: Reclaimer> IntoIterator
    for &'t EbMultiTree<K, V, R>
{
    type Item = Entry<'t, K, V, R>;
    type IntoIter = Iter<'t, K, V, R>;

    fn into_iter(self) -> Iter<'t, K, V, R> {
        self.iter()
    }
}

impl<K: MultiKey<Refusal = core::convert::Infallible>, V: Send + Sync + 'static, R: Reclaimer>
    Extend<(K, V)> for &EbMultiTree<K, V, R>
{
    /// Inserts each pair: a shared map can be extended too.
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        for (key, value) in pairs {
            let Ok(_) = self.insert(key, value);
        }
    }
}

impl<K: MultiKey<Refusal = core::convert::Infallible>, V: Send + Sync + 'static, R: Reclaimer>
    Extend<(K, V)> for EbMultiTree<K, V, R>
{
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        (&*self).extend(pairs);
    }
}

#[cfg(not(loom))]
impl<K, V, R> FromIterator<(K, V)> for EbMultiTree<K, V, R>
where
    K: MultiKey<Refusal = core::convert::Infallible>,
    V: Send + Sync + 'static,
    R: Reclaimer + Default,
{
    /// Collects into a map in the [global](crate::Domain::global) domain.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let map = Self::default();
        (&map).extend(pairs);
        map
    }
}
