//! HAProxy's peers protocol, versions 2.0 and 2.1.
//!
//! Three layers: [`codec`] knows bytes and nothing of order; the [`session`] above it knows order and
//! nothing of sockets; the [`driver`] above that knows sockets and nothing of the protocol. Beside them, [`inspect`] shows what was
//! said, and [`trace`] shows it while it is being said.

pub mod codec;
pub mod driver;
pub mod inspect;
pub mod resync;
pub mod session;
mod sketch;
pub mod trace;
