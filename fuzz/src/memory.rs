//! What a thread allocates, for harnesses that bound it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { calls: 0, largest: 0, live: 0 }) };
}

/// What a thread has allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// How often.
    pub calls: usize,
    /// The largest piece, in bytes.
    pub largest: usize,
    /// Bytes more than it has freed.
    pub live: isize,
}

/// The system's allocator, which counts for each thread. A harness makes it the global one.
#[derive(Debug)]
pub struct Counting;

fn note(change: impl FnOnce(&mut Counts)) {
    // A thread that ends frees after its counts are gone.
    let _ = COUNTS.try_with(|counts| {
        let mut now = counts.get();
        change(&mut now);
        counts.set(now);
    });
}

fn taken(size: usize) {
    note(|counts| {
        counts.calls += 1;
        counts.largest = counts.largest.max(size);
        counts.live += size.cast_signed();
    });
}

fn given(size: usize) {
    note(|counts| counts.live -= size.cast_signed());
}

// SAFETY: everything is the system's; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the same contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        given(layout.size());
        taken(size);
        // SAFETY: the same contract.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        given(layout.size());
        // SAFETY: the same contract.
        unsafe { System.dealloc(at, layout) }
    }
}

/// Runs something, and returns what it returns and what this thread allocated meanwhile.
pub fn measured<T>(run: impl FnOnce() -> T) -> (T, Counts) {
    let before = COUNTS.with(Cell::get);
    COUNTS.with(|counts| counts.set(Counts { calls: 0, largest: 0, live: 0 }));
    let result = run();
    let counts = COUNTS.with(Cell::get);
    // So that measurements nest.
    COUNTS.with(|all| {
        all.set(Counts {
            calls: before.calls + counts.calls,
            largest: before.largest.max(counts.largest),
            live: before.live + counts.live,
        });
    });
    (result, counts)
}
