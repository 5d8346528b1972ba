//! Words, keys, columns and filters of a command, and what is said when they are wrong.

use std::fmt;
use std::str;

use stktable::table::{Comparison, Filter};
use stktable::{Declaration, EntryRef, Key, KeyType, Tick};

use super::query::QueryError;
use crate::search::{ColumnError, Element};
use crate::shared::SharedTable;

/// Filters of one command.
const FILTERS_MAX: usize = 4;

/// Splits a line at its semicolons. Empty commands are left out.
pub fn commands(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let mut escaped = false;
        let end = line.iter().position(|byte| {
            let ends = *byte == b';' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            ends
        });
        rest = end.map(|end| &line[end + 1..]);
        Some(&line[..end.unwrap_or(line.len())])
    })
    .filter(|command| command.iter().any(|byte| !is_blank(*byte)))
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

/// Splits a command at its blanks. A backslash takes the meaning from the byte after it and is dropped;
/// quotes mean nothing.
pub(super) fn words(command: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word = None;
    let mut bytes = command.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            _ if is_blank(byte) => words.extend(word.take()),
            // The last byte of all stands for itself.
            b'\\' => word.get_or_insert_with(Vec::new).push(bytes.next().unwrap_or(byte)),
            _ => word.get_or_insert_with(Vec::new).push(byte),
        }
    }
    words.extend(word);
    words
}

/// What a command does to keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Show,
    Set,
    Clear,
}

/// Why a command is refused; what HAProxy says then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NoSuchTable,
    PermissionDenied,
    KeyExpected,
    InvalidKey,
    /// `ptr` without the `0x` of a number.
    PtrExpected,
    /// `ptr` with something that is no number.
    PtrMalformed,
    /// `ptr` with the number of no entry.
    PtrUnknown,
    /// The key form in a table of binary keys.
    KeyForm(Action),
    /// How the command is used.
    Usage(Action),
    Column(ColumnError),
    /// A word that should be `data.TYPE`.
    NoColumn,
    /// A value that is no number, or is missing.
    NoValue,
    /// `set` with filters.
    SetWithFilter,
    Filter(usize, FilterError),
    /// Words after the last filter there may be: the number of the first of them, and the word before.
    ExtraWord(usize, Vec<u8>),
    InUse,
    /// What peers say, or what is made of that.
    NotByHand,
    TableFull,
    /// One of the words that HAProxy does not have.
    Query(QueryError),
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}

/// What is wrong with a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FilterError {
    Column(ColumnError),
    Operator,
    Value,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(error) => error.fmt(f),
            Self::Operator => {
                f.write_str(r#"Require and operator among "eq", "ne", "le", "ge", "lt", "gt""#)
            }
            Self::Value => f.write_str("Require a valid integer value to compare against"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchTable => "No such table",
            Self::PermissionDenied => "Permission denied",
            Self::KeyExpected => "Key value expected",
            Self::InvalidKey => "Invalid key",
            Self::PtrExpected => "Pointer expected (0xffff notation)",
            Self::PtrMalformed => "Malformed ptr",
            Self::PtrUnknown => "No entry can be found matching ptr.",
            Self::KeyForm(action) => {
                let doing = match action {
                    Action::Show => "Showing keys from",
                    Action::Set => "Inserting keys into",
                    Action::Clear => "Removing keys from",
                };
                return write!(
                    f,
                    "{doing} tables of type other than ip, ipv6, string and integer is not supported"
                );
            }
            Self::Usage(Action::Show) => {
                r#"Optional argument only supports "data.<store_data_type>" <operator> <value> and key <key>"#
            }
            Self::Usage(Action::Set) => {
                "Required arguments: <table> key <key> [data.<store_data_type> <value>]*"
            }
            Self::Usage(Action::Clear) => {
                r#"Required arguments: <table> "data.<store_data_type>" <operator> <value> or <table> key <key>"#
            }
            Self::Column(error) => return error.fmt(f),
            Self::NoColumn => r#""data.<type>" followed by a value expected"#,
            Self::NoValue => "Require a valid integer value to store",
            Self::SetWithFilter => {
                r#"content-based lookup is only supported with the "show" and "clear" actions"#
            }
            Self::Filter(number, error) => return write!(f, "Filter entry #{number}: {error}"),
            Self::ExtraWord(number, before) => {
                let before = String::from_utf8_lossy(before);
                return write!(
                    f,
                    "Detected extra data in filter, {number}th word of input, after '{before}'"
                );
            }
            Self::Query(error) => return error.fmt(f),
            Self::NotByHand => "This table is made of what peers say, and not changed by hand",
            Self::InUse => "Entry currently in use, cannot remove",
            Self::TableFull => "Unable to allocate a new entry",
        })
    }
}

/// Returns the key that these bytes mean in a table.
pub(super) fn key(declaration: &Declaration, text: &[u8], action: Action) -> Result<Key, Refusal> {
    match declaration.key.ty() {
        KeyType::Binary => Err(Refusal::KeyForm(action)),
        // Any bytes: a string need not be UTF-8.
        KeyType::String => declaration.key.key(text).map_err(|_| Refusal::InvalidKey),
        _ => {
            let text = str::from_utf8(text).map_err(|_| Refusal::InvalidKey)?;
            declaration.key.parse(text).map_err(|_| Refusal::InvalidKey)
        }
    }
}

/// Returns the entry that the number at the beginning of a line of `show table` tells from the others.
pub(super) fn entry<'t>(
    table: &'t SharedTable,
    text: &[u8],
    now: Tick,
) -> Result<EntryRef<'t>, Refusal> {
    let digits = text.strip_prefix(b"0x").ok_or(Refusal::PtrExpected)?;
    let digits = str::from_utf8(digits).map_err(|_| Refusal::PtrMalformed)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Refusal::PtrMalformed);
    }
    let id = u64::from_str_radix(digits, 16).map_err(|_| Refusal::PtrUnknown)?;
    table.get_by_id(id, now).ok_or(Refusal::PtrUnknown)
}

/// Returns the number in these bytes: decimal digits, with a minus sign before them or not.
pub(super) fn number(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let decimal = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(text).ok().filter(|_| decimal)?.parse().ok()
}

fn filter(declaration: &Declaration, words: &[&[u8]]) -> Result<Filter, FilterError> {
    let name = words[0].strip_prefix(b"data.").unwrap_or_default();
    let element = Element::parse(declaration, name).map_err(FilterError::Column)?;
    let comparison = words.get(1).and_then(|word| str::from_utf8(word).ok());
    let comparison = comparison.and_then(Comparison::from_name).ok_or(FilterError::Operator)?;
    let value = words.get(2).and_then(|text| number(text)).ok_or(FilterError::Value)?;
    Ok(Filter::value(element.data_type, element.index, comparison, value))
}

/// Returns the filters in these words, which follow three others of the command.
pub(super) fn filters(declaration: &Declaration, words: &[&[u8]]) -> Result<Vec<Filter>, Refusal> {
    let mut filters = Vec::new();
    for (at, words) in words.chunks(3).enumerate() {
        let filter = filter(declaration, words);
        filters.push(filter.map_err(|error| Refusal::Filter(at + 1, error))?);
        if filters.len() == FILTERS_MAX {
            break;
        }
    }
    if words.len() > 3 * FILTERS_MAX {
        let before = words[3 * FILTERS_MAX - 1].to_vec();
        return Err(Refusal::ExtraWord(3 + 3 * FILTERS_MAX + 1, before));
    }
    Ok(filters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<Vec<String>> {
        let text = |word: Vec<u8>| String::from_utf8(word).unwrap();
        commands(line.as_bytes()).map(|one| words(one).into_iter().map(text).collect()).collect()
    }

    #[test]
    fn backslashes_protect_blanks_semicolons_and_themselves() {
        assert_eq!(split(r"a\ b c\\ d\;e;f"), [vec!["a b", r"c\", "d;e"], vec!["f"]]);
        assert_eq!(split(r"a\tb \"), [vec!["atb", r"\"]]);
        assert_eq!(split("a\tb  c\r"), [vec!["a", "b", "c"]]);
        assert_eq!(split(" ;; a ; "), [vec!["a"]]);
        assert!(split("").is_empty());
    }

    #[test]
    fn numbers_are_whole() {
        assert_eq!(number(b"-5"), Some(-5));
        assert_eq!(number(b"9223372036854775807"), Some(i64::MAX));
        for wrong in ["", "-", "+5", "5x", "0x10", " 5", "9223372036854775808", "--5"] {
            assert_eq!(number(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
