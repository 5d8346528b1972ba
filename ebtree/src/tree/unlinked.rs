//! A leaf that no tree links yet.

use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use crate::leaf::Leaf;

/// Owns a leaf until a tree links it, and frees it if none does: because the key was there already, or because a
/// method of the key panicked.
pub(crate) struct Unlinked<L: Leaf>(NonNull<L>);

impl<L: Leaf> Unlinked<L> {
    /// # Safety
    /// 1. The leaf is initialised, and nobody else reads or frees it.
    /// 2. [`Leaf::free`] knows how to free it.
    pub(crate) const unsafe fn new(leaf: NonNull<L>) -> Self {
        Self(leaf)
    }

    pub(crate) const fn pointer(&self) -> NonNull<L> {
        self.0
    }

    /// Gives the leaf away: to the tree that has linked it, or to who takes it apart.
    pub(crate) fn into_raw(self) -> NonNull<L> {
        ManuallyDrop::new(self).0
    }
}

impl<L: Leaf> Drop for Unlinked<L> {
    fn drop(&mut self) {
        // SAFETY: 1 and 2 of `new`; who links the leaf calls `into_raw` before anything else can happen.
        unsafe { L::free(self.0) };
    }
}
