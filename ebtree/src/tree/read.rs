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
            let slots = self.operation.three();
            // The slots of the current child, of its grandparent and of its parent: in the order in which they
            // are used again. They change roles; an address never moves.
            let [mut slot, mut next, mut after] = slots;
            // The edge through which the current node was reached, and what it held: null at the start.
            let mut anchor: (*const AtomicEdge, Edge) = (core::ptr::null(), Edge::NULL);
            let mut edge: *const AtomicEdge = self.root;
            let mut value = self.root.load();
            loop {
                self.operation.publish_in(slot, value.address());
                // SAFETY: the root edge, or an edge of the node that the slot before protects.
                let now = unsafe { &*edge }.load();
                if now != value && !mutant(Mutant::NoReadValidation) {
                    value = now;
                    relax();
                    continue;
                }
                // Clean, read again after the publication: the child is linked (I6).
                let child = match value.clean_node() {
                    Some(child) => child,
                    None if value.is_null() || value.is_flagged() => return None,
                    None => {
                        // SAFETY: null, the root edge, or an edge of the node two steps up: three slots in
                        // turn keep it protected.
                        if value.is_frozen() && !unsafe { self.is_anchored(anchor) } {
                            relax();
                            self.descend(key);
                            continue 'again;
                        }
                        if value.is_leaf() {
                            // SAFETY: protected by the slot: linked after its publication, by the checks above.
                            let leaf: &L = unsafe { value.leaf::<L>().as_ref() };
                            leaf.touched();
                            let index = slots.iter().position(|one| core::ptr::eq(*one, slot));
                            let index = index.expect("the three slots only change roles");
                            // The pointer as it was linked: made from the reference, it would not do for
                            // freeing.
                            let found = Found { leaf: value.leaf(), slot: index };
                            return leaf.first_difference(key).is_none().then_some(found);
                        }
                        value.node()
                    }
                };
                // SAFETY: protected by the slot, as above.
                let node = unsafe { child.as_ref() };
                anchor = (edge, value);
                edge = node.edge(L::bit(key, node.pos(value)));
                (slot, next, after) = (next, after, slot);
                // SAFETY: an edge of the node that was just reached.
                value = unsafe { &*edge }.load();
            }
        }
    }
    /// Whether the node whose tagged edge was read is still linked, going by the edge above it.
    ///
    /// A tagged edge never changes again, so a second read of it says nothing of that. The edge above does:
    /// unchanged and clean, the node was linked after the publication of the child, and so was the child of its
    /// final edge.
    ///
    /// # Safety
    /// 1. The pointer is null, or to an edge that is not freed during the call.
    unsafe fn is_anchored(&self, (above, was): (*const AtomicEdge, Edge)) -> bool {
        if mutant(Mutant::NoAnchor) {
            return true;
        }
        // SAFETY: not null, and 1 of the contract.
        !above.is_null() && !was.is_frozen() && unsafe { &*above }.load() == was
    }
}
