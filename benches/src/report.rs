//! The lab: runs the whole comparison, and writes what was found as a page, a summary and a table of figures.
//!
//! ```text
//!  matrix: jobs ──> lab: runs them ──> journal: a line for each ──> results ──> page.rs      report.html
//!                                         │                            │   ├──> summary.rs   report.md
//!                     --resume ───────────┘                            │   └──> figures.rs   report.csv
//!                                                                      └──> losses.rs: where ours loses
//! ```
//!
//! What is measured, by whom and how it is drawn know nothing of each other but [`Record`]s.

pub mod cli;
mod facts;
mod figures;
mod journal;
mod lab;
mod losses;
mod matrix;
mod notes;
mod page;
mod plots;
mod progress;
mod record;
mod rows;
mod summary;

use std::io::{self, Write};
use std::path::Path;

pub use facts::Facts;
pub use losses::{Measure, Pair, losses, pairs};
pub use matrix::{Parts, Settings};
pub use record::{Case, Record};

use self::journal::Journal;
use self::lab::Lab;
use self::progress::Progress;

/// Everything that a report is made of.
#[derive(Debug)]
pub struct Results {
    /// The machine and the program.
    pub facts: Facts,
    /// How it was measured.
    pub settings: Settings,
    /// What was found.
    pub records: Vec<Record>,
    /// How many of the records are from an earlier run.
    pub resumed: usize,
}

/// Runs what the settings ask for, prints the plain tables, and writes the files into `out`. With `resume`, what an earlier run
/// of the same program on the same machine with the same settings has finished is taken from there.
///
/// # Errors
/// When files cannot be written, or a process that measures cannot be started.
pub fn run(settings: Settings, out: &Path, resume: bool, print: &mut dyn Write) -> io::Result<()> {
    std::fs::create_dir_all(out)?;
    let facts = Facts::gather();
    let journal = Journal::open(&out.join("cases.jsonl"), &facts.fingerprint(&settings), resume)?;
    let results = measure(facts, settings, journal, print)?;
    write(out, "report.html", &page::html(&results)?)?;
    write(out, "report.md", &summary::markdown(&results))?;
    write(out, "report.csv", &figures::csv(&results)?)
}

fn write(out: &Path, name: &str, text: &str) -> io::Result<()> {
    let path = out.join(name);
    std::fs::write(&path, text)?;
    eprintln!("written: {}", path.display());
    Ok(())
}

fn measure(
    facts: Facts,
    settings: Settings,
    mut journal: Journal,
    print: &mut dyn Write,
) -> io::Result<Results> {
    let jobs = matrix::jobs(&settings);
    let times: Vec<_> = jobs.iter().map(|job| job.time(&settings)).collect();
    let mut progress = Progress::new(&times);
    let (mut lab, mut rows) = (Lab::new(&settings), rows::Rows::default());
    let (mut records, mut resumed) = (Vec::new(), 0);
    for (job, time) in jobs.into_iter().zip(times) {
        let id = job.id();
        let record = if let Some(record) = journal.finished(&id) {
            resumed += 1;
            progress.skip(&id, time);
            record
        } else {
            progress.begin(&id);
            let record = lab.run(job)?;
            journal.append(&id, &record)?;
            progress.end(time);
            record
        };
        progress.aside(|| rows.print(&record, print))?;
        records.push(record);
    }
    progress.finish();
    Ok(Results { facts, settings, records, resumed })
}
