//! The inputs of a plan in addition to the scenario and the cluster.

use std::time::Duration;

use shakedown_cluster::WitnessImage;
use shakedown_faults::chaos;
use shakedown_faults::enforcement::Enforcement;

/// The inputs of a plan in addition to the scenario and the cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// The run's id.
    pub run: String,
    /// The scenario's number in the run, from 0.
    pub serial: usize,
    /// The seed of all random choices.
    pub seed: u64,
    /// The namespace of scenarios without `namespace`.
    pub namespace: Option<String>,
    /// The settings of fuses; `None` for a run without fuses.
    pub fuse: Option<Fuse>,
    /// The means to prove that faults act.
    pub proof: Proof,
    /// The timeouts of Chaos Mesh's faults.
    pub chaos: chaos::Limits,
}

#[cfg(test)]
impl Options {
    /// The options of tests: without a fuse and without proofs.
    pub(crate) fn for_tests() -> Self {
        Self {
            run: "20260301-105959-abcde".into(),
            serial: 0,
            seed: 7,
            namespace: None,
            fuse: None,
            proof: Proof::default(),
            chaos: chaos::Limits::default(),
        }
    }
}

/// The settings of fuses.
#[derive(Debug, Clone)]
pub struct Fuse {
    /// The life of a fuse after a push, in whole seconds. After it, the cluster undoes everything.
    pub life: Duration,
    /// The image in the Job's template. It is never pulled; `None` is for clusters without a policy for images.
    pub image: Option<String>,
}

/// The means to prove that faults act.
#[derive(Debug, Clone, Default)]
pub struct Proof {
    /// The image that witnesses run.
    pub image: Option<WitnessImage>,
    /// The image that canaries run; `None` when there is none, or canaries are turned off.
    pub canary: Option<WitnessImage>,
    /// Whether the cluster is known to enforce NetworkPolicy.
    pub enforcement: Option<Enforcement>,
}
