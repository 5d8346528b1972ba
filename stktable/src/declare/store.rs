//! The value of `store`: data types between commas, some with values in parentheses.

use super::{DeclareErrorKind as Kind, PERIOD_MIN_MS, Word, advance, check, number};
use crate::data::{Column, DataType};

/// One data type of a `store` list.
pub(super) struct Item<'a> {
    /// The data type as written, with its values.
    pub(super) word: Word<'a>,
    /// What it says.
    pub(super) column: Result<Column, Kind>,
}

/// Returns every item of a `store` list. A comma at the very end is allowed.
pub(super) fn items(list: Word<'_>) -> impl Iterator<Item = Item<'_>> {
    let mut rest = Some(list.text);
    let mut column = list.column;
    core::iter::from_fn(move || {
        let text = rest?;
        let end = end_of_item(text);
        let word = Word { text: &text[..end], line: list.line, column };
        rest = text.get(end + 1..).filter(|after| !after.is_empty());
        column = advance(column, word.text).saturating_add(1);
        Some(Item { word, column: item(word.text) })
    })
}

/// Returns where the first comma outside parentheses is. An unclosed parenthesis reaches to the end.
fn end_of_item(text: &str) -> usize {
    let mut inside = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => inside = true,
            b')' => inside = false,
            b',' if !inside => return at,
            _ => {}
        }
    }
    text.len()
}

fn item(text: &str) -> Result<Column, Kind> {
    let name = &text[..text.find(['(', ')']).unwrap_or(text.len())];
    let data_type = DataType::from_name(name).ok_or(Kind::UnknownDataType)?;
    let rest = &text[name.len()..];
    let values = match rest.strip_prefix('(') {
        None if rest.is_empty() => None,
        None => return Err(Kind::UnexpectedStoreArgument { data_type }),
        Some(inner) => {
            let (inner, after) =
                inner.split_once(')').ok_or(Kind::MissingParenthesis { data_type })?;
            if !after.is_empty() {
                return Err(Kind::UnexpectedStoreArgument { data_type });
            }
            Some(inner)
        }
    };
    let mut values = values.map(|inner| inner.split(',')).into_iter().flatten();
    let mut value = || match values.next() {
        None | Some("") => Err(Kind::MissingStoreArgument { data_type }),
        Some(value) => Ok(value),
    };
    let elements = if data_type.is_array() { elements(data_type, value()?)? } else { 1 };
    let period_ms = if data_type.is_rate() { period(data_type, value()?)? } else { 0 };
    if values.next().is_some() {
        return Err(Kind::UnexpectedStoreArgument { data_type });
    }
    Ok(Column { data_type, elements, period_ms })
}

fn elements(data_type: DataType, text: &str) -> Result<u32, Kind> {
    let decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    let elements = if decimal { text.parse().unwrap_or(u32::MAX) } else { 0 };
    check::elements(data_type, elements)
}

fn period(data_type: DataType, text: &str) -> Result<u32, Kind> {
    check::period(data_type, number::time_ms(data_type.name(), text, PERIOD_MIN_MS)?)
}
