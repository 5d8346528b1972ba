//! Which client is next: drawn beforehand, so that drawing costs nobody anything.

use rand::SeedableRng;
use rand::distr::{Distribution, Uniform};
use rand::rngs::SmallRng;
use rand_distr::Zipf;

use super::BATCH;
use crate::random::{Random, mix};

/// How clients are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Each as often as any other.
    Uniform,
    /// By Zipf's law with exponent 1.1.
    Zipf,
}

impl Spread {
    /// Returns the name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf 1.1",
        }
    }
}

/// Numbers of clients.
pub(super) struct Sequence(Vec<u32>);

/// Batches in a sequence.
const BATCHES: u64 = 1 << 14;

impl Sequence {
    /// Draws numbers below `n`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below n")]
    pub(super) fn new(n: u32, spread: Spread) -> Self {
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
    pub(super) fn batch(&self, random: &mut Random) -> &[u32] {
        let at = |batch| usize::try_from(batch * BATCH).expect("an index");
        let batch = random.below(BATCHES);
        &self.0[at(batch)..at(batch + 1)]
    }
}
