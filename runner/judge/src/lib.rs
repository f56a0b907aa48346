//! Judging: observations in, verdicts out. Pure: no clock, no socket, and no randomness except from the given seed, so that
//! the same observations give the same bytes.
//!
//! In scope: the rules by which an expectation holds, fails or cannot be decided, the statistics behind them,
//! recovery from the requests themselves, and the verdict and exit code that follow. Out of scope: how requests were
//! counted (`observe`), whether a fault was applied (its driver proves that), and its presentation (the reports).
//!
//! The rules, each explained in its module:
//! - a phase's expectations judge the requests that were due in its judged part, and nothing else;
//! - too few requests are inconclusive (`samples`), as are phases that never began or ended early;
//! - success rates have Wilson's interval (`numbers`), percentiles and ratios a block bootstrap's (`bootstrap`);
//! - recovery is the settling time of windows of requests (`recovery`).

mod answer;
mod around;
mod ask;
mod baseline;
mod bootstrap;
mod calibrate;
mod comparable;
mod compare;
mod counts;
mod drift;
mod early;
mod effect;
mod expectations;
mod failed;
mod generator;
mod goodput;
mod hdr;
mod heat;
mod lateness;
mod limits;
mod long_run;
mod measure;
mod numbers;
mod outcome;
mod outside;
mod parts;
mod percentiles;
mod phases;
mod proof;
mod question;
mod rates;
mod recovery;
mod retry;
mod samples;
mod served;
mod shift;
mod stats;
mod steady;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod text;
mod transient;
mod trend;
mod verdict;
mod waits;

pub use baseline::{demote, problems, transients};
pub use calibrate::{Calibration, calibrate};
pub use compare::{Change, Moved, compare, history};
pub use drift::warnings as drifts;
pub use effect::{Felt, changed, effects};
pub use expectations::{closed_loop_warning, expectations};
pub use lateness::warnings as late;
pub use parts::join;
pub use phases::phases;
pub use question::title;
pub use recovery::recoveries;
pub use retry::{Retries, attempt, settle};
pub use served::unserved;
pub use stats::{series, stats};
pub use verdict::{BASELINE, Conclusion, exit_code, remarks, scenario_verdict};
pub use waits::warning as waits;

/// Nanoseconds in seconds.
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
