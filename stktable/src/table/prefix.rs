//! The entries whose keys begin alike: of a network, say.

use core::ops::{Bound, ControlFlow};

use super::{Glance, Removed, StickTable, Walk};
use crate::index::ordered::{Element, OrderedIndex};
use crate::key::{Key, Prefix};
use crate::tick::Tick;

/// A walk over the entries of a [`Prefix`]. It holds nothing between two steps, so it may rest as long as it likes.
///
/// An entry that is alive during the whole walk is visited once; one that comes or goes meanwhile may or may not be, and one that takes the
/// key of another that was visited and then died, too.
///
/// In a table that is [ordered](super::Options::ordered) the order is that of the keys, and the walk takes the time of a look-up for each
/// entry of the prefix; in another it is that of the hash, and the walk looks at every entry of the table.
#[derive(Clone, Debug)]
pub struct PrefixWalk {
    prefix: Prefix,
    /// The place in an ordered table.
    last: Option<Element>,
    /// The place in another.
    walk: Walk,
}

impl PrefixWalk {
    /// Begins a walk.
    #[must_use]
    pub fn new(prefix: Prefix) -> Self {
        Self { prefix, last: None, walk: Walk::new() }
    }

    /// Begins a walk behind the place of a key, which need not be there.
    #[must_use]
    pub fn after(prefix: Prefix, table: &StickTable, key: &Key) -> Self {
        let last = Element::behind(key.as_bytes());
        Self { prefix, last: Some(last), walk: Walk::after(table, key) }
    }

    /// Visits the entries from here on that are alive and not over, until `visit` breaks; see [`Walk::visit`]. A prefix for keys
    /// of another type has none.
    pub fn visit(
        &mut self,
        table: &StickTable,
        now: Tick,
        mut visit: impl FnMut(Glance<'_>) -> ControlFlow<()>,
    ) -> bool {
        if self.prefix.ty() != table.declaration.key.ty() {
            return false;
        }
        if let Some(ordered) = &table.ordered {
            return self.visit_ordered(table, ordered, now, visit);
        }
        let prefix = &self.prefix;
        self.walk.visit(table, now, |entry| {
            if prefix.contains_bytes(entry.key_bytes()) {
                visit(entry)
            } else {
                ControlFlow::Continue(())
            }
        })
    }

    fn visit_ordered(
        &mut self,
        table: &StickTable,
        ordered: &OrderedIndex,
        now: Tick,
        mut visit: impl FnMut(Glance<'_>) -> ControlFlow<()>,
    ) -> bool {
        table.observe(now);
        let first = Element::before(self.prefix.as_bytes());
        let last = self.last.as_ref().filter(|last| last.bytes() >= first.bytes());
        let from = last.map_or(Bound::Included(&first), Bound::Excluded);
        let broken = ordered.visit(from, |element| {
            if !self.prefix.contains_bytes(element.bytes()) {
                return ControlFlow::Break(None);
            }
            let probe = table.keys.probe(element.bytes());
            let visited = table.keys.get_with(probe, |entry| {
                let glance = table.glance(entry, now).filter(|_| ordered.is_of(element, entry));
                glance.map_or(ControlFlow::Continue(()), &mut visit)
            });
            visited.unwrap_or(ControlFlow::Continue(())).map_break(|()| Some(element.clone()))
        });
        match broken {
            ControlFlow::Break(Some(at)) => {
                self.last = Some(at);
                true
            }
            ControlFlow::Break(None) | ControlFlow::Continue(()) => false,
        }
    }
}

impl StickTable {
    /// Returns whether the table keeps the order of its keys: whether it was made with
    /// [`Options::ordered`](super::Options::ordered).
    #[must_use]
    pub const fn is_ordered(&self) -> bool {
        self.ordered.is_some()
    }

    /// Visits the entries whose keys begin with a prefix; see [`PrefixWalk`].
    ///
    /// # Examples
    /// ```
    /// use stktable::table::{Options, StickTable};
    /// use stktable::{Declaration, KeySpec, Tick};
    ///
    /// let declaration = Declaration::builder("clients", KeySpec::IP).size(1000).build()?;
    /// let table = StickTable::with(declaration, Options::new().ordered());
    /// for client in ["192.0.2.9", "198.51.100.1", "192.0.2.10"] {
    ///     table.get_or_create(&KeySpec::IP.parse(client)?, Tick(1_000))?;
    /// }
    /// let network = KeySpec::IP.parse_prefix("192.0.2.0/24")?;
    /// let mut found = Vec::new();
    /// table.for_each_in(&network, Tick(1_000), |entry| found.push(entry.key().to_string()));
    /// assert_eq!(found, ["192.0.2.9", "192.0.2.10"]);
    /// assert_eq!(table.clear_prefix(&network, Tick(1_000)), (2, 0));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn for_each_in(&self, prefix: &Prefix, now: Tick, mut visit: impl FnMut(Glance<'_>)) {
        PrefixWalk::new(prefix.clone()).visit(self, now, |entry| {
            visit(entry);
            ControlFlow::Continue(())
        });
    }

    /// Removes the entries whose keys begin with a prefix and that are not in use. Returns how many were removed, and how many were in
    /// use. Peers are not told.
    pub fn clear_prefix(&self, prefix: &Prefix, now: Tick) -> (u32, u32) {
        let (mut removed, mut busy) = (0, 0);
        self.for_each_in(prefix, now, |entry| match self.remove_seen(entry, now, |_| true) {
            Removed::Removed => removed += 1,
            Removed::Busy => busy += 1,
            Removed::Missing => {}
        });
        self.sweep_after_many();
        (removed, busy)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::declare::Declaration;
    use crate::key::KeySpec;
    use crate::table::Options;

    /// However entries end, and whoever loses the race to create one, there is an element for each that is alive.
    #[test]
    fn there_is_an_element_for_each_entry() {
        let size = 50;
        let declaration = Declaration::builder("t", KeySpec::INTEGER)
            .size(size)
            .expire_ms(1_000)
            .build()
            .unwrap();
        let table = StickTable::with(declaration, Options::new().ordered());
        let key = |number: u32| KeySpec::INTEGER.key(&number.to_be_bytes()).unwrap();
        std::thread::scope(|scope| {
            let table = &table;
            for id in 0..4 {
                scope.spawn(move || {
                    for step in 0..5_000_u32 {
                        let now = Tick(u64::from(step));
                        let number = step * 7 % 80;
                        match (step + id) % 16 {
                            0 => drop(table.expire(now, 20)),
                            1 | 2 => drop(table.remove(&key(number), now)),
                            3 if step % 512 == 3 => drop(table.clear(now)),
                            _ => drop(table.get_or_create(&key(number), now)),
                        }
                    }
                });
            }
        });
        let len = || table.ordered.as_ref().unwrap().len();
        assert_eq!(len(), table.used() as usize);
        assert!(table.metrics().purged > 0 && table.metrics().removed > 0);
        while table.expire(Tick(1_000_000), 100).more {}
        assert_eq!(len(), 0);
    }
}
