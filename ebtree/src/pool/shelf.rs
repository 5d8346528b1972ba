//! A shelf: the pages of one cell size that have free cells.

use core::sync::atomic::Ordering;

use super::page::Page;
use crate::sync::{AtomicU64, Mutant, mutant, relax};

/// A stack of pages (Treiber, 1986), linked by the pages' own words. The upper half of its top counts changes, so that a
/// page that was taken off and put back meanwhile is not mistaken for one that stayed: it would take 2^32 changes
/// between two instructions of one thread. A page's word outlives the page, so it may be read at any time (P4).
#[derive(Debug)]
pub(super) struct Shelf {
    /// `changes: 32 | number of the page: 32`, the latter 0 if there is none.
    top: AtomicU64,
}

const NUMBER: u64 = u32::MAX as u64;

impl Shelf {
    /// Returns an empty shelf.
    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Self { top: AtomicU64::new(0) }
    }

    /// Returns an empty shelf.
    #[cfg(loom)]
    pub(super) fn new() -> Self {
        Self { top: AtomicU64::new(0) }
    }

    /// Puts a page on top. Its number is not 0, and it is not on a shelf (P3).
    pub(super) fn push(&self, number: u32, page: &Page) {
        let mut top = self.top.load(Ordering::Relaxed);
        loop {
            page.next.store(number_of(top), Ordering::Relaxed);
            // Release: `next`, and with it the page, for whoever reads this top or one that follows it.
            match self.top.compare_exchange(
                top,
                after(top, number),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => top = now,
            }
            relax();
        }
    }

    /// Takes the topmost page off. `page` gives the word of a page by its number.
    pub(super) fn pop<'p>(&self, page: impl Fn(u32) -> &'p Page) -> Option<u32> {
        let mut top = self.top.load(Ordering::Acquire);
        loop {
            let number = number_of(top);
            if number == 0 {
                return None;
            }
            // Perhaps of a page that was taken off meanwhile: then the top has changed, and its count with it.
            let below = page(number).next.load(Ordering::Relaxed);
            match self.top.compare_exchange(
                top,
                after(top, below),
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(number),
                Err(now) => top = now,
            }
            relax();
        }
    }
}

const fn number_of(top: u64) -> u32 {
    (top & NUMBER) as u32
}

fn after(top: u64, number: u32) -> u64 {
    let changes = if mutant(Mutant::ShelfUncounted) { 0 } else { (top >> 32).wrapping_add(1) };
    changes << 32 | u64::from(number)
}
