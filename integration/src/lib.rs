//! integration

pub mod peers;
