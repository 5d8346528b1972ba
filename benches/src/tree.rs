//! The tree beside `BTreeMap` and a single-threaded elastic tree, each behind a mutex, behind a reader-writer lock, and split over
//! 64 of those; with the feature `rivals`, beside other concurrent maps too.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use ebtree::reclaim::Reclaimer;
use ebtree::{Domain, EbTree};

use crate::interleave::{Contestant, Plan, Reached, interleave};
use crate::random::{Random, mix};

/// What is done with the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// Look up keys that are there.
    Get,
    /// Look up sixteen keys that are there, at once where the map can.
    Get16,
    /// 90 % look-ups, 5 % inserts, 5 % removals, over twice the keys, half of them present.
    Mixed,
    /// The same with 50, 25 and 25 %.
    Half,
    /// Insert a fresh key, remove an old one.
    Churn,
    /// Look at a hundred entries in order, from one that is there.
    Scan,
    /// Insert at "now + n", take the first if it is due.
    Expiry,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Get, Self::Get16, Self::Mixed, Self::Half, Self::Churn, Self::Scan, Self::Expiry];

    /// Returns the name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Get16 => "get 16",
            Self::Mixed => "90/5/5",
            Self::Half => "50/25/25",
            Self::Churn => "churn",
            Self::Scan => "scan of 100",
            Self::Expiry => "expiry",
        }
    }
}

/// What every map can do.
pub(crate) trait Map: Sync {
    fn get(&self, key: u64) -> bool;
    /// How many of these keys are there.
    fn get_16(&self, keys: &[u64; 16]) -> usize {
        keys.iter().filter(|key| self.get(**key)).count()
    }
    fn insert(&self, key: u64);
    fn remove(&self, key: u64);
    fn pop_first_if(&self, due: u64) -> bool;
    /// The sum of the values of a hundred entries from this key on.
    fn scan(&self, from: u64) -> u64;
    /// Whether it has an answer to this.
    fn can(&self, _: Workload) -> bool {
        true
    }
}

/// Entries of a scan.
const SCANNED: usize = 100;

pub(crate) fn sum(values: impl Iterator<Item = u64>) -> u64 {
    values.take(SCANNED).fold(0, u64::wrapping_add)
}

impl<R: Reclaimer> Map for EbTree<u64, u64, R> {
    fn get(&self, key: u64) -> bool {
        self.get_with(&key, |value| *value == key) == Some(true)
    }

    fn get_16(&self, keys: &[u64; 16]) -> usize {
        let mut found = 0;
        self.get_many_with(keys, |key, value| found += usize::from(value == Some(key)));
        found
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

    fn scan(&self, from: u64) -> u64 {
        let (mut sum, mut left) = (0_u64, SCANNED);
        let _ = self.range_with(from.., |_, value| {
            sum = sum.wrapping_add(*value);
            left -= 1;
            if left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        sum
    }
}

const BATCH: u64 = 64;

/// Two operations: of `of` one is an insert and one a removal, and the others look up.
fn mixed(map: &dyn Map, n: u64, of: u64, random: &mut Random) {
    for _ in 0..2 {
        let key = mix(random.below(2 * n));
        match random.below(of) {
            0 => map.insert(key),
            1 => map.remove(key),
            _ => drop(std::hint::black_box(map.get(key))),
        }
    }
}

/// A batch of operations; `clock` numbers fresh keys and ticks.
fn batch(map: &dyn Map, workload: Workload, n: u64, clock: &AtomicU64, random: &mut Random) -> u64 {
    if workload == Workload::Get16 {
        for _ in 0..BATCH / 16 {
            let keys = std::array::from_fn(|_| mix(random.below(n)));
            assert_eq!(map.get_16(&keys), 16);
        }
        return BATCH;
    }
    if workload == Workload::Scan {
        std::hint::black_box(map.scan(mix(random.below(n))));
        return 1;
    }
    for _ in 0..BATCH / 2 {
        match workload {
            Workload::Get16 | Workload::Scan => unreachable!("done above"),
            Workload::Get => {
                for _ in 0..2 {
                    std::hint::black_box(map.get(mix(random.below(n))));
                }
            }
            Workload::Mixed => mixed(map, n, 20, random),
            Workload::Half => mixed(map, n, 4, random),
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

/// A tree with a root for each of `n` entries, or two.
pub(crate) fn fanned_out<R: Reclaimer + Default>(n: u64, domain: R) -> EbTree<u64, u64, R> {
    EbTree::builder().domain(domain).fan_out(n.next_power_of_two().ilog2()).build()
}

/// Runs one workload on maps of `n` keys.
#[must_use]
pub fn compare(workload: Workload, n: u64, plan: Plan) -> Vec<Reached> {
    let mut maps: Vec<(&str, Box<dyn Map>, AtomicU64)> = Vec::new();
    let mut add = |name, map| maps.push((name, map, AtomicU64::new(0)));
    add("ebtree", Box::new(EbTree::new_in(Domain::new())));
    add("ebtree, fanned out", Box::new(fanned_out(n, Domain::new())));
    for (name, map) in crate::locked::maps() {
        add(name, map);
    }
    #[cfg(feature = "rivals")]
    for (name, map) in crate::rivals::maps().into_iter().chain(crate::reclaimers::maps(n)) {
        add(name, map);
    }
    maps.retain(|(_, map, _)| map.can(workload));
    for (_, map, _) in &maps {
        let key = |number| if workload == Workload::Expiry { number } else { mix(number) };
        (0..n).for_each(|number| map.insert(key(number)));
    }
    let contestants: Vec<_> = maps
        .iter()
        .map(|(name, map, clock)| {
            Contestant::new(name, move |random| batch(&**map, workload, n, clock, random))
        })
        .collect();
    interleave(&contestants, plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map that answers wrongly would be a fast one.
    pub(crate) fn works(map: &dyn Map) {
        for key in [5, 1, 9] {
            map.insert(key);
        }
        assert!(map.get(5) && !map.get(2));
        assert_eq!(map.get_16(&[5, 2, 1, 9, 5, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 9]), 5);
        map.remove(5);
        assert!(!map.get(5));
        if map.can(Workload::Scan) {
            assert_eq!((map.scan(1), map.scan(2), map.scan(10)), (10, 9, 0));
        }
        if map.can(Workload::Expiry) {
            assert!(!map.pop_first_if(0) && map.pop_first_if(8) && !map.pop_first_if(8));
            assert!(!map.get(1) && map.get(9));
        }
    }

    #[test]
    fn contestants_answer() {
        works(&EbTree::new());
        works(&fanned_out(1000, Domain::new()));
        for (_, map) in crate::locked::maps() {
            works(&*map);
        }
        #[cfg(feature = "rivals")]
        for (_, map) in crate::rivals::maps().into_iter().chain(crate::reclaimers::maps(1000)) {
            works(&*map);
        }
    }
}
