//! What the codec promises of any bytes: it undoes its own writing, waits for what is missing, refuses
//! what is malformed, and neither panics nor stands still.

use std::path::Path;

use bolero::check;
use stktable::{Column, DataType, Key, KeySpec, KeyType, Storage};
use stktable_integration::peers::codec::{
    Ack, BODY_MAX, Control, DecodeError, Decoder, Definition, Dict, EncodeError, ErrorMessage,
    Hello, HelloError, HelloReader, Ignored, Message, Rate, RawUpdate, ReceiveCache, SendCache,
    SenderTable, Status, StatusLine, StatusReader, UpdateHeader, Value, Version, dictionary, hello,
    integer,
};

/// Reads one message that must be there and be all of `bytes`.
fn whole(bytes: &[u8]) -> Result<Message<'_>, DecodeError> {
    let (message, used) = Decoder::new().decode(bytes)?.expect("a whole message");
    assert_eq!(used, bytes.len());
    Ok(message)
}

fn definition(bytes: &[u8]) -> Result<Definition<'_>, DecodeError> {
    match whole(bytes)? {
        Message::Definition(definition) => Ok(definition),
        other => panic!("no definition: {other:?}"),
    }
}

fn update(bytes: &[u8]) -> Result<RawUpdate<'_>, DecodeError> {
    match whole(bytes)? {
        Message::Update(update) => Ok(update),
        other => panic!("no update: {other:?}"),
    }
}

/// Returns a table message with this body.
fn table_message(ty: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![10, ty];
    integer::encode(body.len() as u64, &mut bytes);
    bytes.extend_from_slice(body);
    bytes
}

fn ints(values: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in values {
        integer::encode(*value, &mut bytes);
    }
    bytes
}

/// Returns a table of ours from arbitrary numbers.
fn table(
    key_choice: u8,
    key_len: u16,
    data_types: u32,
    elements: u8,
    expire_ms: u32,
) -> SenderTable {
    let len = u32::from(key_len % 200) + 1;
    let key = match key_choice % 5 {
        0 => KeySpec::INTEGER,
        1 => KeySpec::IP,
        2 => KeySpec::IPV6,
        3 => KeySpec::string(len).unwrap(),
        _ => KeySpec::binary(len).unwrap(),
    };
    let columns: Vec<Column> = DataType::ALL
        .iter()
        .filter(|ty| data_types & (1 << ty.number()) != 0)
        .map(|ty| Column {
            data_type: *ty,
            elements: if ty.is_array() { u32::from(elements % 100) + 1 } else { 1 },
            period_ms: if ty.is_rate() { expire_ms / 2 + 2 } else { 0 },
        })
        .collect();
    SenderTable::new(key, expire_ms, &columns)
}

fn key(table: &SenderTable, bytes: &[u8]) -> Key {
    let spec = table.key();
    match spec.ty() {
        KeyType::String | KeyType::Binary => spec.key(bytes).unwrap(),
        _ => {
            let mut padded = bytes.to_vec();
            padded.resize(spec.size() as usize, 7);
            spec.key(&padded).unwrap()
        }
    }
}

/// Returns a value of this storage made of `seed`.
#[expect(clippy::cast_possible_truncation, reason = "any number will do")]
fn value(storage: Storage, seed: u64, string: Option<&[u8]>) -> Value<Option<&[u8]>> {
    match storage {
        Storage::Sint => Value::Sint((seed as u32).cast_signed()),
        Storage::Uint => Value::Uint(seed as u32),
        Storage::Ull => Value::Ull(seed),
        Storage::Rate => Value::Rate(Rate {
            elapsed_ms: seed as u32,
            current: (seed >> 32) as u32,
            previous: (seed >> 16) as u32,
        }),
        Storage::Dict => Value::Dict(string),
    }
}

/// Decodes what there is until more is needed or something is refused. Returns where it stopped.
fn walk(bytes: &[u8], table: Option<&SenderTable>) -> usize {
    let decoder = Decoder::new();
    let mut own = table.cloned();
    let mut cache = ReceiveCache::new();
    let mut at = 0;
    while let Ok(Some((message, used))) = decoder.decode(&bytes[at..]) {
        assert!(used >= 2 && used <= decoder.message_max(), "no progress at {at}");
        at += used;
        assert!(at <= bytes.len());
        match message {
            Message::Definition(definition) => match definition.table() {
                Ok(Ok(table)) => own = Some(table),
                Ok(Err(_)) => own = None,
                Err(error) => return check_error(error, used, at),
            },
            Message::Update(update) => {
                let Some(table) = &own else { continue };
                match update.decode(table) {
                    Ok(update) => {
                        let _ = cache.receive(update.dict());
                        let count = update.values().count() as u64;
                        let announced: u64 = table.data_types().map(|ty| table.elements(ty)).sum();
                        assert_eq!(count, announced);
                    }
                    Err(error) => return check_error(error, used, at),
                }
            }
            Message::Ack(ack) => {
                if let Err(error) = ack.decode() {
                    return check_error(error, used, at);
                }
            }
            _ => {}
        }
    }
    at
}

fn check_error(error: DecodeError, size: usize, at: usize) -> usize {
    assert!(error.offset() <= size, "{error} in a message of {size} bytes");
    assert_eq!(error.answer(), ErrorMessage::Protocol);
    at
}

/// Asserts that no proper prefix is a message or an error.
fn prefixes_are_not_yet(bytes: &[u8]) {
    for cut in 0..bytes.len() {
        assert_eq!(Decoder::new().decode(&bytes[..cut]), Ok(None), "cut at {cut}");
    }
}

// Any input.

#[test]
fn integers_survive() {
    check!().with_type::<u64>().for_each(|value| {
        let mut bytes = Vec::new();
        for value in [*value, value % 300, value % 5000, value % (1 << 33), u64::MAX - value % 300]
        {
            bytes.clear();
            integer::encode(value, &mut bytes);
            assert_eq!(integer::size(value), bytes.len());
            assert_eq!(integer::decode(&bytes), Ok(Some((value, bytes.len()))));
        }
    });
}

#[test]
fn an_integer_has_one_encoding() {
    check!().for_each(|bytes: &[u8]| {
        if let Ok(Some((value, used))) = integer::decode(bytes) {
            let mut again = Vec::new();
            integer::encode(value, &mut again);
            assert_eq!(again, bytes[..used]);
        }
    });
}

#[test]
fn any_bytes_are_waited_for_decoded_or_refused() {
    check!().for_each(|bytes: &[u8]| {
        walk(bytes, None);
        // As the rest of a session in which a table was announced, and as the body of each message.
        let kind = bytes.first().copied().unwrap_or(0);
        let bits = u32::from(kind).wrapping_mul(0x9e37_79b9);
        let table = table(kind, 20, bits | 1 << 19, 3, 1000);
        walk(bytes, Some(&table));
        for ty in [0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86] {
            walk(&table_message(ty, bytes), Some(&table));
        }
    });
}

#[test]
fn any_bytes_are_a_hello_or_not() {
    check!().with_type::<(Vec<u8>, u8)>().for_each(|(bytes, piece)| {
        let piece = usize::from(*piece) + 1;
        let (mut hello, mut status) = (HelloReader::with_line_max(64), StatusReader::new());
        for start in ["", "HAProxyS 2.1\n", "HAProxyS 2.1\nme\n"] {
            let input = [start.as_bytes(), bytes].concat();
            for chunk in input.chunks(piece) {
                match hello.push(chunk, b"me", |name| name.len() > 2) {
                    Ok((used, None)) => assert!(used <= chunk.len()),
                    Ok((used, Some(found))) => {
                        assert!(used <= chunk.len() && found.caller.len() > 2);
                    }
                    Err(_) => break,
                }
                assert!(status.push(chunk).0 <= chunk.len());
            }
            hello = HelloReader::with_line_max(64);
        }
    });
}

#[test]
fn short_messages_survive() {
    check!().with_type::<(u64, u32, u8, u8, Vec<u8>)>().for_each(
        |(id, update_id, class, ty, body)| {
            let mut bytes = Vec::new();
            Ack { table_id: *id, update_id: *update_id }.encode(&mut bytes);
            prefixes_are_not_yet(&bytes);
            let Ok(Message::Ack(ack)) = whole(&bytes) else { panic!("no ack") };
            assert_eq!(ack.decode(), Ok(Ack { table_id: *id, update_id: *update_id }));

            bytes.clear();
            Message::encode_switch(*id, &mut bytes);
            prefixes_are_not_yet(&bytes);
            assert_eq!(whole(&bytes), Ok(Message::Switch { table_id: *id }));

            // Any other class or type is passed on as it came.
            let class = if *class == 255 { 9 } else { *class };
            let mut bytes = vec![class, *ty];
            if *ty >= 128 {
                integer::encode(body.len() as u64, &mut bytes);
                bytes.extend_from_slice(body);
            }
            match Decoder::new().decode(&bytes) {
                Ok(Some((message, used))) => {
                    prefixes_are_not_yet(&bytes[..used]);
                    let mut again = Vec::new();
                    message.encode(&mut again).unwrap();
                    if !matches!(message, Message::Switch { .. }) {
                        assert_eq!(again, bytes[..used]);
                    }
                }
                Ok(None) => panic!("a whole message is not yet"),
                Err(error) => assert!(class == 10 && matches!(ty, 0x82 | 0x83), "{error}"),
            }
        },
    );
}

type TableSeed = (u8, u16, u32, u8, u32);

#[test]
fn definitions_survive() {
    check!().with_type::<(u64, Vec<u8>, TableSeed)>().for_each(|(id, name, seed)| {
        let table = table(seed.0, seed.1, seed.2, seed.3, seed.4);
        let mut bytes = vec![0xaa];
        let written = Definition::encode(*id, name, &table, &mut bytes);
        if name.is_empty() || name.contains(&0) {
            assert_eq!((written, bytes), (Err(EncodeError::Name), vec![0xaa]));
            return;
        }
        assert_eq!(written, Ok(()));
        let bytes = &bytes[1..];
        prefixes_are_not_yet(bytes);
        let found = definition(bytes).unwrap();
        assert_eq!((found.id(), found.name()), (*id, &name[..]));
        assert_eq!(found.table(), Ok(Ok(table)));
    });
}

#[test]
fn updates_survive() {
    type Seed = (TableSeed, Vec<u8>, Option<u32>, Option<u32>, Vec<u64>, Option<Vec<u8>>);
    check!().with_type::<Seed>().for_each(|(seed, key_bytes, id, expire_ms, numbers, string)| {
        let table = table(seed.0, seed.1, seed.2, seed.3, seed.4);
        let key = key(&table, key_bytes);
        let string = string.as_deref();
        let (mut sender, mut receiver) = (SendCache::new(), ReceiveCache::new());
        let header = UpdateHeader { id: *id, expire_ms: *expire_ms };
        let seed_of = |ty: DataType, index: u32| {
            let at = usize::from(ty.number()) + index as usize;
            numbers.get(at % numbers.len().max(1)).copied().unwrap_or(0).rotate_left(index)
        };
        // Twice: the second time a string is named by its id.
        for _ in 0..2 {
            let mut bytes = Vec::new();
            header
                .encode(&key, &table, &mut sender, &mut bytes, |ty, index| {
                    value(ty.storage(), seed_of(ty, index), string)
                })
                .unwrap();
            prefixes_are_not_yet(&bytes);
            let raw = update(&bytes).unwrap();
            assert_eq!(raw.kind(), header.kind());
            let update = raw.decode(&table).unwrap();
            assert_eq!((update.id(), update.expire_ms()), (*id, *expire_ms));
            assert_eq!(update.key(), key);
            assert_eq!(update.key_bytes(), key.as_bytes());
            let received = receiver.receive(update.dict()).cloned();
            let mut values = update.values();
            for ty in table.data_types() {
                for index in 0..u32::try_from(table.elements(ty)).unwrap() {
                    let found = values.next().unwrap();
                    assert_eq!((found.data_type, found.index), (ty, index));
                    match (found.value, value(ty.storage(), seed_of(ty, index), string)) {
                        (Value::Sint(a), Value::Sint(b)) => assert_eq!(a, b),
                        (Value::Uint(a), Value::Uint(b)) => assert_eq!(a, b),
                        (Value::Ull(a), Value::Ull(b)) => assert_eq!(a, b),
                        (Value::Rate(a), Value::Rate(b)) => assert_eq!(a, b),
                        (Value::Dict(_), Value::Dict(b)) => assert_eq!(received.as_deref(), b),
                        (a, b) => panic!("{a:?} is not {b:?}"),
                    }
                }
            }
            assert_eq!(values.next(), None);
        }
    });
}

#[test]
fn both_caches_agree_for_ever() {
    check!().with_type::<Vec<u8>>().for_each(|picks| {
        let (mut sender, mut receiver) = (SendCache::new(), ReceiveCache::new());
        let mut last = 0;
        for pick in picks.iter().chain(picks).chain(picks) {
            let string = [*pick, 1];
            let dict = sender.plan(&string);
            assert_eq!(dict, sender.plan(&string), "a plan changes nothing");
            if let Dict::New { id, .. } = dict {
                assert_eq!(id, last % 128 + 1, "ids go round in a circle");
                last = id;
            }
            sender.commit(dict);
            assert_eq!(receiver.receive(dict).map(|found| &found[..]), Some(&string[..]));
        }
    });
}

// Recorded input.

/// Returns each message that HAProxy sent in the recordings, with the table selected when it came.
fn recorded() -> Vec<(Vec<u8>, Option<SenderTable>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/peers-2.6");
    let mut found = Vec::new();
    for name in ["full-resync.s2c", "live-updates.c2s", "live-updates.s2c", "acks.c2s", "acks.s2c"]
        .into_iter()
        .chain(["dictionary-rollover.s2c", "reload-local.c2s", "ignored-messages.c2s"])
    {
        let bytes = std::fs::read(folder.join(format!("{name}.bin"))).unwrap();
        let lines = if name.ends_with("c2s") { 3 } else { 1 };
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let mut rest = &bytes[ends.map(|(at, _)| at + 1).nth(lines - 1).unwrap()..];
        let mut table = None;
        while !rest.is_empty() {
            let (message, used) = Decoder::new().decode(rest).unwrap().unwrap();
            if let Message::Definition(definition) = message {
                table = Some(definition.table().unwrap().unwrap());
            }
            found.push((rest[..used].to_vec(), table.clone()));
            rest = &rest[used..];
        }
    }
    assert!(found.len() > 1500);
    // A recording says the same many times; each kind of table and message is wanted a few times.
    let mut seen = std::collections::HashMap::new();
    found.retain(|(bytes, table)| {
        let bits = table.as_ref().map(|table| (table.key(), table.data_type_bits()));
        let count = seen.entry((bytes[1], bytes.len(), bits)).or_insert(0);
        *count += 1;
        *count <= 3
    });
    assert!(found.len() > 150, "{}", found.len());
    found
}

#[test]
fn recorded_messages_cut_anywhere_are_not_yet() {
    for (bytes, table) in recorded() {
        assert_eq!(walk(&bytes, table.as_ref()), bytes.len());
        prefixes_are_not_yet(&bytes);
    }
}

#[test]
fn recorded_messages_with_a_shorter_body_are_refused() {
    let mut refused = 0;
    for (bytes, table) in recorded() {
        let Some(table) = table else { continue };
        if bytes[1] < 128 {
            continue;
        }
        let length = integer::decode(&bytes[2..]).unwrap().unwrap().1;
        let body = &bytes[2 + length..];
        for cut in 0..body.len() {
            let short = table_message(bytes[1], &body[..cut]);
            let fault = match whole(&short) {
                Err(error) => Some(error),
                Ok(Message::Update(update)) => Some(update.decode(&table).unwrap_err()),
                Ok(Message::Ack(ack)) => Some(ack.decode().unwrap_err()),
                Ok(Message::Definition(definition)) => match definition.table() {
                    Err(error) => Some(error),
                    Ok(Err(ignored)) => {
                        assert!(matches!(ignored, Ignored::Parameters { .. }), "{ignored}");
                        None
                    }
                    Ok(Ok(found)) => {
                        assert_eq!(found.expire_ms(), None, "only the old form is shorter");
                        None
                    }
                },
                Ok(Message::Unknown { .. }) => None,
                Ok(other) => panic!("{other:?}"),
            };
            if let Some(error) = fault {
                refused += 1;
                check_error(error, short.len(), 0);
            }
        }
    }
    assert!(refused > 2000, "{refused}");
}

/// Asserts that what was decoded is decoded the same when it was written again.
fn survives(bytes: &[u8], selected: Option<&SenderTable>) -> bool {
    let mut again = Vec::new();
    match Decoder::new().decode(bytes) {
        Ok(Some((Message::Definition(found), _))) => {
            let Ok(Ok(table)) = found.table() else { return false };
            if Definition::encode(found.id(), found.name(), &table, &mut again).is_err() {
                return false;
            }
            let once = definition(&again).unwrap().table().unwrap().unwrap();
            assert!(once.data_types().eq(table.data_types()));
            assert_eq!((once.key(), once.expire_ms()), (table.key(), table.expire_ms()));
            for ty in table.data_types() {
                assert_eq!(once.elements(ty), table.elements(ty));
                assert_eq!(once.period_ms(ty), table.period_ms(ty));
            }
            true
        }
        Ok(Some((Message::Update(found), _))) => {
            let Some(table) = selected else { return false };
            let Ok(found) = found.decode(table) else { return false };
            let header = UpdateHeader { id: found.id(), expire_ms: found.expire_ms() };
            let string = match found.dict() {
                Dict::New { string, .. } => Some(string),
                _ => None,
            };
            let mut values = found.values();
            let key = found.key();
            let mut next = |_, _| match values.next().unwrap().value {
                Value::Sint(value) => Value::Sint(value),
                Value::Uint(value) => Value::Uint(value),
                Value::Ull(value) => Value::Ull(value),
                Value::Rate(rate) => Value::Rate(rate),
                Value::Dict(_) => Value::Dict(string),
            };
            header.encode(&key, table, &mut SendCache::new(), &mut again, &mut next).unwrap();
            let raw = update(&again).unwrap();
            let once = raw.decode(table).unwrap();
            assert_eq!((once.id(), once.expire_ms()), (found.id(), found.expire_ms()));
            assert_eq!(once.key(), found.key());
            for (a, b) in once.values().zip(found.values()) {
                assert!(a == b || matches!(a.value, Value::Dict(_)), "{a:?} is not {b:?}");
            }
            true
        }
        _ => false,
    }
}

#[test]
fn recorded_messages_with_any_bit_flipped_are_refused_or_survive() {
    let mut survived = 0;
    for (bytes, table) in recorded() {
        let mut flipped = bytes.clone();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                flipped[at] ^= 1 << bit;
                walk(&flipped, table.as_ref());
                survived += usize::from(survives(&flipped, table.as_ref()));
                flipped[at] ^= 1 << bit;
            }
        }
    }
    assert!(survived > 10_000, "{survived}");
}

// Framing.

#[test]
fn lengths_are_judged_before_the_body_comes() {
    let decode =
        |bytes: &[u8]| Decoder::new().decode(bytes).map(|found| found.map(|(_, used)| used));
    let with_length = |length: u64| [vec![7, 0x90], ints(&[length])].concat();

    let limit = BODY_MAX;
    assert_eq!(decode(&with_length(u64::from(limit))), Ok(None));
    let mut longest = with_length(u64::from(limit));
    longest.resize(longest.len() + limit as usize, 0);
    assert_eq!(decode(&longest), Ok(Some(2 + 3 + 16379)));
    assert_eq!(decode(&longest[..longest.len() - 1]), Ok(None));

    for announced in [u64::from(limit) + 1, 16384, 1 << 20, 1 << 31, 1 << 32, (1 << 32) + 3] {
        let error = decode(&with_length(announced)).unwrap_err();
        assert_eq!(error, DecodeError::TooLong { announced, limit });
        assert_eq!(error.answer(), ErrorMessage::SizeLimit);
    }
    // The largest of five bytes is a size; what takes six is not a length at all.
    let announced = 4_328_786_159;
    assert_eq!(decode(&with_length(announced)), Err(DecodeError::TooLong { announced, limit }));
    let six = with_length(announced + 1);
    assert_eq!(decode(&six), Err(DecodeError::LengthEncoding));
    assert_eq!(decode(&six[..7]), Err(DecodeError::LengthEncoding), "the fifth byte says so");
    assert_eq!(decode(&six[..6]), Ok(None));
    assert_eq!(DecodeError::LengthEncoding.answer(), ErrorMessage::Protocol);

    let small = Decoder::with_limit(3);
    assert!(matches!(small.decode(&[7, 0x90, 3, 1, 2, 3]), Ok(Some((_, 6)))));
    assert_eq!(small.decode(&[7, 0x90, 4]), Err(DecodeError::TooLong { announced: 4, limit: 3 }));
    assert_eq!(decode(&[255]), Ok(None));
    for ty in [0, 127, 128, 255] {
        assert_eq!(decode(&[255, ty]), Err(DecodeError::ReservedClass { ty }));
    }
}

#[test]
fn whether_there_is_a_body_depends_on_the_type_alone() {
    let unknown = |bytes: &[u8]| match whole(bytes) {
        Ok(Message::Unknown { class, ty, body }) => (class, ty, body.to_vec()),
        other => panic!("{other:?}"),
    };
    assert_eq!(unknown(&[0, 5]), (0, 5, vec![]));
    assert_eq!(unknown(&[0, 0x80, 1, 9]), (0, 0x80, vec![9]), "a control with a body");
    assert_eq!(unknown(&[1, 2]), (1, 2, vec![]));
    assert_eq!(unknown(&[1, 0x80, 0]), (1, 0x80, vec![]));
    assert_eq!(unknown(&[10, 0x7f]), (10, 0x7f, vec![]));
    assert_eq!(unknown(&[10, 0x87, 2, 1, 2]), (10, 0x87, vec![1, 2]));
    assert_eq!(unknown(&[254, 0xff, 1, 1]), (254, 0xff, vec![1]));
    let controls = [
        Control::ResyncRequest,
        Control::ResyncFinished,
        Control::ResyncPartial,
        Control::ResyncConfirm,
        Control::Heartbeat,
    ];
    for (ty, control) in (0..).zip(controls) {
        assert_eq!(whole(&[0, ty]), Ok(Message::Control(control)));
    }
    assert_eq!(whole(&[1, 0]), Ok(Message::Error(ErrorMessage::Protocol)));
    assert_eq!(whole(&[1, 1]), Ok(Message::Error(ErrorMessage::SizeLimit)));
}

#[test]
fn integers_past_the_largest_are_malformed() {
    let mut body = [0xff; 10];
    let Err(error) = whole(&table_message(0x83, &body)) else { panic!("accepted") };
    assert_eq!(error, DecodeError::Overflow { field: "table id", offset: 3 });
    body = [0xff, 0xf0, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x0e];
    assert_eq!(whole(&table_message(0x83, &body)), Ok(Message::Switch { table_id: u64::MAX }));
    let table = SenderTable::new(KeySpec::INTEGER, 0, &[]);
    assert!(table.data_types().next().is_none());
}

// Definitions.

fn definition_message(name: &[u8], rest: &[u64]) -> Vec<u8> {
    let body = [ints(&[3, name.len() as u64]), name.to_vec(), ints(rest)].concat();
    table_message(0x82, &body)
}

#[test]
fn definition_of_the_reference() {
    let bytes = [
        0x0a, 0x82, 0x1b, 0x03, 0x06, 0x2f, 0x74, 0x5f, 0x61, 0x72, 0x72, 0x04, 0x04, 0xf0, 0xf1,
        0xfe, 0x6e, 0xf0, 0xed, 0xa3, 0x01, 0x16, 0x02, 0x17, 0x03, 0x18, 0x02, 0xf0, 0xe2, 0x03,
    ];
    let columns = [(DataType::Gpt, 2, 0), (DataType::Gpc, 3, 0), (DataType::GpcRate, 2, 10_000)]
        .map(|(data_type, elements, period_ms)| Column { data_type, elements, period_ms });
    let table = SenderTable::new(KeySpec::IP, 600_000, &columns);
    let found = definition(&bytes).unwrap();
    assert_eq!((found.id(), found.name()), (3, &b"/t_arr"[..]));
    assert_eq!(found.table(), Ok(Ok(table.clone())));
    let mut again = Vec::new();
    Definition::encode(3, b"/t_arr", &table, &mut again).unwrap();
    assert_eq!(again, bytes);
}

#[test]
fn names_are_bounded_by_the_message() {
    let refused = |body: &[u8]| definition(&table_message(0x82, body)).unwrap_err();
    assert_eq!(refused(&[]), DecodeError::Truncated { field: "table id", offset: 3 });
    assert_eq!(refused(&[1]), DecodeError::Truncated { field: "table name", offset: 4 });
    assert_eq!(refused(&[1, 0, 2]), DecodeError::EmptyName { offset: 5 });
    assert_eq!(refused(b"\x01\x01a"), DecodeError::Truncated { field: "key type", offset: 6 });
    for announced in [3, 1 << 31, (1 << 32) + 1, u64::MAX] {
        let body = [ints(&[1, announced]), b"ab".to_vec()].concat();
        let offset = 3 + body.len() - 2;
        let field = "table name";
        assert_eq!(
            refused(&body),
            DecodeError::LengthPastEnd { field, announced, left: 2, offset }
        );
    }
}

#[test]
fn definitions_of_no_use_are_told_from_malformed_ones() {
    let table = |rest: &[u64]| definition(&definition_message(b"t", rest)).unwrap().table();
    let gpc0_rate = 1 << 3;
    let arrays = 0x1c0_0000;

    assert!(matches!(table(&[2, 4, 4, 0]), Ok(Ok(_))));
    // Cut before the end of the data types.
    for rest in [&[2][..], &[2, 4]] {
        assert!(matches!(table(rest), Err(DecodeError::Truncated { .. })));
    }
    for number in [0, 1, 3, 8, 255, u64::MAX] {
        assert_eq!(table(&[number, 4, 4, 0]), Ok(Err(Ignored::KeyType { number })));
    }
    for (number, ty, size) in [
        (2, KeyType::Integer, 8),
        (4, KeyType::Ip, 16),
        (5, KeyType::Ipv6, 4),
        (6, KeyType::String, 0),
        (6, KeyType::String, 1),
        (6, KeyType::String, 1 << 40),
        (7, KeyType::Binary, 0),
        (2, KeyType::Integer, (1 << 32) + 4),
    ] {
        assert_eq!(table(&[number, size, 4, 0]), Ok(Err(Ignored::KeySize { ty, size })));
    }
    // Parameters missing, out of order, cut.
    let missing = |data_type| Ok(Err(Ignored::Parameters { data_type }));
    let rate = DataType::Gpc0Rate;
    assert!(matches!(table(&[2, 4, gpc0_rate, 0, 3, 1000]), Ok(Ok(_))));
    assert_eq!(table(&[2, 4, gpc0_rate, 0]), missing(rate));
    assert_eq!(table(&[2, 4, gpc0_rate, 0, 3]), missing(rate));
    assert_eq!(table(&[2, 4, gpc0_rate, 0, 5, 1000]), missing(rate));
    assert_eq!(table(&[4, 4, arrays, 0, 23, 3, 22, 2, 24, 2, 5]), missing(DataType::Gpt));
    assert_eq!(table(&[4, 4, arrays, 0, 22, 2, 23, 3, 24, 2]), missing(DataType::GpcRate));
    // Very old senders end after the data types.
    let old = table(&[2, 4, gpc0_rate]).unwrap().unwrap();
    assert_eq!((old.expire_ms(), old.period_ms(rate)), (None, 0));
    assert_eq!(table(&[4, 4, arrays]), missing(DataType::Gpt));
    // Types without a number here: their parameters come last.
    let later = table(&[2, 4, 1 << 27 | 1 << 63 | 4, 0, 27, 99]).unwrap().unwrap();
    assert_eq!(later.data_types().collect::<Vec<_>>(), [DataType::Gpc0]);
    assert_eq!(later.data_type_bits(), 1 << 27 | 1 << 63 | 4);
    // We announce only what we can send.
    let mut again = Vec::new();
    Definition::encode(3, b"t", &later, &mut again).unwrap();
    assert_eq!(again, definition_message(b"t", &[2, 4, 4, 0]));

    // An integer that is cut or too large is malformed, wherever a value of it would be of no use. Only
    // one that is missing from the parameters is not.
    let ending = |rest: &[u64], end: &[u8]| {
        let body = [&[3, 1, b't'], &ints(rest)[..], end].concat();
        definition(&table_message(0x82, &body)).unwrap().table().map(|found| found.map(|_| ()))
    };
    let field = "expire of the table";
    let cut = DecodeError::Truncated { field, offset: 9 };
    assert_eq!(ending(&[2, 4, 4], &[0xf0, 0x80]), Err(cut));
    assert_eq!(ending(&[2, 4, 4], &[0xff; 11]), Err(DecodeError::Overflow { field, offset: 9 }));
    let parameters = [2, 4, gpc0_rate, 0, 3];
    assert_eq!(
        ending(&parameters, &[0xf0, 0x80]),
        Ok(Err(Ignored::Parameters { data_type: rate }))
    );
    let too_large = DecodeError::Overflow { field: "period", offset: 11 };
    assert_eq!(ending(&parameters, &[0xff; 11]), Err(too_large));
}

#[test]
fn any_number_of_elements_costs_nothing() {
    for count in [0, 100, u64::from(u32::MAX), u64::MAX] {
        let message = definition_message(b"t", &[4, 4, 1 << 22, 0, 22, count]);
        let table = definition(&message).unwrap().table().unwrap().unwrap();
        assert_eq!(table.elements(DataType::Gpt), count);
        let update_bytes = table_message(0x81, &[1, 2, 3, 4, 7, 7]);
        let raw = update(&update_bytes).unwrap();
        match raw.decode(&table) {
            Ok(update) => assert_eq!((count, update.values().count()), (0, 0)),
            Err(error) => {
                assert_eq!(error, DecodeError::Truncated { field: "value", offset: 9 });
            }
        }
        // Nor can such a table be written for ever.
        let key = KeySpec::IP.key(&[1, 2, 3, 4]).unwrap();
        let mut out = Vec::new();
        let written = UpdateHeader::default().encode(
            &key,
            &table,
            &mut SendCache::new(),
            &mut out,
            |_, _| Value::Uint(0),
        );
        let fits = count <= 100;
        assert_eq!((written.is_ok(), out.is_empty()), (fits, !fits));
    }
}

// Updates.

fn gpc0(key: KeySpec) -> SenderTable {
    let column = Column { data_type: DataType::Gpc0, elements: 1, period_ms: 0 };
    SenderTable::new(key, 0, &[column])
}

#[test]
fn string_keys_are_cut_but_read_whole() {
    let table = gpc0(KeySpec::string(3).unwrap());
    let decode = |body: &[u8]| {
        let bytes = table_message(0x81, body);
        let raw = update(&bytes).unwrap();
        raw.decode(&table).map(|update| {
            let value = update.values().next().unwrap().value;
            assert_eq!(value, Value::Uint(9));
            update.key().as_bytes().to_vec()
        })
    };
    assert_eq!(decode(b"\x03abc\x09"), Ok(b"abc".to_vec()));
    assert_eq!(decode(b"\x06abcdef\x09"), Ok(b"abc".to_vec()));
    assert_eq!(decode(b"\x06a\0cdef\x09trailing"), Ok(b"a".to_vec()));
    assert_eq!(decode(b"\x00\x09"), Ok(vec![]));
    let field = "string key";
    assert_eq!(
        decode(b"\x06abcde"),
        Err(DecodeError::LengthPastEnd { field, announced: 6, left: 5, offset: 4 })
    );
    // The length is not cut to 32 bits, and all bytes must be there even when no value follows.
    let announced = (1 << 32) + 3;
    let body = [ints(&[announced]), b"abc\x09".to_vec()].concat();
    let error = DecodeError::LengthPastEnd { field, announced, left: 4, offset: 8 };
    assert_eq!(decode(&body), Err(error));
    let bare = SenderTable::new(KeySpec::string(3).unwrap(), 0, &[]);
    let bytes = table_message(0x81, b"\x06abcde");
    assert!(update(&bytes).unwrap().decode(&bare).is_err());
}

#[test]
fn wide_values_are_cut_to_their_storage() {
    let types = [DataType::ServerId, DataType::Gpc0, DataType::BytesInCnt];
    let columns = types.map(|data_type| Column { data_type, elements: 1, period_ms: 0 });
    let table = SenderTable::new(KeySpec::INTEGER, 0, &columns);
    let wide = (1 << 32) + 9;
    let decode = |values: [u64; 3]| {
        let bytes = table_message(0x81, &[vec![0, 0, 0, 1], ints(&values)].concat());
        let raw = update(&bytes).unwrap();
        let update = raw.decode(&table).unwrap();
        let values = update.values().map(|element| match element.value {
            Value::Sint(value) => Value::Sint(value),
            Value::Uint(value) => Value::Uint(value),
            Value::Ull(value) => Value::Ull(value),
            Value::Rate(rate) => Value::Rate(rate),
            Value::Dict(_) => Value::Dict(()),
        });
        values.collect::<Vec<_>>()
    };
    assert_eq!(decode([wide, wide, wide]), [Value::Sint(9), Value::Uint(9), Value::Ull(wide)]);
    assert_eq!(
        decode([u64::MAX, u64::MAX, u64::MAX]),
        [Value::Sint(-1), Value::Uint(u32::MAX), Value::Ull(u64::MAX)]
    );
    // A negative number is sent with all 64 bits.
    let mut out = Vec::new();
    let key = KeySpec::INTEGER.key(&[0, 0, 0, 1]).unwrap();
    UpdateHeader::default()
        .encode(&key, &table, &mut SendCache::new(), &mut out, |ty, _| match ty {
            DataType::ServerId => Value::Sint(-1),
            DataType::Gpc0 => Value::Uint(2),
            _ => Value::Ull(3),
        })
        .unwrap();
    let body = [vec![0, 0, 0, 1], ints(&[u64::MAX, 2, 3])].concat();
    assert_eq!(out, table_message(0x81, &body));
}

#[test]
fn incremental_ids_wrap() {
    let table = SenderTable::new(KeySpec::INTEGER, 0, &[]);
    let explicit = table_message(0x85, &[0, 0, 0, 7, 0, 0, 0, 8, 1, 2, 3, 4]);
    let raw = update(&explicit).unwrap();
    let found = raw.decode(&table).unwrap();
    assert_eq!((found.id(), found.expire_ms(), found.effective_id(90)), (Some(7), Some(8), 7));
    let incremental = table_message(0x86, &[0, 0, 0, 8, 1, 2, 3, 4]);
    let raw = update(&incremental).unwrap();
    let found = raw.decode(&table).unwrap();
    assert_eq!((found.id(), found.expire_ms()), (None, Some(8)));
    assert_eq!((found.effective_id(0), found.effective_id(u32::MAX)), (1, 0));
}

#[test]
fn what_cannot_be_sent_leaves_no_trace() {
    let column = Column { data_type: DataType::ServerKey, elements: 1, period_ms: 0 };
    let table = SenderTable::new(KeySpec::string(8).unwrap(), 0, &[column]);
    let key = table.key().key(b"k").unwrap();
    let mut cache = SendCache::new();
    let mut out = vec![1, 2];
    let mut send = |key: &Key, table: &SenderTable, value: Value<Option<&[u8]>>| {
        let mut cache = SendCache::clone(&cache);
        let before = out.clone();
        let result = UpdateHeader::default().encode(key, table, &mut cache, &mut out, |_, _| value);
        assert_eq!(out == before, result.is_err());
        let first = matches!(cache.plan(b"new"), Dict::New { id: 1, .. });
        assert_eq!(first, result.is_err(), "the cache counts only what was sent");
        out = before;
        result
    };
    let long = vec![b'x'; BODY_MAX as usize];
    let too_long = Err(EncodeError::TooLong { limit: BODY_MAX });
    assert_eq!(send(&key, &table, Value::Dict(Some(&long))), too_long);
    // Two bytes of key, and two lengths and an id for the string.
    assert_eq!(send(&key, &table, Value::Dict(Some(&long[..16379 - 9 + 1]))), too_long);
    assert_eq!(send(&key, &table, Value::Dict(Some(&long[..16379 - 9]))), Ok(()));
    let data_type = DataType::ServerKey;
    assert_eq!(send(&key, &table, Value::Uint(1)), Err(EncodeError::Value { data_type }));
    let other = KeySpec::IP.key(&[1, 2, 3, 4]).unwrap();
    assert_eq!(send(&other, &table, Value::Dict(Some(b"s"))), Err(EncodeError::Key));
    let longer = KeySpec::STRING.key(b"nine byte").unwrap();
    assert_eq!(send(&longer, &table, Value::Dict(Some(b"s"))), Err(EncodeError::Key));
    assert_eq!(cache.plan(b"s"), Dict::New { id: 1, string: b"s" });
    cache.commit(Dict::Absent);
    assert_eq!(cache.plan(b"s"), Dict::New { id: 1, string: b"s" });
}

// Dictionary.

/// Decodes `value` as the server key of an update that also holds `http_fail_cnt`, which must be 5.
fn dict(value: &[u8]) -> Result<(u8, Option<Vec<u8>>), DecodeError> {
    let types = [DataType::ServerKey, DataType::HttpFailCnt];
    let columns = types.map(|data_type| Column { data_type, elements: 1, period_ms: 0 });
    let table = SenderTable::new(KeySpec::INTEGER, 0, &columns);
    let bytes = table_message(0x81, &[&[0, 0, 0, 1], value, &[5]].concat());
    let raw = update(&bytes)?;
    let update = raw.decode(&table)?;
    assert_eq!(
        update.values().last().unwrap().value,
        Value::Uint(5),
        "where the next value begins"
    );
    Ok(match update.dict() {
        Dict::Absent => (0, None),
        Dict::Known { id } => (id, None),
        Dict::New { id, string } => (id, Some(string.to_vec())),
    })
}

#[test]
fn dictionary_entries_stay_inside_their_lengths() {
    assert_eq!(dict(&[0]), Ok((0, None)));
    assert_eq!(dict(&[1, 1]), Ok((1, None)));
    assert_eq!(dict(&[1, 128]), Ok((128, None)));
    assert_eq!(dict(&[4, 7, 2, b'a', b'b']), Ok((7, Some(b"ab".to_vec()))));
    assert_eq!(dict(&[2, 7, 0]), Ok((7, Some(vec![]))));
    // The next value is read right after the string, whatever the outer length says.
    assert_eq!(dict(&[5, 7, 2, b'a', b'b']), Ok((7, Some(b"ab".to_vec()))));
    // Ids 0 and above 128, in both forms. An offset is that of the id.
    for id in [0, 129, 200, 239] {
        let error = DecodeError::DictionaryId { id: u64::from(id), offset: 8 };
        assert_eq!(dict(&[1, id]), Err(error));
        assert_eq!(dict(&[4, id, 2, b'a', b'b']), Err(error));
    }
    let wide = ints(&[(1 << 32) + 1]);
    let body = [&[8][..], &wide, &[2, b'a', b'b']].concat();
    assert_eq!(dict(&body), Err(DecodeError::DictionaryId { id: (1 << 32) + 1, offset: 8 }));
    // An id that needs another byte than the short form has.
    let field = "dictionary id";
    assert_eq!(dict(&[1, 0xf0, 0]), Err(DecodeError::Truncated { field, offset: 8 }));
    // The string reaches past the entry, though not past the message.
    let field = "dictionary string";
    assert_eq!(
        dict(&[3, 7, 2, b'a', b'b']),
        Err(DecodeError::LengthPastEnd { field, announced: 2, left: 1, offset: 10 })
    );
    // The entry reaches past the message.
    let field = "dictionary entry";
    for announced in [7, 1 << 31, 1 << 32, u64::MAX] {
        let body = [&ints(&[announced])[..], &[7, 2, b'a', b'b']].concat();
        let offset = 7 + body.len() - 4;
        let error = DecodeError::LengthPastEnd { field, announced, left: 5, offset };
        assert_eq!(dict(&body), Err(error));
    }
}

#[test]
fn receive_cache_is_bounded() {
    let mut cache = ReceiveCache::with_string_max(3);
    assert_eq!(cache.receive(Dict::Absent), None);
    assert_eq!(cache.receive(Dict::Known { id: 5 }), None, "never defined: nothing is stored");
    let receive =
        |cache: &mut ReceiveCache, dict: Dict<'_>| cache.receive(dict).map(|s| s.to_vec());
    assert_eq!(receive(&mut cache, Dict::New { id: 5, string: b"abc" }), Some(b"abc".to_vec()));
    assert_eq!(receive(&mut cache, Dict::Known { id: 5 }), Some(b"abc".to_vec()));
    assert_eq!(receive(&mut cache, Dict::New { id: 128, string: b"z" }), Some(b"z".to_vec()));
    assert_eq!(receive(&mut cache, Dict::New { id: 5, string: b"abcd" }), None);
    assert_eq!(receive(&mut cache, Dict::Known { id: 5 }), None, "the old string is not meant");
    // Ids that no decoded value has.
    for id in [0, 129, 255] {
        assert_eq!(cache.receive(Dict::New { id, string: b"a" }), None);
        assert_eq!(cache.receive(Dict::Known { id }), None);
    }
    assert_eq!(usize::from(dictionary::ENTRIES), 128);
}

// Handshake.

fn say(bytes: &[u8]) -> Result<(usize, Option<Hello>), HelloError> {
    HelloReader::new().push(bytes, b"A", |name| matches!(name, b"A" | b"B"))
}

fn refused(bytes: &[u8]) -> Status {
    say(bytes).unwrap_err().status().unwrap()
}

#[test]
fn hello_lines_are_judged_as_they_arrive() {
    let good = b"HAProxyS 2.1\nA\nB 25379 1\n";
    let expected = Hello {
        version: Version::V2_1,
        caller: (*b"B").into(),
        process_id: Some(25379),
        compares: false,
    };
    assert_eq!(say(good), Ok((25, Some(expected.clone()))));
    // Messages may follow at once; CR is dropped; the rest of line three is not needed.
    assert_eq!(say(b"HAProxyS 2.1\r\nA\r\nB 25379 1\r\n\x00\x04"), Ok((28, Some(expected))));
    let bare =
        Hello { version: Version::V2_0, caller: (*b"A").into(), process_id: None, compares: false };
    assert_eq!(say(b"HAProxyS 2.0\nA\nA \n"), Ok((18, Some(bare))));
    assert_eq!(say(&good[..24]), Ok((24, None)));

    for line in ["HAProxyT 2.1\n", "HAProxyS\n", "haproxys 2.1\n", "\n", " HAProxyS 2.1\n"] {
        assert_eq!(refused(line.as_bytes()), Status::ProtocolError, "{line:?}");
    }
    for version in
        ["2.2", "3.1", "1.0", "2", "2.", ".1", "2.1 ", "2.1.0", "+2.1", "2.-1", "", "2.1x", "2 .1"]
            .into_iter()
            .chain(["4294967298.1", "2.4294967297", "18446744073709551618.1", "2.1\0"])
    {
        let line = format!("HAProxyS {version}\n");
        assert_eq!(refused(line.as_bytes()), Status::BadVersion, "{line:?}");
    }
    for name in ["Z", "a", "A ", "A\0junk", "A\0", "", "AA"] {
        let lines = format!("HAProxyS 2.1\n{name}\n");
        assert_eq!(refused(lines.as_bytes()), Status::WrongLocalName, "{name:?}");
    }
    for (caller, status) in [
        ("B", Status::ProtocolError),
        ("", Status::ProtocolError),
        ("C 1 1", Status::UnknownCaller),
        (" B 1 1", Status::UnknownCaller),
        ("B\0junk 1 1", Status::UnknownCaller),
        ("B\0 1 1", Status::UnknownCaller),
    ] {
        let lines = format!("HAProxyS 2.1\nA\n{caller}\n");
        assert_eq!(refused(lines.as_bytes()), status, "{caller:?}");
    }
    // A NUL is no part of a peer's name even where somebody thinks so.
    let lenient = HelloReader::new().push(b"HAProxyS 2.1\nA\nB\0 1\n", b"A", |_| true);
    assert_eq!(lenient, Err(HelloError::Refused(Status::UnknownCaller)));
}

#[test]
fn hello_lines_are_bounded() {
    let line = |length: usize| [b"HAProxyS 2.1\nA\nB ".to_vec(), vec![b'x'; length - 2]].concat();
    let limit = hello::LINE_MAX;
    let longest = [line(limit), b"\n".to_vec()].concat();
    assert!(matches!(say(&longest), Ok((_, Some(_)))));
    for too_long in [line(limit + 1), [line(limit + 1), b"\n".to_vec()].concat()] {
        assert_eq!(say(&too_long), Err(HelloError::LineTooLong { limit }));
        assert_eq!(say(&too_long).unwrap_err().status(), None);
    }
    let mut reader = HelloReader::with_line_max(4);
    for _ in 0..4 {
        assert_eq!(reader.push(b"x", b"A", is_never), Ok((1, None)));
    }
    assert_eq!(reader.push(b"x", b"A", is_never), Err(HelloError::LineTooLong { limit: 4 }));
    assert_eq!(reader.push(b"x\n", b"A", is_never), Ok((0, None)), "nothing more is read");
}

fn is_never(_: &[u8]) -> bool {
    false
}

#[test]
fn hello_survives() {
    check!().with_type::<(Vec<u8>, Vec<u8>, u32, bool)>().for_each(|(called, caller, id, old)| {
        let version = if *old { Version::V2_0 } else { Version::V2_1 };
        let mut bytes = Vec::new();
        let written = Hello::encode(version, called, caller, u64::from(*id), &mut bytes);
        if written.is_err() {
            assert!(bytes.is_empty());
            return;
        }
        let found = HelloReader::new().push(&bytes, called, |name| name == caller);
        let process_id = Some(u64::from(*id));
        let hello = Hello { version, caller: caller[..].into(), process_id, compares: false };
        assert_eq!(found, Ok((bytes.len(), Some(hello))));
    });
    for (called, caller) in
        [("", "B"), ("A", ""), ("A\n", "B"), ("A", "B C"), ("A\0", "B"), ("A", "\r")]
    {
        let mut out = Vec::new();
        let written =
            Hello::encode(Version::V2_1, called.as_bytes(), caller.as_bytes(), 1, &mut out);
        assert_eq!((written, out.len()), (Err(EncodeError::Name), 0));
    }
}

#[test]
fn status_lines_are_numbers() {
    let read = |bytes: &[u8]| {
        let whole = StatusReader::new().push(bytes);
        let mut reader = StatusReader::new();
        let single = bytes.iter().find_map(|byte| reader.push(&[*byte]).1);
        assert_eq!(whole.1, single, "in pieces");
        whole
    };
    for code in [200, 300, 501, 502, 503, 504] {
        let status = Status::from_code(code).unwrap();
        let mut line = Vec::new();
        status.encode(&mut line);
        assert_eq!(line, format!("{code}\n").as_bytes());
        line.extend_from_slice(&[0, 4]);
        assert_eq!(read(&line), (4, Some(StatusLine::Known(status))));
    }
    assert_eq!(read(b"200\r\n"), (5, Some(StatusLine::Known(Status::Accepted))));
    assert_eq!(read(b"100\n"), (4, Some(StatusLine::Other(100))));
    // 2^64 + 200 is not 200.
    assert_eq!(read(b"18446744073709551816\n"), (21, Some(StatusLine::Other(u64::MAX))));
    for line in
        ["\n", "\r\n", "OK\n", "200 OK\n", "2 00\n", "-1\n", "200\r\r\n", "2\r00\n", "200\0\n"]
    {
        assert_eq!(read(line.as_bytes()), (line.len(), Some(StatusLine::Garbage)), "{line:?}");
    }
    assert_eq!(read(b"200"), (3, None));
    let endless = vec![b'2'; hello::LINE_MAX + 1];
    assert_eq!(read(&endless), (endless.len(), Some(StatusLine::Garbage)));
    assert_eq!(read(&endless[1..]), (endless.len() - 1, None));
}

#[test]
fn errors_say_where() {
    for (error, text) in [
        (
            DecodeError::TooLong { announced: 20000, limit: BODY_MAX },
            "a message of 20000 bytes, above the limit of 16379 (at byte 2)",
        ),
        (
            DecodeError::Truncated { field: "update id", offset: 3 },
            "the message ends within its update id (at byte 3)",
        ),
        (
            DecodeError::DictionaryId { id: 129, offset: 12 },
            "dictionary id 129, not between 1 and 128 (at byte 12)",
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
}
