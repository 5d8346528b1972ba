//! When each column moves, by what a proxy tells of its connections and requests.

use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use stktable::table::Event;
use stktable::{DataType, Declaration, Key, KeySpec};
use stktable_integration::sticky::{Connection, Failed, Request};
use stktable_integration::{Clock, SharedTable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use DataType::{
    BytesInCnt, BytesOutCnt, ConnCnt, ConnCur, GlitchCnt, HttpErrCnt, HttpFailCnt, HttpReqCnt,
    SessCnt,
};

const COUNTED: [DataType; 9] = [
    ConnCnt,
    ConnCur,
    SessCnt,
    HttpReqCnt,
    HttpErrCnt,
    HttpFailCnt,
    BytesInCnt,
    BytesOutCnt,
    GlitchCnt,
];
const RATES: [(DataType, DataType); 7] = [
    (DataType::ConnRate, ConnCnt),
    (DataType::SessRate, SessCnt),
    (DataType::HttpReqRate, HttpReqCnt),
    (DataType::HttpErrRate, HttpErrCnt),
    (DataType::HttpFailRate, HttpFailCnt),
    (DataType::BytesInRate, BytesInCnt),
    (DataType::BytesOutRate, BytesOutCnt),
];

fn table() -> Arc<SharedTable> {
    let mut declaration = Declaration::builder("t", KeySpec::IP).size(100).expire_ms(3_600_000);
    for data_type in COUNTED {
        declaration = declaration.store(data_type);
    }
    for (rate, _) in RATES {
        declaration = declaration.store_rate(rate, 3_600_000);
    }
    SharedTable::new(declaration.build().unwrap())
}

fn key(last: u8) -> Key {
    Key::from(Ipv4Addr::new(192, 0, 2, last))
}

/// What is not 0 of a key; its rates are the same.
fn moved(table: &SharedTable, clock: Clock, last: u8) -> Vec<(DataType, i64)> {
    let fetch = |data_type| table.fetch(&key(last), data_type, 0, clock.now()).unwrap();
    for (rate, total) in RATES {
        assert_eq!(fetch(rate), fetch(total), "{rate}");
    }
    COUNTED
        .map(|data_type| (data_type, fetch(data_type)))
        .into_iter()
        .filter(|(_, n)| *n != 0)
        .collect()
}

fn connection(table: &SharedTable, clock: Clock) -> Arc<Connection> {
    let mut connection = Connection::new(clock);
    assert!(connection.track(0, table, &key(1)));
    Arc::new(connection)
}

#[test]
fn a_connection_counts_from_its_start_to_its_end() {
    let (table, clock) = (table(), Clock::start());
    let connection = connection(&table, clock);
    assert_eq!(moved(&table, clock, 1), [(ConnCnt, 1), (ConnCur, 1)]);
    connection.accepted();
    assert_eq!(moved(&table, clock, 1), [(ConnCnt, 1), (ConnCur, 1), (SessCnt, 1)]);
    assert_eq!(connection.entry(0).unwrap().key(), key(1));
    assert_eq!((connection.entry(1).is_none(), connection.entry(3).is_none()), (true, true));
    drop(connection);
    assert_eq!(moved(&table, clock, 1), [(ConnCnt, 1), (SessCnt, 1)]);
}

#[test]
fn requests_count_in_what_their_connection_tracks() {
    let (table, clock) = (table(), Clock::start());
    let connection = connection(&table, clock);
    let open = [(ConnCnt, 1), (ConnCur, 1)];
    let with = |more: &[(DataType, i64)]| [&open, more].concat();
    for status in [100, 200, 304, 399, 501, 505, 600] {
        connection.request().response(status);
    }
    assert_eq!(moved(&table, clock, 1), with(&[(HttpReqCnt, 7)]));
    for status in [400, 404, 429, 499] {
        connection.request().response(status);
    }
    assert_eq!(moved(&table, clock, 1), with(&[(HttpReqCnt, 11), (HttpErrCnt, 4)]));
    for status in [500, 502, 503, 504, 599] {
        connection.request().response(status);
    }
    assert_eq!(
        moved(&table, clock, 1),
        with(&[(HttpReqCnt, 16), (HttpErrCnt, 4), (HttpFailCnt, 5)])
    );
    connection.request().denied();
    assert_eq!(
        moved(&table, clock, 1),
        with(&[(HttpReqCnt, 17), (HttpErrCnt, 5), (HttpFailCnt, 5)])
    );
    for how in [Failed::Malformed, Failed::Aborted, Failed::TimedOut] {
        connection.failed(how);
    }
    assert_eq!(
        moved(&table, clock, 1),
        with(&[(HttpReqCnt, 20), (HttpErrCnt, 7), (HttpFailCnt, 5)])
    );
    connection.count(Event::Glitch, 3);
    assert_eq!(connection.fetch(0, GlitchCnt, 0), Some(3));
}

#[test]
fn a_request_tracks_until_it_ends() {
    let (table, clock) = (table(), Clock::start());
    let connection = connection(&table, clock);
    let mut request = connection.request();
    assert!(request.track(1, &table, &key(2)));
    assert_eq!(moved(&table, clock, 2), [(ConnCnt, 1), (ConnCur, 1), (HttpReqCnt, 1)]);
    // What the connection tracks stays what it was, and so does what the request does.
    assert!(!request.track(0, &table, &key(3)));
    assert!(!request.track(1, &table, &key(3)));
    assert_eq!(moved(&table, clock, 3), []);
    assert_eq!(request.entry(0).unwrap().key(), key(1));
    assert_eq!(request.entry(1).unwrap().key(), key(2));
    assert!(connection.entry(1).is_none());
    request.response(404);
    request.bytes_in(100);
    request.bytes_out(200);
    let both = [(ConnCnt, 1), (ConnCur, 1), (HttpReqCnt, 1), (HttpErrCnt, 1)];
    assert_eq!(moved(&table, clock, 1), both);
    assert_eq!(
        moved(&table, clock, 2),
        [&both[..], &[(BytesInCnt, 100), (BytesOutCnt, 200)]].concat()
    );
    assert_eq!(request.fetch(1, BytesInCnt, 0), Some(100));
    assert_eq!(
        (request.fetch(2, BytesInCnt, 0), request.fetch(1, DataType::Gpc0, 0)),
        (None, None)
    );
    drop(request);
    assert_eq!(table.fetch(&key(2), ConnCur, 0, clock.now()), Some(0));
    assert_eq!(connection.fetch(0, ConnCur, 0), Some(1));
    // The next one is another.
    let mut second = connection.request();
    assert!(second.track(1, &table, &key(2)));
    assert_eq!(second.fetch(1, ConnCnt, 0), Some(2));
    // A request keeps its connection, whoever lets go of it first.
    drop(connection);
    assert_eq!(second.fetch(0, ConnCur, 0), Some(1));
    drop(second);
    assert_eq!(table.fetch(&key(1), ConnCur, 0, clock.now()), Some(0));
}

#[test]
fn a_table_without_room_tracks_nothing() {
    let clock = Clock::start();
    let declaration =
        Declaration::builder("t", KeySpec::IP).size(1).store(ConnCur).store(HttpReqCnt);
    let table = SharedTable::new(declaration.build().unwrap());
    let first = connection(&table, clock);
    let mut second = Connection::<3>::new(clock);
    // In use, so it is not purged.
    assert!(!second.track(0, &table, &key(2)));
    let second = Arc::new(second);
    second.accepted();
    let mut request = second.request();
    assert!(!request.track(1, &table, &key(3)));
    request.response(404);
    assert_eq!(request.fetch(0, HttpReqCnt, 0), None);
    assert_eq!(table.metrics().refused, 2);
    drop(first);
    assert!(request.track(1, &table, &key(3)));
}

#[test]
fn the_end_is_counted_once_whatever_happens() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 500;
    let (table, clock) = (table(), Clock::start());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    let connection = connection(&table, clock);
                    let mut requests: Vec<Request> = (0..3).map(|_| connection.request()).collect();
                    for request in &mut requests {
                        assert!(request.track(2, &table, &key(2)));
                    }
                    // Elsewhere, in another order, or in a panic.
                    match round % 3 {
                        0 => drop((connection, requests)),
                        1 => drop(thread::spawn(move || drop((requests, connection))).join()),
                        _ => {
                            let held = AssertUnwindSafe((connection, requests));
                            let panicked = catch_unwind(move || {
                                let _held = held;
                                std::panic::resume_unwind(Box::new(()));
                            });
                            assert!(panicked.is_err());
                        }
                    }
                }
            });
        }
    });
    let fetch = |last, data_type| table.fetch(&key(last), data_type, 0, clock.now()).unwrap();
    assert_eq!((fetch(1, ConnCur), fetch(2, ConnCur)), (0, 0));
    let rounds = i64::try_from(THREADS * ROUNDS).unwrap();
    assert_eq!((fetch(1, ConnCnt), fetch(2, ConnCnt)), (rounds, 3 * rounds));
    assert_eq!((fetch(1, HttpReqCnt), fetch(2, HttpReqCnt)), (3 * rounds, 3 * rounds));
}

#[tokio::test]
async fn bytes_are_counted_both_ways() {
    let (table, clock) = (table(), Clock::start());
    let connection = connection(&table, clock);
    let (near, mut far) = duplex(10);
    let mut stream = connection.stream(near);
    let there = tokio::spawn(async move {
        far.write_all(&[1; 25]).await.unwrap();
        let mut heard = vec![0; 37];
        far.read_exact(&mut heard).await.unwrap();
        far
    });
    let mut heard = vec![0; 20];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(connection.fetch(0, BytesInCnt, 0), Some(20));
    stream.write_all(&[2; 37]).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(connection.fetch(0, BytesOutCnt, 0), Some(37));
    let far = there.await.unwrap();
    stream.read_exact(&mut heard[..5]).await.unwrap();
    // The end, and an error, are no bytes.
    drop(far);
    assert_eq!(stream.read(&mut heard).await.unwrap(), 0);
    assert!(stream.write_all(&[2; 5]).await.is_err());
    let total = [(ConnCnt, 1), (ConnCur, 1), (BytesInCnt, 25), (BytesOutCnt, 37)];
    assert_eq!(moved(&table, clock, 1), total);
    // It is the stream that keeps the connection, and no longer.
    drop(connection);
    assert_eq!(table.fetch(&key(1), ConnCur, 0, clock.now()), Some(1));
    drop(stream.into_inner());
    assert_eq!(table.fetch(&key(1), ConnCur, 0, clock.now()), Some(0));
}

#[test]
#[should_panic(expected = "index out of bounds")]
fn there_are_as_many_counters_as_there_are() {
    Connection::<2>::new(Clock::start()).track(2, &table(), &key(1));
}
