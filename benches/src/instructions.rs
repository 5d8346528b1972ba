//! Instructions per operation, counted by callgrind: figures that do not depend on what else the machine does.
//!
//! A probe runs the operation `n` times in a process of its own; two probes of different length are
//! subtracted, so that start-up and filling cancel out. `membarrier` is unknown to valgrind, so it is the form with
//! fences that is counted. Probes are another program ([`probes`]), built without anything of this one, so that counts change
//! only where the tree or the tables do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use probes::Operation;

/// Operations of the shorter and of the longer probe.
const SHORT: u64 = 10_000;
const LONG: u64 = 30_000;
/// By how much, in percent, a count may exceed the recorded one.
pub const TOLERANCE: u64 = 3;

/// Why nothing was counted.
#[derive(Debug)]
pub enum Failure {
    /// Cargo could not be started.
    Cargo(io::Error),
    /// Cargo built no program; it has said why.
    NoProgram,
    /// valgrind could not be started.
    Valgrind(io::Error),
    /// valgrind ran, and printed no count; this is what it printed.
    NoCount(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cargo(error) => write!(f, "cargo: {error}"),
            Self::NoProgram => write!(f, "the probes were not built"),
            Self::Valgrind(error) => write!(f, "valgrind: {error}"),
            Self::NoCount(printed) => write!(f, "valgrind printed no count:\n{printed}"),
        }
    }
}

impl std::error::Error for Failure {}

/// Builds the program that holds the probes, alone, and returns where it is.
///
/// # Errors
/// When there is no cargo, or the program does not build.
pub fn build() -> Result<PathBuf, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--package", "probes"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .stderr(Stdio::inherit())
        .output()
        .map_err(Failure::Cargo)?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let program = output.status.success().then(|| printed.lines().find_map(program)).flatten();
    program.ok_or(Failure::NoProgram)
}

/// Returns the program that a message of cargo's says it has built.
fn program(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    message["executable"].as_str().map(PathBuf::from)
}

/// Counts the instructions of one operation by the program that [`build`] has built.
///
/// # Errors
/// When valgrind is not there, or a probe fails in it.
pub fn count(program: &Path, operation: Operation) -> Result<u64, Failure> {
    let (short, long) = (run(program, operation, SHORT)?, run(program, operation, LONG)?);
    Ok((long - short) / (LONG - SHORT))
}

fn run(program: &Path, operation: Operation, times: u64) -> Result<u64, Failure> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([operation.name(), &times.to_string()])
        .output()
        .map_err(Failure::Valgrind)?;
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    let collected = output.status.success().then(|| {
        let line = printed.lines().find(|line| line.contains("Collected"))?;
        line.rsplit(' ').next()?.parse().ok()
    });
    collected.flatten().ok_or(Failure::NoCount(printed))
}

/// Returns what a record of lines `name count` says of an operation.
#[must_use]
pub fn recorded(record: &str, operation: Operation) -> Option<u64> {
    record.lines().find_map(|line| {
        let (name, count) = line.split_once(' ')?;
        (name == operation.name()).then(|| count.trim().parse().ok())?
    })
}

/// Whether a count is above the recorded one by more than [`TOLERANCE`] percent.
#[must_use]
pub const fn is_worse(count: u64, recorded: u64) -> bool {
    count * 100 > recorded * (100 + TOLERANCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_in_what_cargo_says() {
        let messages = [
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"]},"executable":null}"#,
            "not JSON",
            r#"{"reason":"compiler-artifact","executable":"/somewhere/release/probes"}"#,
            r#"{"reason":"build-finished","success":true}"#,
        ];
        let found = messages.map(program);
        assert_eq!(found, [None, None, Some("/somewhere/release/probes".into()), None]);
    }

    #[test]
    fn a_record_is_read_and_compared() {
        let record = "get 1000\ninsert-remove 5000\nge x\n";
        assert_eq!(recorded(record, Operation::Get), Some(1000));
        assert_eq!(recorded(record, Operation::InsertRemove), Some(5000));
        assert_eq!(recorded(record, Operation::Ge), None);
        assert!(is_worse(1031, 1000) && !is_worse(1030, 1000) && !is_worse(10, 1000));
    }
}
