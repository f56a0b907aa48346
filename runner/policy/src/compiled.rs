//! A NetworkPolicy prepared for the evaluator: selectors as sets, blocks as numbers. Values that the API server would
//! refuse (an invalid block, an unknown protocol) match nothing.

use std::net::IpAddr;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::labels::{Labels, Selector};
use super::net::Cidr;
use super::pod::{Pod, PolicyName};
use super::policy_type::PolicyType;
use super::ports::{PortSet, Protocol};

/// One prepared policy.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub(super) name: PolicyName,
    /// The pods of its namespace that it selects.
    pub(super) selector: Selector,
    /// Its rules for connections that the selected pods open. None if it does not restrict that direction.
    pub(super) egress: Option<Vec<Rule>>,
    /// Its rules for connections that the selected pods accept. None if it does not restrict that direction.
    pub(super) ingress: Option<Vec<Rule>>,
}

/// One allow rule: any of the peers, on any of the ports. `None` means all.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) peers: Option<Vec<Peer>>,
    pub(super) ports: Option<Vec<Port>>,
}

/// One entry of `to` or `from`.
#[derive(Debug, Clone)]
pub(super) enum Peer {
    /// Pods in the namespaces that the selector matches. Without a selector, in the policy's own namespace.
    Pods { namespaces: Option<Selector>, pods: Selector },
    /// Addresses.
    Block { cidr: Cidr, except: Vec<Cidr> },
    /// An invalid entry.
    Nothing,
}

/// One entry of `ports`.
#[derive(Debug, Clone)]
pub(super) enum Port {
    /// All ports of a protocol.
    Whole(Protocol),
    /// From the first to the last, both included.
    Range(Protocol, u16, u16),
    /// The container port of that name, on the pod that accepts the connection.
    Named(Protocol, String),
    /// An invalid entry.
    Nothing,
}

/// The other end of a connection, as a rule sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remote<'a> {
    /// The pod and its namespace's labels, unless it is an address or a pod on its node's network.
    pub(super) pod: Option<(&'a Pod, &'a Labels)>,
    /// Its possible addresses on the wire.
    pub(super) addresses: &'a [IpAddr],
}

impl Policy {
    pub(super) fn new(policy: &NetworkPolicy) -> Self {
        let name = PolicyName {
            namespace: policy.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
            name: policy.metadata.name.clone().unwrap_or_default(),
        };
        let spec = policy.spec.clone().unwrap_or_default();
        let egress = spec.egress.unwrap_or_default();
        let ingress = spec.ingress.unwrap_or_default();
        // The API server's default: always Ingress, and Egress when there are rules for it.
        let types = spec.policy_types.unwrap_or_default();
        let has_egress = if types.is_empty() { !egress.is_empty() } else { types.iter().any(|kind| kind == "Egress") };
        let has_ingress = types.is_empty() || types.iter().any(|kind| kind == "Ingress");
        Self {
            name,
            selector: spec.pod_selector.as_ref().map_or_else(Selector::everything, Selector::from),
            egress: has_egress.then(|| egress.iter().map(Rule::egress).collect()),
            ingress: has_ingress.then(|| ingress.iter().map(Rule::ingress).collect()),
        }
    }
}

impl Policy {
    /// Its rules for a direction. None if it does not restrict that direction.
    pub(super) fn rules(&self, way: PolicyType) -> Option<&[Rule]> {
        match way {
            PolicyType::Egress => self.egress.as_deref(),
            PolicyType::Ingress => self.ingress.as_deref(),
        }
    }
}

impl Rule {
    pub(super) fn egress(rule: &NetworkPolicyEgressRule) -> Self {
        Self::new(rule.to.as_deref(), rule.ports.as_deref())
    }

    pub(super) fn ingress(rule: &NetworkPolicyIngressRule) -> Self {
        Self::new(rule.from.as_deref(), rule.ports.as_deref())
    }

    fn new(peers: Option<&[NetworkPolicyPeer]>, ports: Option<&[NetworkPolicyPort]>) -> Self {
        // A missing list and an empty one both mean all.
        let peers = peers.unwrap_or_default();
        let ports = ports.unwrap_or_default();
        Self {
            peers: (!peers.is_empty()).then(|| peers.iter().map(Peer::new).collect()),
            ports: (!ports.is_empty()).then(|| ports.iter().map(Port::new).collect()),
        }
    }

    /// True if the rule allows a connection with `remote`. `accepting` is the pod that accepts the connection.
    pub(super) fn allows(
        &self,
        own_namespace: &str,
        remote: Remote<'_>,
        accepting: Option<&Pod>,
        protocol: Protocol,
        port: u16,
    ) -> bool {
        self.ports.as_ref().is_none_or(|ports| ports.iter().any(|entry| entry.matches(accepting, protocol, port)))
            && self.names(own_namespace, remote)
    }

    /// True when `remote` is one of the rule's peers.
    pub(super) fn names(&self, own_namespace: &str, remote: Remote<'_>) -> bool {
        self.peers.as_ref().is_none_or(|peers| peers.iter().any(|peer| peer.matches(own_namespace, remote)))
    }

    /// The rule's ports, with port names resolved by `accepting`.
    pub(super) fn port_set(&self, accepting: Option<&Pod>) -> PortSet {
        self.ports.as_ref().map_or_else(PortSet::all, |ports| {
            ports.iter().fold(PortSet::none(), |set, port| set.or(&port.set(accepting)))
        })
    }

    /// True when a port is given by name.
    pub(super) fn names_ports(&self) -> bool {
        self.ports.iter().flatten().any(|port| matches!(port, Port::Named(..)))
    }
}

impl Peer {
    fn new(peer: &NetworkPolicyPeer) -> Self {
        match (&peer.ip_block, &peer.namespace_selector, &peer.pod_selector) {
            (Some(block), None, None) => Self::block(block),
            (None, None, None) | (Some(_), _, _) => Self::Nothing,
            (None, namespaces, pods) => Self::Pods {
                namespaces: namespaces.as_ref().map(Selector::from),
                pods: pods.as_ref().map_or_else(Selector::everything, Selector::from),
            },
        }
    }

    fn block(block: &IPBlock) -> Self {
        let except = block.except.iter().flatten().map(|text| text.parse()).collect::<Result<Vec<Cidr>, _>>();
        match (block.cidr.parse(), except) {
            (Ok(cidr), Ok(except)) => Self::Block { cidr, except },
            _ => Self::Nothing,
        }
    }

    fn matches(&self, own_namespace: &str, remote: Remote<'_>) -> bool {
        match self {
            Self::Nothing => false,
            Self::Pods { namespaces, pods } => remote.pod.is_some_and(|(pod, namespace_labels)| {
                namespaces
                    .as_ref()
                    .map_or_else(|| pod.namespace == own_namespace, |selector| selector.matches(namespace_labels))
                    && pods.matches(&pod.labels)
            }),
            Self::Block { cidr, except } => remote
                .addresses
                .iter()
                .any(|address| cidr.has(*address) && !except.iter().any(|hole| hole.has(*address))),
        }
    }
}

impl Peer {
    /// True if it includes an address of the block outside the ranges of pods.
    pub(super) fn reaches(&self, block: Cidr, pods: &[Cidr]) -> bool {
        match self {
            Self::Block { cidr, except } => {
                let shared = if cidr.contains(block) { block } else { *cidr };
                cidr.overlaps(block) && !except.iter().chain(pods).any(|hole| hole.contains(shared))
            }
            Self::Pods { .. } | Self::Nothing => false,
        }
    }

    /// True if it could select a pod of that namespace that the selector matches, with an address in one of `ranges`,
    /// or with any address if there are no ranges.
    pub(super) fn may_select(
        &self,
        own: &str,
        (namespace, labels): (&str, &Labels),
        selector: &Selector,
        ranges: &[Cidr],
    ) -> bool {
        match self {
            Self::Pods { namespaces, pods } => {
                namespaces.as_ref().map_or_else(|| own == namespace, |allowed| allowed.matches(labels))
                    && !pods.and(selector).is_void()
            }
            Self::Block { .. } => ranges.is_empty() || ranges.iter().any(|range| self.reaches(*range, &[])),
            Self::Nothing => false,
        }
    }

    /// True if `wider`, of a policy in the same namespace, includes everything that this peer includes.
    pub(super) fn within(&self, wider: &Self, own_namespace: &Labels) -> bool {
        match (self, wider) {
            (Self::Nothing, _) => true,
            (Self::Pods { namespaces, pods }, Self::Pods { namespaces: more, pods: wider }) => {
                let held = match (namespaces, more) {
                    (None, None) => true,
                    (None, Some(more)) => more.matches(own_namespace),
                    (Some(_), None) => false,
                    (Some(some), Some(more)) => some.within(more),
                };
                held && pods.within(wider)
            }
            (Self::Block { cidr, except }, Self::Block { cidr: more, except: holes }) => {
                more.contains(*cidr)
                    && holes
                        .iter()
                        .filter(|hole| hole.overlaps(*cidr))
                        .all(|hole| except.iter().any(|mine| mine.contains(*hole)))
            }
            _ => false,
        }
    }
}

impl Port {
    fn set(&self, accepting: Option<&Pod>) -> PortSet {
        match self {
            Self::Nothing => PortSet::none(),
            Self::Whole(protocol) => PortSet::whole(*protocol),
            Self::Range(protocol, first, last) => PortSet::range(*protocol, *first, *last),
            Self::Named(protocol, name) => accepting
                .iter()
                .flat_map(|pod| &pod.ports)
                .filter(|port| port.name.as_ref() == Some(name) && port.protocol == *protocol)
                .fold(PortSet::none(), |set, port| set.or(&PortSet::range(*protocol, port.number, port.number))),
        }
    }

    fn new(port: &NetworkPolicyPort) -> Self {
        let Some(protocol) = Protocol::from_name(port.protocol.as_deref()) else { return Self::Nothing };
        match &port.port {
            None => Self::Whole(protocol),
            Some(IntOrString::String(name)) => Self::Named(protocol, name.clone()),
            Some(IntOrString::Int(first)) => {
                match (u16::try_from(*first), u16::try_from(port.end_port.unwrap_or(*first))) {
                    (Ok(first), Ok(last)) => Self::Range(protocol, first, last),
                    _ => Self::Nothing,
                }
            }
        }
    }

    fn matches(&self, accepting: Option<&Pod>, protocol: Protocol, port: u16) -> bool {
        match self {
            Self::Nothing => false,
            Self::Whole(mine) => *mine == protocol,
            Self::Range(mine, first, last) => *mine == protocol && (*first..=*last).contains(&port),
            Self::Named(mine, name) => {
                *mine == protocol
                    && accepting.is_some_and(|pod| {
                        pod.ports.iter().any(|declared| {
                            declared.name.as_ref() == Some(name)
                                && declared.protocol == protocol
                                && declared.number == port
                        })
                    })
            }
        }
    }
}
