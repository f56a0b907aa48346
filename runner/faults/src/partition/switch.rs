//! The one place from which a scenario's partitions act: it knows which of them stand, and brings labels and policies in
//! line with that, one change at a time.
//!
//! What is needed at any time is worked out in `scheme`; who replaces whom is found out in `follow`; what became of it is
//! read back in `look`.

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

/// How often a policy is replaced anew when somebody else changes it at the same time.
const REPLACE_TRIES: u32 = 5;

/// The pause between two such tries.
const PAUSE: Duration = Duration::from_millis(200);

/// Acts for all partitions of one scenario. Clones act for the same ones.
#[derive(Clone)]
pub struct Switch {
    pub(super) cluster: Cluster,
    pub(super) state: Arc<Mutex<State>>,
    /// Held by whoever acts: changes come one after the other.
    pub(super) gate: Arc<tokio::sync::Mutex<()>>,
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
    /// Policies that were begun and are not known to be gone.
    pub policies: BTreeMap<ObjectKey, Sent>,
}

/// A policy as it was last sent.
#[derive(Clone)]
pub(super) struct Sent {
    /// Its UID, once the server has told it.
    pub uid: Option<String>,
    /// The whole object.
    pub policy: Value,
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
            policies: BTreeMap::new(),
        };
        Self { cluster, state: Arc::new(Mutex::new(state)), gate: Arc::default() }
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

    /// Takes a partition down, and leaves the others as they are. It can be called again and again.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer. Then some of it may still be there.
    pub async fn take_down(&self, part: usize) -> Result<(), FaultError> {
        let _gate = self.gate.lock().await;
        let (wanted, policies) = {
            let mut state = self.state();
            state.standing.remove(&part);
            // Where it cannot be told what others need, the undo comes first.
            (state.desired(&state.standing).unwrap_or_default(), state.policies.clone())
        };
        let mut problem = Ok(());
        for (key, sent) in policies {
            let done = match wanted.policies.get(&key) {
                Some(policy) => match self.replace(&key, sent.uid, policy).await {
                    // Somebody deleted it: what was to go is gone, and what was to stay is reported when it is looked at.
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
                // Gone, or replaced by another object of that name: with it our label.
                Ok(()) | Err(ClusterError::NotFound(_) | ClusterError::Conflict { .. }) => {}
                Err(error) => problem = problem.and(Err(error.into())),
            }
        }
        problem
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
            // Noted before it is sent: an answer that never comes back may still have done it.
            self.state().marks.insert(mark.clone());
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

    async fn create(&self, key: &ObjectKey, policy: &Value) -> Result<(), FaultError> {
        let mut sent = Sent { uid: None, policy: policy.clone() };
        self.state().policies.insert(key.clone(), sent.clone());
        let made = self.cluster.create(Kind::NetworkPolicy, &key.namespace, policy).await?;
        sent.uid = made["metadata"]["uid"].as_str().map(str::to_owned);
        self.state().policies.insert(key.clone(), sent);
        Ok(())
    }

    /// Replaces a policy in one step, unless it is as it should be.
    async fn replace(&self, key: &ObjectKey, uid: Option<String>, policy: &Value) -> Result<(), FaultError> {
        let exact = ObjectKey { uid: uid.clone(), ..key.clone() };
        let note = || _ = self.state().policies.insert(key.clone(), Sent { uid: uid.clone(), policy: policy.clone() });
        let mut tries = 0;
        loop {
            let Some(mut object) = self.cluster.own(&exact).await? else {
                return Err(FaultError::Gone(format!("{key} is not there any more: somebody else deleted it")));
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

    /// Tells that a peer has other addresses and ports now; false when no policy can cut those.
    pub(super) fn set_peer(&self, part: usize, block: usize, peer: policy::Peer, ports: policy::PortSet) -> bool {
        self.state().scheme.set_peer(part, block, peer, ports)
    }
}
