//! The engine of shakedown: plan, timeline, faults, load, judge, and the sandbox that stands in for a cluster.
//!
//! Data flows once, from left to right: a scenario is planned against the cluster (`plan`, which changes nothing), the
//! `timeline` is the only part that acts, through the drivers in `faults` and `load`; what they saw are plain
//! `observe` data, which `judge` turns into verdicts without looking at anything else.

mod chance;
pub mod cli;
pub mod cluster;
pub mod events;
pub mod execute;
pub mod export;
pub mod faults;
pub mod gather;
pub mod guard;
pub mod journal;
pub mod judge;
pub mod known;
pub mod labels;
pub mod load;
pub mod lock;
pub mod observe;
pub mod plan;
pub mod policy;
pub mod sandbox;
pub mod story;
pub mod sweep;
pub mod timeline;
pub mod trial;
