//! Resolves the peers of a partition to blocks of a policy, and to endpoints that a witness can try.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use shakedown_schemas::Explained;
use shakedown_schemas::scenario::{self, PeerPort, PodSelector, PortRange};

use super::error::PlanError;
use super::options::Options;
use super::request::CutRequest;
use super::words::{pods_text, selector_text};
use shakedown_cluster::labels;
use shakedown_cluster::{Cluster, Network};
use shakedown_faults::partition::{ListedPeer, Mark, MarkedPeer, PlannedPartition, pod_key};
use shakedown_policy::{self as policy, Block, Cidr, Front, Peer, PortSet, Protocol, Selector, ServicePeer};

pub(super) fn peer_namespace(peer: &scenario::Peer, default: &str) -> String {
    peer.namespace
        .clone()
        .or_else(|| peer.pods.as_ref().and_then(|pods| pods.namespace.clone()))
        .unwrap_or_else(|| default.to_owned())
}

/// Results in addition to the parts themselves.
#[derive(Default)]
pub(super) struct Found {
    pub marked: Vec<MarkedPeer>,
    pub listed: Vec<ListedPeer>,
    /// The endpoints that a witness can try, by partition.
    pub endpoints: BTreeMap<usize, Vec<String>>,
    /// Service ports that a policy cannot express exactly, by partition.
    pub notes: BTreeMap<usize, Vec<String>>,
}

/// A service and its selected ports, as text.
pub(super) fn described_service(name: &str, namespace: &str, ports: &[PeerPort]) -> String {
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    match ports.as_slice() {
        [] => format!("service {name} in namespace {namespace}"),
        [one] => format!("port {one} of service {name} in namespace {namespace}"),
        several => format!("ports {} of service {name} in namespace {namespace}", several.join(", ")),
    }
}

/// The TCP endpoints among the ends of links: the only ones that a witness can try.
pub(super) fn tcp(ends: &BTreeSet<(IpAddr, Protocol, u16)>) -> impl Iterator<Item = SocketAddr> {
    let tcp = ends.iter().filter(|end| end.1 == Protocol::Tcp);
    tcp.map(|(ip, _, port)| SocketAddr::new(*ip, *port))
}

pub(super) struct Reader<'a> {
    pub request: &'a CutRequest<'a>,
    pub at: usize,
    pub cluster: &'a Cluster,
    pub namespace: &'a str,
    pub options: &'a Options,
    pub network: &'a Network,
}

impl Reader<'_> {
    pub async fn part(&self, namespace: String, found: &mut Found) -> Result<PlannedPartition, PlanError> {
        let mut peer_marks = Vec::new();
        let mut blocks: Vec<Block> = Vec::new();
        for peer in &self.request.partition.from {
            let more = self.blocks(peer, blocks.len(), &mut peer_marks, found).await?;
            blocks.extend(more);
        }
        Ok(PlannedPartition {
            name: self.request.name.to_owned(),
            namespace,
            targets: self.request.targets.clone(),
            blocks,
            peer_marks,
            follow: self.request.partition.follow,
        })
    }

    fn refuse(&self, why: impl Into<Explained>) -> PlanError {
        PlanError::fault(self.request.name, why)
    }

    async fn blocks(
        &self,
        peer: &scenario::Peer,
        number: usize,
        marks: &mut Vec<Mark>,
        found: &mut Found,
    ) -> Result<Vec<Block>, PlanError> {
        let namespace = peer_namespace(peer, self.namespace);
        // Only ports of services have names: `validate` refuses them elsewhere.
        let numbers: Vec<PortRange> = peer.ports.iter().filter_map(PeerPort::numbers).collect();
        let mut endpoints = Vec::new();
        let direction = self.request.partition.direction;
        let blocks = if let Some(service) = &peer.service {
            let behind = self.service(service, &namespace, &peer.ports, number, found).await?;
            endpoints.extend(tcp(&behind.ends));
            behind.blocks(&described_service(service, &namespace, &peer.ports), &namespace, direction)
        } else {
            let (described, other_end) = self.other_end(peer, &namespace, number, marks, found).await?;
            vec![Block::new(described, other_end, PortSet::from_scenario(&numbers), direction)]
        };
        if let Some(block) = blocks.first() {
            self.pod_endpoints(if peer.service.is_some() { &[] } else { &numbers }, block, &mut endpoints);
        }
        let mut all: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
        all.dedup();
        found.endpoints.entry(self.at).or_default().extend(all);
        Ok(blocks)
    }

    /// The other end of links that is not a service, with its description.
    async fn other_end(
        &self,
        peer: &scenario::Peer,
        namespace: &str,
        number: usize,
        marks: &mut Vec<Mark>,
        found: &mut Found,
    ) -> Result<(String, Peer), PlanError> {
        Ok(if let Some(pods) = &peer.pods {
            let end = self.pods(pods, namespace, number, marks, found).await?;
            (pods_text(pods, namespace), end)
        } else if let Some(cidr) = &peer.cidr {
            let parsed: Cidr = cidr.parse().map_err(|error: policy::CidrError| self.refuse(error.to_string()))?;
            (format!("addresses {cidr}"), Peer::Addresses(vec![parsed]))
        } else {
            let host = peer.host.as_deref().unwrap_or_default();
            let addresses = self.resolve(host).await?;
            let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let end = Peer::Addresses(addresses.into_iter().map(Cidr::host).collect());
            (format!("host {host} ({})", shown.join(", ")), end)
        })
    }

    /// Adds the endpoints of pods and single addresses.
    fn pod_endpoints(&self, numbers: &[PortRange], block: &Block, endpoints: &mut Vec<SocketAddr>) {
        let named: Vec<u16> = numbers.iter().filter(|range| !range.udp).map(|range| range.first).collect();
        match &block.peer {
            Peer::Pods { namespace, selector, unmarked, .. } if endpoints.is_empty() => {
                for pod in self.network.cluster.pods().iter().filter(|pod| pod.namespace == *namespace) {
                    if !selector.matches(&pod.labels) && !unmarked.contains(&pod.name) {
                        continue;
                    }
                    let declared =
                        pod.ports.iter().filter(|port| port.protocol == Protocol::Tcp).map(|port| port.number);
                    let tried: BTreeSet<u16> = declared
                        .filter(|port| block.ports.has(Protocol::Tcp, *port))
                        .chain(named.iter().copied())
                        .collect();
                    endpoints
                        .extend(pod.ips.iter().flat_map(|ip| tried.iter().map(|port| SocketAddr::new(*ip, *port))));
                }
            }
            Peer::Pods { .. } => {}
            Peer::Addresses(cidrs) => {
                let hosts = cidrs.iter().filter_map(|cidr| cidr.single());
                endpoints.extend(hosts.flat_map(|ip| named.iter().map(move |port| SocketAddr::new(ip, *port))));
            }
        }
    }

    async fn service(
        &self,
        name: &str,
        namespace: &str,
        ports: &[PeerPort],
        number: usize,
        found: &mut Found,
    ) -> Result<ServicePeer, PlanError> {
        let Some((service, endpoints)) = self.cluster.service_and_endpoints(namespace, name).await? else {
            self.cluster.require_namespace(namespace).await?;
            return Err(self.refuse(self.cluster.no_service(namespace, name).await));
        };
        let behind = ServicePeer::new(&service, endpoints.as_ref(), &self.network.cluster, ports)
            .map_err(|error| self.refuse(error.explained()))?;
        if behind.selector.is_none() {
            if behind.backends.is_empty() {
                return Err(self.refuse(Explained::new(
                    format!("service `{name}` has no selector and no endpoints, so nothing can be cut off from it"),
                    "name its \
                     pods or addresses with `pods`, `cidr` or `host`",
                )));
            }
            // Another client maintains its endpoints, so they are watched.
            found.listed.push(ListedPeer {
                part: self.at,
                block: number,
                namespace: namespace.to_owned(),
                service: name.to_owned(),
                ports: behind.asked.clone(),
            });
        }
        found.notes.entry(self.at).or_default().extend(behind.notes.iter().cloned());
        Ok(behind)
    }

    /// A selector by labels also matches future pods. Pods by name, prefix or owner are marked, because no label selector
    /// matches them.
    async fn pods(
        &self,
        pods: &PodSelector,
        namespace: &str,
        number: usize,
        marks: &mut Vec<Mark>,
        found: &mut Found,
    ) -> Result<Peer, PlanError> {
        let by_labels_only = pods.name.is_none() && pods.prefix.is_none() && pods.owner.is_none();
        if let (true, Some(labels)) = (by_labels_only, &pods.labels) {
            return Ok(Peer::Pods {
                namespace: namespace.to_owned(),
                selector: Selector::from(labels),
                unmarked: BTreeSet::new(),
                front: Front::default(),
            });
        }
        let matching = self.cluster.matching_pods(pods, namespace).await?;
        if matching.is_empty() {
            return Err(self.refuse(Explained::new(
                format!("no running pod in namespace `{namespace}` matches the peer {}", selector_text(pods)),
                format!(
                    "`kubectl -n {namespace} get pods \
                 --show-labels` shows what could be matched"
                ),
            )));
        }
        let role = format!("p{}-{number}", self.at);
        let label =
            (labels::mark(&self.options.run, self.options.serial, &role, self.request.name), self.options.run.clone());
        for pod in &matching {
            marks.push(Mark { object: pod_key(pod), label: label.0.clone(), value: label.1.clone() });
        }
        found.marked.push(MarkedPeer {
            part: self.at,
            selector: pods.clone(),
            namespace: namespace.to_owned(),
            label: label.clone(),
        });
        Ok(Peer::Pods {
            namespace: namespace.to_owned(),
            selector: Selector::label(label.0, label.1),
            unmarked: matching.into_iter().map(|pod| pod.name).collect(),
            front: Front::default(),
        })
    }

    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, PlanError> {
        let found = tokio::net::lookup_host((host, 0))
            .await
            .map_err(|error| self.refuse(format!("the host `{host}` could not be resolved: {error}")))?;
        let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
        addresses.sort();
        addresses.dedup();
        Ok(addresses)
    }
}
