//! The driver: contestants take turns, slice by slice.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::contestant::Who;
use crate::cpu;
use crate::latency::Taken;
use crate::random::Random;

/// What a thread does over and over.
pub trait Work: Sync {
    /// Does a batch of operations, each step of which goes through `watch`, and returns how many they were.
    fn batch(&self, random: &mut Random, watch: &mut impl Watch) -> u64;
}

/// Looks at the steps of a batch.
pub trait Watch {
    /// Runs a step, which returns how many operations it was, and returns that.
    fn step(&mut self, step: impl FnOnce() -> u64) -> u64;
}

/// Does not look: what throughput is measured with.
#[derive(Debug)]
pub struct Unwatched;

impl Watch for Unwatched {
    #[inline(always)]
    fn step(&mut self, step: impl FnOnce() -> u64) -> u64 {
        step()
    }
}

/// How long steps took, in nanoseconds, the clock's reading included.
struct Watched {
    taken: Taken,
    operations: u64,
}

impl Watched {
    fn new() -> Self {
        Self { taken: Taken::new(), operations: 0 }
    }
}

impl Watch for Watched {
    #[inline]
    #[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
    fn step(&mut self, step: impl FnOnce() -> u64) -> u64 {
        let began = Instant::now();
        let operations = step();
        self.taken.record(began.elapsed());
        self.operations += operations;
        operations
    }
}

/// Work, whatever it is.
trait Runs: Sync {
    fn run(&self, random: &mut Random) -> u64;
    fn run_watched(&self, random: &mut Random, watched: &mut Watched) -> u64;
}

impl<W: Work> Runs for W {
    fn run(&self, random: &mut Random) -> u64 {
        self.batch(random, &mut Unwatched)
    }

    fn run_watched(&self, random: &mut Random, watched: &mut Watched) -> u64 {
        self.batch(random, watched)
    }
}

/// One side of a comparison.
pub struct Contestant<'a> {
    who: Who,
    work: Box<dyn Runs + 'a>,
}

impl fmt::Debug for Contestant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Contestant({})", self.who.name)
    }
}

impl<'a> Contestant<'a> {
    /// Names a contestant and its work.
    pub fn new(who: Who, work: impl Work + 'a) -> Self {
        Self { who, work: Box::new(work) }
    }
}

/// What one contestant reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reached {
    /// Who it was.
    #[serde(flatten)]
    pub who: Who,
    /// Millions of operations a second, the upper quartile of its slices.
    pub mops: f64,
    /// The lower quartile.
    pub mops_low: f64,
    /// Nanoseconds of processor time for an operation, the middle of its slices.
    pub cpu_ns: f64,
    /// The part of their time that its threads were ready and had no processor, the middle of its slices.
    pub waited: f64,
    /// How long single steps took, where that was sampled.
    pub latency: Option<Latency>,
}

/// How long single steps took, in nanoseconds, the clock's reading included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Operations of a step: a look-up of sixteen keys at once is one step, and sixteen operations.
    pub step: u64,
    /// How many steps were sampled.
    pub samples: u64,
    /// The half of them took at most this.
    pub p50: u64,
    /// 99 % of them.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
    /// 99.99 %.
    pub p9999: u64,
}

impl Latency {
    fn new(watched: &Watched) -> Option<Self> {
        let (taken, samples) = (&watched.taken, watched.taken.len());
        let [p50, p99, p999, p9999] = [0.5, 0.99, 0.999, 0.9999].map(|part| taken.at(part));
        let step = watched.operations.checked_div(samples)?;
        Some(Self { step, samples, p50, p99, p999, p9999 })
    }
}

/// How long, and with how many threads.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Slices each contestant gets.
    pub slices: usize,
    /// Further slices, in which the time of each step is taken.
    pub samples: usize,
    /// The length of a slice.
    pub slice: Duration,
    /// Threads that work at once.
    pub threads: usize,
}

impl Plan {
    /// Returns how long this takes for each contestant.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.slice * u32::try_from(self.slices + self.samples).unwrap_or(u32::MAX)
    }
}

/// What the slices of one contestant came to.
#[derive(Default)]
struct Slices {
    mops: Vec<f64>,
    cpu_ns: Vec<f64>,
    waited: Vec<f64>,
}

/// Returns what stands at this part of the sorted values.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
#[expect(clippy::cast_precision_loss, reason = "a few slices")]
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() as f64 * part) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

/// Lets the contestants take turns. The first one rotates from round to round. When all slices are done, they take turns again
/// for samples.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a few threads")]
pub fn interleave(contestants: &[Contestant<'_>], plan: Plan) -> Vec<Reached> {
    let turns = |rounds: usize| {
        let count = contestants.len();
        (0..rounds).flat_map(move |round| {
            (0..count).map(move |turn| ((round + turn) % count, round as u64))
        })
    };
    let mut slices: Vec<_> = contestants.iter().map(|_| Slices::default()).collect();
    for (at, round) in turns(plan.slices) {
        let work = &contestants[at].work;
        let (_, operations, time) = slice(plan, round, || (), |random, ()| work.run(random));
        slices[at].mops.push(operations / time.wall.as_secs_f64() / 1e6);
        slices[at].cpu_ns.push(time.cpu.as_secs_f64() * 1e9 / operations);
        slices[at].waited.push(time.waited.div_duration_f64(time.wall) / plan.threads as f64);
    }
    let mut watched: Vec<_> = contestants.iter().map(|_| Watched::new()).collect();
    for (at, round) in turns(plan.samples) {
        let work = &contestants[at].work;
        let run = |random: &mut Random, watched: &mut Watched| work.run_watched(random, watched);
        for one in slice(plan, round + 1000, Watched::new, run).0 {
            watched[at].taken.add(&one.taken);
            watched[at].operations += one.operations;
        }
    }
    let reached = contestants.iter().zip(slices).zip(watched);
    reached
        .map(|((contestant, slices), watched)| Reached {
            who: contestant.who.clone(),
            mops: quantile(&slices.mops, 0.75),
            mops_low: quantile(&slices.mops, 0.25),
            cpu_ns: quantile(&slices.cpu_ns, 0.5),
            waited: quantile(&slices.waited, 0.5),
            latency: Latency::new(&watched),
        })
        .collect()
}

/// How long a slice took.
struct Time {
    wall: Duration,
    cpu: Duration,
    /// By all threads, for a processor.
    waited: Duration,
}

/// One slice: threads start together, and stop at the next batch after the time is over. Returns what each kept, and how many
/// operations they did.
#[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
#[expect(clippy::cast_precision_loss, reason = "operations of a slice are far below 2^52")]
fn slice<T: Send>(
    plan: Plan,
    round: u64,
    keep: impl Fn() -> T + Sync,
    run: impl Fn(&mut Random, &mut T) -> u64 + Sync,
) -> (Vec<T>, f64, Time) {
    let (go, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let cpu_before = cpu::of_process();
    let (done, wall) = thread::scope(|scope| {
        let workers: Vec<_> = (0..plan.threads)
            .map(|id| {
                let (go, stop, keep, run) = (&go, &stop, &keep, &run);
                scope.spawn(move || {
                    let mut random = Random::new(round * 1000 + id as u64 + 1);
                    let mut kept = keep();
                    while !go.load(Ordering::Acquire) {
                        std::hint::spin_loop();
                    }
                    // One batch at least, however late the thread comes to run.
                    let mut operations = run(&mut random, &mut kept);
                    while !stop.load(Ordering::Relaxed) {
                        operations += run(&mut random, &mut kept);
                    }
                    (kept, operations, cpu::waited_of_thread())
                })
            })
            .collect();
        let began = Instant::now();
        go.store(true, Ordering::Release);
        thread::sleep(plan.slice);
        stop.store(true, Ordering::Relaxed);
        let wall = began.elapsed();
        let done = workers.into_iter().map(|worker| worker.join().expect("no panic"));
        (done.collect::<Vec<_>>(), wall)
    });
    let cpu = cpu::of_process() - cpu_before;
    let waited = done.iter().map(|(_, _, waited)| *waited).sum();
    let operations: u64 = done.iter().map(|(_, operations, _)| operations).sum();
    let kept = done.into_iter().map(|(kept, ..)| kept).collect();
    (kept, operations as f64, Time { wall, cpu, waited })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    struct Counts<'a>(&'a AtomicU64);

    impl Work for Counts<'_> {
        fn batch(&self, _: &mut Random, watch: &mut impl Watch) -> u64 {
            self.0.fetch_add(1, Ordering::Relaxed);
            watch.step(|| 3) + watch.step(|| 4)
        }
    }

    #[test]
    fn everybody_gets_every_slice() {
        let plan = Plan { slices: 5, samples: 2, slice: Duration::from_millis(1), threads: 2 };
        let calls = [AtomicU64::new(0), AtomicU64::new(0)];
        let contestants: Vec<_> = ["a", "b"]
            .into_iter()
            .zip(&calls)
            .map(|(name, calls)| Contestant::new(Who::ours(name), Counts(calls)))
            .collect();
        let reached = interleave(&contestants, plan);
        let names: Vec<_> = reached.iter().map(|one| one.who.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(reached.iter().all(|one| one.mops > 0.0 && one.mops_low <= one.mops));
        assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) >= 14));
        for one in reached {
            let latency = one.latency.unwrap();
            // Two slices of two threads, each with one batch of two steps at least.
            assert!(latency.samples >= 8 && latency.step == 3, "{latency:?}");
            assert!(latency.p50 <= latency.p99 && latency.p99 <= latency.p9999);
        }
        let plan = Plan { samples: 0, ..plan };
        assert!(interleave(&contestants, plan).iter().all(|one| one.latency.is_none()));
    }

    #[test]
    fn quantiles_of_a_few_values() {
        assert_eq!(quantile(&[3.0, 1.0, 2.0, 4.0], 0.75), 4.0);
        assert_eq!(quantile(&[3.0, 1.0, 2.0, 4.0], 0.25), 2.0);
        assert_eq!((quantile(&[5.0], 1.0), quantile(&[], 0.5)), (5.0, 0.0));
    }
}
