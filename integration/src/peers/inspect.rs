//! Reads what one side of a session says, for a person to look at: nothing is learned from it.
//!
//! An [`Inspector`] may begin anywhere at the start of a message. Updates of a table that was announced before are then shown without
//! their key and values, unless it is told of that table.

mod show;

use std::collections::HashMap;

use stktable::{DataType, KeySpec, KeyType};

pub use show::Detail;

use super::codec::{
    Ack, Control, DecodeError, Decoder, Dict, ErrorMessage, Message, Rate, ReceiveCache,
    SenderTable, Value,
};

/// Tables of which it is known what an update of them holds.
const TABLES_MAX: usize = 4096;
/// Bytes of a line before the first message.
const LINE_MAX: usize = 4096;
/// Lines of a hello.
const HELLO_LINES: u8 = 3;

/// One message, or a line before the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where it begins, counted from the first byte that was given.
    pub offset: u64,
    /// How many bytes it has.
    pub size: usize,
    /// What it is.
    pub what: What,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A line of the hello.
    Hello(String),
    /// The line that answers it.
    Status(String),
    /// A control message.
    Control(Control),
    /// The side has found an error, and closes.
    Error(ErrorMessage),
    /// A table is announced, and selected.
    Definition {
        /// The number that its sender gave it.
        table: u64,
        /// Its name on the network.
        name: String,
        /// What its updates hold, or why that is not known.
        columns: Result<Columns, String>,
    },
    /// A table is selected.
    Switch {
        /// The number that its sender gave it.
        table: u64,
        /// Its name, if it was announced.
        name: Option<String>,
    },
    /// An entry.
    Update(Update),
    /// Updates are acknowledged.
    Ack(Ack),
    /// An ack that is cut short.
    BadAck(DecodeError),
    /// A message without a meaning.
    Unknown {
        /// Its class.
        class: u8,
        /// Its type.
        ty: u8,
        /// How many bytes follow its length.
        body: usize,
    },
    /// Not a message. What follows is not looked at.
    Malformed(DecodeError),
}

/// What the updates of a table hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// The type of its keys as it is declared.
    pub key: String,
    /// Milliseconds that its entries live, 0 for ever.
    pub expire_ms: Option<u64>,
    /// The data types, each with how many elements it has.
    pub types: Vec<(DataType, u64)>,
}

/// An entry as it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The name of its table, if one was announced.
    pub table: Option<String>,
    /// The number that was said.
    pub id: Option<u32>,
    /// The number that it has: one more than the last where none was said. Not known in a table that is not.
    pub effective_id: Option<u32>,
    /// Milliseconds that the entry has left, where that was said.
    pub expire_ms: Option<u32>,
    /// Its key, in a table that is known.
    pub key: Option<String>,
    /// Its values.
    pub values: Vec<(DataType, u32, Shown)>,
    /// Why there is no more of it.
    pub error: Option<DecodeError>,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A number.
    Number(i128),
    /// Events per period.
    Rate(Rate),
    /// A name, by the number it has in the cache of the session. None of it where it was said before we looked.
    Name(Option<(u8, Option<String>)>),
}

#[derive(Debug)]
struct Told {
    name: String,
    columns: Option<SenderTable>,
    last: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    Begin,
    Hello(u8),
    Status,
    Messages,
    Over,
}

/// Reads one direction of a session.
#[derive(Debug)]
pub struct Inspector {
    decoder: Decoder,
    place: Place,
    tables: HashMap<u64, Told>,
    selected: Option<u64>,
    strings: ReceiveCache,
    offset: u64,
    /// What is no whole message yet.
    pending: Vec<u8>,
}

impl Default for Inspector {
    fn default() -> Self {
        Self::new()
    }
}

impl Inspector {
    /// Returns one that reads a connection from its beginning, either side of it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            decoder: Decoder::new(),
            place: Place::Begin,
            tables: HashMap::new(),
            selected: None,
            strings: ReceiveCache::new(),
            offset: 0,
            pending: Vec::new(),
        }
    }

    /// Returns one that begins at a message in the midst of a session, in which the names of `strings` were said.
    #[must_use]
    pub fn amid(strings: ReceiveCache) -> Self {
        Self { place: Place::Messages, strings, ..Self::new() }
    }

    /// Tells of a table that was announced before, and with `selected` that it is the one which is selected.
    pub fn announce(
        &mut self,
        id: u64,
        name: String,
        columns: Option<SenderTable>,
        last: u32,
        selected: bool,
    ) {
        if self.tables.len() < TABLES_MAX || self.tables.contains_key(&id) {
            self.tables.insert(id, Told { name, columns, last });
        }
        if selected {
            self.selected = Some(id);
        }
    }

    /// Takes bytes, in any pieces, and says what was seen in them.
    pub fn read(&mut self, bytes: &[u8], mut see: impl FnMut(Seen)) {
        if self.place == Place::Over {
            return;
        }
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(bytes);
        let mut used = 0;
        while let Some((what, size)) = self.next(pending.get(used..).unwrap_or_default()) {
            see(Seen { offset: self.offset, size, what });
            self.offset += size as u64;
            used += size;
        }
        if self.place != Place::Over {
            pending.drain(..used);
            self.pending = pending;
        }
    }

    /// Returns how many bytes were given that are no whole message.
    #[must_use]
    pub const fn pending(&self) -> usize {
        self.pending.len()
    }

    fn next(&mut self, bytes: &[u8]) -> Option<(What, usize)> {
        match self.place {
            Place::Begin => {
                // No message begins with one of these.
                self.place = match bytes.first()? {
                    b'0'..=b'9' => Place::Status,
                    b'A'..=b'Z' => Place::Hello(HELLO_LINES),
                    _ => Place::Messages,
                };
                self.next(bytes)
            }
            Place::Over => None,
            Place::Hello(left) => {
                let (line, size) = line(bytes)?;
                self.place = if left > 1 { Place::Hello(left - 1) } else { Place::Messages };
                Some((What::Hello(line), size))
            }
            Place::Status => {
                let (line, size) = line(bytes)?;
                self.place = Place::Messages;
                Some((What::Status(line), size))
            }
            Place::Messages => match self.decoder.decode(bytes) {
                Ok(None) => None,
                Ok(Some((message, size))) => Some((self.message(message), size)),
                Err(error) => {
                    self.place = Place::Over;
                    Some((What::Malformed(error), bytes.len()))
                }
            },
        }
    }

    fn message(&mut self, message: Message<'_>) -> What {
        match message {
            Message::Control(control) => What::Control(control),
            Message::Error(error) => What::Error(error),
            Message::Ack(ack) => ack.decode().map_or_else(What::BadAck, What::Ack),
            Message::Unknown { class, ty, body } => What::Unknown { class, ty, body: body.len() },
            Message::Switch { table_id } => {
                self.selected = Some(table_id);
                let name = self.tables.get(&table_id).map(|told| told.name.clone());
                What::Switch { table: table_id, name }
            }
            Message::Definition(definition) => {
                let (id, name) = (definition.id(), text(definition.name()));
                let columns = match definition.table() {
                    Ok(Ok(columns)) => Ok(columns),
                    Ok(Err(ignored)) => Err(ignored.to_string()),
                    Err(error) => Err(error.to_string()),
                };
                let shown = columns.as_ref().map(Columns::of).map_err(Clone::clone);
                let last = self.tables.get(&id).map_or(0, |told| told.last);
                self.announce(id, name.clone(), columns.ok(), last, true);
                What::Definition { table: id, name, columns: shown }
            }
            Message::Update(raw) => {
                let told = self.selected.and_then(|id| self.tables.get_mut(&id));
                let mut seen = Update {
                    table: told.as_ref().map(|told| told.name.clone()),
                    id: None,
                    effective_id: None,
                    expire_ms: None,
                    key: None,
                    values: Vec::new(),
                    error: None,
                };
                let Some(Told { columns: Some(columns), last, .. }) = told else {
                    return What::Update(seen);
                };
                match raw.decode(columns) {
                    Err(error) => seen.error = Some(error),
                    Ok(update) => {
                        *last = update.effective_id(*last);
                        (seen.id, seen.effective_id) = (update.id(), Some(*last));
                        seen.expire_ms = update.expire_ms();
                        seen.key = Some(update.key().to_string());
                        let name = shown_name(update.dict(), &mut self.strings);
                        let value = |value| match value {
                            Value::Sint(value) => Shown::Number(value.into()),
                            Value::Uint(value) => Shown::Number(value.into()),
                            Value::Ull(value) => Shown::Number(value.into()),
                            Value::Rate(rate) => Shown::Rate(rate),
                            Value::Dict(_) => Shown::Name(name.clone()),
                        };
                        seen.values = update
                            .values()
                            .map(|element| (element.data_type, element.index, value(element.value)))
                            .collect();
                    }
                }
                What::Update(seen)
            }
        }
    }
}

impl Columns {
    fn of(table: &SenderTable) -> Self {
        let types = table.data_types().map(|data_type| (data_type, table.elements(data_type)));
        Self { key: key_type(table.key()), expire_ms: table.expire_ms(), types: types.collect() }
    }
}

/// Returns the line at the front, without its end. One that is too long ends anywhere.
fn line(bytes: &[u8]) -> Option<(String, usize)> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    if end.is_none() && bytes.len() < LINE_MAX {
        return None;
    }
    let end = end.unwrap_or(bytes.len());
    let line = bytes.get(..end)?;
    let size = bytes.len().min(end + 1);
    Some((text(line.strip_suffix(b"\r").unwrap_or(line)), size))
}

fn shown_name(dict: Dict<'_>, strings: &mut ReceiveCache) -> Option<(u8, Option<String>)> {
    let id = match dict {
        Dict::Absent => return None,
        Dict::Known { id } | Dict::New { id, .. } => id,
    };
    Some((id, strings.receive(dict).map(|name| text(name))))
}

/// Returns the type of a key as it is declared.
fn key_type(key: KeySpec) -> String {
    match key.ty() {
        ty @ (KeyType::String | KeyType::Binary) => format!("{ty} len {}", key.size()),
        ty => ty.to_string(),
    }
}

/// Returns a name as text.
fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
