//! Networks of several sizes, each with a table of its own; and those that are always let in.

use stktable::DataType as D;
use stktable_integration::limit::{Limit, Limits, Tier};

use crate::support::*;

const LINE: &str = "type ipv6 size 100 expire 1m store http_req_rate(10s)";

#[test]
fn hosts_sites_and_networks_have_limits_of_their_own() {
    let time = Time::new();
    let [hosts, sites] = ["hosts", "sites"].map(|name| table(&format!("table {name} {LINE}")));
    let limits =
        Limits::builder().tier(Tier::of(&hosts).limit(Limit::new(D::HttpReqRate, 3))).tier(
            Tier::of(&sites).ipv4_prefix(24).ipv6_prefix(48).limit(Limit::new(D::HttpReqRate, 8)),
        );
    let limiter = limiter(limits, &time);
    // One host of IPv6 has a /64.
    let hosts_of = |site: u8, subnet: u8| {
        (0..5)
            .filter(|host| is_let_in(&limiter, from(&format!("2001:db8:{site}:{subnet}::{host}"))))
            .count()
    };
    assert_eq!(hosts_of(1, 1), 3);
    assert_eq!(
        hosts_of(1, 2),
        3,
        "10 of its site were counted by then, of which the last ones were refused anyhow"
    );
    assert_eq!(hosts_of(1, 3), 0, "the site has had its share");
    assert_eq!(hosts_of(2, 1), 3);
    let answer = send(&limiter, from("2001:db8:1:4::1"));
    assert!(String::from_utf8_lossy(&answer.body).contains("mesh/sites.http_req_rate"));
    // The same in IPv4, however it is written.
    let sent =
        (0..6).map(|host| format!("{}192.0.2.{host}", if host % 2 == 0 { "::ffff:" } else { "" }));
    assert!(sent.clone().all(|address| is_let_in(&limiter, from(&address))));
    assert_eq!(stands(&sites, "192.0.2.0", D::HttpReqRate, time.now()), 6);
    assert_eq!(stands(&hosts, "192.0.2.4", D::HttpReqRate, time.now()), 1);
    assert_eq!(let_in(&limiter, 3, || from("192.0.2.100")), 2, "8 of the network");
    assert!(is_let_in(&limiter, from("192.0.3.1")));
}

#[test]
fn prefixes_are_as_they_are_set() {
    let time = Time::new();
    let table = table(&format!("table t {LINE}"));
    let tier = || Tier::of(&table).limit(Limit::new(D::HttpReqRate, 1));
    let limiter = limiter(Limits::builder().tier(tier()), &time);
    let pair = |tier: Tier, one: &str, other: &str| {
        time.pass(60_000);
        limiter.set_limits(Limits::builder().tier(tier).build().unwrap());
        [is_let_in(&limiter, from(one)), is_let_in(&limiter, from(other))]
    };
    let (near, far) = ("2001:db8::1", "2001:db8::2");
    assert_eq!(pair(tier(), near, far), [true, false], "/64");
    assert_eq!(pair(tier().ipv6_prefix(128), near, far), [true, true]);
    assert_eq!(pair(tier().ipv6_prefix(24), near, "2001:dff::"), [true, false]);
    assert_eq!(pair(tier().ipv6_prefix(24), near, "2001:e00::"), [true, true]);
    assert_eq!(pair(tier().ipv4_only(), near, near), [true, true], "passed by");
    assert_eq!(pair(tier().ipv6_only(), "192.0.2.1", "192.0.2.1"), [true, true]);
    assert_eq!(pair(tier().ipv6_prefix(0), "::1", "ff00::"), [true, false]);
    assert_eq!(pair(tier(), "192.0.2.1", "192.0.2.2"), [true, true]);
    assert_eq!(pair(tier().ipv4_prefix(31), "192.0.2.2", "::ffff:192.0.2.3"), [true, false]);
}

#[test]
fn networks_that_are_let_in_are_not_counted() {
    let time = Time::new();
    let table = table(&format!("table t {LINE}"));
    let limits = Limits::builder()
        .tier(Tier::of(&table).limit(Limit::new(D::HttpReqRate, 1)))
        .allow("10.0.0.0/8".parse().unwrap())
        .allow("::ffff:198.51.100.0/120".parse().unwrap())
        .allow("2001:db8::/32".parse().unwrap());
    let limiter = limiter(limits, &time);
    for address in ["10.1.2.3", "::ffff:10.1.2.3", "198.51.100.9", "2001:db8::9"] {
        assert_eq!(let_in(&limiter, 5, || from(address)), 5, "{address}");
    }
    assert_eq!((table.used(), limiter.statistics().allowed), (0, 20));
    for address in ["11.1.2.3", "2001:db9::9", "198.51.101.1"] {
        assert_eq!(let_in(&limiter, 5, || from(address)), 1, "{address}");
    }
}
