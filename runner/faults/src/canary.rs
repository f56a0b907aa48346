//! The canary: finds out whether a cluster enforces NetworkPolicy. One pod listens, another connects to it. A policy that
//! allows the second pod nothing must end that. The canary also observes whether an established connection survives.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::witness::{CONTAINER, KEPT_AFTER, held_since, injected, pod, pod_trouble};
use crate::enforcement::Enforcement;
use shakedown_cluster::labels;
use shakedown_cluster::{Cluster, ClusterError, Kind, ObjectKey, WitnessImage};
use shakedown_guard::fuse::{self, FuseError, Fuses};
use shakedown_probe::{ProbeConfig, Round};

/// The port on which the first pod listens.
const PORT: u16 = 18_099;
/// How long both pods may take to start and connect in a real cluster.
pub const START_LIMIT: Duration = Duration::from_secs(45);
/// How long a network plugin may take to enforce the policy.
const ACT_LIMIT: Duration = Duration::from_secs(15);
/// The number of rounds in a row without a connection that count as a cut.
const ROUNDS: usize = 3;
/// The interval of the checks.
const PAUSE: Duration = Duration::from_millis(250);
/// The life of the fuse: after it, the cluster removes the canary.
const FUSE: Duration = Duration::from_secs(120);
/// The fuse's number. It is far above the numbers of scenarios, which count from 0.
const SERIAL: usize = 9_999;

/// The canary could not run.
#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    /// The cluster refused or did not answer.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Its fuse could not be lit.
    #[error(transparent)]
    Fuse(#[from] FuseError),
    /// Its pods do not run or do not connect.
    #[error("{0}")]
    Silent(String),
}

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
    let canary = Canary { cluster, run, namespace, image, start_limit, owner: fuses.owner(namespace).cloned() };
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
    cluster: &'a Cluster,
    run: &'a str,
    namespace: &'a str,
    image: &'a WitnessImage,
    start_limit: Duration,
    owner: Option<Value>,
}

impl Canary<'_> {
    fn key(&self, kind: Kind, role: &str) -> ObjectKey {
        ObjectKey {
            kind,
            namespace: self.namespace.to_owned(),
            name: format!("shakedown-{}-canary-{role}", self.run),
            uid: None,
        }
    }

    fn labels(&self, role: &str) -> BTreeMap<String, String> {
        [(labels::MANAGED_BY, labels::MANAGER), (labels::RUN, self.run), ("shakedown.dev/canary", role)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    async fn create(&self, kind: Kind, mut object: Value) -> Result<Value, ClusterError> {
        if let Some(owner) = &self.owner {
            object["metadata"]["ownerReferences"] = json!([owner]);
        }
        self.cluster.create(kind, self.namespace, &object).await
    }

    /// Whether policies are enforced and, if so, whether established connections survive; `None` if that could not be seen.
    async fn ask(&self) -> Result<(bool, Option<bool>), CanaryError> {
        let deadline = Instant::now() + self.start_limit;
        let listener = self.key(Kind::Pod, "listener");
        let probe = ProbeConfig { to: String::new(), listen: PORT };
        let object = pod(&listener.name, self.namespace, self.labels("listener"), self.image, &probe);
        self.create(Kind::Pod, object).await?;
        let address = loop {
            let pod = self.cluster.own(&listener).await?.unwrap_or_default();
            let running = pod["status"]["phase"] == "Running";
            if let (true, Some(address)) = (running, pod["status"]["podIP"].as_str()) {
                break address.to_owned();
            }
            self.check(&pod, deadline, "the pod that listens does not run")?;
            tokio::time::sleep(PAUSE).await;
        };
        let caller = self.key(Kind::Pod, "caller");
        let host = if address.contains(':') { format!("[{address}]") } else { address };
        let probe = ProbeConfig { to: format!("{host}:{PORT}"), listen: 0 };
        let object = pod(&caller.name, self.namespace, self.labels("caller"), self.image, &probe);
        let made = self.create(Kind::Pod, object).await?;
        while self.rounds(&caller).await.last().is_none_or(|round| round.open.is_empty()) {
            let pod = self.cluster.own(&caller).await?.unwrap_or_default();
            self.check(
                &pod,
                deadline,
                "the pod that connects does not reach the other one, without any policy of ours",
            )?;
            tokio::time::sleep(PAUSE).await;
        }
        // The round after the last printed one may have begun before the cut.
        let cut_after = self.rounds(&caller).await.last().map_or(0, |round| round.round) + 1;
        self.create(Kind::NetworkPolicy, self.policy()).await?;
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
                Some(others) => Err(CanaryError::Silent(format!(
                    "the canary's connections are accepted although a policy forbids them, which shows nothing: admission \
                     added {others} to its pod, and a proxy there may accept them"
                ))),
            },
            _ => Err(CanaryError::Silent("the log of the canary's pod could not be read".to_owned())),
        }
    }

    /// Whether the caller's established connection survived; `None` if that could not be seen.
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

    fn check(&self, pod: &Value, deadline: Instant, problem: &str) -> Result<(), CanaryError> {
        let trouble = pod_trouble(pod);
        let hopeless = trouble.as_ref().is_some_and(|(_, hopeless)| *hopeless);
        if !hopeless && Instant::now() < deadline {
            return Ok(());
        }
        let why = trouble.map(|(why, _)| format!(": {why}")).unwrap_or_default();
        Err(CanaryError::Silent(format!(
            "{problem}{why} (image {})\nhelp: --canary-image names an image of this program that the nodes can run",
            self.image.image
        )))
    }

    fn policy(&self) -> Value {
        let key = self.key(Kind::NetworkPolicy, "policy");
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": key.name, "namespace": key.namespace, "labels": self.labels("policy")},
            "spec": {
                "podSelector": {"matchLabels": {labels::RUN: self.run, "shakedown.dev/canary": "caller"}},
                "policyTypes": ["Egress"],
                "egress": [],
            },
        })
    }

    async fn rounds(&self, pod: &ObjectKey) -> Vec<Round> {
        let text = self.cluster.pod_log(&pod.namespace, &pod.name, CONTAINER, 20).await.unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Removes all objects of the canary. A failure does not stop the others.
    async fn remove(&self) -> Result<(), ClusterError> {
        let mut problem = Ok(());
        for (kind, role) in [(Kind::NetworkPolicy, "policy"), (Kind::Pod, "caller"), (Kind::Pod, "listener")] {
            problem = problem.and(self.cluster.delete(&self.key(kind, role)).await);
        }
        problem
    }
}
