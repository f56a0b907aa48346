//! The lock: one Lease per namespace with faults. A run holds and renews it while it acts there. Without it, two runs in
//! one namespace would measure each other's faults.

mod watched;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use shakedown_schemas::result::Leftover;
use shakedown_schemas::{EventKind, Explained};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::fuse::{Fuses, is_going};
use crate::leftovers::{self, Kinds};
use shakedown_cluster::labels;
use shakedown_cluster::{Cluster, ClusterError, Item, Kind, ObjectKey};

use watched::DURATION;
pub use watched::{Life, Watched};

/// The Lease's name. It is the same for all runs, so that only one of them can create it.
pub const NAME: &str = "shakedown-lock";
const HOST: &str = "shakedown.dev/host";
const CI_JOB_URL: &str = "shakedown.dev/ci-job-url";
/// The interval of renewals. A few of them may fail before the lock is lost.
const RENEWAL: Duration = Duration::from_secs(5);
/// The pause after a failed renewal.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// A run that could not renew for this long stops, before another run may take its lock.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(25);
/// When the fuse lives no longer than the Lease, failing pushes end the run before failing renewals do. If only the
/// renewals fail, the lock is lost this long after the fuse would have burned down.
const AFTER_FUSE: Duration = Duration::from_secs(10);
/// How long the removal of a dead run's leftovers may take before the next run begins.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(30);
/// The interval at which a waiting run reads the Lease.
const POLL: Duration = Duration::from_secs(1);

/// The holder of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The run's id.
    pub run: String,
    /// The machine.
    pub host: String,
    /// The CI job, if known.
    pub ci_job_url: Option<String>,
}

/// What a Lease means for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
enum LeaseState {
    /// It names no holder.
    Free,
    /// This run made it and holds it.
    Ours,
    /// Another run holds it.
    Held(Holder),
    /// No run of this program made it, for this reason.
    Foreign(&'static str),
}

/// A lock could not be acquired.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.explained())]
pub enum LockError {
    /// Another run holds it.
    Held {
        /// The namespace.
        namespace: String,
        /// The holder.
        holder: Holder,
        /// Whether the holder is alive, as far as known.
        life: Life,
    },
    /// A Lease with the lock's name that no run of this program made.
    Foreign {
        /// The Lease.
        key: ObjectKey,
        /// What is wrong with it.
        why: &'static str,
        /// The command that removes it.
        command: String,
    },
    /// The leftovers of a dead run could not be removed in time.
    Remains {
        /// The namespace.
        namespace: String,
        /// The dead run.
        run: String,
        /// The objects that still exist.
        left: String,
    },
    /// The cluster refused or did not answer.
    Cluster(#[from] ClusterError),
}

impl LockError {
    /// The message and the next step.
    pub fn explained(&self) -> Explained {
        match self {
            Self::Held { namespace, holder, life } => {
                let Holder { run, host, .. } = holder;
                Explained::new(
                    format!("run {run} on {host} holds the namespace `{namespace}`{}; {}", url(holder), free(*life)),
                    format!(
                        "wait for it with --wait-lock 5m, remove the leftovers of a dead run with `shakedown cleanup --run \
                         {run}`, \
                         or choose another namespace"
                    ),
                )
            }
            Self::Foreign { key, why, command } => Explained::new(
                format!("{key} {why}"),
                format!("it blocks every run in this namespace; if nothing uses it, remove it: `{command}`"),
            ),
            Self::Remains { namespace, run, left } => Explained::new(
                format!(
                    "run {run} is dead, and its leftovers in the namespace `{namespace}` could not be removed: {left}"
                ),
                format!("see why with `shakedown cleanup --run {run}`"),
            ),
            Self::Cluster(error) => error.explained(),
        }
    }
}

impl From<LockError> for Explained {
    fn from(error: LockError) -> Self {
        error.explained()
    }
}

fn url(holder: &Holder) -> String {
    holder.ci_job_url.as_ref().map(|url| format!(" ({url})")).unwrap_or_default()
}

/// The sentence about when a lock becomes free.
fn free(life: Life) -> String {
    let seconds = |left: Duration| left.as_secs_f64().ceil();
    match life {
        Life::Dead => "its lock is free now".to_owned(),
        Life::Unknown(left) => format!("if that run is dead, its lock is free in {} s", seconds(left)),
        Life::Renewed(left) => {
            format!(
                "it is alive, because it renews its lock; the lock is free {} s after the last renewal",
                seconds(left)
            )
        }
    }
}

/// The locks of one scenario. They are renewed until they are released or this is dropped.
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

    /// The reason of the first lost lock; `None` until then.
    pub fn lost(&self) -> watch::Receiver<Option<String>> {
        self.lost.clone()
    }

    /// Waits until no other run holds a namespace's lock, at most until `until`. A lock that looks expired by the clock is
    /// watched for its whole duration even without `--wait-lock`. The leftovers of a dead holder in this namespace are
    /// removed: this run would measure their effects as its own.
    ///
    /// # Errors
    /// When another run still holds it at `until`, the Lease is not ours, the leftovers of a dead run cannot be removed, or
    /// the cluster refuses or does not answer.
    pub async fn wait(&self, namespace: &str, me: &Holder, until: Instant) -> Result<(), LockError> {
        let key = key(namespace);
        let mut announced = false;
        let mut watched = Watched::default();
        loop {
            let Some(lease) = self.cluster.get(&key).await? else { return Ok(()) };
            let holder = match state(&lease, me, &self.cluster) {
                // An earlier scenario of this run could not release it.
                LeaseState::Ours | LeaseState::Free => {
                    if self.forget(&lease, namespace).await? {
                        return Ok(());
                    }
                    continue;
                }
                LeaseState::Foreign(why) => {
                    let command = self.cluster.by_hand(&key.delete_command());
                    return Err(LockError::Foreign { key, why, command });
                }
                LeaseState::Held(holder) => holder,
            };
            watched.look(&self.locks_of(&holder.run, &lease).await?);
            let life = watched.life(&holder.run);
            // The clock decides only whether to watch without `--wait-lock`.
            let looks_old = || looks_old(&lease, Timestamp::now());
            match life {
                Life::Dead => {
                    if self.clear(&lease, &holder.run, namespace).await? {
                        return Ok(());
                    }
                    // It was renewed between the last read and the delete.
                    continue;
                }
                Life::Unknown(_) if looks_old() => {}
                life if Instant::now() >= until => {
                    return Err(LockError::Held { namespace: namespace.to_owned(), holder, life });
                }
                _ => {}
            }
            if !announced {
                announced = true;
                self.cluster.tell(EventKind::Cluster {
                    message: format!(
                        "waiting for run {} on {}{}, which holds the namespace {namespace}; {}",
                        holder.run,
                        holder.host,
                        url(&holder),
                        free(life)
                    ),
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// A run's locks, as far as this account may list them. A run that renews any of them is alive.
    async fn locks_of(&self, run: &str, here: &Value) -> Result<Vec<Value>, ClusterError> {
        let mut all = match leftovers::leases(&self.cluster, "").await {
            Err(ClusterError::Forbidden { .. }) => Vec::new(),
            all => all?,
        };
        all.retain(|lease| {
            lease["spec"]["holderIdentity"] == run && lease["metadata"]["uid"] != here["metadata"]["uid"]
        });
        all.push(here.clone());
        Ok(all)
    }

    /// Removes the leftovers of a dead run in a namespace, its lock last. Returns false when the lock was written in the
    /// meantime.
    async fn clear(&self, lease: &Value, run: &str, namespace: &str) -> Result<bool, LockError> {
        self.cluster.tell(EventKind::Warning {
            message: format!("run {run} held the namespace {namespace} and is dead: removing its leftovers there"),
        });
        let deadline = Instant::now() + CLEANUP_TIMEOUT;
        // Its journal is not available here, so the leftovers may be of any kind.
        let kinds = Kinds::every(&self.cluster).await?;
        loop {
            let mut found = leftovers::find(&self.cluster, Some(run), namespace, &kinds).await?.found;
            let uid = lease["metadata"]["uid"].as_str();
            found.retain(|(_, item)| !matches!(item, Item::Object(key) if key.uid.as_deref() == uid));
            if found.is_empty() {
                return Ok(self.forget(lease, namespace).await?);
            }
            if Instant::now() >= deadline {
                let left: Vec<String> = found.iter().map(|(_, item)| item.to_string()).collect();
                let (namespace, run) = (namespace.to_owned(), run.to_owned());
                return Err(LockError::Remains { namespace, run, left: left.join(", ") });
            }
            for (_, item) in found {
                leftovers::remove(&self.cluster, &item).await?;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Deletes a lock. Returns false when it was written since it was read: its holder may be back.
    async fn forget(&self, lease: &Value, namespace: &str) -> Result<bool, ClusterError> {
        let uid = lease["metadata"]["uid"].as_str().map(str::to_owned);
        let version = lease["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        self.cluster.delete_as_read(&ObjectKey { uid, ..key(namespace) }, version).await
    }

    /// Takes a namespace's lock, which [`Self::wait`] found free. If the namespace has a fuse, the fuse owns the Lease, so that
    /// the lock does not outlive the run.
    ///
    /// # Errors
    /// When another run took it first, or the cluster refuses or does not answer.
    pub async fn take(&mut self, namespace: &str, me: &Holder, fuses: &Fuses) -> Result<(), LockError> {
        let mut key = key(namespace);
        match self.cluster.create(Kind::Lease, namespace, &lease(namespace, me, fuses.owner(namespace))).await {
            Ok(made) => key.uid = made["metadata"]["uid"].as_str().map(str::to_owned),
            Err(ClusterError::Conflict { .. }) => {
                let lease = self.cluster.get(&key).await?.unwrap_or_default();
                let holder = match state(&lease, me, &self.cluster) {
                    LeaseState::Held(holder) => holder,
                    LeaseState::Free | LeaseState::Ours | LeaseState::Foreign(_) => Holder::unknown(),
                };
                return Err(LockError::Held { namespace: namespace.to_owned(), holder, life: Life::Unknown(DURATION) });
            }
            Err(error) => return Err(error.into()),
        }
        let renewal =
            Renewal { cluster: self.cluster.clone(), key: key.clone(), me: me.clone(), fuse: fuses.burning(namespace) };
        self.held.push((key, AbortOnDropHandle::new(tokio::spawn(renewal.renew(self.lose.clone())))));
        Ok(())
    }

    /// Releases all locks. It does not touch a lock that another run has taken over.
    pub async fn release(&mut self, cluster: &Cluster, me: &Holder) -> Vec<Leftover> {
        let mut left = Vec::new();
        for (key, renewal) in std::mem::take(&mut self.held) {
            drop(renewal);
            let result = match cluster.get(&key).await {
                Ok(Some(lease)) if lease["spec"]["holderIdentity"] == me.run.as_str() => cluster.delete(&key).await,
                // Another run holds it now and will remove it.
                Ok(_) => {
                    cluster.disown(&key);
                    Ok(())
                }
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

/// The renewal of one lock.
struct Renewal {
    cluster: Cluster,
    key: ObjectKey,
    me: Holder,
    /// The fuse that owns the Lease, and its life after a push.
    fuse: Option<(ObjectKey, Duration)>,
}

impl Renewal {
    /// Renews until the lock is lost: another run holds it, or renewals failed for nearly the lease duration.
    async fn renew(self, lose: watch::Sender<Option<String>>) {
        let problem = match AssertUnwindSafe(self.until_lost()).catch_unwind().await {
            Ok(problem) => problem,
            Err(_) => "its renewal failed; this is a bug of shakedown".to_owned(),
        };
        _ = lose.send(Some(format!("the lock of namespace {} was lost: {problem}", self.key.namespace)));
    }

    async fn until_lost(&self) -> String {
        let by_fuse = self.fuse.as_ref().filter(|(_, life)| *life <= DURATION);
        let give_up = by_fuse.map_or(RENEWAL_TIMEOUT, |_| DURATION + AFTER_FUSE);
        let mut renewed = Instant::now();
        let mut pause = RENEWAL;
        let mut attempt = 0;
        loop {
            tokio::time::sleep(pause).await;
            let begun = Instant::now();
            let error = match tokio::time::timeout_at(renewed + give_up, self.once()).await {
                Ok(Ok(None)) => {
                    (renewed, pause, attempt) = (begun, RENEWAL, 0);
                    continue;
                }
                Ok(Ok(Some(taken))) => return taken,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            if renewed.elapsed() + RETRY_PAUSE >= give_up {
                return format!("it could not be renewed for {} s: {error}", renewed.elapsed().as_secs());
            }
            attempt += 1;
            pause = RETRY_PAUSE;
            self.cluster.tell(EventKind::ApiRetry { request: format!("renew {}", self.key), error, attempt });
        }
    }

    /// Renews once. Returns `None` on success, else why the lock is lost.
    async fn once(&self) -> Result<Option<String>, ClusterError> {
        let Some(mut lease) = self.cluster.get_once(&self.key).await? else {
            if let Some((fuse, _)) = &self.fuse
                && self.cluster.get_once(fuse).await?.is_none_or(|fuse| is_going(&fuse))
            {
                // Garbage collection removed it with its fuse. The fuse's own task reports that.
                std::future::pending::<()>().await;
            }
            return Ok(Some("another client deleted it".to_owned()));
        };
        // The key has a UID, so a Lease that was recreated under this name is not taken for our lock.
        if lease["spec"]["holderIdentity"] != self.me.run.as_str() {
            return Ok(Some(format!("run {} holds it", lease["spec"]["holderIdentity"].as_str().unwrap_or("unknown"))));
        }
        lease["spec"]["renewTime"] = json!(micro(Timestamp::now()));
        // A conflict is retried like any error: another client wrote the Lease between the two requests.
        self.cluster.replace(&self.key, &lease).await.map(|_| None)
    }
}

impl Holder {
    fn unknown() -> Self {
        Self { run: "unknown".to_owned(), host: "an unknown host".to_owned(), ci_job_url: None }
    }
}

/// The time in the format of Lease objects (`MicroTime`).
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

/// Whose a Lease is. Whether it has expired cannot be read from it: see [`Watched`].
fn state(lease: &Value, me: &Holder, cluster: &Cluster) -> LeaseState {
    if lease["metadata"]["labels"][labels::MANAGED_BY] != labels::MANAGER {
        return LeaseState::Foreign("has no label of this program");
    }
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
    if holder.is_empty() {
        return LeaseState::Free;
    }
    if holder == me.run {
        let uid = lease["metadata"]["uid"].as_str().unwrap_or_default();
        return if cluster.made(uid) {
            LeaseState::Ours
        } else {
            LeaseState::Foreign("names this run, which did not create it")
        };
    }
    LeaseState::Held(Holder {
        run: holder.to_owned(),
        host: host(lease).unwrap_or("an unknown host").to_owned(),
        ci_job_url: lease["metadata"]["annotations"][CI_JOB_URL].as_str().map(str::to_owned),
    })
}

/// The machine of a lock's holder.
pub fn host(lease: &Value) -> Option<&str> {
    lease["metadata"]["annotations"][HOST].as_str()
}

/// Whether a lock has expired if its holder's clock is right. This is only a hint.
fn looks_old(lease: &Value, now: Timestamp) -> bool {
    let renewed: Option<Timestamp> = lease["spec"]["renewTime"].as_str().and_then(|text| text.parse().ok());
    renewed.is_none_or(|renewed| now.duration_since(renewed).as_secs_f64() >= DURATION.as_secs_f64())
}

/// The live runs among the holders of these locks. It watches the locks until each run is known to be alive or dead, at
/// most one lease duration. `leases` reads them.
///
/// # Errors
/// When the cluster refuses or does not answer.
pub async fn live_runs<F, R>(mut leases: F) -> Result<BTreeSet<String>, ClusterError>
where
    F: FnMut() -> R,
    R: Future<Output = Result<Vec<Value>, ClusterError>>,
{
    let mut watched = Watched::default();
    let mut live = BTreeSet::new();
    loop {
        let leases = leases().await?;
        watched.look(&leases);
        let mut open = false;
        for run in leases.iter().filter_map(|lease| lease["spec"]["holderIdentity"].as_str()) {
            match watched.life(run) {
                Life::Renewed(_) => _ = live.insert(run.to_owned()),
                Life::Unknown(_) if !live.contains(run) && !run.is_empty() => open = true,
                _ => {}
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
