//! Many threads on few keys. On x86 this proves nothing about orderings (the loom models are for that);
//! it finds lost and doubled entries, and under AddressSanitizer uses after free.
#![cfg(not(loom))]
#![expect(clippy::cast_possible_truncation, reason = "keys are few, and index vectors")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use ebtree::{Domain, EbTree};

/// A small generator, so that a run is reproduced by its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

/// Steps each thread does: enough to find what there is to find in CI; `STRESS_STEPS` for longer runs.
fn steps() -> u64 {
    std::env::var("STRESS_STEPS").ok().and_then(|steps| steps.parse().ok()).unwrap_or(100_000)
}

/// Counts how many of it there are.
struct Counted<'c>(&'c AtomicU64, u64);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Every operation on few keys, with 2, 4 and 8 threads: what was inserted is what was removed and what is
/// left, key by key, and every value is dropped once.
#[test]
fn nothing_is_lost_or_doubled() {
    static LIVE: AtomicU64 = AtomicU64::new(0);
    for (threads, keys) in [(2, 2), (4, 8), (8, 64), (8, 1024)] {
        let domain = Domain::with_batch(32);
        let tree: EbTree<u64, Counted<'static>> = EbTree::new_in(domain.clone());
        // How often each key was inserted where it was absent, less how often it was removed.
        let balance: Vec<AtomicU64> = (0..keys).map(|_| AtomicU64::new(0)).collect();
        thread::scope(|scope| {
            let (tree, balance) = (&tree, &balance);
            let spawn = |id: u64| {
                scope.spawn(move || {
                    let mut random = Random(0x1234_5678 + id);
                    let value = |key| {
                        LIVE.fetch_add(1, Ordering::Relaxed);
                        Counted(&LIVE, key)
                    };
                    let took = |key: u64| balance[key as usize].fetch_sub(1, Ordering::Relaxed);
                    for _ in 0..steps() / 8 {
                        let key = random.next() % keys;
                        match random.next() % 10 {
                            0 | 1 => {
                                if tree.insert(key, value(key)).is_none() {
                                    balance[key as usize].fetch_add(1, Ordering::Relaxed);
                                }
                            }
                            2 => {
                                if tree.try_insert(key, value(key)).is_ok() {
                                    balance[key as usize].fetch_add(1, Ordering::Relaxed);
                                }
                            }
                            3 | 4 => {
                                if let Some(entry) = tree.remove(&key) {
                                    assert_eq!((*entry.key(), entry.value().1), (key, key));
                                    took(key);
                                }
                            }
                            5 => {
                                if let Some(entry) = tree.pop_first() {
                                    took(*entry.key());
                                }
                            }
                            6 => {
                                let from = key;
                                let mut last = None;
                                for entry in tree.range(from..).take(5) {
                                    assert!(*entry.key() >= from && last < Some(*entry.key()));
                                    assert_eq!(entry.value().1, *entry.key());
                                    last = Some(*entry.key());
                                }
                            }
                            7 => {
                                if let Some(entry) = tree.lt(&key) {
                                    assert!(*entry.key() < key);
                                }
                            }
                            _ => {
                                if let Some(entry) = tree.get(&key) {
                                    assert_eq!(entry.value().1, key);
                                }
                            }
                        }
                    }
                })
            };
            let handles: Vec<_> = (0..threads).map(spawn).collect();
            // Joined one by one: the end of a scope does not wait for thread locals to be dropped.
            handles.into_iter().for_each(|handle| handle.join().unwrap());
        });
        let mut left = 0;
        for (key, balance) in balance.iter().enumerate() {
            let here = u64::from(tree.contains_key(&(key as u64)));
            assert_eq!(balance.load(Ordering::Relaxed), here, "key {key} with {threads} threads");
            left += here;
        }
        domain.flush();
        assert_eq!(
            domain.unreclaimed(),
            0,
            "all threads but this one have ended, and hold nothing"
        );
        assert_eq!(LIVE.load(Ordering::Relaxed), left);
        drop((tree, domain));
        assert_eq!(LIVE.load(Ordering::Relaxed), 0);
    }
}

/// Walks beside churn: keys that stay are never passed over, in either direction, and order is strict.
#[test]
fn walks_see_every_key_that_stays() {
    let tree: EbTree<u64, u64> = EbTree::new_in(Domain::with_batch(32));
    let keys = 1000;
    for key in (0..keys).step_by(5) {
        tree.insert(key, key);
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (tree, stop) = (&tree, &stop);
        let churn = |id: u64| {
            scope.spawn(move || {
                let mut random = Random(99 + id);
                while !stop.load(Ordering::Relaxed) {
                    let key = random.next() % keys;
                    if !key.is_multiple_of(5) {
                        tree.insert(key, key);
                        tree.remove(&(random.next() % (keys / 5) * 5 + 1));
                    }
                }
            })
        };
        let churning: Vec<_> = (0..3).map(churn).collect();
        let rounds = steps() / 1000;
        for _ in 0..rounds {
            let walked: Vec<u64> = tree.iter().map(|entry| *entry.key()).collect();
            assert!(walked.is_sorted_by(|a, b| a < b), "strictly ascending");
            let stayed = walked.iter().filter(|key| key.is_multiple_of(5));
            assert_eq!(stayed.count() as u64, keys / 5);
            // Backwards, by single searches.
            let mut at = keys;
            let mut met = 0;
            while let Some(entry) = tree.lt(&at) {
                assert!(*entry.key() < at);
                at = *entry.key();
                met += u64::from(at.is_multiple_of(5));
            }
            assert_eq!(met, keys / 5);
        }
        stop.store(true, Ordering::Relaxed);
        // Joined one by one: ThreadSanitizer does not see how a scope ends.
        churning.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
