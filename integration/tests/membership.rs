//! Peers that come and go while a section runs, names whose addresses change, and two sessions with one peer: scripted peers
//! over real sockets.

#[path = "support/wait.rs"]
mod wait;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wait::{bounded, until};

use stktable::DataType;
use stktable::declare::{Declaration, Scope};
use stktable_integration::config::Address;
use stktable_integration::peers::driver::{
    Lookup, Names, PeerStatus, RemotePeer, Resolve, Section, SectionSettings,
};
use stktable_integration::peers::session::{Limits, RosterError, Stage};
use stktable_integration::{Clock, SharedTable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const HEARTBEAT: [u8; 2] = [0, 4];

struct Node {
    table: Arc<SharedTable>,
    section: Section,
    clock: Clock,
}

fn peer(name: &str, address: &str) -> RemotePeer {
    RemotePeer { name: name.to_owned(), address: Address::parse(address).unwrap(), tls: None }
}

impl Node {
    async fn start(remote_peers: Vec<RemotePeer>, names: Names) -> Self {
        let line = "table t type integer size 1k expire 10m store gpc0";
        let declaration = Declaration::parse(line, Scope::Peers("mesh")).declaration.unwrap();
        let table = SharedTable::new(declaration);
        let clock = Clock::start();
        let settings = SectionSettings {
            name: "mesh".to_owned(),
            local_peer: "a".to_owned(),
            listen: vec!["127.0.0.1:0".parse::<SocketAddr>().unwrap().into()],
            remote_peers,
            tables: vec![Arc::clone(&table)],
            limits: Limits::default(),
            names,
            learn: None,
            trace: std::sync::Arc::default(),
        };
        let section = Section::start(settings, clock).await.unwrap();
        Self { table, section, clock }
    }

    fn peer(&self, name: &str) -> PeerStatus {
        let status = self.section.status();
        status.peers.into_iter().find(|peer| peer.name == name).unwrap()
    }

    fn is_up(&self, name: &str) -> bool {
        self.peer(name).session.is_some_and(|session| session.stage == Stage::Up)
    }

    fn count(&self, key: u32) {
        let now = self.clock.now();
        let key = self.table.declaration().key.key(&key.to_be_bytes()).unwrap();
        let entry = self.table.get_or_create(&key, now).unwrap();
        entry.add(DataType::Gpc0, 0, 1, now);
        entry.touch(now);
    }

    /// A scripted peer calls, and is accepted.
    async fn called_by(&self, name: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.section.local_addrs()[0]).await.unwrap();
        stream.write_all(format!("HAProxyS 2.1\na\n{name} 1 1\n").as_bytes()).await.unwrap();
        let mut status = [0; 4];
        bounded("status", stream.read_exact(&mut status)).await.unwrap();
        assert_eq!(&status, b"200\n");
        stream
    }
}

/// Reads the hello of a call, and accepts it.
async fn accept(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = bounded("a call", listener.accept()).await.unwrap();
    let mut lines = 0;
    while lines < 3 {
        lines += u32::from(bounded("hello", stream.read_u8()).await.unwrap() == b'\n');
    }
    stream.write_all(b"200\n").await.unwrap();
    // We are known to be up when we have said something.
    stream.write_all(&HEARTBEAT).await.unwrap();
    stream
}

/// Reads until these bytes have come.
async fn expect(stream: &mut TcpStream, what: &str, wanted: &[u8]) {
    let mut seen = Vec::new();
    while !seen.windows(wanted.len()).any(|window| window == wanted) {
        let byte = bounded(what, stream.read_u8()).await;
        seen.push(byte.unwrap_or_else(|error| panic!("{what}: {error} after {seen:?}")));
    }
}

/// The key of an update of the table, and its only value.
fn sent(key: u32) -> Vec<u8> {
    [&key.to_be_bytes()[..], &[1]].concat()
}

async fn is_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let _ = bounded("the end", stream.read_to_end(&mut rest)).await;
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn peers_are_added_and_removed_and_the_others_keep_their_sessions() {
    let (at_b, address_b) = listener().await;
    let node = Node::start(vec![peer("b", &address_b.to_string())], Names::default()).await;
    let mut b = accept(&at_b).await;
    until("b is up", || node.is_up("b")).await;

    let (at_c, address_c) = listener().await;
    node.section.add_peer(peer("c", &address_c.to_string())).unwrap();
    let mut c = accept(&at_c).await;
    until("c is up", || node.is_up("c")).await;
    // Asked to be taught, b says that it is over: then changes are pushed.
    b.write_all(&[0, 1]).await.unwrap();
    node.count(7);
    expect(&mut b, "the change", &sent(7)).await;
    expect(&mut c, "the change", &sent(7)).await;

    let same = node.section.add_peer(peer("c", "127.0.0.1:1")).unwrap_err();
    assert_eq!(same, RosterError::SamePeer { peer: "c".to_owned() });
    let ours = node.section.add_peer(peer("a", "127.0.0.1:1")).unwrap_err();
    assert_eq!(ours, RosterError::SamePeer { peer: "a".to_owned() });

    assert!(node.section.remove_peer("c"));
    assert!(!node.section.remove_peer("c"));
    is_closed(&mut c).await;
    assert_eq!(node.section.status().peers.len(), 1);
    // It is a stranger now.
    let mut stream = TcpStream::connect(node.section.local_addrs()[0]).await.unwrap();
    stream.write_all(b"HAProxyS 2.1\na\nc 1 1\n").await.unwrap();
    let mut answer = Vec::new();
    bounded("answer", stream.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, b"504\n");
    // b has noticed nothing of it.
    node.count(8);
    expect(&mut b, "the change", &sent(8)).await;
    assert_eq!(node.peer("b").sessions, 1);

    // It comes back, and is told what it may have missed.
    node.section.add_peer(peer("c", &address_c.to_string())).unwrap();
    let mut c = accept(&at_c).await;
    expect(&mut c, "the change", &sent(8)).await;
}

#[tokio::test]
async fn a_peer_that_is_removed_while_it_is_called_is_not_called_again() {
    // Takes connections, and says nothing.
    let (at_b, address_b) = listener().await;
    let node = Node::start(vec![peer("b", &address_b.to_string())], Names::default()).await;
    let (mut stream, _) = bounded("a call", at_b.accept()).await.unwrap();
    assert!(node.section.remove_peer("b"));
    is_closed(&mut stream).await;
    let status = node.section.status();
    assert_eq!((status.peers.len(), status.connections), (0, 0));
}

/// Answers as it was told to.
#[derive(Debug, Default)]
struct Script {
    answers: Mutex<VecDeque<Result<Vec<SocketAddr>, ()>>>,
    asked: Mutex<Vec<String>>,
}

impl Script {
    fn say(&self, answer: Result<Vec<SocketAddr>, ()>) {
        *self.answers.lock().unwrap() = VecDeque::from([answer]);
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[derive(Debug, Default)]
struct Scripted(Arc<Script>);

impl Resolve for Scripted {
    fn resolve(&self, host: &str, port: u16) -> Lookup {
        self.0.asked.lock().unwrap().push(format!("{host}:{port}"));
        let answer = self.0.answers.lock().unwrap().front().cloned();
        Box::pin(async move {
            match answer {
                // It never answers.
                None => std::future::pending().await,
                Some(answer) => answer.map_err(|()| io::Error::other("the server is on fire")),
            }
        })
    }
}

fn scripted() -> (Arc<Script>, Names) {
    let script = Arc::new(Script::default());
    let resolver = Arc::new(Scripted(Arc::clone(&script)));
    (script, Names { resolver, every: Duration::from_millis(5) })
}

#[tokio::test]
async fn a_name_is_called_where_it_is_now_and_a_session_lives_on() {
    let ((first, at_first), (second, at_second)) = (listener().await, listener().await);
    let (script, names) = scripted();
    script.say(Ok(vec![at_first]));
    let node = Node::start(vec![peer("b", "b.example:77")], names).await;
    let mut b = accept(&first).await;
    until("up", || node.is_up("b")).await;
    assert_eq!(node.peer("b").resolved, [at_first]);
    assert!(script.asked.lock().unwrap().iter().all(|name| name == "b.example:77"));

    script.say(Ok(vec![at_second]));
    until("looked up", || node.peer("b").resolved == [at_second]).await;
    // A failure takes nothing back.
    script.say(Err(()));
    let asked = script.asked();
    until("asked again", || script.asked() > asked + 3).await;
    script.say(Ok(Vec::new()));
    let asked = script.asked();
    until("asked again", || script.asked() > asked + 3).await;
    assert_eq!(node.peer("b").resolved, [at_second]);
    // The session is where it was.
    b.write_all(&[0, 1]).await.unwrap();
    node.count(1);
    expect(&mut b, "the change", &sent(1)).await;
    assert_eq!((node.peer("b").sessions, node.is_up("b")), (1, true));
    // The next one is where the name is.
    drop(b);
    let _b = accept(&second).await;
    until("up", || node.is_up("b") && node.peer("b").sessions == 2).await;
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    let (at_b, address) = listener().await;
    // Nobody is there.
    let (_, nowhere) = listener().await;
    let (script, names) = scripted();
    script.say(Ok(vec![nowhere, address]));
    let node = Node::start(vec![peer("b", "b.example:77")], names).await;
    let _b = accept(&at_b).await;
    until("up", || node.is_up("b")).await;
}

#[tokio::test]
async fn a_name_that_is_not_answered_is_asked_for_once() {
    let (script, names) = scripted();
    let (at_c, address) = listener().await;
    let peers = vec![peer("b", "b.example:77"), peer("c", &address.to_string())];
    let node = Node::start(peers, names).await;
    // The others are not held up.
    let _c = accept(&at_c).await;
    until("told", || node.peer("b").calls_failed > 0).await;
    assert!(node.peer("b").last_end.unwrap().contains("not resolved yet"));
    assert_eq!(script.asked(), 1);
    // Nor does it outlive the peer: the answer is not waited for.
    assert!(node.section.remove_peer("b"));
    until("let go", || Arc::strong_count(&script) == 2).await;
    bounded("stop", node.section.stop()).await;
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_told() {
    let (script, names) = scripted();
    script.say(Err(()));
    let node = Node::start(vec![peer("b", "b.example:77")], names).await;
    until("told", || node.peer("b").last_end.is_some_and(|end| end.contains("on fire"))).await;
    let (at_b, address) = listener().await;
    script.say(Ok(vec![address]));
    let _b = accept(&at_b).await;
    until("up", || node.is_up("b")).await;
}

#[tokio::test]
async fn the_system_knows_localhost() {
    let found =
        stktable_integration::peers::driver::SystemResolver.resolve("localhost", 7).await.unwrap();
    assert!(
        found.iter().any(|address| address.ip().is_loopback() && address.port() == 7),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_second_session_proves_itself_before_the_first_goes() {
    let (_, nowhere) = listener().await;
    let node = Node::start(vec![peer("b", &nowhere.to_string())], Names::default()).await;
    let mut first = node.called_by("b").await;
    // A lesson that was asked for is over, so changes are pushed.
    first.write_all(&[0, 1]).await.unwrap();
    node.count(1);
    expect(&mut first, "the change", &sent(1)).await;

    // A second one is welcome, and hears that we live; but what changes goes to the first.
    let mut second = node.called_by("b").await;
    expect(&mut second, "a heartbeat", &HEARTBEAT).await;
    node.count(2);
    expect(&mut first, "the change", &sent(2)).await;
    // It ends without a word, and was not told: nothing has happened.
    second.shutdown().await.unwrap();
    let mut told = Vec::new();
    let _ = bounded("the end", second.read_to_end(&mut told)).await;
    assert!(!told.windows(5).any(|window| window == sent(2)), "{told:?}");
    until("gone", || node.section.status().connections == 1).await;
    node.count(3);
    expect(&mut first, "the change", &sent(3)).await;

    // A third one speaks, and is the one from now on; it is told what the first has not acknowledged.
    let mut third = node.called_by("b").await;
    third.write_all(&HEARTBEAT).await.unwrap();
    is_closed(&mut first).await;
    expect(&mut third, "the change", &sent(3)).await;
    node.count(4);
    expect(&mut third, "the change", &sent(4)).await;
    assert_eq!(node.section.status().connections, 1);
}

/// An ack of our first table.
fn ack(id: u32) -> Vec<u8> {
    [&[10, 0x84, 5, 1][..], &id.to_be_bytes()].concat()
}

#[tokio::test]
async fn how_far_a_peer_is_behind_grows_and_goes_back_to_nothing() {
    let (_, nowhere) = listener().await;
    let peers = vec![peer("b", &nowhere.to_string()), peer("c", &nowhere.to_string())];
    let node = Node::start(peers, Names::default()).await;
    let mut b = node.called_by("b").await;
    b.write_all(&[0, 1]).await.unwrap();
    node.count(1);
    expect(&mut b, "the change", &sent(1)).await;
    let lag = |name: &str| {
        let peer = node.peer(name);
        (peer.unacked(), peer.waited_ms())
    };
    assert_eq!(lag("b").0, 1);
    b.write_all(&ack(1)).await.unwrap();
    until("nothing is owed", || lag("b") == (0, 0)).await;
    // c was never there, and is behind with everything.
    assert_eq!(lag("c").0, 1);

    // It takes everything, and acknowledges nothing.
    (2..12).for_each(|key| node.count(key));
    expect(&mut b, "the last change", &sent(11)).await;
    assert_eq!(lag("b").0, 10);
    assert_eq!(node.peer("b").lag[0].table, "mesh/t");
    until("it has waited", || lag("b").1 > 50).await;
    // Some of it: the oldest of what is left is younger.
    until("it has waited longer", || lag("b").1 > 400).await;
    node.count(12);
    expect(&mut b, "the last change", &sent(12)).await;
    b.write_all(&ack(11)).await.unwrap();
    until("one is left", || lag("b").0 == 1).await;
    assert!(lag("b").1 < lag("c").1, "{:?} {:?}", lag("b"), lag("c"));
    b.write_all(&ack(12)).await.unwrap();
    until("nothing is owed", || lag("b") == (0, 0)).await;

    // It goes away, and the counting goes on; when it is back it has to acknowledge only that.
    drop(b);
    until("gone", || !node.is_up("b")).await;
    (20..25).for_each(|key| node.count(key));
    assert_eq!(lag("b").0, 5);
    until("it has waited", || lag("b").1 > 50).await;
    let mut b = node.called_by("b").await;
    expect(&mut b, "the last change", &sent(24)).await;
    assert_eq!(lag("b").0, 5);
    b.write_all(&ack(17)).await.unwrap();
    until("nothing is owed", || lag("b") == (0, 0)).await;

    // What is gone before it was sent is owed to nobody.
    drop(b);
    until("gone", || !node.is_up("b")).await;
    (30..35).for_each(|key| node.count(key));
    node.table.clear(node.clock.now());
    let b = node.called_by("b").await;
    until("nothing is owed", || lag("b") == (0, 0)).await;
    // Nor is what is over, though somebody holds it.
    drop(b);
    until("gone", || !node.is_up("b")).await;
    let now = node.clock.now();
    let key = node.table.declaration().key.key(&40_u32.to_be_bytes()).unwrap();
    let held = node.table.get_or_create_for(&key, 1, now).unwrap();
    held.add(DataType::Gpc0, 0, 1, now);
    held.touch_for(1, now);
    assert!(lag("b").0 > 0);
    until("over", || held.expires_in(node.clock.now()) == 0).await;
    let _b = node.called_by("b").await;
    until("nothing is owed", || lag("b") == (0, 0)).await;
    drop(held);
}

#[tokio::test]
async fn a_peer_that_is_stuck_costs_the_others_nothing_and_is_seen() {
    let (_, nowhere) = listener().await;
    let peers = vec![peer("b", &nowhere.to_string()), peer("c", &nowhere.to_string())];
    let node = Node::start(peers, Names::default()).await;
    // b says that it lives, and reads nothing.
    let mut b = node.called_by("b").await;
    let mut c = node.called_by("c").await;
    for stream in [&mut b, &mut c] {
        stream.write_all(&[0, 1]).await.unwrap();
    }
    let (mut from_c, mut to_c) = c.into_split();
    let reader = tokio::spawn(async move {
        let mut last = [0; 5];
        loop {
            last.rotate_left(1);
            let Ok(byte) = from_c.read_u8().await else { return false };
            last[4] = byte;
            if last == *sent(999_999) {
                return true;
            }
        }
    });
    // Far more than sockets hold, though a table of a thousand entries.
    let mut changes = 0;
    for round in 0..200 {
        for key in 0..1000 {
            node.count(1000 * round + key);
            changes += 1;
        }
        b.write_all(&HEARTBEAT).await.unwrap();
        to_c.write_all(&HEARTBEAT).await.unwrap();
        tokio::task::yield_now().await;
    }
    node.count(999_999);
    assert!(bounded("c has everything", reader).await.unwrap());
    let status = node.peer("b");
    assert_eq!(status.unacked(), changes + 1);
    assert!(status.session.is_some(), "it is still there");
    until("it has waited", || node.peer("b").waited_ms() > 0).await;
}
