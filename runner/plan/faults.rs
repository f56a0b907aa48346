//! From the faults of a scenario to their targets, their objects and the drivers that carry them out.

use shakedown_schemas::Scenario;
use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::{Fault, PodSelector};

use super::partition::{self, Wish};
use super::words::selector_text;
use super::{Options, PlanError};
use crate::cluster::{Cluster, choose};
use crate::faults::{FaultDriver, FaultPlan};

/// Plans all faults of a scenario, in the order of the file.
pub(super) async fn plan(
    scenario: &Scenario,
    cluster: Option<&Cluster>,
    namespace: &str,
    options: &Options,
) -> Result<Vec<(FaultPlan, Box<dyn FaultDriver>)>, PlanError> {
    let mut partitions = Vec::new();
    for (phase, it) in scenario.phases.iter().enumerate() {
        for (name, fault) in &it.faults {
            let cluster = cluster.ok_or_else(|| PlanError::Scenario(format!("fault `{name}` needs a cluster")))?;
            let Fault::Partition(partition) = fault else {
                return Err(PlanError::Scenario(format!(
                    "fault `{name}`: this version cannot carry out `{}` yet",
                    fault.kind()
                )));
            };
            let targets = targets(name, &partition.pods, cluster, namespace, options).await?;
            partitions.push(Wish { name, phase, partition, targets });
        }
    }
    match cluster {
        Some(cluster) if !partitions.is_empty() => {
            partition::plan(partitions, &scenario.phases, cluster, namespace, options).await
        }
        _ => Ok(Vec::new()),
    }
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
