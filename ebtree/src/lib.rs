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
//! | promise | |
//! | --- | --- |
//! | progress | every operation is lock-free, ordered searches and walks too |
//! | one key | `get`, `insert`, `remove`, `update`, `compute`, `compare_exchange` and the like are linearizable |
//! | order | a key present during the whole call is never passed over; results are in strict order, from both ends |
//! | memory | unlinked objects not yet freed are bounded, whatever a reader does: see [`Domain`] |
//! | values | dropped exactly once, perhaps later and on another thread |
//! | panics | in a closure or a method of a key leave the tree usable, and leak nothing |
//!
//! With the feature `serde`, maps implement its `Serialize` and `Deserialize`.
//!
//! Modules, in reading order: [`key`], [`tree`], [`prefix`] (longest match), [`intrusive`] (leaves that the caller allocates).

pub mod intrusive;
pub mod key;
pub mod multi;
pub mod prefix;
pub mod tree;

mod edge;
mod leaf;
mod node;
mod pool;
mod reclaim;
mod sync;

pub use key::{ByteKey, FixedWidthKey, Key, KeyTooLong, StrKey};
pub use multi::EbMultiTree;
#[cfg(not(loom))]
pub use pool::advise_huge_pages;
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
