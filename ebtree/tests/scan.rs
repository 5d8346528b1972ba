//! Walks that call a visitor, against `BTreeMap` and beside writers.
#![cfg(not(loom))]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use bolero::check;
use ebtree::{Domain, EbTree};

type Tree = EbTree<u64, u64>;

/// The keys of a walk that ends after `limit` of them.
fn seen(tree: &Tree, range: impl RangeBounds<u64>, forward: bool, limit: usize) -> Vec<u64> {
    let mut seen = Vec::new();
    let mut visit = |key: &u64, value: &u64| {
        assert_eq!(key, value);
        if seen.len() == limit {
            return ControlFlow::Break(*key);
        }
        seen.push(*key);
        ControlFlow::Continue(())
    };
    let broken = if forward {
        tree.range_with(range, &mut visit)
    } else {
        tree.range_back_with(range, &mut visit)
    };
    assert!(broken.is_continue() || seen.len() == limit);
    seen
}

#[test]
fn like_a_btree_map() {
    type Input = (u8, Vec<u16>, (u8, u16), (u8, u16), u8);
    check!().with_type::<Input>().for_each(|(bits, keys, from, to, limit)| {
        // Some are near each other, some are not, and the range begins and ends at or beside keys.
        let key = |k: u16| u64::from(k >> 4) << 50 | u64::from(k & 15);
        let keys = keys.iter().map(|k| (key(*k), key(*k)));
        let oracle: BTreeMap<u64, u64> = keys.clone().collect();
        let ours = EbTree::builder().domain(Domain::new()).fan_out(u32::from(bits % 6)).build();
        ours.insert_many(keys);
        let bound = |(kind, k): &(u8, u16)| match kind % 3 {
            0 => Bound::Unbounded,
            1 => Bound::Included(key(*k)),
            _ => Bound::Excluded(key(*k)),
        };
        let (from, to) = (bound(from), bound(to));
        let inside = |key: &u64| (from, to).contains(key);
        let limit = usize::from(*limit);

        let expected: Vec<u64> = oracle.keys().copied().filter(inside).take(limit).collect();
        assert_eq!(seen(&ours, (from, to), true, limit), expected);
        let expected: Vec<u64> = oracle.keys().rev().copied().filter(inside).take(limit).collect();
        assert_eq!(seen(&ours, (from, to), false, limit), expected);
    });
}

/// Longer than one operation lasts, with a visitor that removes what it sees, what comes, and what has gone by.
#[test]
fn a_visitor_may_change_the_tree() {
    const ENTRIES: u64 = 2_000;
    let tree: Tree = EbTree::new_in(Domain::with_batch(16));
    tree.insert_many((0..ENTRIES).map(|key| (key, key)));
    let mut expected = 0;
    let mut most = 0;
    let ended: ControlFlow<()> = tree.range_with(.., |key, _| {
        assert_eq!(*key, expected);
        expected = key + 3;
        assert!(tree.remove(key).is_some());
        // Ahead, so not seen; behind, so not seen either.
        assert!(tree.remove(&(key + 1)).is_some() || key + 1 >= ENTRIES);
        assert!(tree.remove(&(key + 2)).is_some() || key + 2 >= ENTRIES);
        tree.insert(key / 2, key / 2);
        tree.remove(&(key / 2));
        most = most.max(tree.domain().unreclaimed());
        ControlFlow::Continue(())
    });
    assert!(ended.is_continue() && tree.is_empty());
    // Each of 256 visits retires ten objects at most, before the operation ends that the visits are in.
    assert!(most <= 2_700, "{most} objects were kept");
}

/// What a visitor inserts just before the next key stands below an edge that the walk has left. What it inserts behind that is met.
#[test]
fn what_a_visitor_inserts_may_be_passed_over() {
    for (forward, passed, met) in [(true, 15, 17), (false, 19, 14)] {
        let tree = Tree::new_in(Domain::new());
        tree.insert_many([(9, 9), (21, 21)]);
        let (first, last) = if forward { (9, 21) } else { (21, 9) };
        let mut seen = Vec::new();
        let mut visit = |key: &u64, _: &u64| {
            seen.push(*key);
            if *key == first {
                tree.insert_many([(passed, passed), (met, met)]);
            }
            ControlFlow::<()>::Continue(())
        };
        let ended = if forward {
            tree.range_with(.., &mut visit)
        } else {
            tree.range_back_with(.., &mut visit)
        };
        assert!(ended.is_continue());
        assert_eq!(seen, [first, met, last]);
    }
    // A walk that looks anew at each step meets both.
    let tree = Tree::new_in(Domain::new());
    tree.insert_many([(9, 9), (21, 21)]);
    let mut walk = tree.range(..);
    let mut next = || walk.next().map(|entry| *entry.key());
    assert_eq!(next(), Some(9));
    tree.insert_many([(15, 15), (17, 17)]);
    assert_eq!([next(), next(), next(), next()], [Some(15), Some(17), Some(21), None]);
}

/// Ahead of the walk at any distance, and longer than one operation lasts: removed, it is not visited; replaced, it is
/// the new one.
#[test]
fn what_a_visitor_removes_or_replaces_ahead_is_so_when_it_is_met() {
    const KEYS: u64 = 3_000;
    for distance in [1_u64, 2, 5, 64, 255, 256, 257, 1_000] {
        for forward in [true, false] {
            let tree = Tree::new_in(Domain::with_batch(8));
            tree.insert_many((0..KEYS).map(|key| (key, 0)));
            let mut gone = vec![false; 3_000];
            let mut visits = 0;
            let mut visit = |key: &u64, value: &u64| {
                let at = usize::try_from(*key).unwrap();
                assert!(!gone[at], "{key} was removed before");
                let distance = if forward { distance } else { distance.wrapping_neg() };
                visits += 1;
                let touched = key.wrapping_sub(distance);
                // Who touches this one has been met, unless it was removed itself.
                let was_touched = touched < KEYS && !gone[usize::try_from(touched).unwrap()];
                assert_eq!(*value, u64::from(was_touched), "{key}, {distance}");
                let ahead = key.wrapping_add(distance);
                if ahead >= KEYS {
                    return ControlFlow::<()>::Continue(());
                }
                if ahead.is_multiple_of(3) {
                    assert!(tree.remove(&ahead).is_some());
                    gone[usize::try_from(ahead).unwrap()] = true;
                } else {
                    assert!(tree.insert(ahead, 1).is_some());
                }
                ControlFlow::Continue(())
            };
            let ended = if forward {
                tree.range_with(.., &mut visit)
            } else {
                tree.range_back_with(.., &mut visit)
            };
            assert!(ended.is_continue());
            let removed = gone.iter().filter(|gone| **gone).count();
            assert!(removed > 0 && visits + removed == gone.len());
        }
    }
}

#[test]
fn a_panic_in_a_visitor_leaves_the_tree_usable() {
    let tree: Tree = EbTree::new_in(Domain::new());
    tree.insert_many((0..10).map(|key| (key, key)));
    let walk = std::panic::AssertUnwindSafe(|| {
        tree.range_with(.., |key, _| {
            assert!(*key < 5, "on purpose");
            tree.remove(key);
            ControlFlow::<()>::Continue(())
        })
    });
    assert!(std::panic::catch_unwind(walk).is_err());
    assert_eq!(seen(&tree, .., true, 100), [5, 6, 7, 8, 9]);
    tree.domain().flush();
    assert_eq!(tree.domain().unreclaimed(), 0, "no slot of the walk is left");
}

/// Keys that stay are seen once by each walk, in order, in either direction.
#[test]
fn a_walk_beside_writers_passes_no_key_over() {
    let tree: Tree = EbTree::new_in(Domain::with_batch(16));
    let staying: Vec<u64> = (0..100).map(|number| number * 5).collect();
    tree.insert_many(staying.iter().map(|key| (*key, *key)));
    let (done, writes) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let mut writers = Vec::new();
        for writer in 0..3_u64 {
            let (tree, done, writes) = (&tree, &done, &writes);
            writers.push(scope.spawn(move || {
                let mut number = writer * 50;
                while !done.load(Ordering::Relaxed) {
                    number = (number + 137) % 500;
                    if number.is_multiple_of(5) {
                        // Replaced: never absent.
                        tree.insert(number, number);
                    } else {
                        tree.insert(number, number);
                        let other = (number + 251) % 500;
                        if !other.is_multiple_of(5) {
                            tree.remove(&other);
                        }
                    }
                    writes.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        while writes.load(Ordering::Relaxed) < 60_000 {
            for forward in [true, false] {
                let mut seen = seen(&tree, .., forward, usize::MAX);
                if !forward {
                    seen.reverse();
                }
                assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
                seen.retain(|key| key.is_multiple_of(5));
                assert_eq!(seen, staying);
            }
        }
        done.store(true, Ordering::Relaxed);
        // One by one: the end of a scope is not seen by ThreadSanitizer.
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    });
}

/// Where its thread is ending each operation may have another record; a walk is longer than an operation.
#[test]
fn a_walk_in_a_thread_local_destructor_is_protected_throughout() {
    const ENTRIES: u64 = 1_000;

    struct Late(Arc<Tree>);
    impl Drop for Late {
        fn drop(&mut self) {
            for _ in 0..20 {
                for forward in [true, false] {
                    let mut seen = seen(&self.0, .., forward, usize::MAX);
                    seen.retain(|key| key.is_multiple_of(2));
                    assert_eq!(seen.len() as u64, ENTRIES / 2);
                }
            }
        }
    }
    thread_local! {
        static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
    }
    let tree: Arc<Tree> = Arc::new(EbTree::new_in(Domain::with_batch(4)));
    tree.insert_many((0..ENTRIES).map(|key| (key, key)));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (shared, done) = (&tree, &done);
        let writer = scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                for key in (0..ENTRIES).step_by(2) {
                    // The new leaf is another one, and the old one is freed soon.
                    shared.insert(key, key);
                    shared.insert(key + 1, key + 1);
                    shared.remove(&(key + 1));
                }
            }
        });
        for early in [true, false, true] {
            let tree = Arc::clone(&tree);
            let walker = thread::spawn(move || {
                // Destructors run in the opposite order of the first uses.
                if !early {
                    drop(tree.first());
                }
                LATE.set(Some(Late(Arc::clone(&tree))));
                drop(tree.first());
            });
            walker.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    });
}
