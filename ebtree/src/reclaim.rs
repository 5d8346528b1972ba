//! Reclamation: when is the memory of an unlinked node given back?

pub(crate) mod hazard;

pub use hazard::Domain;
#[cfg(loom)]
pub use hazard::{attach_to, end_thread};
