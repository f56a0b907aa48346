//! The effect that a fault must have. Without an effect, a pass under the fault would show nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Errors, Expectation, LatencyRatio, RateRatio, SuccessRate};

/// The effect that the faults of a phase must have on the run's own requests: `any`, or a map with one key, the
/// measure, and its limits. Without that effect the phase is `inconclusive`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Any effect: success rate or latency leaves the baseline's band, or an interval of theirs does not overlap the
    /// baseline's.
    Any,
    /// The success rate.
    SuccessRate(SuccessRate),
    /// A percentile of the latency, relative to an earlier phase.
    LatencyRatio(LatencyRatio),
    /// A percentile of the time to the first token, relative to an earlier phase.
    TimeToFirstTokenRatio(LatencyRatio),
    /// A percentile of the time between tokens, relative to an earlier phase.
    InterTokenLatencyRatio(LatencyRatio),
    /// Successful answers per second, relative to an earlier phase.
    ThroughputRatio(RateRatio),
    /// The number of failed requests, by kind of failure.
    Errors(Box<Errors>),
}

impl Effect {
    /// The equivalent expectation. None for `any`.
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
