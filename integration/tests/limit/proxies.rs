//! Nobody becomes somebody else by what they send.

use std::net::IpAddr;

use http::Request;
use stktable_integration::limit::{Client, Head, PeerAddr, PeerAddrLayer};
use tower::{Layer as _, Service as _, service_fn};

use crate::support::*;

const PROXIES: [&str; 2] = ["10.0.0.0/8", "fd00::/8"];

fn forwarded() -> Client {
    Client::forwarded(PROXIES.map(|network| network.parse().unwrap()))
}

fn x_forwarded_for() -> Client {
    Client::x_forwarded_for(PROXIES.map(|network| network.parse().unwrap()))
}

/// Who it is that is connected from `peer` and sends these lines.
fn client(client: &Client, peer: &str, name: &'static str, lines: &[&str]) -> String {
    let fields: Vec<_> = lines.iter().map(|line| (name, *line)).collect();
    let request = with(from(peer), &fields);
    client.address(&Head::of(&request)).map_or("nobody".to_owned(), |address| address.to_string())
}

#[test]
fn only_trusted_proxies_are_believed() {
    let who =
        |peer: &str, lines: &[&str]| client(&x_forwarded_for(), peer, "x-forwarded-for", lines);
    assert_eq!(who("192.0.2.7", &["10.0.0.1"]), "192.0.2.7", "no proxy");
    assert_eq!(who("10.0.0.1", &["192.0.2.7"]), "192.0.2.7");
    assert_eq!(who("10.0.0.1", &["127.0.0.1, 192.0.2.7"]), "192.0.2.7", "what it sent itself");
    assert_eq!(who("10.0.0.1", &["127.0.0.1, 192.0.2.7, 10.0.0.2, 10.0.0.3"]), "192.0.2.7");
    assert_eq!(who("10.0.0.1", &["10.0.0.9, 192.0.2.7"]), "192.0.2.7", "though it names a proxy");
    assert_eq!(who("10.0.0.1", &["10.0.0.9"]), "10.0.0.9", "the proxies' own");
    assert_eq!(who("10.0.0.1", &[]), "10.0.0.1");
    assert_eq!(who("::ffff:10.0.0.1", &["::ffff:192.0.2.7"]), "192.0.2.7", "IPv4 in IPv6");
    assert_eq!(who("fd00::1", &["2001:db8::7"]), "2001:db8::7");
    assert_eq!(who("fd00::1", &["[2001:db8::7]:4711"]), "2001:db8::7");
    assert_eq!(client(&Client::peer(), "10.0.0.1", "x-forwarded-for", &["192.0.2.7"]), "10.0.0.1");
    assert_eq!(client(&x_forwarded_for(), "10.0.0.1", "forwarded", &["for=192.0.2.7"]), "10.0.0.1");
}

#[test]
fn lines_are_one_list() {
    let who = |lines: &[&str]| client(&x_forwarded_for(), "10.0.0.1", "x-forwarded-for", lines);
    assert_eq!(who(&["127.0.0.1", "192.0.2.7"]), "192.0.2.7");
    assert_eq!(who(&["192.0.2.7", "10.0.0.2"]), "192.0.2.7");
    assert_eq!(who(&["127.0.0.1, 192.0.2.7", "10.0.0.2, 10.0.0.3"]), "192.0.2.7");
    assert_eq!(who(&["192.0.2.7", ""]), "192.0.2.7", "an empty line");
    assert_eq!(who(&["192.0.2.7,,", " , 10.0.0.2"]), "192.0.2.7");
    let who = |lines: &[&str]| client(&forwarded(), "10.0.0.1", "forwarded", lines);
    assert_eq!(who(&["for=127.0.0.1", "for=192.0.2.7"]), "192.0.2.7");
    // A string that the client does not end hides nothing that a proxy wrote, in its own line or behind.
    assert_eq!(who(&["for=\"127.0.0.1", "for=192.0.2.7"]), "192.0.2.7");
    assert_eq!(who(&["for=\"127.0.0.1, for=192.0.2.7"]), "192.0.2.7");
    assert_eq!(who(&["for=\"127.0.0.1, for=192.0.2.7;by=\"_x\", for=10.0.0.3"]), "192.0.2.7");
}

#[test]
fn where_a_hop_cannot_be_read_the_one_before_it_stands() {
    let who = |lines: &[&str]| client(&forwarded(), "10.0.0.1", "forwarded", lines);
    for broken in
        ["unknown", "_hidden", "nonsense", "\"[2001:db8::7\"", "192.0.2.300", "\"192.0.2.7", "\"\""]
    {
        let element = format!("for={broken}");
        assert_eq!(who(&[&element]), "10.0.0.1", "{broken}");
        assert_eq!(
            who(&[&format!("for=127.0.0.1, {element}, for=10.0.0.2")]),
            "10.0.0.2",
            "{broken}"
        );
    }
    assert_eq!(who(&["for=127.0.0.1, proto=https, for=10.0.0.2"]), "10.0.0.2", "no `for`");
    assert_eq!(who(&["for=127.0.0.1, for=192.0.2.7;for=192.0.2.8"]), "10.0.0.1", "two of them");
    let who = |lines: &[&str]| client(&x_forwarded_for(), "10.0.0.1", "x-forwarded-for", lines);
    assert_eq!(who(&["127.0.0.1, unknown, 10.0.0.2"]), "10.0.0.2");
    assert_eq!(who(&["127.0.0.1, \"192.0.2.7\", 10.0.0.2"]), "10.0.0.2");
}

#[test]
fn forwarded_is_read_as_it_is_specified() {
    let who = |text: &str| client(&forwarded(), "10.0.0.1", "forwarded", &[text]);
    assert_eq!(who("for=192.0.2.43, for=10.0.0.2"), "192.0.2.43");
    assert_eq!(who("For=\"[2001:db8:cafe::17]:4711\""), "2001:db8:cafe::17");
    assert_eq!(who("for=192.0.2.60;proto=http;by=203.0.113.43"), "192.0.2.60");
    assert_eq!(
        who("by=203.0.113.43; FOR=\"192.0.2.60:_port\" ;host=\"a,b;for=127.0.0.1\""),
        "192.0.2.60"
    );
    assert_eq!(who("for=\"[::ffff:192.0.2.7]\""), "192.0.2.7");
    assert_eq!(
        who("for=127.0.0.1, for=192.0.2.7;ext=\"\\\"\\\\\", for=\"[fd00::2]\""),
        "192.0.2.7"
    );
}

#[test]
fn the_address_of_the_connection_is_brought_by_whom_it_may() {
    let client = Client::peer();
    assert_eq!(client.address(&Head::of(&Request::new(()))), None);
    let seen = service_fn(async |request: Request<()>| {
        Ok::<_, ()>(request.extensions().get::<PeerAddr>().copied())
    });
    let address = "192.0.2.7:1".parse().unwrap();
    let mut service = PeerAddrLayer(address).layer(seen);
    assert_eq!(now_or_never(service.call(Request::new(()))), Ok(Some(PeerAddr(address))));
    // As frameworks do, in an extension of their own.
    #[derive(Clone)]
    struct Connected(std::net::Ipv4Addr);
    let ip = std::net::Ipv4Addr::new(192, 0, 2, 8);
    let mut request = Request::new(());
    request.extensions_mut().insert(Connected(ip));
    let client = Client::peer().from_extension(|connected: &Connected| IpAddr::V4(connected.0));
    assert_eq!(client.address(&Head::of(&request)), Some(ip.into()));
    let client = Client::peer().from_extension(|_: &Connected| None);
    assert_eq!(client.address(&Head::of(&request)), None);
}
