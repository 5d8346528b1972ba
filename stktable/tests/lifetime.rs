//! How long entries live when they are given a time of their own, and what the table counts of their ends.
#![cfg(not(loom))]

use std::sync::Arc;

use ebtree::Domain;
use stktable::table::{Learned, Options, Removed, StickTable};
use stktable::{DataType, Declaration, Key, KeySpec, Tick};

const START: Tick = Tick((1 << 32) - 20_000);

fn table(size: u32, expire_ms: u32) -> StickTable {
    let declaration = Declaration::builder("t", KeySpec::INTEGER)
        .size(size)
        .expire_ms(expire_ms)
        .peers("p")
        .store(DataType::ConnCur)
        .build()
        .unwrap();
    StickTable::with(declaration, Options::new().domain(Domain::with_batch(1)))
}

fn key(number: u32) -> Key {
    KeySpec::INTEGER.key(&number.to_be_bytes()).unwrap()
}

fn expire_all(table: &StickTable, now: Tick) {
    while table.expire(now, 100).more {}
}

#[test]
fn a_new_entry_lives_for_the_time_it_was_given_and_is_swept_then() {
    let table = table(10, 60_000);
    drop(table.get_or_create_for(&key(1), 2_000, START).unwrap());
    drop(table.get_or_create_for(&key(2), u32::MAX, START).unwrap());
    let left = |number| table.get_with(&key(number), START, |entry| entry.expires_in(START));
    assert_eq!((left(1), left(2)), (Some(2_000), Some(60_000)), "cut to the table's");
    assert!(table.contains_key(&key(1), START + 1_999));
    assert!(!table.contains_key(&key(1), START + 2_000));
    assert_eq!(table.used(), 2, "a look alone takes nothing");
    let due = table.arm_expiry().unwrap();
    assert!(due <= START + 2_100, "the sweeper is armed for the shorter life: {due:?}");
    expire_all(&table, due);
    assert_eq!((table.used(), table.metrics().expired), (1, 1));
    // One that is there is not changed.
    drop(table.get_or_create_for(&key(2), 1_000, START).unwrap());
    assert_eq!(left(2), Some(60_000));
}

#[test]
fn a_touch_may_shorten_a_life_and_the_next_restores_it() {
    let table = table(10, 60_000);
    let entry = table.get_or_create(&key(1), START).unwrap();
    entry.touch_for(3_000, START);
    assert_eq!(entry.expires_in(START), 3_000);
    assert!(table.begin_updates(0).is_some(), "told to peers, as any touch is");
    entry.touch(START + 1_000);
    assert_eq!(entry.expires_in(START + 1_000), 60_000);
    entry.touch_for(u32::MAX, START + 2_000);
    assert_eq!(entry.expires_in(START + 2_000), 60_000, "cut to the table's");
    entry.touch_for(3_000, START + 2_000);
    drop(entry);
    assert!(!table.contains_key(&key(1), START + 5_000), "over for every reader");
    drop(table.get_or_create(&key(1), START + 5_000).unwrap());
    assert_eq!(table.metrics().expired, 1, "who looked it up took it");
}

#[test]
fn an_entry_given_no_time_is_gone_when_it_is_let_go() {
    let table = table(10, 60_000);
    let entry = table.get_or_create(&key(1), START).unwrap();
    entry.touch_for(0, START);
    assert!(table.contains_key(&key(1), START), "held, so there");
    drop(entry);
    assert_eq!(table.used(), 0);
}

#[test]
fn a_tracker_gives_its_time_at_both_ends() {
    let table = table(10, 60_000);
    let tracker = table.track_for(&key(1), 5_000, START).unwrap();
    assert_eq!(tracker.expires_in(START), 5_000);
    let end = START + 20_000;
    expire_all(&table, end);
    assert_eq!(tracker.read(DataType::ConnCur, 0, end), Some(1), "tracked, so there");
    drop(tracker);
    let left = table.get_with(&key(1), end, |entry| entry.expires_in(end));
    assert_eq!(left, Some(5_000), "from its end on");
}

#[test]
fn where_nothing_expires_a_time_means_nothing() {
    let table = table(10, 0);
    let entry = table.get_or_create_for(&key(1), 5, START).unwrap();
    entry.touch_for(5, START);
    drop(entry);
    assert!(table.contains_key(&key(1), START + 1_000_000));
}

/// What a peer sends is cut to the table's own time, as the reference says of both ends.
#[test]
fn a_learned_time_is_cut_to_the_tables_own() {
    let table = table(10, 60_000);
    for (sent, left) in
        [(Some(u32::MAX), 60_000), (Some(60_001), 60_000), (Some(7), 7), (None, 60_000)]
    {
        let Learned::Entry(learning) = table.learn(&key(1), sent, START).unwrap() else { panic!() };
        assert_eq!(learning.entry().expires_in(START), left, "{sent:?}");
    }
}

#[test]
fn what_was_created_is_there_or_was_counted_when_it_went() {
    let table = table(50, 60_000);
    let balance = || {
        let metrics = table.metrics();
        let gone = metrics.expired + metrics.purged + metrics.removed;
        assert_eq!(metrics.created, u64::from(metrics.used) + gone, "{metrics:?}");
        metrics
    };
    for number in 0..80 {
        drop(table.get_or_create(&key(number), START + number).unwrap());
    }
    assert_eq!((balance().purged, balance().used), (30, 50));
    assert_eq!(table.remove(&key(79), START + 100), Removed::Removed);
    assert_eq!(table.remove(&key(79), START + 100), Removed::Missing);
    table.clear_if(START + 100, |entry| entry.key() == key(78));
    assert_eq!((balance().removed, balance().used), (2, 48));
    let held = table.get_or_create(&key(60), START + 100).unwrap();
    expire_all(&table, START + 70_000);
    assert_eq!((balance().expired, balance().used), (47, 1));
    drop(held);
    assert_eq!((balance().expired, balance().used), (48, 0));
    assert_eq!((balance().size, balance().created, balance().refused), (50, 80, 0));
}

#[test]
fn the_lag_of_the_sweeper_is_told_until_it_has_caught_up() {
    let table = table(50, 10_000);
    for number in 0..10 {
        drop(table.get_or_create(&key(number), START).unwrap());
    }
    assert_eq!(table.metrics().expiry_lag_ms, 0);
    let due = table.next_due().unwrap();
    let _ = table.get(&key(99), due);
    assert_eq!(table.metrics().expiry_lag_ms, 0, "due, and not behind");
    let _ = table.get(&key(99), due + 1_234);
    assert_eq!(table.metrics().expiry_lag_ms, 1_234);
    assert!(table.expire(due + 1_234, 5).more);
    assert_eq!(table.metrics().expiry_lag_ms, 1_234, "five are left");
    assert!(!table.expire(due + 1_234, 5).more);
    assert_eq!(table.metrics().expiry_lag_ms, 0);
}

#[test]
fn memory_that_is_not_freed_yet_is_told() {
    let domain = Domain::with_batch(1_000_000);
    let declaration = Declaration::builder("t", KeySpec::INTEGER).size(1000).build().unwrap();
    let table = StickTable::with(declaration, Options::new().domain(domain.clone()));
    for number in 0..100 {
        drop(table.get_or_create(&key(number), START).unwrap());
    }
    assert_eq!(table.metrics().unreclaimed, 0);
    table.clear(START);
    let kept = table.metrics();
    assert!(kept.unreclaimed > 0, "{kept:?}");
    domain.flush();
    assert_eq!(table.metrics().unreclaimed, 0);
}

#[test]
fn an_owned_tracker_holds_its_entry_and_its_table() {
    let table = Arc::new(table(10, 60_000));
    let first = table.track(&key(1), START).unwrap();
    let second = table.track(&key(1), START).unwrap();
    assert_eq!((first.conn_cur(), second.conn_cur()), (Some(1), Some(2)));
    drop(second);
    let owned = first.into_owned(&table);
    let open = |table: &StickTable| table.fetch(&key(1), DataType::ConnCur, 0, START);
    assert_eq!(open(&table), Some(1), "nothing was counted by that");
    // Looking at the entry, and holding it once more, changes nothing of that.
    let held = owned.entry().clone();
    assert_eq!((owned.entry().key(), owned.entry().users()), (key(1), 1));
    drop(held);
    assert_eq!((owned.entry().users(), open(&table)), (0, Some(1)));
    assert!(Arc::ptr_eq(owned.table(), &table));
    expire_all(&table, START + 70_000);
    assert_eq!(table.remove(&key(1), START + 70_000), Removed::Busy);
    // The end is counted once, by the thread that happens to have it.
    let elsewhere = std::thread::spawn(move || drop(owned));
    elsewhere.join().unwrap();
    assert_eq!(open(&table), Some(0));
    assert_eq!(table.remove(&key(1), START), Removed::Removed);

    // The table is there for as long as a tracker of it is.
    let domain = Domain::with_batch(1);
    let declaration =
        Declaration::builder("t", KeySpec::INTEGER).size(1).store(DataType::ConnCur).build();
    let options = Options::new().domain(domain.clone());
    let table = Arc::new(StickTable::with(declaration.unwrap(), options));
    let owned = table.track(&key(1), START).unwrap().into_owned(&table);
    let weak = Arc::downgrade(&table);
    drop(table);
    assert!(weak.upgrade().is_some());
    drop(owned);
    assert!(weak.upgrade().is_none());
}

#[test]
#[should_panic(expected = "a tracker of this table")]
fn a_tracker_is_owned_by_its_own_table() {
    let [one, other] = [(); 2].map(|()| Arc::new(table(10, 60_000)));
    let _ = one.track(&key(1), START).unwrap().into_owned(&other);
}
