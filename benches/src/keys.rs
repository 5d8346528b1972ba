//! Which key is next.

use rand::SeedableRng;
use rand::distr::{Distribution, Uniform};
use rand::rngs::SmallRng;
use rand_distr::Zipf;

use crate::random::{Random, mix};

/// How keys are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Spread {
    /// Each as often as any other.
    Uniform,
    /// By Zipf's law with exponent 1.1.
    Zipf,
}

impl Spread {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Uniform, Self::Zipf];

    /// Returns the name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf 1.1",
        }
    }
}

/// Numbers of clients, drawn beforehand, so that drawing costs nobody anything.
pub(crate) struct Sequence(Vec<u32>);

/// Numbers of a batch.
pub(crate) const BATCH: u64 = 64;
/// Batches in a sequence.
const BATCHES: u64 = 1 << 14;

impl Sequence {
    /// Draws numbers below `n`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below n")]
    pub(crate) fn new(n: u32, spread: Spread) -> Self {
        let mut random = SmallRng::seed_from_u64(1);
        let zipf = Zipf::new(f64::from(n), 1.1).expect("a valid law");
        let uniform = Uniform::new(0, n).expect("not empty");
        let draw = |_| match spread {
            Spread::Uniform => uniform.sample(&mut random),
            // The frequent ones are not the first ones created.
            Spread::Zipf => (mix(zipf.sample(&mut random) as u64) % u64::from(n)) as u32,
        };
        Self((0..BATCH * BATCHES).map(draw).collect())
    }

    /// Returns a batch, from anywhere.
    pub(crate) fn batch(&self, random: &mut Random) -> &[u32] {
        let at = |batch| usize::try_from(batch * BATCH).expect("an index");
        let batch = random.below(BATCHES);
        &self.0[at(batch)..at(batch + 1)]
    }
}

/// Where the keys of a map come from: spread evenly they are computed, otherwise from a sequence.
pub(crate) enum Keys {
    Computed(u64),
    Drawn(Sequence),
}

impl Keys {
    /// Numbers below `n`.
    pub(crate) fn new(n: u64, spread: Spread) -> Self {
        match spread {
            Spread::Uniform => Self::Computed(n),
            Spread::Zipf => {
                Self::Drawn(Sequence::new(u32::try_from(n).expect("at most 2^32 keys"), spread))
            }
        }
    }

    /// Begins to draw.
    pub(crate) fn draw<'k>(&'k self, random: &'k mut Random) -> Draw<'k> {
        Draw { keys: self, batch: [].iter(), random }
    }
}

/// Numbers, one after the other.
pub(crate) struct Draw<'k> {
    keys: &'k Keys,
    batch: std::slice::Iter<'k, u32>,
    pub(crate) random: &'k mut Random,
}

impl Draw<'_> {
    pub(crate) fn next(&mut self) -> u64 {
        match self.keys {
            Keys::Computed(n) => self.random.below(*n),
            Keys::Drawn(sequence) => loop {
                if let Some(number) = self.batch.next() {
                    return u64::from(*number);
                }
                self.batch = sequence.batch(self.random).iter();
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zipf_prefers_a_few_and_uniform_none() {
        let most_often = |spread| {
            let (keys, mut random) = (Keys::new(1000, spread), Random::new(1));
            let mut draw = keys.draw(&mut random);
            let mut counts = [0_u32; 1000];
            for _ in 0..50_000 {
                counts[usize::try_from(draw.next()).unwrap()] += 1;
            }
            *counts.iter().max().unwrap()
        };
        // A fifth of all, and about fifty.
        assert!(most_often(Spread::Zipf) > 5_000);
        assert!(most_often(Spread::Uniform) < 150);
    }
}
