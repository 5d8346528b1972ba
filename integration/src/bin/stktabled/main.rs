//! `stktabled`: stick tables of their own, shared with HAProxy over its peers protocol.

mod args;
mod check;
mod decode;
mod demo;
mod generate;
mod serve;
mod signals;
mod state;
mod supervisor;
mod top;
mod web;

use std::error::Error;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::filter::LevelFilter;

use args::{Args, LogFormat};

fn main() -> ExitCode {
    let args = Args::parse();
    log(args.log_level(), args.log_format);
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            // Nobody may read it; the exit code tells.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    if let Some(document) = args.document()? {
        // Whoever reads it may have seen enough.
        let _ = io::stdout().write_all(&document);
        return Ok(ExitCode::SUCCESS);
    }
    match &args.command {
        Some(args::Command::Generate(wanted)) => {
            let text = generate::run(wanted)?;
            let _ = io::stdout().write_all(text.as_bytes());
            return Ok(ExitCode::SUCCESS);
        }
        Some(args::Command::Decode(wanted)) => return decode::run(wanted),
        Some(args::Command::Top(wanted)) => return top::run(wanted),
        None => {}
    }
    if args.check {
        check::run(args)?;
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if args.demo {
        return runtime.block_on(demo::run(args.duration));
    }
    runtime.block_on(serve::run(args))?;
    Ok(ExitCode::SUCCESS)
}

/// Logs to stderr.
fn log(level: LevelFilter, format: LogFormat) {
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(colours)
        .with_target(false)
        .with_max_level(level);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

/// Writes lines to stdout, which may be closed.
fn say(lines: &str) {
    let mut out = io::stdout();
    let _ = writeln!(out, "{lines}").and_then(|()| out.flush());
}
