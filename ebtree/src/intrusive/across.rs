//! Ordered search over a row of trees, for callers whose choice of the tree follows the order of the keys.
//!
//! Trees are looked at one after the other, from where the key belongs. One that was found empty, or without a key on the
//! right side, had none at some instant of the call: a key that was present during the whole call is not passed over.
//! There is no summary of the empty ones: one that is cleared beside an insert would hide a key for good.

use core::ops::Range;

use super::{Forest, Leaf, Probe, Ref, Seek};
use crate::reclaim::Reclaimer;

impl<L: Leaf, R: Reclaimer> Forest<L, R> {
    /// Returns the leaf with the smallest key of the trees from `tree` on.
    #[inline]
    pub(crate) fn first_from(&self, tree: usize) -> Option<Ref<'_, L, R>> {
        self.taken(tree..self.trees()).find_map(|tree| self.first(tree))
    }

    /// Returns the leaf with the largest key of the trees below `end`.
    #[inline]
    pub(crate) fn last_below(&self, end: usize) -> Option<Ref<'_, L, R>> {
        self.taken(0..end).rev().find_map(|tree| self.last(tree))
    }

    /// Returns the leaf with the smallest key that is at least `key`, or above it, which belongs into `tree`.
    #[inline]
    pub(crate) fn above(
        &self,
        tree: usize,
        key: impl Probe<L>,
        inclusive: bool,
    ) -> Option<Ref<'_, L, R>> {
        let near = self.seek(tree, key, Seek { forward: true, inclusive });
        if near.is_some() { near } else { self.first_from(tree + 1) }
    }

    /// Returns the leaf with the largest key that is at most `key`, or below it, which belongs into `tree`.
    #[inline]
    pub(crate) fn below(
        &self,
        tree: usize,
        key: impl Probe<L>,
        inclusive: bool,
    ) -> Option<Ref<'_, L, R>> {
        let near = self.seek(tree, key, Seek { forward: false, inclusive });
        if near.is_some() { near } else { self.last_below(tree) }
    }

    /// Removes the first leaf of all if `is_due` agrees, and returns it. Exactly one caller gets a leaf.
    pub(crate) fn take_first_if(
        &self,
        mut is_due: impl FnMut(&L) -> bool,
    ) -> Option<Ref<'_, L, R>> {
        for tree in self.taken(0..self.trees()) {
            let mut refused = false;
            let taken = self.take_end_if(tree, true, |leaf| {
                refused = !is_due(leaf);
                !refused
            });
            if taken.is_some() || refused {
                return taken;
            }
        }
        None
    }

    /// Removes the last leaf of all, and returns it. Exactly one caller gets a leaf.
    pub(crate) fn take_last(&self) -> Option<Ref<'_, L, R>> {
        self.taken(0..self.trees()).rev().find_map(|tree| self.take_end_if(tree, false, |_| true))
    }

    /// Returns the indexes of a range whose trees are not empty when it is their turn.
    #[inline]
    pub(crate) fn taken(&self, range: Range<usize>) -> impl DoubleEndedIterator<Item = usize> {
        range.filter(|tree| !self.is_empty(*tree))
    }
}
