//! The judgement, which events and results share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The judgement of an expectation, a scenario or a run. The order is the order of badness: the worst wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    #[default]
    Pass,
    /// There is not enough to tell: too few samples, a fault that was not proven, a sick baseline.
    Inconclusive,
    /// It does not hold.
    Fail,
    /// The run itself went wrong: the cluster, a permission, the load generator, an interruption.
    Error,
}

impl Verdict {
    /// The verdict in a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
            Self::Error => "error",
        }
    }
}
