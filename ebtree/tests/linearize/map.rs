//! `EbTree`, key by key; what an ordered operation returns counts for the key that it returned.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use ebtree::{Domain, EbTree};

use crate::judge::{ABSENT, Call, Event, History, Value, by_key, is_linearizable};
use crate::{Random, Span, run, steps};

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
    by_key(run(threads, keys, steps(), |clock, turn, random| {
        // Different for every call, and as often even as odd.
        let new = (turn.step << 8) | (turn.thread << 1) | (random.next() & 1) | (1 << 40);
        let key = random.next() % keys;
        let (calls, span) = clock.time(|| one(tree, key, new, keys, random));
        calls.into_iter().map(|(key, call)| (key, Event { call, span })).collect()
    }))
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
            let end = history.iter().flatten().map(|event| event.span.ended).max().unwrap();
            let mut wrong = history.clone();
            let stale = wrong[0].iter().find_map(|event| match event.call {
                Call::Remove(value) if value != ABSENT => Some(value),
                _ => None,
            });
            let call = Call::Get(stale.expect("something was removed"));
            wrong[0].push(Event { call, span: Span { began: end + 1, ended: end + 2 } });
            assert!(!is_linearizable(&wrong));
        }
    }
    assert!(flipped > 0);
}
