//! `HashMap`s behind locks, and the yardstick.

use std::collections::HashMap;
use std::sync::{Mutex, RwLock};

use super::{Clients, Counters};

type Map = HashMap<u32, Counters>;

impl Clients for Mutex<Map> {
    fn request(&self, client: u32, now: u64) {
        self.lock().unwrap().entry(client).or_default().request(now);
    }
}

/// Picked by the low bits.
struct Sharded(Vec<RwLock<Map>>);

const SHARDS: usize = 64;

impl Clients for Sharded {
    fn request(&self, client: u32, now: u64) {
        let shard = &self.0[client as usize % SHARDS];
        shard.write().unwrap().entry(client).or_default().request(now);
    }
}

pub(super) fn all() -> [(&'static str, Box<dyn Clients>); 2] {
    [
        ("Mutex<HashMap>", Box::new(Mutex::new(Map::new()))),
        (
            "64 × RwLock<HashMap>",
            Box::new(Sharded((0..SHARDS).map(|_| RwLock::default()).collect())),
        ),
    ]
}
