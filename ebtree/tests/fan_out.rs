//! A fanned-out root: the same map, whatever the roots and wherever the keys.
#![cfg(not(loom))]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use bolero::{TypeGenerator, check};
use ebtree::{Domain, EbTree, Entry, Key};

#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Operation {
    Insert(u8),
    TryInsert(u8),
    GetOrInsert(u8),
    Remove(u8),
    RemoveIf(u8, bool),
    Get(u8),
    Neighbours(u8),
    Ends,
    PopFirst,
    PopFirstIf(bool),
    PopLast,
    Range(u8, u8),
    DrainUntil(u8),
}

fn key_of<K: Key, V: Send + Sync>(entry: Option<Entry<'_, K, V>>) -> Option<K> {
    entry.map(|entry| entry.key().clone())
}

fn compare<K: Key + Ord + Debug>(
    ours: &EbTree<K, usize>,
    operations: &[Operation],
    key: impl Fn(u8) -> K,
) {
    let mut oracle: BTreeMap<K, usize> = BTreeMap::new();
    for (number, operation) in operations.iter().enumerate() {
        match *operation {
            Operation::Insert(k) => assert_eq!(
                ours.insert(key(k), number).map(|old| *old.value()),
                oracle.insert(key(k), number)
            ),
            Operation::TryInsert(k) => {
                let there = ours.try_insert(key(k), number).err().map(|(there, _)| *there.value());
                assert_eq!(there, oracle.get(&key(k)).copied());
                oracle.entry(key(k)).or_insert(number);
            }
            Operation::GetOrInsert(k) => assert_eq!(
                *ours.get_or_insert_with(key(k), || number).value(),
                *oracle.entry(key(k)).or_insert(number)
            ),
            Operation::Remove(k) => {
                assert_eq!(ours.remove(&key(k)).map(|old| *old.value()), oracle.remove(&key(k)));
            }
            Operation::RemoveIf(k, yes) => {
                let removed = ours.remove_if(&key(k), |_| yes);
                assert_eq!(removed, yes && oracle.remove(&key(k)).is_some());
            }
            Operation::Get(k) => {
                assert_eq!(ours.get_with(&key(k), |value| *value), oracle.get(&key(k)).copied());
                assert_eq!(key_of(ours.get(&key(k))).is_some(), ours.contains_key(&key(k)));
            }
            Operation::Neighbours(k) => {
                let key = key(k);
                let own = |pair: Option<(&K, &usize)>| pair.map(|(key, _)| key.clone());
                let above = (Bound::Excluded(&key), Bound::Unbounded);
                assert_eq!(key_of(ours.ge(&key)), own(oracle.range(&key..).next()));
                assert_eq!(key_of(ours.gt(&key)), own(oracle.range(above).next()));
                assert_eq!(key_of(ours.lt(&key)), own(oracle.range(..&key).next_back()));
                assert_eq!(key_of(ours.le(&key)), own(oracle.range(..=&key).next_back()));
            }
            Operation::Ends => {
                assert_eq!(key_of(ours.first()).as_ref(), oracle.keys().next());
                assert_eq!(key_of(ours.last()).as_ref(), oracle.keys().next_back());
                assert_eq!((ours.len(), ours.is_empty()), (oracle.len(), oracle.is_empty()));
            }
            Operation::PopFirst => {
                assert_eq!(key_of(ours.pop_first()), oracle.pop_first().map(|it| it.0));
            }
            Operation::PopFirstIf(yes) => {
                let mut asked = 0;
                let popped = key_of(ours.pop_first_if(|key, _| {
                    asked += 1;
                    assert_eq!(Some(key), oracle.keys().next(), "only the first one is judged");
                    yes
                }));
                assert_eq!(asked, usize::from(!oracle.is_empty()));
                assert_eq!(popped, yes.then(|| oracle.pop_first()).flatten().map(|it| it.0));
            }
            Operation::PopLast => {
                assert_eq!(key_of(ours.pop_last()), oracle.pop_last().map(|it| it.0));
            }
            Operation::Range(from, to) => {
                let (from, to) = (key(from.min(to)), key(from.max(to)));
                let seen: Vec<K> = ours.range(&from..&to).map(|it| it.key().clone()).collect();
                assert!(seen.iter().eq(oracle.range(from..to).map(|it| it.0)), "{seen:?}");
            }
            Operation::DrainUntil(end) => {
                let end = key(end);
                let drained: Vec<K> = ours.drain_until(&end).map(|it| it.key().clone()).collect();
                let rest = oracle.split_off(&end);
                let mut due = std::mem::replace(&mut oracle, rest);
                due.extend(oracle.remove_entry(&end));
                assert!(drained.iter().eq(due.keys()), "{drained:?}");
            }
        }
    }
    assert!(ours.iter().map(|it| it.key().clone()).eq(oracle.keys().cloned()));
    assert!(ours.iter().rev().map(|it| it.key().clone()).eq(oracle.keys().rev().cloned()));
    assert!(ours.clone().into_iter().rev().eq(oracle.clone().into_iter().rev()));
    for (key, value) in &oracle {
        let changed =
            ours.compute(key, |there| there.map(|there| there + 1).filter(|it| it % 2 == 0));
        assert_eq!(changed.before.map(|it| *it), Some(*value));
        assert_eq!(changed.after.map(|it| *it), Some(value + 1).filter(|it| it % 2 == 0));
        if let Some(entry) = ours.get(key) {
            assert!(ours.compare_exchange(&entry, *value).is_ok() && !ours.remove_entry(&entry));
        }
    }
    oracle.retain(|_, value| *value % 2 == 1);
    assert!(ours.iter().map(|it| (it.key().clone(), *it)).eq(oracle));
}

fn builder<K: Key>() -> ebtree::tree::Builder<K, usize> {
    EbTree::builder().domain(Domain::with_batch(4))
}

#[test]
fn like_a_btree_map() {
    type Input = (u8, u8, u8, Vec<Operation>);
    check!().with_type::<Input>().for_each(|(bits, first, last, operations)| {
        let bits = u32::from(bits % 7);
        // Everywhere in the range of the type, and closer together than the roots.
        let spread = |k: u8| u64::from(k) << 56 | u64::from(k);
        compare(&builder().fan_out(bits).build(), operations, spread);
        compare(
            &builder().fan_out_over(bits, spread(*first)..=spread(*last)).build(),
            operations,
            spread,
        );
        // Dense keys, within the range, beyond it on either side, and a range upside down.
        let dense = |k: u8| i16::from(k) - 100;
        compare(&builder().fan_out(bits).build(), operations, dense);
        compare(
            &builder().fan_out_over(bits, dense(*first)..=dense(*last)).build(),
            operations,
            dense,
        );
    });
}

#[test]
fn as_many_roots_as_are_promised() {
    let _ = builder::<u64>().fan_out(32).fan_out_over(32, 0..=9);
}

#[test]
#[should_panic(expected = "at most 2^32 roots")]
fn more_roots_are_refused() {
    let _ = builder::<u64>().fan_out(33);
}

#[test]
#[should_panic(expected = "at most 2^32 roots")]
fn more_roots_over_a_range_are_refused() {
    let _ = builder::<u64>().fan_out_over(33, 0..=9);
}

/// Of two keys the smaller one does not have the larger number; and first bits that differ are told apart.
fn follows_the_order<K: Key + Ord + Debug>(keys: impl IntoIterator<Item = K>) {
    let mut keys: Vec<K> = keys.into_iter().collect();
    keys.sort();
    assert!(keys.windows(2).all(|pair| pair[0].leading() <= pair[1].leading()), "{keys:?}");
    let (first, last) = (keys.first().unwrap().leading(), keys.last().unwrap().leading());
    assert!(first < 1 << 60 && last > u64::MAX - (1 << 60), "{first:x} to {last:x}");
}

#[test]
fn leading_bits_follow_the_order() {
    macro_rules! integers {
        ($($ty:ident)*) => {$(
            follows_the_order(
                (0..=<$ty>::BITS)
                    .flat_map(|bit| [<$ty>::MAX.checked_shr(bit), <$ty>::MIN.checked_shr(bit)])
                    .flatten()
                    .flat_map(|key| [key, !key, key.wrapping_add(1)]),
            );
        )*};
    }
    integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);
    follows_the_order((0..=255).map(|byte| Ipv4Addr::new(byte, 255 - byte, byte, 7)));
    follows_the_order((0..=255).map(|byte| Ipv6Addr::from([byte; 16])));
}

/// Keys that stay are met by every walk, in order, whatever comes and goes in the roots between them.
#[test]
fn a_walk_passes_no_key_over() {
    const STAYING: u64 = 64;
    let tree: EbTree<u64, u64> =
        EbTree::builder().domain(Domain::with_batch(32)).fan_out(8).build();
    let staying = |number: u64| (number << 58) + 1;
    for number in 0..STAYING {
        tree.insert(staying(number), number);
    }
    let (done, writes) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let mut writers = Vec::new();
        for writer in 0..3_u64 {
            let (tree, done, writes) = (&tree, &done, &writes);
            writers.push(scope.spawn(move || {
                let mut number = writer;
                while !done.load(Ordering::Relaxed) {
                    number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    let key = number & !3;
                    tree.insert(key, 0);
                    tree.remove(&key);
                    // In the roots of those that stay too.
                    let beside = staying(number % STAYING) + 1;
                    tree.insert(beside, 0);
                    tree.remove(&beside);
                    writes.fetch_add(4, Ordering::Relaxed);
                }
            }));
        }
        while writes.load(Ordering::Relaxed) < 50_000 {
            let mut last = None;
            let mut met = 0;
            for entry in &tree {
                assert!(last < Some(*entry.key()), "out of order");
                last = Some(*entry.key());
                if *entry.key() == staying(met) {
                    met += 1;
                }
            }
            assert_eq!(met, STAYING);
            for number in 0..STAYING {
                // What came between may be met first, but nothing beyond.
                assert!(tree.ge(&(number << 58)).is_some_and(|it| *it.key() <= staying(number)));
                assert!(
                    tree.le(&(staying(number) + 3)).is_some_and(|it| *it.key() >= staying(number))
                );
            }
        }
        done.store(true, Ordering::Relaxed);
        // One by one: the end of a scope is not seen by ThreadSanitizer.
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    });
}
