//! The API's pod, as far as the network is concerned. A reader of many pods decodes these fields and skips the rest, which
//! is nine tenths of the object.

use std::collections::HashSet;
use std::net::IpAddr;

use serde::Deserialize;

use super::labels::Labels;
use super::pod::{ContainerPort, Pod};
use super::ports::Protocol;

/// The fields of the API's pod that the network needs. Every field may be missing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ApiPod {
    metadata: Metadata,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    namespace: Option<String>,
    name: Option<String>,
    labels: Option<Labels>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
    host_network: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Container {
    ports: Option<Vec<Port>>,
    restart_policy: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Port {
    name: Option<String>,
    container_port: i32,
    protocol: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Status {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<Address>>,
    #[serde(rename = "hostIP")]
    host_ip: Option<String>,
    #[serde(rename = "hostIPs")]
    host_ips: Option<Vec<Address>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Address {
    ip: String,
}

impl Pod {
    /// From the API's object; none for one that has ended or has no address yet.
    pub fn from_kubernetes(object: ApiPod) -> Option<Self> {
        let (metadata, spec, status) = (object.metadata, object.spec?, object.status?);
        if !matches!(status.phase.as_deref(), Some("Pending" | "Running" | "Unknown")) {
            return None;
        }
        let ips = addresses(status.pod_ip, status.pod_ips);
        if ips.is_empty() {
            return None;
        }
        // A sidecar is an init container that goes on running.
        let sidecars =
            spec.init_containers.into_iter().flatten().filter(|one| one.restart_policy.as_deref() == Some("Always"));
        let containers = spec.containers.into_iter().flatten().chain(sidecars);
        let ports = containers.flat_map(|container| container.ports.unwrap_or_default());
        Some(Self {
            namespace: metadata.namespace.unwrap_or_else(|| "default".to_owned()),
            name: metadata.name.unwrap_or_default(),
            labels: metadata.labels.unwrap_or_default(),
            ips,
            ports: ports
                .filter_map(|port| {
                    Some(ContainerPort {
                        number: u16::try_from(port.container_port).ok()?,
                        protocol: Protocol::from_name(port.protocol.as_deref())?,
                        name: port.name,
                    })
                })
                .collect(),
            host_network: spec.host_network.unwrap_or(false),
            node_ips: addresses(status.host_ip, status.host_ips),
        })
    }
}

/// The addresses of a pod or its node, each once: the API repeats the first one in its list.
fn addresses(first: Option<String>, all: Option<Vec<Address>>) -> Vec<IpAddr> {
    let all = all.into_iter().flatten().map(|address| address.ip);
    let mut seen = HashSet::new();
    first.into_iter().chain(all).filter_map(|text| text.parse().ok()).filter(|ip| seen.insert(*ip)).collect()
}
