//! `show table`, and what else is only looked at.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use serde_json::{Map, json};
use stktable::table::{Glance, Value};
use stktable::{Column, StickTable, Storage, Tick};

use super::dump::Dump;
use super::parse::{self, Action, Element, Refusal};
use super::query::{self, Query};
use super::{Api, Level, Reply, Work};

/// What `help` says.
pub(super) const HELP: &str = "\
The following commands are valid:
  clear table <table> [<filter>]*         : remove entries from a table (filter: data/key)
  set table <table> key <k> [data.* <v>]* : update or create a table entry's data
  show info                               : report information about the running process
  show peers [dict|-] [section]           : dump some information about all the peers or this peers section
  show table <table> [<filter>]*          : report table usage stats or dump this table's contents (filter: data/key)
  help                                    : list the commands
  prompt                                  : toggle interactive mode with prompt
  quit                                    : disconnect
";

const NOT_DUMPED: &str = "# contents not dumped due to insufficient privileges\n";

/// Returns what `show info` says.
pub(super) fn info(started: Tick, now: Tick) -> String {
    let up = now.since(started) / 1000;
    let (days, hours) = (up / 86_400, up / 3_600 % 24);
    let (minutes, seconds) = (up / 60 % 60, up % 60);
    let mut out = String::from("Name: stktabled\n");
    let _ = writeln!(out, "Version: {}", env!("CARGO_PKG_VERSION"));
    let _ = writeln!(out, "Pid: {}", std::process::id());
    let _ = writeln!(out, "Uptime: {days}d {hours}h{minutes:02}m{seconds:02}s");
    let _ = writeln!(out, "Uptime_sec: {up}");
    out
}

impl Api {
    /// `show table` and these words.
    pub(super) fn show_table(
        &self,
        words: &[&[u8]],
        level: Level,
        now: Tick,
    ) -> Result<Reply, Refusal> {
        let Some((name, words)) = words.split_first() else {
            let all: String = self.tables.iter().rev().map(|table| header(table)).collect();
            return Ok(Reply::text(all));
        };
        let table = self.table(name)?;
        let declaration = table.declaration();
        let query = match words {
            [b"key"] => return Err(Refusal::KeyExpected),
            [b"key", ..] if level < Level::Operator => return Err(Refusal::PermissionDenied),
            [b"key", text] => {
                let key = parse::key(declaration, text, Action::Show)?;
                let mut out = header(table).into_bytes();
                let shown = table.get_with(&key, now, |entry| line(entry, now, &mut out));
                if shown.is_none() {
                    return Ok(Reply::text(""));
                }
                out.push(b'\n');
                return Ok(Reply { head: out, ..Reply::text("") });
            }
            [first, ..] if !first.starts_with(b"data.") && !query::is_ours(first) => {
                return Err(Refusal::Usage(Action::Show));
            }
            words => Query::parse(declaration, words)?,
        };
        if level < Level::Operator {
            return Ok(Reply::text(header(table) + NOT_DUMPED));
        }
        let table = Arc::clone(table);
        Ok(Reply::work(Work::Dump(Dump::new(table, query))))
    }
}

/// Returns the line of a table.
pub(super) fn header(table: &StickTable) -> String {
    let declaration = table.declaration();
    let (name, ty) = (declaration.local_name(), declaration.key.ty());
    format!("# table: {name}, type: {ty}, size:{}, used:{}\n", declaration.size, table.used())
}

/// Appends the line of an entry.
pub(super) fn line(entry: Glance<'_>, now: Tick, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = write!(
        out,
        "{:#x}: key={} use={} exp={}",
        entry.id(),
        entry.key(),
        entry.trackers(),
        entry.expires_in(now)
    );
    for column in &entry.table().declaration().columns {
        for index in 0..column.elements {
            out.push(b' ');
            name(column, index, out);
            out.push(b'=');
            value(entry, Element { data_type: column.data_type, index }, now, out);
        }
    }
    out.push(b'\n');
}

/// Appends the name of an element: in an array the number stands before the first underscore.
fn name(column: &Column, index: u32, out: &mut Vec<u8>) {
    let name = column.data_type.name();
    let (stem, suffix) = name.split_at(name.find('_').unwrap_or(name.len()));
    let _ = if column.data_type.is_array() {
        write!(out, "{stem}{index}{suffix}")
    } else {
        write!(out, "{name}")
    };
    if column.data_type.is_rate() {
        let _ = write!(out, "({})", column.period_ms);
    }
}

fn value(entry: Glance<'_>, element: Element, now: Tick, out: &mut Vec<u8>) {
    let Element { data_type, index } = element;
    let _ = match data_type.storage() {
        // The one value that does not fit a signed number.
        Storage::Ull => match entry.value(data_type, index, now) {
            Some(Value::Ull(value)) => write!(out, "{value}"),
            _ => write!(out, "0"),
        },
        Storage::Dict => match entry.server_key() {
            // A line is a line, whatever a peer sent.
            Some(name) => write!(out, "{}", name.escape_debug()),
            None => write!(out, "-"),
        },
        _ => write!(out, "{}", entry.fetch(data_type, index, now).unwrap_or(0)),
    };
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
