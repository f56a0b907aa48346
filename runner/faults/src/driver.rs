//! The interface between the timeline and the faults.

use async_trait::async_trait;
use shakedown_schemas::Explained;
use shakedown_schemas::result::{Leftover, Measured, PodRef, Proof};

use super::Stretch;
use shakedown_cluster::ClusterError;
use shakedown_guard::fuse::Fuses;

/// One observation, and whether it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it proves.
    pub shows: Proof,
    /// Whether it holds.
    pub holds: bool,
    /// A description of the observation.
    pub detail: String,
}

/// Observations of a fault that are independent of its engine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// The observed amounts.
    pub measured: Vec<Measured>,
    /// Why they could not be observed, as text.
    pub unseen: Option<String>,
}

/// A fault could not be injected, observed or undone.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.explained())]
pub enum FaultError {
    /// The cluster refused or did not answer.
    Cluster(#[from] ClusterError),
    /// A target no longer exists.
    TargetGone(Explained),
    /// Another client removed an object of the fault.
    Gone(Explained),
    /// The engine cannot do it.
    Impossible(Explained),
    /// An object of the fault is not gone yet. A retry may succeed.
    Stuck(Explained),
    /// An object of the fault still exists, and its engine is removing it without a failure. It is a problem only after the
    /// timeout.
    Recovering(Explained),
    /// Nothing shows whether it acts. A later look may.
    Unknown(Explained),
    /// An object of the fault was removed by force. Effects may be left, and a retry does not help.
    Dirty(Explained),
}

impl FaultError {
    /// The message and the next step.
    pub fn explained(&self) -> Explained {
        match self {
            Self::Cluster(error) => error.explained(),
            Self::TargetGone(what)
            | Self::Gone(what)
            | Self::Impossible(what)
            | Self::Stuck(what)
            | Self::Recovering(what)
            | Self::Unknown(what)
            | Self::Dirty(what) => what.clone(),
        }
    }
}

/// The help for a target that was replaced, of a fault that can follow its targets.
pub(crate) const REPLACED: &str = "something replaces pods while the scenario runs; wait until the workload is settled and run \
                                   again, or write `follow: true`";

/// The driver of one fault. The methods are called in this order. `undo` and `prove_undone` may be called any number of
/// times, also after a failed `inject`, and on a driver that has done nothing.
#[async_trait]
pub trait FaultDriver: Send {
    /// Sets the fuses that will own the driver's objects.
    fn owned_by(&mut self, fuses: &Fuses);

    /// Checks that it can be injected now, without changing anything.
    async fn preflight(&mut self) -> Result<(), FaultError>;

    /// Runs slow preparations, such as a witness, once fuses exist and before the load starts. After an error, some objects
    /// may exist; `dismiss` removes them.
    async fn prepare(&mut self) -> Result<(), FaultError> {
        Ok(())
    }

    /// Removes the objects of `prepare` when the fault is never injected.
    async fn dismiss(&mut self) -> Result<(), FaultError> {
        Ok(())
    }

    /// Creates the objects of the fault. After an error, some of them may exist.
    async fn inject(&mut self) -> Result<(), FaultError>;

    /// The targets that were chosen when the fault struck, if they are not those of the plan.
    fn chosen(&self) -> Option<&[PodRef]> {
        None
    }

    /// Waits until the fault acts. It only reads, and may be dropped at any time.
    async fn become_active(&mut self) -> Result<(), FaultError> {
        Ok(())
    }

    /// Searches for evidence that the fault is applied and acts. If a finding does not hold, the fault is not proven.
    async fn prove(&mut self) -> Result<Vec<Finding>, FaultError>;

    /// Waits until an observation that is independent of the engine shows that a claimed fault acts. It only reads, and may be
    /// dropped at any time. It never ends for a fault that cannot be observed.
    async fn observe(&mut self) -> Vec<Finding> {
        std::future::pending().await
    }

    /// Looks from time to time whether a proven fault acts, for [`FaultDriver::unproven`]. It only reads, may be dropped at any
    /// time, and never ends.
    async fn sample(&mut self) {
        std::future::pending().await
    }

    /// The observations of the fault until now that are independent of its engine.
    fn observed(&self) -> Observed {
        Observed::default()
    }

    /// Checks again, right before the undo, that the fault has lasted. If a finding does not hold, the fault loses its
    /// proof.
    async fn settle(&mut self) -> Result<Vec<Finding>, FaultError> {
        Ok(Vec::new())
    }

    /// The stretches in which the fault may not have acted on everything that it should act on: pods were replaced or came,
    /// or may have, and it was not adjusted yet.
    fn unproven(&self) -> Vec<Stretch> {
        Vec::new()
    }

    /// Why it is not known whether something of the fault happened or will, of which nothing can be removed. None if it is known.
    fn unclear(&self) -> Option<String> {
        None
    }

    /// What the undo found missing: an object of the fault that another client had removed by then, in words. When it went is
    /// unknown.
    fn missed(&self) -> Option<String> {
        None
    }

    /// Removes all changes that `prepare` and `inject` made or may have made.
    async fn undo(&mut self) -> Result<(), FaultError>;

    /// Checks in the cluster that everything is gone.
    async fn prove_undone(&mut self) -> Result<Vec<Finding>, FaultError>;

    /// The objects that exist or may exist.
    fn leftovers(&self) -> Vec<Leftover>;
}
