//! What stands in the payloads: tables and entries.
//!
//! ```text
//! header   unix time in ms u64
//! table    name (u16, bytes) | key type u8 | key size u32 | expire in ms u32 | columns (u16, then each: number u8, elements u16, period u32)
//! entry    key (u16, bytes) | left to live in ms u32 | values, column by column
//! value    32 bits: u32 · 64 bits: u64 · rate: age in ms u32, current u32, previous u32 · name (u16, bytes; 0xffff: none)
//! end      entries u64
//! ```

use stktable::data::Storage;
use stktable::table::{Glance, StickTable, Value};
use stktable::{Column, DataType, Tick};

/// The length of no name.
const NO_NAME: u16 = u16::MAX;

/// A table as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) name: String,
    pub(super) key_type: u8,
    pub(super) key_size: u32,
    pub(super) expire_ms: u32,
    pub(super) columns: Vec<Column>,
}

impl Layout {
    /// Of a table as it is now: all columns but `conn_cur`, whose connections end with the process.
    pub(super) fn of(table: &StickTable) -> Self {
        let declaration = table.declaration();
        let kept = |column: &&Column| column.data_type != DataType::ConnCur;
        Self {
            name: declaration.local_name(),
            key_type: declaration.key.ty() as u8,
            key_size: declaration.key.size(),
            expire_ms: declaration.expire_ms,
            columns: declaration.columns.iter().filter(kept).copied().collect(),
        }
    }

    /// Appends it. `None` where a name is too long to be written.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Option<()> {
        put_bytes(self.name.as_bytes(), out)?;
        out.push(self.key_type);
        out.extend_from_slice(&self.key_size.to_le_bytes());
        out.extend_from_slice(&self.expire_ms.to_le_bytes());
        out.extend_from_slice(&u16::try_from(self.columns.len()).ok()?.to_le_bytes());
        for column in &self.columns {
            out.push(column.data_type.number());
            out.extend_from_slice(&u16::try_from(column.elements).ok()?.to_le_bytes());
            out.extend_from_slice(&column.period_ms.to_le_bytes());
        }
        Some(())
    }

    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let mut rest = Rest(payload);
        let name = std::str::from_utf8(rest.bytes()?).ok()?.to_owned();
        let [key_type] = rest.array()?;
        let (key_size, expire_ms) = (rest.u32()?, rest.u32()?);
        let columns = (0..rest.u16()?)
            .map(|_| {
                let [number] = rest.array()?;
                let data_type = DataType::from_number(number)?;
                let (elements, period_ms) = (u32::from(rest.u16()?), rest.u32()?);
                Some(Column { data_type, elements, period_ms })
            })
            .collect::<Option<_>>()?;
        rest.0.is_empty().then_some(Self { name, key_type, key_size, expire_ms, columns })
    }

    /// Appends an entry.
    pub(super) fn encode_entry(&self, entry: Glance<'_>, now: Tick, out: &mut Vec<u8>) {
        // Keys have at most 8 KiB.
        let _ = put_bytes(entry.key_bytes(), out);
        out.extend_from_slice(&entry.expires_in(now).to_le_bytes());
        for column in &self.columns {
            for element in 0..column.elements {
                match entry.value(column.data_type, element, now) {
                    Some(Value::Sint(value)) => out.extend_from_slice(&value.to_le_bytes()),
                    Some(Value::Uint(value)) => out.extend_from_slice(&value.to_le_bytes()),
                    Some(Value::Ull(value)) => out.extend_from_slice(&value.to_le_bytes()),
                    Some(Value::Rate { age_ms, current, previous }) => {
                        for number in [age_ms, current, previous] {
                            out.extend_from_slice(&number.to_le_bytes());
                        }
                    }
                    None => {
                        let name = entry.server_key_with(|name| put_bytes(name.as_bytes(), out));
                        if name.flatten().is_none() {
                            out.extend_from_slice(&NO_NAME.to_le_bytes());
                        }
                    }
                }
            }
        }
    }

    /// Takes an entry off the front. `None` if there is no whole one.
    pub(super) fn decode_entry<'p>(&self, rest: &mut Rest<'p>) -> Option<Record<'p>> {
        let key = rest.bytes()?;
        let left_ms = rest.u32()?;
        let before = *rest;
        for column in &self.columns {
            for _ in 0..column.elements {
                rest.value(column.data_type)?;
            }
        }
        Some(Record { key, left_ms, values: before })
    }
}

/// An entry that was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'p> {
    pub(super) key: &'p [u8],
    pub(super) left_ms: u32,
    /// Begins with the values.
    values: Rest<'p>,
}

/// A value that was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Read<'p> {
    Value(Value),
    Name(Option<&'p [u8]>),
}

impl<'p> Record<'p> {
    /// Calls `visit` with the values, in the order of the layout it was read by.
    pub(super) fn each(&self, layout: &Layout, mut visit: impl FnMut(&Column, u32, Read<'p>)) {
        let mut rest = self.values;
        for column in &layout.columns {
            for element in 0..column.elements {
                // Read before, when it was decoded.
                if let Some(value) = rest.value(column.data_type) {
                    visit(column, element, value);
                }
            }
        }
    }
}

/// What is left of a payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest<'p>(pub(super) &'p [u8]);

impl<'p> Rest<'p> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn take(&mut self, length: u16) -> Option<&'p [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        Some(taken)
    }

    fn bytes(&mut self) -> Option<&'p [u8]> {
        let length = self.u16()?;
        self.take(length)
    }

    #[inline]
    fn value(&mut self, data_type: DataType) -> Option<Read<'p>> {
        Some(Read::Value(match data_type.storage() {
            Storage::Sint => Value::Sint(self.array().map(i32::from_le_bytes)?),
            Storage::Uint => Value::Uint(self.u32()?),
            Storage::Ull => Value::Ull(self.u64()?),
            Storage::Rate => {
                let (age_ms, current, previous) = (self.u32()?, self.u32()?, self.u32()?);
                Value::Rate { age_ms, current, previous }
            }
            Storage::Dict => {
                let length = self.u16()?;
                let name = if length == NO_NAME { None } else { Some(self.take(length)?) };
                return Some(Read::Name(name));
            }
        }))
    }
}

/// Appends bytes with their length. `None`, and nothing is done, if they are too many.
fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let length = u16::try_from(bytes.len()).ok().filter(|length| *length != NO_NAME)?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
    Some(())
}
