//! Other people's concurrent maps, caches and limiters, and the yardstick.

use std::hash::RandomState;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use governor::{DefaultKeyedRateLimiter, Quota};
use moka::sync::Cache;
use stktable::Tick;
use stktable::data::freq_ctr::FreqCtr;

use super::{Clients, Counters, Make, PERIOD_MS};
use crate::contestant::Who;
use crate::random::mix;
use crate::workload::Workload;

impl Clients for DashMap<u32, Counters> {
    fn request(&self, client: u32, now: u64) {
        self.entry(client).or_default().request(now);
    }

    fn hear(&self, client: u32, heard: u32, now: u64) {
        self.entry(client).or_default().learn(heard, now);
    }
}

impl Clients for scc::HashMap<u32, Counters> {
    fn request(&self, client: u32, now: u64) {
        self.entry_sync(client).or_default().get_mut().request(now);
    }

    fn hear(&self, client: u32, heard: u32, now: u64) {
        self.entry_sync(client).or_default().get_mut().learn(heard, now);
    }
}

/// The period of the rate, as rates take it.
const PERIOD: u32 = 10_000;

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
        self.rate.add(Tick(now), PERIOD, 1);
    }

    fn learn(&self, heard: u32, now: u64) {
        self.tag.store(heard, Ordering::Relaxed);
        self.requests.store(heard, Ordering::Relaxed);
        self.rate.set_from_peer(Tick(now), 0, heard, 0, PERIOD);
    }
}

type Papaya<'m> = papaya::HashMapRef<'m, u32, Shared, RandomState, papaya::LocalGuard<'m>>;

/// Looks first: to insert what is there already takes ten times as long.
fn counters<'m>(pinned: &'m Papaya<'_>, client: u32) -> &'m Shared {
    pinned.get(&client).unwrap_or_else(|| pinned.get_or_insert_with(client, Shared::default))
}

impl Clients for papaya::HashMap<u32, Shared> {
    fn request(&self, client: u32, now: u64) {
        counters(&self.pin(), client).request(now);
    }

    fn hear(&self, client: u32, heard: u32, now: u64) {
        counters(&self.pin(), client).learn(heard, now);
    }
}

/// Its entries expire, too.
impl Clients for Cache<u32, Arc<Shared>> {
    fn request(&self, client: u32, now: u64) {
        self.get_with(client, Arc::default).request(now);
    }

    fn hear(&self, client: u32, heard: u32, now: u64) {
        self.get_with(client, Arc::default).learn(heard, now);
    }
}

/// It keeps one rate, and no counter.
impl Clients for DefaultKeyedRateLimiter<u32> {
    fn request(&self, client: u32, _: u64) {
        let _ = std::hint::black_box(self.check_key(&client));
    }

    fn hear(&self, _: u32, _: u32, _: u64) {
        unreachable!("not asked for: nothing can be set")
    }

    fn can(&self, workload: Workload) -> bool {
        workload != Workload::Ingest
    }
}

/// What no table can beat: an array of slots of 32 bytes that is there beforehand, without growth, removal or expiry.
struct Flat(Vec<Slot>);

#[repr(align(32))]
#[derive(Default)]
struct Slot {
    /// One more than the client; 0 where the slot is free.
    key: AtomicU32,
    counters: Shared,
}

const _: () = assert!(size_of::<Slot>() == 32);

impl Flat {
    fn new(n: u32) -> Self {
        let slots = (2 * n as usize).next_power_of_two();
        Self((0..slots).map(|_| Slot::default()).collect())
    }

    fn slot(&self, client: u32) -> &Shared {
        let key = client + 1;
        let mask = self.0.len() - 1;
        let mut at = usize::try_from(mix(u64::from(client)) >> 20).expect("64 bits") & mask;
        loop {
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
                return &slot.counters;
            }
            at = (at + 1) & mask;
        }
    }
}

impl Clients for Flat {
    fn request(&self, client: u32, now: u64) {
        self.slot(client).request(now);
    }

    fn hear(&self, client: u32, heard: u32, now: u64) {
        self.slot(client).learn(heard, now);
    }
}

pub(super) fn all() -> [(Who, Make); 6] {
    let all: [(_, Make); 6] = [
        ("dashmap", |_| Box::new(DashMap::<u32, Counters>::new())),
        ("scc HashMap", |_| Box::new(scc::HashMap::<u32, Counters>::new())),
        ("papaya", |_| Box::new(papaya::HashMap::<u32, Shared>::new())),
        ("moka, which expires", |n| {
            let cache: Cache<_, Arc<Shared>> = Cache::builder()
                .max_capacity(2 * u64::from(n))
                .time_to_idle(Duration::from_millis(60 * PERIOD_MS))
                .build();
            Box::new(cache)
        }),
        ("governor, one rate only", |_| {
            let quota = Quota::per_second(NonZeroU32::new(100).expect("not 0"));
            Box::new(DefaultKeyedRateLimiter::<u32>::dashmap(quota))
        }),
        ("flat array (yardstick)", |n| Box::new(Flat::new(n))),
    ];
    all.map(|(name, make)| (Who::rival(name), make))
}
