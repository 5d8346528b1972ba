//! What clients are told.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use stktable::DataType as D;
use stktable_integration::limit::{Builder, Limit, Limits, Tier};

use crate::support::*;

const WHO: &str = "192.0.2.7";
const LINE: &str = "table t type ip size 10 expire 5m store conn_cur,gpc0,http_req_rate(10s),bytes_in_rate(1500ms)";

fn limits() -> Builder {
    Limits::builder()
        .tier(Tier::of(&table(LINE)).limit(Limit::new(D::HttpReqRate, 2).named("per client")))
}

#[test]
fn a_refusal_is_a_problem() {
    let limiter = limiter(limits(), &Time::new());
    assert_eq!(let_in(&limiter, 2, || from(WHO)), 2);
    let answer = send(&limiter, from(WHO));
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.field("content-type"), Some("application/problem+json"));
    let wait = answer.retry_after().unwrap();
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        problem,
        json!({
            "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
            "title": "Request cannot be satisfied as assigned quota has been exceeded",
            "status": 429,
            "detail": format!("limit per client, try again in {wait} s"),
            "violated-policies": ["per client"],
        })
    );
    assert_eq!(answer.field("ratelimit"), None, "not asked for");
    assert_eq!(answer.field("x-ratelimit-limit"), None);
}

/// Splits a List of Strings with parameters, and panics where it is none.
fn list(text: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut rest = text;
    let mut items = Vec::new();
    loop {
        let (name, after) = rest.strip_prefix('"').unwrap().split_once('"').unwrap();
        let end = after.find(", ").unwrap_or(after.len());
        let (parameters, after) = after.split_at(end);
        let parameters = parameters.split(';').skip(1).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap();
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase()), "{name}");
            let is_string = value.starts_with('"') && value.ends_with('"') && value.len() > 2;
            assert!(is_string || value.parse::<u64>().is_ok(), "{value}");
            (name.to_owned(), value.to_owned())
        });
        items.push((name.to_owned(), parameters.collect()));
        match after.strip_prefix(", ") {
            Some(after) => rest = after,
            None => return items,
        }
    }
}

fn owned(item: &str, parameters: &[(&str, &str)]) -> (String, Vec<(String, String)>) {
    let owned = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    (item.to_owned(), owned.collect())
}

#[test]
fn the_standard_fields_are_lists_of_strings() {
    let time = Time::new();
    let tier = Tier::of(&table(LINE))
        .limit(Limit::new(D::HttpReqRate, 2).named("rate"))
        .limit(Limit::new(D::BytesInRate, u64::MAX).cost(100).named("bytes"))
        .limit(Limit::new(D::Gpc0, 9).named("count"))
        .limit(Limit::new(D::ConnCur, 7).named("open"));
    let limiter = limiter(Limits::builder().tier(tier).ratelimit_fields(), &time);
    let answer = send(&limiter, from(WHO));
    let q = ("q", "999999999999999");
    let expected = [
        owned("rate", &[("q", "2"), ("w", "10")]),
        owned("bytes", &[q, ("w", "2"), ("qu", "\"content-bytes\"")]),
        owned("count", &[("q", "9")]),
        owned("open", &[("q", "7"), ("qu", "\"concurrent-requests\"")]),
    ];
    assert_eq!(list(answer.field("ratelimit-policy").unwrap()), expected);
    // Of a limit that holds, when all of it is there again: a single event reads as one to the end of the period after its own, 20 s later.
    let expected = [
        owned("rate", &[("r", "1"), ("t", "21")]),
        owned("bytes", &[("r", "999999999999999"), ("t", "3")]),
        owned("count", &[("r", "8"), ("t", "300")]),
        owned("open", &[("r", "6")]),
    ];
    assert_eq!(list(answer.field("ratelimit").unwrap()), expected);
    assert_eq!(let_in(&limiter, 2, || from(WHO)), 1);
    let answer = send(&limiter, from(WHO));
    let wait = answer.field("retry-after").unwrap();
    assert_eq!(
        list(answer.field("ratelimit").unwrap())[0],
        owned("rate", &[("r", "0"), ("t", wait)])
    );
    assert!(answer.field("ratelimit-policy").is_some());
}

#[test]
fn the_older_fields_tell_of_the_strictest_limit() {
    let tier =
        Tier::of(&table(LINE)).limit(Limit::new(D::Gpc0, 3)).limit(Limit::new(D::HttpReqRate, 2));
    let limiter = limiter(Limits::builder().tier(tier).x_ratelimit_fields(), &Time::new());
    let fields = |answer: &Answer| {
        ["limit", "remaining", "reset"]
            .map(|name| answer.field(&format!("x-ratelimit-{name}")).unwrap().to_owned())
    };
    assert_eq!(fields(&send(&limiter, from(WHO))), ["2", "1", "21"]);
    assert_eq!(fields(&send(&limiter, from(WHO)))[..2], ["2", "0"]);
    let refused = send(&limiter, from(WHO));
    let wait = refused.field("retry-after").unwrap().to_owned();
    assert_eq!(fields(&refused), ["2".to_owned(), "0".to_owned(), wait]);
    let refused = send(&limiter, from(WHO));
    assert_eq!(fields(&refused)[..2], ["3", "0"], "the counter lasts longer");
    assert_eq!(refused.field("ratelimit"), None);
}

#[test]
fn a_call_of_grpc_is_answered_by_trailers_alone() {
    let limiter = limiter(limits().ratelimit_fields(), &Time::new());
    let call = || with(from(WHO), &[("content-type", "application/grpc+proto")]);
    assert_eq!(let_in(&limiter, 2, call), 2);
    let answer = send(&limiter, call());
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.field("grpc-status"), Some("8"));
    assert_eq!(answer.field("content-type"), Some("application/grpc+proto"));
    assert!(answer.field("grpc-message").unwrap().starts_with("limit per client, try again in "));
    assert!(answer.body.is_empty());
    assert!(answer.retry_after().is_some());
    assert_eq!(send(&limiter, with(from(WHO), &[("content-type", "text/plain")])).status, 429);
}

#[test]
fn a_service_says_it_in_its_own_words() {
    let limits = limits().x_ratelimit_fields().respond(|refusal, head| {
        let mut response =
            Response::new(Bytes::from(format!("{} {:?}", head.uri.path(), refusal.retry_after())));
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        response.headers_mut().insert("x-ratelimit-limit", 77.into());
        response
    });
    let limiter = limiter(limits, &Time::new());
    assert_eq!(let_in(&limiter, 2, || from(WHO)), 2);
    let answer = send(&limiter, from(WHO));
    assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
    let wait = answer.retry_after().unwrap();
    assert_eq!(answer.body, format!("/ Some({wait}s)"));
    assert_eq!(answer.field("x-ratelimit-limit"), Some("77"), "what it set stays");
    assert_eq!(answer.field("x-ratelimit-remaining"), Some("0"));
}
