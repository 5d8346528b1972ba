//! HAProxy's stick tables as a lock-free library.

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
pub use key::{Key, KeyError, KeySpec, KeyType};
pub use table::{EntryRef, StickTable, TableFull};
pub use tick::Tick;
