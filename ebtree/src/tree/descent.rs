//! The descent: how every operation finds its place, keeps its path protected, and removes what is
//! half removed on the way.

use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::edge::{AtomicEdge, Edge};
use crate::leaf::{Leaf, Probe, Retire};
use crate::node::Node;
use crate::reclaim::{Domain, Protect, Reclaimer, Step, Token};
use crate::sync::{Mutant, mutant, relax};

/// One operation on one tree: a root edge, and the protected path that leads down from it.
///
/// Level `i` of the path is an edge and the child that was read from it; the child is protected by slot
/// `i`. Level 0 is the root edge. Edge `i + 1` lies in child `i`.
#[derive(Debug)]
pub(crate) struct Walk<'t, L, R: Reclaimer = Domain> {
    pub(crate) operation: R::Operation<'t>,
    pub(super) root: &'t AtomicEdge,
    leaves: PhantomData<fn() -> L>,
}

/// A level of the path that ends in a clean edge to a leaf.
pub(crate) type Depth = usize;

impl<'t, L: Leaf, R: Reclaimer> Walk<'t, L, R> {
    pub(crate) fn new(root: &'t AtomicEdge, domain: &'t R) -> Self {
        Self { operation: domain.enter(Token(())), root, leaves: PhantomData }
    }

    /// Goes on with another tree, from its root. What the path has protected until now is not any more.
    pub(crate) fn turn_to(&mut self, root: &'t AtomicEdge) {
        self.root = root;
    }

    /// Ends the operation and returns what it found.
    pub(crate) fn end<T>(self, found: T) -> T {
        self.operation.end(found)
    }

    /// Returns the child at a level of the path.
    #[inline]
    pub(super) fn node(&self, level: usize) -> &Node {
        // SAFETY: slot `level` protects the child of this step (levels of the path are only set after
        // their validation, and a slot is only published anew together with its level), and a published
        // node changes through its atomic edges only.
        unsafe { self.operation.step(level).value.node().as_ref() }
    }

    /// Returns the position of the node at a level of the path.
    #[inline]
    pub(super) fn pos(&self, level: usize) -> u16 {
        self.node(level).pos(self.operation.step(level).value)
    }

    /// Returns the leaf at the end of the path.
    #[inline]
    pub(crate) fn leaf(&self, depth: Depth) -> &L {
        // SAFETY: as in `node`; leaves are shared by reference only.
        let leaf = unsafe { self.leaf_pointer(depth).as_ref() };
        leaf.touched();
        leaf
    }

    pub(crate) fn leaf_pointer(&self, depth: Depth) -> NonNull<L> {
        self.operation.step(depth).value.leaf()
    }

    /// Returns the edge of a level.
    #[inline]
    pub(super) fn edge(&self, step: Step) -> &AtomicEdge {
        // SAFETY: level 0 is the root edge, borrowed for 't; any other lies in the child of the level above,
        // which its slot protects.
        unsafe { &*step.edge }
    }

    /// Goes down by the bits of a key. Returns the level of the leaf, or `None` if the tree is empty.
    ///
    /// The leaf was linked by a clean edge when that was read for the second time, and the whole path was
    /// clean level by level. Lock-free: each turn that does not go down follows another thread's
    /// successful CAS, or removes a frozen edge itself.
    #[inline]
    pub(crate) fn descend(&mut self, key: impl Probe<L>) -> Option<Depth> {
        self.descend_by(|position| key.bit(position))
    }

    /// Goes down, asking `bit` for the side at each node.
    #[inline]
    pub(super) fn descend_by(&mut self, bit: impl Fn(u16) -> bool) -> Option<Depth> {
        let mut level = 0;
        let mut edge: *const AtomicEdge = self.root;
        loop {
            // SAFETY: the root edge, or an edge of child `level - 1`, which slot `level - 1` protects.
            let place = unsafe { &*edge };
            let value = place.load();
            if value.is_null() {
                // Only the root edge is ever null.
                return None;
            }
            if value.is_frozen() {
                if level == 0 {
                    self.clear_root(value);
                } else {
                    self.help(level);
                    level -= 1;
                    edge = self.operation.step(level).edge;
                }
                relax();
                continue;
            }
            self.operation.publish(level, value.address());
            // The second read, S1: unchanged and clean, so the child was linked after it was published (I6),
            // and whoever retires it scans later.
            if place.load() != value && !mutant(Mutant::NoValidation) {
                relax();
                continue;
            }
            self.operation.set_step(level, Step { edge, value });
            // Neither null nor frozen, so what is not a node is a leaf.
            let Some(node) = value.clean_node() else { return Some(level) };
            // SAFETY: slot `level` protects it, as just checked.
            let node = unsafe { node.as_ref() };
            edge = node.edge(bit(node.pos(value)));
            level += 1;
        }
    }

    /// Returns whether the edge to the leaf at `depth` is unchanged, and so the leaf still linked (I6).
    pub(crate) fn is_still_linked(&self, depth: Depth) -> bool {
        let step = self.operation.step(depth);
        self.edge(step).load() == step.value
    }

    /// Takes a removed leaf off the root edge.
    fn clear_root(&self, flagged: Edge) {
        debug_assert!(flagged.is_flagged(), "the root edge is never tagged");
        // Right for whatever leaf the edge holds with a flag: it is removed, and alone in the tree. So
        // the child needs no protection. What is retired is what the CAS returned.
        if let Ok(removed) = self.root.replace(flagged, Edge::NULL) {
            self.unlinked(removed);
        }
    }

    /// Removes child `level - 1`, one of whose edges is frozen, and the removed leaf below it. Returns
    /// the edge to that leaf if this call did it; if not, the edge above has changed.
    ///
    /// When both edges are flagged, either leaf may be the one that goes; the other moves up with its flag.
    ///
    /// ```text
    ///        │ a                    │ a
    ///      [ X ]          ─►        │
    ///  FLAG /  \ s|TAG              │ s
    ///   leaf   rest                rest
    /// ```
    pub(super) fn help(&mut self, level: usize) -> Option<Edge> {
        let above = self.operation.step(level - 1);
        let node = self.node(level - 1);
        // A frozen edge here means that one edge is flagged: this one, or the other (I3).
        let left = node.edge(false).load();
        let removed_side = !left.is_flagged();
        let removed = if removed_side { node.edge(true).load() } else { left };
        debug_assert!(removed.is_flagged(), "a tag needs a flag on the other edge");
        let other = node.edge(!removed_side);
        let mut kept = other.load();
        while !kept.is_frozen() {
            // Right for whatever clean edge is there: the other one is flagged for good.
            match other.replace(kept, kept.tagged()) {
                Ok(before) => kept = before.tagged(),
                Err(now) => {
                    kept = now;
                    relax();
                }
            }
        }
        let mut survivor = kept.untagged();
        if mutant(Mutant::FlagLost) {
            survivor = kept.unmarked();
        }
        // The splice (I4). Expects a clean edge to a child that slot `level - 1` protects, so the value
        // cannot have been reused for another child.
        if self.edge(above).replace(above.value, survivor).is_err() {
            return None;
        }
        // First, since a reclaimer may free other values on the way, whose end may panic: then a node is lost, and not a leaf.
        self.unlinked(removed);
        let node = above.value.node();
        // SAFETY:
        // 1. The CAS took away the one edge to the node (I1), and both its edges are final (I2).
        // 2. The CAS has one winner.
        // 3. The end of a node is that of its memory, which nobody is promised.
        unsafe { self.operation.retire(node) };
        Some(removed)
    }

    /// Flags the leaf of a key, as a remover does that stops after it.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn flag_and_stop(&mut self, key: L::Key<'_>) {
        let depth = self.descend(crate::leaf::Own(key)).expect("the key is there");
        let place = self.operation.step(depth);
        self.edge(place).replace(place.value, place.value.flagged()).expect("alone here");
    }

    /// Flags the leaf of a key and tags the edge beside it, as a remover does that stops before its splice.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn tag_and_stop(&mut self, key: L::Key<'_>) {
        self.flag_and_stop(key);
        let depth =
            (0..).find(|at| self.operation.step(*at).value.is_leaf()).expect("a leaf ends it");
        if depth > 0 {
            let node = self.node(depth - 1);
            let other = node.edge(node.edge(false).load().is_flagged());
            let value = other.load();
            other.replace(value, value.tagged()).expect("alone here");
        }
    }

    /// Tells a leaf that it was unlinked.
    pub(super) fn unlinked(&self, edge: Edge) {
        // SAFETY: the caller's CAS took away the one edge to the leaf (I1).
        unsafe { L::unlinked::<R>(edge.leaf(), &Retire::new(&self.operation)) };
    }
}
