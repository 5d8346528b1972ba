//! Records change hands, threads end, domains are closed.

use std::sync::atomic::{AtomicUsize, Ordering};

use ebtree::Domain;
use ebtree::intrusive::Forest;
use loom::sync::Arc;

use crate::leaf::{Freed, Item, insert};
use crate::{models, spawn};

pub(crate) fn freed() -> Freed {
    Freed::new(AtomicUsize::new(0))
}

/// A tree of items in a domain of its own, which scans by itself only if `batch` is small.
pub(crate) fn items(
    batch: usize,
    threads: usize,
    keys: &[u64],
    freed: &Freed,
) -> Arc<Forest<Item>> {
    let domain = Domain::with_batch(batch);
    domain.reserve(threads);
    let tree = Forest::new_in(0, domain);
    for key in keys {
        insert(&tree, Item::new(*key, freed));
    }
    Arc::new(tree)
}

/// Removes without a guard.
pub(crate) fn remove(tree: &Forest<Item>, key: u64) {
    assert!(tree.remove_if(0, key, |_| true));
}

models! {
    /// The thread ends with its batch not full, while its record is adopted by a flush.
    thread_ends_and_flush {
        let freed = freed();
        let tree = items(100, 1, &[0, 1], &freed);
        let other = spawn(&tree, |tree| remove(&tree, 0));
        tree.domain().flush();
        other.join().unwrap();
        tree.domain().flush();
        assert!(freed.load(Ordering::Relaxed) <= 1);
    } [FreeBeforeScan RelaxedHandOver]

    /// The thread's end finds what it retired still protected; a flush frees it later.
    thread_ends_with_survivors {
        let freed = freed();
        let tree = items(100, 1, &[0], &freed);
        let guard = tree.get(0, 0).unwrap();
        let other = spawn(&tree, |tree| {
            remove(&tree, 0);
            // SAFETY: neither operation nor guard.
            unsafe { ebtree::end_thread() };
        });
        guard.read();
        drop(guard);
        tree.domain().flush();
        other.join().unwrap();
        tree.domain().flush();
        assert_eq!(freed.load(Ordering::Relaxed), 1);
    } [FreeBeforeScan]

    /// The last handle goes while a thread that had to keep something gives its record back.
    domain_is_closed_while_a_thread_leaves {
        let freed = freed();
        let tree = items(100, 1, &[0], &freed);
        let guard = tree.get(0, 0).unwrap();
        let other = spawn(&tree, |tree| {
            remove(&tree, 0);
            drop(tree);
            // SAFETY: neither operation nor guard.
            unsafe { ebtree::end_thread() };
        });
        guard.read();
        drop(guard);
        drop(tree);
        other.join().unwrap();
        assert_eq!(freed.load(Ordering::Relaxed), 1, "both are gone");
    } [NoLookAtClosed NoBarrierAtClose]

    /// The reader's record is made while the other scans.
    record_is_listed_during_a_scan {
        let freed = freed();
        let tree = items(1, 1, &[0, 1], &freed);
        let other = spawn(&tree, |tree| {
            if let Some(leaf) = tree.get(0, 0) {
                leaf.read();
            }
        });
        remove(&tree, 0);
        other.join().unwrap();
    } [RelaxedListing NoBarrier]

    /// Each index entry names an object; the search protects both, though the object is retired by hand.
    object_found_through_another_leaf {
        let freed = freed();
        let objects = items(1, 1, &[7], &freed);
        let index = Forest::new_in(0, objects.domain().clone());
        let object = objects.get(0, 7).unwrap();
        let named = object.as_ptr();
        insert(&index, Item::naming(1, &freed, Some(named)));
        drop(object);
        let both = Arc::new((index, objects));
        let other = spawn(&both, |both| {
            remove(&both.0, 1);
            remove(&both.1, 7);
        });
        // SAFETY: 1. Set when made. 2. The other thread removes the index entry first. 3. One domain.
        let found = unsafe {
            both.0.gt_with_target(0, 0, &both.1, |entry| entry.names.expect("each names one"))
        };
        if let Some((entry, object)) = found {
            entry.read();
            object.read();
        }
        other.join().unwrap();
    } [NoTargetValidation NoBarrier GuardsNotScanned]
}
