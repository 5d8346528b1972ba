//! The entries of a table: many at once.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use stktable::table::{Filter, Removed};
use tokio::task::yield_now;
use utoipa::ToSchema;

use super::Target;
use super::model::Entry;
use super::params::Params;
use crate::clock::Clock;
use crate::http::Served;
use crate::http::problem::Problem;
use crate::search::{Query, SORTED_MAX, Search};

/// Bytes of a piece of an answer beyond which it ends.
const PIECE_BYTES: usize = 16 * 1024;
/// Entries of an answer, unless it is said otherwise.
const LIMIT: u64 = 100;

/// Entries of a table.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Entries {
    entries: Vec<Entry>,
    /// What to put after `after=` for the next page; null at the end, and where they are sorted.
    next: Option<String>,
}

/// What was removed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Cleared {
    removed: u32,
    /// Entries that stay, since somebody uses them.
    in_use: u32,
}

/// The entries of a table, piece by piece.
///
/// Nothing is held between two pieces, so an answer of any length takes little memory, and whoever reads slowly stops nobody. An
/// entry that is there from the beginning to the end is not left out. They come in the order of their keys where the table keeps one,
/// otherwise in that of a hash, which is the same for every page.
#[utoipa::path(
    get,
    operation_id = "listEntries",
    path = "/v1/tables/{table}/entries",
    tag = "entries",
    params(
        ("table" = String, Path, description = "Its name, percent-encoded"),
        ("prefix" = Option<String>, Query, description = "Only keys of a network such as 10.0.0.0/8, or that begin so"),
        ("filter" = Option<Vec<String>>, Query, explode, description = "Only entries of which that is true, such as `gpc0 gt 5`; up to four, all of them"),
        ("sort" = Option<String>, Query, description = "The largest values of this data type first; limit is 10,000 at most then"),
        ("limit" = Option<u64>, Query, description = "As many at most [default: 100]"),
        ("after" = Option<String>, Query, description = "Those behind this key: `next` of the page before")
    ),
    responses(
        (status = 200, body = Entries),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "A parameter is wrong"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such table")
    )
)]
pub(super) async fn list(
    State(served): State<Arc<Served>>,
    target: Target,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let table = super::table(&served, &target.table)?;
    let declaration = table.declaration();
    let mut params = Params::parse(query.as_deref());
    let query = params.which(declaration)?;
    let sort = params.sort(declaration)?;
    let after = params.after(declaration)?;
    if sort.is_some() && after.is_some() {
        return Err(Problem::bad("`after` goes with the order of the table, not with `sort`"));
    }
    let most = if sort.is_some() { SORTED_MAX as u64 } else { u64::MAX };
    let limit = params.number("limit", (1, most))?.unwrap_or(LIMIT);
    params.end("prefix, filter, sort, limit, after")?;
    let query = Query { sort, after, limit: Some(limit), ..query };
    let page =
        Page { search: Search::new(table, query), clock: served.clock, at: At::Begin, last: None };
    let body = Body::from_stream(stream::unfold(page, Page::next));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// An answer under way.
struct Page {
    search: Search,
    clock: Clock,
    at: At,
    /// The last entry that was written.
    last: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Begin,
    Middle,
    End,
}

impl Page {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let mut out = Vec::new();
        match self.at {
            At::End => return None,
            At::Begin => out.extend_from_slice(b"{\"entries\":["),
            At::Middle => {}
        }
        self.at = At::Middle;
        let now = self.clock.now();
        // An empty piece would end the body of some servers: at least something is in each.
        while out.len() < PIECE_BYTES {
            let last = &mut self.last;
            let more = self.search.next(now, |entry| {
                let entry = Entry::of(entry, now);
                if last.is_some() {
                    out.push(b',');
                }
                out.push(b'\n');
                // Writing to memory does not fail.
                let _ = serde_json::to_writer(&mut out, &entry);
                *last = Some(entry.path);
                let full = out.len() >= PIECE_BYTES;
                if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            // Others have their turn, however long it takes to find something.
            yield_now().await;
            if !more {
                let next = self.last.take().filter(|_| self.search.is_cut());
                let next = serde_json::json!(next);
                out.extend_from_slice(format!("\n],\"next\":{next}}}\n").as_bytes());
                self.at = At::End;
                break;
            }
        }
        Some((Ok(Bytes::from(out)), self))
    }
}

/// Removes entries that are not in use. Peers are not told.
#[utoipa::path(
    delete,
    operation_id = "clearEntries",
    path = "/v1/tables/{table}/entries",
    tag = "entries",
    params(
        ("table" = String, Path, description = "Its name, percent-encoded"),
        ("prefix" = Option<String>, Query, description = "Only keys of a network such as 10.0.0.0/8, or that begin so"),
        ("filter" = Option<Vec<String>>, Query, explode, description = "Only entries of which that is true, such as `gpc0 gt 5`; up to four, all of them"),
        ("all" = Option<bool>, Query, description = "`true` where there is neither a prefix nor a filter, so that a slip does not empty a table")
    ),
    responses(
        (status = 200, body = Cleared),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "A parameter is wrong, or nothing says which entries"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such table"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The table is made of what peers say")
    )
)]
pub(super) async fn clear(
    State(served): State<Arc<Served>>,
    target: Target,
    RawQuery(query): RawQuery,
) -> Result<Json<Cleared>, Problem> {
    let table = super::table_to_change(&served, &target.table)?;
    let mut params = Params::parse(query.as_deref());
    let query = params.which(table.declaration())?;
    let all = match params.take("all")?.as_deref() {
        None => false,
        Some(b"true") => true,
        Some(_) => return Err(Problem::bad("`all`: expected true, or nothing")),
    };
    params.end("prefix, filter, all")?;
    if all != (query.prefix.is_none() && query.filters.is_empty()) {
        let why = match all {
            true => "`all=true` goes without `prefix` and `filter`",
            false => "which entries? `prefix`, `filter`, or `all=true`",
        };
        return Err(Problem::bad(why));
    }
    let mut cleared = Cleared { removed: 0, in_use: 0 };
    let filters = query.filters.clone();
    let mut search = Search::new(Arc::clone(&table), query);
    let (mut keys, mut more) = (Vec::new(), true);
    while more {
        let now = served.clock.now();
        more = search.next(now, |entry| {
            keys.push(entry.key());
            ControlFlow::Continue(())
        });
        for key in keys.drain(..) {
            // Looked at once more: it may have changed.
            let removed =
                table.remove_if(&key, now, |entry| Filter::all_pass(&filters, entry, now));
            match removed {
                Removed::Removed => cleared.removed += 1,
                Removed::Busy => cleared.in_use += 1,
                Removed::Missing => {}
            }
        }
        yield_now().await;
    }
    Ok(Json(cleared))
}
