//! What sums over peers cost, and how soon they are known.

pub mod haproxies;

use std::fmt;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use stktable::table::{Learned, Value};
use stktable::{DataType, Declaration, Key, KeySpec};
use stktable_integration::aggregate::{self, Aggregate, Settings, Sources};
use stktable_integration::config::{self, Context};
use stktable_integration::peers::session::{PeerMemory, Roster, Session};
use stktable_integration::shared::Part;
use stktable_integration::{Clock, Node, SharedTable};

const LOCAL: &str =
    "type ip size 100k expire 30m store gpc0,conn_rate(10s),http_req_rate(10s),bytes_in_cnt";

/// What updates of sources cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Sources, each of which has every key.
    pub sources: u32,
    /// Updates of sources.
    pub updates: u64,
    /// Sums that were written.
    pub published: u64,
    /// Processor time of keeping what the sources say.
    pub kept: Duration,
    /// Processor time of making and writing the sums.
    pub combined: Duration,
    /// Bytes a key and source, the sums among them.
    pub bytes: f64,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let million = |time: Duration| time.as_secs_f64() * 1e6 / self.updates as f64;
        write!(
            f,
            "| {} | {} | {} | {:.2} | {:.2} | {:.0} |",
            self.sources,
            self.updates,
            self.published,
            million(self.kept),
            million(self.combined),
            self.bytes
        )
    }
}

/// Has every source tell every key, `rounds` times with other values, in an order of its own; between two rounds the sums are made.
///
/// # Panics
/// When the system does not say what this thread used.
#[must_use]
pub fn cost(sources: u32, keys: u32, rounds: u32) -> Cost {
    let mut declaration = declaration("st.local");
    declaration.size = keys;
    let settings = Settings::default();
    let into = aggregate::declaration(&declaration, "st.agg", &settings).expect("the same types");
    let names: Vec<_> = (0..sources).map(|number| format!("s{number}")).collect();
    let kept = Sources::new(&declaration, names.iter().map(String::as_str));
    let (local, into) = (SharedTable::new(declaration), SharedTable::new(into));
    let mut sums =
        Aggregate::new("bench", &local, Arc::clone(&kept), Arc::clone(&into), None, settings);
    let all = kept.all();
    let clock = Clock::start();
    // A source counts while it has a session.
    local.set_part(Part::Apart(Arc::clone(&kept)));
    let texts: Vec<_> = names.iter().map(String::as_str).collect();
    let roster = Roster::new("bench", "agg", &texts, vec![Arc::clone(&local)]).expect("names");
    let session = |name: &&str| {
        let memory = PeerMemory::new(&roster, name.as_bytes());
        let mut session = Session::caller(clock.now(), Arc::clone(&roster), memory, 1);
        let heard = session.handle_input(clock.now(), b"200\n");
        assert_eq!(heard.ok(), Some(4), "it is up");
        session
    };
    let sessions: Vec<_> = texts.iter().map(session).collect();
    let resident = resident_bytes();
    let mut cost = Cost {
        sources,
        updates: u64::from(sources) * u64::from(keys) * u64::from(rounds),
        published: 0,
        kept: Duration::ZERO,
        combined: Duration::ZERO,
        bytes: 0.0,
    };
    for round in 1..=rounds {
        let began = cpu();
        for (number, source) in (0_u32..).zip(all.iter()) {
            for at in 0..keys {
                // Another order for each.
                let key = at.wrapping_mul(2_654_435_761).wrapping_add(number * 977) % keys;
                tell(source.table(), key, round, clock);
            }
        }
        let told = cpu();
        while sums.step(clock.now()) {}
        cost.kept += told - began;
        cost.combined += cpu() - told;
        if round == 1 {
            let grown = resident_bytes().saturating_sub(resident);
            cost.bytes = grown as f64 / f64::from(sources) / f64::from(keys);
        }
    }
    cost.published = sums.status().published;
    drop(sessions);
    cost
}

fn declaration(name: &str) -> Declaration {
    let line = format!("table {name} {LOCAL}");
    let parsed = Declaration::parse(&line, stktable::declare::Scope::Peers("bench"));
    parsed.into_result().expect("a declaration")
}

/// What a session does with an update.
fn tell(table: &SharedTable, key: u32, value: u32, clock: Clock) {
    let now = clock.now();
    let key = KeySpec::IP.key(&key.to_be_bytes()).expect("an address");
    let Ok(Learned::Entry(entry)) = table.learn(&key, None, now) else { return };
    let rate = Value::Rate { age_ms: 2000, current: value, previous: value };
    entry.store(DataType::Gpc0, 0, Value::Uint(value));
    entry.store(DataType::ConnRate, 0, rate);
    entry.store(DataType::HttpReqRate, 0, rate);
    entry.store(DataType::BytesInCnt, 0, Value::Ull(u64::from(value) << 10));
    entry.entry().touch(now);
}

/// How soon one peer reads what another has counted, over real sockets, while all of `sources` count.
///
/// # Errors
/// When nodes cannot be started.
pub async fn delays(
    sources: u32,
    seconds: u64,
) -> Result<Histogram<u64>, Box<dyn std::error::Error>> {
    let clock = Clock::start();
    let listeners: Vec<_> =
        (0..=sources).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let ports: Vec<_> = listeners
        .iter()
        .map(|listener| listener.local_addr().map(|address| address.port()))
        .collect::<Result<_, _>>()?;
    drop(listeners);
    let peer =
        |at: u32, word: &str| format!(" peer p{at} 127.0.0.1:{} {word}\n", ports[at as usize]);
    let mut text = format!("aggregations bench\n{}", peer(0, "local"));
    (1..=sources).for_each(|at| text += &peer(at, ""));
    text += &format!(" table st.local {LOCAL}\n from .local to .agg\n");
    let mut nodes = vec![start(&text, "p0", clock).await?];
    for at in 1..=sources {
        let text = format!(
            "peers bench\n{}{} table st.local {LOCAL}\n table st.agg {LOCAL}\n",
            peer(at, ""),
            peer(0, "")
        );
        nodes.push(start(&text, &format!("p{at}"), clock).await?);
    }
    let table = |at: u32, name: &str| {
        nodes.get(at as usize).and_then(|node| node.table(&format!("bench/{name}"))).cloned()
    };
    let locals: Vec<_> = (1..=sources).filter_map(|at| table(at, "st.local")).collect();
    let read = table(sources, "st.agg").ok_or("no such table")?;
    let written = table(1, "st.local").ok_or("no such table")?;
    // Somebody else's requests.
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let traffic = {
        let stop = Arc::clone(&stop);
        tokio::spawn(async move {
            let mut number = 0_u32;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for _ in 0..20 {
                    number = number.wrapping_add(1);
                    let local = &locals[number as usize % locals.len()];
                    count(local, 1_000_000 + number % 50_000, clock);
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
    };
    let mut delays = Histogram::new(3)?;
    let began = now();
    let mut key = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        key += 1;
        count(&written, key, clock);
        let counted = now();
        let sought = KeySpec::IP.key(&key.to_be_bytes())?;
        while read.get(&sought, clock.now()).is_none() {
            tokio::time::sleep(Duration::from_micros(200)).await;
            if counted.elapsed() > Duration::from_secs(20) {
                return Err("the sum never came".into());
            }
        }
        // The first waits until the sessions are up.
        if key > 1 {
            delays.record(u64::try_from(counted.elapsed().as_micros())?)?;
        }
        // Not in step with the aggregator.
        tokio::time::sleep(Duration::from_millis(u64::from(key * 7 % 40))).await;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    traffic.await?;
    for node in nodes {
        node.stop().await;
    }
    Ok(delays)
}

async fn start(text: &str, name: &str, clock: Clock) -> Result<Node, Box<dyn std::error::Error>> {
    let config = config::parse(&[("bench", text.as_bytes())], &Context::EMPTY)?;
    Ok(Node::start(&config, name, clock).await?)
}

fn count(table: &SharedTable, key: u32, clock: Clock) {
    let now = clock.now();
    let Ok(key) = KeySpec::IP.key(&key.to_be_bytes()) else { return };
    if let Ok(entry) = table.get_or_create(&Key::clone(&key), now) {
        entry.add(DataType::Gpc0, 0, 1, now);
        entry.add(DataType::HttpReqRate, 0, 1, now);
        entry.touch(now);
    }
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).expect("time that has passed"),
        u32::try_from(time.tv_nsec).expect("less than a second"),
    )
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

#[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
fn now() -> Instant {
    Instant::now()
}
