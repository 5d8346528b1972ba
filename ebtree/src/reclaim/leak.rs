//! No reclamation at all.

use core::ptr::NonNull;

use super::path::Path;
use super::pinned::Pinned;
use super::protect::Object;
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
unsafe impl Pinned for Operation {
    type Guard = ();

    #[inline]
    fn path(&self) -> &Path {
        &self.path
    }

    #[inline]
    fn again(&self) {}

    #[inline]
    unsafe fn retire_pinned<O: Object>(&self, _: NonNull<O>) {}
}
