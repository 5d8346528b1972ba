//! Comparisons: the same work on ours and on locked versions, in one process, taking turns.
//!
//! A machine that others use too runs now faster, now slower. So contestants never run one after the other: each gets a short
//! slice in turn, the first one rotating, and what is reported is the upper quartile of each one's slices, and the
//! ratio.

pub mod contestant;
mod cpu;
mod elastic;
pub mod garbage;
pub mod instructions;
pub mod interleave;
pub mod keys;
mod latency;
#[cfg(feature = "rivals")]
pub mod limits;
mod locked;
pub mod memory;
pub mod peers;
#[cfg(feature = "rivals")]
mod reclaimers;
pub mod report;
#[cfg(feature = "rivals")]
mod rivals;
pub mod scaling;
pub mod sums;
pub mod table;
pub mod tree;
pub mod workload;

pub use probes::random;
