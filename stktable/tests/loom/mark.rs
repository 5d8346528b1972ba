//! A mark tells what was changed before it from what is changed after: whoever is not seen to have begun after a mark changes
//! entries with a later sequence.

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use stktable::sync::{Arc, Mutant};
use stktable::table::Options;

use crate::table::{START, Session, bump, key, model, table};

/// A source comes up and tells an entry again, whose former change nobody has read, while what it said before is given up.
fn a_mark_beside_a_change(without: Option<Mutant>) {
    model("a_mark_beside_a_change", without, || {
        let table = table(2, Options::new());
        bump(&table, 1, START);
        let is_up = Arc::new(AtomicBool::new(false));
        let source = {
            let (table, is_up) = (Arc::clone(&table), Arc::clone(&is_up));
            thread::spawn(move || {
                is_up.store(true, Ordering::Relaxed);
                bump(&table, 1, START);
            })
        };
        let mark = table.mark_updates();
        let was_up = is_up.load(Ordering::Relaxed);
        source.join().unwrap();
        if !was_up {
            let entry = table.get(&key(1), START).unwrap();
            assert!(entry.update_seq() > mark, "what came later is taken for old");
            let mut session = Session { cursor: mark, ..Session::default() };
            session.read(&table);
            assert_eq!(session.last(1), Some(2));
        }
    });
}

#[test]
fn mark() {
    a_mark_beside_a_change(None);
}

#[test]
#[should_panic = "what came later is taken for old"]
fn mark_without_frontier() {
    a_mark_beside_a_change(Some(Mutant::NoFrontier));
}
