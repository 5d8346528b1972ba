//! The indexes of a table: by key, by expiry, by update order, and, where it is asked for, in the order
//! of keys. Beside them the names that entries have.

pub(crate) mod expiry;
pub(crate) mod keys;
pub(crate) mod names;
pub(crate) mod ordered;
pub(crate) mod updates;
