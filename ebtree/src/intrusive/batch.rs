//! Look-ups of many keys at once.

use core::ptr::NonNull;

use super::{Forest, Leaf, PhantomData, Ref};
use crate::reclaim::hazard::Operation;
use crate::tree::lanes::{Lane, WIDTH, run};

impl<L: Leaf> Forest<L> {
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
        self.find_many(keys, |_, key, found| {
            // SAFETY: as `find_many` says.
            let leaf = found.map(|leaf| unsafe { leaf.as_ref() });
            visit(key, leaf);
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
    ) -> Vec<Option<Ref<'_, L>>> {
        let mut all = Vec::new();
        self.find_many(keys, |operation, _, found| {
            all.push(found.map(|leaf| {
                // Protected by a slot of the operation meanwhile.
                let guard = operation.guard(0, leaf.as_ptr().cast());
                Ref { leaf, guard, tree: PhantomData }
            }));
        });
        all
    }

    /// Calls `visit` for each key with what was found, which is protected during the call.
    fn find_many<'t, 'k>(
        &'t self,
        keys: impl IntoIterator<Item = (usize, L::Key<'k>)>,
        mut visit: impl FnMut(&Operation<'t>, L::Key<'k>, Option<NonNull<L>>),
    ) {
        let mut keys = keys.into_iter();
        let mut group_keys = Vec::with_capacity(WIDTH);
        loop {
            // Before the operation begins: a caller's iterator may do anything.
            group_keys.extend(keys.by_ref().take(WIDTH));
            if group_keys.is_empty() {
                return;
            }
            let operation = self.domain.enter();
            let mut group: Vec<Lane<'_, '_, L>> = Vec::with_capacity(WIDTH);
            for (index, (tree, key)) in group_keys.drain(..).enumerate() {
                group.push(Lane::begin(&operation, index, &self.roots[tree], key));
            }
            run(&operation, &self.domain, &mut group);
            for lane in &group {
                visit(&operation, lane.key(), lane.found());
            }
            drop(group);
            operation.end(());
        }
    }
}
