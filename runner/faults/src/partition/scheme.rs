//! Computes the labels and policies for a set of active partitions. Pure: all of it is computed before anything is sent.
//!
//! Policies are additive: of two policies on one pod, each would allow the links that the other one cuts. The pods of a
//! scenario are therefore sorted once into groups: pods that are targets of the same partitions. A group has one label and
//! one policy, which cuts everything that the group's active partitions cut. When a partition begins or ends, the policy is
//! replaced in one step, and the pods' labels do not change.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use shakedown_schemas::Explained;
use shakedown_schemas::result::PodRef;

use super::mark::{Mark, pod_key};
use shakedown_cluster::labels;
use shakedown_cluster::{Kind, ObjectKey, size};
use shakedown_policy::{
    self as policy, Block, BuildError, Built, Cidr, Cut, Facts, Group, OtherPorts, Peer, Pod, PortSet,
};

/// One partition of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedPartition {
    /// Its fault's name.
    pub name: String,
    /// Its targets' namespace.
    pub namespace: String,
    /// Its targets.
    pub targets: Vec<PodRef>,
    /// The blocks that they are cut off from.
    pub blocks: Vec<Block>,
    /// Labels that distinguish peers from other pods.
    pub peer_marks: Vec<Mark>,
    /// Whether replacements of targets are cut off as well.
    pub follow: bool,
}

/// All partitions of a scenario, and the facts about the cluster's network.
#[derive(Debug, Clone)]
pub struct Scheme {
    run: String,
    serial: usize,
    parts: Vec<PlannedPartition>,
    groups: Vec<Group>,
    cluster: policy::Cluster,
    pod_cidrs: Vec<Cidr>,
    nodes: Vec<IpAddr>,
    other_ports: OtherPorts,
    namespace_key: String,
}

/// A pod that became a peer of partitions after the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Came {
    /// The partitions.
    pub parts: BTreeSet<usize>,
    /// Why no policy can cut it off.
    pub refusal: Option<Explained>,
}

/// The required state of the cluster while some partitions are active.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Desired {
    /// Labels on existing objects.
    pub marks: BTreeSet<Mark>,
    /// The complete policies by their keys (without UIDs).
    pub policies: BTreeMap<ObjectKey, Value>,
}

impl Scheme {
    /// Sorts the targets into groups. `cluster` must not hold policies of this run.
    pub fn new(
        run: &str,
        serial: usize,
        parts: Vec<PlannedPartition>,
        network: (policy::Cluster, Vec<Cidr>, Vec<IpAddr>),
        other_ports: OtherPorts,
    ) -> Self {
        let given: Vec<policy::Isolation> = parts
            .iter()
            .map(|part| policy::Isolation {
                namespace: part.namespace.clone(),
                targets: part.targets.iter().map(|pod| pod.name.clone()).collect(),
                blocks: part.blocks.clone(),
            })
            .collect();
        let (cluster, pod_cidrs, nodes) = network;
        Self {
            groups: policy::combine(&given),
            run: run.to_owned(),
            serial,
            parts,
            cluster,
            pod_cidrs,
            nodes,
            other_ports,
            namespace_key: labels::mark(run, serial, "n", ""),
        }
    }

    /// The partitions.
    pub fn parts(&self) -> &[PlannedPartition] {
        &self.parts
    }

    /// Updates a peer's addresses and ports, while these partitions are active. False if they are unchanged.
    ///
    /// # Errors
    /// Why no policy can cut them: then the former ones are kept.
    pub fn set_peer(
        &mut self,
        (part, block): (usize, usize),
        peer: Peer,
        ports: PortSet,
        standing: &BTreeSet<usize>,
    ) -> Result<bool, Explained> {
        let former = self.parts[part].blocks[block].clone();
        let now = Block { peer, ports, ..former.clone() };
        if now == former {
            return Ok(false);
        }
        self.parts[part].blocks[block] = now;
        let all = (0..self.parts.len()).collect();
        let possible =
            self.cuts(part, &all).map_err(|error| error.to_string().into()).and_then(|_| self.fits(part, standing));
        if possible.is_err() {
            self.parts[part].blocks[block] = former;
        }
        possible.map(|()| true)
    }

    /// Why the API server would refuse a policy while these partitions and this one are active: it is too large.
    ///
    /// # Errors
    /// With the first such policy and the next step.
    pub fn fits(&self, part: usize, standing: &BTreeSet<usize>) -> Result<(), Explained> {
        let together = standing.iter().copied().chain([part]).collect();
        let cuts = self.cuts(part, &together).map_err(|error| error.to_string())?;
        let refused = cuts.iter().find_map(|(_, built)| size::too_large("the NetworkPolicy", &built.spec));
        refused.map_or(Ok(()), |why| Err(Explained::new(why, size::HELP)))
    }

    /// The namespaces with pods as peers.
    pub fn peer_namespaces(&self) -> BTreeSet<String> {
        let blocks = self.parts.iter().flat_map(|part| &part.blocks);
        let namespaces = blocks.filter_map(|block| match &block.peer {
            Peer::Pods { namespace, .. } => Some(namespace.clone()),
            Peer::Addresses(_) => None,
        });
        namespaces.collect()
    }

    /// Adds a pod that was created later, while these partitions are active. Returns the partitions that have it as a peer
    /// outside all known pod ranges; none when no policy changes. Network plugins that also match pods by address blocks let
    /// it through until the policies are replaced.
    pub fn see(&mut self, pod: &Pod, standing: &BTreeSet<usize>) -> Came {
        let is_peer = |block: &Block| match &block.peer {
            Peer::Pods { namespace, selector, .. } => pod.namespace == *namespace && selector.matches(&pod.labels),
            Peer::Addresses(_) => false,
        };
        let of = |part: &usize| self.parts[*part].blocks.iter().any(is_peer);
        let parts: BTreeSet<usize> = (0..self.parts.len()).filter(of).collect();
        let covered = |ip: &IpAddr| {
            self.pod_cidrs.iter().any(|range| range.has(*ip))
                || self.cluster.pods().iter().any(|it| it.ips.contains(ip))
        };
        // A pod on its node's network was not a peer in the plan, and no policy can cut it off.
        if parts.is_empty() || pod.host_network || pod.ips.iter().all(covered) {
            return Came::default();
        }
        let mut pods = self.cluster.pods().to_vec();
        // The previous address of a pod with this name stays cut, which is harmless.
        match pods.iter_mut().find(|it| it.namespace == pod.namespace && it.name == pod.name) {
            Some(known) => known.ips.extend(pod.ips.iter().copied()),
            None => pods.push(pod.clone()),
        }
        let now = policy::Cluster::new(pods, self.cluster.namespaces().clone(), &[]);
        let before = std::mem::replace(&mut self.cluster, now);
        let refusal = parts.iter().find_map(|part| self.fits(*part, standing).err());
        if refusal.is_some() {
            self.cluster = before;
        }
        Came { parts, refusal }
    }

    /// Whether later pods may have addresses that the policies do not contain yet.
    pub fn knows_no_ranges(&self) -> bool {
        self.pod_cidrs.is_empty()
    }

    /// The groups that a partition has targets in.
    pub fn groups_of(&self, part: usize) -> impl Iterator<Item = usize> {
        self.groups.iter().enumerate().filter(move |(_, group)| group.parts.contains(&part)).map(|(at, _)| at)
    }

    /// The group of a target.
    pub fn group_of(&self, namespace: &str, pod: &str) -> Option<usize> {
        self.groups.iter().position(|group| group.namespace == namespace && group.targets.contains(pod))
    }

    /// The partitions that a group's pods are targets of.
    pub fn parts_of(&self, group: usize) -> &[usize] {
        &self.groups[group].parts
    }

    /// The label that a group's policy selects: key and value.
    pub fn label(&self, group: usize) -> (String, String) {
        (labels::mark(&self.run, self.serial, &format!("t{group}"), &self.name(group)), self.run.clone())
    }

    fn name(&self, group: usize) -> String {
        self.parts_of(group).iter().map(|part| self.parts[*part].name.as_str()).collect::<Vec<_>>().join("-")
    }

    /// The key of a group's policy.
    pub fn policy_key(&self, group: usize) -> ObjectKey {
        let name = labels::name_part(&self.name(group));
        let dash = if name.is_empty() { "" } else { "-" };
        ObjectKey {
            kind: Kind::NetworkPolicy,
            namespace: self.groups[group].namespace.clone(),
            name: format!("shakedown-{}-{}-p{group}{dash}{name}", self.run, self.serial),
            uid: None,
        }
    }

    /// The blocks that a group is cut off from while some partitions are active; `None` without any.
    fn cut(&self, group: usize, standing: &BTreeSet<usize>) -> Option<Cut> {
        let it = &self.groups[group];
        let mut blocks: Vec<Block> = Vec::new();
        for part in it.parts.iter().filter(|part| standing.contains(part)) {
            for block in &self.parts[*part].blocks {
                if !blocks.contains(block) {
                    blocks.push(block.clone());
                }
            }
        }
        (!blocks.is_empty()).then(|| Cut {
            namespace: it.namespace.clone(),
            label: self.label(group),
            targets: it.targets.clone(),
            blocks,
        })
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            cluster: &self.cluster,
            pod_cidrs: &self.pod_cidrs,
            nodes: &self.nodes,
            other_ports: self.other_ports,
            namespace_key: &self.namespace_key,
        }
    }

    /// The cut of each group of a partition while these partitions are active, and its policy.
    ///
    /// # Errors
    /// When no policy can do it.
    pub fn cuts(&self, part: usize, standing: &BTreeSet<usize>) -> Result<Vec<(Cut, Built)>, BuildError> {
        let cuts = self.groups_of(part).filter_map(|group| self.cut(group, standing));
        cuts.map(|cut| policy::build(&cut, &self.facts()).map(|built| (cut, built))).collect()
    }

    /// What a partition cuts and what it leaves unchanged, in a sentence.
    pub fn explain(&self, part: usize) -> String {
        let part = &self.parts[part];
        let cut = Cut {
            namespace: part.namespace.clone(),
            label: (String::new(), String::new()),
            targets: part.targets.iter().map(|pod| pod.name.clone()).collect(),
            blocks: part.blocks.clone(),
        };
        policy::explain(&cut, &self.facts())
    }

    /// Why existing policies forbid this partition; `None` if they do not.
    pub fn conflicts(&self, cut: &Cut, built: &Built) -> Vec<policy::Conflict> {
        policy::standing(cut, built, &self.facts())
    }

    /// The required state while these partitions are active. `lost` targets are gone, `followers` replace them.
    ///
    /// # Errors
    /// When no policy can do it.
    pub fn desired(
        &self,
        standing: &BTreeSet<usize>,
        lost: &BTreeSet<String>,
        followers: &BTreeMap<usize, Vec<PodRef>>,
    ) -> Result<Desired, BuildError> {
        let mut desired = Desired::default();
        for part in standing {
            desired.marks.extend(self.parts[*part].peer_marks.iter().cloned());
        }
        for group in 0..self.groups.len() {
            let Some(cut) = self.cut(group, standing) else { continue };
            let built = policy::build(&cut, &self.facts())?;
            desired.marks.extend(built.namespace_labels.iter().map(|label| Mark {
                object: ObjectKey {
                    kind: Kind::Namespace,
                    namespace: String::new(),
                    name: label.namespace.clone(),
                    uid: None,
                },
                label: label.key.clone(),
                value: label.value.clone(),
            }));
            let (label, value) = self.label(group);
            for pod in self.pods(group, lost).chain(followers.get(&group).into_iter().flatten()) {
                desired.marks.insert(Mark { object: pod_key(pod), label: label.clone(), value: value.clone() });
            }
            let faults: Vec<&str> = self.parts_of(group).iter().map(|part| self.parts[*part].name.as_str()).collect();
            let key = self.policy_key(group);
            let object = json!({
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {
                    "name": key.name,
                    "namespace": key.namespace,
                    "labels": {
                        labels::MANAGED_BY: labels::MANAGER,
                        labels::RUN: self.run,
                        labels::FAULT: labels::value(&faults.join(".")),
                    },
                },
                "spec": built.spec,
            });
            desired.policies.insert(key, object);
        }
        Ok(desired)
    }

    /// The planned targets of a group that are not lost.
    fn pods<'a>(&'a self, group: usize, lost: &'a BTreeSet<String>) -> impl Iterator<Item = &'a PodRef> {
        let it = &self.groups[group];
        let mut seen = BTreeSet::new();
        it.parts
            .iter()
            .flat_map(|part| &self.parts[*part].targets)
            .filter(move |pod| it.targets.contains(&pod.name) && !lost.contains(&pod.uid) && seen.insert(&pod.uid))
    }
}

/// The groups with their faults, labels and policies, without the facts about the cluster from which they were computed.
impl Serialize for Scheme {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let groups: Vec<Value> = self
            .groups
            .iter()
            .enumerate()
            .map(|(at, group)| {
                let faults: Vec<&str> = group.parts.iter().map(|part| self.parts[*part].name.as_str()).collect();
                let (label, value) = self.label(at);
                json!({
                    "namespace": group.namespace,
                    "pods": group.targets,
                    "faults": faults,
                    "label": {label: value},
                    "policy": self.policy_key(at).name,
                })
            })
            .collect();
        let mut scheme = serializer.serialize_struct("Scheme", 1)?;
        scheme.serialize_field("groups", &groups)?;
        scheme.end()
    }
}

#[cfg(test)]
mod tests;
