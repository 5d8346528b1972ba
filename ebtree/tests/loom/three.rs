//! Three threads.

use crate::{beside, keys, models, remove, tree};

models! {
    /// Two removers of siblings; the reader wants their cousin, whose node they change.
    siblings_removed_and_get_of_the_cousin {
        let tree = tree(2, &[0, 1, 2]);
        beside(&tree, &[|t| assert!(remove(t, 0)), |t| assert!(remove(t, 1))], |t| {
            assert_eq!(t.get_with(&2, |v| *v), Some(2));
        });
        assert_eq!(keys(&tree), [2]);
    } [FlagLost]

    /// The flag moves up to the root edge under the reader's eyes.
    both_of_two_removed_and_get {
        let tree = tree(2, &[0, 1]);
        beside(&tree, &[|t| assert!(remove(t, 0)), |t| assert!(remove(t, 1))], |t| {
            assert!(t.get_with(&1, |v| *v).is_none_or(|v| v == 1));
        });
        assert!(tree.is_empty());
    } [FlagLost NoBarrier]

    remove_insert_and_get {
        let tree = tree(2, &[0, 4]);
        beside(
            &tree,
            &[|t| assert!(remove(t, 0)), |t| assert!(t.insert(5, 5).is_none())],
            |t| assert_eq!(t.get_with(&4, |v| *v), Some(4)),
        );
        assert_eq!(keys(&tree), [4, 5]);
    } [NoReadValidation]

    /// A thread takes the record that another gives back, with what is retired in it.
    record_is_adopted_by_the_next_thread {
        let freed = crate::domain::freed();
        let tree = crate::domain::items(100, 1, &[0, 1], &freed);
        let threads = [0, 1].map(|key| {
            crate::spawn(&tree, move |tree| crate::domain::remove(&tree, key))
        });
        for thread in threads {
            thread.join().unwrap();
        }
        tree.domain().flush();
        assert!(tree.first(0).is_none());
        assert!(freed.load(std::sync::atomic::Ordering::Relaxed) <= 2);
    } [RelaxedHandOver]
}
