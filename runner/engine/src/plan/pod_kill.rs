//! Plans the deletion or eviction of pods.

use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::PodKill;

use super::error::PlanError;
use super::spec::{Action, Planned};
use shakedown_cluster::Cluster;
use shakedown_faults::FaultPlan;
use shakedown_faults::effect::RequiredProof;
use shakedown_faults::partition::pod_key;
use shakedown_faults::pod_kill::KillSpec;

pub(super) async fn plan(
    name: &str,
    phase: usize,
    kill: &PodKill,
    targets: Vec<PodRef>,
    cluster: &Cluster,
) -> Result<Planned, PlanError> {
    for pod in &targets {
        let there = cluster.get(&pod_key(pod)).await?.unwrap_or_default();
        let owners = there["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        if !owners.into_iter().any(|owner| owner["controller"] == true) {
            return Err(PlanError::fault(
                name,
                format!(
                    "pod {} belongs to no controller that would make it anew, so killing it could not be made \
                 good\nhelp: choose pods of a Deployment, a StatefulSet or another workload",
                    pod.name
                ),
            ));
        }
    }
    let grace = kill.grace_period.map(|grace| u32::try_from(grace.get().as_secs()).unwrap_or(u32::MAX));
    let how = if kill.evict { "evicted, which a PodDisruptionBudget may forbid" } else { "deleted" };
    let end = match grace {
        None => "their containers get the time to end that each pod says".to_owned(),
        Some(0) => "their containers are killed at once".to_owned(),
        Some(seconds) => format!("their containers get {seconds} s to end"),
    };
    let mut namespaces: Vec<String> = targets.iter().map(|pod| pod.namespace.clone()).collect();
    namespaces.dedup();
    let marks = targets.iter().map(|pod| format!("kill   pod/{} in namespace {}", pod.name, pod.namespace)).collect();
    let plan = FaultPlan {
        name: name.to_owned(),
        phase,
        kind: "pod_kill",
        engine: "kubernetes",
        description: format!("The targets are {how}; {end}. Their owner makes new ones."),
        targets,
        peers: Vec::new(),
        objects: Vec::new(),
        marks,
        namespaces,
        after: kill.after.unwrap_or_default().get(),
        lasts: None,
        effect: RequiredProof::Applied,
    };
    Ok((plan, Action::PodKill(KillSpec { grace, evict: kill.evict })))
}
