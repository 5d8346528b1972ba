//! `cargo run --release -p benches -- report`: compares ours with locked versions and prints a Markdown table.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use benches::instructions;
use benches::interleave::{Plan, Reached};
use benches::{peers, sums, table, tree};
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
    /// Prints a Markdown table of throughputs and ratios, losses included.
    Report {
        /// Fewer and shorter slices: about ten seconds in all.
        #[arg(long)]
        quick: bool,
        /// Ask the system for huge pages for our trees.
        #[arg(long)]
        huge_pages: bool,
        /// Only the tables.
        #[arg(long, conflicts_with = "workloads")]
        tables: bool,
        /// Only what tables cost beside requests.
        #[arg(long, conflicts_with_all = ["workloads", "tables"])]
        lives: bool,
        /// Only these, instead of all.
        #[arg(long = "workload", value_enum)]
        workloads: Vec<tree::Workload>,
    },
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

/// Prints one comparison: what each reached, and the ratio of each of ours to it.
fn rows(what: &str, n: u64, plan: Plan, ours: usize, reached: &[Reached]) {
    for one in reached {
        let ratios = reached[..ours].iter().map(|mine| format!(" {:.2} |", mine.mops / one.mops));
        let ratios: String = ratios.collect();
        println!("| {what} | {n} | {} | {} | {:.2} |{ratios}", plan.threads, one.name, one.mops);
    }
}

fn report(quick: bool, workloads: &[tree::Workload], tables: bool, lives: bool) {
    let (slices, slice) = if quick { (3, 10) } else { (7, 25) };
    let plans =
        [1, 2, 8].map(|threads| Plan { slices, slice: Duration::from_millis(slice), threads });
    let sizes: &[u64] = if quick { &[10_000] } else { &[10_000, 1_000_000] };
    if !workloads.is_empty() {
        println!("| workload | entries | threads | map | Mops/s | ebtree ÷ it | fanned out ÷ it |");
        println!("| --- | --- | --- | --- | --- | --- | --- |");
    }
    for n in sizes {
        for workload in workloads {
            for plan in plans {
                rows(workload.name(), *n, plan, 2, &tree::compare(*workload, *n, plan));
            }
        }
    }
    if tables {
        report_tables(sizes, &plans);
    }
    if lives {
        report_lives(sizes);
    }
}

fn report_tables(sizes: &[u64], plans: &[Plan]) {
    println!("\n| workload | entries | threads | table | Mops/s | stktable ÷ it | at once ÷ it |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for n in sizes {
        for spread in [table::Spread::Uniform, table::Spread::Zipf] {
            for plan in plans {
                let clients = u32::try_from(*n).expect("at most 2^32 clients");
                let reached = table::compare_track(clients, spread, *plan);
                rows(&format!("track, {}", spread.name()), *n, *plan, 2, &reached);
            }
        }
    }
}

fn report_lives(sizes: &[u64]) {
    for n in sizes {
        println!("\n| {n} entries | threads | |\n| --- | --- | --- |");
        table::life::measure(u32::try_from(*n).expect("at most 2^32 clients"), |figure| {
            println!("{figure}");
        });
    }
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
        Command::Report { quick, huge_pages, tables, lives, workloads } => {
            ebtree::advise_huge_pages(huge_pages);
            let all = workloads.is_empty() && !tables && !lives;
            let workloads = if all { &tree::Workload::ALL[..] } else { &workloads };
            report(quick, workloads, all || tables, all || lives);
        }
        Command::Instructions { record } => return count_instructions(record),
        Command::Peers(arguments) => return arguments.run(),
        Command::PeersCompare(arguments) => return arguments.run(),
        Command::Sums { keys, rounds, seconds } => return report_sums(keys, rounds, seconds),
        Command::PeersDecode(arguments) => return arguments.run(),
        Command::PeersLookups(arguments) => return arguments.run(),
        #[cfg(feature = "rivals")]
        Command::Limits { slice_ms } => return benches::limits::report(slice_ms),
    }
    ExitCode::SUCCESS
}
