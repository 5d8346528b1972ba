//! What `show peers` says: the layout of HAProxy, with what is known here.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;

use crate::aggregate::AggregateStatus;
use crate::peers::driver::{PeerStatus, Section, SectionStatus};
use crate::peers::resync::ResyncState;
use crate::peers::session::{SessionStatus, Stage};
use crate::runtime_api::PeersStatus;

/// Knows the `peers` sections of a node while they run.
#[derive(Debug)]
pub struct Peers {
    sections: Vec<Weak<Section>>,
    aggregates: Vec<Arc<ArcSwap<AggregateStatus>>>,
}

impl Peers {
    pub(super) const fn new(
        sections: Vec<Weak<Section>>,
        aggregates: Vec<Arc<ArcSwap<AggregateStatus>>>,
    ) -> Self {
        Self { sections, aggregates }
    }

    /// Returns how the sums over peers are.
    #[must_use]
    pub fn aggregates(&self) -> Vec<Arc<AggregateStatus>> {
        self.aggregates.iter().map(|status| status.load_full()).collect()
    }

    /// Returns what there is to know of the sections that still run.
    #[must_use]
    pub fn status(&self) -> Vec<SectionStatus> {
        self.sections.iter().filter_map(Weak::upgrade).map(|section| section.status()).collect()
    }
}

impl PeersStatus for Peers {
    fn show_peers(&self, section: Option<&str>, out: &mut String) -> bool {
        let mut found = section.is_none();
        for status in self.sections.iter().filter_map(Weak::upgrade).map(|each| each.status()) {
            if section.is_none_or(|name| name == status.name) {
                found = true;
                // Writing to memory does not fail.
                let _ = show(&status, out);
            }
        }
        found
    }

    fn show_aggregates(&self, section: Option<&str>, out: &mut String) -> bool {
        let mut found = section.is_none();
        for status in self.aggregates() {
            if section.is_none_or(|name| name == status.section) {
                found = true;
                // Writing to memory does not fail.
                let _ = show_aggregate(&status, out);
            }
        }
        found
    }

    fn compare_peers(&self, section: Option<&str>, out: &mut String) -> bool {
        let mut found = section.is_none();
        for each in self.sections.iter().filter_map(Weak::upgrade) {
            let status = each.status();
            if section.is_none_or(|name| name == status.name) {
                found = true;
                let _ = show_differences(&status, out);
                each.compare();
            }
        }
        found
    }
}

fn show_aggregate(status: &AggregateStatus, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "id={} from={} section={} complete={} sources_in={} sources_expected={}",
        status.into,
        status.from,
        status.section,
        u8::from(status.complete),
        status.sources_in(),
        status.sources.len()
    )?;
    writeln!(
        out,
        "  passes={} pass={}ms combined={} published={} refreshed={} refused={} saturated={}",
        status.passes,
        status.pass_ms,
        status.combined,
        status.published,
        status.refreshed,
        status.refused,
        status.saturated
    )?;
    for source in &status.sources {
        let state = match () {
            () if source.is_in() => "in",
            () if source.up && source.counts => "learning",
            () if source.counts => "lost",
            () => "out",
        };
        write!(
            out,
            "  id={} state={state} keys={} behind={}",
            source.peer, source.keys, source.behind
        )?;
        match source.lost_ms {
            Some(ms) if !source.up => writeln!(out, " lost={ms}ms")?,
            _ => writeln!(out)?,
        }
    }
    write!(out, "  rules:")?;
    for (from, rule, into) in &status.rules {
        write!(out, " {rule}({from})")?;
        if from != into {
            write!(out, "={into}")?;
        }
    }
    writeln!(out)
}

fn show_differences(section: &SectionStatus, out: &mut String) -> fmt::Result {
    writeln!(out, "id={} local_peer={}", section.name, section.local_peer)?;
    for peer in &section.peers {
        let comparing = peer.session.as_ref().is_some_and(|session| session.comparing);
        writeln!(out, "  id={} comparing={}", peer.name, u8::from(comparing))?;
        for found in &peer.differences {
            let by = if found.is_asked { "digest" } else { "acks" };
            write!(out, "      table={} by={by} lacks={}", found.table, found.difference.lacks)?;
            if found.is_asked {
                // Of a peer that cannot say it is not known what it has beside.
                write!(out, " exceeds={}", found.difference.exceeds)?;
            }
            let exact = u8::from(found.difference.is_exact);
            writeln!(out, " exact={exact} age={}ms", found.age_ms)?;
        }
    }
    Ok(())
}

fn show(section: &SectionStatus, out: &mut String) -> fmt::Result {
    let resync = match section.resync {
        ResyncState::Finished => "finished",
        _ => "running",
    };
    writeln!(
        out,
        "id={} local_peer={} resync={resync} connections={} connections_refused={}",
        section.name, section.local_peer, section.connections, section.connections_refused
    )?;
    for peer in &section.peers {
        show_peer(peer, out)?;
    }
    if let Some(predecessor) = &section.predecessor {
        writeln!(out, "  id={}(local,active)", section.local_peer)?;
        show_session(predecessor, out)?;
    }
    Ok(())
}

fn show_peer(peer: &PeerStatus, out: &mut String) -> fmt::Result {
    let active = if peer.session.is_some() { "active" } else { "inactive" };
    let last_status = match &peer.session {
        Some(session) if session.stage == Stage::Up => "ESTA",
        Some(_) => "HSHK",
        None if peer.calling => "CONN",
        None if peer.sessions == 0 && peer.last_end.is_none() => "NONE",
        None => "RETR",
    };
    let reconnect = match peer.call_in_ms {
        None => "<NEVER>".to_owned(),
        Some(ms) => format!("{ms}ms"),
    };
    writeln!(
        out,
        "  id={}(remote,{active}) addr={} last_status={last_status}",
        peer.name, peer.address
    )?;
    writeln!(
        out,
        "        reconnect={reconnect} sessions={} calls_failed={} proto_err={} teaches_us={} not_up_to_date={}",
        peer.sessions,
        peer.calls_failed,
        peer.protocol_errors,
        u8::from(peer.teaches_us),
        u8::from(peer.not_up_to_date)
    )?;
    let (unacked, waited, queued) = (peer.unacked(), peer.waited_ms(), peer.queued_bytes);
    writeln!(out, "        unacked={unacked} waited={waited}ms queued={queued}B")?;
    for lag in peer.lag.iter().filter(|lag| lag.unacked > 0) {
        writeln!(
            out,
            "          behind: id={} unacked={} waited={}ms",
            lag.table, lag.unacked, lag.waited_ms
        )?;
    }
    if let Some(end) = &peer.last_end {
        writeln!(out, "        last_end=\"{}\"", end.escape_debug())?;
    }
    peer.session.as_ref().map_or(Ok(()), |session| show_session(session, out))
}

fn show_session(session: &SessionStatus, out: &mut String) -> fmt::Result {
    let counters = &session.counters;
    writeln!(
        out,
        "        tx_hbt={} rx_hbt={} rx_msg={} tx_updt={} rx_updt={} rx_updt_refused={} tx_ack={} rx_ack={}",
        counters.heartbeats_sent,
        counters.heartbeats_received,
        counters.messages_received,
        counters.updates_sent,
        counters.updates_learned,
        counters.updates_refused,
        counters.acks_sent,
        counters.acks_received
    )?;
    writeln!(
        out,
        "        teaching={} learning={} lessons_taught={} lessons_learned={}",
        u8::from(session.teaching),
        u8::from(session.learning),
        counters.lessons_taught,
        counters.lessons_learned
    )?;
    writeln!(out, "        shared tables:")?;
    for table in &session.tables {
        writeln!(
            out,
            "          local_id={} remote_id={} id={}",
            table.local_id,
            table.remote_id.unwrap_or(0),
            table.name
        )?;
        writeln!(
            out,
            "              last_acked={} last_pushed={} last_get={} update={} lag={}",
            table.last_acked, table.cursor, table.last_get, table.peer_acked, table.lag
        )?;
    }
    Ok(())
}
