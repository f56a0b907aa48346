//! Finds lost targets and their replacements. Pure: it compares the pods before and now.

use std::collections::{BTreeMap, BTreeSet};

use shakedown_schemas::result::PodRef;

/// The properties of a pod that decide its replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterPod {
    /// The pod.
    pub pod: PodRef,
    /// The UID of its top owner; `None` for a pod without an owner.
    pub owner: Option<String>,
    /// Its creation time in RFC 3339 and UTC, which sorts as text.
    pub created: String,
    /// Whether it is being deleted.
    pub going: bool,
}

/// A target and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    group: usize,
    pod: PodRef,
    owner: Option<String>,
    follow: bool,
    state: Whereabouts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whereabouts {
    Here,
    Lost,
    Replaced,
}

/// A change of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// It is gone or being deleted.
    Lost {
        /// Its group.
        group: usize,
        /// The target.
        pod: PodRef,
        /// It is followed, and was gone before the first comparison: its replacement may be any pod of its workload.
        untraceable: bool,
    },
    /// Its workload created a replacement.
    Replaced {
        /// Its group.
        group: usize,
        /// The target.
        pod: PodRef,
        /// The replacement.
        by: PodRef,
        /// Whether the replacement is cut off as well.
        follow: bool,
    },
}

/// The targets, and the pods from before the first change.
#[derive(Debug, Default)]
pub struct Roster {
    targets: Vec<Target>,
    /// Pods that cannot be a replacement: they existed at the beginning, or already replace a target.
    settled: BTreeSet<String>,
    /// Namespaces whose first list was compared.
    listed: BTreeSet<String>,
}

impl Roster {
    /// Adds a target of a group, before the first comparison.
    pub fn expect(&mut self, group: usize, pod: PodRef, owner: Option<String>, follow: bool) {
        self.targets.push(Target { group, pod, owner, follow, state: Whereabouts::Here });
    }

    /// Compares with the current pods of a namespace, by UID. A replacement is a pod of the same workload that was created
    /// after the first comparison. In a rolling update it appears before the old pod is gone.
    pub fn compare(&mut self, namespace: &str, pods: &BTreeMap<String, RosterPod>) -> Vec<Note> {
        let is_first = self.listed.insert(namespace.to_owned());
        let mut notes = Vec::new();
        for target in &mut self.targets {
            let here = pods.get(&target.pod.uid).is_some_and(|seen| !seen.going);
            if target.pod.namespace == namespace && target.state == Whereabouts::Here && !here {
                target.state = Whereabouts::Lost;
                // A StatefulSet reuses the name.
                let by_name = |seen: &RosterPod| is_renewed(target, seen) && !seen.going;
                let untraceable = is_first && target.follow && !pods.values().any(by_name);
                notes.push(Note::Lost { group: target.group, pod: target.pod.clone(), untraceable });
            }
        }
        if is_first {
            let renews = |seen: &RosterPod| {
                self.targets.iter().any(|target| target.state == Whereabouts::Lost && is_renewed(target, seen))
            };
            self.settled.extend(pods.iter().filter(|(_, seen)| !renews(seen)).map(|(uid, _)| uid.clone()));
        }
        let mut came: Vec<&RosterPod> =
            pods.values().filter(|seen| !seen.going && !self.settled.contains(&seen.pod.uid)).collect();
        came.sort_by(|a, b| (&a.created, &a.pod).cmp(&(&b.created, &b.pod)));
        let mut followers = Vec::new();
        for target in self.targets.iter_mut().filter(|target| target.state == Whereabouts::Lost) {
            if target.pod.namespace != namespace || target.owner.is_none() {
                continue;
            }
            let place = came
                .iter()
                .position(|seen| is_renewed(target, seen))
                .or_else(|| came.iter().position(|seen| seen.owner == target.owner));
            let Some(place) = place else { continue };
            let by = came.remove(place).pod.clone();
            target.state = Whereabouts::Replaced;
            self.settled.insert(by.uid.clone());
            if target.follow {
                followers.push(Target { pod: by.clone(), state: Whereabouts::Here, ..target.clone() });
            }
            notes.push(Note::Replaced { group: target.group, pod: target.pod.clone(), by, follow: target.follow });
        }
        self.targets.extend(followers);
        notes
    }
}

/// Whether a pod of the target's workload has the target's name but another UID.
fn is_renewed(target: &Target, seen: &RosterPod) -> bool {
    target.owner.is_some()
        && seen.owner == target.owner
        && (&seen.pod.namespace, &seen.pod.name) == (&target.pod.namespace, &target.pod.name)
        && seen.pod.uid != target.pod.uid
}

#[cfg(test)]
mod tests;
