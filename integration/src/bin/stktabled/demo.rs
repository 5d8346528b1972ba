//! `--demo`: two nodes in this process, a peers connection over TCP between them, traffic on both.
//!
//! Each node counts keys of its own. Peers overwrite what they learn and never add to it: if both counted one key,
//! each would undo what the other counted.

mod compare;
mod sample;
mod traffic;
mod view;

use std::error::Error;
use std::io::{self, IsTerminal as _};
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use stktable_integration::config::{self, Context};
use stktable_integration::node::StartError;
use stktable_integration::peers::driver;
use stktable_integration::{Clock, Node};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::say;
use crate::signals::Signals;
use compare::Compared;
use sample::Sample;
use view::View;

/// How long the demo lasts where nobody can press Ctrl-C.
const UNATTENDED: Duration = Duration::from_secs(30);
/// How long the nodes may take to be connected.
const CONNECT_MAX: Duration = Duration::from_secs(15);
/// How long after the traffic the tables may take to be equal, and an entry to expire on each node.
const CONVERGE_MS: u64 = 15_000;
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How often other ports are tried, should another process take them first.
const ATTEMPTS: u32 = 5;

/// The tables by their place in the configuration.
const TABLES: [&str; 3] = ["clients", "keys", "sessions"];

/// Both nodes.
struct Pair {
    nodes: [Node; 2],
}

impl Pair {
    /// Starts both from one configuration, on free ports.
    async fn start(clock: Clock) -> Result<(Self, String), Box<dyn Error>> {
        let mut attempt = 1;
        loop {
            let text = configuration()?;
            let config = config::parse(&[("(demo)", text.as_bytes())], &Context::EMPTY)?;
            let started = match Node::start(&config, "a", clock).await {
                Ok(a) => Node::start(&config, "b", clock).await.map(|b| Self { nodes: [a, b] }),
                Err(error) => Err(error),
            };
            match started {
                Ok(pair) => return Ok((pair, text)),
                Err(error) if attempt < ATTEMPTS && is_in_use(&error) => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Compares each table of both nodes.
    fn compare(&self, clock: Clock) -> Vec<Compared> {
        let [a, b] = &self.nodes;
        let now = clock.now();
        a.tables().iter().zip(b.tables()).map(|(a, b)| compare::tables(a, b, now)).collect()
    }

    /// Whether an entry expired on each node.
    fn both_expired(&self) -> bool {
        self.nodes.iter().all(|node| sample::expired(node) > 0)
    }
}

fn is_in_use(error: &StartError) -> bool {
    matches!(error, StartError::Section { error: driver::StartError::Listen { error, .. }, .. }
        if error.kind() == io::ErrorKind::AddrInUse)
}

/// Returns a configuration for both nodes, with ports that are free now.
fn configuration() -> io::Result<String> {
    let listeners = [
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
    ];
    let [a, b] = [listeners[0].local_addr()?, listeners[1].local_addr()?];
    let [clients, keys, sessions] = TABLES;
    Ok(format!(
        "peers demo\n\
         \x20   peer a {a}\n\
         \x20   peer b {b}\n\
         \x20   table {clients} type ip size 20k expire 30s store conn_cur,http_req_cnt,http_req_rate(10s),http_err_cnt,bytes_out_cnt\n\
         \x20   table {keys} type string len 32 size 10k expire 10s store gpt0,gpc0,gpc0_rate(5s)\n\
         \x20   table {sessions} type integer size 10k expire 3s store gpt0,bytes_in_cnt\n"
    ))
}

/// Runs the demo for that long, or until Ctrl-C on a terminal and else for 30 s. Fails unless both nodes
/// end with the same tables, and an entry expired on each.
pub(crate) async fn run(duration: Option<Duration>) -> Result<ExitCode, Box<dyn Error>> {
    let mut signals = Signals::listen()?;
    let on_terminal = io::stdout().is_terminal();
    let duration = duration.or(if on_terminal { None } else { Some(UNATTENDED) });
    let clock = Clock::start();
    let (pair, text) = Pair::start(clock).await?;
    // Wrapped, for terminals of 80 columns.
    let shown = text.replace(" store ", "\n          store ");
    say(&format!("Two nodes, one configuration:\n{shown}{}", traffic::ABOUT));

    // What is counted before is learned later, and lives on from then.
    let connected = async {
        while !Sample::take(&pair, clock.now()).nodes.iter().all(|node| node.up) {
            sleep(LOOK).await;
        }
    };
    tokio::select! {
        connected = timeout(CONNECT_MAX, connected) => {
            connected.map_err(|_| "FAILED: the nodes found no connection to each other")?;
        }
        _ = signals.stop() => return Ok(ExitCode::FAILURE),
    }

    let (stop, stopped) = watch::channel(false);
    let traffic: Vec<_> = (1..)
        .zip(&pair.nodes)
        .map(|(number, node)| {
            tokio::spawn(traffic::run(node.tables().to_vec(), number, clock, stopped.clone()))
        })
        .collect();

    let mut view = View::start(on_terminal, duration);
    let mut previous = Sample::take(&pair, clock.now());
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first comes at once, before there is anything to see.
    seconds.tick().await;
    let over = async {
        match duration {
            Some(duration) => sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => break,
            _ = signals.stop() => break,
            _ = seconds.tick() => {
                let sample = Sample::take(&pair, clock.now());
                view.show(&sample, &previous, &pair.compare(clock));
                previous = sample;
            }
        }
    }
    // The receivers are the tasks that end now.
    let _ = stop.send(true);
    for task in traffic {
        task.await?;
    }
    let ended = clock.now();
    let mut compared = pair.compare(clock);
    while !(is_equal(&compared) && pair.both_expired()) && clock.now().since(ended) < CONVERGE_MS {
        sleep(LOOK).await;
        compared = pair.compare(clock);
    }
    let took_ms = clock.now().since(ended);
    let sample = Sample::take(&pair, clock.now());
    view.show(&sample, &previous, &compared);
    view.end();

    let good = is_equal(&compared) && pair.both_expired();
    say(&verdict(&pair, &compared, took_ms, good));
    let Pair { nodes: [a, b] } = pair;
    tokio::join!(a.stop(), b.stop());
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether something was compared, and nothing differs.
fn is_equal(compared: &[Compared]) -> bool {
    compared.iter().any(|table| table.entries > 0) && compared.iter().all(|table| table.differ == 0)
}

fn verdict(pair: &Pair, compared: &[Compared], took_ms: u64, good: bool) -> String {
    let mut text = format!("The traffic has stopped. {took_ms} ms later:\n");
    for table in compared {
        text += &format!("  {table}\n");
    }
    let [a, b] = &pair.nodes;
    text += &format!("  expired on a: {}, on b: {}\n", sample::expired(a), sample::expired(b));
    text += if good {
        "OK: both nodes have the same tables"
    } else if is_equal(compared) {
        "FAILED: no entry expired on one of the nodes"
    } else {
        "FAILED: the tables differ"
    };
    text += &format!(" ({})", compare::RULES);
    text
}
