//! Operations on a table of prefixes.
