//! Ordered searches beside changes.

use crate::{beside, keys, models, remove, tree};

fn key(entry: Option<ebtree::Entry<'_, u64, u64>>) -> Option<u64> {
    entry.map(|entry| {
        assert_eq!(entry.key(), entry.value());
        *entry.key()
    })
}

/// The keys a visiting walk meets.
fn visited(tree: &crate::Tree) -> Vec<u64> {
    let mut seen = Vec::new();
    let ended = tree.range_with(.., |key, value| {
        assert_eq!(key, value);
        seen.push(*key);
        std::ops::ControlFlow::<()>::Continue(())
    });
    assert!(ended.is_continue());
    seen
}

models! {
    /// The search goes down beside the removed leaf, which its own path does not touch.
    remove_and_ge {
        let tree = tree(1, &[0, 4, 5]);
        beside(&tree, &[|t| assert!(remove(t, 4))], |t| {
            assert!(matches!(key(t.ge(&1)), Some(4 | 5)));
        });
        assert_eq!(keys(&tree), [0, 5]);
    } [NoBarrier]

    /// The search climbs out of a node that is spliced out.
    remove_and_gt_from_it {
        let tree = tree(1, &[0, 1, 4]);
        beside(&tree, &[|t| assert!(remove(t, 1))], |t| {
            assert!(matches!(key(t.gt(&0)), Some(1 | 4)));
        });
        assert_eq!(keys(&tree), [0, 4]);
    } [NoBarrier]

    remove_and_lt {
        let tree = tree(1, &[0, 1, 4]);
        beside(&tree, &[|t| assert!(remove(t, 1))], |t| {
            assert!(matches!(key(t.lt(&4)), Some(0 | 1)));
        });
    } [NoBarrier]

    /// The subtree that was recorded, not the wider one that an insert puts on its edge.
    insert_and_ge {
        let tree = tree(1, &[0, 6, 7]);
        beside(&tree, &[|t| assert!(t.insert(4, 4).is_none())], |t| {
            assert_eq!(key(t.ge(&5)), Some(6));
        });
    } [RereadSubtree RelaxedLink]

    remove_and_first {
        let tree = tree(1, &[0, 1, 2]);
        beside(&tree, &[|t| assert!(remove(t, 0))], |t| {
            assert!(matches!(key(t.first()), Some(0 | 1)));
        });
    } [NoValidation NoBarrier]

    remove_and_pop_first {
        let tree = tree(1, &[0, 1, 2]);
        beside(&tree, &[|t| _ = remove(t, 0)], |t| {
            assert!(matches!(key(t.pop_first()), Some(0 | 1)));
        });
        assert!(matches!(keys(&tree)[..], [2] | [1, 2]));
    } [NoBarrier]

    pop_first_and_pop_first {
        let tree = tree(1, &[0, 1]);
        let pop = |tree: &crate::Tree| key(tree.pop_first());
        let other = crate::spawn(&tree, move |tree| pop(&tree));
        let mut popped = [pop(&tree), other.join().unwrap()];
        popped.sort_unstable();
        assert_eq!(popped, [Some(0), Some(1)]);
        assert!(tree.is_empty());
    } [GuardsNotScanned]

    pop_first_and_insert {
        let tree = tree(1, &[2, 3]);
        beside(&tree, &[|t| assert!(t.insert(1, 1).is_none())], |t| {
            assert!(matches!(key(t.pop_first()), Some(1 | 2)));
        });
        assert!(matches!(keys(&tree)[..], [2, 3] | [1, 3]));
    }

    /// A key that stays is passed over neither by the walk that removal of its sibling disturbs, nor by the one
    /// back.
    remove_and_walk {
        let tree = tree(1, &[0, 1, 2]);
        beside(&tree, &[|t| assert!(remove(t, 1))], |t| {
            assert!(matches!(keys(t)[..], [0, 1, 2] | [0, 2]));
        });
    }

    /// The walk goes on from its path, whose nodes are unlinked under it.
    remove_and_visit {
        let tree = tree(1, &[0, 1, 4]);
        beside(&tree, &[|t| assert!(remove(t, 1))], |t| {
            assert!(matches!(visited(t)[..], [0, 1, 4] | [0, 4]));
        });
    } [NoBarrier WalkHoldsNothing]

    /// The leaf at which the walk is goes, and so does the path behind it: its key must still be there to start
    /// again from.
    remove_and_visit_from_it {
        let tree = tree(1, &[0, 1, 4]);
        beside(&tree, &[|t| assert!(remove(t, 0))], |t| {
            assert!(matches!(visited(t)[..], [0, 1, 4] | [1, 4]));
        });
    } [NoBarrier]

    insert_and_visit {
        let tree = tree(1, &[0, 6]);
        beside(&tree, &[|t| assert!(t.insert(4, 4).is_none())], |t| {
            assert!(matches!(visited(t)[..], [0, 4, 6] | [0, 6]));
        });
    } [RelaxedLink]
}
