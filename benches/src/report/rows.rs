//! The plain Markdown tables on standard output, row by row while it runs.

use std::io::{self, Write};

use super::record::Record;
use crate::contestant::Role;

/// Prints records, and a heading where those before were of another kind.
#[derive(Default)]
pub(super) struct Rows {
    heading: String,
}

impl Rows {
    pub(super) fn print(&mut self, record: &Record, out: &mut dyn Write) -> io::Result<()> {
        let heading = heading(record);
        if heading != self.heading {
            if !self.heading.is_empty() {
                writeln!(out)?;
            }
            let columns = heading.matches('|').count() - 1;
            writeln!(out, "{heading}\n|{}", " --- |".repeat(columns))?;
            self.heading = heading;
        }
        match record {
            Record::Compared { case, reached, .. } => {
                let ours = || reached.iter().filter(|one| one.who.role == Role::Ours);
                for one in reached {
                    let ratios: String =
                        ours().map(|mine| format!(" {:.2} |", mine.mops / one.mops)).collect();
                    let (work, n, threads) = (case.work(), case.entries, case.threads);
                    let name = &one.who.name;
                    writeln!(
                        out,
                        "| {work} | {n} | {threads} | {name} | {:.2} |{ratios}",
                        one.mops
                    )?;
                }
            }
            Record::Memory { who, entries, bytes, .. } => {
                writeln!(out, "| {} | {entries} | {bytes:.1} |", who.name)?;
            }
            Record::Garbage(garbage) => {
                let (name, removed) = (&garbage.reclaimer, garbage.removed);
                let (peak, without, left) = (garbage.peak, garbage.peak_without, garbage.left);
                writeln!(out, "| {name} | {removed} | {peak} | {without} | {left} |")?;
            }
            Record::Lives { figures, .. } => {
                for figure in figures {
                    writeln!(out, "{figure}")?;
                }
            }
        }
        Ok(())
    }
}

fn heading(record: &Record) -> String {
    match record {
        Record::Compared { reached, .. } => {
            let ours = reached.iter().filter(|one| one.who.role == Role::Ours);
            let ours: String = ours.map(|one| format!(" {} ÷ it |", one.who.name)).collect();
            format!("| workload | entries | threads | contestant | Mops/s |{ours}")
        }
        Record::Memory { .. } => "| memory | entries | bytes an entry |".to_owned(),
        Record::Garbage(_) => {
            "| reclaimer | removed | most that waited with a stalled reader | without | left |"
                .to_owned()
        }
        Record::Lives { entries, .. } => format!("| {entries} entries | threads | |"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::losses::tests::{compared, reached};
    use super::*;
    use crate::contestant::Who;

    #[test]
    fn rows_of_a_kind_have_one_heading() {
        let record = |threads| {
            let ours = reached(Who::ours("tree"), 3.0, 1);
            compared(threads, vec![ours, reached(Who::locked("lock"), 1.5, 1)])
        };
        let (mut rows, mut out) = (Rows::default(), Vec::new());
        rows.print(&record(1), &mut out).unwrap();
        rows.print(&record(2), &mut out).unwrap();
        let expected = "\
| workload | entries | threads | contestant | Mops/s | tree ÷ it |
| --- | --- | --- | --- | --- | --- |
| get, uniform | 100 | 1 | tree | 3.00 | 1.00 |
| get, uniform | 100 | 1 | lock | 1.50 | 2.00 |
| get, uniform | 100 | 2 | tree | 3.00 | 1.00 |
| get, uniform | 100 | 2 | lock | 1.50 | 2.00 |
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
