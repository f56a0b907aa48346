//! What is asked of the engines: the faults of a scenario with their targets found.

use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::{Fault, Manifest, Partition};

/// A partition that a NetworkPolicy is to make.
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

/// A fault that Chaos Mesh is to make.
pub(super) struct ChaosRequest<'a> {
    /// The fault's name.
    pub name: &'a str,
    /// The fault's number in the scenario, from 1.
    pub number: usize,
    /// The index of its phase.
    pub phase: usize,
    pub fault: &'a Fault,
    pub targets: Vec<PodRef>,
    /// Why Chaos Mesh makes it, where that was a choice.
    pub why: Option<String>,
}

/// An object of the scenario that is to be created.
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
