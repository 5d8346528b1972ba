//! The order of updates, and what is learned.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use super::*;

/// Reads what is beyond the cursor: sequence, key, value.
fn tell(table: &StickTable, cursor: &mut u64) -> Vec<(u64, u32, i64)> {
    let Some(upto) = table.begin_updates(*cursor) else { return Vec::new() };
    let mut told = Vec::new();
    let mut at = *cursor;
    while let Some(taught) = table.next_update(at, upto) {
        at = taught.seq;
        let number = taught.entry.key().to_string().parse().unwrap();
        told.push((at, number, taught.entry.read(DataType::Gpc0, 0, START).unwrap()));
    }
    *cursor = upto;
    told
}

fn learn(table: &StickTable, number: u32, value: u32, now: Tick) {
    let Ok(Learned::Entry(learning)) = table.learn(&key(number), None, now) else {
        panic!("{number} is not learned")
    };
    learning.store(DataType::Gpc0, 0, Value::Uint(value));
}

/// The keys and values of what was told.
fn pairs(told: &[(u64, u32, i64)]) -> Vec<(u32, i64)> {
    told.iter().map(|(_, key, value)| (*key, *value)).collect()
}

/// 1c6235dbb. No sequence is given twice, whoever draws them: a session reads them strictly ascending, and never an old
/// value after a newer one.
#[test]
fn sequences_are_unique() {
    const STEPS: u32 = 20_000;
    let table = table(100, 0);
    let over = AtomicBool::new(false);
    let mut told = thread::scope(|scope| {
        let (table, over) = (&table, &over);
        let touching = [1_u64, 2, 3].map(|thread| {
            scope.spawn(move || {
                let mut random = Random(thread);
                (0..STEPS).for_each(|_| bump(table, random.below(16), START));
            })
        });
        let reading = scope.spawn(move || {
            let (mut cursor, mut all) = (0, Vec::new());
            while !over.load(SeqCst) {
                all.extend(tell(table, &mut cursor));
                thread::yield_now();
            }
            all.extend(tell(table, &mut cursor));
            all
        });
        touching.into_iter().for_each(|thread| thread.join().unwrap());
        over.store(true, SeqCst);
        reading.join().unwrap()
    });
    assert!(told.is_sorted_by(|a, b| a.0 < b.0), "a sequence twice, or out of order");
    let total: i64 = (0..16)
        .map(|number| {
            let values: Vec<_> =
                told.iter().filter(|told| told.1 == number).map(|told| told.2).collect();
            assert!(values.is_sorted(), "an old value after a newer one");
            values.last().copied().unwrap_or(0)
        })
        .sum();
    assert_eq!(total, i64::from(3 * STEPS), "the last values are told");
    told.dedup_by_key(|told| told.0);
}

/// d9729da98. A session that was away for more than half the circle of 32-bit ids is told all that is new.
#[test]
fn a_cursor_that_is_long_behind_is_behind() {
    for last in [1 << 31, (1 << 31) + 1, 3 << 31, (1 << 40) + 7] {
        let options = Options::new().domain(Domain::with_batch(4)).last_update(last);
        let table = StickTable::with(declare(10, 0), options);
        bump(&table, 1, START);
        for cursor in [0, 1, last / 2, last - (1 << 31), last] {
            let mut cursor = cursor;
            assert_eq!(tell(&table, &mut cursor), [(last + 1, 1, 1)]);
            assert_eq!(tell(&table, &mut cursor), []);
        }
    }
}

/// 8e7a13ed6. Nothing is taken for old or new at the edges of the ids that travel: 2^31 and 2^32.
#[test]
fn sequences_cross_every_edge() {
    for edge in [1_u64 << 31, 1 << 32, 1 << 33] {
        let first = edge - 50;
        let options = Options::new().domain(Domain::with_batch(4)).last_update(first);
        let table = StickTable::with(declare(1_000, 0), options);
        let (mut fast, mut slow) = (first, first);
        for number in 0..100 {
            bump(&table, number, START);
            bump(&table, number / 2, START);
            let told = tell(&table, &mut fast);
            assert_eq!(pairs(&told).last().unwrap().0, if number == 0 { 0 } else { number / 2 });
        }
        assert!(fast > edge);
        let told = tell(&table, &mut slow);
        assert_eq!(told.len(), 100, "each once");
        assert!(told.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!((slow, tell(&table, &mut slow)), (fast, vec![]));
    }
}

/// 77f286e8b. One key that is learned by two sessions at once is one entry.
#[test]
fn a_key_learned_twice_at_once_is_one_entry() {
    const KEYS: u32 = 5_000;
    // With a place for each thread that loses a race: where there is none, it purges before it knows that it lost.
    let table = table(KEYS + 2, 60_000);
    let new: u32 = thread::scope(|scope| {
        let table = &table;
        let learning = [7, 8].map(|value| {
            scope.spawn(move || {
                let mut new = 0;
                for number in 0..KEYS {
                    let learned = table.learn(&key(number), None, START).unwrap();
                    let Learned::Entry(learning) = learned else { panic!("over") };
                    learning.store(DataType::Gpc0, 0, Value::Uint(value));
                    new += u32::from(learning.is_new());
                }
                new
            })
        });
        learning.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((new, table.used()), (KEYS, KEYS));
    assert!(table.entries(START).all(|entry| {
        matches!(entry.read(DataType::Gpc0, 0, START), Some(7 | 8)) && entry.users() == 0
    }));
    assert_eq!(table.begin_updates(0), None);
    while table.expire(START + 60_128, 1_000).more {}
    assert_eq!((table.used(), table.next_due()), (0, None));
}

/// 1e0920f85. The first change of an entry that was learned is told to everybody, its teacher included.
#[test]
fn a_change_of_what_was_learned_is_told() {
    let table = table(10, 60_000);
    let mut cursor = 0;
    learn(&table, 1, 40, START);
    assert_eq!(tell(&table, &mut cursor), []);
    bump(&table, 1, START);
    assert_eq!(pairs(&tell(&table, &mut cursor)), [(1, 41)]);
    // Again, now that it was told once.
    learn(&table, 1, 50, START);
    assert_eq!(tell(&table, &mut cursor), [], "learned is not echoed");
    bump(&table, 1, START);
    assert_eq!(pairs(&tell(&table, &mut cursor)), [(1, 51)]);
}

/// c26bcfc1e. An entry that is learned and changed at once, before anybody read, is told to every session.
#[test]
fn what_is_learned_and_changed_at_once_is_told_to_all() {
    let table = table(10, 60_000);
    bump(&table, 1, START);
    learn(&table, 2, 20, START);
    bump(&table, 2, START);
    // A change that waits to be told, and is overtaken by what a peer says.
    learn(&table, 1, 10, START);
    for mut cursor in [0, 0, 0] {
        assert_eq!(pairs(&tell(&table, &mut cursor)), [(1, 10), (2, 21)]);
    }
}

/// 576e47fb9. However an entry is learned and changed in turns, it has one place in the order, and none once it is gone.
#[test]
fn an_entry_has_one_place_in_the_order() {
    let table = table(10, 60_000);
    let mut cursors = [0; 3];
    for turn in 0..300_u32 {
        match turn % 3 {
            0 => learn(&table, 1, turn, START),
            _ => bump(&table, 1, START),
        }
        if turn % 4 == 0 {
            let told = tell(&table, &mut cursors[turn as usize / 4 % 3]);
            assert!(told.len() <= 1, "{told:?}");
        }
    }
    let mut fresh = 0;
    assert_eq!(tell(&table, &mut fresh).len(), 1);
    assert_eq!(table.remove(&key(1), START), Removed::Removed);
    assert_eq!(table.begin_updates(0), None);
}

/// 554829139. What a peer says refreshes the date of an entry that is there.
#[test]
fn learning_refreshes_the_date() {
    let table = table(10, 10_000);
    bump(&table, 1, START);
    learn(&table, 1, 5, START + 6_000);
    assert_eq!(table.get(&key(1), START + 6_000).unwrap().expires_in(START + 6_000), 10_000);
    assert_eq!(table.expire(START + 10_100, 10).expired, 0);
    assert!(table.get(&key(1), START + 15_999).is_some());
    assert!(table.get(&key(1), START + 16_000).is_none());
}

/// b02b8453d. A time to live from outside is cut to the table's own, for new entries and for those that are there.
#[test]
fn a_learned_time_to_live_is_cut() {
    let table = table(10, 10_000);
    for sent in [10_001, 1 << 31, u32::MAX] {
        for _ in 0..2 {
            let Learned::Entry(learning) = table.learn(&key(1), Some(sent), START).unwrap() else {
                panic!("{sent} ms are left")
            };
            assert_eq!(learning.entry().expires_in(START), 10_000);
        }
    }
    assert_eq!(table.expire(START + 10_016, 10).expired, 1);
}

/// HEAD:shortened-date. An entry whose life is shortened by a peer is absent from its new date on, though it is filed under
/// the old one; whoever asks for it takes it.
#[test]
fn a_shortened_life_is_short() {
    let table = table(10, 60_000);
    bump(&table, 1, START);
    drop(table.learn(&key(1), Some(1_000), START).unwrap());
    assert!(table.get(&key(1), START + 999).is_some());
    let over = START + 1_000;
    assert_eq!(table.entries(over).count(), 0);
    assert!(table.get(&key(1), over).is_none());
    assert_eq!((table.used(), table.metrics().expired), (0, 1));
    // An entry is made anew beside what is still filed, and lives its own life.
    bump(&table, 1, over);
    assert_eq!(table.get(&key(1), over).unwrap().read(DataType::Gpc0, 0, over), Some(1));
    while table.expire(START + 60_128, 10).more {}
    assert_eq!((table.used(), table.metrics().dead), (1, 0));
}

/// HEAD:session-counters. Sessions are announced to peers as every other count is, by the touch after it.
#[test]
fn sessions_are_announced() {
    let declaration = Declaration::builder("t", KeySpec::INTEGER)
        .size(10)
        .expire_ms(60_000)
        .peers("p")
        .store(DataType::SessCnt)
        .store_rate(DataType::SessRate, 10_000)
        .build()
        .unwrap();
    let table = StickTable::with(declaration, Options::new().domain(Domain::with_batch(4)));
    let tracker = table.track(&key(1), START).unwrap();
    let cursor = table.begin_updates(0).unwrap();
    tracker.count(Event::Session, 1, START);
    tracker.touch(START);
    let upto = table.begin_updates(cursor).expect("something to tell");
    let taught = table.next_update(cursor, upto).unwrap();
    assert_eq!(taught.entry.read(DataType::SessCnt, 0, START), Some(1));
    assert_eq!(taught.entry.read(DataType::SessRate, 0, START), Some(1));
}
