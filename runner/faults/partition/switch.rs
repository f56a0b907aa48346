//! The one place from which a scenario's partitions act: it knows which of them stand, and brings labels and policies in
//! line with that, one change at a time.
//!
//! What is needed at any time is worked out in `scheme`; who replaces whom is found out in `follow`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use shakedown_schemas::result::{Leftover, PodRef, Proof};

use super::scheme::{Desired, Scheme};
use super::{Mark, includes, pod_key, same};
use crate::cluster::{Cluster, ClusterError, Kind, ObjectKey};
use crate::faults::fuse::Fuses;
use crate::faults::{FaultError, Finding};
use crate::policy;
use crate::sweep::unmark_command;

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
    gate: Arc<tokio::sync::Mutex<()>>,
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
    marks: BTreeSet<Mark>,
    /// Policies that were begun and are not known to be gone.
    policies: BTreeMap<ObjectKey, Sent>,
}

/// A policy as it was last sent.
#[derive(Clone)]
struct Sent {
    /// Its UID, once the server has told it.
    uid: Option<String>,
    /// The whole object.
    policy: Value,
}

impl State {
    fn desired(&self, standing: &BTreeSet<usize>) -> Result<Desired, FaultError> {
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
            (state.desired(&state.standing)?, state.policies.clone())
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
            let Some(mut object) = self.cluster.get(&exact).await? else {
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

    /// Reads back whether a partition's labels and policies are in place.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer, or a target is gone that nobody stands in for.
    pub async fn look(&self, part: usize) -> Result<Vec<Finding>, FaultError> {
        let _gate = self.gate.lock().await;
        let sent: Vec<(ObjectKey, Sent)> = {
            let state = self.state();
            let keys = state.scheme.groups_of(part).map(|group| state.scheme.policy_key(group));
            keys.filter_map(|key| Some((key.clone(), state.policies.get(&key)?.clone()))).collect()
        };
        let mut findings = Vec::new();
        for (key, Sent { uid, policy: sent }) in sent {
            let there = self.cluster.get(&ObjectKey { uid, ..key.clone() }).await?;
            let as_sent = there.as_ref().is_some_and(|policy| includes(&policy["spec"], &sent["spec"]));
            findings.push(Finding {
                shows: Proof::Applied,
                holds: as_sent,
                detail: match (&there, as_sent) {
                    (Some(_), true) => format!("{key} is there as sent"),
                    (Some(_), false) => format!("{key} is not as it was sent: the API server or somebody changed it"),
                    (None, _) => format!("{key} is not there: somebody else deleted it"),
                },
            });
        }
        for (pod, label, value) in self.marked(part) {
            let object = match self.target(&pod).await {
                Err(FaultError::TargetGone(_)) if self.is_followed(&pod) => {
                    let detail = format!("pod {} is gone, and its replacement is not seen yet", pod.name);
                    findings.push(Finding { shows: Proof::Applied, holds: false, detail });
                    continue;
                }
                other => other?,
            };
            let carries = object["metadata"]["labels"][&label] == value.as_str();
            findings.push(Finding {
                shows: Proof::Applied,
                holds: carries,
                detail: format!(
                    "pod {} {} the label that the policy selects",
                    pod.name,
                    if carries { "carries" } else { "lacks" }
                ),
            });
        }
        Ok(findings)
    }

    /// The pods that a partition acts on now, each with the label that it must carry.
    pub fn marked(&self, part: usize) -> Vec<(PodRef, String, String)> {
        let state = self.state();
        let mut found = Vec::new();
        for group in state.scheme.groups_of(part) {
            let (label, value) = state.scheme.label(group);
            let followers = state.followers.get(&group).into_iter().flatten();
            let targets = state.scheme.parts()[part].targets.iter().filter(|pod| {
                !state.lost.contains(&pod.uid) && state.scheme.group_of(&pod.namespace, &pod.name) == Some(group)
            });
            found.extend(targets.chain(followers).map(|pod| (pod.clone(), label.clone(), value.clone())));
        }
        found
    }

    /// The target of that name and UID, as it is now.
    ///
    /// # Errors
    /// When it is not there or going away, or the cluster does not answer.
    pub async fn target(&self, pod: &PodRef) -> Result<Value, FaultError> {
        match self.cluster.get(&pod_key(pod)).await? {
            Some(object) if object["metadata"]["deletionTimestamp"].is_null() => Ok(object),
            _ => Err(FaultError::TargetGone(format!(
                "target pod {}/{} (uid {}) is not there any more\nhelp: something replaces pods while the scenario runs; \
                 wait until the workload is settled and run again, or write `follow: true`",
                pod.namespace, pod.name, pod.uid
            ))),
        }
    }

    /// Whether somebody is to stand in for a target that is gone.
    pub fn is_followed(&self, pod: &PodRef) -> bool {
        let state = self.state();
        let group = state.scheme.group_of(&pod.namespace, &pod.name);
        group.is_some_and(|group| state.scheme.parts_of(group).iter().any(|part| state.scheme.parts()[*part].follow))
    }

    /// Looks once more, at the end of a partition's time, whether it stood until now: what does not hold takes the
    /// proof away.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer.
    pub async fn conclude(&self, part: usize) -> Result<Vec<Finding>, FaultError> {
        // What a watch that broke has missed.
        for (pod, ..) in self.marked(part) {
            match self.target(&pod).await {
                Err(FaultError::TargetGone(_)) => {
                    let mut state = self.state();
                    if state.lost.insert(pod.uid.clone()) {
                        let text = format!("target pod {} (uid {}) is gone", pod.name, pod.uid);
                        state.notes.entry(part).or_default().push(text);
                    }
                }
                other => _ = other?,
            }
        }
        let mut findings = self.look(part).await?;
        findings.retain(|finding| !finding.holds);
        let notes = self.state().notes.get(&part).cloned().unwrap_or_default();
        let left = self.marked(part).len();
        if left == 0 {
            findings.push(Finding {
                shows: Proof::Applied,
                holds: false,
                detail: format!(
                    "no target was left at the end: {}; write `follow: true` to cut off replacements as well",
                    notes.join("; ")
                ),
            });
        } else if !notes.is_empty() {
            findings.push(Finding {
                shows: Proof::Applied,
                holds: true,
                detail: format!("{}; {left} were cut off at the end", notes.join("; ")),
            });
        }
        Ok(findings)
    }

    /// Reads back that nothing of a partition is left, beyond what other partitions need.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer.
    pub async fn look_for_rests(&self, part: usize) -> Result<Vec<Finding>, FaultError> {
        let _gate = self.gate.lock().await;
        let (wanted, policies, marks) = {
            let state = self.state();
            (state.desired(&state.standing)?, state.policies.clone(), state.marks.clone())
        };
        let mut findings = Vec::new();
        for group in self.groups_of(part) {
            let key = self.state().scheme.policy_key(group);
            if !policies.contains_key(&key) {
                continue;
            }
            // By name, not by UID: any policy of that name is ours.
            let there = self.cluster.get(&key).await?;
            let (holds, detail) = match (&there, wanted.policies.get(&key)) {
                (None, None) => (true, format!("{key} is gone")),
                (None, Some(_)) => (true, format!("{key} is gone, although another partition needs it")),
                (Some(_), None) => (false, format!("{key} is still there")),
                (Some(there), Some(sent)) => {
                    let without = same(&there["spec"], &sent["spec"]);
                    let text = if without { "cuts only what other partitions cut" } else { "still cuts it" };
                    (without, format!("{key} {text}"))
                }
            };
            findings.push(Finding { shows: Proof::Removed, holds, detail });
            if holds && there.is_none() {
                self.state().policies.remove(&key);
            }
        }
        for mark in marks.difference(&wanted.marks) {
            let object = self.cluster.get(&mark.object).await?;
            let gone = object.is_none_or(|object| object["metadata"]["labels"][&mark.label].is_null());
            findings.push(Finding {
                shows: Proof::Removed,
                holds: gone,
                detail: format!("{} {} our label", mark.object, if gone { "is without" } else { "still carries" }),
            });
            if gone {
                self.state().marks.remove(mark);
            }
        }
        Ok(findings)
    }

    fn groups_of(&self, part: usize) -> Vec<usize> {
        self.state().scheme.groups_of(part).collect()
    }

    /// What may still be there of a partition, beyond what other partitions need.
    pub fn leftovers(&self, part: usize) -> Vec<Leftover> {
        let error = "its removal could not be confirmed".to_owned();
        let state = self.state();
        let keys: BTreeSet<ObjectKey> =
            state.scheme.groups_of(part).map(|group| state.scheme.policy_key(group)).collect();
        let wanted = state.desired(&state.standing).unwrap_or_default();
        let policies = state
            .policies
            .keys()
            .filter(|key| keys.contains(key) && !wanted.policies.contains_key(key))
            .map(|key| Leftover { what: key.to_string(), command: key.delete_command(), error: error.clone() });
        let marks = state.marks.difference(&wanted.marks).map(|mark| Leftover {
            what: format!("the label {} of {}", mark.label, mark.object),
            command: unmark_command(&mark.object, &mark.label),
            error: error.clone(),
        });
        policies.chain(marks).collect()
    }

    /// Tells that a peer has other addresses now.
    pub(super) fn set_peer(&self, part: usize, block: usize, peer: policy::Peer) {
        self.state().scheme.set_peer(part, block, peer);
    }
}
