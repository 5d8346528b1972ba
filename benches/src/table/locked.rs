//! `HashMap`s behind locks, and the yardstick.

use std::collections::HashMap;
use std::sync::{Mutex, RwLock};

use crate::contestant::Who;

use super::{Clients, Counters, Make};

type Map = HashMap<u32, Counters>;

impl Clients for Mutex<Map> {
    fn request(&self, client: u32, now: u64) {
        self.lock().unwrap().entry(client).or_default().request(now);
    }

    fn hear(&self, client: u32, heard: u32, now: u64) {
        self.lock().unwrap().entry(client).or_default().learn(heard, now);
    }
}

impl Clients for RwLock<Map> {
    fn request(&self, client: u32, now: u64) {
        self.write().unwrap().entry(client).or_default().request(now);
    }

    fn hear(&self, client: u32, heard: u32, now: u64) {
        self.write().unwrap().entry(client).or_default().learn(heard, now);
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

    fn hear(&self, client: u32, heard: u32, now: u64) {
        let shard = &self.0[client as usize % SHARDS];
        shard.write().unwrap().entry(client).or_default().learn(heard, now);
    }
}

pub(super) fn all() -> [(Who, Make); 3] {
    let all: [(_, Make); 3] = [
        ("Mutex<HashMap>", |_| Box::new(Mutex::new(Map::new()))),
        ("RwLock<HashMap>", |_| Box::new(RwLock::new(Map::new()))),
        ("64 × RwLock<HashMap>", |_| {
            Box::new(Sharded((0..SHARDS).map(|_| RwLock::default()).collect()))
        }),
    ];
    all.map(|(name, make)| (Who::locked(name), make))
}
