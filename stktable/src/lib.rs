//! HAProxy's stick tables as a lock-free library: per-client counters and sliding rates that expire, are purged oldest first, and
//! keep an order of updates for peers.
//!
//! ```
//! use stktable::{DataType, Declaration, KeySpec, StickTable, Tick, table::Event};
//!
//! let declaration = Declaration::builder("clients", KeySpec::IP)
//!     .size(100_000)
//!     .expire_ms(600_000)
//!     .store(DataType::ConnCur)
//!     .store_rate(DataType::HttpReqRate, 10_000)
//!     .build()?;
//! let table = StickTable::new(declaration);
//! let client = KeySpec::IP.parse("192.0.2.7")?;
//!
//! let now = Tick(1_000);
//! let tracker = table.track(&client, now)?;
//! tracker.count(Event::HttpRequest, 1, now);
//! assert_eq!(tracker.read(DataType::HttpReqRate, 0, now), Some(1));
//! assert_eq!(tracker.read(DataType::ConnCur, 0, now), Some(1));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! **No lock is taken anywhere**, and no [`EntryRef`] can block anybody. There is no clock, no thread and no socket here: the
//! time is an argument ([`Tick`]), and somebody calls [`StickTable::expire`].
//!
//! Modules, in reading order: [`key`] and [`data`] (what is stored), [`declare`] (how a table is declared), [`table`] (what is done
//! with it), [`tick`] (time). Inside, `life` is the one word that decides who may use an entry and who frees it.
//!
//! The semantics are those of HAProxy 2.6 to 3.5, but for its faults. [`table::fetch`] lists its fetches, converters and actions, and
//! the method for each.

pub mod data;
pub mod declare;
pub mod key;
#[doc(hidden)]
pub mod sync;
pub mod table;
pub mod tick;

mod entry;
mod index;
mod life;
mod schema;

pub use data::{Column, DataType, Storage};
pub use declare::Declaration;
#[cfg(not(loom))]
pub use ebtree::{advise_huge_pages, return_memory};
pub use key::{Key, KeyError, KeySpec, KeyType, Prefix};
pub use table::{EntryRef, StickTable, TableFull};
pub use tick::Tick;
