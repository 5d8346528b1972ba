//! `show table`, and what else is only looked at.

use std::fmt::Write as _;

use stktable::Tick;

use super::dump::Dump;
use super::line::{Form, header};
use super::parse::{self, Action, Refusal};
use super::query;
use super::{Api, Level, Reply, Work};

/// What `help` says.
pub(super) const HELP: &str = "\
The following commands are valid:
  clear table <table> [<filter>]*         : remove entries from a table (filter: data/key/ptr)
  save state                              : write the state file now
  set table <table> key <k> [data.* <v>]* : update or create a table entry's data
  set table <table> ptr <p> [data.* <v>]* : update a table entry's data
  show aggregate [section]                : report which sources are in the sums over peers, and what is missing
  show cli level                          : display the level of the current CLI session
  operator                                : lower the level of the current CLI session to operator
  user                                    : lower the level of the current CLI session to user
  show info                               : report information about the running process
  show peers [dict|-] [section]           : dump some information about all the peers or this peers section
  show peers digest [section]             : compare tables with the peers, and report what was found last
  show events [<sink> [-w] [-n]]          : show the lines of the trace (-w: wait for more, -n: none of before)
  show trace [<source>]                   : show what is traced
  trace [<source>|0 [<command>]]          : trace the peers protocol, `trace peers` says how
  show table <table> [<filter>]*          : report table usage stats or dump this table's contents (filter: data/key/ptr)
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
            let all: String = self.tables.all().iter().rev().map(|table| header(table)).collect();
            return Ok(Reply::text(all));
        };
        let table = self.table(name)?;
        let declaration = table.declaration();
        let (query, json) = match words {
            [b"key"] => return Err(Refusal::KeyExpected),
            [b"key", ..] if level < Level::Operator => return Err(Refusal::PermissionDenied),
            [b"ptr"] => return Err(Refusal::PtrExpected),
            [b"ptr", ..] if level < Level::Operator => return Err(Refusal::PermissionDenied),
            [b"ptr", text] => {
                let entry = parse::entry(&table, text, now)?;
                let mut out = header(&table).into_bytes();
                // In use by those who track it, not by us who look.
                let line = Form::of(&table);
                let key = entry.key();
                drop(entry);
                let _ = table.get_with(&key, now, |entry| line.line(entry, now, &mut out));
                out.push(b'\n');
                return Ok(Reply { head: out, ..Reply::text("") });
            }
            [b"key", text] => {
                let key = parse::key(declaration, text, Action::Show)?;
                let mut out = header(&table).into_bytes();
                let form = Form::of(&table);
                let shown = table.get_with(&key, now, |entry| form.line(entry, now, &mut out));
                if shown.is_none() {
                    return Ok(Reply::text(""));
                }
                out.push(b'\n');
                return Ok(Reply { head: out, ..Reply::text("") });
            }
            [first, ..] if !first.starts_with(b"data.") && !query::is_ours(first) => {
                return Err(Refusal::Usage(Action::Show));
            }
            words => query::read(declaration, words)?,
        };
        if level < Level::Operator {
            return Ok(Reply::text(header(&table) + NOT_DUMPED));
        }
        Ok(Reply::work(Work::Dump(Dump::new(table, query, json))))
    }
}
