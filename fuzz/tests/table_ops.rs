//! A stick table against a model, step by step, with the time moved by hand.
#![cfg(not(loom))]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bolero::{TypeGenerator, check, produce};
use ebtree::Domain;
use fuzz::table::{
    Change, Entry, Jump, Model, Number, Operation, Sent, Shape, data_type, key, number,
};
use stktable::data::freq_ctr::LAG_MAX_MS;
use stktable::table::{
    EntryRef, Event, Learned, Options, Removed, SetError, StickTable, Tracker, Value, Wake, Walk,
};
use stktable::{DataType, Key, Storage, Tick};

#[test]
fn like_a_map_with_a_clock() {
    check!()
        .with_max_len(1 << 14)
        .with_generator((Shape::produce(), produce::<Vec<Operation>>().with().len(0..=250_usize)))
        .for_each(|(shape, operations)| run(shape, operations));
}

const DAY: u64 = 86_400_000;

#[derive(Clone, Default)]
struct Flags(Arc<[AtomicBool; 2]>);

impl Wake for Flags {
    fn expiry(&self) {
        self.0[0].store(true, Ordering::Relaxed);
    }

    fn updates(&self) {
        self.0[1].store(true, Ordering::Relaxed);
    }
}

impl Flags {
    fn take(&self, at: usize) -> bool {
        self.0[at].swap(false, Ordering::Relaxed)
    }
}

/// What is held across steps.
enum Held<'t> {
    Entry(EntryRef<'t>),
    Tracker(Tracker<'t>),
}

impl<'t> Held<'t> {
    fn entry(&self) -> &EntryRef<'t> {
        match self {
            Self::Entry(entry) => entry,
            Self::Tracker(tracker) => tracker,
        }
    }
}

/// A session with a peer.
#[derive(Default)]
struct Session {
    cursor: u64,
    /// How far it reads now, and where it is.
    reading: Option<(u64, u64)>,
    /// By instance: the step at which it was told last, and the sequence.
    told: BTreeMap<u64, (u64, u64)>,
}

struct Run<'t> {
    table: &'t StickTable,
    domain: Domain,
    flags: Flags,
    model: Model,
    step: u64,
    held: Vec<(u8, Held<'t>)>,
    sessions: [Session; 3],
    walk: Option<(Walk, BTreeSet<u64>, BTreeSet<u64>)>,
    /// Until when the driver sleeps, while it does.
    asleep: Option<u64>,
    /// Up to where the sleeping sessions have read.
    updates_asleep: Option<u64>,
    /// Entries that were removed by request.
    removed: u64,
    last_update: u64,
    /// The most dead entries that the stacks have held.
    died_max: u32,
}

fn run(shape: &Shape, operations: &[Operation]) {
    let domain = Domain::with_batch(4);
    let flags = Flags::default();
    let options =
        Options::new().domain(domain.clone()).wake(flags.clone()).last_update(shape.last_update());
    let table = StickTable::with(shape.declaration(), options);
    let session = || Session { cursor: shape.last_update(), ..Session::default() };
    let mut run = Run {
        table: &table,
        domain: domain.clone(),
        flags,
        model: Model::new(shape.declaration(), shape.start()),
        step: 0,
        held: Vec::new(),
        sessions: [session(), session(), session()],
        walk: None,
        asleep: None,
        updates_asleep: None,
        removed: 0,
        last_update: shape.last_update(),
        died_max: 0,
    };
    for operation in operations {
        run.step += 1;
        run.operation(*operation);
        run.invariants();
    }
    run.finish();
    drop(run);
    drop(table);
    domain.flush();
    assert_eq!(domain.unreclaimed(), 0, "all memory is given back");
}

impl<'t> Run<'t> {
    fn now(&self) -> Tick {
        Tick(self.model.now)
    }

    fn key(&self, picked: u8, form: u8) -> (u8, Key) {
        let number = number(picked);
        (number, key(self.model.declaration.key, number, form))
    }

    fn operation(&mut self, operation: Operation) {
        let now = self.now();
        match operation {
            Operation::Get { key, form, lag } => self.get(key, form, lag),
            Operation::HoldFound { key, form } => {
                let (number, key) = self.key(key, form);
                let found = self.table.get(&key, now);
                let there = self.model.look(number);
                assert_eq!(found.is_some(), there.is_some(), "get {number}");
                if let Some(found) = found {
                    self.hold(number, Held::Entry(found));
                }
            }
            Operation::Hold { key, form } => {
                if let Some((number, entry)) = self.create(key, form) {
                    self.hold(number, Held::Entry(entry));
                }
            }
            Operation::Change { key, form, change, touch } => {
                if let Some((number, entry)) = self.create(key, form) {
                    self.change(number, &entry, change);
                    if touch {
                        entry.touch(now);
                        self.touched(number, now.0);
                    }
                    self.check(number, &entry);
                }
            }
            Operation::ChangeHeld { at, change, touch } => {
                let Some(at) = usize::from(at).checked_rem(self.held.len()) else { return };
                let (number, held) = self.held.swap_remove(at);
                self.change(number, held.entry(), change);
                if touch {
                    held.entry().touch(now);
                    self.touched(number, now.0);
                }
                self.held.push((number, held));
            }
            Operation::Track { key, form } => self.track(key, form),
            Operation::Release { at } => {
                if let Some(at) = usize::from(at).checked_rem(self.held.len()) {
                    let (number, held) = self.held.swap_remove(at);
                    self.release(number, held);
                }
            }
            Operation::CloneHeld { at } => {
                if let Some(at) = usize::from(at).checked_rem(self.held.len()) {
                    let (number, held) = &self.held[at];
                    let (number, again) = (*number, held.entry().clone());
                    self.hold(number, Held::Entry(again));
                }
            }
            Operation::Remove { key, form } => self.remove(key, form, true),
            Operation::RemoveIf { key, yes } => self.remove(key, 0, yes),
            Operation::Clear => self.clear(u32::MAX),
            Operation::ClearIf { mask } => self.clear(mask),
            Operation::Learn { key, form, expire_ms, short, sent, hold } => {
                // A date that a peer brings forward is looked at when the old one comes. In 32 bits the two can be
                // told apart where the delay is not much above 24 days.
                let may_shorten = self.model.delay() <= 24 * DAY;
                let expire_ms = expire_ms.filter(|_| may_shorten);
                let expire_ms = expire_ms.map(|ms| if short { ms % 5_000 } else { ms });
                self.learn(key, form, expire_ms, &sent, hold);
            }
            Operation::Expire { budget } => {
                let done = self.table.expire(now, u32::from(budget));
                assert!(done.visited <= u32::from(budget) && done.expired <= done.visited);
                self.model.clock = now.0;
                self.model.refile();
                if !done.more {
                    self.model.swept();
                }
                let due = self.table.next_due().is_some_and(|due| due <= now);
                assert_eq!(done.more, due && self.model.delay() != 0);
            }
            Operation::ExpireAll => self.expire_all(),
            Operation::Advance(jump) => self.advance(jump),
            Operation::Arm => self.arm(),
            Operation::Begin { session } => self.begin(session),
            Operation::Next { session, hold } => {
                self.next(session, hold);
            }
            Operation::Drain { session } => self.drain(session),
            Operation::Rewind { session } => {
                let session = &mut self.sessions[usize::from(session % 3)];
                session.reading = None;
                session.cursor = self.last_update.max(session.cursor.saturating_sub(3));
                let cursor = session.cursor;
                session.told.retain(|_, (_, seq)| *seq <= cursor);
            }
            Operation::Lesson { session } => self.lesson(session),
            Operation::WalkOn { steps } => self.walk_on(steps),
            Operation::Churn { key, times } => {
                let (number, key) = self.key(key, 0);
                if self.model.entries.contains_key(&number) {
                    return;
                }
                let used = self.table.used();
                // Now and then so many that the dead are swept.
                let times = u32::from(times);
                for _ in 0..if times < 224 { times / 8 } else { times * 8 } {
                    if used >= self.model.declaration.size {
                        break;
                    }
                    self.model.clock = now.0;
                    drop(self.table.get_or_create(&key, now).expect("there is room"));
                    assert_eq!(self.table.remove(&key, now), Removed::Removed);
                    self.removed += 1;
                }
            }
            Operation::CheckAll => self.check_all(),
        }
    }

    // Looking.

    fn get(&mut self, picked: u8, form: u8, lag: u8) {
        let (number, key) = self.key(picked, form);
        let lagging = Tick(self.model.now.saturating_sub(u64::from(lag) * 20));
        let found = self.table.get(&key, lagging);
        self.model.clock = self.model.clock.max(lagging.0);
        let there = self.model.entries.get(&number);
        let sure = |entry: &&Entry| !self.model.is_absent(entry);
        let perhaps = |entry: &&Entry| entry.holders != 0 || !self.model.is_over(entry, lagging.0);
        match &found {
            Some(_) => assert!(there.filter(perhaps).is_some(), "{number} should be absent"),
            None => assert!(there.filter(sure).is_none(), "{number} should be there: {there:?}"),
        }
        match found {
            Some(entry) => {
                self.check(number, &entry);
                self.let_go(entry);
            }
            None => drop(self.model.entries.remove(&number)),
        }
    }

    /// Lets go of an entry that the model did not count.
    fn let_go(&self, entry: EntryRef<'t>) {
        drop(entry);
    }

    fn hold(&mut self, number: u8, held: Held<'t>) {
        if let Some(entry) = self.model.entries.get_mut(&number) {
            entry.holders += 1;
        } else {
            panic!("{number} is held, and not there");
        }
        self.held.push((number, held));
    }

    fn release(&mut self, number: u8, held: Held<'t>) {
        let was_tracker = matches!(held, Held::Tracker(_));
        drop(held);
        if was_tracker {
            let clock = self.model.clock;
            if let Some(entry) = self.model.entries.get_mut(&number)
                && let Some(Number::Narrow(open)) = entry.numbers.get_mut(&(DataType::ConnCur, 0))
            {
                *open = open.saturating_sub(1);
            }
            self.touched(number, clock);
        }
        if let Some(entry) = self.model.entries.get_mut(&number) {
            entry.holders -= 1;
        }
        self.reap_at_clock(number);
    }

    /// Whoever lets go last takes what is over, as far as the table knows the time.
    fn reap_at_clock(&mut self, number: u8) {
        let over =
            self.model.entries.get(&number).is_some_and(|entry| {
                entry.holders == 0 && self.model.is_over(entry, self.model.clock)
            });
        if over {
            self.model.entries.remove(&number);
        }
    }

    fn touched(&mut self, number: u8, now: u64) {
        let step = self.step;
        self.model.touch(number, now, step);
    }

    /// Creates the entry of a key, or finds it.
    fn create(&mut self, picked: u8, form: u8) -> Option<(u8, EntryRef<'t>)> {
        let (number, key) = self.key(picked, form);
        let now = self.now();
        let before = Before::of(self, number);
        let there = self.model.look(number).is_some();
        let result = self.table.get_or_create(&key, now);
        let is_ok = result.is_ok();
        if !there {
            let date = self.model.now + self.model.delay();
            self.created(number, date, is_ok, &before);
        } else {
            assert!(is_ok, "{number} is there");
        }
        if let Ok(entry) = &result {
            assert_eq!(entry.key(), key);
            self.check(number, entry);
        }
        Some((number, result.ok()?))
    }

    /// Judges what a creation did to the others. The new entry is held.
    fn created(&mut self, number: u8, date: u64, is_ok: bool, before: &Before) {
        let size = self.model.declaration.size;
        let after = self.table.metrics();
        let purged = after.purged - before.purged;
        assert!(purged <= 1, "one place is enough");
        if before.used < size {
            assert!(is_ok, "there was room");
            assert_eq!(purged, 0, "there was room");
        } else {
            self.model.refile();
            if self.model.declaration.nopurge {
                assert_eq!(purged, 0, "nopurge");
                let due = |entry: &&Entry| {
                    self.model.is_absent(entry) && self.model.due(entry.filed_max) <= self.model.now
                };
                let zombies = before.used > self.model.used().0;
                let all_due = self
                    .model
                    .entries
                    .values()
                    .filter(|e| self.model.is_absent(e))
                    .all(|entry| due(&entry));
                if !is_ok && zombies && !before.own && before.dead < 200 {
                    assert!(!all_due, "what is over makes room");
                }
            } else {
                let unheld = self.model.entries.values().any(|entry| entry.holders == 0);
                let certainly =
                    self.model.entries.values().any(|e| e.holders == 0 && !self.model.is_absent(e));
                assert!(unheld || before.own || !is_ok, "all were held");
                assert!(is_ok || !certainly, "somebody could go: {:?}", after);
                if !before.own {
                    let expired = after.expired - before.expired;
                    assert_eq!(u64::from(is_ok), purged + expired, "one goes, who is over first");
                }
            }
        }
        if purged != 0 {
            self.victim(before);
        }
        if is_ok {
            self.model.create(number, date);
        }
    }

    /// Finds out who was purged, and whether rightly.
    fn victim(&mut self, before: &Before) {
        let now = self.now();
        let (certain, possible) = self.model.used();
        let alive: Vec<u8> = self
            .model
            .entries
            .iter()
            .filter(|(_, entry)| !self.model.is_absent(entry))
            .map(|(number, _)| *number)
            .collect();
        let missing: Vec<u8> = alive
            .into_iter()
            .filter(|number| self.table.get(&self.key(*number, 0).1, now).is_none())
            .collect();
        assert!(missing.len() <= 1, "one is enough: {missing:?}");
        // The entries of one coarse tick are compared up to a number of them, dead ones included.
        // Those that a forced sweep has looked at are looked at again after the others of the tick.
        let is_exact = before.dead < 3000
            && self.model.entries.values().all(|entry| {
                // What was not touched for 49 days is not told from what was touched just now.
                entry.filed_max <= entry.date && now.0 < entry.date + 49 * DAY
            });
        let was_swept = self.died_max > 1000;
        let Some(victim) = missing.first() else {
            assert!(possible > certain, "nobody was purged");
            return;
        };
        let gone = self.model.entries.remove(victim).expect("it was there");
        assert_eq!(gone.holders, 0, "a held entry is never purged");
        if is_exact {
            assert_eq!(before.used, certain, "what is over goes first");
            for (number, entry) in &self.model.entries {
                assert!(
                    entry.holders != 0
                        || self.model.is_absent(entry)
                        || entry.date >= gone.date
                        || was_swept && self.model.due(entry.date) >= self.model.due(gone.date),
                    "{number} is older ({}) than {victim} ({}) at {}",
                    entry.date,
                    gone.date,
                    self.model.now
                );
            }
        }
    }

    // Changing.

    fn change(&mut self, number: u8, entry: &EntryRef<'t>, change: Change) {
        let now = self.now();
        self.settle_rates(number);
        match change {
            Change::Count { event: at, element, n } => {
                let event = event(at, element);
                entry.count(event, n.into(), now);
                self.model.count(number, event, n.into());
            }
            Change::CountMany { event: at, n } => {
                let event = event(at, 0);
                entry.count(event, n, now);
                self.model.count(number, event, n);
            }
            Change::Set { data_type: at, element, value } => {
                let (data_type, element) = (data_type(at), u32::from(element % 110));
                let done = entry.set(data_type, element, value, now);
                let stored = self.model.set(number, data_type, element, value);
                assert_eq!(done.is_ok(), stored, "set {data_type} {element}");
                if let Err(SetError::OutOfRange { elements, .. }) = done {
                    assert!(element >= elements);
                }
            }
            Change::Add { data_type: at, element, n } => {
                let (data_type, element) = (data_type(at), u32::from(element % 110));
                let sum = entry.add(data_type, element, n, now);
                assert_eq!(sum.is_some(), self.model.add(number, data_type, element, n));
                let there = &self.model.entries[&number].numbers;
                match (sum, there.get(&(data_type, element))) {
                    (Some(sum), Some(Number::Narrow(value))) => assert_eq!(sum, u64::from(*value)),
                    (Some(sum), Some(Number::Wide(value))) => assert_eq!(sum, *value),
                    (Some(_), Some(Number::Rate(rate))) if rate.is_ambiguous(now.0) => {}
                    (Some(sum), Some(Number::Rate(rate))) => {
                        assert_eq!(sum, u64::from(rate.current))
                    }
                    (None, None) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    /// Gives up the rates that were left alone for so long that 32 bits do not tell how long.
    fn settle_rates(&mut self, number: u8) {
        let now = self.model.now;
        let Some(there) = self.model.entries.get_mut(&number) else { return };
        for number in there.numbers.values_mut() {
            if let Number::Rate(rate) = number
                && rate.is_ambiguous(now)
            {
                rate.lose();
            }
        }
    }

    fn track(&mut self, picked: u8, form: u8) {
        let (number, key) = self.key(picked, form);
        let now = self.now();
        let before = Before::of(self, number);
        let there = self.model.look(number).is_some();
        self.settle_rates(number);
        let result = self.table.track(&key, now);
        if !there {
            let date = self.model.now + self.model.delay();
            self.created(number, date, result.is_ok(), &before);
        }
        let Ok(tracker) = result else {
            assert!(!there, "{number} is there");
            return;
        };
        self.model.count(number, Event::Connection, 1);
        self.model.add(number, DataType::ConnCur, 0, 1);
        self.touched(number, now.0);
        self.check(number, &tracker);
        self.hold(number, Held::Tracker(tracker));
    }

    fn learn(&mut self, picked: u8, form: u8, expire_ms: Option<u32>, sent: &[Sent], hold: bool) {
        let (number, key) = self.key(picked, form);
        let now = self.now();
        let delay = self.model.delay();
        let left = expire_ms.map_or(delay, |left| delay.min(left.into()));
        let before = Before::of(self, number);
        let is_there = self.model.look(number).is_some();
        let learned = self.table.learn(&key, expire_ms, now);
        if !is_there && delay != 0 && left == 0 {
            assert!(matches!(learned, Ok(Learned::Over)), "it was over when it came");
            return;
        }
        let date = now.0 + left;
        if is_there {
            let there = self.model.look(number).expect("just seen");
            there.date = date;
            there.filed_max = there.filed_max.max(date);
        } else {
            self.created(number, date, learned.is_ok(), &before);
        }
        let Ok(learned) = learned else {
            assert!(!is_there, "an entry that is there is found first");
            return;
        };
        let Learned::Entry(learning) = learned else { panic!("{left} ms were left") };
        assert_eq!(learning.is_new(), !is_there);
        self.settle_rates(number);
        for Sent { data_type: at, element, a, b, c } in sent {
            // Half of the types that come are stored here.
            let stored: Vec<_> = self.table.columns().collect();
            let data_type = match fuzz::pick(&stored, at >> 1) {
                Some(column) if at % 2 == 0 => column.data_type,
                _ => data_type(at >> 1),
            };
            let element = u32::from(element % 4);
            let value = match data_type.storage() {
                Storage::Sint => Value::Sint(a.cast_signed()),
                Storage::Uint => Value::Uint(*a),
                Storage::Ull => Value::Ull(u64::from(*a) << (b % 33)),
                Storage::Rate => {
                    Value::Rate { age_ms: *a, current: (*b).into(), previous: (*c).into() }
                }
                Storage::Dict => continue,
            };
            learning.store(data_type, element, value);
            self.model.store(number, data_type, element, value);
        }
        self.check(number, learning.entry());
        if hold {
            let entry = learning.entry().clone();
            self.hold(number, Held::Entry(entry));
        }
        drop(learning);
        self.reap_at_clock(number);
    }

    fn remove(&mut self, picked: u8, form: u8, yes: bool) {
        let (number, key) = self.key(picked, form);
        let done = self.table.remove_if(&key, self.now(), |_| yes);
        let expected = match self.model.look(number) {
            None => Removed::Missing,
            Some(_) if !yes => Removed::Missing,
            Some(entry) if entry.holders != 0 => Removed::Busy,
            Some(_) => Removed::Removed,
        };
        assert_eq!(done, expected, "remove {number}");
        if done == Removed::Removed {
            self.model.entries.remove(&number);
            self.removed += 1;
        }
    }

    fn clear(&mut self, mask: u32) {
        let now = self.now();
        let spec = self.model.declaration.key;
        let numbers: BTreeMap<Vec<u8>, u8> =
            (0..24).map(|number| (key(spec, number, 0).as_bytes().to_vec(), number)).collect();
        let chosen = |number: u8| mask & 1 << number != 0;
        let (removed, busy) =
            self.table.clear_if(now, |entry| chosen(numbers[entry.key().as_bytes()]));
        self.model.clock = now.0;
        let (mut gone, mut stay) = (0, 0);
        for number in 0..24 {
            if let Some(entry) = self.model.look(number)
                && chosen(number)
            {
                if entry.holders == 0 {
                    gone += 1;
                    self.model.entries.remove(&number);
                } else {
                    stay += 1;
                }
            }
        }
        assert_eq!((removed, busy), (gone, stay), "clear");
        self.removed += u64::from(removed);
        assert_eq!(self.table.used(), self.model.used().1, "a walk takes what is over");
    }

    // Time.

    fn expire_all(&mut self) {
        let now = self.now();
        let mut turns = 0;
        while self.table.expire(now, 7).more {
            turns += 1;
            assert!(turns < 10_000, "expiry does not end");
        }
        self.model.clock = now.0;
        self.model.swept();
    }

    fn advance(&mut self, jump: Jump) {
        let now = self.model.now;
        let to = match jump {
            Jump::Milliseconds(ms) => now + u64::from(ms),
            Jump::More(more) => now + u64::from(more) * 10,
            Jump::Minutes(minutes) => now + u64::from(minutes) * 60_000,
            Jump::Days(days) => now + u64::from(days % 25) * DAY,
            Jump::ToDate(at, side) => {
                let dates: Vec<u64> = self.model.entries.values().map(|entry| entry.date).collect();
                let date = fuzz::pick(&dates, at).copied().unwrap_or(now);
                (date + u64::from(side % 3)).saturating_sub(1)
            }
            Jump::ToWrap => now | 0xffff_fff0,
        };
        let to = to.max(now);
        // The driver is late by a day, but not for ever.
        while let Some(due) = self.table.next_due()
            && due.0 + DAY < to
        {
            self.model.now = self.model.now.max(due.0 + DAY);
            self.expire_all();
        }
        self.model.now = to;
    }

    fn arm(&mut self) {
        self.flags.take(0);
        let due = self.table.arm_expiry();
        assert_eq!(due, self.table.next_due());
        self.asleep = Some(due.map_or(u64::MAX, |due| due.0));
        self.flags.take(1);
        self.table.arm_updates();
        self.updates_asleep = Some(self.table.last_update());
    }

    // Sessions.

    fn begin(&mut self, session: u8) {
        let session = &mut self.sessions[usize::from(session % 3)];
        if session.reading.is_none() {
            let upto = self.table.begin_updates(session.cursor);
            session.reading = upto.map(|upto| {
                assert!(upto > session.cursor);
                (session.cursor, upto)
            });
        }
    }

    /// Reads one update; whether there was one.
    fn next(&mut self, session: u8, hold: bool) -> bool {
        let session = usize::from(session % 3);
        let Some((at, upto)) = self.sessions[session].reading else { return false };
        let Some(taught) = self.table.next_update(at, upto) else {
            self.sessions[session].reading = None;
            self.sessions[session].cursor = upto;
            return false;
        };
        assert!(taught.seq > at && taught.seq <= upto);
        self.sessions[session].reading = Some((taught.seq, upto));
        let number = self.number_of(&taught.entry);
        let there = &self.model.entries[&number];
        let touched = there.touched.expect("what was only learned is told to nobody");
        assert_eq!(taught.entry.update_seq(), taught.seq);
        let before = self.sessions[session].told.insert(there.instance, (self.step, taught.seq));
        if let Some((step, _)) = before {
            assert!(
                touched >= step,
                "{number} is told again at {}, unchanged since {step}",
                self.step
            );
        }
        self.check(number, &taught.entry);
        let entry = taught.entry;
        self.hold(number, Held::Entry(entry));
        if !hold {
            let (number, held) = self.held.pop().expect("just held");
            self.release(number, held);
        }
        true
    }

    fn drain(&mut self, session: u8) {
        loop {
            self.begin(session);
            if self.sessions[usize::from(session % 3)].reading.is_none() {
                break;
            }
            while self.next(session, false) {}
        }
        let told = &self.sessions[usize::from(session % 3)].told;
        for (number, entry) in &self.model.entries {
            let Some(touched) = entry.touched else { continue };
            // What is over may have been taken.
            if self.model.is_absent(entry) {
                continue;
            }
            let known = told.get(&entry.instance);
            assert!(
                known.is_some_and(|(step, _)| *step >= touched),
                "{number} was changed at {touched}, and is known as {known:?}"
            );
        }
    }

    fn lesson(&mut self, session: u8) {
        let at = usize::from(session % 3);
        let upto = self.table.begin_updates(0).unwrap_or_else(|| self.table.last_update());
        let mut told = BTreeMap::new();
        let entries: Vec<_> = self.table.entries(self.now()).collect();
        self.model.clock = self.model.now;
        for entry in &entries {
            let number = self.number_of(entry);
            self.check(number, entry);
            told.insert(self.model.entries[&number].instance, (self.step, entry.update_seq()));
        }
        drop(entries);
        self.sessions[at] = Session { cursor: upto, reading: None, told };
        for number in 0..24 {
            self.model.look(number);
        }
    }

    fn number_of(&self, entry: &EntryRef<'_>) -> u8 {
        let spec = self.model.declaration.key;
        (0..24)
            .find(|number| key(spec, *number, 0) == entry.key())
            .expect("one of the keys of this run")
    }

    fn walk_on(&mut self, steps: u8) {
        let now = self.now();
        let model = &self.model;
        let alive = || {
            let there = model.entries.values().filter(|entry| !model.is_absent(entry));
            there.map(|entry| entry.instance).collect::<BTreeSet<_>>()
        };
        let (mut walk, mut due, mut seen) =
            self.walk.take().unwrap_or_else(|| (Walk::new(), alive(), BTreeSet::new()));
        due.retain(|instance| alive().contains(instance));
        for _ in 0..=steps % 8 {
            let Some(entry) = walk.next(self.table, now) else {
                assert!(
                    due.is_subset(&seen),
                    "{due:?} were there all the time, {seen:?} were seen"
                );
                return;
            };
            let number = self.number_of(&entry);
            let there = self.model.look_without_time(number).expect("alive");
            assert!(seen.insert(there.instance), "{number} is walked over twice");
            self.check(number, &entry);
        }
        self.walk = Some((walk, due, seen));
    }

    // Checks.

    /// Compares an entry that is held with the model's.
    fn check(&mut self, number: u8, entry: &EntryRef<'_>) {
        let now = self.now();
        let there = self.model.entries.get(&number).expect("what is held is there");
        assert!(entry.is_alive());
        assert_eq!(entry.key(), key(self.model.declaration.key, number, 0));
        let left = if self.model.delay() == 0 { 0 } else { there.date.saturating_sub(now.0) };
        assert_eq!(u64::from(entry.expires_in(now)), left, "time left of {number}");
        assert_eq!(entry.update_seq() != 0, there.touched.is_some(), "queued when touched");
        for ((data_type, element), expected) in &there.numbers {
            let found = entry.read(*data_type, *element, now);
            match expected {
                Number::Narrow(value) if data_type.storage() == Storage::Sint => {
                    assert_eq!(found, Some(value.cast_signed().into()), "{data_type} {element}");
                }
                Number::Narrow(value) => {
                    assert_eq!(found, Some((*value).into()), "{data_type} {element}");
                }
                Number::Wide(value) => {
                    assert_eq!(found, Some(value.cast_signed()), "{data_type} {element}");
                }
                Number::Rate(rate) if !rate.is_ambiguous(now.0) => {
                    let period_ms = self.model.period(*data_type);
                    let value = rate.read(now.0, period_ms);
                    assert_eq!(found, Some(value.into()), "{data_type} {element}: {rate:?}");
                    let Some(Value::Rate { age_ms, current, previous }) =
                        entry.value(*data_type, *element, now)
                    else {
                        panic!("a rate")
                    };
                    assert_eq!((current, previous), (rate.current, rate.previous), "{data_type}");
                    assert!(age_ms <= u32::MAX - LAG_MAX_MS);
                }
                Number::Rate(_) => {}
            }
        }
    }

    fn check_all(&mut self) {
        let now = self.now();
        for number in 0..24 {
            let found = self.table.get(&self.key(number, 0).1, now);
            let there = self.model.look(number).is_some();
            assert_eq!(found.is_some(), there, "{number} at {now:?}");
            if let Some(entry) = found {
                self.check(number, &entry);
            }
        }
        let mut walked = BTreeSet::new();
        for entry in self.table.entries(now) {
            assert!(walked.insert(self.number_of(&entry)), "a key twice");
        }
        assert!(walked.iter().eq(self.model.entries.keys()));
        assert_eq!(usize::try_from(self.table.used()), Ok(walked.len()));
    }

    fn invariants(&mut self) {
        let (certain, possible) = self.model.used();
        let metrics = self.table.metrics();
        self.died_max = self.died_max.max(metrics.dead);
        let used = metrics.used;
        assert!(
            used >= certain && used <= possible,
            "{used} used, {certain} to {possible} expected"
        );
        assert!(used <= metrics.size);
        let gone = metrics.expired + metrics.purged + self.removed;
        assert_eq!(metrics.created, u64::from(used) + gone, "every entry ends once: {metrics:?}");
        assert!(metrics.dead <= 1024 + 256, "dead entries are swept: {metrics:?}");
        assert!(self.domain.unreclaimed() < 1000, "retired objects are freed");
        for at in 0..self.held.len() {
            let number = self.held[at].0;
            let entry = self.held[at].1.entry().clone();
            assert!(entry.is_alive(), "{number} is held");
            assert_eq!(entry.users(), self.model.entries[&number].holders, "holders of {number}");
            if at as u64 == self.step % self.held.len() as u64 {
                self.check(number, &entry);
            }
        }
        let due = self.table.next_due();
        if self.model.delay() == 0 {
            assert_eq!(due, None, "nothing expires");
        } else {
            for entry in self.model.entries.values().filter(|entry| !self.model.is_absent(entry)) {
                let latest = self.model.due(entry.filed_max);
                assert!(
                    due.is_some_and(|due| due.0 <= latest),
                    "{due:?} is late for {latest}: {entry:?}"
                );
            }
        }
        if self.flags.take(0) {
            self.asleep = None;
        }
        if let Some(until) = self.asleep {
            let due = due.map_or(u64::MAX, |due| due.0);
            assert!(due >= until, "due at {due}, asleep until {until}");
        }
        if self.flags.take(1) {
            self.updates_asleep = None;
        }
        if let Some(read) = self.updates_asleep {
            assert!(self.table.last_update() <= read, "news, and nobody was woken");
        }
    }

    fn finish(&mut self) {
        self.step += 1;
        self.check_all();
        for session in 0..3 {
            self.drain(session);
        }
        while let Some((number, held)) = self.held.pop() {
            self.release(number, held);
        }
        self.check_all();
        self.invariants();
        for session in 0..3 {
            self.step += 1;
            self.drain(session);
            self.lesson(session);
            self.drain(session);
        }
        // In the end everything expires, or is cleared.
        if self.model.delay() == 0 {
            self.clear(u32::MAX);
        } else {
            let latest = self.model.entries.values().map(|entry| entry.filed_max).max();
            let end = self.model.due(latest.unwrap_or(0)).max(self.model.now);
            while self.model.now < end {
                self.model.now = end.min(self.model.now + 20 * DAY);
                self.expire_all();
                self.invariants();
            }
        }
        assert_eq!(self.table.used(), 0);
        assert_eq!(self.table.begin_updates(0), None, "the dead are told to nobody");
    }
}

/// What the table said before a creation.
struct Before {
    used: u32,
    purged: u64,
    expired: u64,
    dead: u32,
    /// An entry of the key may be there that is over: its place is free.
    own: bool,
}

impl Before {
    fn of(run: &Run<'_>, number: u8) -> Self {
        let metrics = run.table.metrics();
        let own = run.model.entries.get(&number).is_some_and(|entry| run.model.is_absent(entry));
        Self {
            used: metrics.used,
            purged: metrics.purged,
            expired: metrics.expired,
            dead: metrics.dead,
            own,
        }
    }
}

fn event(at: u8, element: u8) -> Event {
    const EVENTS: [Event; 10] = [
        Event::Session,
        Event::HttpRequest,
        Event::HttpError,
        Event::HttpFailure,
        Event::BytesIn,
        Event::BytesOut,
        Event::Gpc0,
        Event::Gpc1,
        Event::Glitch,
        Event::Connection,
    ];
    EVENTS.get(usize::from(at % 12)).copied().unwrap_or(Event::Gpc(u32::from(element % 6)))
}
