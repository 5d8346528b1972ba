//! What is to be measured: every workload with every spread of keys, size and number of threads, and what is beside.

use std::time::Duration;

use super::record::Case;
use crate::interleave::Plan;
use crate::keys::Spread;
use crate::workload::Workload;
use crate::{garbage, memory, table, tree};

/// Which parts of the report are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// These comparisons.
    pub workloads: Vec<Workload>,
    /// What tables cost beside requests.
    pub lives: bool,
    /// What entries take, and what a stalled reader keeps.
    pub memory: bool,
}

/// What is measured, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which parts.
    pub parts: Parts,
    /// Numbers of entries.
    pub entries: Vec<u32>,
    /// Numbers of threads.
    pub threads: Vec<usize>,
    /// Slices of throughput for each contestant.
    pub slices: usize,
    /// Slices in which the time of each step is taken.
    pub samples: usize,
    /// The length of a slice.
    pub slice: Duration,
    /// Entries that are removed beside a stalled reader.
    pub removals: u64,
    /// Whether the system is asked for huge pages for our trees.
    pub huge_pages: bool,
}

impl Settings {
    /// Returns how contestants take turns with so many threads.
    #[must_use]
    pub const fn plan(&self, threads: usize) -> Plan {
        Plan { slices: self.slices, samples: self.samples, slice: self.slice, threads }
    }

    /// Returns how many entries memory is measured with: enough for pages not to matter.
    fn entries_of_memory(&self) -> u32 {
        let smallest = self.entries.iter().min().map_or(1, |n| n.saturating_mul(10));
        smallest.max(self.entries.iter().copied().max().unwrap_or(1))
    }
}

/// One thing to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    Compare { workload: Workload, spread: Spread, entries: u32, threads: usize },
    Memory { who: crate::contestant::Who, is_table: bool, entries: u32 },
    Garbage { subject: usize, name: &'static str, removals: u64 },
    Lives { entries: u32 },
}

impl Job {
    /// Names it, in the journal and while it runs.
    pub(super) fn id(&self) -> String {
        match self {
            Self::Compare { workload, spread, entries, threads } => {
                case(*workload, *spread, *entries, *threads).to_string()
            }
            Self::Memory { who, entries, .. } => {
                format!("memory of {}, {entries} entries", who.name)
            }
            Self::Garbage { name, removals, .. } => format!("garbage, {name}, {removals} removals"),
            Self::Lives { entries } => format!("lives, {entries} entries"),
        }
    }

    /// Estimates how long it takes.
    pub(super) fn time(&self, settings: &Settings) -> Duration {
        let filling = |n: u32| Duration::from_nanos(300) * n;
        match self {
            Self::Compare { workload, entries, threads, .. } => {
                let contestants = if workload.is_of_tables() {
                    table::tables().len()
                } else {
                    tree::maps().len()
                };
                let contestants = u32::try_from(contestants).unwrap_or(u32::MAX);
                // Maps are filled once for all numbers of threads.
                let filled = settings.threads.first() == Some(threads);
                let fill = if filled { filling(*entries) } else { Duration::ZERO };
                (settings.plan(*threads).time() + fill) * contestants
            }
            Self::Memory { entries, .. } => filling(*entries) + Duration::from_millis(5),
            Self::Garbage { removals, .. } => {
                Duration::from_nanos(2_000) * u32::try_from(*removals).unwrap_or(u32::MAX)
            }
            Self::Lives { entries } => Duration::from_secs(2) + filling(*entries) * 60,
        }
    }
}

/// Returns what a comparison is called in records.
pub(super) fn case(workload: Workload, spread: Spread, entries: u32, threads: usize) -> Case {
    Case {
        workload: workload.name().to_owned(),
        keys: if workload.draws_keys() { spread.name().to_owned() } else { String::new() },
        entries: u64::from(entries),
        threads,
    }
}

/// Returns everything that these settings ask for. Cases of the same maps stand side by side.
pub(super) fn jobs(settings: &Settings) -> Vec<Job> {
    let mut jobs = Vec::new();
    for &entries in &settings.entries {
        for &workload in &settings.parts.workloads {
            let spreads = if workload.draws_keys() { &Spread::ALL[..] } else { &Spread::ALL[..1] };
            for &spread in spreads {
                let case = |&threads| Job::Compare { workload, spread, entries, threads };
                jobs.extend(settings.threads.iter().map(case));
            }
        }
    }
    if settings.parts.memory {
        let entries = settings.entries_of_memory();
        let one = |(who, is_table)| Job::Memory { who, is_table, entries };
        jobs.extend(memory::subjects().into_iter().map(one));
        let one =
            |(subject, (name, _))| Job::Garbage { subject, name, removals: settings.removals };
        jobs.extend(garbage::subjects().into_iter().enumerate().map(one));
    }
    if settings.parts.lives {
        jobs.extend(settings.entries.iter().map(|&entries| Job::Lives { entries }));
    }
    jobs
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_job_has_a_name_of_its_own() {
        let settings = Settings {
            parts: Parts { workloads: Workload::ALL.to_vec(), lives: true, memory: true },
            entries: vec![100, 2_000],
            threads: vec![1, 2, 8],
            slices: 1,
            samples: 1,
            slice: Duration::from_millis(1),
            removals: 10,
            huge_pages: false,
        };
        let jobs = jobs(&settings);
        let ids: HashSet<_> = jobs.iter().map(Job::id).collect();
        assert_eq!(ids.len(), jobs.len());
        // Seven workloads draw keys, two do not.
        let cases = jobs.iter().filter(|job| matches!(job, Job::Compare { .. })).count();
        assert_eq!(cases, (7 * 2 + 2) * 2 * 3);
        assert_eq!(settings.entries_of_memory(), 2_000);
    }
}
