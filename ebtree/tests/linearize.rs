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

/// Lets `threads` threads loose on `keys` keys and returns what happened, key by key.
fn record(domain: Domain, threads: u64, keys: u64) -> BTreeMap<u64, History> {
    let tree = EbTree::new_in(domain);
    // SeqCst: the counter is what says which operation was over before which.
    let clock = AtomicU64::new(0);
    let (tree, clock, start) = (&tree, &clock, &Barrier::new(threads as usize));
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
                    let value = |entry: ebtree::Entry<'_, u64, u64>| *entry.value();
                    let began = clock.fetch_add(1, Ordering::SeqCst);
                    let (key, call) = match random.next() % 12 {
                        0 => (key, Call::Insert(new, tree.insert(key, new).map_or(ABSENT, value))),
                        1 | 2 => {
                            let old = tree.try_insert(key, new).err();
                            (key, Call::TryInsert(new, old.map_or(ABSENT, |(old, _)| value(old))))
                        }
                        3 => (
                            key,
                            Call::GetOrInsert(new, value(tree.get_or_insert_with(key, || new))),
                        ),
                        4..=6 => (key, Call::Remove(tree.remove(&key).map_or(ABSENT, value))),
                        7 => {
                            (key, Call::RemoveIfEven(tree.remove_if(&key, |v| v.is_multiple_of(2))))
                        }
                        // What an ordered operation returns was there at some instant of the call. What
                        // it does not return is no statement on one key.
                        8 => match tree.pop_first() {
                            Some(entry) => (*entry.key(), Call::Remove(value(entry))),
                            None => continue,
                        },
                        9 => match tree.ge(&key) {
                            Some(entry) => (*entry.key(), Call::Get(value(entry))),
                            None => continue,
                        },
                        10 => match tree.lt(&key) {
                            Some(entry) => (*entry.key(), Call::Get(value(entry))),
                            None => continue,
                        },
                        _ => (key, Call::Get(tree.get(&key).map_or(ABSENT, value))),
                    };
                    let ended = clock.fetch_add(1, Ordering::SeqCst);
                    events.push((key, Event { call, began, ended }));
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
            // Every second run reclaims at once, and so reuses addresses at once.
            let domain = if keys % 8 == 0 { Domain::new() } else { Domain::with_batch(1) };
            for (key, history) in record(domain, threads, keys) {
                assert!(is_linearizable(&history), "key {key}, {threads} threads: {history:?}");
                judged += history.iter().map(Vec::len).sum::<usize>();
            }
        }
    }
    println!("{judged} operations judged");
    assert!(judged as u64 > steps() * 9, "those that say nothing of a key are few");
}

#[test]
fn one_wrong_answer_is_noticed() {
    let mut flipped = 0;
    for threads in [2, 8] {
        for history in record(Domain::with_batch(1), threads, 4).into_values() {
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
    assert!(!judge(&[&[insert], &[event(Call::Get(7), 2, 2), event(Call::Get(ABSENT), 3, 3)]]));
    // Of two removals of one value, one gets it.
    let remove = |began| event(Call::Remove(7), began, began + 9);
    assert!(judge(&[&[insert], &[remove(5)], &[event(Call::Remove(ABSENT), 5, 14)]]));
    assert!(!judge(&[&[insert], &[remove(5)], &[remove(6)]]));
    assert!(judge(&[&[insert], &[event(Call::RemoveIfEven(false), 5, 6)]]));
    assert!(!judge(&[&[insert], &[event(Call::RemoveIfEven(true), 5, 6)]]));
    assert!(judge(&[&[insert], &[event(Call::GetOrInsert(9, 7), 5, 6)]]));
    assert!(!judge(&[&[insert], &[event(Call::TryInsert(9, ABSENT), 5, 6)]]));
}
