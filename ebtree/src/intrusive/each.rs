//! Walks that call a visitor: each step goes on from the path of the one before.

use core::ops::{Bound, ControlFlow};

use super::{Forest, Leaf, Seek};
use crate::reclaim::{Protect, Reclaimer};
use crate::sync::{Mutant, mutant, relax};
use crate::tree::ordered::Outcome;

/// Steps after which a walk begins a new operation, so that what its thread retires meanwhile can be freed.
const STEPS: usize = if cfg!(loom) { 2 } else { 256 };

impl<L: Leaf, R: Reclaimer> Forest<L, R> {
    /// Visits the leaves of one tree from a bound on, in ascending (`forward`) or in descending order, until the visitor breaks.
    ///
    /// A key that is present during the whole walk is visited once, one that comes or goes meanwhile at most
    /// once, and all of them in order. The visitor may use this and other trees, and may
    /// take any time: it holds up nobody. Cheaper than a search for each step: the path is kept, and no guard is made.
    pub fn each<B>(
        &self,
        tree: usize,
        from: Bound<L::Key<'_>>,
        forward: bool,
        mut visit: impl FnMut(&L) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut walk = self.walk(tree);
        let seek = |inclusive| Seek { forward, inclusive };
        let first = match from {
            Bound::Unbounded => walk.extreme(forward),
            Bound::Included(key) => walk.seek(key, seek(true)),
            Bound::Excluded(key) => walk.seek(key, seek(false)),
        };
        let Some(mut depth) = first else { return ControlFlow::Continue(()) };
        let mut at = walk.leaf_pointer(depth);
        // Protects the leaf at which the walk is, and with it its key, when the path's slots are used again.
        let mut held = walk.operation.guard(depth, at.as_ptr().cast());
        let mut steps = 0;
        loop {
            // SAFETY: `held` protects it.
            let leaf = unsafe { at.as_ref() };
            leaf.touched();
            visit(leaf)?;
            leaf.touched();
            steps += 1;
            let is_new = steps == STEPS;
            let mut next = Outcome::Again;
            if is_new {
                steps = 0;
                walk.end(());
                walk = self.walk(tree);
            } else {
                next = walk.beyond(depth, forward);
            }
            leaf.touched();
            depth = match next {
                Outcome::At(depth) => depth,
                Outcome::Nothing => return ControlFlow::Continue(()),
                Outcome::Again => {
                    relax();
                    match walk.seek(leaf.key(), seek(false)) {
                        Some(depth) => depth,
                        None => return ControlFlow::Continue(()),
                    }
                }
            };
            at = walk.leaf_pointer(depth);
            if is_new {
                // At the end of a thread each operation may have a record of its own, and a copy from one record to
                // another can be missed by a scan (H3).
                held = walk.operation.guard(depth, at.as_ptr().cast());
            } else if !mutant(Mutant::WalkHoldsNothing) {
                walk.operation.hold(&mut held, depth, at.as_ptr().cast());
            }
        }
    }
}
