//! Operations on many entries at once.
#![cfg(not(loom))]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use ebtree::{Domain, EbTree};

fn keys(tree: &EbTree<u64, u64>) -> Vec<u64> {
    tree.iter().map(|entry| *entry.key()).collect()
}

#[test]
fn collected_extended_and_counted() {
    let mut tree = EbTree::from([(3_u64, 30_u64), (1, 10), (3, 31)]);
    assert_eq!((tree.len(), keys(&tree)), (2, vec![1, 3]));
    assert_eq!(tree.get(&3).map(|entry| *entry.value()), Some(31), "the last one stays");
    tree.extend([(2, 20)]);
    let mut shared = &tree;
    shared.extend((7..10).map(|key| (key, key)));
    assert_eq!(keys(&tree), [1, 2, 3, 7, 8, 9]);
    let again: EbTree<u64, u64> = tree.iter().map(|e| (*e.key(), *e.value())).collect();
    assert_eq!(keys(&again), keys(&tree));
}

#[test]
fn cleared_up_to_the_last() {
    let tree: EbTree<u64, u64> = (0..100).map(|key| (key, key)).collect();
    tree.clear();
    assert_eq!((tree.is_empty(), tree.len()), (true, 0));
    tree.clear();
    tree.insert(u64::MAX, 0);
    tree.clear();
    assert!(tree.is_empty());
}

#[test]
fn retained_by_key_and_value() {
    let tree: EbTree<u64, u64> = (0..100).map(|key| (key, key % 10)).collect();
    tree.retain(|key, value| key % 2 == 0 && *value < 5);
    assert!(keys(&tree).iter().copied().eq((0..100).filter(|key| key % 2 == 0 && key % 10 < 5)));
}

#[test]
fn a_value_that_came_meanwhile_is_judged_anew() {
    let tree: EbTree<u64, u64> = (0..10).map(|key| (key, 0)).collect();
    tree.retain(|key, value| {
        if *value == 0 {
            // What another thread could do between the judgement and the removal.
            tree.insert(*key, 1);
        }
        *value == 1
    });
    assert_eq!(keys(&tree).len(), 10, "nobody refused the values that are there");
}

#[test]
fn clearing_ends_though_what_it_drops_comes_back() {
    static CAME_BACK: AtomicU64 = AtomicU64::new(0);
    struct Again(&'static EbTree<u64, Self>, u64);
    impl Drop for Again {
        fn drop(&mut self) {
            // Not for ever, so that a call that takes them all fails instead of running on.
            if CAME_BACK.fetch_add(1, Ordering::Relaxed) < 1_000 {
                self.0.insert(self.1, Self(self.0, self.1));
            }
        }
    }
    let tree: &'static _ = Box::leak(Box::new(EbTree::new_in(Domain::with_batch(1))));
    for key in 0..20 {
        tree.insert(key, Again(tree, key));
    }
    tree.clear();
    let came_back = CAME_BACK.load(Ordering::Relaxed);
    assert!(came_back <= 20, "{came_back} came back: each key goes once a call");
}

#[test]
fn a_panic_while_retaining_leaves_the_rest() {
    let tree: EbTree<u64, u64> = (0..10).map(|key| (key, key)).collect();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        tree.retain(|key, _| {
            assert!(*key < 4, "as planned");
            false
        });
    }));
    assert!(panicked.is_err());
    assert_eq!(keys(&tree), [4, 5, 6, 7, 8, 9]);
    assert!(tree.remove(&4).is_some() && tree.insert(4, 4).is_none(), "usable all the same");
}

#[test]
fn drained_to_the_end_and_no_further() {
    let tree: EbTree<u64, u64> = (0..10).map(|key| (key * 10, key)).collect();
    let due: Vec<u64> = tree.drain_until(&35).map(|entry| *entry.key()).collect();
    assert_eq!(due, [0, 10, 20, 30]);
    assert_eq!(
        tree.drain_until(&40).map(|entry| *entry.key()).collect::<Vec<_>>(),
        [40],
        "the end is due"
    );
    assert_eq!(tree.drain_until(&u64::MAX).take(2).count(), 2);
    assert_eq!(keys(&tree), [70, 80, 90], "what is not asked for stays");
}

#[test]
fn of_several_that_drain_one_gets_each() {
    const KEYS: u64 = 20_000;
    let tree = EbTree::new_in(Domain::with_batch(64));
    (0..KEYS).for_each(|key| drop(tree.insert(key, key)));
    let mut taken: Vec<u64> = thread::scope(|scope| {
        let drainers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let taken: Vec<u64> =
                        tree.drain_until(&(KEYS - 11)).map(|entry| *entry.key()).collect();
                    assert!(taken.is_sorted(), "nobody gets a smaller one later");
                    taken
                })
            })
            .collect();
        drainers.into_iter().flat_map(|drainer| drainer.join().unwrap()).collect()
    });
    taken.sort_unstable();
    assert!(taken.into_iter().eq(0..KEYS - 10), "each once");
    assert!(keys(&tree).into_iter().eq(KEYS - 10..KEYS));
}
