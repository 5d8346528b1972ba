//! Longest matches beside changes of what covers the address.

use std::net::Ipv4Addr;

use ebtree::prefix::Prefix;
use ebtree::{Domain, EbPrefixTree, Ipv4Prefix};
use loom::sync::Arc;

use crate::{models, spawn};

type Tree = EbPrefixTree<Ipv4Addr, u8>;

/// The first bits of the address that is looked for, all of them 0.
fn cover(length: u8) -> Ipv4Prefix {
    Prefix::new(Ipv4Addr::UNSPECIFIED, length).unwrap()
}

/// An address that has so many bits in common with the one that is looked for, and ends the descent for it.
fn near(common: u8) -> Ipv4Prefix {
    Prefix::host(Ipv4Addr::from_bits(1 << (31 - common)))
}

/// As `tree` of the main file.
fn tree(prefixes: &[Ipv4Prefix]) -> Arc<Tree> {
    let domain = Domain::with_batch(1);
    domain.reserve(2);
    domain.flush();
    let tree = Tree::new_in(domain);
    for prefix in prefixes {
        tree.insert(*prefix, prefix.length());
    }
    Arc::new(tree)
}

/// Looks for the address in this thread, beside changes in another one.
fn beside(tree: &Arc<Tree>, change: fn(&Tree), is_right: fn(Option<u8>) -> bool) {
    let thread = spawn(tree, move |tree| {
        ebtree::attach_to(tree.domain(), 1);
        change(&tree);
    });
    let found = tree.longest_match(Ipv4Addr::UNSPECIFIED).map(|entry| {
        assert!(entry.prefix().contains(Ipv4Addr::UNSPECIFIED));
        assert_eq!(entry.prefix().length(), *entry.value());
        *entry.value()
    });
    assert!(is_right(found), "found {found:?}");
    thread.join().unwrap();
}

fn remove(tree: &Tree, prefix: Ipv4Prefix) {
    assert!(tree.remove_if(&prefix, |_| true));
}

fn insert(tree: &Tree, prefix: Ipv4Prefix) {
    assert!(tree.insert(prefix, prefix.length()).is_none());
}

models! {
    /// The longest cover goes while the climb comes by.
    remove_the_cover {
        let tree = tree(&[cover(0), cover(1), near(2)]);
        beside(&tree, |t| remove(t, cover(1)), |found| matches!(found, Some(0 | 1)));
    } [NoBarrier NoHeavyBarrier]

    /// Who has seen the cover gone does not find it any more, also while its remover has flagged it and done no more.
    removed_once_is_removed_for_all {
        let tree = tree(&[cover(0), cover(1), near(2)]);
        let thread = spawn(&tree, |tree| {
            ebtree::attach_to(tree.domain(), 1);
            remove(&tree, cover(1));
        });
        let is_there = tree.contains_key(&cover(1));
        let found = tree.longest_match_with(Ipv4Addr::UNSPECIFIED, |_, length| *length);
        assert!(found == Some(0) || is_there && found == Some(1), "{is_there}, {found:?}");
        thread.join().unwrap();
    } [FlaggedCoverCounts]

    /// The cover that ends the descent.
    remove_the_witness {
        let tree = tree(&[cover(0), cover(1)]);
        beside(&tree, |t| remove(t, cover(1)), |found| matches!(found, Some(0 | 1)));
    } [NoValidation NoBarrier]

    /// The cover is replaced, never absent.
    replace_the_cover {
        let tree = tree(&[cover(1), near(2)]);
        beside(&tree, |t| assert!(t.insert(cover(1), 1).is_some()), |found| found == Some(1));
    } [NoCoverValidation]

    /// A longer one comes, above the witness that the descent may have found already.
    insert_a_longer_cover {
        let tree = tree(&[cover(0), near(2)]);
        beside(&tree, |t| insert(t, cover(1)), |found| matches!(found, Some(0 | 1)));
    } [RelaxedLink]

    /// A longer one takes the place of a shorter one: one of the two is always there.
    insert_a_longer_cover_then_remove {
        let tree = tree(&[cover(1), near(3)]);
        beside(&tree, |t| {
            insert(t, cover(2));
            remove(t, cover(1));
        }, |found| matches!(found, Some(1 | 2)));
    } [NoPathCheck]

    /// A shorter one takes the place of a longer one.
    insert_a_shorter_cover_then_remove {
        let tree = tree(&[cover(2), near(3)]);
        beside(&tree, |t| {
            insert(t, cover(1));
            remove(t, cover(2));
        }, |found| matches!(found, Some(1 | 2)));
    } [NoPathCheck]

    /// The witness goes, which puts a tag beside the cover; then the cover goes, from where the splice has put it.
    remove_the_witness_then_the_cover {
        let tree = tree(&[cover(1), near(2)]);
        beside(&tree, |t| {
            remove(t, near(2));
            remove(t, cover(1));
        }, |found| matches!(found, Some(1) | None));
    } [NoValidation]

    /// What is neither a cover nor on the way.
    insert_a_neighbour {
        let tree = tree(&[cover(1), near(3)]);
        beside(&tree, |t| insert(t, near(2)), |found| found == Some(1));
    }

    /// A walk from the longest to the shortest sees the one that stays.
    remove_and_covering {
        let tree = tree(&[cover(0), cover(1)]);
        let thread = spawn(&tree, |tree| {
            ebtree::attach_to(tree.domain(), 1);
            remove(&tree, cover(1));
        });
        let walk = tree.covering(&Prefix::host(Ipv4Addr::UNSPECIFIED));
        let seen: Vec<u8> = walk.map(|entry| *entry.value()).collect();
        assert!(matches!(seen[..], [1, 0] | [0]), "{seen:?}");
        thread.join().unwrap();
    } [NoValidation]
}
