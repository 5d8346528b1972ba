//! By one thread.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ebtree::reclaim::Reclaimer;
use ebtree::{Cursor, EbMultiTree, EbPrefixTree, EbTree, Entry};

use super::support::{Census, Random, Value, all_end, frees};

pub(crate) fn is_like_a_btree_map<R: Reclaimer + Default>(new: impl Fn() -> R) {
    const STEPS: u64 = 20_000;
    for (seed, bits) in [(1, 0), (2, 5)] {
        let (reclaimer, census, mut random) = (new(), Census::default(), Random(seed));
        let tree = EbTree::builder().domain(reclaimer.clone()).fan_out(bits).build();
        let mut oracle = BTreeMap::new();
        for step in 0..STEPS {
            let key = random.below(256) << 56 | random.below(4);
            let there = oracle.get(&key).copied();
            match random.below(16) {
                0..4 => {
                    let old = tree.insert(key, census.value(step));
                    assert_eq!(old.map(|old| old.number()), oracle.insert(key, step));
                }
                4 => {
                    let inserted = tree.try_insert(key, census.value(step)).is_ok();
                    assert_eq!(inserted, there.is_none());
                    oracle.entry(key).or_insert(step);
                }
                5 => {
                    let entry = tree.get_or_insert_with(key, || census.value(step));
                    assert_eq!(entry.number(), *oracle.entry(key).or_insert(step));
                }
                6..9 => {
                    let old = tree.remove(&key);
                    assert_eq!(old.map(|old| old.number()), oracle.remove(&key));
                }
                9 => {
                    let new = tree.update(&key, |old| census.value(old.number() + 1));
                    assert_eq!(new.map(|new| new.number()), there.map(|old| old + 1));
                    oracle.entry(key).and_modify(|value| *value += 1);
                }
                10 => {
                    let change = tree.compute(&key, |old| {
                        old.is_none_or(|old| old.number() % 2 == 0).then(|| census.value(step))
                    });
                    let after = there.is_none_or(|old| old % 2 == 0).then_some(step);
                    assert_eq!(change.before.map(|old| old.number()), there);
                    assert_eq!(change.after.map(|new| new.number()), after);
                    match after {
                        Some(value) => oracle.insert(key, value),
                        None => oracle.remove(&key),
                    };
                }
                11 => {
                    if let Some(entry) = tree.get(&key) {
                        let new = tree.compare_exchange(&entry, census.value(step)).unwrap();
                        assert!(!tree.remove_entry(&entry) && tree.remove_entry(&new));
                        oracle.remove(&key);
                    }
                }
                12 => {
                    let first = tree.pop_first_if(|first, _| *first < key);
                    let expected = oracle.first_key_value().map(|(first, _)| *first);
                    let expected = expected.filter(|first| *first < key);
                    assert_eq!(first.map(|first| *first.key()), expected);
                    expected.map(|first| oracle.remove(&first));
                }
                13 => {
                    let keys: Vec<u64> = (0..40).map(|more| key.wrapping_add(more << 55)).collect();
                    let mut found = Vec::new();
                    tree.get_many_with(&keys, |_, value| found.push(value.map(Value::number)));
                    let expected: Vec<_> =
                        keys.iter().map(|key| oracle.get(key).copied()).collect();
                    assert_eq!(found, expected);
                    let kept = tree.get_many(&keys);
                    let kept = kept.iter().map(|entry| entry.as_ref().map(|entry| entry.number()));
                    assert!(kept.eq(expected));
                }
                14 => {
                    let (mut seen, mut left) = (Vec::new(), 300);
                    let _ = tree.range_with(key.., |key, value| {
                        seen.push((*key, value.number()));
                        left -= 1;
                        if left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                    });
                    let expected = oracle.range(key..).map(|(key, value)| (*key, *value));
                    assert!(expected.take(300).eq(seen));
                }
                _ => {
                    let mut cursor = Cursor::before(key);
                    let (next, prev) = (cursor.peek_next(&tree), cursor.prev(&tree));
                    let expected = oracle.range(key..).next().map(|(key, _)| *key);
                    assert_eq!(next.map(|next| *next.key()), expected);
                    let expected = oracle.range(..key).next_back().map(|(key, _)| *key);
                    assert_eq!(prev.map(|prev| *prev.key()), expected);
                }
            }
        }
        let entries = tree.iter().map(|entry| (*entry.key(), entry.number()));
        assert!(entries.eq(oracle.iter().map(|(key, value)| (*key, *value))));
        drop(tree);
        all_end(reclaimer, &census);
    }
}

pub(crate) fn every_value_is_dropped_once<R: Reclaimer + Default>(new: impl Fn() -> R) {
    let (reclaimer, census) = (new(), Census::default());
    let tree = EbTree::new_in(reclaimer.clone());
    for key in 0..1000_u64 {
        tree.insert(key, census.value(0));
        assert_eq!(tree.insert(key, census.value(1)).map(|old| old.number()), Some(0));
        assert!(tree.try_insert(key, census.value(2)).is_err());
    }
    for key in 0..500 {
        assert_eq!(tree.remove(&key).map(|old| old.number()), Some(1));
    }
    if !frees::<R>() {
        assert_eq!(census.alive(), 2000);
    }
    let rest: Vec<(u64, Value)> = tree.into_iter().collect();
    assert!(rest.iter().map(|(key, _)| *key).eq(500..1000));
    drop(rest);
    all_end(reclaimer, &census);
}

type Tree<R> = EbTree<u64, Value, R>;

/// A way to come by an entry.
type Way<R> = for<'a> fn(&'a Tree<R>, &Census) -> Entry<'a, u64, Value, R>;

/// All ways, each with the number of the value.
fn ways<R: Reclaimer>() -> [(u64, Way<R>); 15] {
    [
        (1, |tree, _| tree.get(&1).unwrap()),
        (2, |tree, census| tree.insert(2, census.value(20)).unwrap()),
        (3, |tree, _| tree.remove(&3).unwrap()),
        (200, |tree, census| tree.get_or_insert_with(200, || census.value(200))),
        (40, |tree, census| tree.update(&4, |_| census.value(40)).unwrap()),
        (5, |tree, _| tree.compute(&5, |_| None).before.unwrap()),
        (201, |tree, census| tree.compute(&201, |_| Some(census.value(201))).after.unwrap()),
        (6, |tree, _| tree.ge(&6).unwrap()),
        (0, |tree, _| tree.pop_first().unwrap()),
        (99, |tree, _| tree.pop_last().unwrap()),
        (99, |tree, _| tree.last().unwrap()),
        (7, |tree, _| tree.range(7..).next().unwrap()),
        (8, |tree, _| tree.get_many(&[8]).pop().flatten().unwrap()),
        (9, |tree, _| {
            let keys: Vec<u64> = (20..35).chain([9]).collect();
            tree.get_many(&keys).pop().flatten().unwrap()
        }),
        (10, |tree, census| tree.try_insert(10, census.value(11)).unwrap_err().0),
    ]
}

/// It is the only one that is kept: others would protect it too where a guard keeps everything.
pub(crate) fn a_kept_entry_stays_whatever_happens<R: Reclaimer + Default>(new: impl Fn() -> R) {
    for (number, way) in ways::<R>() {
        let (reclaimer, census) = (new(), Census::default());
        let tree = EbTree::new_in(reclaimer.clone());
        tree.insert_many((0..100_u64).map(|key| (key, census.value(key))));
        let kept = way(&tree, &census);
        tree.clear();
        for round in 0..2_000 {
            tree.insert(round % 50, census.value(round));
            tree.remove(&(round % 50));
            if round % 64 == 0 {
                reclaimer.flush();
            }
        }
        assert_eq!(kept.number(), number);
        drop(kept);
        drop(tree);
        all_end(reclaimer, &census);
    }
}

/// A value that changes its own tree when it ends.
struct Meddler<R: Reclaimer>(Option<Arc<EbTree<u64, Value, R>>>, Census);

impl<R: Reclaimer> Drop for Meddler<R> {
    fn drop(&mut self) {
        let Some(tree) = self.0.take() else { return };
        for key in 0..5 {
            tree.insert(key, self.1.value(key));
            if let Some(next) = tree.gt(&key) {
                assert_eq!(next.number(), *next.key());
                tree.remove_entry(&next);
            }
        }
        assert!(tree.iter().all(|entry| entry.number() == *entry.key()));
    }
}

pub(crate) fn closures_and_drops_may_use_the_tree<R: Reclaimer + Default>(new: impl Fn() -> R) {
    let (reclaimer, census) = (new(), Census::default());
    let tree = EbTree::new_in(reclaimer.clone());
    tree.insert_many((0..2_000_u64).map(|key| (key, census.value(key))));
    // A visitor and a predicate.
    let mut expected = 0;
    tree.for_each_in(.., |key, value| {
        assert_eq!((*key, value.number()), (expected, expected));
        expected += 2;
        tree.remove(key);
        tree.remove(&(key + 1));
        tree.insert(key / 2, census.value(key / 2));
        tree.remove(&(key / 2));
        assert!(tree.get_with(&(key + 2), |next| next.number() == key + 2).unwrap_or(true));
    });
    assert!(tree.is_empty() && expected == 2_000);
    tree.insert(1, census.value(1));
    assert!(!tree.remove_if(&1, |value| tree.remove(&1).is_none() && value.number() == 1));

    // Values that use a tree when they end.
    let others = EbTree::new_in(reclaimer.clone());
    let tree = Arc::new(tree);
    for key in 0..2_000_u64 {
        others.insert(key, Meddler(Some(Arc::clone(&tree)), census.clone()));
        others.remove(&key);
    }
    drop(others);
    tree.clear();
    for _ in 0..100_000 {
        if Arc::strong_count(&tree) == 1 || !frees::<R>() {
            break;
        }
        // With `seize` some ends wait in the thread's batch.
        for key in 0..64 {
            tree.insert(key, census.value(key));
            tree.remove(&key);
        }
        reclaimer.flush();
        std::thread::yield_now();
    }
    if frees::<R>() {
        let tree = Arc::into_inner(tree).expect("the values that used it are gone");
        drop(tree);
        all_end(reclaimer, &census);
    }
}

pub(crate) fn a_panic_in_a_closure_leaves_the_tree_usable<R: Reclaimer + Default>(
    new: impl Fn() -> R,
) {
    let (reclaimer, census) = (new(), Census::default());
    let tree = EbTree::new_in(reclaimer.clone());
    tree.insert_many((0..300_u64).map(|key| (key, census.value(key))));
    let panics = |run: &dyn Fn()| {
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    };
    panics(&|| tree.get_with(&5, |_| panic!("on purpose")).unwrap());
    panics(&|| tree.for_each_in(3.., |key, _| assert!(*key < 280, "on purpose")));
    panics(&|| assert!(tree.remove_if(&5, |_| panic!("on purpose"))));
    panics(&|| drop(tree.update(&5, |_| panic!("on purpose"))));
    panics(&|| drop(tree.pop_first_if(|_, _| panic!("on purpose"))));
    panics(&|| drop(tree.get_or_insert_with(1000, || panic!("on purpose"))));
    panics(&|| tree.get_many_with(&[1, 2, 3], |key, _| assert!(*key < 2, "on purpose")));
    assert!(tree.iter().map(|entry| entry.number()).eq(0..300));
    tree.clear();
    assert!(tree.is_empty());
    drop(tree);
    all_end(reclaimer, &census);
}

pub(crate) fn duplicates_and_prefixes_work_too<R: Reclaimer + Default>(new: impl Fn() -> R) {
    let (reclaimer, census) = (new(), Census::default());
    let timers = EbMultiTree::new_in(reclaimer.clone());
    for number in 0..1_000 {
        let Ok(entry) = timers.insert(number % 10, census.value(number));
        if number % 3 == 0 {
            assert!(timers.remove(&entry) && !timers.remove(&entry));
        }
    }
    let due: Vec<u64> = timers.drain_until(&4).map(|timer| timer.number()).collect();
    let mut expected: Vec<u64> = (0..1_000).filter(|n| n % 3 != 0 && n % 10 <= 4).collect();
    expected.sort_by_key(|number| (number % 10, *number));
    assert_eq!(due, expected);
    drop(timers);

    let networks: EbPrefixTree<Ipv4Addr, Value, R> = EbPrefixTree::new_in(reclaimer.clone());
    for length in [0_u8, 8, 16, 24, 32] {
        let prefix = format!("10.1.2.3/{length}").parse::<ebtree::Ipv4Prefix>();
        let prefix = prefix.or_else(|_| match length {
            0 => "0.0.0.0/0".parse(),
            8 => "10.0.0.0/8".parse(),
            16 => "10.1.0.0/16".parse(),
            _ => "10.1.2.0/24".parse(),
        });
        networks.insert(prefix.unwrap(), census.value(u64::from(length)));
    }
    let longest = |address: [u8; 4]| networks.longest_match(address.into()).unwrap();
    let kept = longest([10, 1, 2, 3]);
    assert_eq!((kept.value().number(), longest([10, 1, 2, 4]).value().number()), (32, 24));
    networks.remove(&"10.1.2.3/32".parse().unwrap());
    let covering = networks.covering(&"10.1.2.3/32".parse().unwrap());
    assert!(covering.map(|entry| entry.value().number()).eq([24, 16, 8, 0]));
    assert_eq!(kept.value().number(), 32);
    drop(kept);
    drop(networks);
    all_end(reclaimer, &census);
}
