//! The canaries of Chaos Mesh: before any load, a canary pod runs on each node of a fault and receives the same kind of fault.
//! A fault that cannot be injected there cannot be injected into the targets either.
//!
//! A node counts as unable only with an answer: Chaos Mesh or its daemon reports why it fails, or the manager is down or
//! stuck. A canary without an answer is not conclusive, because the manager may only be slow; then the fault itself has to be
//! proven.
//!
//! A canary touches no target. Its removal begins with the deletion of its pod: Chaos Mesh releases a pod that is gone, and
//! no rule can remain.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use shakedown_cluster::{Cluster, ClusterError, Kind, ObjectKey, WitnessImage};
use shakedown_guard::fuse::{self, Fuses};
use shakedown_probe::ProbeConfig;
use shakedown_schemas::Explained;
use tokio::time::{Instant, timeout_at};

pub use super::ability::Outcome;
use super::ability::{Ability, Trial, in_words, survey};
use super::memory::Memory;
use super::{ChaosFault, ChaosSpec, Limits, Naming};
use crate::canary::CanaryError;
use crate::canary::pods::{PAUSE, PORT, Pods};
use crate::{FaultDriver, FaultError};

/// The timeout for a canary's pod to run. On a slow node of the test cluster it took 21 s.
const START: Duration = Duration::from_secs(28);
/// The same for `doctor`, which starts several pods on each node.
const SURVEY_START: Duration = Duration::from_secs(60);
/// The timeout of its injection. Injections on a busy node took up to 14 s.
const INJECT: Duration = Duration::from_secs(17);
/// How long a failure may last before it counts, from the beginning of the injection.
const FAIL: Duration = Duration::from_secs(10);
/// The minimum time for the removal of its pod and of its fault. In total, a canary takes less than 60 s.
const REMOVE: Duration = Duration::from_secs(14);
const UNDO: Duration = Duration::from_secs(6);
/// The timeout of all canaries of a run together.
const WHOLE: Duration = Duration::from_secs(59);
/// The same for `doctor`, within the life of its fuse.
const SURVEY: Duration = Duration::from_secs(110);
/// The shortest time in which a canary can have a result.
const LEAST: Duration = Duration::from_secs(5);
/// The number of concurrent canaries.
const AT_ONCE: usize = 8;
/// The time limit that Chaos Mesh has for its fault.
const LIFE: Duration = Duration::from_secs(120);
/// The numbers of canaries in object names begin here, far above those of faults.
const FIRST: usize = 9_000;
/// The number of `doctor`'s fuse, far above those of scenarios.
const SERIAL: usize = 9_998;
/// The beginning of the reason why a canary has no result.
const NOT_TRIED: &str = "the canary was not tried";

/// The canaries of one run.
pub struct Canaries<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The run's id.
    pub run: &'a str,
    /// The scenario's number in the run.
    pub serial: usize,
    /// The image of their pods.
    pub image: &'a WitnessImage,
    /// The fuses that own their objects.
    pub fuses: &'a Fuses,
}

impl Canaries<'_> {
    /// Tries the abilities that are not known yet, and caches the answers. Returns warnings about those that stay unknown.
    ///
    /// # Errors
    /// With the causes and remedies, when a node cannot inject a fault.
    pub async fn check(&self, trials: &[Trial]) -> Result<Vec<String>, String> {
        let mut memory = Memory::recall(self.cluster).await.unwrap_or_default();
        let open: Vec<&Trial> = trials.iter().filter(|trial| !memory.is_able(&trial.node, &trial.abilities)).collect();
        let outcomes = self.run(&open, START, WHOLE).await;
        let (mut unable, mut unknown) = (Vec::new(), Vec::new());
        for (trial, outcome) in open.into_iter().zip(outcomes) {
            memory.learn(trial, &outcome);
            let (node, what) = (&trial.node, in_words(&trial.abilities));
            match outcome {
                Outcome::Able => {}
                Outcome::Unable(why) => {
                    let why = with_other_engine(trial, why);
                    unable.push(format!(
                        "fault {}: Chaos Mesh cannot inject {what} on node {node}, as a canary pod there showed: {why}",
                        trial.fault
                    ));
                }
                Outcome::Unknown(why) => unknown.push(format!(
                    "fault {}: it is not known whether Chaos Mesh can inject {what} on node {node}: {why}",
                    trial.fault
                )),
            }
        }
        memory.save();
        if unable.is_empty() { Ok(unknown) } else { Err(unable.join("\n")) }
    }

    /// Tests all of them, a few at a time, within `whole`. A pod may take `start` to run.
    async fn run(&self, trials: &[&Trial], start: Duration, whole: Duration) -> Vec<Outcome> {
        let until = Instant::now() + whole;
        let attempts =
            trials.iter().enumerate().map(|(number, trial)| self.attempt(number, trial, start, until).boxed());
        futures::stream::iter(attempts).buffered(AT_ONCE).collect().await
    }

    async fn attempt(&self, number: usize, trial: &Trial, start: Duration, until: Instant) -> Outcome {
        let Some(left) = until.checked_duration_since(Instant::now() + LEAST + REMOVE) else {
            return Outcome::Unknown("the canary was not tried: the earlier canaries used all of the time".into());
        };
        let Self { cluster, run, serial, image, fuses } = self;
        let owner = fuses.owner(&trial.namespace).cloned();
        let pods = Pods { cluster, run, namespace: &trial.namespace, image, owner };
        let role = format!("{serial}-{number}");
        let key = pods.key(Kind::Pod, &role);
        let mut fault = None;
        let outcome = match self.pod(&pods, &key, &role, trial, Instant::now() + start.min(left)).await {
            Ok(target) => {
                let left = until.saturating_duration_since(Instant::now() + REMOVE);
                let naming = Naming {
                    run: (*run).to_owned(),
                    serial: *serial,
                    number: FIRST + number,
                    fault: format!("canary-{number}"),
                    namespace: trial.namespace.clone(),
                    duration: LIFE,
                };
                let spec = ChaosSpec {
                    naming,
                    targets: vec![target],
                    recipe: trial.recipe.clone(),
                    follow: false,
                    observe: false,
                    // Its pod is gone by then.
                    limits: Limits {
                        active: INJECT.min(left),
                        failing: Some(FAIL.min(left)),
                        force_after: Some(Duration::ZERO),
                    },
                };
                self.inject(fault.insert(ChaosFault::new((*cluster).clone(), spec))).await
            }
            Err(error) => Outcome::Unknown(error.explained().about(NOT_TRIED)),
        };
        match (outcome, self.remove(&key, fault.as_mut(), until).await) {
            (Outcome::Able, Err(problem)) => Outcome::Unknown(problem.about(format!("{key} could not be removed"))),
            (outcome, _) => outcome,
        }
    }

    /// Starts the pod of a canary.
    async fn pod(
        &self,
        pods: &Pods<'_>,
        key: &ObjectKey,
        role: &str,
        trial: &Trial,
        deadline: Instant,
    ) -> Result<super::spec::Inside, CanaryError> {
        let probe = ProbeConfig { to: String::new(), listen: PORT };
        pods.create(Kind::Pod, pods.pod(role, Some(&trial.node), &probe)).await?;
        let pod = pods.running(key, deadline, "its pod does not run").await?;
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        Ok(trial.target(&key.name, uid, pod["status"]["podIP"].as_str()))
    }

    async fn inject(&self, fault: &mut ChaosFault) -> Outcome {
        fault.owned_by(self.fuses);
        let injected = match fault.inject().await {
            Ok(()) => fault.become_active().await,
            Err(error) => Err(error),
        };
        match injected {
            Ok(()) => Outcome::Able,
            Err(FaultError::Impossible(why)) if fault.is_unanswered() => {
                Outcome::Unknown(why.about("the canary had no answer in time, so the fault itself has to be proven"))
            }
            Err(FaultError::Impossible(why)) => Outcome::Unable(why),
            Err(error) => Outcome::Unknown(error.explained().about(NOT_TRIED)),
        }
    }

    /// Deletes the pod and, once it is gone, the resource. A resource that then remains is removed by force: it acts on no
    /// other pod. The resource is deleted even if the pod remains.
    async fn remove(&self, key: &ObjectKey, fault: Option<&mut ChaosFault>, until: Instant) -> Result<(), Explained> {
        let until = until.max(Instant::now() + REMOVE);
        let gone = async {
            self.cluster.delete(key).await?;
            while self.cluster.own(key).await?.is_some() {
                tokio::time::sleep(PAUSE).await;
            }
            Ok::<(), ClusterError>(())
        };
        let gone = timeout_at(until - UNDO, gone).await;
        let undone = match fault {
            Some(fault) => timeout_at(until, undo(fault)).await,
            None => Ok(Ok(())),
        };
        let late = |_| Explained::from("no answer in time");
        gone.map_err(late)?.map_err(|error| error.explained())?;
        match undone.map_err(late)? {
            Err(FaultError::Dirty(_)) | Ok(()) => Ok(()),
            Err(error) => Err(error.explained()),
        }
    }
}

/// Undoes, and repeats the undo while Chaos Mesh is recovering.
async fn undo(fault: &mut ChaosFault) -> Result<(), FaultError> {
    loop {
        match fault.undo().await {
            Err(FaultError::Recovering(_)) => {}
            done => return done,
        }
    }
}

/// The cause, with another engine as a remedy if there is one.
fn with_other_engine(trial: &Trial, why: Explained) -> Explained {
    if trial.abilities.contains(&Ability::Partition) {
        why.or("use the partition of Kubernetes (`engine: network-policy`)")
    } else {
        why
    }
}

/// The abilities of nodes, for `doctor`: the result of each canary.
///
/// # Errors
/// When the fuse of the canaries cannot be lit.
pub async fn look(
    cluster: &Cluster,
    run: &str,
    namespace: &str,
    image: &WitnessImage,
    nodes: &[String],
) -> Result<Vec<(Trial, Outcome)>, CanaryError> {
    let trials: Vec<Trial> = nodes.iter().flat_map(|node| survey(namespace, node)).collect();
    let mut fuses = Fuses::default();
    let lit = fuses.light(cluster, &fuse::job(run, SERIAL, namespace, LIFE, Some(&image.image))).await;
    let outcomes = match lit {
        Ok(()) => {
            let canaries = Canaries { cluster, run, serial: SERIAL, image, fuses: &fuses };
            Ok(canaries.run(&trials.iter().collect::<Vec<_>>(), SURVEY_START, SURVEY).await)
        }
        Err(error) => Err(error),
    };
    _ = fuses.remove(cluster).await;
    let found: Vec<(Trial, Outcome)> = trials.into_iter().zip(outcomes?).collect();
    let mut memory = Memory::recall(cluster).await?;
    found.iter().for_each(|(trial, outcome)| memory.learn(trial, outcome));
    memory.save();
    Ok(found
        .into_iter()
        .map(|(trial, outcome)| match outcome {
            Outcome::Unable(why) => {
                let why = with_other_engine(&trial, why);
                (trial, Outcome::Unable(why))
            }
            other => (trial, other),
        })
        .collect())
}

/// The cached answers about nodes, one sentence for each node with answers.
///
/// # Errors
/// When the cluster does not answer.
pub async fn remembered(cluster: &Cluster, nodes: &[String]) -> Result<Vec<String>, ClusterError> {
    let memory = Memory::recall(cluster).await?;
    Ok(nodes.iter().filter_map(|node| memory.sentence(node)).collect())
}

#[cfg(test)]
mod tests;
