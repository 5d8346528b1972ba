//! Limits that are changed, tried out, and kept while requests are under way.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use stktable::DataType as D;
use stktable_integration::limit::{Limit, LimitLayer, Limits, Tier};
use tower::{Layer as _, Service as _, service_fn};

use crate::support::*;

const WHO: &str = "192.0.2.7";
const LINE: &str = "table t type ip size 10 expire 1m store conn_cur,gpc0,http_req_rate(10s)";

#[test]
fn limits_change_and_counts_stay() {
    let (time, table) = (Time::new(), table(LINE));
    let limits =
        |max| Limits::builder().tier(Tier::of(&table).limit(Limit::new(D::HttpReqRate, max)));
    let limiter = limiter(limits(3), &time);
    let handle = limiter.clone();
    assert_eq!(let_in(&limiter, 4, || from(WHO)), 3);
    handle.set_limits(limits(6).build().unwrap());
    assert_eq!(let_in(&limiter, 4, || from(WHO)), 2, "4 were counted before");
    handle.set_limits(limits(1).build().unwrap());
    assert_eq!(let_in(&limiter, 4, || from("192.0.2.8")), 1);
    handle.set_limits(Limits::builder().build().unwrap());
    assert_eq!(let_in(&limiter, 4, || from(WHO)), 4, "no limits at all");
    assert_eq!(stands(&table, WHO, D::HttpReqRate, time.now()), 8);
}

#[test]
fn what_is_under_way_is_let_go_after_a_change() {
    let (time, table) = (Time::new(), table(LINE));
    let open = || stands(&table, WHO, D::ConnCur, time.now());
    let limits = Limits::builder().tier(Tier::of(&table).limit(Limit::new(D::ConnCur, 9)));
    let limiter = limiter(limits, &time);
    let mut service = LimitLayer::new(limiter.clone()).layer(service_fn(async |_| {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("x"))))
    }));
    let response = now_or_never(service.call(from(WHO)));
    let begun = service.call(from(WHO));
    assert_eq!(open(), 2);
    limiter.set_limits(Limits::builder().build().unwrap());
    assert!(is_let_in(&limiter, from(WHO)));
    assert_eq!(open(), 2);
    drop(response);
    assert_eq!(open(), 1);
    drop(now_or_never(begun));
    assert_eq!(open(), 0);
}

#[test]
fn threads_that_ask_see_whole_limits() {
    let (time, table) = (Time::new(), table(LINE));
    // Either nobody is let in, for two reasons, or everybody.
    let none = || {
        let tier =
            Tier::of(&table).limit(Limit::new(D::HttpReqRate, 0)).limit(Limit::new(D::Gpc0, 0));
        Limits::builder().tier(tier).build().unwrap()
    };
    let limiter = limiter(Limits::builder(), &time);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let answer = send(&limiter, from(WHO));
                    let text = String::from_utf8_lossy(&answer.body).into_owned();
                    let refused =
                        text.contains("mesh/t.gpc0") && text.contains("mesh/t.http_req_rate");
                    assert!(text == "served" || refused, "{text}");
                }
            });
        }
        for turn in 0..200 {
            limiter.set_limits(if turn % 2 == 0 {
                none()
            } else {
                Limits::builder().build().unwrap()
            });
        }
    });
}

#[test]
fn shadow_mode_counts_and_marks_and_refuses_nothing() {
    let (time, table) = (Time::new(), table(LINE));
    let told = Arc::new(Mutex::new(Vec::new()));
    let limits = |shadow: bool| {
        let told = Arc::clone(&told);
        let limits = Limits::builder()
            .tier(Tier::of(&table).limit(Limit::new(D::HttpReqRate, 2).named("rate")))
            .on_refusal(move |refusal, head| {
                let names: Vec<_> = refusal
                    .limits()
                    .iter()
                    .map(|limit| format!("{} {} > {}", limit.name, limit.reading, limit.max))
                    .collect();
                told.lock().unwrap().push((refusal.is_shadow(), names.join(","), head.client()));
            });
        if shadow { limits.shadow() } else { limits }
    };
    let limiter = limiter(limits(true), &time);
    let bodies: Vec<_> = (0..4).map(|_| send(&limiter, from(WHO)).body).collect();
    assert_eq!(bodies, ["served", "served", "marked", "marked"]);
    assert_eq!(stands(&table, WHO, D::HttpReqRate, time.now()), 4);
    let who = WHO.parse().ok();
    let expected = |shadow, reading| (shadow, format!("rate {reading} > 2"), who);
    assert_eq!(*told.lock().unwrap(), [expected(true, 3), expected(true, 4)]);
    let statistics = limiter.statistics();
    assert_eq!((statistics.passed, statistics.shadowed, statistics.refused), (4, 2, 0));

    limiter.set_limits(limits(false).build().unwrap());
    assert!(!is_let_in(&limiter, from(WHO)));
    assert_eq!(told.lock().unwrap().last(), Some(&expected(false, 5)));
}

#[test]
fn one_limit_in_shadow_mode_is_tried_beside_others() {
    let (time, table) = (Time::new(), table(LINE));
    let tier = Tier::of(&table)
        .limit(Limit::new(D::HttpReqRate, 1).shadow())
        .limit(Limit::new(D::Gpc0, 3));
    let limiter = limiter(Limits::builder().tier(tier).ratelimit_fields(), &time);
    let answers: Vec<_> = (0..5).map(|_| send(&limiter, from(WHO))).collect();
    let bodies: Vec<_> = answers.iter().map(|answer| answer.body.clone()).collect();
    assert_eq!(bodies[..3], ["served", "marked", "marked"]);
    assert!(answers[3..].iter().all(|answer| answer.status == 429));
    let policy = answers[0].field("ratelimit-policy").unwrap();
    assert_eq!(policy, "\"mesh/t.gpc0\";q=3", "clients are not told of it");
    assert!(!String::from_utf8_lossy(&answers[4].body).contains("http_req_rate"));
}
