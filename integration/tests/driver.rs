//! Sections on loopback, in one runtime: they find each other, keep each other alike, and recover.

#[path = "support/wait.rs"]
mod wait;

use std::net::SocketAddr;
use std::sync::Arc;
use wait::{bounded, until};

use stktable::declare::{Declaration, Scope};
use stktable::{DataType, Key};
use stktable_integration::config::Address;
use stktable_integration::peers::driver::{
    Names, RemotePeer, Section, SectionSettings, StartError,
};
use stktable_integration::peers::resync::ResyncState;
use stktable_integration::peers::session::{Limits, Stage};
use stktable_integration::{Clock, SharedTable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The longest that anything may take; everything ends as soon as it is there.
const TABLE: &str = "table t type integer size 100k expire 10m store gpc0,http_req_rate(10s)";

fn table() -> Arc<SharedTable> {
    let declaration = Declaration::parse(TABLE, Scope::Peers("mesh")).declaration.unwrap();
    SharedTable::new(declaration)
}

struct Node {
    table: Arc<SharedTable>,
    section: Section,
}

impl Node {
    async fn start(
        name: &str,
        clock: Clock,
        own: SocketAddr,
        others: &[(&str, SocketAddr)],
    ) -> Self {
        let table = table();
        let section = section(name, clock, own, others, &table).await.unwrap();
        Self { table, section }
    }

    fn live(&self) -> Vec<bool> {
        let status = self.section.status();
        let is_up = |session: &stktable_integration::peers::session::SessionStatus| {
            session.stage == Stage::Up
        };
        status.peers.iter().map(|peer| peer.session.as_ref().is_some_and(is_up)).collect()
    }

    fn is_connected(&self) -> bool {
        self.live().iter().all(|live| *live)
    }

    /// All entries, as `(key, gpc0)`.
    fn entries(&self, clock: Clock) -> Vec<(String, i64)> {
        let now = clock.now();
        let mut entries: Vec<_> = self
            .table
            .entries(now)
            .map(|entry| (entry.key().to_string(), entry.read(DataType::Gpc0, 0, now).unwrap()))
            .collect();
        entries.sort();
        entries
    }

    fn count(&self, clock: Clock, keys: std::ops::Range<u32>, n: u64) {
        for at in keys {
            let now = clock.now();
            let entry = self.table.get_or_create(&key(&self.table, at), now).unwrap();
            entry.add(DataType::Gpc0, 0, n, now);
            entry.touch(now);
        }
    }
}

fn key(table: &SharedTable, at: u32) -> Key {
    table.declaration().key.key(&at.to_be_bytes()).unwrap()
}

async fn section(
    name: &str,
    clock: Clock,
    own: SocketAddr,
    others: &[(&str, SocketAddr)],
    table: &Arc<SharedTable>,
) -> Result<Section, StartError> {
    let remote_peers = others
        .iter()
        .map(|(name, address)| RemotePeer {
            name: (*name).to_owned(),
            address: Address::parse(&address.to_string()).unwrap(),
            tls: None,
        })
        .collect();
    let settings = SectionSettings {
        name: "mesh".to_owned(),
        local_peer: name.to_owned(),
        listen: vec![own.into()],
        remote_peers,
        tables: vec![Arc::clone(table)],
        limits: Limits::default(),
        names: Names::default(),
        learn: None,
        trace: std::sync::Arc::default(),
    };
    Section::start(settings, clock).await
}

/// Returns addresses that were free a moment ago: both ends must know them before either is there.
async fn addresses<const N: usize>() -> [SocketAddr; N] {
    let mut held = Vec::new();
    let mut found = Vec::new();
    for _ in 0..N {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        found.push(listener.local_addr().unwrap());
        held.push(listener);
    }
    found.try_into().unwrap()
}

async fn converge(nodes: &[&Node], clock: Clock, entries: usize) {
    let expected = || nodes[0].entries(clock);
    until("equal tables", || {
        let expected = expected();
        expected.len() == entries && nodes.iter().all(|node| node.entries(clock) == expected)
    })
    .await;
}

#[tokio::test]
async fn two_sections_converge_both_ways() {
    let clock = Clock::start();
    let [at_a, at_b] = addresses().await;
    let a = Node::start("a", clock, at_a, &[("b", at_b)]).await;
    let b = Node::start("b", clock, at_b, &[("a", at_a)]).await;
    a.count(clock, 0..1000, 3);
    b.count(clock, 1000..2000, 4);
    bounded("resync", async { tokio::join!(a.section.synced(), b.section.synced()) }).await;
    converge(&[&a, &b], clock, 2000).await;
    // Asleep by now, both: a change wakes them.
    a.count(clock, 5..6, 10);
    b.count(clock, 3000..3001, 1);
    converge(&[&a, &b], clock, 2001).await;
    assert!(a.entries(clock).contains(&("5".to_owned(), 13)));
    assert_eq!(a.section.status().resync, ResyncState::Finished);
    bounded("stop", a.section.stop()).await;
    until("b sees a go", || !b.is_connected()).await;
    bounded("stop", b.section.stop()).await;
}

/// What every peer has acknowledged takes no place in the update order any more; what one of them lacks does.
#[tokio::test]
async fn what_every_peer_has_is_trimmed() {
    let clock = Clock::start();
    let [at_a, at_b, nobody] = addresses().await;
    let a = Node::start("a", clock, at_a, &[("b", at_b)]).await;
    let b = Node::start("b", clock, at_b, &[("a", at_a)]).await;
    bounded("resync", async { tokio::join!(a.section.synced(), b.section.synced()) }).await;
    for round in 1..4 {
        a.count(clock, 0..5_000, round);
        converge(&[&a, &b], clock, 5_000).await;
        until("the order is trimmed", || a.table.last_update() == 0).await;
    }
    // Changed, sent, and not yet forgotten: what a peer that is not there has not acknowledged.
    let address = Address::parse(&nobody.to_string()).unwrap();
    let absent = RemotePeer { name: "c".to_owned(), address, tls: None };
    a.section.add_peer(absent).unwrap();
    a.count(clock, 7..9, 1);
    converge(&[&a, &b], clock, 5_000).await;
    let lag = |name: &str| {
        let status = a.section.status();
        status.peers.iter().find(|peer| peer.name == name).unwrap().unacked()
    };
    until("b has acknowledged", || lag("b") == 0).await;
    assert!(a.table.last_update() > 0 && lag("c") > 0);
    assert!(a.section.remove_peer("c"));
    a.count(clock, 7..8, 1);
    until("nobody lacks anything", || a.table.last_update() == 0).await;
    bounded("stop", async { tokio::join!(a.section.stop(), b.section.stop()) }).await;
}

/// With nobody to tell, the order does not grow either.
#[tokio::test]
async fn without_peers_nothing_is_kept_for_them() {
    let clock = Clock::start();
    let [at_a] = addresses().await;
    let a = Node::start("a", clock, at_a, &[]).await;
    a.count(clock, 0..100, 1);
    until("the order is trimmed", || a.table.last_update() == 0).await;
    bounded("stop", a.section.stop()).await;
}

/// Every node has one session with every other, and no other connection.
fn is_meshed(nodes: &[&Node]) -> bool {
    nodes
        .iter()
        .all(|node| node.is_connected() && node.section.status().connections == nodes.len() - 1)
}

#[tokio::test]
async fn both_call_at_once_and_one_session_is_left() {
    for names in [["a", "b"], ["b", "a"]] {
        let clock = Clock::start();
        let [first, second] = addresses().await;
        let a = Node::start(names[0], clock, first, &[(names[1], second)]).await;
        let b = Node::start(names[1], clock, second, &[(names[0], first)]).await;
        until("one session", || is_meshed(&[&a, &b])).await;
        a.count(clock, 0..10, 1);
        converge(&[&a, &b], clock, 10).await;
        assert!(is_meshed(&[&a, &b]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_converge_and_one_that_is_killed_learns_again() {
    let clock = Clock::start();
    let [at_a, at_b, at_c] = addresses().await;
    let a = Node::start("a", clock, at_a, &[("b", at_b), ("c", at_c)]).await;
    let b = Node::start("b", clock, at_b, &[("a", at_a), ("c", at_c)]).await;
    let c = Node::start("c", clock, at_c, &[("a", at_a), ("b", at_b)]).await;
    until("all connected", || is_meshed(&[&a, &b, &c])).await;
    a.count(clock, 0..2000, 1);
    b.count(clock, 2000..4000, 2);
    c.count(clock, 4000..6000, 3);
    converge(&[&a, &b, &c], clock, 6000).await;
    bounded("resync", a.section.synced()).await;
    bounded("resync", b.section.synced()).await;

    // Dropped, not stopped: its connections just end.
    drop(c);
    until("c is gone", || !a.is_connected() && !b.is_connected()).await;
    a.count(clock, 100..200, 7);
    let c = Node::start("c", clock, at_c, &[("a", at_a), ("b", at_b)]).await;
    bounded("resync", c.section.synced()).await;
    converge(&[&a, &b, &c], clock, 6000).await;
    until("all connected", || is_meshed(&[&a, &b, &c])).await;
    // It was taught, what it had itself counted included.
    assert!(c.entries(clock).contains(&("5000".to_owned(), 3)));
    assert!(c.entries(clock).contains(&("150".to_owned(), 8)));
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let clock = Clock::start();
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = holder.local_addr().unwrap();
    let error = section("a", clock, address, &[], &table()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("mesh") && text.contains(&address.to_string()), "{text}");
    let free = "127.0.0.1:0".parse().unwrap();
    let error = section("a b", clock, free, &[], &table()).await.unwrap_err();
    assert!(error.to_string().contains("\"a b\""), "{error}");
}

#[tokio::test]
async fn strangers_are_refused_and_kept_few() {
    let clock = Clock::start();
    let free = "127.0.0.1:0".parse().unwrap();
    // Nobody is called: nobody answers there.
    let [nowhere] = addresses().await;
    let a = Node::start("a", clock, free, &[("b", nowhere)]).await;
    let address = a.section.local_addrs()[0];
    let mut stranger = TcpStream::connect(address).await.unwrap();
    stranger.write_all(b"HAProxyS 2.1\na\nwho 1 1\n").await.unwrap();
    let mut answer = Vec::new();
    bounded("answer", stranger.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, b"504\n");

    // Three for each peer and itself; the next is closed without a word.
    until("no connection", || a.section.status().connections == 0).await;
    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    until("six connections", || a.section.status().connections == 6).await;
    let mut seventh = TcpStream::connect(address).await.unwrap();
    let mut answer = Vec::new();
    // A reset is as good as an end.
    let _ = bounded("end", seventh.read_to_end(&mut answer)).await;
    assert_eq!(answer, b"");
    assert_eq!(a.section.status().connections_refused, 1);
    drop(silent);
    until("room again", || a.section.status().connections == 0).await;
}

#[tokio::test]
async fn a_malformed_message_is_answered_before_the_end() {
    let clock = Clock::start();
    let [nowhere] = addresses().await;
    let a = Node::start("a", clock, "127.0.0.1:0".parse().unwrap(), &[("b", nowhere)]).await;
    let mut peer = TcpStream::connect(a.section.local_addrs()[0]).await.unwrap();
    // With more behind it, which is never read.
    let wrong = [b"HAProxyS 2.1\na\nb 1 1\n\xff\x00".to_vec(), vec![0; 10_000]].concat();
    peer.write_all(&wrong).await.unwrap();
    let mut answer = Vec::new();
    bounded("answer", peer.read_to_end(&mut answer)).await.unwrap();
    // It asks to be taught as soon as the session is up, if it comes to that.
    assert!(answer.starts_with(b"200\n") && answer.ends_with(&[1, 0]), "{answer:?}");
    until("counted", || a.section.status().peers[0].protocol_errors == 1).await;
}
