//! A thread that is stopped in the middle of an operation, for as long as anybody likes, holds nobody up.
//!
//! Each test stops a thread in user code that the operation calls, lets two others finish a million operations on
//! the same keys, and only then lets the stopped one go on. A tree behind a lock could not pass: nobody would finish
//! anything, which the last test shows of it.
#![cfg(not(loom))]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, TryLockError};
use std::thread;

use ebtree::{Domain, EbTree};

const KEYS: u64 = 64;
const OTHERS: u64 = 2;
const EACH: u64 = if cfg!(debug_assertions) { 100_000 } else { 500_000 };

/// Where a thread stops: it says that it is there, and waits until it is let go.
struct Stop {
    here: Sender<()>,
    go_on: Receiver<()>,
}

impl Stop {
    fn stop(&self) {
        self.here.send(()).unwrap();
        self.go_on.recv().unwrap();
    }
}

/// Fills a tree, stops a thread inside `operation`, and runs the others beside it.
fn others_finish(operation: impl FnOnce(&EbTree<u64, u64>, &dyn Fn()) + Send) {
    let tree = EbTree::new_in(Domain::with_batch(64));
    for key in 0..KEYS {
        tree.insert(key, key);
    }
    let (here, is_here) = channel();
    let (let_go, go_on) = channel();
    let stop = Stop { here, go_on };
    let done = AtomicU64::new(0);
    thread::scope(|scope| {
        // In here, so that a failure lets the stopped thread go too.
        let let_go = let_go;
        let parked = scope.spawn(|| {
            let stop = stop;
            operation(&tree, &|| stop.stop());
        });
        is_here.recv().unwrap();
        let others: Vec<_> = (0..OTHERS)
            .map(|other| {
                scope.spawn({
                    let (tree, done) = (&tree, &done);
                    move || {
                        for turn in 0..EACH {
                            let key = (turn * 7 + other) % KEYS;
                            match turn % 5 {
                                0 => drop(tree.insert(key, turn)),
                                1 => drop(tree.remove(&key)),
                                2 => drop(tree.get(&key)),
                                3 => drop(tree.ge(&key)),
                                _ => {
                                    drop(tree.pop_first_if(|first, _| *first < 2));
                                }
                            }
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        for other in others {
            other.join().unwrap();
        }
        // What the stopped thread keeps is what its slots name: not what the others have removed since.
        tree.domain().flush();
        let kept = tree.domain().unreclaimed();
        assert!(kept <= 200, "{kept} objects are kept by one stopped thread");
        assert_eq!(done.load(Ordering::Relaxed), OTHERS * EACH);
        let_go.send(()).unwrap();
        parked.join().unwrap();
    });
}

#[test]
fn beside_a_reader_in_its_visitor() {
    others_finish(|tree, stop| {
        let seen = tree.get_with(&5, |value| {
            stop();
            *value
        });
        assert_eq!(seen, Some(5), "the value it found stays what it was");
    });
}

#[test]
fn beside_a_remover_that_is_deciding() {
    others_finish(|tree, stop| {
        let mut first = true;
        tree.remove_if(&9, |_| {
            if core::mem::take(&mut first) {
                stop();
            }
            true
        });
    });
}

#[test]
fn beside_a_timer_that_is_deciding() {
    others_finish(|tree, stop| {
        let mut first = true;
        let taken = tree.pop_first_if(|_, _| {
            if core::mem::take(&mut first) {
                stop();
            }
            true
        });
        drop(taken);
    });
}

#[test]
fn beside_a_walk() {
    others_finish(|tree, stop| {
        let mut walk = tree.iter();
        let first = walk.next().map(|entry| *entry.key());
        stop();
        let rest: Vec<u64> = walk.map(|entry| *entry.key()).collect();
        assert!(first < rest.first().copied() || rest.is_empty());
        assert!(rest.is_sorted_by(|a, b| a < b), "strictly ascending all the same");
    });
}

#[test]
fn beside_an_entry_that_is_kept() {
    others_finish(|tree, stop| {
        let entry = tree.get(&7).expect("nobody else is there yet");
        stop();
        assert_eq!((*entry.key(), *entry.value()), (7, 7));
    });
}

#[test]
fn beside_a_lock_holder_nobody_finishes() {
    let map = Mutex::new(BTreeMap::from([(1, 1)]));
    let (here, is_here) = channel();
    let (let_go, go_on) = channel::<()>();
    thread::scope(|scope| {
        let (map, let_go) = (&map, let_go);
        let parked = scope.spawn(move || {
            let map = map.lock().unwrap();
            here.send(()).unwrap();
            go_on.recv().unwrap();
            assert_eq!(map.get(&1), Some(&1));
        });
        is_here.recv().unwrap();
        let mut done = 0;
        for _ in 0..EACH {
            match map.try_lock() {
                Ok(map) => done += map.len(),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Poisoned(_)) => unreachable!("nobody panicked"),
            }
        }
        assert_eq!(done, 0, "not one operation beside a stopped holder");
        let_go.send(()).unwrap();
        parked.join().unwrap();
    });
}
