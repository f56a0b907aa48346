//! Limits that several kinds of expectations share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rule::Rule;
use crate::units::Percent;

/// What is compared with an expectation's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decide {
    /// The observed value, once there are enough requests. Reports print the interval next to it.
    #[default]
    Point,
    /// The whole interval. The expectation passes if all of it is within the limits, fails if none of it is, and is
    /// inconclusive otherwise.
    Interval,
}

impl Decide {
    /// True for the default.
    pub const fn is_point(&self) -> bool {
        matches!(self, Self::Point)
    }
}

/// How a verdict follows from a sample of requests, as the scenario specifies it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// The minimum number of requests. None for as many as the limits require.
    pub min_samples: Option<u64>,
    /// What is compared with the limits.
    pub decide: Decide,
    /// The confidence level of the interval. None for 95 %.
    pub confidence: Option<Percent>,
}

/// Limits on a number, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CountLimits {
    /// At least this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [1]))]
    pub min: Option<u64>,
    /// At most this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [0]))]
    pub max: Option<u64>,
}

impl CountLimits {
    pub(crate) const RULES: &'static [Rule] = &[Rule::LIMITS];
}
