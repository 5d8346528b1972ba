//! Several values of one key: against a `BTreeMap` of queues, and beside other threads.
#![cfg(not(loom))]

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use bolero::{TypeGenerator, check};
use ebtree::multi::{Entry, MultiKey};
use ebtree::{ByteKey, Domain, EbMultiTree, StrKey};

#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Operation {
    Insert(u8),
    Get(u8),
    GetAll(u8),
    RemoveFirst(u8),
    RemoveAll(u8),
    RemoveOne(u8, u8),
    Neighbours(u8),
    PopFirst,
    PopFirstIf(bool),
    PopLast,
    Range(u8, u8, bool, bool),
    DrainUntil(u8),
    Retain(u8),
}

/// The values of each key, oldest first.
type Oracle<K> = BTreeMap<K, VecDeque<usize>>;

fn pair<K: MultiKey>(entry: Option<Entry<'_, K, usize>>) -> Option<(K, usize)> {
    entry.map(|entry| (entry.key().clone(), *entry))
}

fn all<K: Clone>(oracle: &Oracle<K>) -> Vec<(K, usize)> {
    let pairs = |(key, values): (&K, &VecDeque<usize>)| {
        values.iter().map(|value| (key.clone(), *value)).collect::<Vec<_>>()
    };
    oracle.iter().flat_map(pairs).collect()
}

fn take<K: Ord + Clone>(oracle: &mut Oracle<K>, key: &K, first: bool) -> Option<(K, usize)> {
    let values = oracle.get_mut(key)?;
    let value = if first { values.pop_front() } else { values.pop_back() };
    if values.is_empty() {
        oracle.remove(key);
    }
    value.map(|value| (key.clone(), value))
}

fn compare<K: MultiKey<Refusal: Debug> + Ord + Debug>(
    operations: &[Operation],
    key: impl Fn(u8) -> K,
) {
    // Few keys, so that they have many values.
    let key = |k: u8| key(k % 16);
    let ours = EbMultiTree::new_in(Domain::with_batch(4));
    let mut oracle = Oracle::new();
    for (number, operation) in operations.iter().enumerate() {
        match *operation {
            Operation::Insert(k) => {
                let inserted = ours.insert(key(k), number).unwrap();
                assert_eq!((inserted.key(), *inserted), (&key(k), number));
                oracle.entry(key(k)).or_default().push_back(number);
            }
            Operation::Get(k) => {
                let oldest = oracle.get(&key(k)).and_then(VecDeque::front);
                assert_eq!(ours.get(&key(k)).map(|entry| *entry).as_ref(), oldest);
                assert_eq!(ours.contains_key(&key(k)), oldest.is_some());
            }
            Operation::GetAll(k) => {
                let values = oracle.get(&key(k)).cloned().unwrap_or_default();
                assert!(ours.get_all(&key(k)).map(|entry| *entry).eq(values.clone()));
                assert!(
                    ours.get_all(&key(k)).rev().map(|entry| *entry).eq(values.into_iter().rev())
                );
            }
            Operation::RemoveFirst(k) => {
                assert_eq!(pair(ours.remove_first(&key(k))), take(&mut oracle, &key(k), true));
            }
            Operation::RemoveAll(k) => {
                let values = oracle.remove(&key(k)).unwrap_or_default();
                assert_eq!(ours.remove_all(&key(k)), values.len());
            }
            Operation::RemoveOne(k, which) => {
                let entry = ours.get_all(&key(k)).nth(usize::from(which % 4));
                if let Some(entry) = entry {
                    assert!(ours.remove(&entry) && !ours.remove(&entry));
                    let values = oracle.get_mut(&key(k)).unwrap();
                    values.retain(|value| *value != *entry);
                    oracle.retain(|_, values| !values.is_empty());
                }
            }
            Operation::Neighbours(k) => {
                let key = key(k);
                let oldest = |(key, values): (&K, &VecDeque<usize>)| (key.clone(), values[0]);
                let newest =
                    |(key, values): (&K, &VecDeque<usize>)| (key.clone(), values[values.len() - 1]);
                let above = (Bound::Excluded(&key), Bound::Unbounded);
                assert_eq!(pair(ours.ge(&key)), oracle.range(&key..).next().map(oldest));
                assert_eq!(pair(ours.gt(&key)), oracle.range(above).next().map(oldest));
                assert_eq!(pair(ours.lt(&key)), oracle.range(..&key).next_back().map(newest));
                assert_eq!(pair(ours.le(&key)), oracle.range(..=&key).next_back().map(newest));
                assert_eq!(pair(ours.first()), oracle.first_key_value().map(oldest));
                assert_eq!(pair(ours.last()), oracle.last_key_value().map(newest));
            }
            Operation::PopFirst => {
                let first = oracle.keys().next().cloned();
                let popped = first.and_then(|first| take(&mut oracle, &first, true));
                assert_eq!(pair(ours.pop_first()), popped);
            }
            Operation::PopFirstIf(yes) => {
                let first = oracle.keys().next().cloned().filter(|_| yes);
                let popped = first.and_then(|first| take(&mut oracle, &first, true));
                assert_eq!(pair(ours.pop_first_if(|_, _| yes)), popped);
            }
            Operation::PopLast => {
                let last = oracle.keys().next_back().cloned();
                let popped = last.and_then(|last| take(&mut oracle, &last, false));
                assert_eq!(pair(ours.pop_last()), popped);
            }
            Operation::Range(from, to, with_from, with_to) => {
                let (from, to) = (key(from.min(to)), key(from.max(to)));
                let bound =
                    |key, with| if with { Bound::Included(key) } else { Bound::Excluded(key) };
                if from < to {
                    let range = (bound(&from, with_from), bound(&to, with_to));
                    let inside: Oracle<K> = oracle
                        .range(range)
                        .map(|(key, values)| (key.clone(), values.clone()))
                        .collect();
                    let seen: Vec<_> =
                        ours.range(range).map(|it| (it.key().clone(), *it)).collect();
                    assert_eq!(seen, all(&inside));
                }
            }
            Operation::DrainUntil(end) => {
                let end = key(end);
                let drained: Vec<_> =
                    ours.drain_until(&end).map(|it| (it.key().clone(), *it)).collect();
                let mut due = oracle.clone();
                due.retain(|key, _| *key <= end);
                oracle.retain(|key, _| *key > end);
                assert_eq!(drained, all(&due));
            }
            Operation::Retain(modulus) => {
                let keep = |value: usize| value.is_multiple_of(usize::from(modulus % 4) + 1);
                ours.retain(|_, value| keep(*value));
                oracle.values_mut().for_each(|values| values.retain(|value| keep(*value)));
                oracle.retain(|_, values| !values.is_empty());
            }
        }
    }
    let seen: Vec<_> = ours.iter().map(|entry| (entry.key().clone(), *entry)).collect();
    assert_eq!(seen, all(&oracle));
    assert_eq!((ours.len(), ours.is_empty()), (seen.len(), seen.is_empty()));
    ours.clear();
    assert!(ours.is_empty());
}

macro_rules! like_a_map_of_queues {
    ($($name:ident $key:expr;)*) => {$(
        #[test]
        fn $name() {
            check!().with_type::<Vec<Operation>>().for_each(|operations| compare(operations, $key));
        }
    )*};
}

like_a_map_of_queues! {
    integers |k| u64::from(k) * 3;
    signed |k| i32::from(k) - 8;
    wide |k| u128::from(k) << 120 | 1;
    tuples |k| (k / 4, u64::from(k % 4));
    bytes |k| ByteKey::new(&[0, 1, 0, k][..usize::from(k % 5)]).unwrap();
    texts |k| StrKey::new(&"ab".repeat(usize::from(k))).unwrap();
}

#[test]
fn a_key_that_leaves_no_room_is_refused() {
    let tree: EbMultiTree<ByteKey, u8> = EbMultiTree::new_in(Domain::new());
    let of = |length: usize, last: u8| {
        let mut key = vec![7; length];
        key[length - 1] = last;
        ByteKey::try_from(key).unwrap()
    };
    for last in [1, 2, 1] {
        assert!(tree.insert(of(4091, last), last).is_ok());
    }
    assert!(tree.iter().map(|entry| *entry).eq([1, 1, 2]));
    let refused = tree.insert(of(4092, 1), 1).unwrap_err();
    assert_eq!((refused.length, refused.limit), (4092, 4091));
    assert_eq!(refused.to_string(), "a key of 4092 bytes, where 4091 are the limit");
    // Nothing is there under a key that cannot be.
    assert!(tree.get(&of(4095, 1)).is_none() && tree.remove_all(&of(4092, 1)) == 0);
}

/// Its number is used again, by another entry: the handle of the one that went removes nothing.
#[test]
fn a_handle_removes_its_own_entry_and_no_other() {
    let tree = EbMultiTree::new_in(Domain::new());
    let Ok(gone) = tree.insert(1_u32, "gone");
    assert_eq!(tree.remove_first(&1).map(|entry| *entry), Some("gone"));
    let Ok(there) = tree.insert(1, "there");
    assert!(!tree.remove(&gone) && tree.contains_key(&1));
    assert!(!gone.is_same(&there) && tree.get(&1).is_some_and(|entry| entry.is_same(&there)));
    assert!(tree.remove(&there));
}

/// Threads insert into few queues and take out of them: each value is taken once, and those of one thread in the
/// order in which it put them into a queue.
#[test]
fn queues_of_many_threads() {
    const EACH: u64 = 4_000;
    const KEYS: u64 = 3;
    let tree: EbMultiTree<u64, (u64, u64)> = EbMultiTree::new_in(Domain::with_batch(32));
    let taken = AtomicU64::new(0);
    let takers: Vec<Vec<(u64, (u64, u64))>> = thread::scope(|scope| {
        let givers = [0, 1].map(|thread| {
            let tree = &tree;
            scope.spawn(move || {
                for number in 0..EACH {
                    let Ok(entry) = tree.insert(number % KEYS, (thread, number));
                    assert_eq!(*entry, (thread, number));
                }
            })
        });
        let takers: Vec<_> = (0..2)
            .map(|taker| {
                let (tree, taken) = (&tree, &taken);
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    while taken.load(Ordering::Relaxed) < 2 * EACH {
                        let key = (taker + mine.len() as u64) % KEYS;
                        let entry = tree.remove_first(&key).or_else(|| tree.pop_first());
                        if let Some(entry) = entry {
                            mine.push((*entry.key(), *entry));
                            taken.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    mine
                })
            })
            .collect();
        // One by one: the end of a scope is not seen by ThreadSanitizer.
        givers.into_iter().for_each(|giver| giver.join().unwrap());
        takers.into_iter().map(|taker| taker.join().unwrap()).collect()
    });
    assert!(tree.is_empty());
    let mut all: Vec<_> = takers.iter().flatten().map(|(_, value)| *value).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq((0..2).flat_map(|thread| (0..EACH).map(move |n| (thread, n)))));
    for taker in takers {
        for key in 0..KEYS {
            for thread in 0..2 {
                let of =
                    |(k, (t, n)): &(u64, (u64, u64))| (*k == key && *t == thread).then_some(*n);
                let numbers: Vec<u64> = taker.iter().filter_map(of).collect();
                assert!(numbers.is_sorted(), "of {thread} in {key}: {numbers:?}");
            }
        }
    }
}
