//! The main property of this crate, on generated clusters: a cut closes exactly its links and changes no other link.
//! `world` generates clusters, `oracle` defines the meaning of the scenario, and this file compares both with the
//! builder.

mod oracle;
mod world;

use std::cell::Cell;
use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};
use serde_json::json;

use super::*;
use oracle::{End, Named, is_peer};
use world::{IsolationSpec, World, worlds};

const TARGET: &str = "shakedown.test/target";
const NAMESPACE: &str = "shakedown.test/namespace";

/// The cluster with the marks that the driver puts on, and the policies that the builder makes.
struct After {
    policies: Vec<NetworkPolicy>,
    namespace_labels: Vec<NamespaceLabel>,
    groups: Vec<Group>,
    conflicts: Vec<Conflict>,
    /// The open ports among those that ranges cannot distinguish.
    undeclared: Vec<PortSet>,
}

fn inject(world: &World, other_ports: OtherPorts) -> Result<After, BuildError> {
    let before = Cluster::new(world.pods(), world.namespaces(), &world.standing);
    let parts: Vec<Isolation> = world.parts.iter().map(IsolationSpec::part).collect();
    let groups = combine(&parts);
    let facts = Facts {
        cluster: &before,
        pod_cidrs: &world.pod_cidrs(),
        nodes: &world.nodes(),
        other_ports,
        namespace_key: NAMESPACE,
    };
    let mut after = After {
        groups,
        policies: Vec::new(),
        namespace_labels: Vec::new(),
        conflicts: Vec::new(),
        undeclared: Vec::new(),
    };
    for (at, group) in after.groups.iter().enumerate() {
        let cut = Cut {
            namespace: group.namespace.clone(),
            label: (TARGET.into(), format!("g{at}")),
            targets: group.targets.clone(),
            blocks: group.blocks.clone(),
        };
        let built = build(&cut, &facts)?;
        after.conflicts.extend(standing(&cut, &built, &facts));
        after.namespace_labels.extend(built.namespace_labels);
        after.undeclared.extend(built.limits.into_iter().filter_map(|limit| match limit {
            Limit::UndeclaredPorts { open, .. } => Some(open),
            _ => None,
        }));
        after.policies.push(NetworkPolicy {
            metadata: ObjectMeta {
                namespace: Some(group.namespace.clone()),
                name: Some(format!("cut-{at}")),
                ..ObjectMeta::default()
            },
            spec: Some(built.spec),
        });
    }
    Ok(after)
}

/// Puts the driver's labels on pods and namespaces.
fn mark(world: &World, after: &After, pods: &mut [Pod], namespaces: &mut BTreeMap<String, Labels>) {
    for pod in pods {
        let group =
            after.groups.iter().position(|group| group.namespace == pod.namespace && group.targets.contains(&pod.name));
        pod.labels.extend(group.map(|at| (TARGET.to_owned(), format!("g{at}"))));
        for block in world.parts.iter().flat_map(|part| &part.blocks) {
            if block.marks() && is_peer(&block.meant, &End::Pod(pod.clone()), false) {
                pod.labels.insert(block.mark_key(), "yes".into());
            }
        }
    }
    for label in &after.namespace_labels {
        if let Some(labels) = namespaces.get_mut(&label.namespace) {
            labels.insert(label.key.clone(), label.value.clone());
        }
    }
}

/// A cluster as a plugin sees it: in one kind, address blocks match pods, in the other they never do.
fn as_seen(world: &World, pods: &[Pod], namespaces: &BTreeMap<String, Labels>, policies: &[NetworkPolicy]) -> Cluster {
    let mut pods = pods.to_vec();
    if !world.blocks_match_pods {
        pods.iter_mut().filter(|pod| !pod.host_network).for_each(|pod| pod.ips.clear());
    }
    Cluster::new(pods, namespaces.clone(), policies)
}

/// The coverage of the checked cases, so that no property holds without a check.
#[derive(Debug, Default)]
struct Coverage {
    /// Cases in which every link was compared.
    exact: Cell<u32>,
    /// Cases in which an open link was closed.
    cut: Cell<u32>,
    /// Cases that are not refused, with a standing policy that selects a pod.
    among_policies: Cell<u32>,
    /// Cases that are refused because of a standing policy.
    refused: Cell<u32>,
    /// Cases in which the builder itself refuses.
    impossible: Cell<u32>,
}

fn count(cell: &Cell<u32>) -> TestCaseResult {
    cell.set(cell.get() + 1);
    Ok(())
}

fn check(mut world: World, other_ports: OtherPorts, seen: &Coverage) -> TestCaseResult {
    let mut after = inject(&world, other_ports);
    if let Err(BuildError::HostNetworkPeer { .. }) = after {
        // A correct refusal. The same world without such pods must work.
        prop_assert!(world.pods().iter().any(|pod| pod.host_network));
        world.drop_host_network();
        after = inject(&world, other_ports);
    }
    let after = match after {
        Err(BuildError::NeedsEndPort { .. }) if other_ports != OtherPorts::Ranges => {
            return count(&seen.impossible);
        }
        other => other.expect("nothing in the generated worlds forbids a policy"),
    };
    let mut policies = world.standing.clone();
    policies.extend(after.policies.iter().cloned());

    let mut pods = world.pods();
    let mut namespaces = world.namespaces();
    // Changes that the builder does not see: replaced peers, and pods of a new namespace.
    if world.has_newcomers() {
        pods.extend(world.newcomers());
        namespaces.insert("later".into(), Labels::new());
    }
    let before = as_seen(&world, &pods, &namespaces, &world.standing);
    mark(&world, &after, &mut pods, &mut namespaces);
    let now = as_seen(&world, &pods, &namespaces, &policies);

    let ends: Vec<End> =
        pods.iter().cloned().map(End::Pod).chain(world.addresses().into_iter().map(End::Address)).collect();
    let blocks = Named::all(&world.parts, &ends);
    let pairs = (0..ends.len()).flat_map(|from| (0..ends.len()).map(move |to| (from, to)));
    let mut cut = false;
    for (at, (from, to)) in pairs.map(|(from, to)| ((from, to), (&ends[from], &ends[to]))) {
        let same = to.pod().is_some_and(|pod| from.is(pod));
        if same || (from.pod().is_none() && to.pod().is_none()) {
            continue;
        }
        let own_node = to.pod().is_some_and(|pod| from.addresses().iter().any(|ip| pod.node_ips.contains(ip)));
        for (protocol, port) in world.ports() {
            let connection = Connection { from: from.endpoint(), to: to.endpoint(), protocol, port };
            let named = blocks.iter().any(|block| block.names(at.0, at.1, own_node, protocol, port));
            if !named && after.undeclared.iter().any(|open| !open.has(protocol, port)) {
                // The builder reported that it cannot leave this port open.
                continue;
            }
            let (was, is) = (before.permits(&connection), now.permits(&connection));
            cut |= was && !is;
            if after.conflicts.is_empty() {
                prop_assert!(
                    is == (was && !named),
                    "{connection:?}: named {named}, before {was}, now {:?}\n{}",
                    now.allows(&connection),
                    serde_json::to_string(&after.policies).unwrap_or_default()
                );
            }
        }
    }
    if !after.conflicts.is_empty() {
        if let Some(conflict) = after.conflicts.iter().find(|conflict| !is_true(conflict, &before, &ends, &blocks)) {
            // A refusal may consider peers and pod addresses that do not exist yet. It must be correct about existing
            // ones. Future pods count if nothing would be widened. Otherwise only existing pods count.
            let widens = after.conflicts.iter().any(|other| {
                other.kind == ConflictKind::WouldWiden
                    && other.way == conflict.way
                    && other.targets.is_superset(&conflict.targets)
            });
            let foreseen = world.has_newcomers() || !widens || !blocks.iter().all(Named::has_peers);
            let certain = world.blocks_match_pods && !world.pod_cidrs().is_empty();
            prop_assert!(foreseen || !certain, "{conflict}");
        }
        return count(&seen.refused);
    }
    count(&seen.exact)?;
    if cut {
        count(&seen.cut)?;
    }
    let selected = |pod: &Pod| {
        let on = before.allows(&Connection {
            from: Endpoint::Pod { namespace: &pod.namespace, name: &pod.name },
            to: Endpoint::Pod { namespace: &pod.namespace, name: &pod.name },
            protocol: Protocol::Tcp,
            port: 1,
        });
        !on.egress.policies.is_empty() || !on.ingress.policies.is_empty()
    };
    if before.pods().iter().any(selected) {
        count(&seen.among_policies)?;
    }
    Ok(())
}

/// True when the refusal is correct: one of its policies allows a link that the cut closes.
fn is_true(conflict: &Conflict, before: &Cluster, ends: &[End], blocks: &[Named]) -> bool {
    if conflict.kind == ConflictKind::WouldWiden {
        return true;
    }
    let allows = |from: usize, to: usize, protocol, port| {
        let connection = Connection { from: ends[from].endpoint(), to: ends[to].endpoint(), protocol, port };
        let decision = before.allows(&connection);
        let side = if conflict.way == PolicyType::Egress { decision.egress } else { decision.ingress };
        match side.why {
            Why::Rule { policy, .. } => conflict.policies.contains(&policy),
            // It stays open, and would without the policy.
            why => why == Why::OwnNode,
        }
    };
    let ports = World::all_ports();
    let pairs = (0..ends.len()).flat_map(|from| (0..ends.len()).map(move |to| (from, to)));
    pairs.flat_map(|pair| ports.iter().map(move |port| (pair, *port))).any(|((from, to), (protocol, port))| {
        blocks.iter().any(|block| block.names_by(conflict.way, from, to, protocol, port))
            && allows(from, to, protocol, port)
    })
}

/// A factor for the number of worlds of each test: `SHAKEDOWN_CASES=10 cargo test -p shakedown-policy property` is
/// thorough.
fn times() -> u32 {
    std::env::var("SHAKEDOWN_CASES").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// Checks the property on this many worlds.
fn law(cases: u32, worlds: impl Strategy<Value = World>, other_ports: OtherPorts) -> Coverage {
    let seen = Coverage::default();
    run(cases, worlds, |world| check(world, other_ports, &seen));
    seen
}

fn run<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value) -> TestCaseResult) {
    let config = ProptestConfig { cases: cases * times(), failure_persistence: None, ..ProptestConfig::default() };
    if let Err(failure) = TestRunner::new(config).run(&strategy, test) {
        panic!("{failure}");
    }
}

/// Our policy with one change: a standing policy that is almost as wide as ours.
fn nearly(spec: &NetworkPolicySpec, change: u8, at: usize) -> NetworkPolicySpec {
    let mut spec = serde_json::to_value(spec).expect("JSON");
    spec["podSelector"] = json!({});
    let rules = ["egress", "ingress"].into_iter().filter(|way| spec[way].is_array()).collect::<Vec<_>>();
    let way = rules[at % rules.len()];
    let list = if way == "egress" { "to" } else { "from" };
    let count = spec[way].as_array().map_or(0, Vec::len);
    let rule = &mut spec[way][at % count];
    let peers = rule[list].as_array_mut().expect("peers");
    let (place, several) = (at % peers.len(), peers.len() > 1);
    let peer = peers[place].as_object_mut().expect("a peer");
    match change {
        0 => {}
        1 if several => drop(peers.remove(place)),
        2 if peer.contains_key("podSelector") => drop(peer.remove("namespaceSelector")),
        3 if peer.contains_key("namespaceSelector") => drop(peer.remove("podSelector")),
        4 if peer.contains_key("podSelector") => drop(peer.insert("namespaceSelector".into(), json!({}))),
        5 if peer.contains_key("podSelector") => {
            peer.insert("podSelector".into(), json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}));
        }
        6 if peer.contains_key("ipBlock") => {
            let whole = peer["ipBlock"]["cidr"] == "0.0.0.0/0";
            peer["ipBlock"]["except"] = if whole { json!(["198.51.100.0/24"]) } else { json!(null) };
        }
        7 => rule["ports"] = json!([{"port": 4222}]),
        _ => rule["ports"] = json!(null),
    }
    serde_json::from_value(spec).expect("a policy")
}

#[test]
fn one_partition_cuts_exactly_what_it_names() {
    let seen = law(1000, worlds(1, false), OtherPorts::Ranges);
    assert!(seen.exact.get() == 1000 * times() && seen.cut.get() > 500, "{seen:?}");
}

#[test]
fn several_partitions_cut_exactly_what_they_name() {
    let seen = law(1000, worlds(3, false), OtherPorts::Ranges);
    assert!(seen.exact.get() == 1000 * times() && seen.cut.get() > 500, "{seen:?}");
}

#[test]
fn among_standing_policies_a_partition_is_exact_or_refused() {
    let seen = law(1000, worlds(2, true), OtherPorts::Ranges);
    assert!(seen.cut.get() > 250 && seen.refused.get() > 125 && seen.among_policies.get() > 125, "{seen:?}");
}

#[test]
fn without_port_ranges_a_partition_is_exact_but_for_its_limits() {
    let seen = law(500, worlds(2, false), OtherPorts::Declared);
    assert!(seen.cut.get() > 150, "{seen:?}");
}

#[test]
fn among_policies_that_are_nearly_as_wide_a_partition_is_exact_or_refused() {
    let seen = Coverage::default();
    run(1000, (worlds(1, false), 0..=8_u8, any::<usize>()), |(mut world, change, at)| {
        // Labels of the driver do not affect policies of other owners.
        let marks = world.parts.iter().flat_map(|part| &part.blocks).any(|block| block.marks());
        let after = match inject(&world, OtherPorts::Ranges) {
            Ok(after) if after.namespace_labels.is_empty() && !marks => after,
            _ => return count(&seen.impossible),
        };
        world.standing = after.policies;
        for policy in &mut world.standing {
            policy.metadata.name = Some("standing".into());
            policy.spec = policy.spec.as_ref().map(|spec| nearly(spec, change, at));
        }
        check(world, OtherPorts::Ranges, &seen)
    });
    assert!(seen.among_policies.get() > 60 && seen.refused.get() > 60, "{seen:?}");
}
