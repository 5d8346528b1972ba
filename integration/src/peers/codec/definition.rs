//! Definitions: how a sender announces a table, and by it what each update will hold (peers protocol,
//! section 6).
//!
//! A definition is read in two steps, because a receiver that has no table of that name must not judge
//! the rest: [`Decoder::decode`](super::Decoder::decode) reads the id and the name, and
//! [`Definition::table`] everything after. What that finds may be malformed, which ends the session,
//! or merely of no use, which leaves no table selected ([`Ignored`]).

use core::fmt;

use stktable::{Column, DataType, KeySpec, KeyType, Storage};

use super::message::{TYPE_DEFINITION, table_message};
use super::reader::Reader;
use super::{DecodeError, EncodeError, integer};

/// The data types that have a number here.
const KNOWN: u64 = (1 << DataType::ALL.len()) - 1;

/// A definition whose id and name were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition<'a> {
    id: u64,
    name: &'a [u8],
    body: Reader<'a>,
    rest: Reader<'a>,
}

impl<'a> Definition<'a> {
    /// Reads the id and the name.
    pub(super) fn decode(body: Reader<'a>) -> Result<Self, DecodeError> {
        let mut rest = body;
        let id = rest.int("table id")?;
        let name = rest.counted("table name")?;
        if name.rest().is_empty() {
            return Err(DecodeError::EmptyName { offset: name.offset() });
        }
        if rest.rest().is_empty() {
            return Err(DecodeError::Truncated { field: "key type", offset: rest.offset() });
        }
        Ok(Self { id, name: name.rest(), body, rest })
    }

    /// Returns the sender's number of the table. Whatever table had it before loses it, even when this
    /// definition is ignored. 0 is taken for unknown by every switch.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Returns the name of the table on the network: `/` and its name for a table of a `peers` section,
    /// the name of the proxy for any other. Never empty.
    #[must_use]
    pub const fn name(&self) -> &'a [u8] {
        self.name
    }

    pub(super) const fn body(&self) -> &'a [u8] {
        self.body.rest()
    }

    /// Reads what follows the name. Only to be called when there is a table of that name: for any other
    /// the rest of the message has no meaning (peers protocol, section 6.2).
    ///
    /// The inner error says that the table is to be treated like one of an unknown name. The caller must
    /// do the same when the key of the result is not that of its own table.
    ///
    /// # Errors
    /// When the message ends before its data types do, or an integer is malformed.
    pub fn table(&self) -> Result<Result<SenderTable, Ignored>, DecodeError> {
        let mut rest = self.rest;
        let key_type = rest.int("key type")?;
        let key_size = rest.int("key length")?;
        let data_types = rest.int("data types")?;
        let key = match key_spec(key_type, key_size) {
            Ok(key) => key,
            Err(ignored) => return Ok(Err(ignored)),
        };
        // Nothing after the data types is how very old senders end.
        let expire_ms =
            if rest.rest().is_empty() { None } else { Some(rest.int("expire of the table")?) };
        let mut table = SenderTable::empty(key, data_types, expire_ms);
        for data_type in data_types_of(data_types) {
            if !has_parameters(data_type) {
                continue;
            }
            if expire_ms.is_none() {
                if data_type.is_array() {
                    return Ok(Err(Ignored::Parameters { data_type }));
                }
                continue;
            }
            match parameter(&mut rest, data_type) {
                Ok(Some(parameter)) => table.set(data_type, parameter),
                Ok(None) | Err(DecodeError::Truncated { .. }) => {
                    return Ok(Err(Ignored::Parameters { data_type }));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Ok(table.listed()))
    }

    /// Appends the definition of `table` under this id and name.
    ///
    /// # Errors
    /// When the name is empty, holds a NUL, or is too long for a message.
    pub fn encode(
        id: u64,
        name: &[u8],
        table: &SenderTable,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        if name.is_empty() || name.contains(&0) {
            return Err(EncodeError::Name);
        }
        table_message(TYPE_DEFINITION, out, |out| {
            integer::encode(id, out);
            integer::encode(name.len() as u64, out);
            out.extend_from_slice(name);
            integer::encode(u64::from(table.key.ty().number()), out);
            integer::encode(u64::from(table.key.size()), out);
            // A type without a number here is not announced: we could not send its values.
            integer::encode(table.data_types & KNOWN, out);
            let Some(expire_ms) = table.expire_ms else { return Ok(()) };
            integer::encode(expire_ms, out);
            for data_type in table.data_types().filter(|ty| has_parameters(*ty)) {
                integer::encode(u64::from(data_type.number()), out);
                if data_type.is_array() {
                    integer::encode(table.elements(data_type), out);
                }
                if data_type.is_rate() {
                    integer::encode(table.period_ms(data_type), out);
                }
            }
            Ok(())
        })
    }
}

/// Reads the parameter block of `data_type`, `None` when it is that of another type.
fn parameter(rest: &mut Reader<'_>, data_type: DataType) -> Result<Option<Parameter>, DecodeError> {
    if rest.int("parameter")? != u64::from(data_type.number()) {
        return Ok(None);
    }
    let elements = if data_type.is_array() { rest.int("number of elements")? } else { 1 };
    let period_ms = if data_type.is_rate() { rest.int("period")? } else { 0 };
    Ok(Some(Parameter { elements, period_ms }))
}

const fn has_parameters(data_type: DataType) -> bool {
    data_type.is_array() || data_type.is_rate()
}

/// Returns the types of these bits that have a number here, ascending.
pub(super) fn data_types_of(bits: u64) -> impl Iterator<Item = DataType> {
    DataType::ALL.iter().copied().filter(move |ty| bits & (1 << ty.number()) != 0)
}

/// Returns the keys of this type and length, where a table can have them.
fn key_spec(number: u64, size: u64) -> Result<KeySpec, Ignored> {
    let ty = KeyType::from_number(number).ok_or(Ignored::KeyType { number })?;
    let unfit = Ignored::KeySize { ty, size };
    let given = u32::try_from(size).map_err(|_| unfit)?;
    let key = match ty {
        KeyType::Integer => KeySpec::INTEGER,
        KeyType::Ip => KeySpec::IP,
        KeyType::Ipv6 => KeySpec::IPV6,
        // The length on the wire counts the end of the string.
        KeyType::String => KeySpec::string(given.saturating_sub(1)).map_err(|_| unfit)?,
        KeyType::Binary => KeySpec::binary(given).map_err(|_| unfit)?,
    };
    if key.size() == given { Ok(key) } else { Err(unfit) }
}

/// Why a table that a definition announces cannot be ours. The session goes on; no table is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ignored {
    /// The number names no type that keys of a table can have.
    KeyType {
        /// The number.
        number: u64,
    },
    /// Keys of this type cannot have this length.
    KeySize {
        /// The type.
        ty: KeyType,
        /// The length as announced.
        size: u64,
    },
    /// The parameters of a data type are missing, cut or out of order.
    Parameters {
        /// The data type whose parameters were due.
        data_type: DataType,
    },
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyType { number } => write!(f, "key type {number} is unknown"),
            Self::KeySize { ty, size } => write!(f, "no keys of type {ty} have length {size}"),
            Self::Parameters { data_type } => {
                write!(f, "the parameters of {data_type} are missing or out of order")
            }
        }
    }
}

/// A table as its sender announced it: what every update of it holds, and in which order.
///
/// Bits of data types that have no number here are kept and skipped: their parameters and values come
/// after all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderTable {
    key: KeySpec,
    data_types: u64,
    expire_ms: Option<u64>,
    parameters: [Parameter; DataType::ALL.len()],
    /// The data types that have a number here, ascending, with their elements; the first `count` count.
    listed: [(DataType, u64); DataType::ALL.len()],
    count: usize,
    /// How many integers the values of an update are; `None` where names are among them.
    ints: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parameter {
    elements: u64,
    period_ms: u64,
}

impl SenderTable {
    /// Returns a table of ours, as we announce it. `expire_ms` is 0 when entries never expire. Of two
    /// columns with one data type the later counts.
    #[must_use]
    pub fn new(key: KeySpec, expire_ms: u32, columns: &[Column]) -> Self {
        let mut table = Self::empty(key, 0, Some(u64::from(expire_ms)));
        for column in columns {
            let data_type = column.data_type;
            table.data_types |= 1 << data_type.number();
            let elements = if data_type.is_array() { u64::from(column.elements) } else { 1 };
            let period_ms = if data_type.is_rate() { u64::from(column.period_ms) } else { 0 };
            table.set(data_type, Parameter { elements, period_ms });
        }
        table.listed()
    }

    const fn empty(key: KeySpec, data_types: u64, expire_ms: Option<u64>) -> Self {
        let parameters = [Parameter { elements: 1, period_ms: 0 }; DataType::ALL.len()];
        let listed = [(DataType::ServerId, 0); DataType::ALL.len()];
        Self { key, data_types, expire_ms, parameters, listed, count: 0, ints: Some(0) }
    }

    /// Writes down, once, what every update asks for.
    fn listed(mut self) -> Self {
        self.count = 0;
        self.ints = Some(0);
        for data_type in data_types_of(self.data_types) {
            let elements = self.elements(data_type);
            if let Some(slot) = self.listed.get_mut(self.count) {
                *slot = (data_type, elements);
                self.count += 1;
            }
            let each = match data_type.storage() {
                Storage::Sint | Storage::Uint | Storage::Ull => Some(1),
                Storage::Rate => Some(3),
                Storage::Dict => None,
            };
            let all = each.and_then(|each: u64| each.checked_mul(elements));
            self.ints = self.ints.zip(all).and_then(|(ints, all)| ints.checked_add(all));
        }
        self
    }

    /// Returns the data types that have a number here, ascending, with the number of their elements.
    #[inline]
    pub(in crate::peers) fn list(&self) -> &[(DataType, u64)] {
        self.listed.get(..self.count).unwrap_or_default()
    }

    /// Returns how many integers the values of an update are; `None` where they are not integers only.
    #[inline]
    pub(super) const fn ints(&self) -> Option<u64> {
        self.ints
    }

    fn set(&mut self, data_type: DataType, parameter: Parameter) {
        if let Some(slot) = self.parameters.get_mut(usize::from(data_type.number())) {
            *slot = parameter;
        }
    }

    /// Returns the type and length of its keys. They must be those of the receiver's table.
    #[must_use]
    pub const fn key(&self) -> KeySpec {
        self.key
    }

    /// Returns the bits of the data types, unknown ones included.
    #[must_use]
    pub const fn data_type_bits(&self) -> u64 {
        self.data_types
    }

    /// Returns the data types that have a number here, in the order of their values.
    pub fn data_types(&self) -> impl Iterator<Item = DataType> + use<> {
        data_types_of(self.data_types)
    }

    /// Returns the time to live of the sender's entries, 0 when they have none; `None` from very old
    /// senders. Not used on reception.
    #[must_use]
    pub const fn expire_ms(&self) -> Option<u64> {
        self.expire_ms
    }

    /// Returns how many values of this type each update holds: 0 when the type was not announced, 1
    /// when it is no array. An array may announce any number; never allocate from it.
    #[inline]
    #[must_use]
    pub fn elements(&self, data_type: DataType) -> u64 {
        if self.data_types & (1 << data_type.number()) == 0 {
            return 0;
        }
        let parameter = self.parameters.get(usize::from(data_type.number()));
        parameter.map_or(0, |parameter| parameter.elements)
    }

    /// Returns the sender's period of a rate, 0 when there is none. Not used on reception, but two ends
    /// with different periods disagree, which is worth a word in a log.
    #[must_use]
    pub fn period_ms(&self, data_type: DataType) -> u64 {
        if self.data_types & (1 << data_type.number()) == 0 {
            return 0;
        }
        let parameter = self.parameters.get(usize::from(data_type.number()));
        parameter.map_or(0, |parameter| parameter.period_ms)
    }
}
