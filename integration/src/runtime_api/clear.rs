//! `clear table`: one entry, those that pass filters, or all.

use std::sync::Arc;

use stktable::Tick;
use stktable::table::{Filter, Removed, Walk};

use super::parse::{self, Action, Refusal};
use super::{Api, Level, Reply, Work};
use crate::search::PIECE_ENTRIES;
use crate::shared::SharedTable;

impl Api {
    /// `clear table` and these words.
    pub(super) fn clear_table(
        &self,
        words: &[&[u8]],
        level: Level,
        now: Tick,
    ) -> Result<Reply, Refusal> {
        if level < Level::Operator {
            return Err(Refusal::PermissionDenied);
        }
        let (name, words) = words.split_first().ok_or(Refusal::Usage(Action::Clear))?;
        let table = self.table_to_change(name)?;
        let filters = match words {
            [b"key"] => return Err(Refusal::KeyExpected),
            [b"key", text] => {
                let key = parse::key(table.declaration(), text, Action::Clear)?;
                return match table.remove(&key, now) {
                    Removed::Busy => Err(Refusal::InUse),
                    Removed::Removed | Removed::Missing => Ok(Reply::text("")),
                };
            }
            [b"ptr"] => return Err(Refusal::PtrExpected),
            [b"ptr", text] => {
                // Let go of before it is removed: it would be in use.
                let key = parse::entry(&table, text, now)?.key();
                return match table.remove(&key, now) {
                    Removed::Busy => Err(Refusal::InUse),
                    Removed::Removed | Removed::Missing => Ok(Reply::text("")),
                };
            }
            [] => Vec::new(),
            [first, ..] if first.starts_with(b"data.") => {
                parse::filters(table.declaration(), words)?
            }
            _ => return Err(Refusal::Usage(Action::Clear)),
        };
        Ok(Reply::work(Work::Clear(Clear { table, walk: Walk::new(), filters })))
    }
}

/// The entries of a table that are still to be removed. Those in use stay.
#[derive(Debug)]
pub(super) struct Clear {
    table: Arc<SharedTable>,
    walk: Walk,
    filters: Vec<Filter>,
}

impl Clear {
    /// Removes the next entries. Returns whether there are more.
    pub(super) fn next(&mut self, now: Tick) -> bool {
        self.walk.remove(&self.table, &self.filters, PIECE_ENTRIES, now)
    }
}
