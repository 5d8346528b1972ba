//! The internal node: two edges and nothing else, 16 bytes.

use core::ptr::NonNull;

use crate::edge::{AtomicEdge, Edge};
use crate::sync::Tracked;

/// Tells keys apart by one bit, whose position stands in the edge that leads here.
#[derive(Debug)]
#[repr(C, align(16))]
pub(crate) struct Node {
    edges: [AtomicEdge; 2],
    tracked: Tracked,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Node>() == 16);

impl Node {
    /// Returns a node that nobody else can see.
    pub(crate) fn private(edges: [Edge; 2]) -> Self {
        Self { edges: edges.map(AtomicEdge::new), tracked: Tracked::new() }
    }

    /// Changes the edges of a node that nobody else can see yet.
    pub(crate) fn set_private(&self, edges: [Edge; 2]) {
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
