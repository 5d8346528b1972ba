//! Trees and tables under many more threads than there are cores, for as long as you like.
//!
//! Threads come and go, rest in the middle of operations, and one stalls all the time with something in its hands. After each epoch,
//! when nobody is there, the books are looked at: what was put in was taken out once, or is there; every value is dropped once; what was told of
//! some keys has an order; and what is not freed yet is within what the documentation says.

mod epoch;
mod judge;
mod map;
mod multi;
mod table;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use epoch::Plan;

/// How often what is not freed is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// Slots of a thread that are in use at one time, at most: a path of 64 levels and its ends, and what a step holds.
const SLOTS: usize = 160;

/// What is put to the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Structure {
    /// `EbTree`.
    Tree,
    /// `EbTree` with 64 roots.
    Fanned,
    /// `EbMultiTree`.
    Multi,
    /// `StickTable`.
    Table,
}

/// A fault of this harness's own making, which it must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sabotage {
    /// An entry that is said to be put in, and is not.
    LostInsert,
    /// An answer that nobody can have got.
    StaleAnswer,
    /// A value that is never dropped.
    Leak,
}

/// How it is done.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// For how long, all structures together.
    #[arg(long, default_value_t = 1.0, conflicts_with = "operations")]
    minutes: f64,
    /// How many operations on each structure, instead of a time.
    #[arg(long)]
    operations: Option<u64>,
    /// Threads at one time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// What threads draw their operations from: those of a failure are drawn again. What happens between threads is not in it.
    #[arg(long)]
    seed: Option<u64>,
    /// Only this one; may be repeated.
    #[arg(long, value_enum)]
    structure: Vec<Structure>,
    /// How often a line is printed, in seconds.
    #[arg(long, default_value_t = 60.0)]
    every: f64,
    /// Does something wrong, which must be found.
    #[arg(long, value_enum, hide = true)]
    sabotage: Option<Sabotage>,
}

/// What was done, and what is wrong.
#[derive(Debug, Default)]
struct Tally {
    operations: u64,
    threads: u64,
    /// Operations in histories that were judged.
    judged: u64,
    peak: usize,
    violations: Vec<String>,
}

/// What is put to the test.
trait Subject: Sync {
    /// Lets threads loose on it, and looks at the books when they are gone.
    fn epoch(&self, plan: Plan, number: u64, tally: &mut Tally);

    /// How much is unlinked and not freed.
    fn garbage(&self) -> usize;

    /// Takes things in hand, and keeps them until that returns.
    fn stall(&self, until: &mut dyn FnMut());

    /// Takes it apart, and looks at what is left.
    fn end(self: Box<Self>, tally: &mut Tally);
}

impl Structure {
    const ALL: [Self; 4] = [Self::Tree, Self::Fanned, Self::Multi, Self::Table];

    fn make(self, sabotage: Option<Sabotage>) -> Box<dyn Subject> {
        match self {
            Self::Tree => Box::new(map::Map::new(0, sabotage)),
            Self::Fanned => Box::new(map::Map::new(6, sabotage)),
            Self::Multi => Box::new(multi::Multi::new(sabotage)),
            Self::Table => Box::new(table::Table::new(sabotage)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "for how long, and how often a line is printed")]
fn now() -> Instant {
    Instant::now()
}

fn resident_mib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    (pages.unwrap_or(0) * 4096) >> 20
}

impl Arguments {
    /// Runs it; fails if anything is wrong.
    #[must_use]
    pub fn run(&self) -> ExitCode {
        let sane = |number: f64| number.is_finite() && number > 0.0;
        if !sane(self.minutes) || !sane(self.every) {
            eprintln!("--minutes and --every: expected more than nothing");
            return ExitCode::FAILURE;
        }
        let structures =
            if self.structure.is_empty() { &Structure::ALL[..] } else { &self.structure };
        let seed = self.seed.unwrap_or_else(rand::random);
        println!("seed {seed}, {} threads", self.threads);
        let mut whole = true;
        for structure in structures {
            let tally = self.one(*structure, seed, structures.len());
            let name = structure
                .to_possible_value()
                .map_or(String::new(), |value| value.get_name().to_owned());
            for violation in tally.violations.iter().take(10) {
                println!("VIOLATION in {name}: {violation}");
            }
            if !tally.violations.is_empty() {
                whole = false;
                println!(
                    "again: cargo run --release -p fuzz -- torture --structure {name} --seed {seed} --threads {} --operations {}",
                    self.threads, tally.operations
                );
            }
        }
        println!("{}", if whole { "nothing is wrong" } else { "something is wrong" });
        if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn one(&self, structure: Structure, seed: u64, of: usize) -> Tally {
        let plan = Plan { threads: self.threads.into(), seed };
        let subject = structure.make(self.sabotage);
        // As `Domain` documents it, for all threads and those two that look and stall.
        let threads = plan.threads + 2;
        let bound = threads * (256 + threads * SLOTS);
        let time = Duration::from_secs_f64(self.minutes * 60.0 / of as f64);
        let (mut tally, began) = (Tally::default(), now());
        let (over, peak) = (AtomicBool::new(false), AtomicUsize::new(0));
        // Something to have in hand.
        subject.epoch(plan, 0, &mut tally);
        thread::scope(|scope| {
            let (subject, over, peak) = (&*subject, &over, &peak);
            let stalled = scope.spawn(move || {
                subject.stall(&mut || {
                    while !over.load(Ordering::Acquire) {
                        thread::park();
                    }
                });
            });
            let looking = scope.spawn(move || {
                while !over.load(Ordering::Acquire) {
                    peak.fetch_max(subject.garbage(), Ordering::Relaxed);
                    thread::park_timeout(LOOK);
                }
            });
            let mut told = now();
            for number in 1.. {
                let goes_on = match self.operations {
                    Some(operations) => tally.operations < operations,
                    None => began.elapsed() < time,
                };
                if !goes_on || !tally.violations.is_empty() {
                    break;
                }
                subject.epoch(plan, number, &mut tally);
                if told.elapsed().as_secs_f64() >= self.every {
                    told = now();
                    tally.peak = peak.load(Ordering::Relaxed);
                    tell(structure, &tally, bound, began.elapsed());
                }
            }
            over.store(true, Ordering::Release);
            for (name, thread) in [("stalled", stalled), ("looked", looking)] {
                thread.thread().unpark();
                if thread.join().is_err() {
                    tally.violations.push(format!("the thread that {name} panicked"));
                }
            }
        });
        tally.peak = peak.load(Ordering::Relaxed);
        if tally.peak > bound {
            tally
                .violations
                .push(format!("{} nodes were not freed, more than {bound}", tally.peak));
        }
        subject.end(&mut tally);
        tell(structure, &tally, bound, began.elapsed());
        tally
    }
}

fn tell(structure: Structure, tally: &Tally, bound: usize, elapsed: Duration) {
    println!(
        "{structure:?} {:.0} s: {} operations, {} threads came and went, {} judged, {} violations, garbage at most {} (bound {bound}), {} MiB",
        elapsed.as_secs_f64(),
        tally.operations,
        tally.threads,
        tally.judged,
        tally.violations.len(),
        tally.peak,
        resident_mib()
    );
}
