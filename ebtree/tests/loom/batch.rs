//! A batch of look-ups: its lanes keep what they found while one of them helps.

use ebtree::Mutant;

use super::{beside, explore, remove, tree};

/// ```text
///        [ bit 2 ]
///        /       \
///       0      [ bit 0 ]
///              /       \
///             4         5
/// ```
/// The lane for 5 meets the tagged edge that the removal of 4 leaves, and the edge above has changed: it helps. The
/// leaf of the other lane, 0, is removed meanwhile, and must last until it is visited.
fn found_beside_a_helper(mutant: Option<Mutant>) {
    explore("batch::found_beside_a_helper", mutant, || {
        let tree = tree(1, &[0, 4, 5]);
        beside(
            &tree,
            &[|tree| {
                remove(tree, 4);
                remove(tree, 0);
                tree.domain().flush();
            }],
            |tree| {
                tree.get_many_with(&[0, 5], |key, value| {
                    // Not a preemption, so that the others can go on for nothing.
                    loom::thread::yield_now();
                    assert!(value == Some(key) || *key == 0 && value.is_none());
                });
            },
        );
    });
}

#[test]
fn a_lane_keeps_what_it_found() {
    found_beside_a_helper(None);
}

#[test]
#[should_panic]
fn a_lane_keeps_what_it_found_unless_another_helps_in_its_slots() {
    found_beside_a_helper(Some(Mutant::LaneHelpsInPlace));
}

#[test]
#[should_panic]
fn a_lane_keeps_what_it_found_unless_reads_are_not_repeated() {
    found_beside_a_helper(Some(Mutant::NoReadValidation));
}
