//! Deletes or evicts pods once. There is nothing to undo: their owner creates new pods. The requests show how fast the
//! service recovers.

use async_trait::async_trait;
use serde::Serialize;
use shakedown_schemas::Explained;
use shakedown_schemas::result::{Leftover, PodRef, Proof};

use super::kubernetes::KubernetesSpec;
use super::partition::pod_key;
use super::{FaultDriver, FaultError, Finding};
use shakedown_cluster::{Cluster, ClusterError};
use shakedown_guard::fuse::Fuses;

/// How pods are ended: plain data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct KillSpec {
    /// The grace period of the containers, in seconds; `None` for each pod's own.
    #[serde(rename = "grace_s", skip_serializing_if = "Option::is_none")]
    pub grace: Option<u32>,
    /// Whether they are evicted, which respects PodDisruptionBudgets.
    pub evict: bool,
}

impl KubernetesSpec for KillSpec {
    fn driver(&self, cluster: &Cluster, targets: &[PodRef]) -> Box<dyn FaultDriver> {
        Box::new(Kill::new(cluster.clone(), targets.to_vec(), *self))
    }
}

/// Deletes or evicts pods.
pub struct Kill {
    cluster: Cluster,
    targets: Vec<PodRef>,
    spec: KillSpec,
}

impl Kill {
    /// A kill that is not done yet.
    pub const fn new(cluster: Cluster, targets: Vec<PodRef>, spec: KillSpec) -> Self {
        Self { cluster, targets, spec }
    }

    /// Returns an error when a target no longer exists.
    async fn check(&self) -> Result<(), FaultError> {
        for pod in &self.targets {
            if !self.lives(pod).await? {
                return Err(FaultError::TargetGone(Explained::new(
                    format!("target pod {}/{} (uid {}) no longer exists", pod.namespace, pod.name, pod.uid),
                    "something replaces pods while the scenario runs; wait until the workload is settled and run again",
                )));
            }
        }
        Ok(())
    }

    /// Whether a pod exists and is not being deleted.
    async fn lives(&self, pod: &PodRef) -> Result<bool, ClusterError> {
        let there = self.cluster.get(&pod_key(pod)).await?;
        Ok(there.is_some_and(|object| object["metadata"]["deletionTimestamp"].is_null()))
    }
}

/// Adds a help text to an eviction that a PodDisruptionBudget forbids. The API answers it with 429, as an overloaded server
/// does.
fn forbidden(error: ClusterError) -> FaultError {
    let Explained { message, .. } = error.explained();
    if !message.contains("disruption budget") {
        return FaultError::Cluster(error);
    }
    FaultError::Impossible(Explained::new(
        message,
        "its PodDisruptionBudget allows no eviction now; wait until more pods are ready, choose fewer, or leave `evict` out to \
         delete the pod all the same",
    ))
}

#[async_trait]
impl FaultDriver for Kill {
    fn owned_by(&mut self, _: &Fuses) {}

    /// Checks that all targets exist and, for evictions, that no budget forbids them now.
    async fn preflight(&mut self) -> Result<(), FaultError> {
        self.check().await?;
        for pod in self.targets.iter().filter(|_| self.spec.evict) {
            self.cluster.rehearse_eviction(&pod_key(pod)).await.map_err(forbidden)?;
        }
        Ok(())
    }

    async fn inject(&mut self) -> Result<(), FaultError> {
        self.check().await?;
        for (done, pod) in self.targets.iter().enumerate() {
            let key = pod_key(pod);
            if !self.spec.evict {
                self.cluster.kill(&key, self.spec.grace).await?;
            } else if let Err(error) = self.cluster.evict(&key, self.spec.grace).await {
                return Err(match forbidden(error) {
                    FaultError::Impossible(why) if done > 0 => {
                        FaultError::Impossible(why.about(format!("only {done} of {} were evicted", self.targets.len())))
                    }
                    error => error,
                });
            }
        }
        Ok(())
    }

    async fn prove(&mut self) -> Result<Vec<Finding>, FaultError> {
        let mut findings = Vec::new();
        for pod in &self.targets {
            let lives = self.lives(pod).await?;
            let word = if lives { "still exists" } else { "is gone or being deleted" };
            findings.push(Finding {
                shows: Proof::Applied,
                holds: !lives,
                detail: format!("pod {} (uid {}) {word}", pod.name, pod.uid),
            });
        }
        Ok(findings)
    }

    async fn undo(&mut self) -> Result<(), FaultError> {
        Ok(())
    }

    async fn prove_undone(&mut self) -> Result<Vec<Finding>, FaultError> {
        let detail = "the kill happened once and left nothing in the cluster".to_owned();
        Ok(vec![Finding { shows: Proof::Removed, holds: true, detail }])
    }

    fn leftovers(&self) -> Vec<Leftover> {
        Vec::new()
    }
}
