//! A reference to an entry: it stays alive while somebody holds one.

use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::StickTable;
use super::kill::Hands;
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
    entry: NonNull<Entry>,
}

// SAFETY: entries are shared between threads by design, and a reference may be dropped on any thread.
unsafe impl Send for EntryRef<'_> {}
// SAFETY: as above.
unsafe impl Sync for EntryRef<'_> {}

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
    /// The total and the rate, each with its element, and what stands for them.
    #[inline]
    fn columns(self) -> [(DataType, u32); 4] {
        use DataType as D;
        let pair = |total, rate| [(total, 0), (rate, 0), (total, 0), (rate, 0)];
        match self {
            Self::Session => pair(D::SessCnt, D::SessRate),
            Self::HttpRequest => pair(D::HttpReqCnt, D::HttpReqRate),
            Self::HttpError => pair(D::HttpErrCnt, D::HttpErrRate),
            Self::HttpFailure => pair(D::HttpFailCnt, D::HttpFailRate),
            Self::BytesIn => pair(D::BytesInCnt, D::BytesInRate),
            Self::BytesOut => pair(D::BytesOutCnt, D::BytesOutRate),
            Self::Glitch => pair(D::GlitchCnt, D::GlitchRate),
            Self::Connection => pair(D::ConnCnt, D::ConnRate),
            Self::Gpc0 => [(D::Gpc0, 0), (D::Gpc0Rate, 0), (D::Gpc, 0), (D::GpcRate, 0)],
            Self::Gpc1 => [(D::Gpc1, 0), (D::Gpc1Rate, 0), (D::Gpc, 1), (D::GpcRate, 1)],
            Self::Gpc(at) => [(D::Gpc, at), (D::GpcRate, at), (D::Gpc, at), (D::GpcRate, at)],
        }
    }
}

impl<'t> EntryRef<'t> {
    /// `entry` carries a reference for us.
    pub(super) const fn new(table: &'t StickTable, entry: NonNull<Entry>) -> Self {
        Self { table, entry }
    }

    /// Returns the table.
    #[must_use]
    pub const fn table(&self) -> &'t StickTable {
        self.table
    }

    #[inline]
    pub(super) fn entry(&self) -> &Entry {
        // SAFETY: our reference keeps the entry alive, and so from being freed.
        unsafe { self.entry.as_ref() }
    }

    /// Returns the key.
    ///
    /// # Panics
    /// Never: the bytes are those of a key of this table.
    #[must_use]
    pub fn key(&self) -> Key {
        self.table
            .declaration
            .key
            .key(self.entry().key_bytes())
            .expect("a canonical key of this table")
    }

    /// Returns a number that tells the entry from every other one that is alive, as dumps show it. It says nothing
    /// of addresses.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.entry().hash()
    }

    /// Returns how many references there are beside this one.
    #[must_use]
    pub fn users(&self) -> u32 {
        self.entry().life.load().references().saturating_sub(1)
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
        if self.table.delay_ms() == 0 {
            return 0;
        }
        u32::try_from(self.table.date(self.entry(), now).since(now)).unwrap_or(u32::MAX)
    }

    /// Returns the update sequence of the last change that was made here and not learned, 0 if there is none.
    #[must_use]
    pub fn update_seq(&self) -> u64 {
        crate::index::updates::UpdateIndex::seq(self.entry())
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
        let (period_ms, place) = self.find(data_type, element)?;
        let entry = self.entry();
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

    /// Returns the reading of one element: a counter, a tag, or the events of a rate in its last period (of a byte
    /// rate: the blocks, as they are stored and sent). `None` if it is not stored.
    #[inline]
    #[must_use]
    pub fn read(&self, data_type: DataType, element: u32, now: Tick) -> Option<i64> {
        if data_type.is_rate() {
            let (period_ms, place) = self.find(data_type, element)?;
            return Some(i64::from(self.entry().rate(place).read(now, period_ms)));
        }
        Some(match self.value(data_type, element, now)? {
            Value::Sint(value) => i64::from(value),
            Value::Uint(value) => i64::from(value),
            Value::Ull(value) => value.cast_signed(),
            Value::Rate { current, .. } => i64::from(current),
        })
    }

    /// Returns the reading of one element as an operator sees it: as [`read`](Self::read), but byte rates in bytes, the blocks times
    /// [`brates_factor`](crate::declare::Declaration::brates_factor), and 0 where nothing is stored.
    #[must_use]
    pub fn reading(&self, data_type: DataType, element: u32, now: Tick) -> i64 {
        let found = self.read(data_type, element, now).unwrap_or(0);
        match data_type {
            DataType::BytesInRate | DataType::BytesOutRate => {
                found.saturating_mul(i64::from(self.table.declaration.brates_factor))
            }
            _ => found,
        }
    }

    /// Returns the canonical bytes of the key.
    #[must_use]
    pub fn key_bytes(&self) -> &[u8] {
        self.entry().key_bytes()
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
    /// [`brates_factor`](crate::declare::Declaration::brates_factor) bytes, those that were begun too.
    #[inline]
    pub fn count(&self, event: Event, n: u64, now: Tick) {
        let [total, rate, total_array, rate_array] = event.columns();
        for (first, fallback) in [(total, total_array), (rate, rate_array)] {
            let n = match first.0 {
                DataType::BytesInRate | DataType::BytesOutRate => {
                    n.div_ceil(u64::from(self.table.declaration.brates_factor.max(1)))
                }
                _ => n,
            };
            if self.add(first.0, first.1, n, now).is_none() && first != fallback {
                self.add(fallback.0, fallback.1, n, now);
            }
        }
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
    #[inline]
    pub fn touch(&self, now: Tick) {
        self.table.observe(now);
        self.refresh(now + self.table.delay_ms());
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
        Self { table: self.table, entry: self.entry }
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
        let entry = unsafe { table.keys.protect(self.entry) };
        entry.life.drop_reference();
        // Acquire, before the date is read again (`life`: the generation).
        let seen = entry.life.load();
        if seen.references() != 0 || seen.is_dead() {
            return;
        }
        if !table.is_over(&entry, table.clock()) {
            entry.life.clear_overdue(seen);
        } else if table.kill(&entry, seen, Hands::Elsewhere) {
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
