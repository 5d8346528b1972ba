//! Epochs: what was there when an operation began stays until it ends.

use core::fmt;
use core::ptr::NonNull;

use crossbeam_epoch::LocalHandle;

use super::path::Path;
use super::pinned::Pinned;
use super::protect::Object;
use super::{Reclaimer, Token, sealed};

/// Reclaims by the epochs of `crossbeam-epoch`, in that crate's default collector, which all of its users in the process share.
///
/// A thread that stalls inside an operation, or keeps an entry, keeps everything that anybody unlinks from then on. What
/// is unlinked last is freed when somebody begins operations later, or by [`flush`](Reclaimer::flush), which does not free
/// what a thread that is inside an operation could see. Values may be dropped when an operation begins, too, and when an entry is let
/// go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epoch;

impl sealed::Sealed for Epoch {}

/// Turns of a flush. Garbage is freed two advances of the epoch after it was handed over, and a turn advances it once at most.
const TURNS: usize = 4;

impl Reclaimer for Epoch {
    type Guard = Guard;
    type Operation<'d> = Operation;

    #[inline]
    fn enter(&self, _: Token) -> Operation {
        match HANDLE.try_with(LocalHandle::pin) {
            Ok(guard) => Operation { guard, own: None, path: Path::new() },
            // The thread is ending.
            Err(_) => {
                let handle = crossbeam_epoch::default_collector().register();
                Operation { guard: handle.pin(), own: Some(handle), path: Path::new() }
            }
        }
    }

    fn flush(&self) {
        for _ in 0..TURNS {
            self.enter(Token(())).guard.flush();
        }
    }

    fn is_same(&self, _: &Self) -> bool {
        true
    }
}

/// Its thread is pinned.
pub struct Guard(#[expect(dead_code, reason = "for its end")] crossbeam_epoch::Guard);

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

thread_local! {
    /// This thread among those that the collector looks at. Not crossbeam's own, of which we would not see when it is gone.
    static HANDLE: LocalHandle = crossbeam_epoch::default_collector().register();
}

pub struct Operation {
    guard: crossbeam_epoch::Guard,
    /// Where the thread is ending: the participant of this operation.
    own: Option<LocalHandle>,
    path: Path,
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").finish_non_exhaustive()
    }
}

// SAFETY: a participant is pinned as long as an operation or a guard of it lives, without a gap where a guard is made
// from an operation. What is retired while a thread is pinned is not freed before it is unpinned.
unsafe impl Pinned for Operation {
    type Guard = Guard;

    #[inline]
    fn path(&self) -> &Path {
        &self.path
    }

    /// Pins the participant of this operation again. Another one of the same thread would be pinned in a later epoch, and not
    /// keep what was found before.
    #[inline]
    fn again(&self) -> Guard {
        Guard(match &self.own {
            Some(handle) => handle.pin(),
            None => HANDLE.with(LocalHandle::pin),
        })
    }

    #[inline]
    unsafe fn retire_pinned<O: Object>(&self, object: NonNull<O>) {
        let free = move || {
            // SAFETY: called once, when nobody reads the object.
            unsafe { O::free(object) };
        };
        // SAFETY: by 1 of the contract, nobody who is pinned from now on finds the object; who found it before is pinned. What is
        // captured is a pointer to what is `Send` and `'static`.
        unsafe { self.guard.defer_unchecked(free) };
    }
}
