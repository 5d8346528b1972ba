//! The judge of one key: what was asked of it, what was answered, and whether there is an order of that.
//!
//! That of Wing and Gong with Lowe's memo of configurations seen. What has been done
//! is a count for each thread, since a thread does one operation at a time; so a configuration is a few numbers,
//! and a thread that was descheduled in the middle of an operation costs nothing extra.

use std::collections::{BTreeMap, HashSet};

use crate::Span;

/// A value, all different; 0: no value.
pub(crate) type Value = u64;
pub(crate) const ABSENT: Value = 0;

/// What was asked of one key, and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Put the value there; what had been there.
    Insert(Value, Value),
    /// Put the value there unless there is one; what had been there.
    TryInsert(Value, Value),
    /// The same; what is there in the end.
    GetOrInsert(Value, Value),
    Remove(Value),
    /// Remove an even value; whether one was.
    RemoveIfEven(bool),
    Get(Value),
    /// Whether a value is there.
    Has(bool),
    /// Put another value in the place of a certain one, either of which may be none.
    Swap(Value, Value),
    /// Put the value there, whatever is there.
    Put(Value),
    /// Refused, since a certain value is not there.
    IsNot(Value),
    /// Refused, since no even value is there.
    IsNotEven,
}

impl Call {
    /// Returns what is there after the call, if its answer is right for what was there before.
    fn apply(self, before: Value) -> Option<Value> {
        let (right, after) = match self {
            Self::Insert(new, old) => (old == before, new),
            Self::TryInsert(new, old) => {
                (old == before, if before == ABSENT { new } else { before })
            }
            Self::GetOrInsert(new, got) => {
                let after = if before == ABSENT { new } else { before };
                (got == after, after)
            }
            Self::Remove(old) => (old == before, ABSENT),
            Self::RemoveIfEven(removed) => {
                let even = before != ABSENT && before.is_multiple_of(2);
                (removed == even, if even { ABSENT } else { before })
            }
            Self::Get(got) => (got == before, before),
            Self::Has(there) => (there == (before != ABSENT), before),
            Self::Swap(old, new) => (old == before, new),
            Self::Put(new) => (true, new),
            Self::IsNot(value) => (value != before, before),
            Self::IsNotEven => (before == ABSENT || !before.is_multiple_of(2), before),
        };
        right.then_some(after)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) call: Call,
    pub(crate) span: Span,
}

/// The operations on one key, thread by thread in their order.
pub(crate) type History = Vec<Vec<Event>>;

/// Returns whether the history has a sequential order, beginning with no value.
pub(crate) fn is_linearizable(history: &History) -> bool {
    const THREADS: usize = 9;
    type Done = [u32; THREADS];
    assert!(history.len() <= THREADS);
    let total: usize = history.iter().map(Vec::len).sum();
    let next = |done: &Done, thread: usize| history[thread].get(done[thread] as usize);

    let start = ([0; THREADS], ABSENT);
    let mut seen = HashSet::from([start]);
    let mut open = vec![start];
    while let Some((done, state)) = open.pop() {
        if done.iter().sum::<u32>() as usize == total {
            return true;
        }
        // Only what began before every open operation had ended can be next.
        let pending = || (0..history.len()).filter_map(|thread| next(&done, thread));
        let first_end = pending().map(|event| event.span.ended).min().unwrap_or(u64::MAX);
        let mut candidates: Vec<_> = (0..history.len())
            .filter_map(|thread| next(&done, thread).map(|event| (thread, event)))
            .filter(|(_, event)| event.span.began < first_end)
            .collect();
        // The one that ended first is looked at first, so it is pushed last.
        candidates.sort_by_key(|(_, event)| std::cmp::Reverse(event.span.ended));
        for (thread, event) in candidates {
            if let Some(after) = event.call.apply(state) {
                let mut done = done;
                done[thread] += 1;
                if seen.insert((done, after)) {
                    open.push((done, after));
                }
            }
        }
    }
    false
}

/// Sorts what threads did by keys.
pub(crate) fn by_key<K: Ord>(threads: Vec<Vec<(K, Event)>>) -> BTreeMap<K, History> {
    let count = threads.len();
    let mut histories = BTreeMap::new();
    for (thread, events) in threads.into_iter().enumerate() {
        for (key, event) in events {
            let history: &mut History =
                histories.entry(key).or_insert_with(|| vec![Vec::new(); count]);
            history[thread].push(event);
        }
    }
    histories
}

/// The judge itself, on histories small enough to judge by eye.
#[test]
fn the_judge_knows_what_may_overlap() {
    let event = |call, began, ended| Event { call, span: Span { began, ended } };
    let judge = |history: &[&[Event]]| {
        is_linearizable(&history.iter().map(|events| events.to_vec()).collect())
    };
    let insert = event(Call::Insert(7, ABSENT), 1, 4);
    // During the insert, either answer is right; after it, only one.
    assert!(judge(&[&[insert], &[event(Call::Get(7), 2, 3)]]));
    assert!(judge(&[&[insert], &[event(Call::Get(ABSENT), 2, 3)]]));
    assert!(judge(&[&[insert], &[event(Call::Get(7), 5, 6)]]));
    assert!(!judge(&[&[insert], &[event(Call::Get(ABSENT), 5, 6)]]));
    // Not seen after it was seen.
    assert!(!judge(&[&[insert], &[event(Call::Get(7), 2, 3), event(Call::Get(ABSENT), 3, 4)]]));
    // Of two removals of one value, one gets it.
    let remove = |began| event(Call::Remove(7), began, began + 9);
    assert!(judge(&[&[insert], &[remove(5)], &[event(Call::Remove(ABSENT), 5, 14)]]));
    assert!(!judge(&[&[insert], &[remove(5)], &[remove(6)]]));
    assert!(judge(&[&[insert], &[event(Call::RemoveIfEven(false), 5, 6)]]));
    assert!(!judge(&[&[insert], &[event(Call::RemoveIfEven(true), 5, 6)]]));
    assert!(judge(&[&[insert], &[event(Call::GetOrInsert(9, 7), 5, 6)]]));
    assert!(!judge(&[&[insert], &[event(Call::TryInsert(9, ABSENT), 5, 6)]]));
    // Each kind of answer after the insert of 7: what is right, and what is not.
    for (right, wrong) in [
        (Call::Has(true), Call::Has(false)),
        (Call::Swap(7, 9), Call::Swap(ABSENT, 9)),
        (Call::Swap(7, ABSENT), Call::Swap(9, ABSENT)),
        (Call::IsNot(9), Call::IsNot(7)),
        (Call::IsNotEven, Call::IsNot(7)),
    ] {
        assert!(judge(&[&[insert], &[event(right, 5, 6)]]), "{right:?}");
        assert!(!judge(&[&[insert], &[event(wrong, 5, 6)]]), "{wrong:?}");
    }
    let put = event(Call::Put(8), 5, 6);
    assert!(judge(&[&[insert], &[put, event(Call::Get(8), 7, 8)]]));
    assert!(!judge(&[&[insert], &[put, event(Call::Get(7), 7, 8)]]));
    assert!(!judge(&[&[insert], &[put, event(Call::IsNotEven, 7, 8)]]));
    // Of two that put another value in the place of 7, one does.
    let swap = |new| event(Call::Swap(7, new), 5, 9);
    assert!(!judge(&[&[insert], &[swap(8)], &[swap(9)]]));
}
