//! The read-only descent: three slots in turn, nothing shared written but them.

use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::edge::{AtomicEdge, Edge};
use crate::leaf::{Leaf, Probe};
use crate::reclaim::{Protect, Reclaimer};
use crate::sync::{Mutant, mutant, relax};
use crate::tree::descent::Walk;

/// A leaf that was found, and the slot that protects it.
#[derive(Debug)]
pub(crate) struct Found<L, S> {
    pub(crate) leaf: NonNull<L>,
    pub(crate) slot: S,
}

/// The same in a walk.
pub(crate) type FoundIn<'t, L, R> = Found<L, <<R as Reclaimer>::Operation<'t> as Protect>::Slot>;

/// A read-only descent under way.
///
/// The slots are those of the current child, of its grandparent and of its parent: in the order in which they are used again. They
/// change roles; an address never moves.
#[derive(Debug)]
pub(super) struct Reader<'s, O: Protect> {
    slot: O::Slot,
    next: O::Slot,
    after: O::Slot,
    /// The edge through which the current node was reached, and what it held: null at the start.
    anchor: (*const AtomicEdge, Edge),
    /// The root edge, or an edge of the node that `after` protects.
    edge: *const AtomicEdge,
    root: PhantomData<&'s AtomicEdge>,
}

/// Where a step has led.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// To a node, one of whose edges is next.
    Down,
    /// To a leaf, which is protected; this is the edge.
    Leaf(Edge),
    /// To where the key would be.
    Absent,
    /// To two frozen edges in a row: a writer's descent clears them, and the reader starts again.
    Frozen,
}

impl<'s, O: Protect> Reader<'s, O> {
    /// Starts at a root edge, which outlives the reader, with three slots of one operation.
    #[inline]
    pub(super) fn begin(root: &'s AtomicEdge, [slot, next, after]: [O::Slot; 3]) -> Self {
        let anchor = (core::ptr::null(), Edge::NULL);
        Self { slot, next, after, anchor, edge: root, root: PhantomData }
    }

    /// Returns the edge that the next step reads.
    #[inline]
    pub(super) const fn edge(&self) -> *const AtomicEdge {
        self.edge
    }

    /// Goes one step down.
    ///
    /// Linearization: found, at the second read of the edge to the leaf. Absent at a leaf with another key or
    /// at null: some instant of the descent at which the key was absent, since every step was linked when
    /// it was taken. Absent at a flag: the parent was linked at its validation, and the key is absent
    /// from the flagging, or from that validation if it is later, until the parent is unlinked.
    #[inline]
    pub(super) fn turn<L: Leaf>(&mut self, operation: &O, key: impl Probe<L>) -> Turn {
        // SAFETY: the root edge, or an edge of the node that the slot before protects; so below.
        let mut value = unsafe { &*self.edge }.load();
        loop {
            operation.publish_in(self.slot, value.address());
            // SAFETY: as above.
            let now = unsafe { &*self.edge }.load();
            if now == value || mutant(Mutant::NoReadValidation) {
                break;
            }
            value = now;
            relax();
        }
        // Clean, read again after the publication: the child is linked (I6).
        let child = match value.clean_node() {
            Some(child) => child,
            None if value.is_null() || value.is_flagged() => return Turn::Absent,
            None => {
                // SAFETY: null, the root edge, or an edge of the node two steps up: three slots in turn keep it
                // protected.
                if value.is_frozen() && !unsafe { is_anchored(self.anchor) } {
                    return Turn::Frozen;
                }
                if value.is_leaf() {
                    return Turn::Leaf(value);
                }
                value.node()
            }
        };
        // SAFETY: protected by the slot: linked after its publication, by the checks above.
        let node = unsafe { child.as_ref() };
        self.anchor = (self.edge, value);
        self.edge = node.edge(key.bit(node.pos(value)));
        (self.slot, self.next, self.after) = (self.next, self.after, self.slot);
        Turn::Down
    }

    /// Returns which of the three slots protects the child of the edge that was read last.
    pub(super) fn slot(&self) -> O::Slot {
        self.slot
    }
}

impl<'t, L: Leaf, R: Reclaimer> Walk<'t, L, R> {
    /// Finds the leaf of this key.
    ///
    /// Lock-free. After two frozen edges in a row it helps once, as a writer does, and starts again.
    pub(crate) fn find(&mut self, key: impl Probe<L>) -> Option<FoundIn<'t, L, R>> {
        loop {
            let mut reader = Reader::begin(self.root, self.operation.three(0));
            let turn = loop {
                match reader.turn(&self.operation, key) {
                    Turn::Down => {}
                    end => break end,
                }
            };
            match turn {
                Turn::Leaf(edge) => {
                    // The pointer as it was linked: made from a reference, it would not do for freeing.
                    let leaf = edge.leaf::<L>();
                    // SAFETY: `reader` protects it until its slot is used again.
                    let there = unsafe { leaf.as_ref() };
                    there.touched();
                    if key.first_difference(there).is_some() {
                        return None;
                    }
                    return Some(Found { leaf, slot: reader.slot() });
                }
                Turn::Frozen => {
                    relax();
                    self.descend(key);
                }
                Turn::Absent | Turn::Down => return None,
            }
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
#[inline]
unsafe fn is_anchored((above, was): (*const AtomicEdge, Edge)) -> bool {
    if mutant(Mutant::NoAnchor) {
        return true;
    }
    // SAFETY: not null, and 1 of the contract.
    !above.is_null() && !was.is_frozen() && unsafe { &*above }.load() == was
}
