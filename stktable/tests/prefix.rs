//! Queries by prefix: the same with and without the order of keys, but for the order.
#![cfg(not(loom))]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ebtree::Domain;
use stktable::table::{Options, PrefixWalk, StickTable};
use stktable::{DataType, Declaration, Key, KeySpec, Prefix, Tick};

const START: Tick = Tick((1 << 32) - 20_000);

fn table(spec: KeySpec, size: u32, ordered: bool) -> StickTable {
    let declaration = Declaration::builder("t", spec)
        .size(size)
        .expire_ms(60_000)
        .store(DataType::Gpc0)
        .build()
        .unwrap();
    let options = Options::new().domain(Domain::with_batch(4));
    StickTable::with(declaration, if ordered { options.ordered() } else { options })
}

fn ip(address: u32) -> Key {
    KeySpec::IP.key(&address.to_be_bytes()).unwrap()
}

fn found(table: &StickTable, prefix: &Prefix, now: Tick) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    table.for_each_in(prefix, now, |entry| found.push(entry.key_bytes().to_vec()));
    if !table.is_ordered() {
        found.sort_unstable();
    }
    found
}

/// A few addresses that share beginnings of many lengths.
fn addresses() -> Vec<u32> {
    let base = 0x0a14_8033_u32;
    let mut all: Vec<u32> = (0..32).map(|bit| base ^ (1 << bit)).collect();
    all.extend([base, 0, u32::MAX]);
    all
}

#[test]
fn a_network_has_its_addresses_in_order() {
    for ordered in [false, true] {
        let table = table(KeySpec::IP, 100, ordered);
        assert_eq!(table.is_ordered(), ordered);
        for address in addresses() {
            table.get_or_create(&ip(address), START).unwrap().touch(START);
        }
        for bits in 0..=32 {
            for address in addresses() {
                let prefix = KeySpec::IP.prefix(&address.to_be_bytes(), bits).unwrap();
                let mut expected: Vec<Vec<u8>> = addresses()
                    .into_iter()
                    .filter(|other| bits == 0 || (other ^ address) >> (32 - bits) == 0)
                    .map(|other| other.to_be_bytes().to_vec())
                    .collect();
                expected.sort_unstable();
                assert_eq!(found(&table, &prefix, START), expected, "{prefix} {ordered}");
            }
        }
        let other = KeySpec::STRING.parse_prefix("").unwrap();
        assert_eq!(found(&table, &other, START), Vec::<Vec<u8>>::new(), "keys of another type");
    }
}

#[test]
fn strings_and_long_keys_are_found_by_their_beginning() {
    for ordered in [false, true] {
        let spec = KeySpec::string(100).unwrap();
        let table = table(spec, 100, ordered);
        let long = "x".repeat(90);
        let names = ["", "a", "ab", "abc", "b", "ab\u{7f}", &long, &long[..40]];
        for name in names {
            table.get_or_create(&spec.parse(name).unwrap(), START).unwrap().touch(START);
        }
        for beginning in ["", "a", "ab", "abc", "abcd", "x", &long[..30], &long[..50], &long] {
            let mut expected: Vec<Vec<u8>> = names
                .iter()
                .filter(|name| name.starts_with(beginning))
                .map(|name| name.as_bytes().to_vec())
                .collect();
            expected.sort_unstable();
            let prefix = spec.parse_prefix(beginning).unwrap();
            assert_eq!(found(&table, &prefix, START), expected, "{beginning} {ordered}");
        }
    }
}

#[test]
fn what_is_over_or_removed_is_in_no_network() {
    let all = KeySpec::IP.prefix(&[], 0).unwrap();
    for ordered in [false, true] {
        let table = table(KeySpec::IP, 10, ordered);
        for address in 0..4 {
            drop(table.get_or_create_for(&ip(address), 1_000 * (address + 1), START).unwrap());
        }
        let now = START + 2_000;
        assert_eq!(found(&table, &all, now), [[0, 0, 0, 2], [0, 0, 0, 3]]);
        table.remove(&ip(2), now);
        // Taken and created anew: once.
        drop(table.get_or_create(&ip(0), now).unwrap());
        assert_eq!(found(&table, &all, now), [[0, 0, 0, 0], [0, 0, 0, 3]]);
    }
}

#[test]
fn a_walk_over_a_network_rests_and_goes_on() {
    let prefix = KeySpec::IP.prefix(&[10, 0], 16).unwrap();
    for ordered in [false, true] {
        let table = table(KeySpec::IP, 1_000, ordered);
        for number in 0..600_u32 {
            let address = if number % 3 == 0 { 0x0b00_0000 } else { 0x0a00_0000 } + number;
            table.get_or_create(&ip(address), START).unwrap().touch(START);
        }
        let mut walk = PrefixWalk::new(prefix.clone());
        let mut seen: Vec<Key> = Vec::new();
        while walk.visit(&table, START, |entry| {
            seen.push(entry.key());
            ControlFlow::Break(())
        }) {
            if seen.len().is_multiple_of(2) {
                table.remove(seen.last().unwrap(), START);
            }
        }
        assert_eq!(seen.len(), 400);
        assert_eq!(
            seen.iter().map(|key| key.as_bytes().to_vec()).collect::<BTreeSet<_>>().len(),
            400
        );
        assert_eq!(found(&table, &prefix, START).len(), 200);
        let held = table.get(&seen[0], START).unwrap();
        assert_eq!(table.clear_prefix(&prefix, START), (199, 1));
        assert_eq!((table.used(), table.metrics().removed), (201, 399));
        drop(held);
    }
}

/// Entries that stay are visited once by every walk; those that come and go at most once, and at their own place in the order.
#[test]
fn a_network_beside_writers() {
    let (count, rounds) = (60, 150);
    for ordered in [false, true] {
        let table = table(KeySpec::IP, 1_000, ordered);
        let stays = |number: u32| number.is_multiple_of(3);
        for number in (0..count).filter(|number| stays(*number)) {
            table.get_or_create(&ip(number), START).unwrap().touch(START);
        }
        let done = AtomicBool::new(false);
        let prefix = KeySpec::IP.prefix(&[], 24).unwrap();
        thread::scope(|scope| {
            let (table, done) = (&table, &done);
            let writers: Vec<_> = (1..4_u64)
                .map(|id| {
                    scope.spawn(move || {
                        let mut random = id;
                        while !done.load(Ordering::Relaxed) {
                            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                            let number = (random >> 33) as u32 % count;
                            if !stays(number) && random >> 63 == 0 {
                                table.remove(&ip(number), START);
                            } else {
                                let entry = table.get_or_create(&ip(number), START).unwrap();
                                // Whoever has it finds it in its network.
                                let only = KeySpec::IP.prefix(entry.key().as_bytes(), 32).unwrap();
                                assert_eq!(
                                    found(table, &only, START).len(),
                                    1,
                                    "it is there, once"
                                );
                            }
                        }
                    })
                })
                .collect();
            for _ in 0..rounds {
                let mut seen = BTreeMap::new();
                let mut last = None;
                table.for_each_in(&prefix, START, |entry| {
                    let key = entry.key_bytes().to_vec();
                    if table.is_ordered() {
                        assert!(last.as_ref().is_none_or(|last| *last <= key), "in order");
                        last = Some(key.clone());
                    }
                    *seen.entry(key).or_insert(0) += 1;
                });
                for number in (0..count).filter(|number| stays(*number)) {
                    assert_eq!(seen.get(number.to_be_bytes().as_slice()), Some(&1), "{number}");
                }
                thread::yield_now();
            }
            done.store(true, Ordering::Relaxed);
            writers.into_iter().for_each(|writer| writer.join().unwrap());
        });
        assert_eq!(found(&table, &prefix, START).len(), table.used() as usize);
    }
}
