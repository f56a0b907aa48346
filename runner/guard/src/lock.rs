//! The lock: one Lease per namespace with faults, held and renewed while a run acts there. Two runs in one namespace
//! would measure each other's faults.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use shakedown_schemas::EventKind;
use shakedown_schemas::result::Leftover;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::fuse::Fuses;
use crate::leftovers;
use shakedown_cluster::labels;
use shakedown_cluster::{Cluster, ClusterError, Kind, ObjectKey};

/// The Lease's name: the same for all runs, which is what makes it a lock.
pub const NAME: &str = "shakedown-lock";
const HOST: &str = "shakedown.dev/host";
const CI_JOB_URL: &str = "shakedown.dev/ci-job-url";
/// How long a lock holds without being renewed. A run whose process is gone is waited out for this long.
const DURATION: Duration = Duration::from_secs(30);
/// How often it is renewed: a few answers may fail before it is lost.
const RENEWAL: Duration = Duration::from_secs(5);
/// The pause after a renewal that failed.
const AGAIN: Duration = Duration::from_secs(1);
/// A run that could not renew for so long stops: before anybody may take its lock.
const GIVE_UP: Duration = Duration::from_secs(25);
/// How long a lock that has run out is watched before it is taken for a dead run's: its holder's clock may be behind
/// ours, and a run that lives renews it twice in this time.
const OBSERVATION: Duration = Duration::from_secs(12);
/// A clock that is wrong by more than this is not reckoned with.
const SKEW: Duration = Duration::from_secs(300);
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
    /// Nobody holds it.
    Free,
    /// Its holder did not renew it in time.
    RunOut,
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
        let mut seen = Seen::default();
        loop {
            let Some(lease) = self.cluster.get(&key).await? else { return Ok(()) };
            let now = Timestamp::now();
            // Watched from the first look on: a dead run's lock is taken over right when it has run out.
            let dead = seen.is_dead(&lease, now);
            let message = match state(&lease, me, now) {
                // An earlier scenario of this run could not give it back.
                State::Ours | State::Free => return self.forget(&lease, namespace).await,
                State::RunOut if dead => return self.clear(&lease, namespace).await,
                State::RunOut => format!(
                    "the lock of namespace {namespace} has run out; it is watched for {} s to be sure that its holder is dead",
                    OBSERVATION.as_secs()
                ),
                State::Held(holder) if Instant::now() >= until => {
                    return Err(LockError::Held { namespace: namespace.to_owned(), holder });
                }
                State::Held(holder) => format!(
                    "waiting for run {} on {}{}, which holds the namespace {namespace}",
                    holder.run,
                    holder.host,
                    url(&holder)
                ),
            };
            if !told {
                told = true;
                self.cluster.tell(EventKind::Cluster { message });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Removes what a run that no longer renews its lock left behind, the lock included.
    async fn clear(&self, lease: &Value, namespace: &str) -> Result<(), LockError> {
        let run = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        self.cluster.tell(EventKind::Warning {
            message: format!("run {run} held the namespace {namespace} and is dead: what it left is removed"),
        });
        let found = match leftovers::find(&self.cluster, Some(run), "").await {
            // An account that sees only this namespace leaves the others to the dead run's fuses.
            Err(ClusterError::Forbidden { .. }) => leftovers::find(&self.cluster, Some(run), namespace).await?,
            found => found?,
        };
        for (_, item) in found {
            leftovers::remove(&self.cluster, &item).await?;
        }
        self.forget(lease, namespace).await
    }

    async fn forget(&self, lease: &Value, namespace: &str) -> Result<(), LockError> {
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
                    State::Free | State::RunOut | State::Ours => Holder::unknown(),
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
    pub async fn release(&mut self, cluster: &Cluster, me: &Holder) -> Vec<Leftover> {
        let mut left = Vec::new();
        for (key, renewal) in std::mem::take(&mut self.held) {
            drop(renewal);
            let result = match cluster.get(&key).await {
                Ok(Some(lease)) if state(&lease, me, Timestamp::now()) == State::Ours => {
                    let uid = lease["metadata"]["uid"].as_str().map(str::to_owned);
                    cluster.delete(&ObjectKey { uid, ..key.clone() }).await
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

/// Renews until it is lost: another run has it, or it could not be renewed for nearly as long as it lasts.
async fn renew(cluster: Cluster, key: ObjectKey, me: Holder, lose: watch::Sender<Option<String>>) {
    let losing = renew_until_lost(&cluster, &key, &me);
    let problem = match AssertUnwindSafe(losing).catch_unwind().await {
        Ok(problem) => problem,
        Err(_) => "its renewal failed; this is a bug of shakedown".to_owned(),
    };
    _ = lose.send(Some(format!("the lock of namespace {} was lost: {problem}", key.namespace)));
}

async fn renew_until_lost(cluster: &Cluster, key: &ObjectKey, me: &Holder) -> String {
    let mut renewed = Instant::now();
    let mut pause = RENEWAL;
    let mut attempt = 0;
    loop {
        tokio::time::sleep(pause).await;
        let begun = Instant::now();
        let error = match tokio::time::timeout_at(renewed + GIVE_UP, renew_once(cluster, key, me)).await {
            Ok(Ok(None)) => {
                (renewed, pause, attempt) = (begun, RENEWAL, 0);
                continue;
            }
            Ok(Ok(Some(taken))) => return taken,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if renewed.elapsed() + AGAIN >= GIVE_UP {
            return format!("it could not be renewed for {} s: {error}", renewed.elapsed().as_secs());
        }
        attempt += 1;
        pause = AGAIN;
        cluster.tell(EventKind::ApiRetry { request: format!("renew {key}"), error, attempt });
    }
}

/// None when it was renewed, else who took it.
async fn renew_once(cluster: &Cluster, key: &ObjectKey, me: &Holder) -> Result<Option<String>, ClusterError> {
    let Some(mut lease) = cluster.get_once(key).await? else {
        return Ok(Some(
            "it is gone: somebody deleted it, or the fuse burned down because the run takes longer than planned (a longer \
             --fuse-margin gives it time)"
                .to_owned(),
        ));
    };
    if lease["spec"]["holderIdentity"] != me.run.as_str() {
        return Ok(Some(format!("run {} has it", lease["spec"]["holderIdentity"].as_str().unwrap_or("unknown"))));
    }
    lease["spec"]["renewTime"] = json!(micro(Timestamp::now()));
    // A conflict is an error like others: somebody changed it between the two requests, so we look again.
    cluster.replace(key, &lease).await.map(|_| None)
}

/// What a run that waits has seen of a lock, by its own clock.
#[derive(Debug, Default)]
pub struct Seen {
    version: Option<String>,
    since: Option<Instant>,
}

impl Seen {
    /// Whether a Lease's holder is dead: the Lease has run out by the clock, and was not renewed while we watched it.
    pub fn is_dead(&mut self, lease: &Value, now: Timestamp) -> bool {
        let version = lease["metadata"]["resourceVersion"].as_str().map(str::to_owned);
        if self.since.is_none() || self.version != version {
            (self.version, self.since) = (version, Some(Instant::now()));
        }
        let watched = self.since.is_some_and(|since| since.elapsed() >= OBSERVATION);
        match run_out(lease, now) {
            None => false,
            Some(ago) => watched || ago > SKEW,
        }
    }

    /// Whether the Lease was renewed while we watched it: its holder lives.
    pub fn is_renewed(&self, lease: &Value) -> bool {
        self.since.is_some() && self.version.as_deref() != lease["metadata"]["resourceVersion"].as_str()
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
            "annotations": {HOST: me.host},
        },
        "spec": {
            "holderIdentity": me.run,
            "leaseDurationSeconds": DURATION.as_secs(),
            "acquireTime": now,
            "renewTime": now,
        },
    });
    if let Some(url) = &me.ci_job_url {
        lease["metadata"]["annotations"][CI_JOB_URL] = json!(url);
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
    if run_out(lease, now).is_some() {
        return State::RunOut;
    }
    State::Held(Holder {
        run: holder.to_owned(),
        host: host(lease).unwrap_or("an unknown host").to_owned(),
        ci_job_url: lease["metadata"]["annotations"][CI_JOB_URL].as_str().map(str::to_owned),
    })
}

/// The machine of a lock's holder.
pub fn host(lease: &Value) -> Option<&str> {
    lease["metadata"]["annotations"][HOST].as_str()
}

/// How long ago a lock ran out by the clock; none while it holds.
fn run_out(lease: &Value, now: Timestamp) -> Option<Duration> {
    let renewed: Option<Timestamp> = lease["spec"]["renewTime"].as_str().and_then(|text| text.parse().ok());
    let seconds = lease["spec"]["leaseDurationSeconds"].as_u64().unwrap_or(DURATION.as_secs());
    let Some(renewed) = renewed else { return Some(Duration::MAX) };
    let end = renewed + Duration::from_secs(seconds);
    (end <= now).then(|| now.duration_since(end).unsigned_abs())
}

/// Which of the runs that hold these locks live, by watching the locks until it is known: at the latest when all of them
/// have run out. `leases` reads them.
///
/// # Errors
/// When the cluster refuses or does not answer.
pub async fn live_runs<F, R>(mut leases: F) -> Result<BTreeSet<String>, ClusterError>
where
    F: FnMut() -> R,
    R: Future<Output = Result<Vec<Value>, ClusterError>>,
{
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    let mut live = BTreeSet::new();
    loop {
        let now = Timestamp::now();
        let mut open = false;
        for lease in leases().await? {
            let run = lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
            let uid = lease["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
            let seen = seen.entry(uid).or_default();
            if seen.is_renewed(&lease) {
                live.insert(run);
            } else if !live.contains(&run) && !run.is_empty() {
                open |= !seen.is_dead(&lease, now);
            }
        }
        if !open {
            return Ok(live);
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests;
