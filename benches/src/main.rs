//! `cargo run --release -p benches -- report`: compares ours with locked versions and prints a Markdown table.

use std::time::Duration;

use benches::interleave::{Plan, Reached};
use benches::{table, tree};
use clap::{Parser, Subcommand};

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
    },
}

fn row(what: &str, n: u64, plan: Plan, reached: &[Reached]) {
    let Some((ours, others)) = reached.split_first() else { return };
    for other in others {
        println!(
            "| {what} | {n} | {} | {:.2} | {} | {:.2} | {:.2} |",
            plan.threads,
            ours.mops,
            other.name,
            other.mops,
            ours.mops / other.mops
        );
    }
}

fn main() {
    let Command::Report { quick } = Arguments::parse().command;
    let (slices, slice) = if quick { (3, 10) } else { (7, 25) };
    println!("| workload | entries | threads | ours, Mops/s | against | Mops/s | ratio |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for threads in [1, 2, 8] {
        let plan = Plan { slices, slice: Duration::from_millis(slice), threads };
        for n in if quick { vec![10_000] } else { vec![10_000, 1_000_000] } {
            for workload in tree::Workload::ALL {
                row(workload.name(), n, plan, &tree::compare(workload, n, plan));
            }
            row("track", n, plan, &table::compare_track(n, plan));
        }
    }
}
