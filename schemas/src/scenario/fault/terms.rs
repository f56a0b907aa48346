//! Words that several kinds of faults share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why the requests may not show rules on a pod's network.
pub(super) const PASSED_BY: &str = ", or the cluster's network passes its rules by (a service mesh, Cilium in place of kube-proxy, a \
                         kernel with nftables only)";

/// Which way a link is acted on, seen from the fault's target pods. A partition means connections, by who opens them; a
/// `netem` means packets, by who sends them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// What the targets open.
    Egress,
    /// What the targets accept.
    Ingress,
    /// Both.
    #[default]
    Both,
}

impl Direction {
    /// True when connections that the targets open are meant.
    pub const fn has_egress(self) -> bool {
        matches!(self, Self::Egress | Self::Both)
    }

    /// True when connections that the targets accept are meant.
    pub const fn has_ingress(self) -> bool {
        matches!(self, Self::Ingress | Self::Both)
    }
}

/// What shows that a fault acts, in addition to its objects being in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prove {
    /// A witness where an image for it is known and it could connect before; else a change in the run's own requests.
    /// Without either the scenario is inconclusive, also where this cluster is known to enforce policies.
    #[default]
    Auto,
    /// A witness: a short-lived pod that could connect to the peer before, and cannot now. Needs an image
    /// (`--witness-image`), and a partition that cuts what the targets open.
    Witness,
    /// Something that is independent of the engine's own report. A fault that only its engine claims is inconclusive, unless
    /// the run's own requests change.
    Strict,
    /// The run's own requests: their success rate or latency leaves the baseline's band while the fault stands.
    Traffic,
    /// Nothing more: that the policy is in place is enough.
    Applied,
}

impl Prove {
    /// The way in a word, as a scenario writes it.
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
