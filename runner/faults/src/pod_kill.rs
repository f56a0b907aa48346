//! Deletes or evicts pods once. There is nothing to undo: their owner creates new pods. The requests show how fast the
//! service recovers.

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use shakedown_schemas::result::{Leftover, PodRef, Proof};
use shakedown_schemas::scenario::PodSelector;
use shakedown_schemas::{EventKind, Explained};

use super::kubernetes::KubernetesSpec;
use super::partition::pod_key;
use super::{FaultDriver, FaultError, Finding};
use shakedown_cluster::{Cluster, ClusterError, PodEnd, choose};
use shakedown_guard::fuse::Fuses;

/// How the targets are chosen when the fault strikes: plain data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Selection {
    /// The pods to choose from.
    pub pods: PodSelector,
    /// The namespace where the selector names none.
    pub namespace: String,
    /// The seed of the choice.
    pub seed: u64,
    /// The fault's name, which the choice depends on.
    pub fault: String,
}

/// How pods are deleted: plain data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KillSpec {
    /// The grace period of the containers, in seconds; `None` for each pod's own.
    #[serde(rename = "grace_s", skip_serializing_if = "Option::is_none")]
    pub grace: Option<u32>,
    /// Whether they are evicted, which respects PodDisruptionBudgets.
    pub evict: bool,
    /// How the targets are chosen again at the strike; `None` for those of the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anew: Option<Selection>,
}

/// Whether a controller would replace a pod.
pub fn is_controlled(pod: &Value) -> bool {
    let owners = pod["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|owners| owners.iter().any(|owner| owner["controller"] == true))
}

impl KubernetesSpec for KillSpec {
    fn driver(&self, cluster: &Cluster, targets: &[PodRef]) -> Box<dyn FaultDriver> {
        Box::new(Kill::new(cluster.clone(), targets.to_vec(), self.clone()))
    }
}

/// Deletes or evicts pods.
pub struct Kill {
    cluster: Cluster,
    targets: Vec<PodRef>,
    spec: KillSpec,
    /// The number of targets that this run has deleted.
    ended: usize,
    /// Why it is not known whether this run ended a target.
    unclear: Option<String>,
}

impl Kill {
    /// A kill that has not been carried out.
    pub fn new(cluster: Cluster, targets: Vec<PodRef>, spec: KillSpec) -> Self {
        Self { cluster, targets, spec, ended: 0, unclear: None }
    }

    /// Chooses the targets again, of the pods that run now: as many as planned. One that nothing would replace is not chosen.
    async fn choose_anew(&mut self, how: &Selection) -> Result<(), FaultError> {
        let running = self.cluster.matching_pods(&how.pods, &how.namespace).await?;
        let few = |why: String| {
            FaultError::Impossible(Explained::new(
                why,
                "the pods that replace others may not run yet; begin it later (`after`), or choose fewer (`count`)",
            ))
        };
        let mut chosen = choose(&running, &how.pods, how.seed, &how.fault).map_err(few)?;
        let planned = self.targets.len();
        chosen.truncate(planned);
        if chosen.len() < planned {
            let (fault, now) = (&how.fault, chosen.len());
            return Err(few(format!("fault `{fault}` needs {planned} pods, but its selector chooses only {now} now")));
        }
        for pod in &chosen {
            let Some(there) = self.cluster.get(&pod_key(pod)).await? else { return Err(gone(pod)) };
            if !is_controlled(&there) {
                return Err(FaultError::Impossible(
                    format!("pod {}/{} has no controller that would replace it", pod.namespace, pod.name).into(),
                ));
            }
        }
        let pods = chosen.iter().map(|pod| pod.name.clone()).collect();
        self.cluster.tell(EventKind::TargetsChosen { fault: how.fault.clone(), pods });
        self.targets = chosen;
        Ok(())
    }

    /// Returns an error when a target no longer exists.
    async fn check(&self) -> Result<(), FaultError> {
        for pod in &self.targets {
            if !self.lives(pod).await? {
                return Err(gone(pod));
            }
        }
        Ok(())
    }

    /// Whether a pod exists and is not being deleted.
    async fn lives(&self, pod: &PodRef) -> Result<bool, ClusterError> {
        Ok(!self.cluster.ends(&pod_key(pod)).await?)
    }
}

fn gone(pod: &PodRef) -> FaultError {
    FaultError::TargetGone(Explained::new(
        format!(
            "target pod {}/{} (uid {}) no longer exists or is being deleted by another client",
            pod.namespace, pod.name, pod.uid
        ),
        "something replaces pods while the scenario runs; wait until the workload is settled and run again",
    ))
}

/// Adds a help text to an eviction that a PodDisruptionBudget forbids. The API answers with 429, like an overloaded server.
fn forbidden(error: ClusterError) -> FaultError {
    let Explained { message, .. } = error.explained();
    if !message.contains("disruption budget") {
        return FaultError::Cluster(error);
    }
    FaultError::Impossible(Explained::new(
        message,
        "its PodDisruptionBudget allows no eviction now; wait until more pods are ready, choose fewer, or omit `evict` to \
         delete the pod anyway",
    ))
}

#[async_trait]
impl FaultDriver for Kill {
    fn owned_by(&mut self, _: &Fuses) {}

    /// Checks that all targets exist and, for evictions, that no budget forbids them now.
    async fn preflight(&mut self) -> Result<(), FaultError> {
        self.check().await?;
        for pod in self.targets.iter().filter(|_| self.spec.evict) {
            self.cluster.dry_run_eviction(&pod_key(pod)).await.map_err(forbidden)?;
        }
        Ok(())
    }

    async fn inject(&mut self) -> Result<(), FaultError> {
        match self.spec.anew.clone() {
            Some(how) => self.choose_anew(&how).await?,
            None => self.check().await?,
        }
        for pod in &self.targets {
            let done = self.ended;
            let key = pod_key(pod);
            let what =
                format!("it is not known whether pod {}/{} (uid {}) was killed", pod.namespace, pod.name, pod.uid);
            // Before the request: the injection can be interrupted in the middle of it.
            self.unclear = Some(what.clone());
            let ended = if self.spec.evict {
                self.cluster.evict(&key, self.spec.grace).await.map_err(|error| match forbidden(error) {
                    FaultError::Impossible(why) if done > 0 => {
                        FaultError::Impossible(why.about(format!("only {done} of {} were evicted", self.targets.len())))
                    }
                    error => error,
                })
            } else {
                self.cluster.kill(&key, self.spec.grace).await.map_err(FaultError::Cluster)
            };
            if !matches!(ended, Ok(PodEnd::Unclear(_))) {
                self.unclear = None;
            }
            match ended? {
                PodEnd::Ended => self.ended += 1,
                PodEnd::ByAnother => return Err(gone(pod)),
                PodEnd::Unclear(error) => return Err(FaultError::Impossible(error.explained().about(what))),
            }
        }
        Ok(())
    }

    fn chosen(&self) -> Option<&[PodRef]> {
        self.spec.anew.as_ref().map(|_| &self.targets[..])
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
        let detail = match self.ended {
            0 if self.unclear.is_some() => "no pod is known to be killed".to_owned(),
            0 => "no pod was killed".to_owned(),
            ended if ended < self.targets.len() => format!("only {ended} of {} pods were killed", self.targets.len()),
            _ => "the kill happened once and left nothing in the cluster".to_owned(),
        };
        let mut findings = vec![Finding { shows: Proof::Removed, holds: true, detail }];
        let keys: Vec<_> = self.targets.iter().map(pod_key).collect();
        for (_, detail) in self.cluster.look_at_unclear_ends().await.into_iter().filter(|(key, _)| keys.contains(key)) {
            self.unclear = Some(detail.clone());
            findings.push(Finding { shows: Proof::Removed, holds: true, detail });
        }
        Ok(findings)
    }

    fn unclear(&self) -> Option<String> {
        self.unclear.clone()
    }

    fn leftovers(&self) -> Vec<Leftover> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
