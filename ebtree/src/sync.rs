//! The one door to atomics, threads and thread locals: the standard library's, or loom's under
//! `cfg(loom)`, or shuttle's where `cfg(shuttle)` comes to that. Nothing else in this crate names them.

#[cfg(not(loom))]
mod real {
    #[cfg(any(not(target_pointer_width = "64"), ebtree_plain_edges))]
    pub(crate) use core::sync::atomic::AtomicU16;
    pub(crate) use core::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicPtr as AtomicLink, AtomicU8, AtomicUsize, compiler_fence,
        fence,
    };
    #[cfg(all(not(any(miri, ebtree_no_pool)), target_has_atomic = "64"))]
    pub(crate) use core::sync::atomic::{AtomicI64, AtomicU32, AtomicU64};
    pub(crate) use std::sync::Arc;
    pub(crate) use std::thread_local;

    /// Called once per turn of every retry loop.
    #[inline]
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

        pub(crate) const fn own(&self) {}

        pub(crate) const fn end(&self) {}
    }

    /// Whether this is a loom model that has failed: never, here.
    #[inline]
    pub(crate) const fn has_failed() -> bool {
        false
    }

    /// Whether a loom model asks for the code without one of its protections: never, here.
    #[inline]
    pub(crate) const fn mutant(_: super::Mutant) -> bool {
        false
    }
}

#[cfg(all(loom, not(shuttle)))]
mod modelled {
    use core::sync::atomic::Ordering;

    use super::has_failed;

    pub(crate) use loom::sync::Arc;
    #[cfg(any(not(target_pointer_width = "64"), ebtree_plain_edges))]
    pub(crate) use loom::sync::atomic::AtomicU16;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, fence};
    #[cfg(test)]
    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64};
    pub(crate) use loom::thread_local;

    /// Loom has no compiler fence. Only the fence form is modelled, so this is never reached.
    pub(crate) fn compiler_fence(order: Ordering) {
        fence(order);
    }

    /// A pointer that threads load and then replace.
    ///
    /// Loom picks the schedules worth trying by the last access to an object that an access depends on, and two
    /// loads do not depend on each other. A thread that loads and then replaces hides by its own load the loads
    /// of others before it, and loom never tries the replacement before those. So each load is
    /// announced by a store that nobody reads, and stores do depend on each other.
    #[derive(Debug)]
    pub(crate) struct AtomicLink<T> {
        pointer: AtomicPtr<T>,
        loads: AtomicUsize,
    }

    impl<T> AtomicLink<T> {
        #[track_caller]
        pub(crate) fn new(pointer: *mut T) -> Self {
            Self { pointer: AtomicPtr::new(pointer), loads: AtomicUsize::new(0) }
        }

        #[track_caller]
        pub(crate) fn load(&self, order: Ordering) -> *mut T {
            self.loads.store(0, Ordering::Relaxed);
            self.pointer.load(order)
        }

        #[track_caller]
        pub(crate) fn store(&self, pointer: *mut T, order: Ordering) {
            self.pointer.store(pointer, order);
        }

        #[track_caller]
        pub(crate) fn compare_exchange(
            &self,
            current: *mut T,
            new: *mut T,
            success: Ordering,
            failure: Ordering,
        ) -> Result<*mut T, *mut T> {
            self.pointer.compare_exchange(current, new, success, failure)
        }
    }

    /// Called once per turn of every retry loop, so that loom lets somebody else go on.
    pub(crate) fn relax() {
        loom::thread::yield_now();
    }

    /// Part of every object that is reclaimed, so that a model sees its end. A use that comes after the end in
    /// this schedule fails; one that is not ordered before it is reported by loom as a causality violation. Once a
    /// model has failed, what its threads still drop on the way out is of no interest.
    #[derive(Debug, Default)]
    pub(crate) struct Tracked {
        cell: loom::cell::UnsafeCell<()>,
        /// Not loom's: it is to say what was, and to add no order.
        ended: core::sync::atomic::AtomicBool,
    }

    // SAFETY: loom checks each access to the cell, which is what it is for.
    unsafe impl Sync for Tracked {}

    impl Tracked {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        /// A dereference of a shared object.
        pub(crate) fn touch(&self) {
            if has_failed() {
                return;
            }
            assert!(!self.ended.load(Ordering::Relaxed), "used after its end");
            self.cell.with(|_| ());
        }

        /// A use by the one who owns the object just now.
        pub(crate) fn own(&self) {
            if !has_failed() {
                self.cell.with_mut(|_| ());
            }
        }

        /// The object's end.
        pub(crate) fn end(&self) {
            let ended = self.ended.swap(true, Ordering::Relaxed);
            assert!(!ended || has_failed(), "ended twice");
            self.own();
        }
    }
}

/// For random schedules of longer scenarios. Like a model for loom, but for the atomics, which are sequentially consistent here,
/// and for what is checked of objects that were freed: only that nobody uses them.
#[cfg(shuttle)]
mod scheduled {
    use core::sync::atomic::Ordering;
    pub(crate) use std::sync::Arc;

    #[cfg(any(not(target_pointer_width = "64"), ebtree_plain_edges))]
    pub(crate) use shuttle::sync::atomic::AtomicU16;
    pub(crate) use shuttle::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicPtr as AtomicLink, AtomicU8, AtomicUsize, fence,
    };
    pub(crate) use shuttle::thread_local;

    pub(crate) fn compiler_fence(order: Ordering) {
        fence(order);
    }

    /// Called once per turn of every retry loop, so that somebody else goes on.
    pub(crate) fn relax() {
        shuttle::thread::yield_now();
    }

    /// Part of every object that is reclaimed, so that its end is seen.
    #[derive(Debug, Default)]
    pub(crate) struct Tracked {
        ended: core::sync::atomic::AtomicBool,
    }

    impl Tracked {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        /// A dereference of a shared object.
        pub(crate) fn touch(&self) {
            assert!(
                !self.ended.load(Ordering::Relaxed) || super::has_failed(),
                "used after its end"
            );
        }

        /// A use by the one who owns the object just now.
        pub(crate) fn own(&self) {}

        /// The object's end.
        pub(crate) fn end(&self) {
            let ended = self.ended.swap(true, Ordering::Relaxed);
            assert!(!ended || super::has_failed(), "ended twice");
        }
    }
}

#[cfg(loom)]
mod mutants {
    std::thread_local! {
        static MUTANT: core::cell::Cell<Option<super::Mutant>> = const { core::cell::Cell::new(None) };
    }

    /// Whether this model has failed and is on its way out: then nothing of it may be touched any more.
    pub(crate) fn has_failed() -> bool {
        std::thread::panicking()
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

#[cfg(all(loom, not(shuttle)))]
pub(crate) use modelled::*;
#[cfg(loom)]
pub(crate) use mutants::*;
#[cfg(not(loom))]
pub(crate) use real::*;
#[cfg(shuttle)]
pub(crate) use scheduled::*;

#[cfg(loom)]
#[doc(hidden)]
pub use mutants::with_mutant;

/// Asks for the cache line at an address, which need not be valid.
#[inline]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(all(target_arch = "x86_64", not(any(miri, loom))))]
    // SAFETY: a hint, for any address; every x86_64 has the instruction.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(any(miri, loom)))))]
    let _ = address;
}

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
    /// Objects are linked with a Relaxed CAS.
    RelaxedLink,
    /// An ordered search reads the edge to the subtree again instead of taking the subtree it met.
    RereadSubtree,
    /// Records are listed with a Relaxed CAS.
    RelaxedListing,
    /// Segments of slots are added with a Relaxed store.
    RelaxedSegment,
    /// Records are given back with a Relaxed store.
    RelaxedHandOver,
    /// No barrier between the unlinking of objects and the scan.
    NoHeavyBarrier,
    /// No barrier between the closing of a domain and the look at its records.
    NoBarrierAtClose,
    /// A record is given back before its thread has done with it.
    FreeBeforeScan,
    /// An object that an indirect search protects is returned without a look at the leaf that names it.
    NoTargetValidation,
    /// The top of a shelf does not count its changes.
    ShelfUncounted,
    /// Cells are given to a page with a Relaxed CAS.
    RelaxedGiving,
    /// A page that is given back blank is not put on the shelf, though it was taken off meanwhile.
    BlankUnlisted,
    /// A page that waits for its return to the system is taken without looking whether it was used again meanwhile.
    WaitingUnchecked,
    /// A look-up in a batch helps in the slots of the batch.
    LaneHelpsInPlace,
    /// A walk does not hold the leaf it is at.
    WalkHoldsNothing,
    /// No second read of the edge to a cover.
    NoCoverValidation,
    /// A longest match does not look at its path again.
    NoPathCheck,
    /// A longest match takes a cover whose edge is flagged.
    FlaggedCoverCounts,
}
