//! What is asked of a service's ports against what the engines' objects cut, on generated services. The oracle follows
//! kube-proxy: which address and port a connection to a port of the service ends at.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{TestCaseResult, TestRunner};
use serde_json::json;
use shakedown_policy::{self as policy, Connection, Cut, Endpoint, Facts, OtherPorts, Pod};
use shakedown_schemas::scenario::Direction;

use super::*;
use crate::plan::peers::tcp;

/// The numbers that the pods of a test and its services use.
const NUMBERS: [u16; 5] = [80, 81, 4222, 5353, 8080];
const TARGET: &str = "10.244.0.1";

/// A generated port of a service.
#[derive(Debug, Clone)]
struct PortSpec {
    number: u16,
    udp: bool,
    target: TargetSpec,
}

#[derive(Debug, Clone)]
enum TargetSpec {
    Same,
    Number(u16),
    /// The pods' port `client`, `admin` or `nobody`.
    Named(&'static str),
}

/// A generated service with what is behind it.
#[derive(Debug, Clone)]
struct World {
    ports: Vec<PortSpec>,
    /// What each pod calls `client` and `admin`; none where it has no such port.
    pods: Vec<[Option<u16>; 2]>,
    selector: bool,
    headless: bool,
    dual_stack: bool,
    /// Which of its ports are asked for, and whether by name.
    asked: Vec<(usize, bool)>,
}

impl World {
    fn ips(&self, pod: usize) -> Vec<IpAddr> {
        let mut ips = vec![IpAddr::from([10, 244, 0, 10 + pod as u8])];
        if !self.selector {
            ips = vec![IpAddr::from([203, 0, 113, 10 + pod as u8])];
        } else if self.dual_stack {
            ips.push(format!("fd00:244::{}", 10 + pod).parse().unwrap());
        }
        ips
    }

    fn front(&self) -> Vec<IpAddr> {
        let all: Vec<IpAddr> = vec!["10.96.0.7".parse().unwrap(), "fd00:96::7".parse().unwrap()];
        all.into_iter().take(if self.headless { 0 } else { 1 + usize::from(self.dual_stack) }).collect()
    }

    fn protocol(&self, port: usize) -> Protocol {
        if self.ports[port].udp { Protocol::Udp } else { Protocol::Tcp }
    }

    /// Where a connection to a port of the service ends at a pod.
    fn leads(&self, port: usize, pod: usize) -> Option<u16> {
        let [client, admin] = self.pods[pod];
        match self.ports[port].target {
            TargetSpec::Same => Some(self.ports[port].number),
            TargetSpec::Number(number) => Some(number),
            TargetSpec::Named("client") if self.protocol(port) == Protocol::Tcp => client,
            TargetSpec::Named("admin") if self.protocol(port) == Protocol::Tcp => admin,
            TargetSpec::Named(_) => None,
        }
    }

    fn policy_pods(&self) -> Vec<Pod> {
        let pod = |at: usize| Pod {
            namespace: "it".into(),
            name: format!("bus-{at}"),
            labels: [("app".to_owned(), "bus".to_owned())].into(),
            ips: self.ips(at),
            ports: ["client", "admin"]
                .iter()
                .zip(self.pods[at])
                .filter_map(|(name, number)| {
                    let name = Some((*name).to_owned());
                    Some(policy::ContainerPort { name, number: number?, protocol: Protocol::Tcp })
                })
                .collect(),
            ..Pod::default()
        };
        let target = Pod {
            namespace: "it".into(),
            name: "worker".into(),
            labels: [("app".to_owned(), "worker".to_owned()), ("mark".to_owned(), "yes".to_owned())].into(),
            ips: vec![TARGET.parse().unwrap()],
            ..Pod::default()
        };
        let behind = if self.selector { self.pods.len() } else { 0 };
        (0..behind).map(pod).chain([target]).collect()
    }

    fn peer(&self, cluster: &policy::Cluster) -> Result<ServicePeer, String> {
        let ports: Vec<Value> = (0..self.ports.len())
            .map(|at| {
                let port = &self.ports[at];
                let mut shown =
                    json!({"name": format!("p{at}"), "port": port.number, "protocol": self.protocol(at).name()});
                match port.target {
                    TargetSpec::Same => {}
                    TargetSpec::Number(number) => shown["targetPort"] = json!(number),
                    TargetSpec::Named(name) => shown["targetPort"] = json!(name),
                }
                shown
            })
            .collect();
        let ips = self.front();
        let mut spec = json!({"ports": ports, "clusterIPs": ips});
        spec["clusterIP"] = ips.first().map_or(json!("None"), |ip| json!(ip));
        if self.headless {
            spec["clusterIPs"] = json!(["None"]);
        }
        if self.selector {
            spec["selector"] = json!({"app": "bus"});
        }
        let service = json!({"metadata": {"namespace": "it", "name": "bus"}, "spec": spec});
        let subsets = (0..self.pods.len()).map(|pod| {
            let ports: Vec<Value> = (0..self.ports.len())
                .filter_map(|at| Some(json!({"name": format!("p{at}"), "port": self.leads(at, pod)?, "protocol": self.protocol(at).name()})))
                .collect();
            json!({"addresses": [{"ip": self.ips(pod)[0]}], "ports": ports})
        });
        let endpoints = json!({"subsets": subsets.collect::<Vec<_>>()});
        let asked: Vec<PeerPort> = self
            .asked
            .iter()
            .map(|(at, by_name)| {
                let port = &self.ports[*at];
                let number = format!("{}{}", port.number, if port.udp { "/udp" } else { "" });
                if *by_name { format!("p{at}") } else { number }.parse().unwrap()
            })
            .collect();
        ServicePeer::new(
            &serde_json::from_value(service).unwrap(),
            (!self.selector).then(|| serde_json::from_value(endpoints).unwrap()).as_ref(),
            cluster,
            &asked,
        )
        .map_err(|error| error.to_string())
    }
}

fn worlds() -> impl Strategy<Value = World> {
    let number = || select(NUMBERS.to_vec());
    let target = prop_oneof![
        1 => Just(TargetSpec::Same),
        2 => number().prop_map(TargetSpec::Number),
        2 => select(vec!["client", "admin"]).prop_map(TargetSpec::Named),
        1 => Just(TargetSpec::Named("nobody")),
    ];
    let port = (any::<bool>(), target)
        .prop_map(|(udp, target)| (udp && !matches!(target, TargetSpec::Named("client")), target));
    // A service has each of its own numbers once.
    let ports = (subsequence(NUMBERS.to_vec(), 1..=3), prop::collection::vec(port, 3)).prop_map(|(numbers, more)| {
        let both = numbers.into_iter().zip(more);
        both.map(|(number, (udp, target))| PortSpec { number, udp, target }).collect::<Vec<_>>()
    });
    let pod = [prop::option::weighted(0.8, number()), prop::option::weighted(0.5, number())];
    let shape = (any::<bool>(), any::<bool>(), any::<bool>());
    (ports, prop::collection::vec(pod, 1..=3), shape, prop::collection::vec((any::<usize>(), any::<bool>()), 1..=2))
        .prop_map(|(ports, pods, (selector, headless, dual_stack), asked)| World {
            asked: asked.into_iter().map(|(at, by_name)| (at % ports.len(), by_name)).collect(),
            ports,
            pods,
            selector,
            headless,
            dual_stack,
        })
}

/// How many of the checked cases had what the test is about.
#[derive(Debug, Default)]
struct Coverage {
    translated: Cell<u32>,
    spread: Cell<u32>,
    refused: Cell<u32>,
}

fn check(world: &World, coverage: &Coverage) -> TestCaseResult {
    let count = |cell: &Cell<u32>| cell.set(cell.get() + 1);
    let name = policy::Labels::from([("kubernetes.io/metadata.name".to_owned(), "it".to_owned())]);
    let mut cluster = policy::Cluster::new(world.policy_pods(), BTreeMap::from([("it".to_owned(), name)]), &[]);
    let lead = |port: usize| {
        (0..world.pods.len()).filter_map(move |pod| Some((pod, world.protocol(port), world.leads(port, pod)?)))
    };
    let asked: BTreeSet<usize> = world.asked.iter().map(|(at, _)| *at).collect();
    let nowhere = asked.iter().any(|at| lead(*at).next().is_none());
    let peer = match world.peer(&cluster) {
        Ok(peer) => peer,
        Err(error) => {
            prop_assert!(nowhere, "{error}");
            count(&coverage.refused);
            return Ok(());
        }
    };
    prop_assert!(!nowhere, "a port that leads nowhere is no error");
    let wanted: BTreeSet<(usize, Protocol, u16)> = asked.iter().flat_map(|at| lead(*at)).collect();
    if asked.iter().any(|at| lead(*at).any(|(_, _, number)| number != world.ports[*at].number)) {
        count(&coverage.translated);
    }

    // By NetworkPolicy: pod ports behind the translation, and the service's own for plugins that judge in front of it.
    let facts_of = cluster.clone();
    let pod_cidrs = ["10.244.0.0/16".parse().unwrap(), "fd00:244::/64".parse().unwrap()];
    let facts = Facts {
        cluster: &facts_of,
        pod_cidrs: &pod_cidrs,
        nodes: &[],
        other_ports: OtherPorts::Ranges,
        namespace_key: "n",
    };
    let cut = Cut {
        namespace: "it".into(),
        label: ("mark".into(), "yes".into()),
        targets: ["worker".to_owned()].into(),
        blocks: peer.blocks("the service", "it", Direction::Egress),
    };
    let built = policy::build(&cut, &facts).unwrap();
    let object = json!({"metadata": {"namespace": "it", "name": "cut"}, "spec": built.spec});
    cluster.set_policies(&[serde_json::from_value(object).unwrap()]);
    let is_cut = |ip: IpAddr, protocol: Protocol, port: u16| {
        let from = Endpoint::Pod { namespace: "it", name: "worker" };
        !cluster.permits(&Connection { from, to: Endpoint::Address(ip), protocol, port })
    };
    let mut more = false;
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for port in NUMBERS {
            for pod in 0..world.pods.len() {
                let is_wanted = wanted.contains(&(pod, protocol, port));
                // What no set of labels tells apart is cut on the numbers of all pods, and the plan says so.
                let by_another = wanted.iter().any(|it| (it.1, it.2) == (protocol, port));
                for ip in world.ips(pod) {
                    let is = is_cut(ip, protocol, port);
                    prop_assert!(is || !is_wanted, "{ip} {protocol} {port} stays open");
                    prop_assert!(!is || by_another, "{ip} {protocol} {port} is cut");
                    more |= is && !is_wanted;
                }
            }
            let by_front = asked.iter().any(|at| world.protocol(*at) == protocol && world.ports[*at].number == port);
            for ip in world.front() {
                prop_assert_eq!(is_cut(ip, protocol, port), by_front, "{} {} {}", ip, protocol, port);
            }
        }
    }
    if more {
        count(&coverage.spread);
        prop_assert!(!world.selector || !peer.notes.is_empty(), "more is cut, and nothing says so");
    }

    // By Chaos Mesh: exactly the addresses and ports, in front of the translation and past it.
    if asked.iter().all(|at| world.protocol(*at) == Protocol::Tcp) {
        let front = world.front().into_iter().flat_map(|ip| asked.iter().map(move |at| (ip, world.ports[*at].number)));
        let pods = wanted.iter().flat_map(|(pod, _, port)| world.ips(*pod).into_iter().map(|ip| (ip, *port)));
        let expected: BTreeSet<String> =
            front.chain(pods).filter(|it| it.0.is_ipv4()).map(|(ip, port)| format!("{ip}:{port}")).collect();
        prop_assert_eq!(service_addresses(&peer, &BTreeSet::new()), expected);
    }

    // A witness tries what is really cut.
    let tried: Vec<_> = tcp(&peer.ends).collect();
    prop_assert_eq!(tried.is_empty(), !wanted.iter().any(|it| it.1 == Protocol::Tcp));
    for end in tried {
        prop_assert!(is_cut(end.ip(), Protocol::Tcp, end.port()), "{end} stays open");
    }
    Ok(())
}

#[test]
fn the_engines_cut_what_a_services_ports_mean() {
    let coverage = Coverage::default();
    let config = ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&worlds(), |world| check(&world, &coverage))
        .unwrap_or_else(|failure| panic!("{failure}"));
    assert!(
        coverage.translated.get() > 300 && coverage.spread.get() > 50 && coverage.refused.get() > 50,
        "{coverage:?}"
    );
}

#[test]
fn an_address_is_written_with_each_of_its_ports() {
    let mut addresses = BTreeSet::new();
    add(&mut addresses, "10.0.0.7", &[80]);
    add(&mut addresses, "203.0.113.0/24", &[]);
    assert_eq!(addresses.into_iter().collect::<Vec<_>>(), ["10.0.0.7:80", "203.0.113.0/24"]);
}
