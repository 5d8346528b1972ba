//! Whatever a peer sends, in whatever pieces, is waited for, decoded or refused, as a session would do it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bolero::{TypeGenerator, check, produce};
use fuzz::codec::{Sent, Writer};
use stktable_integration::peers::codec::{
    DecodeError, Decoder, Definition, Dict, HelloReader, Message, ReceiveCache, SendCache,
    SenderTable, StatusReader, UpdateHeader, Value,
};

/// The receiving half of a session: a bounded buffer, the tables announced, the one selected, the cache.
struct Receiver {
    decoder: Decoder,
    buffer: Vec<u8>,
    tables: BTreeMap<u64, SenderTable>,
    selected: Option<u64>,
    cache: ReceiveCache,
    /// What was decoded, as text.
    heard: Vec<String>,
    failed: Option<DecodeError>,
}

impl Receiver {
    fn new(limit: u32) -> Self {
        Self {
            decoder: Decoder::with_limit(limit),
            buffer: Vec::new(),
            tables: BTreeMap::new(),
            selected: None,
            cache: ReceiveCache::with_string_max(64),
            heard: Vec::new(),
            failed: None,
        }
    }

    /// Takes a piece, as far as the buffer goes at a time.
    fn push(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while self.failed.is_none() && !rest.is_empty() {
            let room = self.decoder.message_max() - self.buffer.len();
            assert!(room > 0, "a full buffer holds a message or an error");
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.buffer.extend_from_slice(now);
            rest = later;
            if let Err(error) = self.take() {
                assert!(!error.to_string().is_empty());
                self.failed = Some(error);
            }
        }
    }

    fn take(&mut self) -> Result<(), DecodeError> {
        let buffer = core::mem::take(&mut self.buffer);
        let mut at = 0;
        loop {
            let quick = self.decoder.decode_update(&buffer[at..]);
            let Some((message, used)) = self.decoder.decode(&buffer[at..])? else {
                assert!(quick.is_none());
                break;
            };
            assert!(used >= 2 && used <= self.decoder.message_max());
            // The short way finds the same, and every short update.
            match quick {
                Some((update, size)) => {
                    assert_eq!((Message::Update(update), size), (message, used))
                }
                None => assert!(used > 242 || !matches!(message, Message::Update(_))),
            }
            at += used;
            self.message(message)?;
        }
        self.buffer = buffer[at..].to_vec();
        Ok(())
    }

    fn message(&mut self, message: Message<'_>) -> Result<(), DecodeError> {
        written_again(&message);
        match message {
            Message::Definition(definition) => {
                self.tables.remove(&definition.id());
                self.selected = None;
                if let Ok(table) = definition.table()? {
                    announced_again(&definition, &table);
                    self.tables.insert(definition.id(), table);
                    self.selected = Some(definition.id());
                    // As many as a session keeps.
                    if self.tables.len() > 64 {
                        self.tables.pop_first();
                    }
                }
                self.heard.push(format!("definition {} {:?}", definition.id(), self.selected));
            }
            Message::Switch { table_id } => {
                self.selected = Some(table_id).filter(|id| self.tables.contains_key(id));
                self.heard.push(format!("switch {table_id}"));
            }
            Message::Update(raw) => {
                let Some(table) = self.selected.and_then(|id| self.tables.get(&id)) else {
                    return Ok(());
                };
                let update = raw.decode(table)?;
                let string = self.cache.receive(update.dict()).map(Arc::clone);
                assert!(string.as_ref().is_none_or(|string| string.len() <= 64));
                let count = update.values().count() as u64;
                let expected: u64 = table.data_types().map(|ty| table.elements(ty)).sum();
                assert_eq!(count, expected);
                assert!(u64::from(table.key().size()) >= update.key().as_bytes().len() as u64);
                let values: Vec<_> = update
                    .values()
                    .map(|element| match element.value {
                        Value::Dict(_) => Value::Dict(string.clone()),
                        Value::Sint(value) => Value::Sint(value),
                        Value::Uint(value) => Value::Uint(value),
                        Value::Ull(value) => Value::Ull(value),
                        Value::Rate(rate) => Value::Rate(rate),
                    })
                    .collect();
                self.heard.push(format!("{:?} {:?} {values:?}", update.id(), update.key()));
                // Again, from the values alone.
                let mut values = update.values();
                let mut bytes = Vec::new();
                let header = UpdateHeader { id: update.id(), expire_ms: update.expire_ms() };
                let name = match update.dict() {
                    Dict::New { string, .. } => Some(string),
                    _ => None,
                };
                let written = header.encode(
                    &update.key(),
                    table,
                    &mut SendCache::new(),
                    &mut bytes,
                    |_, _| match values.next().map(|element| element.value) {
                        Some(Value::Sint(value)) => Value::Sint(value),
                        Some(Value::Uint(value)) => Value::Uint(value),
                        Some(Value::Ull(value)) => Value::Ull(value),
                        Some(Value::Rate(rate)) => Value::Rate(rate),
                        _ => Value::Dict(name),
                    },
                );
                if written.is_ok() {
                    let Ok(Some((Message::Update(again), used))) = Decoder::new().decode(&bytes)
                    else {
                        panic!("what was written is not an update")
                    };
                    assert_eq!(used, bytes.len());
                    let again = again.decode(table).expect("what was written is well-formed");
                    assert_eq!((again.id(), again.expire_ms()), (update.id(), update.expire_ms()));
                    assert_eq!(again.key(), update.key());
                    for (a, b) in again.values().zip(update.values()) {
                        assert!(a == b || matches!(a.value, Value::Dict(_)), "{a:?}, {b:?}");
                    }
                }
            }
            Message::Ack(ack) => {
                let ack = ack.decode()?;
                self.heard.push(format!("{ack:?}"));
            }
            other => self.heard.push(format!("{other:?}")),
        }
        Ok(())
    }
}

/// Asserts that a message that is passed on decodes equal.
fn written_again(message: &Message<'_>) {
    let mut bytes = Vec::new();
    if message.encode(&mut bytes).is_err() {
        return;
    }
    let (again, used) = Decoder::new().decode(&bytes).expect("well-formed").expect("whole");
    assert_eq!(used, bytes.len());
    let mut twice = Vec::new();
    again.encode(&mut twice).expect("as long as before");
    assert_eq!(twice, bytes);
    if let (Message::Update(a), Message::Update(b)) = (&again, message) {
        assert_eq!(a.kind(), b.kind());
    }
}

fn announced_again(definition: &Definition<'_>, table: &SenderTable) {
    let mut bytes = Vec::new();
    if Definition::encode(definition.id(), definition.name(), table, &mut bytes).is_err() {
        return;
    }
    let Ok(Some((Message::Definition(again), _))) = Decoder::new().decode(&bytes) else {
        panic!("what was written is not a definition")
    };
    let found = again.table().expect("well-formed").expect("of use");
    assert!(found.data_types().eq(table.data_types()));
    assert_eq!((found.key(), found.expire_ms()), (table.key(), table.expire_ms()));
    for ty in table.data_types() {
        assert_eq!(found.elements(ty), table.elements(ty));
        assert_eq!(found.period_ms(ty), table.period_ms(ty));
    }
}

/// Hears it whole, byte by byte, and in the pieces given: all the same.
fn hear(bytes: &[u8], pieces: &[u8]) {
    for limit in [60, 300, 16_379] {
        let mut whole = Receiver::new(limit);
        whole.push(bytes);
        let mut apart = Receiver::new(limit);
        let mut rest = bytes;
        for piece in pieces.iter().cycle().take(pieces.len() * 64) {
            let (now, later) = rest.split_at(rest.len().min(usize::from(*piece)));
            apart.push(now);
            rest = later;
        }
        apart.push(rest);
        assert_eq!(whole.heard, apart.heard, "pieces make no difference");
        assert_eq!(whole.failed, apart.failed);
        assert!(apart.buffer.len() < apart.decoder.message_max());
    }
}

#[test]
fn any_conversation_is_heard() {
    type Input = (Vec<Sent>, Vec<u8>, Vec<(u16, u8)>);
    let conversations =
        (produce::<Vec<Sent>>().with().len(0..=40_usize), Vec::produce(), Vec::produce());
    check!().with_max_len(1 << 13).with_generator(conversations).for_each(
        |(sent, pieces, flips): &Input| {
            let mut writer = Writer::default();
            sent.iter().for_each(|sent| writer.write(sent));
            hear(&writer.bytes, pieces);
            // The same with a few bytes changed.
            for (at, bits) in flips.iter().take(4) {
                if let Some(at) = usize::from(*at).checked_rem(writer.bytes.len()) {
                    writer.bytes[at] ^= bits;
                    hear(&writer.bytes, pieces);
                }
            }
        },
    );
}

#[test]
fn any_bytes_are_heard() {
    check!().with_max_len(1 << 12).for_each(|bytes: &[u8]| {
        let (pieces, bytes) = bytes.split_at(bytes.len().min(4));
        hear(bytes, pieces);
    });
}

#[test]
fn recorded_bytes_are_heard_from_anywhere() {
    const RECORDED: [&[u8]; 6] = [
        include_bytes!("../../integration/tests/fixtures/peers-2.6/full-resync.s2c.bin"),
        include_bytes!("../../integration/tests/fixtures/peers-2.6/live-updates.s2c.bin"),
        include_bytes!("../../integration/tests/fixtures/peers-2.6/acks.c2s.bin"),
        include_bytes!("../../integration/tests/fixtures/peers-2.6/reconnect-resume.s2c.bin"),
        include_bytes!("../../integration/tests/fixtures/peers-2.6/ignored-messages.c2s.bin"),
        include_bytes!("../../integration/tests/fixtures/peers-2.6/dictionary-rollover.s2c.bin"),
    ];
    check!().with_type::<(u8, u16, Vec<(u16, u8)>, [u8; 4])>().for_each(
        |(which, from, flips, pieces)| {
            let recorded = fuzz::pick(&RECORDED, *which).copied().unwrap_or_default();
            let mut bytes = recorded[usize::from(*from) % recorded.len()..].to_vec();
            bytes.truncate(3000);
            // As it was, unless something is flipped; the handshake first where it is there.
            let lines = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            hear(&bytes[lines.min(bytes.len())..], pieces);
            for (at, bits) in flips.iter().take(3) {
                let at = usize::from(*at) % bytes.len();
                bytes[at] ^= bits;
            }
            hear(&bytes, pieces);
        },
    );
}

#[test]
fn any_handshake_is_judged_the_same_in_any_pieces() {
    const STARTS: [&str; 7] = [
        "",
        "HAProxyS ",
        "HAProxyS 2.1\n",
        "HAProxyS 2.1\nme\n",
        "HAProxyS 2.0\r\nme\r\nyou ",
        "HAProxyS 2.1\nme\nyou 12 1\n\u{0}\u{4}",
        "200\n",
    ];
    check!().with_type::<(u8, Vec<u8>, Vec<u8>)>().for_each(|(start, bytes, pieces)| {
        let start = fuzz::pick(&STARTS, *start).copied().unwrap_or_default();
        let input = [start.as_bytes(), bytes].concat();
        let is_peer = |name: &[u8]| name == b"you" || name == b"me";
        let hello = |pieces: &[u8]| {
            let mut reader = HelloReader::with_line_max(64);
            let mut used = 0;
            let ends = pieces.iter().map(|piece| usize::from(*piece) + 1).chain([usize::MAX]);
            let mut from = 0_usize;
            for size in ends {
                let to = input.len().min(from.saturating_add(size));
                match reader.push(&input[from..to], b"me", is_peer) {
                    Err(error) => return (used, Err((error, error.status()))),
                    Ok((taken, hello)) => {
                        assert!(taken <= to - from);
                        used += taken;
                        if hello.is_some() || taken < to - from {
                            return (used, Ok(hello));
                        }
                    }
                }
                from = to;
            }
            (used, Ok(None))
        };
        let (whole, apart) = (hello(&[]), hello(pieces));
        assert_eq!(whole.1, apart.1, "pieces make no difference");
        if whole.1.is_ok() {
            assert_eq!(whole.0, apart.0);
        }
        let status = |pieces: &[u8]| {
            let mut reader = StatusReader::new();
            let mut from = 0_usize;
            for size in pieces.iter().map(|piece| usize::from(*piece) + 1).chain([usize::MAX]) {
                let to = input.len().min(from.saturating_add(size));
                let (taken, line) = reader.push(&input[from..to]);
                assert!(taken <= to - from);
                if line.is_some() {
                    return (from + taken, line);
                }
                from = to;
            }
            (from, None)
        };
        assert_eq!(status(&[]), status(pieces));
    });
}
