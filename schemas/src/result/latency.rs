//! Percentiles of times.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct LatencyStats {
    /// How many values there are.
    pub count: u64,
    /// The mean, ms.
    pub mean_ms: f64,
    /// The smallest, ms.
    pub min_ms: f64,
    /// Half are at most this, ms.
    pub p50_ms: f64,
    /// 90 % are at most this, ms.
    pub p90_ms: f64,
    /// 95 % are at most this, ms.
    pub p95_ms: f64,
    /// 99 % are at most this, ms.
    pub p99_ms: f64,
    /// 99.9 % are at most this, ms.
    pub p999_ms: f64,
    /// The largest, ms.
    pub max_ms: f64,
}
