//! The scan: frees what is retired and in no slot.

use core::sync::atomic::Ordering;

use super::domain::{CLOSING, FREE, Inner, OWNED, Record};
use super::local::{Local, Retired, attach};
use crate::sync::{Arc, Mutant, mutant};

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
                local.retired.append(&mut self.survivors);
                // Not empty only if a value's `drop` panicked.
                local.retired.extend(self.rest.by_ref());
                local.threshold = local.retired.len() + self.batch;
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
    if !inner.barrier().heavy() {
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
        // Operation slots before guard slots: H3.
        other.operations.collect(&mut announced);
        if !mutant(Mutant::GuardsNotScanned) {
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

/// Scans this thread's record, and those of threads that have ended.
pub(super) fn flush(inner: &Arc<Inner>) {
    let attachment = attach(inner);
    // SAFETY: H2.
    let own = unsafe { attachment.record.as_ref() };
    scan(inner, own);
    // SAFETY: this thread owns the record.
    let inside = unsafe {
        with_local(own, |local| {
            local.depth += 1;
            local.depth > 1
        })
    };
    if !inside {
        inner.each_record(|record| {
            if record.pending.load(Ordering::Relaxed) != 0 && record.acquire() {
                scan(inner, record);
                // Release: S6.
                record.owner.store(FREE, Ordering::Release);
            }
        });
    }
    // SAFETY: this thread owns the record.
    unsafe { with_local(own, |local| local.depth -= 1) };
    if attachment.temporary {
        super::local::release(inner, own);
    }
}

/// Frees everything, the last handle being gone.
pub(super) fn close(inner: &Arc<Inner>) {
    // Release: pairs with the loads in `attach_slow` and `release`.
    inner.closed.store(true, Ordering::Release);
    inner.each_record(|record| {
        let mine = [OWNED, FREE].into_iter().any(|state| {
            // Acquire: what the last owner wrote. For OWNED its last operation happened before its
            // handle went, and that before this call.
            record
                .owner
                .compare_exchange(state, CLOSING, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
        });
        if mine {
            // SAFETY: CLOSING makes it ours (H1), and nothing is protected: guards borrow a tree, which
            // holds a handle. Taken out first, because what is freed may retire more.
            while let Some(retired) = unsafe { with_local(record, |local| local.retired.pop()) } {
                // SAFETY: nothing is protected.
                unsafe { retired.free() };
            }
            record.pending.store(0, Ordering::Relaxed);
        }
    });
}
