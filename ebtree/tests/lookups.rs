//! Look-ups by what stands for a key: the answers are those for the key itself, and nothing is allocated.
#![cfg(not(loom))]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Bound::{self, Excluded, Included, Unbounded};
use std::ops::{ControlFlow, RangeBounds};

use bolero::{TypeGenerator, check};
use ebtree::{ByteKey, Domain, EbMultiTree, EbTree, Key, Lookup, StrKey};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which counts for each thread.
struct Counting;

// SAFETY: everything is the system's; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the same contract.
        unsafe { System.dealloc(at, layout) };
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How often `run` allocates when it runs again: the first time a thread gets what it keeps.
fn allocations(mut run: impl FnMut()) -> usize {
    run();
    let before = ALLOCATIONS.get();
    run();
    ALLOCATIONS.get() - before
}

const WORDS: [&str; 6] = ["", "a", "abc", "abd", "b", "longer than a word of eight bytes"];

/// Everything that looks up, by one form of a key.
fn look_up<K: Lookup<Q>, Q: ?Sized>(tree: &EbTree<K, usize>, there: &Q, absent: &Q) {
    for (key, is_there) in [(there, true), (absent, false)] {
        assert_eq!(tree.get(key).is_some(), is_there);
        assert_eq!(tree.get_with(key, |_| ()).is_some(), is_there);
        assert_eq!(tree.contains_key(key), is_there);
        assert!(tree.ge(key).is_some() && tree.le(key).is_some());
        assert!(tree.gt(key).is_some() && tree.lt(key).is_some());
        assert!(!tree.remove_if(key, |_| false));
        assert!(tree.range_by(Included(key), Unbounded).count() > 1);
        assert!(tree.range_by(Unbounded, Excluded(key)).rev().count() > 1);
        let visit = |_: &K, _: &usize| ControlFlow::<()>::Continue(());
        assert!(tree.range_by_with(Excluded(key), Unbounded, visit).is_continue());
        assert!(tree.range_back_by_with(Unbounded, Included(key), visit).is_continue());
    }
    assert!(tree.remove(absent).is_none());
    assert!(tree.update(absent, |value| *value).is_none());
    assert!(tree.replace_if(absent, 0, |_| true).is_err());
}

#[test]
fn a_look_up_allocates_nothing() {
    let texts: EbTree<StrKey, usize> = EbTree::new_in(Domain::new());
    let bytes: EbTree<ByteKey, usize> = EbTree::builder().domain(Domain::new()).fan_out(3).build();
    let several: EbMultiTree<StrKey, usize> = EbMultiTree::new_in(Domain::new());
    for (value, word) in WORDS.into_iter().enumerate() {
        texts.insert(StrKey::new(word).unwrap(), value);
        bytes.insert(ByteKey::new(word.as_bytes()).unwrap(), value);
        for value in 0..3 {
            several.insert(StrKey::new(word).unwrap(), value).unwrap();
        }
    }
    assert_eq!(allocations(|| drop(StrKey::new("abd").unwrap())), 1, "the count counts");
    assert_eq!(allocations(|| look_up(&texts, "abd", "abdomen")), 0);
    assert_eq!(allocations(|| look_up(&bytes, &b"abd"[..], &b"abdomen"[..])), 0);
    assert_eq!(allocations(|| look_up(&bytes, b"abd", b"abx")), 0);
    let key = [StrKey::new("abd").unwrap(), StrKey::new("abdomen").unwrap()];
    assert_eq!(allocations(|| look_up(&texts, &key[0], &key[1])), 0);
    let by_text = || {
        for (key, count) in [("abd", 3), ("abdomen", 0)] {
            assert_eq!(several.get(key).map(|entry| *entry), (count > 0).then_some(0));
            assert_eq!(several.contains_key(key), count > 0);
            assert!(several.ge(key).is_some() && several.le(key).is_some());
            assert!(several.gt(key).is_some() && several.lt(key).is_some());
            assert_eq!(several.range_by(Included(key), Included(key)).count(), count);
            assert_eq!(several.range_by(Included(key), Included(key)).rev().count(), count);
        }
        assert!(several.remove_first("abdomen").is_none());
        assert_eq!(several.remove_all("abdomen"), 0);
    };
    assert_eq!(allocations(by_text), 0);
    // A removal costs no more than by the key itself.
    let keys = WORDS.map(|word| StrKey::new(word).unwrap());
    let removals = |remove: fn(&EbTree<StrKey, usize>, &StrKey) -> bool| {
        allocations(|| {
            for key in &keys {
                texts.insert(key.clone(), 0);
                assert!(remove(&texts, key));
            }
            texts.domain().flush();
        })
    };
    let by_key = removals(|texts, key| texts.remove(key).is_some());
    assert_eq!(removals(|texts, key| texts.remove(&**key).is_some()), by_key);
}

/// A text that few numbers make: of several beginnings, and of the lengths about the longest.
fn text(number: u8) -> String {
    match number % 32 {
        31 => "a".repeat(4095),
        30 => "a".repeat(4096),
        29 => "a".repeat(4091),
        28 => "a".repeat(4092) + "b",
        27 => "a".repeat(9000),
        26 => "a".repeat(4095) + "é",
        few => ["", "a", "é", "aaaaaaaa", "\0"][usize::from(few % 5)].repeat(usize::from(few / 5)),
    }
}

#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Operation {
    Insert,
    Remove,
    RemoveIf(bool),
    Get,
    GetMany,
    Update,
    ReplaceIf(bool),
    Neighbours,
    Range { other: u8, bounds: u8, turns: u8 },
}

fn bound<Q: ?Sized>(which: u8, key: &Q) -> Bound<&Q> {
    match which % 3 {
        0 => Unbounded,
        1 => Included(key),
        _ => Excluded(key),
    }
}

/// Runs the operations on a map and on a `BTreeMap`, with every look-up by what stands for a key.
fn compare<K, Q>(
    bits: u8,
    steps: &[(Operation, u8)],
    query: impl for<'t> Fn(&'t str) -> &'t Q,
    key: impl Fn(&str) -> Option<K>,
) where
    K: Lookup<Q> + AsRef<Q>,
    Q: Ord + ToOwned<Owned: Ord> + ?Sized,
{
    let ours: EbTree<K, usize> =
        EbTree::builder().domain(Domain::with_batch(4)).fan_out(u32::from(bits % 5)).build();
    let mut oracle: BTreeMap<Q::Owned, usize> = BTreeMap::new();
    let own =
        |pair: (&Q::Owned, &usize)| (std::borrow::Borrow::<Q>::borrow(pair.0).to_owned(), *pair.1);
    let pair = |entry: ebtree::Entry<'_, K, usize>| (entry.key().as_ref().to_owned(), *entry);
    for (number, (operation, which)) in steps.iter().enumerate() {
        let text_of_it = text(*which);
        let q = query(&text_of_it);
        match *operation {
            Operation::Insert => {
                let Some(key) = key(&text_of_it) else { continue };
                let old = ours.insert(key, number).map(|old| *old);
                assert_eq!(old, oracle.insert(q.to_owned(), number));
            }
            Operation::Remove => assert_eq!(ours.remove(q).map(|old| *old), oracle.remove(q)),
            Operation::RemoveIf(yes) => {
                let removed = ours.remove_if(q, |_| yes);
                assert_eq!(removed, yes && oracle.remove(q).is_some());
            }
            Operation::Get => {
                let there = oracle.get(q).copied();
                assert_eq!(ours.get(q).map(|entry| *entry), there);
                assert_eq!(ours.get_with(q, |value| *value), there);
                assert_eq!(ours.contains_key(q), there.is_some());
            }
            Operation::GetMany => {
                let texts: Vec<String> =
                    (0..20).map(|more| text(which.wrapping_add(more))).collect();
                let there: Vec<_> = texts.iter().map(|it| oracle.get(query(it)).copied()).collect();
                let found = ours.get_many(texts.iter().map(|it| query(it)));
                assert!(found.iter().map(|entry| entry.as_deref().copied()).eq(there.clone()));
                let mut seen = Vec::new();
                ours.get_many_with(texts.iter().map(|it| query(it)), |_, value| {
                    seen.push(value.copied());
                });
                assert_eq!(seen, there);
            }
            Operation::Update => {
                let new = oracle.get_mut(q).map(|value| {
                    *value += 1;
                    *value
                });
                assert_eq!(ours.update(q, |value| value + 1).map(|entry| *entry), new);
            }
            Operation::ReplaceIf(yes) => {
                let old = ours.replace_if(q, number, |_| yes).map(|old| *old).ok();
                let there = oracle.get_mut(q).filter(|_| yes);
                assert_eq!(old, there.map(|value| std::mem::replace(value, number)));
            }
            Operation::Neighbours => {
                let above = |start| oracle.range::<Q, _>((start, Unbounded)).next().map(own);
                let below = |end| oracle.range::<Q, _>((Unbounded, end)).next_back().map(own);
                assert!(ours.ge(q).map(pair) == above(Included(q)));
                assert!(ours.gt(q).map(pair) == above(Excluded(q)));
                assert!(ours.le(q).map(pair) == below(Included(q)));
                assert!(ours.lt(q).map(pair) == below(Excluded(q)));
            }
            Operation::Range { other, bounds, turns } => {
                let other = text(other);
                let ends = (bound(bounds, q), bound(bounds / 3, query(&other)));
                let is_inside =
                    |it: &(Q::Owned, usize)| ends.contains(std::borrow::Borrow::<Q>::borrow(&it.0));
                let inside: Vec<_> = oracle.iter().map(own).filter(is_inside).collect();
                let mut left = inside.iter();
                let mut walk = ours.range_by(ends.0, ends.1);
                for turn in 0..=inside.len() {
                    if turn == 3 {
                        walk = walk.clone();
                    }
                    let (seen, expected) = if turns >> (turn % 8) & 1 == 0 {
                        (walk.next(), left.next())
                    } else {
                        (walk.next_back(), left.next_back())
                    };
                    assert!(seen.map(pair).as_ref() == expected);
                }
                let mut seen = Vec::new();
                let mut visit = |key: &K, value: &usize| {
                    seen.push((key.as_ref().to_owned(), *value));
                    ControlFlow::<()>::Continue(())
                };
                assert!(ours.range_by_with(ends.0, ends.1, &mut visit).is_continue());
                assert!(ours.range_back_by_with(ends.0, ends.1, &mut visit).is_continue());
                let (upwards, downwards) = seen.split_at(inside.len());
                assert!(upwards.iter().eq(&inside) && downwards.iter().rev().eq(&inside));
            }
        }
    }
}

/// A form of a key, one by one.
macro_rules! like_a_btree_map {
    ($($name:ident: |$text:ident| $query:expr, $key:expr;)*) => {$(
        #[test]
        fn $name() {
            check!().with_type::<(u8, Vec<(Operation, u8)>)>().for_each(|(bits, steps)| {
                compare(*bits, steps, |$text: &str| $query, |$text: &str| $key);
            });
        }
    )*};
}

like_a_btree_map! {
    texts_by_text: |text| text, StrKey::new(text).ok();
    byte_strings_by_bytes: |text| text.as_bytes(), ByteKey::new(text.as_bytes()).ok();
}

#[test]
fn several_values_of_a_text() {
    check!().with_type::<Vec<(u8, u8, u8)>>().for_each(|steps| {
        let ours: EbMultiTree<StrKey, usize> = EbMultiTree::new_in(Domain::with_batch(4));
        // In the order of the map: keys, and then numbers that grow.
        let mut oracle: BTreeMap<(String, usize), ()> = BTreeMap::new();
        let pair =
            |entry: ebtree::multi::Entry<'_, StrKey, usize>| (entry.key().to_string(), *entry);
        for (number, (what, which, other)) in steps.iter().enumerate() {
            let (q, other) = (text(*which), text(*other));
            let of_it: Vec<_> = oracle.keys().filter(|key| key.0 == q).cloned().collect();
            match what % 5 {
                0 | 1 => {
                    let Ok(key) = StrKey::new(&q) else { continue };
                    if ours.insert(key, number).is_ok() {
                        oracle.insert((q, number), ());
                    } else {
                        assert!(q.len() > 4091);
                    }
                }
                2 => {
                    assert_eq!(ours.get(&*q).map(pair), of_it.first().cloned());
                    assert_eq!(ours.contains_key(&*q), !of_it.is_empty());
                    let above = |strictly: bool| {
                        oracle.keys().find(|key| if strictly { key.0 > q } else { key.0 >= q })
                    };
                    let below = |strictly: bool| {
                        oracle.keys().rfind(|key| if strictly { key.0 < q } else { key.0 <= q })
                    };
                    assert_eq!(ours.ge(&*q).map(pair).as_ref(), above(false));
                    assert_eq!(ours.gt(&*q).map(pair).as_ref(), above(true));
                    assert_eq!(ours.le(&*q).map(pair).as_ref(), below(false));
                    assert_eq!(ours.lt(&*q).map(pair).as_ref(), below(true));
                }
                3 => {
                    if number % 2 == 0 {
                        assert_eq!(ours.remove_first(&*q).map(pair), of_it.first().cloned());
                        of_it.first().map(|first| oracle.remove(first));
                    } else {
                        assert_eq!(ours.remove_all(&*q), of_it.len());
                        oracle.retain(|key, ()| key.0 != q);
                    }
                }
                _ => {
                    let ends = (bound(what / 5, &*q), bound(what / 15, &*other));
                    let inside = oracle.keys().filter(|key| ends.contains(&*key.0));
                    let inside: Vec<_> = inside.cloned().collect();
                    let walk = ours.range_by(ends.0, ends.1);
                    assert!(walk.clone().map(pair).eq(inside.iter().cloned()));
                    assert!(walk.rev().map(pair).eq(inside.into_iter().rev()));
                }
            }
        }
    });
}

/// Keys are what a look-up compares with, so a longer text is none of them; but it is in the order with them.
#[test]
fn a_longer_text_than_keys_may_be_is_nowhere() {
    let tree = EbTree::new_in(Domain::new());
    let longest = "z".repeat(StrKey::LENGTH_MAX);
    let longer = "z".repeat(StrKey::LENGTH_MAX + 1);
    for key in ["a", "z", &longest, "zz~"] {
        tree.insert(StrKey::new(key).unwrap(), key.len());
    }
    for beyond in [&longer, &(longest.clone() + "\0"), &"z".repeat(1 << 20)] {
        assert!(tree.get(&**beyond).is_none() && tree.remove(&**beyond).is_none());
        assert!(tree.get_with(&**beyond, |_| ()).is_none());
        assert_eq!(tree.le(&**beyond).map(|entry| *entry), Some(longest.len()));
        assert_eq!(tree.ge(&**beyond).map(|entry| *entry), Some(3));
        assert_eq!(tree.range_by(Excluded(&**beyond), Unbounded).count(), 1);
    }
    assert!(tree.contains_key(&*longest));
}

/// The methods that look up by a form answer as those of the key that it stands for.
#[test]
fn forms_are_read_as_keys_are() {
    let keys = || (0..32).map(text).filter_map(|text| StrKey::try_from(text).ok());
    for a in keys() {
        let leading = StrKey::leading_of(&*a);
        assert_eq!(
            (leading, <StrKey as Lookup<StrKey>>::leading_of(&a)),
            (a.leading(), a.leading())
        );
        for b in keys() {
            let at = a.first_difference(&b);
            assert_eq!(a.first_difference_from(&*b), at);
            assert_eq!(a.first_difference_from(&b), at);
            let Some(at) = at else { continue };
            assert_eq!(StrKey::bit_of(&*b, at), b.bit(at));
            let bytes = (ByteKey::from(a.clone()), b.as_bytes());
            assert_eq!(bytes.0.first_difference_from(bytes.1), Some(at));
            assert_eq!(ByteKey::bit_of(bytes.1, at), b.bit(at));
        }
    }
    let key = ByteKey::new(b"block").unwrap();
    assert_eq!(key.first_difference_from(b"block"), None);
    assert_eq!(ByteKey::leading_of(b"block"), key.leading());
}
