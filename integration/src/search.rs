//! Which entries of a table are asked for, and how they are found, piece by piece: for the runtime API, and over HTTP.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::ops::ControlFlow;
use std::str;
use std::sync::Arc;

use stktable::table::{Filter, Glance, PrefixWalk, StickTable, Walk};
use stktable::{DataType, Declaration, Key, Prefix, Tick};

use crate::shared::SharedTable;

/// Entries that are sorted at most: they are kept until all have been looked at.
pub(crate) const SORTED_MAX: usize = 10_000;

/// Entries looked at for one piece.
pub(crate) const PIECE_ENTRIES: u32 = 256;

/// What is wrong with `data.TYPE[IDX]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnError {
    Unknown,
    NotStored,
    OutOfRange,
}

impl fmt::Display for ColumnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "Unknown data type",
            Self::NotStored => "Data type not stored in this table",
            Self::OutOfRange => "index out of range in this data array",
        })
    }
}

/// One element of a stored column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) data_type: DataType,
    pub(crate) index: u32,
}

impl Element {
    /// Returns the element of a table that `TYPE` or `TYPE[IDX]` names.
    pub(crate) fn parse(declaration: &Declaration, text: &[u8]) -> Result<Self, ColumnError> {
        let text = str::from_utf8(text).map_err(|_| ColumnError::Unknown)?;
        let (name, index) = match text.split_once('[') {
            None => (text, None),
            Some((name, rest)) => {
                let digits = rest.strip_suffix(']').ok_or(ColumnError::Unknown)?;
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(ColumnError::Unknown);
                }
                // Too many digits for a number are out of every range.
                (name, Some(digits.parse().unwrap_or(u32::MAX)))
            }
        };
        let data_type = DataType::from_name(name).ok_or(ColumnError::Unknown)?;
        if index.is_some() && !data_type.is_array() {
            return Err(ColumnError::Unknown);
        }
        let column = declaration.column(data_type).ok_or(ColumnError::NotStored)?;
        let index = index.unwrap_or(0);
        if index < column.elements {
            Ok(Self { data_type, index })
        } else {
            Err(ColumnError::OutOfRange)
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    /// Only entries that pass all of these.
    pub(crate) filters: Vec<Filter>,
    /// Only entries whose keys begin so.
    pub(crate) prefix: Option<Prefix>,
    /// Only entries that a walk meets after this key.
    pub(crate) after: Option<Key>,
    /// As many at most.
    pub(crate) limit: Option<u64>,
    /// The largest values first. Needs a limit, of [`SORTED_MAX`] at most.
    pub(crate) sort: Option<Element>,
}

/// Where a walk is.
#[derive(Debug)]
enum Place {
    All(Walk),
    Prefix(PrefixWalk),
}

impl Place {
    fn visit(
        &mut self,
        table: &StickTable,
        now: Tick,
        visit: impl FnMut(Glance<'_>) -> ControlFlow<()>,
    ) -> bool {
        match self {
            Self::All(walk) => walk.visit(table, now, visit),
            Self::Prefix(walk) => walk.visit(table, now, visit),
        }
    }
}

/// The entries with the largest values until now, and then those that are to be printed, the last first.
#[derive(Debug)]
struct Ranking {
    by: Element,
    most: usize,
    largest: BinaryHeap<Reverse<(i64, Box<[u8]>)>>,
    sorted: Option<Vec<Box<[u8]>>>,
}

impl Ranking {
    fn take(&mut self, entry: Glance<'_>, now: Tick) {
        let value = entry.fetch(self.by.data_type, self.by.index, now).unwrap_or(0);
        if self.largest.len() < self.most {
            self.largest.push(Reverse((value, entry.key_bytes().into())));
        } else if let Some(mut last) = self.largest.peek_mut()
            && last.0.0 < value
        {
            *last = Reverse((value, entry.key_bytes().into()));
        }
    }

    /// The keys, that of the largest value last.
    fn sort(&mut self) -> &mut Vec<Box<[u8]>> {
        let largest = &mut self.largest;
        self.sorted.get_or_insert_with(|| {
            let sorted = std::mem::take(largest).into_sorted_vec();
            sorted.into_iter().rev().map(|Reverse((_, key))| key).collect()
        })
    }
}

/// A search under way. Between two pieces it holds no entry, so that nothing is kept from expiring by whoever reads slowly.
#[derive(Debug)]
pub(crate) struct Search {
    table: Arc<SharedTable>,
    filters: Vec<Filter>,
    /// How many entries may still be given.
    left: u64,
    place: Place,
    ranking: Option<Ranking>,
}

impl Search {
    pub(crate) fn new(table: Arc<SharedTable>, query: Query) -> Self {
        let left = query.limit.unwrap_or(u64::MAX);
        let prefix = match (query.prefix, table.is_ordered()) {
            // In the order of the keys, where the table has it.
            (None, true) => table.declaration().key.prefix(&[], 0).ok(),
            (prefix, _) => prefix,
        };
        let place = match prefix {
            None => Place::All(query.after.map_or_else(Walk::new, |key| Walk::after(&table, &key))),
            Some(prefix) => Place::Prefix(match query.after {
                None => PrefixWalk::new(prefix),
                Some(key) => PrefixWalk::after(prefix, &table, &key),
            }),
        };
        let ranking = query.sort.map(|by| Ranking {
            by,
            most: usize::try_from(left).unwrap_or(usize::MAX),
            largest: BinaryHeap::new(),
            sorted: None,
        });
        Self { table, filters: query.filters, left, place, ranking }
    }

    /// Returns the table.
    pub(crate) const fn table(&self) -> &Arc<SharedTable> {
        &self.table
    }

    /// Gives the next entries to `give`, until it breaks or [`PIECE_ENTRIES`] have been looked at. Returns whether there may be more.
    pub(crate) fn next(
        &mut self,
        now: Tick,
        mut give: impl FnMut(Glance<'_>) -> ControlFlow<()>,
    ) -> bool {
        let Self { table, filters, left, place, ranking } = self;
        if let Some(ranking) = ranking.as_mut().filter(|ranking| ranking.sorted.is_some()) {
            let sorted = ranking.sort();
            for _ in 0..PIECE_ENTRIES {
                let Some(key) = sorted.pop() else { break };
                let Ok(key) = table.declaration().key.key(&key) else { continue };
                if table.get_with(&key, now, &mut give).is_some_and(|given| given.is_break()) {
                    break;
                }
            }
            return !sorted.is_empty();
        }
        if *left == 0 {
            return false;
        }
        let mut looked = 0;
        let more = place.visit(table, now, |entry| {
            looked += 1;
            let mut given = ControlFlow::Continue(());
            if Filter::all_pass(filters, entry, now) {
                match ranking {
                    Some(ranking) => ranking.take(entry, now),
                    None => {
                        given = give(entry);
                        *left -= 1;
                    }
                }
            }
            if *left == 0 || looked >= PIECE_ENTRIES { ControlFlow::Break(()) } else { given }
        });
        match ranking {
            Some(ranking) if !more => !ranking.sort().is_empty(),
            _ => more && *left > 0,
        }
    }

    /// Returns whether it ended because of its limit: there may be entries behind the last that was given.
    #[cfg(feature = "http")]
    pub(crate) const fn is_cut(&self) -> bool {
        self.left == 0 && self.ranking.is_none()
    }
}
