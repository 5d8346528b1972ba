//! The table of prefixes against a list that is looked through, by an arithmetic of its own, with guards that are kept.
#![cfg(not(loom))]

use std::fmt::Debug;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bolero::{TypeGenerator, check, produce};
use ebtree::prefix::{Address, Entry, Prefix};
use ebtree::{Domain, EbPrefixTree};
use fuzz::tree::counted::{Counted, perhaps_panic, purposely};
use fuzz::tree::prefix::{Nested, Network, Operation};

/// An address as a number, its first bit the highest of 128.
trait Bits: Address + Debug {
    fn bits(self) -> u128;
    fn from_bits(bits: u128) -> Self;
}

impl Bits for Ipv4Addr {
    fn bits(self) -> u128 {
        u128::from(self.to_bits()) << 96
    }

    fn from_bits(bits: u128) -> Self {
        Self::from_bits((bits >> 96) as u32)
    }
}

impl Bits for Ipv6Addr {
    fn bits(self) -> u128 {
        self.to_bits()
    }

    fn from_bits(bits: u128) -> Self {
        Self::from_bits(bits)
    }
}

/// A line of the list: the bits, all beyond the length 0, and the length. Compared by bits, then by length.
type Line = (u128, u8);

fn line<A: Bits>(prefix: &Prefix<A>) -> Line {
    (prefix.address().bits(), prefix.length())
}

fn covers(cover: Line, inside: Line) -> bool {
    let beyond = 128 - u32::from(cover.1);
    cover.1 <= inside.1 && (cover.0 ^ inside.0).checked_shr(beyond).unwrap_or(0) == 0
}

/// Where the bits of a small number stand, and which lengths there are.
#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Spread {
    /// At the front.
    First,
    /// Two bits each in four places.
    Apart,
    /// One in each of many places: it is the number of the bit.
    One,
    /// At the end.
    Last,
}

impl Spread {
    fn line<A: Bits>(self, of: Network) -> Line {
        let bits = u128::from(of.bits);
        let whole = A::BITS;
        let (bits, length) = match self {
            Self::First => (bits << 120, of.length % 9),
            Self::Apart => {
                let quarter = u32::from(whole / 4);
                let place = |at: u32| (bits >> (2 * at) & 3) << (126 - at * quarter);
                let lengths = [0, 1, 2, whole / 4, whole / 2, whole / 2 + 1, whole - 1, whole];
                (place(0) | place(1) | place(2) | place(3), lengths[usize::from(of.length % 8)])
            }
            Self::One => (1 << 127 >> (of.bits % whole), of.length % (whole + 1)),
            Self::Last => (bits << (128 - u32::from(whole)), whole - of.length % 9),
        };
        let rest = u128::MAX.checked_shr(u32::from(length)).unwrap_or(0);
        (bits & !rest, length)
    }
}

fn prefix<A: Bits>((bits, length): Line) -> Prefix<A> {
    Prefix::new(A::from_bits(bits), length).unwrap()
}

struct Run<'t, A: Bits> {
    ours: &'t EbPrefixTree<A, Counted>,
    /// In any order.
    list: Vec<(Line, u64)>,
    alive: Arc<AtomicUsize>,
    /// Guards, with what they were when taken.
    held: Vec<(Entry<'t, A, Counted>, (Line, u64))>,
    next: u64,
    spread: Spread,
}

fn pair<A: Bits>(entry: &Entry<'_, A, Counted>) -> (Line, u64) {
    (line(entry.prefix()), entry.value().number())
}

fn compare<A: Bits>(batch: u8, spread: Spread, operations: &[Operation]) {
    let alive = Arc::new(AtomicUsize::new(0));
    let domain = Domain::with_batch(usize::from(batch % 9) + 1);
    let ours = EbPrefixTree::<A, _>::new_in(domain.clone());
    let alive_too = Arc::clone(&alive);
    let (list, held) = (Vec::new(), Vec::new());
    let mut run = Run { ours: &ours, list, alive: alive_too, held, next: 0, spread };
    for operation in operations {
        run.operation(*operation);
        for (entry, was) in &run.held {
            assert_eq!(pair(entry), *was, "a guard's entry changed");
        }
        assert_eq!(ours.is_empty(), run.list.is_empty());
    }
    let walked: Vec<_> = ours.iter().map(|entry| pair(&entry)).collect();
    let mut present = run.list.clone();
    present.sort_unstable();
    assert_eq!(walked, present);
    drop(run);
    domain.flush();
    assert_eq!(domain.unreclaimed(), 0, "nobody protects anything");
    assert_eq!(alive.load(Ordering::Relaxed), present.len(), "what was removed is dropped");
    drop(ours);
    assert_eq!(alive.load(Ordering::Relaxed), 0, "every value is dropped once");
}

impl<'t, A: Bits> Run<'t, A> {
    fn value(&mut self) -> Counted {
        self.next += 1;
        Counted::new(self.next, &self.alive)
    }

    fn there(&self, of: Line) -> Option<(Line, u64)> {
        self.list.iter().find(|(line, _)| *line == of).copied()
    }

    fn forget(&mut self, of: Line) -> Option<(Line, u64)> {
        let at = self.list.iter().position(|(line, _)| *line == of)?;
        Some(self.list.swap_remove(at))
    }

    /// Puts a number into the list; what was there.
    fn put(&mut self, of: Line, number: u64) -> Option<(Line, u64)> {
        let old = self.forget(of);
        self.list.push((of, number));
        old
    }

    fn longest(&self, of: Line) -> Option<(Line, u64)> {
        let covers = self.list.iter().filter(|(line, _)| covers(*line, of));
        covers.max_by_key(|((_, length), _)| *length).copied()
    }

    fn found(
        &mut self,
        found: Option<Entry<'t, A, Counted>>,
        expected: Option<(Line, u64)>,
        hold: bool,
    ) {
        let seen = found.as_ref().map(pair);
        assert_eq!(seen, expected);
        if let (true, Some(entry), Some(seen)) = (hold && self.held.len() < 40, found, seen) {
            self.held.push((entry, seen));
        }
    }

    fn operation(&mut self, operation: Operation) {
        let ours = self.ours;
        let spread = self.spread;
        let line = |of| spread.line::<A>(of);
        match operation {
            Operation::Insert { of, hold } => {
                let value = self.value();
                let old = self.put(line(of), value.number());
                self.found(ours.insert(prefix(line(of)), value), old, hold);
            }
            Operation::TryInsert { of, hold } => {
                let value = self.value();
                let number = value.number();
                let there = self.there(line(of));
                let found = ours.try_insert(prefix(line(of)), value).err().map(|(there, back)| {
                    assert_eq!(back.number(), number);
                    there
                });
                self.found(found, there, hold);
                if there.is_none() {
                    self.put(line(of), number);
                }
            }
            Operation::GetOrInsert { of, hold } => {
                let value = self.value();
                let there = self.there(line(of));
                let expected = there.unwrap_or((line(of), value.number()));
                self.put(line(of), expected.1);
                let entry = ours.get_or_insert_with(prefix(line(of)), || value);
                self.found(Some(entry), Some(expected), hold);
            }
            Operation::Update { of, nested, panics } => self.update(line(of), nested, panics),
            Operation::RemoveIf { of, yes, nested, panics } => {
                self.remove_if(line(of), yes, nested, panics);
            }
            Operation::Remove { of, hold } => {
                let expected = self.forget(line(of));
                self.found(ours.remove(&prefix(line(of))), expected, hold);
            }
            Operation::Get { of, hold } => {
                let expected = self.there(line(of));
                let prefix = prefix(line(of));
                assert_eq!(ours.contains_key(&prefix), expected.is_some());
                assert_eq!(ours.get_with(&prefix, Counted::number), expected.map(|it| it.1));
                self.found(ours.get(&prefix), expected, hold);
            }
            Operation::LongestMatch { of, hold } => {
                let prefix: Prefix<A> = prefix(line(of));
                for address in [prefix.address(), prefix.last_address()] {
                    let expected = self.longest((address.bits(), A::BITS));
                    self.found(ours.longest_match(address), expected, hold);
                }
            }
            Operation::LongestMatchWith { of, nested, panics } => {
                let address = A::from_bits(line(of).0);
                let expected = self.longest((line(of).0, A::BITS));
                let seen = purposely(|| {
                    ours.longest_match_with(address, |prefix, value| {
                        let seen = (self::line(prefix), value.number());
                        self.nested(nested);
                        assert_eq!((self::line(prefix), value.number()), seen, "protected");
                        perhaps_panic(panics);
                        seen
                    })
                });
                match seen {
                    Some(seen) => assert_eq!(seen, expected),
                    None => assert!(panics && expected.is_some()),
                }
            }
            Operation::Walk { of, which, nested } => match which % 3 {
                0 => self.covering(line(of), nested),
                1 => self.covered(line(of), nested),
                _ => self.outermost(line(of), nested),
            },
            Operation::Ends => {
                assert_eq!(ours.first().as_ref().map(pair), self.list.iter().min().copied());
                assert_eq!(ours.last().as_ref().map(pair), self.list.iter().max().copied());
                assert_eq!(ours.len(), self.list.len());
            }
            Operation::Retain { modulus, nested } => {
                let keep = |number: u64| !number.is_multiple_of(u64::from(modulus % 4) + 2);
                let mut calls = 0;
                ours.retain(|prefix, value| {
                    calls += 1;
                    let seen = (self::line(prefix), value.number());
                    if calls == 1 {
                        self.nested(nested);
                    }
                    // Gone as soon as this says so, unless it is gone or another one already.
                    if !keep(seen.1) && self.there(seen.0) == Some(seen) {
                        self.forget(seen.0);
                    }
                    keep(seen.1)
                });
            }
            // Seldom, or there would never be much in the table.
            Operation::Clear { seldom } if seldom % 8 == 0 => {
                ours.clear();
                self.list.clear();
            }
            Operation::Clear { .. } => {}
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

    fn update(&mut self, of: Line, nested: Nested, panics: bool) {
        let ours = self.ours;
        let (mut calls, mut last) = (0, None);
        let updated = purposely(|| {
            ours.update(&prefix(of), |value| {
                calls += 1;
                let seen = value.number();
                if calls == 1 {
                    self.nested(nested);
                    perhaps_panic(panics);
                }
                let new = self.value();
                last = Some((seen, new.number()));
                new
            })
        });
        match updated {
            None => assert!(panics && calls > 0),
            Some(None) => assert_eq!(self.there(of), None),
            Some(updated) => {
                let (seen, new) = last.unwrap();
                assert_eq!(self.put(of, new), Some((of, seen)), "what it saw last is replaced");
                self.found(updated, Some((of, new)), false);
            }
        }
    }

    fn remove_if(&mut self, of: Line, yes: bool, nested: Nested, panics: bool) {
        let ours = self.ours;
        let (mut calls, mut last) = (0, None);
        let removed = purposely(|| {
            ours.remove_if(&prefix(of), |value| {
                calls += 1;
                last = Some((of, value.number()));
                if calls == 1 {
                    self.nested(nested);
                    perhaps_panic(panics);
                }
                yes
            })
        });
        match removed {
            None => assert!(panics && calls > 0),
            Some(true) => assert_eq!(self.forget(of), last, "what it saw last is what went"),
            Some(false) => assert!(!yes || self.there(of).is_none()),
        }
    }

    /// Each step is a longest match of what is beyond the last one.
    fn covering(&mut self, of: Line, nested: Nested) {
        let mut walk = self.ours.covering(&prefix(of));
        let mut below = u8::MAX;
        for _ in 0..16 {
            let shorter = self.list.iter().filter(|(line, _)| line.1 < below && covers(*line, of));
            let expected = shorter.max_by_key(|((_, length), _)| *length).copied();
            self.found(walk.next(), expected, false);
            let Some(((_, length), _)) = expected else { break };
            below = length;
            self.nested(nested);
        }
    }

    fn covered(&mut self, of: Line, nested: Nested) {
        let mut walk = self.ours.covered(&prefix(of));
        let mut last = None;
        for _ in 0..16 {
            let later =
                self.list.iter().filter(|(line, _)| last < Some(*line) && covers(of, *line));
            let expected = later.min().copied();
            self.found(walk.next(), expected, false);
            let Some((line, _)) = expected else { break };
            last = Some(line);
            self.nested(nested);
        }
    }

    /// Each one is the first beyond all that the last one covers.
    fn outermost(&mut self, of: Line, nested: Nested) {
        let mut walk = self.ours.outermost(&prefix(of));
        let mut passed: Option<Line> = None;
        for _ in 0..16 {
            let beyond = |line: Line| passed.is_none_or(|last| last < line && !covers(last, line));
            let those = self.list.iter().filter(|(line, _)| beyond(*line) && covers(of, *line));
            let expected = those.min().copied();
            self.found(walk.next(), expected, false);
            let Some((line, _)) = expected else { break };
            passed = Some(line);
            self.nested(nested);
        }
    }

    fn nested(&mut self, nested: Nested) {
        match nested {
            Nested::Nothing => {}
            Nested::Insert { of } => {
                let (of, value) = (self.spread.line::<A>(of), self.value());
                let old = self.put(of, value.number());
                self.found(self.ours.insert(prefix(of), value), old, false);
            }
            Nested::Remove { of } => {
                let of = self.spread.line::<A>(of);
                let old = self.forget(of);
                self.found(self.ours.remove(&prefix(of)), old, false);
            }
            Nested::LongestMatch { of } => {
                let bits = self.spread.line::<A>(of).0;
                let expected = self.longest((bits, A::BITS));
                self.found(self.ours.longest_match(A::from_bits(bits)), expected, false);
            }
            Nested::Flush => self.ours.domain().flush(),
        }
    }
}

#[test]
fn like_a_list_of_prefixes() {
    let operations = produce::<Vec<Operation>>().with().len(0..=200_usize);
    check!()
        .with_max_len(1 << 13)
        .with_generator((u8::produce(), Spread::produce(), operations))
        .for_each(|(batch, spread, operations)| {
            compare::<Ipv4Addr>(*batch, *spread, operations);
            compare::<Ipv6Addr>(*batch, *spread, operations);
        });
}
