//! The table beside a `HashMap` of the same counters behind a mutex, without expiry, purge or update order.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use stktable::table::{Event, StickTable};
use stktable::{DataType, Declaration, Key, KeySpec, Tick};

use crate::interleave::{Contestant, Plan, Reached, interleave};
use crate::random::Random;

const BATCH: u64 = 64;
const PERIOD_MS: u64 = 10_000;

/// What the locked version keeps: two counters and a rate.
#[derive(Default)]
struct Counters {
    connections: u32,
    requests: u32,
    start: u64,
    current: u32,
    previous: u32,
}

impl Counters {
    fn request(&mut self, now: u64) {
        self.requests += 1;
        let age = now - self.start;
        if age >= PERIOD_MS {
            self.previous = if age < 2 * PERIOD_MS { self.current } else { 0 };
            self.start = if age < 2 * PERIOD_MS { self.start + PERIOD_MS } else { now };
            self.current = 0;
        }
        self.current += 1;
    }
}

/// Returns the key of client `number`.
fn key(number: u64) -> Key {
    let bytes = u32::try_from(number).expect("at most 2^32 clients").to_be_bytes();
    KeySpec::IP.key(&bytes).expect("4 bytes")
}

/// Tracks one of `n` clients, and counts a request: look up or create, two counters, one rate, and for ours
/// refresh of the expiry and the update order too.
#[must_use]
pub fn compare_track(n: u64, plan: Plan) -> Vec<Reached> {
    let declaration = Declaration::builder("clients", KeySpec::IP)
        .size(u32::try_from(2 * n).expect("at most 2^31 clients"))
        .expire_ms(600_000)
        .peers("mesh")
        .store(DataType::ConnCnt)
        .store(DataType::HttpReqCnt)
        .store_rate(DataType::HttpReqRate, 10_000)
        .build()
        .expect("a valid declaration");
    let table = StickTable::new(declaration);
    let map: Mutex<HashMap<u32, Counters>> = Mutex::default();
    // A millisecond passes every 64 operations.
    let clocks = [AtomicU64::new(PERIOD_MS), AtomicU64::new(PERIOD_MS)];
    let contestants = [
        Contestant::new("stktable", |random: &mut Random| {
            let now = Tick(clocks[0].fetch_add(1, Ordering::Relaxed));
            for _ in 0..BATCH {
                let tracker = table.track(&key(random.below(n)), now).expect("there is room");
                tracker.count(Event::HttpRequest, 1, now);
            }
            BATCH
        }),
        Contestant::new("Mutex<HashMap>, no expiry, no peers", |random: &mut Random| {
            let now = clocks[1].fetch_add(1, Ordering::Relaxed);
            for _ in 0..BATCH {
                let number = u32::try_from(random.below(n)).expect("at most 2^32 clients");
                let mut map = map.lock().unwrap();
                let counters = map.entry(number).or_default();
                counters.connections += 1;
                counters.request(now);
            }
            BATCH
        }),
    ];
    interleave(&contestants, plan)
}
