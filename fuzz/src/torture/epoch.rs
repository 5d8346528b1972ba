//! Threads that come and go, many more than there are cores, until so many operations are done.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::judge::{Clock, Event};

/// Operations of a thread, until another takes its place.
const LIFE: std::ops::Range<u64> = 50..4_000;

/// What all threads of a run have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) threads: usize,
    pub(super) seed: u64,
}

/// One thread.
#[derive(Debug)]
pub(super) struct Worker<'e> {
    pub(super) random: SmallRng,
    pub(super) clock: &'e Clock,
    /// What it was told of keys whose histories are judged.
    pub(super) events: Vec<(u64, Event)>,
    /// Different for every thread and operation of a run.
    number: u64,
}

impl Worker<'_> {
    /// Returns a number that nobody else has, and that is not 0.
    pub(super) fn unique(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Returns whether something happens that does so once in `of` times.
    pub(super) fn once_in(&mut self, of: u32) -> bool {
        self.random.random_range(0..of) == 0
    }

    /// Lets others go on in the middle of something, every now and then.
    pub(super) fn rest(&mut self) {
        if self.once_in(64) {
            thread::yield_now();
        }
        if self.once_in(8_192) {
            pause(Duration::from_micros(self.random.random_range(20..500)));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "to be stopped at a bad moment is what this is for")]
fn pause(time: Duration) {
    thread::sleep(time);
}

/// What became of an epoch.
#[derive(Debug, Default)]
pub(super) struct Epoch {
    pub(super) threads: u64,
    pub(super) operations: u64,
    /// What was told, by place: threads that followed each other in one did so one after the other.
    pub(super) events: Vec<Vec<(u64, Event)>>,
    /// Panics.
    pub(super) broke: Vec<String>,
}

/// Lets threads loose for so many operations.
pub(super) fn run(
    plan: Plan,
    number: u64,
    operations: u64,
    step: &(dyn Fn(&mut Worker<'_>) + Sync),
) -> Epoch {
    let left = AtomicI64::new(i64::try_from(operations).unwrap_or(i64::MAX));
    let clock = Clock::default();
    let mut epoch = Epoch { events: vec![Vec::new(); plan.threads], ..Epoch::default() };
    thread::scope(|scope| {
        let (done, ended) = mpsc::channel();
        let mut handles = Vec::new();
        let spawn = |place: usize, id: u64| {
            let (done, left, clock) = (done.clone(), &left, &clock);
            scope.spawn(move || {
                let identity = number << 24 | id;
                let random = SmallRng::seed_from_u64(
                    plan.seed ^ identity.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                );
                let mut worker =
                    Worker { random, clock, events: Vec::new(), number: identity << 16 };
                let life = worker.random.random_range(LIFE);
                let mut did = 0;
                let ran = catch_unwind(AssertUnwindSafe(|| {
                    while did < life && left.fetch_sub(1, Ordering::Relaxed) > 0 {
                        step(&mut worker);
                        did += 1;
                    }
                }));
                // Whoever asked for it waits for all.
                let _ =
                    done.send((place, did, worker.events, ran.err().map(|panic| said(&*panic))));
            })
        };
        for place in 0..plan.threads {
            handles.push(spawn(place, place as u64));
        }
        let mut running = plan.threads;
        while running > 0 {
            let Ok((place, did, mut events, broke)) = ended.recv() else { break };
            running -= 1;
            epoch.operations += did;
            epoch.events[place].append(&mut events);
            let breaks = broke.is_some();
            epoch.broke.extend(broke);
            if !breaks && left.load(Ordering::Relaxed) > 0 {
                handles.push(spawn(place, handles.len() as u64));
                running += 1;
            }
        }
        epoch.threads = handles.len() as u64;
        // One by one: so what threads keep for themselves is given back.
        for handle in handles {
            // Its panic was caught.
            let _ = handle.join();
        }
    });
    epoch
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}
