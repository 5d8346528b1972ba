//! Pages whose cells are all free, on their way back to the system.
//!
//! When many entries end, the last cells of thousands of pages come back together: each would be a call of the system in the midst
//! of somebody's operation. So a page that becomes blank only says so in its word, where it may be used again at once. A hand goes
//! round over the words of all pages, [`STEP`] with each bundle of freed cells, and returns what it finds; neighbours by one call.

use core::sync::atomic::Ordering;

use super::page::Page;
use super::{cache, region};
use crate::sync::{AtomicI64, AtomicU32};

/// Pages that the hand looks at in one step: four cache lines of words, of one region.
const STEP: u32 = 32;

/// How many pages wait. Below 0 between the two steps of another thread.
static WAITING: AtomicI64 = AtomicI64::new(0);
/// Where the hand is, in steps.
static HAND: AtomicU32 = AtomicU32::new(0);

/// Gives back all cells of a page, which are the caller's. Returns whether the caller puts the page on its shelf.
#[must_use]
pub(super) fn add(class: usize, page: &Page, capacity: u32) -> bool {
    if !region::can_discard() {
        return page.give_blank(capacity, 0);
    }
    #[expect(clippy::cast_possible_truncation, reason = "classes are few")]
    let list = page.give_blank(capacity, class as u32);
    // Relaxed, as all of this number: it says whether to look.
    WAITING.fetch_add(1, Ordering::Relaxed);
    list
}

/// Notes that a blank page is used again.
pub(super) fn taken(waited: bool) {
    if waited {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether pages wait.
fn any() -> bool {
    WAITING.load(Ordering::Relaxed) > 0
}

/// Returns a few pages, if any wait.
pub(super) fn return_some() {
    if any() {
        step();
    }
}

/// Looks at `pages` pages at least, and returns to the system what is free. Returns whether more wait.
pub(super) fn return_of(pages: usize) -> bool {
    for _ in 0..pages.div_ceil(STEP as usize) {
        if !any() {
            return false;
        }
        step();
    }
    any()
}

/// Returns every page that waits now.
pub(super) fn return_all() {
    return_of(region::given_out() as usize + STEP as usize);
}

fn step() {
    let steps = region::given_out().div_ceil(STEP).max(1);
    let first = HAND.fetch_add(1, Ordering::Relaxed) % steps * STEP;
    if !region::is_there(first) {
        return;
    }
    let mut run = Run { first, pages: [(0, 0); STEP as usize], count: 0 };
    for number in first..first + STEP {
        match region::page(number).take_waiting() {
            Some(taken) => {
                run.pages[run.count] = taken;
                run.count += 1;
            }
            None => {
                run.end();
                run.first = number + 1;
            }
        }
    }
    run.end();
}

/// Neighbours that this thread has taken, with the class and the number of their cells.
struct Run {
    first: u32,
    pages: [(u32, u32); STEP as usize],
    count: usize,
}

impl Run {
    /// Returns them to the system, and puts them where they can be used.
    fn end(&mut self) {
        let count = core::mem::take(&mut self.count);
        if count == 0 {
            return;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most a step")]
        // SAFETY: all their cells are ours. Only pages that can be returned wait (`add`).
        unsafe {
            region::discard(self.first, count as u32);
        }
        for (number, (class, capacity)) in (self.first..).zip(&self.pages[..count]) {
            WAITING.fetch_sub(1, Ordering::Relaxed);
            if region::page(number).give_blank(*capacity, 0) {
                cache::list(*class as usize, number);
            }
        }
    }
}
