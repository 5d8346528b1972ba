//! How long look-ups take in a process that is idle, and in one that teaches, or is taught, as fast as it can.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stktable::declare::{Declaration, Scope};
use stktable_integration::config::Address;
use stktable_integration::peers::driver::{Names, RemotePeer, Section, SectionSettings};
use stktable_integration::peers::session::Limits;
use stktable_integration::{Clock, SharedTable};
use tokio::runtime::Builder;

use super::{Load, LoadError, Mode, Order, Table};
use crate::latency::Taken;
use crate::random::mix;

/// Why there is no figure.
#[derive(Debug)]
#[non_exhaustive]
pub enum LookupError {
    /// The section cannot be started.
    Start(String),
    /// The words declare no table.
    Table(super::TableError),
    /// The other side failed.
    Load(LoadError),
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(why) => f.write_str(why),
            Self::Table(error) => error.fmt(f),
            Self::Load(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LookupError {}

/// Look-ups at one time, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// What happened meanwhile.
    pub during: &'static str,
    /// How many there were.
    pub count: u64,
    /// Of half of them at most.
    pub p50: u64,
    /// Of all but one in a hundred.
    pub p99: u64,
    /// Of all but one in a thousand.
    pub p999: u64,
}

/// Measures look-ups of random keys by one thread in a table of so many entries: idle, while a peer is taught everything again and again,
/// and while a peer teaches everything again and again. Each lasts `time` at least; they take turns, `rounds` times.
///
/// # Errors
/// When the section cannot be started, or the peer fails.
#[expect(clippy::disallowed_methods, reason = "a measurement asks what time it is")]
pub fn measure(
    words: &str,
    entries: u32,
    time: Duration,
    rounds: u32,
) -> Result<Vec<Latencies>, LookupError> {
    let line = format!("table t {words} size {}", entries.saturating_add(1024));
    let declaration = Declaration::parse(&line, Scope::Peers("bench")).into_result();
    let declaration = declaration.map_err(|error| LookupError::Start(format!("{error:?}")))?;
    let table = SharedTable::new(declaration);
    let failed = |error: &dyn fmt::Display| LookupError::Start(error.to_string());
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| failed(&error))?;
    let clock = Clock::start();
    let nowhere = Address::parse("127.0.0.1:1").map_err(|_| failed(&"no address"))?;
    let listen: SocketAddr = ([127, 0, 0, 1], 0).into();
    let settings = SectionSettings {
        name: "bench".to_owned(),
        local_peer: "target".to_owned(),
        listen: vec![listen.into()],
        remote_peers: vec![RemotePeer { name: "gen1".to_owned(), address: nowhere, tls: None }],
        tables: vec![Arc::clone(&table)],
        limits: Limits::default(),
        names: Names::default(),
        learn: None,
        trace: std::sync::Arc::default(),
    };
    let section = runtime.block_on(Section::start(settings, clock));
    let section = section.map_err(|error| failed(&error))?;
    let load = Load {
        target: section.local_addrs()[0],
        remote: "target".to_owned(),
        local: "gen".to_owned(),
        connections: 1,
        table: Table::new("/t", &format!("{words} size 1"), false).map_err(LookupError::Table)?,
        entries,
        order: Order::Random,
        pid: None,
        patience: Duration::from_secs(60),
    };
    load.run(Mode::Ingest).map_err(LookupError::Load)?;
    // Keys that are there, in no order.
    let now = clock.now();
    let mut keys: Vec<_> = table.entries(now).map(|entry| entry.key()).collect();
    keys.sort_by_cached_key(|key| mix(u64::from_be_bytes(*padded(key.as_bytes()))));
    let during = ["nothing", "teaching", "being taught"];
    let mut seen = [(); 3].map(|()| Taken::new());
    for _ in 0..rounds {
        for (at, taken) in seen.iter_mut().enumerate() {
            let over = AtomicBool::new(false);
            let found = thread::scope(|scope| {
                let looking = scope.spawn(|| look_up(&table, &keys, clock, &over));
                let end = Instant::now() + time;
                let mut result = Ok(());
                while Instant::now() < end && result.is_ok() {
                    result = match at {
                        0 => {
                            idle();
                            Ok(())
                        }
                        1 => load.run(Mode::Teach).map(drop),
                        _ => load.run(Mode::ReUpdate).map(drop),
                    };
                }
                over.store(true, Ordering::Relaxed);
                let looked = looking.join();
                result.map(|()| looked.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            });
            taken.add(&found.map_err(LookupError::Load)?);
        }
    }
    runtime.block_on(section.stop());
    let latencies = |(during, taken): (&'static str, &Taken)| Latencies {
        during,
        count: taken.len(),
        p50: taken.at(0.5),
        p99: taken.at(0.99),
        p999: taken.at(0.999),
    };
    Ok(during.into_iter().zip(&seen).map(latencies).collect())
}

#[expect(clippy::disallowed_methods, reason = "nothing is to happen")]
fn idle() {
    thread::sleep(Duration::from_millis(10));
}

/// Returns the last eight bytes of a key, or fewer behind zeroes.
fn padded(bytes: &[u8]) -> Box<[u8; 8]> {
    let mut padded = Box::new([0; 8]);
    let last = &bytes[bytes.len().saturating_sub(8)..];
    padded[8 - last.len()..].copy_from_slice(last);
    padded
}

/// Looks keys up one by one until it is over.
#[expect(clippy::disallowed_methods, reason = "a measurement asks what time it is")]
fn look_up(table: &SharedTable, keys: &[stktable::Key], clock: Clock, over: &AtomicBool) -> Taken {
    let mut taken = Taken::new();
    let mut keys = keys.iter().cycle();
    let mut now = clock.now();
    while !over.load(Ordering::Relaxed) {
        for key in keys.by_ref().take(1000) {
            let began = Instant::now();
            std::hint::black_box(table.get(key, now));
            taken.record(began.elapsed());
        }
        now = clock.now();
    }
    taken
}
