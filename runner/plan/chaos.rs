//! Planning faults by Chaos Mesh: targets and peers in, resources, driver and description out.

mod ends;
mod overlap;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use shakedown_schemas::result::{ObjectRecord, PodRef};
use shakedown_schemas::scenario::{Direction, Fault, Netem, Partition, Phase, Prove};
use shakedown_schemas::units::Duration as Written;

use super::faults::{Planned, record};
use super::{Options, PlanError};
use crate::cluster::{Cluster, Kind};
use crate::faults::FaultPlan;
use crate::faults::chaos::spec::{self, Ends, Inside, Resource};
use crate::faults::chaos::{ChaosFault, Make, Naming, Order, container_names, object};
use crate::faults::effect::Wanted;
use crate::faults::partition::pod_key;

pub(super) use overlap::{Standing, check as check_overlaps};

/// Where to get it.
const INSTALL: &str = "install it (`helm install chaos-mesh chaos-mesh/chaos-mesh -n chaos-mesh --create-namespace`, with \
                       chaosDaemon.runtime and chaosDaemon.socketPath for the cluster's container runtime), then look with \
                       `shakedown doctor`";

/// A fault that Chaos Mesh is to do, with its targets found.
pub(super) struct Wish<'a> {
    pub name: &'a str,
    /// Its number in the scenario.
    pub number: usize,
    pub phase: usize,
    pub fault: &'a Fault,
    pub targets: Vec<PodRef>,
    /// Why Chaos Mesh does it, where that was a choice.
    pub why: Option<String>,
}

/// What the fault does, and between whom.
struct Deed {
    make: Make,
    text: String,
    peers: Vec<String>,
    follow: bool,
    effect: Wanted,
}

/// Makes the one resource of a fault inside pods.
type MakeOne = Box<dyn Fn(&[Inside]) -> Resource + Send + Sync>;

/// Plans one fault.
pub(super) async fn plan(
    wish: Wish<'_>,
    phase: &Phase,
    cluster: &Cluster,
    namespace: &str,
    options: &Options,
) -> Result<(Planned, Standing), PlanError> {
    let refuse = |text: String| PlanError::Scenario(format!("fault `{}`: {text}", wish.name));
    let place = wish.targets.first().map_or_else(|| namespace.to_owned(), |pod| pod.namespace.clone());
    let mut targets = Vec::new();
    for pod in &wish.targets {
        let Some(there) = cluster.get(&pod_key(pod)).await? else {
            return Err(refuse(format!("target pod {} is gone", pod.name)));
        };
        targets.push((Inside { pod: pod.clone(), containers: container_names(&there) }, there));
    }
    let deed = deed(&wish, &targets, cluster, namespace).await?;
    let targets: Vec<Inside> = targets.into_iter().map(|(target, _)| target).collect();
    let resources = (deed.make)(&targets);
    let served = cluster.chaos_kinds().await?;
    if let Some(missing) = resources.iter().find(|resource| !served.contains(resource.kind.plural())) {
        let what = if served.is_empty() {
            "needs Chaos Mesh, which is not installed in this cluster".to_owned()
        } else {
            format!("needs {}, which this cluster's Chaos Mesh does not have", missing.kind.name())
        };
        return Err(refuse(format!("{} {what}\nhelp: {INSTALL}", wish.fault.kind())));
    }
    let after = wish.fault.after().get();
    let lasts = wish.fault.lasts().map(Written::get);
    let planned = lasts.unwrap_or_else(|| phase.duration.get().saturating_sub(after));
    let naming = Naming {
        run: options.run.clone(),
        serial: options.serial,
        number: wish.number,
        fault: wish.name.to_owned(),
        namespace: place.clone(),
        // The second line, behind the fuse: it has to be later than any undo of ours.
        duration: planned + options.fuse_margin.unwrap_or(DEFAULT_MARGIN) + options.chaos.active,
    };
    let objects: Vec<ObjectRecord> = resources.iter().map(|resource| record(&object(resource, &naming, 0))).collect();
    let mut description = deed.text;
    if resources.len() > 1 {
        description.push_str(&format!(" It takes {} resources, and is active when all of them are.", resources.len()));
    }
    if let Some(why) = &wish.why {
        description.push_str(&format!(" By Chaos Mesh, because {why}."));
    }
    let plan = FaultPlan {
        name: wish.name.to_owned(),
        phase: wish.phase,
        kind: wish.fault.kind(),
        engine: "chaos-mesh",
        description,
        targets: wish.targets.clone(),
        peers: deed.peers,
        objects,
        marks: Vec::new(),
        namespaces: vec![place],
        after,
        lasts,
        effect: deed.effect,
    };
    let standing =
        Standing { fault: wish.name.to_owned(), phase: wish.phase, begin: after, end: after + planned, resources };
    let order = Order {
        cluster: cluster.clone(),
        naming,
        targets,
        make: deed.make,
        follow: deed.follow,
        limits: options.chaos.clone(),
    };
    Ok(((plan, Box::new(ChaosFault::new(order))), standing))
}

/// The margin of Chaos Mesh's own limit where there is no fuse.
const DEFAULT_MARGIN: Duration = Duration::from_secs(60);

async fn deed(
    wish: &Wish<'_>,
    targets: &[(Inside, Value)],
    cluster: &Cluster,
    namespace: &str,
) -> Result<Deed, PlanError> {
    let inside = |make: MakeOne, text: String, follow: bool| Deed {
        make: Arc::new(move |targets| vec![make(targets)]),
        text,
        peers: Vec::new(),
        follow,
        effect: Wanted::Applied,
    };
    Ok(match wish.fault {
        Fault::Partition(it) => partition(wish, it.clone(), targets, cluster, namespace).await?,
        Fault::Netem(it) => netem(wish, it.clone(), targets, cluster, namespace).await?,
        Fault::PodFailure(it) => {
            let (follow, it) = (it.follow, it.clone());
            let text = "The containers of the targets run an image that does nothing.".to_owned();
            inside(Box::new(move |targets| spec::pod_failure(&it, targets)), text, follow)
        }
        Fault::ContainerKill(it) => {
            check_containers(wish.name, &it.containers, targets)?;
            let text =
                format!("The containers {} are killed once; the kubelet starts them again.", it.containers.join(", "));
            let it = it.clone();
            inside(Box::new(move |targets| spec::container_kill(&it, targets)), text, false)
        }
        Fault::Stress(it) => {
            check_containers(wish.name, &it.containers, targets)?;
            let cpu = it.cpu.as_ref().map(|cpu| {
                let load = cpu.load.map_or_else(|| "100%".to_owned(), |load| load.to_string());
                format!("{} processes take {load} of a core each", cpu.workers)
            });
            let memory = it.memory.as_ref().map(|memory| format!("{} of memory are taken", memory.size));
            let what: Vec<String> = cpu.into_iter().chain(memory).collect();
            let (follow, it) = (it.follow, it.clone());
            let text = format!("In each target {}, within the container's limits.", what.join(" and "));
            inside(Box::new(move |targets| spec::stress(&it, targets)), text, follow)
        }
        Fault::Http(it) => {
            let mut what = Vec::new();
            if it.abort {
                what.push("are broken off".to_owned());
            }
            what.extend(it.delay.map(|delay| format!("are answered {delay} later")));
            what.extend(it.status.map(|status| format!("are answered with status {status}")));
            let which = [it.method.clone(), it.path.as_ref().map(|path| format!("to {path}"))];
            let which: Vec<String> = which.into_iter().flatten().collect();
            let which =
                if which.is_empty() { "All requests".to_owned() } else { format!("Requests {}", which.join(" ")) };
            let text = format!(
                "{which} on port {} {}, on connections that are opened from then on; the proxy that does so can break other \
                 connections of the pod.",
                it.port,
                what.join(" and ")
            );
            let (follow, it) = (it.follow, it.clone());
            inside(Box::new(move |targets| spec::http(&it, targets)), text, follow)
        }
        Fault::Dns(it) => {
            let which = if it.patterns.is_empty() { "all names".to_owned() } else { it.patterns.join(", ") };
            let text = format!("Questions for {which} get a wrong answer; answers that applications keep stay right.");
            let (follow, it) = (it.follow, it.clone());
            inside(Box::new(move |targets| spec::dns(&it, targets)), text, follow)
        }
        Fault::Io(it) => {
            check_containers(wish.name, &it.containers, targets)?;
            let what = match (it.delay, it.error) {
                (Some(delay), _) => format!("take {delay} longer"),
                (None, Some(error)) => format!("fail with {error:?}"),
                (None, None) => String::new(),
            };
            let text = format!("Operations on files of {} {what}; what is being written may be damaged.", it.volume);
            let (follow, it) = (it.follow, it.clone());
            inside(Box::new(move |targets| spec::io(&it, targets)), text, follow)
        }
        Fault::Time(it) => {
            check_containers(wish.name, &it.containers, targets)?;
            let text = format!("The clocks that the targets' processes see are wrong by {}.", it.offset);
            let (follow, it) = (it.follow, it.clone());
            inside(Box::new(move |targets| spec::time(&it, targets)), text, follow)
        }
        Fault::PodKill(_) | Fault::Manifest(_) => {
            return Err(PlanError::Scenario(format!("fault `{}` is not one of Chaos Mesh's", wish.name)));
        }
    })
}

fn check_containers(fault: &str, wanted: &[String], targets: &[(Inside, Value)]) -> Result<(), PlanError> {
    for (target, _) in targets {
        if let Some(missing) = wanted.iter().find(|name| !target.containers.contains(name)) {
            return Err(PlanError::Scenario(format!(
                "fault `{fault}`: pod {} has no container `{missing}`\nhelp: it has {}",
                target.pod.name,
                target.containers.join(", ")
            )));
        }
    }
    Ok(())
}

/// What Chaos Mesh does to networks, it does by a pod's own address, in version 4.
fn check_network(fault: &str, what: &str, pod: &PodRef, object: &Value) -> Result<(), PlanError> {
    let refuse = |text: &str| Err(PlanError::Scenario(format!("fault `{fault}`: {what} pod {} {text}", pod.name)));
    if object["spec"]["hostNetwork"] == true {
        return refuse("uses its node's network, which Chaos Mesh does not touch\nhelp: choose other pods");
    }
    match pod.ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok()) {
        Some(IpAddr::V4(_)) => Ok(()),
        Some(IpAddr::V6(_)) => refuse("has an IPv6 address, and Chaos Mesh knows only IPv4\nhelp: choose other pods"),
        None => refuse("has no address yet\nhelp: wait until it runs"),
    }
}

async fn netem(
    wish: &Wish<'_>,
    netem: Netem,
    targets: &[(Inside, Value)],
    cluster: &Cluster,
    namespace: &str,
) -> Result<Deed, PlanError> {
    for (target, there) in targets {
        check_network(wish.name, "target", &target.pod, there)?;
    }
    let effect = match netem.prove {
        Prove::Traffic => Wanted::Traffic,
        Prove::Auto | Prove::Witness | Prove::Applied => Wanted::Applied,
    };
    let what = qualities(&netem);
    let follow = netem.follow;
    if netem.to.is_empty() {
        let text = format!("Of everything that the targets send, {what}. What they receive is as before.");
        let make: Make = Arc::new(move |targets| spec::netem(&netem, &pods(targets), None, Direction::Egress));
        return Ok(Deed { make, text, peers: vec!["everybody".to_owned()], follow, effect });
    }
    let reader = ends::Reader { fault: wish.name, cluster, namespace, targets: &wish.targets };
    let found = reader.ends(&netem.to).await?;
    // Packets are shaped where they are sent, and ports only tell those that go to the peers.
    let by_default = if found.one_way { Direction::Egress } else { Direction::Both };
    let direction = netem.direction.unwrap_or(by_default);
    if direction.has_ingress() && found.ends.pods.is_empty() {
        return Err(PlanError::Scenario(format!(
            "fault `{}`: no peer is a pod of this cluster, and packets are shaped where they are sent\nhelp: write \
             `direction: egress`",
            wish.name
        )));
    }
    let way = match direction {
        Direction::Egress => "Of what the targets send to the peers",
        Direction::Ingress => "Of what the peers send to the targets",
        Direction::Both => "Of what the targets and the peers send to each other, each way",
    };
    let mut text = format!("{way}, {what}. Every other link is as before.");
    let more = netem.delay.is_some() || netem.loss.or(netem.duplicate).or(netem.corrupt).is_some();
    if netem.bandwidth.is_some() && more {
        text.push_str(
            " Up to 1000 packets wait for the bandwidth, the queue that Chaos Mesh gives it together with the rest.",
        );
    }
    for note in &found.notes {
        text.push_str(&format!(" Note: {note}."));
    }
    let ends = found.ends;
    let make: Make = Arc::new(move |targets| spec::netem(&netem, &pods(targets), Some(&ends), direction));
    Ok(Deed { make, text, peers: found.described, follow, effect })
}

/// What becomes worse, in words.
fn qualities(netem: &Netem) -> String {
    let mut all = Vec::new();
    all.extend(netem.loss.map(|share| format!("{share} are lost")));
    all.extend(netem.delay.map(|delay| match netem.jitter {
        Some(jitter) => format!("each arrives {delay} ± {jitter} later"),
        None => format!("each arrives {delay} later"),
    }));
    all.extend(netem.duplicate.map(|share| format!("{share} arrive twice")));
    all.extend(netem.corrupt.map(|share| format!("{share} arrive damaged")));
    all.extend(netem.reorder.map(|share| format!("{share} overtake the others")));
    all.extend(netem.bandwidth.map(|bandwidth| {
        let bytes = bandwidth.bits_per_second() / 8;
        format!("at most {bandwidth} ({bytes} bytes a second) pass")
    }));
    all.join(", ")
}

fn pods(targets: &[Inside]) -> Vec<PodRef> {
    targets.iter().map(|target| target.pod.clone()).collect()
}

async fn partition(
    wish: &Wish<'_>,
    partition: Partition,
    targets: &[(Inside, Value)],
    cluster: &Cluster,
    namespace: &str,
) -> Result<Deed, PlanError> {
    for (target, there) in targets {
        check_network(wish.name, "target", &target.pod, there)?;
    }
    let reader = ends::Reader { fault: wish.name, cluster, namespace, targets: &wish.targets };
    let found = reader.ends(&partition.from).await?;
    // With ports only what goes to them can be told, and that suffices: no answer comes to what never arrived.
    let by_ports = partition.from.iter().any(|peer| !peer.ports.is_empty());
    let direction = if by_ports { Direction::Egress } else { partition.direction };
    let mut text = match direction {
        Direction::Both => "No packet passes between the two ends, on connections old and new. Every other link is as before.",
        Direction::Egress => "No packet of the targets reaches the peers. Chaos Mesh drops packets and not connections, so those that the peers open to them fail as well.",
        Direction::Ingress => "No packet of the peers reaches the targets. Chaos Mesh drops packets and not connections, so those that the targets open to them fail as well.",
    }
    .to_owned();
    for note in found.notes.iter().filter(|note| !note.contains("answers")) {
        text.push_str(&format!(" Note: {note}."));
    }
    let (ends, follow): (Ends, bool) = (found.ends, partition.follow);
    let effect = match partition.prove {
        Prove::Traffic => Wanted::Traffic,
        Prove::Auto | Prove::Witness | Prove::Applied => Wanted::Applied,
    };
    let make: Make = Arc::new(move |targets| spec::partition(&pods(targets), &ends, direction));
    Ok(Deed { make, text, peers: found.described, follow, effect })
}

/// Whether Chaos Mesh can do a partition here. Definitions alone do nothing: somebody has to act on them.
pub(super) async fn can_partition(cluster: &Cluster) -> Result<bool, PlanError> {
    if !cluster.chaos_kinds().await?.contains(Kind::NetworkChaos.plural()) {
        return Ok(false);
    }
    if cluster.info().sandbox {
        return Ok(true);
    }
    let installed = cluster.chaos_installation().await?;
    // An account that may not look for it is believed that it is there.
    Ok(!installed.controllers.is_empty() || installed.unreadable.iter().any(|what| what == "deployments"))
}
