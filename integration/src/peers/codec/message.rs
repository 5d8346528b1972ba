//! Messages: where one ends, and which kind it is (peers protocol, sections 4, 5 and 11).
//!
//! ```text
//! type < 128:   class type
//! type >= 128:  class type length body      the length is an integer of at most five bytes
//! ```
//!
//! The length is compared with the limit before anything waits for the body, so a buffer of
//! [`Decoder::message_max`] bytes always holds a whole message or an error. Messages borrow from the buffer.

use super::reader::Reader;
use super::{BODY_MAX, DecodeError, Definition, EncodeError, RawUpdate, UpdateKind, integer};

const CLASS_CONTROL: u8 = 0;
const CLASS_ERROR: u8 = 1;
pub(super) const CLASS_TABLE: u8 = 10;
const CLASS_RESERVED: u8 = 255;

pub(super) const TYPE_DEFINITION: u8 = 0x82;
const TYPE_SWITCH: u8 = 0x83;
const TYPE_ACK: u8 = 0x84;

/// The most bytes of a message's length.
const LENGTH_BYTES_MAX: usize = 5;

/// A control message (class 0): two bytes (peers protocol, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Control {
    /// Asks the other side to teach.
    ResyncRequest = 0,
    /// The lesson is over, and its sender is up to date.
    ResyncFinished = 1,
    /// The lesson is over, but its sender is not up to date itself.
    ResyncPartial = 2,
    /// The end of our lesson was seen.
    ResyncConfirm = 3,
    /// Nothing else was due.
    Heartbeat = 4,
}

impl Control {
    /// Appends the message.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[CLASS_CONTROL, self as u8]);
    }

    const fn from_number(ty: u8) -> Option<Self> {
        Some(match ty {
            0 => Self::ResyncRequest,
            1 => Self::ResyncFinished,
            2 => Self::ResyncPartial,
            3 => Self::ResyncConfirm,
            4 => Self::Heartbeat,
            _ => return None,
        })
    }
}

/// An error message (class 1): the last two bytes of a session (peers protocol, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ErrorMessage {
    /// What was received is malformed.
    Protocol = 0,
    /// What was announced is larger than can be received.
    SizeLimit = 1,
}

impl ErrorMessage {
    /// Appends the message.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[CLASS_ERROR, self as u8]);
    }

    const fn from_number(ty: u8) -> Option<Self> {
        Some(match ty {
            0 => Self::Protocol,
            1 => Self::SizeLimit,
            _ => return None,
        })
    }
}

/// An acknowledgement: the last update received of a table (peers protocol, section 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The table, by the number that the *receiver* of this message gave it.
    pub table_id: u64,
    /// The last update id received.
    pub update_id: u32,
}

impl Ack {
    /// Appends the message.
    pub fn encode(self, out: &mut Vec<u8>) {
        let length = integer::size(self.table_id) + 4;
        out.extend_from_slice(&[CLASS_TABLE, TYPE_ACK]);
        integer::encode(length as u64, out);
        integer::encode(self.table_id, out);
        out.extend_from_slice(&self.update_id.to_be_bytes());
    }
}

/// An ack that was not looked into: while we teach it is not even parsed (peers protocol, section 16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawAck<'a> {
    body: Reader<'a>,
}

impl RawAck<'_> {
    /// Reads the ack.
    ///
    /// # Errors
    /// When it is cut short or its table id is past 2^64-1.
    pub fn decode(&self) -> Result<Ack, DecodeError> {
        let mut body = self.body;
        Ok(Ack { table_id: body.int("table id")?, update_id: body.u32("update id")? })
    }
}

/// One message, borrowed from the buffer it was cut from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message<'a> {
    /// A control message.
    Control(Control),
    /// The other side found an error and closes.
    Error(ErrorMessage),
    /// Announces a table and selects it.
    Definition(Definition<'a>),
    /// Selects a table that was announced. An id that was not, and 0, select none.
    Switch {
        /// The sender's number of the table.
        table_id: u64,
    },
    /// One entry of the selected table.
    Update(RawUpdate<'a>),
    /// Acknowledges updates.
    Ack(RawAck<'a>),
    /// Any class or type without a meaning here, controls and errors included. To be ignored.
    Unknown {
        /// The class, never 255.
        class: u8,
        /// The type.
        ty: u8,
        /// The body, empty for a type below 128.
        body: &'a [u8],
    },
}

impl Message<'_> {
    /// Appends a switch to the table with this id (peers protocol, section 6.4).
    pub fn encode_switch(table_id: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&[CLASS_TABLE, TYPE_SWITCH]);
        integer::encode(integer::size(table_id) as u64, out);
        integer::encode(table_id, out);
    }

    /// Appends the message as it was received, for whoever passes messages on. A body that was not
    /// looked into is copied as it is.
    ///
    /// # Errors
    /// When the body is larger than [`BODY_MAX`].
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let (class, ty, body) = match self {
            Self::Control(control) => {
                control.encode(out);
                return Ok(());
            }
            Self::Error(error) => {
                error.encode(out);
                return Ok(());
            }
            Self::Switch { table_id } => {
                Self::encode_switch(*table_id, out);
                return Ok(());
            }
            Self::Unknown { class, ty, .. } if *ty < 128 => {
                out.extend_from_slice(&[*class, *ty]);
                return Ok(());
            }
            Self::Definition(definition) => (CLASS_TABLE, TYPE_DEFINITION, definition.body()),
            Self::Update(update) => (CLASS_TABLE, update.kind().number(), update.body()),
            Self::Ack(ack) => (CLASS_TABLE, TYPE_ACK, ack.body.rest()),
            Self::Unknown { class, ty, body } => (*class, *ty, *body),
        };
        framed(class, ty, out, |out| {
            out.extend_from_slice(body);
            Ok(())
        })
    }
}

/// Appends a table message with a body, and takes it back whole when the body fails or is too long.
pub(super) fn table_message(
    ty: u8,
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    framed(CLASS_TABLE, ty, out, body)
}

pub(super) fn framed(
    class: u8,
    ty: u8,
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    // The length is nearly always one byte.
    out.extend_from_slice(&[class, ty, 0]);
    let body_start = out.len();
    let written = body(out);
    let length = out.len() - body_start;
    if written.is_ok() && length <= BODY_MAX as usize {
        match (u8::try_from(length), out.get_mut(body_start - 1)) {
            (Ok(short), Some(byte)) if short < integer::LONG => *byte = short,
            _ => {
                // One pass over a long body, to bring its length to the front.
                integer::encode(length as u64, out);
                let size = integer::size(length as u64);
                if let Some(tail) = out.get_mut(body_start..) {
                    tail.rotate_right(size);
                }
                out.remove(body_start - 1);
            }
        }
        return Ok(());
    }
    out.truncate(start);
    written.and(Err(EncodeError::TooLong { limit: BODY_MAX }))
}

/// Cuts messages from a buffer. Keeps nothing from one call to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoder {
    limit: u32,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// Returns a decoder of bodies up to [`BODY_MAX`] bytes.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_limit(BODY_MAX)
    }

    /// Returns a decoder of bodies up to `limit` bytes.
    #[must_use]
    pub const fn with_limit(limit: u32) -> Self {
        Self { limit }
    }

    /// Returns the size of a buffer in which every message fits that is not refused.
    #[must_use]
    pub const fn message_max(&self) -> usize {
        2 + LENGTH_BYTES_MAX + self.limit as usize
    }

    /// Reads the message at the front of `bytes` if it is a whole update of an ordinary length, which nearly all are.
    /// `None` says nothing: then [`decode`](Self::decode) tells what there is.
    #[inline]
    #[must_use]
    pub fn decode_update<'a>(&self, bytes: &'a [u8]) -> Option<(RawUpdate<'a>, usize)> {
        const HEADER: usize = 3;
        let (&[class, ty, length], rest) = bytes.split_first_chunk::<HEADER>()?;
        if class != CLASS_TABLE || length >= integer::LONG || u32::from(length) > self.limit {
            return None;
        }
        let kind = UpdateKind::from_number(ty)?;
        let body = rest.get(..usize::from(length))?;
        let update = RawUpdate::new(kind, Reader::new(body, HEADER));
        Some((update, HEADER + body.len()))
    }

    /// Reads the message at the front of `bytes`. Returns it and how many bytes it took; `None` when
    /// there are not enough bytes yet.
    ///
    /// # Errors
    /// When the class is 255, the length has a sixth byte or is above the limit, or a field that every
    /// receiver reads is malformed: the id of a switch, the id and name of a definition.
    #[inline]
    pub fn decode<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Message<'a>, usize)>, DecodeError> {
        let Some((&[class, ty], rest)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
        if class == CLASS_RESERVED {
            return Err(DecodeError::ReservedClass { ty });
        }
        if ty < 128 {
            return Ok(Some((short(class, ty), 2)));
        }
        let Some((announced, used)) = length(rest)? else { return Ok(None) };
        if announced > u64::from(self.limit) {
            return Err(DecodeError::TooLong { announced, limit: self.limit });
        }
        let size = usize::try_from(announced)
            .map_err(|_| DecodeError::TooLong { announced, limit: self.limit })?;
        let Some(body) = rest.get(used..).and_then(|rest| rest.get(..size)) else {
            return Ok(None);
        };
        let header = 2 + used;
        let message = with_body(class, ty, Reader::new(body, header))?;
        Ok(Some((message, header + size)))
    }
}

/// Reads a message length. `None` when it may still become one.
#[inline]
fn length(bytes: &[u8]) -> Result<Option<(u64, usize)>, DecodeError> {
    if let Some(&first) = bytes.first()
        && first < integer::LONG
    {
        return Ok(Some((u64::from(first), 1)));
    }
    long_length(bytes)
}

fn long_length(bytes: &[u8]) -> Result<Option<(u64, usize)>, DecodeError> {
    let bytes = bytes.get(..LENGTH_BYTES_MAX).unwrap_or(bytes);
    match integer::decode(bytes) {
        Ok(None) if bytes.len() < LENGTH_BYTES_MAX => Ok(None),
        Ok(None) | Err(integer::Overflow) => Err(DecodeError::LengthEncoding),
        Ok(Some(length)) => Ok(Some(length)),
    }
}

fn short<'a>(class: u8, ty: u8) -> Message<'a> {
    let unknown = Message::Unknown { class, ty, body: &[] };
    match class {
        CLASS_CONTROL => Control::from_number(ty).map_or(unknown, Message::Control),
        CLASS_ERROR => ErrorMessage::from_number(ty).map_or(unknown, Message::Error),
        _ => unknown,
    }
}

#[inline]
fn with_body(class: u8, ty: u8, body: Reader<'_>) -> Result<Message<'_>, DecodeError> {
    // What nearly all messages are.
    if class == CLASS_TABLE
        && let Some(kind) = UpdateKind::from_number(ty)
    {
        return Ok(Message::Update(RawUpdate::new(kind, body)));
    }
    other(class, ty, body)
}

fn other(class: u8, ty: u8, mut body: Reader<'_>) -> Result<Message<'_>, DecodeError> {
    let unknown = Message::Unknown { class, ty, body: body.rest() };
    if class != CLASS_TABLE {
        return Ok(unknown);
    }
    Ok(match ty {
        TYPE_DEFINITION => Message::Definition(Definition::decode(body)?),
        TYPE_SWITCH => Message::Switch { table_id: body.int("table id")? },
        TYPE_ACK => Message::Ack(RawAck { body }),
        _ => unknown,
    })
}
