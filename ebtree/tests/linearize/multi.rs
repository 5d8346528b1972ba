//! `EbMultiTree`. Operations on one entry are linearizable, and a look at several returns what was present at some instant
//! of it and passes over nothing that was present all the time; so entries are judged by the spans of their coming and going.
//!
//! An entry is *surely* present from the end of its insert to the beginning of its removal, and *perhaps* from the beginning
//! of the one to the end of the other. Of two entries of one key the one whose insert was over before that of the other began
//! stands first, if it was surely present until the other's was over.

use std::collections::{BTreeMap, HashMap};
use std::thread;

use ebtree::multi::Entry;
use ebtree::{Domain, EbMultiTree};

use crate::{Clock, Random, Span, Turn, run, steps};

type Tree = EbMultiTree<u64, u64>;

/// What was done with one entry, all of which have different values; or seen of several.
#[derive(Clone, Debug)]
enum Said {
    Inserted {
        key: u64,
        value: u64,
    },
    /// By its identity, or by its place.
    Removed {
        value: u64,
    },
    /// Removed by somebody else.
    Refused {
        value: u64,
    },
    /// The oldest or the newest one of a key, `None` if it has none.
    End {
        key: u64,
        newest: bool,
        value: Option<u64>,
    },
    /// All of a key, oldest first.
    All {
        key: u64,
        values: Vec<u64>,
    },
    /// The oldest one of the smallest key.
    First {
        value: Option<u64>,
    },
}

type Event = (Said, Span);

/// How long an entry was there.
#[derive(Clone, Copy, Debug)]
struct Life {
    key: u64,
    inserted: Span,
    removed: Option<Span>,
}

impl Life {
    /// Surely there, from a time to a time.
    fn lasts(&self, span: Span) -> bool {
        self.inserted.ended < span.began && self.removed.is_none_or(|gone| gone.began > span.ended)
    }

    /// Perhaps there at some time in between.
    fn meets(&self, span: Span) -> bool {
        self.inserted.began < span.ended && self.removed.is_none_or(|gone| gone.ended > span.began)
    }

    /// Whether it stands before the other one, of the same key, for sure.
    fn is_before(&self, other: &Self) -> bool {
        self.inserted.ended < other.inserted.began
            && self.removed.is_none_or(|gone| gone.began > other.inserted.ended)
    }
}

/// Returns what is wrong, if anything is.
fn judge<'e>(events: impl Iterator<Item = &'e Event> + Clone) -> Result<usize, String> {
    let mut lives: HashMap<u64, Life> = HashMap::new();
    for (said, span) in events.clone() {
        if let Said::Inserted { key, value } = *said {
            lives.insert(value, Life { key, inserted: *span, removed: None });
        }
    }
    for (said, span) in events.clone() {
        if let Said::Removed { value } = said {
            let life = lives.get_mut(value).ok_or_else(|| format!("{value} was never there"))?;
            if life.removed.is_some() {
                return Err(format!("{value} was removed twice"));
            }
            if span.ended < life.inserted.began {
                return Err(format!("{value} was removed before it came"));
            }
            life.removed = Some(*span);
        }
    }
    let mut keys: BTreeMap<u64, Vec<Life>> = BTreeMap::new();
    for life in lives.values() {
        keys.entry(life.key).or_default().push(*life);
    }
    let of = |key: u64| keys.get(&key).map_or(&[][..], |lives| lives);
    let present = |value: &u64, span: Span| {
        let life = lives.get(value).filter(|life| life.meets(span));
        life.ok_or_else(|| format!("{value} was not there at {span:?}"))
    };
    let mut judged = 0;
    for (said, span) in events {
        let span = *span;
        let fault = |what: &str, life: &Life| Err(format!("{said:?} at {span:?} {what} {life:?}"));
        match said {
            Said::Inserted { .. } | Said::Removed { .. } => {}
            Said::Refused { value } => {
                let life = lives.get(value).ok_or("never there")?;
                if life.removed.is_none_or(|gone| gone.began > span.ended) {
                    return fault("before anybody removed", life);
                }
            }
            Said::End { key, newest, value } => {
                let there = value.as_ref().map(|value| present(value, span)).transpose()?;
                for life in of(*key).iter().filter(|life| life.lasts(span)) {
                    let passed = there.is_none_or(|there| {
                        if *newest { there.is_before(life) } else { life.is_before(there) }
                    });
                    if passed {
                        return fault("passed over", life);
                    }
                }
            }
            Said::First { value } => {
                let there = value.as_ref().map(|value| present(value, span)).transpose()?;
                for life in lives.values().filter(|life| life.lasts(span)) {
                    let passed = there.is_none_or(|there| {
                        life.key < there.key || life.key == there.key && life.is_before(there)
                    });
                    if passed {
                        return fault("passed over", life);
                    }
                }
            }
            Said::All { key, values } => {
                let mut met = Vec::new();
                for value in values {
                    let there = present(value, span)?;
                    if there.key != *key {
                        return fault("met one of another key", there);
                    }
                    if met.iter().any(|earlier: &&Life| there.is_before(earlier)) {
                        return fault("met too late", there);
                    }
                    met.push(there);
                }
                for life in of(*key).iter().filter(|life| life.lasts(span)) {
                    let times = met.iter().filter(|it| it.inserted == life.inserted).count();
                    if times != 1 {
                        return fault("did not meet, or more than once,", life);
                    }
                }
            }
        }
        judged += 1;
    }
    Ok(judged)
}

fn value(entry: Option<&Entry<'_, u64, u64>>) -> Option<u64> {
    entry.map(|entry| **entry)
}

/// Does one operation.
fn one(tree: &Tree, clock: &Clock, turn: Turn, keys: u64, random: &mut Random) -> Vec<Event> {
    let key = random.next() % keys;
    match random.next() % 16 {
        0..=4 => {
            let new = turn.step << 8 | turn.thread;
            let (Ok(_), span) = clock.time(|| tree.insert(key, new));
            vec![(Said::Inserted { key, value: new }, span)]
        }
        5 | 6 => {
            let (removed, span) = clock.time(|| value(tree.remove_first(&key).as_ref()));
            // A look and a removal.
            let look = (Said::End { key, newest: false, value: removed }, span);
            let removed = removed.map(|value| (Said::Removed { value }, span));
            removed.into_iter().chain([look]).collect()
        }
        7 => {
            let (popped, span) = clock.time(|| value(tree.pop_first().as_ref()));
            let look = (Said::First { value: popped }, span);
            popped.map(|value| (Said::Removed { value }, span)).into_iter().chain([look]).collect()
        }
        // Any one, by its identity: between the look and the removal anything may happen.
        8..=10 => {
            let which = random.next() as usize % 8;
            let mut all = tree.get_all(&key);
            let entry = if which < 5 { all.nth(which) } else { all.next_back() };
            let Some(entry) = entry else { return Vec::new() };
            // So that it is gone by now every so often, and another one has its number.
            if which.is_multiple_of(2) {
                thread::yield_now();
            }
            let (removed, span) = clock.time(|| tree.remove(&entry));
            let value = *entry;
            let said = if removed { Said::Removed { value } } else { Said::Refused { value } };
            vec![(said, span)]
        }
        11 if turn.step.is_multiple_of(8) => {
            let mut removed = Vec::new();
            for entry in tree.get_all(&key) {
                let (done, span) = clock.time(|| tree.remove(&entry));
                let value = *entry;
                let said = if done { Said::Removed { value } } else { Said::Refused { value } };
                removed.push((said, span));
            }
            removed
        }
        11 | 12 => {
            let (values, span) = clock.time(|| tree.get_all(&key).map(|entry| *entry).collect());
            vec![(Said::All { key, values }, span)]
        }
        13 => {
            let (values, span) = clock.time(|| {
                let mut values: Vec<u64> = tree.get_all(&key).rev().map(|entry| *entry).collect();
                values.reverse();
                values
            });
            vec![(Said::All { key, values }, span)]
        }
        14 => {
            let (value, span) = clock.time(|| value(tree.get_all(&key).next_back().as_ref()));
            vec![(Said::End { key, newest: true, value }, span)]
        }
        _ => {
            let (value, span) = clock.time(|| value(tree.get(&key).as_ref()));
            vec![(Said::End { key, newest: false, value }, span)]
        }
    }
}

fn record(threads: u64, keys: u64) -> Vec<Event> {
    // Every second run reclaims at once, and so reuses addresses at once.
    let domain = if keys == 2 { Domain::new() } else { Domain::with_batch(1) };
    let tree = Tree::new_in(domain);
    let said = run(threads, keys, steps() / 3, |clock, turn, random| {
        one(&tree, clock, turn, keys, random)
    });
    said.into_iter().flatten().collect()
}

#[test]
fn duplicates_come_and_go_in_order() {
    let mut judged = 0;
    for threads in [2, 3, 4] {
        for keys in [1, 2, 3] {
            match judge(record(threads, keys).iter()) {
                Ok(number) => judged += number,
                Err(fault) => panic!("{threads} threads, {keys} keys: {fault}"),
            }
        }
    }
    println!("{judged} answers on duplicates judged");
    assert!(judged as u64 > steps() / 2);
}

#[test]
fn one_wrong_answer_on_duplicates_is_noticed() {
    let events = record(3, 1);
    assert!(judge(events.iter()).is_ok());
    let noticed = |wrong: Vec<Event>| judge(wrong.iter()).unwrap_err();
    let end = events.iter().map(|(_, span)| span.ended).max().unwrap();
    let late = Span { began: end + 1, ended: end + 2 };
    let removed = events.iter().find(|(said, _)| matches!(said, Said::Removed { .. })).unwrap();
    let Said::Removed { value: gone } = removed.0 else { unreachable!() };

    let more = |said| events.iter().cloned().chain([(said, late)]).collect();
    assert!(noticed(more(Said::Removed { value: gone })).contains("removed twice"));
    for said in [
        Said::End { key: 0, newest: false, value: Some(gone) },
        Said::End { key: 0, newest: true, value: Some(gone) },
        Said::First { value: Some(gone) },
        Said::All { key: 0, values: vec![gone] },
    ] {
        assert!(noticed(more(said)).contains("not there"));
    }
    // As if the removal had never been.
    let others = events.iter().filter(|event| !std::ptr::eq(*event, removed)).cloned().collect();
    noticed(others);
    // Each walk over three or more, turned round: in one of them at least two have an order for sure.
    let turned = events.iter().cloned().map(|(mut said, span)| {
        if let Said::All { values, .. } = &mut said {
            values.reverse();
        }
        (said, span)
    });
    assert!(noticed(turned.collect()).contains("too late"));
    // The other end.
    let turned = events.iter().cloned().map(|(mut said, span)| {
        if let Said::End { newest, .. } = &mut said {
            *newest = !*newest;
        }
        (said, span)
    });
    assert!(noticed(turned.collect()).contains("passed over"));
}

/// The judge itself, on histories small enough to judge by eye.
#[test]
fn the_judge_of_duplicates_knows_what_may_overlap() {
    let at = |said: Said, began, ended| (said, Span { began, ended });
    let insert = |value, began, ended| at(Said::Inserted { key: 1, value }, began, ended);
    let oldest = |value| Said::End { key: 1, newest: false, value };
    let newest = |value| Said::End { key: 1, newest: true, value };
    let all = |values: &[u64]| Said::All { key: 1, values: values.to_vec() };
    let remove = |value, began, ended| at(Said::Removed { value }, began, ended);
    let is_right = |events: &[Event]| judge(events.iter()).is_ok();

    // One after the other, and both at once.
    let (in_order, at_once) =
        ([insert(7, 1, 2), insert(8, 3, 4)], [insert(7, 1, 3), insert(8, 2, 4)]);
    for (said, right) in [
        (oldest(Some(7)), [true, true]),
        (oldest(Some(8)), [false, true]),
        (oldest(None), [false, false]),
        (newest(Some(7)), [false, true]),
        (newest(Some(8)), [true, true]),
        (all(&[7, 8]), [true, true]),
        (all(&[8, 7]), [false, true]),
        (all(&[7]), [false, false]),
        (all(&[7, 8, 8]), [false, false]),
        (Said::First { value: Some(8) }, [false, true]),
        (Said::First { value: None }, [false, false]),
        (Said::Refused { value: 7 }, [false, false]),
    ] {
        let seen = [in_order.clone(), at_once.clone()]
            .map(|[one, two]| is_right(&[one, two, at(said.clone(), 5, 6)]));
        assert_eq!(seen, right, "{said:?}");
    }
    // During its insert or removal an entry may be seen or not; after its removal it may not.
    for (said, right) in [
        (at(oldest(None), 2, 3), true),
        (at(oldest(Some(7)), 2, 3), true),
        (at(oldest(None), 12, 13), true),
        (at(oldest(Some(7)), 12, 13), true),
        (at(oldest(Some(7)), 15, 16), false),
        (at(oldest(None), 6, 8), false),
        (at(Said::Refused { value: 7 }, 12, 13), true),
        (at(Said::Refused { value: 7 }, 8, 9), false),
    ] {
        assert_eq!(
            is_right(&[insert(7, 1, 5), remove(7, 10, 14), said.clone()]),
            right,
            "{said:?}"
        );
    }
    assert!(!is_right(&[insert(7, 3, 5), remove(7, 1, 2)]));
    assert!(!is_right(&[insert(7, 1, 2), remove(7, 3, 4), remove(7, 3, 5)]));
    // Beside the removal of the others an insert may get the place of one that came before it.
    let beside = [insert(6, 1, 2), remove(6, 4, 5), insert(7, 3, 8), insert(8, 6, 7)];
    let look = |said| is_right(&[&beside[..], &[at(said, 9, 10)]].concat());
    assert!(look(all(&[7, 8])) && look(all(&[8, 7])));
}
