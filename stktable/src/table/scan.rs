//! Looks at all entries that hold nobody up: filtered scans, and the entries with the largest values.

use core::cmp::Reverse;
use core::ops::ControlFlow;
use std::collections::BinaryHeap;

use super::{EntryRef, Filter, Glance, StickTable};
use crate::data::DataType;
use crate::index::keys::Position;
use crate::tick::Tick;

/// An entry and its value, by which it is compared; of equal ones by its id.
struct Ranked<'t> {
    value: i64,
    entry: EntryRef<'t>,
}

impl Ranked<'_> {
    fn rank(&self) -> (i64, u64) {
        (self.value, self.entry.id())
    }
}

impl PartialEq for Ranked<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Ranked<'_> {}

impl PartialOrd for Ranked<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked<'_> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl StickTable {
    /// Visits every entry that passes all filters, until `visit` breaks.
    ///
    /// An entry that is alive and passes during the whole call is visited once; of others it may be either. Entries that do not
    /// pass are only read: nothing of them is written, and none is held. Nobody waits for anybody, however long `visit`
    /// takes; it may use the table, and keep the entry. `O(n)`, in the order of the hash.
    ///
    /// # Errors
    /// What `visit` broke with.
    pub fn for_each_matching<B>(
        &self,
        filters: &[Filter],
        now: Tick,
        visit: impl FnMut(EntryRef<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.scan(now, |entry| Filter::all_pass(filters, entry, now), visit)
    }

    /// Walks over the entries that pass all filters; see [`Walk`](super::Walk). Where nothing else is done between two steps,
    /// [`for_each_matching`](Self::for_each_matching) is several times as fast.
    pub fn matching(&self, filters: &[Filter], now: Tick) -> impl Iterator<Item = EntryRef<'_>> {
        self.entries(now).filter(move |entry| Filter::all_pass(filters, entry.glance(), now))
    }

    /// Returns the `n` entries with the largest values of one element, [as fetches read it](Glance::fetch), largest first, each with what it
    /// had. Entries that read 0 or less are left out.
    ///
    /// Writers are not stopped: the readings are of different instants of the call, and may have changed since. Those that are
    /// returned are held. `O(m log n)` for `m` entries.
    ///
    /// ```
    /// # use stktable::{DataType, Declaration, Key, KeySpec, StickTable, Tick};
    /// let declaration = Declaration::builder("clients", KeySpec::INTEGER).size(100).store(DataType::Gpc0).build()?;
    /// let table = StickTable::new(declaration);
    /// for client in 0..50 {
    ///     table.get_or_create(&Key::from(client), Tick(1))?.set(DataType::Gpc0, 0, client.into(), Tick(1))?;
    /// }
    /// let top = table.top(3, DataType::Gpc0, 0, Tick(1));
    /// assert!(top.iter().map(|(_, value)| *value).eq([49, 48, 47]));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn top(
        &self,
        n: usize,
        data_type: DataType,
        element: u32,
        now: Tick,
    ) -> Vec<(EntryRef<'_>, i64)> {
        let mut largest: BinaryHeap<Reverse<Ranked<'_>>> = BinaryHeap::new();
        let floor = core::cell::Cell::new(0);
        // One value for a look, and again for an entry in hand: it may have changed.
        let read = |entry: Glance<'_>| entry.fetch(data_type, element, now).unwrap_or(0);
        let rises = |entry: Glance<'_>| n > 0 && read(entry) > floor.get();
        let _: ControlFlow<()> = self.scan(now, rises, |entry| {
            largest.push(Reverse(Ranked { value: read(entry.glance()), entry }));
            if largest.len() > n {
                largest.pop();
            }
            if largest.len() == n
                && let Some(Reverse(last)) = largest.peek()
            {
                floor.set(last.value.max(0));
            }
            ControlFlow::Continue(())
        });
        largest.into_sorted_vec().into_iter().map(|Reverse(one)| (one.entry, one.value)).collect()
    }

    /// Visits every entry alive of which `passes` says so. `passes` reads, and keeps nothing.
    fn scan<'t, B>(
        &'t self,
        now: Tick,
        passes: impl Fn(Glance<'_>) -> bool,
        mut visit: impl FnMut(EntryRef<'t>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.observe(now);
        self.keys.visit(&mut Position::default(), |pointer| {
            // SAFETY: protected during the call.
            let entry = unsafe { pointer.as_ref() };
            let passes = self.glance(entry, now).is_some_and(&passes);
            if !passes || !entry.life.take_reference() {
                return ControlFlow::Continue(());
            }
            visit(EntryRef::new(self, pointer))
        })
    }
}
