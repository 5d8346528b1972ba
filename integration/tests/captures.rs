//! Every recorded session decodes, says what its JSON says, and is written again byte for byte.
//!
//! The recordings are described in `tests/fixtures/peers-2.6/README.md`. What is written again comes from
//! decoded values alone: dictionary ids, for one, are those that our own send cache hands out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use stktable::{DataType, KeyType};
use stktable_integration::peers::codec::{
    Control, DecodeError, Decoder, Definition, Dict, ErrorMessage, Hello, HelloError, HelloReader,
    Message, ReceiveCache, SendCache, SenderTable, StatusLine, StatusReader, Update, UpdateHeader,
    Value, Version,
};

/// The configuration of the process that was called, in every recording.
const LOCAL: &[u8] = b"A";

fn is_peer(name: &[u8]) -> bool {
    matches!(name, b"A" | b"B")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/peers-2.6")
}

struct Recording {
    name: String,
    json: Json,
    c2s: Vec<u8>,
    s2c: Vec<u8>,
}

/// Returns the recordings whose name begins with `prefix`, at least `least` of them.
fn recordings(prefix: &str, least: usize) -> Vec<Recording> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(name) = name.strip_suffix(".json").filter(|name| name.starts_with(prefix)) else {
            continue;
        };
        let read = |end: &str| std::fs::read(folder().join(format!("{name}.{end}"))).unwrap();
        found.push(Recording {
            name: name.to_owned(),
            json: serde_json::from_slice(&read("json")).unwrap(),
            c2s: read("c2s.bin"),
            s2c: read("s2c.bin"),
        });
    }
    assert!(found.len() >= least, "{} recordings of {prefix}*", found.len());
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// One direction of a session: decodes its messages in order, and writes them again.
#[derive(Default)]
struct Direction {
    tables: HashMap<u64, (String, SenderTable)>,
    selected: Option<u64>,
    last: HashMap<u64, u32>,
    receive: ReceiveCache,
    send: SendCache,
    /// How many dictionary values were `00`, `01 id` and new.
    dicts: [usize; 3],
}

/// Decodes `bytes`, appends what was understood to `out`, and returns what was said of each message in the
/// words of the JSON, with the error that stopped it.
fn replay(
    direction: &mut Direction,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> (Vec<Json>, Option<DecodeError>) {
    let decoder = Decoder::new();
    let mut messages = Vec::new();
    while out.len() < bytes.len() {
        let offset = out.len();
        let result = decoder.decode(&bytes[offset..]);
        let (message, size) = match result {
            Ok(whole) => whole.unwrap_or_else(|| panic!("message at {offset} is not whole")),
            Err(error) => return (messages, Some(error)),
        };
        let mut said = json!({
            "offset": offset,
            "size": size,
            "class": bytes[offset],
            "type": bytes[offset + 1],
        });
        if let Err(error) = direction.message(&message, &mut said, out) {
            return (messages, Some(error));
        }
        assert_eq!(out.len(), offset + size, "the message at {offset} was written in another size");
        messages.push(said);
    }
    (messages, None)
}

impl Direction {
    fn message(
        &mut self,
        message: &Message<'_>,
        said: &mut Json,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        match message {
            Message::Control(control) => {
                said["name"] = json!(match control {
                    Control::ResyncRequest => "resync-request",
                    Control::ResyncFinished => "resync-finished",
                    Control::ResyncPartial => "resync-partial",
                    Control::ResyncConfirm => "resync-confirm",
                    Control::Heartbeat => "heartbeat",
                });
                control.encode(out);
            }
            Message::Error(error) => {
                said["name"] = json!(match error {
                    ErrorMessage::Protocol => "error-protocol",
                    ErrorMessage::SizeLimit => "error-size",
                });
                error.encode(out);
            }
            Message::Definition(definition) => {
                let table = definition.table()?.expect("a table that HAProxy can have");
                let name = String::from_utf8(definition.name().to_vec()).unwrap();
                said["name"] = json!("definition");
                said["definition"] = definition_json(definition.id(), &name, &table);
                Definition::encode(definition.id(), name.as_bytes(), &table, out).unwrap();
                self.selected = Some(definition.id());
                self.tables.insert(definition.id(), (name, table));
            }
            Message::Switch { table_id } => {
                said["name"] = json!("switch");
                said["switch"] = json!(table_id);
                Message::encode_switch(*table_id, out);
                self.selected = Some(*table_id).filter(|id| self.tables.contains_key(id));
            }
            Message::Ack(ack) => {
                let ack = ack.decode()?;
                said["name"] = json!("ack");
                said["ack"] = json!({"table_id": ack.table_id, "update_id": ack.update_id});
                ack.encode(out);
            }
            Message::Update(update) => {
                said["name"] = json!(match update.kind().number() {
                    0x80 => "update",
                    0x81 => "inc-update",
                    0x85 => "update-timed",
                    _ => "inc-update-timed",
                });
                let Some(id) = self.selected else {
                    said["note"] = json!("no table");
                    message.encode(out).unwrap();
                    return Ok(());
                };
                let (name, table) = &self.tables[&id];
                let update = update.decode(table)?;
                let last = self.last.entry(id).or_default();
                *last = update.effective_id(*last);
                let server_key = self.receive.receive(update.dict()).cloned();
                said["update"] = update_json(name, *last, &update, server_key.as_deref());
                if table.elements(DataType::ServerKey) > 0 {
                    self.dicts[match update.dict() {
                        Dict::Absent => 0,
                        Dict::Known { .. } => 1,
                        Dict::New { .. } => 2,
                    }] += 1;
                }
                write_again(&update, table, server_key.as_deref(), &mut self.send, out);
            }
            Message::Unknown { .. } => {
                said["name"] = json!("unknown");
                message.encode(out).unwrap();
            }
            _ => panic!("a kind of message that this test does not know"),
        }
        Ok(())
    }
}

fn definition_json(id: u64, name: &str, table: &SenderTable) -> Json {
    let mut parameters = serde_json::Map::new();
    for data_type in table.data_types() {
        let mut parameter = serde_json::Map::new();
        if data_type.is_array() {
            parameter.insert("nbelem".to_owned(), json!(table.elements(data_type)));
        }
        if data_type.is_rate() {
            parameter.insert("period".to_owned(), json!(table.period_ms(data_type)));
        }
        if !parameter.is_empty() {
            parameters.insert(data_type.name().to_owned(), Json::Object(parameter));
        }
    }
    json!({
        "sender_table_id": id,
        "table": name,
        "key_type": table.key().ty().number(),
        "key_type_name": table.key().ty().name(),
        "key_len": table.key().size(),
        "data_bits": format!("{:#x}", table.data_type_bits()),
        "data_types": table.data_types().map(DataType::name).collect::<Vec<_>>(),
        "expire_ms": table.expire_ms(),
        "parameters": parameters,
    })
}

fn value_json(value: Value<Dict<'_>>, server_key: Option<&[u8]>) -> Json {
    match value {
        Value::Sint(value) => json!(value),
        Value::Uint(value) => json!(value),
        Value::Ull(value) => json!(value),
        Value::Rate(rate) => json!([rate.elapsed_ms, rate.current, rate.previous]),
        Value::Dict(_) => json!(server_key.map(|key| String::from_utf8(key.to_vec()).unwrap())),
    }
}

fn update_json(
    table: &str,
    effective_id: u32,
    update: &Update<'_>,
    server_key: Option<&[u8]>,
) -> Json {
    let mut values = serde_json::Map::new();
    for element in update.values() {
        let value = value_json(element.value, server_key);
        if element.data_type.is_array() {
            let array = values.entry(element.data_type.name()).or_insert_with(|| json!([]));
            let array = array.as_array_mut().unwrap();
            assert_eq!(array.len(), element.index as usize);
            array.push(value);
        } else {
            assert_eq!(element.index, 0);
            values.insert(element.data_type.name().to_owned(), value);
        }
    }
    let key = update.key();
    let hex: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let text = match key.ty() {
        KeyType::Binary => hex.clone(),
        KeyType::String => key.as_bytes().iter().copied().map(char::from).collect(),
        _ => key.to_string(),
    };
    let mut said = json!({
        "table": table,
        "update_id": update.id(),
        "effective_id": effective_id,
        "expire_ms": update.expire_ms(),
        "key_hex": hex,
        "key": text,
        "values": values,
    });
    match update.dict() {
        Dict::Absent => {}
        Dict::Known { id } => said["dictionary"] = json!([{"id": id, "value": null}]),
        Dict::New { id, string } => {
            let string = String::from_utf8(string.to_vec()).unwrap();
            said["dictionary"] = json!([{"id": id, "value": string}]);
        }
    }
    said
}

fn write_again(
    update: &Update<'_>,
    table: &SenderTable,
    server_key: Option<&[u8]>,
    cache: &mut SendCache,
    out: &mut Vec<u8>,
) {
    let header = UpdateHeader { id: update.id(), expire_ms: update.expire_ms() };
    let mut values = update.values();
    header
        .encode(&update.key(), table, cache, out, |data_type, index| {
            let element = values.next().expect("as many values as the table announces");
            assert_eq!((element.data_type, element.index), (data_type, index));
            match element.value {
                Value::Sint(value) => Value::Sint(value),
                Value::Uint(value) => Value::Uint(value),
                Value::Ull(value) => Value::Ull(value),
                Value::Rate(rate) => Value::Rate(rate),
                Value::Dict(_) => Value::Dict(server_key),
            }
        })
        .unwrap();
    assert_eq!(values.next(), None);
}

/// Compares what we said of the messages with the JSON, one by one for a message worth reading.
fn compare(name: &str, said: &[Json], expected: &[Json]) {
    for (said, expected) in said.iter().zip(expected) {
        assert_eq!(said, expected, "{name} at {}", expected["offset"]);
    }
    assert_eq!(said.len(), expected.len(), "{name}: number of messages");
}

/// Reads the hello in pieces of `piece` bytes. Returns how many bytes it used.
fn read_hello(bytes: &[u8], piece: usize) -> Result<(usize, Hello), HelloError> {
    let mut reader = HelloReader::new();
    let mut used = 0;
    for chunk in bytes.chunks(piece) {
        let (count, hello) = reader.push(chunk, LOCAL, is_peer)?;
        used += count;
        if let Some(hello) = hello {
            return Ok((used, hello));
        }
        assert_eq!(count, chunk.len(), "all of a hello that is not whole is used");
    }
    panic!("the hello is not whole");
}

fn read_status(bytes: &[u8], piece: usize) -> (usize, StatusLine) {
    let mut reader = StatusReader::new();
    let mut used = 0;
    for chunk in bytes.chunks(piece) {
        let (count, status) = reader.push(chunk);
        used += count;
        if let Some(status) = status {
            return (used, status);
        }
    }
    panic!("the status line is not whole");
}

fn lines(json: &Json) -> Vec<u8> {
    let lines = json["lines"].as_array().unwrap().iter();
    lines.flat_map(|line| line["text"].as_str().unwrap().bytes()).collect()
}

/// Checks the hello of a recording, writes it to `out`.
fn hello(recording: &Recording, out: &mut Vec<u8>) {
    let expected = lines(&recording.json["c2s"]);
    let (used, hello) = read_hello(&recording.c2s, usize::MAX).unwrap();
    assert_eq!(used, expected.len(), "{}: bytes of the hello", recording.name);
    for piece in 1..used {
        assert_eq!(read_hello(&recording.c2s, piece), Ok((used, hello.clone())));
    }
    let is_old = recording.name == "full-resync-2.0";
    assert_eq!(hello.version, if is_old { Version::V2_0 } else { Version::V2_1 });
    let process_id = hello.process_id.unwrap();
    Hello::encode(hello.version, LOCAL, &hello.caller, process_id, out).unwrap();
    assert_eq!(*out, expected, "{}: hello", recording.name);
    assert_eq!(recording.c2s[..used], expected);
}

/// Checks that the status line of a recording is `200`, writes it to `out`.
fn accepted(recording: &Recording, out: &mut Vec<u8>) {
    for piece in 1..5 {
        let (used, status) = read_status(&recording.s2c, piece);
        let StatusLine::Known(status) = status else { panic!("{status:?}") };
        assert_eq!(status.code(), 200);
        out.clear();
        status.encode(out);
        assert_eq!(used, out.len());
    }
    assert_eq!(*out, lines(&recording.json["s2c"]), "{}: status", recording.name);
}

#[test]
fn sessions_decode_and_are_written_again() {
    let mut dicts = [0; 3];
    let mut count = 0;
    for recording in recordings("", 19) {
        if recording.name.starts_with("refuse-") || recording.name.starts_with("error-") {
            continue;
        }
        count += 1;
        let (mut c2s, mut s2c) = (Vec::new(), Vec::new());
        hello(&recording, &mut c2s);
        accepted(&recording, &mut s2c);
        for (which, bytes, mut out) in [("c2s", &recording.c2s, c2s), ("s2c", &recording.s2c, s2c)]
        {
            let mut direction = Direction::default();
            let (said, error) = replay(&mut direction, bytes, &mut out);
            assert_eq!(error, None, "{} {which} at {}", recording.name, out.len());
            let name = format!("{} {which}", recording.name);
            compare(&name, &said, recording.json[which]["messages"].as_array().unwrap());
            assert!(out == *bytes, "{name}: other bytes than were recorded");
            for (sum, more) in dicts.iter_mut().zip(direction.dicts) {
                *sum += more;
            }
        }
    }
    assert_eq!(count, 9);
    let [_, known, new] = dicts;
    assert!(known > 40 && new > 2 * 128, "dictionary values in the recordings: {dicts:?}");
}

#[test]
fn malformed_messages_are_answered_as_haproxy_did() {
    for recording in recordings("error-", 4) {
        let name = &recording.name;
        let (mut out, mut answer) = (Vec::new(), Vec::new());
        hello(&recording, &mut out);
        let (said, error) = replay(&mut Direction::default(), &recording.c2s, &mut out);
        let error = error.unwrap_or_else(|| panic!("{name}: nothing was refused"));

        // What comes before the malformed message decodes, and is written again.
        let json = &recording.json["c2s"];
        let mut expected = json["messages"].as_array().unwrap().clone();
        let malformed = match json["undecoded_offset"].as_u64() {
            Some(offset) => offset,
            None => expected.pop().unwrap()["offset"].as_u64().unwrap(),
        };
        assert_eq!(out.len() as u64, malformed, "{name}: {error}");
        assert_eq!(out[..], recording.c2s[..out.len()], "{name}");
        compare(name, &said, &expected);

        // What HAProxy answered is what the error asks for.
        accepted(&recording, &mut answer);
        error.answer().encode(&mut answer);
        assert_eq!(answer, recording.s2c, "{name}: {error}");
        let mut out = b"200\n".to_vec();
        let (said, error) = replay(&mut Direction::default(), &recording.s2c, &mut out);
        assert_eq!(error, None);
        compare(name, &said, recording.json["s2c"]["messages"].as_array().unwrap());
    }
}

#[test]
fn hellos_are_refused_as_haproxy_did() {
    for recording in recordings("refuse-", 6) {
        let name = &recording.name;
        for piece in 1..=recording.c2s.len() {
            let error = read_hello(&recording.c2s, piece).unwrap_err();
            let mut answer = Vec::new();
            error.status().unwrap().encode(&mut answer);
            assert_eq!(answer, recording.s2c, "{name}: {error}");
        }
        let (used, status) = read_status(&recording.s2c, 1);
        let StatusLine::Known(status) = status else { panic!("{status:?}") };
        assert_eq!((used, format!("{}\n", status.code())), (4, text(&recording.json)));
    }
}

fn text(json: &Json) -> String {
    json["s2c"]["lines"][0]["text"].as_str().unwrap().to_owned()
}
