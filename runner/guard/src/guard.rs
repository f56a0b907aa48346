//! The protection of a cluster while a scenario acts on it: the locks and fuses of its namespaces. They are created before
//! the first fault and removed last. A final check then reports the leftovers.
//!
//! Not here: how a fault is undone (`faults`) and when (`timeline`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use shakedown_schemas::EventKind;
use shakedown_schemas::result::Leftover;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::fuse::Fuses;
use crate::leftovers;
use crate::lock::{Holder, LockError, Locks};
use shakedown_cluster::{Cluster, ClusterError, Remedy};

/// How long the final actions are retried. After that, the fuse removes the rest.
const FINAL_RETRIES: Duration = Duration::from_secs(6);
/// How long garbage collection may take to delete the dependents of a deleted fuse.
const COLLECTION_TIMEOUT: Duration = Duration::from_secs(15);
/// After this, the runner deletes the remaining objects itself.
const COLLECTION_GRACE: Duration = Duration::from_secs(2);
/// The interval of the checks while objects remain.
const POLL: Duration = Duration::from_millis(250);
/// The interval of the checks while no object remains.
const SLOW_POLL: Duration = Duration::from_secs(1);

/// The locks and fuses of one scenario.
pub struct Guard {
    cluster: Cluster,
    fuses: Fuses,
    locks: Locks,
    /// The last action before the scenario's first one. Earlier scenarios have reported their own leftovers.
    since: u64,
    /// The deadline for locks of other runs.
    until: Instant,
    /// The objects that are known to be left.
    left: BTreeSet<String>,
    /// The task that removes objects that appear after their removal.
    late: Option<AbortOnDropHandle<()>>,
}

/// The cluster could not be protected.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// A signal arrived during the wait for a lock.
    #[error("interrupted by {0}")]
    Interrupted(&'static str),
    /// A lock could not be acquired.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A fuse could not be lit.
    #[error(transparent)]
    Fuse(#[from] crate::fuse::FuseError),
}

/// The result of the final check.
#[derive(Debug, Default)]
pub struct Remains {
    /// Objects that could not be removed.
    pub leftovers: Vec<Leftover>,
    /// Why the check could not decide whether leftovers exist.
    pub unknown: Option<String>,
    /// What holds an object whose deletion does not end, and the command that helps, by the object in words.
    pub held: BTreeMap<String, (String, String)>,
}

impl Guard {
    /// A guard that has created nothing yet. `wait_lock` limits the total wait for locks of other runs, from now on.
    pub fn new(cluster: &Cluster, wait_lock: Duration) -> Self {
        Self {
            fuses: Fuses::default(),
            locks: Locks::new(cluster.clone()),
            since: cluster.last_act(),
            cluster: cluster.clone(),
            until: Instant::now() + wait_lock,
            left: BTreeSet::new(),
            late: None,
        }
    }

    /// Removes objects that appear after their removal, from now on. The server may carry out a creation late that it did
    /// not answer, and the final check is too late for a fault that acts again.
    fn remove_late(&mut self) {
        let cluster = self.cluster.clone();
        self.late = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                tokio::time::sleep(SLOW_POLL).await;
                for item in cluster.remove_late().await {
                    let message = format!(
                        "{item} appeared after its removal, because the server had not answered its creation and carried \
                         it out late: it existed for up to {} s and was removed again",
                        SLOW_POLL.as_secs()
                    );
                    cluster.tell(EventKind::Warning { message });
                }
            }
        })));
    }

    /// Objects that could not be removed in the time for it. The final check does not wait for them again.
    pub fn gave_up(&mut self, leftovers: &[Leftover]) {
        self.left.extend(leftovers.iter().map(|left| left.what.clone()));
    }

    /// Waits until no other run holds the locks of these namespaces, and removes the leftovers of dead runs there.
    ///
    /// # Errors
    /// When another run holds a lock for too long, a signal arrives first, or the cluster refuses or does not answer.
    pub async fn wait(
        &self,
        namespaces: &BTreeSet<String>,
        holder: &Holder,
        signal: &mut watch::Receiver<Option<&'static str>>,
    ) -> Result<(), GuardError> {
        // All runs use the same order, so that two runs never wait for each other.
        for namespace in namespaces {
            // A signal interrupts the wait only. An interrupted action could still reach the server after its undo.
            tokio::select! {
                free = self.locks.wait(namespace, holder, self.until) => free?,
                Ok(name) = signal.wait_for(Option::is_some) => {
                    return Err(GuardError::Interrupted(name.unwrap_or("a signal")));
                }
            }
        }
        Ok(())
    }

    /// Waits for the locks of these namespaces, lights the fuses, and takes the locks. After an error, some of them may
    /// exist; `stand_down` removes them.
    ///
    /// # Errors
    /// When another run holds a lock for too long, a signal arrives first, a fuse would not burn down, or the cluster
    /// refuses or does not answer.
    pub async fn put_up(
        &mut self,
        namespaces: BTreeSet<String>,
        jobs: &[Value],
        holder: &Holder,
        signal: &mut watch::Receiver<Option<&'static str>>,
    ) -> Result<(), GuardError> {
        self.wait(&namespaces, holder, signal).await?;
        self.remove_late();
        for job in jobs {
            self.fuses.light(&self.cluster, job).await?;
            // Push it at once: the next fuse, a lock or a witness may take longer than its life.
            self.fuses.keep(&self.cluster);
        }
        for namespace in &namespaces {
            self.locks.take(namespace, holder, &self.fuses).await?;
        }
        Ok(())
    }

    /// The burning fuses.
    pub const fn fuses(&self) -> &Fuses {
        &self.fuses
    }

    /// The reason of the first lost lock; `None` until then.
    pub fn lost(&self) -> watch::Receiver<Option<String>> {
        self.locks.lost()
    }

    /// The reason of the first fuse that burned down; `None` until then.
    pub fn burned(&self) -> watch::Receiver<Option<String>> {
        self.fuses.burned()
    }

    /// Releases the locks, removes the fuses, and checks that nothing of this run is left. Dependents of a fuse are garbage
    /// collected a moment after it, and the server may still carry out an action that it never answered. With `hurry`, after
    /// a second signal for example, the check does not wait for such actions.
    pub async fn stand_down(mut self, holder: &Holder, hurry: bool) -> Remains {
        let cluster = self.cluster.clone().with_retry_limit(FINAL_RETRIES);
        // The final check does the same.
        self.late = None;
        let mut leftovers = self.locks.release(&cluster, holder).await;
        leftovers.extend(self.fuses.remove(&cluster).await);
        let unclear = cluster.unclear_until();
        let until = unclear.filter(|_| !hurry).unwrap_or_else(Instant::now);
        if until > Instant::now() {
            cluster.tell(EventKind::Cluster {
                message: format!(
                    "the server did not answer an action and may still carry it out: watching for its effects for {} s",
                    (until - Instant::now()).as_secs()
                ),
            });
        }
        let looked = match tokio::time::timeout_at(
            until + COLLECTION_TIMEOUT,
            collected(&cluster, self.since, until, &self.left),
        )
        .await
        {
            Ok(result) => result.map(|()| Vec::new()),
            Err(_) => cluster.look_again(self.since).await,
        };
        for (_, message) in cluster.look_at_unclear_ends().await {
            cluster.tell(EventKind::Cluster { message });
        }
        let mut unknown = None;
        let mut held = BTreeMap::new();
        // What a fault has left behind was not waited for. Its remedy is needed all the same.
        let mut standing = looked.as_ref().map_or_else(|_| Vec::new(), Clone::clone);
        if !self.left.is_empty()
            && let Ok(there) = cluster.look_again(self.since).await
        {
            standing.extend(there.into_iter().filter(|item| self.left.contains(&item.to_string())));
        }
        for item in &standing {
            let Remedy { command, held: why } = cluster.remedy(item).await;
            held.extend(why.map(|why| (item.to_string(), (command, why))));
        }
        match looked {
            Ok(items) => {
                let known: BTreeSet<String> = leftovers.iter().map(|left| left.what.clone()).collect();
                leftovers.extend(items.iter().filter(|item| !known.contains(&item.to_string())).map(|item| Leftover {
                    what: item.to_string(),
                    command: item.command(),
                    error: format!("it was deleted, but still exists after {} s", COLLECTION_TIMEOUT.as_secs()),
                }));
                if hurry && unclear.is_some() {
                    unknown = Some("the server did not answer an action and may still carry it out".to_owned());
                }
            }
            Err(error) => unknown = Some(error.to_string()),
        }
        Remains { leftovers, unknown, held }
    }
}

/// Waits, at least until `until`, for every object of this run to be gone, and deletes them itself when that takes long. It
/// checks each object by its key: a search by label would find copies by other clients, and miss objects whose labels
/// were removed. It does not wait for those that are known to be left.
async fn collected(cluster: &Cluster, since: u64, until: Instant, left: &BTreeSet<String>) -> Result<(), ClusterError> {
    let begun = Instant::now();
    for item in cluster.look_again(since).await?.iter().filter(|item| left.contains(&item.to_string())) {
        // Once more: what could not be confirmed may be possible now.
        _ = leftovers::remove(cluster, item).await;
    }
    loop {
        let mut items = cluster.look_again(since).await?;
        items.retain(|item| !left.contains(&item.to_string()));
        if items.is_empty() && Instant::now() >= until {
            return Ok(());
        }
        if begun.elapsed() >= COLLECTION_GRACE {
            for item in &items {
                leftovers::remove(cluster, item).await?;
            }
        }
        tokio::time::sleep(if items.is_empty() { SLOW_POLL } else { POLL }).await;
    }
}

#[cfg(test)]
mod tests;
