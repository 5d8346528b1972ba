//! Look-ups by whatever stands for a key: the key itself, or a borrowed form of it.

use core::marker::PhantomData;
use core::ptr::NonNull;

use super::{Forest, Leaf, Probe, Ref, Seek};
use crate::reclaim::{Protect, Reclaimer};

impl<L: Leaf, R: Reclaimer> Forest<L, R> {
    /// See [`get`](Self::get).
    #[inline]
    pub(crate) fn get_by(&self, tree: usize, key: impl Probe<L>) -> Option<Ref<'_, L, R>> {
        let mut walk = self.walk(tree);
        let found = walk.find(key)?;
        let guard = walk.operation.guard_in(found.slot, found.leaf.as_ptr().cast());
        walk.end(Some(Ref { leaf: found.leaf, guard, tree: PhantomData }))
    }

    /// See [`get_with`](Self::get_with).
    #[inline]
    pub(crate) fn get_with_by<T>(
        &self,
        tree: usize,
        key: impl Probe<L>,
        visit: impl FnOnce(&L) -> T,
    ) -> Option<T> {
        self.get_ptr_with_by(tree, key, |leaf| {
            // SAFETY: protected during the call.
            visit(unsafe { leaf.as_ref() })
        })
    }

    /// See [`get_ptr_with`](Self::get_ptr_with).
    #[inline]
    pub(crate) fn get_ptr_with_by<T>(
        &self,
        tree: usize,
        key: impl Probe<L>,
        visit: impl FnOnce(NonNull<L>) -> T,
    ) -> Option<T> {
        let mut walk = self.walk(tree);
        // The walk's slot protects the leaf until its end, which is after the visit: operations begun by `visit` take
        // slots above those of this one.
        let found = walk.find(key)?;
        let seen = visit(found.leaf);
        walk.end(Some(seen))
    }

    /// See [`remove_if`](Self::remove_if).
    #[inline]
    pub(crate) fn remove_if_by(
        &self,
        tree: usize,
        key: impl Probe<L>,
        mut is_it: impl FnMut(&L) -> bool,
    ) -> bool {
        let mut walk = self.walk(tree);
        loop {
            let Some(depth) = walk.descend(key) else { return false };
            let leaf = walk.leaf(depth);
            if key.first_difference(leaf).is_some() || !is_it(leaf) {
                return false;
            }
            if walk.remove_and_forget(depth) {
                return true;
            }
        }
    }

    /// See [`take`](Self::take).
    #[inline]
    pub(crate) fn take_by(&self, tree: usize, key: impl Probe<L>) -> Option<Ref<'_, L, R>> {
        let mut walk = self.walk(tree);
        loop {
            let depth = walk.descend(key)?;
            let leaf = walk.leaf_pointer(depth);
            if key.first_difference(walk.leaf(depth)).is_some() {
                return None;
            }
            if let Some(guard) = walk.remove(depth) {
                return walk.end(Some(Ref { leaf, guard, tree: PhantomData }));
            }
        }
    }

    /// Returns the leaf nearest to a key.
    #[inline]
    pub(crate) fn seek(
        &self,
        tree: usize,
        key: impl Probe<L>,
        seek: Seek,
    ) -> Option<Ref<'_, L, R>> {
        let mut walk = self.walk(tree);
        let found = walk.seek(key, seek).map(|depth| Self::reference(&walk, depth));
        walk.end(found)
    }
}
