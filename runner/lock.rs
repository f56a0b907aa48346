//! The lock: one Lease per namespace with faults, held and renewed while a run acts there. Two runs in one namespace
//! would measure each other's faults.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use shakedown_schemas::EventKind;
use shakedown_schemas::result::Leftover;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::{Cluster, ClusterError, Kind, ObjectKey};
use crate::faults::fuse::Fuses;
use crate::{labels, sweep};

/// The Lease's name: the same for all runs, which is what makes it a lock.
pub const NAME: &str = "shakedown-lock";
/// How long a lock holds without being renewed. A run whose process is gone is waited out for this long.
const DURATION: Duration = Duration::from_secs(30);
/// How often it is renewed: a few answers may fail before it is lost.
const RENEWAL: Duration = Duration::from_secs(5);
/// How often a waiting run looks again.
const POLL: Duration = Duration::from_secs(1);

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The run's id.
    pub run: String,
    /// The machine.
    pub host: String,
    /// The CI job, where it is known.
    pub ci_job_url: Option<String>,
}

/// What a Lease says, seen by a run at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Nobody holds it, or its holder did not renew it in time.
    Free,
    /// This run holds it.
    Ours,
    /// Another run holds it.
    Held(Holder),
}

/// A lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run holds it.
    #[error(
        "run {} on {} holds the namespace `{namespace}`{}\nhelp: wait for it with --wait-lock 5m, or choose another namespace",
        holder.run, holder.host, url(holder)
    )]
    Held {
        /// The namespace.
        namespace: String,
        /// Who holds it.
        holder: Holder,
    },
    /// The cluster refused or did not answer.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

fn url(holder: &Holder) -> String {
    holder.ci_job_url.as_ref().map(|url| format!(" ({url})")).unwrap_or_default()
}

/// The locks of one scenario. They are renewed until this is released or dropped.
pub struct Locks {
    cluster: Cluster,
    held: Vec<(ObjectKey, AbortOnDropHandle<()>)>,
    lost: watch::Receiver<Option<String>>,
    lose: watch::Sender<Option<String>>,
}

impl Locks {
    /// No locks yet.
    pub fn new(cluster: Cluster) -> Self {
        let (lose, lost) = watch::channel(None);
        Self { cluster, held: Vec::new(), lost, lose }
    }

    /// Why a lock was lost, once one is.
    pub fn lost(&self) -> watch::Receiver<Option<String>> {
        self.lost.clone()
    }

    /// Waits until nobody holds a namespace's lock, at most until the given moment. What a dead holder left there is
    /// removed: its faults would be measured as ours.
    ///
    /// # Errors
    /// When another run holds it all that time, or the cluster refuses or does not answer.
    pub async fn wait(&self, namespace: &str, me: &Holder, until: Instant) -> Result<(), LockError> {
        let key = key(namespace);
        let mut told = false;
        loop {
            let Some(lease) = self.cluster.get(&key).await? else { return Ok(()) };
            let holder = match state(&lease, me, Timestamp::now()) {
                State::Ours => return Ok(()),
                State::Free => return self.clear(&lease, namespace).await,
                State::Held(holder) => holder,
            };
            if Instant::now() >= until {
                return Err(LockError::Held { namespace: namespace.to_owned(), holder });
            }
            if !told {
                told = true;
                self.cluster.tell(EventKind::Cluster {
                    message: format!(
                        "waiting for run {} on {}{}, which holds the namespace {namespace}",
                        holder.run,
                        holder.host,
                        url(&holder)
                    ),
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Removes what a run that no longer renews its lock left behind, the lock included.
    async fn clear(&self, lease: &Value, namespace: &str) -> Result<(), LockError> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let run = text(&lease["spec"]["holderIdentity"]);
        self.cluster.tell(EventKind::Warning {
            message: format!("run {run} held the namespace {namespace} and is dead: what it left is removed"),
        });
        match sweep::find(&self.cluster, Some(&run)).await {
            Ok(items) if !run.is_empty() => {
                for item in items {
                    sweep::remove(&self.cluster, &item).await?;
                }
            }
            // An account that sees only this namespace leaves the rest to the dead run's fuse.
            Ok(_) | Err(ClusterError::Forbidden { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let uid = lease["metadata"]["uid"].as_str().map(str::to_owned);
        Ok(self.cluster.delete(&ObjectKey { uid, ..key(namespace) }).await?)
    }

    /// Takes a namespace's lock, which [`Self::wait`] found free. The Lease belongs to the namespace's fuse, where there
    /// is one, so that it does not outlive the run.
    ///
    /// # Errors
    /// When another run was quicker, or the cluster refuses or does not answer.
    pub async fn take(&mut self, namespace: &str, me: &Holder, fuses: &Fuses) -> Result<(), LockError> {
        let key = key(namespace);
        match self.cluster.create(Kind::Lease, namespace, &lease(namespace, me, fuses.owner(namespace))).await {
            Ok(_) => {}
            Err(ClusterError::Conflict { .. }) => {
                let lease = self.cluster.get(&key).await?.unwrap_or_default();
                let holder = match state(&lease, me, Timestamp::now()) {
                    State::Held(holder) => holder,
                    State::Free | State::Ours => Holder::unknown(),
                };
                return Err(LockError::Held { namespace: namespace.to_owned(), holder });
            }
            Err(error) => return Err(error.into()),
        }
        let renewing = renew(self.cluster.clone(), key.clone(), me.clone(), self.lose.clone());
        self.held.push((key, AbortOnDropHandle::new(tokio::spawn(renewing))));
        Ok(())
    }

    /// Gives all locks back. One that is not ours any more is left alone.
    pub async fn release(self, me: &Holder) -> Vec<Leftover> {
        let mut left = Vec::new();
        for (key, renewal) in self.held {
            drop(renewal);
            let result = match self.cluster.get(&key).await {
                Ok(Some(lease)) if state(&lease, me, Timestamp::now()) == State::Ours => {
                    let uid = lease["metadata"]["uid"].as_str().map(str::to_owned);
                    self.cluster.delete(&ObjectKey { uid, ..key.clone() }).await
                }
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                left.push(Leftover { what: key.to_string(), command: key.delete_command(), error: error.to_string() });
            }
        }
        left
    }
}

fn key(namespace: &str) -> ObjectKey {
    ObjectKey { kind: Kind::Lease, namespace: namespace.to_owned(), name: NAME.to_owned(), uid: None }
}

/// Renews until it is lost: another run has it, or it could not be renewed for as long as it lasts.
async fn renew(cluster: Cluster, key: ObjectKey, me: Holder, lose: watch::Sender<Option<String>>) {
    let mut renewed = Instant::now();
    loop {
        tokio::time::sleep(RENEWAL).await;
        let problem = match renew_once(&cluster, &key, &me).await {
            Ok(None) => {
                renewed = Instant::now();
                continue;
            }
            Ok(Some(taken)) => taken,
            Err(_) if renewed.elapsed() + RENEWAL < DURATION => continue,
            Err(error) => format!("it could not be renewed: {error}"),
        };
        _ = lose.send(Some(format!("the lock of namespace {} was lost: {problem}", key.namespace)));
        return;
    }
}

/// None when it was renewed, else who took it.
async fn renew_once(cluster: &Cluster, key: &ObjectKey, me: &Holder) -> Result<Option<String>, ClusterError> {
    let Some(mut lease) = cluster.get(key).await? else { return Ok(Some("somebody deleted it".to_owned())) };
    if lease["spec"]["holderIdentity"] != me.run.as_str() {
        return Ok(Some(format!("run {} has it", lease["spec"]["holderIdentity"].as_str().unwrap_or("unknown"))));
    }
    lease["spec"]["renewTime"] = json!(micro(Timestamp::now()));
    match cluster.replace(key, &lease).await {
        // Changed between the two requests: look again at the next turn.
        Ok(_) | Err(ClusterError::Conflict { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Holder {
    fn unknown() -> Self {
        Self { run: "unknown".to_owned(), host: "an unknown host".to_owned(), ci_job_url: None }
    }
}

/// The time as Lease objects have it.
fn micro(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn lease(namespace: &str, me: &Holder, owner: Option<&Value>) -> Value {
    let now = micro(Timestamp::now());
    let mut lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": NAME,
            "namespace": namespace,
            "labels": {labels::MANAGED_BY: labels::MANAGER, labels::RUN: me.run},
            "annotations": {"shakedown.dev/host": me.host},
        },
        "spec": {
            "holderIdentity": me.run,
            "leaseDurationSeconds": DURATION.as_secs(),
            "acquireTime": now,
            "renewTime": now,
        },
    });
    if let Some(url) = &me.ci_job_url {
        lease["metadata"]["annotations"]["shakedown.dev/ci-job-url"] = json!(url);
    }
    if let Some(owner) = owner {
        lease["metadata"]["ownerReferences"] = json!([owner]);
    }
    lease
}

/// Whether a Lease is held, and by whom. Its own `leaseDurationSeconds` decides when it runs out.
fn state(lease: &Value, me: &Holder, now: Timestamp) -> State {
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
    if holder.is_empty() {
        return State::Free;
    }
    if holder == me.run {
        return State::Ours;
    }
    if !is_live(lease, now) {
        return State::Free;
    }
    let note = |name: &str| lease["metadata"]["annotations"][name].as_str().map(str::to_owned);
    State::Held(Holder {
        run: holder.to_owned(),
        host: note("shakedown.dev/host").unwrap_or_else(|| "an unknown host".to_owned()),
        ci_job_url: note("shakedown.dev/ci-job-url"),
    })
}

/// Whether a lock's holder renewed it in time.
pub fn is_live(lease: &Value, now: Timestamp) -> bool {
    let renewed: Option<Timestamp> = lease["spec"]["renewTime"].as_str().and_then(|text| text.parse().ok());
    let seconds = lease["spec"]["leaseDurationSeconds"].as_i64().unwrap_or(DURATION.as_secs() as i64);
    renewed.is_some_and(|renewed| now.duration_since(renewed).as_secs() < seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me(run: &str) -> Holder {
        Holder { run: run.into(), host: "h".into(), ci_job_url: Some("https://ci/1".into()) }
    }

    #[test]
    fn a_lock_is_held_until_it_runs_out() {
        let theirs = lease("n", &me("a"), None);
        let now = Timestamp::now();
        assert_eq!(state(&theirs, &me("a"), now), State::Ours);
        assert_eq!(state(&theirs, &me("b"), now), State::Held(me("a")));
        let later = now + jiff::SignedDuration::from_secs(31);
        assert_eq!(state(&theirs, &me("b"), later), State::Free);
        assert_eq!(state(&json!({"spec": {}}), &me("b"), now), State::Free);
    }
}
