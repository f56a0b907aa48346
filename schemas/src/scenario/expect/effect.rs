//! What a fault must change, so that holding up against it means something.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Errors, Expectation, LatencyRatio, RateRatio, SuccessRate};

/// What the faults of a phase must change in the run's own requests: the word `any`, or a map with one key, what and by
/// how much. Where it is not so, the phase is `inconclusive`: a fault that nobody noticed shows nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Anything: success rate or latency left the baseline's band, or an interval of theirs lies apart from the
    /// baseline's.
    Any,
    /// The success rate.
    SuccessRate(SuccessRate),
    /// A percentile of the latency.
    LatencyRatio(LatencyRatio),
    /// A percentile of the times to the first token.
    TimeToFirstTokenRatio(LatencyRatio),
    /// A percentile of the times between tokens.
    InterTokenLatencyRatio(LatencyRatio),
    /// Successful answers per second.
    ThroughputRatio(RateRatio),
    /// Failures by kind.
    Errors(Box<Errors>),
}

impl Effect {
    /// The expectation that it amounts to; none for `any`.
    pub fn expectation(&self) -> Option<Expectation> {
        match self {
            Self::Any => None,
            Self::SuccessRate(it) => Some(Expectation::SuccessRate(it.clone())),
            Self::LatencyRatio(it) => Some(Expectation::LatencyRatio(it.clone())),
            Self::TimeToFirstTokenRatio(it) => Some(Expectation::TimeToFirstTokenRatio(it.clone())),
            Self::InterTokenLatencyRatio(it) => Some(Expectation::InterTokenLatencyRatio(it.clone())),
            Self::ThroughputRatio(it) => Some(Expectation::ThroughputRatio(it.clone())),
            Self::Errors(it) => Some(Expectation::Errors((**it).clone())),
        }
    }
}
