//! Guards, and operations inside others, while another thread removes and frees.

use crate::{beside, models, remove, tree, value};

models! {
    /// The guard was taken before; it is read after the other has done all it can to free it.
    guard_while_it_is_removed_and_flushed {
        let tree = tree(1, &[0, 1]);
        let entry = tree.get(&0).unwrap();
        beside(
            &tree,
            &[|t| {
                assert!(remove(t, 0));
                t.domain().flush();
            }],
            |_| assert_eq!(*entry.value(), 0),
        );
        assert_eq!(*entry.value(), 0);
        drop(entry);
        tree.domain().flush();
    } [GuardsNotScanned]

    /// The scan runs while the pointer moves from the operation's slot to the guard's.
    guard_taken_during_a_scan {
        let tree = tree(1, &[0]);
        beside(&tree, &[|t| assert!(remove(t, 0))], |t| {
            if let Some(entry) = t.get(&0) {
                t.domain().flush();
                assert_eq!(*entry.value(), 0);
            }
        });
    } [GuardsNotScanned GuardsScannedFirst CopyAfterClear NoBarrier]

    /// What was removed is read by whoever removed it, under a guard that was taken before.
    removed_entry_is_read {
        let tree = tree(1, &[0, 1]);
        beside(
            &tree,
            &[|t| {
                let entry = t.remove(&0).unwrap();
                t.domain().flush();
                assert_eq!(*entry.value(), 0);
            }],
            |t| assert!(remove(t, 1)),
        );
        assert!(tree.is_empty());
    } [GuardsNotScanned]

    /// The inner operation needs more slots than there are: the row grows while the other scans.
    slots_grow_during_a_scan {
        let tree = tree(1, &[0, 2, 3]);
        beside(&tree, &[|t| assert!(remove(t, 2))], |t| {
            t.get_with(&0, |outer| {
                assert_eq!(*outer, 0);
                // The path to 2: slots 2, 3, 4.
                t.get_with(&2, |inner| assert_eq!(*inner, 2));
            });
        });
    } [DeepSlotsNotScanned NoBarrier RelaxedSegment]

    /// The value that is visited is removed by the visitor, and then by nobody else.
    visitor_removes_what_it_visits {
        let tree = tree(1, &[0, 1]);
        beside(&tree, &[|t| _ = remove(t, 0)], |t| {
            t.get_with(&0, |visited| {
                remove(t, 0);
                t.domain().flush();
                assert_eq!(*visited, 0);
            });
        });
        assert_eq!(value(&tree, 0), None);
    }
}
