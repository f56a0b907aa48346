//! What keeps an experiment from doing more harm than it may: when it ends early, and how far it may reach.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Secret;
use crate::units::{Duration, Percent, Percentile};

/// When to stop: a map with one key, the kind of condition. As soon as one holds, every fault is undone, the scenario
/// ends, and its verdict is `fail` (exit code 1) with the condition as the reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopCondition {
    /// Too small a share of the requests that ended lately succeeded.
    SuccessRate(StopSuccessRate),
    /// A percentile of the requests that ended lately was too long.
    Latency(StopLatency),
    /// A neighbour that must not suffer does not answer.
    Http(StopHttp),
}

impl StopCondition {
    /// The kind, as it is written in a scenario.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SuccessRate(_) => "success_rate",
            Self::Latency(_) => "latency",
            Self::Http(_) => "http",
        }
    }

    /// Over how long it must hold.
    pub const fn lasts(&self) -> Duration {
        match self {
            Self::SuccessRate(it) => it.lasts,
            Self::Latency(it) => it.lasts,
            Self::Http(it) => it.lasts,
        }
    }

    /// What in it must not reach a report.
    pub(super) fn secret(&self) -> Option<Secret> {
        match self {
            Self::SuccessRate(_) | Self::Latency(_) => None,
            Self::Http(it) => Some(Secret::Url(it.url.clone())),
        }
    }

    /// The load that is watched; without it, each of them by itself.
    pub fn load(&self) -> Option<&str> {
        match self {
            Self::SuccessRate(it) => it.load.as_deref(),
            Self::Latency(it) => it.load.as_deref(),
            Self::Http(_) => None,
        }
    }
}

/// Stops when less than a share of the requests that ended during the last `for` succeeded. A request that hangs counts
/// when it ends, at the latest at its timeout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopSuccessRate {
    /// Less than this share.
    pub below: Percent,
    /// Over how long, looking back from each moment. Not before so much time has passed.
    #[serde(rename = "for")]
    pub lasts: Duration,
    /// Only this load. Default: each load by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["completions"]))]
    pub load: Option<String>,
}

/// Stops when a percentile of the latencies of the requests that ended during the last `for` was longer than a limit.
/// Latency counts from the moment when a request was due; a timeout counts with the time that it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopLatency {
    /// Which percentile.
    pub percentile: Percentile,
    /// Longer than this.
    pub above: Duration,
    /// Over how long, looking back from each moment. Not before so much time has passed.
    #[serde(rename = "for")]
    pub lasts: Duration,
    /// Only this load. Default: each load by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["completions"]))]
    pub load: Option<String>,
}

/// Asks a neighbour again and again, and stops when every answer during the last `for` was missing, late, or a status of
/// 400 and above.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopHttp {
    /// What to GET. It must be reachable from where the runner runs.
    #[schemars(extend("examples" = ["http://127.0.0.1:9090/healthz"]))]
    pub url: String,
    /// How often. Default 1s.
    #[serde(default = "StopHttp::default_every")]
    pub every: Duration,
    /// How long an answer may take. Default 1s.
    #[serde(default = "StopHttp::default_timeout")]
    pub timeout: Duration,
    /// For how long no answer may be good. Default 3s.
    #[serde(rename = "for", default = "StopHttp::default_lasts")]
    pub lasts: Duration,
}

impl StopHttp {
    fn default_every() -> Duration {
        Duration::from_secs(1)
    }

    fn default_timeout() -> Duration {
        Duration::from_secs(1)
    }

    fn default_lasts() -> Duration {
        Duration::from_secs(3)
    }
}

/// How far the faults of one phase may reach, counted over all of them together. A plan that reaches further is refused
/// before any load is sent. Without it, a fault that would take every pod of a workload is refused unless its selector
/// says so with `name`, `count` or a `percent` below 100 %.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlastRadius {
    /// At most so many pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), extend("examples" = [3]))]
    pub max_pods: Option<u32>,
    /// At most this share of the running pods of each workload; `100%` allows all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_percent: Option<Percent>,
}
