//! The map that keeps duplicates against a `BTreeMap` of queues, with guards that are kept, and two threads.
#![cfg(not(loom))]

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::ops::Bound;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bolero::{TypeGenerator, check, produce};
use ebtree::multi::{Entry, MultiKey};
use ebtree::{ByteKey, Domain, EbMultiTree};
use fuzz::tree::Spread;
use fuzz::tree::counted::{Counted, perhaps_panic, purposely};
use fuzz::tree::multi::{Nested, Operation};

struct Run<'t, K: MultiKey> {
    ours: &'t EbMultiTree<K, Counted>,
    /// The numbers of each key's values, oldest first.
    oracle: BTreeMap<K, VecDeque<u64>>,
    alive: Arc<AtomicUsize>,
    /// Guards, with what they were when taken.
    held: Vec<(Entry<'t, K, Counted>, K, u64)>,
    next: u64,
}

fn compare<K: MultiKey<Refusal: Debug> + Ord + Debug>(
    batch: u8,
    operations: &[Operation],
    key: impl Fn(u8) -> K + Copy,
) {
    let alive = Arc::new(AtomicUsize::new(0));
    let domain = Domain::with_batch(usize::from(batch % 9) + 1);
    let ours = EbMultiTree::new_in(domain.clone());
    let alive_too = Arc::clone(&alive);
    let (oracle, held) = (BTreeMap::new(), Vec::new());
    let mut run = Run { ours: &ours, oracle, alive: alive_too, held, next: 0 };
    for operation in operations {
        run.operation(*operation, key);
        for (entry, key, number) in &run.held {
            assert_eq!((entry.key(), entry.number()), (key, *number), "a guard's entry changed");
        }
        assert_eq!(ours.is_empty(), run.oracle.is_empty());
    }
    let present = run.all();
    let walked: Vec<_> = ours.iter().map(|entry| (entry.key().clone(), entry.number())).collect();
    assert_eq!(walked, present);
    assert_eq!(ours.len(), present.len());
    drop(run);
    domain.flush();
    assert_eq!(domain.unreclaimed(), 0, "nobody protects anything");
    assert_eq!(alive.load(Ordering::Relaxed), present.len(), "what was removed is dropped");
    drop(ours);
    assert_eq!(alive.load(Ordering::Relaxed), 0, "every value is dropped once");
}

impl<'t, K: MultiKey<Refusal: Debug> + Ord + Debug> Run<'t, K> {
    fn all(&self) -> Vec<(K, u64)> {
        let pairs = |(key, numbers): (&K, &VecDeque<u64>)| {
            numbers.iter().map(|number| (key.clone(), *number)).collect::<Vec<_>>()
        };
        self.oracle.iter().flat_map(pairs).collect()
    }

    fn take(&mut self, key: &K, first: bool) -> Option<(K, u64)> {
        let numbers = self.oracle.get_mut(key)?;
        let number = if first { numbers.pop_front() } else { numbers.pop_back() };
        if numbers.is_empty() {
            self.oracle.remove(key);
        }
        number.map(|number| (key.clone(), number))
    }

    /// Removes one from the model; whether it was there.
    fn forget(&mut self, key: &K, number: u64) -> bool {
        let Some(numbers) = self.oracle.get_mut(key) else { return false };
        let Some(at) = numbers.iter().position(|other| *other == number) else { return false };
        numbers.remove(at);
        if numbers.is_empty() {
            self.oracle.remove(key);
        }
        true
    }

    fn insert(&mut self, k: K) -> (Entry<'t, K, Counted>, (K, u64)) {
        self.next += 1;
        let entry = self.ours.insert(k.clone(), Counted::new(self.next, &self.alive)).unwrap();
        self.oracle.entry(k.clone()).or_default().push_back(self.next);
        (entry, (k, self.next))
    }

    /// Compares what was found with what should be, and perhaps keeps it.
    fn found(
        &mut self,
        found: Option<Entry<'t, K, Counted>>,
        expected: Option<(K, u64)>,
        hold: bool,
    ) {
        let pair = found.as_ref().map(|entry| (entry.key().clone(), entry.number()));
        assert_eq!(pair, expected);
        if let (true, Some(entry), Some((key, number))) =
            (hold && self.held.len() < 40, found, pair)
        {
            // Two guards of one entry know each other, and no others.
            for (other, _, of) in &self.held {
                assert_eq!(entry.is_same(other), number == *of);
            }
            self.held.push((entry, key, number));
        }
    }

    fn remove_held(&mut self, at: u8) {
        let Some(at) = usize::from(at).checked_rem(self.held.len()) else { return };
        let (key, number) = (self.held[at].1.clone(), self.held[at].2);
        let there = self.forget(&key, number);
        assert_eq!(self.ours.remove(&self.held[at].0), there, "{number} of {key:?}");
        assert!(!self.ours.remove(&self.held[at].0), "once");
    }

    fn oldest(&self, pair: Option<(&K, &VecDeque<u64>)>) -> Option<(K, u64)> {
        pair.map(|(key, numbers)| (key.clone(), numbers[0]))
    }

    fn newest(&self, pair: Option<(&K, &VecDeque<u64>)>) -> Option<(K, u64)> {
        pair.map(|(key, numbers)| (key.clone(), numbers[numbers.len() - 1]))
    }

    fn operation(&mut self, operation: Operation, key: impl Fn(u8) -> K + Copy) {
        let ours = self.ours;
        match operation {
            Operation::Insert { key: k, hold } => {
                let (entry, expected) = self.insert(key(k));
                self.found(Some(entry), Some(expected), hold);
            }
            Operation::Get { key: k, hold } => {
                let expected = self.oldest(self.oracle.get_key_value(&key(k)));
                assert_eq!(ours.contains_key(&key(k)), expected.is_some());
                self.found(ours.get(&key(k)), expected, hold);
            }
            Operation::GetAll { key: k, turns, nested } => {
                self.get_all(&key(k), turns, nested, key)
            }
            Operation::RemoveFirst { key: k, hold } => {
                let expected = self.take(&key(k), true);
                self.found(ours.remove_first(&key(k)), expected, hold);
            }
            Operation::RemoveAll { key: k } => {
                let numbers = self.oracle.remove(&key(k)).unwrap_or_default();
                assert_eq!(ours.remove_all(&key(k)), numbers.len());
            }
            Operation::RemoveHeld { at } => self.remove_held(at),
            Operation::Search { key: k, which, hold } => {
                let k = key(k);
                let above = (Bound::Excluded(k.clone()), Bound::Unbounded);
                let oracle = &self.oracle;
                let (found, expected) = match which % 4 {
                    0 => (ours.ge(&k), self.oldest(oracle.range(k..).next())),
                    1 => (ours.gt(&k), self.oldest(oracle.range(above).next())),
                    2 => (ours.le(&k), self.newest(oracle.range(..=k).next_back())),
                    _ => (ours.lt(&k), self.newest(oracle.range(..k).next_back())),
                };
                self.found(found, expected, hold);
            }
            Operation::Ends { last, hold } => {
                let (found, expected) = if last {
                    (ours.last(), self.newest(self.oracle.last_key_value()))
                } else {
                    (ours.first(), self.oldest(self.oracle.first_key_value()))
                };
                self.found(found, expected, hold);
            }
            Operation::Pop { last, hold } => {
                let end =
                    if last { self.oracle.keys().next_back() } else { self.oracle.keys().next() };
                let expected = end.cloned().and_then(|end| self.take(&end, !last));
                self.found(if last { ours.pop_last() } else { ours.pop_first() }, expected, hold);
            }
            Operation::PopFirstIf { yes, nested, panics } => {
                self.pop_first_if(yes, nested, panics, key);
            }
            Operation::Walk { from, steps, nested } => self.walk(&key(from), steps, nested, key),
            Operation::DrainUntil { end, steps, nested } => {
                let end = key(end);
                let mut drain = ours.drain_until(&end);
                for _ in 0..=steps % 16 {
                    let first = self.oracle.keys().next().filter(|key| **key <= end).cloned();
                    let due = first.and_then(|first| self.take(&first, true));
                    let over = due.is_none();
                    self.found(drain.next(), due, steps >= 128);
                    if over {
                        break;
                    }
                    self.nested(nested, key);
                }
            }
            Operation::Retain { modulus, nested } => {
                let keep = |number: u64| !number.is_multiple_of(u64::from(modulus % 4) + 2);
                let mut calls = 0;
                ours.retain(|there, value| {
                    calls += 1;
                    let number = value.number();
                    if calls == 1 {
                        self.nested(nested, key);
                    }
                    // Gone as soon as this says so, unless it is gone already.
                    if !keep(number) {
                        self.forget(there, number);
                    }
                    keep(number)
                });
            }
            // Seldom, or there would never be much in the tree.
            Operation::Clear { seldom } if seldom % 8 == 0 => {
                ours.clear();
                self.oracle.clear();
            }
            Operation::Clear { .. } => assert_eq!(ours.len(), self.all().len()),
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

    /// A walk over one key, from both ends: what stays is seen once, in order; what comes or goes meanwhile, at most once.
    fn get_all(&mut self, k: &K, turns: u8, nested: Nested, key: impl Fn(u8) -> K + Copy) {
        let of = |run: &Self| run.oracle.get(k).cloned().unwrap_or_default();
        let mut staying = of(self);
        let (mut from_front, mut from_back) = (Vec::new(), Vec::new());
        let mut walk = self.ours.get_all(k);
        for turn in 0..8 {
            let back = turns >> turn & 1 != 0;
            let Some(entry) = (if back { walk.next_back() } else { walk.next() }) else {
                assert!(staying.is_empty(), "{staying:?} not seen");
                break;
            };
            let number = entry.number();
            assert!(entry.key() == k && of(self).contains(&number), "{number} is not there");
            let seen = if back { &mut from_back } else { &mut from_front };
            seen.push(number);
            // It may be one that came meanwhile; none that stays is passed by.
            if let Some(at) = staying.iter().position(|other| *other == number) {
                assert_eq!(at, if back { staying.len() - 1 } else { 0 }, "in order");
                staying.remove(at);
            }
            self.nested(nested, key);
            let there = of(self);
            staying.retain(|number| there.contains(number));
        }
        let seen: Vec<u64> = from_front.into_iter().chain(from_back.into_iter().rev()).collect();
        let once: std::collections::BTreeSet<u64> = seen.iter().copied().collect();
        assert_eq!(once.len(), seen.len(), "at most once: {seen:?}");
    }

    fn pop_first_if(
        &mut self,
        yes: bool,
        nested: Nested,
        panics: bool,
        key: impl Fn(u8) -> K + Copy,
    ) {
        let ours = self.ours;
        let (mut calls, mut last) = (0, None);
        let popped = purposely(|| {
            ours.pop_first_if(|there, value| {
                calls += 1;
                assert!(calls < 100, "as many turns as changes");
                last = Some((there.clone(), value.number()));
                if calls == 1 {
                    self.nested(nested, key);
                    perhaps_panic(panics);
                }
                yes
            })
        });
        match popped {
            None => assert!(panics),
            Some(Some(popped)) => {
                let pair = (popped.key().clone(), popped.number());
                assert_eq!(Some(&pair), last.as_ref(), "what the predicate saw is what went");
                assert!(self.forget(&pair.0, pair.1), "it was there");
            }
            Some(None) => assert!(!yes || self.oracle.is_empty()),
        }
    }

    /// Keys in ascending order, those of one key oldest first; what stays is seen once.
    fn walk(&mut self, from: &K, steps: u8, nested: Nested, key: impl Fn(u8) -> K + Copy) {
        let mut staying: VecDeque<(K, u64)> =
            self.all().into_iter().filter(|(key, _)| key >= from).collect();
        let mut walk = self.ours.range(from..);
        let mut last: Option<(K, u64)> = None;
        for _ in 0..=steps % 16 {
            let Some(entry) = walk.next() else {
                assert!(staying.is_empty(), "{staying:?} not seen");
                return;
            };
            let pair = (entry.key().clone(), entry.number());
            assert!(last < Some(pair.clone()), "in order, also among those of one key");
            assert!(self.oracle.get(&pair.0).is_some_and(|all| all.contains(&pair.1)));
            if let Some(at) = staying.iter().position(|other| *other == pair) {
                assert_eq!(at, 0, "none that stays is passed by");
                staying.pop_front();
            }
            last = Some(pair);
            self.nested(nested, key);
            let oracle = &self.oracle;
            staying.retain(|(key, number)| oracle.get(key).is_some_and(|all| all.contains(number)));
        }
    }

    fn nested(&mut self, nested: Nested, key: impl Fn(u8) -> K) {
        match nested {
            Nested::Nothing => {}
            Nested::Insert { key: k } => drop(self.insert(key(k))),
            Nested::RemoveFirst { key: k } => {
                let expected = self.take(&key(k), true);
                self.found(self.ours.remove_first(&key(k)), expected, false);
            }
            Nested::PopLast => {
                let last = self.oracle.keys().next_back().cloned();
                let expected = last.and_then(|last| self.take(&last, false));
                self.found(self.ours.pop_last(), expected, false);
            }
            Nested::RemoveHeld { at } => self.remove_held(at),
            Nested::Flush => self.ours.domain().flush(),
        }
    }
}

/// What `Counted` says through a guard.
trait Number {
    fn number(&self) -> u64;
}

impl<K: MultiKey> Number for Entry<'_, K, Counted> {
    fn number(&self) -> u64 {
        self.value().number()
    }
}

#[test]
fn like_queues_with_guards_and_visitors() {
    let operations = produce::<Vec<Operation>>().with().len(0..=200_usize);
    check!()
        .with_max_len(1 << 13)
        .with_generator((u8::produce(), Spread::produce(), operations))
        .for_each(|(batch, spread, operations)| {
            compare(*batch, operations, |k| spread.wide(k % 8));
            // A beginning of the next one, and none of them as long as another.
            compare(*batch, operations, |k| {
                ByteKey::new(&[0, 0xFF, 0, b'a', 0][..usize::from(k % 6)]).unwrap()
            });
        });
}

/// One step of a thread, on few keys.
#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Shared {
    Insert { key: u8 },
    RemoveFirst { key: u8 },
    RemoveLast { key: u8 },
    RemoveOwn { at: u8 },
    RemoveAll { key: u8 },
    Pop { last: bool },
    Walk { key: u8 },
    Flush,
}

/// What one thread did: the numbers that it put in and took out.
#[derive(Default)]
struct Account {
    put: Vec<u64>,
    taken: Vec<u64>,
}

fn thread(
    tree: &EbMultiTree<u64, Counted>,
    alive: &Arc<AtomicUsize>,
    id: u64,
    spread: Spread,
    operations: &[Shared],
) -> Account {
    let mut account = Account::default();
    let mut own = Vec::new();
    let mut next = id << 32;
    for operation in operations {
        let key = |k: u8| spread.wide(k % 3);
        match *operation {
            Shared::Insert { key: k } => {
                next += 1;
                let Ok(entry) = tree.insert(key(k), Counted::new(next, alive));
                assert_eq!((*entry.key(), entry.number()), (key(k), next));
                account.put.push(next);
                own.push(entry);
            }
            Shared::RemoveFirst { key: k } => {
                account.taken.extend(tree.remove_first(&key(k)).map(|entry| entry.number()));
            }
            Shared::RemoveLast { key: k } => {
                let last = tree.get_all(&key(k)).next_back().filter(|last| tree.remove(last));
                account.taken.extend(last.map(|entry| entry.number()));
            }
            Shared::RemoveOwn { at } => {
                if let Some(at) = usize::from(at).checked_rem(own.len()) {
                    let entry = own.swap_remove(at);
                    if tree.remove(&entry) {
                        account.taken.push(entry.number());
                    }
                    assert!(!tree.remove(&entry), "once");
                }
            }
            Shared::RemoveAll { key: k } => {
                for entry in tree.get_all(&key(k)) {
                    account.taken.extend(tree.remove(&entry).then(|| entry.number()));
                }
            }
            Shared::Pop { last } => {
                let popped = if last { tree.pop_last() } else { tree.pop_first() };
                account.taken.extend(popped.map(|entry| entry.number()));
            }
            Shared::Walk { key: k } => {
                // Those that one thread put in, in its order.
                let mut last = [0; 3];
                for number in tree.get_all(&key(k)).map(|entry| entry.number()) {
                    let last = &mut last[usize::try_from(number >> 32).unwrap()];
                    assert!(*last < number, "{number} of {key:?} after {last}", key = key(k));
                    *last = number;
                }
            }
            Shared::Flush => tree.domain().flush(),
        }
        own.truncate(20);
    }
    account
}

#[test]
fn two_threads_neither_lose_nor_double_duplicates() {
    let operations = || produce::<Vec<Shared>>().with().len(0..=150_usize);
    check!()
        .with_max_len(1 << 12)
        .with_generator((Spread::produce(), operations(), operations()))
        .for_each(|(spread, one, two)| {
            let alive = Arc::new(AtomicUsize::new(0));
            let tree = EbMultiTree::new_in(Domain::with_batch(4));
            let (a, b) = thread::scope(|scope| {
                let other = scope.spawn(|| thread(&tree, &alive, 1, *spread, one));
                let ours = thread(&tree, &alive, 2, *spread, two);
                (ours, other.join().unwrap_or_else(|panic| resume_unwind(panic)))
            });
            let sorted = |mut numbers: Vec<u64>| {
                numbers.sort_unstable();
                numbers
            };
            let present: Vec<u64> = tree.iter().map(|entry| entry.number()).collect();
            let put = sorted([a.put, b.put].concat());
            let gone = sorted([a.taken, b.taken, present.clone()].concat());
            assert_eq!(put, gone, "what was put in was taken out once, or is there");
            tree.domain().flush();
            assert_eq!(tree.domain().unreclaimed(), 0);
            assert_eq!(alive.load(Ordering::Relaxed), present.len());
            drop(tree);
            assert_eq!(alive.load(Ordering::Relaxed), 0);
        });
}
