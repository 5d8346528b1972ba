//! The protocols between the threads that use a table, each with the mutant that takes its protection out.
//!
//! The clock stands 20 s before the wrap of the low 32 bits; a table's time to live is 1 s, its coarse tick 8 ms.

use std::sync::atomic::{AtomicU32 as PlainU32, Ordering};

use ebtree::Domain;
use loom::thread;
use stktable::declare::Declaration;
use stktable::sync::{Arc, Mutant, with_mutant};
use stktable::table::{Event, Options, StickTable, Wake};
use stktable::{DataType, Key, KeySpec, Tick};

pub(super) const START: Tick = Tick((1 << 32) - 20_000);
pub(super) const DELAY_MS: u32 = 1_000;
/// The tick under which an entry of `START` is filed is due here.
pub(super) const DUE: Tick = Tick(START.0 + DELAY_MS as u64 + 8);

pub(super) fn table(threads: usize, options: Options) -> Arc<StickTable> {
    let domain = Domain::with_batch(1);
    domain.reserve(threads);
    Arc::new(StickTable::with(declaration(), options.domain(domain)))
}

pub(super) fn declaration() -> Declaration {
    Declaration::builder("t", KeySpec::INTEGER)
        .size(4)
        .expire_ms(DELAY_MS)
        .peers("p")
        .store(DataType::Gpc0)
        .build()
        .unwrap()
}

pub(super) fn key(number: u32) -> Key {
    KeySpec::INTEGER.key(&number.to_be_bytes()).unwrap()
}

/// Counts one event and tells peers.
pub(super) fn bump(table: &StickTable, number: u32, now: Tick) {
    let entry = table.get_or_create(&key(number), now).unwrap();
    entry.count(Event::Gpc0, 1, now);
    entry.touch(now);
}

pub(super) fn gpc0(table: &StickTable, number: u32, now: Tick) -> Option<i64> {
    table.get(&key(number), now)?.read(DataType::Gpc0, 0, now)
}

/// What a session told its peer of each key, last.
#[derive(Default)]
pub(super) struct Session {
    pub(super) cursor: u64,
    pub(super) told: Vec<(Key, i64)>,
}

impl Session {
    pub(super) fn read(&mut self, table: &StickTable) {
        let Some(upto) = table.begin_updates(self.cursor) else { return };
        let mut at = self.cursor;
        while let Some(taught) = table.next_update(at, upto) {
            at = taught.seq;
            let value = taught.entry.read(DataType::Gpc0, 0, START).unwrap();
            self.told.push((taught.entry.key(), value));
        }
        self.cursor = upto;
    }

    pub(super) fn last(&self, number: u32) -> Option<i64> {
        self.told.iter().rev().find(|(told, _)| *told == key(number)).map(|(_, value)| *value)
    }
}

pub(super) fn model(name: &str, without: Option<Mutant>, run: impl Fn() + Sync + Send + 'static) {
    model_less(0, name, without, run);
}

/// A model with so many steps that it is run with fewer preemptions than the others.
pub(super) fn model_less(
    less: usize,
    name: &str,
    without: Option<Mutant>,
    run: impl Fn() + Sync + Send + 'static,
) {
    let count = std::sync::Arc::new(PlainU32::new(0));
    let counted = std::sync::Arc::clone(&count);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound =
        builder.preemption_bound.map(|bound| bound.saturating_sub(less).max(1));
    with_mutant(without, || {
        builder.check(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            run();
        });
    });
    println!("{name}: {} executions", count.load(Ordering::Relaxed));
}

/// HAProxy 3.0-dev7: a peer takes a reference of an entry while the expiry frees it.
fn a_peer_takes_a_reference_while_expiry_frees(without: Option<Mutant>) {
    model("a_peer_takes_a_reference_while_expiry_frees", without, || {
        let table = table(2, Options::new());
        bump(&table, 1, START);
        let peer = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                if let Some(upto) = table.begin_updates(0)
                    && let Some(taught) = table.next_update(0, upto)
                {
                    // Encoding: the entry must be there, whole and alive, until the reference goes.
                    assert_eq!(taught.entry.read(DataType::Gpc0, 0, START), Some(1));
                    assert_eq!(taught.entry.key(), key(1));
                    assert!(taught.entry.is_alive(), "held, so alive");
                }
            })
        };
        table.expire(DUE, 10);
        peer.join().unwrap();
        while table.expire(DUE + DELAY_MS + 8, 10).more {}
        assert_eq!(table.used(), 0, "gone in the end, whoever held it last");
    });
}

#[test]
fn race_of_3_0_dev7() {
    a_peer_takes_a_reference_while_expiry_frees(None);
}

#[test]
#[should_panic]
fn race_of_3_0_dev7_without_the_cas() {
    a_peer_takes_a_reference_while_expiry_frees(Some(Mutant::KillByStore));
}

/// An entry that is touched between the sweep's look at its date and the kill survives, with what was counted.
fn a_touch_during_a_kill(without: Option<Mutant>) {
    model("a_touch_during_a_kill", without, || {
        let table = table(2, Options::new());
        bump(&table, 1, START);
        let toucher = {
            let table = Arc::clone(&table);
            // Its clock is a little behind: the entry is not over yet for it.
            thread::spawn(move || {
                let now = START + (DELAY_MS - 1);
                let Some(entry) = table.get(&key(1), now) else { return false };
                entry.count(Event::Gpc0, 1, now);
                entry.touch(now);
                true
            })
        };
        table.expire(DUE, 10);
        let touched = toucher.join().unwrap();
        let expected = touched.then_some(2);
        assert_eq!(gpc0(&table, 1, DUE), expected, "a ban is not forgotten");
    });
}

#[test]
fn generation() {
    a_touch_during_a_kill(None);
}

#[test]
#[should_panic = "a ban is not forgotten"]
fn date_looked_at_first() {
    a_touch_during_a_kill(Some(Mutant::DateFirst));
}

#[test]
#[should_panic = "a ban is not forgotten"]
fn generation_not_bumped() {
    a_touch_during_a_kill(Some(Mutant::NoGeneration));
}

/// Two threads queue changes while a session reads. Whatever it passed meanwhile, it finds later.
fn changes_while_a_session_reads(without: Option<Mutant>) {
    model("changes_while_a_session_reads", without, || {
        let table = table(3, Options::new());
        // Both exist already, so that the threads do little else than queue.
        let (one, two) = (
            table.get_or_create(&key(1), START).unwrap(),
            table.get_or_create(&key(2), START).unwrap(),
        );
        let reader = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                let mut session = Session::default();
                session.read(&table);
                session
            })
        };
        let other = {
            let table = Arc::clone(&table);
            thread::spawn(move || bump(&table, 2, START))
        };
        one.count(Event::Gpc0, 1, START);
        one.touch(START);
        drop((one, two));
        other.join().unwrap();
        let mut session = reader.join().unwrap();
        session.read(&table);
        assert_eq!(
            (session.last(1), session.last(2)),
            (Some(1), Some(1)),
            "an update is lost for ever"
        );
    });
}

#[test]
fn frontier() {
    changes_while_a_session_reads(None);
}

#[test]
#[should_panic = "an update is lost for ever"]
fn frontier_not_raised() {
    changes_while_a_session_reads(Some(Mutant::NoFrontier));
}

#[test]
#[should_panic = "an update is lost for ever"]
fn frontier_not_looked_at_again() {
    changes_while_a_session_reads(Some(Mutant::NoSecondLook));
}

/// An entry that waits to be sent is changed while a session sends it: either the session reads the new value, or the
/// entry is queued again.
fn a_change_of_a_waiting_entry(without: Option<Mutant>) {
    model("a_change_of_a_waiting_entry", without, || {
        let table = table(2, Options::new());
        bump(&table, 1, START);
        let toucher = {
            let table = Arc::clone(&table);
            thread::spawn(move || bump(&table, 1, START))
        };
        let mut session = Session::default();
        session.read(&table);
        toucher.join().unwrap();
        session.read(&table);
        assert_eq!(session.last(1), Some(2), "the last value is not sent");
    });
}

#[test]
fn coalescing() {
    a_change_of_a_waiting_entry(None);
}

#[test]
#[should_panic = "the last value is not sent"]
fn coalescing_without_a_fence() {
    a_change_of_a_waiting_entry(Some(Mutant::NoTouchFence));
}

/// Two threads change one entry at once; one may link the other's leaf. No leaf stays behind.
#[test]
fn two_changes_of_one_entry() {
    model("two_changes_of_one_entry", None, || {
        let table = table(2, Options::new());
        drop(table.get_or_create(&key(1), START).unwrap());
        let other = {
            let table = Arc::clone(&table);
            thread::spawn(move || bump(&table, 1, START))
        };
        bump(&table, 1, START);
        other.join().unwrap();
        let mut session = Session::default();
        session.read(&table);
        assert_eq!(session.told, [(key(1), 2)], "one place in the order");
        table.remove(&key(1), START);
        assert_eq!(table.begin_updates(0), None, "no leaf of a dead entry");
    });
}

/// A thread files an entry under the tick that a sweep is just closing.
fn filing_on_a_tick_being_taken(without: Option<Mutant>) {
    model_less(1, "filing_on_a_tick_being_taken", without, || {
        let table = table(2, Options::new());
        drop(table.get_or_create(&key(1), START).unwrap());
        let creator = {
            let table = Arc::clone(&table);
            thread::spawn(move || drop(table.get_or_create(&key(2), START).unwrap()))
        };
        table.expire(DUE, 10);
        creator.join().unwrap();
        while table.expire(DUE, 10).more {}
        let left = (table.used(), table.metrics().dead);
        assert_eq!(left, (0, 0), "an entry is lost to the sweep");
    });
}

#[test]
fn closed_ticks() {
    filing_on_a_tick_being_taken(None);
}

#[test]
#[should_panic = "an entry is lost to the sweep"]
fn ticks_not_closed() {
    filing_on_a_tick_being_taken(Some(Mutant::NotClosed));
}

/// An entry that is over is let go of by a thread whose clock is behind, while a sweep passes by.
fn letting_go_while_swept(without: Option<Mutant>) {
    model("letting_go_while_swept", without, || {
        let table = table(2, Options::new());
        drop(table.get_or_create(&key(1), START).unwrap());
        let user = {
            let table = Arc::clone(&table);
            // Its clock is behind: the entry is not over for it.
            thread::spawn(move || drop(table.get(&key(1), START)))
        };
        table.expire(DUE, 10);
        user.join().unwrap();
        while table.expire(DUE, 10).more {}
        assert_eq!(table.used(), 0, "over, and let go of, and nobody took it");
    });
}

#[test]
fn overdue() {
    letting_go_while_swept(None);
}

#[test]
#[should_panic = "over, and let go of, and nobody took it"]
fn overdue_unseen() {
    letting_go_while_swept(Some(Mutant::OverdueUnseen));
}

/// Counts its calls in a loom atomic.
struct Count(Arc<stktable::sync::AtomicU32>);

impl Wake for Count {
    fn expiry(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn updates(&self) {}
}

/// The driver goes to sleep while the first entry is filed: it knows the date, or it is woken.
fn going_to_sleep_while_filing(without: Option<Mutant>) {
    model("going_to_sleep_while_filing", without, || {
        let woken = Arc::new(stktable::sync::AtomicU32::new(0));
        let table = table(2, Options::new().wake(Count(Arc::clone(&woken))));
        // A driver that slept before: nothing was filed then.
        assert_eq!(table.arm_expiry(), None);
        let creator = {
            let table = Arc::clone(&table);
            thread::spawn(move || drop(table.get_or_create(&key(1), START).unwrap()))
        };
        let armed = table.arm_expiry();
        creator.join().unwrap();
        assert!(armed.is_some() || woken.load(Ordering::Relaxed) > 0, "nobody wakes the driver");
    });
}

#[test]
fn arming() {
    going_to_sleep_while_filing(None);
}

#[test]
#[should_panic = "nobody wakes the driver"]
fn arming_not_looked_at() {
    going_to_sleep_while_filing(Some(Mutant::NoArm));
}

/// A key is killed while two threads create it anew: they get one entry.
fn creating_beside_a_dying_predecessor(without: Option<Mutant>) {
    model("creating_beside_a_dying_predecessor", without, || {
        let table = table(2, Options::new());
        drop(table.get_or_create(&key(1), START).unwrap());
        let creator = {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                let entry = table.get_or_create(&key(1), DUE).unwrap();
                entry.count(Event::Gpc0, 1, DUE);
            })
        };
        {
            let entry = table.get_or_create(&key(1), DUE).unwrap();
            entry.count(Event::Gpc0, 1, DUE);
        }
        creator.join().unwrap();
        assert_eq!(gpc0(&table, 1, DUE), Some(2), "both counted in one entry");
        assert_eq!(table.used(), 1);
    });
}

#[test]
fn one_successor() {
    creating_beside_a_dying_predecessor(None);
}

#[test]
#[should_panic]
fn one_successor_replacing_the_living() {
    creating_beside_a_dying_predecessor(Some(Mutant::ReplaceAlive));
}

#[test]
#[should_panic]
fn one_successor_unlinked_by_the_killer() {
    creating_beside_a_dying_predecessor(Some(Mutant::UnlinkAny));
}

/// An entry that is over is removed by one thread while a sweep has it in hand: it dies once, and is retired once.
#[test]
fn removal_and_the_sweep() {
    model("removal_and_the_sweep", None, || {
        let table = table(2, Options::new());
        bump(&table, 1, START);
        let remover = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.remove(&key(1), START))
        };
        table.expire(DUE, 10);
        remover.join().unwrap();
        while table.expire(DUE + DELAY_MS + 8, 10).more {}
        assert_eq!((table.used(), table.metrics().dead), (0, 0));
        assert_eq!(table.arm_expiry(), None, "in no stack any more");
        assert_eq!(table.begin_updates(0), None, "nor in the update order");
    });
}
