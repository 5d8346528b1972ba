//! Walks of a map that call a visitor.

use core::ops::{Bound, ControlFlow, RangeBounds};

use super::map::{By, EbTree};
use crate::key::{Key, Lookup, Sought, is_after_start, is_before_end};
use crate::reclaim::Reclaimer;

impl<K: Key, V: Send + Sync + 'static, R: Reclaimer> EbTree<K, V, R> {
    /// Visits the entries in a range of keys in ascending order, until `visit` breaks.
    ///
    /// The same walk as [`range`](Self::range), several times as fast: a step goes on from the path of the one before, and
    /// makes no guard. `visit` may use this and other trees, may take any time, and holds up nobody. A key that is
    /// present during the whole walk is visited once.
    ///
    /// What is inserted meanwhile may be passed over, also what `visit` itself inserts, and just before what comes next: the step
    /// does not look again where it has been. A [`range`](Self::range) looks anew at each step, and meets all that is inserted ahead
    /// of it. What is removed ahead, by `visit` or by others before the step, is not visited; what is replaced is, as it is by then.
    ///
    /// # Errors
    /// What `visit` broke with.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::ops::ControlFlow;
    ///
    /// use ebtree::EbTree;
    ///
    /// let bytes = EbTree::from([(10_u64, 400), (20, 700), (30, 900)]);
    /// let mut sum = 0;
    /// let reached = bytes.range_with(15.., |key, more| {
    ///     sum += more;
    ///     if sum < 1000 { ControlFlow::Continue(()) } else { ControlFlow::Break(*key) }
    /// });
    /// assert_eq!((reached, sum), (ControlFlow::Break(30), 1600));
    /// ```
    pub fn range_with<B>(
        &self,
        range: impl RangeBounds<K>,
        visit: impl FnMut(&K, &V) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.range_by_with(range.start_bound(), range.end_bound(), visit)
    }

    /// Visits the entries between two ends, as [`range_with`](Self::range_with) does; the ends may be what [stands for](Lookup) a
    /// key.
    ///
    /// # Errors
    /// What `visit` broke with.
    #[inline]
    pub fn range_by_with<Q: ?Sized, B>(
        &self,
        start: Bound<&Q>,
        end: Bound<&Q>,
        mut visit: impl FnMut(&K, &V) -> ControlFlow<B>,
    ) -> ControlFlow<B>
    where
        K: Lookup<Q>,
    {
        self.each(start, true, |key, value| {
            if is_before_end(key, end) {
                visit(key, value).map_break(Some)
            } else {
                ControlFlow::Break(None)
            }
        })
    }

    /// Visits the entries in a range of keys in descending order; see [`range_with`](Self::range_with), also for what `visit`
    /// inserts.
    ///
    /// # Errors
    /// What `visit` broke with.
    pub fn range_back_with<B>(
        &self,
        range: impl RangeBounds<K>,
        visit: impl FnMut(&K, &V) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.range_back_by_with(range.start_bound(), range.end_bound(), visit)
    }

    /// Visits the entries between two ends in descending order; see [`range_by_with`](Self::range_by_with).
    ///
    /// # Errors
    /// What `visit` broke with.
    #[inline]
    pub fn range_back_by_with<Q: ?Sized, B>(
        &self,
        start: Bound<&Q>,
        end: Bound<&Q>,
        mut visit: impl FnMut(&K, &V) -> ControlFlow<B>,
    ) -> ControlFlow<B>
    where
        K: Lookup<Q>,
    {
        self.each(end, false, |key, value| {
            if is_after_start(key, start) {
                visit(key, value).map_break(Some)
            } else {
                ControlFlow::Break(None)
            }
        })
    }

    /// Visits all entries in a range of keys in ascending order; see [`range_with`](Self::range_with), which can end earlier, also
    /// for what `visit` inserts.
    ///
    /// # Examples
    ///
    /// ```
    /// # use ebtree::EbTree;
    /// let bytes = EbTree::from([(10_u64, 400), (20, 700), (30, 900)]);
    /// let mut sum = 0;
    /// bytes.for_each_in(..=20, |_, more| sum += more);
    /// assert_eq!(sum, 1100);
    /// ```
    pub fn for_each_in(&self, range: impl RangeBounds<K>, mut visit: impl FnMut(&K, &V)) {
        let _: ControlFlow<()> = self.range_with(range, |key, value| {
            visit(key, value);
            ControlFlow::Continue(())
        });
    }

    /// Visits entries from a bound on, across all roots. A break without a value ends the walk as its end does.
    fn each<B>(
        &self,
        from: Bound<impl Sought<K>>,
        forward: bool,
        mut visit: impl FnMut(&K, &V) -> ControlFlow<Option<B>>,
    ) -> ControlFlow<B> {
        let mut in_tree = |tree, from| {
            let from = Bound::map(from, By);
            self.forest.each_by(tree, from, forward, |leaf| visit(&leaf.key, &leaf.value))
        };
        let last = self.forest.trees() - 1;
        let first = match from {
            Bound::Included(key) | Bound::Excluded(key) => self.root(key),
            Bound::Unbounded if forward => 0,
            Bound::Unbounded => last,
        };
        let mut walk = || {
            in_tree(first, from)?;
            if forward {
                self.forest
                    .taken(first + 1..last + 1)
                    .try_for_each(|tree| in_tree(tree, Bound::Unbounded))
            } else {
                self.forest
                    .taken(0..first)
                    .rev()
                    .try_for_each(|tree| in_tree(tree, Bound::Unbounded))
            }
        };
        match walk() {
            ControlFlow::Break(Some(broken)) => ControlFlow::Break(broken),
            ControlFlow::Break(None) | ControlFlow::Continue(()) => ControlFlow::Continue(()),
        }
    }
}
