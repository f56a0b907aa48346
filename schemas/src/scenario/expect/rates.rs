//! Expectations about how much a service gets done in a time, and about requests that never end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Decide;
use crate::units::Percent;

/// Limits on the tokens that a load's streams bring per second of the phase. Only streams that ended well count, by the
/// moment when they were due; the server's own count (`usage`) where it gives one, else one token for each piece.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRate {
    /// At least so many tokens per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0), extend("examples" = [150.0]))]
    pub min: Option<f64>,
    /// At most so many tokens per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0), extend("examples" = [400.0]))]
    pub max: Option<f64>,
    /// How many requests the answer needs at least. Default: 20; with fewer the
    /// answer is `inconclusive`.
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

/// Limits on something per second (answers, tokens), relative to an earlier phase of the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateRatio {
    /// The earlier phase to compare with.
    #[schemars(extend("examples" = ["baseline"]))]
    pub to: String,
    /// At least this many times as much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0), extend("examples" = [0.8]))]
    pub min: Option<f64>,
    /// At most this many times as much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0), extend("examples" = [1.2]))]
    pub max: Option<f64>,
    /// How many requests of either phase the answer needs at least. Default: 20; with fewer the
    /// answer is `inconclusive`.
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

/// Limits on how many requests were stuck: sent, and without any end (an answer, an error, a reset) after `times` their
/// timeout, or still under way when the run was over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stuck {
    /// At least so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [1]))]
    pub min: Option<u64>,
    /// At most so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [0]))]
    pub max: Option<u64>,
    /// How many times its timeout a request may take to come to any end. With more than 1, requests that timed out (and
    /// count as such) are listened to for so much longer; in a closed loop their workers wait as long. Default 1.
    #[serde(default = "Stuck::default_times")]
    #[schemars(range(min = 1.0, max = 10.0))]
    pub times: f64,
    /// Only this load. Default: each load is asked by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["completions"]))]
    pub load: Option<String>,
}

impl Stuck {
    fn default_times() -> f64 {
        1.0
    }
}
