//! The plain layout: the position stands in the node, and an edge is a pointer with marks.
//!
//! For targets whose pointers have no 16 bits to spare. A node is 24 bytes where a pointer has 8.

use core::sync::atomic::Ordering;

use crate::sync::AtomicU16;

/// The bits of an edge that hold the child's address.
pub(super) const ADDRESS: usize = !7;

/// Returns what an edge holds of its child's position: nothing.
pub(super) const fn in_edge(_: u16) -> usize {
    0
}

/// What a node holds of its position: all of it. Written before the node is linked, and never after.
#[derive(Debug)]
pub(crate) struct Position(AtomicU16);

impl Position {
    pub(crate) fn new(pos: u16) -> Self {
        Self(AtomicU16::new(pos))
    }

    /// Changes the position of a node that nobody else can see yet. Relaxed: the CAS that links the
    /// node orders it.
    pub(crate) fn set_private(&self, pos: u16) {
        self.0.store(pos, Ordering::Relaxed);
    }

    /// Returns the position of the node that holds this. Relaxed: ordered by the Acquire load of the edge that
    /// led here (S2).
    #[inline]
    pub(super) fn read(&self, _: usize) -> u16 {
        self.0.load(Ordering::Relaxed)
    }
}
