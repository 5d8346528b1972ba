//! HAProxy's stick tables as a lock-free library.

pub mod data;
pub mod key;
pub mod tick;

pub use data::{Column, DataType, Storage};
pub use key::{Key, KeyError, KeySpec, KeyType};
pub use tick::Tick;
