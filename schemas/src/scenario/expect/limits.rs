//! Limits that several kinds of expectations share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rule::Rule;
use crate::units::Percent;

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

/// How an answer follows from a sample of requests, as the scenario says it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// How many requests the answer needs at least; without it, as many as the question takes.
    pub min_samples: Option<u64>,
    /// What is held against the limits.
    pub decide: Decide,
    /// The confidence level of the interval; without it, 95 %.
    pub confidence: Option<Percent>,
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

impl CountLimits {
    pub(crate) const RULES: &'static [Rule] = &[Rule::LIMITS];
}
