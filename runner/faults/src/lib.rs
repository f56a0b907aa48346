//! Faults: how each kind and engine is injected, proven, undone and proven to be undone.
//!
//! A driver acts on the cluster and on nothing else; when it does so is the timeline's business, and which pods it acts
//! on is the plan's. Adding an engine is one file here, one arm in `plan::faults`, and its tests.

pub mod canary;
pub mod chaos;
pub mod effect;
pub mod enforcement;
pub mod manifest;
pub mod partition;
pub mod pod_kill;
pub mod witness;

use async_trait::async_trait;
use shakedown_schemas::result::{Leftover, ObjectRecord, PodRef, Proof};

use shakedown_cluster::ClusterError;
use shakedown_guard::fuse::Fuses;

/// What a plan says of a fault: everything that is known before anything is done.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultPlan {
    /// The fault's name.
    pub name: String,
    /// The index of its phase.
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
    pub peers: Vec<String>,
    /// What will be created.
    pub objects: Vec<ObjectRecord>,
    /// What will be done to objects of others, in words.
    pub marks: Vec<String>,
    /// The namespaces in which objects will be created.
    pub namespaces: Vec<String>,
    /// How long after its phase's faults are due it is injected.
    pub after: std::time::Duration,
    /// How long it lasts; none for the rest of the phase.
    pub lasts: Option<std::time::Duration>,
    /// What has to show that it acts.
    pub effect: effect::Wanted,
}

/// Something that was looked at, and whether it is as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it shows.
    pub shows: Proof,
    /// Whether it holds.
    pub holds: bool,
    /// What was seen, in words.
    pub detail: String,
}

/// A fault could not be injected, looked at or undone.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The cluster refused or did not answer.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A target is not there any more.
    #[error("{0}")]
    TargetGone(String),
    /// What makes the fault was removed by somebody else.
    #[error("{0}")]
    Gone(String),
    /// The engine cannot do it.
    #[error("{0}")]
    Impossible(String),
    /// What makes the fault does not go, and may yet.
    #[error("{0}")]
    Stuck(String),
    /// What makes the fault was removed by force: something of it may be left, and no further try changes that.
    #[error("{0}")]
    Dirty(String),
}

/// Carries out one fault. The calls come in this order, `undo` and `prove_undone` also after a failed `inject`, any
/// number of times, and from a fresh state (then there is nothing to undo).
#[async_trait]
pub trait FaultDriver: Send {
    /// Tells the driver the owner for everything that it creates in a namespace: the fuse.
    fn owned_by(&mut self, fuses: &Fuses);

    /// Whether it can be injected now, without changing anything.
    async fn preflight(&mut self) -> Result<(), FaultError>;

    /// Gets ready what takes time (a witness), once there are fuses and before any load is sent. After an error, some of
    /// it may be there, and `dismiss` removes it.
    async fn prepare(&mut self) -> Result<(), FaultError> {
        Ok(())
    }

    /// Removes what `prepare` made when the fault is never injected.
    async fn dismiss(&mut self) -> Result<(), FaultError> {
        Ok(())
    }

    /// Creates what makes the fault. After an error, some of it may be there.
    async fn inject(&mut self) -> Result<(), FaultError>;

    /// Waits until what was created acts, where an engine takes its time. It only reads, and may be dropped half-way.
    async fn become_active(&mut self) -> Result<(), FaultError> {
        Ok(())
    }

    /// Looks for evidence that the fault is applied and that it acts. Findings that do not hold mean "not proven".
    async fn prove(&mut self) -> Result<Vec<Finding>, FaultError>;

    /// Looks once more, right before the undo, at what happened while the fault stood. Findings that do not hold take
    /// the proof away.
    async fn settle(&mut self) -> Result<Vec<Finding>, FaultError> {
        Ok(Vec::new())
    }

    /// Removes everything that `prepare` and `inject` did or may have done.
    async fn undo(&mut self) -> Result<(), FaultError>;

    /// Reads back that everything is gone.
    async fn prove_undone(&mut self) -> Result<Vec<Finding>, FaultError>;

    /// What is, or may be, still there.
    fn leftovers(&self) -> Vec<Leftover>;
}
