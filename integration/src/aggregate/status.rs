//! What there is to know of an aggregate.

use super::Rule;
use stktable::DataType;

/// How an aggregate is, at the end of its last pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AggregateStatus {
    /// The section.
    pub section: String,
    /// The table of the sources.
    pub from: String,
    /// The table that is published.
    pub into: String,
    /// Whether every expected source is in the sums.
    pub complete: bool,
    /// The sources.
    pub sources: Vec<SourceStatus>,
    /// How types are combined, that which they become last.
    pub rules: Vec<(DataType, Rule, DataType)>,
    /// Passes over what changed.
    pub passes: u64,
    /// Keys that were combined.
    pub combined: u64,
    /// Entries that were written since their sums differed.
    pub published: u64,
    /// Entries that were told again before they expire.
    pub refreshed: u64,
    /// Keys for which there was no room.
    pub refused: u64,
    /// Values cut to what their type holds.
    pub saturated: u64,
    /// How long the last pass took, in milliseconds.
    pub pass_ms: u64,
}

impl AggregateStatus {
    /// Returns how many sources are in the sums with everything they have.
    #[must_use]
    pub fn sources_in(&self) -> usize {
        self.sources.iter().filter(|source| source.is_in()).count()
    }
}

/// How a source is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceStatus {
    /// Its name.
    pub peer: String,
    /// Whether a session with it is up.
    pub up: bool,
    /// Whether it has told everything since then.
    pub told: bool,
    /// Whether that is the whole of what it speaks of: not where it makes sums itself, of sources that it lacks.
    pub whole: bool,
    /// Whether what it told last is part of the sums.
    pub counts: bool,
    /// For how long it has had no session, in milliseconds.
    pub lost_ms: Option<u64>,
    /// Keys that it has.
    pub keys: u32,
    /// Changes that are not in the sums yet, about.
    pub behind: u64,
}

impl SourceStatus {
    /// Returns whether it is in the sums with everything it has.
    #[must_use]
    pub const fn is_in(&self) -> bool {
        self.up && self.told && self.whole && self.counts
    }
}
