//! The engine: one scenario from its plan to its result.
//!
//! Data flows once, from left to right: a scenario is planned against the cluster (`plan`, which changes nothing and gives
//! plain data), `arm` makes the drivers from the plan, the
//! `timeline` is the only part that acts, through fault and load drivers; what they saw are plain observations, which
//! the judge turns into verdicts without looking at anything else. `execute` joins these stages.

pub mod arm;
pub mod collectors;
pub mod diagnostics;
pub mod events;
pub mod execute;
pub mod plan;
pub mod timeline;
pub mod trial;
