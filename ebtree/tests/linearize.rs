//! Histories of many threads on few keys: is there an order of the operations, one that respects which was over
//! before which began, in which a map of one thread gives the same answers?
//!
//! The keys of a map are independent of each other, so each key is judged alone (linearizability is local). The
//! judge is that of Wing and Gong with Lowe's memo of configurations seen. What has been done
//! is a count for each thread, since a thread does one operation at a time; so a configuration is a few numbers,
//! and a thread that was descheduled in the middle of an operation costs nothing extra.
//!
//! `LINEARIZE_STEPS` sets how many operations each of the twelve runs does.
#![cfg(not(loom))]
#![expect(clippy::cast_possible_truncation, reason = "counts of threads and of steps")]

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use ebtree::{Domain, EbTree};

/// A value, all different; 0: no value.
type Value = u64;
const ABSENT: Value = 0;

/// What was asked of one key, and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
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
struct Event {
    call: Call,
    began: u64,
    ended: u64,
}

/// The operations on one key, thread by thread in their order.
type History = Vec<Vec<Event>>;

/// Returns whether the history has a sequential order, beginning with no value.
fn is_linearizable(history: &History) -> bool {
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
        let first_end = pending().map(|event| event.ended).min().unwrap_or(u64::MAX);
        let mut candidates: Vec<_> = (0..history.len())
            .filter_map(|thread| next(&done, thread).map(|event| (thread, event)))
            .filter(|(_, event)| event.began < first_end)
            .collect();
        // The one that ended first is looked at first, so it is pushed last.
        candidates.sort_by_key(|(_, event)| std::cmp::Reverse(event.ended));
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

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

fn steps() -> u64 {
    let steps = std::env::var("LINEARIZE_STEPS").ok();
    steps.and_then(|steps| steps.parse().ok()).unwrap_or(8_000)
}

type Tree = EbTree<u64, Value>;

fn value(entry: Option<ebtree::Entry<'_, u64, Value>>) -> Value {
    entry.map_or(ABSENT, |entry| *entry)
}

/// Does one operation, and returns what it says of which keys: of none, where an ordered search found nothing.
fn one(tree: &Tree, key: u64, new: Value, keys: u64, random: &mut Random) -> Vec<(u64, Call)> {
    let found = |entry: ebtree::Entry<'_, u64, Value>, call: fn(Value) -> Call| {
        vec![(*entry.key(), call(*entry))]
    };
    let call = match random.next() % 20 {
        0 => Call::Insert(new, value(tree.insert(key, new))),
        1 | 2 => {
            let old = tree.try_insert(key, new).err();
            Call::TryInsert(new, value(old.map(|(old, _)| old)))
        }
        3 => Call::GetOrInsert(new, *tree.get_or_insert_with(key, || new)),
        4..=6 => Call::Remove(value(tree.remove(&key))),
        7 => Call::RemoveIfEven(tree.remove_if(&key, |v| v.is_multiple_of(2))),
        // What an ordered operation returns was there at some instant of the call. What
        // it does not return is no statement on one key.
        8 => return tree.pop_first().map_or(Vec::new(), |entry| found(entry, Call::Remove)),
        9 => return tree.ge(&key).map_or(Vec::new(), |entry| found(entry, Call::Get)),
        10 => return tree.lt(&key).map_or(Vec::new(), |entry| found(entry, Call::Get)),
        11 => {
            let mut seen = Vec::new();
            let _ = tree.range_with(key.., |key, value| {
                seen.push((*key, Call::Get(*value)));
                if seen.len() < 4 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            return seen;
        }
        12 => {
            let mut old = ABSENT;
            let change = |there: &Value| {
                old = *there;
                new
            };
            match tree.update(&key, change) {
                Some(_) => Call::Swap(old, new),
                None => Call::Get(ABSENT),
            }
        }
        13 => {
            // Inserts where nothing is, removes what is even, replaces what is odd.
            let change = tree.compute(&key, |there| {
                there.is_none_or(|there| !there.is_multiple_of(2)).then_some(new)
            });
            Call::Swap(value(change.before), value(change.after))
        }
        14 => {
            let Some(held) = tree.get(&key) else { return Vec::new() };
            match tree.compare_exchange(&held, new) {
                Ok(_) => Call::Swap(*held, new),
                Err(refused) => {
                    assert_ne!(refused.current.as_deref(), Some(&*held));
                    Call::Get(value(refused.current))
                }
            }
        }
        15 => match tree.replace_if(&key, new, |there| there.is_multiple_of(2)) {
            Ok(old) => Call::Swap(*old, new),
            Err(_) => Call::IsNotEven,
        },
        16 => {
            let Some(held) = tree.get(&key) else { return Vec::new() };
            if tree.remove_entry(&held) { Call::Swap(*held, ABSENT) } else { Call::IsNot(*held) }
        }
        17 => {
            let many: Vec<u64> = (0..keys.min(3)).map(|more| (key + more) % keys).collect();
            let mut seen = Vec::new();
            tree.get_many_with(&many, |key, value| {
                seen.push((*key, Call::Get(value.copied().unwrap_or(ABSENT))));
            });
            return seen;
        }
        18 => {
            let many: Vec<u64> = (0..keys.min(3)).map(|more| (key + more) % keys).collect();
            tree.insert_many(many.iter().map(|key| (*key, new)));
            return many.into_iter().map(|key| (key, Call::Put(new))).collect();
        }
        _ if new.is_multiple_of(2) => Call::Has(tree.contains_key(&key)),
        _ => Call::Get(value(tree.get(&key))),
    };
    vec![(key, call)]
}

/// Lets `threads` threads loose on `keys` keys and returns what happened, key by key.
fn record(tree: &Tree, threads: u64, keys: u64) -> BTreeMap<u64, History> {
    // SeqCst: the counter is what says which operation was over before which.
    let clock = AtomicU64::new(0);
    let (clock, start) = (&clock, &Barrier::new(threads as usize));
    let events: Vec<Vec<(u64, Event)>> = thread::scope(|scope| {
        let run = |id: u64| {
            scope.spawn(move || {
                let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (id << 32) ^ keys);
                let mut events = Vec::new();
                start.wait();
                for step in 1..=steps() / threads {
                    // Different for every call, and as often even as odd.
                    let new = (step << 8) | (id << 1) | (random.next() & 1) | (1 << 40);
                    let key = random.next() % keys;
                    let began = clock.fetch_add(1, Ordering::SeqCst);
                    let calls = one(tree, key, new, keys, &mut random);
                    let ended = clock.fetch_add(1, Ordering::SeqCst);
                    let event = |(key, call)| (key, Event { call, began, ended });
                    events.extend(calls.into_iter().map(event));
                }
                events
            })
        };
        let threads: Vec<_> = (0..threads).map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut histories = BTreeMap::new();
    for (thread, events) in events.into_iter().enumerate() {
        for (key, event) in events {
            let history: &mut History =
                histories.entry(key).or_insert_with(|| vec![Vec::new(); threads as usize]);
            history[thread].push(event);
        }
    }
    histories
}

#[test]
fn operations_on_a_key_are_linearizable() {
    let mut judged = 0;
    for threads in [2, 4, 8] {
        for keys in [1, 2, 8, 64] {
            // Every second run reclaims at once, and so reuses addresses at once; every second one has several roots.
            let domain = if keys % 8 == 0 { Domain::new() } else { Domain::with_batch(1) };
            let roots = if keys % 3 == 2 { 2 } else { 0 };
            let tree = EbTree::builder().domain(domain).fan_out_over(roots, 0..=keys).build();
            for (key, history) in record(&tree, threads, keys) {
                assert!(is_linearizable(&history), "key {key}, {threads} threads: {history:?}");
                judged += history.iter().map(Vec::len).sum::<usize>();
            }
        }
    }
    println!("{judged} operations judged");
    assert!(judged as u64 > steps() * 11, "those that say nothing of a key are few");
}

#[test]
fn one_wrong_answer_is_noticed() {
    let mut flipped = 0;
    for threads in [2, 8] {
        let tree = EbTree::new_in(Domain::with_batch(1));
        for history in record(&tree, threads, 4).into_values() {
            assert!(is_linearizable(&history));
            // What the first successful removal of the first thread gave, given once more by a later one.
            let mut removed = None;
            let mut wrong = history.clone();
            for at in 0..wrong[0].len() {
                match (wrong[0][at].call, removed) {
                    (Call::Remove(value), None) if value != ABSENT => removed = Some(value),
                    (Call::Remove(ABSENT), Some(value)) => {
                        wrong[0][at].call = Call::Remove(value);
                        flipped += 1;
                        assert!(!is_linearizable(&wrong));
                        break;
                    }
                    _ => {}
                }
            }
            // A value that was replaced or removed by then, seen at the very end.
            let end = history.iter().flatten().map(|event| event.ended).max().unwrap();
            let mut wrong = history.clone();
            let stale = wrong[0].iter().find_map(|event| match event.call {
                Call::Remove(value) if value != ABSENT => Some(value),
                _ => None,
            });
            let call = Call::Get(stale.expect("something was removed"));
            wrong[0].push(Event { call, began: end + 1, ended: end + 2 });
            assert!(!is_linearizable(&wrong));
        }
    }
    assert!(flipped > 0);
}

/// The judge itself, on histories small enough to judge by eye.
#[test]
fn the_judge_knows_what_may_overlap() {
    let event = |call, began, ended| Event { call, began, ended };
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
