//! Limits on the damage of an experiment: stop conditions and the blast radius.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Secret;
use crate::units::{Duration, Percent, Percentile};

/// A stop condition: a map with one key, its kind. When it holds, the runner undoes every fault and ends the scenario.
/// The verdict is `fail` (exit code 1), with the condition as the reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopCondition {
    /// The success rate of recently ended requests is too low.
    SuccessRate(StopSuccessRate),
    /// A latency percentile of recently ended requests is too high.
    Latency(StopLatency),
    /// A neighbouring service does not answer.
    Http(StopHttp),
}

impl StopCondition {
    /// The key of its kind in a scenario.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SuccessRate(_) => "success_rate",
            Self::Latency(_) => "latency",
            Self::Http(_) => "http",
        }
    }

    /// How long the problem must last.
    pub const fn lasts(&self) -> Duration {
        match self {
            Self::SuccessRate(it) => it.lasts,
            Self::Latency(it) => it.lasts,
            Self::Http(it) => it.lasts,
        }
    }

    /// Its secret, which must not appear in a report.
    pub(super) fn secret(&self) -> Option<Secret> {
        match self {
            Self::SuccessRate(_) | Self::Latency(_) => None,
            Self::Http(it) => Some(Secret::Url(it.url.clone())),
        }
    }

    /// The watched load. None for every load, each separately.
    pub fn load(&self) -> Option<&str> {
        match self {
            Self::SuccessRate(it) => it.load.as_deref(),
            Self::Latency(it) => it.load.as_deref(),
            Self::Http(_) => None,
        }
    }
}

/// Stops when the success rate of the requests that ended during the last `for` is below a limit. A request that hangs
/// counts when it ends, at its timeout at the latest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopSuccessRate {
    /// The limit. The scenario stops below this share.
    pub below: Percent,
    /// The length of the sliding window. The condition cannot hold before this time has passed.
    #[serde(rename = "for")]
    pub lasts: Duration,
    /// The load to watch. Default: every load, each separately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["completions"]))]
    pub load: Option<String>,
}

/// Stops when a latency percentile of the requests that ended during the last `for` is above a limit. Latency counts
/// from the moment at which a request was due. A timeout counts with the time that it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopLatency {
    /// The percentile.
    pub percentile: Percentile,
    /// The limit. The scenario stops above this latency.
    pub above: Duration,
    /// The length of the sliding window. The condition cannot hold before this time has passed.
    #[serde(rename = "for")]
    pub lasts: Duration,
    /// The load to watch. Default: every load, each separately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["completions"]))]
    pub load: Option<String>,
}

/// Polls a neighbouring service. Stops when every answer during the last `for` was missing, late, or had a status of
/// 400 or higher.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopHttp {
    /// The URL to GET. It must be reachable from the runner.
    #[schemars(extend("examples" = ["http://127.0.0.1:9090/healthz"]))]
    pub url: String,
    /// The time between two requests. Default 1s.
    #[serde(default = "StopHttp::default_every")]
    pub every: Duration,
    /// The timeout of a request. Default 1s.
    #[serde(default = "StopHttp::default_timeout")]
    pub timeout: Duration,
    /// How long all requests must fail. Default 3s.
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

/// The largest set of pods that the faults of one phase may act on, counted over all of them together. The runner
/// refuses a plan that exceeds it before it sends any load. Without this key, the runner refuses a fault that selects
/// every pod of a workload, unless the selector has `name`, `count` or a `percent` below 100 %.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlastRadius {
    /// At most this number of pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), extend("examples" = [3]))]
    pub max_pods: Option<u32>,
    /// At most this share of the running pods of each workload. `100%` allows all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_percent: Option<Percent>,
}
