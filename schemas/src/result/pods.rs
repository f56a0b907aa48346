//! What the cluster says of pods during a run, and what their containers wrote.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that the cluster says of a pod, or that its status shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PodEvent {
    /// When, in seconds since the load's start. The cluster's clock tells it, to the second.
    pub at_s: f64,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// What the pod is to the scenario.
    pub role: PodRole,
    /// What happened.
    pub change: PodChange,
    /// The cluster's word for it, such as `Unhealthy`; empty for what the status shows.
    #[serde(default)]
    pub reason: String,
    /// What happened, in words.
    pub detail: String,
    /// How often it was said.
    #[serde(default)]
    pub count: u64,
}

/// What a pod is to a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PodRole {
    /// A fault acts on it.
    Target,
    /// It is the other end of a fault.
    Peer,
    /// Another pod of the same namespaces.
    Other,
}

/// What happened to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PodChange {
    /// It came to be.
    Created,
    /// It became ready.
    Ready,
    /// It ceased to be ready.
    NotReady,
    /// A container started again.
    Restarted,
    /// It is gone.
    Gone,
    /// The cluster said something of it.
    Normal,
    /// The cluster warned.
    Warning,
}

/// Some lines that a container wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogExcerpt {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The container's name.
    pub container: String,
    /// Around what, such as `fault nats-cut injected`.
    pub around: String,
    /// When that was, in seconds since the load's start.
    pub at_s: f64,
    /// The lines, as they were written; long ones are cut.
    #[serde(default)]
    pub lines: Vec<LogLine>,
    /// Why there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// When it was written, in seconds since the load's start, by the cluster's clock.
    pub at_s: f64,
    /// The line.
    pub text: String,
}
