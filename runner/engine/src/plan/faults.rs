//! Plans the faults of a scenario: their targets, their objects and the specs of their drivers.

mod manifest;
mod pod_kill;
mod victims;

use shakedown_schemas::Document;
use shakedown_schemas::Explained;
use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::{Direction, Engine, Fault, Partition, PodSelector, Prove, Sandbox};

use super::chaos::{self, can_partition, can_tell, check_overlaps};
use super::error::PlanError;
use super::options::Options;
use super::partition::{self, Refusal};
use super::request::{ChaosRequest, CutRequest, KubernetesRequest};
use super::spec::{Action, FaultSpec, Planned};
use super::words::selector_text;
use shakedown_cluster::{Cluster, Installation, choose, choose_of};
use shakedown_faults::enforcement::Enforcement;
use shakedown_faults::partition::PartitionsSpec;
use shakedown_faults::{ByKubernetes, FaultPlan};
use victims::{Taken, Victims};

/// The planned faults of a scenario.
#[derive(Default)]
pub(super) struct Faults {
    /// In the order of the file.
    pub faults: Vec<FaultSpec>,
    /// The policies that all partitions by NetworkPolicy share, if there are any.
    pub partitions: Option<PartitionsSpec>,
}

/// Plans all faults of a scenario.
pub(super) async fn plan(
    document: &Document,
    cluster: Option<&Cluster>,
    namespace: &str,
    options: &Options,
) -> Result<Faults, PlanError> {
    let scenario = &document.scenario;
    let mut policies = Vec::new();
    let mut resources = Vec::new();
    let mut planned: Vec<(usize, Planned)> = Vec::new();
    let mut victims = Victims::default();
    let mut number = 0;
    for (phase, it) in scenario.phases.iter().enumerate() {
        for (name, fault) in &it.faults {
            number += 1;
            let cluster = cluster.ok_or_else(|| PlanError::fault(name, "it needs a cluster"))?;
            if let (true, Sandbox::No(why)) = (cluster.capabilities().is_model, fault.info().facts.sandbox) {
                return Err(PlanError::fault(name, format!("the sandbox does not model {}: {why}", fault.kind())));
            }
            let targets = match fault.pods() {
                Some(selector) => {
                    let matching = matching(name, selector, cluster, namespace).await?;
                    untaken(name, fault, selector, &matching, &victims.taken(fault, (phase, it)), options)?
                }
                None => Vec::new(),
            };
            victims.add(name, fault, (phase, it), &targets);
            let request = |targets| KubernetesRequest {
                name,
                number,
                phase,
                fault,
                targets,
                namespace,
                scenario,
                cluster,
                options,
            };
            match fault {
                Fault::Partition(partition) if partition.engine != Engine::ChaosMesh => {
                    policies.push(CutRequest { name, number, phase, partition, targets });
                }
                Fault::PodKill(it) => planned.push((number, kubernetes(pod_kill::plan(&request(targets), it).await?))),
                Fault::Manifest(it) => planned.push((number, kubernetes(manifest::plan(&request(targets), it).await?))),
                Fault::Partition(_)
                | Fault::Netem(_)
                | Fault::PodFailure(_)
                | Fault::ContainerKill(_)
                | Fault::Stress(_)
                | Fault::Http(_)
                | Fault::Dns(_)
                | Fault::Io(_)
                | Fault::Time(_) => resources.push(ChaosRequest { name, number, phase, fault, targets, why: None }),
            }
        }
    }
    let Some(cluster) = cluster else { return Ok(Faults::default()) };
    // In some clusters, established connections survive a policy. Only Chaos Mesh's partition is complete there.
    let leaves_open = options.proof.enforcement.as_ref().and_then(Enforcement::leaves_open);
    if let Some(why) = &leaves_open
        && policies.iter().any(|request| may_choose(request.partition))
        && can_partition(cluster).await?
    {
        for request in std::mem::take(&mut policies) {
            if may_choose(request.partition) && can_tell(cluster, &request.partition.from, namespace).await? {
                resources.push(by_chaos(request, document, why.clone()));
            } else {
                policies.push(request);
            }
        }
    }
    // If the scenario leaves the choice, Chaos Mesh makes the partitions that NetworkPolicy cannot make exactly.
    let mut partitions = None;
    while !policies.is_empty() {
        match partition::plan(&policies, &scenario.phases, cluster, namespace, options).await {
            Ok((shared, made)) => {
                planned.extend(made);
                partitions = Some(shared);
                break;
            }
            Err(Refusal::Other(error)) => return Err(error),
            Err(Refusal::Unable(at, why, error)) => {
                if !may_choose(policies[at].partition) || !can_partition(cluster).await? {
                    return Err(error);
                }
                resources.push(by_chaos(policies.remove(at), document, why));
            }
        }
    }
    let mut standing = Vec::new();
    // A cluster that serves Chaos Mesh's objects itself has no installation to check.
    let installed = match resources.is_empty() || cluster.capabilities().serves_chaos {
        true => Installation::default(),
        false => cluster.chaos_programs().await?,
    };
    for request in resources {
        let (number, phase) = (request.number, &scenario.phases[request.phase]);
        let (made, its) = chaos::plan(request, phase, cluster, namespace, options, &installed).await?;
        planned.push((number, made));
        standing.push(its);
    }
    check_overlaps(&standing).map_or(Ok(()), |why| Err(PlanError::Scenario(why)))?;
    planned.sort_by_key(|(number, _)| *number);
    let faults = planned.into_iter().map(|(_, (plan, action))| FaultSpec::new(document, plan, action)).collect();
    Ok(Faults { faults, partitions })
}

/// A planned fault by the Kubernetes API alone.
fn kubernetes((plan, spec): (FaultPlan, impl Into<ByKubernetes>)) -> Planned {
    (plan, Action::Kubernetes(spec.into()))
}

/// Whether Chaos Mesh may make a partition as well: the scenario leaves the choice, and the effect is the same. A partition
/// in one direction differs: Chaos Mesh drops packets, and every connection needs packets in both directions.
fn may_choose(partition: &Partition) -> bool {
    partition.engine == Engine::Auto && partition.direction == Direction::Both && partition.prove != Prove::Witness
}

/// The request for a partition by Chaos Mesh, with the reason.
fn by_chaos<'a>(request: CutRequest<'a>, document: &'a Document, why: String) -> ChaosRequest<'a> {
    let CutRequest { name, number, phase, targets, .. } = request;
    let fault = &document.scenario.phases[phase].faults[name];
    ChaosRequest { name, number, phase, fault, targets, why: Some(why) }
}

/// The running pods that a fault's selector matches.
async fn matching(
    name: &str,
    selector: &PodSelector,
    cluster: &Cluster,
    namespace: &str,
) -> Result<Vec<PodRef>, PlanError> {
    let matching = cluster.matching_pods(selector, namespace).await?;
    if matching.is_empty() {
        let place = selector.namespace.as_deref().unwrap_or(namespace);
        let help = cluster.help_for_pods(selector, place).await;
        let text = selector_text(selector);
        return Err(PlanError::fault(
            name,
            Explained::new(format!("no running pod matches {text} in namespace `{place}`"), help),
        ));
    }
    Ok(matching)
}

/// The pods that a fault acts on: those of its selector that no other fault has killed by then.
fn untaken(
    name: &str,
    fault: &Fault,
    selector: &PodSelector,
    matching: &[PodRef],
    taken: &Taken<'_>,
    options: &Options,
) -> Result<Vec<PodRef>, PlanError> {
    let wanted = choose(matching, selector, options.seed, name).map_err(|why| PlanError::Scenario(why.into()))?.len();
    let free = |pod: &PodRef| !taken.contains_key(&pod.uid);
    choose_of(matching, free, selector, options.seed, name).map_err(|_| {
        let left = matching.iter().filter(|pod| free(pod)).count();
        let by = victims::names(taken, matching);
        let anew = if let Fault::PodKill(_) = fault {
            ", or write `follow: true` and a later `after` to choose of the pods that run then"
        } else {
            ""
        };
        PlanError::fault(
            name,
            Explained::new(
                format!(
                    "it acts on {wanted} of the pods of {}, but only {left} of them remain at that time: {by} ends the others",
                    selector_text(selector)
                ),
                format!(
                    "choose other pods, or fewer of them (`count`), or put the faults into separate scenarios{anew}"
                ),
            ),
        )
    })
}
