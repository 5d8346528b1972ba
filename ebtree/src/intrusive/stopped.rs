//! Threads that stopped inside a removal, played by hand: everybody else goes on all the same, and sees the
//! removed keys as removed.

use core::ops::{Bound, ControlFlow};
use core::ptr::NonNull;

use super::{Forest, Leaf, Ref, Retire};
use crate::reclaim::{Domain, Reclaimer};
use crate::sync::TURNS;

#[repr(align(16))]
struct Number(u64);

// SAFETY: 1. Never changed. 2. `repr(align(16))`. 3. `unlinked` retires. 4. A box of a number.
unsafe impl Leaf for Number {
    type Key<'k> = u64;

    fn key(&self) -> u64 {
        self.0
    }

    fn first_difference(&self, key: u64) -> Option<u16> {
        crate::Key::first_difference(&self.0, &key)
    }

    fn bit(key: u64, position: u16) -> bool {
        crate::Key::bit(&key, position)
    }

    unsafe fn unlinked<R: Reclaimer>(this: NonNull<Self>, retire: &Retire<'_, '_, R>) {
        // SAFETY: unlinked just now from its only tree.
        unsafe { retire.retire(this) };
    }

    unsafe fn free(this: NonNull<Self>) {
        // SAFETY: made by `insert` from a box.
        drop(unsafe { Box::from_raw(this.as_ptr()) });
    }
}

fn insert(tree: &Forest<Number>, key: u64) -> bool {
    let new = NonNull::from(Box::leak(Box::new(Number(key))));
    // SAFETY: from a box just now, with this key.
    let inserted = unsafe { tree.insert(0, key, new) }.is_ok();
    if !inserted {
        // SAFETY: it is ours again.
        unsafe { Number::free(new) };
    }
    inserted
}

/// Nothing is scanned by itself, so what is retired can be counted.
fn tree(keys: &[u64]) -> Forest<Number> {
    let tree = Forest::new_in(0, Domain::with_batch(usize::MAX));
    for key in keys {
        assert!(insert(&tree, *key));
    }
    tree
}

fn key(found: Option<Ref<'_, Number>>) -> Option<u64> {
    found.map(|leaf| leaf.0)
}

/// How a removal stopped.
type Stop = fn(&Forest<Number>, u64);

const AFTER_FLAG: Stop = |tree, key| tree.walk(0).flag_and_stop(key);
const AFTER_TAG: Stop = |tree, key| tree.walk(0).tag_and_stop(key);

/// Walks everything in both directions and compares it with what is there.
fn walks_give(tree: &Forest<Number>, present: &[u64]) {
    let mut forward = Vec::new();
    let mut at = key(tree.first(0));
    while let Some(here) = at {
        forward.push(here);
        at = key(tree.gt(0, here));
    }
    assert_eq!(forward, present);
    let mut at = key(tree.last(0));
    while let Some(here) = at {
        assert_eq!(forward.pop(), Some(here));
        at = key(tree.lt(0, here));
    }
    assert!(forward.is_empty());
    visits_give(tree, present);
}

/// The same by walks that call a visitor.
fn visits_give(tree: &Forest<Number>, present: &[u64]) {
    for forward in [true, false] {
        let mut seen = Vec::new();
        let ended: ControlFlow<()> = tree.each(0, Bound::Unbounded, forward, |leaf| {
            seen.push(leaf.0);
            ControlFlow::Continue(())
        });
        assert!(ended.is_continue());
        if !forward {
            seen.reverse();
        }
        assert_eq!(seen, present);
    }
}

/// Removals that stop in the middle of a walk, ahead of it and behind it, wherever it is.
#[test]
fn a_visiting_walk_passes_what_stops_meanwhile() {
    let keys = [0, 1, 2, 3, 6, 7];
    for stop in [AFTER_FLAG, AFTER_TAG] {
        for forward in [true, false] {
            for at in keys {
                for stopped in keys {
                    TURNS.set(0);
                    let tree = tree(&keys);
                    let mut seen = Vec::new();
                    let ended: ControlFlow<()> = tree.each(0, Bound::Unbounded, forward, |leaf| {
                        seen.push(leaf.0);
                        if leaf.0 == at {
                            stop(&tree, stopped);
                        }
                        ControlFlow::Continue(())
                    });
                    assert!(ended.is_continue());
                    if !forward {
                        seen.reverse();
                    }
                    // Seen if it came before it was removed.
                    let before = if forward { stopped <= at } else { stopped >= at };
                    let mut expected = keys.to_vec();
                    expected.retain(|key| *key != stopped || before);
                    assert_eq!(seen, expected, "{stopped} stopped at {at}");
                }
            }
        }
    }
}

/// The case that a walk without helping never ends on: the key's own path is clean.
#[test]
fn a_walk_passes_a_stopped_remover() {
    for stop in [AFTER_FLAG, AFTER_TAG] {
        TURNS.set(0);
        let tree = tree(&[1, 100, 200]);
        stop(&tree, 100);
        assert_eq!(key(tree.gt(0, 1)), Some(200));
        assert_eq!(key(tree.ge(0, 2)), Some(200));
        assert_eq!(key(tree.lt(0, 200)), Some(1));
        walks_give(&tree, &[1, 200]);
    }
}

/// A frozen edge low on a leftmost path that the searched key does not follow.
#[test]
fn a_walk_passes_a_stopped_splice_on_a_leftmost_path() {
    for stop in [AFTER_FLAG, AFTER_TAG] {
        for removed in [64, 65, 66, 67] {
            TURNS.set(0);
            let tree = tree(&[1, 64, 65, 66, 67, 96]);
            stop(&tree, removed);
            let first = if removed == 64 { 65 } else { 64 };
            assert_eq!(key(tree.gt(0, 1)), Some(first));
            assert_eq!(key(tree.lt(0, 96)), Some(if removed == 67 { 66 } else { 67 }));
        }
    }
}

/// A winning splice may take the leaf beside one's own; one's own must be off the tree all the same.
#[test]
fn a_removed_leaf_is_unlinked_beside_a_stopped_remover() {
    for (stopped, removed) in [(2, 3), (3, 2)] {
        for keys in [&[2, 3][..], &[2, 3, 8]] {
            let tree = tree(keys);
            AFTER_FLAG(&tree, stopped);
            assert!(tree.remove_if(0, removed, |_| true));
            // The left one of two flagged leaves goes first. If that is one's own, the other may stay, flagged,
            // until somebody passes; otherwise both must go, with the nodes above them.
            let unlinked = if removed < stopped { 2 } else { 2 + keys.len() - 1 };
            assert_eq!(tree.domain().unreclaimed(), unlinked);
            walks_give(&tree, &keys[2..]);
            tree.domain().flush();
        }
    }
}

/// Every set of up to four keys out of eight, each removal stopped after each step, against what
/// should be there; and then every operation on it.
#[test]
fn every_operation_passes_every_stopped_removal() {
    const OPERATIONS: usize = 10;
    for shape in 0_u32..256 {
        let keys: Vec<u64> = (0..8).filter(|key| shape >> key & 1 != 0).collect();
        if keys.len() > 4 {
            continue;
        }
        for stopped in &keys {
            for stop in [AFTER_FLAG, AFTER_TAG] {
                let present: Vec<u64> = keys.iter().copied().filter(|k| k != stopped).collect();
                for probe in 0..8 {
                    for operation in 0..=OPERATIONS {
                        TURNS.set(0);
                        let tree = tree(&keys);
                        stop(&tree, *stopped);
                        let mut left = present.clone();
                        let at = left.partition_point(|key| *key < probe);
                        let has = left.get(at) == Some(&probe);
                        let below = at.checked_sub(1).map(|i| left[i]);
                        let above = left.get(at + usize::from(has)).copied();
                        if operation == OPERATIONS {
                            visits_give(&tree, &left);
                        }
                        match operation {
                            0 => assert_eq!(key(tree.get(0, probe)), has.then_some(probe)),
                            1 => assert_eq!(key(tree.ge(0, probe)), left.get(at).copied()),
                            2 => assert_eq!(key(tree.gt(0, probe)), above),
                            3 => assert_eq!(
                                key(tree.le(0, probe)),
                                if has { Some(probe) } else { below }
                            ),
                            4 => assert_eq!(key(tree.lt(0, probe)), below),
                            5 => {
                                assert_eq!(insert(&tree, probe), !has);
                                if !has {
                                    left.insert(at, probe);
                                }
                            }
                            6 => {
                                assert_eq!(key(tree.take(0, probe)), has.then_some(probe));
                                left.retain(|key| *key != probe);
                            }
                            7 => {
                                let first = (!left.is_empty()).then(|| left.remove(0));
                                assert_eq!(key(tree.take_end_if(0, true, |_| true)), first);
                            }
                            8 => assert_eq!(key(tree.take_end_if(0, false, |_| true)), left.pop()),
                            _ => assert_eq!(
                                (key(tree.first(0)), key(tree.last(0))),
                                (left.first().copied(), left.last().copied())
                            ),
                        }
                        walks_give(&tree, &left);
                    }
                }
            }
        }
    }
}

/// Two removers stopped side by side: the flag of one moves up with the splice of the other.
#[test]
fn every_search_passes_two_stopped_removals() {
    let keys = [0, 1, 2, 3, 6, 7];
    for first in keys {
        for second in keys.into_iter().filter(|key| *key != first) {
            for stop in [AFTER_FLAG, AFTER_TAG] {
                TURNS.set(0);
                let tree = tree(&keys);
                AFTER_FLAG(&tree, first);
                // If it meets the first one on its way, it helps; else both stand.
                stop(&tree, second);
                let left: Vec<u64> =
                    keys.into_iter().filter(|key| *key != first && *key != second).collect();
                for probe in 0..8 {
                    assert_eq!(key(tree.get(0, probe)), left.contains(&probe).then_some(probe));
                }
                walks_give(&tree, &left);
            }
        }
    }
}
