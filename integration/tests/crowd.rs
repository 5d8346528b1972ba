//! Sixty-four sessions on one node, three of them with peers that are slow, stuck or malicious: what these cost is a bounded queue each, and the
//! others are told everything all the same. Bytes and updates are counted, not time.

#[path = "support/wait.rs"]
mod wait;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use wait::bounded;

use stktable::DataType;
use stktable::declare::{Declaration, Scope};
use stktable_integration::config::Address;
use stktable_integration::peers::codec::BODY_MAX;
use stktable_integration::peers::driver::{Names, RemotePeer, Section, SectionSettings};
use stktable_integration::peers::session::{LearnTables, Limits, OUT_MAX};
use stktable_integration::{Clock, SharedTable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

const PEERS: u32 = 64;
/// Those that behave, from 1 on.
const GOOD: u32 = PEERS - 3;
const SLOW: u32 = GOOD + 1;
const STUCK: u32 = GOOD + 2;
const MALICIOUS: u32 = GOOD + 3;
const ENTRIES: u32 = 2_000;
/// How often every entry changes: what a stuck peer would be owed if changes were queued does not fit in the buffers of its socket.
const CHANGES: u32 = 100;

struct Node {
    table: Arc<SharedTable>,
    section: Section,
    clock: Clock,
}

impl Node {
    async fn start() -> Self {
        let line = "table t type binary len 200 size 10k expire 10m store gpc0";
        let declaration = Declaration::parse(line, Scope::Peers("mesh")).into_result().unwrap();
        let table = SharedTable::new(declaration);
        let clock = Clock::start();
        // Nobody listens there: they call.
        let nowhere = |number| RemotePeer {
            name: format!("p{number}"),
            address: Address::parse("127.0.0.1:1").unwrap(),
            tls: None,
        };
        let settings = SectionSettings {
            name: "mesh".to_owned(),
            local_peer: "a".to_owned(),
            listen: vec!["127.0.0.1:0".parse::<SocketAddr>().unwrap().into()],
            remote_peers: (1..=PEERS).map(nowhere).collect(),
            tables: vec![Arc::clone(&table)],
            limits: Limits::default(),
            names: Names::default(),
            learn: None::<LearnTables>,
            trace: std::sync::Arc::default(),
        };
        let section = Section::start(settings, clock).await.unwrap();
        Self { table, section, clock }
    }

    fn change_all(&self) {
        let now = self.clock.now();
        for number in 0..ENTRIES {
            let mut bytes = [0; 200];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            let key = self.table.declaration().key.key(&bytes).unwrap();
            let entry = self.table.get_or_create(&key, now).unwrap();
            entry.add(DataType::Gpc0, 0, 1, now);
            entry.touch(now);
        }
    }

    /// Nobody is owed more than a queue of a fixed size.
    fn check_queues(&self) {
        for peer in self.section.status().peers {
            let most = OUT_MAX + BODY_MAX as usize + 5;
            assert!(peer.queued_bytes <= most, "{}: {}", peer.name, peer.queued_bytes);
        }
    }
}

async fn call(address: SocketAddr, number: u32) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    if number == STUCK {
        // Little that the system takes in its place.
        socket.set_recv_buffer_size(4096).unwrap();
    }
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(format!("HAProxyS 2.1\na\np{number} 1 1\n").as_bytes()).await.unwrap();
    let mut status = [0; 4];
    bounded("status", stream.read_exact(&mut status)).await.unwrap();
    assert_eq!(&status, b"200\n");
    // Whoever is asked to teach has nothing to teach.
    stream.write_all(&[0, 4]).await.unwrap();
    stream
}

/// Reads whole messages until every entry has come with its last value. Returns how many updates that took.
async fn reads_all(mut stream: TcpStream) -> u64 {
    let (mut input, mut updates) = (Vec::new(), 0);
    let mut last = vec![0; ENTRIES as usize];
    let mut missing = ENTRIES;
    while missing > 0 {
        let count = bounded("updates", stream.read_buf(&mut input)).await.unwrap();
        assert!(count > 0, "closed with {missing} missing");
        stream.write_all(&[0, 4]).await.unwrap();
        let mut at = 0;
        while let Some(&[class, ty]) = input.get(at..at + 2).and_then(|head| head.first_chunk()) {
            if ty < 128 {
                if (class, ty) == (0, 0) {
                    stream.write_all(&[0, 1]).await.unwrap();
                }
                at += 2;
                continue;
            }
            // Two hundred bytes of key and little else.
            let Some(&length) = input.get(at + 2) else { break };
            let Some(body) = input.get(at + 3..at + 3 + usize::from(length)) else { break };
            assert!(length < 240);
            if ty == 0x80 {
                updates += 1;
                let key = u32::from_be_bytes(*body[4..].first_chunk().unwrap()) as usize;
                let value = u32::from(body[204]);
                assert!(value >= last[key], "it never goes back");
                missing -= u32::from(value == CHANGES && last[key] != CHANGES);
                last[key] = value;
            }
            at += 3 + usize::from(length);
        }
        input.drain(..at);
    }
    updates
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_bad_peer_costs_is_a_bounded_queue() {
    let node = Node::start().await;
    let address = node.section.local_addrs()[0];
    let mut good = JoinSet::new();
    for number in 1..=GOOD {
        let stream = call(address, number).await;
        good.spawn(reads_all(stream));
    }
    // It keeps its session, and reads nothing.
    let mut stuck = call(address, STUCK).await;
    stuck.write_all(&[0, 1]).await.unwrap();
    let (stuck_reads, mut stuck_writes) = stuck.into_split();
    let alive = tokio::spawn(async move {
        while stuck_writes.write_all(&[0, 4]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    // It reads a byte at a time.
    let mut slow = call(address, SLOW).await;
    slow.write_all(&[0, 1]).await.unwrap();
    let slow = tokio::spawn(async move {
        while slow.read_u8().await.is_ok() {
            let _ = slow.write_all(&[0, 4]).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    // It asks to be taught everything all the time, calls again and again, and sends what is malformed.
    let malicious = tokio::spawn(async move {
        let mut sent = 0_u64;
        loop {
            let mut stream = call(address, MALICIOUS).await;
            for _ in 0..50 {
                if stream.write_all(&[0, 0].repeat(500)).await.is_err() {
                    break;
                }
                sent += 1;
                tokio::task::yield_now().await;
            }
            let _ = stream.write_all(&[10, 0x80, 0xff, 0xff, 0xff, 0xff, 0xff]).await;
            if sent > 10_000 {
                return;
            }
        }
    });
    for _ in 0..CHANGES {
        node.change_all();
        node.check_queues();
        tokio::task::yield_now().await;
    }
    let mut most = 0;
    while let Some(updates) = bounded("all who behave", good.join_next()).await {
        most = most.max(updates.unwrap());
        node.check_queues();
    }
    // Nobody is sent what it does not need: an entry that changes while its peer is busy is sent once.
    assert!(most <= u64::from(ENTRIES) * u64::from(CHANGES));
    // However much its socket takes, more changes than that.
    let is_stuck = || {
        let peers = node.section.status().peers;
        peers.iter().any(|peer| peer.name == format!("p{STUCK}") && peer.queued_bytes > 0)
    };
    let more = async {
        while !is_stuck() {
            node.change_all();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    bounded("it is really stuck", more).await;
    for _ in 0..20 {
        node.change_all();
        tokio::time::sleep(Duration::from_millis(5)).await;
        node.check_queues();
    }
    let status = node.section.status();
    let of = |number| status.peers.iter().find(|peer| peer.name == format!("p{number}")).unwrap();
    let owed = of(STUCK);
    assert!(owed.unacked() > 0);
    malicious.abort();
    slow.abort();
    alive.abort();
    drop(stuck_reads);
}
