//! Servers that clients stick to. Their names are shared by the entries that have them, bounded, and gone with the last of them.
#![cfg(not(loom))]

use std::thread;

use ebtree::Domain;
use stktable::table::{
    Learned, NAME_LEN_MAX, NAMES_MAX, NameError, Options, Removed, StickTable, Value,
};
use stktable::{DataType, Declaration, Key, KeySpec, Tick};

const START: Tick = Tick((1 << 32) - 20_000);

fn declare(size: u32) -> Declaration {
    Declaration::builder("t", KeySpec::INTEGER)
        .size(size)
        .expire_ms(60_000)
        .peers("p")
        .store(DataType::ServerId)
        .store(DataType::ServerKey)
        .build()
        .unwrap()
}

fn table(size: u32, names_max: u32) -> StickTable {
    let options = Options::new().domain(Domain::with_batch(4)).names_max(names_max);
    StickTable::with(declare(size), options)
}

fn key(number: u32) -> Key {
    KeySpec::INTEGER.key(&number.to_be_bytes()).unwrap()
}

fn name(table: &StickTable, number: u32, now: Tick) -> Option<String> {
    table.get_with(&key(number), now, |entry| entry.server_key())?
}

#[test]
fn a_name_is_stored_shared_replaced_and_taken_away() {
    let table = table(10, 10);
    let (one, two) = (
        table.get_or_create(&key(1), START).unwrap(),
        table.get_or_create(&key(2), START).unwrap(),
    );
    assert_eq!(one.server_key(), None);
    one.set_server_key(Some("web1")).unwrap();
    two.set_server_key(Some("web1")).unwrap();
    assert_eq!((one.server_key(), two.server_key()), (Some("web1".into()), Some("web1".into())));
    assert_eq!(table.metrics().names, 1, "one copy");
    two.set_server_key(Some("web2")).unwrap();
    assert_eq!((one.server_key(), two.server_key()), (Some("web1".into()), Some("web2".into())));
    assert_eq!(table.metrics().names, 2);
    two.set_server_key(Some("web2")).unwrap();
    assert_eq!(
        (two.server_key(), table.metrics().names),
        (Some("web2".into()), 2),
        "the same again"
    );
    one.set_server_key(None).unwrap();
    two.set_server_key(Some("")).unwrap();
    assert_eq!((one.server_key(), two.server_key(), table.metrics().names), (None, None, 0));
}

#[test]
fn a_name_goes_with_the_last_entry_that_has_it_however_that_ends() {
    let table = table(4, 10);
    let set = |number, name: &str, now| {
        let entry = table.get_or_create(&key(number), now).unwrap();
        entry.set_server_key(Some(name)).unwrap();
        entry.touch(now);
    };
    set(1, "a", START);
    set(2, "a", START);
    set(3, "b", START + 20_000);
    set(4, "c", START + 30_000);
    assert_eq!(table.metrics().names, 3);
    assert_eq!(table.remove(&key(1), START), Removed::Removed);
    assert_eq!(table.metrics().names, 3, "2 has it");
    while table.expire(START + 60_100, 10).more {}
    assert_eq!((table.used(), table.metrics().names), (2, 2), "expired");
    // Purged: two more than there is room for.
    for number in 5..=7 {
        set(number, "d", START + 60_200);
    }
    assert_eq!((table.metrics().purged, table.metrics().names), (1, 2));
    assert_eq!(name(&table, 4, START + 60_200).as_deref(), Some("c"));
    table.clear(START + 60_200);
    assert_eq!(table.metrics().names, 0);
    // A new entry of an old key has no name.
    drop(table.get_or_create(&key(1), START + 60_200).unwrap());
    assert_eq!(name(&table, 1, START + 60_200), None);
}

#[test]
fn what_is_too_long_or_too_many_is_refused_and_counted() {
    let table = table(10, 2);
    let entry = table.get_or_create(&key(1), START).unwrap();
    let longest = "x".repeat(NAME_LEN_MAX);
    entry.set_server_key(Some(&longest)).unwrap();
    let longer = "x".repeat(NAME_LEN_MAX + 1);
    let error = NameError::TooLong { len: NAME_LEN_MAX + 1 };
    assert_eq!(entry.set_server_key(Some(&longer)), Err(error));
    assert_eq!(entry.server_key(), Some(longest), "it keeps the one it has");
    let other = table.get_or_create(&key(2), START).unwrap();
    other.set_server_key(Some("b")).unwrap();
    let third = table.get_or_create(&key(3), START).unwrap();
    assert_eq!(third.set_server_key(Some("c")), Err(NameError::TooMany { max: 2 }));
    third.set_server_key(Some("b")).unwrap();
    assert_eq!((table.metrics().names, table.metrics().names_refused), (2, 2));
    entry.set_server_key(None).unwrap();
    third.set_server_key(Some("c")).unwrap();
    assert_eq!(third.server_key().as_deref(), Some("c"), "there is a place again");
    assert!(NAMES_MAX >= 1000 && !error.to_string().is_empty());
}

#[test]
fn without_the_column_there_are_no_names() {
    let declaration = Declaration::builder("t", KeySpec::INTEGER).size(10).build().unwrap();
    let table = StickTable::new(declaration);
    let entry = table.get_or_create(&key(1), START).unwrap();
    assert_eq!(entry.set_server_key(Some("a")), Err(NameError::NotStored));
    assert_eq!((entry.server_key(), table.metrics().names_refused), (None, 0));
}

#[test]
fn a_learned_name_is_stored() {
    let table = table(10, 1);
    for number in [1, 2] {
        let Learned::Entry(learning) = table.learn(&key(number), None, START).unwrap() else {
            panic!()
        };
        learning.store_server_key(Some("web1")).unwrap();
        let many = learning.store_server_key(Some("web2"));
        // The entry alone has its old name: that is given up after the new one is found a place.
        assert_eq!(many, Err(NameError::TooMany { max: 1 }));
    }
    assert_eq!((name(&table, 1, START), table.metrics().names), (Some("web1".into()), 1));
    assert_eq!(table.begin_updates(0), None, "learned, so not told on");
}

/// What a peer sends for a table is given to the one that its `write-to` names, as far as nobody adds to it.
#[test]
fn write_to_takes_tags_and_servers_and_no_counters() {
    let declaration = Declaration::builder("t", KeySpec::INTEGER)
        .size(10)
        .peers("p")
        .store(DataType::ServerId)
        .store(DataType::Gpt0)
        .store(DataType::Gpc0)
        .build()
        .unwrap();
    let table = StickTable::new(declaration);
    let Learned::Entry(learning) = table.learn(&key(1), None, START).unwrap() else { panic!() };
    learning.store_as_is(DataType::ServerId, 0, Value::Sint(-2));
    learning.store_as_is(DataType::Gpt0, 0, Value::Uint(3));
    learning.store_as_is(DataType::Gpc0, 0, Value::Uint(4));
    let read = |data_type| learning.entry().read(data_type, 0, START);
    let values = [DataType::ServerId, DataType::Gpt0, DataType::Gpc0].map(read);
    assert_eq!(values, [Some(-2), Some(3), Some(0)]);
    assert_eq!(table.begin_updates(0), None, "not told on");
}

/// Threads name entries, read names and end entries. Whoever reads an entry that always has a name always finds one; at the end
/// there are as many names as entries have.
#[test]
fn names_come_and_go_beside_readers() {
    let domain = Domain::with_batch(4);
    let options = Options::new().domain(domain.clone()).names_max(8);
    let table = StickTable::with(declare(100), options);
    let always = table.get_or_create(&key(0), START).unwrap();
    always.set_server_key(Some("s0")).unwrap();
    thread::scope(|scope| {
        let (table, always) = (&table, &always);
        let threads: Vec<_> = (0..4_u32)
            .map(|id| {
                scope.spawn(move || {
                    for step in 0..4_000_u32 {
                        let (number, name) = (1 + step * 7 % 5, format!("s{}", (step + id) % 4));
                        match step % 8 {
                            0 => drop(table.remove(&key(number), START)),
                            1 => always.set_server_key(Some(&name)).unwrap(),
                            2 | 3 => {
                                let seen = always.server_key().expect("it always has one");
                                assert!(["s0", "s1", "s2", "s3"].contains(&seen.as_str()));
                            }
                            _ => {
                                let entry = table.get_or_create(&key(number), START).unwrap();
                                // Four names, and one in the hands of each thread.
                                entry.set_server_key(Some(&name)).unwrap();
                            }
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    let mut names = std::collections::BTreeSet::new();
    table.for_each(START, |entry| names.extend(entry.server_key()));
    assert_eq!(table.metrics().names as usize, names.len());
    drop(always);
    table.clear(START);
    assert_eq!(table.metrics().names, 0);
    drop(table);
    domain.flush();
    assert_eq!(domain.unreclaimed(), 0);
}
