//! Requests to the engines: the faults of a scenario with their resolved targets.

use std::collections::BTreeSet;

use shakedown_schemas::Explained;
use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::{Fault, Partition, Scenario};

use super::error::PlanError;
use super::options::Options;
use shakedown_cluster::{Cluster, labels};
use shakedown_faults::FaultPlan;
use shakedown_faults::effect::RequiredProof;

/// A partition by NetworkPolicy.
#[derive(Clone)]
pub(super) struct CutRequest<'a> {
    /// The fault's name.
    pub name: &'a str,
    /// The fault's number in the scenario, from 1.
    pub number: usize,
    /// The index of its phase.
    pub phase: usize,
    pub partition: &'a Partition,
    pub targets: Vec<PodRef>,
}

/// A fault by Chaos Mesh.
pub(super) struct ChaosRequest<'a> {
    /// The fault's name.
    pub name: &'a str,
    /// The fault's number in the scenario, from 1.
    pub number: usize,
    /// The index of its phase.
    pub phase: usize,
    pub fault: &'a Fault,
    pub targets: Vec<PodRef>,
    /// Why Chaos Mesh was chosen, if there was a choice.
    pub why: Option<String>,
}

/// A fault by the Kubernetes API alone.
pub(super) struct KubernetesRequest<'a> {
    /// The fault's name.
    pub name: &'a str,
    /// The fault's number in the scenario, from 1.
    pub number: usize,
    /// The index of its phase.
    pub phase: usize,
    pub fault: &'a Fault,
    pub targets: Vec<PodRef>,
    /// The default namespace.
    pub namespace: &'a str,
    pub scenario: &'a Scenario,
    pub cluster: &'a Cluster,
    pub options: &'a Options,
}

impl KubernetesRequest<'_> {
    /// The name of an object of the fault. No other run uses it.
    pub fn object_name(&self) -> String {
        let Self { name, number, options, .. } = self;
        format!("shakedown-{}-{}-{number}-{}", options.run, options.serial, labels::name_part(name))
    }

    /// The labels of an object of the fault, by which the search for leftovers finds it.
    pub fn labels(&self) -> [(&'static str, String); 3] {
        [
            (labels::MANAGED_BY, labels::MANAGER.to_owned()),
            (labels::RUN, self.options.run.clone()),
            (labels::FAULT, labels::value(self.name)),
        ]
    }

    /// An error about this fault.
    pub fn refuse(&self, why: impl Into<Explained>) -> PlanError {
        PlanError::fault(self.name, why)
    }

    /// The plan with this description, in the namespaces of its targets. Its objects' readiness is its proof.
    pub fn plan(&self, description: String) -> FaultPlan {
        let namespaces: BTreeSet<String> = self.targets.iter().map(|pod| pod.namespace.clone()).collect();
        FaultPlan {
            name: self.name.to_owned(),
            phase: self.phase,
            kind: self.fault.kind(),
            engine: "kubernetes",
            description,
            targets: self.targets.clone(),
            peers: Vec::new(),
            objects: Vec::new(),
            marks: Vec::new(),
            namespaces: namespaces.into_iter().collect(),
            after: self.fault.after().get(),
            lasts: self.fault.lasts().map(|lasts| lasts.get()),
            effect: RequiredProof::Applied,
        }
    }
}
