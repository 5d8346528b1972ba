//! `report.md`: ratios, memory, garbage and losses, without the single figures.

use super::losses::{Measure, in_brief, losses, pairs, tables};
use super::record::Record;
use super::{Results, notes};

/// Returns the file.
pub(super) fn markdown(results: &Results) -> String {
    let mut lines = vec!["# Report of the lab".to_owned(), String::new()];
    let facts =
        results.facts.all.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()]);
    lines.extend(table(&["", ""], facts));
    lines.push(format!("\n{}\n", notes::noise(results)));
    lines.extend(notes::method(results).iter().map(|note| format!("- {note}")));
    ratios(results, &mut lines);
    memory(&results.records, &mut lines);
    garbage(&results.records, &mut lines);
    lives(&results.records, &mut lines);
    lost(&results.records, &mut lines);
    lines.push(String::new());
    lines.join("\n")
}

/// Returns a table with these columns.
fn table(columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Vec<String> {
    let line = |cells: Vec<String>| {
        let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |", cells.join(" | "))
    };
    let mut lines = vec![line(columns.iter().map(ToString::to_string).collect())];
    lines.push(format!("|{}", " --- |".repeat(columns.len())));
    lines.extend(rows.into_iter().map(line));
    lines
}

fn heading(text: &str, lines: &mut Vec<String>) {
    lines.extend([String::new(), format!("## {text}"), String::new()]);
}

/// A name in a table, so that angle brackets are not taken for HTML.
fn code(name: &str) -> String {
    format!("`{name}`")
}

fn ratios(results: &Results, lines: &mut Vec<String>) {
    let threads: Vec<_> = results.settings.threads.iter().map(ToString::to_string).collect();
    for ratios in tables(&pairs(&results.records, Measure::Throughput)) {
        heading(&format!("{} ÷ others, throughput", ratios.ours), lines);
        lines.extend([format!("With {} threads.", threads.join(" / ")), String::new()]);
        let mut columns = vec!["workload".to_owned(), "entries".to_owned()];
        columns.extend(ratios.others.iter().map(|name| code(name)));
        let columns: Vec<_> = columns.iter().map(String::as_str).collect();
        let rows = ratios.rows.into_iter().map(|row| {
            let mut cells = vec![row.work, row.entries.to_string()];
            cells.extend(row.cells);
            cells
        });
        lines.extend(table(&columns, rows));
    }
}

fn memory(records: &[Record], lines: &mut Vec<String>) {
    let rows: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            Record::Memory { who, is_table, entries, bytes } => {
                let kind = if *is_table { "table" } else { "map" };
                let cells = [code(&who.name), kind.to_owned(), entries.to_string()];
                Some(cells.into_iter().chain([format!("{bytes:.1}")]).collect())
            }
            _ => None,
        })
        .collect();
    if !rows.is_empty() {
        heading("Memory", lines);
        lines.extend(table(&["", "kind", "entries", "bytes an entry"], rows));
    }
}

fn garbage(records: &[Record], lines: &mut Vec<String>) {
    let rows: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            Record::Garbage(garbage) => {
                let counts = [garbage.removed, garbage.peak, garbage.peak_without, garbage.left];
                let counts = counts.map(|count| count.to_string());
                Some([garbage.reclaimer.clone()].into_iter().chain(counts).collect())
            }
            _ => None,
        })
        .collect();
    if !rows.is_empty() {
        heading("What a stalled reader keeps", lines);
        lines.push(GARBAGE.to_owned() + "\n");
        let columns =
            ["reclaimer", "removed", "most that waited", "without the reader", "left at the end"];
        lines.extend(table(&columns, rows));
    }
}

/// What the table of garbage shows.
pub(super) const GARBAGE: &str = "Entries that were removed and waited to be freed, while one reader held an entry all the time.";

fn lives(records: &[Record], lines: &mut Vec<String>) {
    for record in records {
        if let Record::Lives { entries, figures } = record {
            heading(&format!("A table of {entries} entries, beside requests"), lines);
            let rows = figures.iter().map(|figure| {
                vec![figure.name.clone(), figure.threads.to_string(), figure.found.clone()]
            });
            lines.extend(table(&["", "threads", ""], rows));
        }
    }
}

fn lost(records: &[Record], lines: &mut Vec<String>) {
    heading("Where ours loses", lines);
    lines.push(LOST.to_owned());
    for measure in Measure::ALL {
        let (all, losses) = (pairs(records, measure).len(), losses(records, measure));
        if all == 0 {
            continue;
        }
        let count = losses.len();
        lines.push(format!("\n### {}: {count} of {all} comparisons\n", measure.name()));
        if count > 0 {
            let rows = in_brief(&losses).into_iter().map(Vec::from);
            lines.extend(table(&["ours", "loses at", "entries", "to, by ratio at threads"], rows));
        }
    }
}

/// What the list of losses shows.
pub(super) const LOST: &str = "Every comparison whose ratio is below 1, computed from the results. \"Close\" are those in which \
    slices of both overlap.";
