//! Walks over all entries of a table.

use super::{EntryRef, StickTable};
use crate::index::keys::Position;
use crate::tick::Tick;

/// A walk over all entries. It holds nothing between two steps, so it may rest as long as it likes.
///
/// An entry that is alive during the whole walk is returned once; one that comes or goes meanwhile may or
/// may not be. The order is that of the hash.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    position: Position,
}

impl Walk {
    /// Begins a walk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the next entry that is alive and not over.
    pub fn next<'t>(&mut self, table: &'t StickTable, now: Tick) -> Option<EntryRef<'t>> {
        loop {
            let entry = table.keys.next(&mut self.position)?;
            if let Some(held) = table.enter(&entry, now) {
                return Some(held);
            }
        }
    }
}

impl StickTable {
    /// Walks over all entries.
    pub fn entries(&self, now: Tick) -> impl Iterator<Item = EntryRef<'_>> {
        self.observe(now);
        let mut walk = Walk::new();
        core::iter::from_fn(move || walk.next(self, now))
    }
}
