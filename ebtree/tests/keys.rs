//! Every type of key: ordered as the type itself is, and a tree of it like a `BTreeMap`.
#![cfg(not(loom))]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Bound;
use std::panic::RefUnwindSafe;

use bolero::{TypeGenerator, check};
use ebtree::{Domain, EbTree, Key};

#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Operation {
    Insert,
    Remove,
    Get,
    Neighbours,
    PopFirst,
}

/// Two keys differ where their order is decided, seen from either.
fn is_ordered<K: Key + Ord + Debug>(a: &K, b: &K) {
    let at = a.first_difference(b);
    assert_eq!(at, b.first_difference(a));
    assert_eq!(at.is_none(), a == b);
    if let Some(at) = at {
        assert_eq!((a.bit(at), b.bit(at)), (a > b, b > a), "{a:?} and {b:?} at {at}");
    }
}

/// Any position has an answer, also one of another type.
fn answers_everywhere<K: Key>(key: &K) {
    for position in [0, 7, 8, 63, 64, 127, 128, 1000, u16::MAX - 8, u16::MAX] {
        let _ = key.bit(position);
    }
}

fn compare<K: Key + Ord + Debug>(steps: &[(Operation, K)]) {
    for pair in steps.windows(2) {
        is_ordered(&pair[0].1, &pair[1].1);
    }
    let ours = EbTree::new_in(Domain::with_batch(4));
    let mut oracle = BTreeMap::new();
    for (number, (operation, key)) in steps.iter().enumerate() {
        answers_everywhere(key);
        let own = |pair: Option<(&K, &usize)>| pair.map(|(key, value)| (key.clone(), *value));
        match operation {
            Operation::Insert => assert_eq!(
                ours.insert(key.clone(), number).map(|old| *old.value()),
                oracle.insert(key.clone(), number)
            ),
            Operation::Remove => {
                assert_eq!(ours.remove(key).map(|old| *old.value()), oracle.remove(key));
            }
            Operation::Get => {
                assert_eq!(ours.get(key).map(|it| *it.value()), oracle.get(key).copied());
            }
            Operation::Neighbours => {
                let pair = |entry: Option<ebtree::Entry<'_, K, usize>>| {
                    entry.map(|entry| (entry.key().clone(), *entry.value()))
                };
                assert_eq!(pair(ours.ge(key)), own(oracle.range(key..).next()));
                let above = (Bound::Excluded(key), Bound::Unbounded);
                assert_eq!(pair(ours.gt(key)), own(oracle.range(above).next()));
                assert_eq!(pair(ours.lt(key)), own(oracle.range(..key).next_back()));
                assert_eq!(pair(ours.le(key)), own(oracle.range(..=key).next_back()));
                assert_eq!(pair(ours.first()), own(oracle.first_key_value()));
                assert_eq!(pair(ours.last()), own(oracle.last_key_value()));
            }
            Operation::PopFirst => {
                assert_eq!(
                    ours.pop_first().map(|it| it.key().clone()),
                    oracle.pop_first().map(|it| it.0)
                );
            }
        }
    }
    let seen: Vec<K> = ours.iter().map(|entry| entry.key().clone()).collect();
    assert!(seen.iter().eq(oracle.keys()), "{seen:?}");
}

/// `spread` makes a key of few small numbers, so that keys meet, share prefixes and differ in single bits.
fn like_a_btree_map<K: Key + Ord + Debug>(spread: impl Fn(u8, u8) -> K + RefUnwindSafe) {
    check!().with_type::<Vec<(Operation, u8, u8)>>().for_each(|steps| {
        let steps: Vec<_> = steps
            .iter()
            .map(|(operation, high, low)| (*operation, spread(*high, *low & 3)))
            .collect();
        compare(&steps);
    });
}

macro_rules! integers {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            // A low number turned round: its bits stand at both ends.
            like_a_btree_map(|high, low| (low as $name) ^ (high as $name).rotate_right(5));
            for a in [$name::MIN, $name::MAX, 0, 1, $name::MAX - 1] {
                for b in [$name::MIN, $name::MAX, 0, 1, $name::MAX - 1] {
                    is_ordered(&a, &b);
                }
            }
        }
    )*};
}

#[expect(clippy::cast_possible_wrap, trivial_numeric_casts, reason = "any number will do")]
mod integers {
    use super::{is_ordered, like_a_btree_map};

    integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);
}

#[test]
fn ipv4() {
    like_a_btree_map(|high, low| Ipv4Addr::new(high & 0x81, 0, low, high));
}

#[test]
fn ipv6() {
    like_a_btree_map(|high, low| {
        Ipv6Addr::new(u16::from(high) << 8, 0, 0, u16::from(low), 0, 0, 0, u16::from(high & 3))
    });
}

#[test]
fn blocks_of_bytes() {
    like_a_btree_map(|high, low| [0, high, 0, low]);
    like_a_btree_map(|high, low| {
        let mut block = [0_u8; 300];
        block[usize::from(high)] = low;
        block
    });
    is_ordered(&[0_u8; 0], &[]);
    let mut last = [0_u8; 8191];
    last[8190] = 1;
    is_ordered(&[0; 8191], &last);
}
