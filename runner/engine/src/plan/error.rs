//! Why a scenario cannot run.

use shakedown_cluster::ClusterError;

/// A scenario cannot run.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The cluster refused, did not answer, or lacks something that the scenario names.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The scenario does not fit the cluster.
    #[error("{0}")]
    Scenario(String),
}

impl PlanError {
    /// An error about one fault.
    pub(super) fn fault(name: &str, text: impl std::fmt::Display) -> Self {
        Self::Scenario(format!("fault `{name}`: {text}"))
    }
}
