//! Which targets are gone and who replaces them: a pure comparison of the pods that there were with those that there are.

use std::collections::{BTreeMap, BTreeSet};

use shakedown_schemas::result::PodRef;

/// A pod as far as its replacement is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The pod.
    pub pod: PodRef,
    /// The UID of the workload at the top of its owners; none for a pod of its own.
    pub owner: Option<String>,
    /// When it was created: RFC 3339 in UTC, which sorts as text.
    pub created: String,
    /// True when it is ending.
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

/// What became of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// It is gone or ending.
    Lost {
        /// Its group.
        group: usize,
        /// The target.
        pod: PodRef,
    },
    /// Its workload made another pod in its place.
    Replaced {
        /// Its group.
        group: usize,
        /// The target.
        pod: PodRef,
        /// The replacement.
        by: PodRef,
        /// Whether the replacement is to be cut off as well.
        follow: bool,
    },
}

/// The targets, and the pods that were there before anything happened.
#[derive(Debug, Default)]
pub struct Roster {
    targets: Vec<Target>,
    /// Pods that replace nobody: they were there at the beginning, or have their place.
    settled: BTreeSet<String>,
    /// Namespaces whose first list was seen.
    listed: BTreeSet<String>,
}

impl Roster {
    /// A target of a group, before anything is compared.
    pub fn expect(&mut self, group: usize, pod: PodRef, owner: Option<String>, follow: bool) {
        self.targets.push(Target { group, pod, owner, follow, state: Whereabouts::Here });
    }

    /// Compares with the pods of a namespace as they are now, by UID. A replacement is a pod of the same workload that
    /// came after the first comparison; a rolling update brings it before the old one goes.
    pub fn compare(&mut self, namespace: &str, pods: &BTreeMap<String, Seen>) -> Vec<Note> {
        if self.listed.insert(namespace.to_owned()) {
            self.settled.extend(pods.keys().cloned());
        }
        let mut notes = Vec::new();
        for target in &mut self.targets {
            let here = pods.get(&target.pod.uid).is_some_and(|seen| !seen.going);
            if target.pod.namespace == namespace && target.state == Whereabouts::Here && !here {
                target.state = Whereabouts::Lost;
                notes.push(Note::Lost { group: target.group, pod: target.pod.clone() });
            }
        }
        let mut came: Vec<&Seen> =
            pods.values().filter(|seen| !seen.going && !self.settled.contains(&seen.pod.uid)).collect();
        came.sort_by(|a, b| (&a.created, &a.pod).cmp(&(&b.created, &b.pod)));
        let mut followers = Vec::new();
        for target in self.targets.iter_mut().filter(|target| target.state == Whereabouts::Lost) {
            if target.pod.namespace != namespace || target.owner.is_none() {
                continue;
            }
            // A StatefulSet gives the same name again.
            let place = came
                .iter()
                .position(|seen| seen.owner == target.owner && seen.pod.name == target.pod.name)
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

#[cfg(test)]
mod tests;
