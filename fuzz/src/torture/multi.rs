//! `EbMultiTree`: what was put in under a key was taken out once, or is there; of one thread's the older come first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use ebtree::{Domain, EbMultiTree};
use rand::RngExt;

use super::epoch::{self, Epoch, Plan, Worker};
use super::{Sabotage, Subject, Tally};
use crate::tree::counted::Counted;

const KEYS: u64 = 32;
const EPOCH: u64 = 60_000;

#[derive(Debug)]
pub(super) struct Multi {
    tree: EbMultiTree<u64, Counted>,
    domain: Domain,
    alive: Arc<AtomicUsize>,
    /// By key: how many were put in, less how many were taken out.
    balance: Vec<AtomicI64>,
    sabotage: Option<Sabotage>,
}

impl Multi {
    pub(super) fn new(sabotage: Option<Sabotage>) -> Self {
        let domain = Domain::new();
        Self {
            tree: EbMultiTree::new_in(domain.clone()),
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

    fn step(&self, worker: &mut Worker<'_>) {
        let key = worker.random.random_range(0..KEYS);
        let tree = &self.tree;
        match worker.random.random_range(0..8) {
            0..3 => {
                let value = Counted::new(worker.unique(), &self.alive);
                let Ok(entry) = tree.insert(key, value);
                assert_eq!(*entry.key(), key, "the entry that was put in");
                self.balance(key, 1);
            }
            3 | 4 => {
                if let Some(entry) = tree.remove_first(&key) {
                    assert_eq!(*entry.key(), key, "taken out under its key");
                    entry.value().number();
                    self.balance(key, -1);
                }
            }
            5 => {
                // By its identity: of several who have found it, one takes it out.
                let Some(entry) = tree.get(&key) else { return };
                worker.rest();
                if tree.remove(&entry) {
                    self.balance(key, -1);
                }
                entry.value().number();
            }
            6 => {
                if let Some(entry) = tree.pop_first() {
                    self.balance(*entry.key(), -1);
                }
            }
            _ => {
                // Numbers of one thread grow, so under one key its older ones come first.
                let mut last: BTreeMap<u64, u64> = BTreeMap::new();
                for entry in tree.get_all(&key).take(64) {
                    assert_eq!(*entry.key(), key, "a walk of one key");
                    let number = entry.value().number();
                    let before = last.insert(number >> 16, number);
                    assert!(before < Some(number), "an older one after {before:?}: {number}");
                    worker.rest();
                }
            }
        }
    }
}

impl Subject for Multi {
    fn epoch(&self, plan: Plan, number: u64, tally: &mut Tally) {
        match self.sabotage {
            Some(Sabotage::LostInsert) => self.balance(3, 1),
            Some(Sabotage::Leak) => std::mem::forget(Counted::new(1, &self.alive)),
            _ => {}
        }
        let Epoch { threads, operations, broke, .. } =
            epoch::run(plan, number, EPOCH, &|worker| self.step(worker));
        tally.threads += threads;
        tally.operations += operations;
        tally.violations.extend(broke);
        for (key, balance) in (0..).zip(&self.balance) {
            let there = i64::try_from(self.tree.get_all(&key).count()).unwrap_or(i64::MAX);
            let balance = balance.load(Ordering::Relaxed);
            if balance != there {
                tally
                    .violations
                    .push(format!("key {key}: {balance} should be there, and {there} are"));
            }
        }
        // It would only grow.
        while let Some(entry) = self.tree.pop_last() {
            self.balance(*entry.key(), -1);
        }
    }

    fn garbage(&self) -> usize {
        self.domain.unreclaimed()
    }

    fn stall(&self, until: &mut dyn FnMut()) {
        let mut walk = self.tree.iter();
        let held: Vec<_> = walk.by_ref().take(4).collect();
        until();
        for entry in &held {
            entry.value().number();
        }
        drop(walk.next());
    }

    fn end(self: Box<Self>, tally: &mut Tally) {
        let Self { tree, domain, alive, .. } = *self;
        domain.flush();
        let (left, there) = (domain.unreclaimed(), tree.iter().count());
        if left != 0 || alive.load(Ordering::Relaxed) != there {
            let alive = alive.load(Ordering::Relaxed);
            tally.violations.push(format!(
                "{left} nodes are left, {alive} values live, and {there} are in the tree"
            ));
        }
        drop((tree, domain));
        let alive = alive.load(Ordering::Relaxed);
        if alive != 0 {
            tally.violations.push(format!("{alive} values outlive their tree"));
        }
    }
}
