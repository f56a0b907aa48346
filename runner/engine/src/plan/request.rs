//! Requests to the engines: the faults of a scenario with their resolved targets.

use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::{Fault, Manifest, Partition};

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

/// An object of the scenario's manifest.
pub(super) struct ManifestRequest<'a> {
    /// The fault's name.
    pub name: &'a str,
    /// The fault's number in the scenario, from 1.
    pub number: usize,
    /// The index of its phase.
    pub phase: usize,
    pub manifest: &'a Manifest,
    pub targets: Vec<PodRef>,
    /// The default namespace.
    pub namespace: &'a str,
}
