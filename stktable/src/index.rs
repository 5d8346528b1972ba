//! The three indexes of a table: by key, by expiry, by update order.

pub(crate) mod expiry;
pub(crate) mod keys;
pub(crate) mod updates;
