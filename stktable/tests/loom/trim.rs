//! Leaves that every session has behind it are taken out, beside changes, helpers and death.

use loom::thread;
use stktable::sync::{Arc, Mutant};
use stktable::table::{Options, Removed};

use crate::table::{START, Session, bump, key, model, table};

/// What is changed while a session reads and then trims is told, before or after.
fn trimmed_beside_a_change(without: Option<Mutant>) {
    model("trimmed_beside_a_change", without, || {
        let table = table(2, Options::new());
        bump(&table, 1, START);
        let toucher = {
            let table = Arc::clone(&table);
            thread::spawn(move || bump(&table, 1, START))
        };
        let mut session = Session::default();
        session.read(&table);
        table.trim_updates(session.cursor, 4);
        toucher.join().unwrap();
        session.read(&table);
        assert_eq!(session.last(1), Some(2), "an update is lost for ever");
    });
}

#[test]
fn trim() {
    trimmed_beside_a_change(None);
}

#[test]
#[should_panic = "an update is lost for ever"]
fn trim_unread() {
    trimmed_beside_a_change(Some(Mutant::TrimUnread));
}

/// The leaf of an entry that dies is trimmed and forgotten at once: it is freed once, and so is the entry.
#[test]
fn trim_beside_death() {
    model("trim_beside_death", None, || {
        let table = table(2, Options::new());
        bump(&table, 1, START);
        let mut session = Session::default();
        session.read(&table);
        let killer = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.remove(&key(1), START))
        };
        table.trim_updates(session.cursor, 4);
        assert_eq!(killer.join().unwrap(), Removed::Removed);
        assert!(table.begin_updates(0).is_none(), "a leaf without an entry");
    });
}

/// Two threads change one entry while its former leaf is trimmed: the new one is found.
#[test]
fn trim_beside_two_changes() {
    crate::table::model_less(1, "trim_beside_two_changes", None, || {
        let table = table(3, Options::new());
        bump(&table, 1, START);
        let mut session = Session::default();
        session.read(&table);
        let others = [(); 2].map(|()| {
            let table = Arc::clone(&table);
            thread::spawn(move || bump(&table, 1, START))
        });
        table.trim_updates(session.cursor, 4);
        for other in others {
            other.join().unwrap();
        }
        session.read(&table);
        assert_eq!(session.last(1), Some(3), "an update is lost for ever");
    });
}
