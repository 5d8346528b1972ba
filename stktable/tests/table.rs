//! The table from outside: one promise a test.
#![cfg(not(loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use ebtree::Domain;
use stktable::declare::Declaration;
use stktable::table::{Event, Learned, Options, Removed, StickTable, Value, Wake, Walk};
use stktable::{DataType, Key, KeySpec, Tick};

/// 20 s before the low 32 bits wrap, so that every test that lets time pass crosses it.
const START: Tick = Tick((1 << 32) - 20_000);

fn declare(size: u32, expire_ms: u32) -> Declaration {
    Declaration::builder("t", KeySpec::INTEGER)
        .size(size)
        .expire_ms(expire_ms)
        .peers("p")
        .store(DataType::Gpc0)
        .store_rate(DataType::Gpc0Rate, 10_000)
        .store(DataType::ConnCnt)
        .store(DataType::ConnCur)
        .store(DataType::BytesInCnt)
        .build()
        .unwrap()
}

fn table(size: u32, expire_ms: u32) -> StickTable {
    StickTable::with(declare(size, expire_ms), Options::new().domain(Domain::with_batch(16)))
}

fn key(number: u32) -> Key {
    KeySpec::INTEGER.key(&number.to_be_bytes()).unwrap()
}

fn keys(table: &StickTable, now: Tick) -> Vec<u32> {
    let mut keys: Vec<u32> =
        table.entries(now).map(|entry| entry.key().to_string().parse().unwrap()).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn a_key_is_created_once_and_found_again() {
    let table = table(10, 60_000);
    assert!(table.get(&key(1), START).is_none());
    let entry = table.get_or_create(&key(1), START).unwrap();
    entry.count(Event::Gpc0, 3, START);
    entry.touch(START);
    drop(entry);
    let again = table.get_or_create(&key(1), START).unwrap();
    assert_eq!(again.read(DataType::Gpc0, 0, START), Some(3));
    assert_eq!(again.read(DataType::Gpc0Rate, 0, START), Some(3));
    assert_eq!(again.read(DataType::Gpc1, 0, START), None);
    assert_eq!((table.used(), again.users()), (1, 0));
}

#[test]
fn an_entry_is_absent_from_its_date_on_swept_or_not() {
    let table = table(10, 30_000);
    table.get_or_create(&key(1), START).unwrap().touch(START);
    let just_before = START + 29_999;
    assert!(table.get(&key(1), just_before).is_some());
    assert!(table.get(&key(1), START + 30_000).is_none(), "equal to now is over");
    assert_eq!(table.used(), 0, "who finds it takes it");
}

#[test]
fn a_sweep_takes_what_is_over_and_nothing_else() {
    let table = table(100, 10_000);
    for number in 0..50 {
        let now = START + number * 100;
        table.get_or_create(&key(number), now).unwrap().touch(now);
    }
    // The second half is touched again, which moves no stack.
    for number in 25..50 {
        table.get(&key(number), START + 6_000).unwrap().touch(START + 6_000);
    }
    let mut now = START;
    let mut wakes = 0;
    while table.used() > 25 {
        now = table.arm_expiry().expect("something is filed");
        wakes += 1;
        while table.expire(now, 7).more {}
        assert!(wakes < 200);
    }
    assert_eq!(keys(&table, START + 15_999), (25..50).collect::<Vec<_>>());
    assert!(now.since(START) < 16_000, "{now:?}");
    while let Some(due) = table.arm_expiry() {
        now = due;
        while table.expire(now, 7).more {}
        wakes += 1;
        assert!(wakes < 400, "each wake-up finds something");
    }
    assert_eq!((table.used(), table.metrics().expired), (0, 50));
    assert!(now.since(START) >= 16_000);
}

#[test]
fn a_held_entry_outlives_its_date_and_goes_with_the_last_reference() {
    let table = table(10, 1_000);
    let held = table.get_or_create(&key(1), START).unwrap();
    let now = START + 5_000;
    assert_eq!(table.expire(now, 100).expired, 0);
    assert!(table.get(&key(1), now).is_some(), "in use, so there");
    assert_eq!(table.remove(&key(1), now), Removed::Busy);
    assert_eq!(table.clear(now), (0, 1));
    drop(held);
    assert_eq!(table.used(), 0, "the last reference took it");
    assert_eq!(table.remove(&key(1), now), Removed::Missing);
}

#[test]
fn purge_takes_the_one_touched_longest_ago() {
    let table = table(3, 0);
    for (number, at) in [(1, 0), (2, 1), (3, 2)] {
        table.get_or_create(&key(number), START + at).unwrap().touch(START + at);
    }
    table.get(&key(1), START + 5_000).unwrap().touch(START + 5_000);
    table.get_or_create(&key(4), START + 6_000).unwrap().touch(START + 6_000);
    assert_eq!(keys(&table, START), [1, 3, 4]);
    assert_eq!(table.metrics().purged, 1);
}

#[test]
fn purge_never_takes_a_held_entry() {
    let table = table(3, 60_000);
    let held: Vec<_> = (0..3).map(|n| table.get_or_create(&key(n), START).unwrap()).collect();
    let full = table.get_or_create(&key(9), START).unwrap_err();
    assert_eq!(full.to_string(), "table t: all 3 entries are in use");
    assert_eq!(table.metrics().refused, 1);
    assert_eq!(table.used(), 3, "nothing that was held is lost");
    drop(held);
    assert!(table.get_or_create(&key(9), START).is_ok());
}

#[test]
fn nopurge_refuses_but_takes_what_is_over() {
    let mut declaration = declare(2, 1_000);
    declaration.nopurge = true;
    let table = StickTable::new(declaration);
    for number in 0..2 {
        table.get_or_create(&key(number), START).unwrap().touch(START);
    }
    assert!(table.get_or_create(&key(2), START + 500).is_err());
    assert!(table.get_or_create(&key(0), START + 500).is_ok(), "what is there is found first");
    assert!(table.get_or_create(&key(2), START + 2_000).is_ok());
}

#[test]
fn tracking_counts_each_connection_once_on_a_panic_too() {
    let table = table(10, 60_000);
    let first = table.track(&key(1), START).unwrap();
    let second = table.track(&key(1), START).unwrap();
    assert_eq!(first.read(DataType::ConnCur, 0, START), Some(2));
    assert_eq!(first.read(DataType::ConnCnt, 0, START), Some(2));
    drop(second);
    let panicked = thread::scope(|scope| {
        scope
            .spawn(|| {
                let _tracker = table.track(&key(1), START).unwrap();
                panic!("a request failed");
            })
            .join()
    });
    assert!(panicked.is_err());
    assert_eq!(first.read(DataType::ConnCur, 0, START), Some(1));
    drop(first);
    let entry = table.get(&key(1), START).unwrap();
    assert_eq!(entry.read(DataType::ConnCur, 0, START), Some(0));
    assert_eq!(entry.read(DataType::ConnCnt, 0, START), Some(3));
}

#[test]
fn learning_replaces_values_and_is_not_told_on() {
    let table = table(10, 10_000);
    let Learned::Entry(learning) = table.learn(&key(1), Some(4_000), START).unwrap() else {
        panic!("4 s are left")
    };
    assert!(learning.is_new());
    learning.store(DataType::Gpc0, 0, Value::Uint(42));
    learning.store(DataType::ConnCur, 0, Value::Uint(7));
    learning.store(DataType::Gpc1, 0, Value::Uint(7));
    let rate = Value::Rate { age_ms: 1_000, current: 5, previous: 10 };
    learning.store(DataType::Gpc0Rate, 0, rate);
    drop(learning);
    assert_eq!(table.begin_updates(0), None, "learned, so not told on");
    let entry = table.get(&key(1), START).unwrap();
    assert_eq!(entry.read(DataType::Gpc0, 0, START), Some(42));
    assert_eq!(entry.read(DataType::ConnCur, 0, START), Some(0), "local");
    assert_eq!(entry.read(DataType::Gpc0Rate, 0, START), Some(5 + 9));
    assert_eq!(entry.expires_in(START), 4_000);
    drop(entry);
    assert!(table.get(&key(1), START + 4_000).is_none());
    // Longer than our own time to live: cut. Over already: not created.
    let Learned::Entry(long) = table.learn(&key(2), Some(u32::MAX), START).unwrap() else {
        panic!()
    };
    assert_eq!(long.entry().expires_in(START), 10_000);
    assert!(matches!(table.learn(&key(3), Some(0), START).unwrap(), Learned::Over));
    assert!(table.get(&key(3), START).is_none());
}

#[test]
fn a_full_table_still_learns_what_it_has() {
    let table = table(2, 60_000);
    let _held: Vec<_> = (0..2).map(|n| table.get_or_create(&key(n), START).unwrap()).collect();
    assert!(table.learn(&key(0), None, START).is_ok());
    assert!(table.learn(&key(5), None, START).is_err());
    assert_eq!(keys(&table, START), [0, 1]);
}

/// Reads everything beyond the cursor.
fn tell(table: &StickTable, cursor: &mut u64) -> Vec<(String, i64)> {
    let Some(upto) = table.begin_updates(*cursor) else { return Vec::new() };
    let mut told = Vec::new();
    let mut at = *cursor;
    while let Some(taught) = table.next_update(at, upto) {
        at = taught.seq;
        let value = taught.entry.read(DataType::Gpc0, 0, START).unwrap();
        told.push((taught.entry.key().to_string(), value));
    }
    *cursor = upto;
    told
}

#[test]
fn an_entry_is_found_by_its_id() {
    let table = table(1000, 60_000);
    let ids: Vec<u64> =
        (0..500).map(|number| table.get_or_create(&key(number), START).unwrap().id()).collect();
    for (number, id) in (0..500).zip(&ids) {
        assert_eq!(table.get_by_id(*id, START).unwrap().key(), key(number));
    }
    for unknown in [0, 1, u64::MAX, ids[7] ^ 1, ids[7].wrapping_add(1)] {
        let found = table.get_by_id(unknown, START);
        assert!(found.is_none_or(|found| ids.contains(&found.id())), "{unknown}");
    }
    assert_eq!(table.remove(&key(3), START), Removed::Removed);
    assert!(table.get_by_id(ids[3], START).is_none());
    assert!(table.get_by_id(ids[5], START + 60_000).is_none(), "it is over");
}

#[test]
fn values_are_replaced_as_peers_tell_them() {
    let table = table(10, 60_000);
    let entry = table.get_or_create(&key(1), START).unwrap();
    let rate = Value::Rate { age_ms: 2_500, current: 7, previous: 100 };
    for (data_type, value) in [
        (DataType::Gpc0, Value::Uint(9)),
        (DataType::Gpc0Rate, rate),
        (DataType::BytesInCnt, Value::Ull(1 << 40)),
    ] {
        entry.set_value(data_type, 0, value, START).unwrap();
        assert_eq!(entry.value(data_type, 0, START), Some(value), "{data_type}");
    }
    // Its period goes on where it stood: three quarters of the former one still count.
    assert_eq!(entry.read(DataType::Gpc0Rate, 0, START), Some(7 + 75));
    assert_eq!(entry.read(DataType::Gpc0Rate, 0, START + 7_500), Some(7));
    entry.set_value(DataType::HttpReqCnt, 0, Value::Uint(1), START).unwrap_err();
    entry.set_value(DataType::Gpc0, 1, Value::Uint(1), START).unwrap_err();
}

#[test]
fn a_mark_parts_what_was_changed_from_what_is() {
    let table = table(10, 60_000);
    let bump = |number: u32| {
        let entry = table.get_or_create(&key(number), START).unwrap();
        entry.count(Event::Gpc0, 1, START);
        entry.touch(START);
    };
    let seq = |number: u32| table.get(&key(number), START).unwrap().update_seq();
    assert_eq!(table.mark_updates(), 0);
    (1..=3).for_each(bump);
    // Nobody has read anything, so a change would keep its place; behind a mark it does not.
    let mark = table.mark_updates();
    assert!((1..=3).all(|number| seq(number) <= mark));
    bump(2);
    bump(4);
    assert!(seq(1) <= mark && seq(2) > mark && seq(3) <= mark && seq(4) > mark);
    assert_eq!(tell(&table, &mut { mark }), [("2".to_owned(), 2), ("4".to_owned(), 1)]);
    assert_eq!(tell(&table, &mut 0).len(), 4, "a mark reads nothing");
}

#[test]
fn every_session_is_told_the_last_value_once() {
    // The 32 bits that travel wrap on the way.
    let first = u64::from(u32::MAX) - 3;
    let options = Options::new().domain(Domain::with_batch(4)).last_update(first);
    let table = StickTable::with(declare(100, 60_000), options);
    let (mut one, mut two) = (first, first);
    let bump = |number: u32| {
        let entry = table.get_or_create(&key(number), START).unwrap();
        entry.count(Event::Gpc0, 1, START);
        entry.touch(START);
    };
    (1..=3).for_each(bump);
    bump(1);
    let told = |pairs: &[(u32, i64)]| {
        pairs.iter().map(|(key, value)| (key.to_string(), *value)).collect::<Vec<_>>()
    };
    assert_eq!(
        tell(&table, &mut one),
        told(&[(1, 2), (2, 1), (3, 1)]),
        "one place, the last value"
    );
    assert_eq!(tell(&table, &mut one), []);
    (1..=2).for_each(bump);
    assert_eq!(tell(&table, &mut one), told(&[(1, 3), (2, 2)]));
    assert_eq!(tell(&table, &mut two), told(&[(3, 1), (1, 3), (2, 2)]), "the slower session");
    assert_eq!(table.remove(&key(3), START), Removed::Removed);
    bump(5);
    assert_eq!(tell(&table, &mut one), told(&[(5, 1)]));
    let mut late = 0;
    assert_eq!(tell(&table, &mut late).len(), 3, "the dead are told to nobody");
}

#[test]
fn a_walk_rests_and_goes_on() {
    let table = table(1000, 60_000);
    for number in 0..500 {
        table.get_or_create(&key(number), START).unwrap().touch(START);
    }
    let mut walk = Walk::new();
    let mut seen = Vec::new();
    while let Some(entry) = walk.next(&table, START) {
        let number: u32 = entry.key().to_string().parse().unwrap();
        drop(entry);
        seen.push(number);
        if number.is_multiple_of(2) {
            assert_eq!(table.remove(&key(number), START), Removed::Removed);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..500).collect::<Vec<_>>());
    assert_eq!(table.used(), 250);
    let (removed, busy) = table.clear(START);
    assert_eq!((removed, busy, table.used()), (250, 0, 0));
}

/// Dead entries are swept off the stacks long before their date, so that clearing gives memory back.
#[test]
fn clearing_gives_the_memory_back() {
    let size = 20_000;
    let domain = Domain::with_batch(64);
    let table = StickTable::with(declare(size, 86_400_000), Options::new().domain(domain.clone()));
    for round in 0..3 {
        for number in 0..size {
            let now = START + number;
            table.get_or_create(&key(number + round), now).unwrap().touch(now);
        }
        assert_eq!(table.clear(START + size), (size, 0));
        let mark = 1024;
        assert!(table.metrics().dead <= mark, "{:?}", table.metrics());
    }
    domain.flush();
    assert_eq!(domain.unreclaimed(), 0, "nothing but what the stacks still hold is kept");
}

struct Count(Arc<AtomicU32>, Arc<AtomicU32>);

impl Wake for Count {
    fn expiry(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn updates(&self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn sleepers_are_woken_for_what_comes_earlier_and_only_then() {
    let counts = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let wake = Count(Arc::clone(&counts.0), Arc::clone(&counts.1));
    let table = StickTable::with(declare(100, 10_000), Options::new().wake(wake));
    let wakes = || (counts.0.load(Ordering::Relaxed), counts.1.load(Ordering::Relaxed));
    assert_eq!(table.arm_expiry(), None);
    table.arm_updates();
    table.get_or_create(&key(1), START).unwrap().touch(START);
    assert_eq!(wakes(), (1, 1), "the first entry");
    let due = table.arm_expiry().unwrap();
    assert!(due > START + 10_000 && due <= START + 10_032);
    for number in 2..50 {
        table.get_or_create(&key(number), START + number).unwrap().touch(START + number);
    }
    assert_eq!(wakes(), (1, 1), "later, and nobody armed again");
    table.arm_updates();
    drop(table.learn(&key(99), Some(100), START + 50).unwrap());
    assert_eq!(wakes(), (2, 1), "a shorter life, and learned entries are not told on");
    assert!(table.arm_expiry().unwrap() < due);
}

/// Eight threads create, touch, expire, purge and clear, and the number of entries never passes the size.
#[test]
fn the_size_is_never_exceeded() {
    let (size, numbers) = (64, 256);
    let domain = Domain::with_batch(32);
    let table = StickTable::with(declare(size, 2_000), Options::new().domain(domain.clone()));
    let clock = AtomicU32::new(0);
    thread::scope(|scope| {
        let (table, clock) = (&table, &clock);
        let work = |id: u32| {
            scope.spawn(move || {
                let mut random = u64::from(id) + 77;
                for step in 0..20_000_u32 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let number = (random >> 33) as u32 % numbers;
                    let now = START + clock.fetch_add(u32::from(step % 8 == 0), Ordering::Relaxed);
                    match step % 16 {
                        0 => drop(table.expire(now, 20)),
                        1 => drop(table.remove(&key(number), now)),
                        2 if step % 4096 == 2 => drop(table.clear(now)),
                        3 => drop(table.learn(&key(number), Some(number * 10), now)),
                        _ => {
                            if let Ok(tracker) = table.track(&key(number), now) {
                                tracker.count(Event::Gpc0, 1, now);
                                assert_eq!(tracker.key(), key(number));
                            }
                        }
                    }
                    assert!(table.used() <= size);
                }
            })
        };
        let working: Vec<_> = (0..8).map(work).collect();
        // A peer reads along.
        let peer = scope.spawn(move || {
            let mut cursor = 0;
            for _ in 0..2_000 {
                tell(table, &mut cursor);
                thread::yield_now();
            }
        });
        // Joined one by one: ThreadSanitizer does not see how a scope ends.
        working.into_iter().chain([peer]).for_each(|thread| thread.join().unwrap());
    });
    let now = START + clock.load(Ordering::Relaxed);
    let found = keys(&table, now);
    assert!(found.is_sorted_by(|a, b| a < b), "no key twice");
    assert_eq!(found.len(), table.used() as usize, "used is exact");
    for entry in table.entries(now) {
        assert_eq!(entry.read(DataType::ConnCur, 0, now), Some(0), "every connection ended");
        assert_eq!(entry.users(), 0);
    }
    let later = now + 10_000;
    while table.expire(later, 1000).more {}
    assert_eq!(table.used(), 0);
    assert_eq!(table.arm_expiry(), None, "nothing is left to wait for");
    assert_eq!(table.begin_updates(0), None, "nothing is left to tell");
    assert_eq!(table.metrics().dead, 0);
}

#[test]
fn byte_rates_count_blocks_that_were_begun() {
    let declaration = Declaration::builder("t", KeySpec::INTEGER)
        .size(10)
        .brates_factor(1000)
        .store(DataType::BytesInCnt)
        .store_rate(DataType::BytesInRate, 10_000)
        .build()
        .unwrap();
    let table = StickTable::new(declaration);
    let entry = table.get_or_create(&key(1), START).unwrap();
    for bytes in [1, 1000, 1001, 0] {
        entry.count(Event::BytesIn, bytes, START);
    }
    assert_eq!(entry.read(DataType::BytesInCnt, 0, START), Some(2002));
    assert_eq!(entry.read(DataType::BytesInRate, 0, START), Some(1 + 1 + 2));
}

const DAY: u32 = 86_400_000;

/// 32 bits tell dates apart within weeks; who holds an entry for longer keeps it over.
#[test]
fn an_entry_that_was_held_for_months_is_over_when_it_is_let_go() {
    let table = table(10, 10_000);
    let entry = table.get_or_create(&key(1), START).unwrap();
    let mut now = START;
    for _ in 0..10 {
        now = now + 20 * DAY;
        while table.expire(now, 10).more {}
        assert_eq!(entry.expires_in(now), 0);
    }
    drop(entry);
    assert_eq!(table.used(), 0);
}

#[test]
fn the_longest_delay_bears_a_clock_that_lags() {
    let table = table(10, i32::MAX.cast_unsigned());
    table.get_or_create(&key(1), START + 1_000).unwrap().touch(START + 1_000);
    assert!(table.get(&key(1), START).is_some(), "not over, by a clock a second behind");
}

#[test]
fn what_was_not_touched_for_a_month_goes_first() {
    let table = table(3, 0);
    let mut now = START;
    for number in 0..3 {
        table.get_or_create(&key(number), now).unwrap().touch(now);
        now = now + 15 * DAY;
    }
    table.get_or_create(&key(3), now).unwrap().touch(now);
    assert_eq!(keys(&table, now), [1, 2, 3]);
}

/// Dead entries in the way are taken off, and the living one behind them is found.
#[test]
fn the_one_that_is_not_held_goes_though_many_died_since() {
    for _ in 0..100 {
        let table = table(4, 60_000);
        drop(table.get_or_create(&key(0), START).unwrap());
        let _held: Vec<_> = (1..3).map(|n| table.get_or_create(&key(n), START).unwrap()).collect();
        for number in 100..600 {
            drop(table.get_or_create(&key(number), START).unwrap());
            assert_eq!(table.remove(&key(number), START), Removed::Removed);
        }
        let _last = table.get_or_create(&key(3), START).unwrap();
        assert!(table.get_or_create(&key(4), START).is_ok(), "0 is not held");
        assert_eq!(keys(&table, START), [1, 2, 3, 4]);
    }
}

/// A sweep of the dead puts those that it finds alive aside: a purge finds them there.
#[test]
fn what_a_sweep_put_aside_is_found_when_the_table_is_full() {
    let table = table(4, 86_400_000);
    for number in 0..3 {
        drop(table.get_or_create(&key(number), START).unwrap());
    }
    // Enough to be swept: the first three are looked at, and put aside.
    for number in 100..1400 {
        drop(table.get_or_create(&key(number), START).unwrap());
        assert_eq!(table.remove(&key(number), START), Removed::Removed);
    }
    let later = START + 10_000;
    table.get_or_create(&key(3), later).unwrap().touch(later);
    drop(table.get_or_create(&key(4), later).unwrap());
    assert!(table.get(&key(3), later).is_some(), "the others are older");
}

/// A purge does not put off for another delay what is over.
#[test]
fn a_purge_takes_what_is_over_first() {
    let table = table(2, 10_000);
    for number in 0..2 {
        drop(table.get_or_create(&key(number), START).unwrap());
        table.get_or_create(&key(number), START + 5_000).unwrap().touch(START + 5_000);
    }
    let now = START + 16_000;
    drop(table.get_or_create(&key(2), now).unwrap());
    assert_eq!((table.metrics().expired, table.metrics().purged), (1, 0));
    while table.expire(now, 10).more {}
    assert_eq!(table.used(), 1, "the other is taken at its date, and not a delay later");
}
