//! The verdict, which events and results share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The verdict on an expectation, a scenario or a run. The order is by severity: the worst verdict wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    #[default]
    Pass,
    /// The data does not allow a verdict: too few samples, an unproven fault, or a baseline that is not in a steady
    /// state.
    Inconclusive,
    /// It does not hold.
    Fail,
    /// The run itself failed: the cluster, a permission, the load generator or an interruption.
    Error,
}

impl Verdict {
    /// The verdict as a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
            Self::Error => "error",
        }
    }
}
