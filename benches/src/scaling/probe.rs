//! What the model is made of, measured without any map: cache lines that go to and fro, and locks around a section that touches
//! nothing.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::interleave::{Watch, Work, quantile};
use crate::keys::BATCH;
use crate::random::{Random, mix};

/// Batches of which the quieter ones count, and round trips of each.
const BATCHES: usize = 64;
const TRIPS: u32 = 500;

/// Alone on its cache lines.
#[repr(align(128))]
#[derive(Default)]
pub(super) struct Line<T>(T);

/// Returns the nanoseconds for a cache line to get from one core to another and be read there.
#[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
pub(super) fn transfer() -> f64 {
    let (ball, over) = (Line(AtomicU32::new(0)), AtomicBool::new(false));
    let mut taken = Vec::with_capacity(BATCHES);
    thread::scope(|scope| {
        // Odd numbers are theirs, even ones ours.
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let seen = ball.0.load(Ordering::Acquire);
                if seen % 2 == 1 {
                    ball.0.store(seen.wrapping_add(1), Ordering::Release);
                }
                spin_loop();
            }
        });
        for _ in 0..BATCHES {
            let began = Instant::now();
            for _ in 0..TRIPS {
                let thrown = ball.0.load(Ordering::Relaxed).wrapping_add(1);
                ball.0.store(thrown, Ordering::Release);
                while ball.0.load(Ordering::Acquire) == thrown {
                    spin_loop();
                }
            }
            taken.push(each(began.elapsed(), 2 * TRIPS));
        }
        over.store(true, Ordering::Relaxed);
    });
    quantile(&taken, 0.25)
}

fn each(time: Duration, n: u32) -> f64 {
    time.as_secs_f64() * 1e9 / f64::from(n)
}

/// Returns how many steps of [`spin`] take a nanosecond.
#[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
pub(super) fn steps_of_a_nanosecond() -> f64 {
    const STEPS: u32 = 20_000;
    let taken = (0..BATCHES).map(|_| {
        let began = Instant::now();
        spin(STEPS);
        each(began.elapsed(), STEPS)
    });
    1.0 / quantile(&taken.collect::<Vec<_>>(), 0.25)
}

/// Takes time, and touches no memory.
fn spin(steps: u32) {
    black_box(spin_from(black_box(1), steps));
}

/// The same, from what was read before.
fn spin_from(mut state: u64, steps: u32) -> u64 {
    for _ in 0..steps {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
    }
    state
}

/// What is done over and over.
pub(super) enum Probe {
    /// Draws a key, as every look-up does.
    Key,
    /// Adds to a counter that all share.
    Atomic(Box<Line<AtomicU64>>),
    /// Locks, reads what lies beside the lock, takes so many steps, and unlocks.
    Mutex(Box<Line<Mutex<u64>>>, u32),
    /// The same as a reader, with one of so many locks.
    RwLocks(Vec<Line<RwLock<u64>>>, u32),
}

impl Probe {
    pub(super) fn rw_locks(count: u32, steps: u32) -> Self {
        Self::RwLocks((0..count).map(|_| Line::default()).collect(), steps)
    }
}

impl Work for Probe {
    #[expect(clippy::cast_possible_truncation, reason = "an index, and small numbers of steps")]
    fn batch(&self, random: &mut Random, _: &mut impl Watch) -> u64 {
        // As the sections of maps, these are now shorter, now longer.
        let about = |steps: u32, key: u64| match steps {
            0 => 0,
            steps => steps / 2 + ((key >> 32) % u64::from(steps)) as u32,
        };
        for _ in 0..BATCH {
            let key = black_box(mix(random.below(10_000)));
            match self {
                Self::Key => {
                    black_box(key);
                }
                Self::Atomic(counter) => {
                    counter.0.fetch_add(1, Ordering::Relaxed);
                }
                Self::Mutex(mutex, steps) => {
                    let guard = mutex.0.lock().expect("no panic");
                    black_box(spin_from(*guard, about(*steps, key)));
                    drop(guard);
                }
                Self::RwLocks(locks, steps) => {
                    let lock = &locks[key as usize % locks.len()];
                    let guard = lock.0.read().expect("no panic");
                    black_box(spin_from(*guard, about(*steps, key)));
                    drop(guard);
                }
            }
        }
        BATCH
    }
}
