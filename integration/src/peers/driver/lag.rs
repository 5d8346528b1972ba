//! How far a peer is behind, and for how long.
//!
//! How many updates it has not acknowledged is the difference of two numbers. For how long the oldest of them has waited is
//! told by marks: now and then it is noted how far the table was, and when. An update is as old as the first mark at or
//! behind it, give or take the distance of two marks, which is a tenth of a second and grows with the time that they cover.

use std::collections::VecDeque;

use stktable::Tick;

/// How often a mark is made while a table changes.
pub(super) const MARK_MS: u32 = 100;
/// The most marks of a table. Beyond it every other one goes, and they are made half as often.
const MARKS_MAX: usize = 128;

/// When the updates of a table were made, roughly.
#[derive(Debug)]
pub(super) struct Marks {
    /// The last update then, and the time; both ascend.
    marks: VecDeque<(u64, Tick)>,
    /// How far marks are apart at least.
    step_ms: u64,
}

impl Default for Marks {
    fn default() -> Self {
        Self { marks: VecDeque::new(), step_ms: MARK_MS.into() }
    }
}

impl Marks {
    /// Notes how far the table is. Everybody has acknowledged `acked`.
    pub(super) fn note(&mut self, last_update: u64, acked: u64, now: Tick) {
        while self.marks.front().is_some_and(|(seq, _)| *seq <= acked) {
            self.marks.pop_front();
        }
        if self.marks.is_empty() {
            self.step_ms = MARK_MS.into();
        }
        let known = self.marks.back().map_or(acked, |(seq, _)| *seq);
        if last_update <= known {
            return;
        }
        if let Some((seq, at)) = self.marks.back_mut()
            && now.since(*at) < self.step_ms
        {
            *seq = last_update;
            return;
        }
        if self.marks.len() == MARKS_MAX {
            let mut keep = false;
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
            self.step_ms *= 2;
        }
        self.marks.push_back((last_update, now));
    }

    /// Returns for how many milliseconds the first update after this one has waited, as far as that is noted.
    pub(super) fn waited_ms(&self, acked: u64, now: Tick) -> u64 {
        let first = self.marks.partition_point(|(seq, _)| *seq <= acked);
        self.marks.get(first).map_or(0, |(_, at)| now.since(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_that_is_not_acknowledged_counts() {
        let mut marks = Marks::default();
        for step in 1..=5 {
            marks.note(10 * step, 0, Tick(1000 * step));
        }
        let now = Tick(6000);
        assert_eq!(marks.waited_ms(0, now), 5000);
        assert_eq!(marks.waited_ms(9, now), 5000);
        assert_eq!(marks.waited_ms(10, now), 4000);
        assert_eq!(marks.waited_ms(49, now), 1000);
        assert_eq!(marks.waited_ms(50, now), 0);
        // What everybody has is forgotten.
        marks.note(50, 30, now);
        assert_eq!(marks.marks.len(), 2);
        marks.note(50, 50, now);
        assert_eq!(marks.marks.len(), 0);
    }

    #[test]
    fn marks_are_bounded_and_the_oldest_stays() {
        let mut marks = Marks::default();
        for step in 1..=100_000 {
            marks.note(step, 0, Tick(50 * step));
        }
        assert!(marks.marks.len() <= MARKS_MAX);
        let now = Tick(5_000_000);
        assert_eq!(marks.waited_ms(0, now), 4_999_950);
        // All along, to a few hundredths of the whole.
        for acked in (0..100_000).step_by(1000) {
            let (told, real) = (marks.waited_ms(acked, now), 5_000_000 - 50 * (acked + 1));
            assert!(told.abs_diff(real) < 150_000, "{acked}: {told}, not {real}");
        }
        marks.note(100_000, 100_000, now);
        marks.note(100_001, 100_000, Tick(5_000_100));
        marks.note(100_002, 100_000, Tick(5_000_200));
        assert_eq!(marks.marks.len(), 2, "they are made as often as at first");
    }
}
