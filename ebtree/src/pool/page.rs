//! The word of a page: which of its cells are free.

use core::sync::atomic::Ordering;

use crate::sync::{AtomicU32, Mutant, mutant, relax};

/// Bytes of a page.
#[cfg(not(loom))]
pub(super) const PAGE: usize = 4096;

/// The head of a chain that was never linked up: all cells are free, and the page may be unknown to the system.
const BLANK: u32 = 0x1ff;
const COUNT_SHIFT: u32 = 9;
const COUNT_MASK: u32 = 0x1ff;
/// The page is on the shelf of its size, or about to be put there (P3).
const LISTED: u32 = 1 << 18;
const WAITS_SHIFT: u32 = 19;
const WAITS_MASK: u32 = 0x3f;

/// `class: 6 bits | LISTED | count: 9 bits | head: 9 bits`. The head is the number of the first free cell plus one, or 0, or
/// [`BLANK`]. The class is that of the cells while the page is blank and waits for its return to the system, and else 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(u32);

impl Word {
    const fn new(head: u32, count: u32, listed: bool) -> Self {
        Self(head | count << COUNT_SHIFT | if listed { LISTED } else { 0 })
    }

    const fn head(self) -> u32 {
        self.0 & BLANK
    }

    const fn count(self) -> u32 {
        self.0 >> COUNT_SHIFT & COUNT_MASK
    }

    const fn is_listed(self) -> bool {
        self.0 & LISTED != 0
    }

    const fn waiting_as(self, class: u32) -> Self {
        Self(self.0 | class << WAITS_SHIFT)
    }

    const fn waits_as(self) -> u32 {
        self.0 >> WAITS_SHIFT & WAITS_MASK
    }
}

/// What becomes of a page that was given cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Given {
    /// Nothing to do.
    Kept,
    /// The caller puts the page on its shelf.
    List,
    /// All cells of the page are free, and the caller's, who calls [`give_blank`](Page::give_blank).
    Whole,
}

/// What a page had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Nothing.
    None,
    /// A chain of free cells.
    Chain {
        /// The number of its first cell.
        first: u32,
        /// Its length.
        count: u32,
    },
    /// All cells, not linked up.
    Blank {
        /// Whether the page had not been returned to the system yet.
        waited: bool,
    },
}

/// What is known of a page. Zeroed memory is that of a page of which all cells are in use.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Page {
    free: AtomicU32,
    /// The page below this one on the shelf.
    pub(super) next: AtomicU32,
}

impl Page {
    /// A page all of whose cells are in use. Only models make one; others are zeroed memory.
    #[cfg(loom)]
    pub(super) fn new() -> Self {
        Self { free: AtomicU32::new(0), next: AtomicU32::new(0) }
    }

    /// Gives back a chain of `count` cells that begins with `first`. `link` makes the chain's last cell point to a cell of
    /// this page, or to none; it may be called more than once.
    ///
    /// Lock-free. No ABA: a chain is only added to, or taken as a whole, and `link` is told the head that the CAS
    /// expects.
    pub(super) fn give(
        &self,
        first: u32,
        count: u32,
        capacity: u32,
        mut link: impl FnMut(Option<u32>),
    ) -> Given {
        let mut word = Word(self.free.load(Ordering::Relaxed));
        loop {
            debug_assert!(word.head() != BLANK, "a cell of a page that is free already");
            let total = word.count() + count;
            debug_assert!(total <= capacity, "more free cells than cells");
            let (new, given) = if total == capacity {
                (Word::new(0, 0, word.is_listed()), Given::Whole)
            } else {
                link(word.head().checked_sub(1));
                let list = !word.is_listed() && total >= worth_listing(capacity);
                let new = Word::new(first + 1, total, word.is_listed() || list);
                (new, if list { Given::List } else { Given::Kept })
            };
            // Release: the links, and the last use of the cells. Acquire: for `Whole`, those of the others.
            let order =
                if mutant(Mutant::RelaxedGiving) { Ordering::Relaxed } else { Ordering::AcqRel };
            match self.free.compare_exchange(word.0, new.0, order, Ordering::Relaxed) {
                Ok(_) => return given,
                Err(now) => word = Word(now),
            }
            relax();
        }
    }

    /// Gives back all cells of the page at once, not linked up; `waits_as` is their class if the page is still to be returned to the
    /// system, or 0. Returns whether the caller puts the page on its shelf.
    #[must_use]
    pub(super) fn give_blank(&self, capacity: u32, waits_as: u32) -> bool {
        debug_assert!(waits_as <= WAITS_MASK, "a class");
        let new = Word::new(BLANK, capacity, true).waiting_as(waits_as);
        // Only whoever takes the page off its shelf changes the word meanwhile, and only its LISTED. Release: the return of the
        // memory comes before its use.
        let before = Word(self.free.swap(new.0, Ordering::Release));
        debug_assert!(before.head() == 0 && before.count() == 0, "all cells were the caller's");
        !before.is_listed() && !mutant(Mutant::BlankUnlisted)
    }

    /// Takes all cells of a page that waits for its return to the system, and returns their class and number: the caller
    /// returns the memory, and calls [`give_blank`](Self::give_blank). `None` if the page does not wait, or somebody was faster.
    #[must_use]
    pub(super) fn take_waiting(&self) -> Option<(u32, u32)> {
        let word = Word(self.free.load(Ordering::Relaxed));
        if word.waits_as() == 0 {
            return None;
        }
        // It stays where it is on its shelf; whoever takes it off meanwhile finds it empty. A blank page is listed (P3).
        let empty = Word::new(0, 0, true);
        // Acquire: the last use of the cells. No ABA: whatever happened meanwhile, it is blank again, and waits.
        if mutant(Mutant::WaitingUnchecked) {
            self.free.store(empty.0, Ordering::Relaxed);
        } else {
            self.free
                .compare_exchange(word.0, empty.0, Ordering::Acquire, Ordering::Relaxed)
                .ok()?;
        }
        Some((word.waits_as(), word.count()))
    }

    /// Takes all free cells. For whoever took the page off its shelf: the page may be listed again from here on.
    pub(super) fn take(&self) -> Taken {
        let word = Word(self.free.swap(0, Ordering::Acquire));
        assert!(word.is_listed(), "taken by whoever took it off the shelf");
        match word.head() {
            0 => Taken::None,
            BLANK => Taken::Blank { waited: word.waits_as() != 0 },
            head => Taken::Chain { first: head - 1, count: word.count() },
        }
    }
}

/// How many free cells make a page worth a place on the shelf: the others are fewer than an eighth of the memory.
const fn worth_listing(capacity: u32) -> u32 {
    let eighth = capacity / 8;
    if eighth == 0 { 1 } else { eighth }
}
