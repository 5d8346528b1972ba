//! What the command line says of a report.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::matrix::{Parts, Settings};
use crate::workload::Workload;

/// Compares ours with locked versions and, with the feature `rivals`, with other crates, and writes a report.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Fewer and shorter slices, and small maps only: about two minutes in all.
    #[arg(long)]
    quick: bool,
    /// Where report.html, report.md, report.csv and the journal go.
    #[arg(long, value_name = "DIR", default_value = "target/report")]
    out: PathBuf,
    /// Go on where an earlier run of this program into the same folder ended, on this machine and with these settings.
    #[arg(long)]
    resume: bool,
    /// Numbers of threads, such as 1,2,8 [default: powers of two up to the cores, and more than there are]
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=4096))]
    threads: Vec<u16>,
    /// Numbers of entries [default: 10000,1000000, and with --quick 10000]
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    entries: Vec<u32>,
    /// Slices of each contestant [default: 7, and with --quick 4]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    slices: Option<u16>,
    /// The length of a slice in milliseconds [default: 25, and with --quick 15]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    slice_ms: Option<u64>,
    /// Ask the system for huge pages for our trees.
    #[arg(long)]
    huge_pages: bool,
    /// Only the tables.
    #[arg(long, conflicts_with = "workloads")]
    tables: bool,
    /// Only what tables cost beside requests.
    #[arg(long, conflicts_with_all = ["workloads", "tables"])]
    lives: bool,
    /// Only what entries take, and what a stalled reader keeps.
    #[arg(long, conflicts_with_all = ["workloads", "tables", "lives"])]
    memory: bool,
    /// Only these, instead of all.
    #[arg(long = "workload", value_enum)]
    workloads: Vec<Workload>,
}

impl Arguments {
    /// Measures, and writes the report.
    #[must_use]
    pub fn run(self) -> ExitCode {
        ebtree::advise_huge_pages(self.huge_pages);
        match super::run(self.settings(), &self.out, self.resume, &mut io::stdout()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }

    fn parts(&self) -> Parts {
        let all = self.workloads.is_empty() && !(self.tables || self.lives || self.memory);
        let mut workloads = self.workloads.clone();
        if all || self.tables {
            let all = Workload::ALL.into_iter().filter(|one| all || one.is_of_tables());
            workloads.extend(all);
        }
        Parts { workloads, lives: all || self.lives, memory: all || self.memory }
    }

    fn settings(&self) -> Settings {
        let quick = self.quick;
        let (slices, slice_ms) = if quick { (4, 15) } else { (7, 25) };
        let default_entries: &[u32] = if quick { &[10_000] } else { &[10_000, 1_000_000] };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.iter().map(|threads| usize::from(*threads)).collect();
        Settings {
            parts: self.parts(),
            entries: or(self.entries.clone(), || default_entries.to_vec()),
            threads: or(threads, || default_threads(cores)),
            slices: usize::from(self.slices.unwrap_or(slices)),
            samples: if quick { 2 } else { 3 },
            slice: Duration::from_millis(self.slice_ms.unwrap_or(slice_ms)),
            removals: if quick { 100_000 } else { 1_000_000 },
            huge_pages: self.huge_pages,
        }
    }
}

/// Returns values in order and each once, or others if there are none.
fn or<T: Ord>(mut values: Vec<T>, others: impl FnOnce() -> Vec<T>) -> Vec<T> {
    if values.is_empty() {
        return others();
    }
    values.sort_unstable();
    values.dedup();
    values
}

/// Powers of two up to the cores, all cores, and more threads than there are cores.
fn default_threads(cores: usize) -> Vec<usize> {
    let powers = std::iter::successors(Some(1), |threads| Some(threads * 2));
    let mut threads: Vec<_> = powers.take_while(|threads| *threads <= cores).collect();
    threads.extend([cores, (2 * cores).max(8)]);
    or(threads, Vec::new)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn settings(words: &str) -> Settings {
        let words = std::iter::once("report").chain(words.split_whitespace());
        Line::try_parse_from(words).unwrap().arguments.settings()
    }

    #[test]
    fn threads_are_more_than_cores_in_the_end() {
        assert_eq!(default_threads(1), [1, 8]);
        assert_eq!(default_threads(2), [1, 2, 8]);
        assert_eq!(default_threads(6), [1, 2, 4, 6, 12]);
        assert_eq!(default_threads(64), [1, 2, 4, 8, 16, 32, 64, 128]);
        assert_eq!(settings("--threads 8,2,8,1").threads, [1, 2, 8]);
    }

    #[test]
    fn parts_are_what_is_asked_for() {
        let of = |words| settings(words).parts;
        assert_eq!(of(""), Parts { workloads: Workload::ALL.to_vec(), lives: true, memory: true });
        let only = |workloads: &[Workload]| Parts {
            workloads: workloads.to_vec(),
            lives: false,
            memory: false,
        };
        assert_eq!(of("--tables"), only(&[Workload::Track, Workload::Ingest]));
        assert_eq!(of("--workload scan"), only(&[Workload::Scan]));
        assert_eq!(of("--lives"), Parts { lives: true, ..only(&[]) });
        assert_eq!(of("--memory"), Parts { memory: true, ..only(&[]) });
    }
}
