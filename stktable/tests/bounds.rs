//! Room: never more entries than there are places, none taken from whoever uses it, none lost. Connections: each ends once.
#![cfg(not(loom))]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::thread;

use ebtree::Domain;
use stktable::declare::Declaration;
use stktable::table::{Event, Options, Removed, StickTable, Tracker};
use stktable::{DataType, Key, KeySpec, Tick};

/// 20 s before the low 32 bits wrap.
const START: Tick = Tick((1 << 32) - 20_000);
const THREADS: u32 = 8;
const STEPS: u32 = if cfg!(debug_assertions) { 5_000 } else { 100_000 };

fn declare(size: u32, expire_ms: u32) -> Declaration {
    Declaration::builder("t", KeySpec::INTEGER)
        .size(size)
        .expire_ms(expire_ms)
        .peers("p")
        .store(DataType::Gpc0)
        .store(DataType::ConnCnt)
        .store(DataType::ConnCur)
        .build()
        .unwrap()
}

fn key(number: u32) -> Key {
    KeySpec::INTEGER.key(&number.to_be_bytes()).unwrap()
}

struct Random(u64);

impl Random {
    fn pick(&mut self, len: usize) -> usize {
        self.below(u32::try_from(len).unwrap()) as usize
    }

    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(77_777);
        u32::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// Runs `work` in eight threads, with their numbers.
fn eight(work: impl Fn(u32) + Sync) {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..THREADS).map(|id| scope.spawn(move || work(id))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// Makes a table in a domain of its own, lets `run` use it, lets all entries expire, and looks that nothing of them is left.
fn leak_free(declaration: Declaration, run: impl FnOnce(&StickTable) -> Tick) {
    let domain = Domain::with_batch(32);
    let table = StickTable::with(declaration, Options::new().domain(domain.clone()));
    let end = run(&table);
    let alive = table.entries(end).count();
    assert_eq!(alive, table.used() as usize, "those that are dead or over are not counted");
    while table.expire(end + 1_000_000, 1_000).more {}
    table.clear(end + 1_000_000);
    assert_eq!(table.used(), 0);
    drop(table);
    domain.flush();
    assert_eq!(domain.unreclaimed(), 0, "given back to the domain, and not to the system");
}

/// Eight threads create, hold, expire, purge and remove. What they hold at once, counted beside the table, is never more
/// than its size, be it by one.
#[test]
fn what_is_held_at_once_fits() {
    for nopurge in [false, true] {
        let mut declaration = declare(20, 100);
        declaration.nopurge = nopurge;
        leak_free(declaration, |table| {
            let (held_now, held_most) = (AtomicU32::new(0), AtomicU32::new(0));
            let clock = AtomicU64::new(START.0);
            eight(|id| {
                let mut random = Random(u64::from(id));
                let mut held = Vec::new();
                for step in 0..STEPS {
                    let now = Tick(clock.fetch_add(u64::from(step % 8 == 0), SeqCst));
                    match random.below(8) {
                        // Each its own keys: one reference, one entry.
                        0..=3 => {
                            if let Ok(entry) = table.get_or_create(&key(id << 24 | step), now) {
                                let held_now = held_now.fetch_add(1, SeqCst) + 1;
                                assert!(held_now <= 20, "{held_now} entries of 20");
                                held_most.fetch_max(held_now, SeqCst);
                                held.push(entry);
                            }
                        }
                        4 => {
                            table.expire(now, 10);
                        }
                        5 => {
                            let number = step.saturating_sub(random.below(8));
                            let _ = table.remove(&key(id << 24 | number), now);
                        }
                        _ => {
                            if !held.is_empty() {
                                held_now.fetch_sub(1, SeqCst);
                                held.swap_remove(random.pick(held.len()));
                            }
                        }
                    }
                    assert!(table.used() <= 20);
                }
                held_now.fetch_sub(u32::try_from(held.len()).unwrap(), SeqCst);
            });
            // Where nothing is purged, some places are with entries that nobody holds.
            let held_most = held_most.load(SeqCst);
            assert!(held_most == 20 || nopurge && held_most > 0, "every place is used");
            Tick(clock.load(SeqCst))
        });
    }
}

/// `used` counts no dead entry, though the stacks still hold it.
#[test]
fn the_dead_are_not_counted() {
    leak_free(declare(1_000, 60_000), |table| {
        for round in 0..3 {
            for number in 0..900 {
                table.get_or_create(&key(number), START).unwrap().touch(START);
            }
            assert_eq!(table.used(), 900);
            for number in 0..900 {
                assert_eq!(table.remove(&key(number), START), Removed::Removed);
                assert_eq!(table.used(), 899 - number);
            }
            let metrics = table.metrics();
            assert!(round > 0 || metrics.dead > 0);
            assert_eq!((metrics.used, metrics.created), (0, 900 * (round + 1)));
        }
        START
    });
}

/// Each thread tracks entries of its own while all flood a small table: none is taken from it, nor what it counted in it.
#[test]
fn a_purge_takes_nothing_that_is_tracked() {
    leak_free(declare(64, 60_000), |table| {
        let clock = AtomicU64::new(START.0);
        let purging = AtomicU32::new(0);
        eight(|id| {
            let mut random = Random(u64::from(id));
            let mut tracked: Vec<(u32, u32, Tracker<'_>)> = Vec::new();
            for step in 0..STEPS {
                let now = Tick(clock.fetch_add(1, SeqCst));
                match random.below(8) {
                    0 if tracked.len() < 4 => {
                        if let Ok(tracker) = table.track(&key(id << 24 | step), now) {
                            tracked.push((id << 24 | step, 0, tracker));
                        }
                    }
                    1 if !tracked.is_empty() => {
                        let at = random.pick(tracked.len());
                        tracked.swap_remove(at);
                    }
                    2..=4 if !tracked.is_empty() => {
                        let at = random.pick(tracked.len());
                        let (number, counted, tracker) = &mut tracked[at];
                        tracker.count(Event::Gpc0, 1, now);
                        *counted += 1;
                        let found = table.get(&key(*number), now).expect("tracked, so there");
                        assert_eq!(found.read(DataType::Gpc0, 0, now), Some((*counted).into()));
                        assert_eq!(found.read(DataType::ConnCur, 0, now), Some(1));
                    }
                    _ => {
                        // At most 32 of 64 are tracked: there is always one to purge, unless others are just
                        // looking at it.
                        let flood = table.get_or_create(&key(1 << 28 | id << 20 | step), now);
                        purging.fetch_add(u32::from(flood.is_ok()), SeqCst);
                    }
                }
            }
            for (number, counted, tracker) in tracked {
                assert_eq!(tracker.key(), key(number));
                assert_eq!(tracker.read(DataType::Gpc0, 0, START), Some(counted.into()));
            }
        });
        assert!(table.metrics().purged > u64::from(STEPS));
        assert!(purging.load(SeqCst) > STEPS * 3, "creations went on");
        Tick(clock.load(SeqCst))
    });
}

/// A full table that does not purge refuses, whoever asks, and keeps what it has.
#[test]
fn nopurge_keeps_what_is_there() {
    let mut declaration = declare(32, 0);
    declaration.nopurge = true;
    leak_free(declaration, |table| {
        for number in 0..32 {
            table.get_or_create(&key(number), START).unwrap().count(Event::Gpc0, 1, START);
        }
        eight(|id| {
            for step in 0..STEPS / 10 {
                assert!(table.get_or_create(&key(100 + id + step), START).is_err());
                let there = table.get_or_create(&key(step % 32), START).unwrap();
                there.count(Event::Gpc0, 1, START);
            }
        });
        let counts =
            table.entries(START).map(|entry| entry.read(DataType::Gpc0, 0, START).unwrap());
        assert_eq!(counts.sum::<i64>(), i64::from(32 + THREADS * (STEPS / 10)));
        assert_eq!((table.used(), table.metrics().purged), (32, 0));
        assert_eq!(table.metrics().refused, u64::from(THREADS * (STEPS / 10)));
        START
    });
}

/// Eight threads track, let go, and panic while they track: every connection ends once. Those that are still open at the
/// end are counted, so one that ended twice would show.
#[test]
fn every_connection_ends_once_whatever_ends_it() {
    leak_free(declare(100, 60_000), |table| {
        let open: Vec<_> = (0..40).map(|at| table.track(&key(at % 4), START).unwrap()).collect();
        let began = AtomicU32::new(0);
        eight(|id| {
            let mut random = Random(u64::from(id));
            for _ in 0..STEPS {
                let number = random.below(4);
                let ends = random.below(4);
                let work = AssertUnwindSafe(|| {
                    let tracker = table.track(&key(number), START).unwrap();
                    began.fetch_add(1, SeqCst);
                    let current = tracker.read(DataType::ConnCur, 0, START).unwrap();
                    assert!(
                        (11..=10 + i64::from(THREADS) * 2).contains(&current),
                        "{current} open"
                    );
                    match ends {
                        // A request fails: the trackers of its stack end.
                        0 => {
                            let _second = table.track(&key(number), START).unwrap();
                            began.fetch_add(1, SeqCst);
                            resume_unwind(Box::new("a request failed"));
                        }
                        // On another thread.
                        1 if number == 0 => thread::scope(|scope| {
                            scope.spawn(move || drop(tracker)).join().unwrap();
                        }),
                        _ => drop(tracker),
                    }
                });
                assert_eq!(catch_unwind(work).is_err(), ends == 0);
            }
        });
        for number in 0..4 {
            let entry = table.get(&key(number), START).unwrap();
            assert_eq!(entry.read(DataType::ConnCur, 0, START), Some(10), "of {number}");
            assert_eq!(entry.users(), 10);
        }
        let counts =
            table.entries(START).map(|entry| entry.read(DataType::ConnCnt, 0, START).unwrap());
        assert_eq!(counts.sum::<i64>(), i64::from(40 + began.load(SeqCst)));
        drop(open);
        assert!(
            table.entries(START).all(|entry| entry.read(DataType::ConnCur, 0, START) == Some(0))
        );
        START
    });
}
