//! What is read of tables and entries.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde::Serialize;
use stktable::table::{Glance, Value};
use stktable::{Key, KeyType, Storage, Tick};
use utoipa::ToSchema;

use crate::shared::SharedTable;

/// What stands for itself in a path: the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// A table.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Table {
    /// Its name: of the section, a slash, and its own, where it is declared in a section.
    name: String,
    /// The same, to be put into a path.
    path: String,
    /// The type of its keys: ip, ipv6, integer, string or binary.
    key_type: &'static str,
    /// The most entries there can be.
    size: u32,
    /// Entries alive.
    used: u32,
    /// Milliseconds that an entry lives after it was touched; 0 for ever.
    expire_ms: u32,
    /// Whether entries come in the order of their keys.
    ordered: bool,
    /// Whether entries may be changed by hand.
    writable: bool,
    /// What is stored of each key.
    columns: Vec<Column>,
    /// What happened to entries since the table was made.
    counts: Counts,
}

/// What a table stores of each key.
#[derive(Debug, Serialize, ToSchema)]
struct Column {
    /// The data type, as HAProxy names it.
    #[serde(rename = "type")]
    data_type: &'static str,
    /// Elements, where it is an array.
    elements: Option<u32>,
    /// The period of a rate.
    period_ms: Option<u32>,
}

/// What happened to entries since the table was made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Counts {
    created: u64,
    /// Over when they were taken.
    expired: u64,
    /// Taken to make room.
    purged: u64,
    /// Removed by key, or cleared.
    removed: u64,
    /// Not created, for lack of room.
    refused: u64,
    /// How many milliseconds expiry is behind.
    expiry_lag_ms: u64,
}

impl Counts {
    pub(super) fn of(table: &SharedTable) -> Self {
        let metrics = table.metrics();
        Self {
            created: metrics.created,
            expired: metrics.expired,
            purged: metrics.purged,
            removed: metrics.removed,
            refused: metrics.refused,
            expiry_lag_ms: metrics.expiry_lag_ms,
        }
    }
}

impl Table {
    pub(super) fn of(table: &SharedTable) -> Self {
        let declaration = table.declaration();
        let name = declaration.local_name();
        let columns = declaration.columns.iter().map(|column| Column {
            data_type: column.data_type.name(),
            elements: column.data_type.is_array().then_some(column.elements),
            period_ms: column.data_type.is_rate().then_some(column.period_ms),
        });
        Self {
            path: path(name.as_bytes()),
            name,
            key_type: declaration.key.ty().name(),
            size: declaration.size,
            used: table.used(),
            expire_ms: declaration.expire_ms,
            ordered: table.is_ordered(),
            writable: table.part().is_set_by_hand(),
            columns: columns.collect(),
            counts: Counts::of(table),
        }
    }
}

/// What is known of a key.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Entry {
    /// The key as text; what is no text of it is escaped as HAProxy does.
    pub(super) key: String,
    /// The key as it stands in a path, and after `after=`.
    pub(super) path: String,
    /// How many use the entry at this moment.
    trackers: u32,
    /// Milliseconds left to live; 0 where entries live for ever.
    expires_in_ms: u32,
    /// The values, by data type.
    data: BTreeMap<&'static str, Stored>,
}

/// A value: a counter, a tag, or the events of a rate in its last period; of an array, all of them; of `server_key` the name, if there is
/// one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Stored {
    Number(i128),
    Numbers(Vec<i64>),
    Name(Option<String>),
}

impl Entry {
    pub(super) fn of(entry: Glance<'_>, now: Tick) -> Self {
        let columns = entry.table().declaration().columns.iter();
        let data = columns.map(|column| {
            let ty = column.data_type;
            let fetch = |index| entry.fetch(ty, index, now).unwrap_or(0);
            let stored = match ty.storage() {
                Storage::Dict => Stored::Name(entry.server_key()),
                Storage::Ull => match entry.value(ty, 0, now) {
                    Some(Value::Ull(value)) => Stored::Number(value.into()),
                    _ => Stored::Number(0),
                },
                _ if ty.is_array() => Stored::Numbers((0..column.elements).map(fetch).collect()),
                _ => Stored::Number(fetch(0).into()),
            };
            (ty.name(), stored)
        });
        let key = entry.key();
        Self {
            path: key_path(&key),
            key: text(&key),
            trackers: entry.trackers(),
            expires_in_ms: entry.expires_in(now),
            data: data.collect(),
        }
    }

    /// The same, read by somebody who holds it.
    pub(super) const fn without_us(mut self) -> Self {
        self.trackers = self.trackers.saturating_sub(1);
        self
    }

    /// Whether there is something else to tell than that time goes by.
    pub(super) fn differs(&self, other: &Self) -> bool {
        self.data != other.data || self.trackers != other.trackers
    }
}

/// Returns a key to be read: text as it is, where it is text.
fn text(key: &Key) -> String {
    match (key.ty(), str::from_utf8(key.as_bytes())) {
        (KeyType::String, Ok(text)) => text.to_owned(),
        _ => key.to_string(),
    }
}

/// Returns what addresses a key.
fn key_path(key: &Key) -> String {
    match key.ty() {
        KeyType::String => path(key.as_bytes()),
        _ => path(key.to_string().as_bytes()),
    }
}

/// Returns bytes as they stand in a path.
pub(super) fn path(bytes: &[u8]) -> String {
    percent_encode(bytes, ESCAPED).to_string()
}
