//! Trees of keys of every kind against `BTreeMap`: strings of any length, addresses, tuples, wide numbers.
#![cfg(not(loom))]

use bolero::{TypeGenerator, check, produce};
use ebtree::Key;
use fuzz::tree::key::{Piece, Seed, strings, texts};
use fuzz::tree::{Operation, Shape, compare};

/// Operations on few keys.
fn on<K: Key + Ord + std::fmt::Debug>(shape: Shape, operations: &[Operation], keys: &[K]) {
    for a in keys {
        for b in keys {
            let at = a.first_difference(b);
            let bits = at.map(|at| (a.bit(at), b.bit(at)));
            assert_eq!(bits, (a != b).then_some((a > b, b > a)), "{a:?} and {b:?} at {at:?}");
            assert!(a.leading() <= b.leading() || a > b, "{a:?} and {b:?}");
        }
    }
    compare(shape, operations, |k| keys[usize::from(k) % keys.len()].clone());
}

/// A harness each, for each has a corpus of its own.
macro_rules! strings_like_a_btree_map {
    ($($name:ident $make:ident)*) => {$(
        #[test]
        fn $name() {
            let pieces = produce::<Vec<Piece>>().with().len(0..=6_usize);
            let recipes = produce::<Vec<_>>().with().values(pieces).len(0..=12_usize);
            let operations = produce::<Vec<Operation>>().with().len(0..=100_usize);
            check!()
                .with_max_len(1 << 13)
                .with_generator((Shape::produce(), recipes, operations))
                .for_each(|(shape, recipes, operations)| on(*shape, operations, &$make(recipes)));
        }
    )*};
}

strings_like_a_btree_map! {
    byte_strings_like_a_btree_map strings
    texts_like_a_btree_map texts
}

#[test]
fn fixed_width_like_a_btree_map() {
    let seeds = produce::<Vec<Seed>>().with().len(1..=16_usize);
    let operations = produce::<Vec<Operation>>().with().len(0..=100_usize);
    check!()
        .with_max_len(1 << 13)
        .with_generator((u8::produce(), Shape::produce(), seeds, operations))
        .for_each(|(kind, shape, seeds, operations)| match kind % 3 {
            0 => on(*shape, operations, &seeds.iter().map(Seed::address).collect::<Vec<_>>()),
            1 => on(*shape, operations, &seeds.iter().map(Seed::flow).collect::<Vec<_>>()),
            _ => on(*shape, operations, &seeds.iter().map(Seed::number).collect::<Vec<_>>()),
        });
}
