//! `StickTable`: held entries stay, counts of who holds one are not lost, the size is kept, and every entry ends once, while the clock
//! jumps, and passes the end of 32 bits.

use std::sync::atomic::{AtomicU64, Ordering};

use ebtree::Domain;
use rand::RngExt;
use stktable::table::{Options, StickTable, Walk};
use stktable::{DataType, Declaration, Key, KeySpec, Tick};

use super::epoch::{self, Epoch, Plan, Worker};
use super::{Sabotage, Subject, Tally};

const SIZE: u32 = 600;
const KEYS: u32 = 1_000;
const EXPIRE_MS: u32 = 10_000;
const EPOCH: u64 = 60_000;
/// Half a minute before the low 32 bits of the time wrap.
const START: u64 = (1 << 32) - 30_000;

#[derive(Debug)]
pub(super) struct Table {
    table: StickTable,
    domain: Domain,
    now: AtomicU64,
    sabotage: Option<Sabotage>,
}

impl Table {
    pub(super) fn new(sabotage: Option<Sabotage>) -> Self {
        let declaration = Declaration::builder("t", KeySpec::INTEGER)
            .size(SIZE)
            .expire_ms(EXPIRE_MS)
            .store(DataType::Gpc0)
            .store(DataType::ConnCur)
            .store_rate(DataType::HttpReqRate, 1_000)
            .build()
            .expect("a declaration");
        let domain = Domain::new();
        let options = Options::new().domain(domain.clone()).ordered();
        let table = StickTable::with(declaration, options);
        Self { table, domain, now: AtomicU64::new(START), sabotage }
    }

    fn now(&self) -> Tick {
        Tick(self.now.load(Ordering::Relaxed))
    }

    fn step(&self, worker: &mut Worker<'_>) {
        let table = &self.table;
        let key = Key::from(worker.random.random_range(0..KEYS));
        // Some clocks lag.
        let now = Tick(self.now().0 - worker.random.random_range(0..3_000_u64));
        match worker.random.random_range(0..16) {
            0 => drop(table.expire(self.now(), worker.random.random_range(1..200))),
            1 => {
                let by = if worker.once_in(500) {
                    worker.random.random_range(1..86_400_000)
                } else {
                    worker.random.random_range(1..20)
                };
                self.now.fetch_add(by, Ordering::Relaxed);
            }
            2 => drop(table.remove(&key, now)),
            3 if worker.once_in(200) => drop(table.clear(now)),
            4 => {
                let mut walk = Walk::new();
                let mut seen = 0;
                while let Some(entry) = walk.next(table, now) {
                    assert!(entry.is_alive(), "a walk gives what is alive");
                    worker.rest();
                    seen += 1;
                    if seen == 16 {
                        break;
                    }
                }
            }
            5..8 => {
                table.get_with(&key, now, |entry| {
                    assert_eq!(entry.key(), key, "found under its key");
                    worker.rest();
                    let _ = entry.fetch(DataType::HttpReqRate, 0, now);
                });
            }
            _ => {
                // Nobody resets what is counted, so while it is held it only grows, by what we add at least.
                let Ok(tracker) = table.track(&key, now) else { return };
                let read = || tracker.read(DataType::Gpc0, 0, now).unwrap_or(-1);
                let before = read();
                let adds = worker.random.random_range(1..4);
                for _ in 0..adds {
                    tracker.add(DataType::Gpc0, 0, 1, now);
                    tracker.add(DataType::HttpReqRate, 0, 1, now);
                    worker.rest();
                    assert!(tracker.is_alive() && tracker.key() == key, "held");
                }
                tracker.touch(now);
                assert!(
                    read() >= before + adds,
                    "counts of who holds it are lost: {before} and {adds} are {}",
                    read()
                );
            }
        }
        let used = table.used();
        assert!(used <= SIZE, "{used} entries in a table of {SIZE}");
    }
}

impl Subject for Table {
    fn epoch(&self, plan: Plan, number: u64, tally: &mut Tally) {
        let Epoch { threads, operations, broke, .. } =
            epoch::run(plan, number, EPOCH, &|worker| self.step(worker));
        tally.threads += threads;
        tally.operations += operations;
        tally.violations.extend(broke);
        let metrics = self.table.metrics();
        let ended = metrics.expired + metrics.purged + metrics.removed;
        let lost = u64::from(matches!(self.sabotage, Some(Sabotage::LostInsert | Sabotage::Leak)));
        if metrics.created + lost != u64::from(metrics.used) + ended {
            tally.violations.push(format!("not every entry ended once: {metrics:?}"));
        }
        let stale = u64::from(self.sabotage == Some(Sabotage::StaleAnswer));
        let there = self.table.entries(Tick(self.table_clock())).count() as u64;
        // Those that are over are not shown, and count until they are taken.
        if there + stale * 10_000 > u64::from(metrics.used) {
            tally
                .violations
                .push(format!("{there} entries are shown, and {} are counted", metrics.used));
        }
        let open: i64 = self
            .table
            .entries(self.now())
            .map(|entry| entry.read(DataType::ConnCur, 0, self.now()).unwrap_or(0))
            .sum();
        if open != 0 {
            tally.violations.push(format!("{open} connections are open that nobody has"));
        }
    }

    fn garbage(&self) -> usize {
        self.domain.unreclaimed()
    }

    fn stall(&self, until: &mut dyn FnMut()) {
        // Out of the way of the sums: it reads, and holds nothing that counts.
        let key = Key::from(KEYS + 1);
        let mut until = Some(until);
        let held = self.table.get_or_create(&key, self.now());
        drop(held);
        let seen = self.table.get_with(&key, self.now(), |entry| {
            if let Some(until) = until.take() {
                until();
            }
            entry.key() == key
        });
        if let Some(until) = until {
            until();
        }
        assert!(seen.unwrap_or(true), "what was looked at all the while has another key");
    }

    fn end(self: Box<Self>, tally: &mut Tally) {
        let Self { table, domain, now, .. } = *self;
        table.clear(Tick(now.load(Ordering::Relaxed)));
        if table.used() != 0 {
            tally
                .violations
                .push(format!("{} entries are in use, and nobody is there", table.used()));
        }
        drop(table);
        domain.flush();
        let left = domain.unreclaimed();
        if left != 0 {
            tally.violations.push(format!("{left} nodes and entries are left that nobody uses"));
        }
    }
}

impl Table {
    /// The time, for who looks while nobody else does.
    fn table_clock(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }
}
