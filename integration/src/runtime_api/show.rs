//! `show table`, and what else is only looked at.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use stktable::table::{Filter, Value, Walk};
use stktable::{Column, EntryRef, StickTable, Storage, Tick};

use super::parse::{self, Action, Element, Refusal};
use super::{Api, Level, PIECE_BYTES, PIECE_ENTRIES, Reply, Work};
use crate::shared::SharedTable;

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
        let filters = match words {
            [b"key"] => return Err(Refusal::KeyExpected),
            [b"key", ..] if level < Level::Operator => return Err(Refusal::PermissionDenied),
            [b"key", text] => {
                let key = parse::key(declaration, text, Action::Show)?;
                let Some(entry) = table.get(&key, now) else { return Ok(Reply::text("")) };
                let mut out = header(table).into_bytes();
                line(&entry, now, &mut out);
                out.push(b'\n');
                return Ok(Reply { head: out, ..Reply::text("") });
            }
            [] => Vec::new(),
            [first, ..] if first.starts_with(b"data.") => parse::filters(declaration, words)?,
            _ => return Err(Refusal::Usage(Action::Show)),
        };
        if level < Level::Operator {
            return Ok(Reply::text(header(table) + NOT_DUMPED));
        }
        let table = Arc::clone(table);
        Ok(Reply::work(Work::Dump(Dump { table, walk: None, filters })))
    }
}

/// The entries of a table that pass the filters.
#[derive(Debug)]
pub(super) struct Dump {
    table: Arc<SharedTable>,
    /// `None` before the header.
    walk: Option<Walk>,
    filters: Vec<Filter>,
}

impl Dump {
    /// Appends the next lines. Returns whether there is more.
    pub(super) fn next(&mut self, now: Tick, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let walk = self.walk.get_or_insert_with(|| {
            out.extend_from_slice(header(&self.table).as_bytes());
            Walk::new()
        });
        for _ in 0..PIECE_ENTRIES {
            if out.len() - start >= PIECE_BYTES {
                break;
            }
            let Some(entry) = walk.next(&self.table, now) else { return false };
            if self.filters.iter().all(|filter| filter.passes(entry.glance(), now)) {
                line(&entry, now, out);
            }
        }
        true
    }
}

/// Returns the line of a table.
pub(super) fn header(table: &StickTable) -> String {
    let declaration = table.declaration();
    let (name, ty) = (declaration.local_name(), declaration.key.ty());
    format!("# table: {name}, type: {ty}, size:{}, used:{}\n", declaration.size, table.used())
}

/// Appends the line of an entry.
fn line(entry: &EntryRef<'_>, now: Tick, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = write!(
        out,
        "{:#x}: key={} use={} exp={}",
        entry.id(),
        entry.key(),
        entry.users(),
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

fn value(entry: &EntryRef<'_>, element: Element, now: Tick, out: &mut Vec<u8>) {
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
