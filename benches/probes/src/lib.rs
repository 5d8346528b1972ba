//! Operations whose instructions are counted, in a program of their own that links the tree and the tables, and nothing else.
//!
//! What a compiler inlines depends on what else is in a program: so that an edit elsewhere changes no count, what is counted is
//! linked with nothing else. `benches instructions` builds the program, runs it under valgrind, and compares.

pub mod clients;
mod operation;
pub mod random;

pub use operation::Operation;
