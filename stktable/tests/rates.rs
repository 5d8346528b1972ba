//! Rates read as the worked tables say, as a plain model says, and count every event.
#![cfg(not(loom))]

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bolero::TypeGenerator;
use stktable::Tick;
use stktable::data::freq_ctr::{FreqCtr, FreqSnapshot, LAG_MAX_MS};
use stktable::tick::DELAY_MAX_MS;

/// Where the tests of the wrap start their clock.
const BEFORE_WRAP: Tick = Tick((1 << 32) - 20_000);

#[test]
fn the_worked_table_holds_in_every_column() {
    // now, events, start, current, previous, total, read, remaining, delay with 1 pending, overshoot
    let table = [
        (100_001, Some(10), 100_000, 10, 0, 10_000, 10, 40, 0, 10),
        (100_500, Some(30), 100_000, 40, 0, 40_000, 40, 10, 0, 15),
        (100_999, None, 100_000, 40, 0, 40_000, 40, 10, 0, 0),
        (101_000, None, 100_000, 40, 0, 40_000, 40, 10, 0, 0),
        (101_001, Some(20), 101_000, 20, 40, 59_960, 59, 0, 219, 20),
        (101_250, None, 101_000, 20, 40, 50_000, 50, 0, 20, 8),
        (101_500, Some(5), 101_000, 25, 40, 45_000, 45, 5, 0, 0),
        (102_000, None, 101_000, 25, 40, 25_000, 25, 25, 0, 0),
        (102_500, None, 101_000, 25, 40, 12_500, 12, 38, 0, 0),
        (102_999, None, 101_000, 25, 40, 25, 0, 50, 0, 0),
        (103_000, None, 101_000, 25, 40, 0, 0, 50, 0, 0),
        (103_200, Some(1), 103_200, 1, 0, 1000, 1, 49, 0, 1),
        (104_199, None, 103_200, 1, 0, 1000, 1, 49, 0, 0),
        (105_200, None, 103_200, 1, 0, 1000, 1, 50, 0, 0),
        (105_201, None, 103_200, 1, 0, 0, 0, 50, 0, 0),
    ];
    let counter = FreqCtr::new();
    for (now, events, start, current, previous, total, read, remaining, delay, overshoot) in table {
        let now = Tick(now);
        if let Some(n) = events {
            assert_eq!(counter.add(now, 1000, n), current, "at {now:?}");
        }
        let state = counter.snapshot(1000);
        assert_eq!(state, FreqSnapshot { start, current, previous }, "at {now:?}");
        assert_eq!(state.total(now, 1000), total, "total at {now:?}");
        assert_eq!(counter.read(now, 1000), read, "read at {now:?}");
        assert_eq!(state.remaining_events(now, 1000, 50, 0), remaining, "remaining at {now:?}");
        assert_eq!(state.next_delay(now, 1000, 50, 1), delay, "delay at {now:?}");
        assert_eq!(state.overshoot(now, 1000, 50), overshoot, "overshoot at {now:?}");
    }
}

#[test]
fn the_worked_table_of_the_wrap_holds() {
    let wrap = 1 << 32;
    let counter = FreqCtr::new();
    counter.set_from_peer(Tick(wrap - 400), 0, 8, 4, 1000);
    let table = [
        (wrap - 100, 10_800, 10),
        (wrap, 10_400, 10),
        (wrap + 100, 10_000, 10),
        (wrap + 599, 8004, 8),
        (wrap + 600, 8000, 8),
        (wrap + 601, 7992, 7),
    ];
    for (now, total, read) in table {
        let state = counter.snapshot(1000);
        assert_eq!(state, FreqSnapshot { start: 0u32.wrapping_sub(400), current: 8, previous: 4 });
        assert_eq!(state.total(Tick(now), 1000), total, "total at {now}");
        assert_eq!(counter.read(Tick(now), 1000), read, "read at {now}");
    }
    let now = Tick(wrap + 700);
    counter.add(now, 1000, 3);
    assert_eq!(counter.snapshot(1000), FreqSnapshot { start: 600, current: 3, previous: 8 });
    assert_eq!(counter.read(now, 1000), 10);
}

#[test]
fn a_value_set_stays_for_a_period_and_fades_over_the_next() {
    // At a step after the period in use, too: that must not become the previous one.
    for (start, used) in [(100_000, 95_000), (100_001, 90_000), (BEFORE_WRAP.0 + 15_000, 1)] {
        let counter = FreqCtr::new();
        counter.add(Tick(used), 10_000, 77);
        counter.set(Tick(start), 100);
        let start = start & !1;
        for (after, read) in [
            (0, 100),
            (5000, 100),
            (10_000, 100),
            (10_001, 99),
            (15_000, 50),
            (19_998, 0),
            (19_999, 0),
            (20_000, 0),
            (40_000, 0),
        ] {
            assert_eq!(counter.read(Tick(start + after), 10_000), read, "after {after} ms");
        }
    }
}

#[test]
fn a_rate_survives_the_wire() {
    for period in [1000, 999, 2, 3] {
        let ours = FreqCtr::new();
        for turn in 0..30 {
            let now = Tick(BEFORE_WRAP.0 + 19_000 + turn * u64::from(period) / 3);
            ours.add(now, period, 7);
            let sent = ours.snapshot(period);
            // The receiver's clock has another origin. If it is odd where ours is even, the start is
            // masked to 1 ms earlier.
            for origin in [0, 1, 5_000_000, 5_000_001, 1 << 31, 1 << 40] {
                let there = |now: Tick| Tick(now.0 + origin);
                let theirs = FreqCtr::new();
                let (current, previous) = (sent.current, sent.previous);
                theirs.set_from_peer(there(now), sent.age(now), current, previous, period);
                assert_eq!(theirs.snapshot(period).current, current);
                assert_eq!(theirs.snapshot(period).previous, previous, "readable at once");
                for later in [0, 1, u64::from(period) / 2, u64::from(period), 5000] {
                    let (at, masked) = (Tick(now.0 + later), Tick(now.0 + later + origin % 2));
                    assert_eq!(theirs.read(there(at), period), ours.read(masked, period));
                }
            }
        }
    }
}

#[test]
fn an_age_from_outside_does_no_harm() {
    let now = Tick(100_000);
    for age in [0, 1, 999, 2000, 2001, 1 << 31, u32::MAX - LAG_MAX_MS, u32::MAX - 1, u32::MAX] {
        let counter = FreqCtr::new();
        counter.set_from_peer(now, age, 8, 4, 1000);
        let state = counter.snapshot(1000);
        assert_eq!(state.start % 2, 0);
        assert!(state.age(now) <= 2002, "age {age} becomes {}", state.age(now));
        assert!(counter.read(now, 1000) <= 12);
        if age > u32::MAX - LAG_MAX_MS {
            assert_eq!(counter.read(now, 1000), 12, "a sender whose clock lags");
        }
        // Whatever it was, the counter goes on.
        counter.add(Tick(now.0 + 10_000), 1000, 1);
        assert_eq!(counter.read(Tick(now.0 + 10_000), 1000), 1);
    }
}

#[test]
fn the_last_millisecond_counts_nothing_of_the_past() {
    let counter = FreqCtr::new();
    counter.add(Tick(10_000), 1000, 500);
    counter.add(Tick(11_000), 1000, 7);
    assert_eq!(counter.snapshot(1000).total(Tick(12_000), 1000), 7000);
}

#[test]
fn a_single_event_stays_one_until_the_end_of_the_next_period() {
    let counter = FreqCtr::new();
    counter.set_from_peer(Tick(11_000), 1000, 0, 1, 1000);
    assert_eq!(counter.read(Tick(11_000), 1000), 1);
    assert_eq!(counter.snapshot(1000).remaining_events(Tick(11_000), 1000, 5, 0), 5);
    assert_eq!(counter.read(Tick(11_001), 1000), 0);
}

#[test]
fn a_clock_that_lags_is_in_the_current_period() {
    let counter = FreqCtr::new();
    counter.add(Tick(100_000), 1000, 5);
    counter.add(Tick(101_000), 1000, 20);
    for lag in [1, 2, 999, 5000] {
        let now = Tick(101_000 - lag);
        assert_eq!(counter.add(now, 1000, 0), 20, "{lag} ms behind");
        let state = counter.snapshot(1000);
        assert_eq!(state.previous, 5);
        assert_eq!(state.total(now, 1000), 25_000, "as if it were now");
        assert_eq!(state.overshoot(now, 1000, 1), 0);
        assert_eq!(state.age(now), 0);
    }
}

#[test]
fn an_empty_counter_opens_a_period_anywhere_on_the_circle() {
    for now in [999, 1000, 1999, 2000, 1 << 31, (1 << 31) + 1, BEFORE_WRAP.0, (1 << 32) - 2] {
        let counter = FreqCtr::new();
        let state = counter.snapshot(1000);
        assert_eq!((counter.read(Tick(now), 1000), state.overshoot(Tick(now), 1000, 0)), (0, 0));
        counter.add(Tick(now), 1000, 50);
        assert_eq!(counter.read(Tick(now), 1000), 50, "at {now}");
        assert_eq!(counter.read(Tick(now + 2000), 1000), 0, "at {now}");
    }
}

#[test]
fn a_counter_left_alone_stays_faded() {
    let counter = FreqCtr::new();
    counter.add(Tick(100_000), 10_000, 50);
    for days in 1..=49 {
        assert_eq!(counter.read(Tick(100_000 + days * 86_400_000), 10_000), 0, "after {days} days");
    }
}

#[test]
fn no_input_panics() {
    let edges = [0, 1, 2, 3, 1000, 1 << 30, DELAY_MAX_MS - 1, DELAY_MAX_MS, 1 << 31, u32::MAX];
    let counter = FreqCtr::new();
    for period in edges {
        for now in edges.map(|low| Tick(u64::from(low))).into_iter().chain([Tick(u64::MAX)]) {
            for n in edges {
                counter.add(now, period, n);
                exercise(&counter, now, period, n);
                counter.set(now, n);
                exercise(&counter, now, period, n);
                counter.set_from_peer(now, n, u32::MAX, u32::MAX, period);
                exercise(&counter, now, period, n);
            }
        }
    }
}

fn exercise(counter: &FreqCtr, now: Tick, period: u32, n: u32) {
    let state = counter.snapshot(period);
    let _ = state.total(now, period);
    let _ = state.read(now, period);
    let _ = state.remaining_events(now, period, n, n);
    let _ = state.next_delay(now, period, n, n);
    let _ = state.overshoot(now, period, n);
    let _ = state.age(now);
}

/// A counter without threads, as HAProxy's documentation describes it: 32-bit circles and all.
#[derive(Debug, Default)]
struct Model {
    tick: u32,
    curr: u32,
    prev: u32,
}

impl Model {
    fn update(&mut self, now: u32, period: u32, n: u32) -> u32 {
        if now.wrapping_sub(self.tick) < period {
            self.curr = self.curr.wrapping_add(n);
            return self.curr;
        }
        self.prev = self.curr;
        self.curr = n;
        self.tick = self.tick.wrapping_add(period);
        if now.wrapping_sub(self.tick) >= period {
            self.prev = 0;
            self.tick = now;
        }
        self.tick &= !1;
        n
    }

    /// `pending` is `None` for a reading, which does not flap.
    fn total(&self, now: u32, period: u32, pending: Option<u32>) -> u128 {
        let mut remain = i64::from(self.tick.wrapping_add(period).wrapping_sub(now) as i32);
        let (mut curr, mut past) = (self.curr, self.prev);
        if remain < 0 {
            remain += i64::from(period);
            past = if remain >= 0 { curr } else { 0 };
            curr = 0;
        }
        let (curr, past, period) = (u128::from(curr), u128::from(past), u128::from(period));
        if pending.is_none() && curr == 0 && past <= 1 {
            return past * period;
        }
        let remain = if past == 0 { 0 } else { u128::try_from(remain).unwrap() };
        past * remain + (curr + u128::from(pending.unwrap_or(0))) * period
    }

    fn overshoot(&self, now: u32, period: u32, limit: u32) -> u32 {
        let elapsed = now.wrapping_sub(self.tick);
        if self.curr == 0 && self.tick == 0 || (elapsed as i32) < 0 || elapsed > period {
            return 0;
        }
        let linear = u64::from(elapsed) * u64::from(limit) / u64::from(period);
        u32::try_from(linear).map_or(0, |linear| self.curr.saturating_sub(linear))
    }
}

#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Operation {
    Add(Count),
    Set(Count),
    /// Age, current, previous.
    FromPeer(Share, Count, Count),
    Pass(Share),
    /// Reads, with this limit and so many events pending.
    Read(Count, Count),
}

/// A number of events: mostly few, where a reading is sensitive.
#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Count {
    Few(u8),
    Some(u8),
    Any(u32),
}

impl Count {
    fn get(self) -> u32 {
        match self {
            Self::Few(n) => u32::from(n % 4),
            Self::Some(n) => u32::from(n),
            Self::Any(n) => n,
        }
    }
}

/// A time in terms of the period, whose edges are where a reading is sensitive.
#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Share {
    /// 100ths of a period.
    Part(u8),
    /// 0 to 3 periods, and up to 2 ms more or less.
    Edge(u8, i8),
    /// Up to 65,535 periods.
    Long(u16),
}

impl Share {
    fn of(self, period: u32) -> u64 {
        let period = u64::from(period);
        match self {
            Self::Part(share) => period * u64::from(share) / 100,
            Self::Edge(periods, more) => {
                (period * u64::from(periods % 4)).saturating_add_signed(i64::from(more % 3))
            }
            Self::Long(periods) => period * u64::from(periods),
        }
    }
}

/// The model holds for as long as a period began less than 2^31 ms ago. Past that its own readings go
/// wrong, as HAProxy's do: the time left turns positive again.
const MODEL_AGE_MAX: u64 = (1 << 31) - 1;

fn agrees_with_the_model(start: Tick, period: u32, operations: &[Operation]) {
    let (counter, mut model, mut now) = (FreqCtr::new(), Model::default(), start);
    for operation in operations {
        match *operation {
            Operation::Add(n) => {
                let n = n.get();
                assert_eq!(counter.add(now, period, n), model.update(now.low(), period, n));
            }
            Operation::Set(value) => {
                counter.set(now, value.get());
                model = Model { tick: now.low() & !1, curr: value.get(), prev: 0 };
            }
            Operation::FromPeer(age, curr, prev) => {
                let (curr, prev) = (curr.get(), prev.get());
                let age = u32::try_from(age.of(period).min(MODEL_AGE_MAX - 1)).unwrap();
                counter.set_from_peer(now, age, curr, prev, period);
                model = Model { tick: now.low().wrapping_sub(age) & !1, curr, prev };
            }
            Operation::Pass(time) => {
                let age = u64::from(now.low().wrapping_sub(model.tick));
                now.0 += time.of(period).min(MODEL_AGE_MAX.saturating_sub(age));
            }
            Operation::Read(limit, pending) => {
                let (limit, pending) = (limit.get(), pending.get());
                let (at, state) = (now.low(), counter.snapshot(period));
                let total =
                    |pending| u64::try_from(model.total(at, period, pending)).unwrap_or(u64::MAX);
                let saturated = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
                let length = u64::from(period);
                assert_eq!(state.total(now, period), total(None));
                assert_eq!(counter.read(now, period), saturated(total(None) / length));
                assert_eq!(
                    state.remaining_events(now, period, limit, pending),
                    limit - limit.min(saturated(total(Some(pending)) / length))
                );
                let (total, allowed) = (total(Some(pending)), u64::from(limit) * length);
                let delay = if total < allowed {
                    0
                } else {
                    saturated(((total - allowed) / u64::from(limit.max(1))).max(1))
                };
                assert_eq!(state.next_delay(now, period, limit, pending), delay);
                let overshoot = model.overshoot(at, period, limit);
                assert_eq!(state.overshoot(now, period, limit), overshoot);
            }
        }
        assert_eq!(
            counter.read(now, period),
            u32::try_from(model.total(now.low(), period, None) / u128::from(period))
                .unwrap_or(u32::MAX),
            "{operation:?} at {now:?}, {model:?}, {:?}",
            counter.snapshot(period)
        );
    }
}

#[test]
fn one_thread_reads_what_the_model_reads() {
    // Short periods, long ones, and the longest: the remainder of the generated number decides which.
    bolero::check!()
        .with_iterations(if cfg!(miri) { 10 } else { 10_000 })
        .with_type::<(u32, u32, Vec<Operation>)>()
        .for_each(|(start, period, operations)| {
            let period = match period % 3 {
                0 => 2 + period % 100,
                1 => 2 + period % 100_000,
                _ => period.clamp(&2, &DELAY_MAX_MS) & DELAY_MAX_MS,
            };
            let start = match start % 3 {
                0 => BEFORE_WRAP.0,
                1 => u64::from(start % 1000),
                _ => u64::from(*start),
            };
            agrees_with_the_model(Tick(start), period.max(2), operations);
        });
}

#[test]
fn four_threads_count_every_event_through_a_thousand_rotations() {
    const THREADS: u32 = 4;
    const EVENTS: u32 = if cfg!(miri) { 100 } else { 100_000 };
    const ROTATIONS: u32 = if cfg!(miri) { 10 } else { 1000 };
    // The clock goes on by a millisecond with every event, so that threads meet in rotations and late
    // events are common: with rotations by store, the sum is wrong by thousands.
    const PERIOD: u32 = 2;

    let counter = FreqCtr::new();
    let clock = AtomicU64::new(BEFORE_WRAP.0 + 15_000);
    let start = Barrier::new(THREADS as usize);
    let count = |thread: u32| {
        let (mut counted, mut finished, mut rotations) = (0u64, 0u64, 0);
        start.wait();
        for event in 0..EVENTS {
            let now = Tick(clock.fetch_add(1, Relaxed));
            let n = 1 + (event + thread) % 3;
            if let (_, Some(done)) = counter.add_observed(now, PERIOD, n) {
                finished += u64::from(done);
                rotations += 1;
            }
            counted += u64::from(n);
        }
        (counted, finished, rotations)
    };
    let (mut counted, mut finished, mut rotations) = (0, 0, 0);
    std::thread::scope(|scope| {
        let threads = [0, 1, 2, 3].map(|thread| scope.spawn(move || count(thread)));
        for thread in threads {
            let of_thread = thread.join().unwrap();
            counted += of_thread.0;
            finished += of_thread.1;
            rotations += of_thread.2;
        }
    });
    assert!(rotations >= ROTATIONS, "{rotations} rotations");
    // Both words still hold a period.
    for later in [1000, 2000] {
        let now = Tick(clock.load(Relaxed) + later);
        let (_, done) = counter.add_observed(now, PERIOD, 0);
        finished += u64::from(done.expect("more than two periods have passed"));
    }
    assert_eq!(finished, counted, "in {rotations} rotations");
}
