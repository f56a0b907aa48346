//! The evaluator against the rules of the API, one pitfall each.

use serde_json::{Value, json};

use super::*;
use crate::{ApiPod, ContainerPort};

fn pod(namespace: &str, name: &str, ip: &str, labels: Value) -> Pod {
    Pod {
        namespace: namespace.into(),
        name: name.into(),
        labels: serde_json::from_value(labels).expect("labels"),
        ips: vec![ip.parse().expect("an address")],
        ports: vec![ContainerPort { name: Some("client".into()), number: 4222, protocol: Protocol::Tcp }],
        host_network: false,
        node_ips: vec!["192.168.0.1".parse().expect("an address")],
    }
}

fn policy(namespace: &str, name: &str, spec: Value) -> NetworkPolicy {
    serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec})).expect("a policy")
}

/// shop/web, shop/nats, bus/nats, and dns on its node's network. Only `bus` and `kube-system` have labels.
fn cluster(policies: &[NetworkPolicy]) -> Cluster {
    let mut dns = pod("kube-system", "dns", "192.168.0.1", json!({"k8s-app": "dns"}));
    dns.host_network = true;
    let namespaces = [("shop", json!({})), ("bus", json!({"team": "bus"})), ("kube-system", json!({"team": "ops"}))];
    Cluster::new(
        vec![
            pod("shop", "web", "10.0.0.1", json!({"app": "web"})),
            pod("shop", "nats", "10.0.0.2", json!({"app": "nats"})),
            pod("bus", "nats", "10.0.0.3", json!({"app": "nats"})),
            dns,
        ],
        namespaces
            .into_iter()
            .map(|(name, labels)| (name.to_owned(), serde_json::from_value(labels).expect("labels")))
            .collect(),
        policies,
    )
}

fn end(text: &str) -> Endpoint<'_> {
    text.split_once('/').map_or_else(
        || Endpoint::Address(text.parse().expect("an address")),
        |(namespace, name)| Endpoint::Pod { namespace, name },
    )
}

fn allowed(policies: &[NetworkPolicy], from: &str, to: &str, protocol: Protocol, port: u16) -> bool {
    let cluster = cluster(policies);
    let connection = Connection { from: end(from), to: end(to), protocol, port };
    let decision = cluster.allows(&connection);
    assert_eq!(decision.is_allowed(), cluster.permits(&connection));
    decision.is_allowed()
}

fn tcp(policies: &[NetworkPolicy], from: &str, to: &str) -> bool {
    allowed(policies, from, to, Protocol::Tcp, 4222)
}

#[test]
fn without_policies_everything_is_allowed() {
    assert!(tcp(&[], "shop/web", "bus/nats") && tcp(&[], "203.0.113.1", "shop/web"));
}

#[test]
fn policy_types_default_to_ingress_and_to_egress_only_with_egress_rules() {
    let bare = policy("shop", "p", json!({"podSelector": {"matchLabels": {"app": "web"}}}));
    assert!(!tcp(std::slice::from_ref(&bare), "bus/nats", "shop/web"));
    assert!(tcp(&[bare], "shop/web", "bus/nats"));
    let empty_egress = policy("shop", "p", json!({"podSelector": {}, "egress": []}));
    assert!(tcp(&[empty_egress], "shop/web", "bus/nats"));
    let with_egress = policy("shop", "p", json!({"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]}));
    assert!(!tcp(std::slice::from_ref(&with_egress), "shop/web", "bus/nats"));
    assert!(!tcp(&[with_egress], "bus/nats", "shop/web"), "Ingress is always among the defaults");
    let egress_only = policy("shop", "p", json!({"podSelector": {}, "policyTypes": ["Egress"]}));
    assert!(!tcp(std::slice::from_ref(&egress_only), "shop/web", "bus/nats"));
    assert!(tcp(&[egress_only], "bus/nats", "shop/web"));
}

#[test]
fn a_pod_selector_alone_means_the_policys_own_namespace() {
    let same = policy(
        "shop",
        "p",
        json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"podSelector": {"matchLabels": {"app": "nats"}}}]}]}),
    );
    assert!(tcp(std::slice::from_ref(&same), "shop/web", "shop/nats"));
    assert!(!tcp(std::slice::from_ref(&same), "shop/web", "bus/nats"));
    assert!(!tcp(&[same], "shop/web", "203.0.113.1"));
}

#[test]
fn a_namespace_selector_alone_means_all_its_pods_and_with_pods_both_must_hold() {
    let rule = |peers: Value| {
        policy("shop", "p", json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": peers}]}))
    };
    let empty = rule(json!([{"namespaceSelector": {}}]));
    assert!(tcp(std::slice::from_ref(&empty), "shop/web", "bus/nats"));
    assert!(tcp(std::slice::from_ref(&empty), "shop/web", "shop/nats"), "an empty selector holds the own namespace");
    assert!(!tcp(&[empty], "shop/web", "203.0.113.1"));
    let not_bus = rule(json!([{"namespaceSelector": {"matchExpressions": [
        {"key": "team", "operator": "NotIn", "values": ["bus"]}]}}]));
    assert!(
        tcp(std::slice::from_ref(&not_bus), "shop/web", "shop/nats"),
        "NotIn matches a namespace without the label"
    );
    assert!(!tcp(&[not_bus], "shop/web", "bus/nats"));
    let both = rule(json!([{"namespaceSelector": {"matchLabels": {"team": "bus"}},
        "podSelector": {"matchLabels": {"app": "web"}}}]));
    assert!(!tcp(&[both], "shop/web", "bus/nats"));
    let either = rule(json!([{"namespaceSelector": {"matchLabels": {"team": "bus"}}},
        {"podSelector": {"matchLabels": {"app": "web"}}}]));
    assert!(tcp(&[either], "shop/web", "bus/nats"), "two entries are alternatives");
}

#[test]
fn policies_are_additive() {
    let none = policy("shop", "none", json!({"podSelector": {}, "policyTypes": ["Egress"]}));
    let some = policy(
        "shop",
        "some",
        json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"], "egress": [{}]}),
    );
    assert!(tcp(&[none.clone(), some], "shop/web", "bus/nats"));
    assert!(!tcp(&[none], "shop/web", "bus/nats"));
}

#[test]
fn a_connection_needs_both_ends_and_the_reasons_name_them() {
    let out = policy("shop", "out", json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}));
    let shut = policy("bus", "shut", json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    let decision = cluster(&[out, shut]).allows(&Connection {
        from: end("shop/web"),
        to: end("bus/nats"),
        protocol: Protocol::Tcp,
        port: 4222,
    });
    assert!(!decision.is_allowed());
    assert_eq!(
        decision.egress.why,
        Why::Rule { policy: PolicyName { namespace: "shop".into(), name: "out".into() }, index: 0 }
    );
    assert_eq!(decision.ingress.why, Why::NoRule);
    assert_eq!(decision.ingress.policies[0].to_string(), "bus/shut");
}

#[test]
fn ip_blocks_include_pods_and_exclude_their_exceptions() {
    let block = policy(
        "shop",
        "p",
        json!({"podSelector": {}, "policyTypes": ["Egress"],
            "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.3/32"]}}]}]}),
    );
    assert!(tcp(std::slice::from_ref(&block), "shop/web", "shop/nats"));
    assert!(!tcp(std::slice::from_ref(&block), "shop/web", "bus/nats"));
    assert!(tcp(std::slice::from_ref(&block), "shop/web", "10.9.9.9"));
    assert!(!tcp(&[block], "shop/web", "203.0.113.1"));
}

#[test]
fn pods_on_their_nodes_network_are_addresses() {
    let shut = policy("kube-system", "shut", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}));
    assert!(tcp(std::slice::from_ref(&shut), "shop/web", "kube-system/dns"), "no policy selects it");
    let by_label = policy(
        "shop",
        "p",
        json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"namespaceSelector": {}}]}]}),
    );
    assert!(!tcp(&[by_label], "shop/web", "kube-system/dns"), "no selector names it");
    let by_node = policy(
        "shop",
        "p",
        json!({"podSelector": {}, "policyTypes": ["Egress"],
            "egress": [{"to": [{"ipBlock": {"cidr": "192.168.0.1/32"}}]}]}),
    );
    assert!(tcp(&[by_node], "shop/web", "kube-system/dns"));
}

#[test]
fn a_pod_reaches_itself_and_its_node_reaches_it() {
    let shut = policy("shop", "shut", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}));
    assert!(tcp(std::slice::from_ref(&shut), "shop/web", "shop/web"));
    assert!(tcp(std::slice::from_ref(&shut), "shop/web", "10.0.0.1"), "its address is itself");
    assert!(tcp(std::slice::from_ref(&shut), "192.168.0.1", "shop/web"), "probes");
    assert!(!tcp(std::slice::from_ref(&shut), "192.168.0.2", "shop/web"));
    assert!(!tcp(&[shut], "bus/nats", "10.0.0.1"), "a pod's address is the pod");
}

#[test]
fn ports_default_to_tcp() {
    let rule = |ports: Value| {
        [policy("shop", "p", json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": ports}]}))]
    };
    let to = |policies: &[NetworkPolicy], protocol, port| allowed(policies, "shop/web", "bus/nats", protocol, port);
    let default = rule(json!([{"port": 53}]));
    assert!(to(&default, Protocol::Tcp, 53) && !to(&default, Protocol::Udp, 53) && !to(&default, Protocol::Tcp, 54));
    let protocol = rule(json!([{"protocol": "UDP"}]));
    assert!(to(&protocol, Protocol::Udp, 9) && !to(&protocol, Protocol::Tcp, 9) && !to(&protocol, Protocol::Sctp, 9));
    let range = rule(json!([{"port": 4000, "endPort": 4222, "protocol": "TCP"}]));
    assert!(to(&range, Protocol::Tcp, 4222) && to(&range, Protocol::Tcp, 4000) && !to(&range, Protocol::Tcp, 4223));
    let empty = rule(json!([]));
    assert!(to(&empty, Protocol::Sctp, 1));
    let entry = rule(json!([{}]));
    assert!(to(&entry, Protocol::Tcp, 1) && !to(&entry, Protocol::Udp, 1));
}

#[test]
fn named_ports_are_those_of_the_accepting_pod() {
    let named = json!([{"port": "client"}]);
    let out =
        [policy("shop", "p", json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": named}]}))];
    assert!(tcp(&out, "shop/web", "bus/nats"));
    assert!(!allowed(&out, "shop/web", "bus/nats", Protocol::Tcp, 4223));
    assert!(!tcp(&out, "shop/web", "203.0.113.1"), "an address has no names");
    let into = [policy("bus", "p", json!({"podSelector": {}, "ingress": [{"ports": named}]}))];
    assert!(tcp(&into, "203.0.113.1", "bus/nats"));
    assert!(!allowed(&into, "203.0.113.1", "bus/nats", Protocol::Udp, 4222));
}

#[test]
fn missing_peers_mean_all_and_a_peer_without_a_field_means_none() {
    let rule =
        |rule: Value| [policy("shop", "p", json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [rule]}))];
    assert!(tcp(&rule(json!({})), "shop/web", "203.0.113.1"));
    assert!(tcp(&rule(json!({"to": []})), "shop/web", "203.0.113.1"));
    assert!(!tcp(&rule(json!({"to": [{}]})), "shop/web", "bus/nats"));
}

#[test]
fn pods_are_read_from_the_wire_format_of_the_api() {
    let object = |phase: &str| -> ApiPod {
        serde_json::from_value(json!({
            "metadata": {"namespace": "shop", "name": "web", "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "ports": [{"containerPort": 53, "protocol": "UDP", "name": "dns"}]}]},
            "status": {"phase": phase, "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
                "hostIP": "192.168.0.1"},
        }))
        .expect("a pod")
    };
    let pod = Pod::from_kubernetes(object("Running")).expect("it runs");
    assert_eq!(pod.ips.len(), 2);
    assert_eq!((pod.ports[0].number, pod.ports[0].protocol), (53, Protocol::Udp));
    assert_eq!(pod.node_ips.len(), 1);
    assert!(Pod::from_kubernetes(object("Succeeded")).is_none(), "its address may be another pod's by now");
}
