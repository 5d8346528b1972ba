//! The load generator against a section of ours on loopback: what it says it did is what the table holds.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use benches::peers::{Load, LoadError, Mode, Order, Table};
use stktable::declare::{Declaration, Scope};
use stktable::{DataType, Key};
use stktable_integration::config::Address;
use stktable_integration::peers::driver::{Names, RemotePeer, Section, SectionSettings};
use stktable_integration::peers::session::Limits;
use stktable_integration::{Clock, SharedTable};
use tokio::runtime::Runtime;

const WORDS: &str =
    "type ip size 10k expire 30m store gpc0,conn_rate(10s),http_req_rate(10s),bytes_in_cnt";

/// A section that knows three generators.
struct Lab {
    table: Arc<SharedTable>,
    clock: Clock,
    address: SocketAddr,
    section: Option<Section>,
    runtime: Runtime,
}

impl Lab {
    fn new() -> Self {
        let declaration = Declaration::parse(&format!("table t {WORDS}"), Scope::Peers("bench"));
        let table = SharedTable::new(declaration.into_result().unwrap());
        let clock = Clock::start();
        // Nobody listens there.
        let address = Address::parse("127.0.0.1:1").unwrap();
        let remote =
            |name: &str| RemotePeer { name: name.to_owned(), address: address.clone(), tls: None };
        let settings = SectionSettings {
            name: "bench".to_owned(),
            local_peer: "target".to_owned(),
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()],
            remote_peers: ["gen1", "gen2", "gen3"].map(remote).into(),
            tables: vec![Arc::clone(&table)],
            limits: Limits::default(),
            names: Names::default(),
            learn: None,
            trace: std::sync::Arc::default(),
        };
        let runtime = Runtime::new().unwrap();
        let section = runtime.block_on(Section::start(settings, clock)).unwrap();
        let address = section.local_addrs()[0];
        Self { table, clock, address, section: Some(section), runtime }
    }

    fn load(&self, connections: u32) -> Load {
        Load {
            target: self.address,
            remote: "target".to_owned(),
            local: "gen".to_owned(),
            connections,
            table: Table::new("/t", WORDS, false).unwrap(),
            entries: 5000,
            order: Order::Ascending,
            pid: Some(std::process::id()),
            patience: Duration::from_secs(30),
        }
    }

    fn gpc0(&self, number: u32) -> Option<i64> {
        let key = Key::from(Ipv4Addr::from_bits((10 << 24) + number));
        let now = self.clock.now();
        self.table.get(&key, now)?.read(DataType::Gpc0, 0, now)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(section) = self.section.take() {
            self.runtime.block_on(section.stop());
        }
    }
}

#[test]
fn what_was_sent_is_there_and_is_taught() {
    for connections in [1, 3] {
        let lab = Lab::new();
        let load = lab.load(connections);
        let sent = load.run(Mode::Ingest).unwrap();
        assert_eq!((sent.updates, lab.table.used()), (5000, 5000));
        // 19 bytes each, and a definition for each connection.
        assert_eq!(sent.bytes / 5000, 19);
        assert_eq!([0, 1, 2499, 4999].map(|number| lab.gpc0(number)), [Some(1); 4]);
        assert_eq!(lab.gpc0(5000), None);
        assert!(sent.usage.is_some());

        let again = load.run(Mode::ReUpdate).unwrap();
        assert_eq!((again.updates, lab.table.used()), (5000, 5000));
        assert_eq!([0, 1, 2499, 4999].map(|number| lab.gpc0(number)), [Some(2); 4]);

        let taught = load.run(Mode::Teach).unwrap();
        assert_eq!(taught.updates, 5000);
        assert!(taught.to_string().starts_with("teach: 5000 updates in "), "{taught}");
    }
}

#[test]
fn a_target_that_does_not_play_along_is_reported() {
    let lab = Lab::new();
    let mut stranger = lab.load(1);
    stranger.local = "nobody".to_owned();
    let error = stranger.run(Mode::Teach).unwrap_err();
    assert!(matches!(error, LoadError::Target { .. }), "{error}");
    assert!(
        error.to_string().contains("nobody1") && error.to_string().contains("refused"),
        "{error}"
    );

    // No table of this name: nothing is acknowledged, and the hint says why.
    let mut other = lab.load(1);
    other.table = Table::new("/other", WORDS, false).unwrap();
    other.patience = Duration::from_millis(300);
    let error = other.run(Mode::Ingest).unwrap_err().to_string();
    assert!(error.contains("0 of 5000") && error.contains("table of this name"), "{error}");
    assert_eq!(lab.table.used(), 0);
}
