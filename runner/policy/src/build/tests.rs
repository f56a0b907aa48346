//! The builder's policies as sent, and its refusals. The property tests in `property` show that the policies are exact.

use serde_json::{Value, json};
use shakedown_schemas::scenario::{Direction, PortRange};

use super::super::cluster::Cluster;
use super::super::explain;
use super::super::pod::ContainerPort;
use super::*;

fn pod(namespace: &str, name: &str, ip: &str, app: &str) -> Pod {
    Pod {
        namespace: namespace.into(),
        name: name.into(),
        labels: [("app".to_owned(), app.to_owned())].into(),
        ips: vec![ip.parse().expect("an address")],
        ports: vec![
            ContainerPort { name: None, number: 4222, protocol: Protocol::Tcp },
            ContainerPort { name: None, number: 8222, protocol: Protocol::Tcp },
        ],
        host_network: false,
        node_ips: vec!["192.168.0.1".parse().expect("an address")],
    }
}

fn cluster() -> Cluster {
    let mut proxy = pod("ops", "proxy", "192.168.0.1", "proxy");
    proxy.host_network = true;
    let pods = vec![
        pod("shop", "web-0", "10.244.0.10", "web"),
        pod("shop", "nats-0", "10.244.0.11", "nats"),
        pod("bus", "nats-0", "10.244.0.12", "nats"),
        proxy,
    ];
    let named = |name: &str| (name.to_owned(), [(NAMESPACE_KEYS[0].to_owned(), name.to_owned())].into());
    Cluster::new(pods, [named("shop"), named("bus"), ("ops".to_owned(), BTreeMap::new())].into(), &[])
}

fn cidr(text: &str) -> Cidr {
    text.parse().expect("a block")
}

fn ports(texts: &[&str]) -> PortSet {
    let ports: Vec<PortRange> = texts.iter().map(|text| text.parse().expect("a port")).collect();
    PortSet::from_scenario(&ports)
}

fn apps(namespace: &str, app: &str) -> Peer {
    let selector = Selector::label("app", app);
    Peer::Pods { namespace: namespace.into(), selector, unmarked: BTreeSet::new(), front: Front::default() }
}

fn cut(blocks: Vec<Block>) -> Cut {
    Cut {
        namespace: "shop".into(),
        label: ("shakedown.test/target".into(), "r1".into()),
        targets: ["web-0".to_owned()].into(),
        blocks,
    }
}

fn block(peer: Peer, ports: PortSet, direction: Direction) -> Block {
    Block::new("service `nats`", peer, ports, direction)
}

fn built(blocks: Vec<Block>, other_ports: OtherPorts) -> Result<Built, BuildError> {
    let (cluster, pod_cidrs) = (cluster(), [cidr("10.244.0.0/16")]);
    let nodes = ["192.168.0.1".parse().expect("an address")];
    let facts = Facts {
        cluster: &cluster,
        pod_cidrs: &pod_cidrs,
        nodes: &nodes,
        other_ports,
        namespace_key: "shakedown.test/namespace",
    };
    build(&cut(blocks), &facts)
}

fn spec(blocks: Vec<Block>) -> Value {
    serde_json::to_value(built(blocks, OtherPorts::Ranges).expect("a policy").spec).expect("JSON")
}

#[test]
fn the_policy_allows_all_but_the_peer_and_leaves_the_other_direction_alone() {
    let all = ports(&[]);
    assert_eq!(
        spec(vec![block(apps("bus", "nats"), all, Direction::Egress)]),
        json!({
            "podSelector": {"matchLabels": {"shakedown.test/target": "r1"}},
            "policyTypes": ["Egress"],
            "egress": [{"to": [
                {"namespaceSelector": {"matchExpressions": [
                    {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["bus"]}]}},
                {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "bus"}},
                 "podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["nats"]}]}},
                {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.244.0.0/16"]}},
            ]}],
        })
    );
}

#[test]
fn a_peer_blocked_on_some_ports_keeps_the_others_of_every_protocol() {
    let spec = spec(vec![block(apps("shop", "nats"), ports(&["4222"]), Direction::Ingress)]);
    assert_eq!(spec["policyTypes"], json!(["Ingress"]));
    assert_eq!(
        spec["ingress"][1],
        json!({
            "from": [{"podSelector": {"matchLabels": {"app": "nats"}}}],
            "ports": [
                {"protocol": "TCP", "port": 1, "endPort": 4221},
                {"protocol": "TCP", "port": 4223, "endPort": 65535},
                {"protocol": "UDP"},
                {"protocol": "SCTP"},
            ],
        })
    );
}

#[test]
fn a_completely_blocked_peer_leaves_no_rule_without_peers() {
    let everything = Selector::everything();
    let everyone = |namespace: &str| {
        let peer = Peer::Pods {
            namespace: namespace.into(),
            selector: everything.clone(),
            unmarked: BTreeSet::new(),
            front: Front::default(),
        };
        block(peer, ports(&[]), Direction::Egress)
    };
    let outside = block(Peer::Addresses(vec![Cidr::V4]), ports(&[]), Direction::Egress);
    let spec = spec(vec![everyone("shop"), everyone("bus"), outside]);
    let rules = spec["egress"].as_array().expect("rules");
    assert_eq!(rules.len(), 1);
    let others = json!([{"namespaceSelector": {"matchExpressions": [
        {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["bus", "shop"]}]}}]);
    assert_eq!(rules[0]["to"], others, "a rule with an empty list of peers would allow everything");
}

#[test]
fn a_namespace_without_an_identifying_label_needs_one() {
    let web = block(apps("bus", "nats"), ports(&[]), Direction::Both);
    assert!(built(vec![web], OtherPorts::Ranges).expect("a policy").namespace_labels.is_empty());
    let ops = block(apps("ops", "other"), ports(&[]), Direction::Both);
    let built = built(vec![ops], OtherPorts::Ranges).expect("a policy");
    let label = NamespaceLabel { namespace: "ops".into(), key: "shakedown.test/namespace".into(), value: "ops".into() };
    assert_eq!(built.namespace_labels, [label]);
    let text = serde_json::to_string(&built.spec).expect("JSON");
    assert!(text.contains(r#""key":"shakedown.test/namespace","operator":"NotIn","values":["ops"]"#), "{text}");
}

#[test]
fn without_end_port_the_builder_refuses_or_reports_the_additional_cuts() {
    let nats = || vec![block(apps("bus", "nats"), ports(&["4222"]), Direction::Egress)];
    let error = built(nats(), OtherPorts::Refuse).expect_err("ranges are needed");
    assert!(error.to_string().contains("to block service `nats` on 4222 only"), "{error}");
    let declared = built(nats(), OtherPorts::Declared).expect("a policy");
    let text = serde_json::to_string(&declared.spec).expect("JSON");
    assert!(text.contains(r#"{"port":8222,"protocol":"TCP"}"#) && !text.contains("endPort"), "{text}");
    let limits: Vec<String> = declared.limits.iter().map(ToString::to_string).collect();
    assert!(limits[0].starts_with("service `nats` stays open on 8222, all UDP, all SCTP"), "{limits:?}");
    let host = vec![block(Peer::Addresses(vec![cidr("203.0.113.1/32")]), ports(&["443"]), Direction::Egress)];
    assert!(matches!(built(host, OtherPorts::Declared), Err(BuildError::NeedsEndPort { .. })), "hosts declare nothing");
}

#[test]
fn few_other_ports_are_listed_without_end_port() {
    let most = vec![block(apps("bus", "nats"), ports(&["1-65530"]), Direction::Egress)];
    let built = built(most, OtherPorts::Refuse).expect("a policy");
    let text = serde_json::to_string(&built.spec).expect("JSON");
    assert!((65531..=65535).all(|port| text.contains(&format!(r#""port":{port},"#))), "{text}");
    assert!(!text.contains("endPort") && built.limits.iter().all(|limit| matches!(limit, Limit::Icmp(_))));
}

#[test]
fn impossible_cuts_are_refused_with_the_reason() {
    let all = || ports(&[]);
    let refused = |peer: Peer| {
        built(vec![block(peer, all(), Direction::Both)], OtherPorts::Ranges).expect_err("impossible").to_string()
    };
    assert!(refused(apps("ops", "proxy")).contains("the pod ops/proxy, which uses its node's network"));
    assert!(refused(apps("nowhere", "x")).contains("`nowhere` does not exist"));
    assert!(refused(Peer::Addresses(vec![cidr("10.244.0.12/32")])).contains("a range of pod addresses"));
    assert!(refused(Peer::Addresses(vec![cidr("10.244.7.0/24")])).contains("a range of pod addresses"));
    let selector = Selector::label("app", "nats").and(&Selector::not_label("app", "nats"));
    let never = Peer::Pods { namespace: "bus".into(), selector, unmarked: BTreeSet::new(), front: Front::default() };
    assert!(refused(never).contains("can never match a pod"));
    assert_eq!(built(Vec::new(), OtherPorts::Ranges), Err(BuildError::Nothing));
    let mut on_node = cut(vec![block(apps("bus", "nats"), all(), Direction::Both)]);
    (on_node.namespace, on_node.targets) = ("ops".into(), ["proxy".to_owned()].into());
    let cluster = cluster();
    let facts = Facts {
        cluster: &cluster,
        pod_cidrs: &[],
        nodes: &[],
        other_ports: OtherPorts::Ranges,
        namespace_key: "shakedown.test/namespace",
    };
    assert_eq!(build(&on_node, &facts), Err(BuildError::HostNetworkTarget("ops/proxy".into())));
}

#[test]
fn a_product_that_is_too_long_is_refused() {
    let two_labels = |n: usize| {
        let selector = Selector::label(format!("a{n}"), "x").and(&Selector::label(format!("b{n}"), "x"));
        Peer::Pods { namespace: "bus".into(), selector, unmarked: BTreeSet::new(), front: Front::default() }
    };
    let blocks = (0..9).map(|n| block(two_labels(n), ports(&[]), Direction::Egress)).collect();
    assert_eq!(built(blocks, OtherPorts::Ranges), Err(BuildError::TooManyTerms { namespace: "bus".into() }));
}

#[test]
fn with_unknown_pod_ranges_the_peers_addresses_are_excluded_and_reported() {
    let cluster = cluster();
    let facts = Facts {
        cluster: &cluster,
        pod_cidrs: &[],
        nodes: &[],
        other_ports: OtherPorts::Ranges,
        namespace_key: "shakedown.test/namespace",
    };
    let nats = cut(vec![block(apps("bus", "nats"), ports(&[]), Direction::Egress)]);
    let built = build(&nats, &facts).expect("a policy");
    assert_eq!(built.limits, [Limit::PodRangesUnknown]);
    let text = serde_json::to_string(&built.spec).expect("JSON");
    assert!(text.contains(r#"{"cidr":"0.0.0.0/0","except":["10.244.0.12/32"]}"#), "{text}");
}

#[test]
fn nodes_known_only_from_pods_stay_open_inside_a_pod_range() {
    let (cluster, pod_cidrs) = (cluster(), [cidr("10.244.0.0/16"), cidr("192.168.0.0/16")]);
    let facts = Facts {
        cluster: &cluster,
        pod_cidrs: &pod_cidrs,
        nodes: &[],
        other_ports: OtherPorts::Ranges,
        namespace_key: "shakedown.test/namespace",
    };
    let nats = cut(vec![block(apps("bus", "nats"), ports(&[]), Direction::Egress)]);
    let text = serde_json::to_string(&build(&nats, &facts).expect("a policy").spec).expect("JSON");
    assert!(text.contains(r#"{"ipBlock":{"cidr":"192.168.0.1/32"}}"#), "{text}");
}

#[test]
fn a_sentence_names_the_cut_and_the_open_links() {
    let cluster = cluster();
    let facts = Facts {
        cluster: &cluster,
        pod_cidrs: &[],
        nodes: &[],
        other_ports: OtherPorts::Ranges,
        namespace_key: "shakedown.test/namespace",
    };
    let sentence = |block: Block| explain(&cut(vec![block]), &facts);
    assert_eq!(
        sentence(block(apps("bus", "nats"), ports(&["4222"]), Direction::Both)),
        "For shop/web-0, cuts connections in both directions with service `nats` on port 4222; everything else stays \
         as \
         it is: DNS, the peers' other ports, all other pods in all namespaces, the API server, nodes and external \
         addresses."
    );
    let out = sentence(block(apps("bus", "nats"), ports(&[]), Direction::Egress));
    assert!(out.contains("cuts connections to service") && out.ends_with("and all connections to the targets."));
    let outside = Peer::Addresses(vec![cidr("203.0.113.0/24")]);
    let into = sentence(Block::new("203.0.113.0/24", outside, ports(&[]), Direction::Ingress));
    assert!(into.ends_with("all other addresses and all connections from the targets."), "{into}");
}

#[test]
fn a_cut_from_the_clusters_dns_does_not_claim_that_dns_stays_open() {
    let mut dns = pod("ops", "dns", "10.244.0.13", "dns");
    dns.labels.insert("k8s-app".into(), "kube-dns".into());
    let cluster = Cluster::new(vec![dns], [("ops".to_owned(), BTreeMap::new())].into(), &[]);
    let facts = Facts {
        cluster: &cluster,
        pod_cidrs: &[],
        nodes: &[],
        other_ports: OtherPorts::Ranges,
        namespace_key: "shakedown.test/namespace",
    };
    let dns = |texts: &[&str]| explain(&cut(vec![block(apps("ops", "dns"), ports(texts), Direction::Both)]), &facts);
    assert!(!dns(&["53/udp"]).contains("DNS") && dns(&["9153"]).contains("DNS"));
}
