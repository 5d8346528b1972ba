//! Longest match beside threads that stopped inside a removal, played by hand: it ends, and sees removed prefixes as
//! removed.

use core::net::Ipv4Addr;

use super::{EbPrefixTree, Ipv4Prefix, ROOT};
use crate::reclaim::Domain;
use crate::sync::TURNS;

type Tree = EbPrefixTree<Ipv4Addr, ()>;

fn tree(prefixes: &[Ipv4Prefix]) -> Tree {
    let tree = Tree::new_in(Domain::with_batch(1));
    (&tree).extend(prefixes.iter().map(|prefix| (*prefix, ())));
    tree
}

/// How a removal stopped.
type Stop = fn(&Tree, Ipv4Prefix);

const STOPS: [Stop; 2] = [
    |tree, prefix| tree.tree.forest.walk(ROOT).flag_and_stop(&prefix),
    |tree, prefix| tree.tree.forest.walk(ROOT).tag_and_stop(&prefix),
];

/// All prefixes of up to three bits.
fn prefixes() -> Vec<Ipv4Prefix> {
    let number = |length: u8, bits: u32| {
        let address = bits.checked_shl(32 - u32::from(length)).unwrap_or(0);
        Ipv4Prefix::new(Ipv4Addr::from_bits(address), length).unwrap()
    };
    (0..=3).flat_map(|length| (0..1 << length).map(move |bits| number(length, bits))).collect()
}

/// Asks everything there is to ask, each of a tree that nobody has helped yet.
fn is_as_if_only(tree: impl Fn() -> Tree, present: &[Ipv4Prefix]) {
    for probe in prefixes() {
        TURNS.set(0);
        let address = probe.last_address();
        let expected = present.iter().filter(|prefix| prefix.contains(address));
        let expected = expected.max_by_key(|prefix| prefix.length());
        let seen = tree().longest_match_with(address, |prefix, ()| *prefix);
        assert_eq!(seen, expected.copied(), "{address}");

        let mut covers: Vec<_> =
            present.iter().copied().filter(|prefix| prefix.covers(&probe)).collect();
        covers.sort_unstable_by_key(|prefix| core::cmp::Reverse(prefix.length()));
        let tree = tree();
        let seen: Vec<_> = tree.covering(&probe).map(|entry| *entry.prefix()).collect();
        assert_eq!(seen, covers, "{probe}");
    }
}

/// Every set of up to three short prefixes, each removal stopped after each step.
#[test]
fn longest_match_passes_every_stopped_removal() {
    let all = prefixes();
    for shape in 0_u32..1 << all.len() {
        if shape.count_ones() > 3 {
            continue;
        }
        let keys: Vec<_> =
            (0..all.len()).filter(|at| shape >> at & 1 != 0).map(|at| all[at]).collect();
        for stopped in &keys {
            for stop in STOPS {
                let stopped_tree = || {
                    let tree = tree(&keys);
                    stop(&tree, *stopped);
                    tree
                };
                let left: Vec<_> = keys.iter().copied().filter(|key| key != stopped).collect();
                is_as_if_only(stopped_tree, &left);
            }
        }
    }
}

/// Two removers stopped: the flag of one may move up with the splice of the other.
#[test]
fn longest_match_passes_two_stopped_removals() {
    let keys: Vec<Ipv4Prefix> = ["0.0.0.0/0", "0.0.0.0/1", "0.0.0.0/2", "32.0.0.0/3", "64.0.0.0/2"]
        .map(|text| text.parse().unwrap())
        .into();
    for first in &keys {
        for second in keys.iter().filter(|key| *key != first) {
            for (stop, other) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let stopped_tree = || {
                    let tree = tree(&keys);
                    STOPS[stop](&tree, *first);
                    // If it meets the first one on its way, it helps; else both stand.
                    STOPS[other](&tree, *second);
                    tree
                };
                let left: Vec<_> =
                    keys.iter().copied().filter(|key| key != first && key != second).collect();
                is_as_if_only(stopped_tree, &left);
            }
        }
    }
}
