//! How look-ups would scale on machines with more cores than this one: a model whose parts are measured here, which is checked on two
//! cores before it says anything of more.

pub mod model;
mod probe;
mod tell;

use std::process::ExitCode;
use std::time::Duration;

use ::probes::Operation;

use self::model::Design;
use self::probe::Probe;
use self::tell::{Checked, Findings};
use crate::contestant::Who;
use crate::interleave::{Contestant, Plan, interleave, quantile};
use crate::keys::Spread;
use crate::workload::Workload;
use crate::{cpu, instructions, tree};

/// Predicts how look-ups scale, from a model that is checked on two cores first.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Numbers of cores to predict for.
    #[arg(long, value_delimiter = ',', default_value = "16,64,128", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    cores: Vec<u32>,
    /// How often everybody has a turn, with one thread and with two.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// The length of a turn in milliseconds.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    slice_ms: u64,
}

impl Arguments {
    /// Measures, checks, and predicts. Fails where a check does.
    #[must_use]
    pub fn run(self) -> ExitCode {
        if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
            eprintln!("one core: the model cannot be checked, so nothing is predicted");
            return ExitCode::FAILURE;
        }
        let findings = self.measure();
        print!("{}", tell::markdown(&findings, &self.cores));
        if findings.designs.iter().all(Checked::holds) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn measure(&self) -> Findings {
        let meter = cpu::Others::start();
        let arena = tree::Arena::of(Workload::Get, Spread::Uniform, ENTRIES, |who| {
            [tree::PLAIN, tree::FANNED_OUT, MUTEX, RW_LOCK, SHARDED].contains(&who.name.as_str())
        });
        // How long the sections are that locks are measured with: those of the maps.
        let steps = probe::steps_of_a_nanosecond();
        let with = |mut probes: Vec<_>| {
            probes.extend(arena.contestants());
            probes
        };
        let first = self.rates(&with(probes([0; 3])), self.rounds.div_ceil(3));
        let taken = |name: &str| first.taken(name, 1);
        let section = |map: &str, lock: &str| whole((taken(map) - taken(lock)).max(0.0) * steps);
        let sections = [
            section(MUTEX, MUTEX_PROBE),
            section(RW_LOCK, RW_LOCK_PROBE),
            section(SHARDED, SHARDED_PROBE),
        ];
        let rates = self.rates(&with(probes(sections)), self.rounds);
        let transfer = probe::transfer();
        let locks = Locks { first: &first, rates: &rates, transfer };
        Findings { others: meter.part(), quantities: locks.quantities(), designs: locks.designs() }
    }

    /// Lets all take turns with one thread, and then with two, over and over.
    fn rates(&self, contestants: &[Contestant<'_>], rounds: u16) -> Rates {
        let slice = Duration::from_millis(self.slice_ms);
        let mut all: Vec<(String, [Vec<f64>; 2])> = Vec::new();
        for _ in 0..rounds {
            for threads in [1, 2] {
                let plan = Plan { slices: 1, samples: 0, slice, threads };
                for (at, one) in interleave(contestants, plan).into_iter().enumerate() {
                    if at == all.len() {
                        all.push((one.who.name, [Vec::new(), Vec::new()]));
                    }
                    // Slices that nobody disturbed alone.
                    if one.waited <= DISTURBED {
                        all[at].1[threads - 1].push(one.mops);
                    }
                }
            }
        }
        let rate = |mops: &Vec<f64>| {
            if mops.len() < ENOUGH { f64::NAN } else { quantile(mops, 0.5) / 1e3 }
        };
        Rates(all.into_iter().map(|(name, mops)| (name, mops.each_ref().map(rate))).collect())
    }
}

/// The part of a slice in which threads may have waited for a processor that others had.
const DISTURBED: f64 = 0.02;
/// As many slices have to be undisturbed.
const ENOUGH: usize = 5;
/// As many as the tree has whose instructions are counted.
const ENTRIES: u64 = 10_000;
const SHARDS: u32 = 64;

const MUTEX: &str = "Mutex<BTreeMap>";
const RW_LOCK: &str = "RwLock<BTreeMap>";
const SHARDED: &str = "64 × RwLock<BTreeMap>";
const KEY: &str = "drawing a key";
const ATOMIC: &str = "an atomic addition";
const MUTEX_PROBE: &str = "a mutex around nothing, or a section";
const RW_LOCK_PROBE: &str = "a reader-writer lock around nothing, or a section";
const SHARDED_PROBE: &str = "one of 64 of those around nothing, or a section";

fn probes([mutex, rw_lock, sharded]: [u32; 3]) -> Vec<Contestant<'static>> {
    [
        (KEY, Probe::Key),
        (ATOMIC, Probe::Atomic(Box::default())),
        (MUTEX_PROBE, Probe::Mutex(Box::default(), mutex)),
        (RW_LOCK_PROBE, Probe::rw_locks(1, rw_lock)),
        (SHARDED_PROBE, Probe::rw_locks(SHARDS, sharded)),
    ]
    .map(|(name, probe)| Contestant::new(Who::locked(name), probe))
    .into()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "hundreds")]
fn whole(steps: f64) -> u32 {
    steps.round() as u32
}

/// Operations in a nanosecond of each, with one thread and with two.
struct Rates(Vec<(String, [f64; 2])>);

impl Rates {
    fn rate(&self, name: &str, threads: usize) -> f64 {
        let (_, rates) = self.0.iter().find(|(one, _)| one == name).expect("it took part");
        rates[threads - 1]
    }

    /// Nanoseconds of an operation, for a thread.
    fn taken(&self, name: &str, threads: u32) -> f64 {
        f64::from(threads) / self.rate(name, threads as usize)
    }
}

/// Makes the model's parts of what was measured.
struct Locks<'r> {
    /// With locks around nothing.
    first: &'r Rates,
    /// With locks around sections as long as those of the maps.
    rates: &'r Rates,
    transfer: f64,
}

impl Locks<'_> {
    fn quantities(&self) -> Vec<(String, f64)> {
        let one = |name: &str| (format!("{name}, alone"), self.first.taken(name, 1));
        let two = |name: &str| {
            let what = format!("{name}, two cores at once, one after the other");
            (what, 1.0 / self.first.rate(name, 2))
        };
        let mut all = vec![
            ("a cache line from core to core".to_owned(), self.transfer),
            one(KEY),
            one(ATOMIC),
            two(ATOMIC),
            one(MUTEX_PROBE),
            one(RW_LOCK_PROBE),
            one(SHARDED_PROBE),
        ];
        let record = include_str!("../instructions.txt");
        for (name, operation) in
            [(tree::PLAIN, Operation::Get), (tree::FANNED_OUT, Operation::GetFanned)]
        {
            if let Some(count) = instructions::recorded(record, operation) {
                #[expect(clippy::cast_precision_loss, reason = "hundreds")]
                let each = self.rates.taken(name, 1) / count as f64;
                all.push((format!("one of the {count} instructions of a look-up, {name}"), each));
            }
        }
        all
    }

    fn designs(&self) -> Vec<Checked> {
        let (key, taken) = (self.first.taken(KEY, 1), |name: &str| self.rates.taken(name, 1));
        // What two cores lose to each other at a mutex around a section as long.
        let lost = 1.0 / self.rates.rate(MUTEX_PROBE, 2) - (self.rates.taken(MUTEX_PROBE, 1) - key);
        let inside = taken(MUTEX) - key;
        let mutex = Design {
            delay: key,
            alone: inside,
            contended: inside + if lost < 0.0 { 0.0 } else { lost },
            stations: 1,
            transfer: 0.0,
        };
        let word = (self.first.taken(RW_LOCK_PROBE, 1) - key).max(0.0);
        let around = self.rates.taken(RW_LOCK_PROBE, 1) - word;
        let rw_lock = Design {
            delay: taken(RW_LOCK) - word,
            alone: word,
            contended: model::service(around, self.rates.taken(RW_LOCK_PROBE, 2)),
            stations: 1,
            transfer: 0.0,
        };
        // Of two cores, each finds every second line with the other one.
        let fetched = 2.0 * (self.rates.taken(SHARDED_PROBE, 2) - taken(SHARDED_PROBE));
        let sharded = Design {
            delay: taken(SHARDED) - word,
            alone: word,
            contended: word,
            stations: SHARDS,
            transfer: if fetched < 0.0 { 0.0 } else { fetched },
        };
        let lock_free = |name| Design::lock_free(taken(name));
        let designs = [
            (tree::PLAIN, lock_free(tree::PLAIN)),
            (tree::FANNED_OUT, lock_free(tree::FANNED_OUT)),
            (MUTEX, mutex),
            (RW_LOCK, rw_lock),
            (SHARDED, sharded),
        ];
        designs
            .map(|(name, design)| Checked {
                name,
                design,
                measured: [1, 2].map(|threads| self.rates.rate(name, threads)),
            })
            .into()
    }
}
