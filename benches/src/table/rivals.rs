//! Other people's concurrent maps, caches and limiters, and the yardstick.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use moka::sync::Cache;
use stktable::Tick;
use stktable::data::freq_ctr::FreqCtr;

use super::{Clients, Counters, PERIOD_MS};
use crate::random::mix;

impl Clients for DashMap<u32, Counters> {
    fn request(&self, client: u32, now: u64) {
        self.entry(client).or_default().request(now);
    }
}

impl Clients for scc::HashMap<u32, Counters> {
    fn request(&self, client: u32, now: u64) {
        self.entry_sync(client).or_default().get_mut().request(now);
    }
}

/// Counters that several threads change.
#[derive(Default)]
struct Shared {
    tag: AtomicU32,
    requests: AtomicU32,
    rate: FreqCtr,
}

impl Shared {
    fn request(&self, now: u64) {
        self.tag.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.rate.add(Tick(now), 10_000, 1);
    }
}

/// Its entries expire, too.
impl Clients for Cache<u32, Arc<Shared>> {
    fn request(&self, client: u32, now: u64) {
        self.get_with(client, Arc::default).request(now);
    }
}

/// It keeps one rate, and no counter.
impl Clients for DefaultKeyedRateLimiter<u32> {
    fn request(&self, client: u32, _: u64) {
        let _ = std::hint::black_box(self.check_key(&client));
    }
}

/// What no table can beat: an array of slots of 32 bytes that is there beforehand, without growth, removal or expiry.
struct Flat(Vec<Slot>);

#[repr(align(32))]
#[derive(Default)]
struct Slot {
    /// One more than the client; 0 where the slot is free.
    key: AtomicU32,
    tag: AtomicU32,
    requests: AtomicU32,
    rate: FreqCtr,
}

const _: () = assert!(size_of::<Slot>() == 32);

impl Flat {
    fn new(n: u32) -> Self {
        let slots = (2 * n as usize).next_power_of_two();
        Self((0..slots).map(|_| Slot::default()).collect())
    }
}

impl Clients for Flat {
    fn request(&self, client: u32, now: u64) {
        let key = client + 1;
        let mask = self.0.len() - 1;
        let mut at = usize::try_from(mix(u64::from(client)) >> 20).expect("64 bits") & mask;
        let slot = loop {
            let slot = &self.0[at];
            let there = slot.key.load(Ordering::Relaxed);
            let is_ours = there == key
                || there == 0
                    && match slot.key.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed)
                    {
                        Ok(_) => true,
                        Err(now) => now == key,
                    };
            if is_ours {
                break slot;
            }
            at = (at + 1) & mask;
        };
        slot.tag.fetch_add(1, Ordering::Relaxed);
        slot.requests.fetch_add(1, Ordering::Relaxed);
        slot.rate.add(Tick(now), 10_000, 1);
    }
}

pub(super) fn all(n: u32) -> [(&'static str, Box<dyn Clients>); 5] {
    let quota = Quota::per_second(NonZeroU32::new(100).expect("not 0"));
    let cache = Cache::builder()
        .max_capacity(2 * u64::from(n))
        .time_to_idle(Duration::from_millis(60 * PERIOD_MS))
        .build();
    [
        ("dashmap", Box::new(DashMap::<u32, Counters>::new())),
        ("scc HashMap", Box::new(scc::HashMap::<u32, Counters>::new())),
        ("moka, which expires", Box::new(cache)),
        ("governor, one rate only", Box::new(RateLimiter::dashmap(quota))),
        ("flat array (yardstick)", Box::new(Flat::new(n))),
    ]
}
