//! Planning partitions: all of a scenario's together, because those that share a target share its policy.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use shakedown_schemas::result::{ObjectRecord, PodRef};
use shakedown_schemas::scenario::{self, Partition, Phase, PodSelector, Prove};

use super::words::selector_text;
use super::{Options, PlanError};
use crate::cluster::{Cluster, Network};
use crate::faults::effect::Wanted;
use crate::faults::partition::{
    ListedPeer, Mark, MarkedPeer, NetworkPolicyPartition, Part, Scheme, Switch, pod_key, watch,
};
use crate::faults::witness::{self, Witness};
use crate::faults::{FaultDriver, FaultPlan};
use crate::known::Enforcement;
use crate::labels;
use crate::policy::{self, Block, Cidr, Peer, PortSet, Protocol, Selector};

/// One partition of the scenario, with its targets found.
pub(super) struct Wish<'a> {
    pub name: &'a str,
    pub phase: usize,
    pub partition: &'a Partition,
    pub targets: Vec<PodRef>,
}

/// When it stands, in its phase.
struct Stretch {
    phase: usize,
    begin: Duration,
    end: Duration,
}

impl Stretch {
    fn new(wish: &Wish<'_>, phases: &[Phase]) -> Self {
        let begin = wish.partition.after.unwrap_or_default().get();
        let whole = phases[wish.phase].duration.get().max(begin + Duration::from_nanos(1));
        let end = wish.partition.lasts.map_or(whole, |lasts| begin + lasts.get());
        Self { phase: wish.phase, begin, end }
    }

    fn holds(&self, phase: usize, at: Duration) -> bool {
        self.phase == phase && self.begin <= at && at < self.end
    }
}

/// Plans all partitions of a scenario, in the order in which they are given.
pub(super) async fn plan(
    wishes: Vec<Wish<'_>>,
    phases: &[Phase],
    cluster: &Cluster,
    namespace: &str,
    options: &Options,
) -> Result<Vec<(FaultPlan, Box<dyn FaultDriver>)>, PlanError> {
    let place = |wish: &Wish<'_>| wish.partition.pods.namespace.as_deref().unwrap_or(namespace).to_owned();
    let mut wanted: BTreeSet<String> = wishes.iter().map(place).collect();
    let peers = wishes.iter().flat_map(|wish| &wish.partition.from);
    wanted.extend(peers.map(|peer| peer_namespace(peer, namespace)));
    let network = cluster.network(&wanted).await?;
    let mut found = Found::default();
    let mut parts = Vec::new();
    for (at, wish) in wishes.iter().enumerate() {
        let reader = Reader { wish, at, cluster, namespace, options, network: &network };
        parts.push(reader.part(place(wish), &mut found).await?);
    }
    let other_ports = match cluster.version() {
        // `endPort` came with 1.21 (off) and is on from 1.22; an older server drops it without a word.
        Some(version) if version < (1, 22) => policy::OtherPorts::Declared,
        _ => policy::OtherPorts::Ranges,
    };
    let Network { cluster: pods, pod_cidrs, nodes, .. } = network;
    let scheme = Scheme::new(&options.run, options.serial, parts, (pods, pod_cidrs, nodes), other_ports);
    let stretches: Vec<Stretch> = wishes.iter().map(|wish| Stretch::new(wish, phases)).collect();
    let mut planned = Vec::new();
    for (at, wish) in wishes.iter().enumerate() {
        let namespaces = vec![place(wish)];
        planned.push(fault_plan(wish, at, &scheme, &stretches, namespaces)?);
    }
    let witnesses = wishes
        .iter()
        .enumerate()
        .map(|(at, wish)| witness(wish, at, &scheme, &found, cluster, options))
        .collect::<Result<Vec<_>, _>>()?;
    let switch = Switch::new(cluster.clone(), scheme);
    // From now on: a target that is replaced before its fault begins is followed, or an error then.
    let watching = Arc::new(watch(switch.clone(), found.marked, found.listed));
    let mut made: Vec<(FaultPlan, Box<dyn FaultDriver>)> = Vec::new();
    for (at, ((wish, mut plan), (witness, effect))) in wishes.into_iter().zip(planned).zip(witnesses).enumerate() {
        plan.effect = effect;
        if let Some(witness) = &witness {
            plan.objects.push(witness.record());
        }
        let demanded = wish.partition.prove == Prove::Witness;
        let driver = NetworkPolicyPartition::new(switch.clone(), at, wish.targets, witness, demanded, watching.clone());
        made.push((plan, Box::new(driver)));
    }
    Ok(made)
}

fn peer_namespace(peer: &scenario::Peer, default: &str) -> String {
    peer.namespace
        .clone()
        .or_else(|| peer.pods.as_ref().and_then(|pods| pods.namespace.clone()))
        .unwrap_or_else(|| default.to_owned())
}

/// What a partition does, checked in every state of the timeline in which it stands.
fn fault_plan(
    wish: &Wish<'_>,
    at: usize,
    scheme: &Scheme,
    stretches: &[Stretch],
    namespaces: Vec<String>,
) -> Result<FaultPlan, PlanError> {
    let refused = |error: String| PlanError::Scenario(format!("fault `{}`: {error}", wish.name));
    let own = &stretches[at];
    let mut states: Vec<BTreeSet<usize>> = Vec::new();
    for moment in stretches.iter().filter(|it| own.holds(it.phase, it.begin)).map(|it| it.begin) {
        let state: BTreeSet<usize> =
            (0..stretches.len()).filter(|other| stretches[*other].holds(own.phase, moment)).collect();
        if !states.contains(&state) {
            states.push(state);
        }
    }
    let alone = BTreeSet::from([at]);
    let mut limits = BTreeSet::new();
    for state in states.iter().chain([&alone]) {
        for (cut, built) in scheme.cuts(at, state).map_err(|error| refused(error.to_string()))? {
            // Policies that stand already decide whether ours can work at all.
            let conflicts: Vec<String> = scheme.conflicts(&cut, &built).iter().map(ToString::to_string).collect();
            if !conflicts.is_empty() {
                return Err(refused(conflicts.join("; ")));
            }
            limits.extend(built.limits.iter().map(ToString::to_string));
        }
    }
    let at_first: BTreeSet<usize> =
        (0..stretches.len()).filter(|other| stretches[*other].holds(own.phase, own.begin)).collect();
    let nobody = (BTreeSet::new(), BTreeMap::new());
    let desired = scheme.desired(&at_first, &nobody.0, &nobody.1).map_err(|error| refused(error.to_string()))?;
    let keys: Vec<_> = scheme.groups_of(at).map(|group| scheme.policy_key(group)).collect();
    let only = scheme.desired(&alone, &nobody.0, &nobody.1).map_err(|error| refused(error.to_string()))?;
    let part = &scheme.parts()[at];
    let mut description = scheme.explain(at);
    let mut together: Vec<&str> = states
        .iter()
        .flatten()
        .filter(|other| **other != at && shares(scheme, at, **other))
        .map(|other| scheme.parts()[*other].name.as_str())
        .collect();
    together.sort_unstable();
    together.dedup();
    if !together.is_empty() {
        let names = together.join(", ");
        description.push_str(&format!(" Pods that {names} acts on at the same time have one policy for all of it."));
    }
    for limit in limits {
        description.push_str(&format!(" Note: {limit}."));
    }
    Ok(FaultPlan {
        name: wish.name.to_owned(),
        phase: wish.phase,
        kind: "partition",
        engine: "network-policy",
        description,
        targets: wish.targets.clone(),
        peers: part.blocks.iter().map(peer_text).collect(),
        objects: keys.iter().filter_map(|key| desired.policies.get(key)).map(record).collect(),
        marks: only
            .marks
            .iter()
            .map(|mark| format!("label  {} with {}={}", mark.object, mark.label, mark.value))
            .collect(),
        namespaces,
        after: own.begin,
        lasts: wish.partition.lasts.map(|lasts| lasts.get()),
        effect: Wanted::Applied,
    })
}

fn peer_text(block: &Block) -> String {
    if block.ports.is_all() { block.described.clone() } else { format!("{}, ports {}", block.described, block.ports) }
}

fn shares(scheme: &Scheme, one: usize, other: usize) -> bool {
    scheme.groups_of(one).any(|group| scheme.parts_of(group).contains(&other))
}

/// The witness of a partition, where there is to be one, and what has to show that it acts.
fn witness(
    wish: &Wish<'_>,
    at: usize,
    scheme: &Scheme,
    found: &Found,
    cluster: &Cluster,
    options: &Options,
) -> Result<(Option<Witness>, Wanted), PlanError> {
    let prove = wish.partition.prove;
    if let Some(known) = options.proof.enforcement.as_ref().filter(|known| !known.enforced && prove != Prove::Applied) {
        return Err(PlanError::Scenario(format!(
            "fault `{}`: the policy would do nothing, because {}\nhelp: a network plugin such as Calico or Cilium enforces \
             policies; `shakedown doctor` looks again after a change; Chaos Mesh's partition needs no plugin",
            wish.name,
            known.sentence()
        )));
    }
    let enforced = options.proof.enforcement.as_ref().map(Enforcement::sentence);
    let endpoints = found.endpoints.get(&at).cloned().unwrap_or_default();
    let group = wish.targets.first().and_then(|pod| Some((pod, scheme.group_of(&pod.namespace, &pod.name)?)));
    let missing = match (&options.proof.image, group) {
        _ if !wish.partition.direction.has_egress() => {
            "this partition cuts only what the peers open, and a witness cannot speak for them".to_owned()
        }
        (None, _) => "no image for it is known (--witness-image)".to_owned(),
        (_, None) => "there is no target beside which it could run".to_owned(),
        _ if endpoints.is_empty() => {
            "no port of the peers is known that it could try: name some in `ports`, or declare them in the pods"
                .to_owned()
        }
        (Some(image), Some((beside, group))) => {
            let order = witness::Order {
                run: &options.run,
                serial: options.serial,
                part: at,
                fault: wish.name,
                label: scheme.label(group),
                beside,
                endpoints,
                image,
            };
            let auto = Wanted::Auto { enforced, no_witness: None };
            return Ok(match prove {
                Prove::Auto => (Some(Witness::new(cluster.clone(), order)), auto),
                Prove::Witness => (Some(Witness::new(cluster.clone(), order)), Wanted::Witness),
                Prove::Traffic => (None, Wanted::Traffic),
                Prove::Applied => (None, Wanted::Applied),
            });
        }
    };
    match prove {
        Prove::Auto => Ok((None, Wanted::Auto { enforced, no_witness: Some(missing) })),
        Prove::Traffic => Ok((None, Wanted::Traffic)),
        Prove::Applied => Ok((None, Wanted::Applied)),
        Prove::Witness => {
            Err(PlanError::Scenario(format!("fault `{}`: there can be no witness: {missing}", wish.name)))
        }
    }
}

/// What is found on the way, beside the parts themselves.
#[derive(Default)]
struct Found {
    marked: Vec<MarkedPeer>,
    listed: Vec<ListedPeer>,
    /// What a witness can try to reach, by partition.
    endpoints: BTreeMap<usize, Vec<String>>,
}

struct Reader<'a> {
    wish: &'a Wish<'a>,
    at: usize,
    cluster: &'a Cluster,
    namespace: &'a str,
    options: &'a Options,
    network: &'a Network,
}

impl Reader<'_> {
    async fn part(&self, namespace: String, found: &mut Found) -> Result<Part, PlanError> {
        let mut peer_marks = Vec::new();
        let mut blocks: Vec<Block> = Vec::new();
        for peer in &self.wish.partition.from {
            let block = self.block(peer, blocks.len(), &mut peer_marks, found).await?;
            blocks.push(block);
        }
        Ok(Part {
            name: self.wish.name.to_owned(),
            namespace,
            targets: self.wish.targets.clone(),
            blocks,
            peer_marks,
            follow: self.wish.partition.follow,
        })
    }

    fn refuse(&self, text: &str) -> PlanError {
        PlanError::Scenario(format!("fault `{}`: {text}", self.wish.name))
    }

    async fn block(
        &self,
        peer: &scenario::Peer,
        number: usize,
        marks: &mut Vec<Mark>,
        found: &mut Found,
    ) -> Result<Block, PlanError> {
        let namespace = peer_namespace(peer, self.namespace);
        let ports = if peer.ports.is_empty() { PortSet::all() } else { PortSet::from_scenario(&peer.ports) };
        let mut endpoints = Vec::new();
        let (described, other_end) = if let Some(service) = &peer.service {
            let end = self.service(service, &namespace, number, &ports, &mut endpoints, found).await?;
            (format!("service {service} in namespace {namespace}"), end)
        } else if let Some(pods) = &peer.pods {
            let end = self.pods(pods, &namespace, number, marks, found).await?;
            (format!("pods with {} in namespace {namespace}", selector_text(pods)), end)
        } else if let Some(cidr) = &peer.cidr {
            let parsed: Cidr = cidr.parse().map_err(|error: policy::CidrError| self.refuse(&error.to_string()))?;
            (format!("addresses {cidr}"), Peer::Addresses(vec![parsed]))
        } else {
            let host = peer.host.as_deref().unwrap_or_default();
            let addresses = self.resolve(host).await?;
            let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let end = Peer::Addresses(addresses.into_iter().map(Cidr::host).collect());
            (format!("host {host} ({})", shown.join(", ")), end)
        };
        let block = Block::new(described, other_end, ports, self.wish.partition.direction);
        self.pod_endpoints(peer, &block, &mut endpoints);
        let mut all: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
        all.dedup();
        found.endpoints.entry(self.at).or_default().extend(all);
        Ok(block)
    }

    /// Where pods and single addresses can be tried.
    fn pod_endpoints(&self, peer: &scenario::Peer, block: &Block, endpoints: &mut Vec<SocketAddr>) {
        let named: Vec<u16> = peer.ports.iter().filter(|range| !range.udp).map(|range| range.first).collect();
        match &block.peer {
            Peer::Pods { namespace, selector, unmarked, .. } if endpoints.is_empty() => {
                for pod in self.network.cluster.pods().iter().filter(|pod| pod.namespace == *namespace) {
                    if !selector.matches(&pod.labels) && !unmarked.contains(&pod.name) {
                        continue;
                    }
                    let declared =
                        pod.ports.iter().filter(|port| port.protocol == Protocol::Tcp).map(|port| port.number);
                    let tried: BTreeSet<u16> = declared
                        .filter(|port| block.ports.has(Protocol::Tcp, *port))
                        .chain(named.iter().copied())
                        .collect();
                    endpoints
                        .extend(pod.ips.iter().flat_map(|ip| tried.iter().map(|port| SocketAddr::new(*ip, *port))));
                }
            }
            Peer::Pods { .. } => {}
            Peer::Addresses(cidrs) => {
                let hosts = cidrs.iter().filter_map(|cidr| cidr.single());
                endpoints.extend(hosts.flat_map(|ip| named.iter().map(move |port| SocketAddr::new(ip, *port))));
            }
        }
    }

    async fn service(
        &self,
        name: &str,
        namespace: &str,
        number: usize,
        ports: &PortSet,
        endpoints: &mut Vec<SocketAddr>,
        found: &mut Found,
    ) -> Result<Peer, PlanError> {
        let Some(service) = self.cluster.service(namespace, name).await? else {
            self.cluster.require_namespace(namespace).await?;
            return Err(self.refuse(&format!(
                "there is no service `{name}` in namespace `{namespace}`\nhelp: `kubectl -n {namespace} get services` lists \
                 them"
            )));
        };
        *endpoints = self.cluster.service_endpoints(namespace, name).await?;
        endpoints.retain(|endpoint| ports.has(Protocol::Tcp, endpoint.port()));
        let selector: BTreeMap<String, String> =
            serde_json::from_value(service["spec"]["selector"].clone()).unwrap_or_default();
        if selector.is_empty() {
            // Somebody else keeps its endpoints: they are looked at again whenever they change.
            let backends = self.cluster.service_backends(namespace, name).await?;
            if backends.is_empty() {
                return Err(self.refuse(&format!(
                    "service `{name}` has no selector and no endpoints, so nothing can be cut off from it\nhelp: name its \
                     pods or addresses with `pods`, `cidr` or `host`"
                )));
            }
            found.listed.push(ListedPeer {
                part: self.at,
                block: number,
                namespace: namespace.to_owned(),
                service: name.to_owned(),
            });
            return Ok(Peer::Addresses(backends.into_iter().map(Cidr::host).collect()));
        }
        let service_ips = service["spec"]["clusterIP"].as_str().and_then(|ip| ip.parse().ok()).into_iter().collect();
        Ok(Peer::Pods {
            namespace: namespace.to_owned(),
            selector: Selector::from(&selector),
            unmarked: BTreeSet::new(),
            service_ips,
        })
    }

    /// Pods by labels are meant now and later; pods by name, prefix or owner are marked, as no selector names them.
    async fn pods(
        &self,
        pods: &PodSelector,
        namespace: &str,
        number: usize,
        marks: &mut Vec<Mark>,
        found: &mut Found,
    ) -> Result<Peer, PlanError> {
        let by_labels_only = pods.name.is_none() && pods.prefix.is_none() && pods.owner.is_none();
        if let (true, Some(labels)) = (by_labels_only, &pods.labels) {
            return Ok(Peer::Pods {
                namespace: namespace.to_owned(),
                selector: Selector::from(labels),
                unmarked: BTreeSet::new(),
                service_ips: Vec::new(),
            });
        }
        let matching = self.cluster.matching_pods(pods, namespace).await?;
        if matching.is_empty() {
            return Err(self.refuse(&format!(
                "no running pod in namespace `{namespace}` matches the peer {}\nhelp: `kubectl -n {namespace} get pods \
                 --show-labels` shows what could be matched",
                selector_text(pods)
            )));
        }
        let role = format!("p{}-{number}", self.at);
        let label =
            (labels::mark(&self.options.run, self.options.serial, &role, self.wish.name), self.options.run.clone());
        for pod in &matching {
            marks.push(Mark { object: pod_key(pod), label: label.0.clone(), value: label.1.clone() });
        }
        found.marked.push(MarkedPeer {
            part: self.at,
            selector: pods.clone(),
            namespace: namespace.to_owned(),
            label: label.clone(),
        });
        Ok(Peer::Pods {
            namespace: namespace.to_owned(),
            selector: Selector::label(label.0, label.1),
            unmarked: matching.into_iter().map(|pod| pod.name).collect(),
            service_ips: Vec::new(),
        })
    }

    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, PlanError> {
        let found = tokio::net::lookup_host((host, 0))
            .await
            .map_err(|error| self.refuse(&format!("the host `{host}` could not be resolved: {error}")))?;
        let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
        addresses.sort();
        addresses.dedup();
        Ok(addresses)
    }
}

fn record(object: &Value) -> ObjectRecord {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    ObjectRecord {
        api_version: text(&object["apiVersion"]),
        kind: text(&object["kind"]),
        namespace: text(&object["metadata"]["namespace"]),
        name: text(&object["metadata"]["name"]),
        manifest: object.clone(),
    }
}
