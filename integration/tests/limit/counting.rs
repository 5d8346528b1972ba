//! What a request adds, and what is refused for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::HeaderName;
use stktable::DataType as D;
use stktable_integration::SharedTable;
use stktable_integration::limit::{
    Failing, KeyOf as _, Limit, Limits, Tier, client, header, literal, path,
};

use crate::support::*;

const WHO: &str = "192.0.2.7";

fn one(table: &Arc<SharedTable>, limit: Limit) -> stktable_integration::limit::Builder {
    Limits::builder().tier(Tier::of(table).limit(limit))
}

#[test]
fn a_rate_lets_exactly_so_many_in() {
    let (time, table) = (
        Time::new(),
        table("table t type ip size 10 expire 1m store http_req_cnt,http_req_rate(10s)"),
    );
    let limiter = limiter(one(&table, Limit::new(D::HttpReqRate, 3)), &time);
    assert_eq!(let_in(&limiter, 5, || from(WHO)), 3);
    assert!(is_let_in(&limiter, from("192.0.2.8")), "another client");
    assert_eq!(stands(&table, WHO, D::HttpReqRate, time.now()), 5, "refused ones are counted");
    assert_eq!(stands(&table, WHO, D::HttpReqCnt, time.now()), 5, "and what counts the same");
    let statistics = limiter.statistics();
    assert_eq!((statistics.passed, statistics.refused), (4, 2));
}

#[test]
fn refused_requests_are_left_out_where_asked() {
    let (time, table) =
        (Time::new(), table("table t type ip size 10 expire 1m store gpc0,gpc0_rate(10s)"));
    let limits = one(&table, Limit::new(D::Gpc0Rate, 3).cost(2)).refused_uncounted();
    let limiter = limiter(limits, &time);
    assert_eq!(let_in(&limiter, 5, || from(WHO)), 1);
    assert_eq!(stands(&table, WHO, D::Gpc0Rate, time.now()), 2);
    assert_eq!(stands(&table, WHO, D::Gpc0, time.now()), 2);
    // The period is over, and half of the next one: one of the two has faded.
    time.pass(15_001);
    assert_eq!(let_in(&limiter, 5, || from(WHO)), 1);
}

#[test]
fn an_entry_that_is_refused_at_once_is_not_made() {
    let (time, table) =
        (Time::new(), table("table t type ip size 10 expire 1m store gpc0_rate(10s)"));
    let limiter =
        limiter(one(&table, Limit::new(D::Gpc0Rate, 3).cost(4)).refused_uncounted(), &time);
    let answer = send(&limiter, from(WHO));
    assert_eq!((answer.status.as_u16(), answer.retry_after()), (429, None), "it never fits");
    assert_eq!(table.used(), 0);
}

#[test]
fn a_request_costs_the_same_in_all_that_counts_it() {
    let line = "table t type ip size 10 expire 1m store gpc0,http_req_cnt,http_req_rate(10s)";
    let (rate, count) = (Limit::new(D::HttpReqRate, 9), Limit::new(D::HttpReqCnt, 9));
    for (one, other) in [(rate.clone().cost(3), count.clone()), (rate, count.cost_by(|_| 3))] {
        let (time, table) = (Time::new(), table(line));
        let tier = Tier::of(&table).limit(one).limit(other).count(D::Gpc0, 5);
        let limiter = limiter(Limits::builder().tier(tier), &time);
        assert_eq!(let_in(&limiter, 4, || from(WHO)), 3);
        let stand = |data_type| stands(&table, WHO, data_type, time.now());
        assert_eq!([D::HttpReqRate, D::HttpReqCnt, D::Gpc0].map(stand), [12, 12, 20]);
    }
}

#[test]
fn counters_arrays_and_bytes_are_limited() {
    let line = "table t type ip size 10 expire 1m store gpc(3),gpc_rate(3,10s),bytes_in_cnt,bytes_in_rate(10s)";
    let (time, shared) = (Time::new(), table(line));
    let limiter = limiter(one(&shared, Limit::new(D::Gpc, 2).element(2)), &time);
    assert_eq!(let_in(&limiter, 5, || from(WHO)), 2);
    let key = shared.declaration().key.parse(WHO).unwrap();
    let reading = |data_type, element| shared.fetch(&key, data_type, element, time.now());
    assert_eq!(
        [reading(D::Gpc, 2), reading(D::GpcRate, 2), reading(D::Gpc, 0)],
        [Some(5), Some(5), Some(0)]
    );

    // `gpc1` is element 1 of the array.
    limiter.set_limits(one(&shared, Limit::new(D::Gpc1Rate, 2)).build().unwrap());
    assert_eq!(let_in(&limiter, 5, || from(WHO)), 2);
    assert_eq!(reading(D::Gpc, 1), Some(5));

    let length = |head: &stktable_integration::limit::Head<'_>| {
        let value = head.headers.get("content-length").and_then(|value| value.to_str().ok());
        value.and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    limiter
        .set_limits(one(&shared, Limit::new(D::BytesInRate, 100).cost_by(length)).build().unwrap());
    assert_eq!(let_in(&limiter, 5, || with(from(WHO), &[("content-length", "40")])), 2);
    assert_eq!(reading(D::BytesInCnt, 0), Some(200));
}

#[test]
fn byte_rates_are_counted_in_blocks() {
    let line = "table t type ip size 10 expire 1m brates-factor 100 store bytes_in_rate(10s)";
    let (time, table) = (Time::new(), table(line));
    let limiter = limiter(one(&table, Limit::new(D::BytesInRate, 1000).cost(150)), &time);
    // Two blocks each.
    assert_eq!(let_in(&limiter, 10, || from(WHO)), 5);
}

#[test]
fn what_is_observed_is_only_read() {
    let (time, table) = (Time::new(), table("table t type ip size 10 expire 1m store gpc0,gpt0"));
    let limiter = limiter(
        Limits::builder().tier(
            Tier::of(&table).limit(Limit::new(D::Gpc0, 0).observed()).limit(Limit::new(D::Gpt0, 1)),
        ),
        &time,
    );
    assert!(is_let_in(&limiter, from(WHO)));
    assert_eq!(table.used(), 0, "no entry is made");
    let key = table.declaration().key.parse(WHO).unwrap();
    table.get_or_create(&key, time.now()).unwrap().set_gpt0(1, time.now()).unwrap();
    assert!(is_let_in(&limiter, from(WHO)), "1 is not above 1");
    time.pass(20_000);
    let entry = table.get(&key, time.now()).unwrap();
    assert_eq!(entry.expires_in(time.now()), 40_000, "nor refreshed");
    entry.inc_gpc0(time.now());
    drop(entry);
    let answer = send(&limiter, from(WHO));
    assert_eq!((answer.status.as_u16(), answer.retry_after()), (429, Some(60)));
    time.pass(60_000);
    assert!(is_let_in(&limiter, from(WHO)), "the entry is over when it was said to be");
}

#[test]
fn several_threads_let_exactly_so_many_in() {
    for data_type in [D::HttpReqRate, D::Gpc0] {
        for uncounted in [false, true] {
            let (time, table) = (
                Time::new(),
                table("table t type ip size 10 expire 1m store gpc0,http_req_rate(10s)"),
            );
            let limits = one(&table, Limit::new(data_type, 500));
            let limits = if uncounted { limits.refused_uncounted() } else { limits };
            let limiter = limiter(limits, &time);
            let total: usize = std::thread::scope(|scope| {
                let run = || let_in(&limiter, 400, || from(WHO));
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!(total, 500, "{data_type} {uncounted}");
        }
    }
}

#[test]
fn of_two_that_come_at_once_the_first_is_let_in() {
    let (time, table) = (
        Time::new(),
        table("table t type integer size 10k expire 1m store gpc0,http_req_rate(10s)"),
    );
    const KEYS: u32 = 3_000;
    for data_type in [D::HttpReqRate, D::Gpc0] {
        let by = header(HeaderName::from_static("x-number"));
        let tier = Tier::of(&table).key(by).limit(Limit::new(data_type, 1));
        let limiter = limiter(Limits::builder().tier(tier), &time);
        let come = AtomicU32::new(0);
        let run = || {
            let request = |number: u32| with(from(WHO), &[("x-number", &number.to_string())]);
            let mut let_in = Vec::new();
            for number in 0..KEYS {
                let request = request(number);
                come.fetch_add(1, Ordering::SeqCst);
                while come.load(Ordering::SeqCst) < 2 * (number + 1) {
                    std::thread::yield_now();
                }
                let_in.push(is_let_in(&limiter, request));
            }
            let_in
        };
        let (one, other) = std::thread::scope(|scope| {
            let one = scope.spawn(run);
            (run(), one.join().unwrap())
        });
        let same = one.iter().zip(&other).position(|(one, other)| one == other);
        assert_eq!(same, None, "{data_type}: both or none");
    }
}

#[test]
fn an_entry_that_counts_lives_on_and_peers_are_told() {
    let (time, table) =
        (Time::new(), table("table t type ip size 10 expire 1m store http_req_cnt"));
    let limiter = limiter(one(&table, Limit::new(D::HttpReqCnt, 1)), &time);
    let key = table.declaration().key.parse(WHO).unwrap();
    for _ in 0..3 {
        let before = table.mark_updates();
        let _ = send(&limiter, from(WHO));
        let entry = table.get(&key, time.now()).unwrap();
        assert_eq!(entry.expires_in(time.now()), 60_000);
        assert!(entry.update_seq() > before, "refused or not");
        time.pass(30_000);
    }
}

#[test]
fn keys_are_made_of_anything() {
    let (time, table) = (
        Time::new(),
        table("table t type string len 64 size 10 expire 1m store http_req_rate(10s)"),
    );
    let token = || header(HeaderName::from_static("x-api-key"));
    let by = token().or(client()).and(path());
    let limiter = limiter(
        Limits::builder().tier(Tier::of(&table).key(by).limit(Limit::new(D::HttpReqRate, 1))),
        &time,
    );
    let asks = |path: &str, token: Option<&str>| {
        let mut request = from(WHO);
        *request.uri_mut() = path.parse().unwrap();
        let fields: Vec<_> = token.map(|token| ("x-api-key", token)).into_iter().collect();
        is_let_in(&limiter, with(request, &fields))
    };
    assert_eq!([asks("/a", None), asks("/a?x", None), asks("/b", None)], [true, false, true]);
    assert_eq!(
        [asks("/a", Some("k")), asks("/a", Some("k")), asks("/a", Some("l"))],
        [true, false, true]
    );
    assert_eq!(stands(&table, "192.0.2.7\n/a", D::HttpReqRate, time.now()), 2);
    assert_eq!(stands(&table, "k\n/a", D::HttpReqRate, time.now()), 2);
}

#[test]
fn keys_of_two_kinds_are_told_apart() {
    let (time, table) = (
        Time::new(),
        table("table t type string len 64 size 10 expire 1m store http_req_rate(10s)"),
    );
    let token = literal("token").and(header(HeaderName::from_static("x-api-key")));
    let by = token.or(literal("address").and(client()));
    let tier = Tier::of(&table).key(by).limit(Limit::new(D::HttpReqRate, 1));
    let limiter = limiter(Limits::builder().tier(tier), &time);
    // Who sends another one's address as a token takes nothing of theirs.
    let forged = || with(from("192.0.2.66"), &[("x-api-key", WHO)]);
    assert_eq!(let_in(&limiter, 3, forged), 1);
    assert_eq!(let_in(&limiter, 3, || from(WHO)), 1);
    assert_eq!(stands(&table, "address\n192.0.2.7", D::HttpReqRate, time.now()), 3);
}

#[test]
fn a_full_table_and_a_missing_key_fail_as_asked() {
    let (time, table) =
        (Time::new(), table("table t type ip size 1 expire 1m store conn_cur,http_req_rate(10s)"));
    let limits = |failing| one(&table, Limit::new(D::HttpReqRate, 1)).failing(failing);
    let limiter = limiter(limits(Failing::Open), &time);
    // The only place is in use.
    let key = table.declaration().key.parse("192.0.2.1").unwrap();
    let tracker = table.track(&key, time.now()).unwrap();
    assert_eq!(let_in(&limiter, 3, || from(WHO)), 3);
    assert_eq!(limiter.statistics().table_full, 3);
    assert!(is_let_in(&limiter, http::Request::new(())), "nobody said who it is");
    assert_eq!(limiter.statistics().keyless, 1);

    limiter.set_limits(limits(Failing::Closed).build().unwrap());
    let answer = send(&limiter, from(WHO));
    assert_eq!((answer.status.as_u16(), answer.retry_after()), (503, None));
    assert_eq!(send(&limiter, http::Request::new(())).status, 503);
    assert_eq!(send(&limiter, from("2001:db8::1")).status, 200, "not of this table's family");
    limiter.set_limits(limits(Failing::Closed).shadow().build().unwrap());
    assert_eq!(send(&limiter, from(WHO)).status, 200, "shadow mode refuses nothing");
    limiter.set_limits(limits(Failing::Closed).build().unwrap());
    drop(tracker);
    assert!(is_let_in(&limiter, from(WHO)), "there is room: the old entry is purged");
    assert_eq!(limiter.statistics().refused, 2);
}
