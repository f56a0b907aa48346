//! Each kind of conflict, by one policy that makes it.

use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::{Value, json};
use shakedown_schemas::scenario::Direction;

use super::super::{Cluster, Front, OtherPorts, Selector, build};
use super::*;

fn pod(name: &str, ip: &str, labels: Value) -> Pod {
    Pod {
        namespace: "shop".into(),
        name: name.into(),
        labels: serde_json::from_value(labels).expect("labels"),
        ips: vec![ip.parse().expect("an address")],
        ..Pod::default()
    }
}

/// The conflicts of cutting shop/web off from shop's `app=nats` in a direction, among these policies.
fn conflicts(direction: Direction, specs: &[Value]) -> Vec<(ConflictKind, PolicyType, String)> {
    let policies: Vec<NetworkPolicy> = specs
        .iter()
        .enumerate()
        .map(|(n, spec)| {
            serde_json::from_value(json!({"metadata": {"namespace": "shop", "name": format!("p{n}")}, "spec": spec}))
                .expect("a policy")
        })
        .collect();
    let shop = ("shop".to_owned(), [("kubernetes.io/metadata.name".to_owned(), "shop".to_owned())].into());
    let pods = vec![pod("web", "10.244.0.1", json!({"app": "web"})), pod("nats", "10.244.0.2", json!({"app": "nats"}))];
    let cluster = Cluster::new(pods, [shop].into(), &policies);
    let pod_cidrs = ["10.244.0.0/16".parse().expect("a block")];
    let facts = Facts {
        cluster: &cluster,
        pod_cidrs: &pod_cidrs,
        nodes: &[],
        other_ports: OtherPorts::Ranges,
        namespace_key: "shakedown.test/namespace",
    };
    let peer = Peer::Pods {
        namespace: "shop".into(),
        selector: Selector::label("app", "nats"),
        unmarked: BTreeSet::new(),
        front: Front::default(),
    };
    let cut = Cut {
        namespace: "shop".into(),
        label: ("shakedown.test/target".into(), "r1".into()),
        targets: ["web".to_owned()].into(),
        blocks: vec![Block::new("service `nats`", peer, PortSet::all(), direction)],
    };
    let built = build(&cut, &facts).expect("a policy");
    let names = |conflict: &Conflict| conflict.policies.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let found = standing(&cut, &built, &facts);
    found.iter().map(|conflict| (conflict.kind, conflict.way, names(conflict))).collect()
}

fn allow(peers: &Value) -> Value {
    json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"], "egress": [{"to": peers}]})
}

#[test]
fn nothing_stands_in_the_way_of_targets_that_no_policy_selects() {
    let other = json!({"podSelector": {"matchLabels": {"app": "nats"}}, "policyTypes": ["Ingress", "Egress"]});
    assert!(conflicts(Direction::Both, &[other]).is_empty(), "the peer's own policies are never widened by ours");
    let ingress = json!({"podSelector": {}, "policyTypes": ["Ingress"]});
    assert!(conflicts(Direction::Egress, &[ingress]).is_empty(), "the other direction is left alone");
}

#[test]
fn a_default_deny_would_be_widened() {
    let deny = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
    let expected = [
        (ConflictKind::WouldWiden, PolicyType::Egress, "shop/p0".to_owned()),
        (ConflictKind::WouldWiden, PolicyType::Ingress, "shop/p0".to_owned()),
    ];
    assert_eq!(conflicts(Direction::Both, &[deny]), expected);
}

#[test]
fn a_policy_that_allows_everything_would_keep_the_link_open_and_is_not_widened() {
    let expected = [(ConflictKind::WouldKeepOpen, PolicyType::Egress, "shop/p0".to_owned())];
    assert_eq!(conflicts(Direction::Both, &[allow(&json!([]))]), expected);
    let spelled_out = allow(&json!([{"namespaceSelector": {}}, {"ipBlock": {"cidr": "0.0.0.0/0"}}]));
    assert_eq!(conflicts(Direction::Egress, &[spelled_out]), expected);
}

#[test]
fn a_policy_that_allows_the_peer_and_little_else_would_do_both() {
    let nats = json!([{"podSelector": {"matchLabels": {"app": "nats"}}}]);
    let deny = json!({"podSelector": {}, "policyTypes": ["Egress"]});
    let expected = [
        (ConflictKind::WouldKeepOpen, PolicyType::Egress, "shop/p1".to_owned()),
        (ConflictKind::WouldWiden, PolicyType::Egress, "shop/p0 shop/p1".to_owned()),
    ];
    assert_eq!(conflicts(Direction::Egress, &[deny, allow(&nats)]), expected);
}

#[test]
fn the_same_cut_made_by_somebody_else_is_no_conflict() {
    let same = allow(&json!([
        {"namespaceSelector": {"matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["shop"]}]}},
        {"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["nats"]}]}},
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.244.0.0/16"]}},
    ]));
    assert!(conflicts(Direction::Egress, &[same]).is_empty());
}

#[test]
fn a_conflict_reads_as_a_sentence() {
    let conflict = Conflict {
        kind: ConflictKind::WouldWiden,
        way: PolicyType::Egress,
        targets: ["shop/web".to_owned()].into(),
        policies: [PolicyName { namespace: "shop".into(), name: "deny".into() }].into(),
    };
    assert!(conflict.to_string().starts_with("the egress of shop/web is isolated by `shop/deny`"), "{conflict}");
}
