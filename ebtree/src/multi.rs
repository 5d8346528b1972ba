//! Several values of one key, in the order in which they came.
//!
//! An entry's key in the tree is the pair of its key and a number that tells it from the others of that key: one more than that of the last one
//! there is, or 0 where there is none. So entries of one key are in the order of their insertion, keys are not
//! compared more than once a look-up, and threads that insert different keys have nothing in common. The numbers' 64 bits stand
//! below those of the key; they cost one level of the tree for each doubling of the number of duplicates, and only below their
//! own key.
//!
//! A number is used again when the last entry of its key has gone. So an entry is removed by its identity, the address of its
//! leaf, and never by its number: see [`remove`](EbMultiTree::remove).

mod numbered;
mod walks;

use core::fmt;
use core::ops::{Bound, Deref};

pub use self::numbered::MultiKey;
use self::numbered::{At, Numbered};
pub use self::walks::{DrainUntil, Iter, Range, RangeBy};
use crate::key::Lookup;
use crate::reclaim::{Domain, Reclaimer};
use crate::tree::{self, EbTree};

/// An ordered map that keeps every value of a key, for any number of threads, without locks.
///
/// Every operation is lock-free, and no guard ([`Entry`]) can block anybody, as in [`EbTree`]. Operations on one entry are
/// linearizable: an insert, and a removal, which exactly one of several threads wins. What looks for an entry, by its key or by its
/// place in the order, returns one that was present at some instant of the call, and passes over none that was
/// present during the whole call.
///
/// Operations take `O(d)` steps, where `d` is the depth of the tree at the entry: that of the key in an [`EbTree`], and about
/// `log₂ n` more among `n` entries of one key.
///
/// # Examples
///
/// ```
/// use ebtree::EbMultiTree;
///
/// let timers = EbMultiTree::new();
/// let Ok(retry) = timers.insert(30_u64, "retry");
/// let Ok(_) = timers.insert(30, "connect");
/// let Ok(_) = timers.insert(10, "accept");
/// // By its identity: not another one that is due at the same time.
/// assert!(timers.remove(&retry));
/// let due: Vec<_> = timers.drain_until(&30).map(|timer| *timer.value()).collect();
/// assert_eq!(due, ["accept", "connect"]);
/// ```
pub struct EbMultiTree<K: MultiKey, V: Send + Sync + 'static, R: Reclaimer = Domain> {
    tree: EbTree<Numbered<K>, V, R>,
}

#[cfg(not(loom))]
impl<K: MultiKey, V: Send + Sync + 'static> EbMultiTree<K, V> {
    /// Makes an empty map in the [global](Domain::global) domain.
    #[must_use]
    pub fn new() -> Self {
        Self::new_in(Domain::global())
    }
}

impl<K: MultiKey, V: Send + Sync + 'static, R: Reclaimer> EbMultiTree<K, V, R> {
    /// Makes an empty map that reclaims through `domain`: a [`Domain`], or another [reclaimer](crate::reclaim).
    #[must_use]
    pub fn new_in(domain: R) -> Self {
        Self { tree: EbTree::new_in(domain) }
    }

    /// Returns the domain.
    #[must_use]
    pub const fn domain(&self) -> &R {
        self.tree.domain()
    }

    /// Inserts a value behind those that its key has already, and returns its entry. Lock-free; linearizable.
    ///
    /// Behind those that are there at some instant of the call: of inserts at the same time either may come first, and one beside
    /// which the others of its key are removed may come to stand before one that was inserted meanwhile.
    ///
    /// # Errors
    /// The key is too long: a [`ByteKey`](crate::ByteKey) or a [`StrKey`](crate::StrKey) may have 4,091 bytes here. With
    /// keys of fixed width there is no error, and `let Ok(entry) = …` says so.
    ///
    /// # Panics
    /// When a key has an entry with the number 2^64 − 1: after that many inserts, none of which found the key absent.
    pub fn insert(&self, key: K, value: V) -> Result<Entry<'_, K, V, R>, K::Refusal> {
        key.check()?;
        let mut value = value;
        loop {
            let last = self.le(&key).filter(|last| last.key().first_difference(&key).is_none());
            let number = last.map_or(0, |last| {
                last.number().checked_add(1).expect("a number for one more value of the key")
            });
            // A method of the key's may panic; the value is in good hands there.
            match self.tree.insert_or_give_back(Numbered::new(key.clone(), number), value) {
                Ok(entry) => return Ok(Entry(entry)),
                // Another thread took the number.
                Err(back) => value = back,
            }
        }
    }

    /// Returns the oldest entry of a key.
    #[must_use]
    pub fn get<Q: ?Sized>(&self, key: &Q) -> Option<Entry<'_, K, V, R>>
    where
        K: Lookup<Q>,
    {
        self.ge(key).filter(|entry| entry.key().first_difference_from(key).is_none())
    }

    /// Walks the entries of a key, oldest first, and from both ends. By what stands for a key: see [`range_by`](Self::range_by).
    #[must_use]
    pub fn get_all(&self, key: &K) -> Range<'_, K, V, R> {
        self.range(key..=key)
    }

    /// Returns whether the key has an entry.
    #[must_use]
    pub fn contains_key<Q: ?Sized>(&self, key: &Q) -> bool
    where
        K: Lookup<Q>,
    {
        self.get(key).is_some()
    }

    /// Removes this very entry, and returns whether this call did it: false if it was removed before, also where another one has taken
    /// its place since. Lock-free; linearizable.
    pub fn remove(&self, entry: &Entry<'_, K, V, R>) -> bool {
        self.tree.remove_entry(&entry.0)
    }

    /// Removes the oldest entry of a key, and returns it. Exactly one caller gets an entry.
    pub fn remove_first<Q: ?Sized>(&self, key: &Q) -> Option<Entry<'_, K, V, R>>
    where
        K: Lookup<Q>,
    {
        loop {
            let first = self.get(key)?;
            if self.remove(&first) {
                return Some(first);
            }
        }
    }

    /// Removes the entries of a key, each that a walk over them meets, and returns how many this call removed.
    pub fn remove_all<Q: ?Sized>(&self, key: &Q) -> usize
    where
        K: Lookup<Q>,
    {
        self.range_by(Bound::Included(key), Bound::Included(key))
            .filter(|entry| self.remove(entry))
            .count()
    }

    /// Returns the oldest entry of the smallest key.
    #[must_use]
    pub fn first(&self) -> Option<Entry<'_, K, V, R>> {
        self.tree.first().map(Entry)
    }

    /// Returns the newest entry of the largest key.
    #[must_use]
    pub fn last(&self) -> Option<Entry<'_, K, V, R>> {
        self.tree.last().map(Entry)
    }

    /// Returns the oldest entry of the smallest key that is at least `key`.
    #[must_use]
    pub fn ge<Q: ?Sized>(&self, key: &Q) -> Option<Entry<'_, K, V, R>>
    where
        K: Lookup<Q>,
    {
        self.tree.above(Bound::Included(At::first(key))).map(Entry)
    }

    /// Returns the oldest entry of the smallest key above `key`.
    #[must_use]
    pub fn gt<Q: ?Sized>(&self, key: &Q) -> Option<Entry<'_, K, V, R>>
    where
        K: Lookup<Q>,
    {
        self.tree.above(Bound::Excluded(At::last(key))).map(Entry)
    }

    /// Returns the newest entry of the largest key that is at most `key`.
    #[must_use]
    pub fn le<Q: ?Sized>(&self, key: &Q) -> Option<Entry<'_, K, V, R>>
    where
        K: Lookup<Q>,
    {
        self.tree.below(Bound::Included(At::last(key))).map(Entry)
    }

    /// Returns the newest entry of the largest key below `key`.
    #[must_use]
    pub fn lt<Q: ?Sized>(&self, key: &Q) -> Option<Entry<'_, K, V, R>>
    where
        K: Lookup<Q>,
    {
        self.tree.below(Bound::Excluded(At::first(key))).map(Entry)
    }

    /// Removes the oldest entry of the smallest key and returns it. Exactly one caller gets an entry.
    pub fn pop_first(&self) -> Option<Entry<'_, K, V, R>> {
        self.tree.pop_first().map(Entry)
    }

    /// Removes the newest entry of the largest key and returns it. Exactly one caller gets an entry.
    pub fn pop_last(&self) -> Option<Entry<'_, K, V, R>> {
        self.tree.pop_last().map(Entry)
    }

    /// Removes the oldest entry of the smallest key if `is_due` says so, and returns it. What timers need.
    pub fn pop_first_if(
        &self,
        mut is_due: impl FnMut(&K, &V) -> bool,
    ) -> Option<Entry<'_, K, V, R>> {
        self.tree.pop_first_if(|key, value| is_due(key.key(), value)).map(Entry)
    }

    /// Keeps the entries of which `keep` says so, and removes the others, in ascending order. It may run more than once for
    /// an entry, and may use this and other trees.
    pub fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool) {
        self.tree.retain(|key, value| keep(key.key(), value));
    }

    /// Removes the entries up to the last one that is there when the call begins; see [`EbTree::clear`].
    pub fn clear(&self) {
        self.tree.clear();
    }

    /// Counts the entries by a walk over all of them; see [`EbTree::len`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Returns whether the map was empty at some instant of the call.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }
}

#[cfg(not(loom))]
impl<K: MultiKey, V: Send + Sync + 'static, R: Reclaimer + Default> Default
    for EbMultiTree<K, V, R>
{
    fn default() -> Self {
        Self::new_in(R::default())
    }
}

impl<K: MultiKey + fmt::Debug, V: Send + Sync + fmt::Debug + 'static, R: Reclaimer> fmt::Debug
    for EbMultiTree<K, V, R>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for entry in self {
            map.entry(entry.key(), entry.value());
        }
        map.finish()
    }
}

/// An entry that was found or removed: a guard that leads to the value. Its key and value are not dropped while it lives. It
/// stays on its thread, and blocks nobody.
pub struct Entry<'t, K: MultiKey, V: Send + Sync + 'static, R: Reclaimer = Domain>(
    tree::Entry<'t, Numbered<K>, V, R>,
);

impl<K: MultiKey, V: Send + Sync + 'static, R: Reclaimer> Entry<'_, K, V, R> {
    /// Returns the key.
    #[must_use]
    pub fn key(&self) -> &K {
        self.0.key().key()
    }

    /// Returns the value.
    #[must_use]
    pub fn value(&self) -> &V {
        self.0.value()
    }

    /// Returns whether both are the same entry, and not just two with an equal key and value.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        core::ptr::eq(self.value(), other.value()) && core::ptr::eq(self.key(), other.key())
    }

    fn number(&self) -> u64 {
        self.0.key().number()
    }
}

impl<K: MultiKey, V: Send + Sync + 'static, R: Reclaimer> Deref for Entry<'_, K, V, R> {
    type Target = V;

    fn deref(&self) -> &V {
        self.value()
    }
}

impl<K: MultiKey + fmt::Debug, V: Send + Sync + fmt::Debug + 'static, R: Reclaimer> fmt::Debug
    for Entry<'_, K, V, R>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entry").field(self.key()).field(self.value()).finish()
    }
}
