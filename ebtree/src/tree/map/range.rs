//! Walks over a borrowed map: a position at either end, and a search from it at each step.

use core::fmt;
use core::iter::FusedIterator;
use core::ops::Bound;

use super::{By, EbTree, Entry};
use crate::key::{Key, Sought, is_after_start, is_before_end};
use crate::reclaim::{Domain, Reclaimer};

/// A walk over all entries; see [`EbTree::iter`].
pub type Iter<'t, K, V, R = Domain> = Range<'t, K, V, R>;

/// A walk over a range of keys, from both ends; see [`EbTree::range`].
///
/// Each step is one ordered search, in `O(d)`. The two ends never cross, each gives keys in strict order, and no key comes
/// from both. After the first `None`, from whichever end, the walk is over, also when keys are inserted afterwards.
pub struct Range<'t, K: Key, V: Send + Sync + 'static, R: Reclaimer = Domain> {
    tree: &'t EbTree<K, V, R>,
    from: Bound<K>,
    to: Bound<K>,
    over: bool,
}

impl<'t, K: Key, V: Send + Sync + 'static, R: Reclaimer> Range<'t, K, V, R> {
    pub(super) const fn new(tree: &'t EbTree<K, V, R>, from: Bound<K>, to: Bound<K>) -> Self {
        Self { tree, from, to, over: false }
    }
}

impl<'t, K: Key, V: Send + Sync + 'static, R: Reclaimer> Iterator for Range<'t, K, V, R> {
    type Item = Entry<'t, K, V, R>;

    /// Returns the next entry. A key inserted between the last one and this call may be passed over only if it
    /// was not present during the whole call.
    fn next(&mut self) -> Option<Entry<'t, K, V, R>> {
        if self.over {
            return None;
        }
        let next = self.tree.above(self.from.as_ref());
        let next = next.filter(|next| is_before_end(next.key(), self.to.as_ref()));
        match &next {
            Some(next) => self.from = Bound::Excluded(next.key().clone()),
            None => self.over = true,
        }
        next
    }

    fn last(mut self) -> Option<Entry<'t, K, V, R>> {
        self.next_back()
    }
}

impl<'t, K: Key, V: Send + Sync + 'static, R: Reclaimer> DoubleEndedIterator
    for Range<'t, K, V, R>
{
    /// Returns the next entry from the end; otherwise as [`next`](Iterator::next).
    fn next_back(&mut self) -> Option<Entry<'t, K, V, R>> {
        if self.over {
            return None;
        }
        let next = self.tree.below(self.to.as_ref());
        let next = next.filter(|next| is_after_start(next.key(), self.from.as_ref()));
        match &next {
            Some(next) => self.to = Bound::Excluded(next.key().clone()),
            None => self.over = true,
        }
        next
    }
}

impl<K: Key, V: Send + Sync + 'static, R: Reclaimer> FusedIterator for Range<'_, K, V, R> {}

impl<K: Key, V: Send + Sync + 'static, R: Reclaimer> Clone for Range<'_, K, V, R> {
    /// Returns a walk over what is left of this one.
    fn clone(&self) -> Self {
        Self { tree: self.tree, from: self.from.clone(), to: self.to.clone(), over: self.over }
    }
}

impl<K: Key + fmt::Debug, V: Send + Sync + 'static, R: Reclaimer> fmt::Debug
    for Range<'_, K, V, R>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Range");
        shown.field("from", &self.from).field("to", &self.to).field("over", &self.over).finish()
    }
}

impl<K: Key, V: Send + Sync + 'static, R: Reclaimer> EbTree<K, V, R> {
    /// Returns the first entry of a range that starts here.
    #[inline]
    pub(crate) fn above(&self, start: Bound<impl Sought<K>>) -> Option<Entry<'_, K, V, R>> {
        let (key, inclusive) = match start {
            Bound::Unbounded => return self.first(),
            Bound::Included(key) => (key, true),
            Bound::Excluded(key) => (key, false),
        };
        self.forest.above(self.root(key), By(key), inclusive).map(Entry)
    }

    /// Returns the last entry of a range that ends here.
    #[inline]
    pub(crate) fn below(&self, end: Bound<impl Sought<K>>) -> Option<Entry<'_, K, V, R>> {
        let (key, inclusive) = match end {
            Bound::Unbounded => return self.last(),
            Bound::Included(key) => (key, true),
            Bound::Excluded(key) => (key, false),
        };
        self.forest.below(self.root(key), By(key), inclusive).map(Entry)
    }
}
