//! One operation of one thread: the slots and the path it uses, and what it retires.

use core::fmt;
use core::ptr::NonNull;

use super::barrier::Barrier;
use super::domain::{Inner, Record};
use super::guard::Guard;
use super::local::{Local, Retired, attach, release};
use super::slots::Slot;
use crate::reclaim::path::Step;
use crate::reclaim::protect::{Object, Protect};
use crate::sync::{Arc, Mutant, has_failed, mutant};

/// An operation under way. Operations of one thread nest: a visitor or a value's `drop` may begin another,
/// which takes its slots above those in use here. When the outermost one ends, its thread scans if
/// enough is retired.
pub struct Operation<'d> {
    inner: &'d Arc<Inner>,
    record: NonNull<Record>,
    /// The first slot of this operation.
    base: usize,
    barrier: Barrier,
    /// The record is given back at the end, because the thread is ending.
    temporary: bool,
    /// A scan at the end is asked for, however little is retired.
    flush: bool,
}

impl<'d> Operation<'d> {
    #[inline]
    pub(super) fn enter(inner: &'d Arc<Inner>) -> Self {
        let attachment = attach(inner);
        let mut operation = Self {
            inner,
            record: attachment.record,
            base: 0,
            barrier: inner.barrier,
            temporary: attachment.temporary,
            flush: false,
        };
        operation.base = operation.with_local(|local| {
            local.depth += 1;
            local.top
        });
        operation
    }

    /// Returns whether another operation of this thread is under way, or a scan.
    pub(super) fn is_nested(&self) -> bool {
        self.with_local(|local| local.depth > 1)
    }

    /// Asks for a scan at the end, if this is the outermost operation.
    pub(super) fn scan_at_end(&mut self) {
        self.flush = true;
    }

    #[inline]
    fn record(&self) -> &'d Record {
        // SAFETY: a record outlives the domain's last reference (H2), and `inner` is one.
        unsafe { self.record.as_ref() }
    }

    /// Calls `f` with the owner's part. `f` never calls anything that could come back here.
    #[inline]
    fn with_local<T>(&self, f: impl FnOnce(&mut Local) -> T) -> T {
        // SAFETY: this thread owns the record (H1), and no other borrow is live: every borrow is made
        // here, and no `f` begins or ends an operation.
        f(unsafe { &mut *self.record().local() })
    }

    /// Out of the way: it is rare, and takes registers.
    #[cold]
    #[inline(never)]
    fn lengthen(path: &mut Vec<Step>, at: usize, step: Step) {
        path.resize(at + 1, step);
    }

    #[inline]
    fn vacant_guard(&self) -> usize {
        self.with_local(|local| {
            local.free_guards.pop().unwrap_or_else(|| {
                local.guards += 1;
                local.guards - 1
            })
        })
    }
}

// SAFETY: 1. An address in a slot, and read again as linked after the light barrier, is found by each scan that could free it: S1.
// 2. The publication happens before the linking, and that before the retirement and the scan. 3. A guard's slot is another one
// than those of operations, and given back by its guard only; what it takes from a slot of this record is not missed: H3.
unsafe impl<'d> Protect for Operation<'d> {
    type Guard = Guard;
    type Slot = &'d Slot;

    #[inline]
    fn publish(&self, index: usize, address: *mut ()) {
        let slot = self.base + index;
        // Counted before it is published, so that a refused publication is cleared too.
        self.with_local(|local| {
            if slot >= local.top {
                local.top = slot + 1;
            }
        });
        self.record().operations.publish(slot, address);
        self.barrier.light();
    }

    /// The slots are cleared with the others.
    #[inline]
    fn three(&self, first: usize) -> [&'d Slot; 3] {
        let first = self.base + first;
        self.with_local(|local| local.top = local.top.max(first + 3));
        let slots = &self.record().operations;
        [slots.slot(first), slots.slot(first + 1), slots.slot(first + 2)]
    }

    #[inline]
    fn publish_in(&self, slot: &'d Slot, address: *mut ()) {
        slot.publish(address);
        self.barrier.light();
    }

    #[inline]
    fn light_barrier(&self) {
        self.barrier.light();
    }

    #[inline]
    fn set_step(&self, index: usize, step: Step) {
        let at = self.base + index;
        self.with_local(|local| {
            if let Some(place) = local.path.get_mut(at) {
                *place = step;
            } else {
                Self::lengthen(&mut local.path, at, step);
            }
        });
    }

    #[inline]
    fn with_path<T>(&self, look: impl FnOnce(&[Step]) -> T) -> T {
        self.with_local(|local| look(&local.path[self.base..]))
    }

    #[inline]
    fn step(&self, index: usize) -> Step {
        self.with_local(|local| local.path[self.base + index])
    }

    #[inline]
    fn guard(&self, index: usize, address: *mut ()) -> Guard {
        if mutant(Mutant::CopyAfterClear) {
            self.record().operations.clear(self.base + index);
        }
        self.guard_new(address)
    }

    #[inline]
    fn guard_in(&self, slot: &'d Slot, address: *mut ()) -> Guard {
        if mutant(Mutant::CopyAfterClear) {
            slot.publish(core::ptr::null_mut());
        }
        self.guard_new(address)
    }

    #[inline]
    fn guard_new(&self, address: *mut ()) -> Guard {
        let slot = self.vacant_guard();
        // Release, and before a slot of this operation that names the same is cleared: H3.
        self.record().guards.publish(slot, address);
        // SAFETY: 1. The domain outlives the guard, by the contract of `Protect::Guard`, and the record the domain (H2). 2. Taken
        // out above.
        unsafe { Guard::new(self.record, slot) }
    }

    #[inline]
    fn hold(&self, guard: &mut Guard, _: usize, address: *mut ()) {
        debug_assert!(guard.is_of(self.record), "another record's scan order");
        guard.hold(address);
    }

    #[inline]
    unsafe fn retire<O: Object>(&self, object: NonNull<O>) {
        unsafe fn free<O: Object>(object: NonNull<()>) {
            // SAFETY: called when nobody protects the object, once; its type is the one it was retired with.
            unsafe { O::free(object.cast()) };
        }
        let pending = self.with_local(|local| {
            local.retired.push(Retired::new(object.cast(), free::<O>));
            local.retired.len()
        });
        self.record().pending.store(pending, core::sync::atomic::Ordering::Relaxed);
    }
}

impl Operation<'_> {
    /// What few operations end with.
    #[cold]
    #[inline(never)]
    fn leave(&self, scan: bool) {
        // Not while a panic goes by: a value whose `drop` panics too would end the process.
        if scan && !std::thread::panicking() {
            super::scan::scan(self.inner, self.record());
        }
        if self.temporary {
            release(self.inner, self.record());
        }
    }
}

impl Drop for Operation<'_> {
    #[inline]
    fn drop(&mut self) {
        if has_failed() {
            return;
        }
        let top = self.with_local(|local| core::mem::replace(&mut local.top, self.base));
        self.record().operations.clear_range(self.base..top);
        let scan = self.with_local(|local| {
            local.depth -= 1;
            let due = local.retired.len() >= local.threshold.max(self.inner.batch);
            local.depth == 0 && (due || self.flush)
        });
        if scan || self.temporary {
            self.leave(scan);
        }
    }
}

impl fmt::Debug for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").field("base", &self.base).finish_non_exhaustive()
    }
}
