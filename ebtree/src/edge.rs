//! One edge: the word that names a child, with the child's bit position and two marks.
//!
//! ```text
//! 63            48 47                          4  3    2     1    0
//! +---------------+-----------------------------+----+-----+-----+------+
//! | pos of child  | address of child            | -- |LEAF | TAG | FLAG |
//! +---------------+-----------------------------+----+-----+-----+------+
//! ```
//!
//! That is the packed layout. With `--cfg ebtree_plain_edges`, and where a pointer has no 16 bits to spare, `pos` stands
//! in the child instead.
//!
//! This is the one file that knows what the bits mean. `pos` is the key bit that the *child* tells apart; a
//! leaf has none. `FLAG`: the child is a leaf that has been removed. `TAG`: frozen because the *other*
//! edge of the same node is flagged. An edge with neither mark is *clean*; with one it is *frozen*, which is
//! final (I2 of [`tree`](crate::tree)).
//!
//! In the packed layout the address takes 48 bits and is a multiple of 16; [`Edge::to_node`] and [`Edge::to_leaf`]
//! check it, once per allocation. Words are packed with `map_addr`, so provenance is kept.

#[cfg_attr(any(not(target_pointer_width = "64"), ebtree_plain_edges), path = "edge/plain.rs")]
#[cfg_attr(not(any(not(target_pointer_width = "64"), ebtree_plain_edges)), path = "edge/packed.rs")]
mod layout;

use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use self::layout::ADDRESS;
pub(crate) use self::layout::Position;
use crate::node::Node;
use crate::sync::{AtomicLink, Mutant, mutant};

const FLAG: usize = 1;
const TAG: usize = 1 << 1;
const LEAF: usize = 1 << 2;
const MARKS: usize = FLAG | TAG;

/// What was read from an edge.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edge(*mut ());

impl Edge {
    /// The edge of an empty tree.
    pub(crate) const NULL: Self = Self(core::ptr::null_mut());

    /// Returns the clean edge to a node that tells apart bit `pos`.
    #[inline]
    pub(crate) fn to_node(node: NonNull<Node>, pos: u16) -> Self {
        Self::pack(node.cast(), layout::in_edge(pos))
    }

    /// Returns the clean edge to a leaf.
    #[inline]
    pub(crate) fn to_leaf<L>(leaf: NonNull<L>) -> Self {
        const { assert!(align_of::<L>() >= 16, "the low bits of a leaf's address hold marks") };
        Self::pack(leaf.cast(), LEAF)
    }

    #[inline]
    fn pack(child: NonNull<()>, bits: usize) -> Self {
        let child = child.as_ptr();
        assert!(child.addr() & !ADDRESS == 0, "an address that fits the layout");
        Self(child.map_addr(|address| address | bits))
    }

    #[inline]
    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }

    #[inline]
    pub(crate) fn is_leaf(self) -> bool {
        self.0.addr() & LEAF != 0
    }

    /// Returns whether the child is a leaf that has been removed.
    #[inline]
    pub(crate) fn is_flagged(self) -> bool {
        self.0.addr() & FLAG != 0
    }

    /// Returns whether either mark is set.
    #[inline]
    pub(crate) fn is_frozen(self) -> bool {
        self.0.addr() & MARKS != 0
    }

    #[inline]
    pub(crate) fn flagged(self) -> Self {
        Self(self.0.map_addr(|word| word | FLAG))
    }

    #[inline]
    pub(crate) fn tagged(self) -> Self {
        Self(self.0.map_addr(|word| word | TAG))
    }

    /// Returns the edge without `TAG`. `FLAG` stays: a removed leaf that moves up is still removed.
    #[inline]
    pub(crate) fn untagged(self) -> Self {
        Self(self.0.map_addr(|word| word & !TAG))
    }

    #[inline]
    pub(crate) fn unmarked(self) -> Self {
        Self(self.0.map_addr(|word| word & !MARKS))
    }

    /// Returns the position of the child, a node that holds `position`.
    #[inline]
    pub(crate) fn pos(self, position: &Position) -> u16 {
        position.read(self.0.addr())
    }

    /// Returns what a hazard slot holds while this edge's child is protected.
    #[inline]
    pub(crate) fn address(self) -> *mut () {
        self.0.map_addr(|word| word & ADDRESS)
    }

    /// Returns the child, which must be a node.
    #[inline]
    pub(crate) fn node(self) -> NonNull<Node> {
        debug_assert!(!self.is_leaf() && !self.is_null());
        // A node edge is only made by `to_node`, from a `NonNull`; an edge that lies gives null here.
        NonNull::new(self.address().cast()).expect("a node edge holds an address")
    }

    /// Returns the child if it is a node and the edge is clean: what most steps meet, in one test.
    #[inline]
    pub(crate) fn clean_node(self) -> Option<NonNull<Node>> {
        if self.0.addr() & (LEAF | MARKS) == 0 { NonNull::new(self.address().cast()) } else { None }
    }

    /// Returns the child, which must be a leaf of this type.
    #[inline]
    pub(crate) fn leaf<L>(self) -> NonNull<L> {
        debug_assert!(self.is_leaf());
        NonNull::new(self.address().cast()).expect("a leaf edge holds an address")
    }
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match (self.is_null(), self.is_leaf()) {
            (true, _) => "null",
            (_, true) => "leaf",
            _ => "node",
        };
        let mark = if self.is_flagged() {
            " FLAG"
        } else if self.is_frozen() {
            " TAG"
        } else {
            ""
        };
        write!(f, "{kind}@{:?}{mark}", self.address())
    }
}

/// The place of an edge: in a node, or the root.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct AtomicEdge(AtomicLink<()>);

impl AtomicEdge {
    #[inline]
    pub(crate) fn new(edge: Edge) -> Self {
        Self(AtomicLink::new(edge.0))
    }

    /// Returns the edges of so many empty trees. The system has not mapped their memory before it is used.
    #[cfg(not(loom))]
    pub(crate) fn nulls(count: usize) -> Box<[Self]> {
        let nulls = Box::<[Self]>::new_zeroed_slice(count);
        // SAFETY: an edge is a pointer, and zeros are a null pointer.
        unsafe { nulls.assume_init() }
    }

    #[cfg(loom)]
    pub(crate) fn nulls(count: usize) -> Box<[Self]> {
        (0..count).map(|_| Self::new(Edge::NULL)).collect()
    }

    /// Reads the edge. Acquire: what is read through it was initialised before it was published (S2).
    #[inline]
    pub(crate) fn load(&self) -> Edge {
        Edge(self.0.load(Ordering::Acquire))
    }

    /// Writes the edge of a node that nobody else can see yet. Relaxed: the CAS that publishes the node
    /// orders it.
    #[inline]
    pub(crate) fn store_private(&self, edge: Edge) {
        self.0.store(edge.0, Ordering::Relaxed);
    }

    /// Replaces `current` by `new`, or returns what is there.
    ///
    /// AcqRel: Release publishes what `new` leads to (S2) and the frozen edges of what is unlinked
    /// (S3); Acquire because the caller goes on with the child it took away. Acquire on failure: the
    /// only caller that uses the value (the TAG loop) copies it into another edge.
    #[inline]
    pub(crate) fn replace(&self, current: Edge, new: Edge) -> Result<Edge, Edge> {
        let success =
            if mutant(Mutant::RelaxedLink) { Ordering::Relaxed } else { Ordering::AcqRel };
        self.0
            .compare_exchange(current.0, new.0, success, Ordering::Acquire)
            .map(Edge)
            .map_err(Edge)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::reclaim::protect::Object;

    #[repr(align(16))]
    struct Leaf;

    #[test]
    fn marks_do_not_touch_the_rest() {
        let node = Node::boxed([Edge::NULL; 2], 0xffff);
        // SAFETY: ours until the end of the test.
        let owner = unsafe { node.as_ref() };
        let edge = Edge::to_node(node, 0xffff);
        assert_eq!((owner.pos(edge), edge.node(), edge.is_frozen()), (0xffff, node, false));
        assert_eq!(edge.tagged().untagged(), edge);
        assert!(edge.tagged().is_frozen() && !edge.tagged().is_flagged());
        // SAFETY: never linked, and read no more.
        unsafe { Node::free(node) };

        let leaf = Leaf;
        let edge = Edge::to_leaf(NonNull::from(&leaf));
        assert!(edge.is_leaf() && edge.flagged().is_frozen());
        assert_eq!(edge.flagged().tagged().untagged(), edge.flagged(), "the flag survives");
        assert_eq!(edge.flagged().leaf::<Leaf>(), NonNull::from(&leaf));
        assert!(Edge::NULL.is_null() && !Edge::NULL.is_leaf() && !Edge::NULL.is_frozen());
    }
}
