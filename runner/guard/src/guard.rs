//! What protects a cluster while a scenario acts on it: the locks and fuses of its namespaces, put up before anything
//! else and taken down last, with a look at what is left then.
//!
//! What does not belong here: how a fault is undone (`faults`) and when (`timeline`).

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use shakedown_schemas::EventKind;
use shakedown_schemas::result::Leftover;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::fuse::Fuses;
use crate::leftovers;
use crate::lock::{Holder, LockError, Locks};
use shakedown_cluster::{Cluster, ClusterError};

/// How long the last acts are repeated: whatever they do not reach, the fuse does.
const PATIENCE: Duration = Duration::from_secs(6);
/// How long the cluster has to collect what depends on a fuse that is gone.
const COLLECTION: Duration = Duration::from_secs(15);
/// What is still there after this is not waited for any longer, but removed.
const HURRY: Duration = Duration::from_secs(2);
/// How often it is looked at.
const POLL: Duration = Duration::from_millis(250);
/// How often it is looked at while nothing is there.
const SLOW_POLL: Duration = Duration::from_secs(1);

/// The locks and fuses of one scenario.
pub struct Guard {
    cluster: Cluster,
    fuses: Fuses,
    locks: Locks,
    /// The last act before this scenario's first one: what an earlier one left was told there.
    since: u64,
    /// Until when locks of other runs are waited for.
    until: Instant,
}

/// The cluster could not be protected.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// A signal came while we waited for a lock.
    #[error("interrupted by {0}")]
    Interrupted(&'static str),
    /// A lock could not be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A fuse could not be lit.
    #[error(transparent)]
    Fuse(#[from] crate::fuse::FuseError),
}

/// What is known at the end.
#[derive(Debug, Default)]
pub struct Remains {
    /// What could not be removed.
    pub leftovers: Vec<Leftover>,
    /// Why it is not known whether something is left.
    pub unknown: Option<String>,
}

impl Guard {
    /// Nothing is put up yet. Other runs' locks are waited for so long from now on, all in all.
    pub fn new(cluster: &Cluster, wait_lock: Duration) -> Self {
        Self {
            fuses: Fuses::default(),
            locks: Locks::new(cluster.clone()),
            since: cluster.last_act(),
            cluster: cluster.clone(),
            until: Instant::now() + wait_lock,
        }
    }

    /// Waits until no other run holds the locks of these namespaces, and removes what dead runs left there.
    ///
    /// # Errors
    /// When another run holds one for too long, a signal comes first, or the cluster refuses or does not answer.
    pub async fn wait(
        &self,
        namespaces: &BTreeSet<String>,
        holder: &Holder,
        signal: &mut watch::Receiver<Option<&'static str>>,
    ) -> Result<(), GuardError> {
        // In one order for all runs, so that no two of them wait for each other.
        for namespace in namespaces {
            // Only the waiting gives way to a signal: an act that was cut off could still arrive after its undo.
            tokio::select! {
                free = self.locks.wait(namespace, holder, self.until) => free?,
                Ok(name) = signal.wait_for(Option::is_some) => {
                    return Err(GuardError::Interrupted(name.unwrap_or("a signal")));
                }
            }
        }
        Ok(())
    }

    /// Waits for the locks of these namespaces, lights the fuses, and takes the locks. After an error some of it may be
    /// there; `stand_down` removes it.
    ///
    /// # Errors
    /// When another run holds a lock for too long, a signal comes first, a fuse would not burn down, or the cluster
    /// refuses or does not answer.
    pub async fn put_up(
        &mut self,
        namespaces: BTreeSet<String>,
        jobs: &[Value],
        holder: &Holder,
        signal: &mut watch::Receiver<Option<&'static str>>,
    ) -> Result<(), GuardError> {
        self.wait(&namespaces, holder, signal).await?;
        for job in jobs {
            self.fuses.light(&self.cluster, job).await?;
            // From now on it burns down unless it is pushed, however long the next one, a lock or a witness takes.
            self.fuses.keep(&self.cluster);
        }
        for namespace in &namespaces {
            self.locks.take(namespace, holder, &self.fuses).await?;
        }
        Ok(())
    }

    /// The fuses that burn.
    pub const fn fuses(&self) -> &Fuses {
        &self.fuses
    }

    /// Why a lock was lost, once one is.
    pub fn lost(&self) -> watch::Receiver<Option<String>> {
        self.locks.lost()
    }

    /// Why a fuse burned down, once one does.
    pub fn burned(&self) -> watch::Receiver<Option<String>> {
        self.fuses.burned()
    }

    /// Gives the locks back, removes the fuses, and makes sure that nothing of this run is left: what depends on a fuse is
    /// collected a moment after it, and an act whose answer never came may be carried out late. For that it waits, unless
    /// `hurry` says that somebody waits for us.
    pub async fn stand_down(mut self, holder: &Holder, hurry: bool) -> Remains {
        let cluster = self.cluster.clone().with_patience(PATIENCE);
        let mut leftovers = self.locks.release(&cluster, holder).await;
        leftovers.extend(self.fuses.remove(&cluster).await);
        let unclear = cluster.unclear_until();
        let until = unclear.filter(|_| !hurry).unwrap_or_else(Instant::now);
        if until > Instant::now() {
            cluster.tell(EventKind::Cluster {
                message: format!(
                    "the answer to an act never came, and it may be carried out late: watching for {} s that nothing comes",
                    (until - Instant::now()).as_secs()
                ),
            });
        }
        let looked = match tokio::time::timeout_at(until + COLLECTION, collected(&cluster, self.since, until)).await {
            Ok(result) => result.map(|()| Vec::new()),
            Err(_) => cluster.look_again(self.since).await,
        };
        let mut unknown = None;
        match looked {
            Ok(items) => {
                let known: BTreeSet<String> = leftovers.iter().map(|left| left.what.clone()).collect();
                leftovers.extend(items.iter().filter(|item| !known.contains(&item.to_string())).map(|item| Leftover {
                    what: item.to_string(),
                    command: item.command(),
                    error: format!("it was deleted, and is there after {} s", COLLECTION.as_secs()),
                }));
                if hurry && unclear.is_some() {
                    unknown = Some("the answer to an act never came, and it may be carried out late".to_owned());
                }
            }
            Err(error) => unknown = Some(error.to_string()),
        }
        Remains { leftovers, unknown }
    }
}

/// Waits until nothing that this run made is left at a moment not before `until`, and lends a hand when that takes long.
/// Every single thing is looked at: a sweep by label would find what others made with our labels, and not what they took
/// our labels off.
async fn collected(cluster: &Cluster, since: u64, until: Instant) -> Result<(), ClusterError> {
    let begun = Instant::now();
    loop {
        let items = cluster.look_again(since).await?;
        if items.is_empty() && Instant::now() >= until {
            return Ok(());
        }
        if begun.elapsed() >= HURRY {
            for item in &items {
                leftovers::remove(cluster, item).await?;
            }
        }
        tokio::time::sleep(if items.is_empty() { SLOW_POLL } else { POLL }).await;
    }
}

#[cfg(test)]
mod tests;
