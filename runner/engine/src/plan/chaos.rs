//! Planning faults by Chaos Mesh: targets and peers in, resources, driver and description out.

mod draft;
mod ends;
mod inside;
mod limits;
mod links;
mod network;
mod overlap;
mod place;

use std::time::Duration;

use shakedown_schemas::Explained;
use shakedown_schemas::result::ObjectRecord;
use shakedown_schemas::scenario::{Fault, Phase, Prove};
use shakedown_schemas::units::Duration as Written;

use super::error::PlanError;
use super::options::Options;
use super::request::ChaosRequest;
use super::spec::{Action, Planned};
use place::find_place;
use shakedown_cluster::{Cluster, Installation, Kind};
use shakedown_faults::FaultPlan;
use shakedown_faults::chaos::fitness::{Needs, hindrances};
use shakedown_faults::chaos::spec::Inside;
use shakedown_faults::chaos::{ChaosSpec, Naming, container_names, object};
use shakedown_faults::partition::pod_key;

pub(super) use ends::can_tell;
pub(super) use overlap::{Standing, check as check_overlaps};

/// How to install Chaos Mesh.
pub(super) const INSTALL: &str = "install it (`helm install chaos-mesh chaos-mesh/chaos-mesh -n chaos-mesh --create-namespace`, with \
                       chaosDaemon.runtime and chaosDaemon.socketPath for the cluster's container runtime), then look with \
                       `shakedown doctor`";

/// Plans one fault.
pub(super) async fn plan(
    request: ChaosRequest<'_>,
    phase: &Phase,
    cluster: &Cluster,
    namespace: &str,
    options: &Options,
    installed: &Installation,
) -> Result<(Planned, Standing), PlanError> {
    let refuse = |why: Explained| PlanError::fault(request.name, why);
    let home = request.targets.first().map_or_else(|| namespace.to_owned(), |pod| pod.namespace.clone());
    let mut targets = Vec::new();
    for pod in &request.targets {
        let Some(there) = cluster.get(&pod_key(pod)).await? else {
            return Err(refuse(format!("target pod {} is gone", pod.name).into()));
        };
        targets.push((Inside { pod: pod.clone(), containers: container_names(&there) }, there));
    }
    let draft = match request.fault {
        Fault::Netem(it) => links::netem(&request, it.clone(), &targets, cluster, namespace).await?,
        Fault::Partition(it) => links::partition(&request, it.clone(), &targets, cluster, namespace).await?,
        _ => inside::draft(&request, &targets, cluster).await?,
    };
    let targets: Vec<Inside> = targets.into_iter().map(|(target, _)| target).collect();
    let resources = draft.recipe.resources(&targets);
    let served = cluster.chaos_kinds().await?;
    if let Some(missing) = resources.iter().find(|resource| !served.contains(resource.kind.plural())) {
        let what = if served.is_empty() {
            "needs Chaos Mesh, which is not installed in this cluster".to_owned()
        } else {
            format!("needs {}, which this cluster's Chaos Mesh does not have", missing.kind.name())
        };
        return Err(refuse(Explained::new(format!("{} {what}", request.fault.kind()), INSTALL)));
    }
    let taken = request.fault.info().chaos_mesh();
    let needs =
        Needs { daemon: taken.is_none_or(|it| it.needs_daemon), names: taken.is_some_and(|it| it.needs_dns_server) };
    let pods = request.targets.iter().chain(&draft.far);
    let place = find_place(pods, &resources, cluster, installed).await?;
    if let Some(first) = hindrances(installed, &place, needs).into_iter().next() {
        return Err(refuse(first));
    }
    let after = request.fault.after().get();
    let lasts = request.fault.lasts().map(Written::get);
    let planned = lasts.unwrap_or_else(|| phase.duration.get().saturating_sub(after));
    let naming = Naming {
        run: options.run.clone(),
        serial: options.serial,
        number: request.number,
        fault: request.name.to_owned(),
        namespace: home.clone(),
        // The backup of the fuse. It must end later than any undo of the runner.
        duration: planned + MARGIN + options.chaos.active,
    };
    let objects: Vec<ObjectRecord> =
        resources.iter().map(|resource| ObjectRecord::from(&object(resource, &naming, 0))).collect();
    let mut description = draft.text;
    if resources.len() > 1 {
        description
            .push_str(&format!(" It consists of {} resources and is active when all of them are.", resources.len()));
    }
    if let Some(why) = &request.why {
        description.push_str(&format!(" By Chaos Mesh, because {why}."));
    }
    let plan = FaultPlan {
        name: request.name.to_owned(),
        phase: request.phase,
        kind: request.fault.kind(),
        engine: "chaos-mesh",
        description,
        targets: request.targets.clone(),
        peers: draft.peers,
        objects,
        marks: Vec::new(),
        namespaces: vec![home],
        after,
        lasts,
        effect: draft.effect,
    };
    let standing = Standing {
        fault: request.name.to_owned(),
        phase: request.phase,
        begin: after,
        end: after + planned,
        resources,
    };
    let spec = ChaosSpec {
        naming,
        targets,
        recipe: draft.recipe,
        follow: draft.follow,
        observe: request.fault.prove() != Prove::Applied,
        limits: options.chaos.clone(),
    };
    Ok(((plan, Action::ChaosMesh(Box::new(spec))), standing))
}

/// The margin of Chaos Mesh's own time limit.
const MARGIN: Duration = Duration::from_secs(60);

/// Whether Chaos Mesh can make a partition here. Its definitions are not enough: its controller has to run.
pub(super) async fn can_partition(cluster: &Cluster) -> Result<bool, PlanError> {
    if !cluster.chaos_kinds().await?.contains(Kind::NetworkChaos.plural()) {
        return Ok(false);
    }
    if cluster.capabilities().serves_chaos {
        return Ok(true);
    }
    let installed = cluster.chaos_programs().await?;
    // If the account may not look for the controller, assume that it runs.
    Ok(!installed.controllers.is_empty() || installed.unreadable.iter().any(|what| what == "deployments"))
}

#[cfg(test)]
mod tests;
