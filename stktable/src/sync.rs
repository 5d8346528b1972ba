//! The one door to atomics and threads: core's, or loom's under `cfg(loom)`. Nothing else in this crate
//! names them.
//!
//! A [`Mutant`] is one protection that a loom model takes out, to show that the model would notice its
//! absence. In ordinary builds there are none: [`mutant`] is a constant `false`.

use core::sync::atomic::Ordering;

#[cfg(loom)]
pub use modelled::*;
#[cfg(not(loom))]
pub use real::*;

/// The protections that a loom model takes out one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// `freq_ctr`: a rotation stores the older word instead of comparing and swapping it.
    RotateByStore,
    /// `freq_ctr`: the first word is not read again after the second.
    LoadOnce,
    /// `freq_ctr`: the first word is read with `Relaxed`.
    LoadFirstRelaxed,
    /// `freq_ctr`: the second word is read with `Relaxed`.
    LoadSecondRelaxed,
    /// `freq_ctr`: a rotation does not release.
    RotateRelaxed,
    /// `freq_ctr`: an addition does not release.
    AddRelaxed,
    /// `freq_ctr`: the older word is read before the newest.
    OlderFirst,
    /// `freq_ctr`: a set writes the previous period without asking whether the current one is still its
    /// own.
    SetUnchecked,
    /// `freq_ctr`: a set stores the previous period instead of comparing and swapping it.
    SetByStore,
    /// `life`: a reference does not bump the generation.
    NoGeneration,
    /// `life`: an entry is marked dead after a look at its count, without comparing the word.
    KillByStore,
    /// `life`: whoever drops the last reference does not see that a sweep passed by.
    OverdueUnseen,
    /// `life`: an index bit is cleared, and whether it was the last is asked of an earlier look.
    ClearByLooking,
    /// `table`: a creator replaces whatever entry has its key, dead or not.
    ReplaceAlive,
    /// `table`: a creator takes a place by adding, and takes that back where there was none.
    PlaceByAdding,
    /// `keys`: a killer unlinks whatever entry has the key of the one it killed.
    UnlinkAny,
    /// `kill`: the leaf of a dead entry stays in the update order.
    NoForget,
    /// `expire`: the date of an entry is looked at before its word is read.
    DateFirst,
    /// `updates`: a session sends without raising the frontier first.
    NoFrontier,
    /// `updates`: a toucher does not look at the frontier again once its leaf is in.
    NoSecondLook,
    /// `updates`: no fence between a value and the question whether it is still unsent.
    NoTouchFence,
    /// `updates`: a toucher relies on another one to link the leaf that both need.
    NoHelp,
    /// `updates`: a session passes the old leaf of an entry whose new one is not linked yet.
    NoSessionHelp,
    /// `updates`: who linked a leaf does not look whether the entry has moved on.
    NoLateUnlink,
    /// `updates`: no fence between the word that a session sleeps and its last look.
    NoSleepFence,
    /// `expiry`: a due stack is emptied without being closed.
    NotClosed,
    /// `expiry`: an entry is filed without looking whether that must wake the sweeper.
    NoArm,
    /// `updates`: what no session has read is trimmed too.
    TrimUnread,
    /// `ordered`: a new entry is linked by its key before it is in the order.
    OrderedLate,
    /// `ordered`: an element is taken for whichever entry has its key.
    OrderedByKeyAlone,
    /// `names`: a name whose last use has ended is used again.
    NameRevived,
    /// `names`: a name that is gone is not looked for again under the entry's new number.
    NameReadOnce,
}

/// Asks the processor to bring a cache line in. Any address will do.
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

/// Returns `order`, or `Relaxed` for the model that wants this protection taken out.
#[inline]
#[must_use]
pub fn order(order: Ordering, without: Mutant) -> Ordering {
    if mutant(without) { Ordering::Relaxed } else { order }
}

#[cfg(not(loom))]
mod real {
    pub use core::sync::atomic::{
        AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence,
    };
    pub use std::sync::Arc;

    /// Called once per turn of every retry loop.
    #[inline]
    pub fn relax() {
        core::hint::spin_loop();
    }

    /// Nothing in ordinary builds; see the other one.
    #[derive(Debug, Default)]
    pub struct Tracked;

    impl Tracked {
        pub const fn new() -> Self {
            Self
        }

        #[inline]
        pub const fn touch(&self) {}

        pub const fn end(&self) {}
    }

    /// Returns whether a loom model runs without this protection: never, here.
    #[inline]
    #[must_use]
    pub const fn mutant(_: super::Mutant) -> bool {
        false
    }
}

#[cfg(loom)]
mod modelled {
    use core::cell::Cell;
    use core::sync::atomic::Ordering;

    pub use loom::sync::Arc;
    pub use loom::sync::atomic::{
        AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence,
    };

    use super::Mutant;

    /// Called once per turn of every retry loop, so that loom lets somebody else go on.
    pub fn relax() {
        loom::thread::yield_now();
    }

    /// Part of every object that is reclaimed: loom then sees a read that is not ordered before the
    /// object's end, which it reports as a causality violation. One that is ordered after it is seen here.
    #[derive(Debug)]
    pub struct Tracked {
        cell: loom::cell::UnsafeCell<()>,
        ended: core::sync::atomic::AtomicBool,
    }

    impl Tracked {
        pub fn new() -> Self {
            LIVE.set(LIVE.get() + 1);
            Self { cell: loom::cell::UnsafeCell::new(()), ended: false.into() }
        }

        /// The first dereference of a shared object.
        pub fn touch(&self) {
            self.cell.with(|_| ());
            assert!(!self.ended.load(Ordering::Relaxed), "read after its end");
        }

        /// The object's end.
        pub fn end(&self) {
            LIVE.set(LIVE.get() - 1);
            self.cell.with_mut(|_| ());
            assert!(!self.ended.swap(true, Ordering::Relaxed), "reclaimed twice");
        }
    }

    std::thread_local! {
        // One for a whole model: loom runs all threads of a model on one thread of the system.
        static MUTANT: Cell<Option<Mutant>> = const { Cell::new(None) };
        static LIVE: Cell<isize> = const { Cell::new(0) };
    }

    /// Returns how many tracked objects this thread's models have made and not ended: fewer than it should be when
    /// one was reclaimed twice, more when one is lost.
    #[must_use]
    pub fn live() -> isize {
        LIVE.get()
    }

    /// Returns whether the model that runs on this thread runs without this protection.
    #[must_use]
    pub fn mutant(which: Mutant) -> bool {
        MUTANT.get() == Some(which)
    }

    /// Runs `model` without one protection (`None`: the real code).
    pub fn with_mutant<T>(without: Option<Mutant>, model: impl FnOnce() -> T) -> T {
        struct Reset;
        impl Drop for Reset {
            fn drop(&mut self) {
                MUTANT.set(None);
            }
        }
        let _reset = Reset;
        MUTANT.set(without);
        model()
    }
}
