//! The table beside maps of the same counters that have neither expiry nor purge nor an update order.

mod keys;
pub mod life;
mod locked;
#[cfg(feature = "rivals")]
mod rivals;

use std::sync::atomic::{AtomicU64, Ordering};

use probes::clients::{self, PERIOD_MS, count, key, table};
use stktable::Tick;
use stktable::table::StickTable;

use self::keys::Sequence;
pub use self::keys::Spread;
use crate::interleave::{Contestant, Plan, Reached, interleave};

/// Operations of a batch.
const BATCH: u64 = 64;

/// What everybody can do.
pub(crate) trait Clients: Sync {
    /// Finds or creates a client, and counts in two counters and a rate.
    fn request(&self, client: u32, now: u64);

    /// The same for many clients.
    fn requests(&self, clients: &[u32], now: u64) {
        clients.iter().for_each(|client| self.request(*client, now));
    }
}

/// Our table, asked for many clients at once.
struct Batched(StickTable);

impl Clients for Batched {
    fn request(&self, client: u32, now: u64) {
        self.0.request(client, now);
    }

    fn requests(&self, clients: &[u32], now: u64) {
        let now = Tick(now);
        for clients in clients.chunks(AT_ONCE) {
            let mut keys = [const { None }; AT_ONCE];
            for (place, client) in keys.iter_mut().zip(clients) {
                *place = Some(key(*client));
            }
            self.0.get_or_create_many_with(keys.iter().flatten(), now, |_, entry| {
                count(&entry.expect("there is room"), now);
            });
        }
    }
}

/// Clients of a batch.
const AT_ONCE: usize = 32;

/// What the others keep of a client, where somebody else sees to it that one thread at a time changes it.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    tag: u32,
    requests: u32,
    start: u64,
    current: u32,
    previous: u32,
}

impl Counters {
    fn request(&mut self, now: u64) {
        self.tag += 1;
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

impl Clients for StickTable {
    /// Refreshes the expiry, too, and has the peers told.
    fn request(&self, client: u32, now: u64) {
        clients::request(self, client, now);
    }
}

/// Counts a request of one of `n` clients: look up or create, two counters, one rate, and for ours refresh of the expiry and the
/// update order too.
#[must_use]
pub fn compare_track(n: u32, spread: Spread, plan: Plan) -> Vec<Reached> {
    let mut all: Vec<(&str, Box<dyn Clients>)> = vec![
        ("stktable", Box::new(table(n))),
        ("stktable, 32 at once", Box::new(Batched(table(n)))),
    ];
    all.extend(locked::all());
    #[cfg(feature = "rivals")]
    all.extend(rivals::all(n));
    let sequence = Sequence::new(n, spread);
    // A millisecond passes every 64 operations.
    let clocks: Vec<_> = all.iter().map(|_| AtomicU64::new(PERIOD_MS)).collect();
    for (_, clients) in &all {
        (0..n).for_each(|client| clients.request(client, PERIOD_MS));
    }
    let contestants: Vec<_> = all
        .iter()
        .zip(&clocks)
        .map(|((name, clients), clock)| {
            let sequence = &sequence;
            Contestant::new(name, move |random| {
                let now = clock.fetch_add(1, Ordering::Relaxed);
                clients.requests(sequence.batch(random), now);
                BATCH
            })
        })
        .collect();
    interleave(&contestants, plan)
}

#[cfg(test)]
mod tests {
    use stktable::DataType;

    use super::*;

    #[test]
    fn everybody_counts() {
        let plan = Plan { slices: 2, slice: std::time::Duration::from_millis(1), threads: 2 };
        for spread in [Spread::Uniform, Spread::Zipf] {
            let reached = compare_track(100, spread, plan);
            assert!(reached.iter().all(|one| one.mops > 0.0));
        }
        let table = table(10);
        table.request(7, PERIOD_MS);
        table.request(7, PERIOD_MS + 1);
        let entry = table.get(&key(7), Tick(PERIOD_MS + 1)).unwrap();
        let read = |data_type| entry.read(data_type, 0, Tick(PERIOD_MS + 1));
        assert_eq!(read(DataType::Gpc0), Some(2));
        assert_eq!(read(DataType::HttpReqCnt), Some(2));
        assert_eq!(read(DataType::HttpReqRate), Some(2));
    }
}
