//! Other people's concurrent maps, as they are published.

use congee::{U64Congee, epoch};
use crossbeam_skiplist::SkipMap;
use scc::{Guard, TreeIndex};

use crate::tree::{Map, Workload, sum};

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
        !matches!(workload, Workload::Scan | Workload::Expiry)
    }
}

/// It holds values of a pointer's size only.
fn value(key: u64) -> usize {
    usize::try_from(key).expect("64 bits")
}

/// Returns each of them, empty.
pub(crate) fn maps() -> [(&'static str, Box<dyn Map>); 3] {
    [
        ("crossbeam SkipMap", Box::new(SkipMap::new())),
        ("scc TreeIndex", Box::new(TreeIndex::new())),
        ("congee", Box::new(U64Congee::new())),
    ]
}
