//! Purge: room for a new entry when the table is full.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::StickTable;
use super::expire::Fate;
use super::kill::Hands;
use crate::entry::Entry;
use crate::index::expiry::{Chain, ExpiryIndex};
use crate::tick::Tick;

/// What one purge spends on looking at entries, at most: [`ALIVE_COST`] for one that is alive, 1 for one that is dead.
/// The dead are taken off, so nobody meets them twice.
const SPENT_MAX: u32 = 256 * ALIVE_COST;
/// See [`SPENT_MAX`].
const ALIVE_COST: u32 = 16;
/// Entries that a refusing table looks at for one that is over.
const VISITED_MAX: u32 = 256;
/// Entries of one stack among which the oldest is looked for.
const CHAIN_MAX: u32 = 64;
/// Entries of the key index that are tried when the stacks gave none.
const SAMPLED: u64 = 32;

impl StickTable {
    /// Takes the oldest entry that nobody uses: the one that would expire first, or, where nothing expires, the one
    /// that was touched longest ago. Exact among the entries of one coarse tick, up to 64 of them. Returns whether
    /// there is room now.
    pub(super) fn make_room(&self, now: Tick) -> bool {
        if self.declaration.nopurge {
            // What is over makes room all the same.
            return self.expire(now, VISITED_MAX).expired > 0;
        }
        let mut left = SPENT_MAX;
        let mut after = None;
        while left > 0 {
            let Some((key, chain)) = self.expiry.take_after(after) else { break };
            if self.purge_chain(key, chain, now, &mut left, ExpiryIndex::put_back)
                || self.purge_chain(
                    key,
                    self.expiry.take_looked(key),
                    now,
                    &mut left,
                    ExpiryIndex::put_back_looked,
                )
            {
                return true;
            }
            after = Some(key);
        }
        // Nothing: all are in use, or other threads have the chains in hand.
        self.used() < self.declaration.size || self.purge_sampled(now)
    }

    /// Kills one that is over, or else the oldest, of the first entries of a chain, and puts the others back with
    /// `put_back`.
    fn purge_chain(
        &self,
        key: u64,
        mut chain: Chain,
        now: Tick,
        left: &mut u32,
        put_back: fn(&ExpiryIndex, u64, Chain) -> bool,
    ) -> bool {
        let mut others = Chain::EMPTY;
        let mut oldest: Option<(Tick, NonNull<Entry>)> = None;
        let mut freed = false;
        let mut looked = 0;
        while looked < CHAIN_MAX && *left > 0 && !freed {
            let Some(entry) = chain.pop() else { break };
            match self.settle(entry, |entry| self.is_over(entry, now)) {
                Fate::Gone => {
                    *left -= 1;
                    continue;
                }
                Fate::Killed => {
                    self.statistics.expired.fetch_add(1, Ordering::Relaxed);
                    freed = true;
                    continue;
                }
                Fate::Alive => {
                    *left = left.saturating_sub(ALIVE_COST);
                    looked += 1;
                }
            }
            // SAFETY: in hand, so FILED and not retired.
            let held = unsafe { entry.as_ref() };
            let expire = self.date(held, now);
            if self.expiry.is_later(expire, key) {
                // Touched since it was filed.
                self.file_again(entry, now);
            } else if held.life.load().references() != 0 {
                others.push(entry);
            } else if let Some((oldest_at, kept)) = oldest
                && oldest_at <= expire
            {
                debug_assert!(kept != entry);
                others.push(entry);
            } else if let Some((_, younger)) = oldest.replace((expire, entry)) {
                others.push(younger);
            }
        }
        if let Some((expire, entry)) = oldest {
            match self.settle(entry, |entry| !freed && self.date(entry, now) == expire) {
                Fate::Killed => {
                    self.statistics.purged.fetch_add(1, Ordering::Relaxed);
                    freed = true;
                }
                Fate::Gone => {}
                Fate::Alive => others.push(entry),
            }
        }
        let mut wake = put_back(&self.expiry, key, others);
        wake |= put_back(&self.expiry, key, chain);
        if wake && self.delay_ms() != 0 {
            self.wake_expiry();
        }
        freed
    }

    /// Kills the oldest unused of a few entries of the key index, from a place that differs from call to
    /// call.
    fn purge_sampled(&self, now: Tick) -> bool {
        let start = self.statistics.purged.load(Ordering::Relaxed) ^ now.0;
        for step in 0..SAMPLED {
            // The odd constant spreads the places over the index.
            let place = (start.wrapping_mul(SAMPLED) + step).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let Some(entry) = self.keys.near((place >> 32) as u32) else { continue };
            let seen = entry.life.load();
            // SAFETY: `entry` protects it.
            if unsafe { self.kill(entry.as_ptr(), seen, Hands::Elsewhere) } {
                self.sweep_after_kill();
                self.statistics.purged.fetch_add(1, Ordering::Relaxed);
                return true;
            }
        }
        false
    }
}
