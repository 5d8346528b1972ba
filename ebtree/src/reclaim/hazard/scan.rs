//! The scan: frees what is retired and in no slot.

use core::sync::atomic::Ordering;

use super::domain::{FREE, Inner, OWNED, Record};
use super::local::{Local, Retired};
use super::operation::Operation;
use crate::sync::{Arc, Mutant, fence, mutant};

/// Calls `f` with the record's local part.
///
/// # Safety
/// 1. The caller owns the record in the sense of H1, and `f` calls nothing that could come back to it.
unsafe fn with_local<T>(record: &Record, f: impl FnOnce(&mut Local) -> T) -> T {
    // SAFETY: 1 of the contract.
    f(unsafe { &mut *record.local() })
}

/// The objects a scan has taken out of the list, which go back there whatever happens.
struct Taken<'r> {
    record: &'r Record,
    survivors: Vec<Retired>,
    rest: std::vec::IntoIter<Retired>,
    batch: usize,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `scan`, whose caller owns the record.
        let pending = unsafe {
            with_local(self.record, |local| {
                // The rest is not empty only if a value's `drop` panicked. What drops have retired meanwhile does
                // not count here: nobody has looked yet whether it can be freed.
                local.threshold = self.survivors.len() + self.rest.len() + self.batch;
                local.retired.append(&mut self.survivors);
                local.retired.extend(self.rest.by_ref());
                local.depth -= 1;
                local.retired.len()
            })
        };
        self.record.pending.store(pending, Ordering::Relaxed);
    }
}

/// Frees what the record's list holds and no slot of any record names. The caller owns the record, and
/// no operation of its thread is under way; otherwise nothing is done (H4).
pub(super) fn scan(inner: &Inner, record: &Record) {
    // SAFETY: the caller owns the record.
    let taken = unsafe {
        with_local(record, |local| {
            (local.depth == 0 && !local.retired.is_empty()).then(|| {
                local.depth = 1;
                (core::mem::take(&mut local.retired), core::mem::take(&mut local.announced))
            })
        })
    };
    let Some((retired, mut announced)) = taken else { return };
    // S1: what is retired was unlinked before this barrier.
    if !inner.barrier.heavy() {
        inner.kept.fetch_add(retired.len(), Ordering::Relaxed);
        // Never freed: without the barrier a reader may hold any of them.
        core::mem::forget(retired);
        drop(Taken {
            record,
            survivors: Vec::new(),
            rest: Vec::new().into_iter(),
            batch: inner.batch,
        });
        return;
    }
    inner.each_record(|other| {
        if mutant(Mutant::GuardsScannedFirst) {
            other.guards.collect(&mut announced);
        }
        // Operation slots before guard slots: H3.
        other.operations.collect(&mut announced);
        if !mutant(Mutant::GuardsNotScanned) && !mutant(Mutant::GuardsScannedFirst) {
            other.guards.collect(&mut announced);
        }
    });
    announced.sort_unstable();
    let mut taken =
        Taken { record, survivors: Vec::new(), rest: retired.into_iter(), batch: inner.batch };
    for object in taken.rest.by_ref() {
        if announced.binary_search(&object.address()).is_ok() {
            taken.survivors.push(object);
        } else {
            // SAFETY: the object was unlinked before the heavy barrier, and no slot names it: whoever
            // publishes it later fails its second read (S1, S5), and who had it published before has
            // finished with it (S4).
            unsafe { object.free() };
        }
    }
    announced.clear();
    // SAFETY: the caller owns the record.
    unsafe { with_local(record, |local| local.announced = announced) };
}

/// A record of a thread that has ended, taken for one scan.
struct Adopted<'r>(&'r Record);

impl Drop for Adopted<'_> {
    fn drop(&mut self) {
        self.0.hand_over();
    }
}

/// Scans the records of threads that have ended, then this thread's. Returns false if it did nothing, being called inside an
/// operation.
pub(super) fn flush(inner: &Arc<Inner>) -> bool {
    let mut operation = Operation::enter(inner);
    if operation.is_nested() {
        return false;
    }
    inner.each_record(|record| {
        if record.pending.load(Ordering::Relaxed) != 0 && record.acquire() {
            let adopted = Adopted(record);
            scan(inner, adopted.0);
        }
    });
    operation.scan_at_end();
    true
}

/// Frees everything, the last handle being gone.
pub(super) fn close(inner: &Inner) {
    inner.closed.store(true, Ordering::Release);
    // S7.
    if !mutant(Mutant::NoBarrierAtClose) {
        fence(Ordering::SeqCst);
    }
    inner.each_record(|record| {
        // OWNED: the last operation of its thread happened before its handle went, and that before this call.
        // LEAVING: its thread looks at `closed` when it has given the record back.
        if record.close(OWNED) || record.close(FREE) {
            // SAFETY: CLOSING makes it ours (H1), and nothing is protected: guards borrow a tree, which holds a
            // handle.
            unsafe { free_all(record) };
        }
    });
}

/// Frees what the record's list holds.
///
/// # Safety
/// 1. The caller owns the record in the sense of H1.
/// 2. Nobody protects anything in this domain, now or later.
pub(super) unsafe fn free_all(record: &Record) {
    // SAFETY: 1 of the contract. Taken out first, since what is freed is the user's code.
    while let Some(retired) = unsafe { with_local(record, |local| local.retired.pop()) } {
        // SAFETY: 2 of the contract.
        unsafe { retired.free() };
    }
    record.pending.store(0, Ordering::Relaxed);
}
