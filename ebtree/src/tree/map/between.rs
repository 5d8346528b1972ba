//! Walks whose ends are borrowed: from a text to a text, with no key made for either.

use core::fmt;
use core::iter::FusedIterator;
use core::ops::Bound;

use super::{EbTree, Entry};
use crate::key::{Key, Lookup, Sought, is_after_start, is_before_end};
use crate::reclaim::{Domain, Reclaimer};

/// A walk between two places, from both ends. The places are what was given at first, and then the keys that were met.
pub(crate) struct Between<'t, K: Key, V: Send + Sync + 'static, R: Reclaimer, S> {
    tree: &'t EbTree<K, V, R>,
    from: Place<K, S>,
    to: Place<K, S>,
    over: bool,
}

#[derive(Clone)]
enum Place<K, S> {
    Given(Bound<S>),
    Met(K),
}

impl<K: Key, V: Send + Sync + 'static, R: Reclaimer, S: Clone> Clone for Between<'_, K, V, R, S> {
    fn clone(&self) -> Self {
        Self { tree: self.tree, from: self.from.clone(), to: self.to.clone(), over: self.over }
    }
}

impl<'t, K: Key, V: Send + Sync + 'static, R: Reclaimer, S: Sought<K>> Between<'t, K, V, R, S> {
    pub(crate) const fn new(tree: &'t EbTree<K, V, R>, start: Bound<S>, end: Bound<S>) -> Self {
        Self { tree, from: Place::Given(start), to: Place::Given(end), over: false }
    }

    pub(crate) fn next(&mut self) -> Option<Entry<'t, K, V, R>> {
        if self.over {
            return None;
        }
        let next = match &self.from {
            Place::Given(start) => self.tree.above(*start),
            Place::Met(last) => self.tree.gt(last),
        };
        let next = next.filter(|next| match &self.to {
            Place::Given(end) => is_before_end(next.key(), *end),
            Place::Met(last) => last.order(next.key()).is_lt(),
        });
        match &next {
            Some(next) => self.from = Place::Met(next.key().clone()),
            None => self.over = true,
        }
        next
    }

    pub(crate) fn next_back(&mut self) -> Option<Entry<'t, K, V, R>> {
        if self.over {
            return None;
        }
        let next = match &self.to {
            Place::Given(end) => self.tree.below(*end),
            Place::Met(last) => self.tree.lt(last),
        };
        let next = next.filter(|next| match &self.from {
            Place::Given(start) => is_after_start(next.key(), *start),
            Place::Met(last) => last.order(next.key()).is_gt(),
        });
        match &next {
            Some(next) => self.to = Place::Met(next.key().clone()),
            None => self.over = true,
        }
        next
    }
}

/// A walk over a range whose ends are what keys are looked up by; see [`EbTree::range_by`]. Otherwise as [`Range`](super::Range).
pub struct RangeBy<'t, 'q, K: Key, V: Send + Sync + 'static, Q: ?Sized, R: Reclaimer = Domain>(
    Between<'t, K, V, R, &'q Q>,
);

impl<K: Key, V: Send + Sync + 'static, R: Reclaimer> EbTree<K, V, R> {
    /// Walks the entries between two ends, as [`range`](Self::range) does; the ends are borrowed, and may be what
    /// [stands for](Lookup) a key.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::ops::Bound::{Excluded, Included};
    ///
    /// use ebtree::{EbTree, StrKey};
    ///
    /// let hits = EbTree::new();
    /// for (count, path) in ["/", "/static", "/static/logo.svg", "/status"].into_iter().enumerate() {
    ///     hits.insert(StrKey::new(path)?, count);
    /// }
    /// // Up to the next text that does not begin so.
    /// let below = hits.range_by(Included("/static"), Excluded("/statid"));
    /// assert!(below.map(|entry| *entry).eq([1, 2]));
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
        RangeBy(Between::new(self, start, end))
    }
}

impl<'t, K: Lookup<Q>, V, Q: ?Sized, R> Iterator for RangeBy<'t, '_, K, V, Q, R>
where
    V: Send + Sync + 'static,
    R: Reclaimer,
{
    type Item = Entry<'t, K, V, R>;

    /// As that of [`Range`](super::Range).
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn last(mut self) -> Option<Self::Item> {
        self.next_back()
    }
}

impl<K: Lookup<Q>, V, Q: ?Sized, R> DoubleEndedIterator for RangeBy<'_, '_, K, V, Q, R>
where
    V: Send + Sync + 'static,
    R: Reclaimer,
{
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back()
    }
}

impl<K: Lookup<Q>, V, Q: ?Sized, R> FusedIterator for RangeBy<'_, '_, K, V, Q, R>
where
    V: Send + Sync + 'static,
    R: Reclaimer,
{
}

impl<K: Key, V: Send + Sync + 'static, Q: ?Sized, R: Reclaimer> Clone
    for RangeBy<'_, '_, K, V, Q, R>
{
    /// Returns a walk over what is left of this one.
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Key, V: Send + Sync + 'static, Q: ?Sized, R: Reclaimer> fmt::Debug
    for RangeBy<'_, '_, K, V, Q, R>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeBy").field("over", &self.0.over).finish_non_exhaustive()
    }
}
