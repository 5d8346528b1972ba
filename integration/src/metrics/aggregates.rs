//! Sums over peers as numbers.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType::{Counter, Gauge};

use super::{Sample, family, number};
use crate::aggregate::{AggregateStatus, SourceStatus};

/// Name, help, and what is read.
type Row<T> = (&'static str, &'static str, fn(&T) -> f64);

const GAUGES: [Row<AggregateStatus>; 4] = [
    ("stktable_aggregate_complete", "1 while every expected source is in the sums", |status| {
        f64::from(u8::from(status.complete))
    }),
    ("stktable_aggregate_sources", "Sources in the sums", |status| {
        number(status.sources_in() as u64)
    }),
    ("stktable_aggregate_sources_expected", "Sources expected", |status| {
        number(status.sources.len() as u64)
    }),
    ("stktable_aggregate_pass_seconds", "How long the last pass took", |status| {
        number(status.pass_ms) / 1e3
    }),
];

const COUNTERS: [Row<AggregateStatus>; 5] = [
    ("stktable_aggregate_combined", "Keys combined", |status| number(status.combined)),
    ("stktable_aggregate_published", "Sums that differed and were told", |status| {
        number(status.published)
    }),
    ("stktable_aggregate_refreshed", "Sums told again before they expire", |status| {
        number(status.refreshed)
    }),
    ("stktable_aggregate_refused", "Keys without room", |status| number(status.refused)),
    ("stktable_aggregate_saturated", "Values cut to what their type holds", |status| {
        number(status.saturated)
    }),
];

const SOURCES: [Row<SourceStatus>; 3] = [
    ("stktable_aggregate_source_in", "1 while a source is in the sums", |source| {
        f64::from(u8::from(source.is_in()))
    }),
    ("stktable_aggregate_source_entries", "Entries of a source", |source| source.keys.into()),
    (
        "stktable_aggregate_source_behind_updates",
        "Updates of a source not in the sums yet",
        |source| number(source.behind),
    ),
];

/// Writes what there is to know of sums.
pub(super) fn encode(
    aggregates: &[Arc<AggregateStatus>],
    to: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let table = |status: &AggregateStatus| vec![("table", status.into.clone())];
    for (rows, ty) in [(&GAUGES[..], Gauge), (&COUNTERS[..], Counter)] {
        for (name, help, read) in rows {
            let samples = aggregates.iter().map(|status| (table(status), read(status)));
            family(to, name, help, ty, samples)?;
        }
    }
    for (name, help, read) in SOURCES {
        let samples = aggregates.iter().flat_map(|status| {
            status.sources.iter().map(move |source| -> Sample {
                let mut labels = table(status);
                labels.push(("peer", source.peer.clone()));
                (labels, read(source))
            })
        });
        family(to, name, help, Gauge, samples)?;
    }
    Ok(())
}
