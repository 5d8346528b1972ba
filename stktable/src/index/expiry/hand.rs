//! Entries of several ticks in one thread's hands, which come from memory side by side.
//!
//! A chain is read one entry after the other, and each is a cache miss where the table is large. So several chains are taken at
//! once, the next entry of each is asked for while the others are dealt with, and what is to be read of the key index is asked for some
//! entries beforehand.

use core::ptr::NonNull;
use std::collections::VecDeque;

use super::{Chain, ExpiryIndex};
use crate::entry::Entry;
use crate::index::keys::KeyIndex;
use crate::sync::prefetch;
use crate::tick::Tick;

/// Chains in hand at once. A tick has several stacks, and each two chains.
const CHAINS: usize = 8;
/// Entries that are dealt with one after the other.
const GROUP: usize = if cfg!(loom) { 1 } else { 16 };

/// What a sweep has in hand. What is left when it goes is put back: also when a value that the sweep frees panics.
#[derive(Debug)]
pub(crate) struct Hand<'t> {
    index: &'t ExpiryIndex,
    keys: &'t KeyIndex,
    now: Tick,
    /// How many entries may still be taken off the chains.
    budget: usize,
    chains: Vec<(u64, Chain)>,
    /// Off the chains, the roots of their trees asked for.
    ready: VecDeque<(u64, NonNull<Entry>)>,
    /// Of these, from the first on, what the roots lead to was asked for too.
    warm: usize,
}

impl<'t> Hand<'t> {
    /// Up to `budget` entries of ticks that are due `now`.
    pub(crate) fn new(index: &'t ExpiryIndex, keys: &'t KeyIndex, now: Tick, budget: u32) -> Self {
        Self {
            index,
            keys,
            now,
            budget: budget as usize,
            chains: Vec::new(),
            ready: VecDeque::new(),
            warm: 0,
        }
    }

    /// Takes the next entry.
    pub(crate) fn pop(&mut self) -> Option<NonNull<Entry>> {
        if self.warm == 0 {
            self.fill();
            for (_, entry) in self.ready.iter().take(GROUP) {
                // SAFETY: in hand, so not retired.
                self.keys.prefetch_first(unsafe { entry.as_ref() });
                self.warm += 1;
            }
        }
        self.warm = self.warm.saturating_sub(1);
        self.ready.pop_front().map(|(_, entry)| entry)
    }

    /// Makes two groups ready, as far as there are so many entries.
    fn fill(&mut self) {
        while self.ready.len() < 2 * GROUP && self.budget > 0 {
            if self.chains.is_empty() && !self.take() {
                return;
            }
            let Self { keys, ready, budget, chains, .. } = self;
            chains.retain_mut(|(key, chain)| {
                if *budget > 0
                    && let Some(entry) = chain.pop()
                {
                    *budget -= 1;
                    // SAFETY: in hand, so not retired.
                    keys.prefetch_root(unsafe { entry.as_ref() });
                    ready.push_back((*key, entry));
                }
                prefetch(chain.0);
                !chain.is_empty()
            });
        }
    }

    /// Takes the chains of the next ticks that are due. Returns whether there were any.
    fn take(&mut self) -> bool {
        while self.chains.len() + 2 <= CHAINS {
            let Some((key, chains)) = self.index.take_due(self.now) else { break };
            for chain in chains {
                if !chain.is_empty() {
                    prefetch(chain.0);
                    self.chains.push((key, chain));
                }
            }
        }
        !self.chains.is_empty()
    }
}

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        for (key, entry) in self.ready.drain(..) {
            let mut chain = Chain::EMPTY;
            chain.push(entry);
            self.chains.push((key, chain));
        }
        for (key, chain) in self.chains.drain(..) {
            // Nobody is woken for this: whoever swept is told that there is more.
            let _ = self.index.put_back(key, chain);
        }
    }
}
