//! The slots of one record: segments of slots that are added when a path gets deeper, never taken away.

use core::ops::Range;
use core::sync::atomic::Ordering;

use crate::sync::{AtomicPtr, Mutant, mutant};

/// Slots in a segment. Small in models, so that they grow there too.
pub(crate) const SEGMENT: usize = if cfg!(loom) { 4 } else { 64 };

/// One slot: null, or the address of an object that its thread reads or is about to read.
#[derive(Debug)]
#[repr(transparent)]
pub struct Slot(AtomicPtr<()>);

impl Slot {
    fn vacant() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()))
    }

    /// Announces an address. Release: our use of what this slot named before happens before its
    /// reclaimer finds the slot changed (S4).
    #[inline]
    pub(super) fn publish(&self, address: *mut ()) {
        self.0.store(address, Ordering::Release);
    }

    /// Clears the slot. Release: S4.
    #[inline]
    fn clear(&self) {
        let order =
            if mutant(Mutant::RelaxedClear) { Ordering::Relaxed } else { Ordering::Release };
        self.0.store(core::ptr::null_mut(), order);
    }
}

/// A growing row of slots. Written by the record's owner, read by every scan.
#[derive(Debug)]
pub(crate) struct Slots {
    first: Segment,
}

#[derive(Debug)]
struct Segment {
    slots: [Slot; SEGMENT],
    next: AtomicPtr<Self>,
}

impl Segment {
    fn new() -> Self {
        Self {
            slots: core::array::from_fn(|_| Slot::vacant()),
            next: AtomicPtr::new(core::ptr::null_mut()),
        }
    }
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self { first: Segment::new() }
    }

    /// Announces an address.
    #[inline]
    pub(crate) fn publish(&self, index: usize, address: *mut ()) {
        self.slot(index).publish(address);
    }

    /// Clears a slot.
    #[inline]
    pub(crate) fn clear(&self, index: usize) {
        self.slot(index).clear();
    }

    /// Clears the slots of a range.
    #[inline]
    pub(crate) fn clear_range(&self, range: Range<usize>) {
        let near = range.start.min(SEGMENT)..range.end.min(SEGMENT);
        for slot in &self.first.slots[near] {
            slot.clear();
        }
        if range.end > SEGMENT {
            self.clear_deep(range.start.max(SEGMENT)..range.end);
        }
    }

    #[cold]
    #[inline(never)]
    fn clear_deep(&self, range: Range<usize>) {
        range.for_each(|index| self.clear(index));
    }

    /// Returns a slot, which stays where it is.
    #[inline]
    pub(super) fn slot(&self, index: usize) -> &Slot {
        if index < SEGMENT { &self.first.slots[index] } else { self.deep(index) }
    }

    /// Returns a slot beyond the first segment, which is added if it is not there yet. Only the owner adds, so
    /// there is one writer of each `next`; a guard that outlives its thread finds its slot's segment there.
    #[cold]
    fn deep(&self, index: usize) -> &Slot {
        let mut segment = &self.first;
        let mut index = index;
        while index >= SEGMENT {
            let mut next = segment.next.load(Ordering::Relaxed);
            if next.is_null() {
                next = Box::into_raw(Box::new(Segment::new()));
                // Release: a scan that finds the segment finds its slots initialised.
                let order = if mutant(Mutant::RelaxedSegment) {
                    Ordering::Relaxed
                } else {
                    Ordering::Release
                };
                segment.next.store(next, order);
            }
            // SAFETY: not null, made by `Box::into_raw` above or in an earlier call, and freed only in
            // `drop`, which has `self` to itself.
            segment = unsafe { &*next };
            index -= SEGMENT;
        }
        &segment.slots[index]
    }

    /// Returns which of the first `count` slots are clear.
    #[cold]
    pub(crate) fn vacant(&self, count: usize) -> Vec<usize> {
        // Acquire: a guard that was dropped elsewhere has done with its slot.
        let is_clear = |index: &usize| self.slot(*index).0.load(Ordering::Acquire).is_null();
        (0..count).filter(is_clear).collect()
    }

    /// Adds every announced address to `found`, in ascending order of slots (H3).
    pub(crate) fn collect(&self, found: &mut Vec<usize>) {
        let mut segment = &self.first;
        loop {
            for slot in &segment.slots {
                // Acquire: S4.
                let address = slot.0.load(Ordering::Acquire);
                if !address.is_null() {
                    found.push(address.addr());
                }
            }
            // Acquire: pairs with the Release in `deep`.
            let next = segment.next.load(Ordering::Acquire);
            if next.is_null() || mutant(Mutant::DeepSlotsNotScanned) {
                return;
            }
            // SAFETY: as in `deep`.
            segment = unsafe { &*next };
        }
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        let mut next = self.first.next.load(Ordering::Relaxed);
        while !next.is_null() {
            // SAFETY: made by `Box::into_raw` in `deep`; each is met once on this list; nobody else has
            // the record any more.
            let segment = unsafe { Box::from_raw(next) };
            next = segment.next.load(Ordering::Relaxed);
        }
    }
}
