//! Names of servers: their last use beside a first one, and readers beside both.

use ebtree::Domain;
use loom::thread;
use stktable::declare::Declaration;
use stktable::sync::{Arc, Mutant};
use stktable::table::{EntryRef, Options, StickTable};
use stktable::{DataType, KeySpec};

use crate::table::{START, key, model, model_less};

fn table(threads: usize) -> Arc<StickTable> {
    let declaration = Declaration::builder("t", KeySpec::INTEGER)
        .size(4)
        .expire_ms(1_000)
        .store(DataType::ServerKey)
        .build()
        .unwrap();
    let domain = Domain::with_batch(1);
    domain.reserve(threads);
    Arc::new(StickTable::with(declaration, Options::new().domain(domain)))
}

fn entry(table: &StickTable, number: u32) -> EntryRef<'_> {
    table.get_or_create(&key(number), START).unwrap()
}

/// One entry gives the name up that another is just given.
fn a_first_use_beside_the_last(without: Option<Mutant>) {
    model("a_first_use_beside_the_last", without, || {
        let table = table(2);
        entry(&table, 1).set_server_key(Some("a")).unwrap();
        let two = entry(&table, 2);
        let other = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                let one = table.get(&key(1), START).unwrap();
                one.set_server_key(None).unwrap();
            })
        };
        two.set_server_key(Some("a")).unwrap();
        assert_eq!(two.server_key().as_deref(), Some("a"), "its name is gone");
        other.join().unwrap();
        assert_eq!(two.server_key().as_deref(), Some("a"), "its name is gone");
        assert_eq!(table.metrics().names, 1);
        drop(two);
        table.clear(START);
        let left = (table.metrics().names, table.name_lens());
        assert_eq!(left, (0, [0; 2]), "a name without an entry");
    });
}

#[test]
fn names_end_once() {
    a_first_use_beside_the_last(None);
}

#[test]
#[should_panic = "its name is gone"]
fn names_end_once_or_not() {
    a_first_use_beside_the_last(Some(Mutant::NameRevived));
}

/// An entry is named anew while it is read: it has the one name or the other, never none.
fn read_while_replaced(without: Option<Mutant>) {
    model("read_while_replaced", without, || {
        let table = table(2);
        let one = entry(&table, 1);
        one.set_server_key(Some("a")).unwrap();
        let other = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                let one = table.get(&key(1), START).unwrap();
                one.set_server_key(Some("b")).unwrap();
            })
        };
        let seen = one.server_key();
        assert!(matches!(seen.as_deref(), Some("a" | "b")), "no name: {seen:?}");
        other.join().unwrap();
        assert_eq!(one.server_key().as_deref(), Some("b"));
    });
}

#[test]
fn names_are_always_there() {
    read_while_replaced(None);
}

#[test]
#[should_panic = "no name"]
fn names_are_read_once() {
    read_while_replaced(Some(Mutant::NameReadOnce));
}

/// Two threads make the same name at once: there is one.
#[test]
fn names_are_made_once() {
    model_less(1, "names_are_made_once", None, || {
        let table = table(2);
        let other = {
            let table = Arc::clone(&table);
            thread::spawn(move || entry(&table, 1).set_server_key(Some("a")).unwrap())
        };
        entry(&table, 2).set_server_key(Some("a")).unwrap();
        other.join().unwrap();
        assert_eq!((table.metrics().names, table.name_lens()), (1, [1; 2]));
        table.clear(START);
        assert_eq!((table.metrics().names, table.name_lens()), (0, [0; 2]), "something is left");
    });
}
