//! The sums that a node makes over its peers.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::task::JoinSet;

use crate::aggregate::{self, Aggregate, AggregateStatus, Sources};
use crate::clock::Clock;
use crate::config::{Setup, SetupSection};
use crate::shared::{Part, SharedTable, TableSet};

/// One aggregate that runs.
#[derive(Clone, Debug)]
pub(super) struct Running {
    section: String,
    sources: Arc<Sources>,
    pub(super) status: Arc<ArcSwap<AggregateStatus>>,
}

/// Makes what a configuration says of sums, before its sections start. What each source says is put beside the other tables, as
/// `TABLE@PEER`.
pub(super) fn prepare(
    setup: &Setup,
    tables: &[Arc<SharedTable>],
    set: &TableSet,
) -> Vec<(Running, Aggregate)> {
    let mut made = Vec::new();
    for section in &setup.sections {
        let lease = section.lease.and_then(|at| tables.get(at));
        if let Some(lease) = lease {
            lease.set_part(Part::ToldLast);
        }
        for declared in &section.aggregates {
            let (Some(from), Some(into)) = (tables.get(declared.from), tables.get(declared.into))
            else {
                continue;
            };
            let sources = Sources::new(from.declaration(), []);
            for peer in &section.sources {
                sources.add(peer, section.aggregators.contains(peer));
            }
            sources.all().iter().for_each(|source| set.add(source.table()));
            from.set_part(Part::Apart(Arc::clone(&sources)));
            into.set_part(Part::Told);
            let aggregate = Aggregate::new(
                &section.name,
                from,
                Arc::clone(&sources),
                Arc::clone(into),
                lease.map(Arc::clone),
                declared.settings.clone(),
            );
            let status = Arc::new(ArcSwap::from_pointee(aggregate.status().clone()));
            made.push((Running { section: section.name.clone(), sources, status }, aggregate));
        }
    }
    made
}

/// Runs them.
pub(super) fn run(
    made: Vec<(Running, Aggregate)>,
    tasks: &mut JoinSet<()>,
    clock: Clock,
) -> Vec<Running> {
    let run = |(running, aggregate): (Running, Aggregate)| {
        tasks.spawn(aggregate::run(aggregate, Arc::clone(&running.status), clock));
        running
    };
    made.into_iter().map(run).collect()
}

impl Running {
    /// Takes up the sources that a section has now, and lets go of the others.
    pub(super) fn reload(&self, section: &SetupSection, set: &TableSet) {
        if section.name != self.section {
            return;
        }
        for source in self.sources.all().iter() {
            let peer = source.peer();
            let makes_sums = section.aggregators.contains(&peer);
            if !section.sources.contains(&peer) || source.lease().is_some() != makes_sums {
                self.sources.remove(&peer);
                set.remove(source.table());
            }
        }
        let before = self.sources.all();
        for peer in &section.sources {
            self.sources.add(peer, section.aggregators.contains(peer));
        }
        for source in self.sources.all().iter() {
            if !before.iter().any(|known| Arc::ptr_eq(known, source)) {
                set.add(source.table());
            }
        }
    }
}
