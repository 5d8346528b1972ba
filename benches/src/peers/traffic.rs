//! What is sent: a table, its keys, and the bytes of its updates.

use std::fmt;
use std::ops::Range;

use stktable::declare::{Declaration, Scope};
use stktable::{Key, KeyType, Storage};
use stktable_integration::peers::codec::{
    Definition, EncodeError, Rate, SendCache, SenderTable, UpdateHeader, Value,
};

use crate::random::mix;

/// How much is written at once.
const CHUNK: usize = 64 << 10;

/// Our number of the table.
pub(super) const TABLE_ID: u64 = 1;

/// In which order the keys come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// Ascending: the addresses of one network after the other.
    Ascending,
    /// As clients come: any of them, each once.
    Random,
}

/// A table as it is announced to the target, which has one of this name and with these keys.
#[derive(Clone, Debug)]
pub struct Table {
    wire_name: String,
    line: String,
    announced: SenderTable,
    /// Values need five bytes each.
    wide: bool,
}

/// Why a table cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableError(String);

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TableError {}

/// What a connection sends, cut where messages end.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) bytes: Vec<u8>,
    /// Where each piece ends.
    pub(super) ends: Vec<usize>,
    /// The id of the last update, 0 if there is none.
    pub(super) last_id: u32,
}

impl Table {
    /// Reads a table from the words of HAProxy's configuration: `type ip store gpc0,conn_rate(10s)`. `wire_name` is its name
    /// on the network, which begins with a slash for a table of a `peers` section. `wide` makes every value need five bytes.
    ///
    /// # Errors
    /// When the words declare no table, or the name cannot be sent.
    pub fn new(wire_name: &str, words: &str, wide: bool) -> Result<Self, TableError> {
        let line = format!("table t {words}");
        let declaration: Declaration =
            Declaration::parse(&line, Scope::Peers("bench")).into_result().map_err(|errors| {
                let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
                TableError(format!("`{words}`: {}", errors.join("; ")))
            })?;
        let announced =
            SenderTable::new(declaration.key, declaration.expire_ms, &declaration.columns);
        Definition::encode(TABLE_ID, wire_name.as_bytes(), &announced, &mut Vec::new())
            .map_err(|error| TableError(format!("`{wire_name}`: {error}")))?;
        let line = declaration.to_string();
        Ok(Self { wire_name: wire_name.to_owned(), line, announced, wide })
    }

    /// Returns the table as it was understood.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Returns the key of entry `number`. Each number has its own, where keys are of 32 bits or more.
    fn key(&self, number: u32) -> Key {
        let spec = self.announced.key();
        let mut bytes = match spec.ty() {
            // 10.0.0.0 and what follows.
            KeyType::Ip => number.wrapping_add(10 << 24).to_be_bytes().to_vec(),
            KeyType::String => format!("{number:08x}").into_bytes(),
            _ => number.to_be_bytes().to_vec(),
        };
        match spec.ty() {
            KeyType::Ipv6 => {
                let low = std::mem::replace(&mut bytes, vec![0x20, 0x01, 0x0d, 0xb8]);
                bytes.resize(12, 0);
                bytes.extend(low);
            }
            KeyType::String => bytes.truncate(spec.size() as usize - 1),
            KeyType::Binary => bytes.resize(spec.size() as usize, 0),
            KeyType::Integer | KeyType::Ip => {}
        }
        spec.key(&bytes).expect("of the width of the table's keys")
    }

    /// Makes the updates of these entries: a definition, then each once, all with their ids.
    pub(super) fn updates(&self, share: Range<u32>, order: Order, value: u32) -> Sent {
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        let mut strings = SendCache::new();
        Definition::encode(TABLE_ID, self.wire_name.as_bytes(), &self.announced, &mut bytes)
            .expect("`new` has tried it");
        let mut piece = 0;
        let mut last_id = 0;
        for number in share {
            last_id += 1;
            let header = UpdateHeader { id: Some(last_id), expire_ms: None };
            let key = self.key(match order {
                Order::Ascending => number,
                Order::Random => scatter(number),
            });
            let written: Result<(), EncodeError> =
                header.encode(&key, &self.announced, &mut strings, &mut bytes, |data_type, _| {
                    self.value(data_type.storage(), value)
                });
            written.expect("an update of at most 100 elements for each type fits a message");
            if bytes.len() - piece >= CHUNK {
                piece = bytes.len();
                ends.push(piece);
            }
        }
        if bytes.len() > piece {
            ends.push(bytes.len());
        }
        Sent { bytes, ends, last_id }
    }

    const fn value(&self, storage: Storage, value: u32) -> Value<Option<&'static [u8]>> {
        let value = if self.wide { u32::MAX - value } else { value };
        match storage {
            Storage::Sint => Value::Sint(value.cast_signed()),
            Storage::Uint => Value::Uint(value),
            Storage::Ull => Value::Ull(value as u64),
            Storage::Rate => Value::Rate(Rate { elapsed_ms: 100, current: value, previous: value }),
            Storage::Dict => Value::Dict(Some(b"srv1")),
        }
    }
}

/// Returns the entries of each connection: equal shares, as far as that goes.
pub(super) fn shares(entries: u32, connections: u32) -> impl Iterator<Item = Range<u32>> {
    let bound = move |at: u32| {
        let share = u64::from(entries) * u64::from(at) / u64::from(connections.max(1));
        u32::try_from(share).expect("a part of `entries`")
    };
    (0..connections).map(move |at| bound(at)..bound(at + 1))
}

/// Returns another number for each number, without an order that could be seen: four rounds of a Feistel network.
fn scatter(number: u32) -> u32 {
    let [mut left, mut right] = [number >> 16, number & 0xffff];
    for round in 0..4_u64 {
        let noise = mix(u64::from(right) << 8 | round);
        #[expect(clippy::cast_possible_truncation, reason = "16 bits are wanted")]
        let next = left ^ (noise as u32 & 0xffff);
        (left, right) = (right, next);
    }
    left << 16 | right
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_update_has_the_19_bytes_of_the_comparison() {
        let words = "type ip size 1 store gpc0,conn_rate(10s),http_req_rate(10s),bytes_in_cnt";
        let table = Table::new("/t", words, false).unwrap();
        let definition = table.updates(0..0, Order::Ascending, 1).bytes.len();
        let sent = table.updates(0..1000, Order::Random, 1);
        assert_eq!(sent.bytes.len() - definition, 19 * 1000);
        assert_eq!(sent.last_id, 1000);
        assert_eq!(sent.ends.last(), Some(&sent.bytes.len()));
    }

    #[test]
    fn every_entry_has_a_key_of_its_own() {
        for words in ["ip", "ipv6", "integer", "string len 20", "binary len 20"] {
            let table = Table::new("/t", &format!("type {words} size 1 store gpc0"), true).unwrap();
            let mut keys = HashSet::new();
            for number in (0..5000).chain(1 << 31..(1 << 31) + 5000) {
                assert!(keys.insert(table.key(scatter(number))), "{words} {number}");
            }
        }
    }

    #[test]
    fn shares_are_whole() {
        let shared: Vec<_> = shares(10, 4).collect();
        assert_eq!(shared, [0..2, 2..5, 5..7, 7..10]);
        assert_eq!(shares(u32::MAX, 3).last().unwrap().end, u32::MAX);
    }

    #[test]
    fn what_is_no_table_is_named() {
        let error = Table::new("/t", "type ip size 1 store gpc9", false).unwrap_err();
        assert!(error.to_string().contains("gpc9"), "{error}");
        let error = Table::new("", "type ip size 1 store gpc0", false).unwrap_err();
        assert!(error.to_string().contains("name"), "{error}");
    }
}
