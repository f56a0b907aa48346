use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::pod::ContainerPort;
use super::*;

/// A Service of the namespace `bus` with two pods, which give their port `client` different numbers.
fn peer_of(spec: Value, endpoints: Value, asked: &[&str]) -> Result<ServicePeer, String> {
    let pod = |name: &str, ip: &str, number: u16| Pod {
        namespace: "bus".into(),
        name: name.into(),
        labels: [("app".to_owned(), "nats".to_owned())].into(),
        ips: vec![ip.parse().unwrap()],
        ports: vec![ContainerPort { name: Some("client".into()), number, protocol: Protocol::Tcp }],
        ..Pod::default()
    };
    let cluster =
        Cluster::new(vec![pod("nats-0", "10.1.0.1", 4222), pod("nats-1", "10.1.0.2", 4223)], BTreeMap::new(), &[]);
    let asked: Vec<PeerPort> = asked.iter().map(|port| port.parse().unwrap()).collect();
    let service: Service =
        serde_json::from_value(json!({"metadata": {"namespace": "bus", "name": "nats"}, "spec": spec})).unwrap();
    let endpoints: Option<Endpoints> = serde_json::from_value(endpoints).unwrap();
    ServicePeer::new(&service, endpoints.as_ref(), &cluster, &asked).map_err(|error| error.to_string())
}

fn nats() -> Value {
    json!({"selector": {"app": "nats"}, "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00::7"], "ports": [
        {"name": "web", "port": 80, "targetPort": 8080}, {"name": "bus", "port": 4000, "targetPort": "client"},
        {"name": "routes", "port": 6222}, {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 5353},
        {"name": "gone", "port": 9, "targetPort": "nobody"},
    ]})
}

#[test]
fn a_services_port_means_the_pods_port_behind_it() {
    let meant = |asked: &[&str]| peer_of(nats(), json!(null), asked).unwrap();
    let ports = |asked: &[&str]| (meant(asked).front.ports.to_string(), meant(asked).behind.to_string());
    let pair = |front: &str, behind: &str| (front.to_owned(), behind.to_owned());
    assert_eq!(ports(&["80"]), pair("80", "8080"));
    assert_eq!(ports(&["web", "6222"]), pair("80, 6222", "6222, 8080"));
    assert_eq!(ports(&["53/udp"]), pair("53/udp", "5353/udp"));
    assert_eq!(ports(&["dns"]), pair("53/udp", "5353/udp"), "a name has its protocol with it");
    assert_eq!(ports(&["80-7000"]), pair("80, 4000, 6222", "4222-4223, 6222, 8080"));
    assert_eq!(ports(&[]), pair("all ports", "all ports"));
    // Each pod has its own number.
    let ends: Vec<String> = meant(&["bus"]).ends.iter().map(|(ip, _, port)| format!("{ip}:{port}")).collect();
    assert_eq!(ends, ["10.1.0.1:4222", "10.1.0.2:4223"]);
    assert!(meant(&["bus"]).notes[0].contains("different numbers (4222-4223)"), "{:?}", meant(&["bus"]).notes);
    assert_eq!(meant(&["web"]).notes, Vec::<String>::new());
    assert_eq!(meant(&["web"]).front.others.to_string(), "9, 4000, 6222, 53/udp");
    assert_eq!(meant(&[]).front.ips.len(), 2, "both families");
}

#[test]
fn a_port_that_the_service_or_its_endpoints_do_not_have_is_an_error() {
    let refused = |spec: Value, endpoints: Value, asked: &str| peer_of(spec, endpoints, &[asked]).unwrap_err();
    for asked in ["8080", "client", "53", "80/udp", "1-8"] {
        let text = refused(nats(), json!(null), asked);
        assert!(text.contains(&format!("no port `{asked}`; it has 80 (web)")) && text.contains("`pods`"), "{text}");
    }
    let text = refused(nats(), json!(null), "gone");
    assert!(text.contains("port 9 (gone)") && text.contains("no pod behind it has a port named `nobody`"), "{text}");
    let text = refused(json!({"selector": {"app": "nats"}, "clusterIP": "None"}), json!(null), "80");
    assert!(text.contains("it has no ports"), "{text}");
    let outside = json!({"clusterIP": "10.96.0.7", "ports": [{"port": 80, "targetPort": 8080}]});
    let text = refused(
        outside,
        json!({"subsets": [{"addresses": [{"ip": "203.0.113.1"}], "ports": [{"name": "x", "port": 1}]}]}),
        "80",
    );
    assert!(text.contains("its endpoints have no such port"), "{text}");
}

#[test]
fn without_a_selector_the_endpoints_say_where_a_port_leads() {
    let spec = json!({"clusterIP": "10.96.0.7", "ports": [
        {"name": "db", "port": 5432, "targetPort": 1}, {"name": "web", "port": 80},
    ]});
    let endpoints = json!({"subsets": [
        {"addresses": [{"ip": "203.0.113.1"}], "ports": [{"name": "db", "port": 6432}]},
        {"notReadyAddresses": [{"ip": "203.0.113.2"}], "ports": [{"name": "db", "port": 7432}, {"name": "web", "port": 8080}]},
    ]});
    let peer = peer_of(spec.clone(), endpoints.clone(), &["5432"]).unwrap();
    assert_eq!((peer.behind.to_string(), peer.backends.len()), ("6432, 7432".to_owned(), 2));
    let web = peer_of(spec.clone(), endpoints.clone(), &["web"]).unwrap();
    assert_eq!((web.behind.to_string(), web.backends.len()), ("8080".to_owned(), 1), "one address does not have it");
    let blocks = web.blocks("service db", "bus", Direction::Both);
    assert_eq!(blocks[1].described, "the cluster IP of service db");
    assert!(blocks[1].ports.has(Protocol::Tcp, 80) && !blocks[1].ingress);
    let all = peer_of(spec, endpoints, &[]).unwrap();
    assert!(all.behind.is_all() && all.backends.len() == 2 && all.ends.len() == 3);
    let external = json!({"type": "ExternalName", "externalName": "nats.example.org", "selector": {}});
    let external = peer_of(external, json!(null), &[]).unwrap();
    assert!(external.selector.is_none() && external.backends.is_empty());
}

#[test]
fn a_services_addresses_are_part_of_the_peer_and_a_headless_one_has_none() {
    let ips =
        |ip: &str| peer_of(json!({"selector": {"app": "nats"}, "clusterIP": ip}), json!(null), &[]).unwrap().front.ips;
    assert_eq!((ips("10.96.0.7").len(), ips("None").len()), (1, 0));
}
