//! `netem`: links that get worse without being cut.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Direction, Prove};
use crate::scenario::selector::{Peer, PodSelector};
use crate::units::{Bandwidth, Duration, Percent};

/// Makes the links between the target pods and some peers worse: any combination of loss, delay, duplication,
/// corruption, reordering and a limited bandwidth, with at least one of them. Needs Chaos Mesh.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Netem {
    /// The target pods.
    pub pods: PodSelector,
    /// The peers at the other end of the links. Without any, everything that the targets send, to whomever.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<Peer>,
    /// Which packets, seen from the target pods: `egress` are those that they send, `ingress` those that they receive.
    /// Default: `both` for peers that are pods; `egress` without peers, and for addresses outside the cluster, because
    /// packets can only be shaped where they are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// The share of packets that get lost, each way. TCP sends them again: what users see is delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Percent>,
    /// How much later packets arrive, each way: a round trip in both directions takes twice as much longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Duration>,
    /// By how much the delay varies around itself. Needs `delay`, and cannot be more than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Duration>,
    /// How much the fate of a packet depends on that of the one before it, for everything given here. Default `0%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<Percent>,
    /// The share of packets that arrive twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<Percent>,
    /// The share of packets in which one bit is wrong. Checksums make most of them losses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<Percent>,
    /// The share of packets that are sent at once and overtake those that are delayed. Needs `delay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reorder: Option<Percent>,
    /// The most that is let through, each way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bandwidth>,
    /// The network interface in the target pods. Default `eth0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["eth0"]))]
    pub device: Option<String>,
    /// Act on the replacement as well when a target is replaced while the fault stands. Default: only report it.
    #[serde(default)]
    pub follow: bool,
    /// What shows that the links really are worse, beside what Chaos Mesh says: `traffic` asks for a change in the run's
    /// own requests; `auto` and `applied` believe Chaos Mesh. There is no witness for this kind. Default `auto`.
    #[serde(default)]
    pub prove: Prove,
    /// How long after the phase's start the fault is injected. Default: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Duration>,
    /// How long the fault lasts. Default: until the phase's end.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}

impl Netem {
    /// True when it says what becomes worse.
    pub const fn does_something(&self) -> bool {
        self.loss.is_some()
            || self.delay.is_some()
            || self.duplicate.is_some()
            || self.corrupt.is_some()
            || self.bandwidth.is_some()
    }
}
