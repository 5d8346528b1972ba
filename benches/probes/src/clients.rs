//! A table of clients, and what a request of one counts: the same wherever tables are measured.

use std::net::Ipv4Addr;

use ebtree::Domain;
use stktable::table::{EntryRef, Event, Options, StickTable};
use stktable::{DataType, Declaration, Key, KeySpec, Tick};

use crate::random::Random;

/// The period of the rate.
pub const PERIOD_MS: u64 = 10_000;

/// Returns the key of client `number`.
#[must_use]
pub fn key(number: u32) -> Key {
    Key::from(Ipv4Addr::from_bits(number))
}

/// Returns an empty table with room for `n` clients.
///
/// # Panics
/// When the declaration is refused.
#[must_use]
pub fn table(n: u32) -> StickTable {
    let declaration = Declaration::builder("clients", KeySpec::IP)
        .size(n)
        .expire_ms(600_000)
        .peers("mesh")
        .store(DataType::Gpc0)
        .store(DataType::HttpReqCnt)
        .store_rate(DataType::HttpReqRate, 10_000)
        .build()
        .expect("a valid declaration");
    StickTable::with(declaration, Options::new().domain(Domain::new()))
}

/// Counts a request in two counters and a rate, refreshes the expiry, and has the peers told.
pub fn count(entry: &EntryRef<'_>, now: Tick) {
    entry.add(DataType::Gpc0, 0, 1, now);
    entry.count(Event::HttpRequest, 1, now);
    entry.touch(now);
}

/// Finds or creates a client, and counts a request of it.
///
/// # Panics
/// When there is no room.
pub fn request(table: &StickTable, client: u32, now: u64) {
    let now = Tick(now);
    let entry = table.get_or_create(&key(client), now).expect("there is room");
    count(&entry, now);
}

/// Counts `times` requests of one of `n` clients each.
pub(crate) fn probe(n: u32, times: u64) {
    let table = table(n);
    (0..n).for_each(|client| request(&table, client, PERIOD_MS));
    let mut random = Random::new(1);
    for turn in 0..times {
        let client = u32::try_from(random.below(u64::from(n))).expect("below n");
        request(&table, client, PERIOD_MS + turn / 64);
    }
}
