//! One operation of one thread: the slots and the path it uses, and what it retires.

use core::fmt;
use core::ptr::NonNull;

use super::barrier::Barrier;
use super::domain::{Inner, Record};
use super::guard::Guard;
use super::local::{Local, Retired, attach, release};
use super::slots::Slot;
use crate::edge::{AtomicEdge, Edge};
use crate::sync::{Arc, has_failed};

/// One level of a path: where an edge is, and what was read from it while its child was protected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) edge: *const AtomicEdge,
    pub(crate) value: Edge,
}

/// An operation under way. Operations of one thread nest: a visitor or a value's `drop` may begin another,
/// which takes its slots above those in use here. When the outermost one ends, its thread scans if
/// enough is retired.
pub(crate) struct Operation<'d> {
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

    /// Ends the operation and returns `found`.
    ///
    /// The end may scan, and so run a value's `drop`, which may panic. Then `found` is dropped here, and the
    /// slots of its guards are given back; a return value that stands already when a variable is dropped would
    /// be leaked, and its slots with it.
    #[inline]
    pub(crate) fn end<T>(self, found: T) -> T {
        drop(self);
        found
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
    fn record(&self) -> &Record {
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

    /// Announces `address` in slot `index` of this operation; what is read after the call comes after
    /// the announcement (S1).
    #[inline]
    pub(crate) fn publish(&self, index: usize, address: *mut ()) {
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

    /// Returns three slots of this operation, from `first` on, for a caller that publishes in them many times. They are
    /// cleared with the others.
    #[inline]
    pub(crate) fn three(&self, first: usize) -> [&Slot; 3] {
        let first = self.base + first;
        self.with_local(|local| local.top = local.top.max(first + 3));
        let slots = &self.record().operations;
        [slots.slot(first), slots.slot(first + 1), slots.slot(first + 2)]
    }

    /// Announces `address` in a slot; what is read after the call comes after the announcement (S1).
    #[inline]
    pub(crate) fn publish_in(&self, slot: &Slot, address: *mut ()) {
        slot.publish(address);
        self.barrier.light();
    }

    /// Stands between a publication by [`guard`](Self::guard) and the read that shows it to be valid (S1).
    pub(crate) fn light_barrier(&self) {
        self.barrier.light();
    }

    /// Notes level `index` of the path.
    #[inline]
    pub(crate) fn set_step(&self, index: usize, step: Step) {
        let at = self.base + index;
        self.with_local(|local| {
            if let Some(place) = local.path.get_mut(at) {
                *place = step;
            } else {
                Self::lengthen(&mut local.path, at, step);
            }
        });
    }

    /// Out of the way: it is rare, and takes registers.
    #[cold]
    #[inline(never)]
    fn lengthen(path: &mut Vec<Step>, at: usize, step: Step) {
        path.resize(at + 1, step);
    }

    /// Calls `look` with the levels of the path that have been noted. It begins and ends no operation.
    #[inline]
    pub(crate) fn with_path<T>(&self, look: impl FnOnce(&[Step]) -> T) -> T {
        self.with_local(|local| look(&local.path[self.base..]))
    }

    /// Returns level `index` of the path.
    #[inline]
    pub(crate) fn step(&self, index: usize) -> Step {
        self.with_local(|local| local.path[self.base + index])
    }

    /// Keeps what slot `index` protects, beyond the end of the operation.
    #[inline]
    pub(crate) fn guard(&self, index: usize, address: *mut ()) -> Guard<'d> {
        let slot = self.with_local(|local| {
            local.free_guards.pop().unwrap_or_else(|| {
                local.guards += 1;
                local.guards - 1
            })
        });
        if crate::sync::mutant(crate::sync::Mutant::CopyAfterClear) {
            self.record().operations.clear(self.base + index);
        }
        // Release, and before the operation's slot is cleared: H3.
        self.record().guards.publish(slot, address);
        // SAFETY: the domain outlives `'d`, and the record the domain (H2).
        unsafe { Guard::new(self.record, slot) }
    }

    /// Hands over an object that was unlinked, to be freed once nobody protects it.
    ///
    /// # Safety
    /// 1. Nobody can find `object` any more: it was unlinked, and the unlinking happens before this call.
    /// 2. Called once for this object.
    /// 3. `free(object)` may be called on any thread once nobody reads the object, and neither uses nor ends
    ///    anything that the object's finder could still hold.
    pub(crate) unsafe fn retire(&self, object: NonNull<()>, free: unsafe fn(NonNull<()>)) {
        let pending = self.with_local(|local| {
            local.retired.push(Retired::new(object, free));
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
