//! `pod_kill`, `pod_failure` and `container_kill`: pods and containers that go away.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::selector::PodSelector;
use crate::units::Duration;

/// Deletes the target pods once. Their owner makes new ones; pods that no controller owns are refused. Needs nothing but
/// Kubernetes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PodKill {
    /// The target pods.
    pub pods: PodSelector,
    /// Evict the pods and do not delete them: a PodDisruptionBudget that forbids it is respected, and the fault is then
    /// not injected. Default `false`.
    #[serde(default)]
    pub evict: bool,
    /// How long the containers get to end by themselves; `0s` kills them at once. Default: what each pod says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_period: Option<Duration>,
    /// How long after the phase's start this happens. Default: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Duration>,
}

/// Makes the target pods unusable without deleting them: Chaos Mesh gives their containers an image that does nothing.
/// Needs Chaos Mesh.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PodFailure {
    /// The target pods.
    pub pods: PodSelector,
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

/// Kills containers of the target pods once; the kubelet starts them again. Needs Chaos Mesh.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContainerKill {
    /// The target pods.
    pub pods: PodSelector,
    /// The containers, by name.
    #[schemars(length(min = 1), extend("examples" = [["worker"]]))]
    pub containers: Vec<String>,
    /// How long after the phase's start this happens. Default: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Duration>,
}
