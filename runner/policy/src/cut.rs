//! The requested cut, the facts about the cluster, and the builder's answer, as plain data.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use shakedown_schemas::scenario::Direction;

use super::cluster::Cluster;
use super::labels::Selector;
use super::net::Cidr;
use super::policy_type::PolicyType;
use super::ports::PortSet;

/// Links to cut between pods of one namespace and peers. At any time a pod may be a target of one cut only, because
/// policies are additive: two cuts of the same pod would each allow the links that the other blocks. [`super::combine`]
/// combines several cuts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The namespace of the targets and of the policy.
    pub namespace: String,
    /// The run-scoped label that marks the targets and nothing else, key and value.
    pub label: (String, String),
    /// The targets' names now. A replacement that gets the label is cut off as well.
    pub targets: BTreeSet<String>,
    /// The blocks of the targets.
    pub blocks: Vec<Block>,
}

/// One peer to cut the targets off from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Block {
    /// Its name in the scenario, for display: "service `nats`".
    pub described: String,
    /// The other end of the links.
    pub peer: Peer,
    /// The ports that are cut, at the end that accepts the connection. The others stay open.
    pub ports: PortSet,
    /// Cut connections that the targets open.
    pub egress: bool,
    /// Cut connections that the targets accept.
    pub ingress: bool,
}

impl Block {
    /// A block in a scenario's direction.
    pub fn new(described: impl Into<String>, peer: Peer, ports: PortSet, direction: Direction) -> Self {
        let (egress, ingress) = (direction.has_egress(), direction.has_ingress());
        Self { described: described.into(), peer, ports, egress, ingress }
    }

    /// True when it is cut in that direction.
    pub const fn applies(&self, way: PolicyType) -> bool {
        match way {
            PolicyType::Egress => self.egress,
            PolicyType::Ingress => self.ingress,
        }
    }
}

/// A service's own addresses. Most plugins judge a connection after the service's translation and never see them. For
/// other plugins they are cut as well, on the service's own ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Front {
    /// The addresses, one per family. None for a headless service.
    pub ips: Vec<IpAddr>,
    /// The service's ports that are cut.
    pub ports: PortSet,
    /// The service's other ports, which stay open.
    pub others: PortSet,
}

/// The other end of the links that are cut.
#[expect(
    clippy::large_enum_variant,
    reason = "a plan has a handful of peers, and a box would cost each reader more than memory"
)]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Pods of one namespace that match the selector, now and later. For a service, the selector is its own. Pods that
    /// labels cannot distinguish (selected by name, prefix or owner) get a run-scoped label for this.
    Pods {
        /// Their namespace.
        namespace: String,
        /// Their labels.
        selector: Selector,
        /// Pods that do not match yet, because they get their mark later.
        unmarked: BTreeSet<String>,
        /// The service's own addresses and ports.
        front: Front,
    },
    /// Addresses outside the cluster, and nodes.
    Addresses(Vec<Cidr>),
}

/// How the other ports of a peer are kept open when it is blocked on some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherPorts {
    /// By ranges. Needs `endPort`: Kubernetes 1.22 or later (on by default), or an API server that stores the field. An
    /// older server drops the field silently, and a range would shrink to its first port.
    Ranges,
    /// Without `endPort`: the ports that the accepting pods' containers declare, one by one. Their undeclared ports are
    /// cut as well, which [`Limit::UndeclaredPorts`] reports. An error for addresses, which declare no ports.
    Declared,
    /// Without `endPort`: an error, unless the remaining ports are few enough to list.
    Refuse,
}

/// The facts about the cluster that the builder needs.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// Pods and namespaces as they are.
    pub cluster: &'a Cluster,
    /// All ranges of pod addresses. Empty if unknown.
    pub pod_cidrs: &'a [Cidr],
    /// The nodes' addresses, as far as known.
    pub nodes: &'a [IpAddr],
    /// How other ports are kept open.
    pub other_ports: OtherPorts,
    /// The run-scoped label key for namespaces without an identifying label.
    pub namespace_key: &'a str,
}

/// The policy of a cut, with its limits and marks.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// The policy.
    pub spec: NetworkPolicySpec,
    /// Labels that these namespaces must carry before the policy is created and until it is deleted.
    pub namespace_labels: Vec<NamespaceLabel>,
    /// Where the policy cannot be exact.
    pub limits: Vec<Limit>,
}

/// A run-scoped label that a namespace must carry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamespaceLabel {
    /// The namespace.
    pub namespace: String,
    /// The label's key.
    pub key: String,
    /// The label's value.
    pub value: String,
}

/// Where a policy cannot be exact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// More ports are cut than the scenario names: see [`OtherPorts::Declared`].
    UndeclaredPorts {
        /// The peer, as the scenario names it.
        peer: String,
        /// The direction.
        way: PolicyType,
        /// The ports that stay open.
        open: PortSet,
    },
    /// The ranges of pod addresses are unknown. A plugin that matches pods by address blocks, as the API allows, would
    /// let replaced peers through: watch the peers and rebuild the policy.
    PodRangesUnknown,
    /// A blocked peer's address is outside the known pod ranges. The ranges are incomplete, with the same effect.
    OutsidePodRanges(IpAddr),
    /// Pods have addresses in this blocked range. They are selected by labels and stay open.
    PodsInRange(Cidr),
    /// A policy cannot cut connections from a target's node to the target.
    OwnNode(IpAddr),
    /// A policy with ports does not cover ICMP: most plugins drop it between the targets and this peer.
    Icmp(String),
}

impl fmt::Display for Limit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UndeclaredPorts { peer, way, open } => {
                let whose = match way {
                    PolicyType::Egress => format!("{peer} stays open on"),
                    PolicyType::Ingress => format!("the targets stay open for {peer} on"),
                };
                if open.is_none() {
                    write!(out, "no other port is declared, so {peer} is cut off on all ports ({way})")?;
                } else {
                    write!(out, "{whose} {open}, the ports that the pods declare; undeclared ports are cut as well")?;
                }
                out.write_str(", because this API server does not support `endPort`")
            }
            Self::PodRangesUnknown => out.write_str(
                "the cluster's pod address ranges are unknown: with a network plugin that matches pods by address \
                 blocks, a replaced peer is cut off as soon as its address is seen",
            ),
            Self::OutsidePodRanges(address) => write!(
                out,
                "the peer's address {address} is outside the known pod ranges: with a network plugin that matches \
                 pods by address blocks, a replaced peer is cut off as soon as its address is seen",
            ),
            Self::PodsInRange(cidr) => {
                write!(
                    out,
                    "pods with addresses in {cidr} stay reachable: a `cidr` selects addresses outside the cluster"
                )
            }
            Self::OwnNode(address) => {
                write!(
                    out,
                    "a target runs on the node {address}; connections from a node to its own pods cannot be \
                    cut"
                )
            }
            Self::Icmp(peer) => write!(out, "ping between the targets and {peer} may be cut as well"),
        }
    }
}

/// Why a cut cannot be expressed as a NetworkPolicy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// There is nothing to cut.
    #[error("the partition is empty: name a peer and at least one port")]
    Nothing,
    /// The peer's selector contradicts itself.
    #[error("{0} can never match a pod: its labels contradict each other")]
    Void(String),
    /// A peer's namespace does not exist.
    #[error("the namespace `{0}` does not exist")]
    UnknownNamespace(String),
    /// A target is on its node's network.
    #[error(
        "the target {0} uses its node's network (hostNetwork), and a NetworkPolicy cannot select such a pod; use Chaos \
         Mesh's partition, or another target"
    )]
    HostNetworkTarget(String),
    /// A peer is on its node's network.
    #[error(
        "{peer} includes the pod {pod}, which uses its node's network (hostNetwork): a NetworkPolicy cannot \
         distinguish it from its node; block the node's address with `cidr`, or use Chaos Mesh's partition"
    )]
    HostNetworkPeer {
        /// The peer, as the scenario names it.
        peer: String,
        /// The pod.
        pod: String,
    },
    /// Addresses that belong to pods.
    #[error("{peer} is {cidr}, a range of pod addresses; name the pods with `service` or `pods` instead")]
    PodAddresses {
        /// The peer, as the scenario names it.
        peer: String,
        /// The block.
        cidr: Cidr,
    },
    /// The cluster does not know port ranges.
    #[error(
        "to block {peer} on {ports} only, its other ports need ranges (`endPort`), which this API server does not \
         support (Kubernetes before 1.22): block all its ports, or use Chaos Mesh's partition"
    )]
    NeedsEndPort {
        /// The peer, as the scenario names it.
        peer: String,
        /// The ports that were to be blocked.
        ports: PortSet,
    },
    /// The allow-list would be too long.
    #[error(
        "the allow-list around the blocked peers of namespace `{namespace}` needs more than {MAX_TERMS} combinations \
         of labels; block fewer peers in one fault, or select them by fewer labels"
    )]
    TooManyTerms {
        /// The peers' namespace.
        namespace: String,
    },
}

/// The maximum number of pod selectors in the allow-list of one namespace.
pub const MAX_TERMS: usize = 256;
