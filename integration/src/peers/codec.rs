//! Bytes of the peers protocol to typed values and back, without input or output of its own.
//!
//! A connection begins with a [`hello`] and its status line; after that both directions are a row of
//! messages. [`Decoder::decode`] cuts the next one from a buffer and says how many bytes it took;
//! `Ok(None)` means "not enough bytes yet". What needs more than the message itself is left to the
//! caller, step by step and without a copy: a [`Definition`] is read past its name only when the table is
//! wanted, an update only when a table is selected.
//!
//! ```text
//! bytes -> Decoder -> Message -+- Control, Error, Switch, Unknown
//!                              +- Definition --table()---------------> SenderTable
//!                              +- RawUpdate  --decode(&SenderTable)--> Update --values()--> Element ..
//!                              +- RawAck     --decode()--------------> Ack
//! ```
//!
//! Nothing here trusts the bytes: nothing panics, every length is compared with what is there before
//! it is used, and nothing is allocated from a number that a peer sent. A [`DecodeError`] ends the
//! session; [`DecodeError::answer`] is what the peer is told before the connection is closed.

#![warn(clippy::indexing_slicing, clippy::unwrap_used)]

pub(super) mod compare;
pub mod definition;
pub mod dictionary;
pub mod hello;
pub mod integer;
pub mod message;
mod reader;
pub mod update;

use core::fmt;

use stktable::DataType;

pub use definition::{Definition, Ignored, SenderTable};
pub use dictionary::{Dict, ReceiveCache, SendCache};
pub use hello::{Hello, HelloError, HelloReader, Status, StatusLine, StatusReader, Version};
pub use message::{Ack, Control, Decoder, ErrorMessage, Message, RawAck};
pub use update::{
    Element, Rate, RawUpdate, Short, Update, UpdateHeader, UpdateKind, Value, Values,
};

/// The largest body of a message that HAProxy can receive with its default buffers, and so the largest
/// that is ever sent (peers protocol, section 4).
pub const BODY_MAX: u32 = 16379;

/// Why a peer's bytes were refused. The session ends; [`DecodeError::answer`] is what the peer is told.
///
/// Every `offset` counts from the first byte of the message, its class, and names where the field at
/// fault begins. Which peer and which table it was is known to the caller, who can wrap this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The length announced is past the limit of a message (peers protocol, section 4).
    TooLong {
        /// The length of the body as announced.
        announced: u64,
        /// The largest body accepted.
        limit: u32,
    },
    /// The length of the message takes more than five bytes (peers protocol, section 4).
    LengthEncoding,
    /// The message is of class 255, which is reserved (peers protocol, section 5).
    ReservedClass {
        /// The type byte that followed.
        ty: u8,
    },
    /// The message ends before the field does.
    Truncated {
        /// The field.
        field: &'static str,
        /// Where the field begins.
        offset: usize,
    },
    /// An integer is past 2^64-1 (peers protocol, section 3).
    Overflow {
        /// The field.
        field: &'static str,
        /// Where the field begins.
        offset: usize,
    },
    /// A length inside the message reaches past its end, or past the field around it.
    LengthPastEnd {
        /// The field.
        field: &'static str,
        /// The length as announced.
        announced: u64,
        /// How many bytes there are.
        left: usize,
        /// Where the bytes begin that the length counts.
        offset: usize,
    },
    /// A definition names its table with no byte at all (peers protocol, section 6.2).
    EmptyName {
        /// Where the name would begin.
        offset: usize,
    },
    /// A dictionary id is not 1 to 128 (peers protocol, section 10).
    DictionaryId {
        /// The id as sent.
        id: u64,
        /// Where it begins.
        offset: usize,
    },
}

impl DecodeError {
    /// Returns the error message that the peer is owed before the connection is closed (peers protocol,
    /// section 16).
    #[must_use]
    pub const fn answer(&self) -> ErrorMessage {
        match self {
            Self::TooLong { .. } => ErrorMessage::SizeLimit,
            _ => ErrorMessage::Protocol,
        }
    }

    /// Returns where in the message the field at fault begins, counted from the class byte.
    #[must_use]
    pub const fn offset(&self) -> usize {
        match self {
            Self::TooLong { .. } | Self::LengthEncoding => 2,
            Self::ReservedClass { .. } => 0,
            Self::Truncated { offset, .. }
            | Self::Overflow { offset, .. }
            | Self::LengthPastEnd { offset, .. }
            | Self::EmptyName { offset }
            | Self::DictionaryId { offset, .. } => *offset,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { announced, limit } => {
                write!(f, "a message of {announced} bytes, above the limit of {limit}")?;
            }
            Self::LengthEncoding => f.write_str("a message length of more than five bytes")?,
            Self::ReservedClass { ty } => {
                write!(f, "a message of the reserved class 255, type {ty}")?;
            }
            Self::Truncated { field, .. } => write!(f, "the message ends within its {field}")?,
            Self::Overflow { field, .. } => write!(f, "the {field} is past 2^64-1")?,
            Self::LengthPastEnd { field, announced, left, .. } => {
                write!(f, "a {field} of {announced} bytes where {left} are left")?;
            }
            Self::EmptyName { .. } => f.write_str("a table without a name")?,
            Self::DictionaryId { id, .. } => {
                write!(f, "dictionary id {id}, not between 1 and {}", dictionary::ENTRIES)?;
            }
        }
        write!(f, " (at byte {})", self.offset())
    }
}

impl core::error::Error for DecodeError {}

/// Why something cannot be said in this protocol. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The message would be larger than a peer can receive.
    TooLong {
        /// The largest body that is sent.
        limit: u32,
    },
    /// A peer or table name is empty, or holds a byte that would end it early.
    Name,
    /// The key is not in the canonical form of the table's keys.
    Key,
    /// The value is not of the form that its data type is sent in.
    Value {
        /// The data type asked for.
        data_type: DataType,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { limit } => write!(f, "a message above {limit} bytes"),
            Self::Name => f.write_str("a name that cannot be sent"),
            Self::Key => f.write_str("a key that is not of the table's type and size"),
            Self::Value { data_type } => write!(f, "a value of another form than {data_type} has"),
        }
    }
}

impl core::error::Error for EncodeError {}
