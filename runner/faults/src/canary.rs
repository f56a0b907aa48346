//! The canary: finds out whether a cluster enforces NetworkPolicy. One pod listens, another connects to it. A policy that
//! denies all connections of the second pod must end that. The canary also observes whether an established connection
//! survives.

pub(crate) mod pods;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

pub use self::pods::CanaryError;
use self::pods::{PAUSE, PORT, Pods, ROLE};
use super::witness::{CONTAINER, KEPT_AFTER, held_since, injected};
use crate::enforcement::Enforcement;
use shakedown_cluster::labels;
use shakedown_cluster::{Cluster, ClusterError, Kind, ObjectKey, WitnessImage};
use shakedown_guard::fuse::{self, Fuses};
use shakedown_probe::{Log, ProbeConfig, Round};

/// How long both pods may take to start and connect in a real cluster.
pub const START_LIMIT: Duration = Duration::from_secs(45);
/// How long a network plugin may take to enforce the policy.
const ACT_LIMIT: Duration = Duration::from_secs(15);
/// The number of rounds in a row without a connection that count as a cut.
const ROUNDS: usize = 3;
/// The life of the fuse: after it, the cluster removes the canary.
const FUSE: Duration = Duration::from_secs(120);
/// The fuse's number. It is far above the numbers of scenarios, which count from 0.
const SERIAL: usize = 9_999;

/// Runs the canary and removes it again. Both pods must start and connect within `start_limit`.
///
/// # Errors
/// When the pods cannot run or cannot reach each other without a policy, or the cluster refuses.
pub async fn run(
    cluster: &Cluster,
    run: &str,
    namespace: &str,
    image: &WitnessImage,
    start_limit: Duration,
) -> Result<Enforcement, CanaryError> {
    let mut fuses = Fuses::default();
    let lit = fuses.light(cluster, &fuse::job(run, SERIAL, namespace, FUSE, Some(&image.image))).await;
    let pods = Pods { cluster, run, namespace, image, owner: fuses.owner(namespace).cloned() };
    let canary = Canary { pods, start_limit };
    let answer = match lit {
        Ok(()) => canary.ask().await,
        Err(error) => Err(error.into()),
    };
    let removed = canary.remove().await;
    _ = fuses.remove(cluster).await;
    let (enforced, keeps) = answer?;
    removed?;
    Ok(Enforcement { keeps, ..Enforcement::now(enforced, "a canary showed it") })
}

struct Canary<'a> {
    pods: Pods<'a>,
    start_limit: Duration,
}

impl Canary<'_> {
    /// Whether policies are enforced and, if so, whether established connections survive. `None` if that could not be observed.
    async fn ask(&self) -> Result<(bool, Option<bool>), CanaryError> {
        let deadline = Instant::now() + self.start_limit;
        let pods = &self.pods;
        let listener = pods.key(Kind::Pod, "listener");
        pods.create(Kind::Pod, pods.pod("listener", None, &ProbeConfig { to: String::new(), listen: PORT })).await?;
        let running = pods.running(&listener, deadline, "the listening pod does not run").await?;
        let address = running["status"]["podIP"].as_str().unwrap_or_default();
        let caller = pods.key(Kind::Pod, "caller");
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        let probe = ProbeConfig { to: format!("{host}:{PORT}"), listen: 0 };
        let made = pods.create(Kind::Pod, pods.pod("caller", None, &probe)).await?;
        while self.rounds(&caller).await.last().is_none_or(|round| round.open.is_empty()) {
            let pod = pods.cluster.own(&caller).await?.unwrap_or_default();
            pods.check(&pod, deadline, "the connecting pod cannot reach the listening pod, even without a policy")?;
            tokio::time::sleep(PAUSE).await;
        }
        // The next round may have begun before the cut as well.
        let cut_after = self.log(&caller).await.begun + 1;
        pods.create(Kind::NetworkPolicy, self.policy()).await?;
        let deadline = Instant::now() + ACT_LIMIT;
        while Instant::now() < deadline {
            let rounds = self.rounds(&caller).await;
            let last = &rounds[rounds.len().saturating_sub(ROUNDS)..];
            if last.len() == ROUNDS && last.iter().all(|round| round.open.is_empty()) {
                return Ok((true, self.keeps(&caller, cut_after).await));
            }
            tokio::time::sleep(PAUSE).await;
        }
        // Without the caller's log, nothing is known about the network.
        let rounds = self.rounds(&caller).await;
        match rounds.last() {
            Some(round) if !round.open.is_empty() => match injected(&made) {
                None => Ok((false, None)),
                Some(others) => Err(CanaryError::Silent(
                    format!(
                        "the canary's connections are accepted although a policy forbids them, but this is not conclusive: \
                         admission \
                         added {others} to its pod, and a proxy there may accept them"
                    )
                    .into(),
                )),
            },
            _ => Err(CanaryError::Silent("the log of the canary's pod could not be read".into())),
        }
    }

    /// Whether the caller's established connection survived. `None` if that could not be observed.
    async fn keeps(&self, caller: &ObjectKey, cut_after: u64) -> Option<bool> {
        let cut = Instant::now();
        while cut.elapsed() < KEPT_AFTER + PAUSE * 4 {
            let (kept, lost) = held_since(&self.rounds(caller).await, cut_after, cut.elapsed());
            if !kept.is_empty() || !lost.is_empty() {
                return Some(!kept.is_empty());
            }
            tokio::time::sleep(PAUSE).await;
        }
        None
    }

    fn policy(&self) -> Value {
        let Pods { run, .. } = self.pods;
        let key = self.pods.key(Kind::NetworkPolicy, "policy");
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": key.name, "namespace": key.namespace, "labels": self.pods.labels("policy")},
            "spec": {
                "podSelector": {"matchLabels": {labels::RUN: run, ROLE: "caller"}},
                "policyTypes": ["Egress"],
                "egress": [],
            },
        })
    }

    async fn log(&self, pod: &ObjectKey) -> Log {
        let text = self.pods.cluster.pod_log(&pod.namespace, &pod.name, CONTAINER, 40, None).await;
        Log::read(&text.unwrap_or_default())
    }

    async fn rounds(&self, pod: &ObjectKey) -> Vec<Round> {
        self.log(pod).await.rounds
    }

    /// Removes all objects of the canary. A failure does not stop the others.
    async fn remove(&self) -> Result<(), ClusterError> {
        let mut problem = Ok(());
        for (kind, role) in [(Kind::NetworkPolicy, "policy"), (Kind::Pod, "caller"), (Kind::Pod, "listener")] {
            problem = problem.and(self.pods.cluster.delete(&self.pods.key(kind, role)).await);
        }
        problem
    }
}
