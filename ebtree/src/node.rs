//! The internal node: two edges and, in the packed layout, nothing else: 16 bytes.

use core::ptr::NonNull;

use crate::edge::{AtomicEdge, Edge, Position};
use crate::sync::Tracked;

/// Tells keys apart by one bit, whose position stands in the edge that leads here or, in the plain layout, in the node.
#[derive(Debug)]
#[repr(C)]
#[cfg_attr(any(not(target_pointer_width = "64"), ebtree_plain_edges), repr(align(8)))]
#[cfg_attr(not(any(not(target_pointer_width = "64"), ebtree_plain_edges)), repr(align(16)))]
pub(crate) struct Node {
    edges: [AtomicEdge; 2],
    position: Position,
    tracked: Tracked,
}

#[cfg(all(not(loom), target_pointer_width = "64"))]
const _: () = assert!(size_of::<Node>() == if cfg!(ebtree_plain_edges) { 24 } else { 16 });

impl Node {
    /// Returns a node that nobody else can see.
    pub(crate) fn private(edges: [Edge; 2], pos: u16) -> Self {
        Self {
            edges: edges.map(AtomicEdge::new),
            position: Position::new(pos),
            tracked: Tracked::new(),
        }
    }

    /// Returns the position of the bit, given the edge that led here.
    #[inline]
    pub(crate) fn pos(&self, edge: Edge) -> u16 {
        self.tracked.touch();
        edge.pos(&self.position)
    }

    /// Changes a node that nobody else can see yet.
    pub(crate) fn set_private(&self, edges: [Edge; 2], pos: u16) {
        self.position.set_private(pos);
        for (place, edge) in self.edges.iter().zip(edges) {
            place.store_private(edge);
        }
    }

    /// Returns the edge for keys whose bit is `side`. A shared node is first dereferenced here.
    #[inline]
    pub(crate) fn edge(&self, side: bool) -> &AtomicEdge {
        self.tracked.touch();
        &self.edges[usize::from(side)]
    }

    /// Gives the memory back.
    ///
    /// # Safety
    /// 1. `this` came from `Box::into_raw`, and nobody reads it now or later.
    /// 2. Called once.
    pub(crate) unsafe fn free(this: NonNull<Self>) {
        // SAFETY: 1 and 2 of the contract: the box is ours alone, once.
        let node = unsafe { Box::from_raw(this.as_ptr()) };
        node.tracked.end();
        if cfg!(loom) {
            // Loom does not see freed memory; kept, a wrong read meets the end marked above.
            Box::leak(node);
        }
    }
}
