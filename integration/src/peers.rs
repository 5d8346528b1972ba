//! HAProxy's peers protocol, versions 2.0 and 2.1.
//!
//! Three layers: [`codec`] knows bytes and nothing of order; the [`session`] above it knows order and
//! nothing of sockets; the [`driver`] above that knows sockets and nothing of the protocol.

pub mod codec;
pub mod driver;
pub mod resync;
pub mod session;
mod sketch;
