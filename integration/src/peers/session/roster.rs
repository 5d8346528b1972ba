//! What the sessions of a section have in common: names, tables, and what is remembered of each peer from one
//! session to the next.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use stktable::StickTable;

use super::limits::Limits;
use super::tables::{LearnTables, Tables};
use crate::peers::codec::{Hello, SenderTable, Version};
use crate::shared::SharedTable;

/// The most tables that are learned, whatever was asked for: sessions keep something for each.
const LEARNED_MAX: usize = 1000;

/// Tables that can be added while a section runs, whoever declares them: sessions keep something for each.
const ADDED_MAX: usize = 32;

/// A section as its sessions see it: who we are, who the others are, and which tables are shared.
///
/// Immutable, but for who the others are, tables that are learned, and whether the section is up to date.
#[derive(Debug)]
pub struct Roster {
    section: String,
    local_peer: Box<[u8]>,
    remote_peers: ArcSwap<Vec<Box<[u8]>>>,
    tables: Vec<RosterTable>,
    /// Those that came while the section runs: learned, or added.
    later: Box<[OnceLock<RosterTable>]>,
    learn: Option<LearnTables>,
    limits: Limits,
    up_to_date: AtomicBool,
}

/// A table of a section.
#[derive(Debug)]
pub struct RosterTable {
    table: Arc<SharedTable>,
    local_name: String,
    wire_name: Box<[u8]>,
    announced: SenderTable,
    is_learned: bool,
}

/// Why a roster cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RosterError {
    /// A peer has a name that cannot be sent: it is empty, or holds a space, a NUL or the end of a line.
    Name {
        /// The name.
        peer: String,
    },
    /// Two peers have one name.
    SamePeer {
        /// The name.
        peer: String,
    },
    /// Two tables have one name on the network.
    SameTable {
        /// The name.
        table: String,
    },
    /// More tables have been added than there is room for.
    TooManyTables,
}

impl fmt::Display for RosterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { peer } => write!(f, "{peer:?} is no name that a peer can have"),
            Self::SamePeer { peer } => write!(f, "two peers are named {peer}"),
            Self::SameTable { table } => write!(f, "two tables are named {table} on the network"),
            Self::TooManyTables => {
                write!(f, "{ADDED_MAX} tables have been added since the start, and no more can be")
            }
        }
    }
}

impl std::error::Error for RosterError {}

impl Roster {
    /// Makes the roster of a section. Tables are numbered in this order, from 1.
    ///
    /// # Errors
    /// When a name cannot be sent, or is there twice.
    pub fn new(
        section: impl Into<String>,
        local_peer: &str,
        remote_peers: &[&str],
        tables: Vec<Arc<SharedTable>>,
    ) -> Result<Arc<Self>, RosterError> {
        Self::with(section, local_peer, remote_peers, tables, Limits::default(), None)
    }

    /// Makes the roster of a section with limits of its own, which may learn tables. Tables are numbered in this order, from 1.
    ///
    /// # Errors
    /// When a name cannot be sent, or is there twice.
    pub fn with(
        section: impl Into<String>,
        local_peer: &str,
        remote_peers: &[&str],
        tables: Vec<Arc<SharedTable>>,
        limits: Limits,
        learn: Option<LearnTables>,
    ) -> Result<Arc<Self>, RosterError> {
        let mut names: Vec<Box<[u8]>> = Vec::new();
        for name in [local_peer].into_iter().chain(remote_peers.iter().copied()) {
            names.push(new_name(&names, name)?);
        }
        let local_peer = names.remove(0);
        let tables: Vec<_> = tables.into_iter().map(RosterTable::new).collect();
        for (at, table) in tables.iter().enumerate() {
            if tables.iter().take(at).any(|other| other.wire_name == table.wire_name) {
                let table = String::from_utf8_lossy(&table.wire_name).into_owned();
                return Err(RosterError::SameTable { table });
            }
        }
        Ok(Arc::new(Self {
            section: section.into(),
            local_peer,
            remote_peers: ArcSwap::from_pointee(names),
            tables,
            later: (0..ADDED_MAX + learn.as_ref().map_or(0, |learn| learn.tables.min(LEARNED_MAX)))
                .map(|_| OnceLock::new())
                .collect(),
            learn,
            limits,
            up_to_date: AtomicBool::new(false),
        }))
    }

    /// Returns the name of the section.
    #[must_use]
    pub fn section(&self) -> &str {
        &self.section
    }

    /// Returns our own name.
    #[must_use]
    pub const fn local_peer(&self) -> &[u8] {
        &self.local_peer
    }

    /// Returns the names of the others, as they are now.
    #[must_use]
    pub fn remote_peers(&self) -> Arc<Vec<Box<[u8]>>> {
        self.remote_peers.load_full()
    }

    /// Returns whether this is the name of a peer of the section, ours included.
    #[must_use]
    pub fn is_peer(&self, name: &[u8]) -> bool {
        *name == *self.local_peer || self.remote_peers.load().iter().any(|peer| **peer == *name)
    }

    /// Adds a peer, behind the others. One caller at a time. Sessions that begin from now on know it.
    ///
    /// # Errors
    /// When the name cannot be sent, or is there already.
    pub fn add_peer(&self, name: &str) -> Result<(), RosterError> {
        let mut names = Vec::clone(&self.remote_peers.load());
        if *name.as_bytes() == *self.local_peer {
            return Err(RosterError::SamePeer { peer: name.to_owned() });
        }
        names.push(new_name(&names, name)?);
        self.remote_peers.store(Arc::new(names));
        Ok(())
    }

    /// Removes a peer. One caller at a time. Returns whether it was there. A session with it goes on until it is closed.
    pub fn remove_peer(&self, name: &str) -> bool {
        let mut names = Vec::clone(&self.remote_peers.load());
        let before = names.len();
        names.retain(|peer| **peer != *name.as_bytes());
        let is_gone = names.len() < before;
        if is_gone {
            self.remote_peers.store(Arc::new(names));
        }
        is_gone
    }

    /// Returns the tables that are there now.
    #[must_use]
    pub fn tables(&self) -> Tables<'_> {
        Tables::new(&self.tables, &self.later)
    }

    pub(super) const fn fixed_tables(&self) -> usize {
        self.tables.len()
    }

    pub(super) const fn later_tables(&self) -> &[OnceLock<RosterTable>] {
        &self.later
    }

    /// Returns how tables are learned, if they are.
    #[must_use]
    pub const fn learn(&self) -> Option<&LearnTables> {
        self.learn.as_ref()
    }

    /// Returns what the others may cost us.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns whether our own resync is over: then our lessons end with *finished*, else with *partial*.
    #[must_use]
    pub fn is_up_to_date(&self) -> bool {
        self.up_to_date.load(Ordering::Relaxed)
    }

    /// Notes that our own resync is over. It never begins again.
    pub fn set_up_to_date(&self) {
        self.up_to_date.store(true, Ordering::Relaxed);
    }

    /// Returns the position of the table with this name on the network.
    pub(super) fn find(&self, wire_name: &[u8]) -> Option<usize> {
        self.tables().iter().position(|table| *table.wire_name == *wire_name)
    }
}

impl RosterTable {
    pub(super) fn new(table: Arc<SharedTable>) -> Self {
        let declaration = table.declaration();
        Self {
            local_name: declaration.local_name(),
            wire_name: declaration.wire_name().into_bytes().into(),
            announced: SenderTable::new(
                declaration.key,
                declaration.expire_ms,
                &declaration.columns,
            ),
            table,
            is_learned: false,
        }
    }

    /// Makes one that was created as a peer defined it.
    pub(super) fn learned(table: Arc<SharedTable>) -> Self {
        Self { is_learned: true, ..Self::new(table) }
    }

    /// Returns whether it was created as a peer defined it.
    #[must_use]
    pub const fn is_learned(&self) -> bool {
        self.is_learned
    }

    /// Returns the table.
    #[must_use]
    pub fn table(&self) -> &StickTable {
        &self.table
    }

    /// Returns the table with its signals.
    #[must_use]
    pub const fn shared(&self) -> &Arc<SharedTable> {
        &self.table
    }

    /// Returns its name in commands and logs.
    #[must_use]
    pub fn local_name(&self) -> &str {
        &self.local_name
    }

    /// Returns its name on the network.
    #[must_use]
    pub const fn wire_name(&self) -> &[u8] {
        &self.wire_name
    }

    /// Returns how we announce it.
    pub(super) const fn announced(&self) -> &SenderTable {
        &self.announced
    }
}

/// What a section remembers of one peer from one session to the next.
///
/// It has one *ear*: of several sessions with a peer one is heard, until it is over. So what is still on its way in a session that is given
/// up never replaces what was said later in another one.
#[derive(Debug)]
pub struct PeerMemory {
    name: Box<[u8]>,
    /// By table: the last update of ours that the peer acknowledged.
    acked: Box<[AtomicU64]>,
    /// The peer refused 2.1.
    old: AtomicBool,
    /// A session has the ear.
    heard: AtomicBool,
}

impl PeerMemory {
    /// Returns the memory of a peer that was never met.
    #[must_use]
    pub fn new(roster: &Roster, name: &[u8]) -> Arc<Self> {
        let acked = (0..roster.tables().max()).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self {
            name: name.into(),
            acked,
            old: AtomicBool::new(false),
            heard: AtomicBool::new(false),
        })
    }

    /// Returns the name of the peer.
    #[must_use]
    pub const fn name(&self) -> &[u8] {
        &self.name
    }

    /// Returns the last update of a table that the peer acknowledged, 0 before the first.
    #[must_use]
    pub fn acked(&self, table: usize) -> u64 {
        self.acked.get(table).map_or(0, |acked| acked.load(Ordering::Relaxed))
    }

    pub(super) fn set_acked(&self, table: usize, seq: u64) {
        if let Some(acked) = self.acked.get(table) {
            acked.fetch_max(seq, Ordering::Relaxed);
        }
    }

    /// Takes the ear, if no other session has it.
    pub(super) fn take_ear(&self) -> bool {
        // Acquire: what the other one has stored comes before what this one does.
        !self.heard.swap(true, Ordering::Acquire)
    }

    /// Gives it back. By the session that took it.
    pub(super) fn give_ear(&self) {
        self.heard.store(false, Ordering::Release);
    }

    /// Returns the version to announce to the peer: 2.0 once it refused 2.1, until it announces 2.1 itself.
    #[must_use]
    pub fn version(&self) -> Version {
        if self.old.load(Ordering::Relaxed) { Version::V2_0 } else { Version::V2_1 }
    }

    pub(super) fn set_version(&self, version: Version) {
        self.old.store(version == Version::V2_0, Ordering::Relaxed);
    }
}

/// Returns the name of one more peer, which can be sent and is not among `names`.
fn new_name(names: &[Box<[u8]>], name: &str) -> Result<Box<[u8]>, RosterError> {
    // Each is called under its name, and calls under it.
    Hello::encode(Version::V2_1, name.as_bytes(), name.as_bytes(), 0, &mut Vec::new())
        .map_err(|_| RosterError::Name { peer: name.to_owned() })?;
    if names.iter().any(|other| **other == *name.as_bytes()) {
        return Err(RosterError::SamePeer { peer: name.to_owned() });
    }
    Ok(name.as_bytes().into())
}

/// Returns a name as text, for logs.
pub(super) fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
