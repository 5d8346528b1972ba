//! Tracking: an entry that counts an open connection.

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::Deref;
use std::sync::Arc;

use super::entry_ref::Held;
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
    /// `conn_cur` with this one.
    open: Option<u64>,
}

/// A [`Tracker`] that keeps its table, and so may outlive whoever began it: [`Tracker::into_owned`].
pub struct OwnedTracker {
    table: Arc<StickTable>,
    held: Held,
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
        let open = entry.add(DataType::ConnCur, 0, 1, now);
        entry.touch_for(expire_ms, now);
        Self { entry, expire_ms, open }
    }

    /// Returns what `conn_cur` was once this tracker had raised it, `None` where it is not stored: of several that begin at once each
    /// has another one.
    #[must_use]
    pub const fn conn_cur(&self) -> Option<u64> {
        self.open
    }

    /// Returns the same tracker, which keeps its table. Nothing is counted by that.
    ///
    /// # Panics
    /// When it is not of this table.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use stktable::{DataType, Declaration, Key, KeySpec, StickTable, Tick};
    /// let declaration =
    ///     Declaration::builder("t", KeySpec::INTEGER).size(100).store(DataType::ConnCur).build()?;
    /// let (table, now) = (Arc::new(StickTable::new(declaration)), Tick(1_000));
    /// let owned = table.track(&Key::from(7), now)?.into_owned(&table);
    /// let elsewhere = std::thread::spawn(move || drop(owned));
    /// elsewhere.join().unwrap();
    /// assert_eq!(table.fetch(&Key::from(7), DataType::ConnCur, 0, now), Some(0));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn into_owned(self, table: &Arc<StickTable>) -> OwnedTracker {
        assert!(core::ptr::eq(Arc::as_ptr(table), self.entry.table()), "a tracker of this table");
        let (held, expire_ms) = (self.entry.held(), self.expire_ms);
        // Its end is that of the owned one.
        core::mem::forget(self);
        OwnedTracker { table: Arc::clone(table), held, expire_ms }
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

/// The entry of an [`OwnedTracker`]: everything that an [`EntryRef`] can do.
pub struct TrackedEntry<'o>(ManuallyDrop<EntryRef<'o>>);

impl OwnedTracker {
    /// Returns the entry.
    #[must_use]
    pub fn entry(&self) -> TrackedEntry<'_> {
        // It is the tracker that gives the reference back.
        TrackedEntry(ManuallyDrop::new(EntryRef::take_over(&self.table, self.held)))
    }

    /// Returns the table.
    #[must_use]
    pub const fn table(&self) -> &Arc<StickTable> {
        &self.table
    }
}

impl<'o> Deref for TrackedEntry<'o> {
    type Target = EntryRef<'o>;

    fn deref(&self) -> &EntryRef<'o> {
        &self.0
    }
}

impl fmt::Debug for TrackedEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl Drop for OwnedTracker {
    fn drop(&mut self) {
        let entry = EntryRef::take_over(&self.table, self.held);
        drop(Tracker { entry, expire_ms: self.expire_ms, open: None });
    }
}

impl fmt::Debug for OwnedTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedTracker")
            .field("table", &self.table.declaration().local_name())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Tracker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.entry, f)
    }
}
