//! What the runtime API answers, read.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A process at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// When it was taken, on a clock of ours.
    pub(super) at_ms: u64,
    /// Its name and version.
    pub(super) process: String,
    pub(super) up_seconds: u64,
    pub(super) tables: Vec<Table>,
    /// The entries of the table that was asked for, the largest values first.
    pub(super) talkers: Talkers,
    pub(super) peers: Vec<Peer>,
    /// Lines on sums over peers.
    pub(super) aggregates: Vec<String>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) ty: String,
    pub(super) size: u64,
    pub(super) used: u64,
}

/// The entries of a table with the largest values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Talkers {
    /// The table.
    pub(super) table: String,
    /// What they are the largest of.
    pub(super) by: String,
    /// The data types that the table stores, as far as that can be seen.
    pub(super) fields: Vec<String>,
    pub(super) entries: Vec<Entry>,
    /// What was looked at, where that was not everything.
    pub(super) note: Option<String>,
    /// Why there is nothing.
    pub(super) wrong: Option<String>,
}

/// An entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) trackers: String,
    /// Milliseconds left to live.
    pub(super) expires: u64,
    /// Values by data type, as text.
    pub(super) values: BTreeMap<String, String>,
}

impl Entry {
    /// The value of a data type, to be compared.
    pub(super) fn number(&self, field: &str) -> u64 {
        // Of an array, the first element.
        let value = self.values.get(field).map_or("", String::as_str);
        value.split(' ').next().and_then(|value| value.parse().ok()).unwrap_or(0)
    }
}

/// A peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) section: String,
    pub(super) name: String,
    pub(super) address: String,
    pub(super) status: String,
    pub(super) is_active: bool,
    pub(super) unacked: Option<u64>,
    pub(super) waited_ms: Option<u64>,
    pub(super) last_end: String,
}

/// Text from the network, as it can be shown: what is no printable character is escaped, so that none of it commands the terminal.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        // Those that turn the direction of the text, too.
        let hidden = matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if character.is_control() || hidden {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Reads the name, version and time since the start of a process.
pub(super) fn info(text: &str) -> (String, u64) {
    let find = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or("")
    };
    let process = printable(&format!("{} {}", find("Name"), find("Version")));
    (process, find("Uptime_sec").parse().unwrap_or(0))
}

/// Reads the lines of `show table`.
pub(super) fn tables(text: &str) -> Vec<Table> {
    text.lines().filter_map(table).collect()
}

fn table(line: &str) -> Option<Table> {
    let rest = line.strip_prefix("# table: ")?;
    // From the end: a name may have commas.
    let (rest, used) = rest.rsplit_once(", used:")?;
    let (rest, size) = rest.rsplit_once(", size:")?;
    let (name, ty) = rest.rsplit_once(", type: ")?;
    Some(Table {
        name: name.to_owned(),
        ty: printable(ty),
        size: size.parse().ok()?,
        used: used.split_whitespace().next()?.parse().ok()?,
    })
}

/// Reads an entry in JSON.
pub(super) fn entry_json(line: &str) -> Option<Entry> {
    let line: Map<String, Value> = serde_json::from_str(line).ok()?;
    let text = |value: &Value| match value {
        Value::String(text) => printable(text),
        Value::Null => "-".to_owned(),
        Value::Array(values) => values.iter().map(Value::to_string).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    let data = line.get("data")?.as_object()?;
    Some(Entry {
        key: printable(line.get("key")?.as_str()?),
        trackers: line.get("use").map(text).unwrap_or_default(),
        expires: line.get("exp").and_then(Value::as_u64).unwrap_or(0),
        values: data.iter().map(|(name, value)| (printable(name), text(value))).collect(),
    })
}

/// Reads an entry in a line of HAProxy's.
pub(super) fn entry_line(line: &str) -> Option<Entry> {
    let (number, rest) = line.split_once(": ")?;
    number.strip_prefix("0x")?;
    let mut entry = Entry::default();
    for word in words(rest) {
        let (name, value) = word.split_once('=')?;
        match name {
            "key" => entry.key = printable(value),
            "use" => entry.trackers = printable(value),
            "exp" => entry.expires = value.parse().unwrap_or(0),
            // Inside the process, of no use here.
            "shard" => {}
            _ => {
                let name = name.split('(').next().unwrap_or(name);
                entry.values.insert(printable(name), printable(value));
            }
        }
    }
    (!entry.key.is_empty()).then_some(entry)
}

/// Splits at blanks that no backslash protects.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    line.split(move |character| {
        let ends = character == ' ' && !escaped;
        escaped = character == '\\' && !escaped;
        ends
    })
    .filter(|word| !word.is_empty())
}

/// Reads `show peers`, of stktabled or of HAProxy.
pub(super) fn peers(text: &str) -> Vec<Peer> {
    let mut peers: Vec<Peer> = Vec::new();
    let mut section = String::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        // HAProxy begins some lines with an address.
        let words = line.trim_start();
        let words = match words.split_once(": ") {
            Some((first, rest)) if first.starts_with("0x") => rest,
            _ => words,
        };
        let named = words.strip_prefix("id=");
        match (indent, named) {
            (0, Some(name)) => section = value(name),
            // The time, before an address.
            (0, None) if words.starts_with('[') => {
                if let Some((_, name)) = words.split_once(" id=") {
                    section = value(name);
                }
            }
            (2, Some(name)) => {
                let (name, about) = name.split_once('(').unwrap_or((name, ""));
                peers.push(Peer {
                    section: section.clone(),
                    name: printable(name),
                    is_active: about.contains(",active)"),
                    ..Peer::default()
                });
            }
            _ => {}
        }
        let Some(peer) = peers.last_mut().filter(|_| indent >= 2) else { continue };
        if let Some((_, end)) = words.split_once("last_end=") {
            peer.last_end = printable(end.trim_matches('"'));
            continue;
        }
        if words.starts_with("behind:") {
            continue;
        }
        for word in words.split_whitespace() {
            match word.split_once('=') {
                Some(("addr", address)) => peer.address = value(address),
                Some(("last_status", status)) => peer.status = value(status),
                Some(("unacked", count)) => peer.unacked = count.parse().ok(),
                Some(("waited", ms)) => peer.waited_ms = ms.trim_end_matches("ms").parse().ok(),
                _ => {}
            }
        }
    }
    // Ourselves, as HAProxy lists it.
    peers.retain(|peer| !peer.status.is_empty() || peer.is_active);
    peers
}

fn value(text: &str) -> String {
    printable(text.split_whitespace().next().unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read() {
        let text = "# table: mesh/a, b, type: ip, size:1024, used:7\n# table: t, type: string, size:5, used:0\nnonsense\n\n";
        let read = tables(text);
        assert_eq!(
            (read[0].name.as_str(), read[0].ty.as_str(), read[0].used),
            ("mesh/a, b", "ip", 7)
        );
        assert_eq!(read.len(), 2);
        assert_eq!(
            info("Name: HAProxy\nVersion: 2.6.12\nUptime_sec: 61\n"),
            ("HAProxy 2.6.12".to_owned(), 61)
        );
    }

    #[test]
    fn entries_are_read_in_both_forms() {
        let json = r#"{"key":"a\u001b[2J b","use":1,"exp":5,"data":{"gpc":[3,4],"gpc0":9,"server_key":null}}"#;
        let read = entry_json(json).unwrap();
        assert_eq!(read.key, "a\\u{1b}[2J b");
        assert_eq!((read.number("gpc"), read.number("gpc0"), read.number("nope")), (3, 9, 0));
        assert_eq!(read.values["server_key"], "-");
        let line = r"0x55: key=a\ b\=c use=0 exp=99 shard=0 gpc0=7 http_req_rate(10000)=8";
        let read = entry_line(line).unwrap();
        assert_eq!((read.key.as_str(), read.expires), (r"a\ b\=c", 99));
        assert_eq!(
            (read.number("gpc0"), read.number("http_req_rate"), read.values.len()),
            (7, 8, 2)
        );
        for wrong in ["", "{}", "{\"key\":5}", "# table: t", "0x5", "0x5: k", "key=5"] {
            assert_eq!((entry_json(wrong), entry_line(wrong)), (None, None), "{wrong}");
        }
    }

    #[test]
    fn peers_are_read_as_both_write_them() {
        let ours = "id=mesh local_peer=a resync=finished connections=0 connections_refused=0\n\
            \x20 id=b(remote,inactive) addr=127.0.0.1:1 last_status=RETR\n\
            \x20       reconnect=944ms sessions=0 calls_failed=3 proto_err=0 teaches_us=0 not_up_to_date=0\n\
            \x20       unacked=5 waited=1200ms queued=0B\n\
            \x20         behind: id=mesh/t unacked=4 waited=1ms\n\
            \x20       last_end=\"cannot connect to x=y: no\"\n";
        let read = peers(ours);
        let b = Peer {
            section: "mesh".to_owned(),
            name: "b".to_owned(),
            address: "127.0.0.1:1".to_owned(),
            status: "RETR".to_owned(),
            is_active: false,
            unacked: Some(5),
            waited_ms: Some(1200),
            last_end: "cannot connect to x=y: no".to_owned(),
        };
        assert_eq!(read, [b]);
        let theirs = "0x55ae: [24/Nov/2026:13:00:00] id=mesh disabled=0 flags=0x2213 resync_timeout=<PAST>\n\
            \x20 0x55b0: id=a(remote,active) addr=127.0.0.1:2 last_status=ESTA last_hdshk=4s\n\
            \x20       reconnect=<NEVER> heartbeat=2s confirm=0 tx_hbt=1\n\
            \x20 0x55b1: id=h(local,inactive) addr=127.0.0.1:3 last_status=NONE last_hdshk=<NEVER>\n";
        let read = peers(theirs);
        assert_eq!(read.len(), 2);
        assert_eq!(
            (read[0].name.as_str(), read[0].status.as_str(), read[0].is_active),
            ("a", "ESTA", true)
        );
        assert_eq!(read[0].section, "mesh");
    }

    #[test]
    fn nothing_commands_the_terminal() {
        assert_eq!(
            printable("a\u{1b}]0;x\u{7}\u{9b}2J\u{202e}é\n"),
            "a\\u{1b}]0;x\\u{7}\\u{9b}2J\\u{202e}é\\u{a}"
        );
    }
}
