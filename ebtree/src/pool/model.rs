//! Models of pages and shelves: no cell is lost, and none is had twice.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 cargo test --release -p ebtree --lib
//! ```

use std::collections::BTreeSet;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::page::{Given, Page, Taken};
use super::shelf::Shelf;
use crate::sync::{Mutant, with_mutant};

/// Cells of a page. One that is free is worth a listing.
const CELLS: u32 = 3;
/// Of what size they are.
const CLASS: u32 = 2;

/// Two pages of three cells, all in use at first, numbered from 1.
struct Lab {
    shelf: Shelf,
    pages: [Page; 2],
    /// What stands in the cells while they are free.
    links: [[UnsafeCell<Option<u32>>; CELLS as usize]; 2],
}

// SAFETY: loom checks each access to a cell, which is what it is for.
unsafe impl Sync for Lab {}
// SAFETY: as above.
unsafe impl Send for Lab {}

type Cells = BTreeSet<(u32, u32)>;

impl Lab {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            shelf: Shelf::new(),
            pages: std::array::from_fn(|_| Page::new()),
            links: std::array::from_fn(|_| std::array::from_fn(|_| UnsafeCell::new(None))),
        })
    }

    fn page(&self, number: u32) -> &Page {
        &self.pages[number as usize - 1]
    }

    fn link(&self, number: u32, cell: u32) -> &UnsafeCell<Option<u32>> {
        &self.links[number as usize - 1][cell as usize]
    }

    fn write(&self, number: u32, cell: u32, next: Option<u32>) {
        // SAFETY: loom checks that nobody else reads or writes it meanwhile.
        self.link(number, cell).with_mut(|link| unsafe { *link = next });
    }

    fn give(&self, number: u32, cell: u32) {
        let page = self.page(number);
        let list = match page.give(cell, 1, CELLS, |next| self.write(number, cell, next)) {
            Given::Kept => false,
            Given::List => true,
            Given::Whole => {
                for cell in 0..CELLS {
                    self.write(number, cell, None);
                }
                page.give_blank(CELLS, CLASS)
            }
        };
        if list {
            self.shelf.push(number, page);
        }
    }

    /// Returns a page to the system if it waits for that, which writes all of it. Returns whether it did.
    fn discard(&self, number: u32) -> bool {
        let page = self.page(number);
        let Some(taken) = page.take_waiting() else { return false };
        assert_eq!(taken, (CLASS, CELLS));
        for cell in 0..CELLS {
            self.write(number, cell, None);
        }
        if page.give_blank(CELLS, 0) {
            self.shelf.push(number, page);
        }
        true
    }

    /// Takes a page off the shelf, and its cells, if there is one.
    fn take(&self) -> Option<Cells> {
        let number = self.shelf.pop(|number| self.page(number))?;
        let mut cells = Cells::new();
        match self.page(number).take() {
            Taken::None => {}
            Taken::Blank { .. } => cells.extend((0..CELLS).map(|cell| (number, cell))),
            Taken::Chain { first, count } => {
                let mut next = Some(first);
                while let Some(cell) = next {
                    assert!(cells.insert((number, cell)), "a chain without end");
                    // SAFETY: loom checks that nobody else writes it meanwhile.
                    next = self.link(number, cell).with(|link| unsafe { *link });
                }
                assert_eq!(cells.len(), count as usize, "the count is the chain's length");
            }
        }
        for (number, cell) in &cells {
            self.write(*number, *cell, None);
        }
        Some(cells)
    }

    /// Takes what is left, with what was taken before, and checks that it is what was given.
    fn check(
        &self,
        taken: impl IntoIterator<Item = Cells>,
        given: impl IntoIterator<Item = (u32, u32)>,
    ) {
        let mut all = Cells::new();
        for cells in taken.into_iter().chain(std::iter::from_fn(|| self.take())) {
            for cell in cells {
                assert!(all.insert(cell), "{cell:?} was had twice");
            }
        }
        assert_eq!(all, given.into_iter().collect(), "what was given can be had");
    }
}

fn explore(mutant: Option<Mutant>, model: impl Fn() + Send + Sync + 'static) {
    with_mutant(mutant, || loom::model::Builder::new().check(model));
}

/// Three threads give the cells of one page: the last one returns it.
fn everything_is_given() {
    let lab = Lab::new();
    let others = [1, 2].map(|cell| {
        let lab = Arc::clone(&lab);
        thread::spawn(move || lab.give(1, cell))
    });
    lab.give(1, 0);
    for other in others {
        other.join().unwrap();
    }
    lab.check([], (0..CELLS).map(|cell| (1, cell)));
}

#[test]
fn cells_of_three_threads() {
    explore(None, everything_is_given);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn cells_of_three_threads_without_release() {
    explore(Some(Mutant::RelaxedGiving), everything_is_given);
}

/// A page is taken while its last cell is given.
fn taken_beside_the_last() {
    let lab = Lab::new();
    lab.give(1, 0);
    lab.give(1, 1);
    let other = {
        let lab = Arc::clone(&lab);
        thread::spawn(move || lab.take().into_iter().collect::<Vec<_>>())
    };
    lab.give(1, 2);
    let taken = other.join().unwrap();
    lab.check(taken, (0..CELLS).map(|cell| (1, cell)));
}

#[test]
fn a_page_is_taken_beside_the_last_cell() {
    explore(None, taken_beside_the_last);
}

#[test]
#[should_panic(expected = "what was given can be had")]
fn a_page_is_taken_beside_the_last_cell_and_not_listed_again() {
    explore(Some(Mutant::BlankUnlisted), taken_beside_the_last);
}

/// A thread takes a page off while another takes both, and puts the first one back.
fn off_and_on_again() {
    let lab = Lab::new();
    lab.give(1, 0);
    lab.give(2, 0);
    let other = {
        let lab = Arc::clone(&lab);
        thread::spawn(move || lab.take())
    };
    let first = lab.take();
    let second = lab.take();
    let mut kept: Vec<_> = second.into_iter().collect();
    for (number, cell) in first.into_iter().flatten() {
        lab.give(number, cell);
    }
    kept.extend(other.join().unwrap());
    lab.check(kept, [(1, 0), (2, 0)]);
}

#[test]
fn a_page_comes_back_to_the_shelf() {
    explore(None, off_and_on_again);
}

#[test]
#[should_panic(expected = "taken by whoever took it off the shelf")]
fn a_page_comes_back_to_a_shelf_that_does_not_count() {
    explore(Some(Mutant::ShelfUncounted), off_and_on_again);
}

/// A page that waits for its return to the system is taken and written to, while two threads return it.
fn returned_and_taken() {
    let lab = Lab::new();
    for cell in 0..CELLS {
        lab.give(1, cell);
    }
    let others = [(), ()].map(|()| {
        let lab = Arc::clone(&lab);
        thread::spawn(move || lab.discard(1))
    });
    let taken = lab.take();
    let returned = others.map(|other| other.join().unwrap());
    assert!(returned != [true; 2], "nothing waits twice");
    lab.check(taken, (0..CELLS).map(|cell| (1, cell)));
}

#[test]
fn a_page_is_taken_beside_its_return() {
    explore(None, returned_and_taken);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_page_is_taken_beside_an_unchecked_return() {
    explore(Some(Mutant::WaitingUnchecked), returned_and_taken);
}

/// The last cell of a page comes back while another thread returns what waits: it sees what stood in the cells last.
fn returned_as_it_becomes_blank() {
    let lab = Lab::new();
    lab.give(1, 0);
    let others = [
        thread::spawn({
            let lab = Arc::clone(&lab);
            move || lab.give(1, 1)
        }),
        thread::spawn({
            let lab = Arc::clone(&lab);
            move || {
                lab.discard(1);
            }
        }),
    ];
    lab.give(1, 2);
    for other in others {
        other.join().unwrap();
    }
    lab.check([], (0..CELLS).map(|cell| (1, cell)));
}

#[test]
fn a_page_is_returned_as_it_becomes_blank() {
    explore(None, returned_as_it_becomes_blank);
}
