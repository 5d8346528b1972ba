//! Longest prefix match: tables of networks, asked for the most specific one that an address lies in.
//!
//! | question | answer |
//! | --- | --- |
//! | which rule, country or limit is this address's? | [`longest_match`](EbPrefixTree::longest_match) |
//! | which others stand behind it, for what it leaves open? | [`covering`](EbPrefixTree::covering), from the longest to the shortest |
//! | what is inside this network, and what does it add up to? | [`covered`](EbPrefixTree::covered), with the iterator's `sum` or `fold` |
//! | which networks are there, without those inside others? | [`outermost`](EbPrefixTree::outermost) |
//!
//! There is no operation that adds up a network in one step: a sum kept in the nodes would have to be changed on the whole
//! path with each value, by all threads at once. A walk costs a descent per entry, and nobody else anything.

mod address;
mod network;
#[cfg(all(test, not(loom)))]
mod stopped;
mod walks;

use core::fmt;
use core::ops::Bound;

pub use self::address::Address;
pub use self::network::{Ipv4Prefix, Ipv6Prefix, Prefix, PrefixError};
pub use self::walks::{Covered, Covering, Iter, Outermost};
use crate::intrusive::Forest;
use crate::reclaim::{Domain, Reclaimer};
use crate::tree::{self, EbTree};

/// A map from prefixes of addresses to values, which any number of threads use at once, without locks.
///
/// Every operation is lock-free, as those of [`EbTree`] are, and no guard ([`Entry`]) can block
/// anybody. Operations on one prefix are linearizable. Walks return what was present at some instant of the step, and
/// do not pass over what is present all along.
///
/// Operations take `O(d)` steps, where `d` is the depth of the tree at the prefix: at most its number of bits and that
/// of the prefixes that cover it, and about `1.4 log₂ n` for evenly spread ones. A walk takes that for each entry. An entry is
/// a node of 16 bytes and a leaf, of 16 bytes for an IPv4 prefix and a `u64`.
///
/// One table holds the addresses of one type; for both kinds of IP addresses in one see
/// [`to_ipv6_mapped`](Ipv4Prefix::to_ipv6_mapped). When values are dropped: as in `EbTree`.
///
/// # Examples
///
/// ```
/// use ebtree::EbPrefixTree;
/// use std::net::Ipv4Addr;
///
/// let rules: EbPrefixTree<Ipv4Addr, &str> = EbPrefixTree::new();
/// rules.insert("10.0.0.0/8".parse()?, "allow");
/// rules.insert("10.1.0.0/16".parse()?, "deny");
/// let rule = |address: [u8; 4]| rules.longest_match(address.into()).map(|rule| *rule.value());
/// assert_eq!(rule([10, 1, 2, 3]), Some("deny"));
/// assert_eq!(rule([10, 2, 2, 3]), Some("allow"));
/// assert_eq!(rule([192, 0, 2, 1]), None);
/// # Ok::<(), ebtree::prefix::PrefixError>(())
/// ```
pub struct EbPrefixTree<A: Address, V: Send + Sync + 'static, R: Reclaimer = Domain> {
    tree: EbTree<Prefix<A>, V, R>,
}

/// The one root.
const ROOT: usize = 0;

#[cfg(not(loom))]
impl<A: Address, V: Send + Sync + 'static> EbPrefixTree<A, V> {
    /// Makes an empty map in the [global](Domain::global) domain.
    #[must_use]
    pub fn new() -> Self {
        Self::new_in(Domain::global())
    }
}

impl<A: Address, V: Send + Sync + 'static, R: Reclaimer> EbPrefixTree<A, V, R> {
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

    /// Returns the entry with the longest prefix of an address: the most specific network that it lies in.
    ///
    /// Lock-free; one descent. The entry was present at some instant of the call, and no longer prefix of the
    /// address was present during the whole call; with `None` no prefix of it was. More than that, the answer is that
    /// of one instant, unless a longer prefix of the address was both inserted and removed within the call. So who
    /// replaces a network by others, and inserts the new ones before removing the old one, leaves no gap.
    #[inline]
    #[must_use]
    pub fn longest_match(&self, address: A) -> Option<Entry<'_, A, V, R>> {
        self.longest(Prefix::host(address))
    }

    /// Calls `visit` with the longest prefix of an address and its value, without the cost of a guard: see
    /// [`longest_match`](Self::longest_match). `visit` may use this and other trees.
    #[inline]
    pub fn longest_match_with<T>(
        &self,
        address: A,
        visit: impl FnOnce(&Prefix<A>, &V) -> T,
    ) -> Option<T> {
        let mut walk = self.tree.forest.walk(ROOT);
        let depth = walk.longest(&Prefix::host(address), Prefix::<A>::is_end)?;
        let leaf = walk.leaf(depth);
        let seen = visit(&leaf.key, &leaf.value);
        walk.end(Some(seen))
    }

    /// Returns the longest entry that covers this prefix, itself included.
    fn longest(&self, prefix: Prefix<A>) -> Option<Entry<'_, A, V, R>> {
        let mut walk = self.tree.forest.walk(ROOT);
        let depth = walk.longest(&prefix, Prefix::<A>::is_end)?;
        let found = Entry(tree::Entry(Forest::reference(&walk, depth)));
        walk.end(Some(found))
    }

    /// Walks the entries that cover a prefix, itself included, from the longest to the shortest.
    ///
    /// Each step is a [longest match](Self::longest_match) of its own. An entry that is present during the whole
    /// life of the walk is seen once; one that comes or goes meanwhile may or may not be seen.
    ///
    /// ```
    /// # use {ebtree::EbPrefixTree, std::net::Ipv4Addr};
    /// let limits: EbPrefixTree<Ipv4Addr, u32> = EbPrefixTree::new();
    /// limits.insert("0.0.0.0/0".parse()?, 1000);
    /// limits.insert("192.0.2.0/24".parse()?, 100);
    /// limits.insert("192.0.2.128/25".parse()?, 50);
    /// let all: Vec<u32> = limits.covering(&"192.0.2.1".parse()?).map(|limit| *limit.value()).collect();
    /// assert_eq!(all, [100, 1000]);
    /// # Ok::<(), ebtree::prefix::PrefixError>(())
    /// ```
    #[must_use]
    pub const fn covering(&self, prefix: &Prefix<A>) -> Covering<'_, A, V, R> {
        Covering::new(self, *prefix)
    }

    /// Walks the entries that a prefix covers, itself included, in order: each one before those that it
    /// covers.
    ///
    /// An entry that is present during the whole life of the walk is seen once; one that comes or goes
    /// meanwhile may or may not be seen.
    ///
    /// ```
    /// # use {ebtree::EbPrefixTree, std::net::Ipv4Addr};
    /// let hits: EbPrefixTree<Ipv4Addr, u64> = EbPrefixTree::new();
    /// for (address, count) in [("10.0.0.1", 5), ("10.0.9.9", 7), ("11.0.0.1", 100)] {
    ///     hits.insert(address.parse()?, count);
    /// }
    /// let sum: u64 = hits.covered(&"10.0.0.0/8".parse()?).map(|entry| *entry.value()).sum();
    /// assert_eq!(sum, 12);
    /// # Ok::<(), ebtree::prefix::PrefixError>(())
    /// ```
    #[must_use]
    pub const fn covered(&self, prefix: &Prefix<A>) -> Covered<'_, A, V, R> {
        Covered::new(self, *prefix)
    }

    /// Walks the outermost of the entries that a prefix covers, itself included: those that no other of them covers, in
    /// order. What lies inside of one is passed by, at no cost.
    ///
    /// No two of those returned cover each other. What is covered by the prefix, and present during the whole life of the
    /// walk, is seen or covered by one that is.
    #[must_use]
    pub const fn outermost(&self, prefix: &Prefix<A>) -> Outermost<'_, A, V, R> {
        Outermost::new(self, *prefix)
    }

    /// Walks all entries in order: each one before those that it covers. See [`covered`](Self::covered).
    #[must_use]
    pub fn iter(&self) -> Iter<'_, A, V, R> {
        Covered::new(self, Prefix::ALL)
    }

    /// Returns the entry of this very prefix. Lock-free; linearizable.
    #[must_use]
    pub fn get(&self, prefix: &Prefix<A>) -> Option<Entry<'_, A, V, R>> {
        self.tree.get(prefix).map(Entry)
    }

    /// Calls `visit` with the value of this very prefix, without the cost of a guard. `visit` may use this and
    /// other trees.
    pub fn get_with<T>(&self, prefix: &Prefix<A>, visit: impl FnOnce(&V) -> T) -> Option<T> {
        self.tree.get_with(prefix, visit)
    }

    /// Returns whether this very prefix is there. Lock-free; linearizable.
    #[must_use]
    pub fn contains_key(&self, prefix: &Prefix<A>) -> bool {
        self.get_with(prefix, |_| ()).is_some()
    }

    /// Inserts a prefix, or replaces its value, and returns the entry that was replaced. The prefix is never
    /// absent in between. Lock-free; linearizable.
    pub fn insert(&self, prefix: Prefix<A>, value: V) -> Option<Entry<'_, A, V, R>> {
        self.tree.insert(prefix, value).map(Entry)
    }

    /// Inserts a prefix that is not there yet. Lock-free; linearizable.
    ///
    /// # Errors
    /// The entry that has the prefix already, and the value that was not inserted.
    pub fn try_insert(&self, prefix: Prefix<A>, value: V) -> Result<(), (Entry<'_, A, V, R>, V)> {
        self.tree.try_insert(prefix, value).map_err(|(there, value)| (Entry(there), value))
    }

    /// Returns the entry of this very prefix, inserting it first if it is not there; see [`EbTree::get_or_insert_with`].
    pub fn get_or_insert_with(
        &self,
        prefix: Prefix<A>,
        value: impl FnOnce() -> V,
    ) -> Entry<'_, A, V, R> {
        Entry(self.tree.get_or_insert_with(prefix, value))
    }

    /// Replaces the value of this very prefix by one made from it, and returns the new entry; see [`EbTree::update`].
    pub fn update(
        &self,
        prefix: &Prefix<A>,
        change: impl FnMut(&V) -> V,
    ) -> Option<Entry<'_, A, V, R>> {
        self.tree.update(prefix, change).map(Entry)
    }

    /// Removes a prefix and returns its entry; what it covers stays. Of several threads that do so at once, one gets
    /// it. Lock-free; linearizable.
    pub fn remove(&self, prefix: &Prefix<A>) -> Option<Entry<'_, A, V, R>> {
        self.tree.remove(prefix).map(Entry)
    }

    /// Removes a prefix if `is_it` says so of its value, and returns whether it was removed. `is_it` may run more than
    /// once, and may use this and other trees.
    pub fn remove_if(&self, prefix: &Prefix<A>, is_it: impl FnMut(&V) -> bool) -> bool {
        self.tree.remove_if(prefix, is_it)
    }

    /// Returns the first entry in order.
    #[must_use]
    pub fn first(&self) -> Option<Entry<'_, A, V, R>> {
        self.tree.first().map(Entry)
    }

    /// Returns the last entry in order.
    #[must_use]
    pub fn last(&self) -> Option<Entry<'_, A, V, R>> {
        self.tree.last().map(Entry)
    }

    /// Returns the first entry from a place in the order on.
    fn seek(&self, from: Bound<Prefix<A>>) -> Option<Entry<'_, A, V, R>> {
        match from {
            Bound::Unbounded => self.tree.first(),
            Bound::Included(prefix) => self.tree.ge(&prefix),
            Bound::Excluded(prefix) => self.tree.gt(&prefix),
        }
        .map(Entry)
    }

    /// Returns whether the map was empty at some instant of the call.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }

    /// Counts the entries by a walk over all of them: `O(n)`.
    ///
    /// Exact while nobody inserts or removes; otherwise between the number of entries that were there all along and
    /// that of all that were there at some time.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Removes the entries up to the last one that is there when the call begins. What others insert meanwhile may
    /// stay, and the call ends however fast they do.
    pub fn clear(&self) {
        self.tree.clear();
    }

    /// Keeps the entries of which `keep` says so, and removes the others, in order; see [`EbTree::retain`].
    pub fn retain(&self, keep: impl FnMut(&Prefix<A>, &V) -> bool) {
        self.tree.retain(keep);
    }
}

#[cfg(not(loom))]
impl<A: Address, V: Send + Sync + 'static, R: Reclaimer + Default> Default
    for EbPrefixTree<A, V, R>
{
    fn default() -> Self {
        Self::new_in(R::default())
    }
}

impl<A: Address + fmt::Debug, V: Send + Sync + fmt::Debug + 'static, R: Reclaimer> fmt::Debug
    for EbPrefixTree<A, V, R>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for entry in self {
            map.entry(entry.prefix(), entry.value());
        }
        map.finish()
    }
}

impl<'t, A: Address, V: Send + Sync + 'static, R: Reclaimer> IntoIterator
    for &'t EbPrefixTree<A, V, R>
{
    type Item = Entry<'t, A, V, R>;
    type IntoIter = Iter<'t, A, V, R>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<A: Address, V: Send + Sync + 'static, R: Reclaimer> Extend<(Prefix<A>, V)>
    for &EbPrefixTree<A, V, R>
{
    /// Inserts each pair, as [`insert`](EbPrefixTree::insert) does: a shared map can be extended too.
    fn extend<I: IntoIterator<Item = (Prefix<A>, V)>>(&mut self, pairs: I) {
        for (prefix, value) in pairs {
            self.insert(prefix, value);
        }
    }
}

#[cfg(not(loom))]
impl<A: Address, V: Send + Sync + 'static, R: Reclaimer + Default> FromIterator<(Prefix<A>, V)>
    for EbPrefixTree<A, V, R>
{
    /// Collects into a map in the [global](Domain::global) domain. Of pairs with one prefix the last stays.
    fn from_iter<I: IntoIterator<Item = (Prefix<A>, V)>>(pairs: I) -> Self {
        let tree = Self::default();
        (&tree).extend(pairs);
        tree
    }
}

/// An entry that was found or removed. Its value is not dropped while this guard lives. It stays on
/// its thread, and blocks nobody.
pub struct Entry<'t, A: Address, V: Send + Sync + 'static, R: Reclaimer = Domain>(
    tree::Entry<'t, Prefix<A>, V, R>,
);

impl<A: Address, V: Send + Sync + 'static, R: Reclaimer> Entry<'_, A, V, R> {
    /// Returns the prefix.
    #[must_use]
    pub fn prefix(&self) -> &Prefix<A> {
        self.0.key()
    }

    /// Returns the value.
    #[must_use]
    pub fn value(&self) -> &V {
        self.0.value()
    }
}

impl<A: Address + fmt::Debug, V: Send + Sync + fmt::Debug + 'static, R: Reclaimer> fmt::Debug
    for Entry<'_, A, V, R>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entry").field(self.prefix()).field(self.value()).finish()
    }
}
