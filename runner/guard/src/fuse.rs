//! The fuse: a Job in the cluster that removes a run's faults when nobody else does.
//!
//! Its one pod names a scheduler that nobody serves, so no image is pulled and nothing runs; the Job only ages. At
//! `activeDeadlineSeconds` the Job controller fails it, `ttlSecondsAfterFinished: 0` has it deleted, and garbage
//! collection deletes everything that names it as its owner. All of that happens in the cluster, with no runner alive.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use futures::future::try_join_all;
use serde_json::{Value, json};
use shakedown_schemas::result::{Leftover, ObjectRecord};
use tokio::time::Instant;

use shakedown_cluster::labels;
use shakedown_cluster::{Access, Cluster, ClusterError, Kind, ObjectKey};

/// How long the Job controller has to start a fuse's clock.
const START_LIMIT: Duration = Duration::from_secs(15);
/// By how much a fuse is shortened once it burns, in seconds. Before Kubernetes 1.25 the Job controller sets the timer of a
/// deadline once, when it first sees the Job, and that timer is lost where it finds the deadline not yet over: with a start
/// that was written down up to a second later (1.20: two of its turns, with a whole second between them), or when an
/// earlier turn takes its place (1.24.0). One fuse of a hundred never burned down. A deadline that becomes shorter sets the
/// timer anew, by the start that is written down; one that becomes longer does not, because of two timers that controller
/// keeps the earlier. See kubernetes/kubernetes issues 107226 and 110239, and their fix, pull request 110294.
const SHORTENED: u64 = 2;
/// The first minor version of Kubernetes 1 whose Job controller sets that timer in each of its turns.
const SETS_TIMERS_AGAIN: u32 = 25;
/// How long such a controller's first turns may take, after which it is safe to shorten the deadline.
const FIRST_TURNS: Duration = Duration::from_secs(1);
/// The part of each second in which a fuse is lit, for the same reason: what is killed right after it leaves a fuse that
/// was not shortened.
const LIT: Range<u32> = 20_000_000..600_000_000;
/// How often it is looked at.
const POLL: Duration = Duration::from_millis(100);
/// The scheduler that nobody serves.
const NO_SCHEDULER: &str = "shakedown-fuse";

/// A fuse could not be lit.
#[derive(Debug, thiserror::Error)]
pub enum FuseError {
    /// The cluster refused or did not answer.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// It would not burn down.
    #[error("{0}")]
    NotHonoured(String),
}

/// The fuses of one scenario, one per namespace.
#[derive(Debug, Clone, Default)]
pub struct Fuses {
    made: BTreeMap<String, (ObjectKey, Value)>,
}

/// The Job that is a namespace's fuse. `serial` tells the scenarios of a run apart.
pub fn job(run: &str, serial: usize, namespace: &str, deadline: Duration) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": format!("shakedown-fuse-{run}-{serial}"),
            "namespace": namespace,
            "labels": {labels::MANAGED_BY: labels::MANAGER, labels::RUN: run},
        },
        "spec": {
            "activeDeadlineSeconds": deadline.as_secs_f64().ceil().max(1.0) as u64,
            "ttlSecondsAfterFinished": 0,
            "backoffLimit": 0,
            "parallelism": 1,
            "completions": 1,
            "template": {
                "metadata": {"labels": {labels::MANAGED_BY: labels::MANAGER, labels::RUN: run}},
                "spec": {
                    "schedulerName": NO_SCHEDULER,
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    // What strict admission and quotas ask of every pod; this one never runs.
                    "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [{
                        "name": "fuse",
                        "image": "shakedown.invalid/never-pulled",
                        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                        "resources": {
                            "requests": {"cpu": "1m", "memory": "1Mi"},
                            "limits": {"cpu": "1m", "memory": "1Mi"},
                        },
                    }],
                },
            },
        },
    })
}

impl Fuses {
    /// Lights a namespace's fuse and makes sure that it burns: the server keeps its deadline and its time to live, and
    /// the Job controller has started its clock. The TTL controller and the garbage collector run in the same process as
    /// the Job controller, and are on by default in every version that keeps `ttlSecondsAfterFinished`.
    ///
    /// # Errors
    /// When it would not burn down, or the server refuses or does not answer.
    pub async fn light(&mut self, cluster: &Cluster, job: &Value) -> Result<(), FuseError> {
        let record = ObjectRecord::from(job);
        let mut key = ObjectKey { kind: Kind::Job, namespace: record.namespace.clone(), name: record.name, uid: None };
        allowed(cluster, &key.namespace).await?;
        // Noted before it is sent: an answer that never comes back may still have created it.
        self.made.insert(record.namespace.clone(), (key.clone(), Value::Null));
        let long = lengthened(job);
        tokio::time::sleep(until_lit(jiff::Timestamp::now())).await;
        let created = cluster.create(Kind::Job, &record.namespace, &long).await?;
        if let Some(problem) = dropped(&long, &created) {
            let version = &cluster.info().version;
            return Err(FuseError::NotHonoured(format!("this cluster ({version}) {problem}")));
        }
        key.uid = created["metadata"]["uid"].as_str().map(str::to_owned);
        let owner = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": key.name,
            "uid": key.uid,
            "blockOwnerDeletion": false,
            "controller": false,
        });
        self.made.insert(record.namespace, (key.clone(), owner));
        started(cluster, &key).await?;
        if loses_timers(&cluster.info().version) {
            tokio::time::sleep(FIRST_TURNS).await;
        }
        let deadline = json!({"spec": {"activeDeadlineSeconds": job["spec"]["activeDeadlineSeconds"]}});
        let shortened = cluster.patch(&key, &deadline).await?;
        match dropped(job, &shortened) {
            Some(problem) => Err(FuseError::NotHonoured(format!("this cluster {problem}"))),
            None => Ok(()),
        }
    }

    /// The owner reference for what is created in a namespace, where a fuse burns there.
    pub fn owner(&self, namespace: &str) -> Option<&Value> {
        self.made.get(namespace).map(|(_, owner)| owner).filter(|owner| !owner.is_null())
    }

    /// Removes all fuses, and with them whatever they still own. Each is tried, whatever happens to the others.
    pub async fn remove(&mut self, cluster: &Cluster) -> Vec<Leftover> {
        let mut left = Vec::new();
        let mut remaining = BTreeMap::new();
        for (namespace, (key, owner)) in std::mem::take(&mut self.made) {
            if let Err(error) = cluster.delete(&key).await {
                left.push(Leftover { what: key.to_string(), command: key.delete_command(), error: error.to_string() });
                remaining.insert(namespace, (key, owner));
            }
        }
        self.made = remaining;
        left
    }
}

/// Whether this account may light and remove a fuse. A server that does not answer such questions says so when it is lit.
async fn allowed(cluster: &Cluster, namespace: &str) -> Result<(), FuseError> {
    let verbs = ["create", "get", "patch", "delete"];
    let asked = verbs.map(|verb| cluster.may(Access { group: "batch", resource: "jobs", verb }, namespace));
    let answers = try_join_all(asked).await?;
    let missing: Vec<&str> =
        verbs.into_iter().zip(answers).filter(|(_, may)| *may == Some(false)).map(|(verb, _)| verb).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(FuseError::NotHonoured(format!(
        "this account may not {} jobs in namespace {namespace}: give it a Role with these verbs on `jobs` in the group `batch`",
        missing.join(", ")
    )))
}

/// How long to wait for the part of a second in which fuses are lit.
fn until_lit(now: jiff::Timestamp) -> Duration {
    let part = u32::try_from(now.as_nanosecond().rem_euclid(1_000_000_000)).unwrap_or_default();
    let wait = if part >= LIT.end { LIT.start + 1_000_000_000 - part } else { LIT.start.saturating_sub(part) };
    Duration::from_nanos(wait.into())
}

/// Whether a server's Job controller may lose the timer of a deadline; true where its version cannot be read.
fn loses_timers(version: &str) -> bool {
    let minor = version.trim_start_matches('v').strip_prefix("1.").map(|rest| {
        let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse::<u32>()
    });
    !matches!(minor, Some(Ok(minor)) if minor >= SETS_TIMERS_AGAIN)
}

/// A fuse as it is lit, before it is shortened.
fn lengthened(job: &Value) -> Value {
    let mut job = job.clone();
    let seconds = job["spec"]["activeDeadlineSeconds"].as_u64().unwrap_or(1);
    job["spec"]["activeDeadlineSeconds"] = json!(seconds + SHORTENED);
    job
}

/// What the server did not keep of a fuse: an old server drops fields that its feature gates turn off, without a word.
fn dropped(sent: &Value, kept: &Value) -> Option<&'static str> {
    let differs = |field: &str| sent["spec"][field] != kept["spec"][field];
    if differs("ttlSecondsAfterFinished") {
        Some(
            "does not delete Jobs that have ended: `ttlSecondsAfterFinished` needs Kubernetes 1.21, or the feature gate \
             TTLAfterFinished in an older one",
        )
    } else if differs("activeDeadlineSeconds") {
        Some("does not keep a Job's deadline as it was sent: an admission webhook changes it")
    } else {
        None
    }
}

/// Waits until the Job controller has started the clock.
async fn started(cluster: &Cluster, key: &ObjectKey) -> Result<(), FuseError> {
    let begun = Instant::now();
    loop {
        let job = cluster.get(key).await?;
        if job.as_ref().is_some_and(|job| job["status"]["startTime"].is_string()) {
            return Ok(());
        }
        if job.is_none() || begun.elapsed() >= START_LIMIT {
            let what = if job.is_none() { "was removed at once" } else { "was not started by any Job controller" };
            return Err(FuseError::NotHonoured(format!("{key} {what} (within {} s)", START_LIMIT.as_secs())));
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuses_are_lit_well_inside_a_second() {
        for (at, wait) in [("0.000", 20), ("0.020", 0), ("0.599", 0), ("0.600", 420), ("0.999", 21)] {
            let now: jiff::Timestamp = format!("2026-03-01T12:00:0{at}Z").parse().unwrap();
            assert_eq!(until_lit(now), Duration::from_millis(wait), "{at}");
        }
    }

    #[test]
    fn old_controllers_are_given_time_for_their_first_turns() {
        for (version, loses) in [
            ("v1.20.2", true),
            ("v1.24.0-eks-1234", true),
            ("v1.25.0", false),
            ("v1.33+", false),
            ("1.30.1", false),
            ("development", true),
        ] {
            assert_eq!(loses_timers(version), loses, "{version}");
        }
    }

    #[test]
    fn a_server_that_drops_a_field_is_found_out() {
        let sent = job("r", 0, "n", Duration::from_millis(6200));
        assert_eq!(sent["spec"]["activeDeadlineSeconds"], 7);
        assert_eq!(dropped(&sent, &sent), None);
        let mut kept = sent.clone();
        kept["spec"]["activeDeadlineSeconds"] = json!(600);
        assert!(dropped(&sent, &kept).unwrap().contains("deadline"));
        kept["spec"].as_object_mut().unwrap().remove("ttlSecondsAfterFinished");
        assert!(dropped(&sent, &kept).unwrap().contains("TTLAfterFinished"));
    }
}
