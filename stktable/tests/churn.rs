//! Touches, expiry and removal at once: nothing that is touched expires, nothing that is over is forgotten, no event is lost.
#![cfg(not(loom))]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

use ebtree::Domain;
use stktable::declare::Declaration;
use stktable::table::{Event, Options, Removed, StickTable};
use stktable::{DataType, Key, KeySpec, Tick};

/// 20 s before the low 32 bits wrap.
const START: Tick = Tick((1 << 32) - 20_000);
const THREADS: u32 = 8;

fn table(size: u32, expire_ms: u32, domain: &Domain) -> StickTable {
    let declaration = Declaration::builder("t", KeySpec::INTEGER)
        .size(size)
        .expire_ms(expire_ms)
        .peers("p")
        .store(DataType::Gpc0)
        .store_rate(DataType::Gpc0Rate, 1_000)
        .store(DataType::BytesInCnt)
        .build()
        .unwrap();
    StickTable::with(declaration, Options::new().domain(domain.clone()))
}

fn key(number: u32) -> Key {
    KeySpec::INTEGER.key(&number.to_be_bytes()).unwrap()
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99_991);
        u32::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// Millions of touches in simulated days, with a driver that only ever acts on the date it was given: at every moment the
/// table has those whose date is to come, and soon after their date none of the others.
#[test]
fn the_stacks_forget_nobody() {
    const TOUCHES: u32 = if cfg!(debug_assertions) { 250_000 } else { 4_000_000 };
    // About 512 ticks of a time to live; twice that for an entry that a sweep had in hand.
    for (expire_ms, tick_ms, keys) in [(30_000, 32, 5_000), (600, 8, 500)] {
        let domain = Domain::with_batch(64);
        let table = table(keys, expire_ms, &domain);
        let mut dates: HashMap<u32, u64> = HashMap::new();
        let mut random = Random(u64::from(expire_ms));
        let mut now = START;
        let mut due = table.arm_expiry();
        for step in 0..TOUCHES / 2 {
            // The whole table in a time to live, now and then a pause of several.
            now = now + u32::from(random.below(keys) < expire_ms);
            if random.below(30_000) == 0 {
                now = now + random.below(expire_ms * 4);
            }
            // A few are touched again and again, most are left to expire sometimes.
            let number = random.below(keys) * random.below(keys) / keys;
            let entry = table.get_or_create(&key(number), now).unwrap();
            let known = dates.insert(number, now.0 + u64::from(expire_ms));
            let is_new = known.is_none_or(|date| date <= now.0);
            let counted = entry.add(DataType::BytesInCnt, 0, 1, now).unwrap();
            assert_eq!(counted == 1, is_new, "{number} at {now:?}: {known:?}");
            entry.touch(now);
            drop(entry);
            // No table wakes us here: an empty one is looked at again.
            if due.is_none_or(|due| due <= now) {
                while table.expire(now, 100).more {}
                due = table.arm_expiry();
            }
            if step % 10_000 == 0 {
                let alive = |at: u64| dates.values().filter(|date| **date > at).count();
                let (least, most) = (alive(now.0), alive(now.0 - 2 * tick_ms));
                let used = table.used() as usize;
                assert!((least..=most).contains(&used), "{least} to {most}, and not {used}");
                assert_eq!(table.entries(now).count(), least);
            }
        }
        assert!(table.metrics().expired > 100, "{:?}", table.metrics());
        let last = dates.values().max().copied().unwrap();
        while let Some(date) = table.arm_expiry() {
            assert!(date > now && date.0 <= last + tick_ms, "{date:?} of {last}");
            now = date;
            while table.expire(now, 100).more {}
        }
        let metrics = table.metrics();
        assert_eq!((metrics.used, metrics.dead), (0, 0));
        assert_eq!(metrics.created, metrics.expired + metrics.purged);
        drop(table);
        domain.flush();
        assert_eq!(domain.unreclaimed(), 0);
    }
}

/// Entries that live among many that die are swept aside with them again and again, and still expire at their date.
#[test]
fn a_sweep_of_the_dead_keeps_the_living() {
    let domain = Domain::with_batch(64);
    let table = table(4_000, 10_000, &domain);
    for number in 0..8_000 {
        drop(table.get_or_create(&key(number), START).unwrap());
        if number % 40 != 0 {
            assert_eq!(table.remove(&key(number), START), Removed::Removed);
        }
    }
    let metrics = table.metrics();
    assert_eq!(metrics.used, 200);
    assert!(metrics.dead <= 1_024 + 32, "{metrics:?}");
    let now = START + 10_016;
    while table.expire(now, 100).more {}
    let metrics = table.metrics();
    assert_eq!((metrics.used, metrics.dead, metrics.expired), (0, 0, 200));
    assert_eq!(table.next_due(), None);
    drop(table);
    domain.flush();
    assert_eq!(domain.unreclaimed(), 0);
}

/// Eight threads touch entries of their own while all sweep with the same clock. An entry that was touched less than a time
/// to live ago is there, with all that was counted in it.
#[test]
fn what_is_touched_meanwhile_does_not_expire() {
    const STEPS: u32 = if cfg!(debug_assertions) { 30_000 } else { 300_000 };
    const DELAY: u32 = 40;
    let domain = Domain::with_batch(32);
    let table = table(1_000, DELAY, &domain);
    let clock = AtomicU64::new(START.0);
    let kept = AtomicU64::new(0);
    thread::scope(|scope| {
        let (table, clock, kept) = (&table, &clock, &kept);
        let threads: Vec<_> = (0..THREADS)
            .map(|id| {
                scope.spawn(move || {
                    let mut random = Random(u64::from(id));
                    // Of each of a few keys: the date of the last touch, and what was counted since its creation.
                    let mut mine = [(0_u64, 0_i64); 8];
                    for _ in 0..STEPS {
                        let at = random.below(8);
                        let now = Tick(clock.fetch_add(u64::from(random.below(16) == 0), SeqCst));
                        let (date, counted) = &mut mine[at as usize];
                        let entry = table.get_or_create(&key(id * 8 + at), now).unwrap();
                        entry.count(Event::Gpc0, 1, now);
                        let value = entry.read(DataType::Gpc0, 0, now).unwrap();
                        // While we hold it nobody takes it, so only what happened before counts.
                        let later = clock.load(SeqCst);
                        if later < *date {
                            assert_eq!(value, *counted + 1, "forgotten before its date");
                            kept.fetch_add(1, SeqCst);
                        }
                        *counted = value;
                        entry.touch(Tick(later));
                        *date = later + u64::from(DELAY);
                        drop(entry);
                        table.expire(Tick(clock.load(SeqCst)), 8);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    let metrics = table.metrics();
    assert!(kept.load(SeqCst) > u64::from(STEPS), "{kept:?} checks");
    assert!(metrics.expired > 0 && metrics.purged == 0, "{metrics:?}");
    while table.expire(Tick(clock.load(SeqCst) + 1_000), 100).more {}
    assert_eq!((table.used(), table.metrics().dead, table.next_due()), (0, 0, None));
    drop(table);
    domain.flush();
    assert_eq!(domain.unreclaimed(), 0);
}

/// Eight threads count, and others remove what they counted in, reading it at the last moment: each event is in an entry or
/// with whoever removed it.
#[test]
fn every_event_is_in_an_entry_or_was_taken_with_it() {
    const STEPS: u32 = if cfg!(debug_assertions) { 20_000 } else { 300_000 };
    const KEYS: u32 = 16;
    let domain = Domain::with_batch(32);
    // Far longer than the test: nothing expires.
    let table = table(KEYS * 2, 10_000_000, &domain);
    let clock = AtomicU64::new(START.0);
    let (counted, taken) = thread::scope(|scope| {
        let (table, clock) = (&table, &clock);
        let work = |id: u32| {
            move || {
                let mut random = Random(u64::from(id));
                let (mut counted, mut taken) = (0_u64, 0_u64);
                let read = |entry: stktable::table::Glance<'_>, now| {
                    entry.read(DataType::BytesInCnt, 0, now).unwrap().cast_unsigned()
                };
                for step in 0..STEPS {
                    let now = Tick(clock.fetch_add(u64::from(step % 4 == 0), SeqCst));
                    let number = random.below(KEYS);
                    match random.below(32) {
                        0 => {
                            let mut last = 0;
                            let done = table.remove_if(&key(number), now, |entry| {
                                last = read(entry, now);
                                last % 2 == 0
                            });
                            taken += if done == Removed::Removed { last } else { 0 };
                        }
                        1 => {
                            table.expire(now, 4);
                        }
                        _ => {
                            let n = u64::from(random.below(1_000));
                            let entry = table.get_or_create(&key(number), now).unwrap();
                            entry.add(DataType::BytesInCnt, 0, n, now);
                            counted += n;
                            if random.below(2) == 0 {
                                entry.touch(now);
                            }
                        }
                    }
                }
                (counted, taken)
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|id| scope.spawn(work(id))).collect();
        threads.into_iter().fold((0, 0), |(counted, taken), thread| {
            let (more, less) = thread.join().unwrap();
            (counted + more, taken + less)
        })
    });
    let now = Tick(clock.load(SeqCst));
    let left = table.entries(now).map(|entry| {
        assert_eq!(entry.users(), 0);
        entry.read(DataType::BytesInCnt, 0, now).unwrap().cast_unsigned()
    });
    assert_eq!(left.sum::<u64>() + taken, counted);
    assert!(taken > 0 && table.metrics().expired == 0 && table.metrics().purged == 0);
    assert_eq!(table.entries(now).count(), table.used() as usize);
    table.clear(now);
    assert_eq!(table.begin_updates(0), None);
    drop(table);
    domain.flush();
    assert_eq!(domain.unreclaimed(), 0);
}
