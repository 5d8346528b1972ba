//! One entry.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value as Jvalue};
use stktable::table::Removed;
use stktable::{Declaration, EntryRef, Key, Storage, Tick};
use utoipa::ToSchema;

use super::model::Entry;
use super::params::{element, key};
use super::{Body, Target};
use crate::http::Served;
use crate::http::problem::Problem;
use crate::search::Element;

/// What is to be set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// Values by data type, or by `gpc[2]`: numbers, or all of an array; for `server_key` a name or null. A rate then reads this number for one period.
    #[schema(value_type = std::collections::BTreeMap<String, Settable>)]
    data: Map<String, Jvalue>,
    /// How long the entry lives from now on, at most as long as any entry of the table. As long as that, where it is not given.
    expires_in_ms: Option<u32>,
}

/// A value that can be set.
#[derive(Debug, serde::Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "for the document")]
pub(super) enum Settable {
    Number(i64),
    Numbers(Vec<i64>),
    Name(Option<String>),
}

/// One value, looked at before any is set.
enum Set {
    Number(Element, i64),
    Name(Option<String>),
}

/// The entry of a key.
#[utoipa::path(
    get,
    operation_id = "getEntry",
    path = "/v1/tables/{table}/entries/{key}",
    tag = "entries",
    params(
        ("table" = String, Path, description = "Its name, percent-encoded"),
        ("key" = String, Path, description = "The key, percent-encoded")
    ),
    responses(
        (status = 200, body = Entry),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "It is no key of this table"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such table, or nothing is known of the key")
    )
)]
pub(super) async fn get(
    State(served): State<Arc<Served>>,
    target: Target,
) -> Result<Json<Entry>, Problem> {
    let table = super::table(&served, &target.table)?;
    let key = key(table.declaration(), &target.key)?;
    let now = served.clock.now();
    // Looked at, not held: nobody sees a tracker that is only us.
    let found = table.get_with(&key, now, |entry| Entry::of(entry, now));
    found.map(Json).ok_or_else(|| absent(&key))
}

/// Sets values of a key, and tells peers. The entry is created if it is not there.
///
/// Everything is looked at before anything is changed. What is not named keeps its value. To count, use `track`: what is set here
/// replaces what others counted meanwhile.
#[utoipa::path(
    put,
    operation_id = "putEntry",
    path = "/v1/tables/{table}/entries/{key}",
    tag = "entries",
    params(
        ("table" = String, Path, description = "Its name, percent-encoded"),
        ("key" = String, Path, description = "The key, percent-encoded")
    ),
    request_body = Change,
    responses(
        (status = 200, body = Entry, description = "It was there"),
        (status = 201, body = Entry, description = "It was created"),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "It is no key of this table, or a value cannot be set"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such table"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The table is made of what peers say"),
        (status = 413, body = Problem, content_type = "application/problem+json", description = "The body is too large"),
        (status = 415, body = Problem, content_type = "application/problem+json", description = "The body is not said to be JSON"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "The body has another form"),
        (status = 507, body = Problem, content_type = "application/problem+json", description = "There is no room")
    )
)]
pub(super) async fn put(
    State(served): State<Arc<Served>>,
    target: Target,
    Body(change): Body<Change>,
) -> Result<(StatusCode, Json<Entry>), Problem> {
    let table = super::table_to_change(&served, &target.table)?;
    let declaration = table.declaration();
    let key = key(declaration, &target.key)?;
    let mut sets = Vec::new();
    for (name, value) in change.data {
        match value {
            Jvalue::Array(values) if !name.ends_with(']') => {
                for (index, value) in values.into_iter().enumerate() {
                    sets.push(set(declaration, &format!("{name}[{index}]"), value)?);
                }
            }
            value => sets.push(set(declaration, &name, value)?),
        }
    }
    // Names first: they alone may fail yet.
    sets.sort_by_key(|set| matches!(set, Set::Number(..)));
    let now = served.clock.now();
    let created = !table.contains_key(&key, now);
    let entry = table.get_or_create(&key, now).map_err(|full| Problem::full(full.to_string()))?;
    for set in sets {
        match set {
            Set::Number(Element { data_type, index }, value) => {
                // Declared, as was looked at.
                let _ = entry.set(data_type, index, value, now);
            }
            Set::Name(name) => entry
                .set_server_key(name.as_deref())
                .map_err(|error| Problem::bad(format!("`server_key`: {error}")))?,
        }
    }
    touch(&entry, change.expires_in_ms, now);
    drop(entry);
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let shown = table.get_with(&key, now, |entry| Entry::of(entry, now));
    shown.map(|entry| (status, Json(entry))).ok_or_else(|| absent(&key))
}

fn set(declaration: &Declaration, name: &str, value: Jvalue) -> Result<Set, Problem> {
    let element = element(declaration, name.as_bytes())?;
    let said = value.to_string();
    let wrong = |expected: &str| Problem::bad(format!("`{name}` cannot be {said}: {expected}"));
    Ok(match (element.data_type.storage(), value) {
        (Storage::Dict, Jvalue::Null) => Set::Name(None),
        (Storage::Dict, Jvalue::String(name)) => Set::Name(Some(name)),
        (Storage::Dict, _) => return Err(wrong("expected a name or null")),
        // Stored as its 64 bits.
        (Storage::Ull, Jvalue::Number(number)) if number.is_u64() => {
            Set::Number(element, number.as_u64().unwrap_or(0).cast_signed())
        }
        (storage, Jvalue::Number(number)) => {
            let range = match storage {
                Storage::Ull => 0..=i64::MAX,
                Storage::Sint => i32::MIN.into()..=i32::MAX.into(),
                _ => 0..=u32::MAX.into(),
            };
            let fits = number.as_i64().filter(|number| range.contains(number));
            let expected = || {
                let most =
                    if storage == Storage::Ull { u64::MAX } else { range.end().unsigned_abs() };
                wrong(&format!("expected a whole number from {} to {most}", range.start()))
            };
            Set::Number(element, fits.ok_or_else(expected)?)
        }
        _ => return Err(wrong("expected a number")),
    })
}

/// Refreshes an entry, and tells peers.
pub(super) fn touch(entry: &EntryRef<'_>, expires_in_ms: Option<u32>, now: Tick) {
    match expires_in_ms {
        Some(ms) => entry.touch_for(ms, now),
        None => entry.touch(now),
    }
}

/// Removes the entry of a key. Peers are not told.
#[utoipa::path(
    delete,
    operation_id = "deleteEntry",
    path = "/v1/tables/{table}/entries/{key}",
    tag = "entries",
    params(
        ("table" = String, Path, description = "Its name, percent-encoded"),
        ("key" = String, Path, description = "The key, percent-encoded")
    ),
    responses(
        (status = 204, description = "It was removed"),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "It is no key of this table"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such table, or nothing is known of the key"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "Somebody uses it, or the table is made of what peers say")
    )
)]
pub(super) async fn delete(
    State(served): State<Arc<Served>>,
    target: Target,
) -> Result<StatusCode, Problem> {
    let table = super::table_to_change(&served, &target.table)?;
    let key = key(table.declaration(), &target.key)?;
    match table.remove(&key, served.clock.now()) {
        Removed::Removed => Ok(StatusCode::NO_CONTENT),
        Removed::Missing => Err(absent(&key)),
        Removed::Busy => Err(Problem::conflict("somebody uses this entry at this moment")),
    }
}

fn absent(key: &Key) -> Problem {
    Problem::not_found(format!("nothing is known of {key:?}"))
}
