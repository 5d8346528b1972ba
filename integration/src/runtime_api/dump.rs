//! The entries that `show table` prints, piece by piece.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::sync::Arc;

use stktable::Tick;
use stktable::table::{Filter, Glance, PrefixWalk, StickTable, Walk};

use super::line::{Form, header, header_json, line_json};
use super::parse::Element;
use super::query::Query;
use super::{PIECE_BYTES, PIECE_ENTRIES};
use crate::shared::SharedTable;

/// A dump under way. Between two pieces it holds no entry.
#[derive(Debug)]
pub(super) struct Dump {
    table: Arc<SharedTable>,
    filters: Vec<Filter>,
    /// `None` for JSON.
    form: Option<Form>,
    /// How many entries may still be printed.
    left: u64,
    has_begun: bool,
    place: Place,
    ranking: Option<Ranking>,
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

impl Dump {
    pub(super) fn new(table: Arc<SharedTable>, query: Query) -> Self {
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
        let form = (!query.json).then(|| Form::of(&table));
        Self { filters: query.filters, table, form, left, has_begun: false, place, ranking }
    }

    /// Appends the next lines. Returns whether there is more.
    pub(super) fn next(&mut self, now: Tick, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        if !std::mem::replace(&mut self.has_begun, true) {
            let begin = if self.form.is_none() { header_json } else { header };
            out.extend_from_slice(begin(&self.table).as_bytes());
        }
        let Self { table, filters, form, left, place, ranking, .. } = self;
        let form = form.as_ref();
        let write = |entry: Glance<'_>, out: &mut Vec<u8>| match form {
            Some(form) => form.line(entry, now, out),
            None => line_json(entry, now, out),
        };
        if let Some(ranking) = ranking.as_mut().filter(|ranking| ranking.sorted.is_some()) {
            let sorted = ranking.sort();
            for _ in 0..PIECE_ENTRIES {
                if out.len() - start >= PIECE_BYTES {
                    break;
                }
                let Some(key) = sorted.pop() else { break };
                let Ok(key) = table.declaration().key.key(&key) else { continue };
                table.get_with(&key, now, |entry| write(entry, out));
            }
            return !sorted.is_empty();
        }
        if *left == 0 {
            return false;
        }
        let mut looked = 0;
        let more = place.visit(table, now, |entry| {
            looked += 1;
            if Filter::all_pass(filters, entry, now) {
                match ranking {
                    Some(ranking) => ranking.take(entry, now),
                    None => {
                        write(entry, out);
                        *left -= 1;
                    }
                }
            }
            let ends = *left == 0 || looked >= PIECE_ENTRIES || out.len() - start >= PIECE_BYTES;
            if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        match ranking {
            Some(ranking) if !more => !ranking.sort().is_empty(),
            _ => more && *left > 0,
        }
    }
}
