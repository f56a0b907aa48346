//! Why a scenario cannot run.

use shakedown_cluster::ClusterError;
use shakedown_schemas::Explained;

/// A scenario cannot run.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The cluster refused, did not answer, or lacks something that the scenario names.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The scenario does not fit the cluster.
    #[error("{0}")]
    Scenario(Explained),
}

impl PlanError {
    /// An error about one fault.
    pub(super) fn fault(name: &str, why: impl Into<Explained>) -> Self {
        Self::Scenario(why.into().about(format_args!("fault `{name}`")))
    }

    /// An error about one load.
    pub(super) fn load(name: &str, why: impl Into<Explained>) -> Self {
        Self::Scenario(why.into().about(format_args!("load `{name}`")))
    }

    /// The message and the next step.
    pub fn explained(&self) -> Explained {
        match self {
            Self::Cluster(error) => error.explained(),
            Self::Scenario(why) => why.clone(),
        }
    }
}

impl From<PlanError> for Explained {
    fn from(error: PlanError) -> Self {
        error.explained()
    }
}
