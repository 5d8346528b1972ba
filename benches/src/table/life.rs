//! What a table costs beside look-ups: creation, expiry, scans, clearing, and how long single requests take.
//!
//! Costs are processor time of the whole process, so other processes disturb them little.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use stktable::table::{Comparison, Filter, StickTable, Walk};
use stktable::{DataType, Tick};

use super::{Clients as _, PERIOD_MS, table};
use crate::cpu::of_process as cpu;
use crate::latency::Taken;
use crate::random::{Random, mix};

/// Entries that one call of `expire` or one slice of a clearing looks at.
const SLICE: u32 = 256;
/// Rounds of each measurement, of which the middle one counts.
const ROUNDS: usize = 5;

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// With how many threads.
    pub threads: usize,
    /// What it came to, in words.
    pub found: String,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| {} | {} | {} |", self.name, self.threads, self.found)
    }
}

/// Nanoseconds for each of `n`.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn each(time: Duration, n: u32) -> f64 {
    time.as_nanos() as f64 / f64::from(n)
}

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Client `number` of those that a round creates: in no order.
fn client(number: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "half of it is as good")]
    (mix(u64::from(number)) as u32)
}

/// Creates `n` clients by several threads, each its share, and returns the processor time of a creation.
fn create(n: u32, threads: usize) -> f64 {
    let table = table(n);
    let share = n.div_ceil(u32::try_from(threads).expect("few threads"));
    let before = cpu();
    thread::scope(|scope| {
        for id in 0..threads {
            let (table, first) = (&table, share * u32::try_from(id).expect("few threads"));
            scope.spawn(move || {
                for number in first..(first + share).min(n) {
                    table.request(client(number), PERIOD_MS + u64::from(number % 2_000));
                }
            });
        }
    });
    each(cpu() - before, n)
}

/// Returns a table of `n` clients, whose dates lie within two seconds, and of which every peer has been told.
fn full(n: u32) -> StickTable {
    let table = table(n);
    for number in 0..n {
        table.request(client(number), PERIOD_MS + u64::from(number % 2_000));
    }
    if let Some(told) = table.begin_updates(0) {
        while table.trim_updates(told, n) {}
    }
    table
}

/// Calls `slice` until it returns false. Returns the processor time of each of `n`, and the longest slice that nobody else took
/// time from.
#[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
fn in_slices(n: u32, mut slice: impl FnMut() -> bool) -> (f64, Duration) {
    let (mut longest, before) = (Duration::ZERO, cpu());
    loop {
        let began = Instant::now();
        let more = slice();
        longest = longest.max(began.elapsed());
        if !more {
            return (each(cpu() - before, n), longest);
        }
    }
}

fn expire(n: u32) -> (f64, Duration) {
    let table = full(n);
    let now = Tick(PERIOD_MS + 600_000 + 4_000);
    let slices = in_slices(n, || table.expire(now, SLICE).more);
    assert_eq!(table.used(), 0, "all were due");
    slices
}

fn clear(n: u32) -> (f64, Duration) {
    let table = full(n);
    let (now, mut walk) = (Tick(PERIOD_MS), Walk::new());
    let slices = in_slices(n, || walk.remove(&table, &[], SLICE, now));
    assert_eq!(table.used(), 0, "nobody held any");
    slices
}

fn scan(table: &StickTable, filter: &Filter) -> f64 {
    let before = cpu();
    let found: ControlFlow<()> =
        table.for_each_matching(std::slice::from_ref(filter), Tick(PERIOD_MS), |_| {
            ControlFlow::Break(())
        });
    assert!(found.is_continue(), "nothing matches");
    each(cpu() - before, table.used())
}

/// How long single requests of `n` clients take, in nanoseconds.
#[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
fn latencies(table: &StickTable, n: u32, threads: usize, time: Duration) -> Taken {
    let stop = AtomicBool::new(false);
    let mut all = Taken::new();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|id| {
                let stop = &stop;
                scope.spawn(move || {
                    let mut random = Random::new(id as u64 + 1);
                    let mut taken = Taken::new();
                    while !stop.load(Ordering::Relaxed) {
                        let number = u32::try_from(random.below(u64::from(n))).expect("below n");
                        let began = Instant::now();
                        table.request(client(number), PERIOD_MS);
                        taken.record(began.elapsed());
                    }
                    taken
                })
            })
            .collect();
        thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            all.add(&worker.join().expect("no panic"));
        }
    });
    all
}

/// Measures all of it with `n` entries, and hands each figure to `tell` when it is there.
pub fn measure(n: u32, mut tell: impl FnMut(Figure)) {
    let mut figure = |name: &str, threads, found| {
        tell(Figure { name: name.to_owned(), threads, found });
    };
    let rounds = |run: &dyn Fn() -> f64| median((0..ROUNDS).map(|_| run()).collect());
    // Interleaved: threads take turns, round by round.
    let counts = [1, 2, 8];
    let mut created = counts.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (threads, created) in counts.into_iter().zip(&mut created) {
            created.push(create(n, threads));
        }
    }
    let created = created.map(median);
    for (threads, cost) in counts.into_iter().zip(created) {
        let found =
            format!("{cost:.0} ns of processor time, {:.2} × one thread's", cost / created[0]);
        figure("create", threads, found);
    }
    for (name, run) in [("expire", expire as fn(u32) -> _), ("clear", clear)] {
        let (costs, slices): (Vec<_>, Vec<_>) = (0..ROUNDS).map(|_| run(n)).unzip();
        let slice = median(slices.iter().map(Duration::as_secs_f64).collect()) * 1e6;
        let found = format!(
            "{:.0} ns an entry, longest of the slices of {SLICE}: {slice:.0} µs",
            median(costs)
        );
        figure(name, 1, found);
    }
    let table = full(n);
    let filter = Filter::value(DataType::Gpc0, 0, Comparison::Gt, 1_000_000);
    let cost = rounds(&|| scan(&table, &filter));
    figure("scan with a filter that matches nothing", 1, format!("{cost:.0} ns an entry"));
    let mut one = 0;
    for threads in counts {
        let taken = latencies(&table, n, threads, Duration::from_millis(500));
        let [half, p99, p999] = [0.5, 0.99, 0.999].map(|part| taken.at(part));
        one = if threads == 1 { p99 } else { one };
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let ratio = p99 as f64 / one as f64;
        let found = format!(
            "p50 {half} ns, p99 {p99} ns ({ratio:.2} × one thread's), p99.9 {p999} ns, the clock's reading included"
        );
        figure("request", threads, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_measured() {
        let mut names = Vec::new();
        measure(500, |figure| names.push(figure.name));
        names.dedup();
        assert_eq!(
            names,
            ["create", "expire", "clear", "scan with a filter that matches nothing", "request"]
        );
    }
}
