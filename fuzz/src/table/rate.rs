//! A rate as the reference describes it, for one thread.

use stktable::data::freq_ctr::LAG_MAX_MS;

/// Three numbers: when the current period began, what was counted in it, and what in the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    start: u32,
    /// Events of the current period.
    pub current: u32,
    /// Events of the period before.
    pub previous: u32,
    /// The whole tick at which `start` was written, `None` while nothing was.
    written: Option<i128>,
    /// It was counted in when 32 bits did not tell how old it was; until it is set.
    lost: bool,
}

#[expect(clippy::cast_possible_truncation, reason = "ticks are stored in 32 bits")]
const fn low(now: u64) -> u32 {
    now as u32
}

/// A tick before now, perhaps before the origin.
fn before(now: u64, age_ms: u32) -> i128 {
    i128::from(now) - i128::from(age_ms)
}

impl Rate {
    /// Whether so much time went by that 32 bits do not tell how much.
    #[must_use]
    pub fn is_ambiguous(&self, now: u64) -> bool {
        let circle = (1_i128 << 32) - i128::from(LAG_MAX_MS) - 4;
        self.lost || self.written.is_some_and(|written| i128::from(now) - written >= circle)
    }

    /// Counts events.
    pub fn add(&mut self, now: u64, period_ms: u32, n: u32) {
        if low(now).wrapping_sub(self.start) < period_ms {
            self.current = self.current.wrapping_add(n);
            // An empty counter's start is 0 on the circle, as old as that says.
            let age = low(now).wrapping_sub(self.start);
            self.written.get_or_insert(before(now, age));
            return;
        }
        self.previous = core::mem::replace(&mut self.current, n);
        self.start = self.start.wrapping_add(period_ms);
        if low(now).wrapping_sub(self.start) >= period_ms {
            self.previous = 0;
            self.start = low(now);
        }
        self.start &= !1;
        self.written = Some(before(now, low(now).wrapping_sub(self.start)));
    }

    /// Sets it, as an operator does.
    pub fn set(&mut self, now: u64, value: u32) {
        let start = low(now) & !1;
        *self = Self { start, current: value, written: Some(now.into()), ..Self::default() };
    }

    /// Makes it what a peer sent. A start in the future is now; one that is long over is just over.
    pub fn learn(&mut self, now: u64, age_ms: u32, current: u32, previous: u32, period_ms: u32) {
        let age = if age_ms > u32::MAX - LAG_MAX_MS { 0 } else { age_ms };
        let age = age.min(period_ms.saturating_mul(2).saturating_add(2));
        let start = low(now).wrapping_sub(age) & !1;
        let written = Some(before(now, age));
        *self = Self { start, current, previous, written, lost: false };
    }

    /// Counts in a rate whose age is not known.
    pub fn lose(&mut self) {
        self.lost = true;
    }

    /// Returns the reading.
    #[must_use]
    pub fn read(&self, now: u64, period_ms: u32) -> u32 {
        let period = u64::from(period_ms);
        let elapsed = u64::from(low(now).wrapping_sub(self.start));
        let (current, previous, over) = if elapsed <= period {
            (self.current, self.previous, elapsed)
        } else if elapsed <= 2 * period {
            (0, self.current, elapsed - period)
        } else {
            return 0;
        };
        if current == 0 && previous <= 1 {
            return previous;
        }
        let total = u128::from(previous) * u128::from(period - over)
            + u128::from(current) * u128::from(period);
        u32::try_from(total / u128::from(period)).unwrap_or(u32::MAX)
    }
}
