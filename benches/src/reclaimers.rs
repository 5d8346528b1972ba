//! The same tree with other reclaimers: what ours costs, and what none would.

use ebtree::EbTree;
use ebtree::reclaim::{Epoch, Haphazard, Leak, Seize};

use crate::tree::{Map, fanned_out};

/// Returns a tree with each of them, and again with a root for each of `n` entries.
pub(crate) fn maps(n: u64) -> [(&'static str, Box<dyn Map>); 8] {
    [
        ("ebtree with crossbeam-epoch", Box::new(EbTree::new_in(Epoch))),
        ("ebtree with seize", Box::new(EbTree::new_in(Seize::new()))),
        ("ebtree with haphazard", Box::new(EbTree::new_in(Haphazard))),
        ("ebtree that leaks", Box::new(EbTree::new_in(Leak))),
        ("fanned out, crossbeam-epoch", Box::new(fanned_out(n, Epoch))),
        ("fanned out, seize", Box::new(fanned_out(n, Seize::new()))),
        ("fanned out, haphazard", Box::new(fanned_out(n, Haphazard))),
        ("fanned out, leaks", Box::new(fanned_out(n, Leak))),
    ]
}
