//! The leaves of a tree that nobody else uses any more.

use std::collections::VecDeque;

use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::edge::{AtomicEdge, Edge};
use crate::leaf::Leaf;
use crate::node::Node;
use crate::reclaim::protect::Object;

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
    /// Takes what the roots lead to, whose keys are in the order of the roots, and leaves them empty.
    ///
    /// # Safety
    /// 1. The trees have leaves of type `L`, and nobody uses what they link, now or later.
    pub(crate) unsafe fn new(roots: &mut [AtomicEdge]) -> Self {
        let mut rest = VecDeque::new();
        for root in roots {
            let whole = root.load();
            if !whole.is_null() {
                root.store_private(Edge::NULL);
                rest.push_back(whole);
            }
        }
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
        /// A leaf whose end panics does not keep the others. (Where two of them do, the process ends.)
        struct Rest<'l, L: Leaf>(&'l mut Leaves<L>);
        impl<L: Leaf> Drop for Rest<'_, L> {
            fn drop(&mut self) {
                self.0.free_all();
            }
        }
        Rest(self).0.free_all();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use core::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::leaf::Retire;
    use crate::reclaim::{Domain, Reclaimer};
    use crate::tree::descent::Walk;

    static ALIVE: AtomicUsize = AtomicUsize::new(0);

    #[repr(align(16))]
    struct Number(u64);

    impl Number {
        fn boxed(number: u64) -> NonNull<Self> {
            ALIVE.fetch_add(1, Ordering::Relaxed);
            NonNull::from(Box::leak(Box::new(Self(number))))
        }
    }

    // SAFETY: 1. Never changed. 2. `repr(align(16))`. 3. `unlinked` retires. 4. A box of a number.
    unsafe impl Leaf for Number {
        type Key<'k> = u64;

        fn key(&self) -> u64 {
            self.0
        }

        fn first_difference(&self, key: u64) -> Option<u16> {
            crate::Key::first_difference(&self.0, &key)
        }

        fn bit(key: u64, position: u16) -> bool {
            crate::Key::bit(&key, position)
        }

        unsafe fn unlinked<R: Reclaimer>(this: NonNull<Self>, retire: &Retire<'_, '_, R>) {
            // SAFETY: unlinked just now from its only tree.
            unsafe { retire.retire(this) };
        }

        unsafe fn free(this: NonNull<Self>) {
            ALIVE.fetch_sub(1, Ordering::Relaxed);
            // SAFETY: from `boxed`.
            drop(unsafe { Box::from_raw(this.as_ptr()) });
        }
    }

    /// Takes a tree apart in which removals stopped half way, as a panic in a method of the key stops them.
    #[test]
    fn what_was_removed_half_way_is_freed_and_not_given_out() {
        let domain = Domain::new();
        for sides in 0..1_u32 << 8 {
            let mut root = AtomicEdge::new(Edge::NULL);
            let walk = || Walk::<Number>::new(&root, &domain);
            for number in 0..8 {
                // SAFETY: from a box just now, with this key.
                assert!(unsafe { walk().insert(number, Number::boxed(number)) }.is_ok());
            }
            walk().flag_and_stop(2);
            walk().flag_and_stop(3);
            walk().tag_and_stop(4);
            walk().tag_and_stop(7);
            // SAFETY: alone here.
            let mut leaves = unsafe { Leaves::<Number>::new(core::slice::from_mut(&mut root)) };
            let (mut front, mut back) = (Vec::new(), Vec::new());
            for step in 0..sides.count_ones() {
                let first = sides >> step & 1 == 0;
                let Some(leaf) = leaves.take(first) else { break };
                // SAFETY: taken out just now.
                let number = unsafe { leaf.as_ref() }.0;
                // SAFETY: as above, and not read any more.
                unsafe { Number::free(leaf) };
                if first { &mut front } else { &mut back }.push(number);
            }
            let left = [0, 1, 5, 6];
            assert!(left.starts_with(&front), "{front:?}");
            assert!(left.iter().rev().take(back.len()).eq(&back), "{back:?}");
            assert_eq!(front.len() + back.len(), left.len().min(sides.count_ones() as usize));
            drop(leaves);
            assert_eq!(ALIVE.load(Ordering::Relaxed), 0);
        }
    }
}
