//! Memory from the system, in regions that are never given back as a whole, and whose pages are.

#[cfg(not(unix))]
use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::page::{PAGE, Page};
use crate::sync::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize};

/// Bytes of a region, and what it is aligned to.
const REGION: usize = 2 << 20;
/// Pages of a region. The first holds the words of all; its own tells the number of the region, in `next`.
const PAGES: usize = REGION / PAGE;

const _: () = assert!(size_of::<Page>() * PAGES <= PAGE);

/// Regions there can be: 512 GiB of cells where addresses have 64 bits. The table is zeros, so what is not used of it costs
/// no memory.
const REGIONS: usize = if cfg!(target_pointer_width = "64") { 1 << 18 } else { 1 << 11 };

static TABLE: [AtomicPtr<Page>; REGIONS] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; REGIONS];
/// The number of the next page that was never used.
static FRESH: AtomicU32 = AtomicU32::new(0);

#[expect(clippy::cast_possible_truncation, reason = "2^27 pages")]
const END: u32 = (REGIONS * PAGES) as u32;

/// Returns the word of a page.
pub(super) fn page(number: u32) -> &'static Page {
    let (region, index) = split(number);
    let words = TABLE[region].load(Ordering::Acquire);
    // SAFETY: a number is given out after its region was put into the table, where it stays; `index` is below `PAGES`.
    let word = unsafe { words.add(index) };
    // SAFETY: as above; zeroed memory or what was made of it, and shared by reference from then on.
    unsafe { &*word }
}

/// Returns the memory of a page.
pub(super) fn memory(number: u32) -> NonNull<u8> {
    let (region, index) = split(number);
    let base = TABLE[region].load(Ordering::Acquire).cast::<u8>();
    // SAFETY: as in `page`; inside of the region.
    let memory = unsafe { base.add(index * PAGE) };
    // SAFETY: in an object, so not null.
    unsafe { NonNull::new_unchecked(memory) }
}

/// Returns the number of the page that a cell lies in.
///
/// # Safety
/// 1. The cell lies in a region.
pub(super) unsafe fn number(cell: NonNull<u8>) -> u32 {
    let address = cell.addr().get();
    let words = cell.as_ptr().map_addr(|address| address & !(REGION - 1)).cast::<Page>();
    // SAFETY: the region is aligned to its size and begins with the words. 1 of the contract.
    let region = unsafe { &*words }.next.load(Ordering::Relaxed);
    #[expect(clippy::cast_possible_truncation, reason = "both are at most 2^9")]
    let (index, pages) = ((address % REGION / PAGE) as u32, PAGES as u32);
    region * pages + index
}

const fn split(number: u32) -> (usize, usize) {
    (number as usize / PAGES, number as usize % PAGES)
}

/// Returns the number of a page that nobody has, or `None` when the system has no more memory.
pub(super) fn fresh() -> Option<u32> {
    loop {
        // So that the number does not go round.
        if FRESH.load(Ordering::Relaxed) >= END {
            return None;
        }
        let number = FRESH.fetch_add(1, Ordering::Relaxed);
        if number >= END {
            return None;
        }
        let (region, index) = split(number);
        if index == 0 {
            continue;
        }
        if TABLE[region].load(Ordering::Acquire).is_null() {
            install(region)?;
        }
        return Some(number);
    }
}

/// Puts a region into the table, unless another thread does so first.
fn install(region: usize) -> Option<()> {
    let words = map()?.cast::<Page>();
    // SAFETY: zeroed memory, ours alone, and zeros are a page's word.
    let own = unsafe { words.as_ref() };
    #[expect(clippy::cast_possible_truncation, reason = "below 2^18")]
    own.next.store(region as u32, Ordering::Relaxed);
    // Release: the zeros and the number. Acquire: those of the other thread.
    let installed = TABLE[region].compare_exchange(
        core::ptr::null_mut(),
        words.as_ptr(),
        Ordering::AcqRel,
        Ordering::Acquire,
    );
    if installed.is_err() {
        // SAFETY: from `map`, and nobody has seen it.
        unsafe { unmap(words.cast()) };
    }
    Some(())
}

/// Returns how many pages have been given out, numbered from 0; the first of each region is none.
pub(super) fn given_out() -> u32 {
    FRESH.load(Ordering::Relaxed).min(END)
}

/// Returns whether pages with these numbers are known: those of a region whose first page somebody is about to install are not.
pub(super) fn is_there(number: u32) -> bool {
    !TABLE[split(number).0].load(Ordering::Acquire).is_null()
}

/// Whether pages can be returned to the system.
pub(super) fn can_discard() -> bool {
    cfg!(target_os = "linux") && is_whole(system_page())
}

/// Tells the system that the contents of `count` pages of one region are not needed any more. They stay usable, with any contents.
///
/// # Safety
/// 1. All cells of the pages are the caller's, and nobody reads them. They can be [discarded](can_discard).
pub(super) unsafe fn discard(first: u32, count: u32) {
    #[cfg(target_os = "linux")]
    {
        let memory = memory(first).as_ptr().cast();
        // SAFETY: whole pages of the system's, of our own private memory, whose contents nobody needs (1). A refusal, as for
        // memory that is locked, costs memory, and nothing else.
        unsafe { libc::madvise(memory, count as usize * PAGE, libc::MADV_DONTNEED) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (first, count);
}

/// Whether a page of ours is some of the system's. If it is a part of one, its neighbours must not be thrown away with it:
/// the system rounds lengths up, and refuses no more than an address that is in the middle.
const fn is_whole(system_page: usize) -> bool {
    system_page > 0 && PAGE.is_multiple_of(system_page)
}

/// Returns the size of the system's pages.
#[cfg(not(target_os = "linux"))]
const fn system_page() -> usize {
    0
}

/// Returns the size of the system's pages.
#[cfg(target_os = "linux")]
fn system_page() -> usize {
    static SIZE: AtomicUsize = AtomicUsize::new(0);
    // Relaxed: whoever finds nothing asks again.
    let known = SIZE.load(Ordering::Relaxed);
    if known > 0 {
        return known;
    }
    // SAFETY: no memory is involved.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    SIZE.store(size, Ordering::Relaxed);
    size
}

/// Whether regions that are mapped from now on are to be of huge pages.
static HUGE: AtomicBool = AtomicBool::new(false);

/// Relaxed: a wish.
pub(crate) fn advise_huge_pages(on: bool) {
    HUGE.store(on, Ordering::Relaxed);
}

/// Returns zeroed memory for a region.
#[cfg(unix)]
fn map() -> Option<NonNull<u8>> {
    let length = 2 * REGION;
    // SAFETY: no address is asked for, so nothing that is mapped already is touched.
    let mapped = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if mapped == libc::MAP_FAILED {
        return None;
    }
    let mapped = mapped.cast::<u8>();
    // What lies before and behind the aligned part goes back.
    let before = mapped.addr().next_multiple_of(REGION) - mapped.addr();
    // SAFETY: `before` is below `REGION`, so all three parts lie in what was mapped.
    let [start, behind] = [before, before + REGION].map(|offset| unsafe { mapped.add(offset) });
    if before > 0 {
        // SAFETY: nobody uses this part.
        unsafe { libc::munmap(mapped.cast(), before) };
    }
    // SAFETY: nobody uses this part, which is not empty.
    unsafe { libc::munmap(behind.cast(), REGION - before) };
    #[cfg(target_os = "linux")]
    if HUGE.load(Ordering::Relaxed) {
        // SAFETY: changes no contents. A refusal costs speed, and nothing else.
        unsafe { libc::madvise(start.cast(), REGION, libc::MADV_HUGEPAGE) };
    }
    NonNull::new(start)
}

/// # Safety
/// 1. From `map`, and nobody uses it now or later.
#[cfg(unix)]
unsafe fn unmap(region: NonNull<u8>) {
    // SAFETY: 1 of the contract.
    unsafe { libc::munmap(region.as_ptr().cast(), REGION) };
}

#[cfg(not(unix))]
const LAYOUT: Layout = match Layout::from_size_align(REGION, REGION) {
    Ok(layout) => layout,
    Err(_) => unreachable!(),
};

/// Returns zeroed memory for a region.
#[cfg(not(unix))]
fn map() -> Option<NonNull<u8>> {
    // SAFETY: the size is not zero.
    NonNull::new(unsafe { std::alloc::alloc_zeroed(LAYOUT) })
}

/// # Safety
/// 1. From `map`, and nobody uses it now or later.
#[cfg(not(unix))]
unsafe fn unmap(region: NonNull<u8>) {
    // SAFETY: 1 of the contract.
    unsafe { std::alloc::dealloc(region.as_ptr(), LAYOUT) };
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_page_of_the_systems_is_kept() {
        assert!(is_whole(4096) && is_whole(1024));
        for larger in [8192, 16384, 65536, usize::MAX, 0, 3000] {
            assert!(!is_whole(larger), "{larger}");
        }
        assert!(system_page().is_power_of_two());
    }
}
