//! The meaning of a scenario, link by link. It shares only the parsing of blocks with the builder.

use std::net::IpAddr;

use shakedown_schemas::scenario::{Direction, LabelSelector, Operator, PortRange};

use super::super::{Cidr, Endpoint, Labels, Pod, PolicyType, Protocol};
use super::world::{IsolationSpec, Meant};

/// One end of the links that are checked.
#[derive(Debug, Clone)]
pub(super) enum End {
    Pod(Pod),
    Address(IpAddr),
}

impl End {
    pub(super) fn endpoint(&self) -> Endpoint<'_> {
        match self {
            Self::Pod(pod) => Endpoint::Pod { namespace: &pod.namespace, name: &pod.name },
            Self::Address(ip) => Endpoint::Address(*ip),
        }
    }

    /// The pod, if policies can select it.
    pub(super) fn pod(&self) -> Option<&Pod> {
        match self {
            Self::Pod(pod) if !pod.host_network => Some(pod),
            _ => None,
        }
    }

    /// The addresses outside the pod network that it represents.
    pub(super) fn addresses(&self) -> &[IpAddr] {
        match self {
            Self::Pod(pod) if pod.host_network => &pod.ips,
            Self::Pod(_) => &[],
            Self::Address(ip) => std::slice::from_ref(ip),
        }
    }

    pub(super) fn is(&self, other: &Pod) -> bool {
        self.pod().is_some_and(|pod| pod.namespace == other.namespace && pod.name == other.name)
    }
}

fn selected(selector: &LabelSelector, labels: &Labels) -> bool {
    selector.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
        && selector.match_expressions.iter().all(|expression| {
            let value = labels.get(&expression.key);
            let among = value.is_some_and(|value| expression.values.contains(value));
            match expression.operator {
                Operator::In => among,
                Operator::NotIn => !among,
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
            }
        })
}

/// True if `end` is the scenario's peer.
pub(super) fn is_peer(meant: &Meant, end: &End, opened_by_target: bool) -> bool {
    match meant {
        Meant::Labels { namespace, labels, service_ip } => {
            end.pod().is_some_and(|pod| pod.namespace == *namespace && selected(labels, &pod.labels))
                || (opened_by_target && service_ip.is_some_and(|ip| end.addresses().contains(&ip)))
        }
        Meant::Names { namespace, names } => end.pod().is_some_and(|pod| {
            // A replacement has the old pod's name and a suffix.
            let stem = pod.name.split('+').next().unwrap_or_default();
            pod.namespace == *namespace && names.iter().any(|name| name == stem)
        }),
        Meant::Cidr(text) => {
            let cidr: Cidr = text.parse().expect("a block");
            end.addresses().iter().any(|ip| cidr.has(*ip))
        }
    }
}

/// One block of a partition, with its ends looked up.
#[derive(Clone)]
pub(super) struct Named {
    pub(super) ports: Vec<PortRange>,
    pub(super) direction: Direction,
    /// For each end: whether it is a target, a peer that targets connect to, or a peer that connects to targets.
    pub(super) target: Vec<bool>,
    pub(super) peer_to: Vec<bool>,
    pub(super) peer_from: Vec<bool>,
}

impl Named {
    pub(super) fn all(parts: &[IsolationSpec], ends: &[End]) -> Vec<Self> {
        let each = |test: &dyn Fn(&End) -> bool| ends.iter().map(test).collect::<Vec<bool>>();
        let blocks = parts.iter().flat_map(|part| part.blocks.iter().map(move |block| (part, block)));
        let named = blocks.map(|(part, block)| Self {
            ports: block.ports.clone(),
            direction: block.direction,
            target: each(&|end| {
                let mine = |pod: &Pod| pod.namespace == part.namespace && part.targets.contains(&pod.name);
                end.pod().is_some_and(mine)
            }),
            peer_to: each(&|end| is_peer(&block.meant, end, true)),
            peer_from: each(&|end| is_peer(&block.meant, end, false)),
        });
        named.collect()
    }

    /// True if it includes the link from one end to another, by index.
    pub(super) fn names(&self, from: usize, to: usize, from_own_node: bool, protocol: Protocol, port: u16) -> bool {
        // A policy cannot affect connections from a node to its pods.
        self.names_by(PolicyType::Egress, from, to, protocol, port)
            || (self.names_by(PolicyType::Ingress, from, to, protocol, port) && !from_own_node)
    }

    /// True if it includes the link in this direction.
    pub(super) fn names_by(&self, way: PolicyType, from: usize, to: usize, protocol: Protocol, port: u16) -> bool {
        let in_range = |range: &PortRange| {
            let same = if range.udp { Protocol::Udp } else { Protocol::Tcp };
            same == protocol && (range.first..=range.last).contains(&port)
        };
        let ends = match way {
            PolicyType::Egress => self.direction.has_egress() && self.target[from] && self.peer_to[to],
            PolicyType::Ingress => self.direction.has_ingress() && self.target[to] && self.peer_from[from],
        };
        ends && from != to && (self.ports.is_empty() || self.ports.iter().any(in_range))
    }

    /// True if the targets have a peer.
    pub(super) fn has_peers(&self) -> bool {
        let others = |peers: &[bool]| peers.iter().zip(&self.target).any(|(peer, target)| *peer && !target);
        others(&self.peer_to) && others(&self.peer_from)
    }
}
