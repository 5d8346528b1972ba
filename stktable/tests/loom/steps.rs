//! The steps of the protocols between threads that the models of `table` leave out: who retires, who helps, who sleeps,
//! who finds a place.

use std::sync::atomic::Ordering;

use ebtree::Domain;
use loom::thread;
use stktable::DataType;
use stktable::sync::{Arc, AtomicU32, Mutant, live};
use stktable::table::{Options, Removed, StickTable, Wake};

use super::table::{
    DELAY_MS, DUE, START, Session, bump, declaration, gpc0, key, model, model_less, table,
};

/// A table of `size` entries in a domain of its own.
fn sized(size: u32, nopurge: bool, threads: usize) -> Arc<StickTable> {
    let mut declaration = declaration();
    declaration.size = size;
    declaration.nopurge = nopurge;
    let domain = Domain::with_batch(1);
    domain.reserve(threads);
    Arc::new(StickTable::with(declaration, Options::new().domain(domain)))
}

/// A removal and a sweep take one queued entry out of three indexes: it is retired once, by whoever was the last.
fn the_last_index_retires(without: Option<Mutant>) {
    model_less(1, "the_last_index_retires", without, || {
        let before = live();
        let table = table(3, Options::new());
        bump(&table, 1, START);
        let remover = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.remove(&key(1), START))
        };
        table.expire(DUE, 10);
        remover.join().unwrap();
        while table.expire(DUE + DELAY_MS + 8, 10).more {}
        assert_eq!((table.used(), table.metrics().dead), (0, 0));
        drop(table);
        assert_eq!(live(), before, "an entry is lost, or reclaimed twice");
    });
}

#[test]
fn retired_once() {
    the_last_index_retires(None);
}

#[test]
#[should_panic]
fn retired_by_a_look() {
    the_last_index_retires(Some(Mutant::ClearByLooking));
}

/// A session follows a leaf of the update order while its entry is removed, swept and reclaimed.
fn a_removal_while_a_session_reads(without: Option<Mutant>) {
    model("a_removal_while_a_session_reads", without, || {
        let table = table(2, Options::new());
        // Dead and filed: the next removal is one too many, and sweeps both.
        drop(table.get_or_create(&key(2), START).unwrap());
        assert_eq!(table.remove(&key(2), START), Removed::Removed);
        bump(&table, 1, START);
        let reader = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                let mut session = Session::default();
                session.read(&table);
                session.last(1)
            })
        };
        let removed = table.remove(&key(1), START);
        let told = reader.join().unwrap();
        assert!(matches!(told, None | Some(1)));
        assert_eq!(removed == Removed::Busy, table.used() == 1);
        assert_eq!(
            table.begin_updates(0).is_some(),
            removed == Removed::Busy,
            "the leaf of a dead entry"
        );
    });
}

#[test]
fn forgotten() {
    a_removal_while_a_session_reads(None);
}

#[test]
#[should_panic]
fn not_forgotten() {
    a_removal_while_a_session_reads(Some(Mutant::NoForget));
}

/// One thread has drawn the first sequence of an entry and is stopped before it linked the leaf; another touches the entry,
/// returns, and looks what there is to tell.
fn a_change_under_a_leaf_not_linked_yet(without: Option<Mutant>) {
    model("a_change_under_a_leaf_not_linked_yet", without, || {
        let table = table(2, Options::new());
        let held = table.get_or_create(&key(1), START).unwrap();
        let other = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.get(&key(1), START).unwrap().touch(START))
        };
        held.touch(START);
        let told = table.begin_updates(0).is_some();
        assert!(told, "changed and touched, and nobody can be told");
        drop(held);
        other.join().unwrap();
    });
}

#[test]
fn helping() {
    a_change_under_a_leaf_not_linked_yet(None);
}

#[test]
#[should_panic = "changed and touched, and nobody can be told"]
fn not_helping() {
    a_change_under_a_leaf_not_linked_yet(Some(Mutant::NoHelp));
}

/// An entry waits to be sent. While a session reads, a thread draws a new sequence for it and is stopped before it linked
/// the leaf: the session finds the old leaf only.
fn a_session_passes_a_leaf_not_linked_yet(without: Option<Mutant>) {
    model("a_session_passes_a_leaf_not_linked_yet", without, || {
        let table = table(2, Options::new());
        bump(&table, 1, START);
        let other = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.get(&key(1), START).unwrap().touch(START))
        };
        let upto = table.begin_updates(0).unwrap();
        let told = table.next_update(0, upto).is_some() || table.begin_updates(upto).is_some();
        assert!(told, "changed and touched, and nobody can be told");
        other.join().unwrap();
    });
}

#[test]
fn sessions_help() {
    a_session_passes_a_leaf_not_linked_yet(None);
}

#[test]
#[should_panic = "changed and touched, and nobody can be told"]
fn sessions_do_not_help() {
    a_session_passes_a_leaf_not_linked_yet(Some(Mutant::NoSessionHelp));
}

/// A helper links a leaf when the entry has already moved on to the next: it takes its leaf out again.
fn a_leaf_linked_late(without: Option<Mutant>) {
    model("a_leaf_linked_late", without, || {
        let table = table(2, Options::new());
        let held = table.get_or_create(&key(1), START).unwrap();
        let helper = {
            let table = Arc::clone(&table);
            thread::spawn(move || bump(&table, 1, START))
        };
        held.touch(START);
        // A session begins to read: the next touch draws again.
        let _ = table.begin_updates(0);
        held.touch(START);
        drop(held);
        helper.join().unwrap();
        assert_eq!(table.remove(&key(1), START), Removed::Removed);
        assert_eq!(table.begin_updates(0), None, "a leaf of a dead entry");
    });
}

#[test]
fn late_leaves() {
    a_leaf_linked_late(None);
}

#[test]
#[should_panic = "a leaf of a dead entry"]
fn late_leaves_left() {
    a_leaf_linked_late(Some(Mutant::NoLateUnlink));
}

/// A session tells its peer the whole table by a walk, while one entry changes that waits to be sent and another is
/// created: each is told in the walk or behind it.
fn changes_during_a_lesson(without: Option<Mutant>) {
    model("changes_during_a_lesson", without, || {
        let table = table(2, Options::new());
        bump(&table, 1, START);
        let other = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                bump(&table, 1, START);
                bump(&table, 2, START);
            })
        };
        let mut session = Session::default();
        let upto = table.begin_updates(0).unwrap();
        for entry in table.entries(START) {
            session.told.push((entry.key(), entry.read(DataType::Gpc0, 0, START).unwrap()));
        }
        session.cursor = upto;
        other.join().unwrap();
        session.read(&table);
        let last = (session.last(1), session.last(2));
        assert_eq!(last, (Some(2), Some(1)), "neither in the lesson nor behind it");
    });
}

#[test]
fn lessons() {
    changes_during_a_lesson(None);
}

#[test]
#[should_panic = "neither in the lesson nor behind it"]
fn lessons_without_a_frontier() {
    changes_during_a_lesson(Some(Mutant::NoFrontier));
}

#[test]
#[should_panic = "neither in the lesson nor behind it"]
fn lessons_without_the_toucher_s_fence() {
    changes_during_a_lesson(Some(Mutant::NoTouchFence));
}

/// Counts its calls in a loom atomic.
struct Count(Arc<AtomicU32>);

impl Wake for Count {
    fn expiry(&self) {}

    fn updates(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A session goes to sleep while the first change is queued: it sees the change, or is woken.
fn going_to_sleep_while_queueing(without: Option<Mutant>) {
    model("going_to_sleep_while_queueing", without, || {
        let woken = Arc::new(AtomicU32::new(0));
        let table = table(2, Options::new().wake(Count(Arc::clone(&woken))));
        let toucher = {
            let table = Arc::clone(&table);
            thread::spawn(move || bump(&table, 1, START))
        };
        table.arm_updates();
        let news = table.begin_updates(0).is_some();
        toucher.join().unwrap();
        assert!(news || woken.load(Ordering::Relaxed) == 1, "nobody wakes the session");
    });
}

#[test]
fn sleeping() {
    going_to_sleep_while_queueing(None);
}

#[test]
#[should_panic = "nobody wakes the session"]
fn sleeping_without_a_fence() {
    going_to_sleep_while_queueing(Some(Mutant::NoSleepFence));
}

/// In a full table that does not purge, one creation is refused while another thread makes room and creates: nobody is
/// refused a place that is free.
fn a_refused_creation_takes_no_place(without: Option<Mutant>) {
    model("a_refused_creation_takes_no_place", without, || {
        let table = sized(1, true, 2);
        drop(table.get_or_create(&key(1), START).unwrap());
        let other = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.get_or_create(&key(2), START).is_ok())
        };
        assert_eq!(table.remove(&key(1), START), Removed::Removed);
        let created = table.get_or_create(&key(3), START).is_ok();
        let used = table.used();
        assert!(used <= 1, "{used} entries of 1");
        assert!(other.join().unwrap() != created, "one place, and neither has it");
        assert_eq!(table.used(), 1);
    });
}

#[test]
fn places() {
    a_refused_creation_takes_no_place(None);
}

#[test]
#[should_panic]
fn places_by_adding() {
    a_refused_creation_takes_no_place(Some(Mutant::PlaceByAdding));
}

/// A full table purges its one entry for another key, while somebody looks that entry up and counts in it.
fn a_purge_beside_a_user(without: Option<Mutant>) {
    model_less(1, "a_purge_beside_a_user", without, || {
        let table = sized(1, false, 2);
        bump(&table, 1, START);
        let creator = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.get_or_create(&key(2), START).is_ok())
        };
        let used = {
            let entry = table.get(&key(1), START);
            if let Some(entry) = &entry {
                entry.add(DataType::Gpc0, 0, 1, START);
                assert!(entry.is_alive(), "held, so alive");
                assert_eq!(entry.read(DataType::Gpc0, 0, START), Some(2));
            }
            entry.is_some()
        };
        let created = creator.join().unwrap();
        assert_eq!(table.used(), 1, "one place");
        assert!(created || used, "refused though nobody held the entry");
        let there = gpc0(&table, 1, START);
        assert_eq!(there, (!created).then_some(2), "purged for the other, or there");
    });
}

#[test]
fn purging() {
    a_purge_beside_a_user(None);
}

#[test]
#[should_panic]
fn purging_by_store() {
    a_purge_beside_a_user(Some(Mutant::KillByStore));
}

/// Dead entries are swept off a stack while another thread takes the stack because it is due: each is taken off once,
/// and the living one is not lost.
fn a_forced_sweep_beside_expiry(without: Option<Mutant>) {
    model_less(1, "a_forced_sweep_beside_expiry", without, || {
        let before = live();
        let table = table(3, Options::new());
        for number in 1..=3 {
            drop(table.get_or_create(&key(number), START).unwrap());
        }
        assert_eq!(table.remove(&key(1), START), Removed::Removed);
        let killer = {
            let table = Arc::clone(&table);
            // The second death is one too many, here: it sweeps.
            thread::spawn(move || table.remove(&key(2), START))
        };
        table.expire(DUE, 10);
        killer.join().unwrap();
        while table.expire(DUE + DELAY_MS + 8, 10).more {}
        let left = (table.used(), table.metrics().dead);
        assert_eq!(left, (0, 0), "an entry is lost to the sweep");
        drop(table);
        assert_eq!(live(), before, "an entry is lost, or reclaimed twice");
    });
}

#[test]
fn forced_sweeps() {
    a_forced_sweep_beside_expiry(None);
}
