//! The checks that a parsed and a built declaration have in common.

use super::{DeclareErrorKind as Kind, PERIOD_MIN_MS};
use crate::data::{ARRAY_MAX, Column, DataType};
use crate::tick::DELAY_MAX_MS;

/// Which array excludes which scalar.
const CONFLICTS: [(DataType, DataType); 5] = [
    (DataType::Gpt, DataType::Gpt0),
    (DataType::Gpc, DataType::Gpc0),
    (DataType::Gpc, DataType::Gpc1),
    (DataType::GpcRate, DataType::Gpc0Rate),
    (DataType::GpcRate, DataType::Gpc1Rate),
];

/// Checks the name of a table, a proxy or a section: it must survive being printed in a line.
pub(super) fn name(name: &str) -> Result<(), Kind> {
    if name.is_empty() {
        return Err(Kind::MissingName);
    }
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '\\' | '#');
    match name.chars().find(|c| odd(*c)) {
        Some(character) => Err(Kind::NameCharacter { character }),
        None => Ok(()),
    }
}

/// Checks the number of elements of an array.
pub(super) fn elements(data_type: DataType, elements: u32) -> Result<u32, Kind> {
    match elements {
        1..=ARRAY_MAX => Ok(elements),
        _ => Err(Kind::ArraySize { data_type }),
    }
}

/// Checks the period of a rate.
pub(super) fn period(data_type: DataType, period_ms: u32) -> Result<u32, Kind> {
    let argument = data_type.name();
    match period_ms {
        0..PERIOD_MIN_MS => Err(Kind::Underflow { argument, min_ms: PERIOD_MIN_MS }),
        PERIOD_MIN_MS..=DELAY_MAX_MS => Ok(period_ms),
        _ => Err(Kind::Overflow { argument, max: DELAY_MAX_MS }),
    }
}

/// Returns the pairs of positions in `columns` that cannot be together: the array's, the scalar's.
pub(super) fn conflicts(columns: &[Column]) -> impl Iterator<Item = (usize, usize, Kind)> {
    let position = |ty| columns.iter().position(|column| column.data_type == ty);
    CONFLICTS.into_iter().filter_map(move |(array, scalar)| {
        Some((position(array)?, position(scalar)?, Kind::Conflict { array, scalar }))
    })
}
