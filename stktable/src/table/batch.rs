//! Many keys at once: their look-ups go side by side.
//!
//! A look-up in a large table waits for memory most of its time. Sixteen of them wait together, and so several keys cost little more
//! than one. Each is as if made by itself, in the order of the keys; together they are not atomic.

use super::{EntryRef, Glance, StickTable, TableFull, Tracker};
use crate::entry::{Entry, Probe};
use crate::key::Key;
use crate::tick::Tick;

impl StickTable {
    /// Calls `visit` with each key and its entry, `None` where that is absent or over; see [`get_with`](Self::get_with).
    ///
    /// `visit` may use this and other tables, and may take any time.
    ///
    /// # Examples
    /// ```
    /// # use stktable::{DataType, Declaration, KeySpec, StickTable, Tick};
    /// let declaration =
    ///     Declaration::builder("t", KeySpec::INTEGER).size(100).store(DataType::Gpc0).build()?;
    /// let (table, now) = (StickTable::new(declaration), Tick(1_000));
    /// let keys: Vec<_> = ["1", "2", "3"].map(|text| KeySpec::INTEGER.parse(text).unwrap()).into();
    /// for tracker in table.track_many(&keys[..2], now) {
    ///     tracker?.inc_gpc0(now);
    /// }
    /// let mut sum = 0;
    /// table.get_many_with(&keys, now, |_, entry| {
    ///     sum += entry.and_then(|entry| entry.fetch(DataType::Gpc0, 0, now)).unwrap_or(0);
    /// });
    /// assert_eq!(sum, 2);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_many_with<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k Key>,
        now: Tick,
        mut visit: impl FnMut(&'k Key, Option<Glance<'_>>),
    ) {
        self.find_many(keys, now, |key, _, entry| {
            visit(key, entry.and_then(|entry| self.glance(entry, now)));
        });
    }

    /// Returns the entries of many keys, in their order; see [`get`](Self::get).
    #[must_use]
    pub fn get_many<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k Key>,
        now: Tick,
    ) -> Vec<Option<EntryRef<'_>>> {
        let mut all = Vec::new();
        self.find_many(keys, now, |_, _, entry| {
            all.push(entry.and_then(|entry| self.glance(entry, now)?.hold(self)));
        });
        all
    }

    /// Begins to track many keys, in their order; see [`track`](Self::track). A key that is given twice is tracked twice. Those that
    /// have no entry are created one after the other.
    ///
    /// # Errors
    /// For each key by itself: when there is no room for a new entry. A tracker holds its entry, so the entries of a batch never make room
    /// for each other.
    ///
    /// # Panics
    /// When a key is of another table's type. Those before it have been tracked then, and are let go.
    #[must_use]
    pub fn track_many<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k Key>,
        now: Tick,
    ) -> Vec<Result<Tracker<'_>, TableFull>> {
        let mut all = Vec::new();
        self.find_many(keys, now, |key, probe, entry| {
            let entry = self.found_or_created(key, probe, entry, now);
            all.push(entry.map(|entry| Tracker::begin(entry, self.delay_ms(), now)));
        });
        all
    }

    /// Calls `visit` with each key and its entry, which is created first if it is absent; see [`get_or_create`](Self::get_or_create). What
    /// counts many events costs least this way: nothing is collected.
    ///
    /// `visit` may use this and other tables, may take any time, and may keep the entries.
    ///
    /// # Panics
    /// When a key is of another table's type. Those before it have been visited then.
    ///
    /// # Examples
    /// ```
    /// # use stktable::{DataType, Declaration, Key, KeySpec, StickTable, Tick};
    /// let declaration =
    ///     Declaration::builder("t", KeySpec::INTEGER).size(100).store(DataType::Gpc0).build()?;
    /// let (table, now) = (StickTable::new(declaration), Tick(1_000));
    /// table.get_or_create_many_with(&[7, 8, 7].map(Key::from), now, |_, entry| {
    ///     if let Ok(entry) = entry {
    ///         entry.add(DataType::Gpc0, 0, 1, now);
    ///         entry.touch(now);
    ///     }
    /// });
    /// assert_eq!(table.fetch(&Key::from(7), DataType::Gpc0, 0, now), Some(2));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_or_create_many_with<'t, 'k>(
        &'t self,
        keys: impl IntoIterator<Item = &'k Key>,
        now: Tick,
        mut visit: impl FnMut(&'k Key, Result<EntryRef<'t>, TableFull>),
    ) {
        self.find_many(keys, now, |key, probe, entry| {
            visit(key, self.found_or_created(key, probe, entry, now));
        });
    }

    /// Returns an entry that was looked up, with a reference, or creates it.
    fn found_or_created(
        &self,
        key: &Key,
        probe: Option<Probe<'_>>,
        found: Option<&Entry>,
        now: Tick,
    ) -> Result<EntryRef<'_>, TableFull> {
        if let Some(entry) = found.and_then(|entry| self.glance(entry, now)?.hold(self)) {
            return Ok(entry);
        }
        // Absent, over, or created meanwhile by an earlier key of the batch.
        let Some(probe) = probe else { panic!("a key of this table's type, not {:?}", key.ty()) };
        self.get_or_create_at(probe, now, now + self.delay_ms()).map(|(entry, _)| entry)
    }

    /// Calls `visit` with each key, what finds it in this table (`None` for a key of another type), and the entry that has it,
    /// whether dead, over or neither. That is protected during the call.
    fn find_many<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k Key>,
        now: Tick,
        mut visit: impl FnMut(&'k Key, Option<Probe<'k>>, Option<&Entry>),
    ) {
        self.observe(now);
        let keys: Vec<(&'k Key, Option<Probe<'k>>)> = keys
            .into_iter()
            .map(|key| (key, self.canonical(key).map(|bytes| self.keys.probe(bytes))))
            .collect();
        let mut rest = keys.iter();
        // Keys of another type are not looked up; the answers come in the order of the others.
        let foreign = |(key, probe): &(&'k Key, Option<Probe<'k>>)| match probe {
            Some(_) => None,
            None => Some(*key),
        };
        let probes = keys.iter().filter_map(|(_, probe)| *probe);
        self.keys.get_many_with(probes, |probe, entry| {
            for pair in rest.by_ref() {
                match foreign(pair) {
                    Some(key) => visit(key, None, None),
                    None => {
                        visit(pair.0, Some(probe), entry);
                        break;
                    }
                }
            }
        });
        rest.filter_map(foreign).for_each(|key| visit(key, None, None));
    }
}
