//! Who may call, and what a peer may cost: each limit is met by a scripted peer over a real socket.

#[path = "support/wait.rs"]
mod wait;

use std::net::SocketAddr;
use std::sync::Arc;
use wait::{bounded, until};

use stktable::Key;
use stktable::declare::{Declaration, Scope};
use stktable_integration::config::Address;
use stktable_integration::peers::codec::integer;
use stktable_integration::peers::driver::{Listen, Names, RemotePeer, Section, SectionSettings};
use stktable_integration::peers::session::Limits;
use stktable_integration::{Clock, SharedTable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

struct Node {
    tables: Vec<Arc<SharedTable>>,
    section: Section,
    clock: Clock,
}

const TABLES: [&str; 3] = [
    "table t type integer size 1k expire 10m store gpc0",
    "table u type integer size 1k expire 10m store gpc0",
    "table v type integer size 1k expire 10m store server_key",
];

impl Node {
    async fn start(listen: impl FnOnce(&mut Listen), limits: Limits) -> Self {
        let table = |line: &&str| {
            SharedTable::new(Declaration::parse(line, Scope::Peers("mesh")).declaration.unwrap())
        };
        let tables: Vec<_> = TABLES.iter().map(table).collect();
        // Nobody answers there.
        let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let remote_peers = ["b", "c"].map(|name| RemotePeer {
            name: name.to_owned(),
            address: Address::parse(&nowhere.to_string()).unwrap(),
            tls: None,
        });
        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut listener = Listen::from(address);
        listen(&mut listener);
        let clock = Clock::start();
        let settings = SectionSettings {
            name: "mesh".to_owned(),
            local_peer: "a".to_owned(),
            listen: vec![listener],
            remote_peers: remote_peers.to_vec(),
            tables: tables.clone(),
            limits,
            names: Names::default(),
            learn: None,
            trace: std::sync::Arc::default(),
        };
        let section = Section::start(settings, clock).await.unwrap();
        Self { tables, section, clock }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.section.local_addrs()[0]).await.unwrap()
    }

    /// Returns a session under this name, and the status line.
    async fn session(&self, name: &str) -> (TcpStream, String) {
        let mut stream = self.connect().await;
        stream.write_all(format!("HAProxyS 2.1\na\n{name} 1 1\n").as_bytes()).await.unwrap();
        let mut status = [0; 4];
        bounded("status", stream.read_exact(&mut status)).await.unwrap();
        (stream, String::from_utf8(status.to_vec()).unwrap())
    }

    fn has(&self, table: usize, key: u32) -> bool {
        self.tables[table].get(&self.key(table, key), self.clock.now()).is_some()
    }

    fn key(&self, table: usize, key: u32) -> Key {
        self.tables[table].declaration().key.key(&key.to_be_bytes()).unwrap()
    }
}

/// Reads to the end, and returns what came.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is an end, too.
    let _ = bounded("end", stream.read_to_end(&mut rest)).await;
    rest
}

/// A definition of a table with integer keys and these data types.
fn define(id: u8, name: &str, data_types: &[u8]) -> Vec<u8> {
    let mut body = vec![id, u8::try_from(name.len()).unwrap()];
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(&[2, 4]);
    body.extend_from_slice(data_types);
    body.push(0);
    [vec![10, 0x82, u8::try_from(body.len()).unwrap()], body].concat()
}

/// An update of the table defined last.
fn update(id: u32, key: u32, values: &[u8]) -> Vec<u8> {
    let body = [&id.to_be_bytes(), &key.to_be_bytes(), values].concat();
    [vec![10, 0x80, u8::try_from(body.len()).unwrap()], body].concat()
}

fn encoded(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    integer::encode(number, &mut out);
    out
}

#[tokio::test]
async fn callers_come_from_the_networks_named() {
    for (networks, heard) in [
        (vec!["192.0.2.0/24"], false),
        (vec!["::1/128", "127.0.0.2/32"], false),
        (vec!["192.0.2.0/24", "127.0.0.0/8"], true),
        (vec![], true),
    ] {
        let networks: Vec<_> = networks.iter().map(|network| network.parse().unwrap()).collect();
        let node = Node::start(|listen| listen.networks = networks, Limits::default()).await;
        if heard {
            assert_eq!(node.session("b").await.1, "200\n");
        } else {
            let mut stream = node.connect().await;
            assert_eq!(rest(&mut stream).await, b"", "not a word");
            until("counted", || node.section.status().connections_refused == 1).await;
            assert_eq!(node.section.status().connections, 0);
        }
    }
}

#[tokio::test]
async fn an_ipv4_caller_on_an_ipv6_listener_is_an_ipv4_caller() {
    let networks = vec!["127.0.0.0/8".parse().unwrap()];
    let on_both = |listen: &mut Listen| {
        listen.address = "[::]:0".parse().unwrap();
        listen.networks = networks;
    };
    let node = Node::start(on_both, Limits::default()).await;
    let port = node.section.local_addrs()[0].port();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"HAProxyS 2.1\na\nb 1 1\n").await.unwrap();
    let mut status = [0; 4];
    bounded("status", stream.read_exact(&mut status)).await.unwrap();
    assert_eq!(&status, b"200\n");
}

#[tokio::test]
async fn callers_have_the_names_listed() {
    let node = Node::start(|listen| listen.peers = Some(vec!["c".into()]), Limits::default()).await;
    let (mut stream, status) = node.session("b").await;
    assert_eq!((status.as_str(), rest(&mut stream).await), ("504\n", vec![]));
    until("told", || {
        let peers = node.section.status().peers;
        peers[0].last_end.as_deref().is_some_and(|end| end.contains("does not accept this peer"))
    })
    .await;
    assert_eq!(node.session("c").await.1, "200\n");
}

#[tokio::test]
async fn sessions_are_counted() {
    let node = Node::start(|_| {}, Limits { sessions: Some(1), ..Limits::default() }).await;
    let first = node.session("b").await;
    let mut second = node.connect().await;
    assert_eq!(rest(&mut second).await, b"");
    assert_eq!(node.section.status().connections_refused, 1);
    drop(first);
    until("room", || node.section.status().connections == 0).await;
    assert_eq!(node.session("b").await.1, "200\n");
}

#[tokio::test]
async fn a_hello_does_not_take_longer_than_it_may() {
    // Far below the five seconds that are usual, so it cannot be those that end it: they would be a hundred times over.
    let node = Node::start(|_| {}, Limits { handshake_ms: 50, ..Limits::default() }).await;
    for _ in 0..4 {
        let mut stream = node.connect().await;
        stream.write_all(b"HAProxyS 2.1\n").await.unwrap();
        assert_eq!(rest(&mut stream).await, b"");
    }
    // What is said in time is heard.
    assert_eq!(node.session("b").await.1, "200\n");
}

#[tokio::test]
async fn a_message_is_not_larger_than_it_may_be() {
    for (limit, length, good) in [(300, 300_u16, true), (300, 301, false), (60 << 10, 50_000, true)]
    {
        let limits = Limits { message_bytes: limit, ..Limits::default() };
        let node = Node::start(|_| {}, limits).await;
        let (mut stream, _) = node.session("b").await;
        // Of a type that nobody knows, skipped by its length; then a definition and an update.
        let large = [vec![10, 0xf0], encoded(length.into()), vec![0; usize::from(length)]].concat();
        stream.write_all(&large).await.unwrap();
        let _ = stream.write_all(&[define(1, "/t", &[4]), update(1, 7, &[5])].concat()).await;
        if good {
            until("learned", || node.has(0, 7)).await;
        } else {
            assert!(rest(&mut stream).await.ends_with(&[1, 1]), "a size error");
            assert!(!node.has(0, 7));
        }
    }
}

#[tokio::test]
async fn a_peer_defines_as_many_tables_as_it_may() {
    let node = Node::start(|_| {}, Limits { tables: 1, ..Limits::default() }).await;
    let (mut stream, _) = node.session("b").await;
    let said = [
        // One that we do not have costs nothing.
        define(9, "/nobody", &[4]),
        define(1, "/t", &[4]),
        update(1, 1, &[5]),
        define(2, "/u", &[4]),
        update(1, 2, &[5]),
        // The first again, under another number.
        define(3, "/t", &[4]),
        update(2, 3, &[5]),
    ];
    stream.write_all(&said.concat()).await.unwrap();
    until("learned", || node.has(0, 1) && node.has(0, 3)).await;
    assert!(!node.has(1, 2));
    // Another peer has its own.
    let (mut other, _) = node.session("c").await;
    other.write_all(&[define(1, "/u", &[4]), update(1, 2, &[5])].concat()).await.unwrap();
    until("learned", || node.has(1, 2)).await;
}

#[tokio::test]
async fn a_peer_has_as_many_names_kept_as_it_may() {
    let node = Node::start(|_| {}, Limits { names: 1, ..Limits::default() }).await;
    let (mut stream, _) = node.session("b").await;
    let said = [
        // Bit 19: server_key.
        define(1, "/v", &encoded(1 << 19)),
        update(1, 1, &[3, 1, 1, b'x']),
        update(2, 2, &[3, 2, 1, b'y']),
        update(3, 3, &[1, 1]),
        update(4, 4, &[1, 2]),
    ];
    stream.write_all(&said.concat()).await.unwrap();
    until("learned", || node.has(2, 4)).await;
    let name = |key| {
        let entry = node.tables[2].get(&node.key(2, key), node.clock.now()).unwrap();
        entry.server_key().map(|name| name.to_string())
    };
    let names = [1, 2, 3, 4].map(name);
    assert_eq!(names, [Some("x".to_owned()), None, Some("x".to_owned()), None]);
}
