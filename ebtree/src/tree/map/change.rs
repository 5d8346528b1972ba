//! Changes that depend on what is there: read an entry, make its successor, and put that in its place if the entry is still
//! the one that was read. The entry is told by the address of its leaf, which no other leaf has while the entry is held.

use core::fmt;

use super::{By, EbTree, Entry, MapLeaf};
use crate::key::{Key, Lookup};
use crate::reclaim::{Domain, Reclaimer};

/// What [`EbTree::compute`] found, and what it left there instead.
///
/// | `before` | `after` | |
/// | --- | --- | --- |
/// | `None` | `None` | the key was absent, and still is |
/// | `None` | `Some` | inserted |
/// | `Some` | `Some` | replaced |
/// | `Some` | `None` | removed |
pub struct Change<'t, K: Key, V: Send + Sync + 'static, R: Reclaimer = Domain> {
    /// The entry that was replaced or removed.
    pub before: Option<Entry<'t, K, V, R>>,
    /// The entry that was inserted. Others may have changed the key since.
    pub after: Option<Entry<'t, K, V, R>>,
}

impl<K: Key + fmt::Debug, V: Send + Sync + fmt::Debug + 'static, R: Reclaimer> fmt::Debug
    for Change<'_, K, V, R>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Change");
        shown.field("before", &self.before).field("after", &self.after).finish()
    }
}

/// Why [`EbTree::compare_exchange`] did nothing: the entry is not, or no more, the one that the map has.
pub struct CompareExchangeError<'t, K: Key, V: Send + Sync + 'static, R: Reclaimer = Domain> {
    /// The entry that has the key instead, if one has.
    pub current: Option<Entry<'t, K, V, R>>,
    /// The value that was not inserted.
    pub new: V,
}

impl<K: Key + fmt::Debug, V: Send + Sync + fmt::Debug + 'static, R: Reclaimer> fmt::Debug
    for CompareExchangeError<'_, K, V, R>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("CompareExchangeError");
        shown.field("current", &self.current).field("new", &self.new).finish()
    }
}

impl<K: Key, V: Send + Sync + 'static, R: Reclaimer> fmt::Display
    for CompareExchangeError<'_, K, V, R>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the entry has been removed or replaced")
    }
}

impl<K, V, R> core::error::Error for CompareExchangeError<'_, K, V, R>
where
    R: Reclaimer,
    K: Key + fmt::Debug,
    V: Send + Sync + fmt::Debug + 'static,
{
}

impl<K: Key, V: Send + Sync + 'static, R: Reclaimer> EbTree<K, V, R> {
    /// Replaces the value of a key by one made from it, and returns the new entry, or `None` if the key is absent. No
    /// other change of the key comes between the value that `change` saw and the one that it made.
    ///
    /// Lock-free, as far as `change` is; linearizable; `O(d)` each time that `change` runs. When another thread changes the
    /// key meanwhile, `change` runs again with the value that is there then, and what it made before is dropped. It may
    /// use this and other trees; if it changes this very key each time, the call does not end. If it panics, the map stays
    /// as it was.
    ///
    /// # Examples
    ///
    /// ```
    /// # use ebtree::EbTree;
    /// let hits = EbTree::from([(b'a', 1_u64)]);
    /// std::thread::scope(|scope| {
    ///     for _ in 0..4 {
    ///         scope.spawn(|| drop(hits.update(&b'a', |count| count + 1)));
    ///     }
    /// });
    /// assert_eq!(hits.get(&b'a').map(|count| *count), Some(5));
    /// assert!(hits.update(&b'b', |count| count + 1).is_none());
    /// ```
    pub fn update<Q: ?Sized>(
        &self,
        key: &Q,
        mut change: impl FnMut(&V) -> V,
    ) -> Option<Entry<'_, K, V, R>>
    where
        K: Lookup<Q>,
    {
        let mut there = self.get(key)?;
        loop {
            let new = change(there.value());
            match self.exchange(&there, new) {
                Ok(new) => return Some(new),
                Err(refused) => there = refused.current?,
            }
        }
    }

    /// Inserts, replaces or removes a key, as `change` decides from its value: what it returns is the value from now
    /// on, `None` is absence. Returns the entries before and after.
    ///
    /// Lock-free, as far as `change` is; linearizable; `O(d)` each time that `change` runs, for which the same holds as in
    /// [`update`](Self::update). A value that is returned always replaces the one that is there. Where nothing may be to do,
    /// look first, by [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// ```
    /// # use ebtree::EbTree;
    /// let users = EbTree::new();
    /// let enter = |room: u32| users.compute(&room, |count| Some(count.map_or(1_u32, |count| count + 1)));
    /// let leave = |room: u32| users.compute(&room, |count| count?.checked_sub(1).filter(|left| *left > 0));
    /// enter(7);
    /// assert_eq!(enter(7).after.map(|count| *count), Some(2));
    /// leave(7);
    /// assert_eq!(leave(7).before.map(|count| *count), Some(1));
    /// assert!(users.is_empty(), "the last one to leave takes the entry along");
    /// ```
    pub fn compute(
        &self,
        key: &K,
        mut change: impl FnMut(Option<&V>) -> Option<V>,
    ) -> Change<'_, K, V, R> {
        let mut there = self.get(key);
        loop {
            let new = change(there.as_deref());
            match (there, new) {
                (None, None) => return Change { before: None, after: None },
                (None, Some(new)) => {
                    let new = MapLeaf::unlinked(key.clone(), new);
                    // SAFETY: the key of `new` is a clone of `key`.
                    match unsafe { self.forest.get_or_insert_new(self.root(key), key, new) } {
                        Ok(new) => return Change { before: None, after: Some(Entry(new)) },
                        Err((now, _)) => there = Some(Entry(now)),
                    }
                }
                (Some(old), Some(new)) => match self.exchange(&old, new) {
                    Ok(new) => return Change { before: Some(old), after: Some(new) },
                    Err(refused) => there = refused.current,
                },
                (Some(old), None) => {
                    if self.remove_entry(&old) {
                        return Change { before: Some(old), after: None };
                    }
                    there = self.get(key);
                }
            }
        }
    }

    /// Replaces an entry, if it is still the one that the map has, by one of the same key with this value, and returns
    /// the new entry.
    ///
    /// Decided by the entry and not by its value: one that was removed and inserted again with an equal value is another
    /// one. To decide by the value, see [`replace_if`](Self::replace_if). Lock-free; linearizable.
    ///
    /// # Errors
    /// The entry that has the key instead, if one has, and the value that was not inserted.
    ///
    /// # Examples
    ///
    /// ```
    /// # use ebtree::EbTree;
    /// let tree = EbTree::from([(1_u32, "draft")]);
    /// let read = tree.get(&1).unwrap();
    /// tree.insert(1, "another's");
    /// let refused = tree.compare_exchange(&read, "mine").unwrap_err();
    /// assert_eq!(refused.current.as_deref(), Some(&"another's"));
    /// assert_eq!(refused.new, "mine");
    /// ```
    pub fn compare_exchange(
        &self,
        current: &Entry<'_, K, V, R>,
        new: V,
    ) -> Result<Entry<'_, K, V, R>, CompareExchangeError<'_, K, V, R>> {
        self.exchange(current, new)
    }

    /// Replaces the value of a key if `is_it` says so of it, and returns the entry that was replaced.
    ///
    /// Lock-free; linearizable. `is_it` may run more than once, and may use this and other trees.
    ///
    /// # Errors
    /// The value that was not inserted: the key is absent, or `is_it` refused its value.
    ///
    /// # Examples
    ///
    /// ```
    /// # use ebtree::EbTree;
    /// let tree = EbTree::from([(1_u32, 10)]);
    /// assert_eq!(tree.replace_if(&1, 11, |value| *value == 10).map(|old| *old).ok(), Some(10));
    /// assert_eq!(tree.replace_if(&1, 12, |value| *value == 10).err(), Some(12));
    /// ```
    pub fn replace_if<Q: ?Sized>(
        &self,
        key: &Q,
        new: V,
        mut is_it: impl FnMut(&V) -> bool,
    ) -> Result<Entry<'_, K, V, R>, V>
    where
        K: Lookup<Q>,
    {
        let (mut there, mut new) = (self.get(key), new);
        loop {
            let Some(old) = there.filter(|there| is_it(there)) else { return Err(new) };
            match self.exchange(&old, new) {
                Ok(_) => return Ok(old),
                Err(refused) => (there, new) = (refused.current, refused.new),
            }
        }
    }

    /// Removes this very entry, and returns whether this call did it. It returns false if the entry was removed or replaced
    /// before, also where the same key and an equal value have been inserted since. Lock-free; linearizable.
    ///
    /// # Examples
    ///
    /// ```
    /// # use ebtree::EbTree;
    /// let tree = EbTree::from([(1_u32, "old")]);
    /// let old = tree.get(&1).unwrap();
    /// tree.insert(1, "new");
    /// assert!(!tree.remove_entry(&old));
    /// assert!(tree.remove_entry(&tree.get(&1).unwrap()));
    /// ```
    pub fn remove_entry(&self, entry: &Entry<'_, K, V, R>) -> bool {
        // The guard keeps the leaf, so no other leaf has its address: not of this key, and not in another tree.
        let leaf = entry.0.as_ptr().as_ptr();
        let key = entry.key();
        self.forest.remove_if_by(self.root(key), By(key), |other| core::ptr::eq(other, leaf))
    }

    fn exchange(
        &self,
        old: &Entry<'_, K, V, R>,
        new: V,
    ) -> Result<Entry<'_, K, V, R>, CompareExchangeError<'_, K, V, R>> {
        let key = old.key();
        let new = MapLeaf::unlinked(key.clone(), new);
        // SAFETY: the key of `new` is a clone of `key`.
        let exchanged =
            unsafe { self.forest.exchange_new(self.root(key), key, old.0.as_ptr(), new) };
        exchanged.map(Entry).map_err(|(there, new)| CompareExchangeError {
            current: there.map(Entry),
            new: MapLeaf::take_apart(new).1,
        })
    }
}
