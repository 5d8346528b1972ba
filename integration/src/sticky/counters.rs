//! Some counters, each of which tracks an entry or none.

use stktable::Tick;
use stktable::table::{Event, OwnedTracker, TrackedEntry};

use crate::shared::SharedTable;

/// The counters of a connection, or of a request.
#[derive(Debug)]
pub(super) struct Counters<const N: usize>([Option<OwnedTracker>; N]);

impl<const N: usize> Counters<N> {
    pub(super) const fn new() -> Self {
        Self([const { None }; N])
    }

    /// Tracks a key in one that is free. Returns whether it does now.
    ///
    /// # Panics
    /// When there is no such counter, or the key is of another table's type.
    pub(super) fn track(
        &mut self,
        n: usize,
        table: &SharedTable,
        key: &stktable::Key,
        now: Tick,
    ) -> bool {
        let place = &mut self.0[n];
        if place.is_some() {
            return false;
        }
        let Ok(tracker) = table.track(key, now) else { return false };
        *place = Some(tracker.into_owned(table.stick_table()));
        true
    }

    /// Returns the entry that one tracks.
    pub(super) fn entry(&self, n: usize) -> Option<TrackedEntry<'_>> {
        self.0.get(n)?.as_ref().map(OwnedTracker::entry)
    }

    /// Counts in all of them, and tells peers.
    pub(super) fn count(&self, event: Event, n: u64, now: Tick) {
        for tracker in self.0.iter().flatten() {
            count(&tracker.entry(), event, n, now);
        }
    }
}

/// Counts in one entry. Where nothing of it is stored, nothing is done.
pub(super) fn count(entry: &TrackedEntry<'_>, event: Event, n: u64, now: Tick) {
    if entry.count(event, n, now).is_some() {
        entry.touch(now);
    }
}
