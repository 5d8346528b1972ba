//! Filtered scans and the largest values, against what is known of the table, alone and beside writers.
#![cfg(not(loom))]

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ebtree::Domain;
use stktable::table::{Comparison, Filter, Options, Walk};
use stktable::{DataType, Declaration, Key, KeySpec, StickTable, Tick};

const NOW: Tick = Tick(1_000);

fn table(size: u32) -> StickTable {
    let declaration = Declaration::builder("clients", KeySpec::IP)
        .size(size)
        .expire_ms(60_000)
        .store(DataType::Gpc0)
        .store_rate(DataType::BytesInRate, 10_000)
        .brates_factor(1024)
        .build()
        .unwrap();
    StickTable::with(declaration, Options::new().domain(Domain::new()))
}

fn client(number: u32) -> Key {
    Key::from(Ipv4Addr::from_bits(number))
}

fn seen(table: &StickTable, filters: &[Filter], now: Tick) -> BTreeSet<u32> {
    let mut seen = BTreeSet::new();
    let ended: ControlFlow<()> = table.for_each_matching(filters, now, |entry| {
        let bytes = entry.glance().key_bytes().try_into().unwrap();
        assert!(seen.insert(u32::from_be_bytes(bytes)), "twice");
        ControlFlow::Continue(())
    });
    assert!(ended.is_continue());
    let walked = table.matching(filters, now);
    let walked =
        walked.map(|entry| u32::from_be_bytes(entry.glance().key_bytes().try_into().unwrap()));
    assert_eq!(seen, walked.collect());
    seen
}

#[test]
fn what_passes_is_seen() {
    // Far more trees than entries, as many, and far fewer.
    for (size, entries) in [(100_000, 50), (1_000, 1_000), (3_000, 3_000)] {
        let table = table(size);
        for number in 0..entries {
            let entry = table.get_or_create(&client(number), NOW).unwrap();
            entry.set(DataType::Gpc0, 0, (number % 7).into(), NOW).unwrap();
            entry.set(DataType::BytesInRate, 0, (number % 3).into(), NOW).unwrap();
        }
        assert_eq!(seen(&table, &[], NOW), (0..entries).collect());
        for comparison in Comparison::ALL {
            let filter = Filter::value(DataType::Gpc0, 0, comparison, 3);
            let expected = (0..entries).filter(|number| comparison.holds((number % 7).into(), 3));
            assert_eq!(seen(&table, &[filter], NOW), expected.collect(), "{comparison}");
        }
        let both = [
            Filter::value(DataType::Gpc0, 0, Comparison::Ne, 0),
            Filter::value(DataType::BytesInRate, 0, Comparison::Eq, 2048),
        ];
        let expected = (0..entries).filter(|number| number % 7 != 0 && number % 3 == 2);
        assert_eq!(seen(&table, &both, NOW), expected.collect(), "byte rates in bytes");
        let network = Filter::prefix(KeySpec::IP.prefix(&[0, 0, 0, 16], 28).unwrap());
        assert_eq!(seen(&table, &[network], NOW), (16..32).collect());
        let absent = Filter::value(DataType::Gpc1, 0, Comparison::Gt, 0);
        assert!(seen(&table, &[absent], NOW).is_empty(), "what is not stored reads 0");
        assert_eq!(table.get(&client(1), NOW).map(|entry| entry.users()), Some(0), "none is held");
        assert!(seen(&table, &[], NOW + 60_000).is_empty(), "over");
    }
}

/// Resting after each entry, while those visited are removed and others come: what was there all along is visited once.
#[test]
fn a_walk_rests_and_goes_on() {
    let table = table(100);
    (0..60).for_each(|number| drop(table.get_or_create(&client(number), NOW).unwrap()));
    let mut walk = Walk::new();
    let mut seen = Vec::new();
    while walk.visit(&table, NOW, |entry| {
        seen.push(entry.key());
        ControlFlow::Break(())
    }) {
        let last = seen.last().unwrap();
        if seen.len().is_multiple_of(2) {
            table.remove(last, NOW);
        }
        drop(
            table
                .get_or_create(&client(1_000 + u32::try_from(seen.len()).unwrap() % 30), NOW)
                .unwrap(),
        );
    }
    for number in 0..60 {
        let times = seen.iter().filter(|key| **key == client(number)).count();
        assert_eq!(times, 1, "{number}");
    }
    assert!(!walk.visit(&table, NOW, |_| unreachable!("at its end")));
    let mut rest = Walk::new();
    assert!(rest.next(&table, NOW).is_some(), "either way of walking goes on from the same place");
    let mut left = 0;
    assert!(!rest.visit(&table, NOW, |_| {
        left += 1;
        ControlFlow::Continue(())
    }));
    assert_eq!(left + 1, table.used());
}

/// What is over counts until it is taken: clearing takes it, too, whatever the filter says of it.
#[test]
fn clearing_takes_what_is_over() {
    for slices in [false, true] {
        let table = table(100);
        (0..50)
            .for_each(|number| drop(table.get_or_create_for(&client(number), 1_000, NOW).unwrap()));
        (50..60).for_each(|number| drop(table.get_or_create(&client(number), NOW).unwrap()));
        let (now, held) = (NOW + 2_000, table.get(&client(55), NOW).unwrap());
        if slices {
            let mut walk = Walk::new();
            let none = Filter::value(DataType::Gpc0, 0, Comparison::Gt, 0);
            while walk.remove(&table, std::slice::from_ref(&none), 7, now) {}
            assert_eq!(table.used(), 10, "no value is so large");
            let mut walk = Walk::new();
            while walk.remove(&table, &[], 7, now) {}
        } else {
            assert_eq!(table.clear(now), (9, 1));
        }
        drop(held);
        let metrics = table.metrics();
        assert_eq!((metrics.used, metrics.expired, metrics.removed), (1, 50, 9));
    }
}

#[test]
fn a_scan_ends_when_the_visitor_says_so() {
    let table = table(100);
    (0..100).for_each(|number| drop(table.get_or_create(&client(number), NOW).unwrap()));
    let mut left = 10;
    let broken = table.for_each_matching(&[], NOW, |entry| {
        left -= 1;
        if left == 0 { ControlFlow::Break(entry.key()) } else { ControlFlow::Continue(()) }
    });
    assert!(broken.break_value().is_some_and(|key| table.get(&key, NOW).is_some()));
}

#[test]
fn the_largest_are_found_in_order() {
    let table = table(1_000);
    for number in 0..1_000_u32 {
        let entry = table.get_or_create(&client(number), NOW).unwrap();
        let value = i64::from(number.wrapping_mul(2_654_435_761) >> 20);
        entry.set(DataType::Gpc0, 0, value, NOW).unwrap();
    }
    let mut expected: Vec<i64> =
        (0..1_000_u32).map(|number| i64::from(number.wrapping_mul(2_654_435_761) >> 20)).collect();
    expected.sort_unstable_by(|a, b| b.cmp(a));
    for n in [0, 1, 2, 10, 999, 1_000, 5_000] {
        let top = table.top(n, DataType::Gpc0, 0, NOW);
        let positive = expected.iter().copied().filter(|value| *value > 0).take(n);
        assert!(top.iter().map(|(_, value)| *value).eq(positive));
        assert!(
            top.iter().all(|(entry, value)| entry.fetch(DataType::Gpc0, 0, NOW) == Some(*value))
        );
        if let Some((first, _)) = top.first() {
            assert_eq!(table.get(&first.key(), NOW).map(|entry| entry.users()), Some(1), "held");
        }
    }
    assert!(table.top(5, DataType::Gpt, 0, NOW).is_empty(), "not stored");
}

/// Entries that stay are seen by each scan once, while others come, change and go.
#[test]
fn no_scan_passes_an_entry_over() {
    let table = table(4_000);
    for number in 0..500 {
        let entry = table.get_or_create(&client(number * 4), NOW).unwrap();
        entry.set(DataType::Gpc0, 0, 5, NOW).unwrap();
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (1..4_u32)
            .map(|writer| {
                let (table, done) = (&table, &done);
                scope.spawn(move || {
                    let mut number = writer;
                    while !done.load(Ordering::Relaxed) {
                        number = (number + 4 * 137) % 2_000;
                        let entry = table.get_or_create(&client(number), NOW).unwrap();
                        entry.set(DataType::Gpc0, 0, 5, NOW).unwrap();
                        drop(entry);
                        table.remove(&client((number + 4 * 11) % 2_000), NOW);
                    }
                })
            })
            .collect();
        let five = [Filter::value(DataType::Gpc0, 0, Comparison::Eq, 5)];
        for _ in 0..100 {
            let mut staying = Vec::new();
            let _: ControlFlow<()> = table.for_each_matching(&five, NOW, |entry| {
                let number = u32::from_be_bytes(entry.glance().key_bytes().try_into().unwrap());
                if number % 4 == 0 {
                    staying.push(number);
                }
                ControlFlow::Continue(())
            });
            staying.sort_unstable();
            assert!(staying.iter().copied().eq((0..500).map(|number| number * 4)));
            assert_eq!(table.top(3, DataType::Gpc0, 0, NOW).len(), 3);
        }
        done.store(true, Ordering::Relaxed);
        // One by one: the end of a scope is not seen by ThreadSanitizer.
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    });
}
