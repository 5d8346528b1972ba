//! Look-ups side by side: each waits for its own cache line while the others go on.
//!
//! A descent is a chain of cache misses in a tree that is larger than the caches. Sixteen descents that take their steps in turn,
//! each asking for the line it needs next before the others have theirs, wait for sixteen lines at once.
//!
//! # Slots
//! Lane `i` of an operation has slots `3 i` to `3 i + 2`. They stay its own until the group is done, so every leaf that was found
//! is still protected when it is visited. A lane that meets two frozen edges in a row helps in an operation of its own,
//! which is nested in the lanes' one: its slots are above those of all lanes, and it clears no others.

use core::ptr::NonNull;

use super::descent::Walk;
use super::read::{Reader, Turn};
use crate::edge::AtomicEdge;
use crate::leaf::{Leaf, Probe};
use crate::reclaim::{Protect, Reclaimer};
use crate::sync::{Mutant, mutant, prefetch, relax};

/// Descents that go side by side: as many as a processor of today waits for at once.
pub(crate) const WIDTH: usize = if cfg!(loom) { 2 } else { 16 };

/// A look-up among others.
#[derive(Debug)]
pub(crate) struct Lane<'s, L: Leaf, P, O: Protect> {
    key: P,
    root: &'s AtomicEdge,
    slots: [O::Slot; 3],
    reader: Reader<'s, O>,
    at: At<L>,
}

/// How far a lane is.
#[derive(Debug)]
enum At<L> {
    /// Under way.
    Edge,
    /// At a leaf whose key has not been looked at.
    Leaf(NonNull<L>),
    /// Done, with the leaf of the key if there is one. One of the lane's slots protects it.
    Done(Option<NonNull<L>>),
}

impl<'s, L: Leaf, P: Probe<L>, O: Protect> Lane<'s, L, P, O> {
    /// Begins a look-up as number `index` of this operation's lanes.
    pub(crate) fn begin(operation: &O, index: usize, root: &'s AtomicEdge, key: P) -> Self {
        let slots = operation.three(3 * index);
        prefetch(root);
        Self { key, root, slots, reader: Reader::begin(root, slots), at: At::Edge }
    }

    /// Returns what is looked up.
    pub(crate) const fn key(&self) -> P {
        self.key
    }

    /// Returns what was found, which is protected until the operation ends or another lane of this index begins.
    pub(crate) const fn found(&self) -> Option<NonNull<L>> {
        match self.at {
            At::Done(found) => found,
            At::Edge | At::Leaf(_) => None,
        }
    }

    /// Returns a guard for what was found.
    pub(crate) fn guard(&self, operation: &O, found: NonNull<L>) -> O::Guard {
        operation.guard_in(self.reader.slot(), found.as_ptr().cast())
    }

    /// Goes one step on. Returns whether that was the last one.
    #[inline]
    fn turn<R: Reclaimer>(&mut self, operation: &O, domain: &R) -> bool {
        match self.at {
            At::Done(_) => return false,
            At::Leaf(leaf) => {
                // SAFETY: a slot of this lane protects it.
                let there = unsafe { leaf.as_ref() };
                there.touched();
                let is_it = self.key.first_difference(there).is_none();
                self.at = At::Done(is_it.then_some(leaf));
                return true;
            }
            At::Edge => {}
        }
        match self.reader.turn(operation, self.key) {
            Turn::Down => prefetch(self.reader.edge()),
            Turn::Leaf(edge) => {
                let leaf = edge.leaf::<L>();
                prefetch(leaf.as_ptr());
                self.at = At::Leaf(leaf);
            }
            Turn::Absent => {
                self.at = At::Done(None);
                return true;
            }
            Turn::Frozen => {
                relax();
                self.help(operation, domain);
                self.reader = Reader::begin(self.root, self.slots);
            }
        }
        false
    }

    #[cold]
    fn help<R: Reclaimer>(&self, operation: &O, domain: &R) {
        if mutant(Mutant::LaneHelpsInPlace) {
            // In those of the first lane.
            (0..3).for_each(|slot| operation.publish(slot, core::ptr::null_mut()));
        }
        Walk::<L, R>::new(self.root, domain).descend(self.key);
    }
}

/// Runs the lanes of a group, which are of one operation of this domain, until all are done. Lock-free.
pub(crate) fn run<'d, L: Leaf, R: Reclaimer>(
    operation: &R::Operation<'d>,
    domain: &'d R,
    group: &mut [Lane<'_, L, impl Probe<L>, R::Operation<'d>>],
) {
    let mut open = group.len();
    while open > 0 {
        for lane in &mut *group {
            open -= usize::from(lane.turn(operation, domain));
        }
    }
}
