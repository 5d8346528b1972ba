//! Reclamation: when is the memory of an unlinked object given back?
//!
//! A tree takes one of several reclaimers, as its last type parameter. [`Domain`] is ours, and what every tree has that does not say
//! otherwise. The others are for services that use one of these crates already, and for comparison: the same tree, the same
//! operations, another answer to the question above.
//!
//! | reclaimer | feature | a thread that stalls inside an operation, or keeps an entry, keeps |
//! | --- | --- | --- |
//! | [`Domain`] | | what its own slots name |
#![cfg_attr(
    all(feature = "haphazard", not(loom)),
    doc = "| [`Haphazard`] | `haphazard` | what its own hazard pointers name |"
)]
#![cfg_attr(
    all(feature = "crossbeam-epoch", not(loom)),
    doc = "| [`Epoch`] | `crossbeam-epoch` | everything that anybody unlinks meanwhile |"
)]
#![cfg_attr(
    all(feature = "seize", not(loom)),
    doc = "| [`Seize`] | `seize` | everything that anybody unlinks meanwhile |"
)]
#![cfg_attr(
    all(feature = "leak", not(loom)),
    doc = "| [`Leak`] | `leak` | nothing is ever freed: a bound for benchmarks |"
)]
//!
//! What is said elsewhere of the memory bound, of [`Domain::unreclaimed`], of values that panic when they are dropped and
//! of ends of threads is said of [`Domain`]. With the others it is as their crates have it.

#![expect(unnameable_types, reason = "what a reclaimer promises is between it and the tree")]

#[cfg(all(feature = "crossbeam-epoch", not(loom)))]
mod epoch;
#[cfg(all(feature = "haphazard", not(loom)))]
mod haphazard;
pub(crate) mod hazard;
#[cfg(all(feature = "leak", not(loom)))]
mod leak;
mod path;
#[cfg(all(
    any(feature = "crossbeam-epoch", feature = "haphazard", feature = "leak", feature = "seize"),
    not(loom)
))]
mod pinned;
pub(crate) mod protect;
#[cfg(all(feature = "seize", not(loom)))]
mod seize;

use core::fmt;

#[cfg(all(feature = "crossbeam-epoch", not(loom)))]
pub use epoch::Epoch;
#[cfg(all(feature = "haphazard", not(loom)))]
pub use haphazard::Haphazard;
pub use hazard::Domain;
#[cfg(loom)]
pub use hazard::{attach_to, end_thread};
#[cfg(all(feature = "leak", not(loom)))]
pub use leak::Leak;
pub(crate) use path::Step;
pub(crate) use protect::Protect;
pub(crate) use sealed::Token;
#[cfg(all(feature = "seize", not(loom)))]
pub use seize::Seize;

/// Says when unlinked objects may be freed. A value is a handle: clones are handles of the same reclaimer, and trees hold one.
///
/// Sealed: what a reclaimer has to promise is between it and the tree.
pub trait Reclaimer: Clone + fmt::Debug + Send + Sync + sealed::Sealed + 'static {
    /// Keeps one object, wherever it was found.
    #[doc(hidden)]
    type Guard: fmt::Debug;

    /// One operation of one thread.
    #[doc(hidden)]
    type Operation<'d>: Protect<Guard = Self::Guard> + fmt::Debug;

    /// Begins an operation of this thread. Only for us, who see to it that operations nest.
    #[doc(hidden)]
    fn enter(&self, token: Token) -> Self::Operation<'_>;

    /// Frees what can be freed now of what this thread has unlinked.
    fn flush(&self);

    /// Returns whether both are handles of one reclaimer.
    #[must_use]
    fn is_same(&self, other: &Self) -> bool;
}

pub(crate) mod sealed {
    pub trait Sealed {}

    /// What nobody else can make.
    #[derive(Clone, Copy, Debug)]
    pub struct Token(pub(crate) ());
}
