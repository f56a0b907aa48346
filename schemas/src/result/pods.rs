//! Pod events and container logs of a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An event of a pod, from the cluster's events or from the pod's status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PodEvent {
    /// The time, in seconds since the load's start, by the cluster's clock with a resolution of 1 s.
    pub at_s: f64,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The role of the pod in the scenario.
    pub role: PodRole,
    /// The kind of change.
    pub change: PodChange,
    /// The reason of the cluster's event, such as `Unhealthy`. Empty for a change of the status.
    #[serde(default)]
    pub reason: String,
    /// The event in words.
    pub detail: String,
    /// How many times the cluster reported it.
    #[serde(default)]
    pub count: u64,
}

/// The role of a pod in a scenario.
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

/// A change of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PodChange {
    /// It was created.
    Created,
    /// It became ready.
    Ready,
    /// It is no longer ready.
    NotReady,
    /// A container restarted.
    Restarted,
    /// It is gone.
    Gone,
    /// A normal event of the cluster.
    Normal,
    /// A warning event of the cluster.
    Warning,
}

/// Log lines of a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogExcerpt {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The container's name.
    pub container: String,
    /// The event that the excerpt surrounds, such as `fault nats-cut injected`.
    pub around: String,
    /// The time of that event, in seconds since the load's start.
    pub at_s: f64,
    /// The lines. Long lines are truncated.
    #[serde(default)]
    pub lines: Vec<LogLine>,
    /// Why there are no lines.
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
