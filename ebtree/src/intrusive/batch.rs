//! Look-ups of many keys at once.

use super::{Forest, Leaf, Own, PhantomData, Probe, Ref};
use crate::reclaim::{Protect, Reclaimer, Token};
use crate::sync::prefetch;
use crate::tree::lanes::{Lane, WIDTH, run};

impl<L: Leaf, R: Reclaimer> Forest<L, R> {
    /// Looks up many keys, each in a tree, and calls `visit` with each and its leaf, in order.
    ///
    /// Sixteen look-ups at a time go side by side, and their cache misses with them: in trees that are larger than the caches this is
    /// several times as fast as one after the other. Each look-up is linearizable by itself. `visit` may use this and
    /// other trees; no leaf that it unlinks is freed before the end of its group.
    pub fn get_many_with<'k>(
        &self,
        keys: impl IntoIterator<Item = (usize, L::Key<'k>)>,
        mut visit: impl FnMut(L::Key<'k>, Option<&L>),
    ) {
        let keys = keys.into_iter().map(|(tree, key)| (tree, Own(key)));
        self.get_many_with_by(keys, |Own(key), leaf| visit(key, leaf));
    }

    /// The same by whatever stands for a key.
    #[inline]
    pub(crate) fn get_many_with_by<P: Probe<L>>(
        &self,
        keys: impl IntoIterator<Item = (usize, P)>,
        mut visit: impl FnMut(P, Option<&L>),
    ) {
        self.find_many(keys, |_, lane| {
            // SAFETY: a slot of the lane protects it.
            let leaf = lane.found().map(|leaf| unsafe { leaf.as_ref() });
            visit(lane.key(), leaf);
            if let Some(leaf) = leaf {
                leaf.touched();
            }
        });
    }

    /// Looks up many keys, and returns a guard for each that is there, in order; see
    /// [`get_many_with`](Self::get_many_with).
    pub fn get_many<'k>(
        &self,
        keys: impl IntoIterator<Item = (usize, L::Key<'k>)>,
    ) -> Vec<Option<Ref<'_, L, R>>> {
        self.get_many_by(keys.into_iter().map(|(tree, key)| (tree, Own(key))))
    }

    /// The same by whatever stands for a key.
    pub(crate) fn get_many_by<P: Probe<L>>(
        &self,
        keys: impl IntoIterator<Item = (usize, P)>,
    ) -> Vec<Option<Ref<'_, L, R>>> {
        let mut all = Vec::new();
        self.find_many(keys, |operation, lane| {
            all.push(lane.found().map(|leaf| {
                let guard = lane.guard(operation, leaf);
                Ref { leaf, guard, tree: PhantomData }
            }));
        });
        all
    }

    /// Asks for the memory of the root of a tree, for a caller that is about to change many trees. Only a hint.
    #[inline]
    pub fn prefetch_root(&self, tree: usize) {
        prefetch(self.roots.get(tree).map_or(core::ptr::null(), core::ptr::from_ref));
    }

    /// Asks for the memory of what the root of a tree leads to; the root had better be there. Only a hint.
    #[inline]
    pub fn prefetch_first(&self, tree: usize) {
        if let Some(root) = self.roots.get(tree) {
            prefetch(root.load().address());
        }
    }

    /// Calls `visit` for each key with its lane, which is done.
    #[inline]
    fn find_many<'t, P: Probe<L>>(
        &'t self,
        keys: impl IntoIterator<Item = (usize, P)>,
        mut visit: impl FnMut(&R::Operation<'t>, &Lane<'t, L, P, R::Operation<'t>>),
    ) {
        let mut keys = keys.into_iter();
        let mut group_keys = Vec::with_capacity(WIDTH);
        loop {
            // Before the operation begins: a caller's iterator may do anything.
            group_keys.extend(keys.by_ref().take(WIDTH));
            if group_keys.is_empty() {
                return;
            }
            let operation = self.domain.enter(Token(()));
            let mut group: Vec<Lane<'t, L, P, R::Operation<'t>>> = Vec::with_capacity(WIDTH);
            for (index, (tree, key)) in group_keys.drain(..).enumerate() {
                group.push(Lane::begin(&operation, index, &self.roots[tree], key));
            }
            run(&operation, &self.domain, &mut group);
            for lane in &group {
                visit(&operation, lane);
            }
            drop(group);
            operation.end(());
        }
    }
}
