//! One suite for every reclaimer: what holds of the tree holds whoever frees its memory.
//!
//! `cargo test -p ebtree --all-features --test reclaimers` runs it for all of them; without features, for our own.
#![cfg(not(loom))]

#[cfg(all(feature = "crossbeam-epoch", feature = "seize"))]
mod late;
mod shared;
mod single;
mod support;

/// The suite for one reclaimer.
macro_rules! suite {
    ($name:ident, $reclaimer:ty, $new:expr, { $($test:ident)* }) => {
        mod $name {
            $(
                #[test]
                fn $test() {
                    super::$test::<$reclaimer>(|| $new);
                }
            )*
        }
    };
    ($name:ident, $reclaimer:ty, $new:expr) => {
        suite!($name, $reclaimer, $new, {
            is_like_a_btree_map
            every_value_is_dropped_once
            a_kept_entry_stays_whatever_happens
            closures_and_drops_may_use_the_tree
            a_panic_in_a_closure_leaves_the_tree_usable
            duplicates_and_prefixes_work_too
            values_are_read_alive_beside_writers
            each_entry_goes_to_one_thread
            walks_pass_no_key_over
            a_walk_holds_where_it_is
            threads_end_with_garbage_of_theirs
            trees_go_in_any_order
            a_parked_reader_stops_nobody
        });
    };
}

use shared::*;
use single::*;

suite!(domain, ebtree::Domain, ebtree::Domain::new());
suite!(domain_with_fences, ebtree::Domain, ebtree::Domain::with_fences());
suite!(domain_that_scans_at_once, ebtree::Domain, ebtree::Domain::with_batch(1));
#[cfg(feature = "haphazard")]
suite!(haphazard, ebtree::reclaim::Haphazard, ebtree::reclaim::Haphazard);
#[cfg(feature = "crossbeam-epoch")]
suite!(epoch, ebtree::reclaim::Epoch, ebtree::reclaim::Epoch);
#[cfg(feature = "seize")]
suite!(seize, ebtree::reclaim::Seize, ebtree::reclaim::Seize::new());
#[cfg(feature = "leak")]
suite!(leak, ebtree::reclaim::Leak, ebtree::reclaim::Leak);
