//! Percentiles of times.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Percentile;

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct LatencyStats {
    /// The number of values.
    pub count: u64,
    /// The mean, ms.
    pub mean_ms: f64,
    /// The smallest, ms.
    pub min_ms: f64,
    /// The median, ms.
    pub p50_ms: f64,
    /// The 90th percentile, ms.
    pub p90_ms: f64,
    /// The 95th percentile, ms.
    pub p95_ms: f64,
    /// The 99th percentile, ms.
    pub p99_ms: f64,
    /// The 99.9th percentile, ms.
    pub p999_ms: f64,
    /// The largest, ms.
    pub max_ms: f64,
}

impl LatencyStats {
    /// One of its percentiles, ms. None for a percentile that it does not contain.
    pub fn percentile_ms(&self, percentile: Percentile) -> Option<f64> {
        let known =
            [(50.0, self.p50_ms), (90.0, self.p90_ms), (95.0, self.p95_ms), (99.0, self.p99_ms), (99.9, self.p999_ms)];
        known.into_iter().find(|(percent, _)| *percent == percentile.percent()).map(|(_, ms)| ms)
    }
}
