//! The lock: one Lease per namespace with faults, held and renewed while a run acts there. Two runs in one namespace
//! would measure each other's faults.

mod watched;

use std::collections::BTreeSet;
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

use crate::fuse::{Fuses, is_going};
use crate::leftovers::{self, Kinds};
use shakedown_cluster::labels;
use shakedown_cluster::{Cluster, ClusterError, Item, Kind, ObjectKey};

use watched::DURATION;
pub use watched::{Life, Watched};

/// The Lease's name: the same for all runs, which is what makes it a lock.
pub const NAME: &str = "shakedown-lock";
const HOST: &str = "shakedown.dev/host";
const CI_JOB_URL: &str = "shakedown.dev/ci-job-url";
/// How often it is renewed: a few answers may fail before it is lost.
const RENEWAL: Duration = Duration::from_secs(5);
/// The pause after a renewal that failed.
const AGAIN: Duration = Duration::from_secs(1);
/// A run that could not renew for so long stops: before anybody may take its lock.
const GIVE_UP: Duration = Duration::from_secs(25);
/// A run whose fuse lives no longer than its Lease ends by the fuse, whose pushes fail with the renewals. Only where they do
/// not, its lock is lost this much after the fuse would have burned down.
const AFTER_FUSE: Duration = Duration::from_secs(10);
/// How long what a dead run left has to go before the next run begins.
const CLEARING: Duration = Duration::from_secs(30);
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

/// What a Lease says to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// It names no holder.
    Free,
    /// This run made it and holds it.
    Ours,
    /// Another run holds it.
    Held(Holder),
    /// It is none of ours: why.
    Foreign(&'static str),
}

/// A lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run holds it.
    #[error(
        "run {} on {} holds the namespace `{namespace}`{}; {}\nhelp: wait for it with --wait-lock 5m, remove what a dead run \
         left with `shakedown cleanup --run {}`, or choose another namespace",
        holder.run, holder.host, url(holder), free(*life), holder.run
    )]
    Held {
        /// The namespace.
        namespace: String,
        /// Who holds it.
        holder: Holder,
        /// What is known of it.
        life: Life,
    },
    /// A Lease of the lock's name that no run of this program made.
    #[error("{key} {why}\nhelp: it keeps every run out of this namespace; if nothing uses it, remove it: `{command}`")]
    Foreign {
        /// The Lease.
        key: ObjectKey,
        /// What is wrong with it.
        why: &'static str,
        /// The command that removes it.
        command: String,
    },
    /// What a dead run left does not go.
    #[error(
        "run {run} is dead, and what it left in the namespace `{namespace}` does not go: {left}\nhelp: `shakedown cleanup --run \
         {run}` tells why"
    )]
    Remains {
        /// The namespace.
        namespace: String,
        /// The dead run.
        run: String,
        /// What is still there.
        left: String,
    },
    /// The cluster refused or did not answer.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

fn url(holder: &Holder) -> String {
    holder.ci_job_url.as_ref().map(|url| format!(" ({url})")).unwrap_or_default()
}

/// When a lock is free, in words.
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

    /// Waits until no other run holds a namespace's lock, at most until the given moment. A lock that looks old by the clock is
    /// watched for its whole duration also without `--wait-lock`. What a dead holder left in this namespace
    /// is removed: its faults would be measured as ours.
    ///
    /// # Errors
    /// When another run holds it all that time, it is not a lock of ours, what a dead run left does not go, or the
    /// cluster refuses or does not answer.
    pub async fn wait(&self, namespace: &str, me: &Holder, until: Instant) -> Result<(), LockError> {
        let key = key(namespace);
        let mut told = false;
        let mut watched = Watched::default();
        loop {
            let Some(lease) = self.cluster.get(&key).await? else { return Ok(()) };
            let holder = match state(&lease, me, &self.cluster) {
                // An earlier scenario of this run could not give it back.
                State::Ours | State::Free => {
                    if self.forget(&lease, namespace).await? {
                        return Ok(());
                    }
                    continue;
                }
                State::Foreign(why) => {
                    let command = self.cluster.by_hand(&key.delete_command());
                    return Err(LockError::Foreign { key, why, command });
                }
                State::Held(holder) => holder,
            };
            watched.look(&self.locks_of(&holder.run, &lease).await?);
            let life = watched.life(&holder.run);
            // The clock decides nothing but whether it is worth watching unasked.
            let looks_old = || looks_old(&lease, Timestamp::now());
            match life {
                Life::Dead => {
                    if self.clear(&lease, &holder.run, namespace).await? {
                        return Ok(());
                    }
                    // It was renewed in the last moment.
                    continue;
                }
                Life::Unknown(_) if looks_old() => {}
                life if Instant::now() >= until => {
                    return Err(LockError::Held { namespace: namespace.to_owned(), holder, life });
                }
                _ => {}
            }
            if !told {
                told = true;
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

    /// A run's locks, as far as this account may see them: a run that renews any of them lives.
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

    /// Removes what a run that renews none of its locks left in a namespace, its lock last. False when the lock was
    /// written once more in between.
    async fn clear(&self, lease: &Value, run: &str, namespace: &str) -> Result<bool, LockError> {
        self.cluster.tell(EventKind::Warning {
            message: format!("run {run} held the namespace {namespace} and is dead: what it left there is removed"),
        });
        let deadline = Instant::now() + CLEARING;
        // Its journal is not here, so any kind may be among it.
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

    /// Deletes a lock, unless it was written since it was read: its holder may have come back. False then.
    async fn forget(&self, lease: &Value, namespace: &str) -> Result<bool, ClusterError> {
        let uid = lease["metadata"]["uid"].as_str().map(str::to_owned);
        let version = lease["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        self.cluster.delete_as_read(&ObjectKey { uid, ..key(namespace) }, version).await
    }

    /// Takes a namespace's lock, which [`Self::wait`] found free. The Lease belongs to the namespace's fuse, where there
    /// is one, so that it does not outlive the run.
    ///
    /// # Errors
    /// When another run was quicker, or the cluster refuses or does not answer.
    pub async fn take(&mut self, namespace: &str, me: &Holder, fuses: &Fuses) -> Result<(), LockError> {
        let mut key = key(namespace);
        match self.cluster.create(Kind::Lease, namespace, &lease(namespace, me, fuses.owner(namespace))).await {
            Ok(made) => key.uid = made["metadata"]["uid"].as_str().map(str::to_owned),
            Err(ClusterError::Conflict { .. }) => {
                let lease = self.cluster.get(&key).await?.unwrap_or_default();
                let holder = match state(&lease, me, &self.cluster) {
                    State::Held(holder) => holder,
                    State::Free | State::Ours | State::Foreign(_) => Holder::unknown(),
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

    /// Gives all locks back. One that is not ours any more is left alone.
    pub async fn release(&mut self, cluster: &Cluster, me: &Holder) -> Vec<Leftover> {
        let mut left = Vec::new();
        for (key, renewal) in std::mem::take(&mut self.held) {
            drop(renewal);
            let result = match cluster.get(&key).await {
                Ok(Some(lease)) if lease["spec"]["holderIdentity"] == me.run.as_str() => cluster.delete(&key).await,
                // Another run has it by now, and it is that run's to remove.
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
    /// The fuse that owns the Lease, and how long it lives after a push.
    fuse: Option<(ObjectKey, Duration)>,
}

impl Renewal {
    /// Renews until it is lost: another run has it, or it could not be renewed for nearly as long as it lasts.
    async fn renew(self, lose: watch::Sender<Option<String>>) {
        let problem = match AssertUnwindSafe(self.until_lost()).catch_unwind().await {
            Ok(problem) => problem,
            Err(_) => "its renewal failed; this is a bug of shakedown".to_owned(),
        };
        _ = lose.send(Some(format!("the lock of namespace {} was lost: {problem}", self.key.namespace)));
    }

    async fn until_lost(&self) -> String {
        let by_fuse = self.fuse.as_ref().filter(|(_, life)| *life <= DURATION);
        let give_up = by_fuse.map_or(GIVE_UP, |_| DURATION + AFTER_FUSE);
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
            if renewed.elapsed() + AGAIN >= give_up {
                return format!("it could not be renewed for {} s: {error}", renewed.elapsed().as_secs());
            }
            attempt += 1;
            pause = AGAIN;
            self.cluster.tell(EventKind::ApiRetry { request: format!("renew {}", self.key), error, attempt });
        }
    }

    /// None when it was renewed, else who took it.
    async fn once(&self) -> Result<Option<String>, ClusterError> {
        let Some(mut lease) = self.cluster.get_once(&self.key).await? else {
            if let Some((fuse, _)) = &self.fuse
                && self.cluster.get_once(fuse).await?.is_none_or(|fuse| is_going(&fuse))
            {
                // It went with its fuse, whose own task says so.
                std::future::pending::<()>().await;
            }
            return Ok(Some("it is gone: another client deleted it".to_owned()));
        };
        // By its UID: one that was made anew under our name is not the lock that we took.
        if lease["spec"]["holderIdentity"] != self.me.run.as_str() {
            return Ok(Some(format!("run {} has it", lease["spec"]["holderIdentity"].as_str().unwrap_or("unknown"))));
        }
        lease["spec"]["renewTime"] = json!(micro(Timestamp::now()));
        // A conflict is an error like others: somebody changed it between the two requests, so we look again.
        self.cluster.replace(&self.key, &lease).await.map(|_| None)
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

/// Whose a Lease is. When it runs out is not written in it: see [`Watched`].
fn state(lease: &Value, me: &Holder, cluster: &Cluster) -> State {
    if lease["metadata"]["labels"][labels::MANAGED_BY] != labels::MANAGER {
        return State::Foreign("carries no label of this program");
    }
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
    if holder.is_empty() {
        return State::Free;
    }
    if holder == me.run {
        let uid = lease["metadata"]["uid"].as_str().unwrap_or_default();
        return if cluster.made(uid) { State::Ours } else { State::Foreign("names this run, which did not make it") };
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

/// Whether a lock was not renewed for its whole duration, if its holder's clock is right. A hint, and nothing else.
fn looks_old(lease: &Value, now: Timestamp) -> bool {
    let renewed: Option<Timestamp> = lease["spec"]["renewTime"].as_str().and_then(|text| text.parse().ok());
    renewed.is_none_or(|renewed| now.duration_since(renewed).as_secs_f64() >= DURATION.as_secs_f64())
}

/// Which of the runs that hold these locks live, by watching the locks until it is known: no longer than one lease
/// duration. `leases` reads them.
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
