//! A lock-free elastic binary tree: an ordered map for many threads, reclaimed through hazard pointers.
//!
//! **No guard and no walk can block anybody.** A thread that is stopped inside an operation, or that keeps an
//! [`Entry`] for an hour, costs the others nothing but the few nodes that its own hazard slots name.
//!
//! ```
//! use ebtree::EbTree;
//!
//! let tree = EbTree::new();
//! tree.insert(3_u64, "three");
//! tree.insert(1, "one");
//! assert_eq!(tree.get(&3).map(|entry| *entry.value()), Some("three"));
//! assert_eq!(tree.ge(&2).map(|entry| *entry.key()), Some(3));
//! assert_eq!(tree.pop_first().map(|entry| *entry.key()), Some(1));
//! ```
//!
//! The shape is that of Willy Tarreau's ebtree: a binary radix tree in which insert and delete change a
//! constant number of links. The concurrent algorithm is a leaf-oriented Patricia trie with the edge marks of
//! Natarajan and Mittal (*Fast Concurrent Lock-Free Binary Search Trees*, PPoPP 2014), restricted to
//! unlinking one node and one leaf per CAS, which makes it safe with hazard pointers (Michael, *Hazard Pointers: Safe Memory
//! Reclamation for Lock-Free Objects*, IEEE TPDS 2004). The invariants stand in [`tree`].
//!
//! # Which map
//!
//! | | |
//! | --- | --- |
//! | [`EbTree`] | one value a key; with [a fanned-out root](EbTree::builder) for hashes, or for a known range |
//! | [`EbMultiTree`] | several values of a key, in the order in which they came: timers, queues |
//! | [`EbPrefixTree`] | IP networks: the longest that an address lies in, those that cover one, those inside one |
//! | [`intrusive::Forest`] | leaves that the caller allocates, which may be members of other structures too |
//!
//! # What is promised
//!
//! | | |
//! | --- | --- |
//! | progress | every operation is lock-free, ordered searches and walks too: of all threads inside, one always gets on |
//! | one key | `get`, `insert`, `remove`, `update`, `compute`, `compare_exchange` and the like are linearizable |
//! | order | a key present during the whole call is never passed over; results are in strict order, from both ends |
//! | walks | each key at most once; one that is present during the whole walk, exactly once; no snapshot |
//! | memory | unlinked objects not yet freed are bounded, whatever a reader does: see [`Domain`] |
//! | values | dropped exactly once, perhaps later and on another thread; at once by [`Domain::flush`] where nobody looks at them |
//! | panics | in a closure or a method of a key leave the tree usable, and leak nothing |
//! | closures | visitors, predicates and what values do when they are dropped may use this and other trees |
//!
//! # What it costs
//!
//! `d` is the depth of the tree at the key: at most the bits of a key, about `1.4 log₂ n` for evenly spread keys, and
//! `k` less with `2^k` roots.
//!
//! | | steps | shared words written |
//! | --- | --- | --- |
//! | `get`, `get_with`, `contains_key`, `first`, `last`, `ge`, `gt`, `le`, `lt`, a step of `range` | `O(d)` | none |
//! | `get_many` of `m` keys | `O(m d)`, sixteen cache misses at a time | none |
//! | `insert`, `try_insert`, `get_or_insert_with` | `O(d)` | one edge |
//! | `insert` over a value, `update`, `compare_exchange` | `O(d)` for each try | one edge |
//! | `remove`, `pop_first`, `pop_last` | `O(d)` | three edges |
//! | a step of `range_with` | `O(1)` on average | none |
//! | `len`, `clear`, `retain`, `clone` | `O(n)` | |
//!
//! An entry takes a node of 16 bytes and a leaf, which has the size of key and value, at least 16 and a multiple of 16.
//!
//! # When not to use it
//!
//! - One thread, or rare writes beside few readers: `BTreeMap`, behind an `RwLock`. It is ahead of this crate's ordered walks by
//!   three to six times, since it keeps several entries in a cache line and this keeps one.
//! - No order needed: a concurrent hash map such as papaya or dashmap.
//! - Dense integer keys and no removal of ranges: an adaptive radix tree such as congee.
//! - Values that are changed in place, often: an entry is immutable. Put atomics into the value.
//! - Without std: reclamation needs to know of threads and their ends.
//!
//! # Features
//!
//! None is on by default. `serde`: maps implement its `Serialize` and `Deserialize`. `crossbeam-epoch`, `haphazard`, `seize`, `leak`: other
//! reclaimers than [`Domain`], see [`reclaim`].
//!
//! Modules, in reading order: [`key`], [`tree`], [`multi`], [`prefix`], [`intrusive`], [`reclaim`].

pub mod intrusive;
pub mod key;
pub mod multi;
pub mod prefix;
pub mod reclaim;
pub mod tree;

mod edge;
mod leaf;
mod node;
mod pool;
mod sync;

pub use key::{ByteKey, FixedWidthKey, Key, KeyTooLong, Lookup, StrKey};
pub use multi::EbMultiTree;
#[cfg(not(loom))]
pub use pool::{advise_huge_pages, return_memory};
pub use prefix::{EbPrefixTree, Ipv4Prefix, Ipv6Prefix};
pub use reclaim::Domain;
pub use tree::{Change, CompareExchangeError, Cursor, EbTree, Entry};

#[doc(hidden)]
pub use sync::Mutant;
#[cfg(loom)]
#[doc(hidden)]
pub use {
    reclaim::{attach_to, end_thread},
    sync::with_mutant,
};
