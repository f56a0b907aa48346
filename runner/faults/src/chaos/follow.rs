//! Replaced targets while a fault acts. Chaos Mesh acts only on the pods that it selected first. This task watches for
//! replacements, reports them and, with `follow`, injects the fault for them as well. Failed steps are tried again. Until the
//! fault acts on a replacement, the time is a stretch without proof.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use shakedown_schemas::EventKind;
use shakedown_schemas::result::PodRef;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::spec::{Inside, pod_id};
use super::{Inner, Made, pod_key};
use crate::FaultError;
use crate::partition::{Note, Owners, Roster, RosterPod};
use crate::stretch::{BackOff, Cause, Gap, Waiting, turn};
use shakedown_cluster::{Change, Cluster, ClusterError, Kind, pod_ref};

/// The timeout of one read, after which the watching task handles other changes.
const RETRY_LIMIT: Duration = Duration::from_secs(2);

/// The task that watches the targets, until this is dropped.
pub(super) fn watch(inner: Arc<Inner>) -> AbortOnDropHandle<()> {
    let why = "the watch of pods has not begun".to_owned();
    inner.state().doubts.blind((), Gap::Watch, Instant::now(), why);
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut changes = inner.cluster.watch(Kind::Pod, &inner.naming.namespace).boxed();
        let mut follower = Follower {
            cluster: inner.cluster.clone().with_retry_limit(RETRY_LIMIT),
            owners: Owners::default(),
            pods: BTreeMap::new(),
            roster: None,
            coming: Vec::new(),
            is_incomplete: false,
            complained: false,
            back_off: BackOff::default(),
            waiting: Waiting::new(),
            came: Instant::now(),
            inner,
        };
        while let Some((change, came)) = turn(&mut changes, &mut follower.waiting, &follower.back_off).await {
            follower.came = came;
            match change {
                Some(Change::Broken { error, since }) => follower.lose(since, &error),
                Some(change) => follower.take(change, Gap::Watch).await,
                None => follower.retry().await,
            }
        }
    }))
}

/// A replacement that the fault does not act on yet.
struct Coming {
    pod: PodRef,
    /// The injected target, once the pod runs.
    target: Option<Inside>,
    /// The number of its injection, once that was begun.
    round: Option<u32>,
    /// The resources were created.
    is_created: bool,
}

struct Follower {
    inner: Arc<Inner>,
    /// The connection for reads, with a short timeout so that other changes are not delayed.
    cluster: Cluster,
    owners: Owners,
    pods: BTreeMap<String, RosterPod>,
    /// The targets, once they could be read.
    roster: Option<Roster>,
    coming: Vec<Coming>,
    /// A change could not be processed: the pods are read again.
    is_incomplete: bool,
    /// A broken watch was reported.
    complained: bool,
    back_off: BackOff,
    waiting: Waiting,
    /// Since when the change in progress may have existed.
    came: Instant,
}

impl Follower {
    /// Records that the watch is broken. It is reported once.
    fn lose(&mut self, since: Instant, error: &ClusterError) {
        let why = format!("the watch of pods failed: {}", error.explained().message);
        self.inner.state().doubts.blind((), Gap::Watch, since, why);
        // An expired watch is normal.
        if !matches!(error, ClusterError::Expired(_)) && !std::mem::replace(&mut self.complained, true) {
            let text = format!("the watch of pods failed, so replacements are detected late: {error}");
            self.inner.cluster.tell(EventKind::Warning { message: text });
        }
    }

    async fn take(&mut self, change: Change, by: Gap) {
        let is_whole = matches!(change, Change::Listed(_));
        self.complained &= is_whole;
        let taken = self.pods(change).await;
        {
            let mut state = self.inner.state();
            let since = state.doubts.blindness(&()).map_or(self.came, |(since, _)| since);
            match &taken {
                Ok(_) if is_whole => {
                    state.doubts.sees(&(), Gap::Taking);
                    self.is_incomplete = false;
                }
                Ok(_) => {}
                Err(error) => {
                    let why = format!("changes of pods could not be parsed: {}", error.explained().message);
                    state.doubts.blind((), Gap::Taking, since, why);
                    self.is_incomplete = true;
                }
            }
            if is_whole {
                state.doubts.sees(&(), by);
            }
            for (uid, why) in taken.into_iter().flatten() {
                state.doubts.open(0, Cause::Pod(uid), since, why);
            }
        }
        self.inject().await;
    }

    /// Repeats reads and actions that failed.
    async fn retry(&mut self) {
        if self.is_incomplete
            && let Ok(objects) = self.cluster.list(Kind::Pod, &self.inner.naming.namespace, None).await
        {
            return self.take(Change::Listed(objects), Gap::Taking).await;
        }
        self.inject().await;
    }

    /// Processes a list of pods. Returns the UIDs of the running replacements that the fault does not act on yet, each with
    /// the reason.
    async fn pods(&mut self, change: Change) -> Result<Vec<(String, String)>, ClusterError> {
        let objects: Vec<Value> = match change {
            Change::Listed(objects) => {
                self.pods.clear();
                objects
            }
            Change::Applied(object) => vec![object],
            Change::Deleted(object) => {
                self.pods.remove(object["metadata"]["uid"].as_str().unwrap_or_default());
                Vec::new()
            }
            Change::Broken { .. } => return Ok(Vec::new()),
        };
        let mut taken = Ok(());
        for object in &objects {
            match self.owners.top(&self.cluster, object).await {
                Ok(owner) => {
                    let created = object["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned();
                    let going = !object["metadata"]["deletionTimestamp"].is_null()
                        || matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
                    let seen = RosterPod { pod: pod_ref(object), owner, created, going };
                    self.pods.insert(seen.pod.uid.clone(), seen);
                }
                Err(error) => taken = Err(error),
            }
        }
        // A pod that is missing from this partial list is not gone.
        taken?;
        let mut roster = match self.roster.take() {
            Some(roster) => roster,
            None => self.targets().await?,
        };
        for note in roster.compare(&self.inner.naming.namespace, &self.pods) {
            self.note(note);
        }
        self.roster = Some(roster);
        Ok(objects.iter().filter_map(|object| self.runs(object)).collect())
    }

    async fn targets(&mut self) -> Result<Roster, ClusterError> {
        let mut roster = Roster::default();
        let targets: Vec<PodRef> = self.inner.state().targets.iter().map(|target| target.pod.clone()).collect();
        for pod in targets {
            let owner = match self.cluster.get(&pod_key(&pod)).await? {
                Some(object) => self.owners.top(&self.cluster, &object).await?,
                None => None,
            };
            roster.expect(0, pod, owner, self.inner.follow);
        }
        Ok(roster)
    }

    fn note(&mut self, note: Note) {
        let mut state = self.inner.state();
        let message = match note {
            Note::Lost { pod, untraceable, .. } => {
                let since = state.doubts.blindness(&()).map_or(self.came, |(since, _)| since);
                let why = format!("target pod {} is gone, and the fault acts on no replacement", pod.name);
                state.doubts.open(0, Cause::Lost(pod.uid.clone()), since, why);
                state.lost.insert(pod_id(&pod));
                state.targets.retain(|target| target.pod.uid != pod.uid);
                self.coming.retain(|coming| coming.pod.uid != pod.uid);
                state.doubts.close(0, &Cause::Pod(pod.uid.clone()));
                if untraceable {
                    let why = format!(
                        "target pod {} was gone before the watch of pods began, so its replacement cannot be distinguished \
                         from other pods",
                        pod.name
                    );
                    state.doubts.open(0, Cause::Pod(pod.uid.clone()), Instant::now(), why);
                }
                format!("target pod {} (uid {}) is gone", pod.name, pod.uid)
            }
            Note::Replaced { pod, by, follow, .. } => {
                let so = if follow {
                    state.doubts.replaced(0, &pod.uid);
                    self.coming.push(Coming { pod: by.clone(), target: None, round: None, is_created: false });
                    "the fault acts on it as well (follow)"
                } else {
                    "the fault does not act on it, because `follow` is not set"
                };
                format!("pod {} (uid {}) has replaced target {}: {so}", by.name, by.uid, pod.name)
            }
        };
        if state.standing {
            state.notes.push(message.clone());
        }
        drop(state);
        let fault = &self.inner.naming.fault;
        self.inner.cluster.tell(EventKind::Cluster { message: format!("fault {fault}: {message}") });
    }

    /// A running replacement. Chaos Mesh would also select one that does not run, and wait for it.
    fn runs(&mut self, object: &Value) -> Option<(String, String)> {
        let pod = pod_ref(object);
        let coming = self.coming.iter_mut().find(|coming| coming.pod.uid == pod.uid && coming.target.is_none())?;
        if object["status"]["phase"] != "Running" || pod.ip.is_none() {
            return None;
        }
        let why = format!("pod {} has replaced a target", pod.name);
        let uid = pod.uid.clone();
        coming.target = Some(Inside { containers: container_names(object), pod });
        Some((uid, why))
    }

    /// Injects the fault for the replacements that run, until it acts on each.
    async fn inject(&mut self) {
        let mut waiting = Vec::new();
        for mut coming in std::mem::take(&mut self.coming) {
            let Some(target) = coming.target.clone() else {
                waiting.push(coming);
                continue;
            };
            let done = self.inner.again(&target, &mut coming).await;
            let mut state = self.inner.state();
            let cause = Cause::Pod(coming.pod.uid.clone());
            match done {
                Ok(()) => state.doubts.close(0, &cause),
                Err(error) => {
                    let is_new = state.doubts.failed(0, &cause, error.explained().message);
                    if is_new && !coming.is_created {
                        let id = pod_id(&coming.pod);
                        let message = format!("fault {}: could not act on pod {id}: {error}", self.inner.naming.fault);
                        state.notes.push(message.clone());
                        drop(state);
                        self.inner.cluster.tell(EventKind::Warning { message });
                    }
                    waiting.push(coming);
                }
            }
        }
        self.coming = waiting;
        match self.is_incomplete || self.coming.iter().any(|coming| coming.target.is_some()) {
            true => self.back_off.failed(),
            false => self.back_off.done(),
        }
    }
}

/// The names of a pod's containers, in their order.
pub fn container_names(pod: &Value) -> Vec<String> {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    containers.filter_map(|container| container["name"].as_str().map(str::to_owned)).collect()
}

impl Inner {
    /// Injects the fault for a replacement of a target. An error as long as it does not act there.
    async fn again(&self, target: &Inside, coming: &mut Coming) -> Result<(), FaultError> {
        let _gate = self.gate.lock().await;
        let (targets, round, old) = {
            let mut state = self.state();
            if !state.targets.iter().any(|known| known.pod.uid == target.pod.uid) {
                state.targets.push(target.clone());
            }
            if !state.standing {
                return Ok(());
            }
            let next = state.round + 1;
            let round = *coming.round.get_or_insert(next);
            state.round = state.round.max(round);
            let is_old = |made: &Made| made.round < round && !made.going;
            let old: Vec<usize> = (0..state.made.len()).filter(|place| is_old(&state.made[*place])).collect();
            // Resources for links override each other on common peers, so one resource for all targets replaces them.
            match old.iter().any(|place| state.made[*place].resource.filtered) {
                true => (state.targets.clone(), round, old),
                false => (vec![target.clone()], round, Vec::new()),
            }
        };
        if !coming.is_created {
            self.create(&targets, round).await?;
            coming.is_created = true;
            for place in old {
                // The new resource already acts; the undo retries this removal.
                match self.remove(place).await {
                    Ok(()) | Err(FaultError::Recovering(_)) => {}
                    Err(error) => {
                        let message = format!("fault {}: {error}", self.naming.fault);
                        self.cluster.tell(EventKind::Warning { message });
                    }
                }
            }
        }
        // A later replacement may have replaced this resource: any resource that acts on this pod counts.
        let id = pod_id(&target.pod);
        let acts_on_it = |made: &Made| {
            let mut records = made.resource.records.iter();
            made.round >= round && records.any(|record| record.id == id || record.id.starts_with(&format!("{id}/")))
        };
        let standing: Vec<Made> = self.standing().into_iter().filter(acts_on_it).collect();
        if standing.is_empty() {
            return Err(FaultError::Stuck(format!("no resource acts on pod {id}").into()));
        }
        for made in standing {
            if let Err(missing) = self.look(&made).await? {
                return Err(FaultError::Stuck(missing.text().into()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
