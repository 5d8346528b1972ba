//! The map against `BTreeMap`, operation by operation.
#![cfg(not(loom))]

use std::collections::BTreeMap;
use std::ops::Bound;

use bolero::{TypeGenerator, check};
use ebtree::{Domain, EbTree, Entry, Key};

/// Keys are drawn from few values, so that operations meet.
#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Operation {
    Insert(u8, u16),
    TryInsert(u8, u16),
    GetOrInsert(u8, u16),
    Remove(u8),
    RemoveIf(u8, bool),
    Get(u8),
    First,
    Last,
    PopFirst,
    PopLast,
    PopFirstIf(bool),
    Ge(u8),
    Gt(u8),
    Le(u8),
    Lt(u8),
    Range(u8, u8),
    Flush,
}

fn pair<K: Key, V: Copy + Send + Sync + 'static>(entry: Option<Entry<'_, K, V>>) -> Option<(K, V)> {
    entry.map(|entry| (entry.key().clone(), *entry.value()))
}

fn owned<K: Clone, V: Copy>(pair: Option<(&K, &V)>) -> Option<(K, V)> {
    pair.map(|(key, value)| (key.clone(), *value))
}

/// Runs the operations on both maps; `key` spreads the small numbers over the key type.
fn compare<K: Key + Ord + std::fmt::Debug>(operations: &[Operation], key: impl Fn(u8) -> K) {
    let ours = EbTree::new_in(Domain::with_batch(4));
    let mut oracle = BTreeMap::new();
    for operation in operations {
        match *operation {
            Operation::Insert(k, v) => {
                let old = ours.insert(key(k), v).map(|entry| *entry.value());
                assert_eq!(old, oracle.insert(key(k), v), "{operation:?}");
            }
            Operation::TryInsert(k, v) => {
                let there = ours.try_insert(key(k), v).err().map(|(entry, back)| {
                    assert_eq!(back, v);
                    *entry.value()
                });
                assert_eq!(there, oracle.get(&key(k)).copied(), "{operation:?}");
                oracle.entry(key(k)).or_insert(v);
            }
            Operation::GetOrInsert(k, v) => {
                let got = *ours.get_or_insert_with(key(k), || v).value();
                assert_eq!(got, *oracle.entry(key(k)).or_insert(v), "{operation:?}");
            }
            Operation::Remove(k) => {
                let removed = ours.remove(&key(k)).map(|entry| *entry.value());
                assert_eq!(removed, oracle.remove(&key(k)), "{operation:?}");
            }
            Operation::RemoveIf(k, yes) => {
                let removed = ours.remove_if(&key(k), |_| yes);
                assert_eq!(removed, yes && oracle.remove(&key(k)).is_some(), "{operation:?}");
            }
            Operation::Get(k) => {
                assert_eq!(ours.get_with(&key(k), |v| *v), oracle.get(&key(k)).copied());
                assert_eq!(pair(ours.get(&key(k))).map(|(_, v)| v), oracle.get(&key(k)).copied());
                assert_eq!(ours.contains_key(&key(k)), oracle.contains_key(&key(k)));
            }
            Operation::First => assert_eq!(pair(ours.first()), owned(oracle.first_key_value())),
            Operation::Last => assert_eq!(pair(ours.last()), owned(oracle.last_key_value())),
            Operation::PopFirst => assert_eq!(pair(ours.pop_first()), oracle.pop_first()),
            Operation::PopLast => assert_eq!(pair(ours.pop_last()), oracle.pop_last()),
            Operation::PopFirstIf(yes) => {
                let popped = pair(ours.pop_first_if(|_, _| yes));
                assert_eq!(popped, if yes { oracle.pop_first() } else { None });
            }
            Operation::Ge(k) => {
                assert_eq!(pair(ours.ge(&key(k))), owned(oracle.range(key(k)..).next()));
            }
            Operation::Gt(k) => {
                let above = (Bound::Excluded(key(k)), Bound::Unbounded);
                assert_eq!(pair(ours.gt(&key(k))), owned(oracle.range(above).next()));
            }
            Operation::Le(k) => {
                assert_eq!(pair(ours.le(&key(k))), owned(oracle.range(..=key(k)).next_back()));
            }
            Operation::Lt(k) => {
                assert_eq!(pair(ours.lt(&key(k))), owned(oracle.range(..key(k)).next_back()));
            }
            Operation::Range(a, b) => {
                let (low, high) = (key(a).min(key(b)), key(a).max(key(b)));
                let walked: Vec<_> = ours
                    .range(low.clone()..high.clone())
                    .map(|e| (e.key().clone(), *e.value()))
                    .collect();
                let expected: Vec<_> =
                    oracle.range(low..high).map(|(k, v)| (k.clone(), *v)).collect();
                assert_eq!(walked, expected, "{operation:?}");
            }
            Operation::Flush => {
                ours.domain().flush();
                assert_eq!(ours.domain().unreclaimed(), 0, "nobody protects anything here");
            }
        }
        assert_eq!(ours.is_empty(), oracle.is_empty());
    }
    let walked: Vec<_> = ours.iter().map(|e| (e.key().clone(), *e.value())).collect();
    assert_eq!(walked, oracle.into_iter().collect::<Vec<_>>());
}

#[test]
fn like_a_btree_map_with_near_keys() {
    check!().with_type().for_each(|operations: &Vec<Operation>| {
        compare(operations, |k| u64::from(k % 16));
        compare(operations, u32::from);
    });
}

#[test]
fn like_a_btree_map_with_keys_that_differ_in_one_bit() {
    check!().with_type().for_each(|operations: &Vec<Operation>| {
        compare(operations, |k| 1_u64 << (k % 64));
        compare(operations, |k| u32::MAX << (k % 32));
        compare(operations, |k| u64::from(k).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    });
}
