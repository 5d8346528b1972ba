//! Tables that are created as peers define them: scripted peers over real sockets, and a real HAProxy.
//!
//! The latter needs `haproxy` in the path. Where there is none the test says so and checks nothing, unless
//! `STKTABLED_REQUIRE_HAPROXY` is set: then it fails.

#[path = "tls/process.rs"]
mod process;
#[path = "support/wait.rs"]
mod wait;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use wait::{bounded, until};

use process::{Running, free_port, is_missing};
use stktable::declare::{Declaration, Scope};
use stktable::{DataType, KeyType};
use stktable_integration::config::Address;
use stktable_integration::peers::codec::integer;
use stktable_integration::peers::driver::{Names, RemotePeer, Section, SectionSettings};
use stktable_integration::peers::session::{LearnTables, Limits};
use stktable_integration::shared::TableSet;
use stktable_integration::{Clock, SharedTable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

struct Node {
    set: Arc<TableSet>,
    section: Section,
    clock: Clock,
}

impl Node {
    /// Has the table `mesh/t`, and a table `web` that is shared with nobody.
    async fn start(tables: usize, limits: Limits) -> Self {
        let parse =
            |line, scope| SharedTable::new(Declaration::parse(line, scope).declaration.unwrap());
        let own = parse("table t type integer size 1k store gpc0", Scope::Peers("mesh"));
        let web = parse("stick-table type ip size 1k store gpc0", Scope::Proxy("web"));
        let set = TableSet::new(vec![Arc::clone(&own), web]);
        // Nobody answers there.
        let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let remote_peers = ["b", "c"].map(|name| RemotePeer {
            name: name.to_owned(),
            address: Address::parse(&nowhere.to_string()).unwrap(),
            tls: None,
        });
        let clock = Clock::start();
        let settings = SectionSettings {
            name: "mesh".to_owned(),
            local_peer: "a".to_owned(),
            listen: vec!["127.0.0.1:0".parse::<SocketAddr>().unwrap().into()],
            remote_peers: remote_peers.to_vec(),
            tables: vec![own],
            limits,
            names: Names::default(),
            learn: Some(LearnTables { tables, size: 77, into: Arc::clone(&set) }),
            trace: std::sync::Arc::default(),
        };
        let section = Section::start(settings, clock).await.unwrap();
        Self { set, section, clock }
    }

    async fn called_by(&self, name: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.section.local_addrs()[0]).await.unwrap();
        stream.write_all(format!("HAProxyS 2.1\na\n{name} 1 1\n").as_bytes()).await.unwrap();
        let mut status = [0; 4];
        bounded("status", stream.read_exact(&mut status)).await.unwrap();
        assert_eq!(&status, b"200\n");
        stream
    }

    fn has(&self, table: &str, key: u32) -> bool {
        let Some(table) = self.set.find(table) else { return false };
        let key = table.declaration().key.key(&key.to_be_bytes()).unwrap();
        table.get(&key, self.clock.now()).is_some()
    }

    fn names(&self) -> Vec<String> {
        self.set.all().iter().map(|table| table.declaration().local_name()).collect()
    }
}

/// A definition of a table with integer keys: data types as bits, expire, parameters.
fn define(id: u8, name: &str, numbers: &[u64]) -> Vec<u8> {
    let mut body = vec![id, u8::try_from(name.len()).unwrap()];
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(&[2, 4]);
    numbers.iter().for_each(|number| integer::encode(*number, &mut body));
    [vec![10, 0x82, u8::try_from(body.len()).unwrap()], body].concat()
}

fn update(id: u32, key: u32, values: &[u8]) -> Vec<u8> {
    let body = [&id.to_be_bytes(), &key.to_be_bytes(), values].concat();
    [vec![10, 0x80, u8::try_from(body.len()).unwrap()], body].concat()
}

const GPC0: u64 = 1 << 2;

/// Reads until these bytes have come.
async fn expect(stream: &mut TcpStream, what: &str, wanted: &[u8]) {
    let mut seen = Vec::new();
    while !seen.windows(wanted.len()).any(|window| window == wanted) {
        let byte = bounded(what, stream.read_u8()).await;
        seen.push(byte.unwrap_or_else(|error| panic!("{what}: {error} after {seen:?}")));
    }
}

#[tokio::test]
async fn a_table_is_created_as_it_is_defined() {
    let node = Node::start(3, Limits::default()).await;
    let mut b = node.called_by("b").await;
    let mut c = node.called_by("c").await;
    // conn_cnt, conn_rate(10s), gpt(2), gpc_rate(3,1m); an hour.
    let bits = 1 << 4 | 1 << 5 | 1 << 22 | 1 << 24;
    let said = [
        define(1, "/new", &[bits, 3_600_000, 5, 10_000, 22, 2, 24, 3, 60_000]),
        update(1, 7, &[5, 0, 1, 2, 8, 9, 0, 1, 2, 0, 3, 4, 0, 5, 6]),
        // Of a proxy.
        define(2, "front", &[GPC0, 0]),
        update(1, 8, &[6]),
    ];
    b.write_all(&said.concat()).await.unwrap();
    until("learned", || node.has("mesh/new", 7) && node.has("front", 8)).await;
    let table = node.set.find("mesh/new").unwrap();
    let declaration = table.declaration();
    assert_eq!(
        (declaration.size, declaration.expire_ms),
        (77, 3_600_000),
        "its size is ours to say"
    );
    assert_eq!(declaration.key.ty(), KeyType::Integer);
    let columns: Vec<_> = declaration
        .columns
        .iter()
        .map(|column| (column.data_type, column.elements, column.period_ms))
        .collect();
    assert_eq!(
        columns,
        [
            (DataType::ConnCnt, 1, 0),
            (DataType::ConnRate, 1, 10_000),
            (DataType::Gpt, 2, 0),
            (DataType::GpcRate, 3, 60_000),
        ]
    );
    assert_eq!(declaration.wire_name(), "/new");
    let front = node.set.find("front").unwrap();
    assert_eq!(
        (front.declaration().wire_name().as_str(), front.declaration().peers.as_deref()),
        ("front", Some("mesh"))
    );
    let key = table.declaration().key.key(&7_u32.to_be_bytes()).unwrap();
    let now = node.clock.now();
    assert_eq!(table.get(&key, now).unwrap().read(DataType::Gpt, 1, now), Some(9));

    // It is a table like any other: what changes here goes to the others, those that were there before it too.
    for peer in [&mut b, &mut c] {
        peer.write_all(&[0, 1]).await.unwrap();
    }
    let now = node.clock.now();
    let key = front.declaration().key.key(&9_u32.to_be_bytes()).unwrap();
    let entry = front.get_or_create(&key, now).unwrap();
    entry.add(DataType::Gpc0, 0, 3, now);
    entry.touch(now);
    drop(entry);
    for peer in [&mut b, &mut c] {
        expect(peer, "the change", &[0, 0, 0, 9, 3]).await;
    }
    // And a peer that asks is taught it.
    c.write_all(&[0, 0]).await.unwrap();
    expect(&mut c, "the lesson", b"\x04/new").await;
}

#[tokio::test]
async fn what_was_learned_expires() {
    let node = Node::start(1, Limits::default()).await;
    let mut b = node.called_by("b").await;
    b.write_all(&[define(1, "/new", &[GPC0, 100]), update(1, 7, &[5])].concat()).await.unwrap();
    until("created", || node.set.find("mesh/new").is_some()).await;
    let table = node.set.find("mesh/new").unwrap();
    until("learned, and expired", || table.metrics().expired == 1 && table.used() == 0).await;
}

#[tokio::test]
async fn the_number_of_tables_is_bounded() {
    let node = Node::start(2, Limits::default()).await;
    let mut b = node.called_by("b").await;
    let mut c = node.called_by("c").await;
    // Two peers, one name: one table.
    b.write_all(&[define(1, "/one", &[GPC0, 0]), update(1, 1, &[5])].concat()).await.unwrap();
    c.write_all(&[define(4, "/one", &[GPC0, 0]), update(1, 2, &[5])].concat()).await.unwrap();
    until("learned", || node.has("mesh/one", 1) && node.has("mesh/one", 2)).await;
    let more: Vec<u8> = (2..200).flat_map(|n| define(n, &format!("/t{n}"), &[GPC0, 0])).collect();
    b.write_all(&more).await.unwrap();
    // After all of them it is still heard.
    b.write_all(&[define(1, "/one", &[GPC0, 0]), update(9, 3, &[5])].concat()).await.unwrap();
    until("learned", || node.has("mesh/one", 3)).await;
    assert_eq!(node.names(), ["mesh/t", "web", "mesh/one", "mesh/t2"]);
}

#[tokio::test]
async fn a_peer_defines_no_more_tables_than_it_may() {
    let node = Node::start(9, Limits { tables: 2, ..Limits::default() }).await;
    let mut b = node.called_by("b").await;
    let many: Vec<u8> = (2..20).flat_map(|n| define(n, &format!("/t{n}"), &[GPC0, 0])).collect();
    b.write_all(&many).await.unwrap();
    b.write_all(&[define(2, "/t2", &[GPC0, 0]), update(9, 3, &[5])].concat()).await.unwrap();
    until("learned", || node.has("mesh/t2", 3)).await;
    assert_eq!(node.names(), ["mesh/t", "web", "mesh/t2", "mesh/t3"]);
}

#[tokio::test]
async fn what_cannot_be_a_table_here_is_not_created() {
    let node = Node::start(9, Limits::default()).await;
    let mut b = node.called_by("b").await;
    let long = format!("/{}", "x".repeat(129));
    let said = [
        // There is another table of this name, which is shared with nobody.
        define(1, "web", &[GPC0, 0]),
        define(2, "/../etc", &[GPC0, 0]),
        define(3, "/", &[GPC0, 0]),
        define(4, "/a b", &[GPC0, 0]),
        // More elements than an array can have; a rate without a period; two data types that exclude each other.
        define(5, "/many", &[1 << 23, 0, 23, 101]),
        define(6, "/huge", &[1 << 23, 0, 23, u64::MAX]),
        define(7, "/still", &[1 << 3, 0, 3, 0]),
        define(8, "/late", &[GPC0, u64::MAX]),
        // After each of them updates mean nothing.
        update(1, 1, &[5]),
        // One that is.
        define(9, "/good", &[GPC0, 0]),
        update(1, 1, &[5]),
    ];
    let long = [define(10, &long[..100], &[GPC0, 0]), said.concat()].concat();
    b.write_all(&long).await.unwrap();
    until("learned", || node.has("mesh/good", 1)).await;
    let hundred = format!("mesh/{}", "x".repeat(99));
    assert_eq!(node.names(), ["mesh/t", "web", hundred.as_str(), "mesh/good"]);
    // A table that was learned is ours: other keys under its name are not.
    let mut other = define(11, "/good", &[GPC0, 0]);
    let key_type = other.len() - 4;
    assert_eq!(other[key_type..key_type + 2], [2, 4]);
    other[key_type] = 4;
    let mut c = node.called_by("c").await;
    c.write_all(
        &[other, update(1, 99, &[5]), define(1, "/t", &[GPC0, 0]), update(1, 1, &[5])].concat(),
    )
    .await
    .unwrap();
    until("learned", || node.has("mesh/t", 1)).await;
    assert!(!node.has("mesh/good", 99));
}

#[test]
fn what_haproxy_has_is_created_and_shared() {
    if is_missing() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ports = [free_port(), free_port(), free_port()];
    let write = |name: &str, tables: &str, more: &str| {
        let text = format!(
            "global\n    stats socket {} mode 600 level admin\ndefaults\n    mode http\n    timeout connect 5s\n    timeout client \
             5s\n    timeout server 5s\npeers mesh\n    peer stock 127.0.0.1:{}\n    peer ours 127.0.0.1:{}\n{tables}{more}",
            folder.join(format!("{name}.sock")).display(),
            ports[0],
            ports[1],
        );
        let file = folder.join(format!("{name}.cfg"));
        std::fs::write(&file, text).unwrap();
        file
    };
    let tables = "    table t type ip size 100k expire 10m store gpt0,gpc0,gpc0_rate(10s),http_req_cnt,bytes_in_cnt\n    \
                  table names type string len 20 size 1k store gpc0\n";
    let web = format!(
        "frontend web\n    bind 127.0.0.1:{}\n    stick-table type ipv6 size 1k expire 1h store gpc1 peers mesh\n",
        ports[2]
    );
    let mut stock = Command::new("haproxy");
    stock.args(["-db", "-L", "stock", "-f"]).arg(write("stock", tables, &web));
    let stock = Running::start(stock, folder, "stock");
    let mut ours = Command::new(env!("CARGO_BIN_EXE_stktabled"));
    ours.args(["-L", "ours", "-f"]).arg(write(
        "ours",
        "    #stktabled: learn-tables 8 size 5k\n",
        "",
    ));
    ours.arg("--runtime-api").arg(folder.join("ours.sock"));
    let ours = Running::start(ours, folder, "ours");
    let shown = |side: &Running, table: &str, what: &str| {
        process::until(&format!("{table} has {what}"), folder, || {
            side.ask(&format!("show table {table}")).is_some_and(|rows| rows.contains(what))
        });
    };
    shown(&stock, "mesh/t", "# table: mesh/t");
    let set = |side: &Running, command: &str| {
        assert_eq!(side.ask(&format!("set table {command}")).unwrap().trim(), "", "{command}");
    };
    set(&stock, "mesh/t key 192.0.2.1 data.gpc0 4 data.bytes_in_cnt 12345678901 data.gpt0 3");
    set(&stock, "mesh/names key somebody data.gpc0 4");
    set(&stock, "web key 2001:db8::1 data.gpc1 9");
    shown(&ours, "mesh/t", "gpt0=3 gpc0=4");
    shown(&ours, "mesh/t", "bytes_in_cnt=12345678901");
    shown(&ours, "mesh/t", "type: ip, size:5120, used:1");
    shown(&ours, "mesh/names", "key=somebody");
    shown(&ours, "web", "key=2001:db8::1");
    // And back.
    set(&ours, "mesh/t key 192.0.2.2 data.gpc0 6");
    set(&ours, "web key 2001:db8::2 data.gpc1 7");
    shown(&stock, "mesh/t", "key=192.0.2.2");
    shown(&stock, "web", "key=2001:db8::2");
}
