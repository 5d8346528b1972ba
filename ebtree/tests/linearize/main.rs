//! Histories of many threads on few keys: is there an order of the operations, one that respects which was over
//! before which began, in which one thread would get the same answers?
//!
//! The keys of a map are independent of each other, so each key is judged alone (linearizability is local). What is promised
//! of several keys or entries together is less than that, and is judged by the spans of time in which each was present for
//! certain, or perhaps.
//!
//! `LINEARIZE_STEPS` sets how many operations each run does.
#![cfg(not(loom))]
#![expect(clippy::cast_possible_truncation, reason = "counts of threads and of steps")]

mod judge;
mod map;
mod multi;
mod prefix;

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// When an operation began and when it had ended, on a clock of which no two readings are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    began: u64,
    ended: u64,
}

#[derive(Default)]
struct Clock(AtomicU64);

impl Clock {
    /// Does something, and returns when.
    fn time<T>(&self, operation: impl FnOnce() -> T) -> (T, Span) {
        // SeqCst: the counter is what says which operation was over before which.
        let began = self.0.fetch_add(1, Ordering::SeqCst);
        let answer = operation();
        (answer, Span { began, ended: self.0.fetch_add(1, Ordering::SeqCst) })
    }
}

/// Which thread, and how many steps it has done.
#[derive(Clone, Copy)]
struct Turn {
    thread: u64,
    step: u64,
}

/// Lets threads loose for some steps in all, and returns what each has to say of its own.
fn run<T: Send>(
    threads: u64,
    seed: u64,
    steps: u64,
    step: impl Fn(&Clock, Turn, &mut Random) -> Vec<T> + Sync,
) -> Vec<Vec<T>> {
    let (clock, start) = (&Clock::default(), &Barrier::new(threads as usize));
    let step = &step;
    thread::scope(|scope| {
        let run = |thread: u64| {
            scope.spawn(move || {
                let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (thread << 32) ^ seed);
                start.wait();
                let turns = (1..=steps / threads).map(|step| Turn { thread, step });
                turns.flat_map(|turn| step(clock, turn, &mut random)).collect()
            })
        };
        let threads: Vec<_> = (0..threads).map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

fn steps() -> u64 {
    let steps = std::env::var("LINEARIZE_STEPS").ok();
    steps.and_then(|steps| steps.parse().ok()).unwrap_or(8_000)
}
