//! The one place that asks what time it is.

use std::time::{Duration, Instant, SystemTime};

use stktable::Tick;

/// A clock that never goes back. Copies of one clock tell the same time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    start: Tick,
}

/// 20 s before the low 32 bits of a tick wrap: a fault that only shows at the wrap shows soon after the
/// start, and not after 49.7 days.
const START: Tick = Tick((1 << 32) - 20_000);

impl Clock {
    /// Starts a clock.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: now(), start: START }
    }

    /// Returns the time.
    #[must_use]
    pub fn now(&self) -> Tick {
        let since = now().saturating_duration_since(self.origin);
        Tick(self.start.0 + u64::try_from(since.as_millis()).unwrap_or(u64::MAX - self.start.0))
    }

    /// Returns what the calendar says, which may be set at any time: for what is read by another process.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    /// Returns when a tick comes, or came, for a timer of the runtime.
    #[must_use]
    pub fn instant(&self, tick: Tick) -> Instant {
        self.origin + Duration::from_millis(tick.since(self.start))
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn now() -> Instant {
    Instant::now()
}
