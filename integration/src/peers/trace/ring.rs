//! The last lines of a trace, in memory.
//!
//! Lines are entries of a tree by their numbers, so who reads holds up nobody, and who writes neither.

use std::sync::atomic::{AtomicU64, Ordering};

use ebtree::EbTree;

/// Lines that are kept.
const LINES_MAX: u64 = 4096;

/// A line.
#[derive(Debug)]
pub struct Line<'r> {
    /// Its number, from 0 on.
    pub number: u64,
    /// What it says, without its end.
    pub text: &'r str,
}

/// The last lines that were pushed: at most 4096, and one for each thread that pushes just now.
#[derive(Debug, Default)]
pub struct Ring {
    lines: EbTree<u64, Box<str>>,
    next: AtomicU64,
}

impl Ring {
    /// Adds a line. The oldest make room for it.
    pub fn push(&self, line: String) {
        // Numbers are given once; that a line is there before its number is seen as given matters to nobody.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.lines.insert(number, line.into_boxed_str());
        let Some(oldest) = number.checked_sub(LINES_MAX) else { return };
        // Others beside, of whoever was late.
        while self.lines.pop_first_if(|number, _| *number <= oldest).is_some() {}
    }

    /// Returns the number of the next line.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Returns how many lines made room for others.
    #[must_use]
    pub fn overwritten(&self) -> u64 {
        self.next().saturating_sub(LINES_MAX)
    }

    /// Shows the lines from this number on to `see`, until it returns false. Returns the number from which to go on.
    pub fn read(&self, from: u64, mut see: impl FnMut(Line<'_>) -> bool) -> u64 {
        let mut next = from;
        for entry in self.lines.range(from..) {
            next = *entry.key() + 1;
            if !see(Line { number: *entry.key(), text: entry.value() }) {
                break;
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_whoever_writes() {
        let ring = Ring::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let ring = &ring;
                scope.spawn(move || {
                    for line in 0..LINES_MAX {
                        ring.push(format!("{thread} {line}"));
                    }
                });
            }
        });
        let mut numbers = Vec::new();
        let next = ring.read(0, |line| {
            numbers.push(line.number);
            true
        });
        assert_eq!(numbers, (3 * LINES_MAX..4 * LINES_MAX).collect::<Vec<_>>());
        assert_eq!(
            (next, ring.next(), ring.overwritten()),
            (4 * LINES_MAX, 4 * LINES_MAX, 3 * LINES_MAX)
        );
        assert_eq!(ring.read(next - 5, |_| false), next - 4);
    }
}
