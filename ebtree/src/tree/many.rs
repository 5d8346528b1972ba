//! Operations on many entries of a map, each made of linearizable operations on one.

use super::map::{EbTree, Entry};
use crate::key::{Key, Sought};
use crate::reclaim::{Domain, Reclaimer};

impl<K: Key, V: Send + Sync + 'static, R: Reclaimer> EbTree<K, V, R> {
    /// Counts the entries by a walk over all of them: `O(n)`.
    ///
    /// Exact while nobody inserts or removes; otherwise between the number of entries that were there all along and
    /// that of all that were there at some time.
    #[must_use]
    pub fn len(&self) -> usize {
        let mut count = 0;
        self.for_each_in(.., |_, _| count += 1);
        count
    }

    /// Removes the entries up to the largest key that is there when the call begins.
    ///
    /// A walk that removes each key it meets, at most once: it ends, however fast others insert. What they insert
    /// meanwhile may stay, also below the largest key.
    pub fn clear(&self) {
        if let Some(last) = self.last() {
            for entry in self.range(..=last.key().clone()) {
                self.remove(entry.key());
            }
        }
    }

    /// Keeps the entries of which `keep` says so, and removes the others, in ascending order.
    ///
    /// An entry whose value is replaced meanwhile is judged by one value or by the other; it is removed only if `keep`
    /// refused the value that it had then. `keep` may run more than once for a key, and may use this and
    /// other trees. If it panics, the entries judged so far are done, and the rest stays.
    pub fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool) {
        for entry in self {
            let key = entry.key();
            self.remove_if(key, |value| !keep(key, value));
        }
    }

    /// Takes the entries whose keys are at most `end`, smallest first, as the iterator is driven: what timers
    /// that are due need. Those inserted meanwhile are taken too, so it does not end as long as others insert at or below
    /// `end` as fast as it takes: bound it by [`take`](Iterator::take) where timers are armed again as due.
    ///
    /// Of several threads that drain at once each entry goes to exactly one. What is not asked for stays in the map.
    pub fn drain_until(&self, end: &K) -> DrainUntil<'_, K, V, R> {
        DrainUntil { tree: self, end: end.clone() }
    }
}

/// Takes entries from the front of a map; see [`EbTree::drain_until`].
#[derive(Debug)]
#[must_use = "entries are taken as the iterator is driven"]
pub struct DrainUntil<'t, K: Key, V: Send + Sync + 'static, R: Reclaimer = Domain> {
    tree: &'t EbTree<K, V, R>,
    end: K,
}

impl<'t, K: Key, V: Send + Sync + 'static, R: Reclaimer> Iterator for DrainUntil<'t, K, V, R> {
    type Item = Entry<'t, K, V, R>;

    /// Takes the next entry. After `None`, entries that were inserted since may come.
    fn next(&mut self) -> Option<Entry<'t, K, V, R>> {
        self.tree.pop_first_if(|key, _| (&self.end).order(key).is_le())
    }
}

impl<K: Key, V: Send + Sync + 'static, R: Reclaimer> Extend<(K, V)> for &EbTree<K, V, R> {
    /// Inserts each pair, as [`insert`](EbTree::insert) does: a shared map can be extended too.
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        for (key, value) in pairs {
            self.insert(key, value);
        }
    }
}

impl<K: Key, V: Send + Sync + 'static, R: Reclaimer> Extend<(K, V)> for EbTree<K, V, R> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        (&*self).extend(pairs);
    }
}

impl<'a, K: Key + Copy, V: Copy + Send + Sync + 'static, R: Reclaimer> Extend<(&'a K, &'a V)>
    for &EbTree<K, V, R>
{
    fn extend<I: IntoIterator<Item = (&'a K, &'a V)>>(&mut self, pairs: I) {
        self.extend(pairs.into_iter().map(|(key, value)| (*key, *value)));
    }
}

impl<'a, K: Key + Copy, V: Copy + Send + Sync + 'static, R: Reclaimer> Extend<(&'a K, &'a V)>
    for EbTree<K, V, R>
{
    fn extend<I: IntoIterator<Item = (&'a K, &'a V)>>(&mut self, pairs: I) {
        (&*self).extend(pairs);
    }
}

#[cfg(not(loom))]
impl<K: Key, V: Send + Sync + 'static, R: Reclaimer + Default> FromIterator<(K, V)>
    for EbTree<K, V, R>
{
    /// Collects into a map in the [global](crate::Domain::global) domain. Of pairs with one key the last stays.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let tree = Self::default();
        (&tree).extend(pairs);
        tree
    }
}

#[cfg(not(loom))]
impl<K: Key, V: Send + Sync + 'static, const N: usize> From<[(K, V); N]> for EbTree<K, V> {
    fn from(pairs: [(K, V); N]) -> Self {
        pairs.into_iter().collect()
    }
}
