//! Limits that a table cannot serve are refused when they are made, each for a reason.

use stktable::DataType as D;
use stktable_integration::limit::{
    LIMITS_MAX, Limit, LimitError, Limits, TIERS_MAX, TRACKED_MAX, Tier,
};

use crate::support::table;

const STORED: &str = "table t type ip size 10 expire 1m store gpc0,gpt0,server_key,conn_cur,conn_cnt,http_req_rate(10s),http_req_cnt,bytes_in_rate(1s)";

fn build(change: impl FnOnce(Tier) -> Tier) -> Result<(), LimitError> {
    Limits::builder().tier(change(Tier::of(&table(STORED)))).build().map(drop)
}

#[test]
fn what_is_wrong_is_said() {
    let says = |limit: Limit| build(|tier| tier.limit(limit)).unwrap_err().to_string();
    assert_eq!(says(Limit::new(D::HttpErrRate, 1)), "table mesh/t does not store http_err_rate");
    assert_eq!(
        says(Limit::new(D::HttpErrRate, 1).observed()),
        "table mesh/t does not store http_err_rate"
    );
    assert_eq!(says(Limit::new(D::Gpc, 1)), "table mesh/t does not store gpc");
    assert_eq!(
        says(Limit::new(D::Gpc0, 1).element(1)),
        "table mesh/t does not store element 1 of gpc0"
    );
    assert_eq!(says(Limit::new(D::ServerKey, 1)), "server_key is no number");
    assert_eq!(
        says(Limit::new(D::BytesInRate, 1)),
        "a limit on bytes_in_rate needs a cost: how many bytes a request is"
    );
    assert_eq!(says(Limit::new(D::Gpt0, 1).cost(1)), "a request adds nothing to gpt0");
    assert_eq!(says(Limit::new(D::ConnCur, 1).cost(2)), "a request adds nothing to conn_cur");
    assert_eq!(
        says(Limit::new(D::Gpc0, 1).named("a\"b")),
        "`a\"b` has characters that no name of a limit has"
    );
    assert_eq!(
        says(Limit::new(D::Gpc0, 1).named("")),
        "`` has characters that no name of a limit has"
    );
    let count = build(|tier| tier.count(D::HttpErrCnt, 1));
    assert_eq!(count.unwrap_err().to_string(), "table mesh/t does not store http_err_cnt");
}

#[test]
fn limits_of_a_tier_agree_on_what_a_request_costs() {
    let two = |one: Limit, other: Limit| build(|tier| tier.limit(one).limit(other));
    let (rate, count) = (Limit::new(D::HttpReqRate, 9), Limit::new(D::HttpReqCnt, 9));
    assert_eq!(two(rate.clone(), count.clone()), Ok(()));
    assert_eq!(two(rate.clone().cost(2), count.clone()), Ok(()));
    assert_eq!(two(rate.clone(), count.clone().cost(2)), Ok(()));
    assert_eq!(two(rate.clone().cost(2), count.clone().cost(2)), Ok(()));
    assert_eq!(two(rate.clone().cost(2), count.clone().observed()), Ok(()));
    let differ = |data_type| Err(LimitError::CostsDiffer(data_type));
    assert_eq!(two(rate.cost(2), count.cost_by(|_| 2)), differ(D::HttpReqCnt));
    let connections = Limit::new(D::ConnCnt, 9).cost(2);
    assert_eq!(two(Limit::new(D::ConnCur, 9), connections.clone()), differ(D::ConnCnt));
    assert_eq!(two(Limit::new(D::ConnCur, 9).observed(), connections), Ok(()));
    let twice = two(Limit::new(D::Gpc0, 9), Limit::new(D::Gpc0, 8));
    assert_eq!(twice, Err(LimitError::NameTwice("mesh/t.gpc0".to_owned())));
    assert_eq!(two(Limit::new(D::Gpc0, 9), Limit::new(D::Gpc0, 8).named("other")), Ok(()));
}

#[test]
fn there_are_bounds() {
    assert_eq!(build(|tier| tier.ipv4_prefix(33)), Err(LimitError::Prefix(33)));
    assert_eq!(build(|tier| tier.ipv6_prefix(129)), Err(LimitError::Prefix(129)));
    assert_eq!(build(|tier| tier.ipv4_prefix(32).ipv6_prefix(128)), Ok(()));
    let table = table(STORED);
    let tiers = |count: usize, limit: fn(usize) -> Limit| {
        let tiers = (0..count).map(|at| Tier::of(&table).limit(limit(at)));
        tiers.fold(Limits::builder(), |limits, tier| limits.tier(tier)).build().map(drop)
    };
    let gpc0 = |at| Limit::new(D::Gpc0, 1).named(format!("{at}"));
    assert_eq!(tiers(TIERS_MAX, gpc0), Ok(()));
    assert_eq!(tiers(TIERS_MAX + 1, gpc0), Err(LimitError::TooMany(TIERS_MAX)));
    let open = |at| Limit::new(D::ConnCur, 1).named(format!("{at}"));
    assert_eq!(tiers(TRACKED_MAX, open), Ok(()));
    assert_eq!(tiers(TRACKED_MAX + 1, open), Err(LimitError::TooMany(TRACKED_MAX)));
    let many = |count| build(|tier| (0..count).fold(tier, |tier, at| tier.limit(gpc0(at))));
    assert_eq!(many(LIMITS_MAX), Ok(()));
    assert_eq!(many(LIMITS_MAX + 1), Err(LimitError::TooMany(LIMITS_MAX)));
}
