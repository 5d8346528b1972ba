//! The data types a table can store, numbered as the peers protocol numbers them.
//!
//! The number of a type is its bit in a table definition and the order of its value in every update. It
//! never changes. What each type counts and who changes it is HAProxy's vocabulary; this module only
//! knows how each is stored, sent and named.

pub mod freq_ctr;

use core::fmt;

/// How the value of a data type is stored and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    /// A signed 32-bit integer.
    Sint,
    /// An unsigned 32-bit integer, which wraps.
    Uint,
    /// An unsigned 64-bit integer, which wraps.
    Ull,
    /// Events per sliding period.
    Rate,
    /// A name, sent through the dictionary cache of a peers session.
    Dict,
}

macro_rules! data_types {
    ($($number:literal $variant:ident $name:literal $storage:ident $array:literal $doc:literal;)*) => {
        /// A column of a table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum DataType {
            $(#[doc = $doc] $variant = $number,)*
        }

        impl DataType {
            /// Every type, ascending by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the name in configurations and dumps.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Returns how the value is stored and sent.
            #[must_use]
            pub const fn storage(self) -> Storage {
                match self { $(Self::$variant => Storage::$storage,)* }
            }

            /// Returns whether the type is an array, with a number of elements in its declaration.
            #[must_use]
            pub const fn is_array(self) -> bool {
                match self { $(Self::$variant => $array,)* }
            }
        }
    };
}

data_types! {
    0 ServerId "server_id" Sint false "The server a client sticks to, by id.";
    1 Gpt0 "gpt0" Uint false "General purpose tag 0.";
    2 Gpc0 "gpc0" Uint false "General purpose counter 0.";
    3 Gpc0Rate "gpc0_rate" Rate false "Increments of `gpc0` per period.";
    4 ConnCnt "conn_cnt" Uint false "Connections since the entry exists.";
    5 ConnRate "conn_rate" Rate false "Connections per period.";
    6 ConnCur "conn_cur" Uint false "Connections open now. Local: sent to peers, never stored by them.";
    7 SessCnt "sess_cnt" Uint false "Sessions since the entry exists.";
    8 SessRate "sess_rate" Rate false "Sessions per period.";
    9 HttpReqCnt "http_req_cnt" Uint false "HTTP requests since the entry exists.";
    10 HttpReqRate "http_req_rate" Rate false "HTTP requests per period.";
    11 HttpErrCnt "http_err_cnt" Uint false "HTTP errors caused by the client.";
    12 HttpErrRate "http_err_rate" Rate false "HTTP errors caused by the client, per period.";
    13 BytesInCnt "bytes_in_cnt" Ull false "Bytes from client to server.";
    14 BytesInRate "bytes_in_rate" Rate false "Bytes from client to server, per period.";
    15 BytesOutCnt "bytes_out_cnt" Ull false "Bytes from server to client.";
    16 BytesOutRate "bytes_out_rate" Rate false "Bytes from server to client, per period.";
    17 Gpc1 "gpc1" Uint false "General purpose counter 1.";
    18 Gpc1Rate "gpc1_rate" Rate false "Increments of `gpc1` per period.";
    19 ServerKey "server_key" Dict false "The server a client sticks to, by name or address.";
    20 HttpFailCnt "http_fail_cnt" Uint false "HTTP failures of the server.";
    21 HttpFailRate "http_fail_rate" Rate false "HTTP failures of the server, per period.";
    22 Gpt "gpt" Uint true "General purpose tags.";
    23 Gpc "gpc" Uint true "General purpose counters.";
    24 GpcRate "gpc_rate" Rate true "Increments of `gpc` per period.";
    25 GlitchCnt "glitch_cnt" Uint false "Protocol glitches of the client.";
    26 GlitchRate "glitch_rate" Rate false "Protocol glitches of the client, per period.";
}

/// The most elements an array type may have.
pub const ARRAY_MAX: u32 = 100;

impl DataType {
    /// Returns the number on the wire, which is also the bit in a table definition.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Returns the type of this number, `None` where the number is not assigned.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Returns the type of this name. `server_name` is an old name of `server_key`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "server_name" {
            return Some(Self::ServerKey);
        }
        Self::ALL.iter().copied().find(|ty| ty.name() == name)
    }

    /// Returns whether the type counts events per period, and so needs a period in its declaration.
    #[must_use]
    pub const fn is_rate(self) -> bool {
        matches!(self.storage(), Storage::Rate)
    }

    /// Returns the array, and its element, that stands for this type where only the array is stored. `None` for those
    /// that nothing stands for, the arrays among them.
    #[must_use]
    pub const fn in_array(self) -> Option<(Self, u32)> {
        match self {
            Self::Gpt0 => Some((Self::Gpt, 0)),
            Self::Gpc0 => Some((Self::Gpc, 0)),
            Self::Gpc1 => Some((Self::Gpc, 1)),
            Self::Gpc0Rate => Some((Self::GpcRate, 0)),
            Self::Gpc1Rate => Some((Self::GpcRate, 1)),
            _ => None,
        }
    }

    /// Returns whether a value learned from a peer is decoded and dropped (`conn_cur`).
    #[must_use]
    pub const fn is_local(self) -> bool {
        matches!(self, Self::ConnCur)
    }

    /// Returns whether nobody adds to the value: it is only ever set as a whole.
    #[must_use]
    pub const fn is_as_is(self) -> bool {
        matches!(self, Self::ServerId | Self::Gpt0 | Self::ServerKey | Self::Gpt)
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One declared column: a data type with its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    /// What is stored.
    pub data_type: DataType,
    /// How many elements: 1 unless the type is an array, then 1 to [`ARRAY_MAX`].
    pub elements: u32,
    /// The period of a rate in milliseconds, at least 2; 0 for every other type.
    pub period_ms: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions() {
        for (at, ty) in DataType::ALL.iter().enumerate() {
            assert_eq!(usize::from(ty.number()), at);
            assert_eq!(DataType::from_name(ty.name()), Some(*ty));
            assert_eq!(DataType::from_number(ty.number()), Some(*ty));
        }
        assert_eq!(DataType::from_number(27), None);
        assert_eq!(DataType::from_name("server_name"), Some(DataType::ServerKey));
    }
}
