//! `partition`: links that are cut.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Direction, Prove};
use crate::scenario::selector::{Peer, PodSelector};
use crate::units::Duration;

/// Cuts the links between the target pods and some peers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// The target pods.
    pub pods: PodSelector,
    /// The peers that the targets lose.
    #[schemars(length(min = 1))]
    pub from: Vec<Peer>,
    /// Which way the links are cut, seen from the target pods. Default `both`.
    #[serde(default)]
    pub direction: Direction,
    /// How the links are cut. Default `auto`.
    #[serde(default)]
    pub engine: Engine,
    /// Cut off the replacement as well when a target is replaced while the fault stands. Default: only report it. Of
    /// several partitions that share a target, one that says so is enough.
    #[serde(default)]
    pub follow: bool,
    /// What shows that the links are really cut. Default `auto`.
    #[serde(default)]
    pub prove: Prove,
    /// How long after the phase's start the fault is injected. Default: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Duration>,
    /// How long the fault lasts. Default: until the phase's end.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}

/// How a partition is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// By NetworkPolicy where that cuts exactly what is asked for; by Chaos Mesh, where it is installed, when a standing
    /// policy would keep the link open, nothing enforces policies, or the network plugin is known to leave established
    /// connections open. The plan says which, and why.
    #[default]
    Auto,
    /// By NetworkPolicy. Needs a network plugin that enforces policies; some leave established connections open.
    NetworkPolicy,
    /// By Chaos Mesh, which drops the packets of every connection, established or not. Needs Chaos Mesh in the cluster.
    ChaosMesh,
}
