//! Updates: one entry of the selected table, its key and its values (peers protocol, sections 7 to 9).
//!
//! [`RawUpdate::decode`] walks the whole message once and refuses it if anything is malformed, so that
//! nothing of a bad update is ever applied. What it returns borrows the message: [`Update::values`]
//! walks the same bytes again and cannot fail. Neither allocates.

use stktable::{DataType, Key, KeyType, Storage};

use super::definition::SenderTable;
use super::dictionary::{Dict, SendCache};
use super::message::table_message;
use super::reader::{Reader, low32};
use super::{BODY_MAX, DecodeError, EncodeError, integer};

/// Which of the four updates (peers protocol, section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum UpdateKind {
    /// With an update id.
    Explicit = 0x80,
    /// Its id is the one before plus one.
    Incremental = 0x81,
    /// With an update id and what is left to live.
    ExplicitTimed = 0x85,
    /// Its id is the one before plus one; with what is left to live.
    IncrementalTimed = 0x86,
}

impl UpdateKind {
    /// Returns the type byte.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    pub(super) const fn from_number(ty: u8) -> Option<Self> {
        Some(match ty {
            0x80 => Self::Explicit,
            0x81 => Self::Incremental,
            0x85 => Self::ExplicitTimed,
            0x86 => Self::IncrementalTimed,
            _ => return None,
        })
    }

    const fn has_id(self) -> bool {
        matches!(self, Self::Explicit | Self::ExplicitTimed)
    }

    const fn has_expire(self) -> bool {
        matches!(self, Self::ExplicitTimed | Self::IncrementalTimed)
    }
}

/// A rate as it travels: where its sender stood in the current period, and both counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Milliseconds since the current period began: a 32-bit difference of clocks, arbitrary for a
    /// counter that was never used.
    pub elapsed_ms: u32,
    /// Events in the current period.
    pub current: u32,
    /// Events in the whole period before.
    pub previous: u32,
}

/// One value. `D` is how a name is said: a [`Dict`] when received, an optional string when sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<D> {
    /// A signed 32-bit integer.
    Sint(i32),
    /// An unsigned 32-bit integer.
    Uint(u32),
    /// An unsigned 64-bit integer.
    Ull(u64),
    /// Events per period.
    Rate(Rate),
    /// A name.
    Dict(D),
}

impl<'a> Value<Dict<'a>> {
    /// Takes a value of this storage. Wider numbers lose their high bits, as counters do.
    #[inline(always)]
    fn decode(storage: Storage, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(match storage {
            Storage::Sint => Self::Sint(reader.int32("value")?.cast_signed()),
            Storage::Uint => Self::Uint(reader.int32("value")?),
            Storage::Ull => Self::Ull(reader.int("value")?),
            Storage::Rate => Self::Rate(Rate {
                elapsed_ms: reader.int32("age of a rate")?,
                current: reader.int32("current count of a rate")?,
                previous: reader.int32("previous count of a rate")?,
            }),
            Storage::Dict => Self::Dict(Dict::decode(reader)?),
        })
    }
}

/// One value of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// What it is a value of.
    pub data_type: DataType,
    /// Which element of an array; 0 for any other type. May be past the receiver's own array: such an
    /// element is dropped.
    pub index: u32,
    /// The value.
    pub value: Value<Dict<'a>>,
}

/// An update that was not looked into: without a table that is selected it has no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawUpdate<'a> {
    kind: UpdateKind,
    body: Reader<'a>,
}

impl<'a> RawUpdate<'a> {
    pub(super) const fn new(kind: UpdateKind, body: Reader<'a>) -> Self {
        Self { kind, body }
    }

    /// Returns which of the four updates it is.
    #[must_use]
    pub const fn kind(&self) -> UpdateKind {
        self.kind
    }

    pub(super) const fn body(&self) -> &'a [u8] {
        self.body.rest()
    }

    /// Reads the update as one of `table`, whole: what is returned has nothing malformed left in it.
    /// Bytes after the last value are ignored.
    ///
    /// # Errors
    /// When the message ends before the last value does, or anything in it is malformed.
    #[inline]
    pub fn decode(&self, table: &'a SenderTable) -> Result<Update<'a>, DecodeError> {
        let mut body = self.body;
        let id = if self.kind.has_id() { Some(body.u32("update id")?) } else { None };
        let expire_ms = if self.kind.has_expire() { Some(body.u32("expire")?) } else { None };
        let spec = table.key();
        let offset = body.offset();
        let key = match spec.ty() {
            // All of its bytes are in the message, however many of them the key keeps.
            KeyType::String => body.counted("string key")?.rest(),
            _ => body.take(spec.size() as usize, "key")?,
        };
        let Some(key) = spec.canonical(key) else {
            return Err(DecodeError::Truncated { field: "key", offset });
        };
        let mut skipped = body;
        let dict = match table.ints() {
            // As nearly always: no names, and no integer that might overflow.
            Some(ints) if skipped.skip_ints(ints) => Dict::Absent,
            _ => Values::new(table, body).check()?,
        };
        Ok(Update { id, expire_ms, key, dict, table, values: body })
    }
}

/// An update without a fault in it.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    id: Option<u32>,
    expire_ms: Option<u32>,
    key: &'a [u8],
    dict: Dict<'a>,
    table: &'a SenderTable,
    values: Reader<'a>,
}

impl<'a> Update<'a> {
    /// Returns the update id, `None` when it is one more than the last of this table in this session.
    #[must_use]
    pub const fn id(&self) -> Option<u32> {
        self.id
    }

    /// Returns the update id, given the last one of this table in this session (0 before the first).
    #[must_use]
    pub fn effective_id(&self, last: u32) -> u32 {
        self.id.unwrap_or(last.wrapping_add(1))
    }

    /// Returns what is left to live in milliseconds, `None` when it is the table's whole time.
    #[must_use]
    pub const fn expire_ms(&self) -> Option<u32> {
        self.expire_ms
    }

    /// Returns the key. A string is cut to what the table keeps, and at its first NUL.
    ///
    /// # Panics
    /// Never: the bytes were made canonical when the update was decoded.
    #[must_use]
    pub fn key(&self) -> Key {
        self.table.key().key(self.key).expect("`decode` has seen to it")
    }

    /// Returns the canonical bytes of the key, without a copy.
    #[inline]
    #[must_use]
    pub const fn key_bytes(&self) -> &'a [u8] {
        self.key
    }

    /// Returns the dictionary value, [`Dict::Absent`] when there is none. It must go through
    /// [`ReceiveCache::receive`](super::ReceiveCache::receive) once, even when the update is dropped:
    /// later updates rely on it.
    #[must_use]
    pub const fn dict(&self) -> Dict<'a> {
        self.dict
    }

    /// Returns the values, ascending by data type and element. Does not allocate.
    #[inline]
    #[must_use]
    pub fn values(&self) -> Values<'a> {
        Values::new(self.table, self.values)
    }
}

/// Walks the values of an update. All of them at once, by [`for_each`](Iterator::for_each) or [`fold`](Iterator::fold),
/// costs least.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    reader: Reader<'a>,
    /// The data types that come after `data_type`, with their elements.
    later: &'a [(DataType, u64)],
    data_type: DataType,
    index: u32,
    /// Elements of `data_type` that are still to come.
    left: u64,
}

impl<'a> Values<'a> {
    #[inline]
    fn new(table: &'a SenderTable, reader: Reader<'a>) -> Self {
        Self { reader, later: table.list(), data_type: DataType::ServerId, index: 0, left: 0 }
    }

    /// Walks over all of them, and returns the last name among them.
    fn check(&self) -> Result<Dict<'a>, DecodeError> {
        let mut dict = Dict::Absent;
        let mut walk = self.clone();
        while let Some(element) = walk.step()? {
            if let Value::Dict(found) = element.value {
                dict = found;
            }
        }
        Ok(dict)
    }

    #[inline]
    fn step(&mut self) -> Result<Option<Element<'a>>, DecodeError> {
        while self.left == 0 {
            let Some((&(next, elements), later)) = self.later.split_first() else {
                return Ok(None);
            };
            self.later = later;
            self.data_type = next;
            self.index = 0;
            self.left = elements;
        }
        let (data_type, index) = (self.data_type, self.index);
        let value = Value::decode(data_type.storage(), &mut self.reader)?;
        self.left -= 1;
        // Each element takes a byte of a message that is shorter than 2^32.
        self.index = index.wrapping_add(1);
        Ok(Some(Element { data_type, index, value }))
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        // The walk was made once before, in `RawUpdate::decode`, and met no error.
        self.step().ok().flatten()
    }

    /// One loop for each storage, so that `f` is compiled for each.
    #[inline]
    fn fold<B, F: FnMut(B, Element<'a>) -> B>(mut self, init: B, mut f: F) -> B {
        let mut folded = init;
        while self.left > 0 {
            let Some(element) = self.next() else { return folded };
            folded = f(folded, element);
        }
        let mut reader = self.reader;
        for &(data_type, elements) in self.later {
            macro_rules! each {
                ($storage:expr) => {
                    for index in 0..elements {
                        let Ok(value) = Value::decode($storage, &mut reader) else { return folded };
                        folded = f(folded, Element { data_type, index: low32(index), value });
                    }
                };
            }
            match data_type.storage() {
                Storage::Sint => each!(Storage::Sint),
                Storage::Uint => each!(Storage::Uint),
                Storage::Ull => each!(Storage::Ull),
                Storage::Rate => each!(Storage::Rate),
                Storage::Dict => each!(Storage::Dict),
            }
        }
        folded
    }
}

/// An update that is being made.
#[derive(Debug)]
pub struct Short<'o> {
    bytes: &'o mut [u8; SHORT],
    at: usize,
}

/// The most bytes of such an update.
const SHORT: usize = 128;

impl Short<'_> {
    /// What key and values may take: the header, both fixed fields and the length of a text aside.
    const VALUES: usize = SHORT - 3 - 8 - 2;

    #[inline(always)]
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        let place = self.bytes.get_mut(self.at..).and_then(|rest| rest.first_chunk_mut());
        if let Some(place) = place {
            *place = bytes;
            self.at += N;
        }
    }

    /// Adds an integer. One for which there is no room is left out, which an update has of none that its table announces.
    #[inline(always)]
    pub fn number(&mut self, mut value: u64) {
        let [low, ..] = value.to_le_bytes();
        if value < u64::from(integer::LONG) {
            return self.put([low]);
        }
        self.put([low | 0xf0]);
        value = (value - 240) >> 4;
        while value >= 128 {
            let [low, ..] = value.to_le_bytes();
            self.put([low | 0x80]);
            value = (value - 128) >> 7;
        }
        let [low, ..] = value.to_le_bytes();
        self.put([low]);
    }
}

/// What an update that we send says besides its key and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpdateHeader {
    /// The update id; `None` makes it incremental.
    pub id: Option<u32>,
    /// What is left to live in milliseconds; `None` makes it untimed.
    pub expire_ms: Option<u32>,
}

impl UpdateHeader {
    /// Returns which of the four updates this makes.
    #[must_use]
    pub const fn kind(&self) -> UpdateKind {
        match (self.id, self.expire_ms) {
            (Some(_), None) => UpdateKind::Explicit,
            (None, None) => UpdateKind::Incremental,
            (Some(_), Some(_)) => UpdateKind::ExplicitTimed,
            (None, Some(_)) => UpdateKind::IncrementalTimed,
        }
    }

    /// Appends an update of a `table` whose values are integers only and short together, as those of nearly all tables are: `numbers` gives them
    /// all, in order. Returns false, with nothing done, for any other table or key; then [`encode_bytes`](Self::encode_bytes) does it.
    ///
    /// Room is made for all of it beforehand, so that each byte costs a store and not a look at the room in `out`.
    #[inline]
    pub fn encode_short(
        &self,
        key: &[u8],
        table: &SenderTable,
        out: &mut Vec<u8>,
        numbers: impl FnOnce(&mut Short<'_>),
    ) -> bool {
        let ints = table.ints().unwrap_or(u64::MAX);
        let size = table.key().size() as usize;
        let is_text = table.key().ty() == KeyType::String;
        let fits = if is_text { key.len() < size } else { key.len() == size };
        let most = ints.saturating_mul(integer::BYTES_MAX as u64).saturating_add(key.len() as u64);
        if !fits || most > Short::VALUES as u64 {
            return false;
        }
        let start = out.len();
        out.resize(start + SHORT, 0);
        let Some(bytes) = out.last_chunk_mut() else { return false };
        let mut short = Short { bytes, at: 0 };
        // The length comes when it is known.
        short.put([super::message::CLASS_TABLE, self.kind().number(), 0]);
        for fixed in [self.id, self.expire_ms].into_iter().flatten() {
            short.put(fixed.to_be_bytes());
        }
        if is_text {
            short.number(key.len() as u64);
        }
        match <[u8; 4]>::try_from(key) {
            Ok(four) => short.put(four),
            Err(_) => key.iter().for_each(|byte| short.put([*byte])),
        }
        numbers(&mut short);
        let length = short.at.saturating_sub(3);
        if let (Ok(length), Some(byte)) = (u8::try_from(length), short.bytes.get_mut(2)) {
            *byte = length;
        }
        let end = start + short.at;
        out.truncate(end);
        true
    }

    /// Appends an update of `table`.
    ///
    /// `value` is asked for each value that the table announces, in order, by data type and element. A
    /// name is given as a string, or `None` for no value; `cache` decides how it travels, and learns of
    /// it only when the whole update was written.
    ///
    /// # Errors
    /// When the key is not one of the table's, a value is not of its type's form, or the message is
    /// longer than a peer can receive. Nothing is written and the cache is as it was.
    pub fn encode<'v>(
        &self,
        key: &Key,
        table: &SenderTable,
        cache: &mut SendCache,
        out: &mut Vec<u8>,
        value: impl FnMut(DataType, u32) -> Value<Option<&'v [u8]>>,
    ) -> Result<(), EncodeError> {
        if key.ty() != table.key().ty() {
            return Err(EncodeError::Key);
        }
        self.encode_bytes(key.as_bytes(), table, cache, out, value)
    }

    /// As [`encode`](Self::encode), with the canonical bytes of a key.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn encode_bytes<'v>(
        &self,
        key: &[u8],
        table: &SenderTable,
        cache: &mut SendCache,
        out: &mut Vec<u8>,
        mut value: impl FnMut(DataType, u32) -> Value<Option<&'v [u8]>>,
    ) -> Result<(), EncodeError> {
        let mut sent = Dict::Absent;
        table_message(self.kind().number(), out, |out| {
            let start = out.len();
            for fixed in [self.id, self.expire_ms].into_iter().flatten() {
                out.extend_from_slice(&fixed.to_be_bytes());
            }
            encode_key(key, table, out)?;
            for &(data_type, elements) in table.list() {
                for index in 0..elements {
                    let given = value(data_type, low32(index));
                    match (data_type.storage(), given) {
                        // Sign-extended to 64 bits.
                        (Storage::Sint, Value::Sint(value)) => {
                            integer::encode(i64::from(value).cast_unsigned(), out);
                        }
                        (Storage::Uint, Value::Uint(value)) => {
                            integer::encode(u64::from(value), out);
                        }
                        (Storage::Ull, Value::Ull(value)) => integer::encode(value, out),
                        (Storage::Rate, Value::Rate(rate)) => {
                            integer::encode(u64::from(rate.elapsed_ms), out);
                            integer::encode(u64::from(rate.current), out);
                            integer::encode(u64::from(rate.previous), out);
                        }
                        (Storage::Dict, Value::Dict(string)) => {
                            sent = string.map_or(Dict::Absent, |string| cache.plan(string));
                            sent.encode(out);
                        }
                        _ => return Err(EncodeError::Value { data_type }),
                    }
                    if out.len() - start > BODY_MAX as usize {
                        return Err(EncodeError::TooLong { limit: BODY_MAX });
                    }
                }
            }
            Ok(())
        })?;
        cache.commit(sent);
        Ok(())
    }
}

#[inline]
fn encode_key(key: &[u8], table: &SenderTable, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let spec = table.key();
    let size = spec.size() as usize;
    if spec.ty() == KeyType::String {
        if key.len() >= size {
            return Err(EncodeError::Key);
        }
        integer::encode(key.len() as u64, out);
    } else if key.len() != size {
        return Err(EncodeError::Key);
    }
    out.extend_from_slice(key);
    Ok(())
}
