//! Rates: no event is lost, no state is seen that did not exist.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use loom::thread;
use stktable::Tick;
use stktable::data::freq_ctr::{FreqCtr, FreqSnapshot};
use stktable::sync::{Arc, Mutant, with_mutant};

/// An even period, so that starts are 1000 apart.
const P: u32 = 1000;
/// Where the first period of each model begins.
const T0: Tick = Tick(100_000);
/// The beginning of the next ones.
const T1: Tick = Tick(101_000);
const T2: Tick = Tick(102_000);
const T3: Tick = Tick(103_000);

/// Runs `model` in all its executions, first with one word of the counter as the newest, then with the
/// other, and says how many executions there were.
///
/// The counter is given with a current period that began at [`T0`] and has 7 events.
fn explore(name: &str, without: Option<Mutant>, model: fn(Arc<FreqCtr>)) {
    let executions = std::sync::Arc::new(AtomicU64::new(0));
    let began = std::time::Instant::now();
    for rotations in [1, 2] {
        let count = std::sync::Arc::clone(&executions);
        with_mutant(without, || {
            loom::model(move || {
                count.fetch_add(1, Relaxed);
                let counter = Arc::new(FreqCtr::new());
                for to_come in (0..rotations).rev() {
                    let n = if to_come == 0 { 7 } else { 0 };
                    counter.add(Tick(T0.0 - 50_000 * to_come), P, n);
                }
                model(counter);
            });
        });
    }
    println!("{name}: {} executions, {:?}", executions.load(Relaxed), began.elapsed());
}

/// A model and its twins. The real code passes, and each twin fails.
macro_rules! models {
    ($($model:ident { $($twin:ident: $mutant:ident,)* })*) => {$(
        mod $model {
            #[test]
            fn holds() {
                super::explore(stringify!($model), None, super::$model);
            }

            $(
                #[test]
                #[should_panic(expected = "model:")]
                fn $twin() {
                    let without = Some(stktable::sync::Mutant::$mutant);
                    super::explore(stringify!($twin), without, super::$model);
                }
            )*
        }
    )*};
}

models! {
    late_event_and_two_rotations { fails_if_stored: RotateByStore, }
    two_rotations_at_once { fails_if_stored: RotateByStore, }
    three_rotations_at_once { fails_if_stored: RotateByStore, }
    snapshot_and_three_rotations {
        fails_if_loaded_once: LoadOnce,
        fails_if_second_relaxed: LoadSecondRelaxed,
        fails_if_rotation_relaxed: RotateRelaxed,
    }
    rotation_and_three_rotations {
        fails_if_loaded_once: LoadOnce,
        fails_if_first_relaxed: LoadFirstRelaxed,
        fails_if_rotation_relaxed: RotateRelaxed,
    }
    snapshot_and_events_in_order {
        fails_if_addition_relaxed: AddRelaxed,
        fails_if_older_first: OlderFirst,
    }
    set_and_event { fails_if_stored: SetByStore, }
    set_and_rotation { fails_if_stored: SetByStore, fails_if_unchecked: SetUnchecked, }
    two_sets_at_once { fails_if_unchecked: SetUnchecked, }
    snapshot_and_set { fails_if_stored: RotateByStore, }
    operator_sets_and_event { fails_if_rotation_stored: RotateByStore, }
}

fn state(start: Tick, current: u32, previous: u32) -> FreqSnapshot {
    FreqSnapshot { start: start.low(), current, previous }
}

/// All events still in the counter, each of its words rotated out once.
fn drain(counter: &FreqCtr) -> u32 {
    let rotate = |now| counter.add_observed(now, P, 0).1.expect("model: rotates");
    rotate(Tick(900_000)) + rotate(Tick(990_000))
}

/// An event is on its way into a word that becomes the older one, and is written over.
fn late_event_and_two_rotations(counter: Arc<FreqCtr>) {
    let other = Arc::clone(&counter);
    let late = thread::spawn(move || other.add_observed(T0, P, 16).1.unwrap_or(0));
    let finished = [T1, T2].map(|now| counter.add_observed(now, P, 256).1.unwrap_or(0));
    let finished: u32 = finished.iter().sum::<u32>() + late.join().unwrap();
    assert_eq!(finished + drain(&counter), 7 + 16 + 2 * 256, "model: an event is lost");
}

/// Two threads find the period over: one rotates, both count.
fn two_rotations_at_once(counter: Arc<FreqCtr>) {
    let other = Arc::clone(&counter);
    let theirs = thread::spawn(move || other.add_observed(T1, P, 1));
    let ours = counter.add_observed(T1, P, 2);
    let theirs = theirs.join().unwrap();
    assert!(ours.1.is_some() != theirs.1.is_some(), "model: one of the two rotates");
    assert_eq!(ours.0.max(theirs.0), 3, "model: the second sees both");
    assert_eq!(counter.snapshot(P), state(T1, 3, 7), "model: both count");
}

/// Three threads, of which one is a period behind, and one ahead.
fn three_rotations_at_once(counter: Arc<FreqCtr>) {
    let threads = [(T0, 16), (T1, 256)].map(|(now, n)| {
        let counter = Arc::clone(&counter);
        thread::spawn(move || counter.add_observed(now, P, n).1.unwrap_or(0))
    });
    let mut finished = counter.add_observed(T2, P, 4096).1.unwrap_or(0);
    for thread in threads {
        finished += thread.join().unwrap();
    }
    assert_eq!(finished + drain(&counter), 7 + 16 + 256 + 4096, "model: an event is lost");
}

/// What a reader sees existed.
fn snapshot_and_three_rotations(counter: Arc<FreqCtr>) {
    let states = [state(T0, 7, 0), state(T1, 1, 7), state(T2, 2, 1), state(T3, 3, 2)];
    let other = Arc::clone(&counter);
    let reader = thread::spawn(move || {
        let seen = other.snapshot(P);
        assert!(states.contains(&seen), "model: torn, {seen:?}");
    });
    for (now, n) in [(T1, 1), (T2, 2), (T3, 3)] {
        counter.add(now, P, n);
    }
    reader.join().unwrap();
    assert_eq!(counter.snapshot(P), states[3], "model: the end");
}

/// What a thread rotates from existed: else it would make an older word the newest.
fn rotation_and_three_rotations(counter: Arc<FreqCtr>) {
    let other = Arc::clone(&counter);
    let event = thread::spawn(move || {
        other.add(T3, P, 16);
    });
    for (now, n) in [(T1, 1), (T2, 2), (T3, 3)] {
        counter.add(now, P, n);
    }
    event.join().unwrap();
    let allowed = [
        // It counted in the last period, first or second.
        state(T3, 3 + 16, 2),
        // It came two periods or more after the last rotation, and the later events joined it.
        state(T3, 16 + 3 + 2, 0),
        state(T3, 16 + 3 + 2 + 1, 0),
        // It was on its way into a word of which the period was over.
        state(T3, 3, 2 + 16),
    ];
    let seen = counter.snapshot(P);
    assert!(allowed.contains(&seen), "model: {seen:?}");
}

/// Who sees an event sees those that came before it, though the first was late, in the older word.
fn snapshot_and_events_in_order(counter: Arc<FreqCtr>) {
    let [rotating, reading] = [(); 2].map(|()| Arc::clone(&counter));
    let rotating = thread::spawn(move || {
        rotating.add(T1, P, 256);
    });
    let reading = thread::spawn(move || {
        let seen = reading.snapshot(P);
        let seen = seen.current + seen.previous;
        assert!(seen & 4096 == 0 || seen & 16 != 0, "model: the second event without the first");
    });
    counter.add(T0, P, 16);
    counter.add(T1, P, 4096);
    rotating.join().unwrap();
    reading.join().unwrap();
    // The first event lags: it counts in the younger period if it finds that one open.
    let allowed = [state(T1, 4096 + 256, 16 + 7), state(T1, 4096 + 256 + 16, 7)];
    let seen = counter.snapshot(P);
    assert!(allowed.contains(&seen), "model: the end, {seen:?}");
}

/// A peer's value, whose current period goes on, and an event.
fn set_and_event(counter: Arc<FreqCtr>) {
    let other = Arc::clone(&counter);
    let now = T0 + 500;
    let event = thread::spawn(move || other.add(now, P, 1));
    counter.set_from_peer(now, 100, 64, 32, P);
    let counted = event.join().unwrap();
    let seen = counter.snapshot(P);
    let start = T0 + 400;
    let allowed = match counted {
        // Before the set, or late: on its way into a word that the set made the previous period.
        8 => vec![state(start, 64, 32)],
        33 => vec![state(start, 64, 33)],
        65 => vec![state(start, 65, 32)],
        _ => vec![],
    };
    assert!(allowed.contains(&seen), "model: counted {counted}, {seen:?}");
}

/// A peer's value, whose current period is over, and an event that rotates it.
fn set_and_rotation(counter: Arc<FreqCtr>) {
    let other = Arc::clone(&counter);
    let now = T0 + 500;
    let event = thread::spawn(move || other.add(now, P, 1));
    counter.set_from_peer(now, 1100, 64, 32, P);
    let counted = event.join().unwrap();
    let seen = counter.snapshot(P);
    let start = Tick(now.0 - 1100);
    let allowed = match counted {
        8 => vec![state(start, 64, 32)],
        33 => vec![state(start, 64, 33)],
        // The event came after the set, and rotated what was set.
        1 => vec![state(start + P, 1, 64)],
        _ => vec![],
    };
    assert!(allowed.contains(&seen), "model: counted {counted}, {seen:?}");
}

/// Two peers' values: one of the two remains, whole.
fn two_sets_at_once(counter: Arc<FreqCtr>) {
    let other = Arc::clone(&counter);
    let now = T0 + 500;
    let set = thread::spawn(move || other.set_from_peer(now, 100, 64, 32, P));
    counter.set_from_peer(now, 100, 4, 2, P);
    set.join().unwrap();
    let seen = counter.snapshot(P);
    let start = T0 + 400;
    assert!(
        [state(start, 64, 32), state(start, 4, 2)].contains(&seen),
        "model: neither of the two, {seen:?}"
    );
}

/// A reader sees the old value, the new one, or the new one without its previous period.
fn snapshot_and_set(counter: Arc<FreqCtr>) {
    let (old, new) = (T0, T0 + 400);
    let [adding, reading] = [(); 2].map(|()| Arc::clone(&counter));
    let event = thread::spawn(move || adding.add(T1, P, 1));
    let reading = thread::spawn(move || {
        let seen = reading.snapshot(P);
        let allowed = [
            state(old, 7, 0),
            // Rotated by the event.
            state(T1, 1, 7),
            // Set, with the previous period still to come; or with it, or with the late event in it.
            state(new, 64, 0),
            state(new, 65, 0),
            state(new, 64, 32),
            state(new, 65, 32),
            state(new, 64, 33),
        ];
        assert!(allowed.contains(&seen), "model: {seen:?}");
    });
    counter.set_from_peer(T0 + 500, 100, 64, 32, P);
    event.join().unwrap();
    reading.join().unwrap();
    let seen = counter.snapshot(P);
    let allowed = [state(new, 64, 32), state(new, 65, 32)];
    assert!(allowed.contains(&seen), "model: the end, {seen:?}");
}

/// Two operators' values, the second exactly one step after the period it replaces, and an event.
fn operator_sets_and_event(counter: Arc<FreqCtr>) {
    let [setting, adding] = [(); 2].map(|()| Arc::clone(&counter));
    let set = thread::spawn(move || setting.set(T1, 64));
    let event = thread::spawn(move || adding.add(T1, P, 1));
    counter.set(T1, 4);
    set.join().unwrap();
    event.join().unwrap();
    let seen = counter.snapshot(P);
    let allowed = [state(T1, 4, 0), state(T1, 5, 0), state(T1, 64, 0), state(T1, 65, 0)];
    assert!(allowed.contains(&seen), "model: {seen:?}");
}
