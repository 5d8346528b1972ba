//! Changes that depend on what is there: none is lost, and none is made of what was not there.
#![cfg(not(loom))]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;

use ebtree::{Change, Domain, EbTree};

const THREADS: u8 = 4;
const EACH: u64 = if cfg!(debug_assertions) { 5_000 } else { 50_000 };

/// Runs `work` on every thread at once, with the number of the thread.
fn together<T: Send>(work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(THREADS.into());
    thread::scope(|scope| {
        let run = |id| {
            let (start, work) = (&start, &work);
            scope.spawn(move || {
                start.wait();
                work(u64::from(id))
            })
        };
        let threads: Vec<_> = (0..THREADS).map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn values(change: Change<'_, u64, u64>) -> (Option<u64>, Option<u64>) {
    (change.before.map(|entry| *entry), change.after.map(|entry| *entry))
}

/// A count for each key, as so many threads change them by so many operations.
fn counted(add: impl Fn(&EbTree<u64, u64>, u64) + Sync) {
    let tree = EbTree::new_in(Domain::with_batch(16));
    for key in 0..3 {
        tree.insert(key, 0);
    }
    together(|id| (0..EACH).for_each(|step| add(&tree, (id + step) % 3)));
    let sum: u64 = tree.iter().map(|count| *count).sum();
    assert_eq!(sum, u64::from(THREADS) * EACH, "no increment is lost, none is counted twice");
}

#[test]
fn no_update_is_lost() {
    counted(|tree, key| assert!(tree.update(&key, |count| count + 1).is_some_and(|new| *new > 0)));
}

#[test]
fn no_exchange_is_lost() {
    counted(|tree, key| {
        let mut there = tree.get(&key).expect("never removed");
        while let Err(refused) = tree.compare_exchange(&there, *there + 1) {
            assert_eq!(refused.new, *there + 1);
            there = refused.current.expect("never removed");
        }
    });
}

#[test]
fn no_replacement_is_lost() {
    counted(|tree, key| {
        loop {
            let seen = tree.get_with(&key, |count| *count).expect("never removed");
            if tree.replace_if(&key, seen + 1, |count| *count == seen).is_ok() {
                return;
            }
        }
    });
}

#[test]
fn no_computed_change_is_lost() {
    counted(|tree, key| {
        let (before, after) = values(tree.compute(&key, |count| Some(count? + 1)));
        assert_eq!(before.map(|count| count + 1), after);
    });
}

/// Each thread enters and leaves rooms; the last one to leave a room takes its entry along.
#[test]
fn what_is_computed_is_what_was_there() {
    let tree = EbTree::new_in(Domain::with_batch(16));
    let present = AtomicI64::new(0);
    let opened = AtomicI64::new(0);
    together(|id| {
        for step in 0..EACH {
            let room = (id * 5 + step) % 3;
            let (before, after) =
                values(tree.compute(&room, |count| Some(count.map_or(1, |count| count + 1))));
            assert_eq!(before.unwrap_or(0) + 1, after.expect("somebody is in"));
            opened.fetch_add(i64::from(before.is_none()), Ordering::Relaxed);
            present.fetch_add(1, Ordering::Relaxed);
            if step % 8 == 7 {
                continue;
            }
            let (before, after) =
                values(tree.compute(&room, |count| count?.checked_sub(1).filter(|left| *left > 0)));
            assert_eq!(before.expect("this thread is in"), after.unwrap_or(0) + 1);
            opened.fetch_sub(i64::from(after.is_none()), Ordering::Relaxed);
            present.fetch_sub(1, Ordering::Relaxed);
        }
    });
    let sum: u64 = tree.iter().map(|count| *count).sum();
    assert_eq!(i64::try_from(sum), Ok(present.into_inner()));
    assert_eq!(i64::try_from(tree.len()), Ok(opened.into_inner()), "inserted, less removed");
}

/// Two threads hold the same entries, others put new ones in their place: an entry is removed once, and those that
/// came after it stay.
#[test]
fn an_entry_is_removed_by_one_and_never_for_another() {
    const KEYS: u64 = 8;
    let tree = EbTree::new_in(Domain::with_batch(1));
    let (inserted, removed) = (AtomicU64::new(0), AtomicU64::new(0));
    together(|id| {
        for step in 0..EACH {
            let key = step % KEYS;
            if id == 0 {
                inserted
                    .fetch_add(u64::from(tree.try_insert(key, step).is_ok()), Ordering::Relaxed);
            } else if let Some(entry) = tree.get(&key) {
                removed.fetch_add(u64::from(tree.remove_entry(&entry)), Ordering::Relaxed);
                let now = tree.get(&key).map(|now| *now);
                assert_ne!(now, Some(*entry), "each value is inserted once");
            }
        }
    });
    let left = u64::try_from(tree.len()).unwrap();
    assert_eq!(inserted.into_inner(), removed.into_inner() + left);
}

#[test]
fn an_entry_that_was_removed_and_inserted_again_is_another() {
    let tree = EbTree::new_in(Domain::with_batch(1));
    tree.insert(1_u64, 7_u64);
    let old = tree.get(&1).unwrap();
    assert!(tree.remove(&1).is_some());
    assert!(!tree.remove_entry(&old), "not there");
    assert!(tree.compare_exchange(&old, 8).unwrap_err().current.is_none());
    tree.insert(1, 7);
    assert!(!tree.remove_entry(&old), "the same key and value, and another entry");
    let refused = tree.compare_exchange(&old, 8).unwrap_err();
    assert_eq!((refused.current.as_deref(), refused.new), (Some(&7), 8));
    assert_eq!(tree.get(&1).map(|entry| *entry), Some(7));
    let new = tree.compare_exchange(&refused.current.unwrap(), 9).unwrap();
    assert_eq!((*new.key(), *new), (1, 9));
    assert!(tree.remove_entry(&new) && !tree.remove_entry(&new), "once");
}

#[test]
fn an_entry_of_another_map_is_not_of_this_one() {
    let domain = Domain::new();
    let [one, other] = [(); 2].map(|()| EbTree::new_in(domain.clone()));
    one.insert(1_u64, 1_u64);
    other.insert(1, 1);
    let foreign = other.get(&1).unwrap();
    assert!(!one.remove_entry(&foreign));
    assert!(one.compare_exchange(&foreign, 2).is_err());
    assert_eq!((one.len(), other.len()), (1, 1));
}

/// What another thread could do between the reading and the change, done by the closure itself.
#[test]
fn closures_run_again_with_what_is_there_then() {
    let tree: EbTree<u64, u64> = EbTree::from([(1, 10)]);
    let mut seen = Vec::new();
    let new = tree.update(&1, |value| {
        seen.push(*value);
        if seen.len() < 3 {
            tree.insert(1, *value + 1);
        }
        value * 2
    });
    assert_eq!((new.map(|new| *new), seen), (Some(24), vec![10, 11, 12]));

    let mut runs = 0;
    let gone = tree.update(&1, |value| {
        runs += 1;
        tree.remove(&1);
        *value
    });
    assert_eq!((gone.is_none(), runs, tree.len()), (true, 1, 0), "an update never inserts");

    let mut seen = Vec::new();
    let change = tree.compute(&1, |value| {
        seen.push(value.copied());
        match seen.len() {
            1 => drop(tree.insert(1, 5)),
            2 => drop(tree.insert(1, 6)),
            3 => drop(tree.insert(1, 8)),
            4 => drop(tree.remove(&1)),
            5 => drop(tree.insert(1, 7)),
            _ => {}
        }
        // An insert, a replacement, a removal, and so on.
        (seen.len() % 3 != 0).then_some(100)
    });
    assert_eq!(values(change), (Some(7), None));
    assert_eq!(seen, [None, Some(5), Some(6), Some(8), None, Some(7)]);
    tree.insert(1, 100);

    let mut seen = Vec::new();
    let replaced = tree.replace_if(&1, 3, |value| {
        seen.push(*value);
        if seen.len() == 1 {
            tree.insert(1, 2);
        }
        true
    });
    assert_eq!((replaced.map(|old| *old).ok(), seen), (Some(2), vec![100, 2]));
}

#[test]
fn a_panic_in_a_closure_leaves_the_map_as_it_was() {
    let domain = Domain::with_batch(1);
    let tree = EbTree::new_in(domain.clone());
    for key in 0..10_u64 {
        tree.insert(key, key);
    }
    let panics: [&dyn Fn(); 5] = [
        &|| drop(tree.update(&5, |_| panic!("on purpose"))),
        &|| drop(tree.compute(&5, |_| panic!("on purpose"))),
        &|| drop(tree.compute(&50, |_| panic!("on purpose"))),
        &|| drop(tree.replace_if(&5, 0, |_| panic!("on purpose"))),
        &|| drop(tree.update(&6, |_| *tree.update(&7, |_| panic!("on purpose")).unwrap())),
    ];
    for panic in panics {
        assert!(catch_unwind(AssertUnwindSafe(panic)).is_err());
    }
    domain.flush();
    assert_eq!(domain.unreclaimed(), 0, "no guard is left behind");
    assert!(tree.iter().map(|entry| *entry).eq(0..10));
    assert!(tree.update(&5, |value| value + 1).is_some());
    assert!(tree.into_iter().map(|(_, value)| value).eq([0, 1, 2, 3, 4, 6, 6, 7, 8, 9]));
}
