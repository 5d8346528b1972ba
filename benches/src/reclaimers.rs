//! The same tree with other reclaimers: what ours costs, and what none would.

use ebtree::EbTree;
use ebtree::reclaim::{Epoch, Haphazard, Leak, Seize};

use crate::contestant::Who;
use crate::tree::{FANNED_OUT, Make, PLAIN, fanned_out};

/// Returns a tree with each of them, and again with a root for each entry.
pub(crate) fn maps() -> impl Iterator<Item = (Who, Make)> {
    let plain: [(_, Make); 4] = [
        ("ebtree with crossbeam-epoch", |_| Box::new(EbTree::new_in(Epoch))),
        ("ebtree with seize", |_| Box::new(EbTree::new_in(Seize::new()))),
        ("ebtree with haphazard", |_| Box::new(EbTree::new_in(Haphazard))),
        ("ebtree that leaks", |_| Box::new(EbTree::new_in(Leak))),
    ];
    let fanned: [(_, Make); 4] = [
        ("fanned out, crossbeam-epoch", |n| Box::new(fanned_out(n, Epoch))),
        ("fanned out, seize", |n| Box::new(fanned_out(n, Seize::new()))),
        ("fanned out, haphazard", |n| Box::new(fanned_out(n, Haphazard))),
        ("fanned out, leaks", |n| Box::new(fanned_out(n, Leak))),
    ];
    let plain = plain.into_iter().map(|(name, make)| (Who::reclaimer(name, PLAIN), make));
    plain.chain(fanned.into_iter().map(|(name, make)| (Who::reclaimer(name, FANNED_OUT), make)))
}
