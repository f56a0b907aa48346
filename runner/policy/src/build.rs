//! Builds the NetworkPolicy of a cut: an allow-list of every link that stays open.
//!
//! For each direction it allows the pods of namespaces without a blocked peer. In each other namespace it allows the
//! pods outside the blocked selectors, and those inside on their other ports. It allows all addresses that neither
//! belong to pods nor are blocked. The algebra is in `terms` and `blocks`. This module applies it to the cluster and
//! converts it to the types of Kubernetes.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::cut::{Block, BuildError, Built, Cut, Facts, Front, Limit, MAX_TERMS, NamespaceLabel, OtherPorts, Peer};
use super::labels::Selector;
use super::net::Cidr;
use super::pod::Pod;
use super::policy_type::PolicyType;
use super::ports::{PortSet, Protocol};
use super::{blocks, terms};

/// The maximum number of ports that are listed one by one if the cluster does not know ranges.
const MAX_LISTED: u32 = 64;

/// The labels that identify a namespace: the one that Kubernetes sets since 1.21, and the one that users set before.
const NAMESPACE_KEYS: [&str; 2] = ["kubernetes.io/metadata.name", "name"];

/// The allowed peers of one direction, by their open ports.
type Allowed = BTreeMap<PortSet, Vec<NetworkPolicyPeer>>;

/// The policy that makes the cut, for these facts. Without error it cuts exactly the blocks' links, up to `limits`.
pub fn build(cut: &Cut, facts: &Facts<'_>) -> Result<Built, BuildError> {
    if cut.blocks.iter().all(|block| block.ports.is_none() || !(block.egress || block.ingress)) {
        return Err(BuildError::Nothing);
    }
    let nodes = node_addresses(facts);
    let mut builder = Builder { cut, facts, nodes, limits: BTreeSet::new(), namespace_labels: BTreeSet::new() };
    builder.check()?;
    let mut spec = NetworkPolicySpec {
        pod_selector: Some(Selector::label(&cut.label.0, &cut.label.1).to_kubernetes()),
        ..NetworkPolicySpec::default()
    };
    let mut types = Vec::new();
    for way in PolicyType::BOTH {
        if !cut.blocks.iter().any(|block| block.applies(way)) {
            continue;
        }
        types.push(way.policy_type().to_owned());
        // An empty list of rules is not the same as a rule with empty lists: the first allows nothing.
        let mut allowed = builder.allowed(way)?;
        let whole = allowed.remove_entry(&PortSet::all());
        let ranges = facts.other_ports == OtherPorts::Ranges;
        let rules = whole.into_iter().chain(allowed).map(|(ports, peers)| (kubernetes_ports(&ports, ranges), peers));
        match way {
            PolicyType::Egress => {
                spec.egress = Some(rules.map(|(ports, to)| NetworkPolicyEgressRule { ports, to: Some(to) }).collect());
            }
            PolicyType::Ingress => {
                spec.ingress =
                    Some(rules.map(|(ports, from)| NetworkPolicyIngressRule { ports, from: Some(from) }).collect());
            }
        }
    }
    spec.policy_types = Some(types);
    Ok(Built {
        spec,
        namespace_labels: builder.namespace_labels.into_iter().collect(),
        limits: builder.limits.into_iter().collect(),
    })
}

struct Builder<'a> {
    cut: &'a Cut,
    facts: &'a Facts<'a>,
    nodes: BTreeSet<Cidr>,
    limits: BTreeSet<Limit>,
    namespace_labels: BTreeSet<NamespaceLabel>,
}

impl Builder<'_> {
    /// Refuses cuts that no policy can make, and records the limits of this policy.
    fn check(&mut self) -> Result<(), BuildError> {
        for pod in targets(self.cut, self.facts) {
            if pod.host_network {
                return Err(BuildError::HostNetworkTarget(format!("{}/{}", pod.namespace, pod.name)));
            }
        }
        for block in &self.cut.blocks {
            match &block.peer {
                Peer::Pods { namespace, selector, .. } => self.check_pods(block, namespace, selector)?,
                Peer::Addresses(cidrs) => {
                    for cidr in cidrs {
                        self.check_addresses(block, *cidr)?;
                    }
                }
            }
            if !block.ports.is_all() {
                self.limits.insert(Limit::Icmp(block.described.clone()));
            }
        }
        Ok(())
    }

    fn check_pods(&mut self, block: &Block, namespace: &str, selector: &Selector) -> Result<(), BuildError> {
        if !self.facts.cluster.namespaces().contains_key(namespace) {
            return Err(BuildError::UnknownNamespace(namespace.to_owned()));
        }
        if selector.is_void() {
            return Err(BuildError::Void(block.described.clone()));
        }
        for pod in peer_pods(block, self.facts) {
            if pod.host_network {
                let pod = format!("{}/{}", pod.namespace, pod.name);
                return Err(BuildError::HostNetworkPeer { peer: block.described.clone(), pod });
            }
            if self.facts.pod_cidrs.is_empty() {
                self.limits.insert(Limit::PodRangesUnknown);
                continue;
            }
            let outside = pod.ips.iter().filter(|ip| !self.facts.pod_cidrs.iter().any(|range| range.has(**ip)));
            self.limits.extend(outside.map(|ip| Limit::OutsidePodRanges(*ip)));
        }
        Ok(())
    }

    fn check_addresses(&mut self, block: &Block, cidr: Cidr) -> Result<(), BuildError> {
        let pods = || self.facts.cluster.pods().iter().filter(|pod| !pod.host_network).flat_map(|pod| &pod.ips);
        let node = self.nodes.contains(&cidr);
        let in_range = self.facts.pod_cidrs.iter().any(|range| range.contains(cidr)) && !node;
        if in_range || pods().any(|ip| Cidr::host(*ip) == cidr) {
            return Err(BuildError::PodAddresses { peer: block.described.clone(), cidr });
        }
        if self.facts.pod_cidrs.iter().any(|range| cidr.contains(*range)) || pods().any(|ip| cidr.has(*ip)) {
            self.limits.insert(Limit::PodsInRange(cidr));
        }
        if block.ingress {
            let own = targets(self.cut, self.facts).flat_map(|pod| &pod.node_ips).filter(|ip| cidr.has(**ip));
            let own: Vec<Limit> = own.map(|ip| Limit::OwnNode(*ip)).collect();
            self.limits.extend(own);
        }
        Ok(())
    }

    fn allowed(&mut self, way: PolicyType) -> Result<Allowed, BuildError> {
        let cut = self.cut;
        let mut pods: BTreeMap<&str, Vec<(Selector, PortSet)>> = BTreeMap::new();
        let mut addresses: Vec<(Cidr, PortSet)> = Vec::new();
        let mut peer_addresses: Vec<Cidr> = self.facts.pod_cidrs.to_vec();
        for block in cut.blocks.iter().filter(|block| block.applies(way)) {
            let open = self.open_ports(block, way)?;
            match &block.peer {
                Peer::Pods { namespace, selector, front, .. } => {
                    // No connection comes from a service's address.
                    let front_ips = front.ips.iter().filter(|_| way == PolicyType::Egress);
                    let front_open = self.front_open(front);
                    addresses.extend(front_ips.map(|ip| (Cidr::host(*ip), front_open.clone())));
                    peer_addresses
                        .extend(peer_pods(block, self.facts).flat_map(|pod| &pod.ips).map(|ip| Cidr::host(*ip)));
                    pods.entry(namespace).or_default().push((selector.clone(), open));
                }
                Peer::Addresses(cidrs) => addresses.extend(cidrs.iter().map(|cidr| (*cidr, open.clone()))),
            }
        }
        let mut allowed = Allowed::new();
        self.allow_pods(&pods, &mut allowed)?;
        for open in blocks::complement(&self.families(), &peer_addresses, &self.nodes, &addresses) {
            let except: Vec<String> = open.except.iter().map(ToString::to_string).collect();
            allowed.entry(open.ports).or_default().push(NetworkPolicyPeer {
                ip_block: Some(IPBlock { cidr: open.cidr.to_string(), except: (!except.is_empty()).then_some(except) }),
                ..NetworkPolicyPeer::default()
            });
        }
        Ok(allowed)
    }

    fn allow_pods(
        &mut self,
        blocked: &BTreeMap<&str, Vec<(Selector, PortSet)>>,
        allowed: &mut Allowed,
    ) -> Result<(), BuildError> {
        let mut others = Selector::everything();
        let mut peers = Vec::new();
        for (namespace, blocks) in blocked {
            let (key, value) = self.namespace_label(namespace);
            others = others.and(&Selector::not_label(&key, &value));
            // Without a namespace selector, a peer means the policy's own namespace.
            let namespace_selector =
                (*namespace != self.cut.namespace).then(|| Selector::label(key, value).to_kubernetes());
            let terms = terms::complement(blocks, MAX_TERMS)
                .ok_or_else(|| BuildError::TooManyTerms { namespace: (*namespace).to_owned() })?;
            for (pods, ports) in terms {
                peers.push((
                    ports,
                    NetworkPolicyPeer {
                        namespace_selector: namespace_selector.clone(),
                        pod_selector: Some(pods.to_kubernetes()),
                        ip_block: None,
                    },
                ));
            }
        }
        allowed.entry(PortSet::all()).or_default().push(NetworkPolicyPeer {
            namespace_selector: Some(others.to_kubernetes()),
            ..NetworkPolicyPeer::default()
        });
        for (ports, peer) in peers {
            allowed.entry(ports).or_default().push(peer);
        }
        Ok(())
    }

    /// A label that identifies this namespace. Without one, a run-scoped label that must be added to it.
    fn namespace_label(&mut self, namespace: &str) -> (String, String) {
        let all = self.facts.cluster.namespaces();
        for key in NAMESPACE_KEYS {
            let mut same = all.iter().filter(|(_, labels)| labels.get(key).is_some_and(|value| value == namespace));
            if same.next().is_some_and(|(name, _)| name == namespace) && same.next().is_none() {
                return (key.to_owned(), namespace.to_owned());
            }
        }
        let (key, value) = (self.facts.namespace_key.to_owned(), namespace.to_owned());
        self.namespace_labels.insert(NamespaceLabel {
            namespace: namespace.to_owned(),
            key: key.clone(),
            value: value.clone(),
        });
        (key, value)
    }

    /// The address families of the cluster. Both if unknown. Some plugins refuse a family that the cluster does not
    /// have.
    fn families(&self) -> Vec<Cidr> {
        let pods = self.facts.cluster.pods().iter().flat_map(|pod| &pod.ips);
        let known = pods.chain(self.facts.nodes).map(|ip| Cidr::host(*ip).is_v6());
        let known: BTreeSet<bool> = known.chain(self.facts.pod_cidrs.iter().map(|range| range.is_v6())).collect();
        [Cidr::V4, Cidr::V6].into_iter().filter(|all| known.is_empty() || known.contains(&all.is_v6())).collect()
    }

    /// The open ports of a service's own address. It has only the ports that it offers.
    fn front_open(&self, front: &Front) -> PortSet {
        let open = front.ports.negated();
        let lists = self.facts.other_ports == OtherPorts::Ranges || listed(&open) <= MAX_LISTED;
        if lists { open } else { whole(&open).or(&front.others) }
    }

    /// The ports that a block leaves open.
    fn open_ports(&mut self, block: &Block, way: PolicyType) -> Result<PortSet, BuildError> {
        let open = block.ports.negated();
        if self.facts.other_ports == OtherPorts::Ranges || listed(&open) <= MAX_LISTED {
            return Ok(open);
        }
        let declares = way == PolicyType::Ingress || matches!(block.peer, Peer::Pods { .. });
        if self.facts.other_ports == OtherPorts::Refuse || !declares {
            return Err(BuildError::NeedsEndPort { peer: block.described.clone(), ports: block.ports.clone() });
        }
        let mut declared = whole(&open);
        let accepting: Vec<&Pod> = match way {
            PolicyType::Egress => peer_pods(block, self.facts).collect(),
            PolicyType::Ingress => targets(self.cut, self.facts).collect(),
        };
        for port in accepting.iter().flat_map(|pod| &pod.ports) {
            declared = declared.or(&PortSet::range(port.protocol, port.number, port.number));
        }
        let open = open.and(&declared);
        self.limits.insert(Limit::UndeclaredPorts { peer: block.described.clone(), way, open: open.clone() });
        Ok(open)
    }
}

/// The protocols with every port in the set.
fn whole(ports: &PortSet) -> PortSet {
    let protocols = Protocol::ALL.into_iter().filter(|protocol| ports.is_whole(*protocol));
    protocols.fold(PortSet::none(), |set, protocol| set.or(&PortSet::whole(protocol)))
}

/// The cut's targets, as far as the cluster knows them.
pub(super) fn targets<'a>(cut: &'a Cut, facts: &Facts<'a>) -> impl Iterator<Item = &'a Pod> {
    let pods = facts.cluster.pods().iter();
    pods.filter(|pod| pod.namespace == cut.namespace && cut.targets.contains(&pod.name))
}

/// The pods that a block selects now.
pub(super) fn peer_pods<'a>(block: &'a Block, facts: &Facts<'a>) -> impl Iterator<Item = &'a Pod> {
    facts.cluster.pods().iter().filter(move |pod| match &block.peer {
        Peer::Addresses(_) => false,
        Peer::Pods { namespace, selector, unmarked, .. } => {
            pod.namespace == *namespace && (selector.matches(&pod.labels) || unmarked.contains(&pod.name))
        }
    })
}

/// The addresses of nodes: the given ones, and those from the status of pods.
pub(super) fn node_addresses(facts: &Facts<'_>) -> BTreeSet<Cidr> {
    let pods = facts.cluster.pods().iter();
    let from_pods = pods.flat_map(|pod| pod.node_ips.iter().chain(pod.ips.iter().filter(|_| pod.host_network)));
    facts.nodes.iter().chain(from_pods).map(|ip| Cidr::host(*ip)).collect()
}

/// The number of ports to list one by one without ranges.
fn listed(ports: &PortSet) -> u32 {
    Protocol::ALL
        .into_iter()
        .filter(|protocol| !ports.is_whole(*protocol))
        .flat_map(|protocol| ports.ranges(protocol))
        .map(|(first, last)| u32::from(last - first) + 1)
        .sum()
}

/// The `ports` of a rule. None for all ports, including protocols other than TCP, UDP and SCTP.
fn kubernetes_ports(ports: &PortSet, ranges: bool) -> Option<Vec<NetworkPolicyPort>> {
    if ports.is_all() {
        return None;
    }
    let mut entries = Vec::new();
    for protocol in Protocol::ALL {
        let mut push = |first: Option<u16>, last: Option<u16>| {
            entries.push(NetworkPolicyPort {
                port: first.map(|port| IntOrString::Int(i32::from(port))),
                end_port: last.map(i32::from),
                protocol: Some(protocol.name().to_owned()),
            });
        };
        if ports.is_whole(protocol) {
            push(None, None);
            continue;
        }
        for &(first, last) in ports.ranges(protocol) {
            if first == last {
                push(Some(first), None);
            } else if ranges {
                push(Some(first), Some(last));
            } else {
                (first..=last).for_each(|port| push(Some(port), None));
            }
        }
    }
    Some(entries)
}

#[cfg(test)]
mod tests;
