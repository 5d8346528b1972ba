//! The tree beside `BTreeMap` behind a mutex and behind a reader-writer lock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};

use ebtree::{Domain, EbTree};

use crate::interleave::{Contestant, Plan, Reached, interleave};
use crate::random::{Random, mix};

/// What is done with the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Look up keys that are there.
    Get,
    /// 90 % look-ups, 5 % inserts, 5 % removals, over twice the keys, half of them present.
    Mixed,
    /// Insert a fresh key, remove an old one.
    Churn,
    /// Insert at "now + n", take the first if it is due.
    Expiry,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Get, Self::Mixed, Self::Churn, Self::Expiry];

    /// Returns the name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Mixed => "90/5/5",
            Self::Churn => "churn",
            Self::Expiry => "expiry",
        }
    }
}

/// What every map can do.
trait Map: Sync {
    fn get(&self, key: u64) -> bool;
    fn insert(&self, key: u64);
    fn remove(&self, key: u64);
    fn pop_first_if(&self, due: u64) -> bool;
}

impl Map for EbTree<u64, u64> {
    fn get(&self, key: u64) -> bool {
        self.get_with(&key, |value| *value == key) == Some(true)
    }

    fn insert(&self, key: u64) {
        drop(self.insert(key, key));
    }

    fn remove(&self, key: u64) {
        drop(self.remove(&key));
    }

    fn pop_first_if(&self, due: u64) -> bool {
        self.pop_first_if(|key, _| *key <= due).is_some()
    }
}

impl Map for Mutex<BTreeMap<u64, u64>> {
    fn get(&self, key: u64) -> bool {
        self.lock().unwrap().get(&key) == Some(&key)
    }

    fn insert(&self, key: u64) {
        self.lock().unwrap().insert(key, key);
    }

    fn remove(&self, key: u64) {
        self.lock().unwrap().remove(&key);
    }

    fn pop_first_if(&self, due: u64) -> bool {
        let mut map = self.lock().unwrap();
        map.first_entry().filter(|first| *first.key() <= due).map(|first| first.remove()).is_some()
    }
}

impl Map for RwLock<BTreeMap<u64, u64>> {
    fn get(&self, key: u64) -> bool {
        self.read().unwrap().get(&key) == Some(&key)
    }

    fn insert(&self, key: u64) {
        self.write().unwrap().insert(key, key);
    }

    fn remove(&self, key: u64) {
        self.write().unwrap().remove(&key);
    }

    fn pop_first_if(&self, due: u64) -> bool {
        let mut map = self.write().unwrap();
        map.first_entry().filter(|first| *first.key() <= due).map(|first| first.remove()).is_some()
    }
}

const BATCH: u64 = 64;

/// A batch of operations; `clock` numbers fresh keys and ticks.
fn batch(map: &dyn Map, workload: Workload, n: u64, clock: &AtomicU64, random: &mut Random) -> u64 {
    for _ in 0..BATCH / 2 {
        match workload {
            Workload::Get => {
                for _ in 0..2 {
                    std::hint::black_box(map.get(mix(random.below(n))));
                }
            }
            Workload::Mixed => {
                for _ in 0..2 {
                    let key = mix(random.below(2 * n));
                    match random.below(20) {
                        0 => map.insert(key),
                        1 => map.remove(key),
                        _ => drop(std::hint::black_box(map.get(key))),
                    }
                }
            }
            Workload::Churn => {
                let at = clock.fetch_add(1, Ordering::Relaxed);
                map.insert(mix(at + n));
                map.remove(mix(at));
            }
            Workload::Expiry => {
                let now = clock.fetch_add(1, Ordering::Relaxed);
                map.insert(now + n);
                std::hint::black_box(map.pop_first_if(now));
            }
        }
    }
    BATCH
}

/// Runs one workload on maps of `n` keys.
#[must_use]
pub fn compare(workload: Workload, n: u64, plan: Plan) -> Vec<Reached> {
    let ours = EbTree::new_in(Domain::new());
    let mutex = Mutex::new(BTreeMap::new());
    let rwlock = RwLock::new(BTreeMap::new());
    let maps: [(&str, &dyn Map, AtomicU64); 3] = [
        ("ebtree", &ours, AtomicU64::new(0)),
        ("Mutex<BTreeMap>", &mutex, AtomicU64::new(0)),
        ("RwLock<BTreeMap>", &rwlock, AtomicU64::new(0)),
    ];
    for (_, map, _) in &maps {
        let key = |number| if workload == Workload::Expiry { number } else { mix(number) };
        (0..n).for_each(|number| map.insert(key(number)));
    }
    let contestants: Vec<_> = maps
        .iter()
        .map(|(name, map, clock)| {
            Contestant::new(name, move |random| batch(*map, workload, n, clock, random))
        })
        .collect();
    interleave(&contestants, plan)
}
