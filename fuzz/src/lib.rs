//! Fuzz harnesses: what operations are made of, and the models that answers are compared with.
//!
//! The harnesses themselves stand in `tests/`; each is an ordinary test that a fuzzing engine can run too.

pub mod campaign;
pub mod codec;
pub mod grammar;
pub mod memory;
pub mod table;
pub mod torture;
pub mod tree;

/// Returns the element that a small number picks; `None` of an empty slice.
#[must_use]
pub fn pick<T>(from: &[T], at: u8) -> Option<&T> {
    from.get(usize::from(at).checked_rem(from.len())?)
}
