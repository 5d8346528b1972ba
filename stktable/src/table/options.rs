//! What a table is made with, beside its declaration.

use core::fmt;

use ebtree::Domain;

use super::{NAMES_MAX, Wake};

/// How a table is made, beside its declaration.
pub struct Options {
    pub(super) wake: Option<Box<dyn Wake>>,
    pub(super) domain: Option<Domain>,
    pub(super) last_update: u64,
    pub(super) ordered: bool,
    pub(super) names_max: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { wake: None, domain: None, last_update: 0, ordered: false, names_max: NAMES_MAX }
    }
}

impl Options {
    /// Begins with what [`StickTable::new`](super::StickTable::new) takes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whom the table wakes.
    #[must_use]
    pub fn wake(mut self, wake: impl Wake + 'static) -> Self {
        self.wake = Some(Box::new(wake));
        self
    }

    /// Sets the domain through which memory is reclaimed, in place of the one all tables share.
    #[must_use]
    pub fn domain(mut self, domain: Domain) -> Self {
        self.domain = Some(domain);
        self
    }

    /// Sets the update sequence that was used last; the first update gets the next one. For a table whose peers
    /// remember it, and for tests near the wrap of the 32 bits that travel.
    #[must_use]
    pub fn last_update(mut self, seq: u64) -> Self {
        self.last_update = seq;
        self
    }

    /// Keeps the order of the keys, for queries by [prefix](super::PrefixWalk): for a node, a leaf and 8 bytes more of memory to an entry, and
    /// an insertion and a removal more in its life. Without, such a query looks at the whole table.
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// Sets how many different names the entries may have in `server_key`, in place of [`NAMES_MAX`]. Each takes up to
    /// [`NAME_LEN_MAX`](super::NAME_LEN_MAX) bytes, and some 200 more.
    #[must_use]
    pub fn names_max(mut self, names_max: u32) -> Self {
        self.names_max = names_max;
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("last_update", &self.last_update).finish_non_exhaustive()
    }
}
