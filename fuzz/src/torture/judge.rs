//! Whether what threads were told of one key has an order, one that respects which call was over before which began.
//!
//! Wing and Gong's search with Lowe's memo of configurations. A configuration is how much each thread has done, and what is there.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is there of a key: 0 is nothing.
pub(super) type Value = u64;
pub(super) const ABSENT: Value = 0;

/// What was asked of one key, and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Put there; what was there.
    Insert(Value, Value),
    /// Put there unless something was; what was there.
    TryInsert(Value, Value),
    /// Taken away; what was there.
    Remove(Value),
    /// What was there.
    Get(Value),
    /// The second in place of the first, either of which may be none.
    Swap(Value, Value),
}

impl Call {
    /// Returns what is there afterwards, if the answer is right for what was there before.
    fn apply(self, before: Value) -> Option<Value> {
        let (right, after) = match self {
            Self::Insert(new, old) | Self::Swap(old, new) => (old == before, new),
            Self::TryInsert(new, old) => {
                (old == before, if before == ABSENT { new } else { before })
            }
            Self::Remove(old) => (old == before, ABSENT),
            Self::Get(got) => (got == before, before),
        };
        right.then_some(after)
    }
}

/// A call, and when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) call: Call,
    pub(super) began: u64,
    pub(super) ended: u64,
}

/// A clock of which no two readings are equal.
#[derive(Debug, Default)]
pub(super) struct Clock(AtomicU64);

impl Clock {
    /// Does something, and returns what it was, and when.
    pub(super) fn time(&self, run: impl FnOnce() -> Call) -> Event {
        // SeqCst: the counter is what says which call was over before which.
        let began = self.0.fetch_add(1, Ordering::SeqCst);
        let call = run();
        Event { call, began, ended: self.0.fetch_add(1, Ordering::SeqCst) }
    }
}

/// Returns what is there in the end, if there is an order of these calls, thread by thread in theirs, that begins with `start`.
pub(super) fn order(history: &[Vec<Event>], start: Value, end: Value) -> bool {
    let total: usize = history.iter().map(Vec::len).sum();
    let first = (vec![0_u32; history.len()], start);
    let mut seen = HashSet::from([first.clone()]);
    let mut open = vec![first];
    while let Some((done, there)) = open.pop() {
        if done.iter().map(|done| *done as usize).sum::<usize>() == total {
            if there == end {
                return true;
            }
            continue;
        }
        let next = |thread: usize| history[thread].get(done[thread] as usize);
        // Only what began before every open call had ended can be next.
        let first_end =
            (0..history.len()).filter_map(next).map(|event| event.ended).min().unwrap_or(u64::MAX);
        let mut candidates: Vec<_> = (0..history.len())
            .filter_map(|thread| next(thread).map(|event| (thread, event)))
            .filter(|(_, event)| event.began < first_end)
            .collect();
        // The one that ended first is looked at first, so it is pushed last.
        candidates.sort_by_key(|(_, event)| std::cmp::Reverse(event.ended));
        for (thread, event) in candidates {
            if let Some(after) = event.call.apply(there) {
                let mut done = done.clone();
                done[thread] += 1;
                if seen.insert((done.clone(), after)) {
                    open.push((done, after));
                }
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_may_come_in_any_order_and_nothing_else() {
        let event = |call, began, ended| Event { call, began, ended };
        let insert = vec![event(Call::Insert(7, ABSENT), 1, 4)];
        let with = |call, began, ended| [insert.clone(), vec![event(call, began, ended)]];
        for (call, began, ended, end, right) in [
            (Call::Get(7), 2, 3, 7, true),
            (Call::Get(ABSENT), 2, 3, 7, true),
            (Call::Get(7), 5, 6, 7, true),
            (Call::Get(ABSENT), 5, 6, 7, false),
            (Call::Remove(7), 5, 6, ABSENT, true),
            (Call::Remove(7), 5, 6, 7, false),
            (Call::Remove(ABSENT), 2, 3, 7, true),
            (Call::TryInsert(9, 7), 5, 6, 7, true),
            (Call::TryInsert(9, ABSENT), 5, 6, 9, false),
            (Call::Swap(7, 9), 5, 6, 9, true),
            (Call::Swap(8, 9), 5, 6, 9, false),
            (Call::Insert(9, 7), 5, 6, 9, true),
        ] {
            assert_eq!(order(&with(call, began, ended), ABSENT, end), right, "{call:?}");
        }
        // Of two that take the same value away, one does.
        let twice =
            [insert, vec![event(Call::Remove(7), 5, 9)], vec![event(Call::Remove(7), 6, 8)]];
        assert!(!order(&twice, ABSENT, ABSENT));
        assert!(order(&[vec![event(Call::Get(5), 1, 2)]], 5, 5));
    }
}
