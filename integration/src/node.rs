//! One process put together: a table for each declaration, its expiry, and the peers it is shared with.
//!
//! ```text
//! Config --resolve(local peer)--> Setup --Node::run--> tables, an expiry task each
//!                                                      sections, each with its tables
//! ```

mod aggregates;
mod peers;
mod reload;
mod tls;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use stktable::table::Options;
use tokio::task::JoinSet;

use crate::aggregate::AggregateStatus;
use crate::clock::Clock;
use crate::config::{Address, Config, ConfigError, Location, Setup, SetupSection, SetupTable};
use crate::expiry;
use crate::peers::driver::{self, Listen, Names, RemotePeer, Section, SectionSettings};
use crate::peers::session::LearnTables;
use crate::peers::trace::Trace;
use crate::shared::{SharedTable, TableSet};
use crate::tls::TlsError;

use aggregates::Running;
pub use peers::Peers;
pub use reload::Reloaded;
use tls::SectionTls;
pub use tls::check as check_tls;

/// Why a node cannot start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration does not fit the name of the local peer.
    Config(ConfigError),
    /// The name of an address to listen on cannot be resolved.
    Resolve {
        /// Where the section begins.
        at: Location,
        /// The address.
        address: Address,
        /// Why.
        error: io::Error,
    },
    /// A section cannot start.
    Section {
        /// Where it begins.
        at: Location,
        /// Why.
        error: driver::StartError,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Resolve { at, address, error } => {
                write!(f, "{at}: error: `{address}` cannot be resolved: {error}")
            }
            Self::Section { at, error } => write!(f, "{at}: error: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match self {
            Self::Config(error) => error,
            Self::Resolve { error, .. } => error,
            Self::Section { error, .. } => error,
        })
    }
}

/// Tables that expire and are shared with peers, on the runtime that it was started on.
///
/// Dropping it ends its tasks; so does [`stop`](Self::stop), which waits for that. The tables live for as long as
/// somebody has them.
#[derive(Debug)]
pub struct Node {
    tables: Vec<Arc<SharedTable>>,
    set: Arc<TableSet>,
    sections: Vec<Arc<Section>>,
    aggregates: Vec<Running>,
    tasks: JoinSet<()>,
    clock: Clock,
    trace: Arc<Trace>,
    /// What runs, for comparison with what is to be run.
    setup: Setup,
}

/// Makes a table as it is declared.
fn make(table: &SetupTable) -> Arc<SharedTable> {
    let options = match table.ordered {
        true => Options::new().ordered(),
        false => Options::new(),
    };
    SharedTable::with(table.declaration.clone(), options)
}

impl Node {
    /// Starts what a configuration says, as the peer of this name.
    ///
    /// # Errors
    /// When the name does not fit, or an address cannot be listened on. Nothing is left running then.
    pub async fn start(
        config: &Config,
        local_peer: &str,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let setup = config.resolve(local_peer).map_err(StartError::Config)?;
        Self::run(&setup, clock).await
    }

    /// Starts what is to be run.
    ///
    /// # Errors
    /// When an address cannot be listened on. Nothing is left running then.
    pub async fn run(setup: &Setup, clock: Clock) -> Result<Self, StartError> {
        Self::run_filled(setup, clock, async |_| {}).await
    }

    /// Starts what is to be run, once `fill` has put into the tables what was known before: no peer has been met by then.
    ///
    /// # Errors
    /// When an address cannot be listened on. Nothing is left running then.
    pub async fn run_filled(
        setup: &Setup,
        clock: Clock,
        fill: impl AsyncFnOnce(&[Arc<SharedTable>]),
    ) -> Result<Self, StartError> {
        Self::run_as(setup, clock, false, fill).await
    }

    /// The same, as the `successor` of a process that still runs, see [`Section::start_as`].
    ///
    /// # Errors
    /// When an address cannot be listened on. Nothing is left running then.
    pub async fn run_as(
        setup: &Setup,
        clock: Clock,
        successor: bool,
        fill: impl AsyncFnOnce(&[Arc<SharedTable>]),
    ) -> Result<Self, StartError> {
        let tables: Vec<_> = setup.tables.iter().map(make).collect();
        for (table, declared) in tables.iter().zip(&setup.tables) {
            if let Some(target) = declared.write_to.and_then(|at| tables.get(at)) {
                let written = table.write_to(target);
                debug_assert!(written.is_ok(), "the configuration was checked");
            }
        }
        let set = TableSet::new(tables.clone());
        let loaded = tls::load(setup).map_err(StartError::Config)?;
        let aggregates = aggregates::prepare(setup, &tables, &set);
        fill(&tables).await;
        let trace: Arc<Trace> = Arc::default();
        let mut sections = Vec::with_capacity(setup.sections.len());
        for (section, tls) in setup.sections.iter().zip(loaded) {
            let SectionTls { listen: acceptor, calls } = tls;
            let own = &section.own;
            let listens = |address| Listen {
                tls: acceptor.clone(),
                bind_names: own.bind_names,
                networks: own.networks.clone(),
                peers: (!own.peers.is_empty())
                    .then(|| own.peers.iter().map(|named| named.text.clone()).collect()),
                ..Listen::from(address)
            };
            let remotes = section.remotes.iter().zip(calls);
            let settings = SectionSettings {
                name: section.name.clone(),
                local_peer: section.local_peer.clone(),
                listen: listen(section).await?.into_iter().map(listens).collect(),
                remote_peers: remotes
                    .map(|(remote, tls)| RemotePeer {
                        name: remote.name.clone(),
                        address: remote.address.clone(),
                        tls,
                    })
                    .collect(),
                tables: section.tables.iter().map(|at| Arc::clone(&tables[*at])).collect(),
                limits: own.limits,
                names: Names {
                    every: Duration::from_millis(own.resolve_ms.into()),
                    ..Names::default()
                },
                learn: own.learn.map(|(tables, size)| LearnTables {
                    tables,
                    size,
                    into: Arc::clone(&set),
                }),
                trace: Arc::clone(&trace),
            };
            let started = Section::start_as(settings, clock, successor).await;
            let failed = |error| StartError::Section { at: section.at.clone(), error };
            sections.push(Arc::new(started.map_err(failed)?));
        }
        let mut tasks = JoinSet::new();
        for table in &tables {
            tasks.spawn(expiry::run(Arc::clone(table), clock));
        }
        let aggregates = aggregates::run(aggregates, &mut tasks, clock);
        let setup = setup.clone();
        Ok(Self { tables, set, sections, aggregates, tasks, clock, trace, setup })
    }

    /// Returns the trace of what passes between the peers.
    #[must_use]
    pub const fn trace(&self) -> &Arc<Trace> {
        &self.trace
    }

    /// Returns the tables, and those that are learned from peers as they come.
    #[must_use]
    pub fn table_set(&self) -> Arc<TableSet> {
        Arc::clone(&self.set)
    }

    /// Returns the tables of the configuration, in its order.
    #[must_use]
    pub fn tables(&self) -> &[Arc<SharedTable>] {
        &self.tables
    }

    /// Returns the table of this local name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Arc<SharedTable>> {
        self.tables.iter().find(|table| table.declaration().local_name() == name)
    }

    /// Returns the `peers` sections that run.
    pub fn sections(&self) -> impl ExactSizeIterator<Item = &Section> {
        self.sections.iter().map(AsRef::as_ref)
    }

    /// Reads certificates and keys again, see [`Section::reload_certificates`].
    ///
    /// # Errors
    /// Every file that cannot be used; what it said before stays.
    pub fn reload_certificates(&self) -> Result<(), Vec<TlsError>> {
        let errors: Vec<_> = self
            .sections()
            .filter_map(|section| section.reload_certificates().err())
            .flatten()
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Returns who knows the peers, for the runtime API. It does not keep the sections running.
    #[must_use]
    pub fn peers(&self) -> Peers {
        let aggregates = self.aggregates.iter().map(|running| Arc::clone(&running.status));
        Peers::new(
            self.sections.iter().map(Arc::downgrade).collect::<Vec<Weak<_>>>(),
            aggregates.collect(),
        )
    }

    /// Returns how the sums over peers are.
    pub fn aggregates(&self) -> impl Iterator<Item = Arc<AggregateStatus>> {
        self.aggregates.iter().map(|running| running.status.load_full())
    }

    /// Closes the connections to peers, teaches everything to the process that took our place, if there is one, and ends every task. See
    /// [`Section::hand_over`].
    pub async fn hand_over(mut self) {
        let mut each = JoinSet::new();
        for section in self.sections.drain(..).filter_map(Arc::into_inner) {
            each.spawn(async move {
                let name = section.status().name;
                match section.hand_over().await {
                    Ok(()) => tracing::info!(section = name, "handed over"),
                    Err(why) => tracing::info!(section = name, why, "not handed over"),
                }
            });
        }
        while each.join_next().await.is_some() {}
        self.tasks.shutdown().await;
    }

    /// Closes the connections to peers, and ends every task.
    pub async fn stop(mut self) {
        for section in self.sections.drain(..) {
            // `None` while its status is being asked for: then that is what closes it.
            if let Some(section) = Arc::into_inner(section) {
                section.stop().await;
            }
        }
        self.tasks.shutdown().await;
    }
}

/// Returns where a section listens.
async fn listen(section: &SetupSection) -> Result<Vec<SocketAddr>, StartError> {
    let mut found = Vec::with_capacity(section.listen.len());
    for address in &section.listen {
        match address.socket_addr() {
            Some(address) => found.push(address),
            None => {
                let failed = |error| StartError::Resolve {
                    at: section.at.clone(),
                    address: address.clone(),
                    error,
                };
                found.extend(tokio::net::lookup_host(address.to_string()).await.map_err(failed)?);
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}
