//! From the faults of a scenario to their targets, their objects and the drivers that carry them out.

use serde_json::Value;
use shakedown_schemas::Scenario;
use shakedown_schemas::result::{ObjectRecord, PodRef};
use shakedown_schemas::scenario::{Direction, Engine, Fault, Partition, PodSelector, Prove, Sandbox};

use super::chaos::{self, can_partition, can_tell, check_overlaps};
use super::partition::{self, Refusal};
use super::words::selector_text;
use super::{Options, PlanError, manifest, pod_kill};
use shakedown_cluster::{Cluster, Installation, choose};
use shakedown_faults::enforcement::Enforcement;
use shakedown_faults::{FaultDriver, FaultPlan};

/// A fault and the driver that carries it out.
pub(super) type Planned = (FaultPlan, Box<dyn FaultDriver>);

/// Plans all faults of a scenario, in the order of the file.
pub(super) async fn plan(
    scenario: &Scenario,
    cluster: Option<&Cluster>,
    namespace: &str,
    options: &Options,
) -> Result<Vec<Planned>, PlanError> {
    let mut policies = Vec::new();
    let mut resources = Vec::new();
    let mut planned: Vec<(usize, Planned)> = Vec::new();
    let mut number = 0;
    for (phase, it) in scenario.phases.iter().enumerate() {
        for (name, fault) in &it.faults {
            number += 1;
            let cluster = cluster.ok_or_else(|| PlanError::Scenario(format!("fault `{name}` needs a cluster")))?;
            if let (true, Sandbox::No(why)) = (cluster.info().sandbox, fault.info().facts.sandbox) {
                return Err(PlanError::Scenario(format!(
                    "fault `{name}`: the sandbox does not model {}: {why}",
                    fault.kind()
                )));
            }
            let targets = match fault.pods() {
                Some(selector) => targets(name, selector, cluster, namespace, options).await?,
                None => Vec::new(),
            };
            match fault {
                Fault::Partition(partition) if partition.engine != Engine::ChaosMesh => {
                    policies.push((number, partition::Wish { name, phase, partition, targets }));
                }
                Fault::PodKill(kill) => {
                    planned.push((number, pod_kill::plan(name, phase, kill, targets, cluster).await?));
                }
                Fault::Manifest(it) => {
                    let order = manifest::Order { name, number, phase, manifest: it, targets, namespace };
                    planned.push((number, manifest::plan(order, scenario, cluster, options).await?));
                }
                Fault::Partition(_)
                | Fault::Netem(_)
                | Fault::PodFailure(_)
                | Fault::ContainerKill(_)
                | Fault::Stress(_)
                | Fault::Http(_)
                | Fault::Dns(_)
                | Fault::Io(_)
                | Fault::Time(_) => resources.push(chaos::Wish { name, number, phase, fault, targets, why: None }),
            }
        }
    }
    let Some(cluster) = cluster else { return Ok(Vec::new()) };
    // A connection that stands goes on under a policy in some clusters: then Chaos Mesh's partition is the whole one.
    let leaves_open = options.proof.enforcement.as_ref().and_then(Enforcement::leaves_open);
    if let Some(why) = &leaves_open
        && policies.iter().any(|(_, wish)| may_choose(wish.partition))
        && can_partition(cluster).await?
    {
        let (chaos, others) =
            policies.into_iter().partition(|(_, wish)| may_choose(wish.partition) && can_tell(&wish.partition.from));
        policies = others;
        let chaos: Vec<(usize, partition::Wish<'_>)> = chaos;
        resources.extend(chaos.into_iter().map(|(number, wish)| by_chaos(number, wish, scenario, why.clone())));
    }
    // A partition that NetworkPolicy cannot do exactly is Chaos Mesh's, where the scenario leaves the choice.
    while !policies.is_empty() {
        let wishes = policies.iter().map(|(_, wish)| wish.clone()).collect();
        match partition::plan(wishes, &scenario.phases, cluster, namespace, options).await {
            Ok(made) => {
                planned.extend(policies.iter().map(|(number, _)| *number).zip(made));
                break;
            }
            Err(Refusal::Other(error)) => return Err(error),
            Err(Refusal::Unable(at, why, error)) => {
                if !may_choose(policies[at].1.partition) || !can_partition(cluster).await? {
                    return Err(error);
                }
                let (number, wish) = policies.remove(at);
                resources.push(by_chaos(number, wish, scenario, why));
            }
        }
    }
    let mut standing = Vec::new();
    // In the sandbox nothing is installed: it plays the part itself.
    let installed = match resources.is_empty() || cluster.info().sandbox {
        true => Installation::default(),
        false => cluster.chaos_programs().await?,
    };
    for wish in resources {
        let (number, phase) = (wish.number, &scenario.phases[wish.phase]);
        let (made, its) = chaos::plan(wish, phase, cluster, namespace, options, &installed).await?;
        planned.push((number, made));
        standing.push(its);
    }
    check_overlaps(&standing).map_or(Ok(()), |message| Err(PlanError::Scenario(message)))?;
    planned.sort_by_key(|(number, _)| *number);
    Ok(planned.into_iter().map(|(_, planned)| planned).collect())
}

/// Whether Chaos Mesh may do a partition as well: the scenario leaves the choice, and it would be the same one. In one
/// direction it would not: Chaos Mesh drops packets, and those of both ends belong to every connection.
fn may_choose(partition: &Partition) -> bool {
    partition.engine == Engine::Auto && partition.direction == Direction::Both && partition.prove != Prove::Witness
}

/// A partition that Chaos Mesh is to do, and why.
fn by_chaos<'a>(number: usize, wish: partition::Wish<'a>, scenario: &'a Scenario, why: String) -> chaos::Wish<'a> {
    let fault = &scenario.phases[wish.phase].faults[wish.name];
    let partition::Wish { name, phase, targets, .. } = wish;
    chaos::Wish { name, number, phase, fault, targets, why: Some(why) }
}

/// The pods that a fault acts on.
async fn targets(
    name: &str,
    selector: &PodSelector,
    cluster: &Cluster,
    namespace: &str,
    options: &Options,
) -> Result<Vec<PodRef>, PlanError> {
    let matching = cluster.matching_pods(selector, namespace).await?;
    if matching.is_empty() {
        let place = selector.namespace.as_deref().unwrap_or(namespace);
        return Err(PlanError::Scenario(format!(
            "fault `{name}`: no running pod matches {} in namespace `{place}`\nhelp: `kubectl -n {place} get pods \
             --show-labels` shows what could be matched",
            selector_text(selector)
        )));
    }
    choose(&matching, selector, options.seed, name).map_err(PlanError::Scenario)
}

/// An object as a plan or a report shows it.
pub(super) fn record(object: &Value) -> ObjectRecord {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    ObjectRecord {
        api_version: text(&object["apiVersion"]),
        kind: text(&object["kind"]),
        namespace: text(&object["metadata"]["namespace"]),
        name: text(&object["metadata"]["name"]),
        manifest: object.clone(),
    }
}
