//! What is found, one record for each job.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::contestant::Who;
use crate::garbage::Garbage;
use crate::interleave::Reached;
use crate::table::life::Figure;

/// A comparison: everybody does the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// What they do, see [`Workload::name`](crate::workload::Workload::name).
    pub workload: String,
    /// How keys are spread; empty where none are drawn.
    pub keys: String,
    /// Entries of each map.
    pub entries: u64,
    /// Threads that work at once.
    pub threads: usize,
}

impl Case {
    /// Returns the workload, and how keys are spread.
    #[must_use]
    pub fn work(&self) -> String {
        match self.keys.as_str() {
            "" => self.workload.clone(),
            keys => format!("{}, {keys}", self.workload),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.threads == 1 { "" } else { "s" };
        write!(f, "{}, {} entries, {} thread{s}", self.work(), self.entries, self.threads)
    }
}

/// What one job found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Record {
    /// What contestants reached.
    Compared {
        /// In which case.
        #[serde(flatten)]
        case: Case,
        /// The part of the machine's processor time that others took meanwhile.
        others: f64,
        /// Each of them.
        reached: Vec<Reached>,
    },
    /// What an entry takes.
    Memory {
        /// Of whom.
        #[serde(flatten)]
        who: Who,
        /// Whether it is a table of clients, not a map.
        is_table: bool,
        /// How many entries there were.
        entries: u32,
        /// Bytes of each.
        bytes: f64,
    },
    /// What a stalled reader keeps.
    Garbage(Garbage),
    /// What a table costs beside requests.
    Lives {
        /// Of how many entries.
        entries: u32,
        /// Line by line.
        figures: Vec<Figure>,
    },
}
