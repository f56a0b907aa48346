//! Plans the deletion or eviction of pods.

use shakedown_schemas::Explained;
use shakedown_schemas::scenario::PodKill;

use crate::plan::error::PlanError;
use crate::plan::request::KubernetesRequest;
use shakedown_faults::FaultPlan;
use shakedown_faults::partition::pod_key;
use shakedown_faults::pod_kill::{KillSpec, Selection, is_controlled};

pub(super) async fn plan(request: &KubernetesRequest<'_>, kill: &PodKill) -> Result<(FaultPlan, KillSpec), PlanError> {
    for pod in &request.targets {
        let there = request.cluster.get(&pod_key(pod)).await?;
        let Some(there) = there else { return Err(request.refuse(format!("target pod {} is gone", pod.name))) };
        if !is_controlled(&there) {
            return Err(request.refuse(Explained::new(
                format!("pod {} has no controller that would replace it, so a kill could not be undone", pod.name),
                "choose pods of a Deployment, a StatefulSet or another workload",
            )));
        }
    }
    let grace = kill.grace_period.map(|grace| u32::try_from(grace.get().as_secs()).unwrap_or(u32::MAX));
    let how = if kill.evict { "evicted, which a PodDisruptionBudget may forbid" } else { "deleted" };
    let end = match grace {
        None => "their containers get the grace period of their pod".to_owned(),
        Some(0) => "their containers get SIGTERM, and SIGKILL 2 s later".to_owned(),
        Some(seconds) => format!("their containers get a grace period of {seconds} s"),
    };
    let marks =
        request.targets.iter().map(|pod| format!("kill   pod/{} in namespace {}", pod.name, pod.namespace)).collect();
    let when =
        if kill.follow { " They are chosen again when the fault strikes, of the pods that run then." } else { "" };
    let description = format!("The targets are {how}; {end}. Their owner replaces them.{when}");
    let anew = kill.follow.then(|| Selection {
        pods: kill.pods.clone(),
        namespace: request.namespace.to_owned(),
        seed: request.options.seed,
        fault: request.name.to_owned(),
    });
    Ok((FaultPlan { marks, ..request.plan(description) }, KillSpec { grace, evict: kill.evict, anew }))
}
