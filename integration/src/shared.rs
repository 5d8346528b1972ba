//! A table that the daemon's tasks share, and how it wakes them.
//!
//! A table calls [`Wake`] on the threads that packets pass through, so nothing here may
//! block: a signal is one flag and one waker, both atomic. What the runtime does to schedule the task that is
//! woken is the runtime's.

use std::future::poll_fn;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use atomic_waker::AtomicWaker;
use stktable::Declaration;
use stktable::table::{Options, StickTable, Wake};

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
    updates: Signal,
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
    table: StickTable,
    signals: Arc<Signals>,
}

impl SharedTable {
    /// Makes an empty table.
    #[must_use]
    pub fn new(declaration: Declaration) -> Arc<Self> {
        Self::with(declaration, Options::new())
    }

    /// Makes an empty table with options, of which `wake` is set here.
    #[must_use]
    pub fn with(declaration: Declaration, options: Options) -> Arc<Self> {
        let signals = Arc::new(Signals::default());
        let options = options.wake(Raise(Arc::clone(&signals)));
        Arc::new(Self { table: StickTable::with(declaration, options), signals })
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
