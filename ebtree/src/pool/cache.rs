//! A thread's cells: what it takes without asking anybody, and gives back in bundles.

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::{NonNull, null_mut};

use super::page::{Given, PAGE, Taken};
use super::shelf::Shelf;
use super::{region, waiting};

/// Sizes of cells: multiples of this many bytes.
const STEP: usize = 8;
/// The smallest size. The word of a page counts no more cells.
const SMALLEST: usize = 16;
/// The largest size.
const LARGEST: usize = 256;
/// No cell is aligned to more.
const ALIGN: usize = 16;
const CLASSES: usize = LARGEST / STEP + 1;
/// Cells of a bundle. A scan frees some 256 objects at once, which are then taken again one by one.
const BUNDLE: u32 = 256;

static SHELVES: [Shelf; CLASSES] = [const { Shelf::new() }; CLASSES];

std::thread_local! {
    static CACHE: Cache = const { Cache { classes: [const { Class::new() }; CLASSES] } };
}

/// What stands in a cell while it is free.
struct Free {
    next: *mut Self,
}

/// Free cells of one size, linked by what stands in them.
#[derive(Clone, Copy)]
struct Chain {
    head: *mut Free,
    count: u32,
}

impl Chain {
    const EMPTY: Self = Self { head: null_mut(), count: 0 };
}

/// Cells that were never linked up.
#[derive(Clone, Copy)]
struct Bump {
    next: *mut u8,
    left: u32,
}

/// A thread's cells of one size. The thread's alone, and used by no code of the user's.
struct Class {
    loaded: Cell<Chain>,
    /// A full bundle, or none.
    previous: Cell<Chain>,
    bump: Cell<Bump>,
}

struct Cache {
    classes: [Class; CLASSES],
}

/// Returns the number of a size, or `None` if it is not the pool's.
#[inline]
const fn class(layout: Layout) -> Option<usize> {
    if layout.size() > LARGEST || layout.align() > ALIGN {
        return None;
    }
    // A size is a multiple of its alignment, so where it is aligned to 16, cells of this size are too.
    let class = layout.size().div_ceil(STEP);
    Some(if class < SMALLEST / STEP { SMALLEST / STEP } else { class })
}

/// Returns memory of this layout, whose size is not zero, or `None` if there is none.
#[inline]
pub(crate) fn allocate(layout: Layout) -> Option<NonNull<u8>> {
    match class(layout) {
        Some(class) => CACHE
            .try_with(|cache| cache.classes[class].allocate(class))
            // The thread is ending. What the rest of the page holds goes back at once.
            .unwrap_or_else(|_| Class::new().last_allocation(class)),
        // SAFETY: not of size zero, as the caller says.
        None => NonNull::new(unsafe { std::alloc::alloc(layout) }),
    }
}

/// # Safety
/// 1. `cell` came from `allocate` with this layout, and is nobody's. Called once.
#[inline]
pub(crate) unsafe fn give_back(cell: NonNull<u8>, layout: Layout) {
    let Some(class) = class(layout) else {
        // SAFETY: 1 of the contract: of this size, so from the global allocator.
        unsafe { std::alloc::dealloc(cell.as_ptr(), layout) };
        return;
    };
    let cell = cell.cast::<Free>();
    // SAFETY: 1 of the contract: ours alone, of at least 8 bytes, aligned to at least 8.
    unsafe { cell.write(Free { next: null_mut() }) };
    let kept = CACHE.try_with(|cache| {
        // SAFETY: a cell of this class, ours alone.
        unsafe { cache.classes[class].keep(class, cell) };
    });
    if kept.is_err() {
        // The thread is ending.
        // SAFETY: a chain of one cell of this class, ours alone.
        unsafe { distribute(class, Chain { head: cell.as_ptr(), count: 1 }) };
    }
}

impl Class {
    const fn new() -> Self {
        Self {
            loaded: Cell::new(Chain::EMPTY),
            previous: Cell::new(Chain::EMPTY),
            bump: Cell::new(Bump { next: null_mut(), left: 0 }),
        }
    }

    #[inline]
    fn allocate(&self, class: usize) -> Option<NonNull<u8>> {
        let loaded = self.loaded.get();
        match NonNull::new(loaded.head) {
            Some(cell) => {
                // SAFETY: a free cell of ours, written when it came.
                let next = unsafe { cell.as_ref() }.next;
                self.loaded.set(Chain { head: next, count: loaded.count - 1 });
                Some(cell.cast())
            }
            None => self.allocate_more(class),
        }
    }

    /// From the other bundle, the page at hand, a page with free cells, or one that was never used.
    #[cold]
    fn allocate_more(&self, class: usize) -> Option<NonNull<u8>> {
        loop {
            let previous = self.previous.replace(Chain::EMPTY);
            if previous.count > 0 {
                self.loaded.set(previous);
                return self.allocate(class);
            }
            let bump = self.bump.get();
            if let Some(cell) = NonNull::new(bump.next).filter(|_| bump.left > 0) {
                let next = bump.next.wrapping_add(class * STEP);
                self.bump.set(Bump { next, left: bump.left - 1 });
                return Some(cell);
            }
            let Some(number) = SHELVES[class].pop(region::page) else {
                let number = region::fresh()?;
                self.take_blank(class, number);
                continue;
            };
            match region::page(number).take() {
                Taken::None => {}
                Taken::Blank { waited } => {
                    waiting::taken(waited);
                    self.take_blank(class, number);
                }
                Taken::Chain { first, count } => {
                    self.loaded.set(Chain { head: cell(class, number, first), count });
                }
            }
            if self.loaded.get().count > 0 {
                return self.allocate(class);
            }
        }
    }

    fn take_blank(&self, class: usize, number: u32) {
        let next = region::memory(number).as_ptr();
        self.bump.set(Bump { next, left: capacity(class) });
    }

    /// # Safety
    /// 1. A free cell of this class, the caller's alone.
    #[inline]
    unsafe fn keep(&self, class: usize, cell: NonNull<Free>) {
        let mut loaded = self.loaded.get();
        if loaded.count >= BUNDLE {
            let previous = self.previous.replace(loaded);
            loaded = Chain::EMPTY;
            if previous.count > 0 {
                // SAFETY: chains of this class, ours alone, and just taken out.
                unsafe { distribute(class, previous) };
            }
        }
        // SAFETY: 1 of the contract.
        unsafe { cell.write(Free { next: loaded.head }) };
        self.loaded.set(Chain { head: cell.as_ptr(), count: loaded.count + 1 });
    }

    /// Takes one cell, and gives back what else there was to take.
    #[cold]
    fn last_allocation(self, class: usize) -> Option<NonNull<u8>> {
        let cell = self.allocate(class);
        self.empty(class);
        cell
    }

    /// Gives everything back to the pages.
    fn empty(&self, class: usize) {
        let bump = self.bump.replace(Bump { next: null_mut(), left: 0 });
        let mut rest = Chain::EMPTY;
        let mut next = bump.next;
        for _ in 0..bump.left {
            let cell = next.cast::<Free>();
            // SAFETY: within the page, of this class, and never given out.
            unsafe { cell.write(Free { next: rest.head }) };
            rest = Chain { head: cell, count: rest.count + 1 };
            next = next.wrapping_add(class * STEP);
        }
        for chain in [rest, self.loaded.replace(Chain::EMPTY), self.previous.replace(Chain::EMPTY)]
        {
            // SAFETY: chains of this class, ours alone, and just taken out.
            unsafe { distribute(class, chain) };
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        for (number, class) in self.classes.iter().enumerate() {
            class.empty(number);
        }
    }
}

/// Gives this thread's free cells back, so that pages of which nothing else is in use are returned to the system.
pub(crate) fn empty() {
    // While the thread ends there is nothing left to give.
    let _ = CACHE.try_with(|cache| {
        for (number, class) in cache.classes.iter().enumerate() {
            class.empty(number);
        }
    });
    waiting::return_all();
}

/// Puts a page that has free cells where threads look for some.
pub(super) fn list(class: usize, page: u32) {
    SHELVES[class].push(page, region::page(page));
}

/// How many cells of a class a page holds.
#[expect(clippy::cast_possible_truncation, reason = "at most 256")]
const fn capacity(class: usize) -> u32 {
    (PAGE / (class * STEP)) as u32
}

/// Returns a cell by its number.
fn cell(class: usize, page: u32, number: u32) -> *mut Free {
    region::memory(page).as_ptr().wrapping_add(number as usize * class * STEP).cast()
}

/// Gives the cells of a chain back to their pages; runs of one page at once. What becomes blank by it is returned to the system
/// later, lest one bundle return hundreds of pages, one by one; and some of what became so before is returned now.
///
/// # Safety
/// 1. Free cells of this class, the caller's alone.
#[cold]
unsafe fn distribute(class: usize, chain: Chain) {
    let mut head = chain.head;
    while let Some(first) = NonNull::new(head) {
        // SAFETY: 1 of the contract; cells lie in regions.
        let page = unsafe { region::number(first.cast()) };
        let mut last = first;
        let mut count = 1;
        head = loop {
            // SAFETY: 1 of the contract: ours alone, written when it became free.
            let next = unsafe { last.as_ref() }.next;
            match NonNull::new(next) {
                // SAFETY: as above.
                Some(cell) if unsafe { region::number(cell.cast()) } == page => {
                    last = cell;
                    count += 1;
                }
                _ => break next,
            }
        };
        // SAFETY: a run of the chain, whose other end has been read.
        unsafe { give(class, page, [first, last], count) };
    }
    waiting::return_some();
}

/// # Safety
/// 1. A chain of `count` free cells of this page and class, from the first to the last, the caller's alone.
unsafe fn give(class: usize, page: u32, [first, last]: [NonNull<Free>; 2], count: u32) {
    let word = region::page(page);
    let offset = first.addr().get() % PAGE;
    #[expect(clippy::cast_possible_truncation, reason = "below 256")]
    let number = (offset / (class * STEP)) as u32;
    let given = word.give(number, count, capacity(class), |next| {
        let next = next.map_or(null_mut(), |next| cell(class, page, next));
        // SAFETY: 1 of the contract; nobody else sees the cell before the page's word leads to it.
        unsafe { last.write(Free { next }) };
    });
    let is_to_list = match given {
        Given::Kept => false,
        Given::List => true,
        Given::Whole => waiting::add(class, word, capacity(class)),
    };
    if is_to_list {
        list(class, page);
    }
}
