//! `stress`: processor time and memory that something else takes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::selector::PodSelector;
use crate::units::{Duration, Percent, Size};

/// Takes processor time, memory or both from the target pods' containers, within their limits. At least one of `cpu` and
/// `memory`. Needs Chaos Mesh.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stress {
    /// The target pods.
    pub pods: PodSelector,
    /// Processor time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<StressCpu>,
    /// Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<StressMemory>,
    /// The containers, by name. Default: each pod's first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = [["worker"]]))]
    pub containers: Vec<String>,
    /// Act on the replacement as well when a target is replaced while the fault stands. Default: only report it.
    #[serde(default)]
    pub follow: bool,
    /// How long after the phase's start the fault is injected. Default: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Duration>,
    /// How long the fault lasts. Default: until the phase's end.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}

/// Processor time to take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StressCpu {
    /// How many processes; each takes the given share of one core.
    #[schemars(range(min = 1, max = 1024), extend("examples" = [2]))]
    pub workers: u32,
    /// The share of a core that each process takes. Default `100%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Percent>,
}

/// Memory to take. A container that goes beyond its limit is killed by the kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StressMemory {
    /// How much in all, shared by the processes.
    pub size: Size,
    /// How many processes share it. Default `1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024), extend("examples" = [1]))]
    pub workers: Option<u32>,
}
