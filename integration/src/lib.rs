//! Runs stick tables without a global lock: expiry, HAProxy's peers protocol, and what the daemon `stktabled` is
//! made of.

pub mod aggregate;
pub mod clock;
pub mod config;
pub mod expiry;
#[cfg(feature = "http")]
pub mod http;
pub mod inherited;
#[cfg(feature = "tower")]
pub mod limit;
#[cfg(feature = "http")]
pub mod metrics;
pub mod node;
pub mod peers;
pub mod runtime_api;
mod search;
pub mod shared;
pub mod state;
pub mod sticky;
pub mod tls;

pub use clock::Clock;
pub use node::Node;
pub use shared::{SharedTable, Signal, WriteToError};

/// The examples of the README, which have to compile.
#[cfg(all(doctest, feature = "tower"))]
#[doc = include_str!("../../README.md")]
struct Readme;
