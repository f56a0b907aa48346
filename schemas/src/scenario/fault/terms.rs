//! Values that several kinds of faults share.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why rules on a pod's network may not affect the requests.
pub(super) const PASSED_BY: &str = ", or the cluster's network bypasses its rules (a service mesh, Cilium in place of kube-proxy, a \
                         kernel with nftables only)";

/// Which direction of a link is affected, seen from the fault's target pods. A partition selects connections by the end
/// that opens them. A `netem` selects packets by their sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Connections that the targets open, or packets that they send.
    Egress,
    /// Connections that the targets accept, or packets that they receive.
    Ingress,
    /// Both directions.
    #[default]
    Both,
}

impl Direction {
    /// True if it includes connections that the targets open.
    pub const fn has_egress(self) -> bool {
        matches!(self, Self::Egress | Self::Both)
    }

    /// True if it includes connections that the targets accept.
    pub const fn has_ingress(self) -> bool {
        matches!(self, Self::Ingress | Self::Both)
    }
}

/// The engine that carries out a fault, as plans and results name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FaultEngine {
    /// NetworkPolicy objects, which the network plugin enforces.
    NetworkPolicy,
    /// The Kubernetes API alone.
    Kubernetes,
    /// Chaos Mesh.
    ChaosMesh,
}

impl FaultEngine {
    /// Its name in plans and results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NetworkPolicy => "network-policy",
            Self::Kubernetes => "kubernetes",
            Self::ChaosMesh => "chaos-mesh",
        }
    }
}

impl fmt::Display for FaultEngine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

/// What shows that a fault acts, in addition to its objects being in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prove {
    /// A witness, if its image is known and it could connect before the fault. Otherwise a change in the run's own
    /// requests. Without either, the scenario is inconclusive, even if this cluster is known to enforce policies.
    #[default]
    Auto,
    /// A witness: a short-lived pod that could connect to the peer before the fault and cannot connect during it. Needs
    /// an image (`--witness-image`), and a partition that cuts connections that the targets open.
    Witness,
    /// An observation that is independent of the engine's report. A fault that only its engine claims is inconclusive,
    /// unless an observation of its targets shows it, or the run's own requests change.
    Strict,
    /// The run's own requests: their success rate or latency leaves the baseline's band while the fault acts.
    Traffic,
    /// Nothing more. It is enough that the fault's objects are in place. If the cluster has policies of other APIs, which may
    /// keep the link open, this is the same as `auto`.
    Applied,
}

impl Prove {
    /// The word for it in a scenario.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Witness => "witness",
            Self::Strict => "strict",
            Self::Traffic => "traffic",
            Self::Applied => "applied",
        }
    }
}
