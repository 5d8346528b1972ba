//! Every interleaving, and every order that the memory model allows, of a few threads on a few words.
//!
//! Run with `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 LOOM_MAX_BRANCHES=10000`. Each model has twins
//! with one protection taken out, which must fail: they prove that the model can see the fault.
#![cfg(loom)]

mod freq_ctr;
mod mark;
mod names;
mod ordered;
mod steps;
mod table;
mod trim;
