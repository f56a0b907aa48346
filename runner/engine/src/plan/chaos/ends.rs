//! The other ends of links, as Chaos Mesh can tell them: by pods' addresses, by services' own addresses, and by addresses
//! outside.
//!
//! Inside a pod, a packet to a service carries the service's address and not yet that of a pod behind it. So the pods alone
//! would miss everything that goes through a service.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;
use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::{Peer, PortRange};

use super::network::check_network;
use crate::plan::error::PlanError;
use crate::plan::peers::peer_namespace;
use crate::plan::words::selector_text;
use shakedown_cluster::{Cluster, ClusterError, Kind, pod_ref};
use shakedown_faults::chaos::spec::Ends;

/// As many ports of a range are written out one by one.
const MOST_PORTS: usize = 32;

/// What the peers of a fault are.
#[derive(Default)]
pub(super) struct Found {
    pub ends: Ends,
    pub described: Vec<String>,
    pub notes: Vec<String>,
    /// Whether only packets to the peers can be told.
    pub one_way: bool,
}

pub(super) struct Reader<'a> {
    pub fault: &'a str,
    pub cluster: &'a Cluster,
    pub namespace: &'a str,
    pub targets: &'a [PodRef],
}

impl Reader<'_> {
    fn refuse<T>(&self, text: &str) -> Result<T, PlanError> {
        Err(PlanError::fault(self.fault, text))
    }

    pub async fn ends(&self, peers: &[Peer]) -> Result<Found, PlanError> {
        let mut found = Found::default();
        let mut pods: BTreeMap<String, (PodRef, Value)> = BTreeMap::new();
        for peer in peers {
            let ports = self.ports(&peer.ports)?;
            found.one_way |= !ports.is_empty() || peer.cidr.is_some() || peer.host.is_some();
            let namespace = peer_namespace(peer, self.namespace);
            let mut described = if let Some(service) = &peer.service {
                self.service(service, &namespace, &ports, &mut pods, &mut found).await?;
                format!("service {service} in namespace {namespace}")
            } else if let Some(selector) = &peer.pods {
                let matching = self.cluster.matching_pods(selector, &namespace).await?;
                if matching.is_empty() {
                    return self.refuse(&format!(
                        "no running pod in namespace `{namespace}` matches the peer {}\nhelp: `kubectl -n {namespace} get pods \
                         --show-labels` shows what could be matched",
                        selector_text(selector)
                    ));
                }
                self.take(matching, &ports, &mut pods, &mut found).await?;
                format!("pods with {} in namespace {namespace}", selector_text(selector))
            } else if let Some(cidr) = &peer.cidr {
                if cidr.contains(':') {
                    return self.refuse(&format!("{cidr} is IPv6, and Chaos Mesh knows only IPv4"));
                }
                add(&mut found.ends.addresses, cidr, &ports);
                format!("addresses {cidr}")
            } else {
                self.host(peer.host.as_deref().unwrap_or_default(), &ports, &mut found).await?
            };
            if !ports.is_empty() {
                described
                    .push_str(&format!(", ports {}", ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")));
            }
            found.described.push(described);
        }
        // Both ends at once is an error to Chaos Mesh, and no link.
        let own: BTreeSet<&String> = self.targets.iter().map(|pod| &pod.uid).collect();
        pods.retain(|uid, _| !own.contains(uid));
        for (pod, object) in pods.values() {
            check_network(self.fault, "peer", pod, object)?;
        }
        found.ends.pods = pods.into_values().map(|(pod, _)| pod).collect();
        if found.ends.pods.is_empty() && found.ends.addresses.is_empty() {
            // An empty other end would mean everybody.
            return self.refuse("beside the targets themselves there is no peer\nhelp: name other pods");
        }
        if !found.ends.pods.is_empty() {
            self.services(&mut found).await?;
        }
        Ok(found)
    }

    fn ports(&self, ranges: &[PortRange]) -> Result<Vec<u16>, PlanError> {
        let mut ports: Vec<u16> = Vec::new();
        for range in ranges {
            if range.udp {
                return self.refuse("Chaos Mesh tells only TCP ports\nhelp: remove the UDP port");
            }
            ports.extend(range.first..=range.last);
        }
        if ports.len() > MOST_PORTS {
            return self.refuse(&format!("Chaos Mesh takes ports one by one, and these are more than {MOST_PORTS}"));
        }
        Ok(ports)
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
        ports: &[u16],
        pods: &mut BTreeMap<String, (PodRef, Value)>,
        found: &mut Found,
    ) -> Result<(), PlanError> {
        let Some(service) = self.cluster.service(namespace, name).await? else {
            self.cluster.require_namespace(namespace).await?;
            return self.refuse(&format!(
                "there is no service `{name}` in namespace `{namespace}`\nhelp: `kubectl -n {namespace} get services` lists \
                 them"
            ));
        };
        let selector = service["spec"]["selector"].as_object().cloned().unwrap_or_default();
        if selector.is_empty() {
            // Somebody else keeps its endpoints, so they are addresses and no pods.
            let backends = self.cluster.service_backends(namespace, name).await?;
            let backends: Vec<IpAddr> = backends.into_iter().filter(IpAddr::is_ipv4).collect();
            if backends.is_empty() {
                return self.refuse(&format!(
                    "service `{name}` has no selector and no IPv4 endpoints\nhelp: name its pods or addresses with `pods`, \
                     `cidr` or `host`"
                ));
            }
            found.one_way = true;
            backends.iter().for_each(|ip| add(&mut found.ends.addresses, &ip.to_string(), ports));
        } else {
            let matching = self.behind(&selector, namespace).await?;
            if matching.is_empty() {
                return self.refuse(&format!("no running pod is behind service `{name}`\nhelp: start them first"));
            }
            self.take(matching, ports, pods, found).await?;
        }
        let offered = service_ports(&service, ports);
        // Ports that the service does not offer lead nowhere through it.
        if ports.is_empty() || !offered.is_empty() {
            cluster_ips(&service).iter().for_each(|ip| add(&mut found.ends.addresses, ip, &offered));
        }
        Ok(())
    }

    /// The running pods that a service's selector means.
    async fn behind(
        &self,
        selector: &serde_json::Map<String, Value>,
        namespace: &str,
    ) -> Result<Vec<PodRef>, PlanError> {
        let labels: Vec<String> =
            selector.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
        let pods = self.cluster.list(Kind::Pod, namespace, Some(&labels.join(","))).await?;
        let runs = |pod: &&Value| pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null();
        Ok(pods.iter().filter(runs).map(pod_ref).collect())
    }

    async fn host(&self, host: &str, ports: &[u16], found: &mut Found) -> Result<String, PlanError> {
        let resolved = match tokio::net::lookup_host((host, 0)).await {
            Ok(addresses) => addresses,
            Err(error) => return self.refuse(&format!("the host `{host}` could not be resolved: {error}")),
        };
        let addresses: BTreeSet<IpAddr> = resolved.map(|address| address.ip()).filter(IpAddr::is_ipv4).collect();
        if addresses.is_empty() {
            return self.refuse(&format!("the host `{host}` has no IPv4 address, and Chaos Mesh knows only those"));
        }
        addresses.iter().for_each(|ip| add(&mut found.ends.addresses, &ip.to_string(), ports));
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        Ok(format!("host {host} ({})", shown.join(", ")))
    }

    /// Addresses of services that stand for one of the ends and for nobody else; those that stand for others as well are
    /// told, because what goes through them stays as it is.
    async fn services(&self, found: &mut Found) -> Result<(), PlanError> {
        let peers: BTreeSet<String> = found.ends.pods.iter().map(|pod| pod.uid.clone()).collect();
        let targets: BTreeSet<String> = self.targets.iter().map(|pod| pod.uid.clone()).collect();
        let namespaces: BTreeSet<&String> =
            found.ends.pods.iter().chain(self.targets).map(|pod| &pod.namespace).collect();
        let namespaces: Vec<String> = namespaces.into_iter().cloned().collect();
        for namespace in namespaces {
            let services = match self.cluster.list(Kind::other("v1", "Service", "services"), &namespace, None).await {
                Err(ClusterError::Forbidden { .. }) => {
                    let text = "this account may not list services, so what goes through services that are not named here stays \
                                as it is";
                    found.notes.push(text.to_owned());
                    continue;
                }
                services => services?,
            };
            for service in services {
                let Some(selector) = service["spec"]["selector"].as_object().filter(|it| !it.is_empty()) else {
                    continue;
                };
                let ips = cluster_ips(&service);
                if ips.is_empty() {
                    continue;
                }
                let behind: BTreeSet<String> =
                    self.behind(selector, &namespace).await?.into_iter().map(|pod| pod.uid).collect();
                let name = service["metadata"]["name"].as_str().unwrap_or_default();
                if !behind.is_disjoint(&peers) && ips.iter().any(|ip| !found.ends.addresses.contains(ip)) {
                    if behind.is_subset(&peers) {
                        found.ends.addresses.extend(ips.clone());
                    } else {
                        found.notes.push(format!(
                            "what the targets send through service {name} stays as it is, because other pods are behind it as \
                             well"
                        ));
                    }
                }
                if !behind.is_disjoint(&targets) {
                    if behind.is_subset(&targets) {
                        found.ends.back.extend(ips);
                    } else {
                        found.notes.push(format!(
                            "what the peers send through service {name} stays as it is, because other pods are behind it as \
                             well; answers to the targets do not go through it"
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether Chaos Mesh can tell all of these peers from others, as far as they are written out.
pub(in crate::plan) fn can_tell(peers: &[Peer]) -> bool {
    peers.iter().all(|peer| {
        let count: usize = peer.ports.iter().map(|range| usize::from(range.last - range.first) + 1).sum();
        let addresses = peer.cidr.as_ref().is_none_or(|cidr| !cidr.contains(':'));
        addresses && count <= MOST_PORTS && peer.ports.iter().all(|range| !range.udp)
    })
}

/// An address as Chaos Mesh takes it, with each of the ports.
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

/// The ports under which a service offers these ports of its pods.
fn service_ports(service: &Value, ports: &[u16]) -> Vec<u16> {
    let all = service["spec"]["ports"].as_array().into_iter().flatten();
    let meant = all.filter_map(|port| {
        let own = u16::try_from(port["port"].as_u64()?).ok()?;
        let target = port["targetPort"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(own);
        (ports.contains(&target) || ports.contains(&own)).then_some(own)
    });
    let found: BTreeSet<u16> = meant.collect();
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_of_pods_are_those_of_the_service_in_front() {
        let service = json!({"spec": {
            "clusterIP": "10.0.0.7", "clusterIPs": ["10.0.0.7", "fd00::7"],
            "ports": [{"port": 80, "targetPort": 8080}, {"port": 4222}, {"port": 9, "targetPort": "named"}],
        }});
        assert_eq!(service_ports(&service, &[8080, 4222]), [80, 4222]);
        assert_eq!(service_ports(&service, &[]), Vec::<u16>::new());
        assert_eq!(cluster_ips(&service), BTreeSet::from(["10.0.0.7".to_owned()]));
        assert!(cluster_ips(&json!({"spec": {"clusterIP": "None"}})).is_empty());
        let mut addresses = BTreeSet::new();
        add(&mut addresses, "10.0.0.7", &[80]);
        add(&mut addresses, "203.0.113.0/24", &[]);
        assert_eq!(addresses.into_iter().collect::<Vec<_>>(), ["10.0.0.7:80", "203.0.113.0/24"]);
    }
}
