//! A Service as a peer: its pods, its own addresses, and its ports behind its translation. Out of scope:
//! finding the Service, and what to do with one that has no selector.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use shakedown_schemas::scenario::PortRange;

use super::cluster::Cluster;
use super::cut::Peer;
use super::labels::Selector;
use super::pod::Pod;
use super::ports::{PortSet, Protocol};

/// The pods behind a Service as a peer, and the pods' ports that `ports` mean: a number that is one of the Service's
/// own ports means the port behind it (for a name, the pods' port of that name), any other number the pods' port
/// itself. Without `ports`, all of the pods' ports. None for a Service without a selector, because no labels identify
/// its pods.
pub fn service_peer(service: &Service, cluster: &Cluster, ports: &[PortRange]) -> Option<(Peer, PortSet)> {
    let spec = service.spec.as_ref()?;
    let selector = spec.selector.as_ref().filter(|labels| !labels.is_empty()).map(Selector::from)?;
    let namespace = service.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let pods: Vec<&Pod> =
        cluster.pods().iter().filter(|pod| pod.namespace == namespace && selector.matches(&pod.labels)).collect();

    let asked = PortSet::from_scenario(ports);
    // Without ports, all of them are meant, whatever the Service translates.
    let own = spec.ports.iter().flatten().filter(|_| !ports.is_empty());
    let (mut direct, mut translated) = (asked.clone(), PortSet::none());
    for port in own {
        let Some(protocol) = Protocol::from_name(port.protocol.as_deref()) else { continue };
        let Ok(number) = u16::try_from(port.port) else { continue };
        if asked.has(protocol, number) {
            direct = direct.and(&PortSet::range(protocol, number, number).negated());
            translated = translated.or(&behind(port.target_port.as_ref(), number, protocol, &pods));
        }
    }
    let set = direct.or(&translated);

    let plural = spec.cluster_ips.iter().flatten();
    let service_ips: BTreeSet<_> = spec.cluster_ip.iter().chain(plural).filter_map(|text| text.parse().ok()).collect();
    let peer =
        Peer::Pods { namespace, selector, unmarked: BTreeSet::new(), service_ips: service_ips.into_iter().collect() };
    Some((peer, set))
}

/// The pods' ports behind one port of a Service.
fn behind(target: Option<&IntOrString>, number: u16, protocol: Protocol, pods: &[&Pod]) -> PortSet {
    match target {
        None => PortSet::range(protocol, number, number),
        Some(IntOrString::Int(target)) => {
            u16::try_from(*target).map_or_else(|_| PortSet::none(), |target| PortSet::range(protocol, target, target))
        }
        Some(IntOrString::String(name)) => pods
            .iter()
            .flat_map(|pod| &pod.ports)
            .filter(|port| port.protocol == protocol && port.name.as_ref() == Some(name))
            .fold(PortSet::none(), |set, port| set.or(&PortSet::range(protocol, port.number, port.number))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::super::pod::ContainerPort;
    use super::*;

    fn ports(service: Value, asked: &[&str]) -> Option<String> {
        let pod = Pod {
            namespace: "bus".into(),
            name: "nats-0".into(),
            labels: [("app".to_owned(), "nats".to_owned())].into(),
            ports: vec![ContainerPort { name: Some("client".into()), number: 4222, protocol: Protocol::Tcp }],
            ..Pod::default()
        };
        let cluster = Cluster::new(vec![pod], BTreeMap::new(), &[]);
        let asked: Vec<PortRange> = asked.iter().map(|port| port.parse().expect("a port")).collect();
        let spec: Service =
            serde_json::from_value(json!({"metadata": {"namespace": "bus"}, "spec": service})).expect("a service");
        service_peer(&spec, &cluster, &asked).map(|(_, ports)| ports.to_string())
    }

    #[test]
    fn a_services_port_means_the_pods_port_behind_it() {
        let service = json!({"selector": {"app": "nats"}, "clusterIP": "10.96.0.7", "ports": [
            {"port": 80, "targetPort": 8080}, {"port": 4000, "targetPort": "client"}, {"port": 6222},
            {"port": 53, "protocol": "UDP", "targetPort": 5353},
        ]});
        let meant = |asked: &[&str]| ports(service.clone(), asked).expect("a peer");
        assert_eq!(meant(&["80"]), "8080");
        assert_eq!(meant(&["4000", "6222"]), "4222, 6222");
        assert_eq!(meant(&["53/udp"]), "5353/udp");
        assert_eq!(meant(&["9999"]), "9999", "a port that the Service does not have is the pods' own");
        assert_eq!(meant(&[]), "all ports");
    }

    #[test]
    fn a_service_without_a_selector_names_no_pods() {
        assert_eq!(ports(json!({"clusterIP": "10.96.0.7"}), &[]), None);
        assert_eq!(
            ports(json!({"type": "ExternalName", "externalName": "nats.example.org", "selector": {}}), &[]),
            None
        );
    }

    #[test]
    fn a_services_addresses_are_part_of_the_peer_and_a_headless_one_has_none() {
        let peer = |ip: &str| {
            let spec =
                json!({"metadata": {"namespace": "bus"}, "spec": {"selector": {"app": "nats"}, "clusterIP": ip}});
            let service: Service = serde_json::from_value(spec).expect("a service");
            service_peer(&service, &Cluster::default(), &[]).expect("a peer").0
        };
        assert!(matches!(peer("10.96.0.7"), Peer::Pods { service_ips, .. } if service_ips.len() == 1));
        assert!(matches!(peer("None"), Peer::Pods { service_ips, .. } if service_ips.is_empty()));
    }
}
