//! The only place from which a scenario's partitions act. It tracks the active partitions and updates labels and policies.
//!
//! Additions run one at a time. A removal waits for nothing and changes only the objects of its own partition: an API that
//! hangs for one partition must not delay the end of another. Partitions that share a policy meet at its `resourceVersion`:
//! each write is computed after the read that it builds on, so that the server refuses a late one.
//!
//! `scheme` computes the required state, `follow` finds replacements of pods, and `look` checks the state in the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use shakedown_schemas::Explained;
use shakedown_schemas::result::PodRef;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::mark::Mark;
use super::same::same;
use super::scheme::{Desired, Scheme};
use crate::FaultError;
use crate::driver::REPLACED;
use crate::stretch::{Cause, Doubts, Stretch};
use shakedown_cluster::{Cluster, ClusterError, Kind, ObjectKey, labels};
use shakedown_guard::fuse::Fuses;

/// The number of attempts to replace a policy that other clients change at the same time.
const REPLACE_TRIES: u32 = 5;

/// The pause between two such attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// Acts for all partitions of one scenario. Clones share the state.
#[derive(Clone)]
pub struct Switch {
    pub(super) cluster: Cluster,
    pub(super) state: Arc<Mutex<SwitchState>>,
    /// Serialises additions.
    gate: Arc<tokio::sync::Mutex<()>>,
    /// Notified when a removal has ended.
    removed: Arc<Notify>,
}

/// The active partitions, and the objects that may exist because of them.
pub(super) struct SwitchState {
    pub scheme: Scheme,
    /// The owner of new objects, by namespace.
    owners: BTreeMap<String, Value>,
    pub standing: BTreeSet<usize>,
    /// The UIDs of targets and peers that are gone.
    pub lost: BTreeSet<String>,
    /// Replacements of lost targets, by group.
    pub followers: BTreeMap<usize, Vec<PodRef>>,
    /// Marked replacements of peers, by partition.
    pub peer_marks: BTreeMap<usize, Vec<Mark>>,
    /// Changes to the targets of active partitions, as text.
    pub notes: BTreeMap<usize, Vec<String>>,
    /// Labels that may exist: set, and their removal is not confirmed.
    pub marks: BTreeSet<Mark>,
    /// Removals in flight, and the number of requests.
    removing: BTreeMap<Removal, usize>,
    /// Labels that were removed without a confirmation.
    pub unmarked: BTreeSet<Mark>,
    /// Labels that were sent without a confirmation.
    unset: BTreeSet<Mark>,
    /// Policies that may exist: created, and not confirmed to be gone.
    pub policies: BTreeMap<ObjectKey, Sent>,
    /// What the watching task does not know or has not done yet.
    pub doubts: Doubts<Source>,
    /// The sources whose changes concern a partition, by its number.
    pub sources: BTreeMap<usize, BTreeSet<Source>>,
}

/// A source of changes: the objects of a kind in a namespace.
pub(super) type Source = (Kind, String);

/// A policy as it was sent.
#[derive(Clone)]
pub(super) struct Sent {
    /// Its UID, once known.
    pub uid: Option<String>,
    /// As the server has confirmed it.
    confirmed: Version,
    /// The last sent version, if its answer is pending.
    coming: Option<Version>,
    /// The server has accepted its deletion.
    deleted: bool,
    /// A deletion was sent and has no definitive answer: it may still be carried out.
    may_be_deleted: bool,
}

/// What is being removed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Removal {
    Label(Mark),
    Policy(ObjectKey),
}

/// A policy, and the partitions that it cuts.
#[derive(Clone)]
pub(super) struct Version {
    pub standing: BTreeSet<usize>,
    pub policy: Value,
}

impl Sent {
    /// The policies that may exist now and cut this partition, or those that do not cut it.
    pub fn versions(&self, part: usize, cuts_it: bool) -> impl Iterator<Item = &Value> {
        let all = std::iter::once(&self.confirmed).chain(&self.coming);
        all.filter(move |version| version.standing.contains(&part) == cuts_it).map(|version| &version.policy)
    }
}

impl SwitchState {
    /// The required state while these partitions are active, with the current targets.
    pub fn desired(&self, standing: &BTreeSet<usize>) -> Result<Desired, FaultError> {
        let mut desired = self
            .scheme
            .desired(standing, &self.lost, &self.followers)
            .map_err(|error| FaultError::Impossible(error.to_string().into()))?;
        for part in standing {
            desired.marks.extend(self.peer_marks.get(part).into_iter().flatten().cloned());
        }
        desired.marks.retain(|mark| mark.object.uid.as_ref().is_none_or(|uid| !self.lost.contains(uid)));
        for (key, policy) in &mut desired.policies {
            if let Some(owner) = self.owners.get(&key.namespace) {
                policy["metadata"]["ownerReferences"] = Value::Array(vec![owner.clone()]);
            }
        }
        Ok(desired)
    }

    /// The required state of a policy. None if no partition needs it. If the needs of others are unknown, the undo has
    /// priority.
    pub fn wanted(&self, key: &ObjectKey) -> Option<Version> {
        let policy = self.desired(&self.standing).unwrap_or_default().policies.remove(key)?;
        Some(Version { standing: self.standing.clone(), policy })
    }

    /// Records that a target or its replacement is gone since then. Returns whether that is new.
    pub fn lose(&mut self, pod: &PodRef, since: Instant) -> bool {
        let why = format!("target pod {} is gone, and no replacement is cut off", pod.name);
        let is_of = |group: &usize| {
            let followers = self.followers.get(group).into_iter().flatten();
            followers.into_iter().any(|follower| follower.uid == pod.uid)
        };
        let group =
            self.scheme.group_of(&pod.namespace, &pod.name).or_else(|| self.followers.keys().copied().find(is_of));
        for part in group.map(|group| self.scheme.parts_of(group).to_vec()).unwrap_or_default() {
            self.doubts.open(part, Cause::Lost(pod.uid.clone()), since, why.clone());
        }
        self.lost.insert(pod.uid.clone())
    }

    /// Whether a label belongs to a partition.
    pub fn concerns(&self, part: usize, mark: &Mark) -> bool {
        let of = |part: usize| {
            let peers =
                self.scheme.parts()[part].peer_marks.iter().chain(self.peer_marks.get(&part).into_iter().flatten());
            let alone = BTreeSet::from([part]);
            match mark.object.kind {
                Kind::Namespace => self.scheme.cuts(part, &alone).is_ok_and(|cuts| {
                    let labels = cuts.iter().flat_map(|(_, built)| &built.namespace_labels);
                    labels.into_iter().any(|label| label.namespace == mark.object.name && label.key == mark.label)
                }),
                _ => {
                    self.scheme.groups_of(part).any(|group| self.scheme.label(group).0 == mark.label)
                        || peers.into_iter().any(|known| known.label == mark.label)
                }
            }
        };
        // A label of an unknown partition belongs to all.
        of(part) || !(0..self.scheme.parts().len()).any(of)
    }
}

impl Switch {
    /// A switch without active partitions.
    pub fn new(cluster: Cluster, scheme: Scheme) -> Self {
        let state = SwitchState {
            scheme,
            owners: BTreeMap::new(),
            standing: BTreeSet::new(),
            lost: BTreeSet::new(),
            followers: BTreeMap::new(),
            peer_marks: BTreeMap::new(),
            notes: BTreeMap::new(),
            marks: BTreeSet::new(),
            removing: BTreeMap::new(),
            unmarked: BTreeSet::new(),
            unset: BTreeSet::new(),
            policies: BTreeMap::new(),
            doubts: Doubts::default(),
            sources: BTreeMap::new(),
        };
        Self { cluster, state: Arc::new(Mutex::new(state)), gate: Arc::default(), removed: Arc::default() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, SwitchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the owners of objects that are created from now on.
    pub fn owned_by(&self, fuses: &Fuses) {
        let mut state = self.state();
        let namespaces: BTreeSet<String> = state.scheme.parts().iter().map(|part| part.namespace.clone()).collect();
        for namespace in namespaces {
            if let Some(owner) = fuses.owner(&namespace) {
                state.owners.insert(namespace, owner.clone());
            }
        }
    }

    /// The owner for another object in a namespace.
    pub fn owner(&self, namespace: &str) -> Option<Value> {
        self.state().owners.get(namespace).cloned()
    }

    /// Activates a partition.
    ///
    /// # Errors
    /// When a target or a peer is gone, or the cluster refuses or does not answer. Some of its objects may then exist.
    pub async fn put_up(&self, part: usize) -> Result<(), FaultError> {
        let _gate = self.gate.lock().await;
        let (wanted, keys) = {
            let mut state = self.state();
            state.standing.insert(part);
            let keys: Vec<ObjectKey> =
                state.scheme.groups_of(part).map(|group| state.scheme.policy_key(group)).collect();
            // The peers that were added since the plan may make the policy too large.
            state.scheme.fits(part, &state.standing).map_err(FaultError::Impossible)?;
            (state.desired(&state.standing)?, keys)
        };
        self.mark(&wanted).await?;
        for key in keys {
            self.align(&key, true).await?;
        }
        Ok(())
    }

    /// Deactivates a partition without changing the others. It waits for no other change and can be called repeatedly.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer. Some of its objects may then still exist.
    pub async fn take_down(&self, part: usize) -> Result<(), FaultError> {
        let (keys, superfluous) = {
            let mut state = self.state();
            state.standing.remove(&part);
            let wanted = state.desired(&state.standing).unwrap_or_default();
            let keys = state.scheme.groups_of(part).map(|group| state.scheme.policy_key(group));
            let keys: Vec<ObjectKey> = keys.filter(|key| state.policies.contains_key(key)).collect();
            let superfluous = state.marks.difference(&wanted.marks).filter(|mark| state.concerns(part, mark));
            (keys, superfluous.cloned().collect::<Vec<Mark>>())
        };
        let mut problem = Ok(());
        for key in keys {
            let done = match self.align(&key, false).await {
                // Another client deleted it. If it was still needed, the next check reports that.
                Err(FaultError::Gone(_)) => Ok(()),
                other => other,
            };
            problem = problem.and(done);
        }
        for mark in superfluous {
            problem = problem.and(self.unmark(mark).await);
        }
        problem
    }

    /// Removes a label, unless a partition that was added meanwhile needs it.
    async fn unmark(&self, mark: Mark) -> Result<(), FaultError> {
        let _removing = {
            let mut state = self.state();
            if state.desired(&state.standing).unwrap_or_default().marks.contains(&mark) {
                return Ok(());
            }
            Removing::begin(self, &mut state, Removal::Label(mark.clone()))
        };
        match self.cluster.label(&mark.object, &mark.label, None).await {
            // The object is gone or was replaced by another of that name; the label went with it.
            Ok(()) | Err(ClusterError::NotFound(_) | ClusterError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Updates labels and policies after targets or peers were replaced. Returns the partitions that could not be updated,
    /// with the reason. A failure of one does not prevent the update of others.
    pub async fn adjust(&self) -> BTreeMap<usize, Explained> {
        let _gate = self.gate.lock().await;
        let mut problems = BTreeMap::new();
        let (wanted, there, standing) = {
            let state = self.state();
            (state.desired(&state.standing), state.policies.clone(), state.standing.clone())
        };
        let wanted = match wanted {
            Ok(wanted) => wanted,
            Err(error) => return standing.into_iter().map(|part| (part, error.explained())).collect(),
        };
        for (mark, error) in self.set_marks(&wanted).await {
            let state = self.state();
            let concerned = standing.iter().filter(|part| state.concerns(**part, &mark));
            problems.extend(concerned.map(|part| (*part, error.explained())));
        }
        for key in wanted.policies.keys().filter(|key| there.contains_key(key)) {
            if let Err(error) = self.align(key, false).await {
                let state = self.state();
                let cut = |part: &&usize| state.scheme.groups_of(**part).any(|it| state.scheme.policy_key(it) == *key);
                problems.extend(standing.iter().filter(cut).map(|part| (*part, error.explained())));
            }
        }
        problems
    }

    /// The stretches in which a partition may not have cut everything that it has to cut.
    pub fn unproven(&self, part: usize) -> Vec<Stretch> {
        let state = self.state();
        let nothing = BTreeSet::new();
        state.doubts.of(part, state.sources.get(&part).unwrap_or(&nothing))
    }

    async fn mark(&self, wanted: &Desired) -> Result<(), FaultError> {
        match self.set_marks(wanted).await.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    /// Sets the labels that are missing. Returns those that could not be set.
    async fn set_marks(&self, wanted: &Desired) -> Vec<(Mark, FaultError)> {
        self.removals_end(|removal| matches!(removal, Removal::Label(mark) if wanted.marks.contains(mark))).await;
        let missing: Vec<Mark> = {
            let state = self.state();
            let there = |mark: &&Mark| {
                !state.marks.contains(mark) || state.unmarked.contains(mark) || state.unset.contains(mark)
            };
            wanted.marks.iter().filter(there).cloned().collect()
        };
        let mut failed = Vec::new();
        for mark in missing {
            if let Err(error) = self.set_mark(&mark).await {
                failed.push((mark, error));
            }
        }
        failed
    }

    async fn set_mark(&self, mark: &Mark) -> Result<(), FaultError> {
        // Recorded before the request: the server may have done it although its answer is lost.
        {
            let mut state = self.state();
            state.marks.insert(mark.clone());
            state.unmarked.remove(mark);
            state.unset.insert(mark.clone());
        }
        let error = match self.cluster.label(&mark.object, &mark.label, Some(&mark.value)).await {
            Ok(()) => {
                self.state().unset.remove(mark);
                return Ok(());
            }
            Err(error) => error,
        };
        match error {
            // A peer that is gone needs no mark. The watch marks its replacement.
            ClusterError::NotFound(_) | ClusterError::Conflict { .. } if self.is_peer(mark) => {
                let mut state = self.state();
                state.lost.extend(mark.object.uid.clone());
                state.unset.remove(mark);
                Ok(())
            }
            ClusterError::NotFound(_) | ClusterError::Conflict { .. } => {
                Err(FaultError::TargetGone(Explained::new(format!("{} no longer exists", mark.object), REPLACED)))
            }
            error => Err(error.into()),
        }
    }

    /// Waits until no such removal is in flight. It would be carried out after what is added now.
    async fn removals_end(&self, concerns: impl Fn(&Removal) -> bool) {
        loop {
            let mut ended = pin!(self.removed.notified());
            ended.as_mut().enable();
            if !self.state().removing.keys().any(&concerns) {
                return;
            }
            ended.await;
        }
    }

    fn is_peer(&self, mark: &Mark) -> bool {
        let state = self.state();
        let planned = state.scheme.parts().iter().flat_map(|part| &part.peer_marks);
        planned.chain(state.peer_marks.values().flatten()).any(|known| known == mark)
    }

    async fn create(&self, key: &ObjectKey, version: &Version) -> Result<(), FaultError> {
        let (confirmed, coming) = (version.clone(), None);
        let mut sent = Sent { uid: None, confirmed, coming, deleted: false, may_be_deleted: false };
        self.state().policies.insert(key.clone(), sent.clone());
        let made = self.cluster.create(Kind::NetworkPolicy, &key.namespace, &version.policy).await?;
        sent.uid = made["metadata"]["uid"].as_str().map(str::to_owned);
        self.state().policies.insert(key.clone(), sent);
        Ok(())
    }

    /// Updates one policy to the active partitions. Each step is computed after the read that it builds on. Only an addition
    /// creates a policy.
    async fn align(&self, key: &ObjectKey, adds: bool) -> Result<(), FaultError> {
        let mut tries = 0;
        loop {
            if adds {
                self.removals_end(|removal| matches!(removal, Removal::Policy(policy) if policy == key)).await;
            }
            let (sent, wanted) = {
                let state = self.state();
                (state.policies.get(key).filter(|sent| !sent.deleted).cloned(), state.wanted(key))
            };
            let Some(sent) = sent else {
                let Some(wanted) = wanted.filter(|_| adds) else { return Ok(()) };
                self.create(key, &wanted).await?;
                // Another partition may have ended meanwhile.
                if self.state().wanted(key).is_some_and(|now| now.policy["spec"] == wanted.policy["spec"]) {
                    return Ok(());
                }
                continue;
            };
            let there = self.cluster.own(&ObjectKey { uid: sent.uid.clone(), ..key.clone() }).await?;
            let Some(mut object) = there else {
                let mut state = self.state();
                if state.wanted(key).is_none() {
                    return Ok(());
                }
                match state.policies.get_mut(key) {
                    Some(sent) if adds && (sent.deleted || sent.may_be_deleted) => sent.deleted = true,
                    Some(_) => {
                        return Err(FaultError::Gone(
                            format!("{key} no longer exists: another client deleted it").into(),
                        ));
                    }
                    None => {}
                }
                continue;
            };
            let text = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
            let (exact, version) = (ObjectKey { uid: text("uid"), ..key.clone() }, text("resourceVersion"));
            // The decision and the start of the deletion are one step: a later addition waits, and an earlier one is visible
            // here.
            let step = {
                let mut state = self.state();
                // An addition cannot use a policy whose deletion may still be carried out.
                let doomed = adds && state.policies.get(key).is_some_and(|sent| sent.may_be_deleted);
                match state.wanted(key).filter(|_| !doomed) {
                    Some(wanted) => Ok(wanted),
                    None => Err(Removing::begin(self, &mut state, Removal::Policy(key.clone()))),
                }
            };
            let wanted = match step {
                Ok(wanted) => wanted,
                Err(removing) => {
                    let deleted = self.cluster.delete_as_read(&exact, &version.unwrap_or_default()).await?;
                    removing.answered(deleted);
                    continue;
                }
            };
            let is_answered = self.state().policies.get(key).is_none_or(|sent| sent.coming.is_none());
            if is_answered && same(&object["spec"], &wanted.policy["spec"]) {
                self.confirm(key, wanted);
                return Ok(());
            }
            object["spec"] = wanted.policy["spec"].clone();
            if !is_answered {
                // The last write may still be carried out. Once the policy has another version, the server refuses it.
                object["metadata"]["annotations"][labels::REPLACED] = object["metadata"]["resourceVersion"].clone();
            }
            tries += 1;
            if let Some(sent) = self.state().policies.get_mut(key) {
                sent.coming = Some(wanted.clone());
            }
            match self.cluster.replace(&exact, &object).await {
                Ok(_) => {
                    self.confirm(key, wanted);
                    return Ok(());
                }
                Err(error) if tries < REPLACE_TRIES => match error {
                    ClusterError::Conflict { .. } => {}
                    error if error.is_transient() => tokio::time::sleep(PAUSE).await,
                    error => return Err(error.into()),
                },
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The server has a policy of this version.
    fn confirm(&self, key: &ObjectKey, version: Version) {
        if let Some(sent) = self.state().policies.get_mut(key) {
            sent.confirmed = version;
            sent.coming = None;
        }
    }
}

/// A removal, until its request has ended.
struct Removing<'a> {
    switch: &'a Switch,
    what: Removal,
    /// The server has answered whether it was carried out.
    is_answered: bool,
}

impl<'a> Removing<'a> {
    fn begin(switch: &'a Switch, state: &mut SwitchState, what: Removal) -> Self {
        *state.removing.entry(what.clone()).or_default() += 1;
        Self { switch, what, is_answered: false }
    }

    /// The server has deleted the policy, or refused because it had changed.
    fn answered(mut self, deleted: bool) {
        self.is_answered = true;
        if let Removal::Policy(key) = &self.what
            && let Some(sent) = self.switch.state().policies.get_mut(key)
        {
            sent.deleted |= deleted;
        }
    }
}

impl Drop for Removing<'_> {
    fn drop(&mut self) {
        let mut state = self.switch.state();
        if let Some(count) = state.removing.get_mut(&self.what) {
            *count -= 1;
            if *count == 0 {
                state.removing.remove(&self.what);
            }
        }
        match &self.what {
            Removal::Label(mark) => _ = state.unmarked.insert(mark.clone()),
            Removal::Policy(key) if !self.is_answered => {
                if let Some(sent) = state.policies.get_mut(key) {
                    sent.may_be_deleted = true;
                }
            }
            Removal::Policy(_) => {}
        }
        drop(state);
        self.switch.removed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
