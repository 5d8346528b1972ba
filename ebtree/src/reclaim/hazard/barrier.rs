//! The two halves of the barrier between readers and scans (S1).

use core::sync::atomic::Ordering;

use crate::sync::{Mutant, compiler_fence, fence, mutant};

/// How a domain orders publications against scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Barrier {
    /// Readers: a compiler fence. Scans: `membarrier`.
    Asymmetric,
    /// Both: a `SeqCst` fence.
    Symmetric,
}

impl Barrier {
    /// Returns the cheapest form this system has.
    pub(crate) fn of_this_system() -> Self {
        if register() { Self::Asymmetric } else { Self::Symmetric }
    }

    /// Stands between the publication in a slot and the second read of the edge.
    #[inline]
    pub(crate) fn light(self) {
        if mutant(Mutant::NoBarrier) {
            return;
        }
        match self {
            // The processor may still reorder; `heavy` puts the barrier in for us when it matters.
            Self::Asymmetric => compiler_fence(Ordering::SeqCst),
            Self::Symmetric => fence(Ordering::SeqCst),
        }
    }

    /// Stands between the unlinking of objects and the scan that may free them. Returns false if the
    /// barrier could not be had: then nothing may be freed on its strength.
    #[must_use]
    pub(crate) fn heavy(self) -> bool {
        if mutant(Mutant::NoHeavyBarrier) {
            return true;
        }
        let had = match self {
            Self::Asymmetric => barrier_in_all_threads(),
            Self::Symmetric => true,
        };
        fence(Ordering::SeqCst);
        had
    }
}

#[cfg(all(target_os = "linux", not(loom), not(miri)))]
mod membarrier {
    // Values of the kernel's stable interface, `linux/membarrier.h`.
    const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

    fn call(command: libc::c_int) -> bool {
        // SAFETY: the call takes three integers and touches no memory of ours.
        let result = unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
        result == 0
    }

    pub(super) fn register() -> bool {
        call(REGISTER_PRIVATE_EXPEDITED)
    }

    pub(super) fn barrier_in_all_threads() -> bool {
        call(PRIVATE_EXPEDITED)
    }
}

#[cfg(not(all(target_os = "linux", not(loom), not(miri))))]
mod membarrier {
    pub(super) fn register() -> bool {
        false
    }

    pub(super) fn barrier_in_all_threads() -> bool {
        false
    }
}

use membarrier::{barrier_in_all_threads, register};
