//! Expectations about what others saw of the service: the cluster's pods, Prometheus, and the pods' logs.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CountLimits;
use crate::scenario::PodSelector;
use crate::units::Duration;

/// Limits on what the cluster shows of some pods during the phase. They are looked at once a second.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pods {
    /// Which pods. Default: those of the selectors of the scenario's faults, all that match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select: Option<PodSelector>,
    /// How many times containers of these pods started again during the phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarts: Option<CountLimits>,
    /// As many of these pods as were ready before the first fault are ready again at most so long after the phase began
    /// (or after its faults were in place), and stay so until its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["30s"]))]
    pub ready_within: Option<Duration>,
}

/// Limits on what Prometheus says of the phase, alone or against an earlier phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prometheus {
    /// The server's URL, without `/api/v1`.
    #[schemars(extend("examples" = ["http://prometheus.monitoring:9090"]))]
    pub url: String,
    /// The query, in PromQL. Its answer must be one series: aggregate with `sum`, `avg` or `max`.
    #[schemars(extend("examples" = ["sum(rate(http_requests_total{code=~\"5..\"}[30s]))"]))]
    pub query: String,
    /// How the values of the phase become one. Default `mean`.
    #[serde(default, skip_serializing_if = "Over::is_mean")]
    pub over: Over,
    /// The earlier phase to compare with: then the limits are on the ratio of the two values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["baseline"]))]
    pub to: Option<String>,
    /// At least this value, or this many times the earlier phase's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [0.5]))]
    pub min: Option<f64>,
    /// At most this value, or this many times the earlier phase's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [2.0]))]
    pub max: Option<f64>,
    /// The time between two values of the phase. Default 1s, longer for phases of more than five minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["5s"]))]
    pub step: Option<Duration>,
    /// Headers of the request, such as `Authorization`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, String>,
}

/// How the values of a phase become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// Their mean.
    #[default]
    Mean,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// The last one: an instant query at the phase's end.
    End,
}

impl Over {
    /// True for the default.
    pub const fn is_mean(&self) -> bool {
        matches!(self, Self::Mean)
    }

    /// The way in a word, as a scenario writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Max => "max",
            Self::Min => "min",
            Self::End => "end",
        }
    }
}

/// Limits on how many lines of pods' logs match a pattern during the phase, by the time stamps of the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Logs {
    /// A regular expression (the syntax of Rust's `regex`) that a line must match somewhere.
    #[schemars(extend("examples" = ["panicked at|FATAL"]))]
    pub matches: String,
    /// Which pods. Default: those of the selectors of the scenario's faults, all that match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select: Option<PodSelector>,
    /// Only this container of them. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["worker"]))]
    pub container: Option<String>,
    /// At least so many lines: with `1`, the pattern appears.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [1]))]
    pub min: Option<u64>,
    /// At most so many lines: with `0`, the pattern does not appear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [0]))]
    pub max: Option<u64>,
}
