//! Peers, and sums over them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::aggregate::AggregateStatus;
use crate::http::Served;
use crate::peers::driver::{PeerStatus, SectionStatus};
use crate::peers::resync::ResyncState;
use crate::peers::session::Stage;

/// A `peers` section.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PeersSection {
    name: String,
    /// Our own name in it.
    local_peer: String,
    /// Whether somebody taught us everything, or nobody could.
    up_to_date: bool,
    /// How far that is.
    resync: String,
    peers: Vec<Peer>,
}

/// Another peer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Peer {
    name: String,
    address: String,
    /// Whether a session is up.
    connected: bool,
    /// What it does: up, teaching, learning, handshake, calling, or down.
    state: &'static str,
    /// Updates that it has not acknowledged.
    unacked: u64,
    /// For how long the oldest of them has waited.
    waited_ms: u64,
    /// Bytes that its socket has not taken.
    queued_bytes: usize,
    /// Updates that it was sent in this session.
    updates_sent: u64,
    /// Updates that it sent in this session, and that were stored.
    updates_learned: u64,
    /// Sessions since we began.
    sessions: u64,
    /// Why the last session or call ended, while there is none.
    last_end: Option<String>,
    tables: Vec<Lag>,
}

/// How far a peer is behind with a table.
#[derive(Debug, Serialize, ToSchema)]
struct Lag {
    table: String,
    unacked: u64,
    waited_ms: u64,
}

impl Peer {
    fn of(peer: PeerStatus) -> Self {
        let session = peer.session.as_ref();
        let state = match session {
            Some(session) if session.stage == Stage::Up && session.teaching => "teaching",
            Some(session) if session.stage == Stage::Up && session.learning => "learning",
            Some(session) if session.stage == Stage::Up => "up",
            Some(_) => "handshake",
            None if peer.calling => "calling",
            None => "down",
        };
        Self {
            connected: session.is_some_and(|session| session.stage == Stage::Up),
            state,
            unacked: peer.unacked(),
            waited_ms: peer.waited_ms(),
            queued_bytes: peer.queued_bytes,
            updates_sent: session.map_or(0, |session| session.counters.updates_sent),
            updates_learned: session.map_or(0, |session| session.counters.updates_learned),
            sessions: peer.sessions,
            tables: peer
                .lag
                .into_iter()
                .map(|lag| Lag { table: lag.table, unacked: lag.unacked, waited_ms: lag.waited_ms })
                .collect(),
            last_end: peer.last_end,
            name: peer.name,
            address: peer.address,
        }
    }
}

/// Returns the sections that run.
pub(super) fn sections(served: &Served) -> Vec<PeersSection> {
    let section = |section: SectionStatus| PeersSection {
        up_to_date: section.resync == ResyncState::Finished,
        resync: section.resync.to_string(),
        name: section.name,
        local_peer: section.local_peer,
        peers: section.peers.into_iter().map(Peer::of).collect(),
    };
    served.peers.status().into_iter().map(section).collect()
}

/// All `peers` sections, and how far each peer is behind.
#[utoipa::path(get, operation_id = "listPeers", path = "/v1/peers", tag = "peers", responses((status = 200, body = Vec<PeersSection>)))]
pub(super) async fn peers(State(served): State<Arc<Served>>) -> Json<Vec<PeersSection>> {
    Json(sections(&served))
}

/// A table of sums over peers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Aggregate {
    section: String,
    /// The table of the sources.
    from: String,
    /// The table that is published.
    into: String,
    /// Whether every expected source is in the sums.
    complete: bool,
    sources: Vec<Source>,
    /// Entries that were written since their sums differed.
    published: u64,
    /// How long the last pass took.
    pass_ms: u64,
}

/// A peer whose values are summed.
#[derive(Debug, Serialize, ToSchema)]
struct Source {
    peer: String,
    /// Whether all that it has is in the sums.
    #[serde(rename = "in")]
    is_in: bool,
    connected: bool,
    keys: u32,
    /// Changes that are not in the sums yet, about.
    behind: u64,
    /// For how long it has had no session.
    lost_ms: Option<u64>,
}

impl Aggregate {
    fn of(status: &AggregateStatus) -> Self {
        let sources = status.sources.iter().map(|source| Source {
            peer: source.peer.clone(),
            is_in: source.is_in(),
            connected: source.up,
            keys: source.keys,
            behind: source.behind,
            lost_ms: source.lost_ms,
        });
        Self {
            section: status.section.clone(),
            from: status.from.clone(),
            into: status.into.clone(),
            complete: status.complete,
            sources: sources.collect(),
            published: status.published,
            pass_ms: status.pass_ms,
        }
    }
}

/// The sums over peers: which sources are in, and what is missing.
#[utoipa::path(get, operation_id = "listAggregates", path = "/v1/aggregates", tag = "peers", responses((status = 200, body = Vec<Aggregate>)))]
pub(super) async fn aggregates(State(served): State<Arc<Served>>) -> Json<Vec<Aggregate>> {
    Json(served.peers.aggregates().iter().map(|status| Aggregate::of(status)).collect())
}
