//! What the timeline may ask of a fault, and what it is answered.

use async_trait::async_trait;
use shakedown_schemas::result::{Leftover, Proof};

use shakedown_cluster::ClusterError;
use shakedown_guard::fuse::Fuses;

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
