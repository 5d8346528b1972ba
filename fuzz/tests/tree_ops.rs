//! The tree against `BTreeMap`, with guards that are kept, visitors that use the tree, and two threads.
#![cfg(not(loom))]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bolero::{TypeGenerator, check, produce};
use ebtree::{Domain, EbTree, Entry, Key};
use fuzz::tree::{Nested, Operation, Shared, Spread};

/// A value that is counted while it lives, and told from what a freed one leaves.
#[derive(Debug)]
struct Counted {
    number: u64,
    check: u64,
    alive: Arc<AtomicUsize>,
}

impl Counted {
    fn new(number: u64, alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        Self { number, check: !number, alive: Arc::clone(alive) }
    }

    fn number(&self) -> u64 {
        assert_eq!(self.check, !self.number, "not a value any more");
        self.number
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.number();
        self.check = self.number;
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a visitor that panics says.
struct OnPurpose;

struct Run<'t, K: Key + Ord + Debug> {
    ours: &'t EbTree<K, Counted>,
    oracle: BTreeMap<K, u64>,
    alive: Arc<AtomicUsize>,
    /// Guards, with what they were when taken.
    held: Vec<(Entry<'t, K, Counted>, K, u64)>,
    next: u64,
    batch: usize,
}

fn compare<K: Key + Ord + Debug>(
    batch: usize,
    operations: &[Operation],
    key: impl Fn(u8) -> K + Copy,
) {
    let alive = Arc::new(AtomicUsize::new(0));
    let domain = Domain::with_batch(batch);
    let ours = EbTree::new_in(domain.clone());
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
    fn value(&mut self) -> Counted {
        self.next += 1;
        Counted::new(self.next, &self.alive)
    }

    /// Compares what was found with what should be, and perhaps keeps it.
    fn found(
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
                        if panics {
                            resume_unwind(Box::new(OnPurpose));
                        }
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
                    if panics {
                        resume_unwind(Box::new(OnPurpose));
                    }
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
    fn nested(&mut self, nested: Nested, key: impl Fn(u8) -> K) {
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

/// Returns what `run` returns, `None` where it panics on purpose.
fn purposely<T>(run: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(value) => Some(value),
        Err(panic) if panic.is::<OnPurpose>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

#[test]
fn like_a_btree_map_with_guards_and_visitors() {
    let operations = produce::<Vec<Operation>>().with().len(0..=300_usize);
    check!()
        .with_max_len(1 << 13)
        .with_generator((u8::produce(), Spread::produce(), operations))
        .for_each(|(batch, spread, operations)| {
            let batch = usize::from(batch % 9) + 1;
            compare(batch, operations, |k| spread.wide(k));
            compare(batch, operations, |k| spread.narrow(k));
        });
}

/// What one thread did: values it put in, and values it took out.
#[derive(Default)]
struct Account {
    put: Vec<(u64, u64)>,
    taken: Vec<(u64, u64)>,
}

fn pair(entry: &Entry<'_, u64, Counted>) -> (u64, u64) {
    (*entry.key(), entry.value().number())
}

fn thread(
    tree: &EbTree<u64, Counted>,
    alive: &Arc<AtomicUsize>,
    id: u64,
    spread: Spread,
    operations: &[Shared],
) -> Account {
    let mut account = Account::default();
    let mut next = id << 32;
    let mut value = || {
        next += 1;
        (next, Counted::new(next, alive))
    };
    for operation in operations {
        let key = |k: u8| spread.wide(k % 6);
        match *operation {
            Shared::TryInsert { key: k } => {
                let (number, value) = value();
                match tree.try_insert(key(k), value) {
                    Ok(()) => account.put.push((key(k), number)),
                    Err((there, _)) => assert_eq!(*there.key(), key(k)),
                }
            }
            Shared::Insert { key: k } => {
                let (number, value) = value();
                account.put.push((key(k), number));
                if let Some(old) = tree.insert(key(k), value) {
                    account.taken.push(pair(&old));
                }
            }
            Shared::GetOrInsert { key: k } => {
                let (number, value) = value();
                let entry = tree.get_or_insert_with(key(k), || value);
                if entry.value().number() == number {
                    account.put.push((key(k), number));
                }
            }
            Shared::Remove { key: k } => {
                account.taken.extend(tree.remove(&key(k)).map(|e| pair(&e)))
            }
            Shared::RemoveIf { key: k, own } => {
                let mut seen = 0;
                let removed = tree.remove_if(&key(k), |value| {
                    seen = value.number();
                    own == (seen >> 32 == id)
                });
                if removed {
                    account.taken.push((key(k), seen));
                }
            }
            Shared::PopFirst => account.taken.extend(tree.pop_first().map(|entry| pair(&entry))),
            Shared::PopLast => account.taken.extend(tree.pop_last().map(|entry| pair(&entry))),
            Shared::Get { key: k } => {
                if let Some(entry) = tree.get(&key(k)) {
                    assert_eq!(*entry.key(), key(k));
                    entry.value().number();
                }
            }
            Shared::Walk => {
                let keys: Vec<_> = tree.iter().map(|entry| pair(&entry).0).collect();
                assert!(keys.is_sorted_by(|a, b| a < b), "in strict order");
            }
            Shared::Flush => tree.domain().flush(),
        }
    }
    account
}

#[test]
fn two_threads_neither_lose_nor_double() {
    let operations = || produce::<Vec<Shared>>().with().len(0..=200_usize);
    check!()
        .with_max_len(1 << 12)
        .with_generator((Spread::produce(), operations(), operations()))
        .for_each(|(spread, one, two)| {
            let alive = Arc::new(AtomicUsize::new(0));
            let tree = EbTree::new_in(Domain::with_batch(4));
            let (a, b) = thread::scope(|scope| {
                let other = scope.spawn(|| thread(&tree, &alive, 1, *spread, one));
                let ours = thread(&tree, &alive, 2, *spread, two);
                (ours, other.join().unwrap_or_else(|panic| resume_unwind(panic)))
            });
            let sorted = |mut pairs: Vec<(u64, u64)>| {
                pairs.sort_unstable();
                pairs
            };
            let put = sorted([a.put, b.put].concat());
            let present: Vec<_> = tree.iter().map(|entry| pair(&entry)).collect();
            let gone = sorted([a.taken, b.taken, present.clone()].concat());
            assert_eq!(put, gone, "what was put in was taken out once, or is there");
            tree.domain().flush();
            assert_eq!(tree.domain().unreclaimed(), 0);
            assert_eq!(alive.load(Ordering::Relaxed), present.len());
            drop(tree);
            assert_eq!(alive.load(Ordering::Relaxed), 0);
        });
}
