//! The two public file formats of shakedown, as Rust types: the scenario that people write and the result that
//! everything else is made from, with the events that lead from one to the other.
//!
//! What belongs here: types, their units and limits, parsing with positions, checks that need nothing but the file,
//! and the JSON Schemas that are generated from the types. What does not: anything that runs, opens a socket or
//! knows a cluster.

pub mod event;
pub mod result;
pub mod scenario;
pub mod units;

pub use event::{Event, EventKind};
pub use result::RunResult;
pub use scenario::Scenario;
