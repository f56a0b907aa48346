//! The fuse: a Job in the cluster that removes a run's faults when the runner is not there to do it.
//!
//! The Job asks for no pod (`completions: 0`), so that it is complete at once and nothing has to be admitted, pulled or
//! scheduled. From then on its `ttlSecondsAfterFinished` counts. At its end the TTL controller deletes the Job, and garbage
//! collection deletes everything that names it as its owner: all of that in the cluster, with no runner alive. While the
//! runner lives, it raises that time ([`keep`]).
//!
//! Why not `activeDeadlineSeconds`: a Job controller before Kubernetes 1.25 sets the timer of a deadline only when it changes,
//! and of two timers it keeps the earlier. That one finds the raised deadline not yet over, and no other follows: a runner
//! that died after a push would leave a fuse that never burns (kubernetes/kubernetes issues 107226 and 110239, pull request
//! 110294). The TTL controller sets its timer again whenever one ends too early, and reads the Job once more right before it
//! deletes it, in every release.

mod keep;
mod pace;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::try_join_all;
use serde_json::{Value, json};
use shakedown_schemas::result::{Leftover, ObjectRecord};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

pub(crate) use keep::is_going;
use pace::Pace;
use shakedown_cluster::labels;
use shakedown_cluster::{Access, Cluster, ClusterError, Kind, ObjectKey};

/// How long the Job controller has to complete a fuse's Job.
const START_LIMIT: Duration = Duration::from_secs(15);
/// How often it is looked at.
const POLL: Duration = Duration::from_millis(100);
/// The image of a fuse's pod, which never exists.
const NO_IMAGE: &str = "shakedown.invalid/never-pulled";

/// A fuse could not be lit.
#[derive(Debug, thiserror::Error)]
pub enum FuseError {
    /// The cluster refused or did not answer.
    #[error("could not light the fuse: {0}\nhelp: --no-fuse injects without one")]
    Cluster(#[from] ClusterError),
    /// Admission refused its Job.
    #[error(
        "could not light the fuse: {0}\nhelp: the cluster must admit this Job, which never has a pod; --fuse-image names an \
         image that its policies allow; --no-fuse injects without a fuse"
    )]
    Refused(ClusterError),
    /// It would not burn down.
    #[error("could not light the fuse: {0}\nhelp: --no-fuse injects without one")]
    NotHonoured(String),
}

/// The fuses of one scenario, one per namespace.
#[derive(Debug, Default)]
pub struct Fuses {
    made: BTreeMap<String, Fuse>,
    burned: watch::Sender<Option<String>>,
}

#[derive(Debug)]
struct Fuse {
    key: ObjectKey,
    /// How long it lives after a push.
    life: Duration,
    /// Null until it burns.
    owner: Value,
    /// What is known of it once it burns and is not pushed yet: its version and its times.
    lit: Option<(Option<String>, Pace)>,
    pushing: Option<AbortOnDropHandle<()>>,
}

/// The Job that is a namespace's fuse. It burns down after `life`, unless it is pushed: whole seconds, at least one. `serial`
/// tells the scenarios of a run apart. The image is never pulled; a cluster may refuse Jobs that name another registry.
pub fn job(run: &str, serial: usize, namespace: &str, life: Duration, image: Option<&str>) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": format!("shakedown-fuse-{run}-{serial}"),
            "namespace": namespace,
            "labels": {labels::MANAGED_BY: labels::MANAGER, labels::RUN: run},
        },
        "spec": {
            "ttlSecondsAfterFinished": life.as_secs_f64().ceil().max(1.0) as u64,
            "backoffLimit": 0,
            "parallelism": 0,
            "completions": 0,
            "template": {
                "metadata": {"labels": {labels::MANAGED_BY: labels::MANAGER, labels::RUN: run}},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    // There is no pod. Policies that look at the templates of Jobs ask for all of this.
                    "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [{
                        "name": "fuse",
                        "image": image.unwrap_or(NO_IMAGE),
                        "securityContext": {
                            "allowPrivilegeEscalation": false,
                            "readOnlyRootFilesystem": true,
                            "capabilities": {"drop": ["ALL"]},
                        },
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
    /// Lights a namespace's fuse and makes sure that it burns: the server keeps its time to live, and the Job controller has
    /// completed it. The TTL controller and the garbage collector run in the same process as the Job controller, and are on
    /// by default in every version that keeps `ttlSecondsAfterFinished`. It burns down once, unless it is [kept](Self::keep).
    ///
    /// # Errors
    /// When it would not burn down, or the server refuses or does not answer.
    pub async fn light(&mut self, cluster: &Cluster, job: &Value) -> Result<(), FuseError> {
        let record = ObjectRecord::from(job);
        let namespace = record.namespace.clone();
        let key = ObjectKey { kind: Kind::Job, namespace: record.namespace, name: record.name, uid: None };
        allowed(cluster, &namespace).await?;
        // Noted before it is sent: an answer that never comes back may still have created it.
        let life = Duration::from_secs(job["spec"]["ttlSecondsAfterFinished"].as_u64().unwrap_or(1));
        let fuse = Fuse { key: key.clone(), life, owner: Value::Null, lit: None, pushing: None };
        self.made.insert(namespace.clone(), fuse);
        let sent = Instant::now();
        let created = cluster.create(Kind::Job, &namespace, job).await.map_err(|error| match error {
            // The account's permission was checked above, so admission refused it: a webhook with any status, a
            // ValidatingAdmissionPolicy with 422.
            ClusterError::Forbidden { .. } | ClusterError::Other { transient: false, .. } => FuseError::Refused(error),
            error => FuseError::Cluster(error),
        })?;
        if let Some(problem) = dropped(job, &created) {
            let version = &cluster.info().version;
            return Err(FuseError::NotHonoured(format!("this cluster ({version}) {problem}")));
        }
        let key = ObjectKey { uid: created["metadata"]["uid"].as_str().map(str::to_owned), ..key };
        let owner = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": key.name,
            "uid": key.uid,
            "blockOwnerDeletion": false,
            "controller": false,
        });
        let fuse = Fuse { key: key.clone(), life, owner, lit: None, pushing: None };
        self.made.insert(namespace.clone(), fuse);
        let (done, not_before) = completed(cluster, &key, sent).await?;
        let version = done["metadata"]["resourceVersion"].as_str().map(str::to_owned);
        if let Some(fuse) = self.made.get_mut(&namespace) {
            fuse.lit = Some((version, Pace::new(life, not_before, Instant::now())));
        }
        Ok(())
    }

    /// Pushes every fuse that burns, from now on until it is removed or this is dropped.
    pub fn keep(&mut self, cluster: &Cluster) {
        for fuse in self.made.values_mut() {
            if let Some((version, pace)) = fuse.lit.take() {
                let pushing = keep::keep(cluster.clone(), fuse.key.clone(), version, pace, self.burned.clone());
                fuse.pushing = Some(AbortOnDropHandle::new(tokio::spawn(pushing)));
            }
        }
    }

    /// Why a fuse that was kept burned down, once one did.
    pub fn burned(&self) -> watch::Receiver<Option<String>> {
        self.burned.subscribe()
    }

    /// The fuse that burns in a namespace, where one does, and how long it lives after a push.
    pub(crate) fn burning(&self, namespace: &str) -> Option<(ObjectKey, Duration)> {
        let fuse = self.made.get(namespace).filter(|fuse| !fuse.owner.is_null())?;
        Some((fuse.key.clone(), fuse.life))
    }

    /// The owner reference for what is created in a namespace, where a fuse burns there.
    pub fn owner(&self, namespace: &str) -> Option<&Value> {
        self.made.get(namespace).map(|fuse| &fuse.owner).filter(|owner| !owner.is_null())
    }

    /// Removes all fuses, and with them whatever they still own. Each is tried, whatever happens to the others.
    pub async fn remove(&mut self, cluster: &Cluster) -> Vec<Leftover> {
        let mut left = Vec::new();
        let mut remaining = BTreeMap::new();
        for (namespace, mut fuse) in std::mem::take(&mut self.made) {
            fuse.pushing = None;
            if let Err(error) = cluster.delete(&fuse.key).await {
                let (what, command) = (fuse.key.to_string(), fuse.key.delete_command());
                left.push(Leftover { what, command, error: error.to_string() });
                remaining.insert(namespace, fuse);
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

/// What the server did not keep of a fuse: an old server drops fields that its feature gates turn off, without a word.
fn dropped(sent: &Value, kept: &Value) -> Option<&'static str> {
    let (sent, kept) = (&sent["spec"], &kept["spec"]);
    let differs = |field: &str| sent[field] != kept[field];
    if kept["ttlSecondsAfterFinished"].is_null() {
        Some(
            "does not delete Jobs that have ended: `ttlSecondsAfterFinished` needs Kubernetes 1.21, or the feature gate \
             TTLAfterFinished in an older one",
        )
    } else if kept["suspend"] == true {
        Some("suspends the fuse's Job: an admission webhook of a queue for Jobs, such as Kueue, does so")
    } else if ["ttlSecondsAfterFinished", "completions", "parallelism", "managedBy"].into_iter().any(differs) {
        Some("does not keep the fuse's Job as it was sent: an admission webhook changes it")
    } else {
        None
    }
}

/// Waits until the Job controller has completed the Job. Returns it, and a moment after `sent` at which it was not complete.
async fn completed(cluster: &Cluster, key: &ObjectKey, sent: Instant) -> Result<(Value, Instant), FuseError> {
    let begun = Instant::now();
    let mut not_before = sent;
    loop {
        let look = Instant::now();
        let Some(job) = cluster.get(key).await? else {
            return Err(FuseError::NotHonoured(format!("{key} was removed at once")));
        };
        if condition(&job, "Complete").is_some() {
            return Ok((job, not_before));
        }
        not_before = look;
        let failed = condition(&job, "Failed");
        if failed.is_some() || begun.elapsed() >= START_LIMIT {
            let uid = key.uid.as_deref().unwrap_or_default();
            let events = cluster.events_of(&key.namespace, uid).await.unwrap_or_default();
            return Err(FuseError::NotHonoured(format!("{key} {}", hindrance(&job, &events))));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// A condition of a Job that holds.
fn condition<'a>(job: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = job["status"]["conditions"].as_array()?;
    conditions.iter().find(|it| it["type"] == kind && it["status"] == "True")
}

/// Why a Job is not complete: what its conditions say, else its last warning.
fn hindrance(job: &Value, events: &[Value]) -> String {
    let words = |it: &Value| {
        let text = |field: &str| it[field].as_str().filter(|text| !text.is_empty()).unwrap_or("no message").to_owned();
        format!("{} ({})", text("message"), text("reason"))
    };
    let said = ["Failed", "FailureTarget", "Suspended"].into_iter().find_map(|kind| condition(job, kind));
    let last = events.iter().rfind(|event| event["type"] == "Warning");
    let seconds = START_LIMIT.as_secs();
    match said.or(last) {
        Some(it) => format!("did not complete: {}", words(it)),
        None if job["status"]["startTime"].is_null() => {
            format!("was not completed by any Job controller within {seconds} s")
        }
        None => format!("was started and did not complete within {seconds} s"),
    }
}

#[cfg(test)]
mod tests;
