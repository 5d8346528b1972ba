//! Values that are counted, and panics that are meant.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A value that is counted while it lives, and told from what a freed one leaves.
#[derive(Debug)]
pub struct Counted {
    number: u64,
    check: u64,
    alive: Arc<AtomicUsize>,
}

impl Counted {
    /// Makes one that is counted there.
    #[must_use]
    pub fn new(number: u64, alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Self { number, check: !number, alive: Arc::clone(alive) }
    }

    /// Returns its number.
    ///
    /// # Panics
    /// When this is not a value any more.
    pub fn number(&self) -> u64 {
        assert_eq!(self.check, !self.number, "not a value any more");
        self.number
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.number();
        self.check = self.number;
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a visitor that panics says.
#[derive(Debug)]
pub struct OnPurpose;

/// Returns what `run` returns, `None` where it panics on purpose.
pub fn purposely<T>(run: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(value) => Some(value),
        Err(panic) if panic.is::<OnPurpose>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

/// Panics, on purpose, if that is wished for.
pub fn perhaps_panic(panics: bool) {
    if panics {
        resume_unwind(Box::new(OnPurpose));
    }
}
