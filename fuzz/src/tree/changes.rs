//! Changes that depend on what is there, and batches.

use std::cell::Cell;
use std::fmt::Debug;

use ebtree::Key;

use super::Nested;
use super::counted::{perhaps_panic, purposely};
use super::run::Run;

/// What a closure of the caller's does the first time: other operations, and perhaps a panic; and whether a guard of the
/// answer is kept.
type Beside = (Nested, bool, bool);

impl<K: Key + Ord + Debug> Run<'_, K> {
    /// Counts a call of a closure, which acts the first time only: every fourth time on the very key that is being changed.
    fn called(
        &mut self,
        calls: &mut u32,
        (nested, panics): (Nested, bool),
        own: &K,
        key: impl Fn(u8) -> K,
    ) {
        *calls += 1;
        assert!(*calls < 100, "as many turns as changes");
        if *calls == 1 {
            self.nested(nested, |k| if k < 64 { own.clone() } else { key(k) });
            perhaps_panic(panics);
        }
    }

    pub(super) fn update(
        &mut self,
        k: K,
        nested: Nested,
        panics: bool,
        hold: bool,
        key: impl Fn(u8) -> K + Copy,
    ) {
        let ours = self.ours;
        let was_there = self.oracle.contains_key(&k);
        let (mut calls, mut last) = (0, None);
        let updated = purposely(|| {
            ours.update(&k, |there| {
                let seen = there.number();
                self.called(&mut calls, (nested, panics), &k, key);
                assert_eq!(there.number(), seen, "protected while it is looked at");
                let new = self.value();
                last = Some((seen, new.number()));
                new
            })
        });
        assert_eq!(calls > 0, was_there);
        let Some(updated) = updated else { return assert!(panics) };
        match (&updated, last) {
            (Some(_), Some((seen, new))) => {
                assert_eq!(self.oracle.insert(k.clone(), new), Some(seen), "what it saw last");
                self.found(updated, Some((k, new)), hold);
            }
            _ => assert!(updated.is_none() && !self.oracle.contains_key(&k)),
        }
    }

    pub(super) fn compute(
        &mut self,
        k: K,
        some: bool,
        (nested, panics, hold): Beside,
        key: impl Fn(u8) -> K + Copy,
    ) {
        let ours = self.ours;
        let (mut calls, mut last) = (0, (None, None));
        let change = purposely(|| {
            ours.compute(&k, |there| {
                let seen = there.map(|there| there.number());
                self.called(&mut calls, (nested, panics), &k, key);
                assert_eq!(there.map(|there| there.number()), seen, "protected");
                let new = some.then(|| self.value());
                last = (seen, new.as_ref().map(|new| new.number()));
                new
            })
        });
        assert!(calls > 0);
        let Some(change) = change else { return assert!(panics) };
        let (seen, new) = last;
        if last == (None, None) {
            // Nothing was there when it looked, and nothing came of it.
            return assert!(change.before.is_none() && change.after.is_none());
        }
        let before = self.oracle.remove(&k);
        assert_eq!(before, seen, "what it saw last is what was there");
        self.oracle.extend(new.map(|new| (k.clone(), new)));
        self.found(change.before, seen.map(|seen| (k.clone(), seen)), hold);
        self.found(change.after, new.map(|new| (k, new)), hold);
    }

    pub(super) fn replace_if(
        &mut self,
        k: K,
        yes: bool,
        (nested, panics, hold): Beside,
        key: impl Fn(u8) -> K + Copy,
    ) {
        let ours = self.ours;
        let new = self.value();
        let number = new.number();
        let (mut calls, mut last) = (0, None);
        let replaced = purposely(|| {
            ours.replace_if(&k, new, |there| {
                last = Some(there.number());
                self.called(&mut calls, (nested, panics), &k, key);
                assert_eq!(Some(there.number()), last, "protected");
                yes
            })
        });
        match replaced {
            None => assert!(panics && calls > 0),
            Some(Ok(old)) => {
                assert!(yes);
                assert_eq!(self.oracle.insert(k.clone(), number), last);
                self.found(Some(old), last.map(|last| (k, last)), hold);
            }
            Some(Err(back)) => {
                assert_eq!(back.number(), number);
                assert!(!yes || !self.oracle.contains_key(&k), "it was to be replaced");
            }
        }
    }

    pub(super) fn compare_exchange(&mut self, at: u8, hold: bool) {
        let Some(at) = usize::from(at).checked_rem(self.held.len()) else { return };
        let new = self.value();
        let number = new.number();
        let (entry, k, expected) = self.held.swap_remove(at);
        let there = self.oracle.get(&k).copied();
        match self.ours.compare_exchange(&entry, new) {
            Ok(new) => {
                assert_eq!(there, Some(expected), "the entry is there");
                self.oracle.insert(k.clone(), number);
                self.found(Some(new), Some((k, number)), hold);
            }
            Err(refused) => {
                assert_ne!(there, Some(expected), "the entry is gone");
                assert_eq!(refused.new.number(), number);
                self.found(refused.current, there.map(|there| (k, there)), hold);
            }
        }
        assert_eq!(entry.value().number(), expected);
    }

    pub(super) fn remove_entry(&mut self, at: u8) {
        let Some(at) = usize::from(at).checked_rem(self.held.len()) else { return };
        let (entry, k, number) = &self.held[at];
        let there = self.oracle.get(k) == Some(number);
        assert_eq!(self.ours.remove_entry(entry), there);
        assert!(!self.ours.remove_entry(entry), "once");
        if there {
            self.oracle.remove(k);
        }
    }

    /// The first visit has operations of its own. The look-ups that come later may have been made before them or after.
    pub(super) fn get_many_with(
        &mut self,
        keys: &[K],
        nested: Nested,
        key: impl Fn(u8) -> K + Copy,
    ) {
        let ours = self.ours;
        let before: Vec<_> = keys.iter().map(|k| self.oracle.get(k).copied()).collect();
        let visited = Cell::new(0);
        ours.get_many_with(keys, |k, value| {
            let at = visited.replace(visited.get() + 1);
            let seen = value.map(|value| value.number());
            assert_eq!(*k, keys[at], "in the order that was asked for");
            if at == 0 {
                assert_eq!(seen, before[0]);
                self.nested(nested, key);
                assert_eq!(value.map(|value| value.number()), seen, "protected");
            }
            let now = self.oracle.get(k).copied();
            assert!(seen == before[at] || seen == now, "{seen:?} of {k:?}, which is {now:?}");
        });
        assert_eq!(visited.get(), keys.len());
    }
}
