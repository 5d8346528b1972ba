//! A reference to an entry: it stays alive while somebody holds one.

use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::kill::Hands;
use super::{Glance, StickTable};
use crate::data::{DataType, Storage};
use crate::entry::Entry;
use crate::key::Key;
use crate::schema::Place;
use crate::tick::Tick;

/// A counted reference to an entry.
///
/// The entry is neither expired nor purged nor cleared while one is held; an entry past its date is taken when the last one
/// is dropped. References are cheap, may move between threads, and block nobody.
///
/// Reading or changing a value does not refresh the entry and does not tell peers: call [`touch`](Self::touch) after
/// the changes.
pub struct EntryRef<'t> {
    table: &'t StickTable,
    held: Held,
}

/// An entry that somebody has a reference to, which they give back.
#[derive(Clone, Copy)]
pub(super) struct Held(NonNull<Entry>);

// SAFETY: entries are shared between threads by design, and a reference may be dropped on any thread.
unsafe impl Send for Held {}
// SAFETY: as above.
unsafe impl Sync for Held {}

/// A value of one element of a column, as peers exchange it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of a `Storage::Sint`.
    Sint(i32),
    /// Of a `Storage::Uint`.
    Uint(u32),
    /// Of a `Storage::Ull`.
    Ull(u64),
    /// Of a `Storage::Rate`.
    Rate {
        /// Milliseconds since the current period began.
        age_ms: u32,
        /// Events in the current period.
        current: u32,
        /// Events in the whole period before.
        previous: u32,
    },
}

/// Why a value cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetError {
    /// The table does not store this type.
    NotStored(DataType),
    /// The array has fewer elements.
    OutOfRange {
        /// The type.
        data_type: DataType,
        /// Its number of elements.
        elements: u32,
    },
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStored(data_type) => write!(f, "{data_type} is not stored in this table"),
            Self::OutOfRange { data_type, elements } => {
                write!(f, "{data_type} has {elements} elements in this table")
            }
        }
    }
}

impl core::error::Error for SetError {}

/// Something that happens to a client, and the columns that count it: a total, and a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A session was accepted: `sess_cnt`, `sess_rate`.
    Session,
    /// An HTTP request came: `http_req_cnt`, `http_req_rate`.
    HttpRequest,
    /// The client made an HTTP error: `http_err_cnt`, `http_err_rate`.
    HttpError,
    /// The server failed: `http_fail_cnt`, `http_fail_rate`.
    HttpFailure,
    /// Bytes came from the client: `bytes_in_cnt`, `bytes_in_rate`.
    BytesIn,
    /// Bytes went to the client: `bytes_out_cnt`, `bytes_out_rate`.
    BytesOut,
    /// General purpose counter 0: `gpc0`, `gpc0_rate`; element 0 of the arrays where only they are stored.
    Gpc0,
    /// General purpose counter 1: `gpc1`, `gpc1_rate`; element 1 of the arrays where only they are stored.
    Gpc1,
    /// An element of the general purpose counters: `gpc`, `gpc_rate`.
    Gpc(u32),
    /// Protocol glitches: `glitch_cnt`, `glitch_rate`.
    Glitch,
    /// A connection began: `conn_cnt`, `conn_rate`. A [`Tracker`](super::Tracker) counts it by itself.
    Connection,
}

impl Event {
    /// The total and the rate, and the element of both.
    #[inline]
    const fn columns(self) -> (DataType, DataType, u32) {
        use DataType as D;
        match self {
            Self::Session => (D::SessCnt, D::SessRate, 0),
            Self::HttpRequest => (D::HttpReqCnt, D::HttpReqRate, 0),
            Self::HttpError => (D::HttpErrCnt, D::HttpErrRate, 0),
            Self::HttpFailure => (D::HttpFailCnt, D::HttpFailRate, 0),
            Self::BytesIn => (D::BytesInCnt, D::BytesInRate, 0),
            Self::BytesOut => (D::BytesOutCnt, D::BytesOutRate, 0),
            Self::Glitch => (D::GlitchCnt, D::GlitchRate, 0),
            Self::Connection => (D::ConnCnt, D::ConnRate, 0),
            Self::Gpc0 => (D::Gpc0, D::Gpc0Rate, 0),
            Self::Gpc1 => (D::Gpc1, D::Gpc1Rate, 0),
            Self::Gpc(at) => (D::Gpc, D::GpcRate, at),
        }
    }
}

impl<'t> EntryRef<'t> {
    /// `entry` carries a reference for us.
    pub(super) const fn new(table: &'t StickTable, entry: NonNull<Entry>) -> Self {
        Self { table, held: Held(entry) }
    }

    /// Takes over the reference to an entry of this table.
    pub(super) const fn take_over(table: &'t StickTable, held: Held) -> Self {
        Self { table, held }
    }

    /// Returns what holds the entry. It is still this that gives it back.
    pub(super) const fn held(&self) -> Held {
        self.held
    }

    /// Returns the table.
    #[must_use]
    pub const fn table(&self) -> &'t StickTable {
        self.table
    }

    #[inline]
    pub(super) fn entry(&self) -> &Entry {
        // SAFETY: our reference keeps the entry alive, and so from being freed.
        unsafe { self.held.0.as_ref() }
    }

    /// Returns what can be read of the entry.
    #[must_use]
    pub fn glance(&self) -> Glance<'_> {
        Glance::new(self.table, self.entry())
    }

    /// Returns the key.
    #[must_use]
    pub fn key(&self) -> Key {
        self.glance().key()
    }

    /// Returns a number that tells the entry from every other one that is alive, as dumps show it. It says nothing
    /// of addresses.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.glance().id()
    }

    /// Returns how many references there are beside this one.
    #[must_use]
    pub fn users(&self) -> u32 {
        self.glance().trackers().saturating_sub(1)
    }

    /// Returns whether the entry is alive: always, for as long as this reference is held. For models, which check it.
    #[doc(hidden)]
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.entry().life.load().is_dead()
    }

    /// Returns the milliseconds left to live: 0 when the entry is over, or never expires.
    #[must_use]
    pub fn expires_in(&self, now: Tick) -> u32 {
        self.glance().expires_in(now)
    }

    /// Returns the update sequence of the last change that was made here and not learned, 0 if there is none.
    #[must_use]
    pub fn update_seq(&self) -> u64 {
        self.glance().update_seq()
    }

    /// The period of a type, and the place of one of its elements.
    #[inline]
    fn find(&self, data_type: DataType, element: u32) -> Option<(u32, Place)> {
        self.table.schema.find(data_type, element)
    }

    /// Returns the value of one element as peers exchange it, `None` if it is not stored.
    #[inline]
    #[must_use]
    pub fn value(&self, data_type: DataType, element: u32, now: Tick) -> Option<Value> {
        self.glance().value(data_type, element, now)
    }

    /// Returns the reading of one element: a counter, a tag, or the events of a rate in its last period (of a byte
    /// rate: the blocks, as they are stored and sent). `None` if it is not stored.
    #[inline]
    #[must_use]
    pub fn read(&self, data_type: DataType, element: u32, now: Tick) -> Option<i64> {
        self.glance().read(data_type, element, now)
    }

    /// Sets one element, cut to its width. A rate then reads exactly this value for one period, and fades in the
    /// next.
    ///
    /// # Errors
    /// When it is not stored.
    #[inline]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut to its width")]
    pub fn set(
        &self,
        data_type: DataType,
        element: u32,
        value: i64,
        now: Tick,
    ) -> Result<(), SetError> {
        let Some((_, place)) = self.find(data_type, element) else {
            let stored = self.table.columns().find(|column| column.data_type == data_type);
            return Err(stored.map_or(SetError::NotStored(data_type), |column| {
                SetError::OutOfRange { data_type, elements: column.elements }
            }));
        };
        let entry = self.entry();
        match data_type.storage() {
            Storage::Sint | Storage::Uint => {
                entry.narrow(place).store(value as u32, Ordering::Relaxed);
            }
            Storage::Ull => entry.wide(place).store(value as u64, Ordering::Relaxed),
            Storage::Rate => entry.rate(place).set(now, value as u32),
            Storage::Dict => {}
        }
        Ok(())
    }

    /// Replaces one element by a value in the form in which peers exchange it; see [`value`](Self::value). Rates keep their period so, where
    /// [`set`](Self::set) begins one.
    ///
    /// # Errors
    /// When it is not stored.
    ///
    /// # Panics
    /// With debug assertions, when the value is not of the storage of the type.
    pub fn set_value(
        &self,
        data_type: DataType,
        element: u32,
        value: Value,
        now: Tick,
    ) -> Result<(), SetError> {
        if self.find(data_type, element).is_none() {
            return self.set(data_type, element, 0, now);
        }
        self.store(data_type, element, value, now);
        Ok(())
    }

    /// Replaces the value of a 32-bit counter and returns the former one.
    pub(super) fn swap(&self, data_type: DataType, element: u32, value: u32) -> Option<u32> {
        let (_, place) = self.find(data_type, element)?;
        debug_assert!(data_type.storage() == Storage::Uint, "{data_type}");
        // Relaxed: a single value.
        Some(self.entry().narrow(place).swap(value, Ordering::Relaxed))
    }

    /// Stores a value that a peer sent. Nothing is done where it is not stored here, is of another storage, or is
    /// local.
    pub(super) fn store(&self, data_type: DataType, element: u32, value: Value, now: Tick) {
        let Some((period_ms, place)) = self.find(data_type, element) else { return };
        let entry = self.entry();
        match (data_type.storage(), value) {
            (Storage::Sint, Value::Sint(value)) => {
                entry.narrow(place).store(value.cast_unsigned(), Ordering::Relaxed);
            }
            (Storage::Uint, Value::Uint(value)) => {
                entry.narrow(place).store(value, Ordering::Relaxed)
            }
            (Storage::Ull, Value::Ull(value)) => entry.wide(place).store(value, Ordering::Relaxed),
            (Storage::Rate, Value::Rate { age_ms, current, previous }) => {
                entry.rate(place).set_from_peer(now, age_ms, current, previous, period_ms);
            }
            _ => debug_assert!(false, "{value:?} for {data_type}"),
        }
    }

    /// Adds to one element; a rate counts `n` events now. Counters wrap. Nothing is done where it is not stored.
    /// Returns the new value of a counter, or of the rate's current period.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "cut to its width")]
    pub fn add(&self, data_type: DataType, element: u32, n: u64, now: Tick) -> Option<u64> {
        let (period_ms, place) = self.find(data_type, element)?;
        let entry = self.entry();
        Some(match data_type.storage() {
            Storage::Sint | Storage::Uint => {
                let before = entry.narrow(place).fetch_add(n as u32, Ordering::Relaxed);
                u64::from(before.wrapping_add(n as u32))
            }
            Storage::Ull => entry.wide(place).fetch_add(n, Ordering::Relaxed).wrapping_add(n),
            Storage::Rate => u64::from(entry.rate(place).add(now, period_ms, n as u32)),
            Storage::Dict => return None,
        })
    }

    /// Counts something `n` times, in every column that the table stores for it. Byte rates count blocks of
    /// [`brates_factor`](crate::declare::Declaration::brates_factor) bytes, those that were begun too. Returns the new total,
    /// or, where only the rate is stored, the events of its current period.
    #[inline]
    pub fn count(&self, event: Event, n: u64, now: Tick) -> Option<u64> {
        let (total, rate, element) = event.columns();
        let blocks = match rate {
            DataType::BytesInRate | DataType::BytesOutRate => {
                n.div_ceil(u64::from(self.table.declaration.brates_factor.max(1)))
            }
            _ => n,
        };
        let total = self.add_stored(total, element, n, now);
        let rate = self.add_stored(rate, element, blocks, now);
        total.or(rate)
    }

    /// Adds to one element, or to the one of the array that stands for it.
    #[inline]
    fn add_stored(&self, data_type: DataType, element: u32, n: u64, now: Tick) -> Option<u64> {
        let added = self.add(data_type, element, n, now);
        let Some((array, at)) = data_type.in_array() else { return added };
        added.or_else(|| self.add(array, at, n, now))
    }

    /// Takes one off a gauge, not below 0.
    pub(super) fn decrement(&self, data_type: DataType) {
        if let Some((_, place)) = self.find(data_type, 0) {
            let less = |value: u32| value.checked_sub(1);
            // Relaxed: a number. Fails where it is 0 already.
            let _ =
                self.entry().narrow(place).fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }

    /// Refreshes the entry after a change made here: it lives for the table's full time again, and peers will be told
    /// its values.
    ///
    /// Lock-free. Cheap where peers have not read the last change yet: a store, a fence and two loads.
    #[inline]
    pub fn touch(&self, now: Tick) {
        self.touch_for(self.table.delay_ms(), now);
    }

    /// As [`touch`](Self::touch), but the entry lives for `expire_ms` only, until the next touch. A time longer than the
    /// table's is cut to it, as it is in what peers send. With 0 the entry is over when the last reference is dropped.
    ///
    /// A shorter life holds for every reader from its first moment past. The place in the table comes free later if the entry had been
    /// given more before: when that date comes, or when somebody looks the key up. Where nothing expires, this is `touch`.
    pub fn touch_for(&self, expire_ms: u32, now: Tick) {
        self.table.observe(now);
        self.refresh(now + expire_ms.min(self.table.delay_ms()));
        if self.table.shared {
            self.table.queue(self.entry());
        }
    }

    /// Sets the date at which the entry is over.
    #[inline]
    pub(super) fn refresh(&self, until: Tick) {
        self.entry().set_expire(until);
    }
}

impl Clone for EntryRef<'_> {
    fn clone(&self) -> Self {
        let taken = self.entry().life.take_reference();
        assert!(taken, "held, so alive");
        Self { table: self.table, held: self.held }
    }
}

impl Drop for EntryRef<'_> {
    fn drop(&mut self) {
        let table = self.table;
        // Not over, as far as we know, and no sweep has said otherwise: the entry stands in a stack, and is found there
        // when it is over. It may be freed at once after this.
        if !table.is_over(self.entry(), table.clock()) && self.entry().life.try_drop_reference() {
            return;
        }
        // Over: whoever drops the last reference takes it. Protected first, since the entry may be
        // killed by others as soon as ours is gone.
        // SAFETY: ours.
        let entry = unsafe { table.keys.protect(self.held.0) };
        entry.life.drop_reference();
        // Acquire, before the date is read again (`life`: the generation).
        let seen = entry.life.load();
        if seen.references() != 0 || seen.is_dead() {
            return;
        }
        if !table.is_over(&entry, table.clock()) {
            entry.life.clear_overdue(seen);
        // SAFETY: `entry` protects it.
        } else if unsafe { table.kill(entry.as_ptr(), seen, Hands::Elsewhere) } {
            table.sweep_after_kill();
            table.statistics.expired.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for EntryRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryRef")
            .field("table", &self.table.declaration.local_name())
            .field("key", &self.key())
            .finish_non_exhaustive()
    }
}
