//! `EbPrefixTree`. Operations on one prefix are linearizable, and so is the answer of a longest match as far as it is one
//! on the prefix that it returns. Beside that, no longer prefix may have been present during the whole call; and
//! unless a longer one came and went within the call, there must be an instant of it at which the answer is right.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ebtree::prefix::{Entry, Prefix};
use ebtree::{Domain, EbPrefixTree, Ipv4Prefix};

use crate::judge::{ABSENT, Call, Event, Value, by_key, is_linearizable};
use crate::{Clock, Random, Span, Turn, run, steps};

type Tree = EbPrefixTree<Ipv4Addr, Value>;

/// A longest match, and what it found.
#[derive(Clone, Copy, Debug)]
struct Look {
    address: Ipv4Addr,
    found: Option<Ipv4Prefix>,
    span: Span,
}

/// What one thread did: operations on one prefix, and looks.
#[derive(Clone, Copy, Debug)]
enum Did {
    One(Ipv4Prefix, Event),
    Look(Look),
}

/// When a prefix came and when it went; its values changed meanwhile, perhaps.
#[derive(Clone, Copy, Debug)]
struct Stay {
    came: Span,
    went: Option<Span>,
}

type Stays = BTreeMap<Ipv4Prefix, Vec<Stay>>;

/// Follows the values of each prefix from one that came where nothing was to one after which nothing is.
fn stays<'d>(all: impl Iterator<Item = &'d Did> + Clone) -> Stays {
    // Where a value was replaced or removed: by what, and when. All values are different.
    let mut ends: BTreeMap<Value, (Value, Span)> = BTreeMap::new();
    let mut starts = Vec::new();
    for did in all {
        let Did::One(prefix, Event { call, span }) = *did else { continue };
        match call {
            Call::Insert(new, ABSENT) | Call::TryInsert(new, ABSENT) => {
                starts.push((prefix, new, span));
            }
            Call::Insert(new, old) => drop(ends.insert(old, (new, span))),
            Call::Remove(old) if old != ABSENT => drop(ends.insert(old, (ABSENT, span))),
            _ => {}
        }
    }
    let mut stays = Stays::new();
    for (prefix, mut value, came) in starts {
        let went = loop {
            match ends.get(&value) {
                None => break None,
                Some((ABSENT, span)) => break Some(*span),
                Some((next, _)) => value = *next,
            }
        };
        stays.entry(prefix).or_default().push(Stay { came, went });
    }
    stays.values_mut().for_each(|stays| stays.sort_by_key(|stay| stay.came.began));
    stays
}

/// Spans during which a prefix was surely there.
fn surely_there(stays: &[Stay]) -> impl Iterator<Item = (u64, u64)> {
    stays.iter().map(|stay| (stay.came.ended, stay.went.map_or(u64::MAX, |went| went.began)))
}

/// Spans during which it was surely not there: between those during which it perhaps was, in the order of their
/// beginnings. Of two that overlap nobody says which was first.
fn surely_not_there(stays: &[Stay]) -> Vec<(u64, u64)> {
    let mut from = 0;
    let mut gaps = Vec::new();
    for stay in stays {
        gaps.push((from, stay.came.began));
        from = from.max(stay.went.map_or(u64::MAX, |went| went.ended));
    }
    gaps.push((from, u64::MAX));
    gaps
}

/// What a look was judged by.
#[derive(Default)]
struct Judged {
    looks: usize,
    /// Of which so many beside changes that an instant had to be found.
    instants: usize,
}

/// Returns what is wrong with the looks, if anything is.
fn judge_looks<'d>(all: impl Iterator<Item = &'d Did> + Clone) -> Result<Judged, String> {
    let stays = stays(all.clone());
    let mut judged = Judged::default();
    for did in all {
        let Did::Look(look) = *did else { continue };
        let Look { address, found, span } = look;
        let longer: Vec<_> = stays
            .iter()
            .filter(|(prefix, _)| {
                prefix.contains(address)
                    && found.is_none_or(|found| prefix.length() > found.length())
            })
            .collect();
        let all_the_time = |(from, to): &(u64, u64)| *from < span.began && span.ended < *to;
        for (prefix, stays) in &longer {
            if let Some(stay) = surely_there(stays).find(all_the_time) {
                return Err(format!("{look:?}, and {prefix} was there all the time: {stay:?}"));
            }
        }
        judged.looks += 1;
        let within = |stay: &Stay| {
            stay.came.ended > span.began && stay.went.is_some_and(|it| it.began < span.ended)
        };
        if longer.iter().any(|(_, stays)| stays.iter().any(within)) {
            continue;
        }
        // When the answer was wrong for sure; an instant must be left.
        let absent = found.map(|found| stays.get(&found).map_or(&[][..], |stays| stays));
        let mut wrong: Vec<_> = longer
            .iter()
            .flat_map(|(_, stays)| surely_there(stays))
            .chain(absent.into_iter().flat_map(surely_not_there))
            .filter(|(from, to)| from < to && *from < span.ended && span.began < *to)
            .collect();
        wrong.sort_unstable();
        judged.instants += usize::from(!wrong.is_empty());
        let mut right_from = span.began;
        for (from, to) in wrong {
            if from > right_from {
                break;
            }
            right_from = right_from.max(to);
        }
        if right_from >= span.ended {
            return Err(format!("{look:?} is right at no instant"));
        }
    }
    Ok(judged)
}

/// Judges all that was done: prefix by prefix, and the looks.
fn judge(threads: &[Vec<Did>]) -> Result<Judged, String> {
    let events = threads.iter().map(|thread| {
        let of = |did: &Did| match *did {
            Did::One(prefix, event) => Some((prefix, event)),
            Did::Look(_) => None,
        };
        thread.iter().filter_map(of).collect()
    });
    for (prefix, history) in by_key(events.collect()) {
        if !is_linearizable(&history) {
            return Err(format!("{prefix} has no order"));
        }
    }
    judge_looks(threads.iter().flatten())
}

/// Which prefixes and addresses there are.
#[derive(Clone, Copy)]
enum Among {
    /// All of up to three bits.
    Few,
    /// Those of one address, and neighbours that split its path.
    OneDeep,
}

impl Among {
    fn prefix(self, random: &mut Random) -> Ipv4Prefix {
        let length = |random: &mut Random, end| (random.next() % end) as u8;
        match self {
            Self::Few => {
                let length = length(random, 4);
                Prefix::new(self.address(random), length).unwrap()
            }
            Self::OneDeep => {
                let beside =
                    if random.next().is_multiple_of(3) { 1 << (random.next() % 8) } else { 0 };
                let address = Ipv4Addr::new(10, 0, 0, 0xA5 ^ beside);
                Prefix::new(address, 24 + length(random, 9)).unwrap()
            }
        }
    }

    fn address(self, random: &mut Random) -> Ipv4Addr {
        match self {
            Self::Few => Ipv4Addr::new(((random.next() % 8) << 5) as u8, 0, 0, 0),
            Self::OneDeep => Ipv4Addr::new(10, 0, 0, 0xA5),
        }
    }
}

/// Does one operation.
fn one(tree: &Tree, clock: &Clock, turn: Turn, among: Among, random: &mut Random) -> Vec<Did> {
    let old = |entry: Option<Entry<'_, Ipv4Addr, Value>>| entry.map_or(ABSENT, |it| *it.value());
    let did = |prefix, (call, span)| Did::One(prefix, Event { call, span });
    let new = turn.step << 8 | turn.thread << 1 | 1 << 40;
    let prefix = among.prefix(random);
    match random.next() % 12 {
        0 => vec![did(prefix, clock.time(|| Call::Insert(new, old(tree.insert(prefix, new)))))],
        1 => {
            let tried = clock.time(|| {
                let there = tree.try_insert(prefix, new).err();
                Call::TryInsert(new, old(there.map(|(there, _)| there)))
            });
            vec![did(prefix, tried)]
        }
        2 | 3 => vec![did(prefix, clock.time(|| Call::Remove(old(tree.remove(&prefix)))))],
        // A network is replaced by another one of the same address, without a gap.
        4 | 5 => {
            let other = Prefix::new(prefix.address(), among.prefix(random).length()).unwrap();
            let inserted = clock.time(|| Call::Insert(new, old(tree.insert(prefix, new))));
            let removed = clock.time(|| Call::Remove(old(tree.remove(&other))));
            vec![did(prefix, inserted), did(other, removed)]
        }
        6 => vec![did(prefix, clock.time(|| Call::Get(old(tree.get(&prefix)))))],
        which => {
            let address = among.address(random);
            let (found, span) = clock.time(|| {
                if which % 2 == 0 {
                    tree.longest_match(address).map(|it| (*it.prefix(), *it.value()))
                } else {
                    tree.longest_match_with(address, |prefix, value| (*prefix, *value))
                }
            });
            assert!(found.is_none_or(|(prefix, _)| prefix.contains(address)));
            let look = Did::Look(Look { address, found: found.map(|it| it.0), span });
            // As far as the answer goes, a look at one prefix.
            let get = found.map(|(prefix, value)| did(prefix, (Call::Get(value), span)));
            get.into_iter().chain([look]).collect()
        }
    }
}

fn record(threads: u64, among: Among, batch: usize) -> Vec<Vec<Did>> {
    let tree = Tree::new_in(Domain::with_batch(batch));
    run(threads, batch as u64, steps(), |clock, turn, random| {
        one(&tree, clock, turn, among, random)
    })
}

#[test]
fn a_longest_match_is_right_at_some_instant() {
    let (mut looks, mut instants) = (0, 0);
    for threads in [2, 3, 4] {
        for (among, batch) in [(Among::Few, 1), (Among::OneDeep, 1), (Among::OneDeep, 64)] {
            match judge(&record(threads, among, batch)) {
                Ok(judged) => {
                    looks += judged.looks;
                    instants += judged.instants;
                }
                Err(fault) => panic!("{threads} threads: {fault}"),
            }
        }
    }
    println!("{looks} longest matches judged, {instants} of them beside changes");
    assert!(looks as u64 > steps() * 2);
}

#[test]
fn one_wrong_match_is_noticed() {
    let history = record(3, Among::OneDeep, 1);
    assert!(judge(&history).is_ok());
    let stays = stays(history.iter().flatten());
    let mut noticed = 0;
    for at in 0..history[0].len() {
        let Did::Look(look) = history[0][at] else { continue };
        // A shorter one than was there; and one that surely was not there.
        let shorter = look.found.and_then(|found| found.parent());
        let other = shorter.filter(|other| {
            let stays = stays.get(other).map_or(&[][..], |stays| stays);
            let is_beyond = |(from, to): (u64, u64)| from < look.span.began && look.span.ended < to;
            surely_not_there(stays).into_iter().any(is_beyond)
        });
        if other.is_some() {
            let mut wrong = history.clone();
            wrong[0][at] = Did::Look(Look { found: other, ..look });
            let within = judge_looks(wrong.iter().flatten());
            noticed += usize::from(within.is_err());
        }
        if noticed == 20 {
            break;
        }
    }
    assert_eq!(noticed, 20);
}

/// The judge itself, on histories small enough to judge by eye.
#[test]
fn the_judge_of_matches_knows_what_may_overlap() {
    let [wide, long, longer] = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24"]
        .map(|text| text.parse::<Ipv4Prefix>().unwrap());
    let did =
        |prefix, call, began, ended| Did::One(prefix, Event { call, span: Span { began, ended } });
    let look = |found, began, ended| {
        let address = Ipv4Addr::new(10, 1, 2, 3);
        Did::Look(Look { address, found, span: Span { began, ended } })
    };
    let is_right = |done: &[Did], found, began, ended| {
        judge_looks(done.iter().chain([&look(found, began, ended)])).is_ok()
    };
    let done = [
        did(wide, Call::Insert(1, ABSENT), 1, 2),
        did(long, Call::Insert(2, ABSENT), 10, 20),
        did(long, Call::Insert(3, 2), 30, 31),
        did(long, Call::Remove(3), 40, 50),
    ];
    for (found, began, ended, right) in [
        (Some(wide), 3, 4, true),
        (None, 3, 4, false),
        (Some(long), 3, 4, false),
        (Some(long), 11, 12, true),
        (Some(wide), 11, 12, true),
        (Some(long), 21, 22, true),
        (Some(wide), 21, 22, false),
        // Replaced, it was there all the time.
        (Some(wide), 21, 39, false),
        (Some(long), 32, 60, true),
        (Some(wide), 32, 60, true),
        (Some(long), 51, 60, false),
        (Some(longer), 51, 60, false),
    ] {
        assert_eq!(is_right(&done, found, began, ended), right, "{found:?} {began} {ended}");
    }
    // Another one comes before the one goes: at no instant there is neither.
    let done = [
        did(wide, Call::Insert(1, ABSENT), 1, 2),
        did(long, Call::Insert(2, ABSENT), 3, 4),
        did(longer, Call::Insert(3, ABSENT), 10, 11),
        did(long, Call::Remove(2), 12, 13),
    ];
    assert!(is_right(&done, Some(long), 8, 20) && is_right(&done, Some(longer), 8, 20));
    assert!(!is_right(&done, Some(wide), 8, 20));
    // Unless it came and went within the call, when one that goes by may see neither.
    let went = [&done[..], &[did(longer, Call::Remove(3), 14, 15)]].concat();
    assert!(is_right(&went, Some(wide), 8, 20));
    // At the same time, there may be an instant.
    let at_once = [
        done[0],
        done[1],
        did(longer, Call::Insert(3, ABSENT), 10, 13),
        did(long, Call::Remove(2), 11, 12),
    ];
    assert!(is_right(&at_once, Some(wide), 8, 20));
}
