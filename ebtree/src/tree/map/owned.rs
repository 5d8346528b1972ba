//! What a map becomes when nobody else uses it any more, and how it is copied.

use core::fmt;
use core::iter::FusedIterator;

use super::{EbTree, MapLeaf};
use crate::key::Key;
use crate::reclaim::Reclaimer;
use crate::tree::leaves::Leaves;

/// The keys and values of a map, moved out of it in ascending order, from both ends.
///
/// Made by `into_iter` of an [`EbTree`] by value, which proves that nobody else uses it. What is not taken out is dropped
/// with the iterator, at once and on its thread. A step costs `O(1)` on average.
///
/// # Examples
///
/// ```
/// # use ebtree::EbTree;
/// let tree = EbTree::from([(2_u32, String::from("b")), (1, String::from("a"))]);
/// let pairs: Vec<(u32, String)> = tree.into_iter().collect();
/// assert_eq!(pairs, [(1, "a".into()), (2, "b".into())]);
/// ```
pub struct IntoIter<K: Key, V: Send + Sync + 'static> {
    leaves: Leaves<MapLeaf<K, V>>,
}

impl<K: Key, V: Send + Sync + 'static> IntoIter<K, V> {
    fn take(&mut self, first: bool) -> Option<(K, V)> {
        // SAFETY: leaves of a map are from `boxed`; this one was linked until now, and is nobody else's.
        self.leaves.take(first).map(|leaf| unsafe { MapLeaf::unbox(leaf) })
    }
}

impl<K: Key, V: Send + Sync + 'static> Iterator for IntoIter<K, V> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        self.take(true)
    }
}

impl<K: Key, V: Send + Sync + 'static> DoubleEndedIterator for IntoIter<K, V> {
    fn next_back(&mut self) -> Option<(K, V)> {
        self.take(false)
    }
}

impl<K: Key, V: Send + Sync + 'static> FusedIterator for IntoIter<K, V> {}

impl<K: Key, V: Send + Sync + 'static> fmt::Debug for IntoIter<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoIter").finish_non_exhaustive()
    }
}

impl<K: Key, V: Send + Sync + 'static, R: Reclaimer> IntoIterator for EbTree<K, V, R> {
    type Item = (K, V);
    type IntoIter = IntoIter<K, V>;

    fn into_iter(mut self) -> IntoIter<K, V> {
        IntoIter { leaves: self.forest.take_leaves() }
    }
}

impl<K: Key, V: Send + Sync + 'static, R: Reclaimer> EbTree<K, V, R> {
    /// Returns the keys in ascending order; the values are dropped on the way.
    #[must_use]
    pub fn into_keys(self) -> impl DoubleEndedIterator<Item = K> + FusedIterator {
        self.into_iter().map(|(key, _)| key)
    }

    /// Returns the values in ascending order of their keys.
    #[must_use]
    pub fn into_values(self) -> impl DoubleEndedIterator<Item = V> + FusedIterator {
        self.into_iter().map(|(_, value)| value)
    }
}

impl<K: Key, V: Clone + Send + Sync + 'static, R: Reclaimer> Clone for EbTree<K, V, R> {
    /// Returns a map in the same domain, with the same fan-out and with what a walk over this one meets: `O(n)`.
    ///
    /// Not a snapshot: what others change meanwhile may be in it or not, each key for itself. A key that is present
    /// during the whole call is in it.
    fn clone(&self) -> Self {
        let copy = self.empty_like();
        for entry in self {
            copy.insert(entry.key().clone(), entry.value().clone());
        }
        copy
    }
}
