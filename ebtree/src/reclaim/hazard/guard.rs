//! A slot that is handed out: it protects one object until it is dropped.

use core::marker::PhantomData;
use core::ptr::NonNull;

use super::domain::Record;
use super::local::is_still_ours;
use crate::sync::has_failed;

/// Protects one object. Stays on its thread.
#[derive(Debug)]
pub struct Guard {
    record: NonNull<Record>,
    slot: usize,
    thread: PhantomData<*mut ()>,
}

impl Guard {
    /// # Safety
    /// 1. `record` is this thread's, and lives as long as the guard.
    /// 2. `slot` is a guard slot of it that was taken out of the free list.
    pub(super) const unsafe fn new(record: NonNull<Record>, slot: usize) -> Self {
        Self { record, slot, thread: PhantomData }
    }

    /// Protects another object instead, which a slot of the operation that made this guard protects: another
    /// operation, of the same thread even, may have another record (H3).
    #[inline]
    pub(super) fn hold(&self, address: *mut ()) {
        // SAFETY: 1 of `new`.
        unsafe { self.record.as_ref() }.guards.publish(self.slot, address);
    }

    /// Whether its slot is one of this record.
    pub(super) fn is_of(&self, record: NonNull<Record>) -> bool {
        self.record == record
    }
}

impl Drop for Guard {
    #[inline]
    fn drop(&mut self) {
        if has_failed() {
            return;
        }
        // SAFETY: 1 of `new`.
        let record = unsafe { self.record.as_ref() };
        record.guards.clear(self.slot);
        // Where the thread is ending, the record may have another owner by now: then the slot is clear, and the
        // record's next owner finds it.
        if is_still_ours(self.record) {
            // SAFETY: the record is still this thread's (H1), and no borrow of its local part is
            // live: those end before anything that could drop a guard.
            let local = unsafe { &mut *record.local() };
            local.free_guards.push(self.slot);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::reclaim::{Domain, Protect, Reclaimer, Token};

    /// Each thread leaves guards to its end; the next one with the same record finds their slots free.
    #[test]
    fn slots_of_guards_that_outlive_their_thread_are_found_again() {
        thread_local! {
            static KEPT: RefCell<Vec<Guard>> = const { RefCell::new(Vec::new()) };
        }
        let domain: &'static Domain = Box::leak(Box::new(Domain::with_fences()));
        let object: &'static u128 = Box::leak(Box::new(0));
        for _ in 0..10 {
            let used = std::thread::spawn(move || {
                // Before the domain's thread local, so dropped after it.
                KEPT.with_borrow_mut(Vec::clear);
                let operation = domain.enter(Token(()));
                let address = (&raw const *object).cast_mut().cast();
                for _ in 0..5 {
                    let guard = operation.guard(0, address);
                    KEPT.with_borrow_mut(|kept| kept.push(guard));
                }
                KEPT.with_borrow(|kept| kept.iter().map(|guard| guard.slot).max())
            });
            assert!(used.join().unwrap().is_some_and(|slot| slot < 10));
        }
    }
}
