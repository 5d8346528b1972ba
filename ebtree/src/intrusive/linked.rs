//! Protection of objects that are reached otherwise than by their own key.

use core::marker::PhantomData;
use core::ptr::NonNull;

use super::{Forest, Leaf, Own, Ref, Seek};
use crate::reclaim::{Protect, Reclaimer, Token};
use crate::sync::{Mutant, mutant};

impl<L: Leaf, R: Reclaimer> Forest<L, R> {
    /// Protects a leaf that is certainly not retired yet, because the caller holds it otherwise: by a count,
    /// say, that whoever retires it must have seen at zero.
    ///
    /// The guard protects it from now on, also after the caller lets go of its own hold.
    ///
    /// # Safety
    /// 1. `leaf` is a leaf of this domain that is not retired before the caller does something that
    ///    happens before its retirement and after this call.
    #[must_use]
    pub unsafe fn protect(&self, leaf: NonNull<L>) -> Ref<'_, L, R> {
        let operation = self.domain.enter(Token(()));
        // No second read is needed: the slot is stored before the caller lets go, which happens before the
        // retirement, and that before the scan that reads the slot.
        let guard = operation.guard_new(leaf.as_ptr().cast());
        operation.end(Ref { leaf, guard, tree: PhantomData })
    }

    /// Returns the leaf with the smallest key above `key`, together with the object that it names, which is a leaf
    /// of another forest in the same domain. Both are protected.
    ///
    /// The leaf was linked when the object was already protected. So an object whose retirement
    /// is preceded by the unlinking of every leaf that names it is not freed while the guard lives.
    ///
    /// Lock-free: each new start follows another thread's change of the leaf's edge.
    ///
    /// # Safety
    /// 1. `target` returns what the leaf has named since before it was linked.
    /// 2. Whoever retires that object has first unlinked every leaf of this forest that names it, and
    ///    that happens before the retirement.
    /// 3. `other` has the same domain.
    pub unsafe fn gt_with_target<'t, M: Leaf>(
        &'t self,
        tree: usize,
        key: L::Key<'_>,
        other: &'t Forest<M, R>,
        target: impl Fn(&L) -> NonNull<M>,
    ) -> Option<(Ref<'t, L, R>, Ref<'t, M, R>)> {
        debug_assert!(self.domain.is_same(&other.domain), "3 of the contract");
        let mut walk = self.walk(tree);
        loop {
            let depth = walk.seek(Own(key), Seek::GT)?;
            let object = target(walk.leaf(depth));
            let guard = walk.operation.guard_new(object.as_ptr().cast());
            walk.operation.light_barrier();
            // S1: still the clean edge to the leaf, in a node that the path protects (or the root): the leaf is
            // linked (I6) after the object was published, so the object's retirement, and the scan
            // after it, come later than the publication.
            if walk.is_still_linked(depth) || mutant(Mutant::NoTargetValidation) {
                let leaf = Self::reference(&walk, depth);
                return walk.end(Some((leaf, Ref { leaf: object, guard, tree: PhantomData })));
            }
        }
    }
}
