//! Faults: how each kind and engine is injected, proven, undone and proven to be undone.
//!
//! A driver acts only on the cluster. The timeline decides when, the plan decides on which pods. A kind that needs the
//! Kubernetes API alone is one file here and one line in the list of kinds. A new engine also takes an arm in `arm` of the
//! crate `engine`.

#[macro_use]
pub mod kubernetes;

pub mod canary;
pub mod chaos;
mod driver;
pub mod effect;
pub mod enforcement;
pub mod manifest;
pub mod partition;
pub mod pod_kill;
mod stretch;
pub mod witness;

use serde::Serialize;
use shakedown_schemas::result::{ObjectRecord, PodRef};
use shakedown_schemas::scenario::FaultEngine;
use shakedown_schemas::units::as_text;

pub use driver::{FaultDriver, FaultError, Finding, Observed};
pub use stretch::Stretch;

/// The plan of a fault, complete before anything is changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaultPlan {
    /// The fault's name.
    pub name: String,
    /// The index of its phase. The plan of the scenario shows its name.
    #[serde(skip)]
    pub phase: usize,
    /// Its kind, such as `partition`.
    pub kind: &'static str,
    /// The engine that carries it out.
    pub engine: FaultEngine,
    /// What it does and what it leaves unchanged, in one sentence.
    pub description: String,
    /// The pods that it acts on.
    pub targets: Vec<PodRef>,
    /// The peers, as text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
    /// The objects that will be created.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<ObjectRecord>,
    /// The changes to existing objects, as text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<String>,
    /// The namespaces in which objects will be created.
    pub namespaces: Vec<String>,
    /// The delay of its injection after the phase's faults are due.
    #[serde(serialize_with = "as_text::duration")]
    pub after: std::time::Duration,
    /// How long it lasts; `None` for the rest of the phase.
    #[serde(rename = "for", serialize_with = "as_text::optional", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<std::time::Duration>,
    /// The required proof that it acts.
    #[serde(rename = "prove")]
    pub required_proof: effect::RequiredProof,
}

kubernetes_kinds! {
    /// Pods are deleted or evicted.
    PodKill(pod_kill::KillSpec),
    /// An object of the scenario's manifest is created.
    Manifest(manifest::ManifestSpec),
}

/// A planned fault with its driver.
pub type ArmedFault = (FaultPlan, Box<dyn FaultDriver>);
