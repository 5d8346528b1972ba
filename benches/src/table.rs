//! The table beside maps of the same counters that have neither expiry nor purge nor an update order.

pub mod life;
mod locked;
#[cfg(feature = "rivals")]
mod rivals;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use probes::clients::PERIOD_MS;
use probes::clients::{self, count, key, table};
use stktable::table::{Learned, StickTable, Value};
use stktable::{DataType, Tick};

use crate::contestant::Who;
use crate::interleave::{Contestant, Plan, Reached, Watch, Work, interleave};
use crate::keys::{Sequence, Spread};
use crate::random::Random;
use crate::workload::Workload;

/// What everybody can do.
pub(crate) trait Clients: Sync {
    /// Finds or creates a client, and counts in two counters and a rate.
    fn request(&self, client: u32, now: u64);

    /// Finds or creates a client, and sets its counters and its rate.
    fn hear(&self, client: u32, heard: u32, now: u64);

    /// How many clients it is asked for at once.
    fn at_once(&self) -> usize {
        1
    }

    /// `request` for that many clients.
    fn requests(&self, clients: &[u32], now: u64) {
        clients.iter().for_each(|client| self.request(*client, now));
    }

    /// `hear` for that many clients.
    fn hear_all(&self, clients: &[u32], heard: u32, now: u64) {
        clients.iter().for_each(|client| self.hear(*client, heard, now));
    }

    /// Whether it has an answer to this.
    fn can(&self, _: Workload) -> bool {
        true
    }
}

/// Our table, asked for many clients at once.
struct Batched(StickTable);

impl Clients for Batched {
    fn request(&self, client: u32, now: u64) {
        self.0.request(client, now);
    }

    fn hear(&self, client: u32, heard: u32, now: u64) {
        self.0.hear(client, heard, now);
    }

    fn at_once(&self) -> usize {
        AT_ONCE
    }

    fn requests(&self, clients: &[u32], now: u64) {
        let now = Tick(now);
        let mut keys = [const { None }; AT_ONCE];
        for (place, client) in keys.iter_mut().zip(clients) {
            *place = Some(key(*client));
        }
        self.0.get_or_create_many_with(keys.iter().flatten(), now, |_, entry| {
            count(&entry.expect("there is room"), now);
        });
    }

    fn hear_all(&self, clients: &[u32], heard: u32, now: u64) {
        let mut keys = [[0; 4]; AT_ONCE];
        for (place, client) in keys.iter_mut().zip(clients) {
            *place = client.to_be_bytes();
        }
        let of = |key| (<[u8; 4]>::as_slice(key), Some(LEFT_MS));
        self.0.learn_many(&keys[..clients.len()], of, Tick(now), |_, learned| {
            store(learned.expect("there is room"), heard);
        });
    }
}

/// What a peer says is left to live.
const LEFT_MS: u32 = 600_000;

fn store(learned: Learned<'_>, heard: u32) {
    let Learned::Entry(entry) = learned else { unreachable!("something is left to live") };
    entry.store(DataType::Gpc0, 0, Value::Uint(heard));
    entry.store(DataType::HttpReqCnt, 0, Value::Uint(heard));
    let rate = Value::Rate { age_ms: 0, current: heard, previous: 0 };
    entry.store(DataType::HttpReqRate, 0, rate);
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

    fn learn(&mut self, heard: u32, now: u64) {
        *self = Self { tag: heard, requests: heard, start: now, current: heard, previous: 0 };
    }
}

impl Clients for StickTable {
    /// Refreshes the expiry, too, and has the peers told.
    fn request(&self, client: u32, now: u64) {
        clients::request(self, client, now);
    }

    fn hear(&self, client: u32, heard: u32, now: u64) {
        let learned = Self::learn(self, &key(client), Some(LEFT_MS), Tick(now));
        store(learned.expect("there is room"), heard);
    }
}

/// Makes an empty table, with room for so many clients where that matters.
pub(crate) type Make = fn(u32) -> Box<dyn Clients>;

/// Returns every contestant.
pub(crate) fn tables() -> Vec<(Who, Make)> {
    let mut all: Vec<(Who, Make)> = vec![
        (Who::ours("stktable"), |n| Box::new(table(n))),
        (Who::ours("stktable, 32 at once"), |n| Box::new(Batched(table(n)))),
    ];
    all.extend(locked::all());
    #[cfg(feature = "rivals")]
    all.extend(rivals::all());
    all
}

/// One of the tables at work.
struct Working<'a> {
    clients: &'a dyn Clients,
    /// A millisecond passes every 64 operations.
    clock: &'a AtomicU64,
    is_ingest: bool,
    sequence: &'a Sequence,
}

impl Work for Working<'_> {
    fn batch(&self, random: &mut Random, watch: &mut impl Watch) -> u64 {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
        let heard = now as u32;
        let batch = self.sequence.batch(random);
        let step = |clients: &[u32]| {
            match self.is_ingest {
                true => self.clients.hear_all(clients, heard, now),
                false => self.clients.requests(clients, now),
            }
            clients.len() as u64
        };
        batch.chunks(self.clients.at_once()).map(|clients| watch.step(|| step(clients))).sum()
    }
}

/// A full table, and its clock.
type Subject = (Who, Box<dyn Clients>, AtomicU64);

/// Full tables that take turns at one workload.
pub struct Arena {
    workload: Workload,
    sequence: Sequence,
    subjects: Vec<Subject>,
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arena({:?})", self.workload)
    }
}

impl Arena {
    /// Fills every table that has an answer to this workload with `n` clients.
    #[must_use]
    pub fn new(workload: Workload, spread: Spread, n: u32) -> Self {
        let subjects: Vec<Subject> = tables()
            .into_iter()
            .map(|(who, make)| (who, make(n), AtomicU64::new(PERIOD_MS)))
            .filter(|(_, clients, _)| clients.can(workload))
            .collect();
        for (_, clients, _) in &subjects {
            (0..n).for_each(|client| clients.request(client, PERIOD_MS));
        }
        Self { workload, sequence: Sequence::new(n, spread), subjects }
    }

    /// Lets the tables take turns.
    #[must_use]
    pub fn run(&self, plan: Plan) -> Vec<Reached> {
        let contestants: Vec<_> = self
            .subjects
            .iter()
            .map(|(who, clients, clock)| {
                let work = Working {
                    clients: &**clients,
                    clock,
                    is_ingest: self.workload == Workload::Ingest,
                    sequence: &self.sequence,
                };
                Contestant::new(who.clone(), work)
            })
            .collect();
        interleave(&contestants, plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_counts() {
        let plan =
            Plan { slices: 2, samples: 1, slice: std::time::Duration::from_millis(1), threads: 2 };
        for (workload, spread) in
            [(Workload::Track, Spread::Uniform), (Workload::Ingest, Spread::Zipf)]
        {
            let reached = Arena::new(workload, spread, 100).run(plan);
            assert!(reached.iter().all(|one| one.mops > 0.0));
            let steps: Vec<_> =
                reached.iter().map(|one| one.latency.as_ref().unwrap().step).collect();
            assert_eq!(steps[..3], [1, 32, 1]);
        }
    }

    #[test]
    fn ours_counts_and_learns() {
        let table = table(10);
        table.request(7, PERIOD_MS);
        table.request(7, PERIOD_MS + 1);
        let read = |table: &StickTable, client| {
            let now = Tick(PERIOD_MS + 1);
            let entry = table.get(&key(client), now).unwrap();
            [DataType::Gpc0, DataType::HttpReqCnt, DataType::HttpReqRate]
                .map(|data_type| entry.read(data_type, 0, now))
        };
        assert_eq!(read(&table, 7), [Some(2); 3]);
        Clients::hear(&table, 7, 9, PERIOD_MS + 1);
        Clients::hear(&table, 8, 9, PERIOD_MS + 1);
        assert_eq!((read(&table, 7), read(&table, 8)), ([Some(9); 3], [Some(9); 3]));
        let batched = Batched(table);
        batched.requests(&[7, 8], PERIOD_MS + 1);
        assert_eq!(read(&batched.0, 8), [Some(10); 3]);
        batched.hear_all(&[7, 5], 3, PERIOD_MS + 1);
        assert_eq!((read(&batched.0, 7), read(&batched.0, 5)), ([Some(3); 3], [Some(3); 3]));
    }
}
