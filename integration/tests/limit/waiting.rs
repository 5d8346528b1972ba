//! `Retry-After` is true: who waits so long is let in, and who comes a second earlier is not.

use stktable::DataType as D;
use stktable::table::Value;
use stktable_integration::limit::{Builder, Limit, Limiter, Limits, Tier};

use crate::support::*;

const WHO: &str = "192.0.2.7";

/// Sends the requests of a history, each after a pause, to limits of their own.
fn replay(limits: impl Fn() -> Builder, history: &[u64]) -> (Time, Limiter) {
    let time = Time::new();
    let limiter = limiter(limits(), &time);
    for pause in history {
        time.pass(*pause);
        let _ = send(&limiter, from(WHO));
    }
    (time, limiter)
}

fn is_let_in_after(wait_s: u64, limits: impl Fn() -> Builder, history: &[u64]) -> bool {
    let (time, limiter) = replay(limits, history);
    time.pass(wait_s * 1000);
    is_let_in(&limiter, from(WHO))
}

#[test]
fn who_waits_as_told_is_let_in_and_not_a_second_before() {
    let line = "table t type ip size 10 expire 10m store http_req_rate(7s),gpc0_rate(10001ms)";
    let mut checked = 0;
    for uncounted in [false, true] {
        for (max, cost) in [(1, 1), (3, 1), (10, 1), (10, 3), (100, 25)] {
            for data_type in [D::HttpReqRate, D::Gpc0Rate] {
                for pauses in [&[0][..], &[1, 333], &[700, 900, 1_100], &[3_000], &[6_999, 1]] {
                    let limits = || {
                        let table = table(line);
                        let tier = Tier::of(&table).limit(Limit::new(data_type, max).cost(cost));
                        let limits = Limits::builder().tier(tier);
                        if uncounted { limits.refused_uncounted() } else { limits }
                    };
                    for count in 1..=14 {
                        let history: Vec<u64> =
                            pauses.iter().copied().cycle().take(count).collect();
                        let (_, limiter) = replay(limits, &history);
                        let answer = send(&limiter, from(WHO));
                        let Some(wait) = answer.retry_after() else { continue };
                        // The same history and the same last request.
                        let history: Vec<u64> = history.into_iter().chain([0]).collect();
                        let case = (uncounted, max, cost, data_type, pauses, count, wait);
                        assert!(is_let_in_after(wait, limits, &history), "{case:?}");
                        assert!(!is_let_in_after(wait - 1, limits, &history), "{case:?}");
                        checked += 1;
                    }
                }
            }
        }
    }
    assert!(checked > 300, "{checked}");
}

#[test]
fn what_peers_have_counted_fades_as_foretold() {
    for observed in [false, true] {
        for (age_ms, current, previous) in
            [(0, 9, 0), (4_321, 9, 7), (9_999, 6, 90), (12_345, 30, 99)]
        {
            let lab = || {
                let (time, table) = (
                    Time::new(),
                    table("table t type ip size 10 expire 10m store http_req_rate(10s)"),
                );
                let key = table.declaration().key.parse(WHO).unwrap();
                let entry = table.get_or_create(&key, time.now()).unwrap();
                let rate = Value::Rate { age_ms, current, previous };
                entry.set_value(D::HttpReqRate, 0, rate, time.now()).unwrap();
                entry.touch(time.now());
                let limit = Limit::new(D::HttpReqRate, 5);
                let limit = if observed { limit.observed() } else { limit };
                let limiter = limiter(Limits::builder().tier(Tier::of(&table).limit(limit)), &time);
                let answer = send(&limiter, from(WHO));
                drop(entry);
                (time, limiter, answer.retry_after().expect("a limit that is exceeded"))
            };
            let (time, limiter, wait) = lab();
            time.pass(wait * 1000);
            assert!(is_let_in(&limiter, from(WHO)), "{observed} {age_ms} {wait}");
            let (time, limiter, wait) = lab();
            time.pass((wait - 1) * 1000);
            assert!(!is_let_in(&limiter, from(WHO)), "{observed} {age_ms} {wait}");
        }
    }
}

#[test]
fn of_several_limits_the_one_that_lasts_longest_speaks() {
    let (time, table) = (
        Time::new(),
        table("table t type ip size 10 expire 10m store gpc0,http_req_rate(10s),gpc1_rate(100s)"),
    );
    let (short, long) =
        (Limit::new(D::HttpReqRate, 2).named("short"), Limit::new(D::Gpc1Rate, 2).named("long"));
    let limits = |shadow| {
        Limits::builder().tier(Tier::of(&table).limit(short.clone()).limit(if shadow {
            long.clone().shadow()
        } else {
            long.clone()
        }))
    };
    let limiter = limiter(limits(false), &time);
    assert_eq!(let_in(&limiter, 2, || from(WHO)), 2);
    let answer = send(&limiter, from(WHO));
    assert!(answer.retry_after().unwrap() > 100, "{answer:?}");
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.contains(r#"["long","short"]"#), "{text}");
    time.pass(60_000);
    assert!(!is_let_in(&limiter, from(WHO)), "the short one would let it in");
    // A limit in shadow mode does not say when to come back.
    limiter.set_limits(limits(true).build().unwrap());
    assert!(is_let_in(&limiter, from(WHO)));
    let answer =
        (0..9).map(|_| send(&limiter, from(WHO))).find(|answer| answer.status == 429).unwrap();
    assert!(answer.retry_after().unwrap() < 20, "{answer:?}");
}

#[test]
fn counters_end_with_their_entries_and_others_never() {
    for (expire, wait) in [(" expire 90500ms", Some(91)), ("", None)] {
        let (time, table) =
            (Time::new(), table(&format!("table t type ip size 10{expire} store gpc0")));
        let limiter =
            limiter(Limits::builder().tier(Tier::of(&table).limit(Limit::new(D::Gpc0, 1))), &time);
        assert_eq!(let_in(&limiter, 2, || from(WHO)), 1);
        let answer = send(&limiter, from(WHO));
        assert_eq!(answer.retry_after(), wait);
        assert_eq!(answer.status, 429);
        if let Some(wait) = wait {
            time.pass(wait * 1000);
            assert!(is_let_in(&limiter, from(WHO)));
        }
    }
}
