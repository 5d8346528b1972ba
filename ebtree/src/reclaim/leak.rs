//! No reclamation at all.

use core::ptr::NonNull;

use super::path::{Path, Step};
use super::protect::{Object, Protect};
use super::{Reclaimer, Token, sealed};

/// Frees nothing that was ever unlinked. **For benchmarks only**: what it costs to know when memory may be freed is the
/// difference to this.
#[derive(Clone, Copy, Debug, Default)]
pub struct Leak;

impl sealed::Sealed for Leak {}

impl Reclaimer for Leak {
    type Guard = ();
    type Operation<'d> = Operation;

    #[inline]
    fn enter(&self, _: Token) -> Operation {
        Operation { path: Path::new() }
    }

    fn flush(&self) {}

    fn is_same(&self, _: &Self) -> bool {
        true
    }
}

#[derive(Debug)]
pub struct Operation {
    path: Path,
}

// SAFETY: nothing is freed.
unsafe impl Protect for Operation {
    type Guard = ();
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
        self.path.set_step(index, step);
    }

    #[inline]
    fn step(&self, index: usize) -> Step {
        self.path.step(index)
    }

    #[inline]
    fn with_path<T>(&self, look: impl FnOnce(&[Step]) -> T) -> T {
        self.path.with_path(look)
    }

    #[inline]
    fn guard(&self, _: usize, _: *mut ()) {}

    #[inline]
    fn guard_in(&self, (): (), _: *mut ()) {}

    #[inline]
    fn guard_new(&self, _: *mut ()) {}

    #[inline]
    fn hold(&self, (): &mut (), _: usize, _: *mut ()) {}

    #[inline]
    unsafe fn retire<O: Object>(&self, _: NonNull<O>) {}
}
