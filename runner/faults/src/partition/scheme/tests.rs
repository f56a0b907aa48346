use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::Direction;

use super::*;
use shakedown_policy::{Connection, Endpoint, Front, Peer, Pod, PortSet, Protocol, Selector};

/// Three workers, a bus and a store, in a cluster that puts names on namespaces or (before 1.21) does not.
fn cluster(named: bool) -> policy::Cluster {
    let pod = |name: &str, app: &str, ip: &str| Pod {
        namespace: "shop".into(),
        name: name.into(),
        labels: [("app".to_owned(), app.to_owned())].into(),
        ips: vec![ip.parse::<IpAddr>().unwrap()],
        ..Pod::default()
    };
    let pods = vec![
        pod("w-0", "worker", "10.0.0.1"),
        pod("w-1", "worker", "10.0.0.2"),
        pod("w-2", "worker", "10.0.0.3"),
        pod("bus", "bus", "10.0.0.4"),
        pod("store", "store", "10.0.0.5"),
    ];
    let labels =
        if named { [("kubernetes.io/metadata.name".to_owned(), "shop".to_owned())].into() } else { BTreeMap::new() };
    policy::Cluster::new(pods, BTreeMap::from([("shop".to_owned(), labels)]), &[])
}

fn pod(name: &str) -> PodRef {
    PodRef { namespace: "shop".into(), name: name.into(), uid: format!("uid-{name}"), node: None, ip: None }
}

fn part(name: &str, targets: &[&str], app: &str) -> PlannedPartition {
    let peer = Peer::Pods {
        namespace: "shop".into(),
        selector: Selector::label("app", app),
        unmarked: BTreeSet::new(),
        front: Front::default(),
    };
    PlannedPartition {
        name: name.into(),
        namespace: "shop".into(),
        targets: targets.iter().map(|name| pod(name)).collect(),
        blocks: vec![Block::new(app, peer, PortSet::all(), Direction::Both)],
        peer_marks: Vec::new(),
        follow: false,
    }
}

fn scheme(parts: Vec<PlannedPartition>) -> Scheme {
    let network = (cluster(true), vec!["10.0.0.0/24".parse().unwrap()], Vec::new());
    Scheme::new("20260301-105959-abcde", 0, parts, network, OtherPorts::Ranges)
}

fn desired(scheme: &Scheme, standing: &[usize]) -> Desired {
    scheme.desired(&standing.iter().copied().collect(), &BTreeSet::new(), &BTreeMap::new()).unwrap()
}

/// Which links between workers and their peers are cut, when labels and policies are as desired.
fn cut_links(desired: &Desired) -> BTreeSet<String> {
    let mut pods = cluster(true).pods().to_vec();
    for mark in &desired.marks {
        if let Some(pod) = pods.iter_mut().find(|pod| pod.name == mark.object.name) {
            pod.labels.insert(mark.label.clone(), mark.value.clone());
        }
    }
    let policies: Vec<NetworkPolicy> =
        desired.policies.values().map(|policy| serde_json::from_value(policy.clone()).unwrap()).collect();
    let cluster = policy::Cluster::new(pods, cluster(true).namespaces().clone(), &policies);
    let mut cut = BTreeSet::new();
    for from in ["w-0", "w-1", "w-2", "bus", "store"] {
        for to in ["w-0", "w-1", "w-2", "bus", "store"] {
            let end = |name| Endpoint::Pod { namespace: "shop", name };
            let link = Connection { from: end(from), to: end(to), protocol: Protocol::Tcp, port: 80 };
            if !cluster.permits(&link) {
                cut.insert(format!("{from} {to}"));
            }
        }
    }
    cut
}

fn links(pairs: &[(&str, &str)]) -> BTreeSet<String> {
    pairs.iter().flat_map(|(a, b)| [format!("{a} {b}"), format!("{b} {a}")]).collect()
}

#[test]
fn overlapping_partitions_cut_the_union_at_every_time() {
    let scheme = scheme(vec![part("a", &["w-0", "w-1"], "bus"), part("b", &["w-1", "w-2"], "store")]);
    let a = [("w-0", "bus"), ("w-1", "bus")];
    let b = [("w-1", "store"), ("w-2", "store")];
    assert_eq!(cut_links(&desired(&scheme, &[])), links(&[]));
    assert_eq!(cut_links(&desired(&scheme, &[0])), links(&a));
    assert_eq!(cut_links(&desired(&scheme, &[1])), links(&b));
    assert_eq!(cut_links(&desired(&scheme, &[0, 1])), links(&[a, b].concat()));
}

#[test]
fn a_policy_keeps_its_name_and_its_label_while_others_come_and_go() {
    let scheme = scheme(vec![part("a", &["w-0", "w-1"], "bus"), part("b", &["w-1", "w-2"], "store")]);
    let (one, both) = (desired(&scheme, &[0]), desired(&scheme, &[0, 1]));
    assert!(one.policies.keys().all(|key| both.policies.contains_key(key)), "{:?}", both.policies.keys());
    assert!(one.marks.is_subset(&both.marks));
    for (key, policy) in &one.policies {
        assert_eq!(policy["spec"]["podSelector"], both.policies[key]["spec"]["podSelector"]);
    }
}

#[test]
fn names_never_collide_even_when_they_read_alike() {
    let mut other = part("NATS cut", &["w-1"], "store");
    other.targets.push(pod("w-2"));
    let scheme = scheme(vec![
        part("nats-cut", &["w-0"], "bus"),
        part("nats_cut", &["w-1"], "bus"),
        other,
        part("ÄÖ", &["w-2"], "bus"),
    ]);
    let all = desired(&scheme, &[0, 1, 2, 3]);
    assert_eq!(all.policies.len(), 3, "{:?}", all.policies.keys());
    let labels: BTreeSet<_> = (0..3).map(|group| scheme.label(group).0).collect();
    assert_eq!(labels.len(), 3);
    for key in all.policies.keys() {
        assert!(
            key.name.len() <= 253 && key.name.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()),
            "{key}"
        );
    }
}

#[test]
fn lost_targets_lose_their_mark_and_followers_get_it() {
    let scheme = scheme(vec![part("a", &["w-0", "w-1"], "bus")]);
    let lost = BTreeSet::from(["uid-w-0".to_owned()]);
    let followers = BTreeMap::from([(0, vec![pod("w-9")])]);
    let marks = scheme.desired(&BTreeSet::from([0]), &lost, &followers).unwrap().marks;
    let names: Vec<&str> = marks.iter().map(|mark| mark.object.name.as_str()).collect();
    assert_eq!(names, ["w-1", "w-9"]);
    assert!(scheme.desired(&BTreeSet::new(), &lost, &followers).unwrap().marks.is_empty(), "no partition is active");
}

#[test]
fn a_namespace_without_a_name_of_its_own_is_marked_while_a_partition_stands() {
    let network = (cluster(false), Vec::new(), Vec::new());
    let scheme =
        Scheme::new("20260301-105959-abcde", 0, vec![part("a", &["w-0"], "bus")], network, OtherPorts::Declared);
    let wanted = desired(&scheme, &[0]);
    let namespaces: Vec<&Mark> = wanted.marks.iter().filter(|mark| mark.object.kind == Kind::Namespace).collect();
    assert_eq!(namespaces.len(), 1, "{:?}", wanted.marks);
    assert_eq!(labels::mark_run(&namespaces[0].label), Some("20260301-105959-abcde"));
}

#[test]
fn a_peer_that_came_later_is_cut_by_its_address_where_no_range_covers_it() {
    let later = |name: &str, app: &str, ip: &str| Pod {
        namespace: "shop".into(),
        name: name.into(),
        labels: [("app".to_owned(), app.to_owned())].into(),
        ips: vec![ip.parse::<IpAddr>().unwrap()],
        ..Pod::default()
    };
    let unknown = (cluster(true), Vec::new(), Vec::new());
    let mut scheme =
        Scheme::new("20260301-105959-abcde", 0, vec![part("a", &["w-0"], "bus")], unknown, OtherPorts::Ranges);
    let before = desired(&scheme, &[0]);
    let standing = BTreeSet::from([0]);
    assert_eq!(scheme.see(&later("store-2", "store", "10.9.0.1"), &standing), Came::default(), "no peer");
    assert_eq!(scheme.see(&later("bus", "bus", "10.0.0.4"), &standing), Came::default(), "known");
    assert_eq!(desired(&scheme, &[0]), before);
    let came = Came { parts: standing.clone(), refusal: None };
    assert_eq!(scheme.see(&later("bus", "bus", "10.9.0.2"), &standing), came);
    assert_eq!(scheme.see(&later("bus-2", "bus", "10.9.0.3"), &standing), came);
    let text = serde_json::to_string(&desired(&scheme, &[0]).policies.into_values().next().unwrap()).unwrap();
    // Neighbours are one block.
    for address in ["10.0.0.4/32", "10.9.0.2/31"] {
        assert!(text.contains(address), "{address}: {text}");
    }
    let known = (cluster(true), vec!["10.0.0.0/8".parse().unwrap()], Vec::new());
    let mut scheme =
        Scheme::new("20260301-105959-abcde", 0, vec![part("a", &["w-0"], "bus")], known, OtherPorts::Ranges);
    assert_eq!(scheme.see(&later("bus-2", "bus", "10.9.0.3"), &standing), Came::default(), "the range covers it");
}

/// What `follow` adds is compared with what a server stores, as in the plan. A policy that would be too large stays as it is,
/// so that it can be changed when other partitions end.
#[test]
fn addresses_that_make_a_policy_too_large_are_refused() {
    let listed = |count: u32| {
        // Every other address, so that no two of them are one block.
        let cidrs = (0..count).map(|at| Cidr::host(IpAddr::from((0x0b00_0000 + 2 * at).to_be_bytes()))).collect();
        Peer::Addresses(cidrs)
    };
    let mut given = part("a", &["w-0"], "bus");
    given.blocks = vec![Block::new("service `legacy`", listed(2), PortSet::all(), Direction::Both)];
    let mut scheme = scheme(vec![given]);
    let nothing = BTreeSet::new();
    assert_eq!(scheme.set_peer((0, 0), listed(2), PortSet::all(), &nothing), Ok(false), "as before");
    assert_eq!(scheme.set_peer((0, 0), listed(3), PortSet::all(), &nothing), Ok(true));
    let before = desired(&scheme, &[0]);
    let why = scheme.set_peer((0, 0), listed(60_000), PortSet::all(), &nothing).unwrap_err();
    assert!(why.message.contains("an API server stores no object of more than about 1.5 MiB"), "{why}");
    assert!(why.help.as_ref().is_some_and(|help| help.starts_with("divide the fault")), "{why}");
    assert_eq!(desired(&scheme, &[0]), before);
}
