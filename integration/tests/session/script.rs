//! One session, and us as its peer, byte by byte.

use std::sync::Arc;

use stktable::Tick;
use stktable::declare::{Declaration, Scope};
use stktable::table::{EntryRef, Options};
use stktable_integration::SharedTable;
use stktable_integration::peers::codec::{
    Control, Decoder, Definition, Message, Rate, SendCache, SenderTable, UpdateHeader, Value,
};
use stktable_integration::peers::session::{Event, PeerMemory, Roster, Session, SessionError};

/// Where time begins: 1 s before its low 32 bits wrap.
pub(crate) const START: Tick = Tick((1 << 32) - 1000);

pub(crate) fn table(line: &str) -> Arc<SharedTable> {
    SharedTable::with(declaration(line), Options::new())
}

pub(crate) fn declaration(line: &str) -> Declaration {
    Declaration::parse(line, Scope::Peers("lab")).into_result().unwrap()
}

/// The section of A, with B as its other peer.
pub(crate) fn roster(tables: &[&Arc<SharedTable>]) -> Arc<Roster> {
    Roster::new("lab", "A", &["B"], tables.iter().map(|table| Arc::clone(table)).collect()).unwrap()
}

/// A session of A, its unread input, and what happened.
pub(crate) struct Scripted {
    pub(crate) session: Session,
    pub(crate) memory: Arc<PeerMemory>,
    pub(crate) now: Tick,
    pub(crate) events: Vec<Event>,
    /// Answer callers by 300.
    pub(crate) busy: bool,
    pub(crate) replaces: bool,
    input: Vec<u8>,
}

impl Scripted {
    pub(crate) fn new(session: Session, memory: Arc<PeerMemory>) -> Self {
        let events = Vec::new();
        Self {
            session,
            memory,
            now: START,
            events,
            busy: false,
            replaces: false,
            input: Vec::new(),
        }
    }

    /// A connection that somebody opened to A.
    pub(crate) fn called(roster: &Arc<Roster>) -> Self {
        let memory = PeerMemory::new(roster, b"B");
        Self::new(Session::called(START, Arc::clone(roster)), memory)
    }

    /// A session that B opened and that is up.
    pub(crate) fn up(roster: &Arc<Roster>) -> Self {
        Self::up_with(roster, PeerMemory::new(roster, b"B"))
    }

    pub(crate) fn up_with(roster: &Arc<Roster>, memory: Arc<PeerMemory>) -> Self {
        let mut scripted = Self::new(Session::called(START, Arc::clone(roster)), memory);
        let answer = scripted.take(b"HAProxyS 2.1\nA\nB 1 1\n").unwrap();
        assert!(answer.starts_with(b"200\n"), "{answer:?}");
        scripted
    }

    /// A connection that A opened to B.
    pub(crate) fn caller(roster: &Arc<Roster>, memory: &Arc<PeerMemory>) -> Self {
        let session = Session::caller(START, Arc::clone(roster), Arc::clone(memory), 7);
        Self::new(session, Arc::clone(memory))
    }

    /// Gives bytes to the session, and returns what it sends in return. After an error that is still to be asked
    /// for.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Vec<u8>, SessionError> {
        self.input.extend_from_slice(bytes);
        self.digest()?;
        Ok(self.sent())
    }

    fn digest(&mut self) -> Result<(), SessionError> {
        loop {
            let result = self.session.handle_input(self.now, &self.input);
            let used = *result.as_ref().unwrap_or(&self.input.len());
            self.input.drain(..used);
            self.listen();
            result?;
            if used == 0 {
                return Ok(());
            }
        }
    }

    fn listen(&mut self) {
        while let Some(event) = self.session.poll_event() {
            if let Event::Hello { caller, .. } = &event {
                if *self.memory.name() != **caller {
                    let roster = roster(&[]);
                    self.memory = PeerMemory::new(&roster, caller);
                }
                if self.busy {
                    self.session.refuse();
                } else {
                    self.session.accept(self.now, Arc::clone(&self.memory), self.replaces);
                }
            }
            self.events.push(event);
        }
    }

    /// Returns what the session has to send now.
    pub(crate) fn sent(&mut self) -> Vec<u8> {
        let mut sent = Vec::new();
        let mut turns = 0;
        while self.session.poll_transmit(self.now, &mut sent) {
            turns += 1;
            assert!(turns < 10_000, "it never ends");
        }
        sent
    }

    /// Lets time go by, and returns what the session sends then.
    pub(crate) fn wait(&mut self, ms: u32) -> Vec<u8> {
        self.now = self.now + ms;
        self.session.handle_timeout(self.now);
        self.listen();
        self.sent()
    }

    pub(crate) fn closed(&self) -> bool {
        matches!(self.events.last(), Some(Event::Closed(_)))
    }
}

/// Our side of the stream.
pub(crate) struct Writer {
    table: SenderTable,
    strings: SendCache,
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    /// Announces a table as B would, under this id.
    pub(crate) fn define(id: u64, line: &str) -> Self {
        let declaration = declaration(line);
        let table = SenderTable::new(declaration.key, declaration.expire_ms, &declaration.columns);
        let mut bytes = Vec::new();
        let name = declaration.wire_name();
        Definition::encode(id, name.as_bytes(), &table, &mut bytes).unwrap();
        Self { table, strings: SendCache::new(), bytes }
    }

    /// Appends an update in which every counter has this value.
    pub(crate) fn update(
        mut self,
        id: Option<u32>,
        expire_ms: Option<u32>,
        key: u32,
        value: u32,
    ) -> Self {
        let key = self.table.key().key(&key.to_be_bytes()).unwrap();
        let header = UpdateHeader { id, expire_ms };
        header
            .encode(&key, &self.table, &mut self.strings, &mut self.bytes, |ty, _| match ty {
                stktable::DataType::ServerKey => Value::Dict(Some(b"srv")),
                stktable::DataType::ServerId => Value::Sint(value.cast_signed()),
                stktable::DataType::BytesInCnt => Value::Ull(u64::from(value)),
                rate if rate.is_rate() => {
                    Value::Rate(Rate { elapsed_ms: 100, current: value, previous: 2 * value })
                }
                _ => Value::Uint(value),
            })
            .unwrap();
        self
    }

    /// Appends an update of `gpc0` 7 and `server_key`, with the next id.
    pub(crate) fn named(mut self, key: u32, name: Value<Option<&[u8]>>) -> Self {
        let key = self.table.key().key(&key.to_be_bytes()).unwrap();
        let header = UpdateHeader { id: None, expire_ms: None };
        header
            .encode(&key, &self.table, &mut self.strings, &mut self.bytes, |ty, _| match ty {
                stktable::DataType::ServerKey => name,
                _ => Value::Uint(7),
            })
            .unwrap();
        self
    }

    pub(crate) fn control(mut self, control: Control) -> Self {
        control.encode(&mut self.bytes);
        self
    }
}

pub(crate) fn ack(table_id: u64, update_id: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    stktable_integration::peers::codec::Ack { table_id, update_id }.encode(&mut bytes);
    bytes
}

pub(crate) fn control(control: Control) -> Vec<u8> {
    let mut bytes = Vec::new();
    control.encode(&mut bytes);
    bytes
}

/// What a session sent, in short: `define NAME`, `ack TABLE ID`, `update ID KEY VALUE`, `timed ID EXPIRE KEY VALUE`,
/// and controls by their names. Values are those of the first column. An update before any definition is one of a table
/// that was announced before, with integers for keys and `gpc0`.
pub(crate) fn short(bytes: &[u8]) -> Vec<String> {
    let decoder = Decoder::new();
    let before = declaration("table t type integer size 1 store gpc0");
    let mut table = Some(SenderTable::new(before.key, 0, &before.columns));
    let mut said = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (message, size) = decoder.decode(rest).unwrap().expect("whole messages");
        rest = &rest[size..];
        said.push(match message {
            Message::Definition(definition) => {
                table = Some(definition.table().unwrap().unwrap());
                format!("define {}", String::from_utf8_lossy(definition.name()))
            }
            Message::Ack(ack) => {
                let ack = ack.decode().unwrap();
                format!("ack {} {}", ack.table_id, ack.update_id)
            }
            Message::Update(update) => {
                let update = update.decode(table.as_ref().expect("a table")).unwrap();
                let value = update.values().next().map(|element| element.value);
                let Some(Value::Uint(value)) = value else { panic!("{value:?}") };
                let id = update.id().expect("ids in full");
                match update.expire_ms() {
                    None => format!("update {id} {} {value}", update.key()),
                    Some(ms) => format!("timed {id} {ms} {} {value}", update.key()),
                }
            }
            Message::Control(control) => format!("{control:?}"),
            other => format!("{other:?}"),
        });
    }
    said
}

/// Counts on an entry, as a local change.
pub(crate) fn count(table: &SharedTable, key: u32, n: u64, now: Tick) {
    let key = table.declaration().key.key(&key.to_be_bytes()).unwrap();
    let entry = table.get_or_create(&key, now).unwrap();
    entry.add(stktable::DataType::Gpc0, 0, n, now);
    entry.touch(now);
}

pub(crate) fn get(table: &SharedTable, key: u32, now: Tick) -> Option<EntryRef<'_>> {
    table.get(&table.declaration().key.key(&key.to_be_bytes()).unwrap(), now)
}

pub(crate) fn gpc0(table: &SharedTable, key: u32, now: Tick) -> Option<i64> {
    get(table, key, now)?.read(stktable::DataType::Gpc0, 0, now)
}
