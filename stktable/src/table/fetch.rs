//! HAProxy's fetches, converters and actions on tables, and the method for each.
//!
//! In HAProxy one value is reached in four ways, which differ in how the entry is found and in whether it is created. Here finding is one
//! call and reading another:
//!
//! | form | entry | here |
//! | --- | --- | --- |
//! | `table_X(T)`, `src_X(T)` that read | of the key; not created | [`StickTable::fetch`], [`get_with`](StickTable::get_with), [`get`](StickTable::get) |
//! | `table_inc_X(T)`, `table_clr_X(T)`, `src_inc_X(T)`, `src_clr_X(T)` | of the key; created | [`get_or_create`](StickTable::get_or_create)`(key, now)?` and the method |
//! | `sc_X(n)`, `sc-X(n)` | that is tracked | the method of the [`Tracker`](super::Tracker); without one nothing is done |
//! | `sc_X(n,T)` | of the tracked key, in T | the first line, with [`key`](EntryRef::key)`()` of the tracker |
//! | `track-scN KEY table T` | of the key; created | [`StickTable::track`]; the end is the tracker's drop |
//!
//! The methods, where `X` stands for the suffix that all four have in common:
//!
//! | X | method |
//! | --- | --- |
//! | `in_table`, `sc_tracked` | [`StickTable::contains_key`]; whether there is a tracker |
//! | `sc_key` | [`EntryRef::key`] |
//! | `conn_cnt` `conn_cur` `sess_cnt` `http_req_cnt` `http_err_cnt` `http_fail_cnt` `glitch_cnt` | [`fetch`](EntryRef::fetch)`(DataType::ConnCnt, 0, now)`, and so on |
//! | `conn_rate` `sess_rate` `http_req_rate` `http_err_rate` `http_fail_rate` `glitch_rate` `bytes_in_rate` `bytes_out_rate` | [`fetch`](EntryRef::fetch)`(DataType::ConnRate, 0, now)`, and so on: events, or bytes, per period |
//! | `kbytes_in` `kbytes_out` | [`kbytes_in`](super::Glance::kbytes_in), [`kbytes_out`](super::Glance::kbytes_out) |
//! | `gpc` `gpc_rate` `gpt` (`get_gpc`, `get_gpt`) | [`fetch`](EntryRef::fetch)`(DataType::Gpc, index, now)`, and so on |
//! | `gpc0` `gpc1` `gpc0_rate` `gpc1_rate` `gpt0` | [`fetch`](EntryRef::fetch)`(DataType::Gpc0, 0, now)`, and so on |
//! | `server_id` | [`fetch`](EntryRef::fetch)`(DataType::ServerId, 0, now)` |
//! | `server_key`, which `show table` prints | [`server_key`](EntryRef::server_key) |
//! | `stick store-request`, as far as the table goes | [`set`](EntryRef::set)`(DataType::ServerId, ...)`, [`set_server_key`](EntryRef::set_server_key), [`touch`](EntryRef::touch) |
//! | `expire` `idle` | [`expires_in`](EntryRef::expires_in), [`idle`](super::Glance::idle) |
//! | `trackers` | [`Glance::trackers`](super::Glance::trackers) by key, [`Tracker::trackers`](super::Tracker::trackers) |
//! | `table_cnt` `table_avl` | [`StickTable::used`], [`StickTable::available`] |
//! | `inc_gpc` `inc_gpc0` `inc_gpc1` `sc-add-gpc` | [`inc_gpc`](EntryRef::inc_gpc), [`inc_gpc0`](EntryRef::inc_gpc0), [`inc_gpc1`](EntryRef::inc_gpc1), [`add_gpc`](EntryRef::add_gpc) |
//! | `clr_gpc` `clr_gpc0` `clr_gpc1` | [`clr_gpc`](EntryRef::clr_gpc), [`clr_gpc0`](EntryRef::clr_gpc0), [`clr_gpc1`](EntryRef::clr_gpc1) |
//! | `sc-set-gpt` `sc-set-gpt0` | [`set_gpt`](EntryRef::set_gpt), [`set_gpt0`](EntryRef::set_gpt0) |
//! | `src_updt_conn_cnt` | [`updt_conn_cnt`](EntryRef::updt_conn_cnt) |
//! | counted while tracked | [`count`](EntryRef::count) with an [`Event`] |
//!
//! # What they have in common
//!
//! - A read changes nothing: no expiry is refreshed, no peer is told. Of an entry that is absent it gives 0, of a type that is not
//!   stored nothing (`None`), which matches no condition.
//! - A change refreshes the entry to its full time to live and is told to peers. Where nothing of it is stored, it does nothing, and
//!   does not touch the entry either.
//! - `gpc0`, `gpc1` and `gpt0` and their rates stand for elements of the arrays where only those are stored. The array forms never mean
//!   the single ones.
//! - Counters wrap at 2^32. A clear leaves the rates alone.
//! - Each method is lock-free and takes constant time. An increment is one atomic addition, so none is lost, and each of several at
//!   once returns another value.
//!
//! # Examples
//! ```
//! use stktable::{DataType, Declaration, KeySpec, StickTable, Tick};
//!
//! let declaration = Declaration::builder("clients", KeySpec::IP)
//!     .size(1000)
//!     .expire_ms(60_000)
//!     .store_array(DataType::Gpc, 2)
//!     .build()?;
//! let table = StickTable::new(declaration);
//! let (client, now) = (KeySpec::IP.parse("192.0.2.7")?, Tick(1_000));
//!
//! // table_gpc0(clients): nobody is there.
//! assert_eq!(table.fetch(&client, DataType::Gpc0, 0, now), Some(0));
//! // src_inc_gpc0(clients)
//! assert_eq!(table.get_or_create(&client, now)?.inc_gpc0(now), Some(1));
//! assert_eq!(table.fetch(&client, DataType::Gpc, 0, now), Some(1));
//! // table_http_req_cnt(clients) is not stored.
//! assert_eq!(table.fetch(&client, DataType::HttpReqCnt, 0, now), None);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

use super::{EntryRef, Event, SetError, StickTable};
use crate::data::DataType;
use crate::key::Key;
use crate::tick::Tick;

impl StickTable {
    /// Returns whether a key has an entry that is not over: `in_table`.
    #[must_use]
    pub fn contains_key(&self, key: &Key, now: Tick) -> bool {
        self.get_with(key, now, |_| ()).is_some()
    }

    /// Returns what a converter returns for one element of the entry of a key: 0 without an entry, whether the type is stored or not;
    /// `None` with an entry if it is not stored. See [`Glance::fetch`](super::Glance::fetch).
    #[must_use]
    pub fn fetch(&self, key: &Key, data_type: DataType, element: u32, now: Tick) -> Option<i64> {
        self.get_with(key, now, |entry| entry.fetch(data_type, element, now)).unwrap_or(Some(0))
    }
}

impl EntryRef<'_> {
    /// Returns what a fetch returns for one element; see [`Glance::fetch`](super::Glance::fetch).
    #[must_use]
    pub fn fetch(&self, data_type: DataType, element: u32, now: Tick) -> Option<i64> {
        self.glance().fetch(data_type, element, now)
    }

    /// Adds one to general purpose counter `index` of the array, and to its rate, and touches the entry. Returns the new value; that of
    /// the rate's current period where only the rate is stored; `None`, and nothing is done, where neither is.
    pub fn inc_gpc(&self, index: u32, now: Tick) -> Option<u64> {
        self.add_gpc(index, 1, now)
    }

    /// As [`inc_gpc`](Self::inc_gpc), for `gpc0`.
    pub fn inc_gpc0(&self, now: Tick) -> Option<u64> {
        self.count_and_touch(Event::Gpc0, 1, now)
    }

    /// As [`inc_gpc`](Self::inc_gpc), for `gpc1`.
    pub fn inc_gpc1(&self, now: Tick) -> Option<u64> {
        self.count_and_touch(Event::Gpc1, 1, now)
    }

    /// As [`inc_gpc`](Self::inc_gpc), but adds `n`; with 0 it only touches.
    pub fn add_gpc(&self, index: u32, n: u32, now: Tick) -> Option<u64> {
        self.count_and_touch(Event::Gpc(index), n, now)
    }

    /// Counts a connection that is not tracked, in `conn_cnt` and `conn_rate`, and touches the entry. Returns the new
    /// count as [`inc_gpc`](Self::inc_gpc) does.
    pub fn updt_conn_cnt(&self, now: Tick) -> Option<u64> {
        self.count_and_touch(Event::Connection, 1, now)
    }

    fn count_and_touch(&self, event: Event, n: u32, now: Tick) -> Option<u64> {
        let counted = self.count(event, u64::from(n), now)?;
        self.touch(now);
        Some(counted)
    }

    /// Sets general purpose counter `index` of the array to 0, leaves its rate alone, and touches the entry. Returns the former
    /// value; of several who clear at once, each count goes to one. `None`, and nothing is done, where it is not
    /// stored.
    pub fn clr_gpc(&self, index: u32, now: Tick) -> Option<u32> {
        let before = self.swap(DataType::Gpc, index, 0)?;
        self.touch(now);
        Some(before)
    }

    /// As [`clr_gpc`](Self::clr_gpc), for `gpc0`.
    pub fn clr_gpc0(&self, now: Tick) -> Option<u32> {
        self.clr_single(DataType::Gpc0, now)
    }

    /// As [`clr_gpc`](Self::clr_gpc), for `gpc1`.
    pub fn clr_gpc1(&self, now: Tick) -> Option<u32> {
        self.clr_single(DataType::Gpc1, now)
    }

    fn clr_single(&self, data_type: DataType, now: Tick) -> Option<u32> {
        let (array, at) = data_type.in_array()?;
        let before = self.swap(data_type, 0, 0).or_else(|| self.swap(array, at, 0))?;
        self.touch(now);
        Some(before)
    }

    /// Sets general purpose tag `index` of the array, and touches the entry.
    ///
    /// # Errors
    /// When it is not stored; nothing is done then.
    pub fn set_gpt(&self, index: u32, value: u32, now: Tick) -> Result<(), SetError> {
        self.set(DataType::Gpt, index, i64::from(value), now)?;
        self.touch(now);
        Ok(())
    }

    /// Sets general purpose tag `gpt0`, and touches the entry.
    ///
    /// # Errors
    /// When neither it nor the array is stored; nothing is done then.
    pub fn set_gpt0(&self, value: u32, now: Tick) -> Result<(), SetError> {
        let set = self.set(DataType::Gpt0, 0, i64::from(value), now);
        set.or_else(|error| self.set(DataType::Gpt, 0, i64::from(value), now).map_err(|_| error))?;
        self.touch(now);
        Ok(())
    }
}
