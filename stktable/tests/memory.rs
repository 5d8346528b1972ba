//! How much memory a table takes, and that it comes back. One test in a process of its own: it looks at the whole process.
#![cfg(all(target_os = "linux", not(loom)))]

use std::net::Ipv4Addr;

use ebtree::Domain;
use stktable::table::{Event, Options};
use stktable::{DataType, Declaration, Key, KeySpec, StickTable, Tick};

const ENTRIES: u32 = 1_000_000;

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    // Of 4 KiB wherever this test is not ignored; a larger one makes the figure smaller, and the test laxer.
    pages * 4096
}

fn client(number: u32) -> Key {
    Key::from(Ipv4Addr::from_bits(number.wrapping_mul(0x9e37_79b1)))
}

/// An address with a counter, two rates and a byte count, found by key, filed for its expiry, and told to a peer.
#[test]
#[cfg_attr(any(ebtree_plain_edges, ebtree_no_pool), ignore = "of the packed layout in the pool")]
fn an_entry_takes_96_bytes_and_gives_them_back() {
    let domain = Domain::new();
    let table = || {
        let declaration = Declaration::builder("clients", KeySpec::IP)
            .size(ENTRIES)
            .expire_ms(600_000)
            .peers("mesh")
            .store(DataType::Gpc0)
            .store_rate(DataType::ConnRate, 10_000)
            .store_rate(DataType::HttpReqRate, 10_000)
            .store(DataType::BytesInCnt)
            .build()
            .unwrap();
        StickTable::with(declaration, Options::new().domain(domain.clone()))
    };
    // What every process needs once.
    drop(table().get_or_create(&client(0), Tick(1)));
    let before = resident();
    let table = table();
    // A peer that keeps up: what it has been told needs no place in the update order.
    let mut cursor = 0;
    for number in 0..ENTRIES {
        let now = Tick(1 + u64::from(number) / 100);
        let entry = table.get_or_create(&client(number), now).unwrap();
        entry.count(Event::HttpRequest, 1, now);
        entry.touch(now);
        drop(entry);
        if number % 1_000 == 999 {
            let upto = table.begin_updates(cursor).unwrap();
            while let Some(taught) = table.next_update(cursor, upto) {
                cursor = taught.seq;
            }
            cursor = upto;
            assert!(!table.trim_updates(cursor, 1_001));
        }
    }
    assert_eq!(table.used(), ENTRIES);
    let full = resident();
    let taken = (full - before) as f64 / f64::from(ENTRIES);
    println!("resident: {taken:.1} bytes an entry");
    assert!(taken <= 96.0, "{taken:.1} bytes an entry");

    while table.expire(Tick(10_000_000), 10_000).more {}
    assert_eq!(table.used(), 0);
    domain.flush();
    let kept = resident().saturating_sub(before) as f64 / (full - before) as f64;
    println!("of which {kept:.3} are left when all have expired");
    assert!(kept < 0.15, "{kept:.3} of the memory has not come back");
}
