//! A request, and what is tracked for as long as it lives.

use std::sync::Arc;

use stktable::table::{Event, TrackedEntry};
use stktable::{DataType, Key};

use super::Connection;
use super::counters::Counters;
use crate::shared::SharedTable;

/// The `N` sticky counters of a request, behind which stand those of its connection; see the [module](super). It ends with its drop: what it
/// tracks is let go of then, on a panic too, and what the connection tracks is not.
#[derive(Debug)]
pub struct Request<const N: usize = 3> {
    connection: Arc<Connection<N>>,
    counters: Counters<N>,
}

impl<const N: usize> Request<N> {
    pub(super) const fn new(connection: Arc<Connection<N>>) -> Self {
        Self { connection, counters: Counters::new() }
    }

    /// Tracks a key in counter `n` until the request ends: `http-request track-scN`. Creates the entry if it is absent, and counts this
    /// request in it. Returns whether it does; not if the request or its connection tracks something there already, or the table has no room.
    ///
    /// # Panics
    /// When there is no counter `n`, or the key is of another table's type.
    pub fn track(&mut self, n: usize, table: &SharedTable, key: &Key) -> bool {
        if self.connection.entry(n).is_some() {
            return false;
        }
        let now = self.connection.clock().now();
        let tracks = self.counters.track(n, table, key, now);
        if tracks && let Some(entry) = self.counters.entry(n) {
            super::counters::count(&entry, Event::HttpRequest, 1, now);
        }
        tracks
    }

    /// Counts what a response with this status means.
    pub fn response(&self, status: u16) {
        match status {
            400..=499 => self.count(Event::HttpError, 1),
            501 | 505 => {}
            500..=599 => self.count(Event::HttpFailure, 1),
            _ => {}
        }
    }

    /// Counts that the request was refused by a rule, whatever the status of the answer.
    pub fn denied(&self) {
        self.count(Event::HttpError, 1);
    }

    /// Counts bytes of the client, in the counters that only the request has: those of its connection are counted by its
    /// [stream](Connection::stream).
    pub fn bytes_in(&self, n: u64) {
        self.counters.count(Event::BytesIn, n, self.connection.clock().now());
    }

    /// Counts bytes to the client, as [`bytes_in`](Self::bytes_in) does.
    pub fn bytes_out(&self, n: u64) {
        self.counters.count(Event::BytesOut, n, self.connection.clock().now());
    }

    /// Counts something `n` times in every counter of the request and of its connection that tracks something.
    pub fn count(&self, event: Event, n: u64) {
        self.counters.count(event, n, self.connection.clock().now());
        self.connection.count(event, n);
    }

    /// Returns the entry that counter `n` tracks, that of the connection if the request has none there.
    #[must_use]
    pub fn entry(&self, n: usize) -> Option<TrackedEntry<'_>> {
        self.counters.entry(n).or_else(|| self.connection.entry(n))
    }

    /// Returns what `sc_X(n)` returns: `None` where nothing is tracked, or the type is not stored.
    #[must_use]
    pub fn fetch(&self, n: usize, data_type: DataType, element: u32) -> Option<i64> {
        self.entry(n)?.fetch(data_type, element, self.connection.clock().now())
    }

    /// Returns the connection.
    #[must_use]
    pub const fn connection(&self) -> &Arc<Connection<N>> {
        &self.connection
    }
}
