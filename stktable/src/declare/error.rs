//! What can be wrong with a declaration, and how it is said.

use core::fmt;

use super::{BRATES_FACTOR_MAX, PERIOD_MIN_MS};
use crate::data::{ARRAY_MAX, DataType};
use crate::key::KeyType;
use crate::tick::DELAY_MAX_MS;

/// One error in a declaration. [`Display`](fmt::Display) names the word and says what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclareError {
    /// The line of the word, from 1; 0 if the declaration was built by calls.
    pub line: u32,
    /// The column where the word begins, from 1; 0 if the declaration was built by calls.
    pub column: u32,
    /// The offending word; what is missing is reported at the word it belongs to.
    pub word: String,
    /// What is wrong.
    pub kind: DeclareErrorKind,
}

/// What is wrong in a declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeclareErrorKind {
    /// The line begins with another keyword.
    Keyword {
        /// The one that stands in this kind of section.
        expected: &'static str,
    },
    /// The table has no name, or an empty one.
    MissingName,
    /// A name holds a character that a name cannot have.
    NameCharacter {
        /// The character.
        character: char,
    },
    /// The word is no argument of this form of declaration.
    UnknownArgument,
    /// An argument ends the line, or is followed by the next one, without its value.
    MissingArgument {
        /// The argument.
        argument: &'static str,
    },
    /// There is no `type`.
    MissingType,
    /// There is no `size`, or it is 0.
    MissingSize,
    /// There is no such key type.
    UnknownType,
    /// The `len` of a string or binary key is not a decimal number between 1 and the most allowed.
    KeyLength {
        /// The key type.
        ty: KeyType,
        /// The most allowed.
        max: u32,
    },
    /// A number, or its unit, has a character that does not belong there.
    BadCharacter {
        /// The argument or the rate.
        argument: &'static str,
        /// The character.
        character: char,
    },
    /// A number is above the most allowed.
    Overflow {
        /// The argument or the rate.
        argument: &'static str,
        /// The most allowed; milliseconds if it is a time.
        max: u32,
    },
    /// A time is below the least allowed.
    Underflow {
        /// The argument or the rate.
        argument: &'static str,
        /// The least allowed, in milliseconds.
        min_ms: u32,
    },
    /// `brates-factor` is 0 or above [`BRATES_FACTOR_MAX`].
    BratesFactor,
    /// `srvkey` is neither `name` nor `addr`.
    SrvKey,
    /// There is no such data type.
    UnknownDataType,
    /// The values of a data type have no closing parenthesis.
    MissingParenthesis {
        /// The data type.
        data_type: DataType,
    },
    /// A data type lacks its number of elements or its period.
    MissingStoreArgument {
        /// The data type.
        data_type: DataType,
    },
    /// A data type has a value that it does not take, or something follows its closing parenthesis.
    UnexpectedStoreArgument {
        /// The data type.
        data_type: DataType,
    },
    /// The number of elements of an array is not between 1 and [`ARRAY_MAX`].
    ArraySize {
        /// The data type.
        data_type: DataType,
    },
    /// Two data types exclude each other: the array takes the place of the scalar.
    Conflict {
        /// The array.
        array: DataType,
        /// The scalar.
        scalar: DataType,
    },
}

impl fmt::Display for DeclareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line != 0 {
            write!(f, "{}:{}: ", self.line, self.column)?;
        }
        write!(f, "`{}`: {}", self.word.escape_debug(), self.kind)
    }
}

impl core::error::Error for DeclareError {}

/// Says what is wrong and what was expected, without the word.
impl fmt::Display for DeclareErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyword { expected } => write!(f, "expected `{expected}`"),
            Self::MissingName => f.write_str("a table needs a name"),
            Self::NameCharacter { character } => write!(
                f,
                "a name cannot have {character:?}; expected no white space, control character, quote, `\\` or `#`"
            ),
            Self::UnknownArgument => f.write_str(
                "no argument of a table here; expected type, size, expire, nopurge, store, srvkey, \
                 write-to, recv-only, brates-factor or, outside a peers section, peers",
            ),
            Self::MissingArgument { argument } => {
                write!(f, "`{argument}` has no value; expected {}", value_of(argument))
            }
            Self::MissingType => f.write_str(
                "the table has no `type`; expected ip, ipv6, integer, string [len L] or binary [len L]",
            ),
            Self::MissingSize => f.write_str("the table has no `size`, or 0; expected at least 1"),
            Self::UnknownType => {
                f.write_str("no key type; expected ip, ipv6, integer, string or binary")
            }
            Self::KeyLength { ty, max } => {
                write!(f, "no length of a {ty} key; expected 1 to {max}")
            }
            Self::BadCharacter { argument, character } => write!(
                f,
                "{character:?} does not belong in the value of `{argument}`; expected {}",
                value_of(argument)
            ),
            Self::Overflow { argument, max } if is_time(argument) => {
                write!(f, "too long for `{argument}`; expected at most {max} ms (24.8 days)")
            }
            Self::Overflow { argument, max } => {
                write!(f, "too much for `{argument}`; expected at most {max}")
            }
            Self::Underflow { argument: "expire", min_ms } => {
                write!(f, "too short for `expire`; expected at least {min_ms} ms, or 0 for never")
            }
            Self::Underflow { argument, min_ms } => write!(
                f,
                "too short a period for `{argument}`: what is counted could not be told apart; \
                 expected at least {min_ms} ms"
            ),
            Self::BratesFactor => write!(f, "expected 1 to {BRATES_FACTOR_MAX}"),
            Self::SrvKey => f.write_str("expected `name` or `addr`"),
            Self::UnknownDataType => f.write_str(
                "no data type; expected one such as gpc0, conn_rate(10s), gpc(4) or gpc_rate(4,1m)",
            ),
            Self::MissingParenthesis { data_type } => {
                write!(f, "no closing parenthesis; expected {}", form_of(*data_type))
            }
            Self::MissingStoreArgument { data_type } => {
                write!(f, "`{data_type}` lacks a value; expected {}", form_of(*data_type))
            }
            Self::UnexpectedStoreArgument { data_type } => {
                write!(f, "too much for `{data_type}`; expected {}", form_of(*data_type))
            }
            Self::ArraySize { data_type } => {
                write!(f, "no number of elements of `{data_type}`; expected 1 to {ARRAY_MAX}")
            }
            Self::Conflict { array, scalar } => write!(
                f,
                "`{array}` and `{scalar}` cannot be in one table, as `{array}` takes the place of \
                 `{scalar}`; expected one of them"
            ),
        }
    }
}

fn is_time(argument: &str) -> bool {
    argument == "expire" || DataType::from_name(argument).is_some()
}

/// Says what the value of an argument looks like.
fn value_of(argument: &str) -> Form {
    Form::Argument(match argument {
        "type" => "ip, ipv6, integer, string [len L] or binary [len L]",
        "len" => "a number of bytes, at least 1",
        "size" => "a number of entries, as in 1000, 100k or 1m",
        "brates-factor" => "1 to 1024",
        "srvkey" => "`name` or `addr`",
        "peers" => "the name of a peers section",
        "write-to" => "the name of a table",
        "expire" => return Form::Time { min_ms: 1 },
        _ => return Form::Time { min_ms: PERIOD_MIN_MS },
    })
}

/// Says how a data type is declared.
fn form_of(data_type: DataType) -> Form {
    Form::Store(data_type)
}

enum Form {
    Argument(&'static str),
    Time { min_ms: u32 },
    Store(DataType),
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(text) => f.write_str(text),
            Self::Time { min_ms } => write!(
                f,
                "a time of {min_ms} to {DELAY_MAX_MS} ms, a number and one of us, ms, s, m, h, d (alone: ms)"
            ),
            Self::Store(data_type) => match (data_type.is_array(), data_type.is_rate()) {
                (false, false) => write!(f, "`{data_type}` alone"),
                (false, true) => write!(f, "`{data_type}(PERIOD)`"),
                (true, false) => write!(f, "`{data_type}(ELEMENTS)`"),
                (true, true) => write!(f, "`{data_type}(ELEMENTS,PERIOD)`"),
            },
        }
    }
}

/// Something in a declaration that is allowed but has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclareWarning {
    /// The line of the word, from 1.
    pub line: u32,
    /// The column where the word begins, from 1.
    pub column: u32,
    /// The word.
    pub word: String,
    /// What has no effect.
    pub kind: DeclareWarningKind,
}

/// What has no effect in a declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeclareWarningKind {
    /// The data type is stored already; this one is ignored.
    Repeated {
        /// The data type.
        data_type: DataType,
    },
    /// A `store` at the end of the line names no data type.
    NothingStored,
}

impl fmt::Display for DeclareWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.word.escape_debug();
        write!(f, "{}:{}: `{word}`: {}", self.line, self.column, self.kind)
    }
}

/// Says what has no effect, without the word.
impl fmt::Display for DeclareWarningKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated { data_type } => {
                write!(f, "`{data_type}` is stored already; this one is ignored")
            }
            Self::NothingStored => f.write_str("no data type follows; nothing is stored"),
        }
    }
}
