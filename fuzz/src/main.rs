//! `cargo run --release -p fuzz -- campaign`: every harness in turn, with a summary; `-- torture`: many threads, for as long as you like.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fuzz::{campaign, torture};

#[derive(Parser)]
#[command(
    version,
    about = "Tries to break trees, tables, the protocol, configurations and state files"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs every harness in turn on random input, or guided by coverage, and prints what was tried and what broke.
    Campaign(campaign::Arguments),
    /// Lets many threads loose on trees and tables, and looks at the books.
    Torture(torture::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Campaign(arguments) => arguments.run(),
        Command::Torture(arguments) => arguments.run(),
    }
}
