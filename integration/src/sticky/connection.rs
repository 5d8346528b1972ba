//! A connection, and what is tracked for as long as it lives.

use std::sync::Arc;

use stktable::table::{Event, TrackedEntry};
use stktable::{DataType, Key};

use super::counters::Counters;
use super::{Request, TrackedStream};
use crate::clock::Clock;
use crate::shared::SharedTable;

/// How a request ended before it was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// It cannot be read.
    Malformed,
    /// The client went away in the middle of it.
    Aborted,
    /// It was not whole in time.
    TimedOut,
}

/// The `N` sticky counters of a connection; see the [module](super). What they track is let go of by its drop, on a panic too.
#[derive(Debug)]
pub struct Connection<const N: usize = 3> {
    clock: Clock,
    counters: Counters<N>,
}

impl<const N: usize> Connection<N> {
    /// Begins a connection that tracks nothing yet.
    #[must_use]
    pub const fn new(clock: Clock) -> Self {
        Self { clock, counters: Counters::new() }
    }

    /// Tracks a key in counter `n` until the connection ends: `tcp-request connection track-scN`. Creates the entry if it is absent.
    /// Returns whether it does; not if that counter tracks something already, or the table has no room.
    ///
    /// # Panics
    /// When there is no counter `n`, or the key is of another table's type.
    pub fn track(&mut self, n: usize, table: &SharedTable, key: &Key) -> bool {
        self.counters.track(n, table, key, self.clock.now())
    }

    /// Counts a session in every counter that tracks something. To be called once, when the connection is let in.
    pub fn accepted(&self) {
        self.count(Event::Session, 1);
    }

    /// Begins a request, and counts it.
    #[must_use]
    pub fn request(self: &Arc<Self>) -> Request<N> {
        self.count(Event::HttpRequest, 1);
        Request::new(Arc::clone(self))
    }

    /// Counts a request that never became one.
    pub fn failed(&self, how: Failed) {
        self.count(Event::HttpRequest, 1);
        match how {
            Failed::Malformed | Failed::Aborted => self.count(Event::HttpError, 1),
            Failed::TimedOut => {}
        }
    }

    /// Wraps the stream of the connection, whose bytes are counted from now on.
    pub fn stream<S>(self: &Arc<Self>, stream: S) -> TrackedStream<S, N> {
        TrackedStream::new(stream, Arc::clone(self))
    }

    /// Counts something `n` times in every counter that tracks something: [`Event::Glitch`], say.
    pub fn count(&self, event: Event, n: u64) {
        self.counters.count(event, n, self.clock.now());
    }

    /// Returns the entry that counter `n` tracks, `None` if it tracks nothing.
    #[must_use]
    pub fn entry(&self, n: usize) -> Option<TrackedEntry<'_>> {
        self.counters.entry(n)
    }

    /// Returns what `sc_X(n)` returns: `None` where nothing is tracked, or the type is not stored.
    #[must_use]
    pub fn fetch(&self, n: usize, data_type: DataType, element: u32) -> Option<i64> {
        self.entry(n)?.fetch(data_type, element, self.clock.now())
    }

    /// Returns the clock.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }
}
