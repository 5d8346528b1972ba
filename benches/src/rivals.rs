//! Other people's concurrent maps, as they are published.

use congee::{U64Congee, epoch};
use crossbeam_skiplist::SkipMap;
use dashmap::DashMap;
use scc::{Guard, TreeIndex};

use crate::contestant::Who;
use crate::tree::{Make, Map, sum};
use crate::workload::Workload;

impl Map for SkipMap<u64, u64> {
    fn get(&self, key: u64) -> bool {
        self.get(&key).is_some_and(|entry| *entry.value() == key)
    }

    fn insert(&self, key: u64) {
        self.insert(key, key);
    }

    fn remove(&self, key: u64) {
        self.remove(&key);
    }

    fn pop_first_if(&self, due: u64) -> bool {
        self.front().is_some_and(|first| *first.key() <= due && first.remove())
    }

    fn scan(&self, from: u64) -> u64 {
        sum(self.range(from..).map(|entry| *entry.value()))
    }
}

impl Map for TreeIndex<u64, u64> {
    fn get(&self, key: u64) -> bool {
        self.peek_with(&key, |_, value| *value == key) == Some(true)
    }

    fn insert(&self, key: u64) {
        // The key may be there: the mixed workload draws keys twice.
        let _ = self.insert_sync(key, key);
    }

    fn remove(&self, key: u64) {
        self.remove_sync(&key);
    }

    fn pop_first_if(&self, due: u64) -> bool {
        let first = self.iter(&Guard::new()).next().map(|(key, _)| *key);
        first.is_some_and(|key| key <= due && self.remove_sync(&key))
    }

    fn scan(&self, from: u64) -> u64 {
        sum(self.range(from.., &Guard::new()).map(|(_, value)| *value))
    }
}

impl Map for U64Congee<usize> {
    fn get(&self, key: u64) -> bool {
        self.get(key, &epoch::pin()) == Some(value(key))
    }

    fn insert(&self, key: u64) {
        self.insert(key, value(key), &epoch::pin()).expect("memory");
    }

    fn remove(&self, key: u64) {
        self.remove(key, &epoch::pin());
    }

    fn pop_first_if(&self, _: u64) -> bool {
        unreachable!("not asked for: the smallest key is found by a range scan only")
    }

    fn scan(&self, _: u64) -> u64 {
        unreachable!("not asked for: a range scan copies to a buffer of the caller's")
    }

    fn can(&self, workload: Workload) -> bool {
        !needs_order(workload)
    }
}

/// It holds values of a pointer's size only.
fn value(key: u64) -> usize {
    usize::try_from(key).expect("64 bits")
}

/// A map without order has no answer to these.
const fn needs_order(workload: Workload) -> bool {
    matches!(workload, Workload::Scan | Workload::Expiry)
}

impl Map for DashMap<u64, u64> {
    fn get(&self, key: u64) -> bool {
        self.get(&key).is_some_and(|value| *value == key)
    }

    fn insert(&self, key: u64) {
        self.insert(key, key);
    }

    fn remove(&self, key: u64) {
        self.remove(&key);
    }

    fn pop_first_if(&self, _: u64) -> bool {
        unreachable!("not asked for: there is no order")
    }

    fn scan(&self, _: u64) -> u64 {
        unreachable!("not asked for: there is no order")
    }

    fn can(&self, workload: Workload) -> bool {
        !needs_order(workload)
    }
}

impl Map for papaya::HashMap<u64, u64> {
    fn get(&self, key: u64) -> bool {
        self.pin().get(&key) == Some(&key)
    }

    fn get_16(&self, keys: &[u64; 16]) -> usize {
        let pinned = self.pin();
        keys.iter().filter(|key| pinned.get(*key) == Some(*key)).count()
    }

    fn insert(&self, key: u64) {
        self.pin().insert(key, key);
    }

    fn remove(&self, key: u64) {
        self.pin().remove(&key);
    }

    fn pop_first_if(&self, _: u64) -> bool {
        unreachable!("not asked for: there is no order")
    }

    fn scan(&self, _: u64) -> u64 {
        unreachable!("not asked for: there is no order")
    }

    fn can(&self, workload: Workload) -> bool {
        !needs_order(workload)
    }
}

/// Returns each of them.
pub(crate) fn maps() -> [(Who, Make); 5] {
    let maps: [(_, Make); 5] = [
        ("crossbeam SkipMap", |_| Box::new(SkipMap::new())),
        ("scc TreeIndex", |_| Box::new(TreeIndex::new())),
        ("congee", |_| Box::new(U64Congee::new())),
        ("dashmap (no order)", |_| Box::new(DashMap::new())),
        ("papaya (no order)", |_| Box::new(papaya::HashMap::new())),
    ];
    maps.map(|(name, make)| (Who::rival(name), make))
}
