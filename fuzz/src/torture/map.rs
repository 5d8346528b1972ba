//! `EbTree`, with one root or many: every value belongs to somebody, and is dropped once; what is told of some keys has an order.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use ebtree::{Domain, EbTree};
use rand::RngExt;

use super::epoch::{self, Epoch, Plan, Worker};
use super::judge::{ABSENT, Call, Event, Value, order};
use super::{Sabotage, Subject, Tally};
use crate::tree::counted::Counted;

/// Keys that all threads fight for, of which the first are judged.
const HOT: u64 = 64;
const JUDGED: u64 = 6;
const KEYS: u64 = 4_096;
/// Operations between two looks at everything.
const EPOCH: u64 = 60_000;

type Tree = EbTree<u64, Counted>;

#[derive(Debug)]
pub(super) struct Map {
    tree: Tree,
    domain: Domain,
    alive: Arc<AtomicUsize>,
    /// By key: how often it was put where it was absent, less how often it was taken away.
    balance: Vec<AtomicI64>,
    sabotage: Option<Sabotage>,
}

impl Map {
    pub(super) fn new(roots: u32, sabotage: Option<Sabotage>) -> Self {
        let domain = Domain::new();
        let tree = EbTree::builder().domain(domain.clone()).fan_out_over(roots, 0..=KEYS).build();
        Self {
            tree,
            domain,
            alive: Arc::default(),
            balance: (0..KEYS).map(|_| AtomicI64::new(0)).collect(),
            sabotage,
        }
    }

    fn balance(&self, key: u64, by: i64) {
        if let Some(balance) = self.balance.get(usize::try_from(key).unwrap_or(usize::MAX)) {
            balance.fetch_add(by, Ordering::Relaxed);
        }
    }

    fn value(&self, number: u64) -> Counted {
        Counted::new(number, &self.alive)
    }

    /// One operation on a key, which tells of it.
    fn one(&self, worker: &mut Worker<'_>, key: u64) -> Call {
        let tree = &self.tree;
        let new = worker.unique();
        let number = |entry: Option<ebtree::Entry<'_, u64, Counted>>| {
            entry.map_or(ABSENT, |entry| entry.number())
        };
        match worker.random.random_range(0..12) {
            0 | 1 => {
                let old = number(tree.insert(key, self.value(new)));
                self.balance(key, i64::from(old == ABSENT));
                Call::Insert(new, old)
            }
            2 | 3 => {
                let old = tree.try_insert(key, self.value(new)).err().map(|(old, _)| old);
                let old = number(old);
                self.balance(key, i64::from(old == ABSENT));
                Call::TryInsert(new, old)
            }
            4 | 5 => {
                let old = number(tree.remove(&key));
                self.balance(key, -i64::from(old != ABSENT));
                Call::Remove(old)
            }
            6 => {
                let mut seen = ABSENT;
                let removed = tree.remove_if(&key, |value| {
                    seen = value.number();
                    worker.rest();
                    seen.is_multiple_of(2)
                });
                self.balance(key, -i64::from(removed));
                if removed { Call::Swap(seen, ABSENT) } else { Call::Get(seen) }
            }
            7 => {
                let mut old = ABSENT;
                let changed = tree.update(&key, |value| {
                    old = value.number();
                    worker.rest();
                    self.value(new)
                });
                if changed.is_some() { Call::Swap(old, new) } else { Call::Get(ABSENT) }
            }
            8 => {
                let Some(held) = tree.get(&key) else { return Call::Get(ABSENT) };
                worker.rest();
                let old = held.number();
                match tree.compare_exchange(&held, self.value(new)) {
                    Ok(_) => Call::Swap(old, new),
                    Err(refused) => Call::Get(number(refused.current)),
                }
            }
            _ => {
                let mut seen = ABSENT;
                tree.get_with(&key, |value| {
                    worker.rest();
                    seen = value.number();
                });
                Call::Get(seen)
            }
        }
    }

    /// What looks at several keys.
    fn many(&self, worker: &mut Worker<'_>, key: u64) {
        match worker.random.random_range(0..4) {
            0 => {
                if let Some(entry) = self.tree.pop_first_if(|key, _| *key >= HOT) {
                    self.balance(*entry.key(), -1);
                }
            }
            1 => {
                let (mut last, mut seen) = (None, 0);
                let _ = self.tree.range_with(key.., |key, value| {
                    assert!(last < Some(*key), "a walk goes back from {last:?} to {key}");
                    value.number();
                    last = Some(*key);
                    seen += 1;
                    worker.rest();
                    if seen < 20 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                });
            }
            2 => {
                let many: Vec<u64> = (0..16).map(|_| worker.random.random_range(0..KEYS)).collect();
                let mut at = many.iter();
                self.tree.get_many_with(&many, |key, value| {
                    assert_eq!(at.next(), Some(key), "a batch is in its order");
                    let _ = value.map(Counted::number);
                });
            }
            _ => {
                if let Some(entry) = self.tree.lt(&key) {
                    assert!(*entry.key() < key, "{} is not below {key}", entry.key());
                }
            }
        }
    }

    fn step(&self, worker: &mut Worker<'_>) {
        if worker.once_in(16) {
            let key = worker.random.random_range(0..KEYS);
            return self.many(worker, key);
        }
        let key = match worker.random.random_range(0..4) {
            0 => worker.random.random_range(HOT..KEYS),
            _ => worker.random.random_range(0..HOT),
        };
        if key >= JUDGED {
            self.one(worker, key);
            return;
        }
        let clock = worker.clock;
        let mut event = clock.time(|| self.one(worker, key));
        if self.sabotage == Some(Sabotage::StaleAnswer) && worker.once_in(1_000) {
            event.call = Call::Get(u64::MAX);
        }
        worker.events.push((key, event));
    }

    fn there(&self, key: u64) -> Value {
        self.tree.get_with(&key, Counted::number).unwrap_or(ABSENT)
    }
}

impl Subject for Map {
    fn epoch(&self, plan: Plan, number: u64, tally: &mut Tally) {
        let before: Vec<Value> = (0..JUDGED).map(|key| self.there(key)).collect();
        if self.sabotage == Some(Sabotage::LostInsert) {
            self.balance(7, 1);
        }
        if self.sabotage == Some(Sabotage::Leak) {
            std::mem::forget(self.value(1));
        }
        let Epoch { threads, operations, events, broke } =
            epoch::run(plan, number, EPOCH, &|worker| self.step(worker));
        tally.threads += threads;
        tally.operations += operations;
        tally.violations.extend(broke);
        let mut histories: BTreeMap<u64, Vec<Vec<Event>>> = BTreeMap::new();
        let places = events.len();
        for (place, events) in events.into_iter().enumerate() {
            for (key, event) in events {
                histories.entry(key).or_insert_with(|| vec![Vec::new(); places])[place].push(event);
            }
        }
        for (key, history) in histories {
            let start = usize::try_from(key)
                .ok()
                .and_then(|key| before.get(key))
                .copied()
                .unwrap_or(ABSENT);
            tally.judged += history.iter().map(|events| events.len() as u64).sum::<u64>();
            if !order(&history, start, self.there(key)) {
                tally.violations.push(format!("what was told of key {key} has no order"));
            }
        }
        for (key, balance) in (0..).zip(&self.balance) {
            let (balance, there) =
                (balance.load(Ordering::Relaxed), i64::from(self.tree.contains_key(&key)));
            if balance != there {
                tally.violations.push(format!(
                    "key {key}: put there {balance} times more than taken, and {there} is there"
                ));
            }
        }
    }

    fn garbage(&self) -> usize {
        self.domain.unreclaimed()
    }

    fn stall(&self, until: &mut dyn FnMut()) {
        let held: Vec<_> = self.tree.iter().take(8).collect();
        let mut walk = self.tree.range(HOT..);
        let _ = walk.next();
        until();
        for entry in &held {
            entry.number();
        }
        drop(walk.next());
    }

    fn end(self: Box<Self>, tally: &mut Tally) {
        let Self { tree, domain, alive, .. } = *self;
        domain.flush();
        let (left, there) = (domain.unreclaimed(), tree.iter().count());
        if left != 0 {
            tally.violations.push(format!("{left} nodes are left that nobody uses"));
        }
        if alive.load(Ordering::Relaxed) != there {
            tally.violations.push(format!(
                "{} values live, and {there} are in the tree",
                alive.load(Ordering::Relaxed)
            ));
        }
        drop(tree);
        domain.flush();
        drop(domain);
        let alive = alive.load(Ordering::Relaxed);
        if alive != 0 {
            tally.violations.push(format!("{alive} values outlive their tree"));
        }
    }
}
