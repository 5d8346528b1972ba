//! The memory of nodes and leaves: cells of a few sizes, without the headers and roundings of an allocator for everything.
//!
//! ```text
//!  region, 2 MiB                       page: cells of one size          a thread's cache, for each size
//!  ┌────────┬──────┬──────┬─────       ┌────┬────┬────┬────┬────        loaded ─► cell ─► cell ─► …
//!  │ a word │ page │ page │            │cell│free│cell│free│            previous ─► …
//!  │ a page │      │      │            └────┴────┴────┴────┴────        bump ─► cells never used
//!  └────────┴──────┴──────┴─────
//! ```
//!
//! An entry of `u64` to `u64` is a node of 16 bytes and a leaf of 16: 32 bytes, where a general allocator takes
//! 64. Threads take cells from their cache and give them back there. A cache that runs over gives cells back to the
//! pages they came from, and one that is empty takes all free cells of some page at once. A page whose cells are all free
//! is returned to the system [by and by](waiting), where the system's pages are no larger. Nothing here waits for another thread: the words of
//! pages and the [shelves](shelf) of pages with free cells change by CAS.
//!
//! What it costs: a thread keeps up to 512 cells of each size that it uses, and part of a page, until it ends or calls
//! [`Domain::flush`](crate::Domain::flush). Threads that are to rest for long call it first: a kept cell keeps its page. A page keeps its
//! size for good; where pages cannot be returned (elsewhere than on Linux, or where its pages are larger than 4 KiB) memory that
//! was used for one size stays with that size.
//!
//! Objects of more than 256 bytes, or aligned to more than 16, are the global allocator's; so is everything under `cfg(ebtree_no_pool)`,
//! which is for tools that watch allocations (AddressSanitizer), under Miri, in models, and where there are no
//! 64-bit atomics.
//!
//! # Invariants
//! P1  A cell is in use, or in one thread's cache, or in the chain of its page's word.
//! P2  The count in a page's word is the length of its chain, or the page is blank and the count is its capacity.
//! P3  A page is on its shelf at most once: whoever sets LISTED puts it there, and whoever takes it off clears LISTED
//!     by the swap that takes the chain.
//! P4  A page keeps its size for good, and the first page of a region, with the words of the others, is never returned.
//! P5  A page that waits for its return is blank, so anybody may take its cells; whoever returns it takes them first, by CAS.

#[cfg(all(not(any(loom, miri, ebtree_no_pool)), target_has_atomic = "64"))]
mod cache;
#[cfg(all(test, loom, not(shuttle)))]
mod model;
#[cfg(any(
    all(test, loom, not(shuttle)),
    all(not(any(loom, miri, ebtree_no_pool)), target_has_atomic = "64")
))]
mod page;
#[cfg(all(not(any(loom, miri, ebtree_no_pool)), target_has_atomic = "64"))]
mod region;
#[cfg(any(
    all(test, loom, not(shuttle)),
    all(not(any(loom, miri, ebtree_no_pool)), target_has_atomic = "64")
))]
mod shelf;
#[cfg(all(not(any(loom, miri, ebtree_no_pool)), target_has_atomic = "64"))]
mod waiting;

use core::alloc::Layout;
use core::ptr::NonNull;
use std::alloc::handle_alloc_error;

#[cfg(all(not(any(loom, miri, ebtree_no_pool)), target_has_atomic = "64"))]
pub(crate) use cache::empty;
#[cfg(all(not(any(loom, miri, ebtree_no_pool)), target_has_atomic = "64"))]
pub(crate) use cache::{allocate, give_back};

/// Asks the system for huge pages for the memory of nodes and leaves that it gives from now on, or for ordinary ones again.
///
/// A large map is looked up faster, since its addresses are translated faster: in 10⁶ entries of `u64` by a tenth to a fifth. In
/// return memory is taken 2 MiB at a time, and the system may take back what [`Domain::flush`](crate::Domain::flush) and others
/// have returned. Of the whole process; off at first, though a system that gives huge pages to everybody does so here too. Does nothing where there is no `madvise(MADV_HUGEPAGE)`.
#[cfg(not(loom))]
pub fn advise_huge_pages(on: bool) {
    #[cfg(all(not(any(miri, ebtree_no_pool)), target_has_atomic = "64"))]
    region::advise_huge_pages(on);
    #[cfg(not(all(not(any(miri, ebtree_no_pool)), target_has_atomic = "64")))]
    let _ = on;
}

/// Returns memory to the system that entries have left: looks at `pages` pages of 4 KiB at least, and returns what nothing lives in.
/// Returns whether more is to be returned.
///
/// Memory goes back by itself, some with each few hundred entries that are freed. When many end together most of their pages become free
/// at the very end, and wait: new entries find room there, but who is to rest without freeing any more calls this, or
/// [`Domain::flush`](crate::Domain::flush), which returns all at once. Pages of which threads keep cells are not free.
///
/// Lock-free; of the whole process. Costs about 1 µs for a hundred pages, and 0.3 to 1 µs for each one that is returned.
///
/// # Examples
///
/// ```
/// let tree: ebtree::EbTree<u64, u64> = (0..100_000).map(|key| (key, key)).collect();
/// tree.clear();
/// while ebtree::return_memory(256) {
///     std::thread::yield_now();
/// }
/// ```
#[cfg(not(loom))]
pub fn return_memory(pages: usize) -> bool {
    #[cfg(all(not(any(miri, ebtree_no_pool)), target_has_atomic = "64"))]
    return waiting::return_of(pages);
    #[cfg(not(all(not(any(miri, ebtree_no_pool)), target_has_atomic = "64")))]
    {
        let _ = pages;
        false
    }
}

/// Puts a value into a cell, which is then the caller's.
#[inline]
pub(crate) fn boxed<T>(value: T) -> NonNull<T> {
    let layout = layout::<T>();
    let Some(cell) = allocate(layout) else { handle_alloc_error(layout) };
    let cell = cell.cast::<T>();
    // SAFETY: of this layout, and ours alone.
    unsafe { cell.write(value) };
    cell
}

/// Takes the value out, and gives the cell back.
///
/// # Safety
/// 1. `cell` came from [`boxed`], and nobody reads it now or later. Called once.
#[inline]
pub(crate) unsafe fn unbox<T>(cell: NonNull<T>) -> T {
    // SAFETY: 1 of the contract: initialised, and read no more after this.
    let value = unsafe { cell.read() };
    // SAFETY: 1 of the contract: from `allocate` with this layout, once.
    unsafe { give_back(cell.cast(), layout::<T>()) };
    value
}

/// What is asked for: never nothing, so that addresses tell objects apart.
const fn layout<T>() -> Layout {
    let layout = Layout::new::<T>();
    if layout.size() > 0 {
        return layout;
    }
    match Layout::from_size_align(layout.align(), layout.align()) {
        Ok(layout) => layout,
        Err(_) => unreachable!(),
    }
}

/// The same without a pool.
#[cfg(any(loom, miri, ebtree_no_pool, not(target_has_atomic = "64")))]
#[inline]
pub(crate) fn allocate(layout: Layout) -> Option<NonNull<u8>> {
    // SAFETY: not of size zero (`layout`).
    NonNull::new(unsafe { std::alloc::alloc(layout) })
}

/// # Safety
/// 1. `cell` came from `allocate` with this layout, and is nobody's. Called once.
#[cfg(any(loom, miri, ebtree_no_pool, not(target_has_atomic = "64")))]
#[inline]
pub(crate) unsafe fn give_back(cell: NonNull<u8>, layout: Layout) {
    // SAFETY: 1 of the contract.
    unsafe { std::alloc::dealloc(cell.as_ptr(), layout) };
}

/// Nothing to give back.
#[cfg(any(loom, miri, ebtree_no_pool, not(target_has_atomic = "64")))]
pub(crate) const fn empty() {}
