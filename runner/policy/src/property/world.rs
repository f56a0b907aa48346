//! Generated clusters and partitions. The alphabets are small, so that labels, names and addresses often coincide.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};
use shakedown_schemas::scenario::{Direction, Expression, LabelSelector, Operator, PortRange};

use super::super::{Block, Cidr, ContainerPort, Front, Isolation, Labels, Peer, Pod, PortSet, Protocol, Selector};

const NAMESPACES: [&str; 3] = ["bus", "ops", "shop"];
const KEYS: [&str; 3] = ["app", "tier", "zone"];
const VALUES: [&str; 3] = ["x", "y", "z"];

/// A cluster, and the partitions to make in it.
#[derive(Debug, Clone)]
pub(super) struct World {
    namespaces: Vec<Labels>,
    pods: Vec<PodSpec>,
    dual_stack: bool,
    ranges: Ranges,
    /// Whether the plugin's address blocks match pods.
    pub(super) blocks_match_pods: bool,
    pub(super) standing: Vec<NetworkPolicy>,
    pub(super) parts: Vec<IsolationSpec>,
    port_offset: usize,
    later: bool,
}

#[derive(Debug, Clone)]
struct PodSpec {
    namespace: usize,
    labels: Labels,
    host_network: bool,
}

/// The known addresses of pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ranges {
    Known,
    /// Known, and nodes have addresses among them.
    KnownWithNodes,
    Unknown,
}

/// A partition as the scenario means it.
#[derive(Debug, Clone)]
pub(super) struct IsolationSpec {
    pub(super) namespace: String,
    pub(super) targets: BTreeSet<String>,
    pub(super) blocks: Vec<BlockSpec>,
}

#[derive(Debug, Clone)]
pub(super) struct BlockSpec {
    pub(super) meant: Meant,
    pub(super) ports: Vec<PortRange>,
    pub(super) direction: Direction,
    /// Distinguishes blocks that need a mark on their peers.
    pub(super) number: u32,
}

/// A peer, as in a scenario.
#[derive(Debug, Clone)]
pub(super) enum Meant {
    Labels { namespace: String, labels: LabelSelector, service_ip: Option<IpAddr> },
    Names { namespace: String, names: BTreeSet<String> },
    Cidr(String),
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

impl IsolationSpec {
    pub(super) fn part(&self) -> Isolation {
        Isolation {
            namespace: self.namespace.clone(),
            targets: self.targets.clone(),
            blocks: self.blocks.iter().map(BlockSpec::block).collect(),
        }
    }
}

impl BlockSpec {
    pub(super) fn mark_key(&self) -> String {
        format!("shakedown.test/peer-{}", self.number)
    }

    /// True when a mark of the run identifies its peers.
    pub(super) fn marks(&self) -> bool {
        matches!(self.meant, Meant::Names { .. })
    }

    fn block(&self) -> Block {
        let peer = match &self.meant {
            Meant::Labels { namespace, labels, service_ip } => Peer::Pods {
                namespace: namespace.clone(),
                selector: Selector::from(labels),
                unmarked: BTreeSet::new(),
                front: Front {
                    ips: service_ip.iter().copied().collect(),
                    ports: PortSet::from_scenario(&self.ports),
                    others: [(Protocol::Tcp, 80), (Protocol::Tcp, 4222), (Protocol::Udp, 53)]
                        .into_iter()
                        .fold(PortSet::none(), |set, (protocol, port)| set.or(&PortSet::range(protocol, port, port)))
                        .and(&PortSet::from_scenario(&self.ports).negated()),
                },
            },
            Meant::Names { namespace, names } => Peer::Pods {
                namespace: namespace.clone(),
                selector: Selector::label(self.mark_key(), "yes"),
                unmarked: names.clone(),
                front: Front::default(),
            },
            Meant::Cidr(text) => Peer::Addresses(vec![text.parse().expect("a block")]),
        };
        Block::new(format!("peer {}", self.number), peer, PortSet::from_scenario(&self.ports), self.direction)
    }
}

impl World {
    pub(super) fn namespaces(&self) -> BTreeMap<String, Labels> {
        NAMESPACES.iter().map(|name| (*name).to_owned()).zip(self.namespaces.iter().cloned()).collect()
    }

    fn pod(&self, number: usize, spec: &PodSpec) -> Pod {
        let node = number % 2 + 1;
        let net = if self.ranges == Ranges::KnownWithNodes { "192.168.0" } else { "10.244.0" };
        let mut ips = vec![ip(&format!("{net}.{}", number + 10))];
        if self.dual_stack {
            ips.push(ip(&format!("fd00:244::{}", number + 10)));
        }
        if spec.host_network {
            ips = vec![ip(&format!("192.168.0.{node}"))];
        }
        Pod {
            namespace: NAMESPACES[spec.namespace].to_owned(),
            name: format!("pod-{number}"),
            labels: spec.labels.clone(),
            ips,
            ports: [("client", 4222, Protocol::Tcp), ("web", 80, Protocol::Tcp), ("dns", 53, Protocol::Udp)]
                .map(|(name, number, protocol)| ContainerPort { name: Some(name.into()), number, protocol })
                .into(),
            host_network: spec.host_network,
            node_ips: vec![ip(&format!("192.168.0.{node}"))],
        }
    }

    pub(super) fn pods(&self) -> Vec<Pod> {
        self.pods.iter().enumerate().map(|(number, spec)| self.pod(number, spec)).collect()
    }

    /// One new pod for each pod that policies can select, with the same labels and a new address, and one in a new
    /// namespace.
    pub(super) fn newcomers(&self) -> Vec<Pod> {
        let mut all: Vec<Pod> = self.pods().into_iter().filter(|pod| !pod.host_network).collect();
        if let Some(first) = all.first().cloned() {
            all.push(Pod { namespace: "later".into(), ..first });
        }
        let net = if self.ranges == Ranges::KnownWithNodes { "192.168.7" } else { "10.244.7" };
        for (number, pod) in all.iter_mut().enumerate() {
            pod.name.push_str("+new");
            pod.ips = vec![ip(&format!("{net}.{}", number + 100))];
        }
        all
    }

    pub(super) fn drop_host_network(&mut self) {
        self.pods.iter_mut().for_each(|pod| pod.host_network = false);
    }

    /// True when pods come later, and the policy can know that they are pods.
    pub(super) fn has_newcomers(&self) -> bool {
        self.later && (self.ranges != Ranges::Unknown || !self.blocks_match_pods)
    }

    pub(super) fn pod_cidrs(&self) -> Vec<Cidr> {
        let v4 = match self.ranges {
            Ranges::Known => "10.244.0.0/16",
            Ranges::KnownWithNodes => "192.168.0.0/16",
            Ranges::Unknown => return Vec::new(),
        };
        let texts = if self.dual_stack { vec![v4, "fd00:244::/32"] } else { vec![v4] };
        texts.into_iter().map(|text| text.parse().expect("a block")).collect()
    }

    pub(super) fn nodes(&self) -> Vec<IpAddr> {
        vec![ip("192.168.0.1"), ip("192.168.0.2")]
    }

    /// The ends of links other than pods.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let mut all = vec![
            "203.0.113.5",
            "203.0.113.77",
            "203.7.7.7",
            "198.51.100.1",
            "192.168.0.1",
            "192.168.0.2",
            "10.96.0.10",
        ];
        if self.ranges == Ranges::KnownWithNodes {
            // Outside here, and in the range of pods in the other worlds.
            all.push("10.244.0.200");
        }
        if self.dual_stack {
            all.extend(["2001:db8::1", "2a00::1"]);
        }
        all.into_iter().map(ip).collect()
    }

    /// Ports at which blocks, standing policies and neither begin or end.
    pub(super) const fn all_ports() -> [(Protocol, u16); 6] {
        [
            (Protocol::Tcp, 4222),
            (Protocol::Udp, 53),
            (Protocol::Tcp, 80),
            (Protocol::Sctp, 4222),
            (Protocol::Tcp, 65535),
            (Protocol::Udp, 4222),
        ]
    }

    /// Some of them.
    pub(super) fn ports(&self) -> impl Iterator<Item = (Protocol, u16)> + use<> {
        let (all, offset) = (Self::all_ports(), self.port_offset);
        (0..3).map(move |step| all[(offset + step * 2) % all.len()])
    }
}

fn labels() -> impl Strategy<Value = Labels> {
    vec(option::weighted(0.7, select(&VALUES[..2])), KEYS.len()).prop_map(|values| {
        let pairs = KEYS.into_iter().zip(values);
        pairs.filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned()))).collect()
    })
}

fn namespace_labels() -> impl Strategy<Value = Vec<Labels>> {
    // With the label of Kubernetes 1.21, without it, or with a wrong value.
    let name = prop_oneof![4 => Just(Some(None)), 3 => Just(None), 1 => select(&NAMESPACES[..]).prop_map(|name| Some(Some(name)))];
    let one = (name, option::of(select(&NAMESPACES[..])), option::of(select(&VALUES[..2])));
    vec(one, NAMESPACES.len()).prop_map(|all| {
        let labels = NAMESPACES.into_iter().zip(all).map(|(own, (auto, name, team))| {
            let auto = auto.map(|lie| ("kubernetes.io/metadata.name", lie.unwrap_or(own)));
            let pairs = [auto, name.map(|value| ("name", value)), team.map(|value| ("team", value))];
            pairs.into_iter().flatten().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        });
        labels.collect()
    })
}

fn pods() -> impl Strategy<Value = Vec<PodSpec>> {
    let one = (0..NAMESPACES.len(), labels(), proptest::bool::weighted(0.1))
        .prop_map(|(namespace, labels, host_network)| PodSpec { namespace, labels, host_network });
    vec(one, 2..=5).prop_map(|mut pods| {
        // At least one pod can be a target.
        pods[0].host_network = false;
        pods
    })
}

fn selectors() -> impl Strategy<Value = LabelSelector> {
    let operators = vec![Operator::In, Operator::NotIn, Operator::Exists, Operator::DoesNotExist];
    let expression =
        (select(&KEYS[..]), select(operators), subsequence(&VALUES[..], 1..=2)).prop_map(|(key, operator, values)| {
            let needs_values = matches!(operator, Operator::In | Operator::NotIn);
            let values = if needs_values { values.into_iter().map(str::to_owned).collect() } else { Vec::new() };
            Expression { key: key.to_owned(), operator, values }
        });
    (vec((select(&KEYS[..]), select(&VALUES[..2])), 0..=2), vec(expression, 0..=2)).prop_map(
        |(labels, match_expressions)| {
            let match_labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            let mut selector = LabelSelector { match_labels, match_expressions };
            if Selector::from(&selector).is_void() {
                // The builder refuses labels that contradict each other.
                selector.match_expressions.clear();
            }
            selector
        },
    )
}

fn meant() -> impl Strategy<Value = Meant> {
    let namespace = || select(&NAMESPACES[..]).prop_map(str::to_owned);
    let cidrs = [
        "203.0.113.0/24",
        "203.0.113.5/32",
        "203.0.0.0/8",
        "0.0.0.0/0",
        "198.51.100.1/32",
        "192.168.0.1/32",
        "2001:db8::/32",
        "::/0",
    ];
    prop_oneof![
        4 => (namespace(), selectors(), option::weighted(0.3, Just(ip("10.96.0.10"))))
            .prop_map(|(namespace, labels, service_ip)| Meant::Labels { namespace, labels, service_ip }),
        2 => (namespace(), subsequence((0..5).collect::<Vec<usize>>(), 1..=3)).prop_map(|(namespace, numbers)| {
            Meant::Names { namespace, names: numbers.into_iter().map(|number| format!("pod-{number}")).collect() }
        }),
        2 => select(cidrs.to_vec()).prop_map(|cidr| Meant::Cidr(cidr.to_owned())),
    ]
}

fn blocks() -> impl Strategy<Value = BlockSpec> {
    let ports = ["", "4222", "4222-4224 53/udp", "1-1000", "1-65535", "80 4222 1-65535/udp", "65535"];
    let ports = ports.map(|text| text.split(' ').filter_map(|port| port.parse().ok()).collect::<Vec<PortRange>>());
    let ports = prop_oneof![1 => Just(Vec::new()), 1 => select(ports.to_vec())];
    let directions = vec![Direction::Egress, Direction::Ingress, Direction::Both];
    (meant(), ports, select(directions), any::<u32>()).prop_map(|(meant, ports, direction, number)| BlockSpec {
        meant,
        ports,
        direction,
        number,
    })
}

fn parts(most: usize) -> impl Strategy<Value = Vec<(usize, u8, Vec<BlockSpec>)>> {
    // A pod that is always a target, further targets of its namespace, and the links to cut.
    vec((0..5_usize, any::<u8>(), vec(blocks(), 1..=3)), 1..=most)
}

fn standing() -> impl Strategy<Value = Vec<NetworkPolicy>> {
    let selector = || prop_oneof![Just(LabelSelector::default()), selectors()].prop_map(|s| json!(s));
    let peer = prop_oneof![
        selector().prop_map(|pods| json!({"podSelector": pods})),
        Just(json!({"namespaceSelector": {}})),
        (select(&VALUES[..2]), selector()).prop_map(
            |(team, pods)| json!({"namespaceSelector": {"matchLabels": {"team": team}}, "podSelector": pods})
        ),
        Just(json!({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["203.0.113.0/24"]}})),
        Just(json!({"ipBlock": {"cidr": "10.244.0.0/16"}})),
    ];
    let port = select(vec![json!({"port": 4222}), json!({"port": "client"}), json!({"port": 53, "protocol": "UDP"})]);
    let rule = |peers: &'static str| move |(to, ports): (Vec<Value>, Vec<Value>)| json!({peers: to, "ports": ports});
    let rules = (vec(peer, 0..=2), vec(port, 0..=1));
    let types = vec![json!(null), json!(["Ingress"]), json!(["Egress"]), json!(["Ingress", "Egress"])];
    let policy = (
        select(&NAMESPACES[..]),
        selector(),
        select(types),
        vec(rules.clone().prop_map(rule("to")), 0..=2),
        vec(rules.prop_map(rule("from")), 0..=2),
    );
    vec(policy, 0..=2).prop_map(|all| {
        let policy = |(number, (namespace, pods, types, egress, ingress))| {
            let spec = json!({"podSelector": pods, "policyTypes": types, "egress": egress, "ingress": ingress});
            let name = format!("standing-{number}");
            serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec}))
                .expect("a policy")
        };
        all.into_iter().enumerate().map(policy).collect()
    })
}

/// Clusters with up to `most` partitions, with or without standing policies.
pub(super) fn worlds(most: usize, with_standing: bool) -> impl Strategy<Value = World> {
    let ranges = select(vec![Ranges::Known, Ranges::Known, Ranges::KnownWithNodes, Ranges::Unknown]);
    let standing = if with_standing { standing().boxed() } else { Just(Vec::new()).boxed() };
    (namespace_labels(), pods(), any::<(bool, bool, bool)>(), ranges, standing, parts(most), 0..6_usize).prop_map(
        |(namespaces, pods, (dual_stack, blocks_match_pods, later), ranges, standing, parts, port_offset)| {
            let targets: Vec<usize> = (0..pods.len()).filter(|at| !pods[*at].host_network).collect();
            let parts = parts.into_iter().map(|(pick, others, mut blocks)| {
                let first = targets[pick % targets.len()];
                let chosen = targets.iter().filter(|at| {
                    **at == first || (pods[**at].namespace == pods[first].namespace && others >> **at & 1 == 1)
                });
                if !dual_stack {
                    // There is no IPv6 to block.
                    for block in &mut blocks {
                        if matches!(&block.meant, Meant::Cidr(text) if text.contains(':')) {
                            block.meant = Meant::Cidr("203.0.113.0/24".to_owned());
                        }
                    }
                }
                IsolationSpec {
                    namespace: NAMESPACES[pods[first].namespace].to_owned(),
                    targets: chosen.map(|at| format!("pod-{at}")).collect(),
                    blocks,
                }
            });
            let parts = parts.collect();
            World { namespaces, pods, dual_stack, ranges, blocks_match_pods, standing, parts, port_offset, later }
        },
    )
}
