//! Sections on loopback, in one runtime: they find each other, keep each other alike, and recover.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use stktable::declare::{Declaration, Scope};
use stktable::{DataType, Key};
use stktable_integration::config::Address;
use stktable_integration::peers::driver::{RemotePeer, Section, SectionSettings, StartError};
use stktable_integration::peers::resync::ResyncState;
use stktable_integration::peers::session::Stage;
use stktable_integration::{Clock, SharedTable};
use tokio::net::TcpListener;

/// The longest that anything may take; everything ends as soon as it is there.
const LONG: Duration = Duration::from_secs(60);

/// Waits until something is true.
async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let wait = async {
        while !is_true() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    bounded(what, wait).await;
}

async fn bounded<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LONG, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {LONG:?}: {what}"),
    }
}

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
        })
        .collect();
    let settings = SectionSettings {
        name: "mesh".to_owned(),
        local_peer: name.to_owned(),
        listen: vec![own],
        remote_peers,
        tables: vec![Arc::clone(table)],
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
