//! Insert, replace and remove: where the path ends, one CAS decides.

use core::ptr::NonNull;

use crate::edge::Edge;
use crate::leaf::{Leaf, Own};
use crate::node::Node;
use crate::reclaim::protect::Object;
use crate::reclaim::{Protect, Reclaimer};
use crate::sync::relax;
use crate::tree::descent::{Depth, Walk};

/// A node that is not linked yet; freed if it never is.
struct Spare(Option<NonNull<Node>>);

impl Spare {
    /// Returns the node, with these edges and this position.
    fn with(&mut self, edges: [Edge; 2], pos: u16) -> NonNull<Node> {
        if let Some(node) = self.0 {
            // SAFETY: from `boxed`, and nobody else has it yet.
            unsafe { node.as_ref() }.set_private(edges, pos);
            return node;
        }
        let node = Node::boxed(edges, pos);
        self.0 = Some(node);
        node
    }

    fn linked(&mut self) {
        self.0 = None;
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        if let Some(node) = self.0 {
            // SAFETY: made by `with`, never linked.
            unsafe { Node::free(node) };
        }
    }
}

impl<L: Leaf, R: Reclaimer> Walk<'_, L, R> {
    /// Links `new` under its key, or returns the level of the leaf that has this key already.
    ///
    /// Linearization: the CAS, or the second read of the edge to the leaf that is there.
    ///
    /// # Safety
    /// 1. `new` is initialised, no tree links it, and its key is `key`.
    /// 2. It stays allocated until [`Leaf::unlinked`] is called for it.
    pub(crate) unsafe fn insert(&mut self, key: L::Key<'_>, new: NonNull<L>) -> Result<(), Depth> {
        let mut spare = Spare(None);
        loop {
            let Some(depth) = self.descend(Own(key)) else {
                if self.root.replace(Edge::NULL, Edge::to_leaf(new)).is_ok() {
                    return Ok(());
                }
                relax();
                continue;
            };
            let Some(position) = self.leaf(depth).first_difference(key) else {
                return Err(depth);
            };
            // The deepest edge all of whose nodes above have a higher position. All keys below it share
            // the bits above `position` with the leaf (I5), and so with `key`.
            let mut level = depth;
            while level > 0 && self.pos(level - 1) <= position {
                level -= 1;
            }
            let place = self.operation.step(level);
            let leaf = Edge::to_leaf(new);
            let edges =
                if L::bit(key, position) { [place.value, leaf] } else { [leaf, place.value] };
            let node = spare.with(edges, position);
            if self.edge(place).replace(place.value, Edge::to_node(node, position)).is_ok() {
                spare.linked();
                return Ok(());
            }
            relax();
        }
    }

    /// Puts `new` in the place of the leaf at `depth`, which has the same key. The key is never absent in
    /// between. Returns false if that leaf was removed or replaced meanwhile.
    ///
    /// Linearization: the CAS.
    ///
    /// # Safety
    /// As for [`insert`](Self::insert).
    pub(crate) unsafe fn replace(&mut self, depth: Depth, new: NonNull<L>) -> bool {
        let place = self.operation.step(depth);
        match self.edge(place).replace(place.value, Edge::to_leaf(new)) {
            Ok(old) => {
                self.unlinked(old);
                true
            }
            Err(_) => false,
        }
    }

    /// Removes the leaf at `depth` and unlinks it. Returns a guard that still protects it, or `None` if it
    /// was removed or replaced meanwhile.
    ///
    /// Linearization: the CAS that sets FLAG, or the one that empties the root edge.
    pub(crate) fn remove(&mut self, depth: Depth) -> Option<R::Guard> {
        let address = self.operation.step(depth).value.address();
        let guard = self.operation.guard(depth, address);
        self.remove_and_forget(depth).then_some(guard)
    }

    /// The same for who does not look at the leaf any more. Returns whether this call removed it.
    pub(crate) fn remove_and_forget(&mut self, depth: Depth) -> bool {
        let place = self.operation.step(depth);
        if depth == 0 {
            let removed = self.root.replace(place.value, Edge::NULL);
            if let Ok(old) = removed {
                self.unlinked(old);
            }
            return removed.is_ok();
        }
        let flagged = place.value.flagged();
        if self.edge(place).replace(place.value, flagged).is_err() {
            return false;
        }
        if self.help(depth) != Some(flagged) {
            // Its slot has protected it until now; the descent takes that again.
            let guard = self.operation.guard(depth, place.value.address());
            // Another thread changed the edge above, or the leaf beside this one was flagged too and went first: then
            // this one moved up. A descent for the leaf's key returns only with a clean path, so the leaf
            // is off it then.
            // SAFETY: `guard` protects the leaf.
            let leaf = unsafe { place.value.leaf::<L>().as_ref() };
            self.descend(Own(leaf.key()));
            drop(guard);
        }
        true
    }
}
