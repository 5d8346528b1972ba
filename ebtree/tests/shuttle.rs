//! Random schedules of scenarios too long for loom, which tries every schedule of short ones.
//!
//! ```text
//! RUSTFLAGS="--cfg loom --cfg shuttle" SHUTTLE_SCHEDULES=100000 cargo test --release -p ebtree --test shuttle
//! ```
//!
//! Freed objects are kept and marked, so a use after the end fails. Atomics are sequentially consistent here: orderings are
//! loom's to check.
#![cfg(shuttle)]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ebtree::{Domain, EbTree, Mutant, with_mutant};
use shuttle::rand::{Rng as _, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

const KEYS: u64 = 8;

/// Schedules of each kind.
fn schedules() -> usize {
    let schedules = std::env::var("SHUTTLE_SCHEDULES").ok();
    schedules.and_then(|schedules| schedules.parse().ok()).unwrap_or(300)
}

/// One of every operation, and what it did to the number of entries of its key.
fn step(tree: &EbTree<u64, u64>, balance: &[AtomicI64]) {
    let mut random = thread_rng();
    let key = random.gen_range(0..KEYS);
    let add = |key: u64, by: i64| balance[key as usize].fetch_add(by, Ordering::Relaxed);
    let is_right = |key: &u64, value: &u64| assert_eq!(key, value);
    match random.gen_range(0..16) {
        0 | 1 => {
            if tree.insert(key, key).is_none() {
                add(key, 1);
            }
        }
        2 => {
            if tree.try_insert(key, key).is_ok() {
                add(key, 1);
            }
        }
        3 | 4 => {
            if let Some(removed) = tree.remove(&key) {
                is_right(removed.key(), removed.value());
                add(key, -1);
            }
        }
        5 => {
            if tree.remove_if(&key, |value| *value == key) {
                add(key, -1);
            }
        }
        6 => {
            let popped = if random.gen_bool(0.5) { tree.pop_first() } else { tree.pop_last() };
            if let Some(popped) = popped {
                is_right(popped.key(), popped.value());
                add(*popped.key(), -1);
            }
        }
        7 => {
            if let Some(there) = tree.get(&key) {
                shuttle::thread::yield_now();
                is_right(&key, there.value());
            }
        }
        8 => {
            if let Some(near) = tree.ge(&key) {
                assert!(*near.key() >= key);
            }
            if let Some(near) = tree.lt(&key) {
                assert!(*near.key() < key);
            }
        }
        9 => {
            let mut last = None;
            let _ = tree.range_with(.., |key, value| {
                is_right(key, value);
                assert!(last < Some(*key));
                last = Some(*key);
                ControlFlow::<()>::Continue(())
            });
        }
        10 => {
            let keys = [key, (key + 3) % KEYS, (key + 5) % KEYS];
            tree.get_many_with(&keys, |key, value| assert!(value.is_none_or(|value| value == key)));
        }
        11 => {
            let new = tree.update(&key, |value| {
                is_right(&key, value);
                *value
            });
            new.iter().for_each(|new| is_right(new.key(), new.value()));
        }
        12 => {
            // Inserts where nothing is, and removes what is there.
            let change = tree.compute(&key, |there| there.is_none().then_some(key));
            let entry = change.before.as_ref().or(change.after.as_ref()).expect("one of them");
            is_right(entry.key(), entry.value());
            add(key, if change.after.is_some() { 1 } else { -1 });
        }
        13 => {
            if let Some(held) = tree.get(&key) {
                let exchanged = tree.compare_exchange(&held, key);
                is_right(&key, held.value());
                if let Err(refused) = exchanged {
                    refused.current.iter().for_each(|now| is_right(now.key(), now.value()));
                }
            }
        }
        14 => {
            if let Some(held) = tree.get(&key) {
                shuttle::thread::yield_now();
                if tree.remove_entry(&held) {
                    add(key, -1);
                }
                is_right(&key, held.value());
            }
        }
        _ => tree.domain().flush(),
    }
}

fn scenario() {
    let tree: Arc<EbTree<u64, u64>> = Arc::new(EbTree::new_in(Domain::with_batch(4)));
    let balance: Arc<Vec<AtomicI64>> = Arc::new((0..KEYS).map(|_| AtomicI64::new(0)).collect());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (tree, balance) = (Arc::clone(&tree), Arc::clone(&balance));
            shuttle::thread::spawn(move || (0..25).for_each(|_| step(&tree, &balance)))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    for key in 0..KEYS {
        let left = balance[key as usize].load(Ordering::Relaxed);
        assert_eq!(left, i64::from(tree.contains_key(&key)), "entries of {key}");
    }
    tree.domain().flush();
}

/// Stacks are deep in debug builds.
fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    config
}

/// Every step may be followed by one of any other thread.
fn random(mutant: Option<Mutant>) {
    with_mutant(mutant, || {
        Runner::new(RandomScheduler::new(schedules()), config()).run(scenario);
    });
}

/// Few preemptions, at random places, so that a thread may stand while others do much (Burckhardt et al., *A
/// Randomized Scheduler with Probabilistic Guarantees of Finding Bugs*, ASPLOS 2010).
fn few_preemptions(mutant: Option<Mutant>) {
    with_mutant(mutant, || {
        for preemptions in 2..=4 {
            Runner::new(PctScheduler::new(preemptions, schedules()), config()).run(scenario);
        }
    });
}

#[test]
fn random_schedules() {
    random(None);
}

#[test]
fn schedules_of_few_preemptions() {
    few_preemptions(None);
}

/// The faults that short models find are found here too, so this looks where it should.
macro_rules! found {
    ($($name:ident $mutant:ident $by:ident)*) => {$(
        #[test]
        #[should_panic]
        fn $name() {
            $by(Some(Mutant::$mutant));
        }
    )*};
}

found! {
    without_validation NoValidation few_preemptions
    without_validation_of_reads NoReadValidation few_preemptions
    without_the_survivors_flag FlagLost random
    without_a_look_at_guards GuardsNotScanned random
}
