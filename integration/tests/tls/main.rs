//! Sections that speak TLS with each other, on loopback, with certificates made for the test.

mod certificates;
mod config;
mod haproxy;
mod process;
#[path = "../support/wait.rs"]
mod wait;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wait::{bounded, until};

use certificates::{Authority, written};
use stktable::declare::{Declaration, Scope};
use stktable::{DataType, Key};
use stktable_integration::config::Address;
use stktable_integration::peers::driver::{Listen, Names, RemotePeer, Section, SectionSettings};
use stktable_integration::peers::session::{Limits, Stage};
use stktable_integration::tls::{Acceptor, Connector, Settings, Verify};
use stktable_integration::{Clock, SharedTable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The longest that anything may take; everything ends as soon as it is there.
/// A side of TLS: both its own certificate and whom it trusts.
fn settings(crt: &Path, ca_file: &Path) -> Settings {
    Settings {
        crt: Some(crt.to_owned()),
        ca_file: Some(ca_file.to_owned()),
        verify: Verify::Required,
        ..Settings::default()
    }
}

struct Node {
    table: Arc<SharedTable>,
    section: Section,
    clock: Clock,
}

struct Peer {
    name: &'static str,
    at: SocketAddr,
    tls: Option<Settings>,
}

impl Node {
    async fn start(name: &str, listen: Listen, peers: Vec<Peer>) -> Self {
        let line = "table t type integer size 100k expire 10m store gpc0";
        let declaration = Declaration::parse(line, Scope::Peers("mesh")).declaration.unwrap();
        let table = SharedTable::new(declaration);
        let remote_peers = peers.into_iter().map(|peer| RemotePeer {
            name: peer.name.to_owned(),
            address: Address::parse(&peer.at.to_string()).unwrap(),
            tls: peer.tls.map(|tls| Connector::load(tls).unwrap()),
        });
        let clock = Clock::start();
        let settings = SectionSettings {
            name: "mesh".to_owned(),
            local_peer: name.to_owned(),
            listen: vec![listen],
            remote_peers: remote_peers.collect(),
            tables: vec![Arc::clone(&table)],
            limits: Limits::default(),
            names: Names::default(),
            learn: None,
            trace: std::sync::Arc::default(),
        };
        let section = Section::start(settings, clock).await.unwrap();
        Self { table, section, clock }
    }

    fn address(&self) -> SocketAddr {
        self.section.local_addrs()[0]
    }

    fn is_up(&self) -> bool {
        let status = self.section.status();
        let session = status.peers[0].session.as_ref();
        session.is_some_and(|session| session.stage == Stage::Up)
    }

    fn last_end(&self) -> Option<String> {
        self.section.status().peers[0].last_end.clone()
    }

    fn count(&self, key: u32) {
        let now = self.clock.now();
        let entry = self.table.get_or_create(&self.key(key), now).unwrap();
        entry.add(DataType::Gpc0, 0, 1, now);
        entry.touch(now);
    }

    fn key(&self, key: u32) -> Key {
        self.table.declaration().key.key(&key.to_be_bytes()).unwrap()
    }

    fn has(&self, key: u32) -> bool {
        self.table.get(&self.key(key), self.clock.now()).is_some()
    }
}

/// Where nobody answers.
async fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn listen(tls: Option<Settings>) -> Listen {
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    Listen { tls: tls.map(|tls| Acceptor::load(tls).unwrap()), ..Listen::from(address) }
}

/// `a` listens, `b` calls.
struct Lab {
    folder: tempfile::TempDir,
    authority: Authority,
    ca_file: PathBuf,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("one");
        let ca_file = authority.write(folder.path(), "ca.pem");
        Self { folder, authority, ca_file }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn settings(&self, file: &str, names: &[&str]) -> Settings {
        settings(&self.authority.issue(self.path(), file, names), &self.ca_file)
    }

    async fn pair(&self, listener: Option<Settings>, caller: Option<Settings>) -> (Node, Node) {
        let at = nowhere().await;
        let a = Node::start("a", listen(listener), vec![Peer { name: "b", at, tls: None }]).await;
        let called = Peer { name: "a", at: a.address(), tls: caller };
        let b = Node::start("b", listen(None), vec![called]).await;
        (a, b)
    }
}

/// Both share what either counts.
async fn assert_shared(a: &Node, b: &Node) {
    until("up", || a.is_up() && b.is_up()).await;
    a.count(1);
    b.count(2);
    until("shared", || a.has(2) && b.has(1)).await;
}

#[tokio::test]
async fn good_certificates_are_taken_by_both() {
    let lab = Lab::new();
    let (a, b) =
        lab.pair(Some(lab.settings("a.pem", &["a"])), Some(lab.settings("b.pem", &["b"]))).await;
    assert_shared(&a, &b).await;
    // More than the buffers of both sides, each way.
    for key in 10..30_000 {
        a.count(key);
        b.count(100_000 + key);
    }
    until("shared", || {
        let full = |node: &Node| node.table.used() == 2 + 2 * 29_990;
        full(&a) && full(&b)
    })
    .await;
    assert_eq!(a.section.status().handshakes_failed, 0);
}

#[tokio::test]
async fn versions_are_as_set() {
    use stktable_integration::tls::Versions::{Both, Tls12, Tls13};
    for (listener, caller, agree) in
        [(Tls12, Both, true), (Both, Tls13, true), (Tls12, Tls13, false)]
    {
        let lab = Lab::new();
        let theirs = Settings { versions: listener, ..lab.settings("a.pem", &["a"]) };
        let ours = Settings { versions: caller, ..lab.settings("b.pem", &["b"]) };
        let (a, b) = lab.pair(Some(theirs), Some(ours)).await;
        if agree {
            assert_shared(&a, &b).await;
        } else {
            assert_refused(&a, &b, "no TLS with", "ProtocolVersion").await;
        }
    }
}

/// The call comes to nothing, for a reason that says all of this, and nothing is shared.
async fn assert_refused(a: &Node, b: &Node, how: &str, why: &str) {
    until("refused", || b.last_end().is_some()).await;
    let end = b.last_end().unwrap();
    assert!(end.contains(how) && end.contains(why), "{end}");
    assert!(!a.is_up() && !b.is_up());
}

#[tokio::test]
async fn a_listener_of_another_authority_is_not_called() {
    let lab = Lab::new();
    let other = Authority::new("two");
    let stranger = settings(&other.issue(lab.path(), "a.pem", &["a"]), &lab.ca_file);
    let (a, b) = lab.pair(Some(stranger), Some(lab.settings("b.pem", &["b"]))).await;
    assert_refused(&a, &b, "no TLS with 127.0.0.1", "UnknownIssuer").await;
    until("counted", || a.section.status().handshakes_failed > 0).await;
}

#[tokio::test]
async fn a_caller_of_another_authority_or_with_none_is_refused() {
    let lab = Lab::new();
    let other = Authority::new("two");
    let stranger = settings(&other.issue(lab.path(), "b.pem", &["b"]), &lab.ca_file);
    let (a, b) = lab.pair(Some(lab.settings("a.pem", &["a"])), Some(stranger)).await;
    // It is told by an alert, in TLS 1.3 behind the end of the caller's own handshake.
    assert_refused(&a, &b, "TLS", "UnknownCA").await;
    until("counted", || a.section.status().handshakes_failed > 0).await;

    let nobody = Settings { crt: None, ..lab.settings("b.pem", &["b"]) };
    let (a, b) = lab.pair(Some(lab.settings("a.pem", &["a"])), Some(nobody)).await;
    assert_refused(&a, &b, "TLS", "CertificateRequired").await;
}

#[tokio::test]
async fn certificates_that_are_over_are_refused_on_either_side() {
    let lab = Lab::new();
    let over = settings(&lab.authority.issue_expired(lab.path(), "a.pem", &["a"]), &lab.ca_file);
    let (a, b) = lab.pair(Some(over), Some(lab.settings("b.pem", &["b"]))).await;
    assert_refused(&a, &b, "no TLS with", "expired").await;

    let over = settings(&lab.authority.issue_expired(lab.path(), "b.pem", &["b"]), &lab.ca_file);
    let (a, b) = lab.pair(Some(lab.settings("a.pem", &["a"])), Some(over)).await;
    assert_refused(&a, &b, "TLS", "CertificateExpired").await;
}

#[tokio::test]
async fn a_listener_has_the_name_asked_for() {
    for (verify_host, sni, good) in [
        (Some("a.example"), None, true),
        (Some("b.example"), None, false),
        (None, Some("a.example"), true),
        (None, Some("b.example"), false),
        // What is said last counts for the certificate.
        (Some("a.example"), Some("b.example"), true),
        // As for HAProxy, no name is asked for.
        (None, None, true),
    ] {
        let lab = Lab::new();
        let caller = Settings {
            verify_host: verify_host.map(str::to_owned),
            sni: sni.map(str::to_owned),
            ..lab.settings("b.pem", &["b"])
        };
        let (a, b) = lab.pair(Some(lab.settings("a.pem", &["a.example"])), Some(caller)).await;
        if good {
            assert_shared(&a, &b).await;
        } else {
            assert_refused(&a, &b, "no TLS with", "b.example").await;
        }
    }
}

#[tokio::test]
async fn a_caller_has_its_name_in_its_certificate() {
    let lab = Lab::new();
    let ours = || lab.settings("a.pem", &["a"]);
    let (a, b) = lab.pair(Some(ours()), Some(lab.settings("b.pem", &["c"]))).await;
    assert_refused(&a, &b, "refused: 504", "").await;
    until("told", || a.last_end().is_some_and(|end| end.contains("not bound to the certificate")))
        .await;
    let end = a.last_end().unwrap();
    // Who it was, and what it showed.
    assert!(end.contains("\"b\"") && end.contains("\"c\"") && end.contains("127.0.0.1:"), "{end}");

    // The option takes it back, and so does a listener that does not verify.
    let at = nowhere().await;
    for listen in [
        Listen { bind_names: false, ..listen(Some(ours())) },
        listen(Some(Settings { verify: Verify::None, ..ours() })),
    ] {
        let a = Node::start("a", listen, vec![Peer { name: "b", at, tls: None }]).await;
        let tls = Some(lab.settings("b.pem", &["c"]));
        let b =
            Node::start("b", listen_plain(), vec![Peer { name: "a", at: a.address(), tls }]).await;
        assert_shared(&a, &b).await;
    }

    // And another name can be bound to the peer.
    let named = Settings { verify_host: Some("c".into()), ..lab.settings("x.pem", &["x"]) };
    let a = Node::start(
        "a",
        self::listen(Some(ours())),
        vec![Peer { name: "b", at, tls: Some(named) }],
    )
    .await;
    let tls = Some(lab.settings("b.pem", &["c"]));
    let b = Node::start("b", listen_plain(), vec![Peer { name: "a", at: a.address(), tls }]).await;
    assert_shared(&a, &b).await;
}

fn listen_plain() -> Listen {
    listen(None)
}

#[tokio::test]
async fn without_a_certificate_where_one_is_optional() {
    let lab = Lab::new();
    let optional = || Settings { verify: Verify::Optional, ..lab.settings("a.pem", &["a"]) };
    let none = Settings { crt: None, ..lab.settings("b.pem", &["b"]) };
    let (a, b) = lab.pair(Some(optional()), Some(none)).await;
    assert_shared(&a, &b).await;
    // But one that is shown counts.
    let (a, b) = lab.pair(Some(optional()), Some(lab.settings("b.pem", &["c"]))).await;
    assert_refused(&a, &b, "refused: 504", "").await;
}

#[tokio::test]
async fn plain_text_and_tls_do_not_meet() {
    let lab = Lab::new();
    let (a, b) = lab.pair(Some(lab.settings("a.pem", &["a"])), None).await;
    until("refused", || b.last_end().is_some()).await;
    until("counted", || a.section.status().handshakes_failed > 0).await;
    assert!(!a.is_up() && !b.is_up());

    let (a, b) = lab.pair(None, Some(lab.settings("b.pem", &["b"]))).await;
    assert_refused(&a, &b, "no TLS with", "does not speak TLS").await;

    // A caller that says nothing is not waited for, and holds nobody up.
    let (a, _b) = lab.pair(Some(lab.settings("a.pem", &["a"])), None).await;
    let mut silent = TcpStream::connect(a.address()).await.unwrap();
    let mut answer = Vec::new();
    let _ = bounded("closed", silent.read_to_end(&mut answer)).await;
    assert_eq!(answer, b"");
    // One that says nonsense is told so by an alert.
    let mut nonsense = TcpStream::connect(a.address()).await.unwrap();
    nonsense.write_all(b"HAProxyS 2.1\na\nb 1 1\n").await.unwrap();
    let _ = bounded("closed", nonsense.read_to_end(&mut answer)).await;
    assert_eq!(answer.first(), Some(&21), "an alert: {answer:?}");
}

#[tokio::test]
async fn certificates_are_read_again_when_they_change() {
    let lab = Lab::new();
    let theirs = lab.settings("a.pem", &["a"]);
    let other = Authority::new("two");
    // The caller trusts the second authority alone.
    let ours = settings(
        &lab.authority.issue(lab.path(), "b.pem", &["b"]),
        &other.write(lab.path(), "ca2.pem"),
    );
    let crt = theirs.crt.clone().unwrap();
    let (a, b) = lab.pair(Some(theirs), Some(ours)).await;
    assert_refused(&a, &b, "no TLS with", "UnknownIssuer").await;
    // A file that cannot be used changes nothing, and is told of.
    written(lab.path(), "a.pem", "nonsense");
    let errors = a.section.reload_certificates().unwrap_err();
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0].to_string().contains("a.pem") && errors[0].to_string().contains("no certificate"),
        "{}",
        errors[0]
    );
    // Without a word to it: the next call is answered with the new one.
    other.issue(lab.path(), "a.pem", &["a"]);
    assert!(crt.exists());
    assert_shared(&a, &b).await;
    // Sessions go on when they are told to read them again.
    a.section.reload_certificates().unwrap();
    b.section.reload_certificates().unwrap();
    a.count(7);
    until("shared", || b.has(7)).await;
    assert_eq!(b.section.status().peers[0].sessions, 1);
}
