//! The one place from which a scenario's partitions act: it knows which of them stand, and brings labels and policies in
//! line with that.
//!
//! What adds something waits for its turn. What takes something away waits for nothing, and touches only what its own
//! partition needed: an API that hangs for one partition must not keep another one standing. Partitions that share a
//! policy meet at its version: a write is worked out after the read that it builds on, so that one that is late is refused.
//!
//! What is needed at any time is worked out in `scheme`; who replaces whom is found out in `follow`; what became of it is
//! read back in `look`.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use shakedown_schemas::result::PodRef;
use tokio::sync::Notify;

use super::mark::Mark;
use super::same::same;
use super::scheme::{Desired, Scheme};
use crate::FaultError;
use shakedown_cluster::{Cluster, ClusterError, Kind, ObjectKey};
use shakedown_guard::fuse::Fuses;
use shakedown_policy as policy;

/// How often a policy is replaced anew when somebody else changes it at the same time.
const REPLACE_TRIES: u32 = 5;

/// The pause between two such tries.
const PAUSE: Duration = Duration::from_millis(200);

/// Acts for all partitions of one scenario. Clones act for the same ones.
#[derive(Clone)]
pub struct Switch {
    pub(super) cluster: Cluster,
    pub(super) state: Arc<Mutex<State>>,
    /// Held while something is added.
    gate: Arc<tokio::sync::Mutex<()>>,
    /// Told when a label was taken off.
    unmarked: Arc<Notify>,
}

/// What stands, and what may be in the cluster because of it.
pub(super) struct State {
    pub scheme: Scheme,
    /// The owner of everything that is created in a namespace.
    owners: BTreeMap<String, Value>,
    pub standing: BTreeSet<usize>,
    /// The UIDs of targets and peers that are gone.
    pub lost: BTreeSet<String>,
    /// Pods that stand in for lost targets, by group.
    pub followers: BTreeMap<usize, Vec<PodRef>>,
    /// Peers' replacements that were marked as well, by partition.
    pub peer_marks: BTreeMap<usize, Vec<Mark>>,
    /// What happened to the targets of partitions that stood, in words.
    pub notes: BTreeMap<usize, Vec<String>>,
    /// Labels that were begun and are not known to be off.
    pub marks: BTreeSet<Mark>,
    /// Labels that are being taken off, and how often.
    unmarking: BTreeMap<Mark, usize>,
    /// Labels that were taken off, and are not known to be off.
    pub unmarked: BTreeSet<Mark>,
    /// Policies that were begun and are not known to be gone.
    pub policies: BTreeMap<ObjectKey, Sent>,
}

/// A policy as it was sent.
#[derive(Clone)]
pub(super) struct Sent {
    /// Its UID, once the server has told it.
    pub uid: Option<String>,
    /// As the server has confirmed it.
    confirmed: Version,
    /// As it was sent last, where the answer to that is still to come.
    coming: Option<Version>,
    /// The server has accepted its deletion.
    deleted: bool,
}

/// A policy, and the partitions that it cuts.
#[derive(Clone)]
struct Version {
    standing: BTreeSet<usize>,
    policy: Value,
}

impl Sent {
    /// The policies that may be there now and cut this partition, or do not.
    pub fn versions(&self, part: usize, cuts_it: bool) -> impl Iterator<Item = &Value> {
        let all = std::iter::once(&self.confirmed).chain(&self.coming);
        all.filter(move |version| version.standing.contains(&part) == cuts_it).map(|version| &version.policy)
    }
}

impl State {
    /// What must be there while these partitions stand, as things are now.
    pub fn desired(&self, standing: &BTreeSet<usize>) -> Result<Desired, FaultError> {
        let mut desired = self
            .scheme
            .desired(standing, &self.lost, &self.followers)
            .map_err(|error| FaultError::Impossible(error.to_string()))?;
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

    /// A policy as it must be by now; none where nothing needs it. Where it cannot be told what others need, the undo comes
    /// first.
    fn wanted(&self, key: &ObjectKey) -> Option<Version> {
        let policy = self.desired(&self.standing).unwrap_or_default().policies.remove(key)?;
        Some(Version { standing: self.standing.clone(), policy })
    }

    /// Whether a label is there because of a partition.
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
        // One that cannot be told belongs to all.
        of(part) || !(0..self.scheme.parts().len()).any(of)
    }
}

impl Switch {
    /// Nothing stands yet.
    pub fn new(cluster: Cluster, scheme: Scheme) -> Self {
        let state = State {
            scheme,
            owners: BTreeMap::new(),
            standing: BTreeSet::new(),
            lost: BTreeSet::new(),
            followers: BTreeMap::new(),
            peer_marks: BTreeMap::new(),
            notes: BTreeMap::new(),
            marks: BTreeSet::new(),
            unmarking: BTreeMap::new(),
            unmarked: BTreeSet::new(),
            policies: BTreeMap::new(),
        };
        Self { cluster, state: Arc::new(Mutex::new(state)), gate: Arc::default(), unmarked: Arc::default() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The owners for what is created from now on.
    pub fn owned_by(&self, fuses: &Fuses) {
        let mut state = self.state();
        let namespaces: BTreeSet<String> = state.scheme.parts().iter().map(|part| part.namespace.clone()).collect();
        for namespace in namespaces {
            if let Some(owner) = fuses.owner(&namespace) {
                state.owners.insert(namespace, owner.clone());
            }
        }
    }

    /// The owner for something else that is created in a namespace.
    pub fn owner(&self, namespace: &str) -> Option<Value> {
        self.state().owners.get(namespace).cloned()
    }

    /// Puts a partition up.
    ///
    /// # Errors
    /// When a target or a peer is gone, or the cluster refuses or does not answer. Some of it may be there then.
    pub async fn put_up(&self, part: usize) -> Result<(), FaultError> {
        let _gate = self.gate.lock().await;
        let (wanted, keys) = {
            let mut state = self.state();
            state.standing.insert(part);
            let keys: Vec<ObjectKey> =
                state.scheme.groups_of(part).map(|group| state.scheme.policy_key(group)).collect();
            (state.desired(&state.standing)?, keys)
        };
        self.mark(&wanted).await?;
        for key in keys {
            self.align(&key, true).await?;
        }
        Ok(())
    }

    /// Takes a partition down, and leaves the others as they are. It waits for no other change, and can be called again and
    /// again.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer. Then some of it may still be there.
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
                // Somebody deleted it: what was to go is gone, and what was to stay is reported when it is looked at.
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

    /// Takes a label off, unless a partition that came meanwhile needs it.
    async fn unmark(&self, mark: Mark) -> Result<(), FaultError> {
        {
            let mut state = self.state();
            if state.desired(&state.standing).unwrap_or_default().marks.contains(&mark) {
                return Ok(());
            }
            *state.unmarking.entry(mark.clone()).or_default() += 1;
        }
        let ending = Unmarking { switch: self, mark };
        let Mark { object, label, .. } = &ending.mark;
        match self.cluster.label(object, label, None).await {
            // Gone, or replaced by another object of that name: with it our label.
            Ok(()) | Err(ClusterError::NotFound(_) | ClusterError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Brings labels and policies in line after targets or peers were replaced.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer.
    pub async fn adjust(&self) -> Result<(), FaultError> {
        let _gate = self.gate.lock().await;
        let (wanted, there) = {
            let state = self.state();
            (state.desired(&state.standing)?, state.policies.clone())
        };
        self.mark(&wanted).await?;
        for key in wanted.policies.keys().filter(|key| there.contains_key(key)) {
            self.align(key, false).await?;
        }
        Ok(())
    }

    async fn mark(&self, wanted: &Desired) -> Result<(), FaultError> {
        // A label that is taken off at the same time would go after it was put on.
        loop {
            let mut ended = pin!(self.unmarked.notified());
            ended.as_mut().enable();
            if !self.state().unmarking.keys().any(|mark| wanted.marks.contains(mark)) {
                break;
            }
            ended.await;
        }
        let missing: Vec<Mark> = {
            let state = self.state();
            let there = |mark: &&Mark| !state.marks.contains(mark) || state.unmarked.contains(mark);
            wanted.marks.iter().filter(there).cloned().collect()
        };
        for mark in missing {
            // Noted before it is sent: an answer that never comes back may still have done it.
            {
                let mut state = self.state();
                state.marks.insert(mark.clone());
                state.unmarked.remove(&mark);
            }
            match self.cluster.label(&mark.object, &mark.label, Some(&mark.value)).await {
                Ok(()) => {}
                // A peer that is gone needs no cutting off; whoever comes in its place is marked by the watch.
                Err(ClusterError::NotFound(_) | ClusterError::Conflict { .. }) if self.is_peer(&mark) => {
                    self.state().lost.extend(mark.object.uid.clone());
                }
                Err(ClusterError::NotFound(_) | ClusterError::Conflict { .. }) => {
                    return Err(FaultError::TargetGone(format!(
                        "{} is not there any more\nhelp: something replaces pods while the scenario runs; wait until the \
                         workload is settled and run again, or write `follow: true`",
                        mark.object
                    )));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn is_peer(&self, mark: &Mark) -> bool {
        let state = self.state();
        let planned = state.scheme.parts().iter().flat_map(|part| &part.peer_marks);
        planned.chain(state.peer_marks.values().flatten()).any(|known| known == mark)
    }

    async fn create(&self, key: &ObjectKey, version: &Version) -> Result<(), FaultError> {
        let mut sent = Sent { uid: None, confirmed: version.clone(), coming: None, deleted: false };
        self.state().policies.insert(key.clone(), sent.clone());
        let made = self.cluster.create(Kind::NetworkPolicy, &key.namespace, &version.policy).await?;
        sent.uid = made["metadata"]["uid"].as_str().map(str::to_owned);
        self.state().policies.insert(key.clone(), sent);
        Ok(())
    }

    /// Brings one policy in line with what stands: each step is worked out after the read that it builds on. Only what adds
    /// something creates a policy.
    async fn align(&self, key: &ObjectKey, adds: bool) -> Result<(), FaultError> {
        let mut tries = 0;
        loop {
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
            let wanted = self.state().wanted(key);
            let Some(mut object) = there else {
                if wanted.is_none() {
                    return Ok(());
                }
                if adds && self.state().policies.get(key).is_some_and(|sent| sent.deleted) {
                    continue;
                }
                return Err(FaultError::Gone(format!("{key} is not there any more: somebody else deleted it")));
            };
            let text = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
            let (exact, version) = (ObjectKey { uid: text("uid"), ..key.clone() }, text("resourceVersion"));
            let Some(wanted) = wanted else {
                if self.cluster.delete_as_read(&exact, &version.unwrap_or_default()).await? {
                    if let Some(sent) = self.state().policies.get_mut(key) {
                        sent.deleted = true;
                    }
                    return Ok(());
                }
                continue;
            };
            if same(&object["spec"], &wanted.policy["spec"]) {
                self.confirm(key, wanted);
                return Ok(());
            }
            object["spec"] = wanted.policy["spec"].clone();
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

    /// Tells that a peer has other addresses and ports now; false when no policy can cut those.
    pub(super) fn set_peer(&self, part: usize, block: usize, peer: policy::Peer, ports: policy::PortSet) -> bool {
        self.state().scheme.set_peer(part, block, peer, ports)
    }
}

/// A label that is being taken off, until its request has ended.
struct Unmarking<'a> {
    switch: &'a Switch,
    mark: Mark,
}

impl Drop for Unmarking<'_> {
    fn drop(&mut self) {
        let mut state = self.switch.state();
        if let Some(count) = state.unmarking.get_mut(&self.mark) {
            *count -= 1;
            if *count == 0 {
                state.unmarking.remove(&self.mark);
            }
        }
        state.unmarked.insert(self.mark.clone());
        drop(state);
        self.switch.unmarked.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
