//! Another crate's hazard pointers.

use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::ops::Deref;
use core::ptr::NonNull;

use haphazard::raw::Pointer;
use haphazard::{Domain, HazardPointer};

use super::path::{Path, Step};
use super::protect::{Object, Protect};
use super::{Reclaimer, Token, sealed};

/// Reclaims by the hazard pointers of the crate `haphazard`, in that crate's global domain, which all of its users in the process
/// share.
///
/// A thread that stalls keeps what its own hazard pointers name; one that stalls while it frees objects keeps those too. Objects
/// are freed inside of operations, when enough of them wait. To make a guard is to take a hazard pointer out of a list whose head has a
/// lock bit: with this reclaimer that is not lock-free.
///
/// Its scans read hazard pointers in no order that could be relied on, so a pointer is never copied from one to another:
/// a guard takes over the hazard pointer itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Haphazard;

impl sealed::Sealed for Haphazard {}

type Hazard = HazardPointer<'static>;

thread_local! {
    /// The hazard pointers of the last operation, all of them reset.
    static KEPT: Cell<Vec<Hazard>> = const { Cell::new(Vec::new()) };
}

impl Reclaimer for Haphazard {
    type Guard = Guard;
    type Operation<'d> = Operation;

    #[inline]
    fn enter(&self, _: Token) -> Operation {
        // At the thread's end nothing is kept.
        let hazards = KEPT.try_with(Cell::take).unwrap_or_default();
        Operation { hazards: UnsafeCell::new(hazards), used: Cell::new(0), path: Path::new() }
    }

    fn flush(&self) {
        Domain::global().eager_reclaim();
    }

    fn is_same(&self, _: &Self) -> bool {
        true
    }
}

/// Has the hazard pointer that protects the object.
pub struct Guard(Hazard);

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

pub struct Operation {
    hazards: UnsafeCell<Vec<Hazard>>,
    /// How many of them may name something.
    used: Cell<usize>,
    path: Path,
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").finish_non_exhaustive()
    }
}

impl Operation {
    /// Calls `f` with hazard pointer `index`. `f` begins and ends no operation.
    #[inline]
    fn with<T>(&self, index: usize, f: impl FnOnce(&mut Hazard) -> T) -> T {
        // SAFETY: not `Sync`, and no other borrow is live: every borrow is made here, and no `f` comes back.
        let hazards = unsafe { &mut *self.hazards.get() };
        while hazards.len() <= index {
            hazards.push(Hazard::new());
        }
        self.used.set(self.used.get().max(index + 1));
        f(&mut hazards[index])
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let hazards = self.hazards.get_mut();
        hazards.iter_mut().take(self.used.get()).for_each(Hazard::reset_protection);
        // Fails at the thread's end only. One operation inside another: the last one's stay.
        let _ = KEPT.try_with(|kept| kept.set(core::mem::take(hazards)));
    }
}

/// An object that nobody reads, to be freed.
struct Owned<O: Object>(NonNull<O>);

impl<O: Object> Deref for Owned<O> {
    type Target = O;

    fn deref(&self) -> &O {
        // SAFETY: not freed before `self` ends.
        unsafe { self.0.as_ref() }
    }
}

impl<O: Object> Drop for Owned<O> {
    fn drop(&mut self) {
        // SAFETY: made by `from_raw` only, from what `retire` was given.
        unsafe { O::free(self.0) };
    }
}

// SAFETY: `from_raw` and `into_raw` are inverse to each other and keep the object where it is.
unsafe impl<O: Object> Pointer<O> for Owned<O> {
    fn into_raw(self) -> *mut O {
        core::mem::ManuallyDrop::new(self).0.as_ptr()
    }

    unsafe fn from_raw(object: *mut O) -> Self {
        // SAFETY: from `retire` or `into_raw`, where it was not null.
        Self(unsafe { NonNull::new_unchecked(object) })
    }
}

// SAFETY: an address is named by a hazard pointer of the domain, in which all objects are retired, from the publication to the end of
// the operation or of the guard which takes the hazard pointer over.
unsafe impl Protect for Operation {
    type Guard = Guard;
    type Slot = usize;

    #[inline]
    fn publish(&self, index: usize, address: *mut ()) {
        self.with(index, |hazard| hazard.protect_raw(address));
        self.light_barrier();
    }

    #[inline]
    fn three(&self, first: usize) -> [usize; 3] {
        [first, first + 1, first + 2]
    }

    #[inline]
    fn publish_in(&self, slot: usize, address: *mut ()) {
        self.publish(slot, address);
    }

    #[inline]
    fn light_barrier(&self) {
        // The scan's half is a fence of the same kind.
        core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
    }

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

    fn guard(&self, index: usize, _: *mut ()) -> Guard {
        Guard(self.with(index, |hazard| core::mem::replace(hazard, Hazard::new())))
    }

    fn guard_in(&self, slot: usize, address: *mut ()) -> Guard {
        self.guard(slot, address)
    }

    fn guard_new(&self, address: *mut ()) -> Guard {
        let mut hazard = Hazard::new();
        hazard.protect_raw(address);
        Guard(hazard)
    }

    fn hold(&self, guard: &mut Guard, index: usize, _: *mut ()) {
        self.with(index, |hazard| core::mem::swap(hazard, &mut guard.0));
    }

    unsafe fn retire<O: Object>(&self, object: NonNull<O>) {
        // SAFETY: 1. By 1 of the contract nobody finds the object who could publish it validly from now on. 2. By 2 of it.
        // 3. It is freed by this call only.
        unsafe { Domain::global().retire_ptr::<O, Owned<O>>(object.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicBool, Ordering};
    use std::sync::Arc;

    use super::*;

    struct Flag(Arc<AtomicBool>);

    // SAFETY: 1. A box of an `Arc`.
    unsafe impl Object for Flag {
        unsafe fn free(this: NonNull<Self>) {
            // SAFETY: from `flag`; nobody reads it.
            let flag = unsafe { Box::from_raw(this.as_ptr()) };
            flag.0.store(true, Ordering::Relaxed);
        }
    }

    fn flag() -> (NonNull<Flag>, Arc<AtomicBool>) {
        let freed = Arc::new(AtomicBool::new(false));
        (NonNull::from(Box::leak(Box::new(Flag(Arc::clone(&freed))))), freed)
    }

    #[test]
    fn a_guard_takes_over_what_a_slot_protects() {
        let operation = Haphazard.enter(Token(()));
        let objects = [flag(), flag(), flag(), flag()];
        let [first, held, own, none] = &objects;
        let publish = |object: &(NonNull<Flag>, _)| operation.publish(3, object.0.as_ptr().cast());
        publish(first);
        let mut guard = operation.guard(3, first.0.as_ptr().cast());
        publish(held);
        operation.hold(&mut guard, 3, held.0.as_ptr().cast());
        let other = operation.guard_new(own.0.as_ptr().cast());
        // The slot is used again, and named `first` in between.
        publish(none);
        operation.publish(3, core::ptr::null_mut());
        for (object, _) in &objects {
            // SAFETY: 1. Nobody looks for it. 2. Once. 3. Its end is that of a flag.
            unsafe { operation.retire(*object) };
        }
        Haphazard.flush();
        let freed = || objects.each_ref().map(|(_, freed)| freed.load(Ordering::Relaxed));
        assert_eq!(freed(), [true, false, false, true]);
        drop(operation);
        Haphazard.flush();
        assert_eq!(freed(), [true, false, false, true], "guards outlive their operation");
        drop((guard, other));
        Haphazard.flush();
        assert_eq!(freed(), [true; 4]);
    }
}
