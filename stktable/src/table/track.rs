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
    /// What the entry has to live when it is touched.
    expire_ms: u32,
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
        self.track_for(key, self.delay_ms(), now)
    }

    /// As [`track`](Self::track), but the entry lives for `expire_ms` only, at most the table's time, after the start of the
    /// tracking and after its end.
    ///
    /// # Errors
    /// When there is no room for a new entry.
    ///
    /// # Panics
    /// When the key is of another table's type.
    pub fn track_for(
        &self,
        key: &Key,
        expire_ms: u32,
        now: Tick,
    ) -> Result<Tracker<'_>, TableFull> {
        let entry = self.get_or_create_for(key, expire_ms, now)?;
        Ok(Tracker::begin(entry, expire_ms, now))
    }
}

impl<'t> Tracker<'t> {
    pub(super) fn begin(entry: EntryRef<'t>, expire_ms: u32, now: Tick) -> Self {
        entry.count(Event::Connection, 1, now);
        entry.add(DataType::ConnCur, 0, 1, now);
        entry.touch_for(expire_ms, now);
        Self { entry, expire_ms }
    }

    /// Returns how many trackers and other references the entry has, this one among them: `sc_trackers`.
    #[must_use]
    pub fn trackers(&self) -> u32 {
        self.glance().trackers()
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
        self.entry.touch_for(self.expire_ms, self.entry.table().clock());
    }
}

impl fmt::Debug for Tracker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.entry, f)
    }
}
