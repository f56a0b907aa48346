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
    /// The fuses of the run; none for no fuse.
    pub fuse: Option<Fuse>,
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
            fuse: None,
            proof: Proof::default(),
            chaos: chaos::Limits::default(),
        }
    }
}

/// What is asked of fuses.
#[derive(Debug, Clone)]
pub struct Fuse {
    /// How long after the runner's last sign of life the cluster undoes everything, in whole seconds.
    pub life: Duration,
    /// The image that the Job names; none for one that does not exist, which is fine where no policy looks at it.
    pub image: Option<String>,
}

/// What can show that faults act.
#[derive(Debug, Clone, Default)]
pub struct Proof {
    /// The image that witnesses run.
    pub image: Option<WitnessImage>,
    /// Whether the cluster is known to enforce NetworkPolicy.
    pub enforcement: Option<Enforcement>,
}
