//! Expectations, one variant per kind. Each kind has a file of its own. The judge crate evaluates them.

#[macro_use]
mod kind;

mod effect;
mod errors;
mod goodput;
mod latency;
mod limits;
mod logs;
mod pods;
mod prometheus;
mod rates;
mod recovery_time;
mod requests;
mod stuck;
mod success_rate;

pub use effect::Effect;
pub use errors::{Errors, FailureKind};
pub use goodput::{Goodput, GoodputBounds};
pub use kind::{About, Ahead, Demands, ExpectationFacts, ExpectationInfo, Panel, PodsRead, Reference, Shown};
pub(crate) use kind::{At, PhaseFacts, Sample};
pub use latency::{Latency, LatencyOf, LatencyRatio};
pub use limits::{CountLimits, Decide, Sampling};
pub use logs::Logs;
pub use pods::Pods;
pub use prometheus::{Over, Prometheus};
pub use rates::{RateRatio, TokenRate};
pub use recovery_time::RecoveryTime;
pub use requests::Requests;
pub use stuck::Stuck;
pub use success_rate::SuccessRate;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use crate::check::Findings;
use kind::{ExpectationKind, Shared};

expectation_kinds! {
    /// The share of the phase's requests that succeeded.
    "success_rate" => SuccessRate(SuccessRate), success_rate::SUCCESS_RATE;
    /// A percentile of the phase's latency. Latency counts from the moment at which a request was due to its outcome.
    "latency" => Latency(Latency), latency::LATENCY;
    /// A percentile of the phase's latency, divided by the same percentile of an earlier phase.
    "latency_ratio" => LatencyRatio(LatencyRatio), latency::LATENCY_RATIO;
    /// A percentile of the time to the first token, from the moment at which a request was due. A request that failed
    /// without a token counts with the time until it failed.
    "time_to_first_token" => TimeToFirstToken(Latency), latency::TIME_TO_FIRST_TOKEN;
    /// A percentile of the time to the first token, divided by the same percentile of an earlier phase.
    "time_to_first_token_ratio" => TimeToFirstTokenRatio(LatencyRatio), latency::TIME_TO_FIRST_TOKEN_RATIO;
    /// A percentile of the time between two chunks of a stream that contain tokens, over all chunks of all streams.
    "inter_token_latency" => InterTokenLatency(Latency), latency::INTER_TOKEN_LATENCY;
    /// A percentile of the time between two chunks, divided by the same percentile of an earlier phase.
    "inter_token_latency_ratio" => InterTokenLatencyRatio(LatencyRatio), latency::INTER_TOKEN_LATENCY_RATIO;
    /// The output tokens of successful streams, per second of the phase.
    "output_tokens_per_second" => OutputTokensPerSecond(TokenRate), rates::OUTPUT_TOKENS_PER_SECOND;
    /// Output tokens per second, divided by those of an earlier phase.
    "output_tokens_per_second_ratio" => OutputTokensPerSecondRatio(RateRatio), rates::OUTPUT_TOKENS_PER_SECOND_RATIO;
    /// Successful answers per second, divided by those of an earlier phase. An answer counts at the moment at which its
    /// request was due.
    "throughput_ratio" => ThroughputRatio(RateRatio), rates::THROUGHPUT_RATIO;
    /// The share of the phase's requests that succeeded within all latency bounds.
    "goodput" => Goodput(Goodput), goodput::GOODPUT;
    /// The number of failed requests of the phase, by kind of failure.
    "errors" => Errors(Errors), errors::ERRORS;
    /// The number of requests of the phase that never ended.
    "stuck" => Stuck(Stuck), stuck::STUCK;
    /// The time from the confirmed undo of the faults before this phase to the start of the first window from which
    /// success rate and latency stay within tolerance of the baseline. They must stay there until the observation ends,
    /// and at least for `hold`. The service may relapse before that window.
    "recovery_time" => RecoveryTime(RecoveryTime), recovery_time::RECOVERY_TIME;
    /// The number of requests that were due in the phase.
    "requests" => Requests(Requests), requests::REQUESTS;
    /// Restarts and readiness of pods, as the cluster reports them.
    "pods" => Pods(Pods), pods::PODS;
    /// The value of a Prometheus query over the phase.
    "prometheus" => Prometheus(Prometheus), prometheus::PROMETHEUS;
    /// The number of lines in the logs of pods that match a pattern.
    "logs" => Logs(Logs), logs::LOGS;
}

/// An expectation whose data a collector reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Collected<'e> {
    /// Pods.
    Pods(&'e Pods),
    /// Values of Prometheus.
    Prometheus(&'e Prometheus),
    /// Lines of logs.
    Logs(&'e Logs),
}

impl Expectation {
    /// The description of its kind.
    pub fn info(&self) -> &'static ExpectationInfo {
        &Self::KINDS[self.index()]
    }

    /// What it reads of another source than the run's own requests. None for requests.
    pub const fn collected(&self) -> Option<Collected<'_>> {
        match self {
            Self::Pods(it) => Some(Collected::Pods(it)),
            Self::Prometheus(it) => Some(Collected::Prometheus(it)),
            Self::Logs(it) => Some(Collected::Logs(it)),
            Self::SuccessRate(_)
            | Self::Latency(_)
            | Self::LatencyRatio(_)
            | Self::TimeToFirstToken(_)
            | Self::TimeToFirstTokenRatio(_)
            | Self::InterTokenLatency(_)
            | Self::InterTokenLatencyRatio(_)
            | Self::OutputTokensPerSecond(_)
            | Self::OutputTokensPerSecondRatio(_)
            | Self::ThroughputRatio(_)
            | Self::Goodput(_)
            | Self::Errors(_)
            | Self::Stuck(_)
            | Self::RecoveryTime(_)
            | Self::Requests(_) => None,
        }
    }

    /// True if the expectation is about requests, so that it is judged per load. False for pods, logs and Prometheus,
    /// which are judged once.
    pub fn is_about_requests(&self) -> bool {
        self.info().facts.about == About::Requests
    }
}

impl ExpectationInfo {
    /// The complete expectation that its help texts show.
    ///
    /// # Panics
    /// Never: a test reads the example of every kind.
    pub fn example(&self) -> Expectation {
        let text = format!("{}: {}", self.name, self.facts.example);
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("the example of {}: {error}", self.name))
    }

    /// The kind with this key.
    pub fn of(name: &str) -> Option<&'static Self> {
        Expectation::KINDS.iter().find(|kind| kind.name == name)
    }

    /// What a report's timeline shows of the kind with this key. Nothing of a kind that is not known.
    pub fn shown(name: &str) -> Shown {
        Self::of(name).map_or(Shown::Nothing, |kind| kind.facts.shown)
    }
}
