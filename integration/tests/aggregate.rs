//! Sums over peers, in simulated time.

#[path = "aggregate/star.rs"]
mod star;

use std::collections::VecDeque;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use star::{Path, Star, lease_key};
use stktable::{DataType, Key, Tick};
use stktable_integration::aggregate::{LEASE_MS, LEASE_RENEW_MS};

#[test]
fn every_source_reads_the_sum_of_all() {
    let mut star = Star::new(3);
    star.connect_all();
    for (at, n) in [(0, 5), (1, 70), (2, 900)] {
        star.count(at, 7, n);
    }
    star.wait(500);
    for node in &star.nodes {
        for data_type in
            [DataType::Gpc0, DataType::Gpc1, DataType::HttpReqRate, DataType::BytesInCnt]
        {
            assert_eq!(node.reads(7, data_type, star.now), Some(975), "{data_type}");
        }
        assert_eq!(node.reads(7, DataType::ConnCur, star.now), None, "it is called gpc1");
        assert!(node.is_complete(star.now));
        let read = |data_type| node.lease.fetch(&lease_key(), data_type, 0, star.now);
        assert_eq!(read(DataType::Gpc0), Some(3));
        assert_eq!(read(DataType::Gpc1), Some(3));
        // Nothing came back to the table that it was counted in.
        assert!(node.local.fetch(&Key::from(7), DataType::Gpc0, 0, star.now).unwrap() < 975);
    }
    // The rate goes on at each of them, and fades without anybody saying anything.
    star.wait(4_000);
    let rate = star.nodes[0].reads(7, DataType::HttpReqRate, star.now).unwrap();
    assert!((1..975).contains(&rate), "{rate}");
    star.wait(4_100);
    assert_eq!(star.nodes[0].reads(7, DataType::HttpReqRate, star.now), Some(0));
}

#[test]
fn nothing_is_counted_twice() {
    let mut star = Star::new(2);
    star.connect_all();
    for at in 0..2 {
        star.count(at, 1, 10);
    }
    star.wait(300);
    for _ in 0..5 {
        // A new session each, with everything told again.
        star.cut(0);
        star.cut(1);
        star.wait(200);
        star.connect_all();
        star.wait(200);
        assert_eq!(star.nodes[0].reads(1, DataType::BytesInCnt, star.now), Some(20));
        assert!(star.nodes[0].is_complete(star.now));
    }
}

#[test]
fn what_a_source_has_no_more_is_in_no_sum() {
    let mut star = Star::new(2);
    star.connect_all();
    for (at, key) in [(0, 1), (1, 1), (1, 2)] {
        star.count(at, key, 10);
    }
    star.wait(300);
    assert_eq!(star.nodes[0].reads(2, DataType::Gpc0, star.now), Some(10));
    // It has counted one key since, and knows nothing of the other.
    star.restart(1);
    star.count(1, 1, 3);
    star.connect_all();
    star.wait(300);
    assert!(star.nodes[0].is_complete(star.now));
    assert_eq!(star.nodes[0].reads(1, DataType::Gpc0, star.now), Some(13));
    assert_eq!(star.nodes[0].reads(2, DataType::Gpc0, star.now), Some(0));
}

/// What is in use just then is removed later, and until then the sums are not whole.
#[test]
fn what_is_in_use_is_removed_later() {
    let mut star = Star::new(2);
    star.connect_all();
    for (at, key) in [(0, 1), (1, 1), (1, 2)] {
        star.count(at, key, 10);
    }
    star.wait(300);
    let all = star.sources.all();
    let held = all[1].table().get(&Key::from(2), star.now).unwrap();
    star.restart(1);
    star.connect_all();
    star.wait(1_000);
    assert!(!star.aggregate.status().complete, "a key of it is not as the source says");
    drop(held);
    star.wait(300);
    assert!(star.nodes[0].is_complete(star.now));
    assert_eq!(star.nodes[0].reads(2, DataType::Gpc0, star.now), Some(0));
    assert_eq!(star.nodes[0].reads(1, DataType::Gpc0, star.now), Some(10));
}

#[test]
fn a_source_that_is_lost_is_missing_at_once_and_gone_at_its_time() {
    let mut star = Star::new(3);
    star.connect_all();
    for at in 0..3 {
        star.count(at, 1, 10);
    }
    star.wait(300);
    star.cut(2);
    star.wait(200);
    let node = &star.nodes[0];
    assert!(!node.is_complete(star.now), "a lost source is named missing");
    assert_eq!(node.lease.fetch(&lease_key(), DataType::Gpc0, 0, star.now), Some(2));
    star.count(0, 1, 1);
    star.wait(4_600);
    assert_eq!(star.nodes[0].reads(1, DataType::Gpc0, star.now), Some(31), "it counts until then");
    star.count(0, 1, 1);
    star.wait(500);
    assert_eq!(star.nodes[0].reads(1, DataType::Gpc0, star.now), Some(22));
    assert!(!star.nodes[0].is_complete(star.now));
    star.connect_all();
    star.wait(300);
    assert_eq!(star.nodes[0].reads(1, DataType::Gpc0, star.now), Some(32));
    assert!(star.nodes[0].is_complete(star.now));
    // A source that is no part of the section any more is not missed.
    star.sources.remove("s2");
    star.cut(2);
    star.wait(500);
    assert_eq!(star.nodes[0].reads(1, DataType::Gpc0, star.now), Some(22));
    assert!(star.nodes[0].is_complete(star.now));
}

/// A source comes back while a pass removes what it said before it was given up.
#[test]
fn what_is_told_while_a_source_is_given_up_stays() {
    let mut star = Star::new(2);
    star.connect_all();
    (0..2).for_each(|at| star.count(at, 1, 10));
    star.wait(300);
    star.cut(1);
    star.settle();
    star.wait(4_800);
    assert_eq!(star.told(1, 1), 10, "it is not given up yet");
    star.now = Tick(star.now.0 + 300);
    assert!(star.aggregate.step(star.now), "the pass has begun");
    star.connect(1);
    while star.deliver(1, 0, usize::MAX) | star.deliver(1, 1, usize::MAX) {}
    assert_eq!(star.told(1, 1), 10);
    star.pass();
    assert_eq!(star.told(1, 1), 10, "it has told that since");
    star.wait(300);
    assert_eq!(star.nodes[0].reads(1, DataType::Gpc0, star.now), Some(20));
    assert!(star.nodes[0].is_complete(star.now));
}

#[test]
fn the_lease_ends_with_the_aggregator() {
    let mut star = Star::new(1);
    star.connect_all();
    star.wait(300);
    assert!(star.nodes[0].is_complete(star.now));
    let lease = &star.nodes[0].lease;
    let left = lease.get(&lease_key(), star.now).unwrap().expires_in(star.now);
    assert!(left > LEASE_MS - LEASE_RENEW_MS - 200 && left <= LEASE_MS, "{left}");
    star.now = Tick(star.now.0 + u64::from(left));
    assert!(!star.nodes[0].is_complete(star.now));
}

#[test]
fn entries_live_while_a_source_has_them() {
    let mut star = Star::new(2);
    star.connect_all();
    star.count(0, 1, 5);
    // The table's time to live is 10 s; the source's entry is touched, its values do not change.
    for _ in 0..15 {
        star.wait(2_000);
        let entry = star.nodes[0].local.get(&Key::from(1), star.now).unwrap();
        entry.touch(star.now);
        assert_eq!(star.nodes[1].reads(1, DataType::Gpc0, star.now), Some(5));
    }
    star.wait(17_000);
    let left = star.nodes[1].reads(1, DataType::Gpc0, star.now);
    assert!(matches!(left, None | Some(0)), "no source has it: {left:?}");
    star.wait(11_000);
    assert_eq!(star.nodes[1].reads(1, DataType::Gpc0, star.now), None);
    assert_eq!(star.into.used(), 0);
}

#[test]
fn names_and_tags_are_those_of_who_touched_the_key_last() {
    let mut star = Star::new(2);
    star.connect_all();
    for (at, name) in [(0, "first"), (1, "second")] {
        star.count(at, 1, 1);
        let entry = star.nodes[at].local.get(&Key::from(1), star.now).unwrap();
        entry.set(DataType::Gpt0, 0, at as i64 + 8, star.now).unwrap();
        entry.set_server_key(Some(name)).unwrap();
        entry.touch(star.now);
        drop(entry);
        star.wait(300);
        let entry = star.nodes[0].agg.get(&Key::from(1), star.now).unwrap();
        assert_eq!(entry.server_key().as_deref(), Some(name));
        assert_eq!(entry.read(DataType::Gpt0, 0, star.now), Some(at as i64 + 8));
    }
}

#[test]
fn what_did_not_change_is_not_told() {
    let mut star = Star::new(2);
    star.connect_all();
    for key in 0..100 {
        star.count(0, key, 1);
    }
    star.wait(300);
    let before = star.aggregate.status().published;
    assert_eq!(before, 100);
    // Everything is told again by the source, and nothing differs.
    star.cut(0);
    star.connect_all();
    star.wait(300);
    star.count(1, 3, 1);
    star.wait(300);
    assert_eq!(star.aggregate.status().published, before + 1);
}

/// Enough keys that the sums of all do not fit into one turn of a session, nor into its buffer.
const MANY: u32 = 4_000;

/// Brings everything to the first source in small pieces. Whenever it may take the sums for whole, all of them are.
fn trickle(star: &mut Star, whole: i64) {
    let mut partial = 0;
    for piece in 0.. {
        let busy = star.deliver(0, 1, 100) | star.deliver(0, 0, usize::MAX);
        if piece % 4 == 0 {
            star.now = Tick(star.now.0 + 20);
            star.pass();
        }
        let node = &star.nodes[0];
        let is_whole = |key| node.reads(key, DataType::Gpc0, star.now) == Some(whole);
        let all = (0..MANY).all(is_whole);
        assert!(all || !node.is_complete(star.now), "the mark came before what it speaks of");
        partial += usize::from(!all);
        if all && node.is_complete(star.now) {
            assert!(partial > 50, "it took a while: {partial}");
            return;
        }
        assert!(busy || piece < 100_000, "it never becomes whole");
    }
}

fn partial_sums_of_many_keys() -> Star {
    let mut star = Star::living(2, 600_000);
    star.connect_all();
    for key in 0..MANY {
        star.count(0, key, 1);
        star.count(1, key, 10);
    }
    star.wait(500);
    star.cut(1);
    star.wait(8_000);
    assert_eq!(star.nodes[0].reads(3, DataType::Gpc0, star.now), Some(1));
    star
}

#[test]
fn the_mark_comes_after_what_it_speaks_of() {
    let mut star = partial_sums_of_many_keys();
    star.connect(1);
    while star.deliver(1, 0, usize::MAX) | star.deliver(1, 1, usize::MAX) {}
    trickle(&mut star, 11);
}

#[test]
fn the_mark_comes_after_what_it_speaks_of_in_a_lesson_too() {
    let mut star = partial_sums_of_many_keys();
    // It asks for everything, as after a restart of its own, and has read some of it when the other source is back.
    star.cut(0);
    star.connect(0);
    for _ in 0..20 {
        star.deliver(0, 1, 100);
        star.deliver(0, 0, usize::MAX);
    }
    star.ask(0);
    for _ in 0..60 {
        star.deliver(0, 1, 100);
        star.deliver(0, 0, usize::MAX);
    }
    star.connect(1);
    while star.deliver(1, 0, usize::MAX) | star.deliver(1, 1, usize::MAX) {}
    trickle(&mut star, 11);
}

#[test]
fn a_source_is_in_only_once_it_has_told_everything() {
    let mut star = Star::new(2);
    star.connect_all();
    star.count(1, 1, 10);
    star.wait(300);
    star.restart(1);
    star.connect(1);
    for step in 0.. {
        star.deliver(1, 0, 1);
        star.deliver(1, 1, usize::MAX);
        star.pass();
        if star.aggregate.status().sources[1].up {
            break;
        }
        assert!(step < 1_000, "it comes up");
    }
    assert!(!star.aggregate.status().sources[1].told);
    assert!(!star.aggregate.status().complete, "it says nothing yet of what it has");
}

/// Everything happens at any time: events, deliveries of some bytes, lost connections, restarts, partitions that cut some sources off in both
/// directions or in one, resyncs that are asked for again and again by either side, passes of the aggregator that get some steps. Whoever has a good lease reads sums of what every source has told.
fn storm(seed: u64, count: usize, steps: usize) {
    const KEYS: u32 = 4;
    let mut random = SmallRng::seed_from_u64(seed);
    let mut star = Star::living(count, 600_000);
    // By source and key: the least that the aggregator knew of it in the last seconds, and the most it ever did.
    let mut known: Vec<VecDeque<(Tick, Vec<i64>)>> = vec![VecDeque::new(); count];
    let mut most = vec![vec![0; KEYS as usize]; count];
    let window = u64::from(LEASE_MS + LEASE_RENEW_MS);
    let (mut complete, mut partitions, mut asked) = (0, 0, 0);
    star.connect_all();
    for _ in 0..steps {
        let at = random.random_range(0..count);
        match random.random_range(0..100) {
            0..30 => star.count(at, random.random_range(0..KEYS), random.random_range(1..5)),
            30..75 => {
                let most = [7, 100, usize::MAX][random.random_range(0..3)];
                star.deliver(at, random.random_range(0..2), most);
            }
            75..88 => {
                for _ in 0..random.random_range(1..8) {
                    star.aggregate.step(star.now);
                }
            }
            88 => star.cut(at),
            89 => star.restart(at),
            90..93 => star.connect(at),
            93 => {
                // Some of them, and the others are whole again.
                for path in &mut star.paths {
                    *path = match random.random_range(0..6) {
                        0 => Path::Closed,
                        1 => Path::OneWay(random.random_range(0..2)),
                        _ => Path::Open,
                    };
                }
                partitions += usize::from(star.paths.iter().any(|path| *path != Path::Open));
            }
            94..96 => {
                star.ask_again(at, random.random_range(0..2));
                asked += 1;
            }
            _ => star.now = Tick(star.now.0 + random.random_range(1..300)),
        }
        for (at, known) in known.iter_mut().enumerate() {
            let told: Vec<_> = (0..KEYS).map(|key| star.told(at, key)).collect();
            for (most, told) in most[at].iter_mut().zip(&told) {
                *most = *told.max(most);
            }
            if known.back().is_none_or(|(_, last)| *last != told) {
                // The one before held until now.
                known.push_back((star.now, told));
            }
            while known.len() > 1 && star.now.since(known[1].0) > window {
                known.pop_front();
            }
        }
        for node in &star.nodes {
            if !node.is_complete(star.now) {
                continue;
            }
            complete += 1;
            for key in 0..KEYS {
                let at = key as usize;
                let sum = node.reads(key, DataType::BytesInCnt, star.now).unwrap_or(0);
                let least: i64 = known
                    .iter()
                    .map(|known| known.iter().map(|(_, told)| told[at]).min().unwrap_or(0))
                    .sum();
                let greatest: i64 = most.iter().map(|most| most[at]).sum();
                assert!((least..=greatest).contains(&sum), "{seed}: {least} {sum} {greatest}");
            }
        }
    }
    assert!(complete > 0, "{seed}: it was never complete");
    assert!(partitions > 0 && asked > 0, "{seed}: {partitions} {asked}");
    star.paths.fill(Path::Open);
    star.connect_all();
    star.wait(6_000);
    star.connect_all();
    star.wait(1_000);
    for node in &star.nodes {
        assert!(node.is_complete(star.now), "{seed}");
        for key in 0..KEYS {
            let told = |other: &star::Node| {
                other.local.fetch(&Key::from(key), DataType::BytesInCnt, 0, star.now).unwrap_or(0)
            };
            let sum: i64 = star.nodes.iter().map(told).sum();
            let read = node.reads(key, DataType::BytesInCnt, star.now).unwrap_or(0);
            assert_eq!(read, sum, "{seed}, key {key}");
        }
    }
}

#[test]
fn sums_are_whole_or_not_said_to_be() {
    for seed in 0..30 {
        storm(seed, 3, 3_000);
    }
}

#[test]
fn so_are_those_of_fifty_sources() {
    storm(1, 50, 20_000);
}
