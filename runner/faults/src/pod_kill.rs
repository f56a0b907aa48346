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

/// How pods are deleted: plain data.
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
    /// The number of targets that this run has deleted.
    ended: usize,
}

impl Kill {
    /// A kill that has not been carried out.
    pub const fn new(cluster: Cluster, targets: Vec<PodRef>, spec: KillSpec) -> Self {
        Self { cluster, targets, spec, ended: 0 }
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
        let there = self.cluster.get(&pod_key(pod)).await?;
        Ok(there.is_some_and(|object| object["metadata"]["deletionTimestamp"].is_null()))
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
        self.check().await?;
        for pod in &self.targets {
            let done = self.ended;
            let key = pod_key(pod);
            let ended = if self.spec.evict {
                self.cluster.evict(&key, self.spec.grace).await.map_err(|error| match forbidden(error) {
                    FaultError::Impossible(why) if done > 0 => {
                        FaultError::Impossible(why.about(format!("only {done} of {} were evicted", self.targets.len())))
                    }
                    error => error,
                })?
            } else {
                self.cluster.kill(&key, self.spec.grace).await?
            };
            if !ended {
                return Err(gone(pod));
            }
            self.ended += 1;
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
        let detail = match self.ended {
            0 => "no pod was killed".to_owned(),
            ended if ended < self.targets.len() => format!("only {ended} of {} pods were killed", self.targets.len()),
            _ => "the kill happened once and left nothing in the cluster".to_owned(),
        };
        Ok(vec![Finding { shows: Proof::Removed, holds: true, detail }])
    }

    fn leftovers(&self) -> Vec<Leftover> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shakedown_cluster::Kind;
    use shakedown_cluster::testing::store::{Fate, Store};

    use super::*;

    /// What happens to the pod right before our deletion arrives, or to the answer.
    #[derive(Debug, Clone, Copy)]
    enum Meanwhile {
        Nothing,
        ItsStatusIsWritten,
        AnotherClientDeletesIt,
        AnotherClientReplacesIt,
        OurAnswerIsLost,
    }

    impl Meanwhile {
        fn happens(self, store: &Store, path: &str) -> Fate {
            match self {
                Self::Nothing => {}
                Self::ItsStatusIsWritten => store.change(path, |pod| pod["status"] = json!({"phase": "Running"})),
                Self::AnotherClientDeletesIt => {
                    store.change(path, |pod| pod["metadata"]["deletionTimestamp"] = json!("2026-03-01T12:00:00Z"));
                }
                Self::AnotherClientReplacesIt => {
                    let same = store.remove(path).unwrap();
                    store.put(Kind::Pod, same);
                }
                Self::OurAnswerIsLost => return Fate::AnswerLost,
            }
            Fate::Answered
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_pod_that_this_run_ended_is_killed() {
        let path = Store::path(Kind::Pod, "n", "a");
        for (meanwhile, ours) in [
            (Meanwhile::Nothing, true),
            (Meanwhile::ItsStatusIsWritten, true),
            (Meanwhile::AnotherClientDeletesIt, false),
            (Meanwhile::AnotherClientReplacesIt, false),
            (Meanwhile::OurAnswerIsLost, true),
        ] {
            let store = Store::default();
            // A pod that is being deleted stays for its grace period.
            let metadata = json!({"name": "a", "namespace": "n", "finalizers": ["n/grace"]});
            let pod = store.put(Kind::Pod, json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata}));
            let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
            let target = PodRef { name: "a".into(), namespace: "n".into(), uid, node: None, ip: None };
            let mut kill = Kill::new(store.cluster(), vec![target], KillSpec { grace: None, evict: false });
            kill.preflight().await.unwrap();
            let (its, mut first) = (path.clone(), true);
            store.script(move |store, asked| {
                let is_ours = asked.starts_with("DELETE") && std::mem::take(&mut first);
                if is_ours { meanwhile.happens(store, &its) } else { Fate::Answered }
            });
            let injected = kill.inject().await;
            let left = kill.prove_undone().await.unwrap();
            assert_eq!(left[0].detail.starts_with("the kill happened"), ours, "{meanwhile:?}: {left:?}");
            match injected {
                Ok(()) => assert!(ours, "{meanwhile:?}"),
                Err(FaultError::TargetGone(text)) => assert!(!ours, "{meanwhile:?}: {text}"),
                Err(other) => panic!("{meanwhile:?}: {other}"),
            }
        }
    }
}
