//! The engine: one scenario from its plan to its result.
//!
//! Data flows in one direction. `plan` resolves a scenario against the cluster into plain data and changes nothing. `arm`
//! makes the drivers from the plan. The `timeline` is the only part that acts, through fault and load drivers. It returns
//! plain observations, the only input of the judge. `execute` joins these stages.

pub mod arm;
pub mod collectors;
pub mod diagnostics;
pub mod events;
pub mod execute;
pub mod plan;
pub mod shorten;
pub mod timeline;
pub mod trial;
