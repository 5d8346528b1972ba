//! What a table counts of itself.

use core::sync::atomic::Ordering;

use super::StickTable;
use crate::sync::AtomicU64;

/// Counts since the table was made.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    pub(super) created: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) purged: AtomicU64,
    pub(super) removed: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) names_refused: AtomicU64,
}

/// What a table looks like at one moment; see [`StickTable::metrics`].
///
/// When nobody is using the table, `created` is the sum of `used`, `expired`, `purged` and `removed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// The most entries there can be.
    pub size: u32,
    /// Entries alive.
    pub used: u32,
    /// Entries created since the table was made.
    pub created: u64,
    /// Entries that were over when they were taken.
    pub expired: u64,
    /// Entries that were taken to make room: evicted.
    pub purged: u64,
    /// Entries that were removed by key, cleared, or taken by a filter or a prefix.
    pub removed: u64,
    /// Creations that failed for lack of room.
    pub refused: u64,
    /// Different names that entries have in `server_key`.
    pub names: u32,
    /// Names that were too long, or one too many.
    pub names_refused: u64,
    /// Dead entries that an expiry stack still holds.
    pub dead: u32,
    /// How many milliseconds ago the oldest tick came due that nobody has swept yet: how far whoever calls
    /// [`StickTable::expire`] is behind. By the latest time that anybody called the table with. Ticks are up to 4 s
    /// long, and due at their end; an entry that is over is absent all the same.
    pub expiry_lag_ms: u64,
    /// Nodes and entries given up and not freed yet, in the table's [`Domain`](ebtree::Domain). Tables that share one, as
    /// they do unless told otherwise, show the same number.
    pub unreclaimed: usize,
}

impl StickTable {
    /// Returns what the table looks like now. Each number is exact; together they are not of one instant.
    ///
    /// Lock-free; a few loads, and one search for the first tick.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let Statistics { created, expired, purged, removed, refused, .. } = &self.statistics;
        let (names, names_refused) = self.names_kept_and_refused();
        Metrics {
            size: self.declaration.size,
            used: self.used(),
            created: created.load(Ordering::Relaxed),
            expired: expired.load(Ordering::Relaxed),
            purged: purged.load(Ordering::Relaxed),
            removed: removed.load(Ordering::Relaxed),
            refused: refused.load(Ordering::Relaxed),
            names,
            names_refused,
            dead: u32::try_from(self.expiry.dead.load(Ordering::Relaxed)).unwrap_or(0),
            expiry_lag_ms: self.next_due().map_or(0, |due| self.clock().since(due)),
            unreclaimed: self.keys.forest().domain().unreclaimed(),
        }
    }
}
