//! The leaves of a tree that nobody else uses any more.

use std::collections::VecDeque;

use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::edge::{AtomicEdge, Edge};
use crate::leaf::Leaf;
use crate::node::Node;

/// Takes the leaves out in the order of their keys, from both ends, and frees the nodes on the way. What is not taken out is
/// freed at the end.
pub(crate) struct Leaves<L: Leaf> {
    /// Subtrees, in order, whose inner nodes have not been met yet. Those at the front grow out of the path to the leaf
    /// that was taken last, so they are as many as the tree is deep; so do those at the back.
    rest: VecDeque<Edge>,
    leaves: PhantomData<L>,
}

// SAFETY: owns its leaves, which are `Send`, and nodes, which are boxes.
unsafe impl<L: Leaf> Send for Leaves<L> {}
// SAFETY: nothing can be done by a shared reference.
unsafe impl<L: Leaf> Sync for Leaves<L> {}

impl<L: Leaf> Leaves<L> {
    /// Takes what a root leads to, and leaves it empty.
    ///
    /// # Safety
    /// 1. The tree has leaves of type `L`, and nobody uses what it links, now or later.
    pub(crate) unsafe fn new(root: &mut AtomicEdge) -> Self {
        let whole = root.load();
        root.store_private(Edge::NULL);
        let rest = if whole.is_null() { VecDeque::new() } else { VecDeque::from([whole]) };
        Self { rest, leaves: PhantomData }
    }

    /// Takes the first leaf out, or the last. It is the caller's, who frees it.
    pub(crate) fn take(&mut self, first: bool) -> Option<NonNull<L>> {
        loop {
            let edge = if first { self.rest.pop_front() } else { self.rest.pop_back() }?;
            if edge.is_leaf() {
                if !edge.is_flagged() {
                    return Some(edge.leaf());
                }
                // Removed, by a thread that panicked before it could unlink it.
                // SAFETY: linked, so not retired (I1), met once, and nobody else is in the tree.
                unsafe { L::free(edge.leaf()) };
                continue;
            }
            let node = edge.node();
            // The near side goes last, so that it is met next.
            for side in [first, !first] {
                // SAFETY: linked, and freed only below.
                let below = unsafe { node.as_ref() }.edge(side).load();
                if first {
                    self.rest.push_front(below);
                } else {
                    self.rest.push_back(below);
                }
            }
            // SAFETY: linked, so not retired (I1), met once, and nobody else is in the tree.
            unsafe { Node::free(node) };
        }
    }

    fn free_all(&mut self) {
        while let Some(leaf) = self.take(true) {
            // SAFETY: taken out just now, so linked until then, and nobody else's.
            unsafe { L::free(leaf) };
        }
    }
}

impl<L: Leaf> Drop for Leaves<L> {
    fn drop(&mut self) {
        /// A leaf whose end panics does not keep the others.
        struct Rest<'l, L: Leaf>(&'l mut Leaves<L>);
        impl<L: Leaf> Drop for Rest<'_, L> {
            fn drop(&mut self) {
                self.0.free_all();
            }
        }
        Rest(self).0.free_all();
    }
}
