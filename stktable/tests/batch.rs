//! Many keys at once do what they do one by one.
#![cfg(not(loom))]

use std::thread;

use ebtree::Domain;
use stktable::table::{Learned, Options, StickTable, Value};
use stktable::{DataType, Declaration, Key, KeySpec, Tick};

const START: Tick = Tick((1 << 32) - 20_000);

fn table(size: u32) -> StickTable {
    let declaration = Declaration::builder("t", KeySpec::INTEGER)
        .size(size)
        .expire_ms(60_000)
        .store(DataType::Gpc0)
        .store(DataType::ConnCur)
        .store(DataType::ConnCnt)
        .build()
        .unwrap();
    StickTable::with(declaration, Options::new().domain(Domain::with_batch(4)))
}

fn key(number: u32) -> Key {
    KeySpec::INTEGER.key(&number.to_be_bytes()).unwrap()
}

#[test]
fn many_answers_come_in_the_order_of_the_keys() {
    let table = table(1000);
    for number in (0..500).step_by(2) {
        let entry = table.get_or_create(&key(number), START).unwrap();
        entry.set(DataType::Gpc0, 0, number.into(), START).unwrap();
    }
    // More than go side by side, some twice, and some of another type.
    let text = KeySpec::STRING.key(b"abc").unwrap();
    for count in [0, 1, 15, 16, 17, 300] {
        let mut keys: Vec<Key> = (0..count).map(|number| key(number * 7 % 500)).collect();
        keys.extend(keys.clone());
        keys.insert(keys.len() / 2, text.clone());
        keys.push(text.clone());
        let expected: Vec<Option<i64>> =
            keys.iter().map(|key| table.get(key, START)?.read(DataType::Gpc0, 0, START)).collect();
        let held = table.get_many(&keys, START);
        for ((key, entry), expected) in keys.iter().zip(&held).zip(&expected) {
            let found = entry.as_ref().map(|entry| entry.read(DataType::Gpc0, 0, START).unwrap());
            assert_eq!(
                (found, entry.as_ref().is_none_or(|entry| entry.key() == *key)),
                (*expected, true)
            );
        }
        assert_eq!(held.len(), keys.len());
        let mut visited = Vec::new();
        table.get_many_with(&keys, START, |key, entry| {
            assert_eq!(*key, keys[visited.len()]);
            visited.push(entry.and_then(|entry| entry.read(DataType::Gpc0, 0, START)));
        });
        assert_eq!(visited, expected);
    }
    let users = table.get_many(&[key(2), key(2)], START);
    assert!(users.iter().flatten().all(|entry| entry.users() == 1), "each holds it");
}

#[test]
fn what_is_over_is_found_by_no_batch_unless_it_is_held() {
    let table = table(10);
    let held = table.get_or_create(&key(1), START).unwrap();
    drop(table.get_or_create(&key(2), START).unwrap());
    let now = START + 60_000;
    let keys = [key(1), key(2)];
    let found: Vec<bool> = table.get_many(&keys, now).iter().map(Option::is_some).collect();
    assert_eq!(found, [true, false]);
    table.get_many_with(&keys, now, |number, entry| assert_eq!(entry.is_some(), *number == key(1)));
    drop(held);
}

#[test]
fn tracking_many_is_tracking_each() {
    let table = table(40);
    drop(table.track(&key(3), START).unwrap());
    drop(table.get_or_create_for(&key(4), 1_000, START).unwrap());
    // 4 is over by then, and created anew.
    let now = START + 1_000;
    let keys: Vec<Key> = (0..20).chain([3, 19]).map(key).collect();
    let trackers: Vec<_> =
        table.track_many(&keys, now).into_iter().map(|tracker| tracker.unwrap()).collect();
    for (tracker, key) in trackers.iter().zip(&keys) {
        assert_eq!(tracker.key(), *key);
        let twice = [3, 19].map(self::key).contains(key);
        assert_eq!(tracker.read(DataType::ConnCur, 0, now), Some(1 + i64::from(twice)));
        assert_eq!(tracker.expires_in(now), 60_000, "touched");
    }
    let count = |number| table.fetch(&key(number), DataType::ConnCnt, 0, now);
    assert_eq!([3, 4, 5, 19].map(count), [Some(3), Some(1), Some(1), Some(2)]);
    assert_eq!((table.used(), table.metrics().expired), (20, 1));
    drop(trackers);
    for entry in table.entries(now) {
        assert_eq!((entry.read(DataType::ConnCur, 0, now), entry.users()), (Some(0), 0));
    }
}

#[test]
fn a_batch_that_is_larger_than_the_table_is_refused_key_by_key() {
    let table = table(10);
    let keys: Vec<Key> = (0..15).map(key).collect();
    let results = table.track_many(&keys, START);
    let tracked: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(tracked, [[true; 10].as_slice(), &[false; 5]].concat());
    assert_eq!((table.used(), table.metrics().refused), (10, 5));
}

#[test]
#[should_panic = "a key of this table's type"]
fn a_key_of_another_type_is_not_tracked() {
    let _ = table(10).track_many(&[KeySpec::STRING.key(b"abc").unwrap()], START);
}

/// Batches of overlapping keys beside removals: every tracker counts, and none is left.
#[test]
fn batches_of_many_threads_count_each_key() {
    let table = table(200);
    let rounds = 300_u32;
    thread::scope(|scope| {
        let table = &table;
        let threads: Vec<_> = (0..4)
            .map(|id| {
                scope.spawn(move || {
                    for round in 0..rounds {
                        let keys: Vec<Key> =
                            (0..40).map(|at| key((at * 3 + round * (id + 1)) % 100)).collect();
                        let trackers = table.track_many(&keys, START);
                        for (tracker, key) in trackers.iter().zip(&keys) {
                            let tracker = tracker.as_ref().unwrap();
                            assert!(tracker.key() == *key && tracker.is_alive());
                            tracker.inc_gpc0(START);
                        }
                        table.remove(&keys[0], START);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    for entry in table.entries(START) {
        assert_eq!((entry.read(DataType::ConnCur, 0, START), entry.users()), (Some(0), 0));
        let [counted, connections] =
            [DataType::Gpc0, DataType::ConnCnt].map(|column| entry.read(column, 0, START));
        assert_eq!(counted, connections);
    }
}

/// What became of each update, and what the table holds afterwards, with what is left to live.
type Outcome = (Vec<&'static str>, Vec<(Key, i64, u32)>);

/// Learns the updates in two ways.
fn learned(size: u32, updates: &[(Key, Option<u32>, u32)]) -> [Outcome; 2] {
    [false, true].map(|together| {
        let declaration = Declaration::builder("t", KeySpec::INTEGER)
            .size(size)
            .expire_ms(60_000)
            .nopurge()
            .store(DataType::Gpc0)
            .build()
            .unwrap();
        let table = StickTable::with(declaration, Options::new().domain(Domain::with_batch(4)));
        // Some are there: one held and over, one only over, one alive.
        let held = table.get_or_create_for(&key(1), 10, START).unwrap();
        drop(table.get_or_create_for(&key(2), 10, START).unwrap());
        drop(table.get_or_create(&key(3), START).unwrap());
        let now = START + 20;
        let store = |learned: Result<Learned<'_>, _>, value: u32| match learned {
            Ok(Learned::Entry(entry)) => {
                entry.store(DataType::Gpc0, 0, Value::Uint(value));
                if entry.is_new() { "new" } else { "again" }
            }
            Ok(Learned::Over) => "over",
            Err(_) => "full",
        };
        let mut became = Vec::new();
        if together {
            let of = |update| {
                let (key, expire_ms, _): &(Key, Option<u32>, u32) = update;
                (key.as_bytes(), *expire_ms)
            };
            table.learn_many(updates, of, now, |update, learned| {
                became.push(store(learned, update.2));
            });
        } else {
            for (key, expire_ms, value) in updates {
                became.push(store(table.learn(key, *expire_ms, now), *value));
            }
        }
        let mut rows: Vec<_> = table
            .entries(now)
            .map(|entry| {
                let value = entry.read(DataType::Gpc0, 0, now).unwrap();
                (entry.key(), value, entry.expires_in(now))
            })
            .collect();
        rows.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
        drop(held);
        (became, rows)
    })
}

#[test]
fn many_are_learned_as_one_by_one() {
    for size in [3, 5, 20, 1000] {
        for count in [0, 1, 2, 16, 17, 40, 200] {
            // Keys come again, within a group that is looked up together and in later ones; some are over when they come.
            let updates: Vec<_> = (0..count)
                .map(|at: u32| {
                    let expire_ms = [None, Some(5_000), Some(0), Some(u32::MAX)][at as usize % 4];
                    (key(at * at % 23), expire_ms, at)
                })
                .collect();
            let [apart, together] = learned(size, &updates);
            assert_eq!(apart, together, "{count} in a table of {size}");
        }
    }
}

#[test]
#[should_panic(expected = "a key of this table's type")]
fn keys_of_another_width_are_not_learned() {
    let short: &[u8] = &[1, 2, 3];
    table(10).learn_many(&[short], |bytes| (*bytes, None), START, |_, _| {});
}
