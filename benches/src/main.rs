//! `cargo run --release -p benches -- report`: compares ours with locked versions, and with other crates, and writes a report.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use benches::{instructions, memory, peers, report, scaling, sums};
use clap::{Parser, Subcommand};
use hdrhistogram::Histogram;
use probes::Operation;

#[derive(Parser)]
#[command(
    version,
    about = "Compares ebtree and stktable with locked versions, all in one process, taking turns"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures throughput, latencies, processor time, memory and garbage, and writes a report.
    Report(report::cli::Arguments),
    /// Predicts how look-ups scale to more cores, from a model that is checked on two first.
    Scaling(scaling::Arguments),
    /// Counts instructions per operation with valgrind, and fails if one is above the recorded count.
    Instructions {
        /// Write the counts down instead of comparing them.
        #[arg(long)]
        record: bool,
    },
    /// Loads a peer, HAProxy or stktabled, and says what that costs it.
    Peers(peers::cli::Arguments),
    /// Loads HAProxy and stktabled in turn, and prints a Markdown table of what it cost both, losses included.
    PeersCompare(peers::cli::CompareArguments),
    /// Measures the decoder of the peers protocol alone.
    PeersDecode(peers::cli::DecodeArguments),
    /// Measures sums over peers: what they cost, and how soon they are known.
    Sums {
        /// Keys that every source has.
        #[arg(long, default_value_t = 20_000)]
        keys: u32,
        /// How often each source tells all of them.
        #[arg(long, default_value_t = 3)]
        rounds: u32,
        /// For how long delays are measured.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// Measures look-ups in a process that is idle, teaches, and is taught.
    PeersLookups(peers::cli::LookupArguments),
    /// Measures what a limit costs a service: requests per second of axum with and without one, beside tower_governor and Redis.
    #[cfg(feature = "rivals")]
    Limits {
        /// For how long each is asked over the network in each of five rounds.
        #[arg(long, default_value_t = 500)]
        slice_ms: u64,
    },
    /// Prints the bytes of an entry of a contestant: what the report runs in processes of their own.
    #[command(hide = true)]
    MemoryOf { name: String, entries: u32 },
}

fn report_sums(keys: u32, rounds: u32, seconds: u64) -> ExitCode {
    println!(
        "| sources | updates | sums told | kept, s a million | combined, s a million | bytes a key and source |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for sources in [4, 50] {
        println!("{}", sums::cost(sources, keys, rounds));
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let between = |who: &str, measured: Result<Histogram<u64>, Box<dyn Error>>| match measured {
        Ok(delays) => {
            let ms = |quantile| delays.value_at_quantile(quantile) as f64 / 1e3;
            println!(
                "\nfrom an event at one of three {who} to the sum at another, {} times, while all count: p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms",
                delays.len(),
                ms(0.5),
                ms(0.99),
                delays.max() as f64 / 1e3
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{who}: {error}");
            ExitCode::FAILURE
        }
    };
    let ours = between("peers", runtime.block_on(sums::delays(3, seconds)));
    if ours != ExitCode::SUCCESS {
        return ours;
    }
    between("HAProxy processes", runtime.block_on(sums::haproxies::delays(seconds)))
}

fn memory_of(name: &str, entries: u32) -> ExitCode {
    match memory::of_this_process(name, entries) {
        Ok(Some(bytes)) => {
            println!("{bytes}");
            return ExitCode::SUCCESS;
        }
        Ok(None) => eprintln!("{name}: no such contestant"),
        Err(error) => eprintln!("{error}"),
    }
    ExitCode::FAILURE
}

fn count_instructions(write: bool) -> ExitCode {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.txt");
    let record = std::fs::read_to_string(&path).unwrap_or_default();
    let mut written = String::new();
    let mut worse = false;
    let program = match instructions::build() {
        Ok(program) => program,
        Err(failure) => {
            eprintln!("{failure}");
            return ExitCode::FAILURE;
        }
    };
    println!("| operation | instructions | recorded |");
    println!("| --- | --- | --- |");
    for operation in Operation::ALL {
        let count = match instructions::count(&program, operation) {
            Ok(count) => count,
            Err(failure) => {
                eprintln!("{failure}");
                return ExitCode::FAILURE;
            }
        };
        let before = instructions::recorded(&record, operation);
        let recorded = before.map_or_else(|| "none".to_owned(), |before| before.to_string());
        println!("| {} | {count} | {recorded} |", operation.name());
        written += &format!("{} {count}\n", operation.name());
        worse |= before.is_none_or(|before| instructions::is_worse(count, before));
    }
    if write {
        if let Err(error) = std::fs::write(&path, written) {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
        return ExitCode::SUCCESS;
    }
    if worse {
        eprintln!(
            "more than {} % above {}; if that is meant, run again with --record",
            instructions::TOLERANCE,
            path.display()
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Report(arguments) => arguments.run(),
        Command::Scaling(arguments) => arguments.run(),
        Command::Instructions { record } => count_instructions(record),
        Command::Peers(arguments) => arguments.run(),
        Command::PeersCompare(arguments) => arguments.run(),
        Command::Sums { keys, rounds, seconds } => report_sums(keys, rounds, seconds),
        Command::PeersDecode(arguments) => arguments.run(),
        Command::PeersLookups(arguments) => arguments.run(),
        #[cfg(feature = "rivals")]
        Command::Limits { slice_ms } => benches::limits::report(slice_ms),
        Command::MemoryOf { name, entries } => memory_of(&name, entries),
    }
}
