//! Instructions per operation, counted by callgrind: figures that do not depend on what else the machine does.
//!
//! A probe runs the operation `n` times in a process of its own; two probes of different length are
//! subtracted, so that start-up and filling cancel out. `membarrier` is unknown to valgrind, so it is the form with
//! fences that is counted.

use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::process::Command;

use ebtree::{Domain, EbTree};

use crate::random::{Random, mix};

/// Entries in the tree that is probed.
const ENTRIES: u64 = 10_000;
/// Operations of the shorter and of the longer probe.
const SHORT: u64 = 10_000;
const LONG: u64 = 30_000;
/// By how much, in percent, a count may exceed the recorded one.
pub const TOLERANCE: u64 = 3;

/// An operation that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Operation {
    /// Looks up a key that is there.
    Get,
    /// Inserts a key that is not there, and removes it: the sum of both.
    InsertRemove,
    /// Inserts a key above all others, and takes the smallest: the sum of both.
    InsertPop,
    /// Finds the next entry from a random key.
    Ge,
    /// Looks a key up that is there, in a map with a fanned-out root.
    GetFanned,
    /// Looks at a hundred entries in order.
    Scan,
    /// Looks up sixteen keys that are there, at once.
    Get16,
    /// Finds the entry of a client in a table, counts a request of it in a counter and a rate, and refreshes it.
    Track,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Get,
        Self::InsertRemove,
        Self::InsertPop,
        Self::Ge,
        Self::GetFanned,
        Self::Scan,
        Self::Get16,
        Self::Track,
    ];

    /// Returns the name in the record.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::InsertRemove => "insert-remove",
            Self::InsertPop => "insert-pop",
            Self::Ge => "ge",
            Self::GetFanned => "get-fanned",
            Self::Scan => "scan",
            Self::Get16 => "get16",
            Self::Track => "track",
        }
    }

    /// Runs the operation `times` times on a tree of random keys.
    ///
    /// # Panics
    /// When the tree answers wrongly.
    pub fn probe(self, times: u64) {
        if self == Self::Track {
            return crate::table::probe_track(10_000, times);
        }
        let bits = if self == Self::GetFanned { ENTRIES.next_power_of_two().ilog2() } else { 0 };
        let tree = EbTree::builder().domain(Domain::new()).fan_out(bits).build();
        for number in 0..ENTRIES {
            tree.insert(if self == Self::InsertPop { number } else { mix(number) }, number);
        }
        let mut random = Random::new(1);
        for turn in 0..times {
            let number = random.below(ENTRIES);
            match self {
                Self::Get | Self::GetFanned => {
                    assert_eq!(tree.get_with(&mix(number), |v| *v), Some(number))
                }
                Self::InsertRemove => {
                    let key = mix(ENTRIES + number);
                    assert!(tree.insert(key, number).is_none());
                    assert!(tree.remove(&key).is_some());
                }
                Self::InsertPop => {
                    tree.insert(ENTRIES + turn, number);
                    assert_eq!(tree.pop_first().map(|entry| *entry.key()), Some(turn));
                }
                Self::Ge => {
                    let key = mix(number);
                    assert_eq!(tree.ge(&key).map(|entry| *entry.key()), Some(key));
                }
                Self::Track => unreachable!("not of a tree"),
                Self::Get16 => {
                    let keys: [u64; 16] =
                        std::array::from_fn(|more| mix((number + more as u64 * 500) % ENTRIES));
                    let mut found = 0;
                    tree.get_many_with(&keys, |key, number| {
                        found += usize::from(number.is_some_and(|number| mix(*number) == *key));
                    });
                    assert_eq!(found, 16);
                }
                Self::Scan => {
                    let mut left = 100;
                    let _ = tree.range_with(mix(number).., |key, number| {
                        assert_eq!(*key, mix(*number));
                        left -= 1;
                        if left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                    });
                }
            }
        }
    }
}

/// Why nothing was counted.
#[derive(Debug)]
pub enum Failure {
    /// valgrind could not be started.
    Valgrind(io::Error),
    /// valgrind ran, and printed no count; this is what it printed.
    NoCount(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Valgrind(error) => write!(f, "valgrind: {error}"),
            Self::NoCount(printed) => write!(f, "valgrind printed no count:\n{printed}"),
        }
    }
}

impl std::error::Error for Failure {}

/// Counts the instructions of one operation.
///
/// # Errors
/// When valgrind is not there, or a probe fails in it.
pub fn count(operation: Operation) -> Result<u64, Failure> {
    let (short, long) = (run(operation, SHORT)?, run(operation, LONG)?);
    Ok((long - short) / (LONG - SHORT))
}

fn run(operation: Operation, times: u64) -> Result<u64, Failure> {
    let this = std::env::current_exe().map_err(Failure::Valgrind)?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args(["probe", operation.name(), &times.to_string()])
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
    fn a_record_is_read_and_compared() {
        let record = "get 1000\ninsert-remove 5000\nge x\n";
        assert_eq!(recorded(record, Operation::Get), Some(1000));
        assert_eq!(recorded(record, Operation::InsertRemove), Some(5000));
        assert_eq!(recorded(record, Operation::Ge), None);
        assert!(is_worse(1031, 1000) && !is_worse(1030, 1000) && !is_worse(10, 1000));
    }

    #[test]
    fn probes_answer() {
        for operation in Operation::ALL {
            operation.probe(100);
        }
    }
}
