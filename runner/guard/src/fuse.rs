//! The fuse: a Job in the cluster that removes a run's faults when the runner has died.
//!
//! The Job asks for no pod (`completions: 0`), so that it completes at once and nothing has to be admitted, pulled or
//! scheduled. Its `ttlSecondsAfterFinished` counts from then on. When the time is over, the TTL controller deletes the Job,
//! and garbage collection deletes every object that it owns. None of this needs the runner. While the runner lives, it
//! raises the time to live ([`keep`]).
//!
//! Why not `activeDeadlineSeconds`: before Kubernetes 1.25, the Job controller sets the timer of a deadline only when the
//! deadline changes, and keeps the earlier of two timers. That timer finds the raised deadline not yet over, and no other
//! timer follows. A runner that died after a push would leave a fuse that never burns (kubernetes/kubernetes issues 107226
//! and 110239, pull request 110294). In every release, the TTL controller sets its timer again when one ends too early, and
//! reads the Job once more right before it deletes it.

mod keep;
mod pace;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use shakedown_schemas::Explained;
use shakedown_schemas::result::{Leftover, ObjectRecord};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

pub(crate) use keep::is_going;
use pace::Pace;
use shakedown_cluster::labels;
use shakedown_cluster::permissions::{Answers, Names, Need, Needs};
use shakedown_cluster::{Access, Cluster, ClusterError, Kind, ObjectKey};

/// How long the Job controller may take to complete a fuse's Job.
const START_LIMIT: Duration = Duration::from_secs(15);
/// The interval of the checks until then.
const POLL: Duration = Duration::from_millis(100);
/// The default image in the Job's template. No pod is created, so it is never pulled.
const NO_IMAGE: &str = "shakedown.invalid/never-pulled";

/// A fuse could not be lit.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.explained())]
pub enum FuseError {
    /// The cluster refused or did not answer.
    Cluster(#[from] ClusterError),
    /// Admission refused the Job.
    Refused(ClusterError),
    /// The fuse would not burn down.
    NotHonoured(String),
}

impl FuseError {
    /// The message and the next step.
    pub fn explained(&self) -> Explained {
        let (why, help) = match self {
            Self::Cluster(error) => (error.explained(), "--no-fuse injects without one"),
            Self::Refused(error) => (
                error.explained(),
                "the cluster must admit this Job, which never creates a pod; --fuse-image names an image that its policies \
                 allow; --no-fuse injects without a fuse",
            ),
            Self::NotHonoured(why) => (why.as_str().into(), "--no-fuse injects without one"),
        };
        why.about("could not light the fuse").or(help)
    }
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
    /// Its life after a push.
    life: Duration,
    /// Null until it burns.
    owner: Value,
    /// Its version and its times, while it burns and is not pushed yet.
    lit: Option<(Option<String>, Pace)>,
    pushing: Option<AbortOnDropHandle<()>>,
}

/// A namespace's fuse as a Job. It burns down after `life` unless it is pushed; `life` is rounded up to whole seconds, at
/// least 1 s. `serial` distinguishes the scenarios of a run. The image is never pulled, but an admission policy may accept
/// only some registries.
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
                    // There is no pod, but policies that check the templates of Jobs require all of this.
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
    /// Lights a namespace's fuse and checks that it burns: the server keeps the time to live, and the Job controller completes
    /// the Job. The TTL controller and the garbage collector run in the same process as the Job controller, and are enabled by
    /// default in every version that keeps `ttlSecondsAfterFinished`. The fuse burns down unless it is [kept](Self::keep).
    ///
    /// # Errors
    /// When the fuse would not burn down, or the server refuses or does not answer.
    pub async fn light(&mut self, cluster: &Cluster, job: &Value) -> Result<(), FuseError> {
        let record = ObjectRecord::from(job);
        let namespace = record.namespace.clone();
        let key = ObjectKey { kind: Kind::Job, namespace: record.namespace, name: record.name, uid: None };
        allowed(cluster, &key).await?;
        // Recorded before the request: the server may create the Job although its answer is lost.
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

    /// Pushes every burning fuse from now on, until the fuse is removed or this is dropped.
    pub fn keep(&mut self, cluster: &Cluster) {
        for fuse in self.made.values_mut() {
            if let Some((version, pace)) = fuse.lit.take() {
                let pushing = keep::keep(cluster.clone(), fuse.key.clone(), version, pace, self.burned.clone());
                fuse.pushing = Some(AbortOnDropHandle::new(tokio::spawn(pushing)));
            }
        }
    }

    /// The reason of the first kept fuse that burned down; `None` until then.
    pub fn burned(&self) -> watch::Receiver<Option<String>> {
        self.burned.subscribe()
    }

    /// The burning fuse of a namespace, if any, and its life after a push.
    pub(crate) fn burning(&self, namespace: &str) -> Option<(ObjectKey, Duration)> {
        let fuse = self.made.get(namespace).filter(|fuse| !fuse.owner.is_null())?;
        Some((fuse.key.clone(), fuse.life))
    }

    /// The owner reference for objects in a namespace; `None` when no fuse burns there.
    pub fn owner(&self, namespace: &str) -> Option<&Value> {
        self.made.get(namespace).map(|fuse| &fuse.owner).filter(|owner| !owner.is_null())
    }

    /// Removes all fuses, and with them the objects that they still own. A failure does not stop the others.
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

/// Checks that this account may light and remove a fuse. If the server does not support access reviews, lighting the fuse
/// reports a missing permission.
async fn allowed(cluster: &Cluster, key: &ObjectKey) -> Result<(), FuseError> {
    let namespace = &key.namespace;
    let need = |verb| Need { namespace: namespace.clone(), access: Access { group: "batch", resource: "jobs", verb } };
    let needs: Needs =
        ["create", "get", "patch", "delete"].map(|verb| (need(verb), Names::only([key.name.as_str()]))).into();
    let mut answers = Answers::default();
    cluster.ask(&needs, &mut answers).await?;
    let missing = needs.iter().filter(|(need, names)| answers.lack(need, names)).map(|(need, _)| need.access.verb);
    let missing: Vec<&str> = missing.collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(FuseError::NotHonoured(format!(
        "this account may not {} jobs in namespace {namespace}: grant it a Role with these verbs on `jobs` in the group `batch`",
        missing.join(", ")
    )))
}

/// Why the created Job would not work as a fuse. An old server silently drops fields whose feature gate is off.
fn dropped(sent: &Value, kept: &Value) -> Option<&'static str> {
    let (sent, kept) = (&sent["spec"], &kept["spec"]);
    let differs = |field: &str| sent[field] != kept[field];
    if kept["ttlSecondsAfterFinished"].is_null() {
        Some(
            "does not delete Jobs that have ended: `ttlSecondsAfterFinished` needs Kubernetes 1.21, or the feature gate \
             TTLAfterFinished in an older one",
        )
    } else if kept["suspend"] == true {
        Some("suspends the fuse's Job: an admission webhook of a job queue, such as Kueue, does this")
    } else if ["ttlSecondsAfterFinished", "completions", "parallelism", "managedBy"].into_iter().any(differs) {
        Some("does not create the fuse's Job as it was sent: an admission webhook changes it")
    } else {
        None
    }
}

/// Waits until the Job controller has completed the Job. Returns the Job, and the last moment at which it was not complete.
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
            return Err(FuseError::NotHonoured(format!("{key} {}", incomplete_reason(&job, &events))));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// A condition of a Job with status `True`.
fn condition<'a>(job: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = job["status"]["conditions"].as_array()?;
    conditions.iter().find(|it| it["type"] == kind && it["status"] == "True")
}

/// Why a Job is not complete: from its conditions, else from its last warning event.
fn incomplete_reason(job: &Value, events: &[Value]) -> String {
    let describe = |it: &Value| {
        let text = |field: &str| it[field].as_str().filter(|text| !text.is_empty()).unwrap_or("no message").to_owned();
        format!("{} ({})", text("message"), text("reason"))
    };
    let said = ["Failed", "FailureTarget", "Suspended"].into_iter().find_map(|kind| condition(job, kind));
    let last = events.iter().rfind(|event| event["type"] == "Warning");
    let seconds = START_LIMIT.as_secs();
    match said.or(last) {
        Some(it) => format!("did not complete: {}", describe(it)),
        None if job["status"]["startTime"].is_null() => {
            format!("was not completed by any Job controller within {seconds} s")
        }
        None => format!("was started and did not complete within {seconds} s"),
    }
}

#[cfg(test)]
mod tests;
