//! What the tree asks of a reclaimer.

use core::fmt;
use core::ptr::NonNull;

use super::path::Step;

/// What can be retired.
///
/// # Safety
/// 1. `free` may run on any thread.
pub unsafe trait Object: Send + 'static {
    /// Gives the object's memory back.
    ///
    /// # Safety
    /// 1. Nobody reads the object now or later. Called once.
    unsafe fn free(this: NonNull<Self>);
}

/// One operation of one thread: the slots and the path it uses, and what it retires.
///
/// A slot names one object that the thread reads. Reclaimers that keep whatever was there when the operation began
/// have no use for slots, and ignore them.
///
/// Operations of one thread nest: a visitor or a value's `drop` may begin another. Each has slots and a path of its own.
///
/// # Safety
/// 1. An object is not freed as long as a slot of an operation, or a guard, names it, if it was linked at
///    some instant after it was named there and after the operation began: it may be retired meanwhile.
/// 2. Nor is one that was named by a [guard of its own](Self::guard_new) before it was linked.
/// 3. What a guard names is freed only after the guard has ended, wherever the guard was made.
pub unsafe trait Protect: Sized {
    /// Protects one object. Stays on its thread. Its reclaimer outlives it: who hands it out sees to that.
    type Guard: fmt::Debug;

    /// A slot of this operation.
    type Slot: Copy + fmt::Debug;

    /// Names `address` in slot `index`; what is read after the call comes after it (S1).
    fn publish(&self, index: usize, address: *mut ());

    /// Returns three slots, from `first` on, for a caller that publishes in them many times.
    fn three(&self, first: usize) -> [Self::Slot; 3];

    /// Names `address` in a slot; what is read after the call comes after it (S1).
    fn publish_in(&self, slot: Self::Slot, address: *mut ());

    /// Stands between a publication by [`guard_new`](Self::guard_new) and the read that shows it to be valid (S1).
    fn light_barrier(&self);

    /// Notes level `index` of the path.
    fn set_step(&self, index: usize, step: Step);

    /// Returns level `index` of the path, which has been noted.
    fn step(&self, index: usize) -> Step;

    /// Calls `look` with the levels of the path that have been noted. It begins and ends no operation.
    fn with_path<T>(&self, look: impl FnOnce(&[Step]) -> T) -> T;

    /// Keeps what slot `index` protects, which is `address`, beyond the end of the operation. The slot may
    /// protect nothing any more.
    fn guard(&self, index: usize, address: *mut ()) -> Self::Guard;

    /// The same for a slot out of [`three`](Self::three).
    fn guard_in(&self, slot: Self::Slot, address: *mut ()) -> Self::Guard;

    /// Names `address` in a guard of its own.
    fn guard_new(&self, address: *mut ()) -> Self::Guard;

    /// Makes a guard of this operation keep what slot `index` protects, which is `address`, and nothing else. The slot may
    /// protect nothing any more.
    fn hold(&self, guard: &mut Self::Guard, index: usize, address: *mut ());

    /// Hands over an object that was unlinked, to be freed once nobody protects it.
    ///
    /// # Safety
    /// 1. Nobody can find `object` any more: it was unlinked, and the unlinking happens before this call.
    /// 2. Called once for this object.
    /// 3. [`Object::free`] neither uses nor ends anything that the object's finder could still hold.
    unsafe fn retire<O: Object>(&self, object: NonNull<O>);

    /// Ends the operation and returns `found`.
    ///
    /// The end may free values, whose `drop` may panic. Then `found` is dropped here, and its guards with it; a return
    /// value that stands already when a variable is dropped would be leaked.
    #[inline]
    fn end<T>(self, found: T) -> T {
        drop(self);
        found
    }
}
