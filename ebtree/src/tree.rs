//! The map: a binary radix tree whose every operation is lock-free.
//!
//! ```text
//!   root edge ──► [ e0 | e1 ]            node: two edges, 16 bytes
//!                  │     └──► leaf(k2)   leaf: key and value
//!                  └──► [ e0 | e1 ] …
//! ```
//!
//! A descent reads no key before the leaf: at each node one bit of the key picks the edge, and the position of that bit
//! stood in the edge that led to the node. Insert is one CAS; remove is three: flag the edge to the leaf, tag
//! the edge beside it, splice the node out by lifting what the tagged edge leads to.
//!
//! # Invariants
//! I1  A linked node or leaf has exactly one incoming edge, in a linked node or the root. New nodes are private
//!     until one CAS links them.
//! I2  A frozen edge never changes its child, and never becomes clean again.
//! I3  TAG on an edge implies FLAG on the other edge of the same node.
//! I4  A linked node X is unlinked only by the CAS `edge above: (X, clean) → other edge of X without TAG`, after both
//!     edges of X are frozen; it removes X and exactly one flagged leaf.
//! I5  While a node lives, all keys ever below it agree on all bits above its position.
//! I6  If a thread reads a clean edge in a node that it protects and that was linked at some earlier moment, the
//!     node is linked at the moment of the read. (From I2 and I4.)
//!
//! # Synchronization
//! S1  slot store; light barrier; second read of the edge  <->  unlink; heavy barrier; slots read by a scan
//! S2  Release, in the CAS that links  ->  Acquire, in every load of an edge   (the child's fields)
//! S3  Release, in the splice          ->  Acquire, in every load of an edge   (the frozen edges)

mod batch;
mod builder;
pub(crate) mod descent;
pub(crate) mod lanes;
pub(crate) mod leaves;
mod longest;
mod many;
mod map;
pub(crate) mod ordered;
mod read;
mod scan;
pub(crate) mod unlinked;
mod write;

pub use builder::Builder;
pub use many::DrainUntil;
pub(crate) use map::Between;
pub use map::{
    Change, CompareExchangeError, Cursor, EbTree, Entry, IntoIter, Iter, Range, RangeBy,
};
