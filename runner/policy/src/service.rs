//! A Service as a peer: its own ports and addresses, and the pods or addresses behind them.
//!
//! A scenario names the Service's ports. A NetworkPolicy acts on the ports of pods, like everything that sees packets
//! after the Service's translation. Everything before the translation acts on the Service's own addresses and ports.
//! Out of scope: reading the Service, and the actions of an engine.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Endpoints, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use shakedown_schemas::Explained;
use shakedown_schemas::scenario::{Direction, PeerPort};

use super::cluster::Cluster;
use super::cut::{Block, Front, Peer};
use super::labels::Selector;
use super::net::Cidr;
use super::pod::Pod;
use super::ports::{PortSet, Protocol};

/// One port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its own number.
    pub number: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The port of the pods behind it.
    pub target: Target,
}

/// The port of a pod behind a port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The same number in every pod.
    Number(u16),
    /// The port with this name in each pod.
    Name(String),
}

impl fmt::Display for ServicePort {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", PortSet::range(self.protocol, self.number, self.number))?;
        self.name.as_ref().map_or(Ok(()), |name| write!(out, " ({name})"))
    }
}

/// Why ports of a Service cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.explained())]
pub enum ServiceError {
    /// The Service has no such port.
    NoPort {
        /// The Service.
        service: String,
        /// The port in the scenario.
        asked: PeerPort,
        /// Its ports, in words.
        offered: String,
    },
    /// No pod or address behind the Service has the port.
    NoEndpoint {
        /// The Service.
        service: String,
        /// Its port.
        port: String,
        /// The reason.
        why: String,
    },
}

impl ServiceError {
    /// The message and the next step.
    pub fn explained(&self) -> Explained {
        match self {
            Self::NoPort { service, asked, offered } => Explained::new(
                format!("service `{service}` has no port `{asked}`; it has {offered}"),
                "the `ports` of a `service` are the Service's own; for ports of the pods behind it, name the peer with `pods`",
            ),
            Self::NoEndpoint { service, port, why } => {
                format!("port {port} of service `{service}` leads nowhere: {why}").into()
            }
        }
    }
}

/// A Service as the other end of links.
#[derive(Debug, Clone, PartialEq)]
pub struct ServicePeer {
    /// The labels of the pods behind it. None if other clients manage its endpoints.
    pub selector: Option<Selector>,
    /// The addresses behind a Service without a selector.
    pub backends: BTreeSet<IpAddr>,
    /// Its own addresses and ports.
    pub front: Front,
    /// The selected ports of the Service. Empty for all ports, including those that it does not offer.
    pub asked: Vec<ServicePort>,
    /// The selected ports of the pods or addresses behind it.
    pub behind: PortSet,
    /// The ends of the links through the Service on the selected ports, per pod: address, protocol and port. Without
    /// selected ports, on all ports that the Service offers.
    pub ends: BTreeSet<(IpAddr, Protocol, u16)>,
    /// Where a set of ports is not exact, in sentences.
    pub notes: Vec<String>,
}

impl ServicePeer {
    /// Resolves `ports` of a Service, with the cluster's pods or its endpoints behind it. Without `ports`, all ports.
    ///
    /// # Errors
    /// If the Service, or everything behind it, does not have one of the ports.
    pub fn new(
        service: &Service,
        endpoints: Option<&Endpoints>,
        cluster: &Cluster,
        ports: &[PeerPort],
    ) -> Result<Self, ServiceError> {
        let name = service.metadata.name.clone().unwrap_or_default();
        let namespace = service.metadata.namespace.as_deref().unwrap_or("default");
        let offered = offered(service);
        let asked = Self::asked(service, ports)?;
        let selector = service
            .spec
            .as_ref()
            .and_then(|spec| spec.selector.as_ref())
            .filter(|it| !it.is_empty())
            .map(Selector::from);
        let pods: Vec<&Pod> = match &selector {
            Some(selector) => {
                cluster.pods().iter().filter(|it| it.namespace == namespace && selector.matches(&it.labels)).collect()
            }
            None => Vec::new(),
        };
        let ends_of = |port: &ServicePort| match &selector {
            Some(_) => pod_ends(port, &pods),
            None => endpoint_ends(port, endpoints),
        };
        let all = PortSet::all();
        let mut peer = Self {
            backends: BTreeSet::new(),
            front: Front { ips: front_ips(service), ports: all.clone(), others: PortSet::none() },
            behind: all,
            ends: offered.iter().flat_map(ends_of).collect(),
            notes: Vec::new(),
            selector: selector.clone(),
            asked,
        };
        if peer.asked.is_empty() {
            if peer.selector.is_none() {
                peer.backends = endpoints.map(addresses).unwrap_or_default();
            }
            return Ok(peer);
        }
        let own = |ports: &[ServicePort]| {
            ports.iter().fold(PortSet::none(), |set, it| set.or(&PortSet::range(it.protocol, it.number, it.number)))
        };
        peer.front.ports = own(&peer.asked);
        peer.front.others = own(&offered).and(&peer.front.ports.negated());
        (peer.ends, peer.behind) = (BTreeSet::new(), PortSet::none());
        for port in &peer.asked {
            let ends = ends_of(port);
            let fixed = match (&peer.selector, &port.target) {
                (Some(_), Target::Number(number)) => PortSet::range(port.protocol, *number, *number),
                _ => ends.iter().fold(PortSet::none(), |set, it| set.or(&PortSet::range(it.1, it.2, it.2))),
            };
            if fixed.is_none() {
                let why = match (&peer.selector, &port.target) {
                    (Some(_), Target::Name(target)) => format!("no pod behind it has a port named `{target}`"),
                    _ => "its endpoints have no such port".to_owned(),
                };
                return Err(ServiceError::NoEndpoint { service: name, port: port.to_string(), why });
            }
            if let (Some(_), Target::Name(target)) = (&peer.selector, &port.target) {
                peer.notes.push(named_note(&name, target, &fixed));
            }
            peer.behind = peer.behind.or(&fixed);
            peer.ends.extend(ends);
        }
        if peer.selector.is_none() {
            peer.backends = peer.ends.iter().map(|end| end.0).collect();
        }
        peer.notes.dedup();
        Ok(peer)
    }

    /// The ports of a Service that `ports` selects.
    ///
    /// # Errors
    /// If the Service does not have one of them.
    pub fn asked(service: &Service, ports: &[PeerPort]) -> Result<Vec<ServicePort>, ServiceError> {
        asked(service.metadata.name.as_deref().unwrap_or_default(), &offered(service), ports)
    }

    /// The links to cut, as blocks of a policy. The first block covers the pods or addresses behind the Service.
    pub fn blocks(&self, described: &str, namespace: &str, direction: Direction) -> Vec<Block> {
        // The ports are the Service's: the targets' own port of the same number is none of them.
        let direction = match direction {
            Direction::Both if !self.asked.is_empty() => Direction::Egress,
            direction => direction,
        };
        if let Some(selector) = &self.selector {
            let peer = Peer::Pods {
                namespace: namespace.to_owned(),
                selector: selector.clone(),
                unmarked: BTreeSet::new(),
                front: self.front.clone(),
            };
            return vec![Block::new(described, peer, self.behind.clone(), direction)];
        }
        let cidrs = |ips: &mut dyn Iterator<Item = IpAddr>| Peer::Addresses(ips.map(Cidr::host).collect());
        let behind = cidrs(&mut self.backends.iter().copied());
        let mut blocks = vec![Block::new(described, behind, self.behind.clone(), direction)];
        if direction.has_egress() && !self.front.ips.is_empty() {
            // No connection comes from a Service's address.
            let front = cidrs(&mut self.front.ips.iter().copied());
            let described = format!("the cluster IP of {described}");
            blocks.push(Block::new(described, front, self.front.ports.clone(), Direction::Egress));
        }
        blocks
    }
}

/// The addresses and ports behind a Service without a selector, by its current endpoints. Without ports, all addresses
/// and all ports.
pub fn endpoints_behind(endpoints: &Endpoints, asked: &[ServicePort]) -> (BTreeSet<IpAddr>, PortSet) {
    if asked.is_empty() {
        return (addresses(endpoints), PortSet::all());
    }
    let ends: BTreeSet<_> = asked.iter().flat_map(|port| endpoint_ends(port, Some(endpoints))).collect();
    let ports = ends.iter().fold(PortSet::none(), |set, it| set.or(&PortSet::range(it.1, it.2, it.2)));
    (ends.into_iter().map(|end| end.0).collect(), ports)
}

fn named_note(service: &str, target: &str, ports: &PortSet) -> String {
    let several =
        Protocol::ALL.iter().flat_map(|it| ports.ranges(*it)).map(|(first, last)| last - first + 1).sum::<u16>() > 1;
    if several {
        format!(
            "the pods behind service {service} give their port `{target}` different numbers ({ports}), and each pod is cut \
             off on all of them; a later pod with another number is not"
        )
    } else {
        format!(
            "a later pod behind service {service} that gives its port `{target}` another number than {ports} is not cut off"
        )
    }
}

/// The ports of a Service.
fn offered(service: &Service) -> Vec<ServicePort> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let read = |port: &k8s_openapi::api::core::v1::ServicePort| {
        let number = u16::try_from(port.port).ok()?;
        let target = match &port.target_port {
            None => Target::Number(number),
            Some(IntOrString::Int(target)) => Target::Number(u16::try_from(*target).ok()?),
            Some(IntOrString::String(name)) => Target::Name(name.clone()),
        };
        let name = port.name.clone().filter(|name| !name.is_empty());
        Some(ServicePort { name, number, protocol: Protocol::from_name(port.protocol.as_deref())?, target })
    };
    ports.filter_map(read).collect()
}

/// The selected ports among those that are offered.
///
/// # Errors
/// If one of them is not offered.
fn asked(service: &str, offered: &[ServicePort], ports: &[PeerPort]) -> Result<Vec<ServicePort>, ServiceError> {
    let mut found: Vec<ServicePort> = Vec::new();
    for port in ports {
        let meant = |it: &&ServicePort| match port {
            PeerPort::Name(name) => it.name.as_ref() == Some(name),
            PeerPort::Numbers(range) => PortSet::from_scenario(&[*range]).has(it.protocol, it.number),
        };
        let mut any = false;
        for it in offered.iter().filter(meant) {
            any = true;
            if !found.contains(it) {
                found.push(it.clone());
            }
        }
        if !any {
            let all: Vec<String> = offered.iter().map(ToString::to_string).collect();
            let offered = if all.is_empty() { "no ports".to_owned() } else { all.join(", ") };
            return Err(ServiceError::NoPort { service: service.to_owned(), asked: port.clone(), offered });
        }
    }
    Ok(found)
}

fn front_ips(service: &Service) -> Vec<IpAddr> {
    let spec = service.spec.as_ref();
    let plural = spec.iter().flat_map(|spec| spec.cluster_ips.iter().flatten());
    let all = spec.iter().filter_map(|spec| spec.cluster_ip.as_ref()).chain(plural);
    let ips: BTreeSet<IpAddr> = all.filter_map(|text| text.parse().ok()).collect();
    ips.into_iter().collect()
}

fn pod_ends(port: &ServicePort, pods: &[&Pod]) -> BTreeSet<(IpAddr, Protocol, u16)> {
    let number = |pod: &Pod| match &port.target {
        Target::Number(number) => Some(*number),
        // As in Kubernetes: the first container that has it.
        Target::Name(name) => pod
            .ports
            .iter()
            .find(|it| it.protocol == port.protocol && it.name.as_ref() == Some(name))
            .map(|it| it.number),
    };
    let ends = pods
        .iter()
        .flat_map(|pod| number(pod).into_iter().flat_map(|number| pod.ips.iter().map(move |ip| (*ip, number))));
    ends.map(|(ip, number)| (ip, port.protocol, number)).collect()
}

/// Endpoints identify a Service's port by its name only.
fn endpoint_ends(port: &ServicePort, endpoints: Option<&Endpoints>) -> BTreeSet<(IpAddr, Protocol, u16)> {
    let mut ends = BTreeSet::new();
    for subset in endpoints.iter().flat_map(|it| it.subsets.iter().flatten()) {
        for end in subset.ports.iter().flatten() {
            let name = end.name.as_ref().filter(|name| !name.is_empty());
            let same =
                name == port.name.as_ref() && Protocol::from_name(end.protocol.as_deref()) == Some(port.protocol);
            if let (true, Ok(number)) = (same, u16::try_from(end.port)) {
                ends.extend(subset_addresses(subset).map(|ip| (ip, port.protocol, number)));
            }
        }
    }
    ends
}

fn addresses(endpoints: &Endpoints) -> BTreeSet<IpAddr> {
    endpoints.subsets.iter().flatten().flat_map(subset_addresses).collect()
}

/// The addresses of a subset, ready or not.
fn subset_addresses(subset: &k8s_openapi::api::core::v1::EndpointSubset) -> impl Iterator<Item = IpAddr> {
    let all = subset.addresses.iter().flatten().chain(subset.not_ready_addresses.iter().flatten());
    all.filter_map(|address| address.ip.parse().ok())
}

#[cfg(test)]
mod tests;
