//! The exit codes. They are an API: scripts depend on them.

/// Every scenario passed.
pub const PASSED: u8 = 0;
/// An expectation failed.
pub const FAILED: u8 = 1;
/// A usage error, or an invalid scenario.
pub const USAGE: u8 = 2;
/// An error of the environment: cluster unreachable, permission denied, load generator failed.
pub const ENVIRONMENT: u8 = 3;
/// Inconclusive.
pub const INCONCLUSIVE: u8 = 4;
/// No scenario selected.
pub const NOTHING_SELECTED: u8 = 5;
/// Leftovers in the cluster. No other code takes precedence.
pub const LEFTOVERS: u8 = 6;
/// Interrupted by SIGHUP, after undoing everything.
pub const HUNG_UP: u8 = 129;
/// Interrupted by SIGINT, after undoing everything.
pub const INTERRUPTED: u8 = 130;
/// Interrupted by SIGTERM, after undoing everything.
pub const TERMINATED: u8 = 143;
