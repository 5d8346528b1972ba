//! What HAProxy's fetches, converters and actions do, row by row.
#![cfg(not(loom))]

use stktable::table::{Event, SetError, StickTable};
use stktable::{DataType, Declaration, EntryRef, Key, KeySpec, Tick};

const START: Tick = Tick((1 << 32) - 20_000);
const EXPIRE_MS: u32 = 60_000;
const PERIOD_MS: u32 = 10_000;

/// A table that is shared, of these columns.
fn table(columns: &[DataType]) -> StickTable {
    let mut builder = Declaration::builder("t", KeySpec::INTEGER)
        .size(10)
        .expire_ms(EXPIRE_MS)
        .brates_factor(100)
        .peers("p");
    for &column in columns {
        builder = match (column.is_array(), column.is_rate()) {
            (false, false) => builder.store(column),
            (false, true) => builder.store_rate(column, PERIOD_MS),
            (true, false) => builder.store_array(column, 3),
            (true, true) => builder.store_rate_array(column, 3, PERIOD_MS),
        };
    }
    StickTable::new(builder.build().unwrap())
}

fn key(number: u32) -> Key {
    KeySpec::INTEGER.key(&number.to_be_bytes()).unwrap()
}

/// Calls `change` with an entry that was touched 10 s ago, and returns what it returns, and whether it touched the entry.
fn touches<T>(table: &StickTable, change: impl FnOnce(&EntryRef<'_>, Tick) -> T) -> (T, bool) {
    let entry = table.get_or_create(&key(1), START).unwrap();
    entry.touch(START);
    let told = table.begin_updates(0).unwrap();
    let now = START + 10_000;
    let result = change(&entry, now);
    let refreshed = entry.expires_in(now) == EXPIRE_MS;
    let queued = table.begin_updates(told).is_some();
    assert_eq!(refreshed, queued, "a change refreshes and is told, or neither");
    (result, refreshed)
}

#[test]
fn without_an_entry_everything_reads_0_stored_or_not() {
    let table = table(&[DataType::Gpc0]);
    for &data_type in DataType::ALL {
        assert_eq!(table.fetch(&key(1), data_type, 0, START), Some(0), "{data_type}");
    }
    assert!(!table.contains_key(&key(1), START));
    assert_eq!((table.used(), table.available()), (0, 10), "a read creates nothing");
    table.get_or_create(&key(1), START).unwrap().touch(START);
    for &data_type in DataType::ALL {
        let expected = (data_type == DataType::Gpc0).then_some(0);
        assert_eq!(table.fetch(&key(1), data_type, 0, START), expected, "{data_type}");
    }
    assert!(table.contains_key(&key(1), START));
    assert_eq!((table.used(), table.available()), (1, 9));
}

#[test]
fn a_read_touches_nothing() {
    let table = table(&[DataType::Gpc0, DataType::BytesInCnt]);
    let (_, touched) = touches(&table, |entry, now| {
        let _ = (entry.fetch(DataType::Gpc0, 0, now), entry.glance().kbytes_in(now));
        let _ = (table.fetch(&key(1), DataType::Gpc0, 0, now), table.contains_key(&key(1), now));
        let _ = (entry.expires_in(now), entry.glance().idle(now), entry.glance().trackers());
    });
    assert!(!touched);
}

/// Every event, and the columns it counts in.
#[test]
fn each_event_moves_its_counter_and_its_rate() {
    use DataType as D;
    for (event, counter, rate) in [
        (Event::Connection, D::ConnCnt, D::ConnRate),
        (Event::Session, D::SessCnt, D::SessRate),
        (Event::HttpRequest, D::HttpReqCnt, D::HttpReqRate),
        (Event::HttpError, D::HttpErrCnt, D::HttpErrRate),
        (Event::HttpFailure, D::HttpFailCnt, D::HttpFailRate),
        (Event::Glitch, D::GlitchCnt, D::GlitchRate),
        (Event::Gpc0, D::Gpc0, D::Gpc0Rate),
        (Event::Gpc1, D::Gpc1, D::Gpc1Rate),
        (Event::Gpc(0), D::Gpc, D::GpcRate),
    ] {
        for stored in [&[counter, rate][..], &[counter], &[rate]] {
            let table = table(stored);
            let entry = table.get_or_create(&key(1), START).unwrap();
            assert_eq!(entry.count(event, 2, START), Some(2), "{event:?}");
            assert_eq!(entry.count(event, 1, START), Some(3), "{event:?}");
            for column in [counter, rate] {
                let expected = stored.contains(&column).then_some(3);
                assert_eq!(entry.fetch(column, 0, START), expected, "{column}");
            }
            // A period later the rate has faded by half, the counter has not.
            let later = START + PERIOD_MS + PERIOD_MS / 2;
            assert_eq!(entry.fetch(rate, 0, later), stored.contains(&rate).then_some(1));
            assert_eq!(entry.fetch(counter, 0, later), stored.contains(&counter).then_some(3));
        }
        let other = table(&[D::ServerId]);
        let entry = other.get_or_create(&key(1), START).unwrap();
        assert_eq!(entry.count(event, 1, START), None, "{event:?}");
    }
}

#[test]
fn volumes_are_in_kib_and_byte_rates_in_bytes() {
    use DataType as D;
    let table = table(&[D::BytesInCnt, D::BytesInRate, D::BytesOutCnt, D::BytesOutRate]);
    let entry = table.get_or_create(&key(1), START).unwrap();
    entry.count(Event::BytesIn, 4095, START);
    entry.count(Event::BytesOut, (5 << 40) + 1, START);
    let glance = entry.glance();
    assert_eq!((glance.kbytes_in(START), glance.kbytes_out(START)), (Some(3), Some(5 << 30)));
    assert_eq!(entry.read(D::BytesInRate, 0, START), Some(41), "blocks of 100 that were begun");
    assert_eq!(entry.fetch(D::BytesInRate, 0, START), Some(4100));
    let none = table_of_nothing();
    let entry = none.get_or_create(&key(1), START).unwrap();
    assert_eq!((entry.glance().kbytes_in(START), entry.glance().kbytes_out(START)), (None, None));
}

fn table_of_nothing() -> StickTable {
    table(&[])
}

#[test]
fn the_single_counters_stand_for_elements_of_the_arrays() {
    let table = table(&[DataType::Gpc, DataType::GpcRate, DataType::Gpt]);
    let entry = table.get_or_create(&key(1), START).unwrap();
    assert_eq!(entry.inc_gpc0(START), Some(1));
    assert_eq!((entry.inc_gpc1(START), entry.inc_gpc1(START)), (Some(1), Some(2)));
    assert_eq!(entry.add_gpc(2, 5, START), Some(5));
    entry.set_gpt0(9, START).unwrap();
    for (data_type, element, expected) in [
        (DataType::Gpc0, 0, Some(1)),
        (DataType::Gpc1, 0, Some(2)),
        (DataType::Gpc0Rate, 0, Some(1)),
        (DataType::Gpc1Rate, 0, Some(2)),
        (DataType::Gpt0, 0, Some(9)),
        (DataType::Gpt0, 1, None),
        (DataType::Gpc, 0, Some(1)),
        (DataType::Gpc, 1, Some(2)),
        (DataType::Gpc, 2, Some(5)),
        (DataType::Gpc, 3, None),
        (DataType::GpcRate, 2, Some(5)),
        (DataType::Gpt, 0, Some(9)),
    ] {
        assert_eq!(entry.fetch(data_type, element, START), expected, "{data_type}[{element}]");
    }
    assert_eq!((entry.clr_gpc1(START), entry.clr_gpc1(START)), (Some(2), Some(0)));
    assert_eq!(entry.fetch(DataType::Gpc1Rate, 0, START), Some(2), "a clear leaves the rate alone");
}

#[test]
fn the_arrays_do_not_stand_for_the_single_ones() {
    let table = table(&[DataType::Gpc0, DataType::Gpc0Rate, DataType::Gpc1, DataType::Gpt0]);
    let (_, touched) = touches(&table, |entry, now| {
        entry.set(DataType::Gpc0, 0, 7, now).unwrap();
        for array in [DataType::Gpc, DataType::GpcRate, DataType::Gpt] {
            assert_eq!(entry.fetch(array, 0, now), None);
        }
        assert_eq!((entry.inc_gpc(0, now), entry.clr_gpc(0, now)), (None, None));
        assert_eq!(entry.set_gpt(0, 1, now), Err(SetError::NotStored(DataType::Gpt)));
        assert_eq!(entry.fetch(DataType::Gpc0, 0, now), Some(7));
    });
    assert!(!touched, "what is not stored is not touched");
}

/// The counter alone in the table, its rate as an array: each falls back by itself.
#[test]
fn a_counter_and_its_rate_fall_back_each_by_itself() {
    let table = table(&[DataType::Gpc1, DataType::GpcRate]);
    let entry = table.get_or_create(&key(1), START).unwrap();
    assert_eq!(entry.inc_gpc1(START), Some(1));
    assert_eq!(entry.fetch(DataType::GpcRate, 1, START), Some(1));
    assert_eq!(entry.fetch(DataType::Gpc1, 0, START), Some(1));
}

#[test]
fn increments_return_the_new_value_wrap_and_touch() {
    let table = table(&[DataType::Gpc]);
    let (value, touched) = touches(&table, |entry, now| entry.inc_gpc(1, now));
    assert_eq!((value, touched), (Some(1), true));
    let (value, touched) = touches(&table, |entry, now| entry.add_gpc(1, u32::MAX, now));
    assert_eq!((value, touched), (Some(0), true), "modulo 2^32");
    let (value, touched) = touches(&table, |entry, now| entry.add_gpc(1, 0, now));
    assert_eq!((value, touched), (Some(0), true), "0 only touches");
    let (value, touched) = touches(&table, |entry, now| entry.inc_gpc(3, now));
    assert_eq!((value, touched), (None, false), "no such element");
}

#[test]
fn with_the_rate_alone_an_increment_returns_its_events() {
    let table = table(&[DataType::Gpc0Rate]);
    let (value, touched) = touches(&table, |entry, now| {
        entry.inc_gpc0(now);
        entry.inc_gpc0(now)
    });
    assert_eq!((value, touched), (Some(2), true));
}

#[test]
fn a_clear_returns_the_old_value_and_touches() {
    let table = table(&[DataType::Gpc0, DataType::Gpc0Rate]);
    let (value, touched) = touches(&table, |entry, now| {
        entry.count(Event::Gpc0, 7, now);
        entry.clr_gpc0(now)
    });
    assert_eq!((value, touched), (Some(7), true));
    let now = START + 10_000;
    assert_eq!(table.fetch(&key(1), DataType::Gpc0, 0, now), Some(0));
    assert_eq!(table.fetch(&key(1), DataType::Gpc0Rate, 0, now), Some(7));
    let (value, touched) = touches(&table, |entry, now| (entry.clr_gpc1(now), entry.inc_gpc1(now)));
    assert_eq!((value, touched), ((None, None), false), "not stored");
}

#[test]
fn tags_are_set_and_touch() {
    for (stored, data_type) in [(DataType::Gpt, DataType::Gpt), (DataType::Gpt0, DataType::Gpt0)] {
        let table = table(&[stored]);
        let (set, touched) = touches(&table, |entry, now| entry.set_gpt0(u32::MAX, now));
        assert_eq!((set, touched), (Ok(()), true));
        let expected = Some(i64::from(u32::MAX));
        assert_eq!(table.fetch(&key(1), data_type, 0, START), expected);
    }
    let arrays = table(&[DataType::Gpt]);
    let (set, touched) = touches(&arrays, |entry, now| entry.set_gpt(2, 4, now));
    assert_eq!((set, touched), (Ok(()), true));
    assert_eq!(arrays.fetch(&key(1), DataType::Gpt, 2, START), Some(4));
    let (set, touched) = touches(&arrays, |entry, now| entry.set_gpt(3, 4, now));
    let error = SetError::OutOfRange { data_type: DataType::Gpt, elements: 3 };
    assert_eq!((set, touched), (Err(error), false));
    let none = table_of_nothing();
    let (set, touched) = touches(&none, |entry, now| entry.set_gpt0(4, now));
    assert_eq!((set, touched), (Err(SetError::NotStored(DataType::Gpt0)), false));
}

#[test]
fn the_connections_of_a_source_are_counted_without_tracking() {
    let table = table(&[DataType::ConnCnt, DataType::ConnRate, DataType::ConnCur]);
    let (value, touched) = touches(&table, |entry, now| entry.updt_conn_cnt(now));
    assert_eq!((value, touched), (Some(1), true));
    let now = START + 10_000;
    assert_eq!(table.fetch(&key(1), DataType::ConnRate, 0, now), Some(1));
    assert_eq!(table.fetch(&key(1), DataType::ConnCur, 0, now), Some(0));
    let none = table_of_nothing();
    let (value, touched) = touches(&none, |entry, now| entry.updt_conn_cnt(now));
    assert_eq!((value, touched), (None, false));
}

#[test]
fn time_left_idle_time_and_trackers() {
    let table = table(&[DataType::ConnCur]);
    let one = table.track(&key(1), START).unwrap();
    let two = table.track(&key(1), START).unwrap();
    let now = START + 25_000;
    let seen = |at| {
        table
            .get_with(&key(1), at, |entry| (entry.expires_in(at), entry.idle(at), entry.trackers()))
    };
    assert_eq!(seen(now), Some((35_000, 25_000, 2)));
    assert_eq!((one.trackers(), two.trackers(), one.users()), (2, 2, 1));
    let over = START + 70_000;
    assert_eq!(seen(over), Some((0, EXPIRE_MS, 2)), "held, so there");
    drop((one, two));
    assert_eq!(seen(over + EXPIRE_MS), None);
    // Where nothing expires, there is no time left, but an idle time.
    let declaration = Declaration::builder("t", KeySpec::INTEGER).size(10).build().unwrap();
    let forever = StickTable::new(declaration);
    forever.get_or_create(&key(1), START).unwrap().touch(START);
    let seen = forever.get_with(&key(1), now, |entry| (entry.expires_in(now), entry.idle(now)));
    assert_eq!(seen, Some((0, 25_000)));
}

#[test]
fn a_server_id_is_signed() {
    let table = table(&[DataType::ServerId]);
    let entry = table.get_or_create(&key(1), START).unwrap();
    entry.set(DataType::ServerId, 0, -3, START).unwrap();
    assert_eq!(entry.fetch(DataType::ServerId, 0, START), Some(-3));
}

/// `sc_X(n,T)`: the tracked key in another table.
#[test]
fn the_tracked_key_is_looked_up_in_another_table() {
    let (one, two) = (table(&[DataType::ConnCnt]), table(&[DataType::Gpc0]));
    let tracker = one.track(&key(1), START).unwrap();
    two.get_or_create(&key(1), START).unwrap().inc_gpc0(START);
    assert_eq!(two.fetch(&tracker.key(), DataType::Gpc0, 0, START), Some(1));
    // A key of another type is in no table of this one.
    let text = KeySpec::STRING.key(b"abc").unwrap();
    assert_eq!(two.fetch(&text, DataType::Gpc0, 0, START), Some(0));
}
