//! Every harness in turn: what was executed, how fast, and what broke, with the command that shows it again.
//!
//! A harness is an ordinary test that asks bolero for input. So the tests are built and listed by cargo, and each is first run on its
//! corpus; those in which bolero says what it tried are the harnesses, among which the time is shared.

mod build;
mod outcome;

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum};

use build::Target;
use outcome::{Outcome, failure};

/// What runs the harnesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// Random input, on any toolchain.
    Random,
    /// libFuzzer by `cargo bolero`, which must be installed.
    Libfuzzer,
}

/// How a campaign is run.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// For how long, all harnesses together.
    #[arg(long, default_value_t = 10.0, conflicts_with = "executions")]
    minutes: f64,
    /// How many inputs each harness tries, instead of a time.
    #[arg(long)]
    executions: Option<u64>,
    /// Only harnesses with this in their name.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// What runs them.
    #[arg(long, value_enum, default_value_t = Engine::Random)]
    engine: Engine,
    /// A file into which the summary is written too, as Markdown.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Test executables that are built already, instead of all of this package.
    #[arg(long, value_name = "FILE", hide = true)]
    binary: Vec<PathBuf>,
}

/// What became of one harness.
#[derive(Debug)]
struct Ran {
    target: Target,
    corpus: u64,
    executions: u64,
    seconds: f64,
    /// What it said when it broke, and the command that shows it again.
    broke: Option<(String, String)>,
}

impl Arguments {
    /// Runs the campaign; fails if a harness does.
    #[must_use]
    pub fn run(&self) -> ExitCode {
        match self.campaign() {
            Ok(whole) => {
                if whole {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::FAILURE
                }
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }

    /// Returns whether nothing broke.
    fn campaign(&self) -> Result<bool, String> {
        if !self.minutes.is_finite() || self.minutes <= 0.0 {
            return Err("--minutes: expected more than nothing".to_owned());
        }
        if self.engine == Engine::Libfuzzer {
            build::find_cargo_bolero()?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        // A second one ends us at once.
        let heard = ctrlc::set_handler(move || {
            if stopped.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        });
        heard.map_err(|error| format!("Ctrl-C cannot be heard: {error}"))?;
        let mut binaries =
            if self.binary.is_empty() { build::binaries()? } else { build::given(&self.binary) };
        // The campaign's own tests, unless they are asked for.
        binaries.retain(|(name, _)| name != "campaign" || !self.binary.is_empty());
        let mut targets = Vec::new();
        for (name, path) in binaries {
            targets.extend(build::list(&name, &path)?);
        }
        targets.retain(|target| self.only.as_ref().is_none_or(|text| target.test.contains(text)));
        if targets.is_empty() {
            return Err(format!(
                "no test has `{}` in its name",
                self.only.as_deref().unwrap_or_default()
            ));
        }
        println!("{} tests; each is run on its corpus first", targets.len());
        let mut all = Vec::new();
        for target in targets {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            // One input more than its corpus has.
            let first = random(&target, 1, None)?;
            let is_harness = first.outcome.is_some();
            if is_harness || first.broke.is_some() {
                all.push(Ran::begin(target, first));
            }
        }
        let share = self.minutes * 60.0 / all.len().max(1) as f64;
        for ran in &mut all {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            if ran.broke.is_some() {
                continue;
            }
            print!("{:<60} ", ran.target.test);
            // Seen before it runs, or else only a little later.
            let _ = io::stdout().flush();
            let run = match (self.engine, self.executions) {
                (Engine::Random, Some(executions)) => random(&ran.target, executions, None)?,
                (Engine::Random, None) => {
                    random(&ran.target, u64::MAX, Some(Duration::from_secs_f64(share)))?
                }
                (Engine::Libfuzzer, _) => libfuzzer(&ran.target, self.executions, share)?,
            };
            ran.take(run, stop.load(Ordering::Relaxed));
            let how = if ran.broke.is_some() { "BROKE" } else { "ok" };
            println!("{:>12} executions in {:>7.1} s  {how}", ran.executions, ran.seconds);
        }
        let summary = summary(&all);
        println!("\n{summary}");
        if let Some(path) = &self.report {
            fs::write(path, &summary).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(all.iter().all(|ran| ran.broke.is_none()))
    }
}

/// One run of a harness.
#[derive(Debug)]
struct Run {
    outcome: Option<Outcome>,
    /// What it said, if it failed, and the command that shows it again.
    broke: Option<(String, String)>,
}

/// Runs a test on its corpus and on random input.
fn random(target: &Target, executions: u64, time: Option<Duration>) -> Result<Run, String> {
    let time_ms =
        time.map_or(u64::MAX >> 1, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX >> 1));
    let ran = Command::new(&target.path)
        .args(["--exact", &target.test, "--nocapture", "--include-ignored"])
        .env("BOLERO_RANDOM_ITERATIONS", executions.min(u64::MAX >> 1).to_string())
        .env("BOLERO_RANDOM_TEST_TIME_MS", time_ms.to_string())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", target.path.display()))?;
    let said = [ran.stderr, ran.stdout].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let outcome = said[0].lines().find_map(Outcome::read);
    let broke = (!ran.status.success()).then(|| {
        let said = said.concat();
        let (text, seed) = failure(&said);
        (text, target.again(seed.as_deref()))
    });
    Ok(Run { outcome, broke })
}

/// Runs a harness guided by coverage.
fn libfuzzer(target: &Target, executions: Option<u64>, seconds: f64) -> Result<Run, String> {
    let mut command = Command::new(build::cargo());
    command.args(["bolero", "test", "-p", "fuzz", &target.test]);
    command.args(["--rustc-bootstrap", "--sanitizer", "NONE"]);
    match executions {
        Some(executions) => command.arg("-r").arg(executions.to_string()),
        None => command.arg("-T").arg(format!("{}s", seconds.ceil())),
    };
    let ran = command.stdin(Stdio::null()).output();
    let ran = ran.map_err(|error| format!("cargo bolero: {error}"))?;
    let said =
        String::from_utf8_lossy(&ran.stderr).into_owned() + &String::from_utf8_lossy(&ran.stdout);
    let outcome = Outcome::read_libfuzzer(&said, seconds);
    let broke = (!ran.status.success()).then(|| (failure(&said).0, target.again(None)));
    Ok(Run { outcome, broke })
}

impl Ran {
    fn begin(target: Target, run: Run) -> Self {
        let corpus = run.outcome.as_ref().map_or(0, |outcome| outcome.corpus);
        Self { target, corpus, executions: 0, seconds: 0.0, broke: run.broke }
    }

    fn take(&mut self, run: Run, stopped: bool) {
        if let Some(outcome) = run.outcome {
            self.executions = outcome.executions;
            self.seconds = outcome.seconds;
        }
        // Ctrl-C is told to it as well.
        self.broke = run.broke.filter(|_| !stopped);
    }
}

/// Everything as Markdown.
fn summary(all: &[Ran]) -> String {
    let mut text = String::from(
        "| harness | corpus | executions | seconds | a second | |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for ran in all {
        let a_second = if ran.seconds > 0.0 { ran.executions as f64 / ran.seconds } else { 0.0 };
        let how = if ran.broke.is_some() { "**broke**" } else { "" };
        // Writing to memory does not fail.
        let _ = writeln!(
            text,
            "| `{}::{}` | {} | {} | {:.1} | {a_second:.0} | {how} |",
            ran.target.file, ran.target.test, ran.corpus, ran.executions, ran.seconds
        );
    }
    let executions: u64 = all.iter().map(|ran| ran.executions).sum();
    let broke = all.iter().filter(|ran| ran.broke.is_some()).count();
    let _ = writeln!(text, "\n{} harnesses, {executions} executions, {broke} broke", all.len());
    for ran in all {
        if let Some((said, again)) = &ran.broke {
            let _ = write!(
                text,
                "\n## {}\n\n```text\n{said}\n```\n\nAgain: `{again}`\n",
                ran.target.test
            );
        }
    }
    text
}
