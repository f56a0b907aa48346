//! Locks on namespaces, fuses that remove a dead run's faults, and the search for leftovers by label. They make undo
//! independent of the runner.
//!
//! Not here: how a fault is undone (`shakedown-faults`) and when (`shakedown-engine`).

pub mod fuse;
mod guard;
pub mod leftovers;
pub mod lock;

pub use guard::{Guard, GuardError, Remains};
