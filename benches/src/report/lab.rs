//! Runs jobs, one after the other.

use std::io;

use super::matrix::{Job, Settings, case};
use super::record::Record;
use crate::interleave::{Plan, Reached};
use crate::keys::Spread;
use crate::workload::Workload;
use crate::{cpu, garbage, memory, table, tree};

/// Full maps of either kind.
enum Arena {
    Tree(tree::Arena),
    Table(table::Arena),
}

impl Arena {
    fn new((workload, spread, entries): Stage) -> Self {
        if workload.is_of_tables() {
            Self::Table(table::Arena::new(workload, spread, entries))
        } else {
            Self::Tree(tree::Arena::new(workload, spread, u64::from(entries)))
        }
    }

    fn run(&self, plan: Plan) -> Vec<Reached> {
        match self {
            Self::Tree(arena) => arena.run(plan),
            Self::Table(arena) => arena.run(plan),
        }
    }
}

/// What maps are filled for.
type Stage = (Workload, Spread, u32);

/// Keeps the maps of the last case, for the next one with other threads.
pub(super) struct Lab<'s> {
    settings: &'s Settings,
    stage: Option<(Stage, Arena)>,
}

impl<'s> Lab<'s> {
    pub(super) const fn new(settings: &'s Settings) -> Self {
        Self { settings, stage: None }
    }

    /// Does what the job says.
    pub(super) fn run(&mut self, job: Job) -> io::Result<Record> {
        match job {
            Job::Compare { workload, spread, entries, threads } => {
                let stage = (workload, spread, entries);
                if self.stage.as_ref().is_none_or(|(there, _)| *there != stage) {
                    // The old maps go first: both at once may not fit.
                    self.stage = None;
                    self.stage = Some((stage, Arena::new(stage)));
                }
                let (_, arena) = self.stage.as_ref().expect("filled above");
                let meter = cpu::Others::start();
                let reached = arena.run(self.settings.plan(threads));
                let case = case(workload, spread, entries, threads);
                Ok(Record::Compared { case, others: meter.part(), reached })
            }
            Job::Memory { who, is_table, entries } => {
                let bytes = memory::of_another_process(&who.name, entries)?;
                Ok(Record::Memory { who, is_table, entries, bytes })
            }
            Job::Garbage { subject, removals, .. } => {
                let (name, measure) = garbage::subjects()[subject];
                Ok(Record::Garbage(measure(name, removals)))
            }
            Job::Lives { entries } => {
                self.stage = None;
                let mut figures = Vec::new();
                table::life::measure(entries, |figure| figures.push(figure));
                Ok(Record::Lives { entries, figures })
            }
        }
    }
}
