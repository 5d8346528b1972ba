//! A single-threaded elastic binary tree, as its inventor lays it out: one allocation for an entry, which holds a leaf and one inner
//! node. The locked contestants are built on it.
//!
//! ```text
//!        [bit 2, in c]                 An insert brings the one inner node that it needs in its own entry: above, c brought
//!         /         \                  the root, and b the node beside it. The node of an entry stands somewhere on the way
//!    [bit 0, in b]   c                 from the root to the entry's leaf, so its key tells the bits above.
//!      /       \
//!     a         b
//! ```
//!
//! Links say by a tag whether they lead to the leaf or to the node of an entry; an entry has a way up from each. A removal
//! takes the node above the leaf away, and if that was another entry's, this other one takes over the node of the entry that goes.

use std::cell::Cell;
use std::ptr::NonNull;

/// A way down: null, or an entry, and in the lowest bit whether to its node.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Link(*mut Entry);

const NODE: usize = 1;

impl Link {
    const NULL: Self = Self(std::ptr::null_mut());

    const fn leaf(entry: NonNull<Entry>) -> Self {
        Self(entry.as_ptr())
    }

    fn node(entry: NonNull<Entry>) -> Self {
        Self(entry.as_ptr().map_addr(|address| address | NODE))
    }

    fn is_node(self) -> bool {
        self.0.addr() & NODE != 0
    }

    fn entry(self) -> Option<NonNull<Entry>> {
        NonNull::new(self.0.map_addr(|address| address & !NODE))
    }
}

/// A way up: the branches that a link lies in, and in the lowest bit on which side. Null where a node is not in use.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Up(*mut Branches);

impl Up {
    const NULL: Self = Self(std::ptr::null_mut());

    fn new(branches: NonNull<Branches>, side: bool) -> Self {
        Self(branches.as_ptr().map_addr(|address| address | usize::from(side)))
    }

    fn side(self) -> bool {
        self.0.addr() & 1 != 0
    }

    fn branches(self) -> Option<NonNull<Branches>> {
        NonNull::new(self.0.map_addr(|address| address & !1))
    }
}

type Branches = [Cell<Link>; 2];

#[repr(C)]
struct Entry {
    /// First, so that they have the entry's address.
    branches: Branches,
    node_up: Cell<Up>,
    leaf_up: Cell<Up>,
    /// The bit that the node tells apart.
    bit: Cell<u32>,
    key: u64,
    value: Cell<u64>,
}

/// Returns an entry.
fn at<'t>(entry: NonNull<Entry>) -> &'t Entry {
    // SAFETY: entries are from boxes, and freed by `remove` and `drop` only, after the last use; every function that
    // comes here borrows the tree, and keeps nothing.
    unsafe { entry.as_ref() }
}

/// Returns branches: those of an entry, or of the root.
fn branches<'t>(branches: NonNull<Branches>) -> &'t Branches {
    // SAFETY: as in `at`; the root is a box of the tree's.
    unsafe { branches.as_ref() }
}

/// Returns the bits of two keys that differ, from `bit` on: 0 or 1 if they are equal above it.
const fn above(a: u64, b: u64, bit: u32) -> u64 {
    (a ^ b) >> bit
}

const fn side_of(key: u64, bit: u32) -> bool {
    key >> bit & 1 != 0
}

/// A map of unique keys.
pub(crate) struct Elastic {
    /// Only the first is used.
    root: NonNull<Branches>,
}

// SAFETY: owns its entries, which are plain memory.
unsafe impl Send for Elastic {}
// SAFETY: what takes `&self` only reads.
unsafe impl Sync for Elastic {}

impl Elastic {
    pub(crate) fn new() -> Self {
        let root = Box::new([Cell::new(Link::NULL), Cell::new(Link::NULL)]);
        Self { root: NonNull::from(Box::leak(root)) }
    }

    fn top(&self) -> Link {
        branches(self.root)[0].get()
    }

    fn find(&self, key: u64) -> Option<NonNull<Entry>> {
        let mut link = self.top();
        loop {
            let entry = link.entry()?;
            let there = at(entry);
            if !link.is_node() {
                return (there.key == key).then_some(entry);
            }
            let bit = there.bit.get();
            if there.key == key {
                return Some(entry);
            }
            if above(there.key, key, bit) > 1 {
                return None;
            }
            link = there.branches[usize::from(side_of(key, bit))].get();
        }
    }

    pub(crate) fn get(&self, key: u64) -> Option<u64> {
        self.find(key).map(|entry| at(entry).value.get())
    }

    /// Tells what a link leads to that it lies elsewhere now.
    fn moved(link: Link, up: Up) {
        let Some(entry) = link.entry() else { return };
        let place = if link.is_node() { &at(entry).node_up } else { &at(entry).leaf_up };
        place.set(up);
    }

    pub(crate) fn insert(&mut self, key: u64, value: u64) -> Option<u64> {
        let (mut place, mut side) = (self.root, false);
        loop {
            let link = branches(place)[usize::from(side)].get();
            let Some(there) = link.entry() else {
                let new = Self::boxed(key, value);
                at(new).leaf_up.set(Up::new(place, side));
                branches(place)[usize::from(side)].set(Link::leaf(new));
                return None;
            };
            let old = at(there);
            if link.is_node() && above(old.key, key, old.bit.get()) <= 1 {
                (place, side) = (there.cast(), side_of(key, old.bit.get()));
                continue;
            }
            if old.key == key {
                return Some(old.value.replace(value));
            }
            // Between the link and what it led to.
            let new = Self::boxed(key, value);
            let bit = (old.key ^ key).ilog2();
            let ours = side_of(key, bit);
            let entry = at(new);
            entry.bit.set(bit);
            entry.node_up.set(Up::new(place, side));
            entry.leaf_up.set(Up::new(new.cast(), ours));
            entry.branches[usize::from(ours)].set(Link::leaf(new));
            entry.branches[usize::from(!ours)].set(link);
            Self::moved(link, Up::new(new.cast(), !ours));
            branches(place)[usize::from(side)].set(Link::node(new));
            return None;
        }
    }

    fn boxed(key: u64, value: u64) -> NonNull<Entry> {
        NonNull::from(Box::leak(Box::new(Entry {
            branches: [Cell::new(Link::NULL), Cell::new(Link::NULL)],
            node_up: Cell::new(Up::NULL),
            leaf_up: Cell::new(Up::NULL),
            bit: Cell::new(0),
            key,
            value: Cell::new(value),
        })))
    }

    pub(crate) fn remove(&mut self, key: u64) -> Option<u64> {
        self.find(key).map(|entry| self.take(entry))
    }

    /// Takes an entry out, and frees it.
    fn take(&mut self, gone: NonNull<Entry>) -> u64 {
        let entry = at(gone);
        let up = entry.leaf_up.get();
        let above = up.branches().expect("a leaf is always linked");
        if above == self.root {
            branches(self.root)[0].set(Link::NULL);
        } else {
            // The node above goes, and the other branch takes its place.
            let parent: NonNull<Entry> = above.cast();
            let other = branches(above)[usize::from(!up.side())].get();
            let further = at(parent).node_up.replace(Up::NULL);
            let place = further.branches().expect("a node in use is linked");
            branches(place)[usize::from(further.side())].set(other);
            Self::moved(other, further);
            // The node of the entry that goes is another's from now on.
            let own = entry.node_up.get();
            if let Some(place) = own.branches() {
                let heir = at(parent);
                heir.bit.set(entry.bit.get());
                heir.node_up.set(own);
                branches(place)[usize::from(own.side())].set(Link::node(parent));
                for side in [false, true] {
                    let link = entry.branches[usize::from(side)].get();
                    heir.branches[usize::from(side)].set(link);
                    Self::moved(link, Up::new(parent.cast(), side));
                }
            }
        }
        // SAFETY: from `boxed`, and linked by nothing any more.
        let entry = unsafe { Box::from_raw(gone.as_ptr()) };
        entry.value.get()
    }

    /// Goes down to the smallest entry below a link.
    fn smallest(mut link: Link) -> Option<NonNull<Entry>> {
        loop {
            let entry = link.entry()?;
            if !link.is_node() {
                return Some(entry);
            }
            link = at(entry).branches[0].get();
        }
    }

    /// Returns the entry after everything that lies below a way up.
    fn after(&self, mut up: Up) -> Option<NonNull<Entry>> {
        loop {
            let place = up.branches()?;
            if place == self.root {
                return None;
            }
            if !up.side() {
                return Self::smallest(branches(place)[1].get());
            }
            up = at(place.cast()).node_up.get();
        }
    }

    /// Returns the first entry whose key is at least this one.
    fn seek(&self, key: u64) -> Option<NonNull<Entry>> {
        let mut link = self.top();
        loop {
            let entry = link.entry()?;
            let there = at(entry);
            let (bit, up) = if link.is_node() {
                (there.bit.get(), &there.node_up)
            } else {
                (0, &there.leaf_up)
            };
            if !link.is_node() || above(there.key, key, bit) > 1 {
                let is_beyond = there.key >= key;
                return if is_beyond { Self::smallest(link) } else { self.after(up.get()) };
            }
            link = there.branches[usize::from(side_of(key, bit))].get();
        }
    }

    /// Returns the values from a key on.
    pub(crate) fn values_from(&self, key: u64) -> impl Iterator<Item = u64> + '_ {
        let next = |entry: &NonNull<Entry>| self.after(at(*entry).leaf_up.get());
        std::iter::successors(self.seek(key), next).map(|entry| at(entry).value.get())
    }

    /// Returns the smallest key.
    pub(crate) fn first_key(&self) -> Option<u64> {
        Self::smallest(self.top()).map(|entry| at(entry).key)
    }

    /// Takes the entry with the smallest key out if that is at most `due`.
    pub(crate) fn pop_first_if(&mut self, due: u64) -> bool {
        let first = Self::smallest(self.top()).filter(|first| at(*first).key <= due);
        first.map(|first| self.take(first)).is_some()
    }
}

impl Drop for Elastic {
    fn drop(&mut self) {
        while self.pop_first_if(u64::MAX) {}
        // SAFETY: from a box in `new`.
        drop(unsafe { Box::from_raw(self.root.as_ptr()) });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::random::{Random, mix};

    impl Elastic {
        /// Checks what is below a link: that it knows where it lies, that bits come in descending order, and that a node's
        /// own key lies below it. Returns the keys.
        fn check(&self, link: Link, up: Up, bits: u32) -> Vec<u64> {
            let Some(entry) = link.entry() else { return Vec::new() };
            let there = at(entry);
            if !link.is_node() {
                assert!(there.leaf_up.get() == up);
                return vec![there.key];
            }
            let bit = there.bit.get();
            assert!(there.node_up.get() == up && bit < bits);
            let below = |side| {
                let link = there.branches[usize::from(side)].get();
                let keys = self.check(link, Up::new(entry.cast(), side), bit);
                assert!(!keys.is_empty() && keys.iter().all(|key| side_of(*key, bit) == side));
                keys
            };
            let keys = [below(false), below(true)].concat();
            assert!(keys.contains(&there.key));
            assert!(keys.iter().all(|key| above(*key, there.key, bit) <= 1));
            keys
        }
    }

    #[test]
    fn like_a_btree_map() {
        // Dense keys, spread ones, and the ends.
        let kinds: [fn(u64) -> u64; 3] = [|k| k, |k| mix(k), |k| u64::MAX - (k & 1) * (k << 40)];
        for (seed, key) in kinds.into_iter().enumerate() {
            let (mut ours, mut oracle) = (Elastic::new(), BTreeMap::new());
            let mut random = Random::new(seed as u64);
            for step in 0..20_000 {
                let at = key(random.below(200));
                match random.below(8) {
                    0..3 => assert_eq!(ours.insert(at, step), oracle.insert(at, step)),
                    3..5 => assert_eq!(ours.remove(at), oracle.remove(&at)),
                    5 => assert_eq!(ours.get(at), oracle.get(&at).copied()),
                    6 => {
                        let first = oracle.first_key_value().map(|(key, _)| *key);
                        assert_eq!(ours.first_key(), first);
                        let due = first.filter(|first| *first <= at);
                        assert_eq!(ours.pop_first_if(at), due.is_some());
                        due.map(|first| oracle.remove(&first));
                    }
                    _ => assert!(ours.values_from(at).eq(oracle.range(at..).map(|(_, v)| *v))),
                }
                if step % 100 == 0 {
                    let keys = ours.check(ours.top(), Up::new(ours.root, false), 64);
                    assert!(keys.iter().eq(oracle.keys()));
                }
            }
        }
    }
}
