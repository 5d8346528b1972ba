//! The command line of both: one command a connection over a Unix socket.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// A stats socket, or a runtime API.
#[derive(Clone)]
pub(crate) struct Stats(PathBuf);

/// The columns of one entry.
pub(crate) struct Row(BTreeMap<String, String>);

impl Row {
    pub(crate) fn value(&self, column: &str) -> String {
        self.0.get(column).cloned().unwrap_or_default()
    }
}

impl Stats {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self(socket)
    }

    /// Asks, and returns the answer.
    pub(crate) fn try_ask(&self, command: &str) -> Result<String, String> {
        let failed = |error: std::io::Error| format!("{command}: {error}");
        let mut stream = UnixStream::connect(&self.0).map_err(failed)?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(failed)?;
        stream.write_all(format!("{command}\n").as_bytes()).map_err(failed)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(failed)?;
        Ok(answer)
    }

    pub(crate) fn ask(&self, command: &str) -> String {
        self.try_ask(command).unwrap()
    }

    /// Runs a command that answers nothing when it succeeds.
    pub(crate) fn run(&self, command: &str) {
        let answer = self.ask(command);
        assert_eq!(answer.trim(), "", "{command}");
    }

    /// Runs many such commands, as many at once as a line may hold.
    pub(crate) fn run_all(&self, commands: impl Iterator<Item = String>) {
        // HAProxy's buffer has 16384 bytes.
        const LINE: usize = 12_000;
        let mut line = String::new();
        for command in commands {
            if line.len() + command.len() > LINE {
                self.run_line(&line);
                line.clear();
            }
            // An empty command is an unknown one.
            line += if line.is_empty() { "" } else { ";" };
            line += &command;
        }
        self.run_line(&line);
    }

    fn run_line(&self, line: &str) {
        let answer = self.ask(line);
        let first = line.split(';').next().unwrap_or_default();
        assert_eq!(answer.trim(), "", "{first} and what followed it");
    }

    /// Returns how many entries a table has, without asking for them.
    pub(crate) fn used_of(&self, name: &str) -> Result<u32, String> {
        let answer = self.try_ask("show table")?;
        let header = answer.lines().find(|line| line.starts_with(&format!("# table: {name},")));
        let used = header.and_then(|header| header.rsplit_once("used:"));
        used.and_then(|(_, used)| used.parse().ok()).ok_or(answer)
    }

    /// Returns the entries of a large table as lines in some order, without what differs from process to process: who uses an
    /// entry, and what is left of its life.
    pub(crate) fn lines(&self, name: &str) -> Result<Vec<String>, String> {
        let answer = self.try_ask(&format!("show table {name}"))?;
        let entries = answer.lines().filter(|line| line.starts_with("0x"));
        let mut lines: Vec<_> = entries
            .map(|line| {
                let differs =
                    |word: &str| ["0x", "use=", "exp="].iter().any(|start| word.starts_with(start));
                let words: Vec<_> = line.split(' ').filter(|word| !differs(word)).collect();
                words.join(" ")
            })
            .collect();
        lines.sort_unstable();
        Ok(lines)
    }

    /// Returns the entries of a table by their keys.
    pub(crate) fn table(&self, name: &str) -> Result<BTreeMap<String, Row>, String> {
        let answer = self.try_ask(&format!("show table {name}"))?;
        let mut lines = answer.lines();
        let header = lines.next().unwrap_or_default();
        if !header.starts_with(&format!("# table: {name}, type: ")) {
            return Err(format!("{name}: {answer}"));
        }
        let mut rows = BTreeMap::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (id, columns) = line.split_once(": ").ok_or_else(|| format!("no id: {line}"))?;
            assert!(id.starts_with("0x"), "{line}");
            let columns = columns.split(' ').filter_map(|column| column.split_once('='));
            let mut row: BTreeMap<_, _> =
                columns.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let key = row.remove("key").ok_or_else(|| format!("no key: {line}"))?;
            rows.insert(key, Row(row));
        }
        Ok(rows)
    }

    /// Returns how many entries the header of a table says it has.
    pub(crate) fn used(&self, name: &str) -> Result<u32, String> {
        let answer = self.try_ask(&format!("show table {name}"))?;
        let used = answer.lines().next().and_then(|header| header.rsplit_once("used:"));
        used.and_then(|(_, used)| used.parse().ok()).ok_or(answer)
    }
}

/// What differs by nature: the time left differs by what passed between the two looks, rates fade with
/// time, and `conn_cur` is never learned.
fn tolerance(column: &str, theirs: &str, ours: &str) -> bool {
    let number = |text: &str| text.parse::<i64>().unwrap_or(i64::MIN);
    let (theirs, ours) = (number(theirs), number(ours));
    match column {
        "use" | "conn_cur" => true,
        // A peer that was taught without a date gives the full time anew.
        "exp" => theirs >= 0 && ours >= 0,
        // At most what fades in 3 s of a period of 10 s or more, and what a millisecond of phase rounds.
        rate if rate.contains("_rate(") => (theirs - ours).abs() <= 1 + theirs.max(ours) * 3 / 10,
        _ => false,
    }
}

/// Compares two tables, entry by entry.
pub(crate) fn same(
    table: &str,
    theirs: &BTreeMap<String, Row>,
    ours: &BTreeMap<String, Row>,
) -> Result<(), String> {
    let lacks = |one: &BTreeMap<String, Row>, other: &BTreeMap<String, Row>| {
        one.keys().find(|key| !other.contains_key(*key)).cloned()
    };
    if let Some(key) = lacks(theirs, ours) {
        return Err(format!("{table}: stktabled lacks {key}"));
    }
    if let Some(key) = lacks(ours, theirs) {
        return Err(format!("{table}: HAProxy lacks {key}"));
    }
    for (key, row) in theirs {
        let other = &ours[key];
        let columns: Vec<_> = row.0.keys().collect();
        if columns != other.0.keys().collect::<Vec<_>>() {
            return Err(format!("{table} {key}: other columns"));
        }
        for (column, value) in &row.0 {
            let mine = &other.0[column];
            if value != mine && !tolerance(column, value, mine) {
                return Err(format!("{table} {key}: {column} is {value} there, {mine} here"));
            }
        }
    }
    Ok(())
}
