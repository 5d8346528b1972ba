//! The largest values of tables, with their keys: only for who asks for that.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use stktable::{DataType, Tick};

use crate::shared::SharedTable;

/// Keys of one table.
const KEYS_MAX: usize = 1000;

/// How many keys of every table that stores a data type are shown, those with the largest values of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Top {
    /// What they are the largest of. Of an array, its first element.
    pub data_type: DataType,
    /// How many.
    pub keys: usize,
}

/// Why a word is no [`Top`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTop;

impl fmt::Display for NoTop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected a data type and how many keys, 1 to {KEYS_MAX}, such as http_req_rate=10"
        )
    }
}

impl std::error::Error for NoTop {}

impl FromStr for Top {
    type Err = NoTop;

    fn from_str(word: &str) -> Result<Self, NoTop> {
        let (name, keys) = word.split_once('=').ok_or(NoTop)?;
        let data_type = *DataType::ALL.iter().find(|known| known.name() == name).ok_or(NoTop)?;
        let keys = keys.parse().ok().filter(|keys| (1..=KEYS_MAX).contains(keys)).ok_or(NoTop)?;
        Ok(Self { data_type, keys })
    }
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Largest {
    pub(super) table: String,
    pub(super) data_type: DataType,
    pub(super) key: String,
    pub(super) value: i64,
}

/// Looks at every entry of the tables that store what is asked for. Stops no writer, but takes its time: not for a task of the runtime.
#[must_use]
pub fn largest(tables: &[Arc<SharedTable>], tops: &[Top], now: Tick) -> Vec<Largest> {
    let mut all = Vec::new();
    for (table, top) in tables.iter().flat_map(|table| tops.iter().map(move |top| (table, top))) {
        let data_type = top.data_type;
        if table.declaration().column(data_type).is_none() {
            continue;
        }
        let name = table.declaration().local_name();
        all.extend(table.top(top.keys, data_type, 0, now).into_iter().map(|(entry, value)| {
            Largest { table: name.clone(), data_type, key: entry.key().to_string(), value }
        }));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read() {
        let top = Top { data_type: DataType::HttpReqRate, keys: 10 };
        assert_eq!("http_req_rate=10".parse(), Ok(top));
        for wrong in [
            "",
            "http_req_rate",
            "http_req_rate=",
            "http_req_rate=0",
            "nope=1",
            "gpc0=1001",
            "gpc0=-1",
        ] {
            assert_eq!(wrong.parse::<Top>(), Err(NoTop), "{wrong}");
        }
    }
}
