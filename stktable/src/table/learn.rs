//! Learning: what a peer says of an entry replaces what stands here.

use super::{EntryRef, StickTable, TableFull, Value};
use crate::data::DataType;
use crate::entry::Probe;
use crate::key::Key;
use crate::tick::Tick;

/// What became of an update that was learned.
#[derive(Debug)]
pub enum Learned<'t> {
    /// The entry is here: store its values.
    Entry(Learning<'t>),
    /// It was over when it came, and there is none here.
    Over,
}

/// An entry that is being learned. Its values are not told to other peers: they have it from where we
/// have it.
#[derive(Debug)]
pub struct Learning<'t> {
    entry: EntryRef<'t>,
    created: bool,
    now: Tick,
}

/// What is known of an entry before it is learned.
enum Sought<'t> {
    Found(EntryRef<'t>),
    /// There was none a moment ago.
    Absent,
    /// Nothing, or that it is dead or over.
    NotYet,
}

impl StickTable {
    /// Begins to learn an entry: creates it if it is absent, and sets its date.
    ///
    /// `expire_ms` is what the peer says is left to live, if it says so. It is cut to this table's own time to live;
    /// 0 in a table that expires means that the entry is over. A table that does not expire ignores it.
    ///
    /// # Errors
    /// When there is no room for a new entry. An entry that is there is always found first.
    ///
    /// # Panics
    /// When the key is of another table's type.
    pub fn learn(
        &self,
        key: &Key,
        expire_ms: Option<u32>,
        now: Tick,
    ) -> Result<Learned<'_>, TableFull> {
        self.observe(now);
        let bytes = self.canonical(key).expect("a key of this table's type");
        self.learn_at(self.keys.probe(bytes), Sought::NotYet, expire_ms, now)
    }

    /// Begins to learn many entries, one after the other, in their order; see [`learn`](Self::learn). `of` says the bytes of the
    /// key of an update, and what is left to live. `visit` stores what came with it.
    ///
    /// Each is as if learned by itself, but they are looked up side by side, which is several times as fast in a large table.
    ///
    /// # Panics
    /// When a key is not canonical for this table: what [`KeySpec::canonical`](crate::KeySpec::canonical) returns is.
    pub fn learn_many<'u, U>(
        &self,
        updates: &'u [U],
        of: impl Fn(&'u U) -> (&'u [u8], Option<u32>),
        now: Tick,
        mut visit: impl FnMut(&'u U, Result<Learned<'_>, TableFull>),
    ) {
        self.observe(now);
        let spec = self.declaration.key;
        let probes = updates.iter().map(|update| {
            let bytes = of(update).0;
            assert_eq!(spec.canonical(bytes), Some(bytes), "a key of this table's type");
            self.keys.probe(bytes)
        });
        let mut rest = updates.iter();
        self.keys.get_many_with(probes, |probe, entry| {
            let Some(update) = rest.next() else { return };
            let sought = match entry {
                None => Sought::Absent,
                Some(entry) => {
                    let held = self.glance(entry, now).and_then(|entry| entry.hold(self));
                    held.map_or(Sought::NotYet, Sought::Found)
                }
            };
            visit(update, self.learn_at(probe, sought, of(update).1, now));
        });
    }

    /// Begins to learn an entry, which may have been looked for already.
    #[inline]
    fn learn_at<'t>(
        &'t self,
        probe: Probe<'_>,
        sought: Sought<'t>,
        expire_ms: Option<u32>,
        now: Tick,
    ) -> Result<Learned<'t>, TableFull> {
        let delay = self.delay_ms();
        let left = expire_ms.map_or(delay, |sent| sent.min(delay));
        let until = now + left;
        let (entry, created) = match sought {
            Sought::Found(entry) => (entry, false),
            Sought::Absent | Sought::NotYet if delay != 0 && left == 0 => {
                match self.find(probe, now) {
                    Some(entry) => (entry, false),
                    None => return Ok(Learned::Over),
                }
            }
            Sought::Absent => self.create_at(probe, true, now, until)?,
            Sought::NotYet => self.get_or_create_at(probe, now, until)?,
        };
        if !created {
            entry.refresh(until);
        }
        Ok(Learned::Entry(Learning { entry, created, now }))
    }
}

impl<'t> Learning<'t> {
    /// Stores one value. Nothing is done where the table does not store it, or where it is
    /// [local](DataType::is_local) and the table is not `recv-only`.
    #[inline]
    pub fn store(&self, data_type: DataType, element: u32, value: Value) {
        if !data_type.is_local() || self.entry.table().declaration.recv_only {
            self.entry.store(data_type, element, value, self.now);
        }
    }

    /// Stores one value that was sent for another table, which names this one in its `write-to`: if it is of a type that nobody adds
    /// to ([`DataType::is_as_is`]). The others would be counted twice.
    pub fn store_as_is(&self, data_type: DataType, element: u32, value: Value) {
        if data_type.is_as_is() {
            self.store(data_type, element, value);
        }
    }

    /// Returns whether the entry is new here.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.created
    }

    /// Returns the entry.
    #[must_use]
    pub const fn entry(&self) -> &EntryRef<'t> {
        &self.entry
    }
}
