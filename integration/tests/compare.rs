//! Which keys peers lack: asked between two of us, and reckoned for all others, who never see a question.

#[path = "support/wait.rs"]
mod wait;

use std::net::SocketAddr;
use std::sync::Arc;
use wait::{bounded, until};

use bolero::check;
use stktable::declare::{Declaration, Scope};
use stktable::{DataType, Tick};
use stktable_integration::config::Address;
use stktable_integration::peers::driver::{
    Names, RemotePeer, Section, SectionSettings, TableDifference,
};
use stktable_integration::peers::session::{
    Difference, LearnTables, Limits, PeerMemory, Roster, Session,
};
use stktable_integration::{Clock, SharedTable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const TABLES: [&str; 3] = [
    "table t type integer size 300k expire 10m store gpc0",
    "table u type string len 20 size 1k expire 10m store gpc0",
    "table v type integer size 1k expire 10m store gpc0",
];

fn tables(lines: &[&str]) -> Vec<Arc<SharedTable>> {
    let declaration = |line| Declaration::parse(line, Scope::Peers("mesh")).into_result().unwrap();
    lines.iter().map(|line| SharedTable::new(declaration(line))).collect()
}

struct Node {
    tables: Vec<Arc<SharedTable>>,
    section: Section,
    clock: Clock,
}

impl Node {
    async fn start(name: &str, remote: (&str, SocketAddr), tables: Vec<Arc<SharedTable>>) -> Self {
        let clock = Clock::start();
        let remote = RemotePeer {
            name: remote.0.to_owned(),
            address: Address::parse(&remote.1.to_string()).unwrap(),
            tls: None,
        };
        let settings = SectionSettings {
            name: "mesh".to_owned(),
            local_peer: name.to_owned(),
            listen: vec!["127.0.0.1:0".parse::<SocketAddr>().unwrap().into()],
            remote_peers: vec![remote],
            tables: tables.clone(),
            limits: Limits { message_bytes: 1000, ..Limits::default() },
            names: Names::default(),
            learn: None::<LearnTables>,
            trace: std::sync::Arc::default(),
        };
        let section = Section::start(settings, clock).await.unwrap();
        Self { tables, section, clock }
    }

    /// Has these keys, which it does not tell.
    fn has(&self, table: usize, keys: std::ops::Range<u32>) {
        let (table, now) = (&self.tables[table], self.clock.now());
        for key in keys {
            let key = table.declaration().key.parse(&key.to_string()).unwrap();
            drop(table.learn(&key, None, now).unwrap());
        }
    }

    fn found(&self) -> Vec<TableDifference> {
        self.section.status().peers.remove(0).differences
    }

    /// Compares, and returns what was found.
    async fn compare(&self) -> Vec<TableDifference> {
        let before = self.section.status().peers[0].session.clone();
        self.section.compare();
        let asks = before.is_some_and(|session| session.compares);
        let count = self.tables.len();
        until("an answer", || {
            let session = self.section.status().peers.remove(0).session;
            let ended = !asks || session.is_some_and(|session| !session.comparing);
            ended && self.found().iter().filter(|found| found.age_ms < 5000).count() >= count - 1
        })
        .await;
        self.found()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_us_say_what_the_other_lacks() {
    // Nobody listens there: b calls.
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let a = Node::start("a", ("b", nowhere), tables(&TABLES)).await;
    // The third table has other keys there.
    let theirs = tables(&[TABLES[0], TABLES[1], "table v type ip size 1k expire 10m store gpc0"]);
    let b = Node::start("b", ("a", a.section.local_addrs()[0]), theirs).await;
    until("both are taught", || {
        let is_up = |node: &Node| {
            let session = node.section.status().peers.remove(0).session;
            session.is_some_and(|session| session.compares && session.counters.lessons_taught > 0)
        };
        is_up(&a) && is_up(&b)
    })
    .await;
    a.has(0, 0..20_312);
    b.has(0, 312..20_317);
    a.has(1, 0..7);
    let expect = |lacks, exceeds| Difference { lacks, exceeds, is_exact: true };
    let found = a.compare().await;
    assert_eq!(found.len(), 2, "the third cannot be compared: {found:?}");
    assert_eq!((found[0].table.as_str(), found[0].is_asked), ("mesh/t", true));
    assert_eq!((found[0].difference, found[1].difference), (expect(312, 5), expect(7, 0)));
    let found = b.compare().await;
    assert_eq!((found[0].difference, found[1].difference), (expect(5, 312), expect(0, 7)));
    // Too many to be listed.
    a.has(0, 100_000..200_000);
    a.section.compare();
    until("an estimate", || a.found().iter().any(|found| !found.difference.is_exact)).await;
    let found = a.found().remove(0).difference;
    assert!((70_000..130_000).contains(&found.lacks), "{found:?}");
    assert!(a.section.status().peers[0].session.is_some(), "the session goes on");
}

#[tokio::test]
async fn who_does_not_say_so_is_not_asked_and_is_reckoned() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let a = Node::start("a", ("b", listener.local_addr().unwrap()), tables(&TABLES[..1])).await;
    let (mut stream, _) = bounded("a call", listener.accept()).await.unwrap();
    let mut hello = Vec::new();
    while hello.iter().filter(|byte| **byte == b'\n').count() < 3 {
        hello.push(bounded("hello", stream.read_u8()).await.unwrap());
    }
    // HAProxy cuts the third line at its first space.
    let hello = String::from_utf8(hello).unwrap();
    assert!(hello.starts_with("HAProxyS 2.1\nb\na "), "{hello}");
    stream.write_all(b"200\n\0\x04").await.unwrap();
    until("up", || a.section.status().peers[0].session.is_some()).await;
    let now = a.clock.now();
    for key in 0_u32..500 {
        let key = a.tables[0].declaration().key.parse(&key.to_string()).unwrap();
        let entry = a.tables[0].get_or_create(&key, now).unwrap();
        entry.add(DataType::Gpc0, 0, 1, now);
        entry.touch(now);
        // Twice: it is one entry.
        entry.touch(now);
    }
    // The stream is a row of whole messages, of which none is in a class that HAProxy does not know.
    let mut seen = Vec::new();
    let (mut at, mut updates, mut last) = (0, 0, 0);
    a.section.compare();
    while updates < 500 {
        let mut more = [0; 4096];
        let count = bounded("updates", stream.read(&mut more)).await.unwrap();
        assert!(count > 0);
        seen.extend_from_slice(&more[..count]);
        while let Some(&[class, ty]) = seen.get(at..at + 2).and_then(|it| it.first_chunk()) {
            let length = seen.get(at + 2).copied().unwrap_or(0);
            assert!(matches!(class, 0 | 10), "class {class}");
            let size = if ty < 128 { 2 } else { 3 + usize::from(length) };
            let Some(message) = seen.get(at..at + size) else { break };
            if (class, ty) == (0, 0) {
                // It has taught everything.
                stream.write_all(&[0, 1]).await.unwrap();
            }
            if ty == 0x80 {
                updates += 1;
                last = u32::from_be_bytes(*message[3..].first_chunk().unwrap());
                if updates == 100 {
                    // It has so many.
                    let ack = [&[10, 0x84, 5, 1][..], &last.to_be_bytes()].concat();
                    stream.write_all(&ack).await.unwrap();
                }
            }
            at += size;
        }
    }
    assert!(last > 0);
    until("acknowledged", || a.section.status().peers[0].lag[0].unacked < 500).await;
    until("counted anew", || {
        a.section.compare();
        a.found().iter().any(|found| found.difference.lacks == 400)
    })
    .await;
    let found = a.found().remove(0);
    assert!(!found.is_asked, "{found:?}");
}

/// Whatever a peer says in these messages, nothing panics, and what it is owed is bounded.
#[test]
fn nothing_that_a_peer_says_of_a_comparison_does_harm() {
    check!().with_iterations(1000).with_type::<(Vec<(u8, Vec<u8>)>, bool)>().for_each(
        |(messages, ask)| {
            let (tables, now) = (tables(&TABLES[..2]), Tick(1000));
            let key = tables[0].declaration().key.parse("7").unwrap();
            drop(tables[0].learn(&key, None, now).unwrap());
            let roster = Roster::new("mesh", "a", &["b"], tables).unwrap();
            let memory = PeerMemory::new(&roster, b"b");
            let mut session = Session::caller(now, Arc::clone(&roster), memory, 1);
            let mut out = Vec::new();
            session.handle_input(now, b"200\n\x53\x01").unwrap();
            if *ask {
                session.compare();
                assert!(session.status().comparing);
            }
            for (ty, body) in messages {
                let mut message = vec![0x53, 0x80 | (ty % 4)];
                message.push(u8::try_from(body.len()).unwrap());
                message.extend_from_slice(body);
                if session.handle_input(now, &message).is_err() {
                    break;
                }
                out.clear();
                let mut sent = 0;
                while session.poll_transmit(now, &mut out) {
                    sent += out.len();
                    out.clear();
                    assert!(sent < 300_000, "one answer to one question");
                }
            }
        },
    );
}
