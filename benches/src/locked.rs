//! Single-threaded trees behind locks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};

use crate::contestant::Who;
use crate::elastic::Elastic;
use crate::tree::{Make, Map, sum};
use crate::workload::Workload;

/// What a lock is put around.
trait Single: Send + Sync {
    fn new() -> Self;
    fn get(&self, key: u64) -> bool;
    fn insert(&mut self, key: u64);
    fn remove(&mut self, key: u64);
    fn pop_first_if(&mut self, due: u64) -> bool;
    fn first_key(&self) -> Option<u64>;
    fn scan(&self, from: u64) -> u64;
}

impl Single for BTreeMap<u64, u64> {
    fn new() -> Self {
        Self::new()
    }

    fn get(&self, key: u64) -> bool {
        self.get(&key) == Some(&key)
    }

    fn insert(&mut self, key: u64) {
        self.insert(key, key);
    }

    fn remove(&mut self, key: u64) {
        self.remove(&key);
    }

    fn pop_first_if(&mut self, due: u64) -> bool {
        self.first_entry().filter(|first| *first.key() <= due).map(|first| first.remove()).is_some()
    }

    fn first_key(&self) -> Option<u64> {
        self.first_key_value().map(|(key, _)| *key)
    }

    fn scan(&self, from: u64) -> u64 {
        sum(self.range(from..).map(|(_, value)| *value))
    }
}

impl Single for Elastic {
    fn new() -> Self {
        Self::new()
    }

    fn get(&self, key: u64) -> bool {
        self.get(key) == Some(key)
    }

    fn insert(&mut self, key: u64) {
        self.insert(key, key);
    }

    fn remove(&mut self, key: u64) {
        self.remove(key);
    }

    fn pop_first_if(&mut self, due: u64) -> bool {
        self.pop_first_if(due)
    }

    fn first_key(&self) -> Option<u64> {
        self.first_key()
    }

    fn scan(&self, from: u64) -> u64 {
        sum(self.values_from(from))
    }
}

impl<T: Single> Map for Mutex<T> {
    fn get(&self, key: u64) -> bool {
        self.lock().unwrap().get(key)
    }

    fn insert(&self, key: u64) {
        self.lock().unwrap().insert(key);
    }

    fn remove(&self, key: u64) {
        self.lock().unwrap().remove(key);
    }

    fn pop_first_if(&self, due: u64) -> bool {
        self.lock().unwrap().pop_first_if(due)
    }

    fn scan(&self, from: u64) -> u64 {
        self.lock().unwrap().scan(from)
    }
}

impl<T: Single> Map for RwLock<T> {
    fn get(&self, key: u64) -> bool {
        self.read().unwrap().get(key)
    }

    fn insert(&self, key: u64) {
        self.write().unwrap().insert(key);
    }

    fn remove(&self, key: u64) {
        self.write().unwrap().remove(key);
    }

    fn pop_first_if(&self, due: u64) -> bool {
        self.write().unwrap().pop_first_if(due)
    }

    fn scan(&self, from: u64) -> u64 {
        self.read().unwrap().scan(from)
    }
}

/// Trees behind locks of their own, picked by the low bits of the key: no order but within each. To take the smallest of all, who
/// wants it looks at a hint beside each lock, and takes from the one whose hint is smallest: with others at work it
/// may not be the smallest of all any more.
struct Sharded<T>(Vec<Shard<T>>);

/// Alone on its cache lines.
#[repr(align(128))]
struct Shard<T> {
    tree: RwLock<T>,
    /// The smallest key, as of the last change. Written under the lock.
    smallest: AtomicU64,
}

const SHARDS: u64 = 64;

impl<T: Single> Sharded<T> {
    fn new() -> Self {
        let shard = |_| Shard { tree: RwLock::new(T::new()), smallest: AtomicU64::new(u64::MAX) };
        Self((0..SHARDS).map(shard).collect())
    }

    fn shard(&self, key: u64) -> &Shard<T> {
        &self.0[(key % SHARDS) as usize]
    }
}

impl<T: Single> Shard<T> {
    fn change<V>(&self, change: impl FnOnce(&mut T) -> V) -> V {
        let mut tree = self.tree.write().unwrap();
        let changed = change(&mut tree);
        let smallest = tree.first_key().unwrap_or(u64::MAX);
        self.smallest.store(smallest, Ordering::Relaxed);
        changed
    }
}

impl<T: Single> Map for Sharded<T> {
    fn get(&self, key: u64) -> bool {
        self.shard(key).tree.read().unwrap().get(key)
    }

    fn insert(&self, key: u64) {
        // A key that is not the smallest costs one look at the hint.
        let shard = self.shard(key);
        let mut tree = shard.tree.write().unwrap();
        tree.insert(key);
        if key < shard.smallest.load(Ordering::Relaxed) {
            shard.smallest.store(key, Ordering::Relaxed);
        }
    }

    fn remove(&self, key: u64) {
        let shard = self.shard(key);
        if key == shard.smallest.load(Ordering::Relaxed) {
            shard.change(|tree| tree.remove(key));
        } else {
            shard.tree.write().unwrap().remove(key);
        }
    }

    fn pop_first_if(&self, due: u64) -> bool {
        let smallest = |shard: &&Shard<T>| shard.smallest.load(Ordering::Relaxed);
        let shard = self.0.iter().min_by_key(smallest).expect("64 of them");
        smallest(&shard) <= due && shard.change(|tree| tree.pop_first_if(due))
    }

    fn scan(&self, _: u64) -> u64 {
        unreachable!("not asked for: there is no common order")
    }

    fn can(&self, workload: Workload) -> bool {
        workload != Workload::Scan
    }
}

/// Returns each of them.
pub(crate) fn maps() -> [(Who, Make); 6] {
    let maps: [(_, Make); 6] = [
        ("Mutex<BTreeMap>", |_| Box::new(Mutex::new(BTreeMap::new()))),
        ("RwLock<BTreeMap>", |_| Box::new(RwLock::new(BTreeMap::new()))),
        ("64 × RwLock<BTreeMap>", |_| Box::new(Sharded::<BTreeMap<_, _>>::new())),
        ("Mutex<elastic>", |_| Box::new(Mutex::new(Elastic::new()))),
        ("RwLock<elastic>", |_| Box::new(RwLock::new(Elastic::new()))),
        ("64 × RwLock<elastic>", |_| Box::new(Sharded::<Elastic>::new())),
    ];
    maps.map(|(name, make)| (Who::locked(name), make))
}
