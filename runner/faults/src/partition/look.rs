//! Checks a partition's labels and policies in the cluster, from its injection to its undo. It only reads.

use std::collections::BTreeSet;

use serde_json::Value;
use shakedown_schemas::Explained;
use shakedown_schemas::result::{Leftover, PodRef, Proof};
use tokio::time::Instant;

use super::mark::{Mark, pod_key};
use super::same::{includes, same};
use super::switch::{Sent, Switch};
use crate::driver::REPLACED;
use crate::{FaultError, Finding};
use shakedown_cluster::keys::unmark_command;
use shakedown_cluster::{Kind, ObjectKey};

impl Switch {
    /// Checks that a partition's labels and policies are in place.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer, or a target is gone and replacements are not followed.
    pub async fn look(&self, part: usize) -> Result<Vec<Finding>, FaultError> {
        let sent: Vec<(ObjectKey, Option<Sent>)> = {
            let state = self.state();
            let needed = state.desired(&state.standing).unwrap_or_default().policies;
            let keys = state.scheme.groups_of(part).map(|group| state.scheme.policy_key(group));
            let known = keys.map(|key| (state.policies.get(&key).cloned(), key));
            known
                .filter(|(sent, key)| sent.is_some() || needed.contains_key(key))
                .map(|(sent, key)| (key, sent))
                .collect()
        };
        let mut findings = Vec::new();
        for (key, sent) in sent {
            let Some(sent) = sent else {
                let detail = format!("{key} does not exist: another client deleted it");
                findings.push(Finding { shows: Proof::Applied, holds: false, detail });
                continue;
            };
            let there = self.cluster.own(&ObjectKey { uid: sent.uid.clone(), ..key.clone() }).await?;
            // Another partition of these pods may change the policy at the same time.
            let (now, needed) = {
                let state = self.state();
                let needed = state.wanted(&key).filter(|needed| needed.standing.contains(&part));
                (state.policies.get(&key).cloned(), needed)
            };
            let as_sent = there.as_ref().is_some_and(|policy| {
                let versions = std::iter::once(&sent).chain(&now).flat_map(|sent| sent.versions(part, true));
                versions
                    .chain(needed.as_ref().map(|needed| &needed.policy))
                    .any(|version| includes(&policy["spec"], &version["spec"]))
            });
            findings.push(Finding {
                shows: Proof::Applied,
                holds: as_sent,
                detail: match (&there, as_sent) {
                    (Some(_), true) => format!("{key} exists as it was sent"),
                    (Some(_), false) => {
                        format!("{key} is not as it was sent: the API server or another client changed it")
                    }
                    (None, _) => format!("{key} does not exist: another client deleted it"),
                },
            });
        }
        for (pod, label, value) in self.marked(part) {
            let object = match self.target(&pod).await {
                Err(FaultError::TargetGone(_)) if self.is_followed(&pod) => {
                    let detail = format!("pod {} is gone and its replacement is not known yet", pod.name);
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

    /// The pods that a partition acts on now, each with its required label.
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

    /// The current state of the target with this name and UID.
    ///
    /// # Errors
    /// When it does not exist or is being deleted, or the cluster does not answer.
    pub async fn target(&self, pod: &PodRef) -> Result<Value, FaultError> {
        match self.cluster.get(&pod_key(pod)).await? {
            Some(object) if object["metadata"]["deletionTimestamp"].is_null() => Ok(object),
            _ => Err(FaultError::TargetGone(Explained::new(
                format!("target pod {}/{} (uid {}) no longer exists", pod.namespace, pod.name, pod.uid),
                REPLACED,
            ))),
        }
    }

    /// Whether replacements of a lost target are followed.
    pub fn is_followed(&self, pod: &PodRef) -> bool {
        let state = self.state();
        let group = state.scheme.group_of(&pod.namespace, &pod.name);
        group.is_some_and(|group| state.scheme.parts_of(group).iter().any(|part| state.scheme.parts()[*part].follow))
    }

    /// Checks at the end of a partition's time that it has lasted. If a finding does not hold, the partition loses its
    /// proof.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer.
    pub async fn conclude(&self, part: usize) -> Result<Vec<Finding>, FaultError> {
        // A broken watch may have missed this.
        for (pod, ..) in self.marked(part) {
            match self.target(&pod).await {
                Err(FaultError::TargetGone(_)) => {
                    let mut state = self.state();
                    let source = (Kind::Pod, pod.namespace.clone());
                    let since = state.doubts.blindness(&source).map_or_else(Instant::now, |(since, _)| since);
                    if state.lose(&pod, since) {
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

    /// Checks that a partition has left nothing, except objects that other partitions need.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer.
    pub async fn look_for_rests(&self, part: usize) -> Result<Vec<Finding>, FaultError> {
        let (wanted, policies, marks) = {
            let state = self.state();
            let wanted = state.desired(&state.standing).unwrap_or_default();
            let marks = state.marks.difference(&wanted.marks).filter(|mark| state.concerns(part, mark));
            let marks: Vec<Mark> = marks.cloned().collect();
            (wanted, state.policies.clone(), marks)
        };
        let mut findings = Vec::new();
        for group in self.groups_of(part) {
            let key = self.state().scheme.policy_key(group);
            let Some(sent) = policies.get(&key) else { continue };
            let there = self.cluster.own(&ObjectKey { uid: sent.uid.clone(), ..key.clone() }).await?;
            let (holds, detail) = match (&there, wanted.policies.get(&key)) {
                (None, None) => (true, format!("{key} is gone")),
                (None, Some(_)) => (true, format!("{key} is gone, although another partition needs it")),
                (Some(_), None) => (false, format!("{key} still exists")),
                (Some(there), Some(wanted)) => {
                    // Other partitions of these pods may change the policy at the same time.
                    let mut versions = sent.versions(part, false).chain([wanted]);
                    let without = versions.any(|version| same(&there["spec"], &version["spec"]));
                    let text = if without { "cuts only what other partitions cut" } else { "still cuts it" };
                    (without, format!("{key} {text}"))
                }
            };
            findings.push(Finding { shows: Proof::Removed, holds, detail });
            if holds && there.is_none() {
                let mut state = self.state();
                // A pod that was created meanwhile has another UID, or none yet.
                if state.policies.get(&key).is_some_and(|now| now.uid == sent.uid && sent.uid.is_some())
                    || !state.desired(&state.standing).unwrap_or_default().policies.contains_key(&key)
                {
                    state.policies.remove(&key);
                }
            }
        }
        // A pod that is both a target and a peer has two marks but is reported once.
        let mut said: BTreeSet<String> = BTreeSet::new();
        for mark in marks {
            let object = self.cluster.get(&mark.object).await?;
            let gone = object.is_none_or(|object| object["metadata"]["labels"][&mark.label].is_null());
            let detail = format!("{} {} our label", mark.object, if gone { "is without" } else { "still has" });
            if said.insert(detail.clone()) {
                findings.push(Finding { shows: Proof::Removed, holds: gone, detail });
            }
            if gone {
                let mut state = self.state();
                if !state.desired(&state.standing).unwrap_or_default().marks.contains(&mark) {
                    state.marks.remove(&mark);
                    state.unmarked.remove(&mark);
                }
            }
        }
        Ok(findings)
    }

    fn groups_of(&self, part: usize) -> Vec<usize> {
        self.state().scheme.groups_of(part).collect()
    }

    /// The objects of a partition that may still exist, except those that other partitions need.
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
        let marks = state.marks.difference(&wanted.marks).filter(|mark| state.concerns(part, mark));
        let marks = marks.map(|mark| Leftover {
            what: format!("the label {} of {}", mark.label, mark.object),
            command: unmark_command(&mark.object, &mark.label),
            error: error.clone(),
        });
        policies.chain(marks).collect()
    }
}
