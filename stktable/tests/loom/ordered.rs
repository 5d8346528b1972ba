//! The order of keys beside creation and death.

use ebtree::Domain;
use loom::thread;
use stktable::declare::Declaration;
use stktable::sync::{Arc, Mutant};
use stktable::table::{Options, StickTable};
use stktable::{KeySpec, Tick};

use crate::table::{START, key, model};

fn table(threads: usize) -> Arc<StickTable> {
    let declaration =
        Declaration::builder("t", KeySpec::INTEGER).size(4).expire_ms(1_000).build().unwrap();
    let domain = Domain::with_batch(1);
    domain.reserve(threads);
    Arc::new(StickTable::with(declaration, Options::new().domain(domain).ordered()))
}

/// How often a walk over all keys visits key 1.
fn visits(table: &StickTable, now: Tick) -> u32 {
    let all = KeySpec::INTEGER.prefix(&[], 0).unwrap();
    let mut visits = 0;
    table.for_each_in(&all, now, |entry| visits += u32::from(entry.key() == key(1)));
    visits
}

/// Whoever finds an entry by its key finds it in the order too, while its creator is still at work (O1).
fn found_by_key_and_in_order(without: Option<Mutant>) {
    model("found_by_key_and_in_order", without, || {
        let table = table(2);
        let creator = {
            let table = Arc::clone(&table);
            thread::spawn(move || drop(table.get_or_create(&key(1), START).unwrap()))
        };
        if table.contains_key(&key(1), START) {
            assert_eq!(visits(&table, START), 1, "passed over");
        }
        creator.join().unwrap();
        assert_eq!(visits(&table, START), 1);
    });
}

#[test]
fn ordered_from_the_first_moment() {
    found_by_key_and_in_order(None);
}

#[test]
#[should_panic = "passed over"]
fn ordered_from_the_first_moment_linked_first() {
    found_by_key_and_in_order(Some(Mutant::OrderedLate));
}

/// The element of a dead entry is not taken for the one that has its key by now (O3).
fn visited_once_beside_its_predecessor(without: Option<Mutant>) {
    model("visited_once_beside_its_predecessor", without, || {
        let table = table(2);
        drop(table.get_or_create(&key(1), START).unwrap());
        let remover = {
            let table = Arc::clone(&table);
            thread::spawn(move || drop(table.remove(&key(1), START)))
        };
        let held = table.get_or_create(&key(1), START).unwrap();
        assert_eq!(visits(&table, START), 1, "visited twice");
        remover.join().unwrap();
        drop(held);
    });
}

#[test]
fn ordered_beside_its_predecessor() {
    visited_once_beside_its_predecessor(None);
}

#[test]
#[should_panic = "visited twice"]
fn ordered_beside_its_predecessor_by_key_alone() {
    visited_once_beside_its_predecessor(Some(Mutant::OrderedByKeyAlone));
}
