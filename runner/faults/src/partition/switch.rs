//! The only place from which a scenario's partitions act. It tracks the active partitions and updates labels and policies,
//! one change at a time.
//!
//! `scheme` computes the required state, `follow` finds replacements of pods, and `look` checks the state in the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use shakedown_schemas::result::PodRef;

use super::mark::Mark;
use super::same::same;
use super::scheme::{Desired, Scheme};
use crate::FaultError;
use shakedown_cluster::{Cluster, ClusterError, Kind, ObjectKey};
use shakedown_guard::fuse::Fuses;
use shakedown_policy as policy;

/// The number of tries to replace a policy that other clients change at the same time.
const REPLACE_TRIES: u32 = 5;

/// The pause between two such tries.
const PAUSE: Duration = Duration::from_millis(200);

/// Acts for all partitions of one scenario. Clones share the state.
#[derive(Clone)]
pub struct Switch {
    pub(super) cluster: Cluster,
    pub(super) state: Arc<Mutex<State>>,
    /// Serialises the changes.
    pub(super) gate: Arc<tokio::sync::Mutex<()>>,
}

/// The active partitions, and the objects that may exist because of them.
pub(super) struct State {
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
    /// Labels that may exist: set, and not confirmed to be removed.
    pub marks: BTreeSet<Mark>,
    /// Policies that may exist: created, and not confirmed to be gone.
    pub policies: BTreeMap<ObjectKey, Sent>,
}

/// A policy as it was last sent.
#[derive(Clone)]
pub(super) struct Sent {
    /// Its UID, once known.
    pub uid: Option<String>,
    /// The whole object.
    pub policy: Value,
}

impl State {
    /// The required state while these partitions are active, with the current targets.
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
}

impl Switch {
    /// A switch without active partitions.
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
            policies: BTreeMap::new(),
        };
        Self { cluster, state: Arc::new(Mutex::new(state)), gate: Arc::default() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
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
        let wanted = {
            let mut state = self.state();
            state.standing.insert(part);
            state.desired(&state.standing)?
        };
        self.mark(&wanted).await?;
        for (key, policy) in &wanted.policies {
            let there = self.state().policies.get(key).cloned();
            match there {
                Some(sent) => self.replace(key, sent.uid, policy).await?,
                None => self.create(key, policy).await?,
            }
        }
        Ok(())
    }

    /// Deactivates a partition without changing the others. It can be called repeatedly.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer. Some of its objects may then still exist.
    pub async fn take_down(&self, part: usize) -> Result<(), FaultError> {
        let _gate = self.gate.lock().await;
        let (wanted, policies) = {
            let mut state = self.state();
            state.standing.remove(&part);
            // If the needs of other partitions are not known, the undo takes precedence.
            (state.desired(&state.standing).unwrap_or_default(), state.policies.clone())
        };
        let mut problem = Ok(());
        for (key, sent) in policies {
            let done = match wanted.policies.get(&key) {
                Some(policy) => match self.replace(&key, sent.uid, policy).await {
                    // Another client deleted it. If it was still needed, the next check reports that.
                    Err(FaultError::Gone(_)) => Ok(()),
                    other => other,
                },
                None => self.cluster.delete(&ObjectKey { uid: sent.uid, ..key }).await.map_err(FaultError::from),
            };
            problem = problem.and(done);
        }
        let superfluous: Vec<Mark> = self.state().marks.difference(&wanted.marks).cloned().collect();
        for mark in superfluous {
            match self.cluster.label(&mark.object, &mark.label, None).await {
                // The object is gone or was replaced by another of that name; the label went with it.
                Ok(()) | Err(ClusterError::NotFound(_) | ClusterError::Conflict { .. }) => {}
                Err(error) => problem = problem.and(Err(error.into())),
            }
        }
        problem
    }

    /// Updates labels and policies after targets or peers were replaced.
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
        for (key, policy) in &wanted.policies {
            if let Some(sent) = there.get(key) {
                self.replace(key, sent.uid.clone(), policy).await?;
            }
        }
        Ok(())
    }

    async fn mark(&self, wanted: &Desired) -> Result<(), FaultError> {
        let missing: Vec<Mark> = wanted.marks.difference(&self.state().marks).cloned().collect();
        for mark in missing {
            // Recorded before the request: the server may have done it although its answer is lost.
            self.state().marks.insert(mark.clone());
            match self.cluster.label(&mark.object, &mark.label, Some(&mark.value)).await {
                Ok(()) => {}
                // A peer that is gone needs no mark. The watch marks its replacement.
                Err(ClusterError::NotFound(_) | ClusterError::Conflict { .. }) if self.is_peer(&mark) => {
                    self.state().lost.extend(mark.object.uid.clone());
                }
                Err(ClusterError::NotFound(_) | ClusterError::Conflict { .. }) => {
                    return Err(FaultError::TargetGone(format!(
                        "{} no longer exists\nhelp: something replaces pods while the scenario runs; wait until the \
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

    async fn create(&self, key: &ObjectKey, policy: &Value) -> Result<(), FaultError> {
        let mut sent = Sent { uid: None, policy: policy.clone() };
        self.state().policies.insert(key.clone(), sent.clone());
        let made = self.cluster.create(Kind::NetworkPolicy, &key.namespace, policy).await?;
        sent.uid = made["metadata"]["uid"].as_str().map(str::to_owned);
        self.state().policies.insert(key.clone(), sent);
        Ok(())
    }

    /// Replaces a policy in one step, unless it is already up to date.
    async fn replace(&self, key: &ObjectKey, uid: Option<String>, policy: &Value) -> Result<(), FaultError> {
        let exact = ObjectKey { uid: uid.clone(), ..key.clone() };
        let note = || _ = self.state().policies.insert(key.clone(), Sent { uid: uid.clone(), policy: policy.clone() });
        let mut tries = 0;
        loop {
            let Some(mut object) = self.cluster.own(&exact).await? else {
                return Err(FaultError::Gone(format!("{key} no longer exists: another client deleted it")));
            };
            if same(&object["spec"], &policy["spec"]) {
                note();
                return Ok(());
            }
            object["spec"] = policy["spec"].clone();
            tries += 1;
            match self.cluster.replace(&exact, &object).await {
                Ok(_) => {
                    note();
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

    /// Updates the addresses and ports of a peer. Returns false when no policy can cut them.
    pub(super) fn set_peer(&self, part: usize, block: usize, peer: policy::Peer, ports: policy::PortSet) -> bool {
        self.state().scheme.set_peer(part, block, peer, ports)
    }
}
