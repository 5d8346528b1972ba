//! Operations on a stick table, and a model of one: a map, with the time moved by hand.

mod model;
mod operation;
mod rate;

pub use model::{Entry, Model, Number};
pub use operation::{Change, Jump, Operation, Sent, Shape, data_type, key, number};
pub use rate::Rate;
