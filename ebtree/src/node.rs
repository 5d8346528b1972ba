//! The internal node: two edges and, in the packed layout, nothing else: 16 bytes.

use core::ptr::NonNull;

use crate::edge::{AtomicEdge, Edge, Position};
use crate::pool;
use crate::reclaim::protect::Object;
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

    /// Puts a node that nobody else can see into memory of its own.
    #[inline]
    pub(crate) fn boxed(edges: [Edge; 2], pos: u16) -> NonNull<Self> {
        pool::boxed(Self {
            edges: edges.map(AtomicEdge::new),
            position: Position::new(pos),
            tracked: Tracked::new(),
        })
    }
}

// SAFETY: a node's memory may be given back on any thread.
unsafe impl Object for Node {
    /// # Safety
    /// As for any object; and `this` came from `boxed`.
    unsafe fn free(this: NonNull<Self>) {
        if cfg!(loom) {
            // Loom does not see freed memory; kept, a wrong read meets the end marked here.
            // SAFETY: the contract.
            unsafe { this.as_ref() }.tracked.end();
            return;
        }
        // SAFETY: the contract.
        unsafe { pool::unbox(this) };
    }
}
