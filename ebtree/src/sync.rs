//! The one door to atomics, threads and thread locals: the standard library's, or loom's under
//! `cfg(loom)`. Nothing else in this crate names them.

#[cfg(not(loom))]
mod real {
    pub(crate) use core::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, compiler_fence, fence,
    };
    pub(crate) use std::sync::Arc;
    pub(crate) use std::thread_local;

    /// Called once per turn of every retry loop.
    pub(crate) fn relax() {
        #[cfg(test)]
        {
            TURNS.set(TURNS.get() + 1);
            assert!(TURNS.get() < 100_000, "a retry loop that does not end");
        }
        core::hint::spin_loop();
    }

    #[cfg(test)]
    std::thread_local! {
        /// Turns of retry loops on this thread, so that a test can end where a loop would not.
        pub(crate) static TURNS: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
    }

    /// Nothing in ordinary builds; see the other one.
    #[derive(Debug, Default)]
    pub(crate) struct Tracked;

    impl Tracked {
        pub(crate) const fn new() -> Self {
            Self
        }

        #[inline]
        pub(crate) const fn touch(&self) {}

        pub(crate) const fn end(&self) {}
    }

    /// Whether a loom model asks for the code without one of its protections: never, here.
    #[inline]
    pub(crate) const fn mutant(_: super::Mutant) -> bool {
        false
    }
}

#[cfg(loom)]
mod modelled {
    pub(crate) use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, fence};
    pub(crate) use loom::thread_local;

    /// Loom has no compiler fence. Only the fence form is modelled, so this is never reached.
    pub(crate) fn compiler_fence(order: core::sync::atomic::Ordering) {
        fence(order);
    }

    /// Called once per turn of every retry loop, so that loom lets somebody else go on.
    pub(crate) fn relax() {
        loom::thread::yield_now();
    }

    /// Part of every object that is reclaimed: loom then sees a read that is not ordered before the
    /// object's end, which it reports as a causality violation.
    #[derive(Debug, Default)]
    pub(crate) struct Tracked(loom::cell::UnsafeCell<()>);

    // SAFETY: loom checks each access to the cell, which is what it is for.
    unsafe impl Sync for Tracked {}

    impl Tracked {
        pub(crate) fn new() -> Self {
            Self(loom::cell::UnsafeCell::new(()))
        }

        /// The first dereference of a shared object.
        pub(crate) fn touch(&self) {
            self.0.with(|_| ());
        }

        /// The object's end.
        pub(crate) fn end(&self) {
            self.0.with_mut(|_| ());
        }
    }

    std::thread_local! {
        static MUTANT: core::cell::Cell<Option<super::Mutant>> = const { core::cell::Cell::new(None) };
    }

    /// Whether the model that runs on this thread asked for the code without this protection.
    pub(crate) fn mutant(which: super::Mutant) -> bool {
        MUTANT.get() == Some(which)
    }

    /// Runs a model with one protection taken out (`None`: the real code).
    pub fn with_mutant<T>(which: Option<super::Mutant>, model: impl FnOnce() -> T) -> T {
        struct Reset;
        impl Drop for Reset {
            fn drop(&mut self) {
                MUTANT.set(None);
            }
        }
        let _reset = Reset;
        MUTANT.set(which);
        model()
    }
}

#[cfg(loom)]
pub(crate) use modelled::*;
#[cfg(not(loom))]
pub(crate) use real::*;

#[cfg(loom)]
#[doc(hidden)]
pub use modelled::with_mutant;

/// The protections that a loom model takes out one at a time, to show that it would see their absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub enum Mutant {
    /// No barrier between the publication in a hazard slot and the second read of the edge.
    NoBarrier,
    /// No second read of the edge in the descent that helps.
    NoValidation,
    /// No second read of the edge in the read-only descent.
    NoReadValidation,
    /// No look at the anchor when the read-only descent steps over a tagged edge.
    NoAnchor,
    /// The splice drops the survivor's flag.
    FlagLost,
    /// The scan does not look at the slots of guards.
    GuardsNotScanned,
    /// An operation's slot is cleared before it is copied into a guard's.
    CopyAfterClear,
    /// The scan reads guard slots before operation slots.
    GuardsScannedFirst,
    /// The scan reads the first segment of slots only.
    DeepSlotsNotScanned,
    /// A thread that leaves does not look whether the domain was closed meanwhile.
    NoLookAtClosed,
    /// Slots are cleared with a Relaxed store.
    RelaxedClear,
    /// A record is given back before its thread has done with it.
    FreeBeforeScan,
    /// An object that an indirect search protects is returned without a look at the leaf that names it.
    NoTargetValidation,
}
