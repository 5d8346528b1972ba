//! Walks: those that rest, those that visit, cursors, and those that remove.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::ops::{Bound, ControlFlow, RangeBounds};

use ebtree::Key;
use ebtree::tree::Cursor;

use super::counted::{Counted, perhaps_panic, purposely};
use super::run::Run;
use super::{Ends, Nested};

fn bound<K>(which: u8, key: K) -> Bound<K> {
    match which % 5 {
        0 => Bound::Unbounded,
        1 | 2 => Bound::Included(key),
        _ => Bound::Excluded(key),
    }
}

/// Also where the bounds are upside down, and nothing is.
fn is_inside<K: Ord>(key: &K, from: &Bound<K>, to: &Bound<K>) -> bool {
    (from.as_ref(), to.as_ref()).contains(key)
}

/// What comes next between the bounds; from the other end if `back`.
fn next<'k, K: Ord>(
    keys: &'k BTreeSet<K>,
    from: &Bound<K>,
    to: &Bound<K>,
    back: bool,
) -> Option<&'k K> {
    let next = if back {
        keys.range((Bound::Unbounded, to.as_ref())).next_back()
    } else {
        keys.range((from.as_ref(), Bound::Unbounded)).next()
    };
    next.filter(|key| is_inside(*key, from, to))
}

impl Ends {
    fn bounds<K>(self, key: impl Fn(u8) -> K) -> (Bound<K>, Bound<K>) {
        (bound(self.bounds, key(self.from)), bound(self.bounds / 5, key(self.to)))
    }
}

impl<K: Key + Ord + Debug> Run<'_, K> {
    /// What comes next between the bounds, by the model; from the other end if `back`.
    fn next(&self, from: &Bound<K>, to: &Bound<K>, back: bool) -> Option<(K, u64)> {
        let pair = |(key, number): (&K, &u64)| (key.clone(), *number);
        let next = if back {
            self.oracle.range((Bound::Unbounded, to.as_ref())).next_back().map(pair)
        } else {
            self.oracle.range((from.as_ref(), Bound::Unbounded)).next().map(pair)
        };
        next.filter(|(key, _)| is_inside(key, from, to))
    }

    pub(super) fn both_ends(
        &mut self,
        range: Ends,
        turns: u16,
        nested: Nested,
        key: impl Fn(u8) -> K + Copy,
    ) {
        let (mut from, mut to) = range.bounds(key);
        let mut walk = self.ours.range((from.clone(), to.clone()));
        for turn in 0..16 {
            let back = turns >> turn & 1 != 0;
            let expected = self.next(&from, &to, back);
            let seen = if back { walk.next_back() } else { walk.next() };
            let seen = seen.map(|entry| (entry.key().clone(), entry.value().number()));
            assert_eq!(seen, expected, "{turn}, back: {back}");
            let Some((there, _)) = seen else { break };
            *(if back { &mut to } else { &mut from }) = Bound::Excluded(there);
            if turn == 8 {
                walk = walk.clone();
            }
            self.nested(nested, key);
        }
    }

    pub(super) fn visit(
        &mut self,
        range: Ends,
        back: bool,
        (steps, nested, panics): (u8, Nested, bool),
        key: impl Fn(u8) -> K + Copy,
    ) {
        let ours = self.ours;
        let bounds = range.bounds(key);
        let (mut from, mut to) = bounds.clone();
        let mut left = steps % 32;
        // What has been there all along; a key that comes meanwhile need not be visited.
        let mut staying: BTreeSet<K> = self.oracle.keys().cloned().collect();
        let walked = purposely(|| {
            let visit = |there: &K, value: &Counted| {
                let number = value.number();
                assert_eq!(self.oracle.get(there), Some(&number), "{there:?}");
                assert!(is_inside(there, &from, &to), "in order, and between the ends: {there:?}");
                let expected = next(&staying, &from, &to, back);
                let passed = expected.is_some_and(|it| if back { it > there } else { it < there });
                assert!(!passed, "{there:?} instead of {expected:?}");
                *(if back { &mut to } else { &mut from }) = Bound::Excluded(there.clone());
                self.nested(nested, key);
                staying.retain(|it| self.oracle.contains_key(it));
                assert_eq!(value.number(), number, "protected");
                match left.checked_sub(1) {
                    Some(fewer) => left = fewer,
                    None => {
                        perhaps_panic(panics);
                        return ControlFlow::Break(there.clone());
                    }
                }
                ControlFlow::Continue(())
            };
            if back { ours.range_back_with(bounds, visit) } else { ours.range_with(bounds, visit) }
        });
        let last = if back { &to } else { &from };
        match walked {
            None => assert!(panics),
            Some(ControlFlow::Break(broken)) => assert_eq!(&Bound::Excluded(broken), last),
            Some(ControlFlow::Continue(())) => assert_eq!(next(&staying, &from, &to, back), None),
        }
        if left % 4 == 0 {
            let mut all = Vec::new();
            ours.for_each_in(.., |key, value| all.push((key.clone(), value.number())));
            assert!(all.into_iter().eq(self.oracle.clone()));
        }
    }

    pub(super) fn cursor(
        &mut self,
        from: u8,
        which: u8,
        turns: u8,
        nested: Nested,
        key: impl Fn(u8) -> K + Copy,
    ) {
        // Between what is up to the one bound and what is from the other on.
        let (mut cursor, mut up_to, mut from_on) = match which % 4 {
            0 => (Cursor::start(), None, Some(Bound::Unbounded)),
            1 => {
                let at = key(from);
                let place = (Some(Bound::Excluded(at.clone())), Some(Bound::Included(at.clone())));
                (Cursor::before(at), place.0, place.1)
            }
            2 => {
                let at = key(from);
                let place = (Some(Bound::Included(at.clone())), Some(Bound::Excluded(at.clone())));
                (Cursor::after(at), place.0, place.1)
            }
            _ => (Cursor::end(), Some(Bound::Unbounded), None),
        };
        for turn in 0..8 {
            let below = up_to.as_ref().and_then(|to| self.next(&Bound::Unbounded, to, true));
            let above = from_on.as_ref().and_then(|from| self.next(from, &Bound::Unbounded, false));
            let pair = |entry: Option<ebtree::Entry<'_, K, Counted>>| {
                entry.map(|entry| (entry.key().clone(), entry.value().number()))
            };
            assert_eq!(pair(cursor.peek_prev(self.ours)), below);
            assert_eq!(pair(cursor.peek_next(self.ours)), above);
            if turns >> turn & 1 != 0 {
                assert_eq!(pair(cursor.prev(self.ours)), below);
                if let Some((at, _)) = below {
                    up_to = Some(Bound::Excluded(at.clone()));
                    from_on = Some(Bound::Included(at));
                }
            } else {
                assert_eq!(pair(cursor.next(self.ours)), above);
                if let Some((at, _)) = above {
                    up_to = Some(Bound::Included(at.clone()));
                    from_on = Some(Bound::Excluded(at));
                }
            }
            self.nested(nested, key);
        }
    }

    pub(super) fn drain_until(
        &mut self,
        end: u8,
        steps: u8,
        nested: Nested,
        key: impl Fn(u8) -> K + Copy,
    ) {
        let end = key(end);
        let mut drain = self.ours.drain_until(&end);
        for _ in 0..=steps % 16 {
            let due = self.oracle.first_key_value().filter(|(key, _)| **key <= end);
            let due = due.map(|(key, number)| (key.clone(), *number));
            if let Some((key, _)) = &due {
                self.oracle.remove(key);
            }
            let over = due.is_none();
            self.found(drain.next(), due, steps >= 128);
            if over {
                break;
            }
            self.nested(nested, key);
        }
    }

    /// The predicate has operations of its own at the first entry.
    pub(super) fn retain(&mut self, modulus: u8, nested: Nested, key: impl Fn(u8) -> K + Copy) {
        let ours = self.ours;
        let keep = |number: u64| !number.is_multiple_of(u64::from(modulus % 4) + 2);
        let (mut calls, mut last) = (0, Bound::Unbounded);
        ours.retain(|there, value| {
            calls += 1;
            let number = value.number();
            // Asked of again if it is another one by now.
            let again = last == Bound::Excluded(there.clone());
            assert!(
                again
                    || self
                        .next(&last, &Bound::Unbounded, false)
                        .is_some_and(|next| next.0 == *there)
            );
            last = Bound::Excluded(there.clone());
            if calls == 1 {
                self.nested(nested, key);
            }
            // It goes as soon as this says so, unless it is gone or another one.
            if !keep(number) && self.oracle.get(there) == Some(&number) {
                self.oracle.remove(there);
            }
            keep(number)
        });
    }
}
