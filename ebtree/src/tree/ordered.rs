//! Ordered search: the nearest leaf on either side of a key.
//!
//! One descent for the key ends at a *witness* leaf. All keys below a node agree above its position,
//! for as long as the node lives (I5); so comparing the key with the witness says on which side of it
//! whole subtrees of the recorded path lie, and the answer is the nearest end of the nearest one.
//!
//! The subtree is always the child *as recorded*, never read again from its edge: an insert may meanwhile have put
//! a wider subtree there, with keys on the wrong side.
//!
//! Frozen edges met off the key's own path are helped where they stand, and the search starts again. To start
//! again without helping would not do: the path of the key need not touch that edge, and one stopped
//! remover would hold the walk for ever.

use crate::edge::AtomicEdge;
use crate::leaf::{Leaf, Probe};
use crate::reclaim::{Protect, Reclaimer, Step};
use crate::sync::{Mutant, mutant, prefetch, relax};
use crate::tree::descent::{Depth, Walk};

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    At(Depth),
    Nothing,
    /// Something was in the way, and is gone: the search starts again.
    Again,
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seek {
    /// Towards larger keys.
    pub(crate) forward: bool,
    /// The key itself counts.
    pub(crate) inclusive: bool,
}

impl Seek {
    pub(crate) const GE: Self = Self { forward: true, inclusive: true };
    pub(crate) const GT: Self = Self { forward: true, inclusive: false };
    pub(crate) const LE: Self = Self { forward: false, inclusive: true };
    pub(crate) const LT: Self = Self { forward: false, inclusive: false };
}

impl<L: Leaf, R: Reclaimer> Walk<'_, L, R> {
    /// Finds the leaf nearest to `key` on the side that is asked for.
    ///
    /// The leaf was present at some instant of the call, and no key between `key` and it was
    /// present during the whole call. Lock-free: each new start follows a finished splice.
    pub(crate) fn seek(&mut self, key: impl Probe<L>, seek: Seek) -> Option<Depth> {
        loop {
            let depth = self.descend(key)?;
            let outcome = match key.first_difference(self.leaf(depth)) {
                None if seek.inclusive => return Some(depth),
                None => self.beyond(depth, seek.forward),
                Some(position) => {
                    // The deepest edge all of whose nodes above have a higher position: below its recorded
                    // child every key differs from `key` at `position`, in the same direction.
                    let mut level = depth;
                    while level > 0 && self.pos(level - 1) <= position {
                        level -= 1;
                    }
                    if key.bit(position) == seek.forward {
                        // All of them lie on the other side.
                        self.beyond(level, seek.forward)
                    } else {
                        self.near_end(level, seek.forward)
                    }
                }
            };
            match outcome {
                Outcome::At(depth) => return Some(depth),
                Outcome::Nothing => return None,
                Outcome::Again => relax(),
            }
        }
    }

    /// Returns the smallest leaf (`forward`), or the largest.
    pub(crate) fn extreme(&mut self, forward: bool) -> Option<Depth> {
        self.descend_by(|_| !forward)
    }

    /// Asks for both children of the node that a tree begins with, if it does, before the walk turns to that tree. Uses the first
    /// slot of the path, which protects nothing any more.
    #[inline]
    pub(crate) fn ask_below(&self, root: &AtomicEdge) {
        let value = root.load();
        let Some(node) = value.clean_node() else { return };
        self.operation.publish(0, value.address());
        // S1 and I6, as in `descend_by`.
        if root.load() == value {
            // SAFETY: slot 0 protects it, as just checked.
            let node = unsafe { node.as_ref() };
            prefetch(node.edge(false).load().address());
            prefetch(node.edge(true).load().address());
        }
    }

    /// The near end of the child recorded at `level`: its smallest leaf if `forward`.
    fn near_end(&mut self, level: usize, forward: bool) -> Outcome {
        if self.operation.step(level).value.is_leaf() {
            return Outcome::At(level);
        }
        if mutant(Mutant::RereadSubtree) && level > 0 {
            return self.down(level, self.operation.step(level).edge, forward);
        }
        let edge: *const AtomicEdge = self.node(level).edge(!forward);
        self.down(level + 1, edge, forward)
    }

    /// The nearest leaf beyond the subtree at `level`: climbs to the deepest node that was left on its near side,
    /// and goes down its far side.
    ///
    /// The path may be older than the call, and nodes of it unlinked meanwhile: all their edges are frozen. What is found is linked, and
    /// no key between was present ever since the path was recorded.
    pub(crate) fn beyond(&mut self, level: usize, forward: bool) -> Outcome {
        let turn = self.operation.with_path(|path| {
            let mut below = path[level];
            for (level, step) in path[..level].iter().enumerate().rev() {
                // SAFETY: as in `Walk::node`.
                let node = unsafe { step.value.node().as_ref() };
                if core::ptr::eq(below.edge, node.edge(!forward)) {
                    let far = node.edge(forward);
                    let value = far.load();
                    // A removed leaf: nothing there. Higher up, then.
                    if !value.is_flagged() {
                        let far: *const AtomicEdge = far;
                        return Some((level + 1, far, value.is_frozen()));
                    }
                }
                below = *step;
            }
            None
        });
        match turn {
            None => Outcome::Nothing,
            // Tagged: the near side holds a removed leaf.
            Some((level, _, true)) => {
                self.help(level);
                Outcome::Again
            }
            Some((level, far, false)) => self.down(level, far, forward),
        }
    }

    /// Goes down from `edge`, which lies in the child of the level above, always to the near side.
    #[inline]
    fn down(&mut self, level: usize, edge: *const AtomicEdge, forward: bool) -> Outcome {
        let mut level = level;
        let mut edge = edge;
        loop {
            // SAFETY: an edge of child `level - 1`, which its slot protects.
            let place = unsafe { &*edge };
            let value = place.load();
            if value.is_frozen() {
                self.help(level);
                return Outcome::Again;
            }
            self.operation.publish(level, value.address());
            // S1 and I6, as in `descend_by`.
            if place.load() != value {
                relax();
                continue;
            }
            self.operation.set_step(level, Step { edge, value });
            // Neither null nor frozen, so what is not a node is a leaf.
            let Some(node) = value.clean_node() else { return Outcome::At(level) };
            // SAFETY: slot `level` protects it, as just checked.
            let node = unsafe { node.as_ref() };
            edge = node.edge(!forward);
            // What comes after, if this is a walk: in the line that is read next anyway.
            prefetch(node.edge(forward).load().address());
            level += 1;
        }
    }
}
