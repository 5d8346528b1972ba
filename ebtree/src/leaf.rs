//! What a tree asks of its leaves.

use core::ptr::NonNull;

use crate::reclaim::protect::{Object, Protect};
use crate::reclaim::{Domain, Reclaimer};

/// The end of a tree: an object with a key, which the tree links by its address.
///
/// [`EbTree`](crate::EbTree) has its own leaf. Implement this one for objects that are leaves of a tree
/// and members of other structures at once, so that one allocation serves all of them; such a tree is an
/// [`intrusive::Forest`](crate::intrusive::Forest).
///
/// # Safety
///
/// 1. `key` returns an equal key every time, as long as the object lives.
/// 2. The object is aligned to 16 bytes (checked when it is linked).
/// 3. `unlinked` gives the object to [`Retire::retire`] or sees to it that somebody else does later, and does
///    nothing that would end it sooner.
/// 4. `free` may run on any thread.
pub unsafe trait Leaf: Sized + Send + Sync + 'static {
    /// What a leaf is looked up by.
    type Key<'k>: Copy;

    /// Returns the leaf's key.
    fn key(&self) -> Self::Key<'_>;

    /// Returns the position of the most significant bit in which the leaf's key differs from `key`,
    /// `None` if they are equal; see [`Key`](crate::Key).
    fn first_difference(&self, key: Self::Key<'_>) -> Option<u16>;

    /// Returns the bit of `key` at `position`.
    fn bit(key: Self::Key<'_>, position: u16) -> bool;

    /// Called by whoever unlinked the leaf, once each time it was linked. Concurrent readers may
    /// still hold it.
    ///
    /// # Safety
    /// 1. `this` was unlinked just now by the caller, and is protected by the tree's reclaimer until it is
    ///    retired.
    unsafe fn unlinked<R: Reclaimer>(this: NonNull<Self>, retire: &Retire<'_, '_, R>);

    /// Gives the leaf's memory back.
    ///
    /// # Safety
    /// 1. Nobody reads the leaf now or later. Called once.
    unsafe fn free(this: NonNull<Self>);

    /// Called when a leaf that was found is dereferenced. For models, which have to see it.
    #[doc(hidden)]
    fn touched(&self) {}
}

/// What a search looks for: the key of a leaf, or whatever stands for one.
pub(crate) trait Probe<L: Leaf>: Copy {
    /// As [`Leaf::first_difference`], seen from this side.
    fn first_difference(self, leaf: &L) -> Option<u16>;

    /// As [`Leaf::bit`].
    fn bit(self, position: u16) -> bool;
}

/// A key as the leaves themselves have it.
pub(crate) struct Own<'k, L: Leaf>(pub(crate) L::Key<'k>);

impl<L: Leaf> Clone for Own<'_, L> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<L: Leaf> Copy for Own<'_, L> {}

impl<L: Leaf> Probe<L> for Own<'_, L> {
    #[inline]
    fn first_difference(self, leaf: &L) -> Option<u16> {
        leaf.first_difference(self.0)
    }

    #[inline]
    fn bit(self, position: u16) -> bool {
        L::bit(self.0, position)
    }
}

/// Hands unlinked objects to the reclaimer of the tree they were unlinked from.
#[derive(Debug)]
pub struct Retire<'a, 'd, R: Reclaimer = Domain> {
    operation: &'a R::Operation<'d>,
}

/// A leaf as what is retired.
#[repr(transparent)]
struct Removed<L>(L);

// SAFETY: 4 of the contract of `Leaf`.
unsafe impl<L: Leaf> Object for Removed<L> {
    unsafe fn free(this: NonNull<Self>) {
        // SAFETY: the same contract, and the same object.
        unsafe { L::free(this.cast()) };
    }
}

impl<'a, 'd, R: Reclaimer> Retire<'a, 'd, R> {
    pub(crate) const fn new(operation: &'a R::Operation<'d>) -> Self {
        Self { operation }
    }

    /// Hands over a leaf, to be [freed](Leaf::free) once nobody protects it.
    ///
    /// # Safety
    /// 1. No tree of this reclaimer links the leaf any more, nor does any structure from which a pointer to it is
    ///    taken and then published in a slot of it; and the last unlinking happens before this call.
    /// 2. Called once for this leaf.
    pub unsafe fn retire<L: Leaf>(&self, leaf: NonNull<L>) {
        // SAFETY: 1 and 2 are the caller's; 3 is that of `Leaf::free`.
        unsafe { self.operation.retire(leaf.cast::<Removed<L>>()) };
    }
}
