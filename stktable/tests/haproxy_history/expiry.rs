//! Expiry, purge, references.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;

use super::*;

struct Bell(Arc<AtomicBool>);

impl Wake for Bell {
    fn expiry(&self) {
        self.0.store(true, SeqCst);
    }

    fn updates(&self) {}
}

/// 4d5f13cab, fbb934da9, 5fc1afb34, 2831cb104. A date that is stored while the driver of the expiry computes the next
/// one, or goes to sleep, is slept for, or wakes it: with a time to live of 1 ms, over and over.
#[test]
fn a_date_stored_while_the_driver_goes_to_sleep_is_not_lost() {
    let rung = Arc::new(AtomicBool::new(false));
    let options = Options::new().domain(Domain::with_batch(16)).wake(Bell(Arc::clone(&rung)));
    let table = StickTable::with(declare(1000, 1), options);
    let clock = AtomicU64::new(START.0);
    let mut due = table.arm_expiry();
    for round in 0..200 {
        let busy = AtomicU32::new(2);
        due = thread::scope(|scope| {
            let (table, clock, busy, rung) = (&table, &clock, &busy, &rung);
            let creators = [0, 1].map(|thread| {
                scope.spawn(move || {
                    for number in 0..20 {
                        let now = Tick(clock.fetch_add(u64::from(number % 4 == 0), SeqCst));
                        bump(table, thread * 10 + number + round, now);
                    }
                    busy.fetch_sub(1, SeqCst);
                })
            });
            let driver = scope.spawn(move || {
                let mut due = due;
                loop {
                    let working = busy.load(SeqCst) > 0;
                    let now = Tick(clock.load(SeqCst));
                    if rung.swap(false, SeqCst) || due.is_some_and(|due| due <= now) {
                        while table.expire(now, 7).more {}
                        due = table.arm_expiry();
                    } else if !working {
                        return due;
                    }
                    thread::yield_now();
                }
            });
            creators.into_iter().for_each(|thread| thread.join().unwrap());
            driver.join().unwrap()
        });
        let slept = due.map_or(u64::MAX, |due| due.0);
        let first = table.next_due().map_or(u64::MAX, |due| due.0);
        assert!(first >= slept, "round {round}: due at {first}, asleep until {slept}");
        if round % 3 == 0 {
            while let Some(now) = due {
                clock.fetch_max(now.0, SeqCst);
                while table.expire(now, 7).more {}
                due = table.arm_expiry();
            }
            assert_eq!(table.used(), 0, "round {round}");
        }
    }
}

/// 3e60b1110. A lookup gives its reference back on every path: after any number of them the entry is unused, and
/// expires.
#[test]
fn lookups_keep_no_reference() {
    let table = table(10, 1_000);
    bump(&table, 1, START);
    for _ in 0..1_000 {
        let entry = table.get(&key(1), START).unwrap();
        let _ = entry.read(DataType::Gpc0, 0, START);
        let _ = entry.read(DataType::Gpc1, 0, START);
        let _ = entry.clone();
        drop(table.get_or_create(&key(1), START).unwrap());
        assert_eq!(table.entries(START).count(), 1);
        let upto = table.begin_updates(0).unwrap();
        assert!(table.next_update(0, upto).is_some());
    }
    assert_eq!(table.get(&key(1), START).unwrap().users(), 0);
    assert_eq!(table.expire(START + 1_008, 10).expired, 1);
}

/// ac1f3ed64. Nothing is released, found or changed when there is no entry, whichever way it is asked for.
#[test]
fn a_miss_is_nothing() {
    let table = table(10, 1_000);
    for present in [false, true] {
        if present {
            bump(&table, 2, START);
        }
        assert!(table.get(&key(1), START).is_none());
        assert_eq!(table.remove(&key(1), START), Removed::Missing);
        assert_eq!(table.remove_if(&key(1), START, |_| unreachable!()), Removed::Missing);
        assert!(matches!(table.learn(&key(1), Some(0), START), Ok(Learned::Over)));
        assert_eq!(table.used(), u32::from(present));
        assert_eq!(table.clear_if(START, |entry| entry.key() == key(1)), (0, 0));
    }
    let empty = self::table(10, 1_000);
    assert!(empty.entries(START).next().is_none() && empty.next_update(0, u64::MAX).is_none());
    assert_eq!((empty.clear(START), empty.begin_updates(0)), ((0, 0), None));
    assert_eq!(empty.expire(START + 10_000, 10), table::Expired::default());
}

/// dfe79251d. A purge that finds every entry in use looks at a bounded number of them and gives up. How many it looked at
/// shows later: those that it met were filed anew, the others stand where they were.
#[test]
fn a_purge_of_a_busy_table_is_bounded() {
    let entries: u32 = 10_000;
    let table = table(entries, 60_000);
    let held: Vec<_> =
        (0..entries).map(|number| table.get_or_create(&key(number), START).unwrap()).collect();
    held.iter().for_each(|entry| entry.touch(START + 30_000));
    for refused in 1..=3 {
        assert!(table.get_or_create(&key(entries), START + 30_000).is_err());
        assert_eq!(table.metrics().refused, refused);
    }
    let first_date = START + 60_000 + 128;
    let stood = table.expire(first_date, u32::MAX).visited;
    assert!(stood >= entries - 3 * 256, "only {stood} of {entries} were not looked at");
    assert!(stood < entries, "the oldest were looked at");
    assert_eq!((table.used(), table.metrics().purged), (entries, 0));
}

/// 44a8f9e7f. The next date is the new one, never an old one that has passed: a table at rest with living entries, and
/// one whose entries are touched all the time, wake the driver about once per time to live.
#[test]
fn living_entries_wake_the_driver_seldom() {
    let table = table(10, 10_000);
    bump(&table, 1, START);
    let mut due = table.arm_expiry().unwrap();
    let mut wakes = 0;
    for step in 1..=1_000 {
        let now = START + step * 100;
        bump(&table, 1, now);
        while due <= now {
            wakes += 1;
            let done = table.expire(now, 100);
            assert!(!done.more && done.visited == 1, "{done:?}");
            due = table.arm_expiry().unwrap();
            assert!(due > now, "a date in the past is slept for");
        }
    }
    assert!((9..=11).contains(&wakes), "{wakes} wakes in ten times the time to live");
}

/// Sessions read what two threads change, while `die` makes entries die. What a session holds is alive and whole.
fn sessions_beside_deaths(size: u32, die: impl Fn(&StickTable, u32, Tick) + Sync) {
    const STEPS: u32 = 20_000;
    let domain = Domain::with_batch(8);
    let table = StickTable::with(declare(size, 2), Options::new().domain(domain.clone()));
    let clock = AtomicU64::new(START.0);
    let told = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (table, clock, told, over, die) = (&table, &clock, &told, &over, &die);
        let changing = [1_u64, 2].map(|thread| {
            scope.spawn(move || {
                let mut random = Random(thread);
                for step in 0..STEPS {
                    let now = Tick(clock.fetch_add(u64::from(step % 16 == 0), SeqCst));
                    let number = random.below(64);
                    if let Ok(entry) = table.get_or_create(&key(number), now) {
                        entry.set(DataType::BytesInCnt, 0, pattern(number), now).unwrap();
                        entry.touch(now);
                    }
                }
            })
        });
        let reading = [(); 2].map(|()| {
            scope.spawn(move || {
                let mut cursor = 0;
                // However late the others begin: something is told.
                for round in 0.. {
                    if round >= STEPS / 8 && (told.load(SeqCst) > 0 || over.load(SeqCst)) {
                        break;
                    }
                    let Some(upto) = table.begin_updates(cursor) else {
                        std::thread::yield_now();
                        continue;
                    };
                    let mut at = cursor;
                    while let Some(taught) = table.next_update(at, upto) {
                        at = taught.seq;
                        assert!(taught.entry.is_alive(), "held, so alive");
                        let number = taught.entry.key().to_string().parse().unwrap();
                        let value = taught.entry.read(DataType::BytesInCnt, 0, START);
                        assert_eq!(value, Some(pattern(number)), "of {number}");
                        told.fetch_add(1, SeqCst);
                    }
                    cursor = upto;
                }
            })
        });
        let dying = scope.spawn(move || {
            let mut random = Random(3);
            for _ in 0..STEPS {
                die(table, random.below(64), Tick(clock.load(SeqCst)));
            }
        });
        for thread in changing.into_iter().chain([dying]) {
            thread.join().unwrap();
        }
        over.store(true, SeqCst);
        for thread in reading {
            thread.join().unwrap();
        }
    });
    assert!(told.load(SeqCst) > 0);
    let now = Tick(clock.load(SeqCst));
    assert!(table.entries(now).all(|entry| entry.users() == 0));
    let later = now + 1_000;
    while table.expire(later, 1_000).more {}
    assert_eq!((table.used(), table.metrics().dead, table.next_due()), (0, 0, None));
    assert_eq!(table.begin_updates(0), None);
    drop(table);
    domain.flush();
    assert_eq!(domain.unreclaimed(), 0);
}

/// A value that tells its key.
fn pattern(number: u32) -> i64 {
    i64::from(number) * 0x0101_0101_0101
}

/// 21447b1dd, the race of §7.2: a session takes its reference while the expiry frees the entry.
#[test]
fn what_a_session_holds_does_not_expire() {
    sessions_beside_deaths(1_000, |table, _, now| {
        table.expire(now, 20);
    });
}

/// dfd938bad. The same race with a purge.
#[test]
fn what_a_session_holds_is_not_purged() {
    sessions_beside_deaths(32, |table, number, now| {
        drop(table.get_or_create(&key(1_000 + number), now));
        let _ = table.remove(&key(1_000 + number), now);
    });
}

/// 9938fb9c7. The same race with a removal by an operator.
#[test]
fn what_a_session_holds_is_not_removed() {
    sessions_beside_deaths(1_000, |table, number, now| {
        let _ = table.remove(&key(number), now);
    });
}

/// 935787364, 006a3acbd. Whoever lets go last of an entry that is over frees it, once, and nobody reads it after that:
/// every entry that was created died of exactly one cause, or is there.
#[test]
fn the_last_to_let_go_frees_once() {
    const STEPS: u32 = 20_000;
    let domain = Domain::with_batch(8);
    let table = StickTable::with(declare(100, 1), Options::new().domain(domain.clone()));
    let clock = AtomicU64::new(START.0);
    let removed: u32 = thread::scope(|scope| {
        let (table, clock) = (&table, &clock);
        let letting_go = [1_u64, 2, 3].map(|thread| {
            scope.spawn(move || {
                let mut random = Random(thread);
                for _ in 0..STEPS {
                    let number = key(random.below(4));
                    let entry = table.get_or_create(&number, Tick(clock.load(SeqCst))).unwrap();
                    // Over before it is let go of.
                    clock.fetch_add(2, SeqCst);
                    let _ = table.get(&key(0), Tick(clock.load(SeqCst)));
                    assert!(entry.is_alive());
                    drop(entry);
                }
                0
            })
        });
        let removing = scope.spawn(move || {
            let mut random = Random(9);
            let now = || Tick(clock.load(SeqCst));
            let removals = (0..STEPS).map(|_| table.remove(&key(random.below(4)), now()));
            u32::try_from(removals.filter(|done| *done == Removed::Removed).count()).unwrap()
        });
        letting_go.into_iter().chain([removing]).map(|thread| thread.join().unwrap()).sum()
    });
    let metrics = table.metrics();
    assert_eq!(
        metrics.created,
        metrics.expired + metrics.purged + u64::from(removed) + u64::from(metrics.used)
    );
    while table.expire(Tick(clock.load(SeqCst)) + 1_000, 100).more {}
    assert_eq!((table.used(), table.metrics().dead), (0, 0));
    drop(table);
    domain.flush();
    assert_eq!(domain.unreclaimed(), 0);
}

/// ad946a704, 346d6c3ac. A removal says whether it removed, was refused, or found nothing; a refused one takes no
/// reference from anybody.
#[test]
fn a_removal_says_what_it_did() {
    let table = table(10, 60_000);
    let held = table.get_or_create(&key(1), START).unwrap();
    let other = held.clone();
    for _ in 0..3 {
        assert_eq!(table.remove(&key(1), START), Removed::Busy);
        assert_eq!(table.clear(START), (0, 1));
        assert_eq!((held.users(), held.is_alive(), table.used()), (1, true, 1));
    }
    drop((held, other));
    assert_eq!(table.remove_if(&key(1), START, |_| false), Removed::Missing);
    assert_eq!(table.get(&key(1), START).unwrap().users(), 0);
    assert_eq!(table.remove(&key(1), START), Removed::Removed);
    assert_eq!(table.remove(&key(1), START), Removed::Missing);
}

/// 0cee7b5b8, 21ae35dd2. An entry that dies while it is being queued, or was just queued, leaves nothing in the update
/// order.
#[test]
fn an_entry_that_dies_while_it_is_queued_leaves_no_place() {
    let table = table(100, 60_000);
    thread::scope(|scope| {
        let table = &table;
        let threads = [1_u64, 2, 3, 4].map(|thread| {
            scope.spawn(move || {
                let (mut random, mut cursor) = (Random(thread), 0);
                for step in 0..20_000 {
                    let number = random.below(4);
                    match (thread + step) % 3 {
                        0 => {
                            let _ = table.remove(&key(number), START);
                        }
                        // Raises the frontier, so that touches draw anew.
                        1 => cursor = table.begin_updates(cursor).unwrap_or(cursor),
                        _ => bump(table, number, START),
                    }
                }
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    let there = table.used();
    let upto = table.begin_updates(0).unwrap_or(0);
    let (mut at, mut told) = (0, 0);
    while let Some(taught) = table.next_update(at, upto) {
        (at, told) = (taught.seq, told + 1);
    }
    assert_eq!(told, there, "each that is there once");
    assert_eq!(table.clear(START), (there, 0));
    assert_eq!(table.begin_updates(0), None, "a place of a dead entry");
}

/// 8da6ed6b6. However small the slices of a sweep, each entry is either looked at or still filed.
#[test]
fn a_sweep_that_stops_anywhere_forgets_nothing() {
    for budget in 0..12 {
        let table = table(1_000, 1_000);
        for number in 0..100 {
            bump(&table, number, START + number % 10);
        }
        let now = START + 1_020;
        let (mut expired, mut calls) = (0, 0);
        loop {
            let done = table.expire(now, budget);
            assert!(done.visited <= budget && done.expired == done.visited);
            expired += done.expired;
            calls += 1;
            assert_eq!(table.used(), 100 - expired, "those that are left are counted");
            if budget == 0 {
                assert!(done.more, "there is more, and none was lost");
                break;
            }
            if !done.more {
                break;
            }
            assert!(calls <= 200);
        }
        if budget == 0 {
            while table.expire(now, 1).more {}
        }
        assert_eq!((table.used(), table.next_due()), (0, None), "budget {budget}");
    }
}

/// 324f0a60a. An entry in use that a sweep meets stays filed: touched and let go of, it expires at its new date.
#[test]
fn an_entry_in_use_that_a_sweep_meets_stays_filed() {
    let table = table(10, 1_000);
    let held = table.get_or_create(&key(1), START).unwrap();
    let done = table.expire(START + 1_008, 10);
    assert_eq!((done.visited, done.expired, done.more), (1, 0, false));
    held.touch(START + 1_500);
    drop(held);
    assert!(table.get(&key(1), START + 2_499).is_some(), "alive until then");
    let mut now = START;
    while let Some(due) = table.arm_expiry() {
        now = due;
        table.expire(now, 10);
    }
    assert_eq!(table.used(), 0);
    assert!((2_500..=2_516).contains(&now.since(START)), "{now:?}");
}

/// 993c09438. An entry in use that is over is filed under a date to come, not under its own: it is not met again and
/// again.
#[test]
fn an_entry_in_use_and_over_is_met_once_per_time_to_live() {
    let table = table(10, 1_000);
    let held = table.get_or_create(&key(1), START).unwrap();
    let mut met = 0;
    for step in 0..10_000 {
        let now = START + step;
        let done = table.expire(now, 100);
        assert!(!done.more, "at {step}");
        assert!(table.next_due().unwrap() > now);
        met += done.visited;
    }
    assert!((5..=10).contains(&met), "met {met} times in ten times the time to live");
    drop(held);
    assert_eq!(table.used(), 0);
}

/// 71199e394. What is refused leaves no reference behind.
#[test]
fn what_fails_keeps_no_reference() {
    let table = table(1, 1_000);
    bump(&table, 1, START);
    let users = || table.get(&key(1), START).unwrap().users();
    for _ in 0..10 {
        let entry = table.get(&key(1), START).unwrap();
        let not_stored = SetError::NotStored(DataType::Gpc1);
        assert_eq!(entry.set(DataType::Gpc1, 0, 1, START), Err(not_stored));
        assert!(entry.set(DataType::Gpc0, 1, 1, START).is_err());
        assert_eq!(entry.add(DataType::Gpc1, 0, 1, START), None);
        assert!(table.get_or_create(&key(2), START).is_err());
        assert!(table.track(&key(2), START).is_err());
        assert!(table.learn(&key(2), None, START).is_err());
        assert_eq!(table.remove(&key(1), START), Removed::Busy);
        drop(entry);
        assert_eq!(table.remove_if(&key(1), START, |_| false), Removed::Missing);
        assert_eq!(table.clear_if(START, |_| false), (0, 0));
        assert_eq!(users(), 0);
    }
    assert_eq!(table.expire(START + 1_008, 10).expired, 1);
}

/// 8d31784c0. A creation that fails, or that another thread was faster with, gives its place back.
#[test]
fn creations_that_fail_take_no_place() {
    let mut declaration = declare(16, 60_000);
    declaration.nopurge = true;
    let table = StickTable::with(declaration, Options::new().domain(Domain::with_batch(8)));
    let created: u32 = thread::scope(|scope| {
        let table = &table;
        let threads = [1_u64, 2, 3, 4].map(|thread| {
            scope.spawn(move || {
                let mut random = Random(thread);
                let mut created = 0;
                for _ in 0..10_000 {
                    let number = random.below(24);
                    created += u32::from(table.get_or_create(&key(number), START).is_ok());
                    assert!(table.used() <= 16);
                    let _ = table.remove(&key(random.below(24)), START);
                }
                created
            })
        });
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(created > 0);
    assert_eq!(table.entries(START).count(), table.used() as usize);
    table.clear(START);
    assert_eq!(table.used(), 0);
    for number in 0..16 {
        assert!(table.get_or_create(&key(number), START).is_ok(), "{number}: a place is lost");
    }
    assert!(table.get_or_create(&key(16), START).is_err());
}

/// dfe866fa9. Nothing to wait for is no date, not now.
#[test]
fn no_next_date_means_sleep() {
    let table = table(10, 1_000);
    let is_idle = |now| {
        let done = table.expire(now, 10);
        assert_eq!((done.visited, done.more), (0, false));
        assert_eq!((table.next_due(), table.arm_expiry()), (None, None));
    };
    is_idle(START);
    bump(&table, 1, START);
    assert!(table.next_due().is_some());
    assert_eq!(table.expire(START + 1_008, 10).expired, 1);
    is_idle(START + 1_008);
    let for_ever = self::table(10, 0);
    bump(&for_ever, 1, START);
    assert_eq!((for_ever.next_due(), for_ever.arm_expiry()), (None, None));
    assert_eq!(for_ever.expire(Tick(u64::MAX), 10), table::Expired::default());
}

/// bd4fff9a7. Threads that create one key at once all get the one entry that is in the table.
#[test]
fn who_loses_a_race_of_creation_gets_the_winner() {
    const KEYS: u32 = 3_000;
    // With a place for each thread that loses a race: where there is none, it purges before it knows that it lost.
    let table = table(KEYS + 4, 60_000);
    let start = Barrier::new(4);
    thread::scope(|scope| {
        let (table, start) = (&table, &start);
        let threads = [(); 4].map(|()| {
            scope.spawn(move || {
                for number in 0..KEYS {
                    if number % 64 == 0 {
                        start.wait();
                    }
                    bump(table, number, START);
                }
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert_eq!((table.used(), table.metrics().created), (KEYS, u64::from(KEYS)));
    for entry in table.entries(START) {
        assert_eq!(entry.read(DataType::Gpc0, 0, START), Some(4), "{:?}", entry.key());
    }
}

/// 8f06c8fda. A learned entry is filed under the time that is left to it, so the sweep takes it then.
#[test]
fn a_learned_entry_is_swept_at_its_own_date() {
    let table = table(10, 600_000);
    drop(table.learn(&key(1), Some(5_000), START).unwrap());
    let due = table.arm_expiry().unwrap();
    assert!((5_000..=5_000 + 2_048).contains(&due.since(START)), "{due:?}");
    assert_eq!(table.expire(due, 10).expired, 1);
    assert_eq!((table.used(), table.next_due()), (0, None));
}
