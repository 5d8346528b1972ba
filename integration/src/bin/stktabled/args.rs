//! The command line.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, ArgGroup, CommandFactory as _, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use stktable_integration::metrics;
use stktable_integration::runtime_api::server::Socket;

use crate::decode::Decode;
use crate::generate::Generate;
use crate::top::Top;
use tracing_subscriber::filter::LevelFilter;

/// Runs HAProxy's stick tables, and shares them with its peers.
///
/// Without -f the built-in configuration runs on loopback addresses.
#[derive(Debug, Parser)]
#[command(
    name = "stktabled",
    version,
    disable_version_flag = true,
    args_conflicts_with_subcommands = true,
    group(ArgGroup::new("numbers").args(["metrics", "http"]).multiple(true))
)]
pub(crate) struct Args {
    /// An HAProxy configuration file, or a folder of *.cfg files; may be repeated.
    #[arg(short = 'f', value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Which peer of the sections we are [default: `localpeer` of the configuration, or the host name].
    #[arg(short = 'L', value_name = "NAME")]
    pub(crate) local_peer: Option<String>,

    /// Checks the configuration and exits.
    #[arg(short = 'c', conflicts_with = "demo")]
    pub(crate) check: bool,

    /// Where to serve the runtime API: a loopback ADDRESS:PORT, or the path of a Unix socket; behind it the words of `stats socket`, such
    /// as "/run/stktabled.sock mode 660 group haproxy level admin"
    /// [default: the `stats socket` lines of the configuration that are free, without -f a free port].
    #[arg(long, value_name = "SOCKET", conflicts_with = "demo")]
    pub(crate) runtime_api: Option<Socket>,

    /// Where to serve /metrics, /healthz and /readyz over HTTP [default: nowhere].
    #[arg(long, value_name = "ADDR:PORT", conflicts_with = "demo")]
    pub(crate) metrics: Option<SocketAddr>,

    /// Shows at /metrics which keys have the largest values of a data type, so many of each table that stores it; may be repeated.
    /// Whoever reads the metrics then sees keys, and each time every entry is looked at.
    #[arg(long, value_name = "TYPE=N", requires = "numbers")]
    pub(crate) metrics_top: Vec<metrics::Top>,

    /// Where to serve a page that shows tables and peers, the HTTP API of both (/v1/openapi.json), and what --metrics serves
    /// [default: nowhere]. Off the loopback only with --http-tokens or --http-accept-from.
    #[arg(long, value_name = "ADDR:PORT", conflicts_with = "demo")]
    pub(crate) http: Option<SocketAddr>,

    /// A file whose lines are `read TOKEN` or `write TOKEN`: who uses the HTTP API needs one of them; numbers and health need none. Without it,
    /// clients on this machine may do everything, and others read. Read again on SIGHUP.
    #[arg(long, value_name = "FILE", requires = "http")]
    pub(crate) http_tokens: Option<PathBuf>,

    /// The networks from which HTTP clients may connect, separated by commas [default: all].
    #[arg(long, value_name = "CIDR", requires = "http", value_delimiter = ',')]
    pub(crate) http_accept_from: Vec<IpNet>,

    /// A name that HTTP clients call this host by, beside its addresses and `localhost`; may be repeated.
    #[arg(long, value_name = "NAME", requires = "http")]
    pub(crate) http_name: Vec<String>,

    /// A file that keeps the tables: read at the start, written at the end and every now and then.
    #[arg(long, value_name = "FILE", conflicts_with = "demo")]
    pub(crate) state: Option<PathBuf>,

    /// How often the state file is written [default: 60s].
    #[arg(long, value_name = "DURATION", requires = "state", value_parser = duration)]
    pub(crate) state_every: Option<Duration>,

    /// Takes the place of the process with this id, which is told to stop (SIGUSR1) once we listen, and teaches us what it knows.
    #[arg(long, value_name = "PID", conflicts_with = "demo", value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) take_over: Option<i32>,

    /// Keeps tables in huge pages, where the system has them: large ones are taught and looked up faster, new entries cost a little more.
    #[arg(long)]
    pub(crate) huge_pages: bool,

    /// Runs two nodes with traffic, shows how their tables follow each other, and compares them.
    #[arg(long, conflicts_with_all = ["files", "local_peer"])]
    pub(crate) demo: bool,

    /// How long the demo lasts, such as 30s [default: until Ctrl-C on a terminal, else 30s].
    #[arg(long = "for", value_name = "DURATION", requires = "demo", value_parser = duration)]
    pub(crate) duration: Option<Duration>,

    /// Says nothing but errors.
    #[arg(short = 'q', long = "quiet", conflicts_with = "log")]
    pub(crate) quiet: bool,

    /// What is logged to stderr: off, error, warn, info, debug or trace [default: info with -f, else warn].
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log: Option<LevelFilter>,

    /// How it is logged: lines for people, or a JSON object in each.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,

    /// Prints what completes this command line in a shell, and exits.
    #[arg(long, value_name = "SHELL", value_enum, exclusive = true)]
    pub(crate) completions: Option<clap_complete::Shell>,

    /// Prints the manual page, and exits.
    #[arg(long, exclusive = true)]
    pub(crate) man: bool,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Prints the version.
    #[arg(short = 'v', long = "version", action = ArgAction::Version)]
    version: Option<bool>,
}

/// What else it does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Prints the lines to paste into each HAProxy, and the file of stktabled, for a topology.
    Generate(Generate),
    Decode(Decode),
    Top(Top),
}

/// How it is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// A JSON object in each line.
    Json,
}

impl Args {
    /// Returns what completes the command line in a shell, or the manual page, if that was asked for.
    pub(crate) fn document(&self) -> io::Result<Option<Vec<u8>>> {
        let mut command = Self::command();
        let mut out = Vec::new();
        if let Some(shell) = self.completions {
            clap_complete::generate(shell, &mut command, "stktabled", &mut out);
        } else if self.man {
            clap_mangen::Man::new(command).render(&mut out)?;
        } else {
            return Ok(None);
        }
        Ok(Some(out))
    }

    /// Returns what is logged.
    pub(crate) fn log_level(&self) -> LevelFilter {
        self.log.unwrap_or(match () {
            () if self.quiet => LevelFilter::ERROR,
            // Its screen is the better log.
            () if self.demo => LevelFilter::ERROR,
            () if self.files.is_empty() || self.check => LevelFilter::WARN,
            () => LevelFilter::INFO,
        })
    }
}

/// Reads a number with a unit of HAProxy's: `ms`, `s`, `m`, `h`; seconds without one.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a number with ms, s, m or h after it, such as 30s".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit_ms = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    // A year is as good as for ever, and no clock overflows.
    let ms = number.saturating_mul(unit_ms).min(365 * 24 * 3_600_000);
    if ms == 0 {
        Err("expected more than nothing".to_owned())
    } else {
        Ok(Duration::from_millis(ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("99999999999999999999").is_err());
        for wrong in ["", "s", "-1s", "1.5s", "0", "0ms", "3d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
