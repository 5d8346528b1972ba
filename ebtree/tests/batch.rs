//! Operations on many keys at once: what one after the other would give.
#![cfg(not(loom))]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use bolero::check;
use ebtree::{Domain, EbTree};

#[test]
fn like_one_after_the_other() {
    type Input = (u8, Vec<(u8, u16)>, Vec<u8>);
    check!().with_type::<Input>().for_each(|(bits, pairs, keys)| {
        let key = |k: u8| u64::from(k).rotate_right(5);
        let ours = EbTree::builder().domain(Domain::new()).fan_out(u32::from(bits % 5)).build();
        let oracle: BTreeMap<u64, u16> = pairs.iter().map(|(k, value)| (key(*k), *value)).collect();
        ours.insert_many(pairs.iter().map(|(k, value)| (key(*k), *value)));
        assert!(ours.iter().map(|it| (*it.key(), *it.value())).eq(oracle.clone()));

        let keys: Vec<u64> = keys.iter().map(|k| key(*k)).collect();
        let mut found = Vec::new();
        ours.get_many_with(&keys, |key, value| found.push((*key, value.copied())));
        assert!(
            found.iter().eq(&keys.iter().map(|k| (*k, oracle.get(k).copied())).collect::<Vec<_>>())
        );
        let entries = ours.get_many(&keys);
        let values = entries.iter().map(|it| it.as_ref().map(|it| (*it.key(), *it.value())));
        assert!(values.eq(keys.iter().map(|k| oracle.get(k).map(|value| (*k, *value)))));
    });
}

/// What a visit removes, what it looks up, and what it keeps of the entries.
#[test]
fn a_visit_may_use_the_tree() {
    let tree: EbTree<u64, u64> = EbTree::new_in(Domain::with_batch(1));
    tree.insert_many((0..200).map(|key| (key, key)));
    let keys: Vec<u64> = (0..200).rev().collect();
    let mut seen = 0;
    tree.get_many_with(&keys, |key, value| {
        // Removed by the visit of the key before, or just now.
        let Some(value) = value else { return };
        tree.remove(key);
        assert!(!tree.contains_key(key));
        tree.remove(&(key ^ 1));
        tree.insert(key + 1000, *value);
        tree.domain().flush();
        assert_eq!(value, key);
        seen += 1;
    });
    // A group is looked up before it is visited, so within one both of a pair are seen.
    assert!((100..=200).contains(&seen), "{seen}");
    assert_eq!(tree.len(), seen);
    let entries = tree.get_many(&keys.iter().map(|key| key + 1000).collect::<Vec<_>>());
    tree.clear();
    tree.domain().flush();
    for entry in entries.iter().flatten() {
        assert_eq!(*entry.key(), *entry.value() + 1000);
    }
    assert_eq!(entries.iter().flatten().count(), seen);
}

/// Nothing that a batch has found is freed before it is visited.
#[test]
fn what_was_found_stays_until_its_visit() {
    static DROPPED: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];
    struct Value(usize);
    impl Drop for Value {
        fn drop(&mut self) {
            DROPPED[self.0].fetch_add(1, Ordering::Relaxed);
        }
    }
    let tree = EbTree::new_in(Domain::with_batch(1));
    tree.insert_many((0..64).zip((0..64).map(Value)));
    let keys: Vec<u64> = (0..64).collect();
    tree.get_many_with(&keys, |key, value| {
        // The whole of this group was found; somebody else takes it away.
        let index = usize::try_from(*key).unwrap();
        if index % 16 == 0 {
            thread::scope(|scope| {
                let remover = scope.spawn(|| {
                    for key in *key..*key + 16 {
                        tree.remove(&key);
                    }
                    tree.domain().flush();
                });
                remover.join().unwrap();
            });
        }
        let value = value.expect("found before it was removed");
        assert_eq!(DROPPED[value.0].load(Ordering::Relaxed), 0, "dropped under the visitor");
    });
    tree.domain().flush();
    assert!(DROPPED.iter().all(|dropped| dropped.load(Ordering::Relaxed) == 1));
}

/// Keys that stay are found by every batch, beside writers that freeze edges all around them.
#[test]
fn what_stays_is_found_beside_writers() {
    let tree: EbTree<u64, u64> = EbTree::new_in(Domain::with_batch(8));
    let staying: Vec<u64> = (0..64).map(|number| number * 4).collect();
    tree.insert_many(staying.iter().map(|key| (*key, *key)));
    let (done, writes) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let mut writers = Vec::new();
        for writer in 0..2 {
            let (tree, done, writes) = (&tree, &done, &writes);
            writers.push(scope.spawn(move || {
                let mut number = writer;
                while !done.load(Ordering::Relaxed) {
                    number = (number + 7) % 256;
                    if number % 4 > 0 {
                        tree.insert(number, number);
                        tree.remove(&(((number * 5 + 1) % 256) | 1));
                    }
                    writes.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        while writes.load(Ordering::Relaxed) < 200_000 {
            tree.get_many_with(&staying, |key, value| assert_eq!(value, Some(key)));
        }
        done.store(true, Ordering::Relaxed);
        // One by one: the end of a scope is not seen by ThreadSanitizer.
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    });
}
