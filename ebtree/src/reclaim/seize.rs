//! Batches that are counted down by the threads that could see them.

use core::cell::Cell;
use core::fmt;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use std::sync::Arc;

use seize::{Collector, Guard as _, LocalGuard};

use super::path::Path;
use super::pinned::Pinned;
use super::protect::Object;
use super::{Reclaimer, Token, sealed};

/// Reclaims by a collector of the crate `seize`.
///
/// A thread that stalls inside an operation, or keeps an entry, keeps everything that anybody unlinks from then on. The crate takes a
/// lock when a thread first comes and when it ends. What is left is freed when the last handle goes; a value that holds one keeps
/// itself. Values may be dropped when an entry is let go, too.
///
/// Not for use in destructors of thread locals, where operations panic. An entry that is still there keeps what it keeps for good.
#[derive(Clone, Debug, Default)]
pub struct Seize {
    collector: Arc<Collector>,
}

impl Seize {
    /// Makes a collector of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl sealed::Sealed for Seize {}

impl Reclaimer for Seize {
    type Guard = Guard;
    type Operation<'d> = Operation<'d>;

    #[inline]
    fn enter(&self, _: Token) -> Operation<'_> {
        assert!(STATE.get() != State::Gone, "a tree with `Seize`, in a thread local's destructor");
        let guard = self.collector.enter();
        if STATE.get() == State::New {
            // After the first use, so that it ends before what the crate keeps of the thread.
            SENTINEL.with(|_| STATE.set(State::Known));
        }
        // The collector asks for loads that are sequentially consistent, so that none goes before the thread is marked as active.
        // Ours acquire only. On x86_64 those are the same instructions; elsewhere a fence does it for all of them.
        #[cfg(not(target_arch = "x86_64"))]
        core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
        #[cfg(target_arch = "x86_64")]
        core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
        Operation { guard, path: Path::new() }
    }

    fn flush(&self) {
        self.collector.enter().flush();
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.collector, &other.collector)
    }
}

/// What the crate knows of this thread.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Known,
    /// The thread is ending, and its number may be another one's soon.
    Gone,
}

struct Sentinel;

impl Drop for Sentinel {
    fn drop(&mut self) {
        STATE.set(State::Gone);
    }
}

thread_local! {
    static STATE: Cell<State> = const { Cell::new(State::New) };
    static SENTINEL: Sentinel = const { Sentinel };
}

/// Its thread is marked as active.
#[derive(Debug)]
pub struct Guard(ManuallyDrop<LocalGuard<'static>>);

impl Drop for Guard {
    fn drop(&mut self) {
        // A guard that ends with the thread leaves the number marked as active for ever: whoever has it next is counted there, and
        // must not be counted by two threads at once.
        if STATE.get() != State::Gone {
            // SAFETY: once, and not used after.
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
    }
}

pub struct Operation<'d> {
    guard: LocalGuard<'d>,
    path: Path,
}

impl fmt::Debug for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").finish_non_exhaustive()
    }
}

// SAFETY: the thread is active as long as an operation or a guard of it lives, without a gap where a guard is made
// from an operation. What is retired while a thread is active is not freed before it is not.
unsafe impl Pinned for Operation<'_> {
    type Guard = Guard;

    #[inline]
    fn path(&self) -> &Path {
        &self.path
    }

    #[inline]
    fn again(&self) -> Guard {
        let guard: LocalGuard<'_> = self.guard.collector().enter();
        // SAFETY: only the lifetime changes. By the contract of `Protect::Guard` the collector outlives the guard.
        let guard = unsafe { core::mem::transmute::<LocalGuard<'_>, LocalGuard<'static>>(guard) };
        Guard(ManuallyDrop::new(guard))
    }

    #[inline]
    unsafe fn retire_pinned<O: Object>(&self, object: NonNull<O>) {
        unsafe fn free<O: Object>(object: *mut O, _: &Collector) {
            // SAFETY: from a `NonNull`.
            let object = unsafe { NonNull::new_unchecked(object) };
            // SAFETY: called once, when nobody reads the object.
            unsafe { O::free(object) };
        }
        // SAFETY: by 1 and 2 of the contract, nobody who becomes active from now on finds the object.
        unsafe { self.guard.defer_retire(object.as_ptr(), free::<O>) };
    }
}
