//! Lines of `show table`, as HAProxy writes them and as JSON.

use std::io::Write as _;

use serde_json::{Map, json};
use stktable::table::{Glance, Value};
use stktable::{Column, KeyType, StickTable, Storage, Tick};

use crate::search::Element;

/// Returns the line of a table.
pub(super) fn header(table: &StickTable) -> String {
    let declaration = table.declaration();
    let (name, ty) = (declaration.local_name(), declaration.key.ty());
    format!("# table: {name}, type: {ty}, size:{}, used:{}\n", declaration.size, table.used())
}

/// What the lines of a table have in common: the words before the values, written once.
#[derive(Debug)]
pub(super) struct Form {
    columns: Vec<(Vec<u8>, Element)>,
}

impl Form {
    pub(super) fn of(table: &StickTable) -> Self {
        let columns = table.declaration().columns.iter();
        let elements = columns.flat_map(|column| {
            (0..column.elements)
                .map(|index| (word(column, index), Element { data_type: column.data_type, index }))
        });
        Self { columns: elements.collect() }
    }

    /// Appends the line of an entry.
    pub(super) fn line(&self, entry: Glance<'_>, now: Tick, out: &mut Vec<u8>) {
        let mut number = itoa::Buffer::new();
        hexadecimal(entry.id(), out);
        out.extend_from_slice(b": key=");
        key(entry, out);
        out.extend_from_slice(b" use=");
        out.extend_from_slice(number.format(entry.trackers()).as_bytes());
        out.extend_from_slice(b" exp=");
        out.extend_from_slice(number.format(entry.expires_in(now)).as_bytes());
        for (word, element) in &self.columns {
            out.extend_from_slice(word);
            value(entry, *element, now, &mut number, out);
        }
        out.push(b'\n');
    }
}

/// Appends a number as `{:#x}` would.
fn hexadecimal(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0x");
    let digits = (64 - number.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        let digit = (number >> (4 * digit) & 0xf) as usize;
        out.extend(b"0123456789abcdef".get(digit));
    }
}

fn key(entry: Glance<'_>, out: &mut Vec<u8>) {
    match (entry.table().declaration().key.ty(), entry.key_bytes()) {
        // Half of all the time that a dump takes, otherwise.
        (KeyType::Ip, &[a, b, c, d]) => {
            let mut number = itoa::Buffer::new();
            for (at, byte) in [a, b, c, d].into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                out.extend_from_slice(number.format(byte).as_bytes());
            }
        }
        _ => {
            // Writing to memory does not fail.
            let _ = write!(out, "{}", entry.key());
        }
    }
}

/// Returns what stands before a value. In an array the number of the element stands before the first underscore.
fn word(column: &Column, index: u32) -> Vec<u8> {
    let name = column.data_type.name();
    let (stem, suffix) = name.split_at(name.find('_').unwrap_or(name.len()));
    let index = if column.data_type.is_array() { index.to_string() } else { String::new() };
    let period = column.period_ms;
    let period = if column.data_type.is_rate() { format!("({period})") } else { String::new() };
    format!(" {stem}{index}{suffix}{period}=").into_bytes()
}

fn value(
    entry: Glance<'_>,
    Element { data_type, index }: Element,
    now: Tick,
    number: &mut itoa::Buffer,
    out: &mut Vec<u8>,
) {
    match data_type.storage() {
        // The one value that does not fit a signed number.
        Storage::Ull => match entry.value(data_type, index, now) {
            Some(Value::Ull(value)) => out.extend_from_slice(number.format(value).as_bytes()),
            _ => out.push(b'0'),
        },
        Storage::Dict => {
            // A line is a line, whatever a peer sent.
            let named = entry.server_key_with(|name| write!(out, "{}", name.escape_debug()));
            if named.is_none() {
                out.push(b'-');
            }
        }
        _ => {
            let value = entry.fetch(data_type, index, now).unwrap_or(0);
            out.extend_from_slice(number.format(value).as_bytes());
        }
    }
}

/// Returns the line of a table as JSON.
pub(super) fn header_json(table: &StickTable) -> String {
    let declaration = table.declaration();
    let head = json!({
        "table": declaration.local_name(),
        "type": declaration.key.ty().to_string(),
        "size": declaration.size,
        "used": table.used(),
    });
    format!("{head}\n")
}

/// Appends the line of an entry as JSON: arrays as arrays, rates as the number of the last period.
pub(super) fn line_json(entry: Glance<'_>, now: Tick, out: &mut Vec<u8>) {
    let mut data = Map::new();
    for column in &entry.table().declaration().columns {
        let value = |index| match column.data_type.storage() {
            Storage::Dict => json!(entry.server_key()),
            Storage::Ull => match entry.value(column.data_type, index, now) {
                Some(Value::Ull(value)) => json!(value),
                _ => json!(0),
            },
            _ => json!(entry.fetch(column.data_type, index, now).unwrap_or(0)),
        };
        let value = if column.data_type.is_array() {
            (0..column.elements).map(value).collect()
        } else {
            value(0)
        };
        data.insert(column.data_type.name().to_owned(), value);
    }
    let line = json!({
        "key": entry.key().to_string(),
        "use": entry.trackers(),
        "exp": entry.expires_in(now),
        "data": data,
    });
    // Writing to memory does not fail.
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_std_does() {
        for number in [0, 1, 0xf, 0x10, 0xabc_def0, 1 << 63, u64::MAX, 0x0fff_ffff_ffff_ffff] {
            let mut out = Vec::new();
            hexadecimal(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{number:#x}"));
        }
    }
}
