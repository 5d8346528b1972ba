//! The packed layout: the position stands in the edge that leads to the node, above a 48-bit address.
//!
//! A descent knows the next bit before it has read the node, and a node is 16 bytes.

const POS_SHIFT: u32 = 48;

/// The bits of an edge that hold the child's address.
pub(super) const ADDRESS: usize = (1 << POS_SHIFT) - 16;

/// Returns what an edge holds of its child's position.
#[inline]
pub(super) const fn in_edge(pos: u16) -> usize {
    (pos as usize) << POS_SHIFT
}

/// What a node holds of its position: nothing.
#[derive(Debug)]
pub(crate) struct Position;

impl Position {
    pub(crate) const fn new(_: u16) -> Self {
        Self
    }

    /// Changes the position of a node that nobody else can see yet.
    pub(crate) const fn set_private(&self, _: u16) {}

    /// Returns the position of the node that the edge leads to.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "16 bits are left after the shift")]
    pub(super) const fn read(&self, word: usize) -> u16 {
        (word >> POS_SHIFT) as u16
    }
}
