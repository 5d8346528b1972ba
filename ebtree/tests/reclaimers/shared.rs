//! By several threads.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use ebtree::EbTree;
use ebtree::reclaim::Reclaimer;

use super::support::{Census, Checked, Done, Random, all_end, is_bounded};

const THREADS: u64 = 8;
const STEPS: u64 = if cfg!(debug_assertions) { 4_000 } else { 40_000 };

/// Runs `run` on each of a number of threads, with its number, and waits for each: the end of a scope is not seen by
/// ThreadSanitizer.
fn on_threads<T: Send>(count: u64, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..count).map(|id| scope.spawn(move || run(id))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

pub(crate) fn values_are_read_alive_beside_writers<R: Reclaimer + Default>(new: impl Fn() -> R) {
    let (reclaimer, census) = (new(), Census::default());
    for bits in [0, 3] {
        let tree = EbTree::builder().domain(reclaimer.clone()).fan_out(bits).build();
        let key = |number: u64| number << 58 | number;
        on_threads(THREADS, |id| {
            let mut random = Random(id);
            let mut kept = Vec::new();
            for _ in 0..STEPS {
                let number = random.below(24);
                let at = key(number);
                match random.below(12) {
                    0..3 => drop(tree.insert(at, census.value(number))),
                    3..5 => drop(tree.remove(&at)),
                    5 => drop(tree.update(&at, |old| census.value(old.number()))),
                    6 => kept.push(tree.ge(&at)),
                    7 => kept.push(tree.pop_first()),
                    8 => tree.for_each_in(at.., |key, value| {
                        assert_eq!(value.number(), *key & 63);
                    }),
                    9 => {
                        let keys: Vec<u64> = (0..24).map(key).collect();
                        tree.get_many_with(&keys, |key, value| {
                            assert!(value.is_none_or(|value| value.number() == *key & 63));
                        });
                    }
                    _ => {
                        let seen = tree.get_with(&at, |value| value.number());
                        assert!(seen.is_none_or(|seen| seen == number));
                    }
                }
                if kept.len() > 20 {
                    for entry in kept.drain(..).flatten() {
                        assert_eq!(entry.number(), *entry.key() & 63);
                    }
                }
            }
        });
    }
    all_end(reclaimer, &census);
}

pub(crate) fn each_entry_goes_to_one_thread<R: Reclaimer + Default>(new: impl Fn() -> R) {
    let (reclaimer, census) = (new(), Census::default());
    let tree = EbTree::new_in(reclaimer.clone());
    let balances = on_threads(THREADS, |id| {
        let mut random = Random(id);
        let mut balance = 0;
        for step in 0..STEPS {
            let key = random.below(64);
            if random.below(2) == 0 {
                balance += isize::from(tree.try_insert(key, census.value(step)).is_ok());
            } else if random.below(4) == 0 {
                balance -= isize::from(tree.pop_last().is_some());
            } else {
                balance -= isize::from(tree.remove(&key).is_some());
            }
        }
        balance
    });
    assert_eq!(tree.len().cast_signed(), balances.into_iter().sum::<isize>());
    drop(tree);
    all_end(reclaimer, &census);
}

pub(crate) fn walks_pass_no_key_over<R: Reclaimer + Default>(new: impl Fn() -> R) {
    let (reclaimer, census) = (new(), Census::default());
    let tree = EbTree::new_in(reclaimer.clone());
    tree.insert_many((0..100_u64).map(|number| (number * 5, census.value(number * 5))));
    let done = AtomicBool::new(false);
    on_threads(3, |id| {
        if id == 0 {
            let _done = Done(&done);
            for _ in 0..200 {
                for forward in [true, false] {
                    let mut seen = Vec::new();
                    if forward {
                        seen.extend(tree.iter().map(|entry| entry.number()));
                    } else {
                        tree.for_each_in(.., |_, value| seen.push(value.number()));
                    }
                    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
                    let staying = seen.into_iter().filter(|key| key % 5 == 0);
                    assert!(staying.eq((0..100).map(|number| number * 5)));
                }
            }
            return;
        }
        let mut random = Random(id);
        while !done.load(Ordering::Relaxed) {
            let (key, other) = (random.below(500), random.below(500));
            tree.insert(key, census.value(key));
            if other % 5 != 0 {
                tree.remove(&other);
            }
        }
    });
    drop(tree);
    all_end(reclaimer, &census);
}

/// Where it is, is removed, and others free it as soon as nothing protects it.
pub(crate) fn a_walk_holds_where_it_is<R: Reclaimer + Default>(new: impl Fn() -> R) {
    const ENTRIES: u64 = 3_000;
    let reclaimer = new();
    let tree = EbTree::new_in(reclaimer.clone());
    let done = AtomicBool::new(false);
    on_threads(2, |id| {
        if id == 1 {
            while !done.load(Ordering::Relaxed) {
                reclaimer.flush();
                // Some crates look only when somebody retires.
                tree.insert(Checked::new(u64::MAX), ());
            }
            return;
        }
        let _done = Done(&done);
        for round in 0..10 {
            tree.insert_many((0..ENTRIES).map(|key| (Checked::new(key), ())));
            let visit = |key: &Checked| {
                if key.key < ENTRIES && key.key % 16 > 12 {
                    tree.remove(key);
                }
            };
            if round % 2 == 0 {
                tree.for_each_in(.., |key, ()| visit(key));
            } else {
                let ended: ControlFlow<()> = tree.range_back_with(.., |key, ()| {
                    visit(key);
                    ControlFlow::Continue(())
                });
                assert!(ended.is_continue());
            }
        }
    });
}

pub(crate) fn threads_end_with_garbage_of_theirs<R: Reclaimer + Default>(new: impl Fn() -> R) {
    let (reclaimer, census) = (new(), Census::default());
    let tree = Arc::new(EbTree::new_in(reclaimer.clone()));
    tree.insert(u64::MAX, census.value(0));
    for id in 0..20 {
        let (tree, census) = (Arc::clone(&tree), census.clone());
        let thread = thread::spawn(move || {
            for key in 0..10 + id * 7 {
                tree.insert(key, census.value(key));
                tree.remove(&key);
            }
        });
        thread.join().unwrap();
    }
    assert_eq!(tree.len(), 1);
    drop(tree);
    all_end(reclaimer, &census);
}

pub(crate) fn trees_go_in_any_order<R: Reclaimer + Default>(new: impl Fn() -> R) {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let (reclaimer, census) = (new(), Census::default());
        let mut trees: Vec<_> =
            (0..3).map(|_| Some(Arc::new(EbTree::new_in(reclaimer.clone())))).collect();
        for key in 0..300_u64 {
            for tree in trees.iter().flatten() {
                tree.insert(key, census.value(key));
                tree.remove(&(key / 2));
            }
        }
        for at in order {
            let tree = trees[at].take().unwrap();
            // On another thread each time.
            thread::spawn(move || drop(tree)).join().unwrap();
            for tree in trees.iter().flatten() {
                assert!(tree.iter().all(|entry| entry.number() == *entry.key()));
                tree.pop_last();
            }
        }
        all_end(reclaimer, &census);
    }
}

pub(crate) fn a_parked_reader_stops_nobody<R: Reclaimer + Default>(new: impl Fn() -> R) {
    const PAIRS: u64 = if cfg!(debug_assertions) { 20_000 } else { 200_000 };
    let (reclaimer, census) = (new(), Census::default());
    let tree = EbTree::new_in(reclaimer.clone());
    tree.insert(u64::MAX, census.value(7));
    let (parked, release, most) = (Barrier::new(2), Barrier::new(2), AtomicU64::new(0));
    on_threads(2, |id| {
        if id == 0 {
            let read = tree.get_with(&u64::MAX, |value| {
                parked.wait();
                release.wait();
                value.number()
            });
            assert_eq!(read, Some(7), "removed long ago, and still there to read");
            return;
        }
        parked.wait();
        drop(tree.remove(&u64::MAX));
        for key in 0..PAIRS {
            tree.insert(key, census.value(key));
            assert!(tree.remove(&key).is_some());
            most.fetch_max(census.alive() as u64, Ordering::Relaxed);
        }
        release.wait();
    });
    if is_bounded::<R>() {
        // Another crate's threshold is a thousand, or twice its hazard pointers, which other tests have too.
        assert!(most.into_inner() < 10_000);
    }
    drop(tree);
    all_end(reclaimer, &census);
}
