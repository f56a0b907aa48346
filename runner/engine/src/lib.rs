//! The engine: one scenario from its plan to its result.
//!
//! Data flows in one direction. `plan` resolves a scenario against the cluster into plain data and changes nothing. `arm`
//! makes the drivers from the plan. The `timeline` injects and undoes, through fault and load drivers. It returns plain
//! observations, the only input of the judge. `execute` joins these stages. Before the timeline, it creates the locks, the
//! fuses and the canaries, and after it removes them. Nothing else acts on a cluster.

pub mod arm;
pub mod collectors;
pub mod diagnostics;
pub mod events;
pub mod execute;
pub mod plan;
pub mod shorten;
pub mod timeline;
pub mod trial;
