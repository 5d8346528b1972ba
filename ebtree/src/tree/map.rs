//! `EbTree`: the tree as a map that owns its keys and values.

mod between;
mod change;
mod cursor;
mod owned;
mod range;
#[cfg(feature = "serde")]
mod serde;

use core::fmt;
use core::ops::{Bound, Deref, RangeBounds};
use core::ptr::NonNull;

use crate::intrusive::{Forest, Leaf, Probe, Ref, Retire};
use crate::key::{Key, Lookup, Sought};
use crate::pool;
use crate::reclaim::{Domain, Reclaimer};
use crate::sync::Tracked;
use crate::tree::builder::{Builder, Roots};
use crate::tree::unlinked::Unlinked;

pub(crate) use self::between::Between;
pub use self::between::RangeBy;
pub use self::change::{Change, CompareExchangeError};
pub use self::cursor::Cursor;
pub use self::owned::IntoIter;
pub use self::range::{Iter, Range};

/// The leaf of a map.
#[repr(align(16))]
pub(crate) struct MapLeaf<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
    tracked: Tracked,
}

impl<K, V> MapLeaf<K, V> {
    fn boxed(key: K, value: V) -> NonNull<Self> {
        pool::boxed(Self { key, value, tracked: Tracked::new() })
    }

    /// # Safety
    /// 1. `leaf` came from `boxed`, and nobody else reads or frees it, now or later.
    unsafe fn unbox(leaf: NonNull<Self>) -> (K, V) {
        // SAFETY: 1 of the contract.
        let leaf = unsafe { pool::unbox(leaf) };
        (leaf.key, leaf.value)
    }
}

impl<K: Key, V: Send + Sync + 'static> MapLeaf<K, V> {
    fn unlinked(key: K, value: V) -> Unlinked<Self> {
        // SAFETY: from `boxed` just now, which is what `Leaf::free` takes.
        unsafe { Unlinked::new(Self::boxed(key, value)) }
    }

    fn take_apart(new: Unlinked<Self>) -> (K, V) {
        // SAFETY: from `boxed`, by `unlinked`; no tree links it, and it was ours alone.
        unsafe { Self::unbox(new.into_raw()) }
    }
}

// SAFETY: 1. The key is never given out by `&mut`. 2. `repr(align(16))`. 3. `unlinked` retires. 4. Keys and values
// are `Send`.
unsafe impl<K: Key, V: Send + Sync + 'static> Leaf for MapLeaf<K, V> {
    type Key<'k> = &'k K;

    #[inline]
    fn key(&self) -> &K {
        &self.key
    }

    #[inline]
    fn first_difference(&self, key: &K) -> Option<u16> {
        self.key.first_difference(key)
    }

    #[inline]
    fn bit(key: &K, position: u16) -> bool {
        key.bit(position)
    }

    unsafe fn unlinked<R: Reclaimer>(this: NonNull<Self>, retire: &Retire<'_, '_, R>) {
        // SAFETY: the leaf is linked by one tree, which has just unlinked it and says so once.
        unsafe { retire.retire(this) };
    }

    unsafe fn free(this: NonNull<Self>) {
        if cfg!(loom) {
            // Loom does not see freed memory; kept, a wrong read meets the end marked here.
            // SAFETY: from `boxed`; by the contract nobody else reads it.
            unsafe { this.as_ref() }.tracked.end();
            return;
        }
        // SAFETY: from `boxed`; by the contract nobody reads it, and it is freed once.
        drop(unsafe { pool::unbox(this) });
    }

    #[inline]
    fn touched(&self) {
        self.tracked.touch();
    }
}

/// What a leaf of a map is looked up by.
#[derive(Clone, Copy)]
pub(super) struct By<S>(pub(super) S);

impl<K: Key, V: Send + Sync + 'static, S: Sought<K>> Probe<MapLeaf<K, V>> for By<S> {
    #[inline]
    fn first_difference(self, leaf: &MapLeaf<K, V>) -> Option<u16> {
        self.0.differs_at(&leaf.key)
    }

    #[inline]
    fn bit(self, position: u16) -> bool {
        self.0.bit_at(position)
    }
}

/// An ordered map that any number of threads use at once, without locks.
///
/// Every operation is lock-free: a thread that is stopped anywhere, for however long, holds nobody up, and no guard
/// ([`Entry`]) can block anybody. `get`, `insert`, `remove` and the other operations on one key are linearizable.
/// Ordered searches and walks return what was present at some instant of the call, in strict order; a
/// key that was present during the whole call is never passed over.
///
/// Operations take `O(d)` steps, where `d` is the depth of the tree at the key: at most the number of bits of a key, and
/// about `1.4 log₂ n` for evenly spread keys.
///
/// What takes a key by reference takes what stands for one as well, without making it one ([`Lookup`]): `tree.get("text")` of keys that
/// are texts.
///
/// An entry never changes: a value is replaced by a new entry in the place of the old one. So a change that depends on what
/// is there runs again when another thread was faster: [`update`](Self::update), [`compute`](Self::compute),
/// [`compare_exchange`](Self::compare_exchange).
///
/// Maps are not compared, and have no `PartialEq`: two that others change need not be equal at any instant for a walk over
/// both to find them so.
///
/// Values are dropped by the [`Domain`], when nobody looks at them any more: later than they are removed, and
/// perhaps on another thread. [`Domain::flush`] does it at once where it can.
///
/// # Examples
///
/// ```
/// use ebtree::EbTree;
///
/// let timers = EbTree::new();
/// std::thread::scope(|scope| {
///     scope.spawn(|| drop(timers.insert(30_u64, "retry")));
///     scope.spawn(|| drop(timers.insert(10_u64, "connect")));
/// });
/// assert_eq!(timers.ge(&11).map(|timer| *timer.key()), Some(30));
/// while let Some(timer) = timers.pop_first() {
///     println!("{} at {}", timer.value(), timer.key());
/// }
/// ```
pub struct EbTree<K: Key, V: Send + Sync + 'static, R: Reclaimer = Domain> {
    pub(crate) forest: Forest<MapLeaf<K, V>, R>,
    pub(super) roots: Roots,
}

impl<K: Key, V: Send + Sync + 'static> EbTree<K, V> {
    /// Makes an empty map in the [global](Domain::global) domain.
    #[cfg(not(loom))]
    #[must_use]
    pub fn new() -> Self {
        Self::new_in(Domain::global())
    }

    /// Begins to make a map that is not as usual: with a domain of its own, or a fanned-out root.
    pub const fn builder() -> Builder<K, V> {
        Builder::new()
    }
}

impl<K: Key, V: Send + Sync + 'static, R: Reclaimer> EbTree<K, V, R> {
    /// Makes an empty map that reclaims through `domain`: a [`Domain`], or another [reclaimer](crate::reclaim).
    #[must_use]
    pub fn new_in(domain: R) -> Self {
        Self::with_roots(0, Roots::ONE, domain)
    }

    pub(super) fn with_roots(bits: u32, roots: Roots, domain: R) -> Self {
        Self { forest: Forest::new_in(bits, domain), roots }
    }

    /// Returns the root that a key belongs to.
    #[inline]
    pub(super) fn root(&self, key: impl Sought<K>) -> usize {
        self.roots.of(key.leads_with())
    }

    /// Returns an empty map like this one.
    pub(super) fn empty_like(&self) -> Self {
        Self::with_roots(self.forest.trees().ilog2(), self.roots, self.domain().clone())
    }

    /// Returns the domain.
    #[must_use]
    pub const fn domain(&self) -> &R {
        self.forest.domain()
    }

    /// Returns the entry of a key. Lock-free; linearizable.
    #[must_use]
    pub fn get<Q: ?Sized>(&self, key: &Q) -> Option<Entry<'_, K, V, R>>
    where
        K: Lookup<Q>,
    {
        self.forest.get_by(self.root(key), By(key)).map(Entry)
    }

    /// Calls `visit` with the value of a key, without the cost of a guard. `visit` may use this and other
    /// trees.
    pub fn get_with<Q: ?Sized, T>(&self, key: &Q, visit: impl FnOnce(&V) -> T) -> Option<T>
    where
        K: Lookup<Q>,
    {
        self.forest.get_with_by(self.root(key), By(key), |leaf| visit(&leaf.value))
    }

    /// Returns whether the key is there. Lock-free; linearizable.
    #[must_use]
    pub fn contains_key<Q: ?Sized>(&self, key: &Q) -> bool
    where
        K: Lookup<Q>,
    {
        self.get_with(key, |_| ()).is_some()
    }

    /// Inserts a key, or replaces its value, and returns the entry that was replaced. The key is never
    /// absent in between. Lock-free; linearizable.
    pub fn insert(&self, key: K, value: V) -> Option<Entry<'_, K, V, R>> {
        let (root, query) = (self.root(&key), key.clone());
        let mut new = MapLeaf::unlinked(key, value);
        loop {
            // SAFETY: the key of `new` is `query`.
            let (there, back) = match unsafe { self.forest.insert_new(root, &query, new) } {
                Ok(()) => return None,
                Err(refused) => refused,
            };
            new = back;
            let mut there = Some(there);
            while let Some(old) = there {
                // SAFETY: as above.
                match unsafe { self.forest.replace_new(root, &query, old.as_ptr(), new) } {
                    Ok(()) => return Some(Entry(old)),
                    Err(refused) => (there, new) = refused,
                }
            }
        }
    }

    /// Inserts a key that is not there yet. Lock-free; linearizable.
    ///
    /// # Errors
    /// The entry that has the key already, and the value that was not inserted.
    pub fn try_insert(&self, key: K, value: V) -> Result<(), (Entry<'_, K, V, R>, V)> {
        let (root, query) = (self.root(&key), key.clone());
        let new = MapLeaf::unlinked(key, value);
        // SAFETY: the key of `new` is `query`.
        unsafe { self.forest.insert_new(root, &query, new) }
            .map_err(|(there, new)| (Entry(there), MapLeaf::take_apart(new).1))
    }

    /// Inserts a key that is not there yet and returns its entry, or gives the value back.
    pub(crate) fn insert_or_give_back(&self, key: K, value: V) -> Result<Entry<'_, K, V, R>, V> {
        let (root, query) = (self.root(&key), key.clone());
        let new = MapLeaf::unlinked(key, value);
        // SAFETY: the key of `new` is `query`.
        unsafe { self.forest.get_or_insert_new(root, &query, new) }
            .map(Entry)
            .map_err(|(_, new)| MapLeaf::take_apart(new).1)
    }

    /// Returns the entry of a key, inserting it first if it is not there. Of several threads that do so at once,
    /// one inserts and all get its entry; `value` may run on each of them.
    pub fn get_or_insert_with(&self, key: K, value: impl FnOnce() -> V) -> Entry<'_, K, V, R> {
        if let Some(there) = self.get(&key) {
            return there;
        }
        let (root, query) = (self.root(&key), key.clone());
        let new = MapLeaf::unlinked(key, value());
        // SAFETY: the key of `new` is `query`.
        match unsafe { self.forest.get_or_insert_new(root, &query, new) } {
            Ok(inserted) => Entry(inserted),
            Err((there, _)) => Entry(there),
        }
    }

    /// Removes a key and returns its entry. Of several threads that do so at once, one gets it. Lock-free;
    /// linearizable.
    pub fn remove<Q: ?Sized>(&self, key: &Q) -> Option<Entry<'_, K, V, R>>
    where
        K: Lookup<Q>,
    {
        self.forest.take_by(self.root(key), By(key)).map(Entry)
    }

    /// Removes a key if `is_it` says so of its value, and returns whether it was removed. `is_it` may run more than
    /// once, and may use this and other trees.
    pub fn remove_if<Q: ?Sized>(&self, key: &Q, mut is_it: impl FnMut(&V) -> bool) -> bool
    where
        K: Lookup<Q>,
    {
        self.forest.remove_if_by(self.root(key), By(key), |leaf| is_it(&leaf.value))
    }

    /// Returns the entry with the smallest key.
    #[must_use]
    pub fn first(&self) -> Option<Entry<'_, K, V, R>> {
        self.forest.first_from(0).map(Entry)
    }

    /// Returns the entry with the largest key.
    #[must_use]
    pub fn last(&self) -> Option<Entry<'_, K, V, R>> {
        self.forest.last_below(self.forest.trees()).map(Entry)
    }

    /// Removes the entry with the smallest key and returns it. Exactly one caller gets an entry.
    pub fn pop_first(&self) -> Option<Entry<'_, K, V, R>> {
        self.forest.take_first_if(|_| true).map(Entry)
    }

    /// Removes the entry with the largest key and returns it. Exactly one caller gets an entry.
    pub fn pop_last(&self) -> Option<Entry<'_, K, V, R>> {
        self.forest.take_last().map(Entry)
    }

    /// Removes the entry with the smallest key if `is_due` says so, and returns it. What timers need.
    pub fn pop_first_if(
        &self,
        mut is_due: impl FnMut(&K, &V) -> bool,
    ) -> Option<Entry<'_, K, V, R>> {
        self.forest.take_first_if(|leaf| is_due(&leaf.key, &leaf.value)).map(Entry)
    }

    /// Returns the entry with the smallest key that is at least `key`.
    #[must_use]
    pub fn ge<Q: ?Sized>(&self, key: &Q) -> Option<Entry<'_, K, V, R>>
    where
        K: Lookup<Q>,
    {
        self.above(Bound::Included(key))
    }

    /// Returns the entry with the smallest key above `key`.
    #[must_use]
    pub fn gt<Q: ?Sized>(&self, key: &Q) -> Option<Entry<'_, K, V, R>>
    where
        K: Lookup<Q>,
    {
        self.above(Bound::Excluded(key))
    }

    /// Returns the entry with the largest key that is at most `key`.
    #[must_use]
    pub fn le<Q: ?Sized>(&self, key: &Q) -> Option<Entry<'_, K, V, R>>
    where
        K: Lookup<Q>,
    {
        self.below(Bound::Included(key))
    }

    /// Returns the entry with the largest key below `key`.
    #[must_use]
    pub fn lt<Q: ?Sized>(&self, key: &Q) -> Option<Entry<'_, K, V, R>>
    where
        K: Lookup<Q>,
    {
        self.below(Bound::Excluded(key))
    }

    /// Walks all entries in ascending order, or from both ends.
    ///
    /// A key that is present during the whole life of the walk is seen once; one that comes or goes
    /// meanwhile may or may not be seen. A walk keeps nothing alive and may stand still for as long as it likes. To
    /// keep a place without borrowing the map, see [`Cursor`].
    #[must_use]
    pub fn iter(&self) -> Iter<'_, K, V, R> {
        self.range(..)
    }

    /// Walks the entries in a range of keys in ascending order, or from both ends, as [`iter`](Self::iter) does. A range
    /// that starts beyond its end is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// # use ebtree::EbTree;
    /// let tree = EbTree::from([(1_u32, 'a'), (2, 'b'), (3, 'c'), (4, 'd')]);
    /// let mut middle = tree.range(2..=4);
    /// assert_eq!(middle.next_back().map(|entry| *entry), Some('d'));
    /// assert_eq!(middle.next().map(|entry| *entry), Some('b'));
    /// assert!(tree.range(..3).rev().map(|entry| *entry.key()).eq([2, 1]));
    /// ```
    #[must_use]
    pub fn range(&self, range: impl RangeBounds<K>) -> Range<'_, K, V, R> {
        Range::new(self, range.start_bound().cloned(), range.end_bound().cloned())
    }

    /// Returns whether the map was empty at some instant of the call.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first().is_none()
    }
}

#[cfg(not(loom))]
impl<K: Key, V: Send + Sync + 'static, R: Reclaimer + Default> Default for EbTree<K, V, R> {
    fn default() -> Self {
        Self::new_in(R::default())
    }
}

impl<K: Key + fmt::Debug, V: Send + Sync + fmt::Debug + 'static, R: Reclaimer> fmt::Debug
    for EbTree<K, V, R>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for entry in self {
            map.entry(entry.key(), entry.value());
        }
        map.finish()
    }
}

impl<'t, K: Key, V: Send + Sync + 'static, R: Reclaimer> IntoIterator for &'t EbTree<K, V, R> {
    type Item = Entry<'t, K, V, R>;
    type IntoIter = Iter<'t, K, V, R>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// An entry that was found or removed: a guard that leads to the value, as a `Box` does. Its key and value are not
/// dropped while it lives. It stays on its thread, and blocks nobody.
///
/// An entry never changes. When its value is replaced the map has a new entry, and this one is still the old.
pub struct Entry<'t, K: Key, V: Send + Sync + 'static, R: Reclaimer = Domain>(
    pub(crate) Ref<'t, MapLeaf<K, V>, R>,
);

impl<K: Key, V: Send + Sync + 'static, R: Reclaimer> Entry<'_, K, V, R> {
    /// Returns the key.
    #[must_use]
    pub fn key(&self) -> &K {
        &self.0.key
    }

    /// Returns the value.
    #[must_use]
    pub fn value(&self) -> &V {
        &self.0.value
    }
}

impl<K: Key, V: Send + Sync + 'static, R: Reclaimer> Deref for Entry<'_, K, V, R> {
    type Target = V;

    fn deref(&self) -> &V {
        self.value()
    }
}

impl<K: Key + fmt::Debug, V: Send + Sync + fmt::Debug + 'static, R: Reclaimer> fmt::Debug
    for Entry<'_, K, V, R>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entry").field(self.key()).field(self.value()).finish()
    }
}
