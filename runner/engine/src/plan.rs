//! Planning: a scenario and a cluster in, everything that the run will do out. It reads and changes nothing, so that
//! `shakedown plan` shows exactly what `shakedown run` does.

mod blast;
mod chaos;
mod faults;
mod loads;
mod manifest;
mod partition;
mod peers;
mod pod_kill;
#[cfg(test)]
mod sandboxed;
mod show;
#[cfg(test)]
mod strangers;
mod words;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use shakedown_schemas::Document;
use shakedown_schemas::result::LoadInfo;
use shakedown_schemas::scenario::Scenario;

use shakedown_cluster::{Cluster, ClusterError, PortForward, WitnessImage};
use shakedown_faults::enforcement::Enforcement;
use shakedown_faults::{FaultDriver, FaultPlan};
use shakedown_guard::fuse;
use shakedown_load::PlannedLoad;

pub use show::show;

/// What a plan depends on beside the scenario and the cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// The run's id.
    pub run: String,
    /// The scenario's number in the run, from 0.
    pub serial: usize,
    /// The seed of everything that is chosen by chance.
    pub seed: u64,
    /// The namespace of scenarios that name none.
    pub namespace: Option<String>,
    /// How long after the planned end of the last fault the fuse burns down; none for no fuse.
    pub fuse_margin: Option<Duration>,
    /// What can show that faults act.
    pub proof: Proof,
    /// How patient faults of Chaos Mesh are.
    pub chaos: shakedown_faults::chaos::Limits,
}

#[cfg(test)]
impl Options {
    /// Those of tests: without a fuse and without proofs.
    pub(crate) fn for_tests() -> Self {
        Self {
            run: "20260301-105959-abcde".into(),
            serial: 0,
            seed: 7,
            namespace: None,
            fuse_margin: None,
            proof: Proof::default(),
            chaos: shakedown_faults::chaos::Limits::default(),
        }
    }
}

/// What can show that faults act.
#[derive(Debug, Clone, Default)]
pub struct Proof {
    /// The image that witnesses run.
    pub image: Option<WitnessImage>,
    /// Whether the cluster is known to enforce NetworkPolicy.
    pub enforcement: Option<Enforcement>,
}

/// Everything that a run will do.
pub struct Plan {
    /// The default namespace.
    pub namespace: String,
    /// The loads with their addresses.
    pub loads: Vec<PlannedLoad>,
    /// The loads as the reports show them.
    pub load_infos: Vec<LoadInfo>,
    /// The port-forwards that loads go through, by the load's position.
    pub forwards: Vec<Option<PortForward>>,
    /// The faults, each with the driver that carries it out.
    pub faults: Vec<(FaultPlan, Box<dyn FaultDriver>)>,
    /// The fuses, one Job per namespace with faults.
    pub fuses: Vec<Value>,
}

/// A scenario cannot run.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The cluster refused, did not answer, or lacks something that the scenario names.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The scenario does not fit the cluster.
    #[error("{0}")]
    Scenario(String),
}

/// Makes the plan of a scenario.
///
/// # Errors
/// When a service, a namespace or a target is not there, cannot be reached, or does not fit what the scenario asks for.
pub async fn plan(document: &Document, cluster: Option<&Cluster>, options: &Options) -> Result<Plan, PlanError> {
    let scenario = &document.scenario;
    let namespace = default_namespace(scenario, cluster, options);
    // Targets before loads: what no pod matches is said before anything connects anywhere.
    let faults = faults::plan(scenario, cluster, &namespace, options).await?;
    if let Some(cluster) = cluster {
        blast::check(scenario, &faults, cluster).await?;
    }
    let reached = loads::plan(document, cluster, &namespace, options.seed).await?;
    let fuses = match options.fuse_margin {
        Some(margin) => fuses(scenario, &faults, margin, options),
        None => Vec::new(),
    };
    Ok(Plan { namespace, loads: reached.loads, load_infos: reached.infos, forwards: reached.forwards, faults, fuses })
}

/// The namespace of selectors that name none.
fn default_namespace(scenario: &Scenario, cluster: Option<&Cluster>, options: &Options) -> String {
    let named = scenario.namespace.as_deref().or(options.namespace.as_deref());
    named.or_else(|| cluster.map(Cluster::default_namespace)).unwrap_or_default().to_owned()
}

/// The namespaces of the faults' targets, as the scenario names them: where no other run may act while this one is
/// planned. What that run does there would be taken for how things are.
pub fn target_namespaces(scenario: &Scenario, cluster: &Cluster, options: &Options) -> BTreeSet<String> {
    let default = default_namespace(scenario, Some(cluster), options);
    let faults = scenario.phases.iter().flat_map(|phase| phase.faults.values());
    let named = faults.map(|fault| fault.pods().and_then(|pods| pods.namespace.clone()));
    named.map(|named| named.unwrap_or_else(|| default.clone())).collect()
}

/// One fuse per namespace in which something will be created. Its clock starts before the load does.
fn fuses(
    scenario: &Scenario,
    faults: &[(FaultPlan, Box<dyn FaultDriver>)],
    margin: Duration,
    options: &Options,
) -> Vec<Value> {
    let end = |fault: &FaultPlan| -> Duration {
        let before: Duration = scenario.phases[..fault.phase].iter().map(|phase| phase.duration.get()).sum();
        let with_faults = scenario.phases[..=fault.phase].iter().filter(|phase| !phase.faults.is_empty()).count();
        let before = before + scenario.longest_calm() * u32::try_from(with_faults).unwrap_or(u32::MAX);
        let phase = scenario.phases[fault.phase].duration.get();
        before + fault.lasts.map_or(phase, |lasts| (fault.after + lasts).min(phase))
    };
    let Some(planned) = faults.iter().map(|(fault, _)| end(fault)).max() else { return Vec::new() };
    let mut namespaces: Vec<&String> = faults.iter().flat_map(|(fault, _)| &fault.namespaces).collect();
    namespaces.sort();
    namespaces.dedup();
    namespaces
        .into_iter()
        .map(|namespace| fuse::job(&options.run, options.serial, namespace, planned + margin))
        .collect()
}
