//! Runs a section on tokio: sockets and timers in, bytes out. Knows nothing of the protocol.
//!
//! ```text
//! listener, one per address --accept--.
//!                                      >-- connection, one per session: Session + socket + timer
//! coordinator task --call, connect ----'        |                   ^
//!      ^  timers, calls                         v events            | close, request
//!      '------------------------------------- Hub: Coordinator, sessions by id
//! dispatcher, one per table: waits for the table's signal, wakes the connections
//! ```
//!
//! Nothing runs while nothing happens: the only timers are heartbeats, dead peers and the next call. The tables signal
//! through a flag and a waker, both atomic. A session belongs to the task of its connection: what is learned and taught
//! passes no lock. The hub has one, for the beginnings and ends of sessions and for the [status](Section::status).

mod compare;
mod connection;
mod hand_over;
mod hub;
mod lag;
mod listen;
mod names;
mod peer;
mod status;
mod talk;
mod tap;
mod tasks;
mod wire;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use compare::TableDifference;
use tokio::net::TcpListener;

pub use listen::Listen;
pub use names::{Lookup, Names, Resolve, SystemResolver};
pub use status::{PeerStatus, SectionStatus, TableLag};

use super::resync::ResyncState;
use super::session::{LearnTables, Limits, Roster, RosterError, RosterTable};
use crate::clock::Clock;
use crate::config::Address;
use crate::inherited;
use crate::peers::trace::Trace;
use crate::shared::{Part, SharedTable};
use crate::tls::{Connector, TlsError};
use hub::Hub;

/// How long [`Section::stop`] waits for the tasks before it ends them.
const STOP_MAX: Duration = Duration::from_secs(2);

/// A peer to call, and to be called by.
#[derive(Clone, Debug)]
pub struct RemotePeer {
    /// Its name.
    pub name: String,
    /// Where it is called. A name is looked up again and again; a call goes to where it was found last, a session that is up
    /// goes on wherever it is.
    pub address: Address,
    /// TLS; plain text without it.
    pub tls: Option<Arc<Connector>>,
}

/// What a section is made of.
#[derive(Clone, Debug)]
pub struct SectionSettings {
    /// Its name.
    pub name: String,
    /// Our own name.
    pub local_peer: String,
    /// Where to listen, and to whom.
    pub listen: Vec<Listen>,
    /// The others.
    pub remote_peers: Vec<RemotePeer>,
    /// What is shared. A table belongs to one section: its signal wakes one task.
    pub tables: Vec<Arc<SharedTable>>,
    /// What the others may cost us.
    pub limits: Limits,
    /// How the names of peers are looked up.
    pub names: Names,
    /// Whether tables are learned from what peers define. The section makes them expire.
    pub learn: Option<LearnTables>,
    /// Where it is shown what passes between the peers, while somebody wants to see it.
    pub trace: Arc<Trace>,
}

/// Why a section cannot start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    Listen {
        /// The section.
        section: String,
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The names of peers or tables are not usable.
    Names {
        /// The section.
        section: String,
        /// Why.
        error: RosterError,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { section, address, error } => {
                write!(f, "peers section {section}: cannot listen on {address}: {error}")
            }
            Self::Names { section, error } => write!(f, "peers section {section}: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match self {
            Self::Listen { error, .. } => error,
            Self::Names { error, .. } => error,
        })
    }
}

/// A section that runs, on the runtime that it was started on. Dropping it closes everything; so does
/// [`stop`](Self::stop), which waits for that.
#[derive(Debug)]
pub struct Section {
    hub: Arc<Hub>,
    local_addrs: Vec<SocketAddr>,
    listeners: Vec<Arc<Listen>>,
}

impl Section {
    /// Listens, and calls every peer.
    ///
    /// # Errors
    /// When an address cannot be listened on, or names are not usable; nothing is left running then.
    pub async fn start(settings: SectionSettings, clock: Clock) -> Result<Self, StartError> {
        Self::start_as(settings, clock, false).await
    }

    /// The same, as the `successor` of a process that still runs: it is listened beside that one, and what it teaches comes before what
    /// other peers do. See [`hand_over`](Self::hand_over).
    ///
    /// # Errors
    /// As those of [`start`](Self::start).
    pub async fn start_as(
        settings: SectionSettings,
        clock: Clock,
        successor: bool,
    ) -> Result<Self, StartError> {
        let SectionSettings {
            name,
            local_peer,
            listen,
            remote_peers,
            tables,
            limits,
            names,
            learn,
            trace,
        } = settings;
        let peers: Vec<&str> = remote_peers.iter().map(|peer| peer.name.as_str()).collect();
        let roster = Roster::with(name.as_str(), &local_peer, &peers, tables, limits, learn)
            .map_err(|error| StartError::Names { section: name.clone(), error })?;
        let mut listeners = Vec::with_capacity(listen.len());
        let mut local_addrs = Vec::with_capacity(listen.len());
        for listen in listen {
            let address = listen.address;
            let failed = |error| StartError::Listen { section: name.clone(), address, error };
            let listener = match inherited::take_tcp(address) {
                Some(listener) => TcpListener::from_std(listener),
                None => listen::bind(address, successor),
            };
            let listener = listener.map_err(failed)?;
            local_addrs.push(listener.local_addr().map_err(failed)?);
            listeners.push((listener, Arc::new(listen)));
        }
        let shared = |table: &RosterTable| matches!(table.shared().part(), Part::Shared);
        if roster.learn().is_none() && !roster.tables().iter().any(shared) {
            // Nothing is learned that could be taught: a lesson is never a part of what there is.
            roster.set_up_to_date();
        }
        let hub = Hub::new(roster, clock, names, successor, trace);
        let mut kept = Vec::with_capacity(listeners.len());
        for (listener, listen) in listeners {
            kept.push(Arc::clone(&listen));
            hub.spawn(listen::run(Arc::clone(&hub), listener, listen));
        }
        for at in 0..hub.roster.tables().len() {
            hub.spawn(tasks::dispatch(Arc::clone(&hub), at));
        }
        remote_peers.into_iter().for_each(|peer| hub.serve_peer(peer));
        hub.spawn(tasks::coordinate(Arc::clone(&hub)));
        tracing::info!(section = name, listen = ?local_addrs, "peers section started");
        Ok(Self { hub, local_addrs, listeners: kept })
    }

    /// Reads the files of certificates and keys again, all of them; the sessions that are up go on. Without this they are read
    /// again when they have changed, before the next handshake that uses them.
    ///
    /// # Errors
    /// Every file that cannot be used; what it said before stays.
    pub fn reload_certificates(&self) -> Result<(), Vec<TlsError>> {
        let listeners = self.listeners.iter().filter_map(|listen| listen.tls.as_ref());
        let calls = self.hub.connectors();
        let calls = calls.iter().map(|tls| tls.reload());
        let reloaded = listeners.map(|tls| tls.reload()).chain(calls);
        let errors: Vec<_> = reloaded.filter_map(Result::err).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Returns where it listens, with the ports that were found.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.local_addrs.clone()
    }

    /// Adds a table, which expires and is shared from now on. Every peer is asked for what it has of it, and so for everything.
    ///
    /// # Errors
    /// When there is one of its name on the network, or too many were added.
    pub fn add_table(&self, table: &Arc<SharedTable>) -> Result<(), RosterError> {
        self.hub.add_table(table)
    }

    /// Adds a peer, which is called at once. The sessions with the others go on.
    ///
    /// # Errors
    /// When its name cannot be sent, or is there already.
    pub fn add_peer(&self, peer: RemotePeer) -> Result<(), RosterError> {
        self.hub.add_peer(peer)
    }

    /// Removes a peer: its session is closed, and it is neither called nor heard any more. Returns whether it was there. What
    /// it had acknowledged is forgotten: if it were added again, it would be sent what some other peer lacks and what changes from then on,
    /// and everything if it asks, as peers do when they start.
    pub fn remove_peer(&self, name: &str) -> bool {
        self.hub.remove_peer(name)
    }

    /// Returns what there is to know of it now.
    #[must_use]
    pub fn status(&self) -> SectionStatus {
        self.hub.status()
    }

    /// Begins to compare all tables with every peer, if that is not under way. Soon after, [`status`](Self::status) says how their keys
    /// differ: see [`TableDifference`].
    ///
    /// A peer that is `stktabled` is asked, and counts one table at a time, in slices between its updates: both sides keep 123 KB meanwhile,
    /// and send as much. Of any other, what it has not acknowledged is counted here.
    pub fn compare(&self) {
        self.hub.compare();
    }

    /// Waits until its resync is over: a peer has taught us everything, or there was none for long enough.
    pub async fn synced(&self) {
        let mut resync = self.hub.resync.subscribe();
        // The sender lives in the hub, so the wait ends with the state only.
        let _ = resync.wait_for(|state| *state == ResyncState::Finished).await;
    }

    /// Closes its sessions and listeners. Takes 2 s at most.
    pub async fn stop(self) {
        self.end().await;
    }

    /// Closes its sessions and listeners, then teaches everything to the process that took its place, if there is one: it has the same name
    /// and listens where we did. Returns why it did not.
    ///
    /// Takes as long as that process learns, or 10 s if it does not answer. With TLS nothing is handed over: there is no telling how our own
    /// listener would have to be called.
    ///
    /// # Errors
    /// Why nothing was taught. Where nobody has taken our place that is the usual end.
    pub async fn hand_over(self) -> Result<(), String> {
        self.end().await;
        let mut listeners = self.local_addrs.iter().zip(&self.listeners);
        let plain = listeners.find(|(_, listen)| listen.tls.is_none());
        let Some((address, _)) = plain else {
            return Err("there is no listener without TLS".to_owned());
        };
        hand_over::run(&self.hub, *address).await
    }

    async fn end(&self) {
        self.hub.stop();
        let mut tasks = self.hub.take_tasks();
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_MAX, all).await.is_err() {
            tracing::warn!(section = self.hub.roster.section(), "peers section ended by force");
        }
        tasks.shutdown().await;
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        self.hub.stop();
    }
}
