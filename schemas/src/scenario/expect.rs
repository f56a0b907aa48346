//! Expectations: one variant per question that a phase can be asked. Each kind has its question in a file of its own; how it
//! is answered is in the runner's judge.

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
pub use errors::Errors;
pub use goodput::{Goodput, GoodputBounds};
pub use kind::{About, ExpectationFacts, ExpectationInfo};
pub(crate) use kind::{At, PhaseFacts};
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
    /// A percentile of the phase's latency, from the moment when each request was due to its outcome.
    "latency" => Latency(Latency), latency::LATENCY;
    /// A percentile of the phase's latency, divided by the same percentile of an earlier phase.
    "latency_ratio" => LatencyRatio(LatencyRatio), latency::LATENCY_RATIO;
    /// A percentile of the phase's times from the moment when a request was due to its first token. Only streams have
    /// one, and only those that got that far.
    "time_to_first_token" => TimeToFirstToken(Latency), latency::TIME_TO_FIRST_TOKEN;
    /// The same percentile, divided by that of an earlier phase.
    "time_to_first_token_ratio" => TimeToFirstTokenRatio(LatencyRatio), latency::TIME_TO_FIRST_TOKEN_RATIO;
    /// A percentile of the times between two pieces of a stream that bring tokens, over all pieces of all streams.
    "inter_token_latency" => InterTokenLatency(Latency), latency::INTER_TOKEN_LATENCY;
    /// The same percentile, divided by that of an earlier phase.
    "inter_token_latency_ratio" => InterTokenLatencyRatio(LatencyRatio), latency::INTER_TOKEN_LATENCY_RATIO;
    /// The tokens that successful streams brought, per second of the phase.
    "output_tokens_per_second" => OutputTokensPerSecond(TokenRate), rates::OUTPUT_TOKENS_PER_SECOND;
    /// The same, divided by that of an earlier phase.
    "output_tokens_per_second_ratio" => OutputTokensPerSecondRatio(RateRatio), rates::OUTPUT_TOKENS_PER_SECOND_RATIO;
    /// Successful answers per second, by the moments when their requests were due, divided by those of an earlier phase.
    "throughput_ratio" => ThroughputRatio(RateRatio), rates::THROUGHPUT_RATIO;
    /// The share of the phase's requests that succeeded and met every bound on their times.
    "goodput" => Goodput(Goodput), goodput::GOODPUT;
    /// How many requests of the phase failed, by the kind of failure.
    "errors" => Errors(Errors), errors::ERRORS;
    /// How many requests of the phase never came to any end.
    "stuck" => Stuck(Stuck), stuck::STUCK;
    /// From the confirmed removal of the faults before this phase to the start of the window from which success rate and
    /// latency stay within tolerance of the baseline for as long as they are seen, and at least for `hold`. The service may
    /// have relapsed before that.
    "recovery_time" => RecoveryTime(RecoveryTime), recovery_time::RECOVERY_TIME;
    /// How many requests were due in the phase.
    "requests" => Requests(Requests), requests::REQUESTS;
    /// What the cluster shows of some pods: restarts, and how soon they were ready again.
    "pods" => Pods(Pods), pods::PODS;
    /// What Prometheus says of the phase.
    "prometheus" => Prometheus(Prometheus), prometheus::PROMETHEUS;
    /// Whether a pattern appears in the logs of some pods.
    "logs" => Logs(Logs), logs::LOGS;
}

impl Expectation {
    /// Everything about its kind.
    pub fn info(&self) -> &'static ExpectationInfo {
        &Self::KINDS[self.index()]
    }

    /// False for what others saw of the service (its pods, Prometheus, logs): that is asked once and not of each load.
    pub fn is_about_requests(&self) -> bool {
        self.info().facts.about == About::Requests
    }
}

impl ExpectationInfo {
    /// The kind with this key.
    pub fn of(name: &str) -> Option<&'static Self> {
        Expectation::KINDS.iter().find(|kind| kind.name == name)
    }
}
