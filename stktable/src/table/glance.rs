//! An entry looked at in passing: what can be read of it, without a reference.

use core::fmt;
use core::sync::atomic::Ordering;

use super::{EntryRef, StickTable, Value};
use crate::data::{DataType, Storage};
use crate::entry::Entry;
use crate::key::Key;
use crate::tick::Tick;

/// An entry that is looked at, for as long as a visit lasts or an [`EntryRef`](super::EntryRef) is borrowed.
///
/// Its memory stays, the entry need not: one that nobody holds may be taken while it is looked at, and then shows the values that it
/// died with. It was alive when the visit began. A glance writes nothing that is shared, so looking at all entries of a table costs
/// those who change them nothing.
#[derive(Clone, Copy)]
pub struct Glance<'e> {
    table: &'e StickTable,
    entry: &'e Entry,
}

impl<'e> Glance<'e> {
    /// The caller protects the entry, or holds it.
    #[inline]
    pub(super) const fn new(table: &'e StickTable, entry: &'e Entry) -> Self {
        Self { table, entry }
    }

    /// Takes a reference of an entry of `table`, this one's, unless the entry has died meanwhile.
    pub(super) fn hold(self, table: &StickTable) -> Option<EntryRef<'_>> {
        debug_assert!(
            core::ptr::eq(table, self.table),
            "the same, which the reference may outlive us with"
        );
        // The entry is protected for as long as we look at it, and by the reference from then on.
        self.entry.life.take_reference().then(|| EntryRef::new(table, self.entry.into()))
    }

    pub(super) const fn entry(self) -> &'e Entry {
        self.entry
    }

    /// Returns the table.
    #[must_use]
    pub const fn table(&self) -> &'e StickTable {
        self.table
    }

    /// Returns the key's canonical bytes.
    #[inline]
    #[must_use]
    pub fn key_bytes(&self) -> &'e [u8] {
        self.entry.key_bytes()
    }

    /// Returns the key.
    ///
    /// # Panics
    /// Never: the bytes are those of a key of this table.
    #[must_use]
    pub fn key(&self) -> Key {
        self.table.declaration.key.key(self.key_bytes()).expect("a canonical key of this table")
    }

    /// Returns a number that tells the entry from every other one that is alive, as dumps show it: the keyed hash of its key. It says
    /// nothing of addresses.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.table.keys.hash(self.key_bytes())
    }

    /// Returns the update sequence of the last change that was made here and not learned, 0 if there is none.
    #[must_use]
    pub fn update_seq(&self) -> u64 {
        crate::index::updates::UpdateIndex::seq(self.entry)
    }

    /// Returns how many references to the entry there are: those who track it, and others that hold it now.
    #[must_use]
    pub fn trackers(&self) -> u32 {
        self.entry.life.load().references()
    }

    /// Returns the milliseconds left to live: 0 when the entry is over, or never expires.
    #[inline]
    #[must_use]
    pub fn expires_in(&self, now: Tick) -> u32 {
        if self.table.delay_ms() == 0 {
            return 0;
        }
        u32::try_from(self.table.date(self.entry, now).since(now)).unwrap_or(u32::MAX)
    }

    /// Returns for how many milliseconds nobody has touched the entry: the table's time to live less what is left of
    /// it, so an entry that was given less than that seems touched longer ago. Where nothing expires, the time since the
    /// last touch.
    #[must_use]
    pub fn idle(&self, now: Tick) -> u32 {
        let delay = self.table.delay_ms();
        if delay == 0 {
            // The date is that of the last touch.
            let since = now.since(self.table.date(self.entry, now));
            return u32::try_from(since).unwrap_or(u32::MAX);
        }
        delay.saturating_sub(self.expires_in(now))
    }

    /// Returns the value of one element as peers exchange it, `None` if it is not stored.
    #[inline]
    #[must_use]
    pub fn value(&self, data_type: DataType, element: u32, now: Tick) -> Option<Value> {
        let (period_ms, place) = self.table.schema.find(data_type, element)?;
        let entry = self.entry;
        // Relaxed: single values; what orders them for peers is the fence of the update index.
        Some(match data_type.storage() {
            Storage::Sint => Value::Sint(entry.narrow(place).load(Ordering::Relaxed).cast_signed()),
            Storage::Uint => Value::Uint(entry.narrow(place).load(Ordering::Relaxed)),
            Storage::Ull => Value::Ull(entry.wide(place).load(Ordering::Relaxed)),
            Storage::Rate => {
                let rate = entry.rate(place).snapshot(period_ms);
                Value::Rate {
                    age_ms: rate.age(now),
                    current: rate.current,
                    previous: rate.previous,
                }
            }
            Storage::Dict => return None,
        })
    }

    /// Calls `take` with every number that peers are sent of these types, which have so many elements each: one of an integer, three of a
    /// rate, in the order in which they travel. The same as [`value`](Self::value) of each, in one loop for each storage.
    ///
    /// Types that the table does not store, and names, are passed over.
    #[inline]
    pub fn numbers(&self, types: &[(DataType, u64)], now: Tick, mut take: impl FnMut(u64)) {
        let entry = self.entry;
        for &(data_type, elements) in types {
            let elements = u32::try_from(elements).unwrap_or(u32::MAX);
            let storage = data_type.storage();
            for element in 0..elements {
                let Some((period_ms, place)) = self.table.schema.find(data_type, element) else {
                    break;
                };
                // Relaxed: as in `value`.
                match storage {
                    Storage::Sint => {
                        let value = entry.narrow(place).load(Ordering::Relaxed).cast_signed();
                        take(i64::from(value).cast_unsigned());
                    }
                    Storage::Uint => take(entry.narrow(place).load(Ordering::Relaxed).into()),
                    Storage::Ull => take(entry.wide(place).load(Ordering::Relaxed)),
                    Storage::Rate => {
                        let rate = entry.rate(place).snapshot(period_ms);
                        take(rate.age(now).into());
                        take(rate.current.into());
                        take(rate.previous.into());
                    }
                    Storage::Dict => {}
                }
            }
        }
    }

    /// Returns the reading of one element: a counter, a tag, or the events of a rate in its last period (of a byte
    /// rate: the blocks, as they are stored and sent). `None` if it is not stored.
    #[inline]
    #[must_use]
    pub fn read(&self, data_type: DataType, element: u32, now: Tick) -> Option<i64> {
        if data_type.is_rate() {
            let (period_ms, place) = self.table.schema.find(data_type, element)?;
            return Some(i64::from(self.entry.rate(place).read(now, period_ms)));
        }
        Some(match self.value(data_type, element, now)? {
            Value::Sint(value) => i64::from(value),
            Value::Uint(value) => i64::from(value),
            Value::Ull(value) => value.cast_signed(),
            Value::Rate { current, .. } => i64::from(current),
        })
    }

    /// Returns what a fetch of HAProxy returns for one element: as [`read`](Self::read), but a byte rate in bytes, and `gpt0`,
    /// `gpc0`, `gpc1` and their rates from element 0 or 1 of the array where only that is stored. The array does not fall back
    /// to them. `None`, which matches no condition, if neither is stored.
    ///
    /// # Examples
    /// See [`fetch`](super::fetch).
    #[inline]
    #[must_use]
    pub fn fetch(&self, data_type: DataType, element: u32, now: Tick) -> Option<i64> {
        if let Some(found) = self.read(data_type, element, now) {
            let factor = match data_type {
                DataType::BytesInRate | DataType::BytesOutRate => {
                    self.table.declaration.brates_factor
                }
                _ => 1,
            };
            return Some(found.saturating_mul(i64::from(factor)));
        }
        let (array, at) = data_type.in_array().filter(|_| element == 0)?;
        self.read(array, at, now)
    }

    /// Returns the bytes that came from the client, in whole KiB: `sc_kbytes_in`. `None` if they are not counted.
    #[must_use]
    pub fn kbytes_in(&self, now: Tick) -> Option<u64> {
        self.kbytes(DataType::BytesInCnt, now)
    }

    /// Returns the bytes that went to the client, in whole KiB: `sc_kbytes_out`. `None` if they are not counted.
    #[must_use]
    pub fn kbytes_out(&self, now: Tick) -> Option<u64> {
        self.kbytes(DataType::BytesOutCnt, now)
    }

    fn kbytes(&self, data_type: DataType, now: Tick) -> Option<u64> {
        match self.value(data_type, 0, now)? {
            Value::Ull(bytes) => Some(bytes >> 10),
            _ => None,
        }
    }
}

impl fmt::Debug for Glance<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Glance")
            .field("table", &self.table.declaration.local_name())
            .field("key", &self.key())
            .finish_non_exhaustive()
    }
}
