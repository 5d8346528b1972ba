//! Walks from both ends, cursors, and maps that are walked by value.
#![cfg(not(loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ebtree::{Cursor, Domain, EbTree, Entry};

fn key(entry: Option<Entry<'_, u64, u64>>) -> Option<u64> {
    entry.map(|entry| *entry.key())
}

fn tree(keys: impl IntoIterator<Item = u64>) -> EbTree<u64, u64> {
    keys.into_iter().map(|key| (key, key)).collect()
}

#[test]
fn the_ends_meet_and_do_not_cross() {
    let tree = tree([1, 3, 5, 7, 9]);
    let mut walk = tree.range(2..9);
    assert_eq!((key(walk.next()), key(walk.next_back())), (Some(3), Some(7)));
    // What comes behind an end is behind it for good; what comes between the ends is met.
    tree.extend_shared([2, 4, 8]);
    let ahead = walk.clone();
    assert_eq!((key(walk.next_back()), key(walk.next_back())), (Some(5), Some(4)));
    assert_eq!((key(walk.next()), key(walk.next_back())), (None, None));
    assert!(ahead.map(|entry| *entry).eq([4, 5]), "a walk over what was left");
    assert!(tree.range(..).rev().map(|entry| *entry).eq([9, 8, 7, 5, 4, 3, 2, 1]));
    assert_eq!(key(tree.range(..8).last()), Some(7));
}

#[test]
fn a_walk_that_is_over_stays_so() {
    for from_the_front in [true, false] {
        let tree = tree([]);
        let mut walk = tree.iter();
        assert_eq!(key(if from_the_front { walk.next() } else { walk.next_back() }), None);
        tree.insert(1, 1);
        assert_eq!((key(walk.next()), key(walk.next_back())), (None, None));
    }
}

#[test]
fn bounds_of_every_kind_and_empty_ranges() {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let tree = tree(0..10);
    for start in [Unbounded, Included(3), Excluded(3)] {
        for end in [Unbounded, Included(7), Excluded(7), Included(3), Excluded(3), Included(1)] {
            let inside = |key: &u64| std::ops::RangeBounds::contains(&(start, end), key);
            let expected: Vec<u64> = (0..10).filter(inside).collect();
            let walked: Vec<u64> = tree.range((start, end)).map(|entry| *entry).collect();
            assert_eq!(walked, expected, "{start:?} {end:?}");
            let back: Vec<u64> = tree.range((start, end)).rev().map(|entry| *entry).collect();
            assert!(back.iter().rev().eq(&expected), "{start:?} {end:?}");
        }
    }
}

#[test]
fn a_cursor_stands_between_keys() {
    let tree = Arc::new(tree([10, 20, 30]));
    let mut cursor = Cursor::default();
    assert_eq!((key(cursor.prev(&tree)), key(cursor.peek_next(&tree))), (None, Some(10)));
    assert_eq!((key(cursor.next(&tree)), key(cursor.next(&tree))), (Some(10), Some(20)));
    assert_eq!((key(cursor.peek_prev(&tree)), key(cursor.peek_next(&tree))), (Some(20), Some(30)));
    assert_eq!(key(cursor.prev(&tree)), Some(20), "what was stepped over");
    // It borrows nothing, so it goes anywhere, and the tree may change meanwhile.
    let (mut cursor, tree) = thread::spawn(move || {
        tree.remove(&20);
        tree.extend_shared([15, 25]);
        (cursor, tree)
    })
    .join()
    .unwrap();
    assert_eq!((key(cursor.prev(&tree)), key(cursor.next(&tree))), (Some(15), Some(15)));
    assert_eq!((key(cursor.next(&tree)), key(cursor.next(&tree))), (Some(25), Some(30)));
    assert_eq!((key(cursor.next(&tree)), key(cursor.next(&tree))), (None, None));
    tree.insert(40, 40);
    assert_eq!((key(cursor.next(&tree)), key(cursor.next(&tree))), (Some(40), None), "not the end");
    assert_eq!(key(cursor.prev(&tree)), Some(40), "a step that led nowhere moved nothing");
}

#[test]
fn cursors_begin_anywhere() {
    let tree = tree([10, 20, 30]);
    let around = |cursor: Cursor<u64>| (key(cursor.peek_prev(&tree)), key(cursor.peek_next(&tree)));
    assert_eq!(around(Cursor::start()), (None, Some(10)));
    assert_eq!(around(Cursor::before(20)), (Some(10), Some(20)));
    assert_eq!(around(Cursor::after(20)), (Some(20), Some(30)));
    assert_eq!(around(Cursor::before(15)), (Some(10), Some(20)));
    assert_eq!(around(Cursor::after(15)), (Some(10), Some(20)));
    assert_eq!(around(Cursor::end()), (Some(30), None));
}

/// Others insert and remove between the keys that stay: each of these is met once, from whichever end, in strict order.
#[test]
fn what_stays_is_met_once_in_both_directions() {
    const KEYS: u64 = 400;
    /// More steps than a walk can have, so that one which does not get on fails.
    const ENOUGH: usize = 1_000;
    const WALKS: usize = if cfg!(debug_assertions) { 60 } else { 600 };
    let stays = |key: &u64| key.is_multiple_of(5);
    let tree = EbTree::new_in(Domain::with_batch(16));
    tree.extend_shared((0..KEYS).filter(stays));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..2_u64 {
            let (tree, over) = (&tree, &over);
            scope.spawn(move || {
                let mut step = writer;
                while !over.load(Ordering::Relaxed) {
                    step = step.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_041);
                    let key = (step >> 33) % KEYS;
                    match (stays(&key), step >> 62) {
                        // The key stays, its entry does not.
                        (true, _) => drop(tree.update(&key, |value| value + 1)),
                        (false, 0 | 1) => drop(tree.insert(key, 0)),
                        (false, _) => drop(tree.remove(&key)),
                    }
                }
            });
        }
        // Ends the writers when a walk fails, too.
        let _end = OnDrop(&over);
        for walk in 0..WALKS {
            let (mut front, mut back) = (Vec::new(), Vec::new());
            let mut ends = tree.iter();
            let mut turn = 0;
            while turn < ENOUGH {
                turn += 1;
                // All from the front, all from the back, by turns, and in runs.
                let from_the_front = [true, false, turn % 2 == 0, turn % 7 < 3][walk % 4];
                let met = key(if from_the_front { ends.next() } else { ends.next_back() });
                let Some(met) = met else { break };
                if from_the_front { &mut front } else { &mut back }.push(met);
            }
            front.extend(back.into_iter().rev());
            assert!(front.is_sorted_by(|a, b| a < b), "strictly, and the ends do not cross");
            assert!(front.into_iter().filter(stays).eq((0..KEYS).filter(stays)), "each once");

            let mut cursor = Cursor::start();
            let mut onward: Vec<u64> =
                std::iter::from_fn(|| key(cursor.next(&tree))).take(ENOUGH).collect();
            assert!(onward.is_sorted_by(|a, b| a < b));
            onward.retain(stays);
            let mut back: Vec<u64> =
                std::iter::from_fn(|| key(cursor.prev(&tree))).take(ENOUGH).collect();
            assert!(back.is_sorted_by(|a, b| a > b));
            back.retain(stays);
            assert!(onward.iter().eq(back.iter().rev()) && onward.len() as u64 == KEYS / 5);

            let copy = tree.clone();
            assert_eq!(copy.into_keys().filter(stays).count() as u64, KEYS / 5);
        }
    });
}

struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_map_by_value_gives_its_values_away() {
    let tree = EbTree::new_in(Domain::new());
    for key in [5_u64, 1, 9, 3, 7] {
        tree.insert(key, key.to_string());
    }
    let copy = tree.clone();
    copy.insert(9, "another".into());
    let all = tree.into_iter();
    // The tree is gone, and what it held may go to another thread.
    let mut all = thread::spawn(move || all).join().unwrap();
    assert_eq!(all.next(), Some((1, "1".into())));
    assert_eq!(all.next_back(), Some((9, "9".into())), "a clone is a map of its own");
    assert_eq!(all.next_back(), Some((7, "7".into())));
    assert!(all.by_ref().map(|(key, _)| key).eq([3, 5]));
    assert!(all.next().is_none() && all.next_back().is_none());
    assert!(copy.clone().into_keys().rev().eq([9, 7, 5, 3, 1]));
    assert!(copy.into_values().eq(["1", "3", "5", "7", "another"]));
    assert!(EbTree::<u64, u64>::new().into_iter().next_back().is_none());
}

#[test]
fn pairs_are_copied_from_other_maps() {
    let other = std::collections::BTreeMap::from([(1_u64, 10_u64), (2, 20)]);
    let mut tree = EbTree::from([(2, 2)]);
    tree.extend(&other);
    assert!(tree.into_iter().eq(other));
}

/// Inserts keys into a map that is shared.
trait ExtendShared {
    fn extend_shared(&self, keys: impl IntoIterator<Item = u64>);
}

impl ExtendShared for EbTree<u64, u64> {
    fn extend_shared(&self, keys: impl IntoIterator<Item = u64>) {
        keys.into_iter().for_each(|key| drop(self.insert(key, key)));
    }
}
