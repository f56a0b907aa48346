//! Computes the resources of Chaos Mesh for a fault. Pure. The parent module creates and removes them.
//!
//! Resources select pods by their exact names and spell out every default. An installation without webhooks fills in
//! nothing, and a misspelled selector would select the whole namespace.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json};
use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::{
    Clock, ContainerKill, Direction, DnsAnswer, DnsFault, HttpFault, IoFault, Netem, PodFailure, Stress, TimeFault,
};

use super::units;
use shakedown_cluster::Kind;

/// One resource of Chaos Mesh for a fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// Its kind.
    pub kind: Kind,
    /// Its role: one word that distinguishes it from the fault's other resources.
    pub role: &'static str,
    /// Its spec, without `duration`.
    pub spec: Value,
    /// The exact records that its status must list.
    pub records: BTreeSet<Record>,
    /// The pods on whose network it acts, as `namespace/name`.
    pub shapes: BTreeSet<String>,
    /// Whether it acts only on links to some peers. Two such resources on one pod override each other.
    pub filtered: bool,
    /// Whether it lasts. Kills do not.
    pub lasts: bool,
    /// What the pods' status shows while it acts. `None` if it shows nothing.
    pub shows: Option<Shows>,
}

/// The effect on programs, as the status of their pods shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// No program runs while the resource acts.
    Stopped,
    /// The programs of the records have ended once.
    Killed,
}

/// One record in a resource's status: the selected pod or container, and its end of the link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// `namespace/pod` or `namespace/pod/container`.
    pub id: String,
    /// `.` for the selected pods, `.Target` for the other end.
    pub key: &'static str,
}

/// The peers of links, in the forms that Chaos Mesh supports.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Ends {
    /// Pods, matched by their addresses.
    pub pods: Vec<PodRef>,
    /// Addresses, blocks and addresses with ports that belong only to the peers: services' own addresses, or external ones.
    pub addresses: BTreeSet<String>,
    /// Addresses of services that lead only to the fault's targets, as the peers use them.
    pub back: BTreeSet<String>,
}

/// `namespace/name`.
pub fn pod_id(pod: &PodRef) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}

fn selector(pods: &[PodRef]) -> Value {
    let mut named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for pod in pods {
        named.entry(&pod.namespace).or_default().insert(&pod.name);
    }
    json!({"namespaces": named.keys().collect::<Vec<_>>(), "pods": named})
}

fn records(pods: &[PodRef], key: &'static str) -> impl Iterator<Item = Record> {
    pods.iter().map(move |pod| Record { id: pod_id(pod), key })
}

/// The shaped packets of the links between two ends, as seen from the end that the resource selects.
struct LinkSide<'a> {
    role: [&'static str; 2],
    direction: &'static str,
    from: &'a [PodRef],
    to: Option<(&'a [PodRef], &'a BTreeSet<String>)>,
    device: Option<&'a str>,
}

impl LinkSide<'_> {
    fn network(&self, role: usize, action: &str, blocks: Map<String, Value>) -> Resource {
        let mut spec = json!({
            "action": action,
            "mode": "all",
            "selector": selector(self.from),
            "direction": self.direction,
        });
        if let Some(device) = self.device {
            spec["device"] = json!(device);
        }
        let mut selected: BTreeSet<Record> = records(self.from, ".").collect();
        let mut shapes: BTreeSet<String> = self.from.iter().map(pod_id).collect();
        if let Some((pods, addresses)) = self.to {
            if !pods.is_empty() {
                spec["target"] = json!({"mode": "all", "selector": selector(pods)});
                selected.extend(records(pods, ".Target"));
                if self.direction != "to" || action == "partition" {
                    shapes.extend(pods.iter().map(pod_id));
                }
            }
            if !addresses.is_empty() {
                spec["externalTargets"] = json!(addresses);
            }
        }
        for (key, block) in blocks {
            spec[key] = block;
        }
        Resource {
            kind: Kind::NetworkChaos,
            role: self.role[role],
            spec,
            records: selected,
            shapes,
            filtered: self.to.is_some(),
            lasts: true,
            shows: None,
        }
    }
}

/// The sides of links between targets and peers, for a direction seen from the targets. Without peers, they cover all
/// packets that the targets send.
fn sides<'a>(
    targets: &'a [PodRef],
    ends: Option<&'a Ends>,
    direction: Direction,
    device: Option<&'a str>,
) -> Vec<LinkSide<'a>> {
    let Some(ends) = ends else {
        return vec![LinkSide { role: ["out", "out-rate"], direction: "to", from: targets, to: None, device }];
    };
    let to = LinkSide {
        role: ["to", "to-rate"],
        direction: "to",
        from: targets,
        to: Some((&ends.pods, &ends.addresses)),
        device,
    };
    if ends.pods.is_empty() || !direction.has_ingress() {
        return vec![to];
    }
    if direction == Direction::Both && ends.addresses.is_empty() && ends.back.is_empty() {
        return vec![LinkSide { role: ["both", "both-rate"], direction: "both", ..to }];
    }
    // Packets of the peers are shaped at the peers. Addresses are only possible at the far end, so this is another
    // resource, seen from the peers.
    let back = LinkSide {
        role: ["back", "back-rate"],
        direction: "to",
        from: &ends.pods,
        to: Some((targets, &ends.back)),
        device: None,
    };
    if direction.has_egress() { vec![to, back] } else { vec![back] }
}

/// The resources of a degradation of links.
pub fn netem(netem: &Netem, targets: &[PodRef], ends: Option<&Ends>, direction: Direction) -> Vec<Resource> {
    let blocks = blocks(netem);
    let mut made = Vec::new();
    for side in sides(targets, ends, direction, netem.device.as_deref()) {
        let Some(bandwidth) = netem.bandwidth else {
            made.push(side.network(0, "netem", blocks.clone()));
            continue;
        };
        if !blocks.is_empty() && side.to.is_some() {
            // Two resources on some links of a pod override each other, so one resource contains both.
            let mut blocks = blocks.clone();
            blocks.insert("rate".to_owned(), json!({"rate": units::rate(bandwidth)}));
            made.push(side.network(0, "netem", blocks));
            continue;
        }
        if !blocks.is_empty() {
            made.push(side.network(0, "netem", blocks.clone()));
        }
        let (limit, buffer) = units::bucket(bandwidth, netem.delay.unwrap_or_default().get());
        let bucket = json!({"rate": units::rate(bandwidth), "limit": limit, "buffer": buffer});
        made.push(side.network(1, "bandwidth", Map::from_iter([("bandwidth".to_owned(), bucket)])));
    }
    made
}

/// The degradations other than the bandwidth, as blocks of one resource.
fn blocks(netem: &Netem) -> Map<String, Value> {
    let correlation = units::percent(netem.correlation.unwrap_or_default());
    let mut blocks = Map::new();
    for (key, share) in [("loss", netem.loss), ("duplicate", netem.duplicate), ("corrupt", netem.corrupt)] {
        if let Some(share) = share {
            blocks.insert(key.to_owned(), json!({key: units::percent(share), "correlation": correlation}));
        }
    }
    if let Some(latency) = netem.delay {
        let jitter = netem.jitter.map_or_else(|| "0ms".to_owned(), |jitter| units::time(jitter.get()));
        let mut delay = json!({"latency": units::time(latency.get()), "jitter": jitter, "correlation": correlation});
        if let Some(reorder) = netem.reorder {
            // The gap is the kernel's default: any packet may overtake.
            delay["reorder"] = json!({"reorder": units::percent(reorder), "correlation": correlation, "gap": 1});
        }
        blocks.insert("delay".to_owned(), delay);
    }
    blocks
}

/// The resources of a partition. One resource covers all directions and addresses.
pub fn partition(targets: &[PodRef], ends: &Ends, direction: Direction) -> Vec<Resource> {
    let (word, role) = match direction {
        Direction::Egress => ("to", "to"),
        Direction::Ingress => ("from", "from"),
        Direction::Both => ("both", "both"),
    };
    let to = Some((ends.pods.as_slice(), &ends.addresses));
    let side = LinkSide { role: [role, role], direction: word, from: targets, to, device: None };
    vec![side.network(0, "partition", Map::new())]
}

/// A target of a fault inside pods. Without a named container, the fault acts on the first one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inside {
    /// The pod.
    pub pod: PodRef,
    /// Its containers, in their order.
    pub containers: Vec<String>,
}

impl Inside {
    /// The containers that the fault acts on: the named ones, or else the first.
    pub fn chosen<'a>(&'a self, named: &'a [String]) -> impl Iterator<Item = &'a str> {
        let first = self.containers.iter().take(if named.is_empty() { 1 } else { 0 });
        named.iter().chain(first).map(String::as_str)
    }
}

fn whole(kind: Kind, role: &'static str, targets: &[Inside], fields: Value) -> Resource {
    let pods: Vec<PodRef> = targets.iter().map(|target| target.pod.clone()).collect();
    let mut spec = json!({"mode": "all", "selector": selector(&pods)});
    for (key, value) in fields.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    let records = records(&pods, ".").collect();
    Resource { kind, role, spec, records, shapes: BTreeSet::new(), filtered: false, lasts: true, shows: None }
}

/// The same for kinds that act on containers.
fn within(kind: Kind, role: &'static str, targets: &[Inside], containers: &[String], fields: Value) -> Resource {
    let mut made = whole(kind, role, targets, fields);
    if !containers.is_empty() {
        made.spec["containerNames"] = json!(containers);
    }
    made.records = targets
        .iter()
        .flat_map(|target| {
            let id = pod_id(&target.pod);
            target.chosen(containers).map(move |container| Record { id: format!("{id}/{container}"), key: "." })
        })
        .collect();
    made
}

/// The resource of pods that are made unusable.
pub fn pod_failure(_: &PodFailure, targets: &[Inside]) -> Resource {
    let made = whole(Kind::PodChaos, "failure", targets, json!({"action": "pod-failure"}));
    Resource { shows: Some(Shows::Stopped), ..made }
}

/// The resource of containers that are killed once.
pub fn container_kill(kill: &ContainerKill, targets: &[Inside]) -> Resource {
    let made = within(Kind::PodChaos, "kill", targets, &kill.containers, json!({"action": "container-kill"}));
    Resource { lasts: false, shows: Some(Shows::Killed), ..made }
}

/// The resource that consumes CPU time and memory.
pub fn stress(stress: &Stress, targets: &[Inside]) -> Resource {
    let mut stressors = json!({});
    if let Some(cpu) = &stress.cpu {
        let load = cpu.load.map_or(100, |load| (load.fraction() * 100.0).round() as u32);
        stressors["cpu"] = json!({"workers": cpu.workers, "load": load});
    }
    if let Some(memory) = &stress.memory {
        stressors["memory"] =
            json!({"workers": memory.workers.unwrap_or(1), "size": units::size(memory.size), "oomScoreAdj": 0});
    }
    within(Kind::StressChaos, "stress", targets, &stress.containers, json!({"stressors": stressors}))
}

/// The resource for requests that are aborted, delayed or answered with another status.
pub fn http(http: &HttpFault, targets: &[Inside]) -> Resource {
    let mut fields = json!({
        "target": if http.status.is_some() { "Response" } else { "Request" },
        "port": http.port,
    });
    if let Some(path) = &http.path {
        fields["path"] = json!(path);
    }
    if let Some(method) = &http.method {
        fields["method"] = json!(method);
    }
    if http.abort {
        fields["abort"] = json!(true);
    }
    if let Some(delay) = http.delay {
        fields["delay"] = json!(units::time(delay.get()));
    }
    if let Some(status) = http.status {
        fields["replace"] = json!({"code": status});
    }
    whole(Kind::HttpChaos, "http", targets, fields)
}

/// The resource for names that cannot be resolved.
pub fn dns(dns: &DnsFault, targets: &[Inside]) -> Resource {
    let action = match dns.answer {
        DnsAnswer::Error => "error",
        DnsAnswer::Random => "random",
    };
    let mut fields = json!({"action": action});
    if !dns.patterns.is_empty() {
        fields["patterns"] = json!(dns.patterns);
    }
    within(Kind::DnsChaos, "dns", targets, &[], fields)
}

/// The resource for file operations that are slow or fail.
pub fn io(io: &IoFault, targets: &[Inside]) -> Resource {
    let mut fields = json!({
        "action": if io.delay.is_some() { "latency" } else { "fault" },
        "volumePath": io.volume,
        "percent": io.share.map_or(100, |share| (share.fraction() * 100.0).round() as u32),
    });
    if let Some(path) = &io.path {
        fields["path"] = json!(path);
    }
    if let Some(delay) = io.delay {
        fields["delay"] = json!(units::time(delay.get()));
    }
    if let Some(error) = io.error {
        fields["errno"] = json!(error.number());
    }
    if !io.methods.is_empty() {
        fields["methods"] = json!(io.methods);
    }
    within(Kind::IoChaos, "io", targets, &io.containers, fields)
}

/// The resource for shifted clocks.
pub fn time(time: &TimeFault, targets: &[Inside]) -> Resource {
    let clocks = if time.clocks.is_empty() { &[Clock::Realtime][..] } else { &time.clocks };
    let clocks: Vec<&str> = clocks.iter().map(|clock| clock.id()).collect();
    let sign = if time.offset.is_back() { "-" } else { "" };
    let offset = format!("{sign}{}", units::time(time.offset.by().get()));
    within(Kind::TimeChaos, "time", targets, &time.containers, json!({"timeOffset": offset, "clockIds": clocks}))
}

#[cfg(test)]
mod combinations;
#[cfg(test)]
mod tests;
