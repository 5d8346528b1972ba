//! The words of the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::compare::{Comparison, HEADING};
use super::stalls;
use super::{Load, Mode, Order, Table, decode, lookups};

/// What a table is declared with unless told otherwise: what the comparison is made with.
const WORDS: &str = "type ip expire 30m store gpc0,conn_rate(10s),http_req_rate(10s),bytes_in_cnt";

/// Options of `peers`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Where the target listens for peers.
    #[arg(long, value_name = "ADDRESS:PORT")]
    target: SocketAddr,
    /// What to do, one after the other.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "ingest,re-update,teach")]
    mode: Vec<Mode>,
    /// How many entries.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    entries: u32,
    /// How many connections share them. Each is a peer of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    connections: u32,
    /// What our names begin with; a number from 1 follows. The target must know NAME1, NAME2 and so on as peers.
    #[arg(long, value_name = "NAME", default_value = "gen")]
    local: String,
    /// The name of the target.
    #[arg(long, value_name = "NAME", default_value = "target")]
    remote: String,
    /// The table on the network: with a slash before its name for one of a `peers` section, else the name of its proxy.
    #[arg(long, value_name = "NAME", default_value = "/t")]
    table: String,
    /// The table in the words of a configuration; key type, length and periods as the target has them.
    #[arg(long, value_name = "WORDS", default_value = WORDS)]
    declare: String,
    /// In which order the keys come.
    #[arg(long, value_enum, default_value = "random")]
    order: Order,
    /// Send values that need five bytes each, instead of one.
    #[arg(long)]
    wide: bool,
    /// The process of the target: then its processor time and memory are reported.
    #[arg(long)]
    pid: Option<u32>,
    /// For how many seconds the target may do nothing.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    patience: u64,
}

/// Options of `peers-compare`.
#[derive(Clone, Debug, clap::Args)]
pub struct CompareArguments {
    /// How many entries.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    entries: u32,
    /// How often each part is run; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The table in the words of a configuration, without its size.
    #[arg(long, value_name = "WORDS", default_value = WORDS)]
    declare: String,
    /// The program of HAProxy.
    #[arg(long, default_value = "haproxy")]
    haproxy: PathBuf,
    /// Ours [default: `stktabled` beside this program].
    #[arg(long)]
    stktabled: Option<PathBuf>,
    /// For how many seconds a program may do nothing.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
    /// Measures commands on a full table instead, and whom they hold up.
    #[arg(long)]
    stalls: bool,
}

/// Options of `peers-decode`.
#[derive(Clone, Debug, clap::Args)]
pub struct DecodeArguments {
    /// How many updates a pass has.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    entries: u32,
    /// The shortest of so many passes counts.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    passes: u32,
    /// The table in the words of a configuration.
    #[arg(long, value_name = "WORDS", default_value = WORDS)]
    declare: String,
    /// Values need five bytes each, instead of one.
    #[arg(long)]
    wide: bool,
}

/// Options of `peers-lookups`.
#[derive(Clone, Debug, clap::Args)]
pub struct LookupArguments {
    /// How many entries.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    entries: u32,
    /// How often the three parts take turns.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How many milliseconds each part lasts at least.
    #[arg(long, value_name = "MS", default_value_t = 2000)]
    time: u64,
    /// The table in the words of a configuration, without its size.
    #[arg(long, value_name = "WORDS", default_value = WORDS)]
    declare: String,
}

impl LookupArguments {
    /// Runs the measurement, and prints its rows.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds are far below 2^52")]
    pub fn run(self) -> ExitCode {
        let time = Duration::from_millis(self.time);
        match lookups::measure(&self.declare, self.entries, time, self.rounds) {
            Ok(found) => {
                println!("| during | look-ups | p50 | p99 | p99.9 | p99 ÷ idle |");
                println!("| --- | --- | --- | --- | --- | --- |");
                let idle = found.first().map_or(f64::NAN, |idle| idle.p99 as f64);
                for lookups::Latencies { during, count, p50, p99, p999 } in found {
                    let ratio = p99 as f64 / idle;
                    println!(
                        "| {during} | {count} | {p50} ns | {p99} ns | {p999} ns | {ratio:.2} |"
                    );
                }
                ExitCode::SUCCESS
            }
            Err(error) => failed(&error),
        }
    }
}

impl Arguments {
    /// Runs the parts, and prints what each came to.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let table = match Table::new(&self.table, &sized(&self.declare), self.wide) {
            Ok(table) => table,
            Err(error) => return failed(&error),
        };
        eprintln!("{} as `{}`", self.table, table.line());
        let load = Load {
            target: self.target,
            remote: self.remote,
            local: self.local,
            connections: self.connections,
            table,
            entries: self.entries,
            order: self.order,
            pid: self.pid,
            patience: Duration::from_secs(self.patience),
        };
        for mode in self.mode {
            match load.run(mode) {
                Ok(figures) => println!("{figures}"),
                Err(error) => return failed(&error),
            }
        }
        ExitCode::SUCCESS
    }
}

impl CompareArguments {
    /// Runs the comparison, and prints its rows.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let beside = || {
            let mut path = std::env::current_exe().unwrap_or_default();
            path.set_file_name("stktabled");
            path
        };
        let comparison = Comparison {
            haproxy: self.haproxy,
            stktabled: self.stktabled.unwrap_or_else(beside),
            words: self.declare,
            entries: self.entries,
            rounds: self.rounds,
            patience: Duration::from_secs(self.patience),
        };
        if self.stalls {
            return match comparison.stalls(|what| eprintln!("{what}")) {
                Ok(rows) => {
                    println!("{}", stalls::HEADING);
                    rows.iter().for_each(|row| println!("{row}"));
                    ExitCode::SUCCESS
                }
                Err(error) => failed(&error),
            };
        }
        match comparison.run(|what| eprintln!("{what}")) {
            Ok(rows) => {
                println!("{HEADING}");
                rows.iter().for_each(|row| println!("{row}"));
                ExitCode::SUCCESS
            }
            Err(error) => failed(&error),
        }
    }
}

impl DecodeArguments {
    /// Runs the decoder, and prints how fast it was.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let table = match Table::new("/t", &sized(&self.declare), self.wide) {
            Ok(table) => table,
            Err(error) => return failed(&error),
        };
        let decoded = decode::measure(&table, self.entries, self.passes);
        println!("{:.1} M updates/s on one core", decoded.mops());
        ExitCode::SUCCESS
    }
}

/// The words with a size, which a declaration must have and which does not travel.
fn sized(words: &str) -> String {
    if words.split_whitespace().any(|word| word == "size") {
        words.to_owned()
    } else {
        format!("{words} size 1")
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}
