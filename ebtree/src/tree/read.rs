//! The read-only descent: three slots in turn, nothing shared written but them.

use core::ptr::NonNull;

use crate::edge::{AtomicEdge, Edge};
use crate::leaf::Leaf;
use crate::sync::{Mutant, mutant, relax};
use crate::tree::descent::Walk;

/// A leaf that was found, and the slot that protects it.
#[derive(Debug)]
pub(crate) struct Found<L> {
    pub(crate) leaf: NonNull<L>,
    pub(crate) slot: usize,
}

impl<L: Leaf> Walk<'_, L> {
    /// Finds the leaf of this key.
    ///
    /// Linearization: found, at the second read of the edge to the leaf. Absent at a leaf with another key or
    /// at null: some instant of the descent at which the key was absent, since every step was linked when
    /// it was taken. Absent at a flag: the parent was linked at its validation, and the key is absent
    /// from the flagging, or from that validation if it is later, until the parent is unlinked.
    ///
    /// Lock-free. After two frozen edges in a row it helps once, as a writer does, and starts again.
    pub(crate) fn find(&mut self, key: L::Key<'_>) -> Option<Found<L>> {
        'again: loop {
            // The edge through which the current node was reached, and what it held: clean, or null at
            // the start.
            let mut anchor: Option<(*const AtomicEdge, Edge)> = None;
            let mut edge: *const AtomicEdge = self.root;
            let mut slot = 0;
            let mut value = self.root.load();
            loop {
                if value.is_null() || value.is_flagged() {
                    return None;
                }
                self.operation.publish(slot, value.address());
                // SAFETY: the root edge, or an edge of the node that the slot before protects.
                let now = unsafe { &*edge }.load();
                if now != value && !mutant(Mutant::NoReadValidation) {
                    value = now;
                    relax();
                    continue;
                }
                // A tagged edge never changes again, so the second read says nothing of whether its node is
                // still linked. The edge above does: unchanged and clean, the node was linked after the
                // publication, and so was the child of its final edge.
                if value.is_frozen() && !mutant(Mutant::NoAnchor) {
                    let linked = anchor.is_some_and(|(above, was)| {
                        // SAFETY: the root edge, or an edge of the node two steps up: three slots in turn
                        // keep it protected.
                        !was.is_frozen() && unsafe { &*above }.load() == was
                    });
                    if !linked {
                        relax();
                        self.descend(key);
                        continue 'again;
                    }
                }
                if value.is_leaf() {
                    // SAFETY: protected by `slot`: linked after its publication, by the checks above.
                    let leaf: &L = unsafe { value.leaf::<L>().as_ref() };
                    leaf.touched();
                    // The pointer as it was linked: made from the reference, it would not do for freeing.
                    let found = Found { leaf: value.leaf(), slot };
                    return leaf.first_difference(key).is_none().then_some(found);
                }
                anchor = Some((edge, value));
                // SAFETY: protected by `slot`, as above.
                let node = unsafe { value.node().as_ref() };
                edge = node.edge(L::bit(key, value.pos()));
                slot = if slot == 2 { 0 } else { slot + 1 };
                // SAFETY: an edge of the node that was just reached.
                value = unsafe { &*edge }.load();
            }
        }
    }
}
