//! Recorded sessions of HAProxy 2.6, each side of them played to a session of ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;
use stktable::table::Value;
use stktable::{DataType, Tick};
use stktable_integration::SharedTable;
use stktable_integration::config::{self, Context};
use stktable_integration::peers::codec::{Control, Decoder, Message};
use stktable_integration::peers::session::{Event, PeerMemory, Roster};

use super::script::{START, Scripted};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/peers-2.6")
}

struct Recording {
    name: String,
    json: Json,
    c2s: Vec<u8>,
    s2c: Vec<u8>,
}

impl Recording {
    fn read(name: &str) -> Self {
        let read = |end: &str| std::fs::read(folder().join(format!("{name}.{end}"))).unwrap();
        let json = serde_json::from_slice(&read("json")).unwrap();
        Self { name: name.to_owned(), json, c2s: read("c2s.bin"), s2c: read("s2c.bin") }
    }

    fn all(prefix: &str, least: usize) -> Vec<Self> {
        let names = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
        let names = names.filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix(".json")?;
            name.starts_with(prefix).then(|| name.to_owned())
        });
        let found: Vec<_> = names.map(|name| Self::read(&name)).collect();
        assert!(found.len() >= least, "{} recordings of {prefix}*", found.len());
        found
    }

    /// The pieces in which a direction went by, and when.
    fn chunks(&self, which: &str) -> Vec<(u64, std::ops::Range<usize>)> {
        let chunks = self.json[which]["chunks"].as_array().unwrap().iter();
        let number = |json: &Json| usize::try_from(json.as_u64().unwrap()).unwrap();
        let range = |chunk: &Json| {
            let offset = number(&chunk["offset"]);
            offset..offset + number(&chunk["size"])
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few seconds"
        )]
        let at = |chunk: &Json| chunk["at_ms"].as_f64().unwrap() as u64;
        chunks.map(|chunk| (at(chunk), range(chunk))).collect()
    }
}

/// The section of the process whose configuration this is.
fn section(config: &str, local: &str, remote: &str) -> (Arc<Roster>, Vec<Arc<SharedTable>>) {
    let text = std::fs::read(folder().join(config)).unwrap();
    let config = config::parse(&[(config, &text)], &Context::EMPTY).unwrap();
    let setup = config.resolve(local).unwrap();
    let tables: Vec<_> =
        setup.tables.iter().map(|table| SharedTable::new(table.declaration.clone())).collect();
    assert_eq!(tables.len(), 10);
    (Roster::new("lab", local, &[remote], tables.clone()).unwrap(), tables)
}

fn a() -> (Arc<Roster>, Vec<Arc<SharedTable>>) {
    section("A.cfg", "A", "B")
}

/// Plays a client's side as it went by, and returns what we answered.
fn play(recording: &Recording, roster: &Arc<Roster>) -> (Vec<u8>, Scripted) {
    let mut s = Scripted::called(roster);
    let mut answer = Vec::new();
    for (at, range) in recording.chunks("c2s") {
        s.now = Tick(START.0 + at);
        s.session.handle_timeout(s.now);
        match s.take(&recording.c2s[range]) {
            Ok(sent) => answer.extend(sent),
            Err(_) => answer.extend(s.sent()),
        }
    }
    (answer, s)
}

#[test]
fn answers_are_those_of_haproxy() {
    for (prefix, count) in [("acks", 1), ("ignored-messages", 1), ("error-", 4), ("refuse-", 6)] {
        for recording in Recording::all(prefix, count) {
            let (roster, _) = a();
            let (answer, s) = play(&recording, &roster);
            assert_eq!(answer, recording.s2c, "{}", recording.name);
            assert_eq!(s.closed(), prefix.ends_with('-'), "{}", recording.name);
        }
    }
}

#[test]
fn a_predecessor_is_answered_as_haproxy_did() {
    let recording = Recording::read("reload-local");
    let (roster, tables) = section("A-reloaded.cfg", "A", "B");
    let mut s = Scripted::called(&roster);
    let answer = s.take(&recording.c2s).unwrap();
    assert_eq!(answer, recording.s2c);
    assert!(s.events.contains(&Event::LessonEnded { finished: true, asked: false }));
    assert!(tables.iter().map(|table| table.used()).sum::<u32>() > 100);
    // No heartbeats between a process and its successor.
    assert_eq!(s.wait(4000), b"");
}

#[test]
fn every_client_is_served_in_any_pieces() {
    for recording in Recording::all("", 19) {
        let (roster, tables) = a();
        let (_, s) = play(&recording, &roster);
        let expected: Vec<_> = tables.iter().map(|table| table.used()).collect();
        let failed = recording.name.starts_with("error-") || recording.name.starts_with("refuse-");
        assert_eq!(s.closed(), failed, "{}: {:?}", recording.name, s.events.last());
        for piece in [1, 7, usize::MAX] {
            let (roster, tables) = a();
            let mut s = Scripted::called(&roster);
            for bytes in recording.c2s.chunks(piece) {
                if s.take(bytes).is_err() {
                    break;
                }
            }
            let used: Vec<_> = tables.iter().map(|table| table.used()).collect();
            assert_eq!(used, expected, "{} in pieces of {piece}", recording.name);
        }
    }
}

/// The last values said of each entry in a direction, by table and key.
fn said(json: &Json) -> BTreeMap<(String, String), Json> {
    let updates = json["messages"].as_array().unwrap().iter().map(|message| &message["update"]);
    let named = |update: &Json| {
        let text = |field: &str| update[field].as_str().map(str::to_owned);
        Some(((text("table")?, text("key_hex")?), update["values"].clone()))
    };
    updates.filter_map(named).collect()
}

fn check_value(found: Value, expected: &Json, what: &str) {
    let number =
        |json: &Json| json.as_i64().unwrap_or_else(|| json.as_u64().unwrap().cast_signed());
    match found {
        Value::Sint(found) => assert_eq!(i64::from(found), number(expected), "{what}"),
        Value::Uint(found) => assert_eq!(i64::from(found), number(expected), "{what}"),
        Value::Ull(found) => assert_eq!(found.cast_signed(), number(expected), "{what}"),
        Value::Rate { age_ms, current, previous } => {
            let elapsed = number(&expected[0]);
            // An older period than the last but one is nothing.
            if elapsed < 5000 {
                let found = (i64::from(current), i64::from(previous));
                assert_eq!(found, (number(&expected[1]), number(&expected[2])), "{what}");
                assert!((0..=1).contains(&(i64::from(age_ms) - elapsed)), "{what}: {age_ms}");
            }
        }
    }
}

/// The keys of each table of a process, as its `show table` has them.
fn shown(text: &str, process: &str) -> BTreeMap<String, Vec<String>> {
    let mut tables = BTreeMap::new();
    let mut name = None;
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("== ") {
            let (who, table) = head.split_once(' ').unwrap();
            name = (who == process).then(|| table.to_owned());
        } else if let (Some(entry), Some(name)) = (line.strip_prefix("entry: key="), &name) {
            // A key has its spaces escaped.
            let end = entry.find(" use=").unwrap();
            tables.entry(name.clone()).or_insert_with(Vec::new).push(entry[..end].to_owned());
        }
    }
    tables.values_mut().for_each(|keys| keys.sort());
    tables
}

#[test]
fn what_haproxy_taught_is_what_it_says() {
    let mut names = 0;
    for name in ["full-resync", "live-updates", "full-resync-2.0", "dictionary-rollover"] {
        let recording = Recording::read(name);
        let (roster, tables) = section("B.cfg", "B", "A");
        let mut s = Scripted::caller(&roster, &PeerMemory::new(&roster, b"A"));
        s.take(&recording.s2c).unwrap();
        let said = said(&recording.json["s2c"]);
        assert!(said.len() > 50, "{name}: {}", said.len());
        assert_eq!(
            tables.iter().map(|table| table.used() as usize).sum::<usize>(),
            said.len(),
            "{name}"
        );
        let mut values = 0;
        for ((wire, hex), expected) in &said {
            let table =
                tables.iter().find(|table| table.declaration().wire_name() == *wire).unwrap();
            let bytes: Vec<u8> = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect();
            let key = table.declaration().key.key(&bytes).unwrap();
            let entry = table.get(&key, s.now).unwrap_or_else(|| panic!("{name}: {wire} {hex}"));
            let name_said = expected["server_key"].as_str();
            assert_eq!(entry.server_key().as_deref(), name_said, "{name}: {wire} {hex}");
            names += usize::from(name_said.is_some());
            for column in table.columns() {
                let expected = &expected[column.data_type.name()];
                for at in 0..column.elements {
                    let expected =
                        if column.data_type.is_array() { &expected[at as usize] } else { expected };
                    let found = entry.value(column.data_type, at, s.now).unwrap();
                    let what = format!("{name}: {wire} {hex} {}", column.data_type);
                    if column.data_type == DataType::ConnCur {
                        assert_eq!(found, Value::Uint(0), "{what}");
                    } else {
                        check_value(found, expected, &what);
                        values += 1;
                    }
                }
            }
        }
        assert!(values > 20, "{name}: {values}");
    }
    assert!(names > 100, "{names}");
    // And the keys are those that the learner of the recording shows: all came from A.
    let recording = Recording::read("full-resync");
    let (roster, tables) = section("B.cfg", "B", "A");
    let mut s = Scripted::caller(&roster, &PeerMemory::new(&roster, b"A"));
    s.take(&recording.s2c).unwrap();
    let text = std::fs::read_to_string(folder().join("full-resync.show-table.txt")).unwrap();
    let shown = shown(&text, "B");
    assert_eq!(shown.len(), 10);
    for table in &tables {
        let mut keys: Vec<_> = table.entries(s.now).map(|entry| entry.key().to_string()).collect();
        keys.sort();
        assert_eq!(
            keys,
            shown[&table.declaration().local_name()],
            "{}",
            table.declaration().local_name()
        );
    }
}

/// A lesson that we teach is read back by the codec as what the tables hold.
#[test]
fn what_was_learned_is_taught_on() {
    let recording = Recording::read("full-resync");
    let (roster, tables) = section("B.cfg", "B", "A");
    let mut s = Scripted::caller(&roster, &PeerMemory::new(&roster, b"A"));
    s.take(&recording.s2c).unwrap();
    let mut request = Vec::new();
    Control::ResyncRequest.encode(&mut request);
    let lesson = s.take(&request).unwrap();

    let (roster, copies) = section("A.cfg", "A", "B");
    let mut learner = Scripted::up(&roster);
    learner.take(&lesson).unwrap();
    for (table, copy) in tables.iter().zip(&copies) {
        assert_eq!(table.used(), copy.used());
        for entry in table.entries(s.now) {
            let other = copy.get(&entry.key(), s.now).unwrap();
            assert!(other.expires_in(s.now) <= entry.expires_in(s.now));
            assert_eq!(entry.server_key(), other.server_key());
            for column in table.columns() {
                for at in 0..column.elements {
                    let values =
                        [&entry, &other].map(|entry| entry.value(column.data_type, at, s.now));
                    assert_eq!(values[0], values[1], "{:?} {}", entry.key(), column.data_type);
                }
            }
        }
    }
    let decoder = Decoder::new();
    let mut rest = &lesson[..];
    let mut definitions = 0;
    while let Some((message, size)) = decoder.decode(rest).unwrap() {
        rest = &rest[size..];
        definitions += usize::from(matches!(message, Message::Definition(_)));
    }
    assert_eq!((rest.len(), definitions), (0, 10));
}
