//! Ours beside everybody else, pair by pair, and where ours loses.

use super::record::{Case, Record};
use crate::contestant::{Role, Who};
use crate::interleave::Reached;

/// In what they are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Operations a second.
    Throughput,
    /// Processor time of an operation.
    Cpu,
    /// What 99 % of steps take at most; of those only that do as many operations in a step.
    P99,
    /// Bytes of an entry.
    Memory,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Throughput, Self::Cpu, Self::P99, Self::Memory];

    /// Returns the name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::Cpu => "processor time of an operation",
            Self::P99 => "p99 of a step",
            Self::Memory => "memory of an entry",
        }
    }

    /// Returns by how much ours is ahead in one case, above 1, or behind, below 1, and whether the runs of both overlap.
    fn ratio(self, ours: &Reached, other: &Reached) -> Option<(f64, bool)> {
        match self {
            Self::Throughput => {
                let overlap = ours.mops >= other.mops_low && other.mops >= ours.mops_low;
                Some((ours.mops / other.mops, overlap))
            }
            Self::Cpu => Some((other.cpu_ns / ours.cpu_ns, false)),
            Self::P99 => {
                let (ours, other) = (ours.latency.as_ref()?, other.latency.as_ref()?);
                #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
                let ratio = other.p99 as f64 / ours.p99.max(1) as f64;
                (ours.step == other.step).then_some((ratio, false))
            }
            Self::Memory => None,
        }
    }
}

/// One of ours beside somebody else, in one case.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// What was done.
    pub work: String,
    /// With how many entries.
    pub entries: u64,
    /// With how many threads, where that matters.
    pub threads: Option<usize>,
    /// The name of ours.
    pub ours: String,
    /// The name of the other.
    pub other: String,
    /// By how much ours is ahead: below 1 it loses.
    pub ratio: f64,
    /// Whether slices of both overlap, so that another run may end differently.
    pub is_close: bool,
}

impl Pair {
    fn new(case: &Case, ours: &Who, other: &Who, (ratio, is_close): (f64, bool)) -> Self {
        Self {
            work: case.work(),
            entries: case.entries,
            threads: Some(case.threads),
            ours: ours.name.clone(),
            other: other.name.clone(),
            ratio,
            is_close,
        }
    }
}

/// Returns every pair that is comparable in this respect.
#[must_use]
pub fn pairs(records: &[Record], measure: Measure) -> Vec<Pair> {
    if measure == Measure::Memory {
        return pairs_in_memory(records);
    }
    let mut pairs = Vec::new();
    for record in records {
        let Record::Compared { case, reached, .. } = record else { continue };
        for ours in reached.iter().filter(|one| one.who.role == Role::Ours) {
            for other in reached.iter().filter(|other| other.who.is_compared_with(&ours.who)) {
                let ratio = measure.ratio(ours, other);
                pairs.extend(ratio.map(|ratio| Pair::new(case, &ours.who, &other.who, ratio)));
            }
        }
    }
    pairs
}

fn pairs_in_memory(records: &[Record]) -> Vec<Pair> {
    let of = |record: &Record| match record {
        Record::Memory { who, is_table, entries, bytes } => {
            Some((who.clone(), *is_table, *entries, *bytes))
        }
        _ => None,
    };
    let all: Vec<_> = records.iter().filter_map(of).collect();
    let mut pairs = Vec::new();
    for (ours, is_table, entries, mine) in &all {
        for (other, other_is_table, _, theirs) in &all {
            if is_table == other_is_table && other.is_compared_with(ours) {
                pairs.push(Pair {
                    work: (if *is_table { "table" } else { "map" }).to_owned(),
                    entries: u64::from(*entries),
                    threads: None,
                    ours: ours.name.clone(),
                    other: other.name.clone(),
                    ratio: theirs / mine,
                    is_close: false,
                });
            }
        }
    }
    pairs
}

/// Returns the pairs that ours loses.
#[must_use]
pub fn losses(records: &[Record], measure: Measure) -> Vec<Pair> {
    pairs(records, measure).into_iter().filter(|pair| pair.ratio < 1.0).collect()
}

/// Losses of one of ours to one other in the same work on maps of one size.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lost {
    pub(super) work: String,
    pub(super) entries: u64,
    pub(super) ours: String,
    pub(super) other: String,
    /// The ratio of each, and with how many threads.
    pub(super) ratios: String,
}

/// Puts losses that differ in the number of threads alone into one line each.
pub(super) fn in_lines(losses: &[Pair]) -> Vec<Lost> {
    let mut lines: Vec<Lost> = Vec::new();
    for loss in losses {
        let close = if loss.is_close { " (close)" } else { "" };
        let ratio = match loss.threads {
            Some(threads) => format!("{:.2}{close} at {threads}", loss.ratio),
            None => format!("{:.2}", loss.ratio),
        };
        let same = |line: &&mut Lost| {
            (&line.work, line.entries, &line.ours, &line.other)
                == (&loss.work, loss.entries, &loss.ours, &loss.other)
        };
        match lines.iter_mut().find(same) {
            Some(line) => line.ratios += &format!(", {ratio}"),
            None => lines.push(Lost {
                work: loss.work.clone(),
                entries: loss.entries,
                ours: loss.ours.clone(),
                other: loss.other.clone(),
                ratios: ratio,
            }),
        }
    }
    lines
}

/// Puts losses of one of ours in the same work into one line each: ours, the work, entries, and all to whom it loses.
pub(super) fn in_brief(losses: &[Pair]) -> Vec<[String; 4]> {
    let mut lines: Vec<[String; 4]> = Vec::new();
    for lost in in_lines(losses) {
        let names = [lost.ours, lost.work, lost.entries.to_string()];
        let whom = format!("`{}` {}", lost.other, lost.ratios);
        match lines.iter_mut().find(|line| line[..3] == names) {
            Some(line) => line[3] += &format!("; {whom}"),
            None => {
                let [ours, work, entries] = names;
                lines.push([ours, work, entries, whom]);
            }
        }
    }
    lines
}

/// One of ours beside all others: a line for each work and size, a column for each other.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    pub(super) ours: String,
    pub(super) others: Vec<String>,
    pub(super) rows: Vec<TableRow>,
}

/// A line of a [`Table`].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TableRow {
    pub(super) work: String,
    pub(super) entries: u64,
    /// For each other the ratios, by number of threads.
    pub(super) cells: Vec<String>,
}

/// Puts pairs into tables.
pub(super) fn tables(pairs: &[Pair]) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for pair in pairs {
        let at = tables.iter().position(|table| table.ours == pair.ours).unwrap_or_else(|| {
            tables.push(Table { ours: pair.ours.clone(), others: Vec::new(), rows: Vec::new() });
            tables.len() - 1
        });
        let table = &mut tables[at];
        if !table.others.contains(&pair.other) {
            table.others.push(pair.other.clone());
        }
        let is_row = |row: &TableRow| row.work == pair.work && row.entries == pair.entries;
        if !table.rows.iter().any(is_row) {
            let (work, entries) = (pair.work.clone(), pair.entries);
            table.rows.push(TableRow { work, entries, cells: Vec::new() });
        }
        let column = table.others.iter().position(|other| *other == pair.other);
        let row = table.rows.iter_mut().find(|row| is_row(row)).expect("added above");
        let column = column.expect("added above");
        row.cells.resize(row.cells.len().max(column + 1), String::new());
        let cell = &mut row.cells[column];
        *cell += &format!("{}{:.2}", if cell.is_empty() { "" } else { " / " }, pair.ratio);
    }
    for table in &mut tables {
        let columns = table.others.len();
        for row in &mut table.rows {
            row.cells.resize(columns, String::new());
            row.cells
                .iter_mut()
                .filter(|cell| cell.is_empty())
                .for_each(|cell| "–".clone_into(cell));
        }
    }
    tables
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::interleave::Latency;

    pub(in crate::report) fn reached(who: Who, mops: f64, p99: u64) -> Reached {
        let latency = Latency { step: 1, samples: 10, p50: 1, p99, p999: p99, p9999: p99 };
        let (cpu_ns, latency) = (1000.0 / mops, Some(latency));
        Reached { who, mops, mops_low: mops * 0.9, cpu_ns, waited: 0.0, latency }
    }

    pub(in crate::report) fn compared(threads: usize, reached: Vec<Reached>) -> Record {
        let (workload, keys) = ("get".to_owned(), "uniform".to_owned());
        let case = Case { workload, keys, entries: 100, threads };
        Record::Compared { case, others: 0.25, reached }
    }

    fn records() -> Vec<Record> {
        let of = |threads, ours: [f64; 2], lock, epoch| {
            let reached = vec![
                reached(Who::ours("tree"), ours[0], 100),
                reached(Who::ours("fanned"), ours[1], 50),
                reached(Who::locked("lock"), lock, 80),
                reached(Who::reclaimer("fanned, epoch", "fanned"), epoch, 60),
            ];
            compared(threads, reached)
        };
        let memory = |who, is_table, bytes| Record::Memory { who, is_table, entries: 100, bytes };
        vec![
            of(1, [2.0, 4.0], 3.0, 4.1),
            of(2, [2.0, 4.0], 2.0, 3.0),
            of(8, [2.0, 4.0], 4.0, 3.0),
            memory(Who::ours("tree"), false, 32.0),
            memory(Who::ours("table"), true, 95.0),
            memory(Who::locked("lock"), false, 24.0),
        ]
    }

    #[test]
    fn losses_are_the_pairs_below_one() {
        let records = records();
        let found: Vec<_> = losses(&records, Measure::Throughput)
            .into_iter()
            .map(|loss| (loss.threads.unwrap(), loss.ours, loss.other, loss.is_close))
            .collect();
        let loss = |threads, ours: &str, other: &str, is_close| {
            (threads, ours.to_owned(), other.to_owned(), is_close)
        };
        // 2 ÷ 2 and 4 ÷ 4 are no losses; the tree without a fan-out is not compared with the fanned-out one.
        let expected = [
            loss(1, "tree", "lock", false),
            loss(1, "fanned", "fanned, epoch", true),
            loss(8, "tree", "lock", false),
        ];
        assert_eq!(found, expected);
        assert_eq!(pairs(&records, Measure::Throughput).len(), 3 * 3);
        let p99: Vec<_> =
            losses(&records, Measure::P99).into_iter().map(|loss| loss.ours).collect();
        assert_eq!(p99, ["tree"; 3]);
        assert_eq!(losses(&records, Measure::Cpu).len(), 3);
        let memory = losses(&records, Measure::Memory);
        assert_eq!((memory.len(), memory[0].ratio), (1, 0.75));
    }

    #[test]
    fn lines_and_tables_have_every_ratio() {
        let records = records();
        let lines = in_lines(&losses(&records, Measure::Throughput));
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].ratios, "0.67 at 1, 0.50 at 8");
        assert_eq!(lines[1].ratios, "0.98 (close) at 1");
        let tables = tables(&pairs(&records, Measure::Throughput));
        let names: Vec<_> = tables.iter().map(|table| table.ours.as_str()).collect();
        assert_eq!(names, ["tree", "fanned"]);
        assert_eq!(tables[0].rows[0].cells, ["0.67 / 1.00 / 0.50"]);
        assert_eq!(tables[1].others, ["lock", "fanned, epoch"]);
        assert_eq!(tables[1].rows[0].cells[1], "0.98 / 1.33 / 1.33");
    }
}
