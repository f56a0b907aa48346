//! Finds standing policies that already select the targets and would keep a cut link open, or would be widened by the
//! cut.
//!
//! Policies are additive. A policy that allows a link keeps it open, regardless of ours. On a target that a policy
//! isolates, ours allows all but a few links and would open closed ones. The caller decides how to react.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::api::networking::v1::NetworkPolicySpec;

use super::build::{node_addresses, peer_pods, targets};
use super::compiled::{self, Policy, Remote, Rule};
use super::cut::{Block, Built, Cut, Facts, Peer};
use super::labels::{Labels, Selector};
use super::net::Cidr;
use super::pod::{Pod, PolicyName};
use super::policy_type::PolicyType;
use super::ports::PortSet;

/// Why a cut must not be made among the standing policies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// The consequence.
    pub kind: ConflictKind,
    /// The direction, seen from the target.
    pub way: PolicyType,
    /// The targets that the policies select, as `namespace/name`.
    pub targets: BTreeSet<String>,
    /// The conflicting policies.
    pub policies: BTreeSet<PolicyName>,
}

/// The consequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConflictKind {
    /// The standing policies allow a link of the cut, so it would stay open.
    WouldKeepOpen,
    /// The standing policies isolate the target, and ours would open links that are closed.
    WouldWiden,
}

impl fmt::Display for Conflict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |parts: Vec<String>| parts.join(", ");
        let policies = join(self.policies.iter().map(|name| format!("`{name}`")).collect());
        let targets = join(self.targets.iter().cloned().collect());
        let way = self.way;
        match self.kind {
            ConflictKind::WouldKeepOpen => write!(
                out,
                "the {way} of {targets} is allowed by {policies}, and NetworkPolicies can only add permissions: the \
                 links would stay open; use Chaos Mesh's partition",
            ),
            ConflictKind::WouldWiden => write!(
                out,
                "the {way} of {targets} is isolated by {policies}, and NetworkPolicies can only add permissions: a \
                 second policy would open closed links; use Chaos Mesh's partition",
            ),
        }
    }
}

/// The conflicts of the cut with the policies of `facts.cluster`, which must not include the run's own. Empty if there
/// are none. The result is exact, with one exception: if several rules allow only together everything that ours allows,
/// they count as widened.
pub fn standing(cut: &Cut, built: &Built, facts: &Facts<'_>) -> Vec<Conflict> {
    let mut found: BTreeMap<(ConflictKind, PolicyType, BTreeSet<PolicyName>), BTreeSet<String>> = BTreeMap::new();
    let nodes = &node_addresses(facts);
    for target in targets(cut, facts) {
        for way in PolicyType::BOTH {
            let policies: Vec<&Policy> = facts.cluster.selecting(target, way).collect();
            if policies.is_empty() || !cut.blocks.iter().any(|block| block.applies(way)) {
                continue;
            }
            let mut note = |kind, names: BTreeSet<PolicyName>| {
                found.entry((kind, way, names)).or_default().insert(format!("{}/{}", target.namespace, target.name));
            };
            let no_labels = Labels::new();
            let own = facts.cluster.namespaces().get(&cut.namespace).unwrap_or(&no_labels);
            let widens = !covered(&built.spec, way, &policies, own);
            let open: BTreeSet<PolicyName> = policies
                .iter()
                .filter(|policy| {
                    // A policy that is not widened is refused only here, so future pods count as well.
                    cut.blocks.iter().any(|block| keeps_open(policy, block, (target, way), (facts, nodes), !widens))
                })
                .map(|policy| policy.name.clone())
                .collect();
            if !open.is_empty() {
                note(ConflictKind::WouldKeepOpen, open);
            }
            if widens {
                note(ConflictKind::WouldWiden, policies.iter().map(|policy| policy.name.clone()).collect());
            }
        }
    }
    found.into_iter().map(|((kind, way, policies), targets)| Conflict { kind, way, targets, policies }).collect()
}

/// True if the policy allows a link between the target and the block's peer. Future pods that may match the block count
/// if `foresee`, or if there are none now.
fn keeps_open(
    policy: &Policy,
    block: &Block,
    (target, way): (&Pod, PolicyType),
    (facts, nodes): (&Facts<'_>, &BTreeSet<Cidr>),
    foresee: bool,
) -> bool {
    if !block.applies(way) {
        return false;
    }
    let link = Link { policy, block, ports: &block.ports, target, way, facts, nodes };
    match &block.peer {
        Peer::Addresses(cidrs) => link.is_open_to_addresses(cidrs),
        Peer::Pods { namespace, selector, front, .. } => {
            let service: Vec<Cidr> =
                front.ips.iter().filter(|_| way == PolicyType::Egress).map(|ip| Cidr::host(*ip)).collect();
            Link { ports: &front.ports, ..link }.is_open_to_addresses(&service)
                || link.is_open_to_pods(namespace, selector, foresee)
        }
    }
}

/// The links between a target and a block's peer that one policy may keep open.
#[derive(Clone, Copy)]
struct Link<'a> {
    policy: &'a Policy,
    block: &'a Block,
    /// The ports to cut.
    ports: &'a PortSet,
    target: &'a Pod,
    way: PolicyType,
    facts: &'a Facts<'a>,
    nodes: &'a BTreeSet<Cidr>,
}

impl Link<'_> {
    fn rules(&self) -> &[Rule] {
        self.policy.rules(self.way).unwrap_or_default()
    }

    /// True if the rule allows a port of the cut.
    fn is_on_ports(&self, rule: &Rule, remote: Option<&Pod>) -> bool {
        let accepting = if self.way == PolicyType::Egress { remote } else { Some(self.target) };
        !rule.port_set(accepting).and(self.ports).is_none()
    }

    fn is_open_to_addresses(&self, cidrs: &[Cidr]) -> bool {
        // A node may have an address in a range of pods.
        let nodes = self.nodes;
        let reaches = |peer: &compiled::Peer, cidr: Cidr| {
            peer.reaches(cidr, self.facts.pod_cidrs)
                || nodes.iter().any(|node| cidr.contains(*node) && peer.reaches(*node, &[]))
        };
        let names = |rule: &Rule| {
            let peers = rule.peers.as_ref();
            peers.is_none_or(|peers| peers.iter().any(|peer| cidrs.iter().any(|cidr| reaches(peer, *cidr))))
        };
        !cidrs.is_empty() && self.rules().iter().any(|rule| self.is_on_ports(rule, None) && names(rule))
    }

    fn is_open_to_pods(&self, namespace: &str, selector: &Selector, foresee: bool) -> bool {
        let (facts, own) = (self.facts, self.policy.name.namespace.as_str());
        let no_labels = Labels::new();
        let labels = facts.cluster.namespaces().get(namespace).unwrap_or(&no_labels);
        let is_other = |pod: &&Pod| pod.namespace != self.target.namespace || pod.name != self.target.name;
        let pods: Vec<&Pod> = peer_pods(self.block, facts).filter(is_other).collect();
        // No pod gets the address of a node, even if both are in one range.
        let is_node =
            |peer: &compiled::Peer| matches!(peer, compiled::Peer::Block { cidr, .. } if self.nodes.contains(cidr));
        let may_select = |peer: &compiled::Peer| {
            !is_node(peer) && peer.may_select(own, (namespace, labels), selector, facts.pod_cidrs)
        };
        let may_come = || {
            self.rules().iter().any(|rule| {
                // The port names of a future pod are unknown.
                let on_ports = self.is_on_ports(rule, None) || (self.way == PolicyType::Egress && rule.names_ports());
                on_ports && rule.peers.as_ref().is_none_or(|peers| peers.iter().any(may_select))
            })
        };
        let is_open = |pod: &Pod| {
            let remote = Remote { pod: Some((pod, labels)), addresses: &pod.ips };
            self.rules().iter().any(|rule| rule.names(own, remote) && self.is_on_ports(rule, Some(pod)))
        };
        pods.iter().any(|pod| is_open(pod)) || ((foresee || pods.is_empty()) && may_come())
    }
}

/// True if a standing rule already allows everything that our policy allows.
fn covered(ours: &NetworkPolicySpec, way: PolicyType, policies: &[&Policy], own_namespace: &Labels) -> bool {
    let ours = match way {
        PolicyType::Egress => ours.egress.iter().flatten().map(Rule::egress).collect::<Vec<_>>(),
        PolicyType::Ingress => ours.ingress.iter().flatten().map(Rule::ingress).collect(),
    };
    let theirs = || policies.iter().flat_map(|policy| policy.rules(way).unwrap_or_default());
    ours.iter().all(|rule| {
        let ports: PortSet = rule.port_set(None);
        let all_protocols = rule.ports.is_none();
        let wide_enough =
            |other: &&Rule| other.ports.is_none() || (!all_protocols && ports.within(&other.port_set(None)));
        rule.peers.iter().flatten().all(|peer: &compiled::Peer| {
            theirs().filter(wide_enough).any(|other| {
                other.peers.as_ref().is_none_or(|peers| peers.iter().any(|wider| peer.within(wider, own_namespace)))
            })
        })
    })
}

#[cfg(test)]
mod tests;
