//! Reclaimers that keep whatever was there when an operation began: they have no use for slots.

use core::fmt;
use core::ptr::NonNull;

use super::path::{Path, Step};
use super::protect::{Object, Protect};

/// One operation of one thread, which keeps everything that is unlinked before it ends.
///
/// # Safety
/// 1. No object that was linked at some instant after the operation began is freed before it ends, nor before the end of any guard that
///    was made while it, or such a guard, lived.
pub unsafe trait Pinned: Sized {
    /// Keeps what the operation keeps.
    type Guard: fmt::Debug;

    /// Returns the operation's path.
    fn path(&self) -> &Path;

    /// Makes a guard.
    fn again(&self) -> Self::Guard;

    /// As [`Protect::retire`].
    ///
    /// # Safety
    /// The same.
    unsafe fn retire_pinned<O: Object>(&self, object: NonNull<O>);
}

// SAFETY: 1 to 3 are less than 1 of `Pinned`: what is named was linked after the operation began, or is linked later.
unsafe impl<P: Pinned> Protect for P {
    type Guard = P::Guard;
    type Slot = ();

    #[inline]
    fn publish(&self, _: usize, _: *mut ()) {}

    #[inline]
    fn three(&self, _: usize) -> [(); 3] {
        [(); 3]
    }

    #[inline]
    fn publish_in(&self, (): (), _: *mut ()) {}

    #[inline]
    fn light_barrier(&self) {}

    #[inline]
    fn set_step(&self, index: usize, step: Step) {
        self.path().set_step(index, step);
    }

    #[inline]
    fn step(&self, index: usize) -> Step {
        self.path().step(index)
    }

    #[inline]
    fn with_path<T>(&self, look: impl FnOnce(&[Step]) -> T) -> T {
        self.path().with_path(look)
    }

    #[inline]
    fn guard(&self, _: usize, _: *mut ()) -> P::Guard {
        self.again()
    }

    #[inline]
    fn guard_in(&self, (): (), _: *mut ()) -> P::Guard {
        self.again()
    }

    #[inline]
    fn guard_new(&self, _: *mut ()) -> P::Guard {
        self.again()
    }

    #[inline]
    fn hold(&self, _: &mut P::Guard, _: usize, _: *mut ()) {}

    #[inline]
    unsafe fn retire<O: Object>(&self, object: NonNull<O>) {
        // SAFETY: the same contract.
        unsafe { self.retire_pinned(object) };
    }
}
