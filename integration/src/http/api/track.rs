//! Counting, and being told what that makes, in one call.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use stktable::table::Event;
use stktable::{DataType, Declaration, Key, StickTable, Tick};
use utoipa::ToSchema;

use super::entry::touch;
use super::model::Entry;
use super::params::{element, key};
use super::{Body, Target};
use crate::http::Served;
use crate::http::problem::Problem;

/// Keys of one call.
const KEYS_MAX: usize = 1_000;

/// What happened to a key.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Track {
    /// The key, as text.
    key: String,
    /// What happened, and how often: `conn`, `sess`, `http_req`, `http_err`, `http_fail`, `bytes_in`, `bytes_out`, `glitch`, `gpc0`, `gpc1`,
    /// `gpc[2]`. Each is counted in the total and in the rate, where the table stores them.
    #[serde(default)]
    count: BTreeMap<String, u32>,
    /// How long the entry lives from now on, at most as long as any entry of the table. As long as that, where it is not given.
    expires_in_ms: Option<u32>,
}

/// One key, or up to 1,000.
#[derive(Debug, serde::Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Tracks {
    One(Track),
    Many(Vec<Track>),
}

/// By hand: so what is wrong in one of them is said.
impl<'de> Deserialize<'de> for Tracks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Tracks;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object, or an array of such")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Tracks, A::Error> {
                Track::deserialize(MapAccessDeserializer::new(map)).map(Tracks::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Tracks, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Tracks::Many)
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

/// What is known of the keys now, in the same form.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Tracked {
    One(Entry),
    Many(Vec<OneTracked>),
}

/// What is known of one of several keys now; or why it was not counted: there was no room.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum OneTracked {
    Entry(Entry),
    Problem(Problem),
}

/// Counts, and says what that makes. The entry is created if it is not there, lives on, and peers are told.
///
/// Counting is atomic: of several calls at once each is counted, and the answer to at least one of them has all. Of several keys nothing is
/// counted unless all of them are well-formed.
#[utoipa::path(
    post,
    operation_id = "track",
    path = "/v1/tables/{table}/track",
    tag = "entries",
    params(("table" = String, Path, description = "Its name, percent-encoded")),
    request_body = Tracks,
    responses(
        (status = 200, body = Tracked),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "Something is no key, or is not counted by this table"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such table"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The table is made of what peers say"),
        (status = 413, body = Problem, content_type = "application/problem+json", description = "The body is too large"),
        (status = 415, body = Problem, content_type = "application/problem+json", description = "The body is not said to be JSON"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "The body has another form"),
        (status = 507, body = Problem, content_type = "application/problem+json", description = "There is no room; of several keys each is told this by itself")
    )
)]
pub(super) async fn track(
    State(served): State<Arc<Served>>,
    target: Target,
    Body(tracks): Body<Tracks>,
) -> Result<Json<Tracked>, Problem> {
    let table = super::table_to_change(&served, &target.table)?;
    let now = served.clock.now();
    Ok(Json(match tracks {
        Tracks::One(track) => {
            Tracked::One(Work::of(table.declaration(), track)?.done(&table, now)?)
        }
        Tracks::Many(tracks) => {
            if tracks.len() > KEYS_MAX {
                return Err(Problem::bad(format!("more than {KEYS_MAX} keys")));
            }
            let all = tracks.into_iter().map(|track| Work::of(table.declaration(), track));
            let all: Vec<Work> = all.collect::<Result<_, _>>()?;
            let done = all.into_iter().map(|work| match work.done(&table, now) {
                Ok(entry) => OneTracked::Entry(entry),
                Err(problem) => OneTracked::Problem(problem),
            });
            Tracked::Many(done.collect())
        }
    }))
}

/// What was asked for, and can be done.
struct Work {
    key: Key,
    counts: Vec<(Event, u32)>,
    expires_in_ms: Option<u32>,
}

impl Work {
    fn of(declaration: &Declaration, track: Track) -> Result<Self, Problem> {
        let counts = track.count.iter().map(|(name, n)| Ok((event(declaration, name)?, *n)));
        Ok(Self {
            key: key(declaration, track.key.as_bytes())?,
            counts: counts.collect::<Result<_, _>>()?,
            expires_in_ms: track.expires_in_ms,
        })
    }

    fn done(self, table: &StickTable, now: Tick) -> Result<Entry, Problem> {
        let entry = table.get_or_create(&self.key, now);
        let entry = entry.map_err(|full| Problem::full(full.to_string()))?;
        for (event, n) in self.counts {
            entry.count(event, n.into(), now);
        }
        touch(&entry, self.expires_in_ms, now);
        let shown = Entry::of(entry.glance(), now);
        Ok(shown.without_us())
    }
}

/// Returns the event of this name, if the table counts it.
fn event(declaration: &Declaration, name: &str) -> Result<Event, Problem> {
    let (event, types): (_, &[DataType]) = match name {
        "conn" => (Event::Connection, &[DataType::ConnCnt, DataType::ConnRate]),
        "sess" => (Event::Session, &[DataType::SessCnt, DataType::SessRate]),
        "http_req" => (Event::HttpRequest, &[DataType::HttpReqCnt, DataType::HttpReqRate]),
        "http_err" => (Event::HttpError, &[DataType::HttpErrCnt, DataType::HttpErrRate]),
        "http_fail" => (Event::HttpFailure, &[DataType::HttpFailCnt, DataType::HttpFailRate]),
        "bytes_in" => (Event::BytesIn, &[DataType::BytesInCnt, DataType::BytesInRate]),
        "bytes_out" => (Event::BytesOut, &[DataType::BytesOutCnt, DataType::BytesOutRate]),
        "glitch" => (Event::Glitch, &[DataType::GlitchCnt, DataType::GlitchRate]),
        "gpc0" => {
            (Event::Gpc0, &[DataType::Gpc0, DataType::Gpc0Rate, DataType::Gpc, DataType::GpcRate])
        }
        "gpc1" => {
            (Event::Gpc1, &[DataType::Gpc1, DataType::Gpc1Rate, DataType::Gpc, DataType::GpcRate])
        }
        _ if name.starts_with("gpc[") => {
            // Of the array, or of that of the rates.
            let rate = name.replacen("gpc", "gpc_rate", 1);
            let found = element(declaration, name.as_bytes())
                .or_else(|error| element(declaration, rate.as_bytes()).map_err(|_| error))?;
            return Ok(Event::Gpc(found.index));
        }
        _ => {
            return Err(Problem::bad(format!(
                "`{}`: expected conn, sess, http_req, http_err, http_fail, bytes_in, bytes_out, glitch, gpc0, gpc1 or gpc[N]",
                name.escape_debug()
            )));
        }
    };
    if types.iter().any(|ty| declaration.column(*ty).is_some()) {
        return Ok(event);
    }
    let names: Vec<_> = types.iter().map(|ty| ty.name()).collect();
    let names = names.join(", ");
    Err(Problem::bad(format!("`{name}`: this table stores none of {names}")))
}
