//! Two threads whose operations on single keys meet at a node.

use crate::{beside, keys, models, remove, tree, value};

models! {
    /// Both splices want the same grandparent.
    remove_and_remove_of_a_cousin {
        let tree = tree(1, &[0, 1, 2]);
        beside(&tree, &[|t| assert!(remove(t, 0))], |t| assert!(remove(t, 2)));
        assert_eq!(keys(&tree), [1]);
    } [NoValidation]

    /// Both edges of one node are flagged: whosever splice wins, the other flag moves up.
    remove_and_remove_of_the_sibling {
        let tree = tree(1, &[0, 1, 2]);
        beside(&tree, &[|t| assert!(remove(t, 0))], |t| assert!(remove(t, 1)));
        assert_eq!(keys(&tree), [2]);
    } [FlagLost]

    /// The same, with nothing above: the flag moves to the root edge.
    remove_both_of_two {
        let tree = tree(1, &[0, 1]);
        beside(&tree, &[|t| assert!(remove(t, 0))], |t| assert!(remove(t, 1)));
        assert!(tree.is_empty());
    } [FlagLost]

    /// One of them gets it, and reads it under its guard.
    remove_and_remove_of_the_same {
        let tree = tree(1, &[0, 1]);
        let take = |tree: &crate::Tree| tree.remove(&0).is_some_and(|taken| *taken.value() == 0);
        let other = crate::spawn(&tree, move |tree| take(&tree));
        let here = take(&tree);
        assert!(here ^ other.join().unwrap());
        assert_eq!(keys(&tree), [1]);
    }

    /// The reader is on its way to the leaf that the splice lifts.
    remove_and_get_of_the_sibling {
        let tree = tree(1, &[0, 1, 2]);
        beside(&tree, &[|t| assert!(remove(t, 0))], |t| assert_eq!(value(t, 1), Some(1)));
    } [NoHeavyBarrier NoBarrier NoReadValidation]

    remove_and_get {
        let tree = tree(1, &[0, 1, 2]);
        beside(&tree, &[|t| assert!(remove(t, 0))], |t| {
            assert!(value(t, 0).is_none_or(|v| v == 0));
        });
        assert_eq!(value(&tree, 0), None);
    } [NoBarrier NoHeavyBarrier NoReadValidation RelaxedClear CopyAfterClear]

    /// The reader stands in a node while it is spliced out, and while what that node's tagged edge leads to
    /// is removed as well.
    remove_then_remove_and_get {
        let tree = tree(1, &[0, 1, 4]);
        beside(&tree, &[|t| assert!(value(t, 1).is_none_or(|v| v == 1))], |t| {
            assert!(remove(t, 0));
            t.domain().flush();
            assert!(remove(t, 1));
        });
        assert_eq!(keys(&tree), [4]);
    } [NoAnchor NoBarrier]

    /// The insert wants the edge that the splice lifts.
    remove_and_insert_next_to_it {
        let tree = tree(1, &[0, 4]);
        beside(&tree, &[|t| assert!(remove(t, 0))], |t| assert!(t.insert(5, 5).is_none()));
        assert_eq!(keys(&tree), [4, 5]);
    } [NoValidation NoBarrier]

    /// The insert wants the edge that is about to be flagged.
    remove_and_insert_above_it {
        let tree = tree(1, &[0, 4]);
        beside(&tree, &[|t| assert!(remove(t, 0))], |t| assert!(t.insert(1, 1).is_none()));
        assert_eq!(keys(&tree), [1, 4]);
    } [NoValidation NoBarrier]

    insert_and_insert {
        let tree = tree(1, &[0]);
        beside(&tree, &[|t| assert!(t.insert(2, 2).is_none())], |t| {
            assert!(t.insert(3, 3).is_none());
        });
        assert_eq!(keys(&tree), [0, 2, 3]);
    } [RelaxedLink]

    insert_and_insert_into_nothing {
        let tree = tree(1, &[]);
        beside(&tree, &[|t| assert!(t.insert(1, 1).is_none())], |t| {
            assert!(t.insert(0, 0).is_none());
        });
        assert_eq!(keys(&tree), [0, 1]);
    } [RelaxedLink]

    insert_and_get {
        let tree = tree(1, &[0]);
        beside(&tree, &[|t| assert!(t.insert(1, 1).is_none())], |t| {
            assert!(value(t, 1).is_none_or(|v| v == 1));
        });
        assert_eq!(value(&tree, 1), Some(1));
    } [RelaxedLink]

    insert_then_remove_and_get {
        let tree = tree(1, &[0]);
        // The reader second, so that two preemptions are enough for it to stop between the two.
        beside(&tree, &[|t| assert!(value(t, 1).is_none_or(|v| v == 1))], |t| {
            assert!(t.insert(1, 1).is_none());
            assert!(remove(t, 1));
        });
        assert_eq!(keys(&tree), [0]);
    } [NoBarrier NoReadValidation]

    last_leaf_removed_and_insert {
        let tree = tree(1, &[0]);
        beside(&tree, &[|t| assert!(remove(t, 0))], |t| assert!(t.insert(1, 1).is_none()));
        assert_eq!(keys(&tree), [1]);
    } [NoValidation NoBarrier]

    last_leaf_removed_and_get {
        let tree = tree(1, &[0]);
        beside(&tree, &[|t| assert!(remove(t, 0))], |t| {
            assert!(value(t, 0).is_none_or(|v| v == 0));
        });
    } [NoBarrier NoReadValidation]

    /// The key is never absent.
    replace_and_get {
        let tree = tree(1, &[0, 1]);
        beside(&tree, &[|t| assert!(t.insert(1, 10).is_some_and(|old| *old.value() == 1))], |t| {
            let seen = value(t, 1);
            assert!(seen == Some(1) || seen == Some(10));
        });
        assert_eq!(value(&tree, 1), Some(10));
    } [NoBarrier NoReadValidation]

    /// One value is there in the end, and each of the others was given to somebody.
    replace_and_replace {
        let tree = tree(1, &[0]);
        let replace = |tree: &crate::Tree, v| tree.insert(0, v).map(|old| *old.value()).unwrap();
        let other = loom::thread::spawn({
            let tree = loom::sync::Arc::clone(&tree);
            move || replace(&tree, 10)
        });
        let here = replace(&tree, 20);
        let mut seen = [here, other.join().unwrap(), value(&tree, 0).unwrap()];
        seen.sort_unstable();
        assert_eq!(seen, [0, 10, 20]);
    }

    replace_and_remove {
        let tree = tree(1, &[0, 1]);
        beside(&tree, &[|t| drop(t.insert(1, 10))], |t| {
            assert!(t.remove(&1).is_some_and(|old| *old.value() == 1 || *old.value() == 10));
        });
        assert!(value(&tree, 1).is_none_or(|v| v == 10));
    }

    get_or_insert_twice {
        let tree = tree(1, &[0]);
        beside(&tree, &[|t| assert!(*t.get_or_insert_with(1, || 10).value() >= 10)], |t| {
            assert!(*t.get_or_insert_with(1, || 20).value() >= 10);
        });
        assert_eq!(keys(&tree), [0, 1]);
    }

    /// The entry is protected from before it is linked.
    get_or_insert_and_remove {
        let tree = tree(1, &[0]);
        beside(&tree, &[|t| _ = remove(t, 1)], |t| {
            assert_eq!(*t.get_or_insert_with(1, || 1).value(), 1);
        });
    } [GuardsNotScanned]
}
