//! Walks over all entries of a table.

use core::ops::ControlFlow;

use super::{EntryRef, Glance, StickTable};
use crate::index::keys::Position;
use crate::tick::Tick;

/// A walk over all entries. It holds nothing between two steps, so it may rest as long as it likes.
///
/// An entry that is alive during the whole walk is returned, or visited, once; one that comes or goes meanwhile may or
/// may not be. The order is that of the hash.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    position: Position,
}

impl Walk {
    /// Begins a walk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the next entry that is alive and not over.
    pub fn next<'t>(&mut self, table: &'t StickTable, now: Tick) -> Option<EntryRef<'t>> {
        loop {
            let entry = table.keys.next(&mut self.position)?;
            if let Some(held) = table.enter(&entry, now) {
                return Some(held);
            }
        }
    }

    /// Visits the entries from here on that are alive and not over, until `visit` breaks: then the walk rests behind that entry, and true
    /// is returned. False says that the end was reached.
    ///
    /// Several times as fast as [`next`](Self::next): no reference is taken, no key copied, and what comes next is fetched beforehand.
    /// `visit` may use this and other tables, and holds up nobody; but what dies while it is inside is freed only as the walk goes on, so
    /// one that is going to wait had better break.
    pub fn visit(
        &mut self,
        table: &StickTable,
        now: Tick,
        mut visit: impl FnMut(Glance<'_>) -> ControlFlow<()>,
    ) -> bool {
        table.observe(now);
        let visited = table.keys.visit(&mut self.position, |pointer| {
            // SAFETY: protected during the call.
            let entry = unsafe { pointer.as_ref() };
            table.glance(entry, now).map_or(ControlFlow::Continue(()), &mut visit)
        });
        visited.is_break()
    }
}

impl StickTable {
    /// Walks over all entries.
    pub fn entries(&self, now: Tick) -> impl Iterator<Item = EntryRef<'_>> {
        self.observe(now);
        let mut walk = Walk::new();
        core::iter::from_fn(move || walk.next(self, now))
    }

    /// Visits all entries; see [`Walk::visit`].
    pub fn for_each(&self, now: Tick, mut visit: impl FnMut(Glance<'_>)) {
        Walk::new().visit(self, now, |entry| {
            visit(entry);
            ControlFlow::Continue(())
        });
    }
}
