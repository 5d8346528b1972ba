//! The driver: contestants take turns, slice by slice.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// One side of a comparison: what a thread does over and over.
pub struct Contestant<'a> {
    name: &'a str,
    /// Does a batch of operations on behalf of thread `id`, and returns how many.
    batch: Box<dyn Fn(&mut crate::random::Random) -> u64 + Sync + 'a>,
}

impl fmt::Debug for Contestant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Contestant({})", self.name)
    }
}

impl<'a> Contestant<'a> {
    /// Names a contestant; `batch` does some operations and returns how many.
    pub fn new(
        name: &'a str,
        batch: impl Fn(&mut crate::random::Random) -> u64 + Sync + 'a,
    ) -> Self {
        Self { name, batch: Box::new(batch) }
    }
}

/// What one contestant reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Reached {
    /// Its name.
    pub name: String,
    /// Millions of operations a second, the upper quartile of its slices.
    pub mops: f64,
}

/// How long, and with how many threads.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Slices each contestant gets.
    pub slices: usize,
    /// The length of a slice.
    pub slice: Duration,
    /// Threads that work at once.
    pub threads: usize,
}

/// Lets the contestants take turns. The first one rotates from round to round.
#[must_use]
pub fn interleave(contestants: &[Contestant<'_>], plan: Plan) -> Vec<Reached> {
    let mut rates = vec![Vec::with_capacity(plan.slices); contestants.len()];
    for round in 0..plan.slices {
        for turn in 0..contestants.len() {
            let at = (round + turn) % contestants.len();
            rates[at].push(slice(&contestants[at], plan, round as u64));
        }
    }
    contestants
        .iter()
        .zip(rates)
        .map(|(contestant, mut rates)| {
            rates.sort_by(f64::total_cmp);
            let mops = rates.get(rates.len() * 3 / 4).copied().unwrap_or(0.0);
            Reached { name: contestant.name.to_owned(), mops }
        })
        .collect()
}

/// One slice: threads start together, and stop at the next batch after the time is over.
#[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
#[expect(clippy::cast_precision_loss, reason = "operations of a slice are far below 2^52")]
fn slice(contestant: &Contestant<'_>, plan: Plan, round: u64) -> f64 {
    let (go, stop, done) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
    let mut elapsed = Duration::ZERO;
    thread::scope(|scope| {
        for id in 0..plan.threads {
            let (go, stop, done) = (&go, &stop, &done);
            scope.spawn(move || {
                let mut random = crate::random::Random::new(round * 1000 + id as u64 + 1);
                while !go.load(Ordering::Acquire) {
                    std::hint::spin_loop();
                }
                // One batch at least, however late the thread comes to run.
                let mut operations = (contestant.batch)(&mut random);
                while !stop.load(Ordering::Relaxed) {
                    operations += (contestant.batch)(&mut random);
                }
                done.fetch_add(operations, Ordering::Relaxed);
            });
        }
        let began = Instant::now();
        go.store(true, Ordering::Release);
        thread::sleep(plan.slice);
        stop.store(true, Ordering::Relaxed);
        elapsed = began.elapsed();
    });
    done.load(Ordering::Relaxed) as f64 / elapsed.as_secs_f64() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_gets_every_slice() {
        let plan = Plan { slices: 5, slice: Duration::from_millis(1), threads: 2 };
        let calls = [AtomicU64::new(0), AtomicU64::new(0)];
        let contestants: Vec<_> = ["a", "b"]
            .into_iter()
            .zip(&calls)
            .map(|(name, calls)| {
                Contestant::new(name, move |_| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    7
                })
            })
            .collect();
        let reached = interleave(&contestants, plan);
        assert_eq!(reached.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(reached.iter().all(|one| one.mops > 0.0));
        assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) >= 5));
    }
}
