//! How long single operations take.

use std::time::Duration;

use hdrhistogram::Histogram;

/// A histogram of nanoseconds, up to a minute, with three digits.
#[derive(Clone, Debug)]
pub(crate) struct Taken(Histogram<u64>);

impl Taken {
    pub(crate) fn new() -> Self {
        // With bounds: a histogram that grows does not grow for what is recorded with saturation.
        Self(Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("valid bounds"))
    }

    #[inline]
    pub(crate) fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("the same bounds");
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    /// Returns what this part of all operations took at most.
    pub(crate) fn at(&self, part: f64) -> u64 {
        self.0.value_at_quantile(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_ones_are_kept_as_they_are() {
        let mut taken = Taken::new();
        (0..99).for_each(|_| taken.record(Duration::from_nanos(80)));
        taken.record(Duration::from_millis(7));
        let mut all = taken.clone();
        all.add(&taken);
        assert_eq!((all.len(), all.at(0.5)), (200, 80));
        // Three digits.
        assert!((6_990_000..=7_010_000).contains(&all.at(0.999)), "{}", all.at(0.999));
        all.record(Duration::from_secs(1_000_000));
        assert!(all.at(1.0) >= 60_000_000_000);
    }
}
