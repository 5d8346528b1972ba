//! `report.csv`: a line for each contestant in each case.

use std::io;

use serde::Serialize;

use super::Results;
use super::record::{Case, Record};
use crate::contestant::{Role, Who};
use crate::interleave::Reached;

/// A line. What does not apply is empty.
#[derive(Default, Serialize)]
struct Row<'a> {
    kind: &'static str,
    workload: &'a str,
    keys: &'a str,
    entries: Option<u64>,
    threads: Option<usize>,
    contestant: &'a str,
    role: Option<Role>,
    /// The one of ours that it is compared with, where that is one alone.
    twin: Option<&'a str>,
    mops: Option<f64>,
    mops_low: Option<f64>,
    cpu_ns_per_operation: Option<f64>,
    waited_for_processor: Option<f64>,
    cpu_of_others: Option<f64>,
    operations_of_a_step: Option<u64>,
    steps_sampled: Option<u64>,
    p50_ns: Option<u64>,
    p99_ns: Option<u64>,
    p999_ns: Option<u64>,
    p9999_ns: Option<u64>,
    bytes_per_entry: Option<f64>,
    removed: Option<u64>,
    garbage_peak: Option<u64>,
    garbage_peak_without_reader: Option<u64>,
    garbage_left: Option<u64>,
    found: &'a str,
}

impl<'a> Row<'a> {
    fn compared(case: &'a Case, others: f64, one: &'a Reached) -> Self {
        let latency = one.latency.as_ref();
        Self {
            kind: "compared",
            workload: &case.workload,
            keys: &case.keys,
            entries: Some(case.entries),
            threads: Some(case.threads),
            mops: Some(one.mops),
            mops_low: Some(one.mops_low),
            cpu_ns_per_operation: Some(one.cpu_ns),
            waited_for_processor: Some(one.waited),
            cpu_of_others: Some(others),
            operations_of_a_step: latency.map(|latency| latency.step),
            steps_sampled: latency.map(|latency| latency.samples),
            p50_ns: latency.map(|latency| latency.p50),
            p99_ns: latency.map(|latency| latency.p99),
            p999_ns: latency.map(|latency| latency.p999),
            p9999_ns: latency.map(|latency| latency.p9999),
            ..Self::of(&one.who)
        }
    }

    fn of(who: &'a Who) -> Self {
        let twin = who.twin.as_deref();
        Self { contestant: &who.name, role: Some(who.role), twin, ..Self::default() }
    }
}

/// Returns the rows of a record.
fn rows(record: &Record) -> Vec<Row<'_>> {
    match record {
        Record::Compared { case, others, reached } => {
            reached.iter().map(|one| Row::compared(case, *others, one)).collect()
        }
        Record::Memory { who, entries, bytes, .. } => vec![Row {
            kind: "memory",
            entries: Some(u64::from(*entries)),
            bytes_per_entry: Some(*bytes),
            ..Row::of(who)
        }],
        Record::Garbage(garbage) => vec![Row {
            kind: "garbage",
            contestant: &garbage.reclaimer,
            removed: Some(garbage.removed),
            garbage_peak: Some(garbage.peak),
            garbage_peak_without_reader: Some(garbage.peak_without),
            garbage_left: Some(garbage.left),
            ..Row::default()
        }],
        Record::Lives { entries, figures } => figures
            .iter()
            .map(|figure| Row {
                kind: "lives",
                workload: &figure.name,
                entries: Some(u64::from(*entries)),
                threads: Some(figure.threads),
                contestant: "stktable",
                role: Some(Role::Ours),
                found: &figure.found,
                ..Row::default()
            })
            .collect(),
    }
}

/// Returns the file.
pub(super) fn csv(results: &Results) -> io::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in results.records.iter().flat_map(rows) {
        writer.serialize(row)?;
    }
    let bytes = writer.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    String::from_utf8(bytes).map_err(io::Error::other)
}
