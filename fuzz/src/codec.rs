//! What a peer may send: well-formed messages, and what becomes of them on the way.

use bolero::TypeGenerator;
use stktable::{Column, DataType, Key, KeySpec, KeyType, Storage};
use stktable_integration::peers::codec::{
    Ack, Control, Definition, ErrorMessage, Message, Rate, SendCache, SenderTable, UpdateHeader,
    Value, integer,
};

/// One thing on the wire.
#[derive(Clone, Debug, TypeGenerator)]
#[expect(missing_docs, reason = "numbers that a fuzzer picks")]
pub enum Sent {
    Control(u8),
    Definition {
        id: u8,
        name: u8,
        table: Table,
    },
    Switch {
        id: u8,
    },
    Update {
        id: Option<u32>,
        expire_ms: Option<u32>,
        key: [u8; 6],
        seed: u64,
        name: Option<u8>,
    },
    Ack {
        table_id: u64,
        update_id: u32,
    },
    /// Of a class and a type that are not known, or a body that is none of its type's.
    Framed {
        class: u8,
        ty: u8,
        body: Vec<u8>,
    },
    /// A length that lies.
    Lying {
        ty: u8,
        length: u64,
        body: Vec<u8>,
    },
    Bytes(Vec<u8>),
}

/// A table as a sender might announce it.
#[derive(Clone, Copy, Debug, TypeGenerator)]
pub struct Table {
    key: u8,
    len: u8,
    data_types: u32,
    elements: u8,
    period_ms: u16,
}

impl Table {
    /// Integers for keys, and nothing stored.
    pub const EMPTY: Self = Self { key: 0, len: 0, data_types: 0, elements: 0, period_ms: 0 };

    /// Returns the table.
    #[must_use]
    pub fn announced(&self) -> SenderTable {
        let len = u32::from(self.len % 60) + 1;
        let key = match self.key % 5 {
            0 => KeySpec::INTEGER,
            1 => KeySpec::IP,
            2 => KeySpec::IPV6,
            3 => KeySpec::string(len).unwrap_or(KeySpec::STRING),
            _ => KeySpec::binary(len).unwrap_or(KeySpec::BINARY),
        };
        let bits = self.data_types & self.data_types.rotate_left(7);
        let stored = DataType::ALL.iter().filter(|ty| bits & 1 << ty.number() != 0);
        let columns: Vec<_> = stored
            .map(|ty| Column {
                data_type: *ty,
                elements: if ty.is_array() { u32::from(self.elements % 100) + 1 } else { 1 },
                period_ms: if ty.is_rate() { u32::from(self.period_ms) + 2 } else { 0 },
            })
            .collect();
        SenderTable::new(key, 60_000, &columns)
    }
}

/// Writes a conversation as its sender would, who knows which table is selected.
#[derive(Debug, Default)]
pub struct Writer {
    tables: std::collections::BTreeMap<u64, SenderTable>,
    selected: Option<SenderTable>,
    cache: SendCache,
    /// What was written.
    pub bytes: Vec<u8>,
}

impl Writer {
    /// Writes the definition of a table: `/a` for 0, and so on.
    pub fn define(&mut self, id: u64, name: u8, table: SenderTable) {
        let name = [b'/', b'a' + name];
        if Definition::encode(id, &name, &table, &mut self.bytes).is_ok() {
            self.tables.insert(id, table.clone());
            self.selected = Some(table);
        }
    }

    /// Writes one thing.
    pub fn write(&mut self, sent: &Sent) {
        let out = &mut self.bytes;
        match sent {
            Sent::Control(number) => match number % 7 {
                0 => Control::ResyncRequest.encode(out),
                1 => Control::ResyncFinished.encode(out),
                2 => Control::ResyncPartial.encode(out),
                3 => Control::ResyncConfirm.encode(out),
                4 => Control::Heartbeat.encode(out),
                5 => ErrorMessage::Protocol.encode(out),
                _ => ErrorMessage::SizeLimit.encode(out),
            },
            Sent::Definition { id, name, table } => {
                self.define(u64::from(id % 4), name % 4, table.announced());
            }
            Sent::Switch { id } => {
                let id = u64::from(id % 5);
                Message::encode_switch(id, out);
                self.selected = self.tables.get(&id).cloned();
            }
            Sent::Update { id, expire_ms, key, seed, name } => {
                let Some(table) = &self.selected else { return };
                let header = UpdateHeader { id: *id, expire_ms: *expire_ms };
                let name = name.map(|name| [b's', name]);
                let name = name.as_ref().map(|name| &name[..]);
                let key = key_of(table.key(), key);
                // What is too long for a message is not sent.
                let _ = header.encode(&key, table, &mut self.cache, out, |ty, index| {
                    value(ty.storage(), seed.rotate_left(index), name)
                });
            }
            Sent::Ack { table_id, update_id } => {
                Ack { table_id: *table_id, update_id: *update_id }.encode(out);
            }
            Sent::Framed { class, ty, body } => {
                out.extend_from_slice(&[class % 16, *ty]);
                if *ty >= 128 {
                    integer::encode(body.len() as u64, out);
                    out.extend_from_slice(body);
                }
            }
            Sent::Lying { ty, length, body } => {
                out.extend_from_slice(&[10, 0x80 | (ty % 8)]);
                integer::encode(length >> (length % 64), out);
                out.extend_from_slice(body);
            }
            Sent::Bytes(bytes) => out.extend_from_slice(bytes),
        }
    }
}

fn key_of(spec: KeySpec, bytes: &[u8; 6]) -> Key {
    let mut bytes = bytes.to_vec();
    if !matches!(spec.ty(), KeyType::String | KeyType::Binary) {
        bytes.resize(spec.size() as usize, 7);
    }
    spec.key(&bytes).expect("of the right width")
}

/// Returns a value of this storage made of `seed`.
#[expect(clippy::cast_possible_truncation, reason = "any number will do")]
const fn value(storage: Storage, seed: u64, name: Option<&[u8]>) -> Value<Option<&[u8]>> {
    match storage {
        Storage::Sint => Value::Sint((seed as u32).cast_signed()),
        Storage::Uint => Value::Uint(seed as u32),
        Storage::Ull => Value::Ull(seed),
        Storage::Rate => Value::Rate(Rate {
            elapsed_ms: seed as u32,
            current: (seed >> 32) as u32,
            previous: (seed >> 16) as u32,
        }),
        Storage::Dict => Value::Dict(name),
    }
}
