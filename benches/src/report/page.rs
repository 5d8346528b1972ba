//! `report.html`: everything, in one file that needs nothing else. The text is in `templates/report.html`, which escapes what is
//! put in.

use std::io;

use askama::Template;

use super::losses::{Lost, Measure, Table, in_lines, losses, pairs, tables};
use super::plots::{self, Bars, Dots};
use super::record::{Case, Record};
use super::{Results, notes, summary};
use crate::contestant::{Role, Who};
use crate::garbage::Garbage;
use crate::interleave::Reached;
use crate::table::life::Figure;
use crate::workload::Workload;

/// The page.
#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    facts: &'a [(&'static str, String)],
    threads: String,
    noise: String,
    method: Vec<String>,
    tables: Vec<Table>,
    lost: Vec<LostBy>,
    about_losses: &'static str,
    groups: Vec<Group<'a>>,
    memory: Option<Memory<'a>>,
    garbage: Vec<&'a Garbage>,
    about_garbage: &'static str,
    lives: Vec<(u32, &'a [Figure])>,
}

/// What ours loses in one respect.
struct LostBy {
    measure: &'static str,
    count: usize,
    all: usize,
    lines: Vec<Lost>,
}

/// Cases that differ in threads alone.
struct Group<'a> {
    title: String,
    what: &'static str,
    cases: Vec<(&'a Case, &'a [Reached])>,
    throughput: String,
    /// Empty where nothing was sampled.
    latency: String,
    /// With how many threads those latencies are.
    sampled: usize,
}

struct Memory<'a> {
    entries: u32,
    rows: Vec<(&'a Who, bool, f64)>,
    plot: String,
}

impl Page<'_> {
    /// Formats a figure.
    #[expect(
        clippy::unused_self,
        clippy::trivially_copy_pass_by_ref,
        reason = "called by the template"
    )]
    fn fixed(&self, value: &f64) -> String {
        format!("{value:.3}")
    }

    #[expect(
        clippy::unused_self,
        clippy::trivially_copy_pass_by_ref,
        reason = "called by the template"
    )]
    fn time(&self, ns: &u64) -> String {
        plots::time(*ns)
    }

    #[expect(
        clippy::unused_self,
        clippy::trivially_copy_pass_by_ref,
        reason = "called by the template"
    )]
    fn role(&self, role: &Role) -> &'static str {
        match role {
            Role::Ours => "ours",
            Role::Reclaimer => "reclaimer",
            Role::Locked => "locked",
            Role::Rival => "rival",
        }
    }
}

/// Returns the file.
pub(super) fn html(results: &Results) -> io::Result<String> {
    let records = &results.records;
    let threads: Vec<_> = results.settings.threads.iter().map(ToString::to_string).collect();
    let page = Page {
        facts: &results.facts.all,
        threads: threads.join(" / "),
        noise: notes::noise(results),
        method: notes::method(results),
        tables: tables(&pairs(records, Measure::Throughput)),
        lost: lost(records),
        about_losses: summary::LOST,
        groups: groups(records).map_err(io::Error::other)?,
        memory: memory(records).map_err(io::Error::other)?,
        garbage: records.iter().filter_map(garbage).collect(),
        about_garbage: summary::GARBAGE,
        lives: records.iter().filter_map(lives).collect(),
    };
    page.render().map_err(io::Error::other)
}

fn garbage(record: &Record) -> Option<&Garbage> {
    match record {
        Record::Garbage(garbage) => Some(garbage),
        _ => None,
    }
}

fn lives(record: &Record) -> Option<(u32, &[Figure])> {
    match record {
        Record::Lives { entries, figures } => Some((*entries, figures)),
        _ => None,
    }
}

fn lost(records: &[Record]) -> Vec<LostBy> {
    let by = |measure: Measure| {
        let (all, losses) = (pairs(records, measure).len(), losses(records, measure));
        let (count, lines) = (losses.len(), in_lines(&losses));
        LostBy { measure: measure.name(), count, all, lines }
    };
    Measure::ALL.into_iter().map(by).filter(|by| by.all > 0).collect()
}

fn groups(records: &[Record]) -> Result<Vec<Group<'_>>, plots::Failure> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for record in records {
        let Record::Compared { case, reached, .. } = record else { continue };
        let title = format!("{}, {} entries", case.work(), case.entries);
        if groups.last().is_none_or(|group| group.title != title) {
            let workload = Workload::ALL.into_iter().find(|one| one.name() == case.workload);
            let what = workload.map_or("", Workload::what);
            let (throughput, latency) = (String::new(), String::new());
            groups.push(Group { title, what, cases: Vec::new(), throughput, latency, sampled: 0 });
        }
        let group = groups.last_mut().expect("added above");
        group.cases.push((case, reached));
    }
    for group in &mut groups {
        group.draw()?;
    }
    Ok(groups)
}

impl Group<'_> {
    fn draw(&mut self) -> Result<(), plots::Failure> {
        let Some((_, first)) = self.cases.first() else { return Ok(()) };
        let columns: Vec<_> = self
            .cases
            .iter()
            .map(|(case, _)| {
                format!("{} thread{}", case.threads, if case.threads == 1 { "" } else { "s" })
            })
            .collect();
        let of = |reached: &[Reached], who: &Who| {
            reached.iter().find(|one| one.who == *who).map(|one| one.mops)
        };
        let bars = first.iter().map(|one| Bars {
            label: &one.who.name,
            role: one.who.role,
            values: self.cases.iter().map(|(_, reached)| of(reached, &one.who)).collect(),
        });
        self.throughput = plots::bars(&columns, &bars.collect::<Vec<_>>())?;
        // As many threads as there are cores, or the fewest.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let at = self.cases.iter().rposition(|(case, _)| case.threads <= cores).unwrap_or(0);
        let (case, reached) = self.cases[at];
        let dots = reached.iter().filter_map(|one| {
            let latency = one.latency.as_ref()?;
            Some(Dots { label: &one.who.name, role: one.who.role, latency })
        });
        let dots: Vec<_> = dots.collect();
        if !dots.is_empty() {
            self.latency = plots::latencies(&dots)?;
            self.sampled = case.threads;
        }
        Ok(())
    }
}

fn memory(records: &[Record]) -> Result<Option<Memory<'_>>, plots::Failure> {
    let one = |record| match record {
        &Record::Memory { ref who, is_table, entries, bytes } => {
            Some((entries, (who, is_table, bytes)))
        }
        _ => None,
    };
    let (entries, rows): (Vec<_>, Vec<_>) = records.iter().filter_map(one).unzip();
    let Some(&entries) = entries.first() else { return Ok(None) };
    let bars = rows.iter().map(|(who, is_table, bytes)| Bars {
        label: &who.name,
        role: who.role,
        values: if *is_table { vec![None, Some(*bytes)] } else { vec![Some(*bytes), None] },
    });
    let columns = ["maps of u64 to u64", "tables of clients"].map(str::to_owned);
    let plot = plots::bars(&columns, &bars.collect::<Vec<_>>())?;
    Ok(Some(Memory { entries, rows, plot }))
}
