//! What changes, as it does: server-sent events.
//!
//! A watcher looks every now and then, and is told what differs from what it was told before. So what peers say and what expires is seen as
//! well as what is counted here, nothing is kept for watchers in the tables, and one who reads slowly is told less often, and never
//! something that is long over.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::yield_now;
use tokio::time::{Interval, MissedTickBehavior, interval};
use utoipa::ToSchema;

use super::Target;
use super::model::{Counts, Entry};
use super::params::Params;
use super::peers::{self, PeersSection};
use crate::http::Served;
use crate::http::problem::Problem;
use crate::search::{Query, Search};
use crate::shared::SharedTable;

/// How often a watcher looks.
const EVERY_MS: (u64, u64) = (100, 60_000);
const EVERY_DEFAULT_MS: u64 = 1_000;
/// Entries that one watcher is told of.
const ENTRIES: (u64, u64) = (1, 1_000);
const ENTRIES_DEFAULT: u64 = 100;

/// What differs from before.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Changes {
    /// Entries that are new or differ.
    changed: Vec<Entry>,
    /// Entries that are no longer among those that were asked for, by `path`.
    gone: Vec<String>,
    /// All of them in their order, by `path`.
    order: Vec<String>,
}

/// All tables and peers at one moment.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Overview {
    /// Milliseconds on a clock that only goes on.
    at_ms: u64,
    tables: Vec<TableNow>,
    peers: Vec<PeersSection>,
}

/// A table at one moment.
#[derive(Debug, Serialize, ToSchema)]
struct TableNow {
    name: String,
    size: u32,
    used: u32,
    counts: Counts,
}

fn permit(served: &Served) -> Result<OwnedSemaphorePermit, Problem> {
    let permit = Arc::clone(&served.watchers).try_acquire_owned();
    permit.map_err(|_| Problem::busy("too many watch already"))
}

fn every(params: &mut Params) -> Result<Interval, Problem> {
    let ms = params.number("every_ms", EVERY_MS)?.unwrap_or(EVERY_DEFAULT_MS);
    let mut every = interval(Duration::from_millis(ms));
    // Whoever reads slowly is told less often.
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Ok(every)
}

/// Returns an event, whose data is a line of JSON.
fn event(name: &str, data: &impl Serialize) -> Result<Event, Infallible> {
    let data = serde_json::to_string(data).unwrap_or_default();
    Ok(Event::default().event(name).data(data))
}

/// What changes in a table, as server-sent events.
///
/// The first event `changes` has everything that was asked for; each later one what differs. Nothing is sent while nothing does, but a
/// comment now and then. With `sort` it is those with the largest values: who talks most.
#[utoipa::path(
    get,
    operation_id = "watchTable",
    path = "/v1/tables/{table}/events",
    tag = "events",
    params(
        ("table" = String, Path, description = "Its name, percent-encoded"),
        ("prefix" = Option<String>, Query, description = "Only keys of a network such as 10.0.0.0/8, or that begin so"),
        ("filter" = Option<Vec<String>>, Query, explode, description = "Only entries of which that is true, such as `gpc0 gt 5`; up to four, all of them"),
        ("sort" = Option<String>, Query, description = "Those with the largest values of this data type"),
        ("limit" = Option<u64>, Query, description = "As many at most, up to 1,000 [default: 100]"),
        ("every_ms" = Option<u64>, Query, description = "How often to look, 100 to 60,000 [default: 1,000]")
    ),
    responses(
        (status = 200, content_type = "text/event-stream", body = Changes, description = "Events `changes`, each with such an object"),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "A parameter is wrong"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such table"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Too many watch already")
    )
)]
pub(super) async fn table(
    State(served): State<Arc<Served>>,
    target: Target,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let table = super::table(&served, &target.table)?;
    let mut params = Params::parse(query.as_deref());
    let query = params.which(table.declaration())?;
    let sort = params.sort(table.declaration())?;
    let limit = params.number("limit", ENTRIES)?.unwrap_or(ENTRIES_DEFAULT);
    let every = every(&mut params)?;
    params.end("prefix, filter, sort, limit, every_ms")?;
    let query = Query { sort, limit: Some(limit), ..query };
    let permit = permit(&served)?;
    let watch = Watch { served, table, query, every, told: None, permit };
    Ok(Sse::new(stream::unfold(watch, Watch::next)).keep_alive(KeepAlive::new()).into_response())
}

/// A watcher of a table.
struct Watch {
    served: Arc<Served>,
    table: Arc<SharedTable>,
    query: Query,
    every: Interval,
    /// What it was told, by path; in their order.
    told: Option<(HashMap<String, Entry>, Vec<String>)>,
    #[expect(dead_code, reason = "for its end")]
    permit: OwnedSemaphorePermit,
}

impl Watch {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            self.every.tick().await;
            let found = self.look().await;
            let first = self.told.is_none();
            let (before, order_before) = self.told.take().unwrap_or_default();
            let differs =
                |entry: &&Entry| before.get(&entry.path).is_none_or(|old| entry.differs(old));
            let changed: Vec<_> = found.iter().filter(differs).cloned().collect();
            let order: Vec<_> = found.iter().map(|entry| entry.path.clone()).collect();
            let now: HashMap<_, _> =
                found.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
            let gone: Vec<_> =
                order_before.iter().filter(|path| !now.contains_key(*path)).cloned().collect();
            let nothing = changed.is_empty() && gone.is_empty() && order == order_before;
            self.told = Some((now, order.clone()));
            if first || !nothing {
                return Some((event("changes", &Changes { changed, gone, order }), self));
            }
        }
    }

    /// Returns the entries that were asked for as they are now.
    async fn look(&self) -> Vec<Entry> {
        let mut search = Search::new(Arc::clone(&self.table), self.query.clone());
        let mut found = Vec::new();
        loop {
            let now = self.served.clock.now();
            let more = search.next(now, |entry| {
                found.push(Entry::of(entry, now));
                ControlFlow::Continue(())
            });
            if !more {
                return found;
            }
            yield_now().await;
        }
    }
}

/// All tables and peers, every second or as often as asked, as server-sent events.
#[utoipa::path(
    get,
    operation_id = "watchOverview",
    path = "/v1/events",
    tag = "events",
    params(("every_ms" = Option<u64>, Query, description = "How often, 100 to 60,000 [default: 1,000]")),
    responses(
        (status = 200, content_type = "text/event-stream", body = Overview, description = "Events `overview`, each with such an object"),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "A parameter is wrong"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Too many watch already")
    )
)]
pub(super) async fn overview(
    State(served): State<Arc<Served>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut params = Params::parse(query.as_deref());
    let every = every(&mut params)?;
    params.end("every_ms")?;
    let permit = permit(&served)?;
    let next = async |(served, mut every, permit): (Arc<Served>, Interval, _)| {
        every.tick().await;
        let now = Overview::of(&served);
        Some((event("overview", &now), (served, every, permit)))
    };
    let stream = stream::unfold((served, every, permit), next);
    Ok(Sse::new(stream).keep_alive(KeepAlive::new()).into_response())
}

impl Overview {
    fn of(served: &Served) -> Self {
        let tables = served.tables.all();
        let tables = tables.iter().map(|table| TableNow {
            name: table.declaration().local_name(),
            size: table.declaration().size,
            used: table.used(),
            counts: Counts::of(table),
        });
        Self {
            at_ms: served.clock.now().0,
            tables: tables.collect(),
            peers: peers::sections(served),
        }
    }
}
