//! Walks over all entries of a table.

use core::ops::ControlFlow;

use super::kill::Sweep;
use super::{EntryRef, Filter, Glance, StickTable};
use crate::index::keys::Position;
use crate::key::Key;
use crate::tick::Tick;

/// A walk over all entries. It holds nothing between two steps, so it may rest as long as it likes.
///
/// An entry that is alive during the whole walk is returned, or visited, once; one that comes or goes meanwhile may or
/// may not be. The order is that of the hash.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    position: Position,
    /// What [`remove`](Self::remove) has to do when it is through.
    sweep: Option<Sweep>,
}

impl Walk {
    /// Begins a walk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a walk behind the place of a key, which need not be there: what a walk that rested there would go on with. Behind a key of
    /// another table's type there is nothing.
    #[must_use]
    pub fn after(table: &StickTable, key: &Key) -> Self {
        Self { position: table.keys.after(table.canonical(key)), sweep: None }
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
        self.visit_all(table, now, |entry| {
            if table.is_there(entry, now) { visit(entry) } else { ControlFlow::Continue(()) }
        })
    }

    /// The same with entries that are dead, or over.
    pub(super) fn visit_all(
        &mut self,
        table: &StickTable,
        now: Tick,
        mut visit: impl FnMut(Glance<'_>) -> ControlFlow<()>,
    ) -> bool {
        table.observe(now);
        let visited = table.keys.visit(&mut self.position, |pointer| {
            // SAFETY: protected during the call.
            visit(Glance::new(table, unsafe { pointer.as_ref() }))
        });
        visited.is_break()
    }

    /// Removes the next entries that pass all filters and are not in use, and looks at no more than `budget`. Returns whether there may be
    /// more. Peers are not told.
    ///
    /// So a large table is cleared in slices that hold nobody up, between which whoever clears it does something else; when all are
    /// removed, their memory is given back in slices too. An entry that is changed while it is looked at is looked at again.
    pub fn remove(
        &mut self,
        table: &StickTable,
        filters: &[Filter],
        budget: u32,
        now: Tick,
    ) -> bool {
        if self.sweep.is_none() {
            let mut left = budget;
            let more = self.visit_all(table, now, |entry| {
                table.remove_seen(entry, now, |entry| Filter::all_pass(filters, entry, now));
                left = left.saturating_sub(1);
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            if more {
                return true;
            }
        }
        self.sweep.get_or_insert_with(|| Sweep::new(table)).next(table, budget)
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
