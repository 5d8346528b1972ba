//! What Prometheus asks for: tables and peers as numbers, in the OpenMetrics text format.
//!
//! Everything is read when it is asked for: nothing is counted twice, and an idle process does nothing. A key is a label of `stktable_top`
//! alone, which is there only when it is asked for ([`Top`]).
//!
//! | metric | labels | |
//! | --- | --- | --- |
//! | `stktable_entries`, `stktable_size_entries` | `table` | entries alive, and the most there can be |
//! | `stktable_created_total`, `stktable_expired_total`, `stktable_purged_total`, `stktable_removed_total` | `table` | entries that came and went |
//! | `stktable_refused_total` | `table` | creations that failed for lack of room |
//! | `stktable_names`, `stktable_names_refused_total` | `table` | names in `server_key` |
//! | `stktable_top` | `table`, `data_type`, `key` | the largest values, if they were asked for |
//! | `stktable_dead_entries` | `table` | entries that are gone, and whose memory waits for a sweep |
//! | `stktable_expiry_lag_seconds` | `table` | how far expiry is behind |
//! | `stktable_unreclaimed_objects` | `table` | nodes and entries given up and not freed yet |
//! | `stktable_peers_up_to_date` | `section` | 1 when the resync of the start is over |
//! | `stktable_peers_connections`, `stktable_peers_connections_refused_total`, `stktable_peers_handshakes_failed_total` | `section` | connections of peers |
//! | `stktable_peer_connected` | `section`, `peer` | 1 while a session is up |
//! | `stktable_peer_queued_bytes` | `section`, `peer` | bytes that are written and that its socket has not taken |
//! | `stktable_peer_sessions_total`, `stktable_peer_calls_failed_total`, `stktable_peer_protocol_errors_total` | `section`, `peer` | since the start |
//! | `stktable_peer_updates_sent_total`, `..._learned_total`, `..._refused_total` | `section`, `peer` | of the session that is up |
//! | `stktable_peer_lag_updates` | `section`, `peer`, `table` | updates that the peer has not been sent |
//! | `stktable_peer_unacked_updates`, `stktable_peer_unacked_seconds` | `section`, `peer`, `table` | updates that it has not acknowledged, and for how long the oldest of them has waited |
//! | `stktable_aggregate_complete`, `stktable_aggregate_sources`, `..._sources_expected`, `..._pass_seconds` | `table` | sums over peers: whether they are whole, sources that are in, and that should be; how long the last pass took |
//! | `stktable_aggregate_combined_total`, `..._published_total`, `..._refreshed_total`, `..._refused_total`, `..._saturated_total` | `table` | keys combined, sums told because they differed, told again, without room; values cut to what their type holds |
//! | `stktable_aggregate_source_in`, `..._source_entries`, `..._source_behind_updates` | `table`, `peer` | one source |

mod aggregates;
mod top;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use stktable::table::Metrics as TableMetrics;

use crate::aggregate::AggregateStatus;
use crate::peers::driver::{PeerStatus, SectionStatus, TableLag};
use crate::peers::resync::ResyncState;
use crate::peers::session::{SessionStatus, Stage};
use crate::shared::SharedTable;
pub use top::{Largest, NoTop, Top, largest};

/// The type that goes with what [`render`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Returns the numbers of these tables and sections as they are now.
#[must_use]
pub fn render(
    tables: &[Arc<SharedTable>],
    sections: Vec<SectionStatus>,
    aggregates: Vec<Arc<AggregateStatus>>,
    largest: Vec<Largest>,
) -> String {
    let tables = tables.iter().map(|table| (table.declaration().local_name(), table.metrics()));
    let mut registry = Registry::default();
    let tables = tables.collect();
    registry.register_collector(Box::new(Snapshot { tables, sections, aggregates, largest }));
    let mut text = String::new();
    // Writing to memory does not fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

/// What there was at one moment.
#[derive(Debug)]
struct Snapshot {
    tables: Vec<(String, TableMetrics)>,
    sections: Vec<SectionStatus>,
    aggregates: Vec<Arc<AggregateStatus>>,
    largest: Vec<Largest>,
}

/// Name, help, and what is read of a `T`.
type Column<T> = (&'static str, &'static str, fn(&T) -> u64);

/// A number and its labels.
type Sample = (Vec<(&'static str, String)>, f64);

/// Writes one family: its help, and a line for each sample.
fn family(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    ty: MetricType,
    samples: impl IntoIterator<Item = Sample>,
) -> fmt::Result {
    let mut samples = samples.into_iter().peekable();
    if samples.peek().is_none() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(name, help, None, ty)?;
    for (labels, value) in samples {
        let encoder = family.encode_family(&labels)?;
        match ty {
            MetricType::Counter => ConstCounter::new(value).encode(encoder)?,
            _ => ConstGauge::new(value).encode(encoder)?,
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
const fn number(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
const fn signed(value: i64) -> f64 {
    value as f64
}

impl Snapshot {
    fn tables(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help, ty): (&str, &str, MetricType),
        read: impl Fn(&TableMetrics) -> f64,
    ) -> fmt::Result {
        let samples = self
            .tables
            .iter()
            .map(|(table, metrics)| (vec![("table", table.clone())], read(metrics)));
        family(encoder, name, help, ty, samples)
    }

    fn sections(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help, ty): (&str, &str, MetricType),
        read: impl Fn(&SectionStatus) -> f64,
    ) -> fmt::Result {
        let samples = self
            .sections
            .iter()
            .map(|section| (vec![("section", section.name.clone())], read(section)));
        family(encoder, name, help, ty, samples)
    }

    fn peers(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help, ty): (&str, &str, MetricType),
        read: impl Fn(&PeerStatus) -> Option<f64>,
    ) -> fmt::Result {
        let peers = self
            .sections
            .iter()
            .flat_map(|section| section.peers.iter().map(move |peer| (section, peer)));
        let samples =
            peers.filter_map(|(section, peer)| Some((labels(section, peer), read(peer)?)));
        family(encoder, name, help, ty, samples)
    }
}

impl Snapshot {
    /// A sample for each table and peer.
    fn unacked(&self, read: impl Fn(&TableLag) -> f64 + Copy) -> impl Iterator<Item = Sample> {
        let peers = self
            .sections
            .iter()
            .flat_map(|section| section.peers.iter().map(move |peer| (section, peer)));
        peers.flat_map(move |(section, peer)| {
            peer.lag.iter().map(move |lag| {
                let mut labels = labels(section, peer);
                labels.push(("table", lag.table.clone()));
                (labels, read(lag))
            })
        })
    }
}

fn labels(section: &SectionStatus, peer: &PeerStatus) -> Vec<(&'static str, String)> {
    vec![("section", section.name.clone()), ("peer", peer.name.clone())]
}

/// The session, if it is up.
fn up(peer: &PeerStatus) -> Option<&SessionStatus> {
    peer.session.as_ref().filter(|session| session.stage == Stage::Up)
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        use MetricType::{Counter, Gauge};
        let to = &mut encoder;
        self.tables(to, ("stktable_entries", "Entries alive", Gauge), |m| m.used.into())?;
        let size = ("stktable_size_entries", "The most entries there can be", Gauge);
        self.tables(to, size, |m| m.size.into())?;
        let counters: [Column<TableMetrics>; 6] = [
            ("stktable_created", "Entries created", |m| m.created),
            ("stktable_expired", "Entries that were over", |m| m.expired),
            ("stktable_purged", "Entries taken to make room", |m| m.purged),
            ("stktable_removed", "Entries removed by key, filter or prefix", |m| m.removed),
            ("stktable_refused", "Creations that failed for lack of room", |m| m.refused),
            ("stktable_names_refused", "Names too long, or one too many", |m| m.names_refused),
        ];
        for (name, help, read) in counters {
            self.tables(to, (name, help, Counter), |metrics| number(read(metrics)))?;
        }
        if !self.largest.is_empty() {
            let samples = self.largest.iter().map(|largest| {
                let labels = vec![
                    ("table", largest.table.clone()),
                    ("data_type", largest.data_type.name().to_owned()),
                    ("key", largest.key.clone()),
                ];
                (labels, signed(largest.value))
            });
            family(to, "stktable_top", "The largest values", Gauge, samples)?;
        }
        let names = ("stktable_names", "Different names in server_key", Gauge);
        self.tables(to, names, |m| m.names.into())?;
        let dead = ("stktable_dead_entries", "Entries gone whose memory waits for a sweep", Gauge);
        self.tables(to, dead, |m| m.dead.into())?;
        let lag = ("stktable_expiry_lag_seconds", "How far expiry is behind", Gauge);
        self.tables(to, lag, |m| number(m.expiry_lag_ms) / 1e3)?;
        let help = "Nodes and entries given up and not freed yet";
        self.tables(to, ("stktable_unreclaimed_objects", help, Gauge), |m| {
            number(m.unreclaimed as u64)
        })?;

        let help = "1 when the resync of the start is over";
        self.sections(to, ("stktable_peers_up_to_date", help, Gauge), |section| {
            f64::from(u8::from(section.resync == ResyncState::Finished))
        })?;
        let connections = ("stktable_peers_connections", "Connections of peers", Gauge);
        self.sections(to, connections, |section| number(section.connections as u64))?;
        let help = "Connections closed at once because there were too many";
        self.sections(to, ("stktable_peers_connections_refused", help, Counter), |section| {
            number(section.connections_refused)
        })?;
        let help = "Callers with whom TLS was not agreed upon";
        self.sections(to, ("stktable_peers_handshakes_failed", help, Counter), |section| {
            number(section.handshakes_failed)
        })?;

        let connected = ("stktable_peer_connected", "1 while a session is up", Gauge);
        self.peers(to, connected, |peer| Some(f64::from(u8::from(up(peer).is_some()))))?;
        let queued = ("stktable_peer_queued_bytes", "Bytes that its socket has not taken", Gauge);
        self.peers(to, queued, |peer| Some(number(peer.queued_bytes as u64)))?;
        let totals: [Column<PeerStatus>; 3] = [
            ("stktable_peer_sessions", "Sessions", |peer| peer.sessions),
            ("stktable_peer_calls_failed", "Calls without a connection", |peer| peer.calls_failed),
            ("stktable_peer_protocol_errors", "Sessions ended by what the peer sent", |peer| {
                peer.protocol_errors
            }),
        ];
        for (name, help, read) in totals {
            self.peers(to, (name, help, Counter), |peer| Some(number(read(peer))))?;
        }
        let counters: [Column<SessionStatus>; 3] = [
            ("stktable_peer_updates_sent", "Updates sent in this session", |session| {
                session.counters.updates_sent
            }),
            ("stktable_peer_updates_learned", "Updates stored in this session", |session| {
                session.counters.updates_learned
            }),
            ("stktable_peer_updates_refused", "Updates without room in this session", |session| {
                session.counters.updates_refused
            }),
        ];
        for (name, help, read) in counters {
            self.peers(to, (name, help, Counter), |peer| up(peer).map(|up| number(read(up))))?;
        }
        let lags = self.sections.iter().flat_map(|section| {
            let peers = section.peers.iter().filter_map(|peer| Some((peer, up(peer)?)));
            peers.flat_map(move |(peer, session)| {
                session.tables.iter().map(move |table| {
                    let mut labels = labels(section, peer);
                    labels.push(("table", table.name.clone()));
                    (labels, number(table.lag))
                })
            })
        });
        let help = "Updates that the peer has not been sent";
        family(to, "stktable_peer_lag_updates", help, Gauge, lags)?;
        let help = "Updates that the peer has not acknowledged";
        let unacked = self.unacked(|lag| number(lag.unacked));
        family(to, "stktable_peer_unacked_updates", help, Gauge, unacked)?;
        let help = "For how long the oldest update has waited that the peer has not acknowledged";
        let waited = self.unacked(|lag| number(lag.waited_ms) / 1e3);
        family(to, "stktable_peer_unacked_seconds", help, Gauge, waited)?;
        aggregates::encode(&self.aggregates, to)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use std::net::Ipv4Addr;

    use stktable::{DataType, Declaration, Key, KeySpec, Tick};

    use super::*;
    use crate::peers::session::Session;

    fn rendered() -> String {
        let declaration = Declaration::builder("t", KeySpec::IP).size(10);
        let declaration = declaration.store(DataType::Gpc0).build().unwrap();
        let table = SharedTable::new(declaration);
        for (client, n) in [(1, 7), (2, 9), (3, 8)] {
            let entry = table.get_or_create(&Key::from(Ipv4Addr::from(client)), Tick(1)).unwrap();
            entry.add(DataType::Gpc0, 0, n, Tick(1));
        }
        let tops = ["gpc0=2".parse().unwrap(), "gpc1=2".parse().unwrap()];
        let largest = largest(std::slice::from_ref(&table), &tops, Tick(1));
        let roster =
            crate::peers::session::Roster::new("mesh", "a", &["b"], vec![Arc::clone(&table)]);
        let mut session = Session::called(stktable::Tick(1), roster.unwrap()).status();
        session.stage = Stage::Up;
        let lag = TableLag { table: "t".to_owned(), unacked: 5, waited_ms: 1_500 };
        let peer = PeerStatus {
            name: "b \"x\"".to_owned(),
            session: Some(session),
            lag: vec![lag],
            queued_bytes: 9,
            ..PeerStatus::default()
        };
        let section = SectionStatus {
            name: "mesh".to_owned(),
            peers: vec![peer],
            connections: 3,
            ..SectionStatus::default()
        };
        let source = crate::aggregate::SourceStatus {
            peer: "b".to_owned(),
            up: true,
            ..crate::aggregate::SourceStatus::default()
        };
        let aggregate = AggregateStatus {
            into: "mesh/t.agg".to_owned(),
            sources: vec![source],
            saturated: 7,
            ..AggregateStatus::default()
        };
        render(&[table], vec![section], vec![Arc::new(aggregate)], largest)
    }

    /// The names in a text of metrics, or in what asks for them.
    fn names(text: &str) -> BTreeSet<&str> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter(|word| word.starts_with("stktable_")).collect()
    }

    #[test]
    fn the_text_is_of_the_form() {
        let text = rendered();
        assert!(text.ends_with("# EOF\n"), "{text}");
        for line in [
            "# TYPE stktable_entries gauge",
            "stktable_entries{table=\"t\"} 3.0",
            "stktable_top{table=\"t\",data_type=\"gpc0\",key=\"0.0.0.2\"} 9.0",
            "stktable_top{table=\"t\",data_type=\"gpc0\",key=\"0.0.0.3\"} 8.0",
            "stktable_peers_connections{section=\"mesh\"} 3.0",
            "stktable_peer_connected{section=\"mesh\",peer=\"b \\\"x\\\"\"} 1.0",
            "stktable_peer_unacked_seconds{section=\"mesh\",peer=\"b \\\"x\\\"\",table=\"t\"} 1.5",
            "stktable_peer_queued_bytes{section=\"mesh\",peer=\"b \\\"x\\\"\"} 9.0",
            "stktable_peer_lag_updates{section=\"mesh\",peer=\"b \\\"x\\\"\",table=\"t\"} 0.0",
            "stktable_aggregate_saturated_total{table=\"mesh/t.agg\"} 7.0",
            "stktable_aggregate_source_in{table=\"mesh/t.agg\",peer=\"b\"} 0.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert_eq!(text.matches("stktable_top{").count(), 2);
    }

    #[test]
    fn the_dashboard_asks_for_what_there_is() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/grafana.json");
        let dashboard: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let text = rendered();
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let samples = samples.join("\n");
        let there = names(&samples);
        let mut asked = 0;
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                for name in names(target["expr"].as_str().unwrap()) {
                    assert!(there.contains(name), "{name}: {there:?}");
                    asked += 1;
                }
            }
        }
        assert!(asked > 15, "{asked}");
    }
}
