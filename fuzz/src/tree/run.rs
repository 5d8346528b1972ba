//! A run of operations on a tree and on a `BTreeMap`, with guards that are kept.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bolero::TypeGenerator;
use ebtree::{Domain, EbTree, Entry, Key};

use super::counted::{Counted, perhaps_panic, purposely};
use super::{Nested, Operation};

/// A tree, its model, and guards that are kept.
pub(super) struct Run<'t, K: Key + Ord + Debug> {
    pub(super) ours: &'t EbTree<K, Counted>,
    pub(super) oracle: BTreeMap<K, u64>,
    alive: Arc<AtomicUsize>,
    /// Guards, with what they were when taken.
    pub(super) held: Vec<(Entry<'t, K, Counted>, K, u64)>,
    next: u64,
    batch: usize,
}

/// How a tree is made.
#[derive(Clone, Copy, Debug, TypeGenerator)]
#[expect(missing_docs, reason = "numbers that a fuzzer picks")]
pub struct Shape {
    pub batch: u8,
    pub roots: u8,
    pub over: Option<(u8, u8)>,
}

/// Runs the operations on a tree and on a `BTreeMap`, and compares each answer and what is left.
///
/// # Panics
/// When they differ, or when a value is dropped too early, twice, or never.
pub fn compare<K: Key + Ord + Debug>(
    shape: Shape,
    operations: &[Operation],
    key: impl Fn(u8) -> K + Copy,
) {
    let alive = Arc::new(AtomicUsize::new(0));
    let batch = usize::from(shape.batch % 9) + 1;
    let domain = Domain::with_batch(batch);
    let bits = u32::from(shape.roots % 6);
    let builder = EbTree::builder().domain(domain.clone());
    let ours = match shape.over {
        None => builder.fan_out(bits),
        Some((first, last)) => builder.fan_out_over(bits, key(first)..=key(last)),
    }
    .build();
    let oracle = BTreeMap::new();
    let alive_too = Arc::clone(&alive);
    let mut run = Run { ours: &ours, oracle, alive: alive_too, held: Vec::new(), next: 0, batch };
    for operation in operations {
        run.operation(*operation, key);
        run.invariants();
    }
    let walked: Vec<_> = ours.iter().map(|e| (e.key().clone(), e.value().number())).collect();
    assert!(walked.into_iter().eq(run.oracle.clone()));
    let present = run.oracle.len();
    drop(run);
    domain.flush();
    assert_eq!(domain.unreclaimed(), 0, "nobody protects anything");
    assert_eq!(alive.load(Ordering::Relaxed), present, "what was removed is dropped");
    drop(ours);
    assert_eq!(alive.load(Ordering::Relaxed), 0, "every value is dropped once");
}

impl<'t, K: Key + Ord + Debug> Run<'t, K> {
    pub(super) fn value(&mut self) -> Counted {
        self.next += 1;
        Counted::new(self.next, &self.alive)
    }

    /// Compares what was found with what should be, and perhaps keeps it.
    pub(super) fn found(
        &mut self,
        found: Option<Entry<'t, K, Counted>>,
        expected: Option<(K, u64)>,
        hold: bool,
    ) {
        let pair = found.as_ref().map(|entry| (entry.key().clone(), entry.value().number()));
        assert_eq!(pair, expected);
        if let (true, Some(entry), Some((key, number))) =
            (hold && self.held.len() < 40, found, pair)
        {
            self.held.push((entry, key, number));
        }
    }

    fn invariants(&self) {
        for (entry, key, number) in &self.held {
            assert_eq!(
                (entry.key(), entry.value().number()),
                (key, *number),
                "a guard's entry changed"
            );
        }
        assert_eq!(self.ours.is_empty(), self.oracle.is_empty());
        // A node and a leaf for each guard, and what the next scan is for.
        let bound = 2 * self.held.len() + self.batch.max(1) * 2 + 64;
        let unreclaimed = self.ours.domain().unreclaimed();
        assert!(unreclaimed <= bound, "{unreclaimed} objects kept, {} guards", self.held.len());
    }

    fn operation(&mut self, operation: Operation, key: impl Fn(u8) -> K + Copy) {
        let ours = self.ours;
        match operation {
            Operation::Insert { key: k, hold } => {
                let value = self.value();
                let old = self.oracle.insert(key(k), value.number());
                self.found(ours.insert(key(k), value), old.map(|old| (key(k), old)), hold);
            }
            Operation::TryInsert { key: k, hold } => {
                let value = self.value();
                let number = value.number();
                let there = self.oracle.get(&key(k)).map(|there| (key(k), *there));
                let found = ours.try_insert(key(k), value).err().map(|(entry, back)| {
                    assert_eq!(back.number(), number);
                    entry
                });
                self.found(found, there, hold);
                self.oracle.entry(key(k)).or_insert(number);
            }
            Operation::GetOrInsert { key: k, hold } => {
                let value = self.value();
                let number = value.number();
                let expected = *self.oracle.entry(key(k)).or_insert(number);
                let entry = ours.get_or_insert_with(key(k), || value);
                self.found(Some(entry), Some((key(k), expected)), hold);
            }
            Operation::Remove { key: k, hold } => {
                let expected = self.oracle.remove(&key(k)).map(|old| (key(k), old));
                self.found(ours.remove(&key(k)), expected, hold);
            }
            Operation::RemoveIf { key: k, yes, nested, panics } => {
                self.remove_if(k, yes, nested, panics, key)
            }
            Operation::Get { key: k, hold } => {
                let expected = self.oracle.get(&key(k)).map(|there| (key(k), *there));
                assert_eq!(ours.contains_key(&key(k)), expected.is_some());
                self.found(ours.get(&key(k)), expected, hold);
            }
            Operation::GetWith { key: k, nested, panics } => {
                let there = self.oracle.get(&key(k)).copied();
                let visited = purposely(|| {
                    ours.get_with(&key(k), |value| {
                        let before = value.number();
                        self.nested(nested, key);
                        assert_eq!(value.number(), before, "protected while it is visited");
                        perhaps_panic(panics);
                        before
                    })
                });
                match visited {
                    Some(seen) => assert_eq!(seen, there),
                    None => assert!(there.is_some() && panics),
                }
            }
            Operation::Search { key: k, which, hold } => {
                let k = key(k);
                let above = (Bound::Excluded(k.clone()), Bound::Unbounded);
                let oracle = &self.oracle;
                let (found, expected) = match which % 4 {
                    0 => (ours.ge(&k), oracle.range(k..).next()),
                    1 => (ours.gt(&k), oracle.range(above).next()),
                    2 => (ours.le(&k), oracle.range(..=k).next_back()),
                    _ => (ours.lt(&k), oracle.range(..k).next_back()),
                };
                let expected = expected.map(|(key, number)| (key.clone(), *number));
                self.found(found, expected, hold);
            }
            Operation::Ends { last, hold } => {
                let (found, expected) = if last {
                    (ours.last(), self.oracle.last_key_value())
                } else {
                    (ours.first(), self.oracle.first_key_value())
                };
                let expected = expected.map(|(key, number)| (key.clone(), *number));
                self.found(found, expected, hold);
            }
            Operation::Pop { last, hold } => {
                let (found, expected) = if last {
                    (ours.pop_last(), self.oracle.pop_last())
                } else {
                    (ours.pop_first(), self.oracle.pop_first())
                };
                self.found(found, expected, hold);
            }
            Operation::PopFirstIf { yes, nested } => self.pop_first_if(yes, nested, key),
            Operation::BothEnds { range, turns, nested } => {
                self.both_ends(range, turns, nested, key)
            }
            Operation::Visit { range, back, steps, nested, panics } => {
                self.visit(range, back, (steps, nested, panics), key)
            }
            Operation::Cursor { from, which, turns, nested } => {
                self.cursor(from, which, turns, nested, key)
            }
            Operation::DrainUntil { end, steps, nested } => {
                self.drain_until(end, steps, nested, key)
            }
            Operation::Retain { modulus, nested } => self.retain(modulus, nested, key),
            // Seldom, or there would never be much in the tree.
            Operation::Clear { seldom } if seldom % 8 == 0 => {
                ours.clear();
                self.oracle.clear();
            }
            Operation::Clear { .. } => assert_eq!(ours.len(), self.oracle.len()),
            Operation::Update { key: k, nested, panics, hold } => {
                self.update(key(k), nested, panics, hold, key)
            }
            Operation::Compute { key: k, some, nested, panics, hold } => {
                self.compute(key(k), some, (nested, panics, hold), key)
            }
            Operation::ReplaceIf { key: k, yes, nested, panics, hold } => {
                self.replace_if(key(k), yes, (nested, panics, hold), key)
            }
            Operation::CompareExchange { at, hold } => self.compare_exchange(at, hold),
            Operation::RemoveEntry { at } => self.remove_entry(at),
            Operation::GetMany { from, step, count, hold } => {
                let keys: Vec<K> = many(from, step, count).map(key).collect();
                let found = ours.get_many(&keys);
                assert_eq!(found.len(), keys.len());
                for (k, found) in keys.into_iter().zip(found) {
                    let there = self.oracle.get(&k).map(|there| (k, *there));
                    self.found(found, there, hold);
                }
            }
            Operation::GetManyWith { from, step, count, nested } => self.get_many_with(
                &many(from, step, count).map(key).collect::<Vec<_>>(),
                nested,
                key,
            ),
            Operation::InsertMany { from, step, count } => {
                let pairs: Vec<_> =
                    many(from, step, count).map(|k| (key(k), self.value())).collect();
                self.oracle.extend(pairs.iter().map(|(k, value)| (k.clone(), value.number())));
                ours.insert_many(pairs);
            }
            Operation::Walk { from, steps, nested } => {
                let mut walk = ours.range(key(from)..);
                let mut last: Option<K> = None;
                for _ in 0..=steps % 16 {
                    let next = walk.next().map(|entry| entry.key().clone());
                    let expected = match &last {
                        None => self.oracle.range(key(from)..).next(),
                        Some(last) => {
                            let after = (Bound::Excluded(last.clone()), Bound::Unbounded);
                            self.oracle.range(after).next()
                        }
                    };
                    assert_eq!(next.as_ref(), expected.map(|(key, _)| key), "a walk that rested");
                    if next.is_none() {
                        break;
                    }
                    last = next;
                    self.nested(nested, key);
                }
            }
            Operation::Release { at } => {
                if let Some(at) = usize::from(at).checked_rem(self.held.len()) {
                    drop(self.held.swap_remove(at));
                }
            }
            Operation::Flush => {
                ours.domain().flush();
                let kept = ours.domain().unreclaimed();
                assert!(kept <= self.held.len(), "{kept} kept, {} guards", self.held.len());
            }
        }
    }

    fn remove_if(
        &mut self,
        k: u8,
        yes: bool,
        nested: Nested,
        panics: bool,
        key: impl Fn(u8) -> K + Copy,
    ) {
        let ours = self.ours;
        // The predicate may run more than once; it changes the tree the first time only.
        let (mut calls, mut last) = (0, None);
        let removed = purposely(|| {
            ours.remove_if(&key(k), |value| {
                calls += 1;
                assert!(calls < 100, "as many turns as changes");
                last = Some(value.number());
                if calls == 1 {
                    self.nested(nested, key);
                    perhaps_panic(panics);
                }
                yes
            })
        });
        match removed {
            None => assert!(panics),
            Some(removed) => {
                // Judged by the state that the predicate saw last.
                let there = self.oracle.get(&key(k)).copied();
                if removed {
                    assert_eq!(there, last, "what the predicate saw is what went");
                    self.oracle.remove(&key(k));
                } else {
                    assert!(!yes || there.is_none(), "it is still there, and was to go");
                }
            }
        }
    }

    fn pop_first_if(&mut self, yes: bool, nested: Nested, key: impl Fn(u8) -> K + Copy) {
        let ours = self.ours;
        let (mut calls, mut last) = (0, None);
        let popped = ours.pop_first_if(|there, value| {
            calls += 1;
            assert!(calls < 100, "as many turns as changes");
            last = Some((there.clone(), value.number()));
            if calls == 1 {
                self.nested(nested, key);
            }
            yes
        });
        let popped = popped.map(|entry| (entry.key().clone(), entry.value().number()));
        match popped {
            Some((k, number)) => {
                assert_eq!(Some((k.clone(), number)), last, "what the predicate saw is what went");
                assert_eq!(self.oracle.remove(&k), Some(number));
                if matches!(nested, Nested::Nothing | Nested::First | Nested::Flush | Nested::Walk)
                {
                    assert!(self.oracle.first_key_value().is_none_or(|(first, _)| *first > k));
                }
            }
            None => assert!(!yes || self.oracle.is_empty()),
        }
    }

    /// What a visitor does.
    pub(super) fn nested(&mut self, nested: Nested, key: impl Fn(u8) -> K) {
        let ours = self.ours;
        match nested {
            Nested::Nothing => {}
            Nested::Insert { key: k } => {
                let value = self.value();
                let old = self.oracle.insert(key(k), value.number());
                assert_eq!(ours.insert(key(k), value).map(|entry| entry.value().number()), old);
            }
            Nested::Remove { key: k } => {
                let removed = ours.remove(&key(k)).map(|entry| entry.value().number());
                assert_eq!(removed, self.oracle.remove(&key(k)));
            }
            Nested::RemoveIf { key: k, yes } => {
                let removed = ours.remove_if(&key(k), |value| {
                    assert!(ours.contains_key(&key(k)) && value.number() > 0);
                    yes
                });
                assert_eq!(removed, yes && self.oracle.remove(&key(k)).is_some());
            }
            Nested::First => {
                let first = ours.first().map(|entry| entry.value().number());
                assert_eq!(first, self.oracle.first_key_value().map(|(_, number)| *number));
            }
            Nested::Flush => ours.domain().flush(),
            Nested::Walk => assert_eq!(ours.iter().count(), self.oracle.len()),
        }
    }
}

/// Up to 40 keys, which is more than go side by side, at equal distances.
fn many(from: u8, step: u8, count: u8) -> impl Iterator<Item = u8> {
    (0..count % 41).map(move |number| from.wrapping_add(step.wrapping_mul(number)))
}
