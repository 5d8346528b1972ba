//! The tree beside `BTreeMap` and a single-threaded elastic tree, each behind a mutex, behind a reader-writer lock, and split over
//! 64 of those; with the feature `rivals`, beside other concurrent maps too.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use ebtree::reclaim::Reclaimer;
use ebtree::{Domain, EbTree};

use crate::contestant::Who;
use crate::interleave::{Contestant, Plan, Reached, Watch, Work, interleave};
use crate::keys::{BATCH, Draw, Keys, Spread};
use crate::random::{Random, mix};
use crate::workload::Workload;

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

/// A map, and how it is worked on.
struct Subject {
    who: Who,
    map: Box<dyn Map>,
    /// Numbers fresh keys and ticks.
    clock: AtomicU64,
}

/// One of the maps at work.
struct Working<'a> {
    map: &'a dyn Map,
    clock: &'a AtomicU64,
    workload: Workload,
    n: u64,
    keys: &'a Keys,
}

impl Working<'_> {
    /// One operation: of `of` one is an insert and one a removal, and the others look up.
    fn mixed(&self, of: u64, draw: &mut Draw<'_>, watch: &mut impl Watch) -> u64 {
        let key = mix(draw.next());
        let kind = draw.random.below(of);
        watch.step(|| {
            match kind {
                0 => self.map.insert(key),
                1 => self.map.remove(key),
                _ => drop(std::hint::black_box(self.map.get(key))),
            }
            1
        })
    }

    /// One step, of one operation or several. Keys are drawn before it.
    fn step(&self, draw: &mut Draw<'_>, watch: &mut impl Watch) -> u64 {
        let map = self.map;
        match self.workload {
            Workload::Get => {
                let key = mix(draw.next());
                watch.step(|| {
                    std::hint::black_box(map.get(key));
                    1
                })
            }
            Workload::Get16 => {
                let keys = std::array::from_fn(|_| mix(draw.next()));
                watch.step(|| {
                    assert_eq!(map.get_16(&keys), 16);
                    16
                })
            }
            Workload::Mixed => self.mixed(20, draw, watch),
            Workload::Half => self.mixed(4, draw, watch),
            Workload::Churn => {
                let at = self.clock.fetch_add(1, Ordering::Relaxed);
                watch.step(|| {
                    map.insert(mix(at + self.n));
                    map.remove(mix(at));
                    2
                })
            }
            Workload::Scan => {
                let key = mix(draw.next());
                watch.step(|| {
                    std::hint::black_box(map.scan(key));
                    1
                })
            }
            Workload::Expiry => {
                let now = self.clock.fetch_add(1, Ordering::Relaxed);
                watch.step(|| {
                    map.insert(now + self.n);
                    std::hint::black_box(map.pop_first_if(now));
                    2
                })
            }
            Workload::Track | Workload::Ingest => unreachable!("of tables"),
        }
    }
}

impl Work for Working<'_> {
    fn batch(&self, random: &mut Random, watch: &mut impl Watch) -> u64 {
        let mut draw = self.keys.draw(random);
        let (mut done, target) = (0, if self.workload == Workload::Scan { 1 } else { BATCH });
        while done < target {
            done += self.step(&mut draw, watch);
        }
        done
    }
}

/// A tree with a root for each of `n` entries, or two.
pub(crate) fn fanned_out<R: Reclaimer + Default>(n: u64, domain: R) -> EbTree<u64, u64, R> {
    EbTree::builder().domain(domain).fan_out(n.next_power_of_two().ilog2()).build()
}

/// Makes an empty map, with room for so many entries where that matters.
pub(crate) type Make = fn(u64) -> Box<dyn Map>;

/// Returns every contestant.
pub(crate) fn maps() -> Vec<(Who, Make)> {
    let mut maps: Vec<(Who, Make)> = vec![
        (Who::ours(PLAIN), |_| Box::new(EbTree::new_in(Domain::new()))),
        (Who::ours(FANNED_OUT), |n| Box::new(fanned_out(n, Domain::new()))),
    ];
    maps.extend(crate::locked::maps());
    #[cfg(feature = "rivals")]
    maps.extend(crate::rivals::maps().into_iter().chain(crate::reclaimers::maps()));
    maps
}

/// Names of ours.
pub(crate) const PLAIN: &str = "ebtree";
pub(crate) const FANNED_OUT: &str = "ebtree, fanned out";

/// Full maps that take turns at one workload.
pub struct Arena {
    workload: Workload,
    n: u64,
    keys: Keys,
    subjects: Vec<Subject>,
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arena({:?}, {} entries)", self.workload, self.n)
    }
}

impl Arena {
    /// Fills every map that has an answer to this workload with `n` keys.
    #[must_use]
    pub fn new(workload: Workload, spread: Spread, n: u64) -> Self {
        Self::of(workload, spread, n, |_| true)
    }

    /// The same with those alone that are wanted.
    pub(crate) fn of(
        workload: Workload,
        spread: Spread,
        n: u64,
        is_wanted: impl Fn(&Who) -> bool,
    ) -> Self {
        let subjects: Vec<_> = maps()
            .into_iter()
            .filter(|(who, _)| is_wanted(who))
            .map(|(who, make)| Subject { who, map: make(n), clock: AtomicU64::new(0) })
            .filter(|subject| subject.map.can(workload))
            .collect();
        for subject in &subjects {
            let key = |number| if workload == Workload::Expiry { number } else { mix(number) };
            (0..n).for_each(|number| subject.map.insert(key(number)));
        }
        let of_which_half_is_there = matches!(workload, Workload::Mixed | Workload::Half);
        let keys = Keys::new(if of_which_half_is_there { 2 * n } else { n }, spread);
        Self { workload, n, keys, subjects }
    }

    /// Lets the maps take turns.
    #[must_use]
    pub fn run(&self, plan: Plan) -> Vec<Reached> {
        interleave(&self.contestants(), plan)
    }

    /// Returns the maps, ready to work.
    pub(crate) fn contestants(&self) -> Vec<Contestant<'_>> {
        self.subjects
            .iter()
            .map(|subject| {
                let work = Working {
                    map: &*subject.map,
                    clock: &subject.clock,
                    workload: self.workload,
                    n: self.n,
                    keys: &self.keys,
                };
                Contestant::new(subject.who.clone(), work)
            })
            .collect()
    }
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
        for (_, make) in maps() {
            works(&*make(1000));
        }
    }

    #[test]
    fn every_workload_is_run() {
        let plan =
            Plan { slices: 1, samples: 1, slice: std::time::Duration::from_millis(1), threads: 2 };
        for workload in Workload::ALL.into_iter().filter(|workload| !workload.is_of_tables()) {
            let reached = Arena::new(workload, Spread::Zipf, 100).run(plan);
            assert!(reached.iter().any(|one| one.who.name == PLAIN));
            let step = match workload {
                Workload::Get16 => 16,
                Workload::Churn | Workload::Expiry => 2,
                _ => 1,
            };
            for one in reached {
                assert!(one.mops > 0.0 && one.cpu_ns > 0.0, "{one:?}");
                assert_eq!(one.latency.unwrap().step, step);
            }
        }
    }
}
