//! Faults: how each kind and engine is injected, proven, undone and proven to be undone.
//!
//! A driver acts on the cluster and on nothing else; when it does so is the timeline's business, and which pods it acts
//! on is the plan's. Adding an engine is one file here, one arm in the
//! `plan::faults` and one in the `arm` of the crate `engine`, and its tests.

pub mod canary;
pub mod chaos;
mod driver;
pub mod effect;
pub mod enforcement;
pub mod manifest;
pub mod partition;
pub mod pod_kill;
pub mod witness;

use serde::Serialize;
use shakedown_schemas::result::{ObjectRecord, PodRef};
use shakedown_schemas::units::as_text;

pub use driver::{FaultDriver, FaultError, Finding};

/// What a plan says of a fault: everything that is known before anything is done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaultPlan {
    /// The fault's name.
    pub name: String,
    /// The index of its phase. The plan of the scenario shows its name.
    #[serde(skip)]
    pub phase: usize,
    /// Its kind, such as `partition`.
    pub kind: &'static str,
    /// How it is done, such as `network-policy`.
    pub engine: &'static str,
    /// What it does and what it leaves, in one sentence.
    pub description: String,
    /// The pods that it acts on.
    pub targets: Vec<PodRef>,
    /// The other ends, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
    /// What will be created.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<ObjectRecord>,
    /// What will be done to objects of others, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<String>,
    /// The namespaces in which objects will be created.
    pub namespaces: Vec<String>,
    /// How long after its phase's faults are due it is injected.
    #[serde(serialize_with = "as_text::duration")]
    pub after: std::time::Duration,
    /// How long it lasts; none for the rest of the phase.
    #[serde(rename = "for", serialize_with = "as_text::optional", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<std::time::Duration>,
    /// What has to show that it acts.
    #[serde(rename = "prove")]
    pub effect: effect::Wanted,
}

/// A planned fault with the driver that carries it out.
pub type ArmedFault = (FaultPlan, Box<dyn FaultDriver>);
