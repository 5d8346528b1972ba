//! What the nodes look like at one moment.

use stktable::Tick;
use stktable::table::Metrics;
use stktable_integration::Node;
use stktable_integration::peers::session::{SessionStatus, Stage};

use super::Pair;

/// Both nodes at one moment.
#[derive(Debug)]
pub(super) struct Sample {
    /// When it was taken.
    pub(super) at: Tick,
    /// Each node.
    pub(super) nodes: [NodeSample; 2],
}

/// One node at one moment.
#[derive(Debug)]
pub(super) struct NodeSample {
    /// Each table.
    pub(super) tables: Vec<Metrics>,
    /// Whether the connection to the other node is up.
    pub(super) up: bool,
    /// Updates sent in this session.
    pub(super) sent: u64,
    /// Updates learned in this session.
    pub(super) learned: u64,
    /// Updates of each table that are still to be sent, at most.
    pub(super) lag: Vec<u64>,
}

impl Sample {
    pub(super) fn take(pair: &Pair, at: Tick) -> Self {
        Self { at, nodes: pair.nodes.each_ref().map(NodeSample::take) }
    }

    /// Returns the milliseconds since another one, at least 1.
    pub(super) fn since_ms(&self, other: &Self) -> u64 {
        self.at.since(other.at).max(1)
    }
}

impl NodeSample {
    fn take(node: &Node) -> Self {
        let sessions: Vec<SessionStatus> = node
            .sections()
            .flat_map(|section| section.status().peers)
            .filter_map(|peer| peer.session)
            .collect();
        let lag = |name: &str| {
            let tables = sessions.iter().flat_map(|session| &session.tables);
            tables.filter(|table| table.name == name).map(|table| table.lag).sum()
        };
        Self {
            tables: node.tables().iter().map(|table| table.metrics()).collect(),
            up: sessions.iter().any(|session| session.stage == Stage::Up),
            sent: sessions.iter().map(|session| session.counters.updates_sent).sum(),
            learned: sessions.iter().map(|session| session.counters.updates_learned).sum(),
            lag: node.tables().iter().map(|table| lag(&table.declaration().local_name())).collect(),
        }
    }
}

/// Returns how many entries expired on a node.
pub(super) fn expired(node: &Node) -> u64 {
    node.tables().iter().map(|table| table.metrics().expired).sum()
}
