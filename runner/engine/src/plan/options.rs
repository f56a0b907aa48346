//! What a plan depends on in addition to the scenario and the cluster.

use std::time::Duration;

use shakedown_cluster::WitnessImage;
use shakedown_faults::chaos;
use shakedown_faults::enforcement::Enforcement;

/// What a plan depends on in addition to the scenario and the cluster.
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
    /// How long the steps of Chaos Mesh's faults may take.
    pub chaos: chaos::Limits,
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
            chaos: chaos::Limits::default(),
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
