//! The other ends of links, as Chaos Mesh distinguishes them: by pods' addresses, by services' own addresses, and by external
//! addresses.
//!
//! Inside a pod, a packet to a service has the service's address and not yet that of a pod behind it. Pods alone would
//! therefore miss all traffic through services.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;
use shakedown_schemas::Explained;
use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::{Peer, PeerPort, PortRange};

use super::network::check_network;
use crate::plan::error::PlanError;
use crate::plan::peers::{described_service, peer_namespace};
use crate::plan::words::{pods_text, selector_text};
use shakedown_cluster::{Cluster, ClusterError, Kind, pod_ref};
use shakedown_faults::chaos::spec::Ends;
use shakedown_policy::{Protocol, ServicePeer};

/// The maximum number of ports of a range, which are listed one by one.
const MOST_PORTS: usize = 32;

/// The peers of a fault.
#[derive(Default)]
pub(super) struct Found {
    pub ends: Ends,
    pub described: Vec<String>,
    /// The traffic to the peers that is unchanged, in words.
    pub notes: Vec<String>,
    /// The traffic from the peers that is unchanged, in words. Answers do not take that path, so a partition cuts these links
    /// anyway.
    pub notes_back: Vec<String>,
    /// Whether only packets to the peers can be selected.
    pub one_way: bool,
}

pub(super) struct Reader<'a> {
    pub fault: &'a str,
    pub cluster: &'a Cluster,
    pub namespace: &'a str,
    pub targets: &'a [PodRef],
}

impl Reader<'_> {
    fn refuse<T>(&self, why: impl Into<Explained>) -> Result<T, PlanError> {
        Err(PlanError::fault(self.fault, why))
    }

    pub async fn ends(&self, peers: &[Peer]) -> Result<Found, PlanError> {
        let mut found = Found::default();
        let mut pods: BTreeMap<String, (PodRef, Value)> = BTreeMap::new();
        for peer in peers {
            let ports = if peer.service.is_some() { Vec::new() } else { self.ports(&peer.ports)? };
            found.one_way |= !peer.ports.is_empty() || peer.cidr.is_some() || peer.host.is_some();
            let namespace = peer_namespace(peer, self.namespace);
            let mut described = if let Some(service) = &peer.service {
                self.service(service, &namespace, &peer.ports, &mut pods, &mut found).await?;
                described_service(service, &namespace, &peer.ports)
            } else if let Some(selector) = &peer.pods {
                let matching = self.cluster.matching_pods(selector, &namespace).await?;
                if matching.is_empty() {
                    return self.refuse(Explained::new(
                        format!(
                            "no running pod in namespace `{namespace}` matches the peer {}",
                            selector_text(selector)
                        ),
                        format!(
                            "`kubectl -n {namespace} get pods \
                         --show-labels` shows what could be matched"
                        ),
                    ));
                }
                self.take(matching, &ports, &mut pods, &mut found).await?;
                pods_text(selector, &namespace)
            } else if let Some(cidr) = &peer.cidr {
                if cidr.contains(':') {
                    return self.refuse(format!("{cidr} is IPv6, and Chaos Mesh supports only IPv4"));
                }
                add(&mut found.ends.addresses, cidr, &ports);
                format!("addresses {cidr}")
            } else {
                self.host(peer.host.as_deref().unwrap_or_default(), &ports, &mut found).await?
            };
            if !ports.is_empty() {
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                described.push_str(&format!(", ports {}", ports.join(", ")));
            }
            found.described.push(described);
        }
        // Chaos Mesh rejects a pod at both ends, and there is no such link.
        let own: BTreeSet<&String> = self.targets.iter().map(|pod| &pod.uid).collect();
        pods.retain(|uid, _| !own.contains(uid));
        for (pod, object) in pods.values() {
            check_network(self.fault, "peer", pod, object)?;
        }
        found.ends.pods = pods.into_values().map(|(pod, _)| pod).collect();
        if found.ends.pods.is_empty() && found.ends.addresses.is_empty() {
            // An empty other end would mean all destinations.
            return self.refuse(Explained::new("the peers are the targets themselves", "name other pods"));
        }
        if !found.ends.pods.is_empty() {
            self.services(&mut found).await?;
        }
        Ok(found)
    }

    fn ports(&self, ports: &[PeerPort]) -> Result<Vec<u16>, PlanError> {
        let ranges = || ports.iter().filter_map(PeerPort::numbers);
        self.check_ports(ranges().any(|range| range.udp), ranges().map(|range| count(&range)).sum())?;
        Ok(ranges().flat_map(|range| range.first..=range.last).collect())
    }

    fn check_ports(&self, others: bool, count: usize) -> Result<(), PlanError> {
        if others {
            return self.refuse(Explained::new("Chaos Mesh can select only TCP ports", "remove the UDP port"));
        }
        if count > MOST_PORTS {
            return self.refuse(format!(
                "there are more than {MOST_PORTS} ports, and Chaos Mesh needs a list of single ports"
            ));
        }
        Ok(())
    }

    /// Pods as peers; with ports, by their addresses alone.
    async fn take(
        &self,
        matching: Vec<PodRef>,
        ports: &[u16],
        pods: &mut BTreeMap<String, (PodRef, Value)>,
        found: &mut Found,
    ) -> Result<(), PlanError> {
        for pod in matching {
            if !ports.is_empty() {
                if let Some(ip) = pod.ip.as_deref().filter(|_| self.targets.iter().all(|target| target.uid != pod.uid))
                {
                    add(&mut found.ends.addresses, ip, ports);
                }
                continue;
            }
            let object = self.cluster.get(&shakedown_faults::partition::pod_key(&pod)).await?.unwrap_or_default();
            pods.insert(pod.uid.clone(), (pod, object));
        }
        Ok(())
    }

    async fn service(
        &self,
        name: &str,
        namespace: &str,
        ports: &[PeerPort],
        pods: &mut BTreeMap<String, (PodRef, Value)>,
        found: &mut Found,
    ) -> Result<(), PlanError> {
        let Some((service, endpoints)) = self.cluster.service_and_endpoints(namespace, name).await? else {
            self.cluster.require_namespace(namespace).await?;
            return self.refuse(self.cluster.no_service(namespace, name).await);
        };
        let all = self.cluster.pods_of(namespace).await?;
        let peer = ServicePeer::new(&service, endpoints.as_ref(), &all, ports)
            .map_err(|error| PlanError::fault(self.fault, error.explained()))?;
        self.check_ports(peer.asked.iter().any(|port| port.protocol != Protocol::Tcp), peer.asked.len())?;
        if peer.selector.is_none() {
            // Another client maintains its endpoints, so they are addresses and not pods.
            if !peer.backends.iter().any(IpAddr::is_ipv4) {
                return self.refuse(Explained::new(
                    format!("service `{name}` has no selector and no IPv4 endpoints"),
                    "name its pods or addresses with `pods`, \
                     `cidr` or `host`",
                ));
            }
            found.one_way = true;
        } else {
            let selector = service.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
            let matching = self.behind(&selector, namespace).await?;
            if matching.is_empty() {
                return self
                    .refuse(Explained::new(format!("no running pod is behind service `{name}`"), "start them first"));
            }
            if ports.is_empty() {
                self.take(matching, &[], pods, found).await?;
            }
        }
        let own: BTreeSet<IpAddr> = self.targets.iter().filter_map(|pod| pod.ip.as_ref()?.parse().ok()).collect();
        found.ends.addresses.extend(service_addresses(&peer, &own));
        Ok(())
    }

    /// The running pods that a service's selector matches.
    async fn behind(&self, selector: &BTreeMap<String, String>, namespace: &str) -> Result<Vec<PodRef>, PlanError> {
        let labels: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let pods = self.cluster.list(Kind::Pod, namespace, Some(&labels.join(","))).await?;
        let runs = |pod: &&Value| pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null();
        Ok(pods.iter().filter(runs).map(pod_ref).collect())
    }

    async fn host(&self, host: &str, ports: &[u16], found: &mut Found) -> Result<String, PlanError> {
        let resolved = match tokio::net::lookup_host((host, 0)).await {
            Ok(addresses) => addresses,
            Err(error) => return self.refuse(format!("the host `{host}` could not be resolved: {error}")),
        };
        let addresses: BTreeSet<IpAddr> = resolved.map(|address| address.ip()).filter(IpAddr::is_ipv4).collect();
        if addresses.is_empty() {
            return self.refuse(format!("the host `{host}` has no IPv4 address, and Chaos Mesh supports only IPv4"));
        }
        addresses.iter().for_each(|ip| add(&mut found.ends.addresses, &ip.to_string(), ports));
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        Ok(format!("host {host} ({})", shown.join(", ")))
    }

    /// Addresses of services that lead only to one of the ends. Services that also lead to other pods are listed in notes,
    /// because the traffic through them is unchanged.
    async fn services(&self, found: &mut Found) -> Result<(), PlanError> {
        let peers: BTreeSet<String> = found.ends.pods.iter().map(|pod| pod.uid.clone()).collect();
        let targets: BTreeSet<String> = self.targets.iter().map(|pod| pod.uid.clone()).collect();
        let namespaces: BTreeSet<&String> =
            found.ends.pods.iter().chain(self.targets).map(|pod| &pod.namespace).collect();
        let namespaces: Vec<String> = namespaces.into_iter().cloned().collect();
        for namespace in namespaces {
            let services = match self.cluster.list(Kind::Service, &namespace, None).await {
                Err(ClusterError::Forbidden { .. }) => {
                    let text = "this account may not list services, so traffic through services that the scenario does not \
                     name is unchanged";
                    found.notes.push(text.to_owned());
                    continue;
                }
                services => services?,
            };
            for service in services {
                let selector: BTreeMap<String, String> =
                    serde_json::from_value(service["spec"]["selector"].clone()).unwrap_or_default();
                if selector.is_empty() {
                    continue;
                }
                let ips = cluster_ips(&service);
                if ips.is_empty() {
                    continue;
                }
                let behind: BTreeSet<String> =
                    self.behind(&selector, &namespace).await?.into_iter().map(|pod| pod.uid).collect();
                let name = service["metadata"]["name"].as_str().unwrap_or_default();
                if !behind.is_disjoint(&peers) && ips.iter().any(|ip| !found.ends.addresses.contains(ip)) {
                    if behind.is_subset(&peers) {
                        found.ends.addresses.extend(ips.clone());
                    } else {
                        found.notes.push(format!(
                            "traffic from the targets through service {name} is unchanged, because the service also has \
                             other pods"
                        ));
                    }
                }
                if !behind.is_disjoint(&targets) {
                    if behind.is_subset(&targets) {
                        found.ends.back.extend(ips);
                    } else {
                        found.notes_back.push(format!(
                            "traffic from the peers through service {name} is unchanged, because the service also has other \
                             pods; answers to the targets do not pass through it"
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The number of ports of a range.
fn count(range: &PortRange) -> usize {
    usize::from(range.last - range.first) + 1
}

/// Whether Chaos Mesh can distinguish all of these peers from others. The Service defines the ports of a `service`.
pub(in crate::plan) async fn can_tell(
    cluster: &Cluster,
    peers: &[Peer],
    namespace: &str,
) -> Result<bool, ClusterError> {
    for peer in peers {
        let can = match &peer.service {
            Some(_) if peer.ports.is_empty() => true,
            Some(service) => match cluster.service_and_endpoints(&peer_namespace(peer, namespace), service).await? {
                Some((service, _)) => ServicePeer::asked(&service, &peer.ports).is_ok_and(|asked| {
                    asked.len() <= MOST_PORTS && asked.iter().all(|port| port.protocol == Protocol::Tcp)
                }),
                None => true,
            },
            None => {
                let ranges = || peer.ports.iter().filter_map(PeerPort::numbers);
                let addresses = peer.cidr.as_ref().is_none_or(|cidr| !cidr.contains(':'));
                addresses
                    && ranges().map(|range| count(&range)).sum::<usize>() <= MOST_PORTS
                    && ranges().all(|range| !range.udp)
            }
        };
        if !can {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The addresses of a service as the targets see them. Before the translation, packets have the service's own address and
/// port; a connection that bypasses the service has those of a pod. Without ports, the addresses of the pods suffice.
fn service_addresses(peer: &ServicePeer, targets: &BTreeSet<IpAddr>) -> BTreeSet<String> {
    let mut addresses = BTreeSet::new();
    let ports: Vec<u16> = peer.asked.iter().map(|port| port.number).collect();
    for ip in peer.front.ips.iter().filter(|ip| ip.is_ipv4()) {
        add(&mut addresses, &ip.to_string(), &ports);
    }
    if ports.is_empty() {
        addresses.extend(peer.backends.iter().filter(|ip| ip.is_ipv4()).map(ToString::to_string));
    } else {
        let ends = peer.ends.iter().filter(|end| end.0.is_ipv4() && !targets.contains(&end.0));
        addresses.extend(ends.map(|(ip, _, port)| format!("{ip}:{port}")));
    }
    addresses
}

/// An address in Chaos Mesh's notation, with each of the ports.
fn add(addresses: &mut BTreeSet<String>, address: &str, ports: &[u16]) {
    if ports.is_empty() {
        addresses.insert(address.to_owned());
    }
    addresses.extend(ports.iter().map(|port| format!("{address}:{port}")));
}

/// A service's own IPv4 addresses; none for a headless one.
fn cluster_ips(service: &Value) -> BTreeSet<String> {
    let several = service["spec"]["clusterIPs"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let ips = several.chain(service["spec"]["clusterIP"].as_str());
    ips.filter(|ip| ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4())).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
