//! Expectations: one variant per question that a phase can be asked. How each is answered is in the runner's judge.

mod cluster;
mod effect;
mod rates;

pub use cluster::{Logs, Over, Pods, Prometheus};
pub use effect::Effect;
pub use rates::{RateRatio, Stuck, TokenRate};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Duration, Percent, Percentile};

/// One check: a map with one key, the kind of expectation. `min` and `max` are both inclusive, and at least one of
/// them is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Expectation {
    /// The share of the phase's requests that succeeded.
    SuccessRate(SuccessRate),
    /// A percentile of the phase's latency, from the moment when each request was due to its outcome.
    Latency(Latency),
    /// A percentile of the phase's latency, divided by the same percentile of an earlier phase.
    LatencyRatio(LatencyRatio),
    /// A percentile of the phase's times from the moment when a request was due to its first token. Only streams have
    /// one, and only those that got that far.
    TimeToFirstToken(Latency),
    /// The same percentile, divided by that of an earlier phase.
    TimeToFirstTokenRatio(LatencyRatio),
    /// A percentile of the times between two pieces of a stream that bring tokens, over all pieces of all streams.
    InterTokenLatency(Latency),
    /// The same percentile, divided by that of an earlier phase.
    InterTokenLatencyRatio(LatencyRatio),
    /// The tokens that successful streams brought, per second of the phase.
    OutputTokensPerSecond(TokenRate),
    /// The same, divided by that of an earlier phase.
    OutputTokensPerSecondRatio(RateRatio),
    /// Successful answers per second, by the moments when their requests were due, divided by those of an earlier phase.
    ThroughputRatio(RateRatio),
    /// How many requests of the phase failed, by the kind of failure.
    Errors(Errors),
    /// How many requests of the phase never came to any end.
    Stuck(Stuck),
    /// From the confirmed removal of the faults before this phase to the start of the window from which success rate and
    /// latency stay within tolerance of the baseline for as long as they are seen, and at least for `hold`. The service may
    /// have relapsed before that.
    RecoveryTime(RecoveryTime),
    /// How many requests were due in the phase.
    Requests(Requests),
    /// What the cluster shows of some pods: restarts, and how soon they were ready again.
    Pods(Pods),
    /// What Prometheus says of the phase.
    Prometheus(Prometheus),
    /// Whether a pattern appears in the logs of some pods.
    Logs(Logs),
}

impl Expectation {
    /// The kind, as it is written in a scenario.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SuccessRate(_) => "success_rate",
            Self::Latency(_) => "latency",
            Self::LatencyRatio(_) => "latency_ratio",
            Self::TimeToFirstToken(_) => "time_to_first_token",
            Self::TimeToFirstTokenRatio(_) => "time_to_first_token_ratio",
            Self::InterTokenLatency(_) => "inter_token_latency",
            Self::InterTokenLatencyRatio(_) => "inter_token_latency_ratio",
            Self::OutputTokensPerSecond(_) => "output_tokens_per_second",
            Self::OutputTokensPerSecondRatio(_) => "output_tokens_per_second_ratio",
            Self::ThroughputRatio(_) => "throughput_ratio",
            Self::Errors(_) => "errors",
            Self::Stuck(_) => "stuck",
            Self::RecoveryTime(_) => "recovery_time",
            Self::Requests(_) => "requests",
            Self::Pods(_) => "pods",
            Self::Prometheus(_) => "prometheus",
            Self::Logs(_) => "logs",
        }
    }

    /// The load that is asked; without it, each of them.
    pub fn load(&self) -> Option<&str> {
        match self {
            Self::SuccessRate(it) => it.load.as_deref(),
            Self::Latency(it) | Self::TimeToFirstToken(it) | Self::InterTokenLatency(it) => it.load.as_deref(),
            Self::LatencyRatio(it) | Self::TimeToFirstTokenRatio(it) | Self::InterTokenLatencyRatio(it) => {
                it.load.as_deref()
            }
            Self::OutputTokensPerSecond(it) => it.load.as_deref(),
            Self::OutputTokensPerSecondRatio(it) | Self::ThroughputRatio(it) => it.load.as_deref(),
            Self::Errors(it) => it.load.as_deref(),
            Self::Stuck(it) => it.load.as_deref(),
            Self::RecoveryTime(it) => it.load.as_deref(),
            Self::Requests(it) => it.load.as_deref(),
            Self::Pods(_) | Self::Prometheus(_) | Self::Logs(_) => None,
        }
    }

    /// False for what others saw of the service (its pods, Prometheus, logs): that is asked once and not of each load.
    pub const fn is_about_requests(&self) -> bool {
        !matches!(self, Self::Pods(_) | Self::Prometheus(_) | Self::Logs(_))
    }

    /// The earlier phase that it compares with, where it names one.
    pub fn to(&self) -> Option<&str> {
        match self {
            Self::LatencyRatio(it) | Self::TimeToFirstTokenRatio(it) | Self::InterTokenLatencyRatio(it) => Some(&it.to),
            Self::OutputTokensPerSecondRatio(it) | Self::ThroughputRatio(it) => Some(&it.to),
            Self::RecoveryTime(it) => it.to.as_deref(),
            Self::Prometheus(it) => it.to.as_deref(),
            _ => None,
        }
    }
}

/// Which requests a latency is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LatencyOf {
    /// Every request that was due, with the time until its outcome: a failure counts with the time until it failed, and one
    /// that was given up with at least the time until then. Failures that were quicker than the percentile are left out:
    /// they would make a broken service look fast.
    #[default]
    All,
    /// Only those that succeeded.
    Successes,
}

impl LatencyOf {
    /// True for the default.
    pub const fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }
}

/// What is held against an expectation's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decide {
    /// The observed value, once there are enough requests. The interval is printed beside it.
    #[default]
    Point,
    /// The whole interval: it passes when all of it is within the limits, fails when none of it is, and is
    /// inconclusive in between.
    Interval,
}

impl Decide {
    /// True for the default.
    pub const fn is_point(&self) -> bool {
        matches!(self, Self::Point)
    }
}

/// Limits on the share of requests that succeeded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SuccessRate {
    /// At least this share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Percent>,
    /// At most this share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Percent>,
    /// How many requests the answer needs at least. Default: as many as the question takes, see the judge's rules; with
    /// fewer the answer is `inconclusive`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), extend("examples" = [300]))]
    pub min_samples: Option<u64>,
    /// What is held against the limits: the observed value, or its whole interval. Default `point`.
    #[serde(default, skip_serializing_if = "Decide::is_point")]
    pub decide: Decide,
    /// The confidence level of the interval. Default 95%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["99%"]))]
    pub confidence: Option<Percent>,
    /// Only this load. Default: each load is asked by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["completions"]))]
    pub load: Option<String>,
}

/// Limits on a percentile of the latency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Which percentile.
    pub percentile: Percentile,
    /// Which requests it is of. Default `all`. Only for `latency` and `latency_ratio`.
    #[serde(default, skip_serializing_if = "LatencyOf::is_all")]
    pub of: LatencyOf,
    /// At least this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Duration>,
    /// At most this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Duration>,
    /// How many requests the answer needs at least. Default: as many as the question takes, see the judge's rules; with
    /// fewer the answer is `inconclusive`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), extend("examples" = [300]))]
    pub min_samples: Option<u64>,
    /// What is held against the limits: the observed value, or its whole interval. Default `point`.
    #[serde(default, skip_serializing_if = "Decide::is_point")]
    pub decide: Decide,
    /// The confidence level of the interval. Default 95%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["99%"]))]
    pub confidence: Option<Percent>,
    /// Only this load. Default: each load is asked by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["completions"]))]
    pub load: Option<String>,
}

/// Limits on a percentile of the latency, relative to an earlier phase of the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatencyRatio {
    /// Which percentile.
    pub percentile: Percentile,
    /// Which requests it is of. Default `all`. Only for `latency` and `latency_ratio`.
    #[serde(default, skip_serializing_if = "LatencyOf::is_all")]
    pub of: LatencyOf,
    /// The earlier phase to compare with.
    #[schemars(extend("examples" = ["baseline"]))]
    pub to: String,
    /// At least this many times as long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0), extend("examples" = [1.0]))]
    pub min: Option<f64>,
    /// At most this many times as long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0), extend("examples" = [3.0]))]
    pub max: Option<f64>,
    /// A value of this percentile that is good whatever the ratio says, so that a tiny baseline does not fail a run: with
    /// `or_below: 50ms`, 3 ms after 1 ms passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["50ms"]))]
    pub or_below: Option<Duration>,
    /// How many requests the answer needs at least. Default: as many as the question takes, see the judge's rules; with
    /// fewer the answer is `inconclusive`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), extend("examples" = [300]))]
    pub min_samples: Option<u64>,
    /// What is held against the limits: the observed value, or its whole interval. Default `point`.
    #[serde(default, skip_serializing_if = "Decide::is_point")]
    pub decide: Decide,
    /// The confidence level of the interval. Default 95%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["99%"]))]
    pub confidence: Option<Percent>,
    /// Only this load. Default: each load is asked by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["completions"]))]
    pub load: Option<String>,
}

/// Limits on the time to recover.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoveryTime {
    /// At least this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Duration>,
    /// At most this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Duration>,
    /// How long the service must stay within tolerance to count as recovered. Default 5s.
    #[serde(default = "RecoveryTime::default_hold")]
    pub hold: Duration,
    /// The phase to compare with. Default: the last phase without faults before the first fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["baseline"]))]
    pub to: Option<String>,
    /// The length of the windows that are judged, and so the resolution of the answer. Default 1s.
    #[serde(default = "RecoveryTime::default_window")]
    pub window: Duration,
    /// How much lower than the baseline's success rate a window may be. Default 1%.
    #[serde(default = "RecoveryTime::default_tolerance")]
    pub tolerance: Percent,
    /// How many times the baseline's p95 a window's p95 may be. Default 2.
    #[serde(default = "RecoveryTime::default_latency_tolerance")]
    #[schemars(range(min = 1.0))]
    pub latency_tolerance: f64,
    /// Only this load. Default: each load is asked by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["completions"]))]
    pub load: Option<String>,
}

impl Default for RecoveryTime {
    fn default() -> Self {
        Self {
            min: None,
            max: None,
            hold: Self::default_hold(),
            to: None,
            window: Self::default_window(),
            tolerance: Self::default_tolerance(),
            latency_tolerance: Self::default_latency_tolerance(),
            load: None,
        }
    }
}

impl RecoveryTime {
    fn default_hold() -> Duration {
        Duration::from_secs(5)
    }

    fn default_window() -> Duration {
        Duration::from_secs(1)
    }

    fn default_tolerance() -> Percent {
        Percent::from_fraction(0.01)
    }

    fn default_latency_tolerance() -> f64 {
        2.0
    }
}

/// Limits on how many requests were due.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// At least so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [100]))]
    pub min: Option<u64>,
    /// At most so many. None at all is inconclusive, unless this is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [10_000]))]
    pub max: Option<u64>,
    /// Only this load. Default: each load is asked by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["completions"]))]
    pub load: Option<String>,
}

/// Limits on how many requests failed, for each kind of failure that is named. All of them must hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Errors {
    /// Requests that failed, however they did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any: Option<CountLimits>,
    /// No end of the answer within the load's timeout, or still under way when the run was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<CountLimits>,
    /// No connection: the name, the port, the network or TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<CountLimits>,
    /// The connection, or the request's stream on it, ended before there was an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<CountLimits>,
    /// A status from 400 to 499 that does not count as success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_4xx: Option<CountLimits>,
    /// A status from 500 to 599 that does not count as success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_5xx: Option<CountLimits>,
    /// A stream without its end mark, a body cut short, or an answer that breaks the protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken_stream: Option<CountLimits>,
    /// A stream that brought no token for as long as the load's `stall_after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalled: Option<CountLimits>,
    /// An answer that carries the API's error object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_error: Option<CountLimits>,
    /// An answer that fails the request's `check`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CountLimits>,
    /// Due, and never sent, for whichever of the three reasons that follow. The load generator's limits, not the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_sent: Option<CountLimits>,
    /// Due, and never sent, because `max_in_flight` requests were under way until its timeout, or the run, was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_sent_limit: Option<CountLimits>,
    /// Due, and never sent, because the machine could open no further connection: it ran out of file descriptors or ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_sent_connections: Option<CountLimits>,
    /// Due, and never sent, because the load generator had too little processor time to come to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_sent_late: Option<CountLimits>,
    /// Only this load. Default: each load is asked by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["completions"]))]
    pub load: Option<String>,
}

impl Errors {
    /// The kinds that have limits, by name, in the order of this type.
    pub fn kinds(&self) -> Vec<(&'static str, CountLimits)> {
        let all = [
            ("any", self.any),
            ("timeout", self.timeout),
            ("connection", self.connection),
            ("reset", self.reset),
            ("http_4xx", self.http_4xx),
            ("http_5xx", self.http_5xx),
            ("broken_stream", self.broken_stream),
            ("stalled", self.stalled),
            ("api_error", self.api_error),
            ("check", self.check),
            ("not_sent", self.not_sent),
            ("not_sent_limit", self.not_sent_limit),
            ("not_sent_connections", self.not_sent_connections),
            ("not_sent_late", self.not_sent_late),
        ];
        all.into_iter().filter_map(|(name, limits)| limits.map(|limits| (name, limits))).collect()
    }
}

/// Limits on a number, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CountLimits {
    /// At least so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [1]))]
    pub min: Option<u64>,
    /// At most so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [0]))]
    pub max: Option<u64>,
}
