//! Planning: resolves a scenario against a cluster into plain data that describes the whole run. It only reads the cluster,
//! so that `shakedown plan` shows exactly what `shakedown run` does.

mod blast;
mod chaos;
mod clocks;
mod error;
mod faults;
mod loads;
mod options;
mod partition;
mod peers;
mod permissions;
mod phases;
mod request;
#[cfg(test)]
mod sandboxed;
#[cfg(test)]
mod shipped;
mod show;
mod size;
mod spec;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeSet;

use serde_json::Value;
use shakedown_schemas::Document;
use shakedown_schemas::scenario::{Expectation, Fault, Scenario};

use shakedown_cluster::{Cluster, parse_service};
use shakedown_faults::chaos::{Trial, trials};
use shakedown_guard::fuse;

pub use error::PlanError;
pub use options::{Fuse, Options, Proof};
pub use permissions::{Permissions, REFUSED};
pub use show::show;
pub use spec::{Action, FaultSpec, LoadSpec, PhaseSpec, Plan, Route};

/// Why no canary is tried.
pub(crate) const NO_CANARY: &str = "not tried: there is no image for them, or --no-canary turns them off";

/// Makes the plan of a scenario.
///
/// # Errors
/// When a service, a namespace or a target does not exist, cannot be reached, or does not fit the scenario.
pub async fn plan(document: &Document, cluster: Option<&Cluster>, options: &Options) -> Result<Plan, PlanError> {
    let scenario = &document.scenario;
    let namespace = default_namespace(scenario, cluster, options);
    // Targets before loads: a selector that matches no pod is reported before any connection is opened.
    let faults::Faults { mut faults, partitions } = faults::plan(document, cluster, &namespace, options).await?;
    size::check(&faults)?;
    if let Some(cluster) = cluster {
        blast::check(scenario, &faults, cluster).await?;
    }
    let loads = loads::plan(document, cluster, &namespace, options.seed).await?;
    if let Some(cluster) = cluster {
        clocks::find(&mut faults, &loads, cluster).await;
    }
    let fuses = options.fuse.as_ref().map(|fuse| fuses(&faults, fuse, options)).unwrap_or_default();
    Ok(Plan {
        scenario: scenario.name.clone(),
        file: document.file.clone(),
        run: options.run.clone(),
        serial: options.serial,
        seed: options.seed,
        cluster: cluster.map(|cluster| cluster.info().clone()),
        namespace,
        loads,
        phases: phases::plan(document),
        canaries: canaries(&faults, cluster),
        canary_image: options.proof.canary.clone(),
        faults,
        partitions,
        fuses,
    })
}

/// The canaries of the faults by Chaos Mesh. A model needs none.
fn canaries(faults: &[FaultSpec], cluster: Option<&Cluster>) -> Vec<Trial> {
    if cluster.is_none_or(|cluster| cluster.capabilities().is_model) {
        return Vec::new();
    }
    trials(faults.iter().filter_map(|fault| match &fault.action {
        Action::ChaosMesh(spec) => Some(&**spec),
        _ => None,
    }))
}

/// The namespace of selectors without a namespace.
fn default_namespace(scenario: &Scenario, cluster: Option<&Cluster>, options: &Options) -> String {
    let named = scenario.namespace.as_deref().or(options.namespace.as_deref());
    named.or_else(|| cluster.map(Cluster::default_namespace)).unwrap_or_default().to_owned()
}

/// The namespaces in which the faults act, as the scenario names them. No other run may act there during planning: the plan
/// would take its faults for the normal state.
pub fn target_namespaces(scenario: &Scenario, cluster: &Cluster, options: &Options) -> BTreeSet<String> {
    let default = default_namespace(scenario, Some(cluster), options);
    let faults = scenario.phases.iter().flat_map(|phase| phase.faults.values());
    faults.map(|fault| own_namespace(fault, &default).to_owned()).collect()
}

/// The namespaces that a scenario touches: those in which its faults act, those of the peers,
/// those of its services, and those of the pods that it reads. Empty if it needs no cluster.
pub fn namespaces(scenario: &Scenario, cluster: &Cluster, options: &Options) -> BTreeSet<String> {
    if scenario.needs_no_cluster() {
        return BTreeSet::new();
    }
    let default = default_namespace(scenario, Some(cluster), options);
    let mut found = target_namespaces(scenario, cluster, options);
    let services = scenario.load.values().filter_map(|load| load.service());
    // `validate` refuses a service without a port.
    found.extend(services.filter_map(|it| parse_service(it, &default).ok()).map(|it| it.namespace));
    let faults = scenario.phases.iter().flat_map(|phase| phase.faults.values());
    found.extend(faults.flat_map(Fault::peers).map(|peer| peers::peer_namespace(peer, &default)));
    let read = scenario.phases.iter().flat_map(|phase| &phase.expect).filter_map(Expectation::pods);
    found.extend(read.filter_map(|it| it.select?.namespace.clone()));
    found.insert(default);
    found
}

/// The namespace in which a fault creates its objects: that of its targets, or of the object that a manifest is.
fn own_namespace<'a>(fault: &'a Fault, default: &'a str) -> &'a str {
    let named = match fault {
        Fault::Manifest(it) => it.object.get("metadata").and_then(|metadata| metadata["namespace"].as_str()),
        fault => fault.pods().and_then(|pods| pods.namespace.as_deref()),
    };
    named.unwrap_or(default)
}

/// One fuse per namespace in which objects will be created.
fn fuses(faults: &[FaultSpec], settings: &Fuse, options: &Options) -> Vec<Value> {
    let namespaces: BTreeSet<&String> = faults.iter().flat_map(|fault| &fault.plan.namespaces).collect();
    // The cluster admits the witness image, so it also admits it in a Job without pods.
    let witness = options.proof.image.as_ref().map(|image| image.image.as_str());
    let image = settings.image.as_deref().or(witness);
    let fuse = |namespace: &String| fuse::job(&options.run, options.serial, namespace, settings.life, image);
    namespaces.into_iter().map(fuse).collect()
}
