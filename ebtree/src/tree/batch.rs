//! Operations on many given keys, whose cache misses overlap.

use super::lanes::WIDTH;
use super::map::{By, EbTree, Entry, MapLeaf};
use crate::key::{Key, Lookup};
use crate::reclaim::Reclaimer;

impl<K: Key, V: Send + Sync + 'static, R: Reclaimer> EbTree<K, V, R> {
    /// Looks up many keys, and calls `visit` with each and its value, in order.
    ///
    /// Sixteen look-ups at a time go side by side. In a map that is larger than the caches this is several times as fast as
    /// one after the other; in a small one it is about the same. Each look-up is lock-free and linearizable by itself;
    /// together they are no snapshot. `visit` may use this and other trees.
    ///
    /// # Examples
    ///
    /// ```
    /// use ebtree::EbTree;
    ///
    /// let tree = EbTree::from([(1_u64, "one"), (3, "three")]);
    /// let mut found = Vec::new();
    /// tree.get_many_with(&[3, 2, 1], |key, value| found.push((*key, value.copied())));
    /// assert_eq!(found, [(3, Some("three")), (2, None), (1, Some("one"))]);
    /// ```
    pub fn get_many_with<'k, Q: ?Sized + 'k>(
        &self,
        keys: impl IntoIterator<Item = &'k Q>,
        mut visit: impl FnMut(&'k Q, Option<&V>),
    ) where
        K: Lookup<Q>,
    {
        let keys = keys.into_iter().map(|key| (self.root(key), By(key)));
        let visit = |By(key): By<&'k Q>, leaf: Option<&_>| {
            visit(key, leaf.map(|leaf: &MapLeaf<K, V>| &leaf.value))
        };
        self.forest.get_many_with_by(keys, visit);
    }

    /// Looks up many keys, and returns their entries in order; see [`get_many_with`](Self::get_many_with), which needs neither
    /// memory nor a guard for each.
    #[must_use]
    pub fn get_many<'k, Q: ?Sized + 'k>(
        &self,
        keys: impl IntoIterator<Item = &'k Q>,
    ) -> Vec<Option<Entry<'_, K, V, R>>>
    where
        K: Lookup<Q>,
    {
        let keys = keys.into_iter().map(|key| (self.root(key), By(key)));
        self.forest.get_many_by(keys).into_iter().map(|found| found.map(Entry)).collect()
    }

    /// Inserts many pairs, as [`insert`](Self::insert) does one after the other. The places of sixteen at a time are looked up side by side
    /// first, so that they are in the caches when it is their turn.
    pub fn insert_many(&self, pairs: impl IntoIterator<Item = (K, V)>) {
        let mut pairs = pairs.into_iter();
        let mut group = Vec::with_capacity(WIDTH);
        loop {
            group.extend(pairs.by_ref().take(WIDTH));
            if group.is_empty() {
                return;
            }
            let keys = group.iter().map(|(key, _)| (self.root(key), By(key)));
            self.forest.get_many_with_by(keys, |_, _| ());
            for (key, value) in group.drain(..) {
                self.insert(key, value);
            }
        }
    }
}
