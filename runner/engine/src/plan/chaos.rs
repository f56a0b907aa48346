//! Planning faults by Chaos Mesh: targets and peers in, resources, driver and description out.

mod ends;
mod inside;
mod links;
mod overlap;

use std::time::Duration;

use serde_json::Value;
use shakedown_schemas::result::{ObjectRecord, PodRef};
use shakedown_schemas::scenario::{Fault, Phase};
use shakedown_schemas::units::Duration as Written;

use super::faults::{Planned, record};
use super::{Options, PlanError};
use shakedown_cluster::{Cluster, ClusterError, Installation, Kind, ObjectKey};
use shakedown_faults::FaultPlan;
use shakedown_faults::chaos::fitness::{Needs, Place, hindrances};
use shakedown_faults::chaos::spec::{self, Inside, Resource};
use shakedown_faults::chaos::{ChaosFault, Make, Naming, Order, container_names, object};
use shakedown_faults::effect::Wanted;
use shakedown_faults::partition::pod_key;

pub(super) use ends::can_tell;
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
    /// The pods at the other end.
    far: Vec<PodRef>,
    follow: bool,
    effect: Wanted,
}

/// Plans one fault.
pub(super) async fn plan(
    wish: Wish<'_>,
    phase: &Phase,
    cluster: &Cluster,
    namespace: &str,
    options: &Options,
    installed: &Installation,
) -> Result<(Planned, Standing), PlanError> {
    let refuse = |text: String| PlanError::Scenario(format!("fault `{}`: {text}", wish.name));
    let home = wish.targets.first().map_or_else(|| namespace.to_owned(), |pod| pod.namespace.clone());
    let mut targets = Vec::new();
    for pod in &wish.targets {
        let Some(there) = cluster.get(&pod_key(pod)).await? else {
            return Err(refuse(format!("target pod {} is gone", pod.name)));
        };
        targets.push((Inside { pod: pod.clone(), containers: container_names(&there) }, there));
    }
    let deed = match wish.fault {
        Fault::Netem(it) => links::netem(&wish, it.clone(), &targets, cluster, namespace).await?,
        Fault::Partition(it) => links::partition(&wish, it.clone(), &targets, cluster, namespace).await?,
        _ => inside::deed(&wish, &targets, cluster).await?,
    };
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
    let taken = wish.fault.info().chaos_mesh();
    let needs =
        Needs { daemon: taken.is_none_or(|it| it.needs_daemon), names: taken.is_some_and(|it| it.needs_dns_server) };
    let pods = wish.targets.iter().chain(&deed.far);
    let place = find_place(pods, &resources, cluster, installed).await?;
    if let Some(first) = hindrances(installed, &place, needs).into_iter().next() {
        return Err(refuse(format!("{}\nhelp: {}", first.text, first.help)));
    }
    let after = wish.fault.after().get();
    let lasts = wish.fault.lasts().map(Written::get);
    let planned = lasts.unwrap_or_else(|| phase.duration.get().saturating_sub(after));
    let naming = Naming {
        run: options.run.clone(),
        serial: options.serial,
        number: wish.number,
        fault: wish.name.to_owned(),
        namespace: home.clone(),
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
        namespaces: vec![home],
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

/// Where pods are, as far as an installation has to be compared with it.
async fn find_place(
    pods: impl Iterator<Item = &PodRef>,
    resources: &[Resource],
    cluster: &Cluster,
    installed: &Installation,
) -> Result<Place, ClusterError> {
    let mut place = Place::default();
    if installed.controllers.is_empty() {
        return Ok(place);
    }
    let all = nodes(cluster).await?;
    for pod in pods {
        if !place.namespaces.contains_key(&pod.namespace) {
            let name = pod.namespace.clone();
            let key = ObjectKey { kind: Kind::Namespace, namespace: String::new(), name, uid: None };
            let object = match cluster.get(&key).await {
                Err(ClusterError::Forbidden { .. }) => None,
                object => object?,
            };
            let annotated = object.map(|it| it["metadata"]["annotations"]["chaos-mesh.org/inject"] == "enabled");
            place.namespaces.insert(pod.namespace.clone(), annotated);
        }
        // At an end that is only told by its address nothing has to be done.
        let acted = resources.iter().any(|it| it.shapes.is_empty() || it.shapes.contains(&spec::pod_id(pod)));
        if let Some(node) = pod.node.as_ref().filter(|_| acted) {
            let there = all.iter().find(|it| it["metadata"]["name"] == node.as_str());
            let runtime = there.and_then(|it| it["status"]["nodeInfo"]["containerRuntimeVersion"].as_str());
            place.nodes.insert(node.clone(), runtime.map(str::to_owned));
        }
    }
    Ok(place)
}

/// The nodes, where this account may read them.
async fn nodes(cluster: &Cluster) -> Result<Vec<Value>, ClusterError> {
    match cluster.list(Kind::other("v1", "Node", "nodes"), "", None).await {
        Err(ClusterError::Forbidden { .. } | ClusterError::NotFound(_)) => Ok(Vec::new()),
        nodes => nodes,
    }
}

/// Whether Chaos Mesh can do a partition here. Definitions alone do nothing: somebody has to act on them.
pub(super) async fn can_partition(cluster: &Cluster) -> Result<bool, PlanError> {
    if !cluster.chaos_kinds().await?.contains(Kind::NetworkChaos.plural()) {
        return Ok(false);
    }
    if cluster.info().sandbox {
        return Ok(true);
    }
    let installed = cluster.chaos_programs().await?;
    // An account that may not look for it is believed that it is there.
    Ok(!installed.controllers.is_empty() || installed.unreadable.iter().any(|what| what == "deployments"))
}

#[cfg(test)]
mod tests;
