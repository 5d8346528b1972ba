//! A slot that is handed out: it protects one object until it is dropped.

use core::marker::PhantomData;
use core::ptr::NonNull;

use super::domain::Record;
use super::local::thread_is_ending;

/// Protects one object. Stays on its thread.
#[derive(Debug)]
pub(crate) struct Guard<'d> {
    record: NonNull<Record>,
    slot: usize,
    domain: PhantomData<(&'d (), *mut ())>,
}

impl Guard<'_> {
    /// # Safety
    /// 1. `record` is this thread's, and lives as long as the guard.
    /// 2. `slot` is a guard slot of it that was taken out of the free list.
    pub(super) const unsafe fn new(record: NonNull<Record>, slot: usize) -> Self {
        Self { record, slot, domain: PhantomData }
    }
}

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: 1 of `new`.
        let record = unsafe { self.record.as_ref() };
        record.guards.clear(self.slot);
        // Where the thread is ending, the record may have another owner by now: the slot is clear and
        // stays unused.
        if !thread_is_ending() {
            // SAFETY: the record is still this thread's (H1), and no borrow of its local part is
            // live: those end before anything that could drop a guard.
            let local = unsafe { &mut *record.local() };
            local.free_guards.push(self.slot);
        }
    }
}
