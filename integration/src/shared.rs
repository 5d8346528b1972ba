//! A table that the daemon's tasks share, and how it wakes them.
//!
//! A table calls [`Wake`] on the threads that packets pass through, so nothing here may
//! block: a signal is one flag and one waker, both atomic. What the runtime does to schedule the task that is
//! woken is the runtime's.

use std::fmt;
use std::future::poll_fn;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use arc_swap::ArcSwap;
use atomic_waker::AtomicWaker;
use stktable::Declaration;
use stktable::table::{Options, StickTable, Wake};

use crate::peers::session::Sources;

/// Raised by any thread, waited for by one task.
#[derive(Debug, Default)]
pub struct Signal {
    raised: AtomicBool,
    waker: AtomicWaker,
}

impl Signal {
    /// Raises the signal. Never blocks.
    pub fn raise(&self) {
        // Release: who sees it raised sees what was done before.
        self.raised.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Waits until the signal is raised, and lowers it. Only one task may wait at a time.
    pub async fn wait(&self) {
        poll_fn(|context| {
            // Registered first: a signal raised between the look and the sleep finds the waker.
            self.waker.register(context.waker());
            if self.raised.swap(false, Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// What a table signals.
#[derive(Debug, Default)]
struct Signals {
    expiry: Signal,
    updates: Arc<Signal>,
}

/// What the peers of a section have to do with a table.
#[derive(Clone, Debug, Default)]
pub enum Part {
    /// They are told what changes here, and what they say is learned.
    #[default]
    Shared,
    /// What each says is kept apart, and they are told nothing of it.
    Apart(Arc<Sources>),
    /// They are told, and nothing is learned from them.
    Told,
    /// The same, and only once they have been sent all there is to tell of the tables before it. No part of a lesson.
    ToldLast,
    /// What one of them says, kept apart from the others: written by its sessions alone.
    OfOne,
}

impl Part {
    /// Whether an operator may change entries: what is made of what peers say would differ from what they said.
    #[must_use]
    pub const fn is_set_by_hand(&self) -> bool {
        matches!(self, Self::Shared)
    }
}

/// Lets the table raise them.
struct Raise(Arc<Signals>);

impl Wake for Raise {
    fn expiry(&self) {
        self.0.expiry.raise();
    }

    fn updates(&self) {
        self.0.updates.raise();
    }
}

/// A [`StickTable`] with its signals. One task each may wait for them.
#[derive(Debug)]
pub struct SharedTable {
    table: Arc<StickTable>,
    signals: Arc<Signals>,
    /// The table that is also given what this one learns from peers.
    target: OnceLock<Arc<Self>>,
    part: OnceLock<Part>,
}

/// Why a table cannot be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteToError {
    /// Its keys are of another type or size.
    Keys,
    /// It is this very table, is written to another one itself, or this one has a target already.
    Chain,
}

impl fmt::Display for WriteToError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys => "the keys of the two tables are of another type or size",
            Self::Chain => "a table is written to one other table, which is written to no other",
        })
    }
}

impl std::error::Error for WriteToError {}

impl SharedTable {
    /// Makes an empty table.
    #[must_use]
    pub fn new(declaration: Declaration) -> Arc<Self> {
        Self::with(declaration, Options::new())
    }

    /// Makes an empty table with options, of which `wake` is set here.
    #[must_use]
    pub fn with(declaration: Declaration, options: Options) -> Arc<Self> {
        Self::telling(declaration, options, Arc::default())
    }

    /// Makes an empty table which raises this signal when it has updates, as others may too.
    pub(crate) fn telling(
        declaration: Declaration,
        options: Options,
        updates: Arc<Signal>,
    ) -> Arc<Self> {
        let signals = Arc::new(Signals { expiry: Signal::default(), updates });
        let options = options.wake(Raise(Arc::clone(&signals)));
        Arc::new(Self {
            table: Arc::new(StickTable::with(declaration, options)),
            signals,
            target: OnceLock::new(),
            part: OnceLock::new(),
        })
    }

    /// Returns the table itself, for who keeps it ([`OwnedTracker`](stktable::table::OwnedTracker)).
    #[must_use]
    pub const fn stick_table(&self) -> &Arc<StickTable> {
        &self.table
    }

    /// Sets what peers have to do with the table, before it is shared. Only the first call counts.
    pub fn set_part(&self, part: Part) {
        let _ = self.part.set(part);
    }

    /// Returns what peers have to do with the table.
    #[must_use]
    pub fn part(&self) -> &Part {
        self.part.get().unwrap_or(&Part::Shared)
    }

    /// Has what this table learns from peers also written to another one, before it is shared: `write-to`. Of each update only values are
    /// written there that nobody adds to ([`DataType::is_as_is`](stktable::DataType::is_as_is)), and the other table's peers are not told.
    ///
    /// # Errors
    /// When the keys differ, or it is written to a table itself, or this table has another target already.
    pub fn write_to(&self, target: &Arc<Self>) -> Result<(), WriteToError> {
        if target.declaration().key != self.declaration().key {
            return Err(WriteToError::Keys);
        }
        if std::ptr::eq(self, &raw const **target) || target.target.get().is_some() {
            return Err(WriteToError::Chain);
        }
        self.target.set(Arc::clone(target)).map_err(|_| WriteToError::Chain)
    }

    /// Returns the table that is also given what this one learns.
    #[must_use]
    pub fn target(&self) -> Option<&Arc<Self>> {
        self.target.get()
    }

    /// Raised when something is due earlier than [`StickTable::arm_expiry`] said.
    #[must_use]
    pub fn expiry_signal(&self) -> &Signal {
        &self.signals.expiry
    }

    /// Raised when there are updates after [`StickTable::arm_updates`] was called.
    #[must_use]
    pub fn updates_signal(&self) -> &Signal {
        &self.signals.updates
    }
}

impl Deref for SharedTable {
    type Target = StickTable;

    fn deref(&self) -> &StickTable {
        &self.table
    }
}

/// Tables that others look at while more are added.
#[derive(Debug, Default)]
pub struct TableSet {
    tables: ArcSwap<Vec<Arc<SharedTable>>>,
}

impl TableSet {
    /// Makes a set of these.
    #[must_use]
    pub fn new(tables: Vec<Arc<SharedTable>>) -> Arc<Self> {
        Arc::new(Self { tables: ArcSwap::from_pointee(tables) })
    }

    /// Returns those that are there now, in the order in which they came.
    #[must_use]
    pub fn all(&self) -> Arc<Vec<Arc<SharedTable>>> {
        self.tables.load_full()
    }

    /// Returns the table of this local name.
    #[must_use]
    pub fn find(&self, local_name: &str) -> Option<Arc<SharedTable>> {
        let tables = self.tables.load();
        tables.iter().find(|table| table.declaration().local_name() == local_name).cloned()
    }

    /// Adds one.
    pub fn add(&self, table: &Arc<SharedTable>) {
        self.tables.rcu(|tables| {
            let mut tables = Vec::clone(tables);
            tables.push(Arc::clone(table));
            tables
        });
    }

    /// Removes one.
    pub fn remove(&self, table: &Arc<SharedTable>) {
        self.tables.rcu(|tables| {
            let mut tables = Vec::clone(tables);
            tables.retain(|other| !Arc::ptr_eq(other, table));
            tables
        });
    }
}
