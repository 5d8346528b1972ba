//! The map against `BTreeMap`, operation by operation.
#![cfg(not(loom))]

use std::collections::BTreeMap;
use std::ops::Bound;

use bolero::{TypeGenerator, check};
use ebtree::{Cursor, Domain, EbTree, Entry, Key};

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
    BothEnds(u8, u8, u64),
    Update(u8, u16),
    Compute(u8, Option<u16>),
    ReplaceIf(u8, u16, bool),
    CompareExchange(u8, u16, Meanwhile),
    RemoveEntry(u8, Meanwhile),
    Copy,
    Flush,
}

/// What happens to an entry between its reading and its use.
#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Meanwhile {
    Nothing,
    Replaced(u16),
    Removed,
    RemovedAndInserted,
}

impl Meanwhile {
    fn happen<K: Key + Ord>(self, ours: &EbTree<K, u16>, oracle: &mut BTreeMap<K, u16>, key: &K) {
        match self {
            Self::Nothing => {}
            Self::Replaced(value) => {
                ours.insert(key.clone(), value);
                oracle.insert(key.clone(), value);
            }
            Self::Removed => {
                assert_eq!(ours.remove(key).map(|entry| *entry), oracle.remove(key));
            }
            Self::RemovedAndInserted => {
                let value = ours.remove(key).map(|entry| *entry);
                value.into_iter().for_each(|value| drop(ours.insert(key.clone(), value)));
            }
        }
    }
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
            Operation::BothEnds(a, b, mut sides) => {
                let (low, high) = (key(a).min(key(b)), key(a).max(key(b)));
                let bounds = (Bound::Excluded(low.clone()), Bound::Included(high.clone()));
                let mut expected = oracle.range(bounds.clone());
                let mut walk = ours.range(bounds);
                loop {
                    let front = sides & 1 == 0;
                    sides = sides.rotate_right(1);
                    let (met, due) = if front {
                        (walk.next(), expected.next())
                    } else {
                        (walk.next_back(), expected.next_back())
                    };
                    let met = pair(met);
                    assert_eq!(met, owned(due), "{operation:?}");
                    if met.is_none() {
                        break;
                    }
                }
                assert!(walk.next().is_none() && walk.next_back().is_none());
            }
            Operation::Update(k, v) => {
                let new = ours.update(&key(k), |old| old ^ v).map(|entry| *entry);
                let expected = oracle.get_mut(&key(k)).map(|old| {
                    *old ^= v;
                    *old
                });
                assert_eq!(new, expected, "{operation:?}");
            }
            Operation::Compute(k, v) => {
                let change = ours.compute(&key(k), |there| {
                    assert_eq!(there, oracle.get(&key(k)), "{operation:?}");
                    v
                });
                assert_eq!(pair(change.after).map(|(_, v)| v), v);
                let before = match v {
                    Some(v) => oracle.insert(key(k), v),
                    None => oracle.remove(&key(k)),
                };
                assert_eq!(change.before.map(|entry| *entry), before, "{operation:?}");
            }
            Operation::ReplaceIf(k, v, yes) => {
                let replaced = ours.replace_if(&key(k), v, |_| yes).map(|entry| *entry);
                let there = oracle.get_mut(&key(k)).filter(|_| yes);
                let expected = there.map(|there| core::mem::replace(there, v));
                assert_eq!(replaced, expected.ok_or(v), "{operation:?}");
            }
            Operation::CompareExchange(k, v, meanwhile) => {
                let Some(entry) = ours.get(&key(k)) else { continue };
                meanwhile.happen(&ours, &mut oracle, &key(k));
                match ours.compare_exchange(&entry, v) {
                    Ok(new) => {
                        assert!(matches!(meanwhile, Meanwhile::Nothing), "{operation:?}");
                        assert_eq!(oracle.insert(new.key().clone(), *new), Some(*entry));
                    }
                    Err(refused) => {
                        assert!(!matches!(meanwhile, Meanwhile::Nothing), "{operation:?}");
                        assert_eq!(refused.new, v);
                        assert_eq!(refused.current.as_deref(), oracle.get(&key(k)));
                    }
                }
            }
            Operation::RemoveEntry(k, meanwhile) => {
                let Some(entry) = ours.get(&key(k)) else { continue };
                meanwhile.happen(&ours, &mut oracle, &key(k));
                let removed = ours.remove_entry(&entry);
                assert_eq!(removed, matches!(meanwhile, Meanwhile::Nothing), "{operation:?}");
                if removed {
                    assert_eq!(oracle.remove(&key(k)), Some(*entry));
                }
            }
            Operation::Copy => {
                let copy = ours.clone();
                copy.remove(&key(0));
                let all: Vec<_> = ours.clone().into_iter().rev().collect();
                let expected: Vec<_> = oracle.iter().rev().map(|(k, v)| (k.clone(), *v)).collect();
                assert_eq!(all, expected, "the copy is one of its own");
            }
            Operation::Flush => {
                ours.domain().flush();
                assert_eq!(ours.domain().unreclaimed(), 0, "nobody protects anything here");
            }
        }
        assert_eq!(ours.is_empty(), oracle.is_empty());
    }
    let walked: Vec<_> = ours.iter().map(|e| (e.key().clone(), *e.value())).collect();
    assert!(walked.iter().map(|(k, v)| (k, v)).eq(&oracle));
    let mut cursor = Cursor::end();
    let back = std::iter::from_fn(|| pair(cursor.prev(&ours))).take(walked.len() + 1);
    assert!(back.eq(walked.iter().rev().cloned()));
    let onward = std::iter::from_fn(|| pair(cursor.next(&ours))).take(walked.len() + 1);
    assert!(onward.eq(walked.iter().cloned()));
    assert!(ours.into_iter().eq(oracle));
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
