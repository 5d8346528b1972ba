//! Tracking: an entry that counts an open connection.

use core::fmt;
use core::ops::Deref;

use super::{EntryRef, Event, StickTable, TableFull};
use crate::data::DataType;
use crate::key::Key;
use crate::tick::Tick;

/// Tracks an entry for as long as a connection lives: `conn_cur` counts it from its start to its end.
///
/// The end is counted when the tracker is dropped, on a panic too, exactly once.
pub struct Tracker<'t> {
    entry: EntryRef<'t>,
}

impl StickTable {
    /// Begins to track a key: creates the entry if it is absent, counts `conn_cnt`, `conn_rate` and `conn_cur`, and
    /// touches it.
    ///
    /// # Errors
    /// When there is no room for a new entry.
    ///
    /// # Panics
    /// When the key is of another table's type.
    pub fn track(&self, key: &Key, now: Tick) -> Result<Tracker<'_>, TableFull> {
        let entry = self.get_or_create(key, now)?;
        entry.count(Event::Connection, 1, now);
        entry.add(DataType::ConnCur, 0, 1, now);
        entry.touch(now);
        Ok(Tracker { entry })
    }
}

impl<'t> Deref for Tracker<'t> {
    type Target = EntryRef<'t>;

    fn deref(&self) -> &EntryRef<'t> {
        &self.entry
    }
}

impl Drop for Tracker<'_> {
    fn drop(&mut self) {
        self.entry.decrement(DataType::ConnCur);
        // At the latest time that the table was told.
        self.entry.touch(self.entry.table().clock());
    }
}

impl fmt::Debug for Tracker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.entry, f)
    }
}
