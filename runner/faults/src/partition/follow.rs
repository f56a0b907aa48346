//! Watches for replacements of targets and peers during a scenario. They are reported and, with `follow`, marked like the
//! pods that they replace.
//!
//! `roster` decides which pod replaces which; this task feeds it and acts on its answers.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use k8s_openapi::api::core::v1 as core;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shakedown_schemas::EventKind;
use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::PodSelector;
use tokio_util::task::AbortOnDropHandle;

use super::mark::{Mark, pod_key};
use super::roster::{Note, Roster, RosterPod};
use super::switch::Switch;
use shakedown_cluster::{Change, Cluster, ClusterError, Kind, ObjectKey, pod_ref};
use shakedown_policy::{ApiPod, Cidr, Peer, Pod, ServicePort, endpoints_behind};

/// Peers with our mark. New pods that match are marked as well.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MarkedPeer {
    /// The partition.
    pub part: usize,
    /// The selector of the peers.
    pub selector: PodSelector,
    /// Their namespace.
    pub namespace: String,
    /// The mark: key and value.
    pub label: (String, String),
}

/// Addresses behind a service without a selector as peers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListedPeer {
    /// The partition.
    pub part: usize,
    /// The block's place in the partition.
    pub block: usize,
    /// The service's namespace.
    pub namespace: String,
    /// The service.
    pub service: String,
    /// Its selected ports; empty for all.
    #[serde(skip)]
    pub ports: Vec<ServicePort>,
}

/// The watching task, until this is dropped.
pub type Watching = AbortOnDropHandle<()>;

/// Starts to watch targets and peers.
pub fn watch(switch: Switch, marked: Vec<MarkedPeer>, listed: Vec<ListedPeer>) -> Watching {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut namespaces: BTreeSet<(Kind, String)> = BTreeSet::new();
        namespaces.extend(switch.state().scheme.parts().iter().map(|part| (Kind::Pod, part.namespace.clone())));
        namespaces.extend(switch.state().scheme.peer_namespaces().into_iter().map(|namespace| (Kind::Pod, namespace)));
        namespaces.extend(listed.iter().map(|peer| (Kind::Endpoints, peer.namespace.clone())));
        let streams: Vec<BoxStream<'static, (Kind, String, Change)>> = namespaces
            .into_iter()
            .map(|(kind, namespace)| {
                let changes = switch.cluster.watch(kind, &namespace);
                changes.map(move |change| (kind, namespace.clone(), change)).boxed()
            })
            .collect();
        let mut changes = stream::select_all(streams);
        let mut follower = Follower {
            owners: Owners::default(),
            pods: BTreeMap::new(),
            roster: Roster::default(),
            begun: false,
            complained: false,
            marked,
            listed,
            switch,
        };
        while let Some((kind, namespace, change)) = changes.next().await {
            if let Change::Broken(error) = change {
                if follower.complain(&error) {
                    return;
                }
            } else if kind == Kind::Pod {
                follower.pods(&namespace, change).await;
            } else {
                follower.endpoints(&namespace, change).await;
            }
        }
    }))
}

struct Follower {
    switch: Switch,
    owners: Owners,
    pods: BTreeMap<String, BTreeMap<String, RosterPod>>,
    roster: Roster,
    begun: bool,
    complained: bool,
    marked: Vec<MarkedPeer>,
    listed: Vec<ListedPeer>,
}

impl Follower {
    /// Reports a failed watch once. Returns true when a retry does not help.
    fn complain(&mut self, error: &ClusterError) -> bool {
        if !std::mem::replace(&mut self.complained, true) {
            let text = format!("the watch of pods failed, so replacements are noticed late: {error}");
            self.switch.cluster.tell(EventKind::Warning { message: text });
        }
        matches!(error, ClusterError::Forbidden { .. })
    }

    async fn pods(&mut self, namespace: &str, change: Change) {
        let objects: Vec<Value> = match change {
            Change::Listed(objects) => {
                self.complained = false;
                self.pods.insert(namespace.to_owned(), BTreeMap::new());
                objects
            }
            Change::Applied(object) => vec![object],
            Change::Deleted(object) => {
                let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
                self.pods.entry(namespace.to_owned()).or_default().remove(uid);
                Vec::new()
            }
            Change::Broken(_) => return,
        };
        for object in &objects {
            let seen = RosterPod {
                pod: pod_ref(object),
                owner: self.owners.top(&self.switch.cluster, object).await,
                created: object["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned(),
                going: !object["metadata"]["deletionTimestamp"].is_null()
                    || matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed")),
            };
            self.pods.entry(namespace.to_owned()).or_default().insert(seen.pod.uid.clone(), seen);
        }
        self.begin().await;
        let empty = BTreeMap::new();
        let notes = self.roster.compare(namespace, self.pods.get(namespace).unwrap_or(&empty));
        let mut changed = false;
        for note in notes {
            changed |= self.take(note);
        }
        for object in &objects {
            changed |= self.peer(namespace, object).await;
            changed |= self.address(object);
        }
        if changed && let Err(error) = self.switch.adjust().await {
            let message = format!("a replaced pod could not be cut off as well: {error}");
            self.switch.cluster.tell(EventKind::Warning { message });
        }
    }

    /// Builds the roster of targets, once.
    async fn begin(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let mut targets: BTreeMap<PodRef, (usize, bool)> = BTreeMap::new();
        {
            let state = self.switch.state();
            for part in state.scheme.parts() {
                for pod in &part.targets {
                    if let Some(group) = state.scheme.group_of(&pod.namespace, &pod.name) {
                        targets.entry(pod.clone()).or_insert((group, false)).1 |= part.follow;
                    }
                }
            }
        }
        for (pod, (group, follow)) in targets {
            // Built at planning time: the owner of a target that is gone cannot be read.
            let object = self.switch.cluster.get(&pod_key(&pod)).await.ok().flatten();
            let owner = match &object {
                Some(object) => self.owners.top(&self.switch.cluster, object).await,
                None => None,
            };
            self.roster.expect(group, pod, owner, follow);
        }
    }

    /// Handles a change of a target. Returns true when labels must be updated.
    fn take(&self, note: Note) -> bool {
        let mut state = self.switch.state();
        let (group, message, changed) = match note {
            Note::Lost { group, pod } => {
                state.lost.insert(pod.uid.clone());
                for followers in state.followers.values_mut() {
                    followers.retain(|follower| follower.uid != pod.uid);
                }
                (group, format!("target pod {} (uid {}) is gone", pod.name, pod.uid), false)
            }
            Note::Replaced { group, pod, by, follow } => {
                let so = if follow {
                    state.followers.entry(group).or_default().push(by.clone());
                    "it is cut off as well (follow)"
                } else {
                    "it is not cut off, because `follow` is not set"
                };
                (group, format!("pod {} (uid {}) has replaced target {}: {so}", by.name, by.uid, pod.name), follow)
            }
        };
        let parts = state.scheme.parts_of(group).to_vec();
        let names: Vec<String> = parts.iter().map(|part| state.scheme.parts()[*part].name.clone()).collect();
        for part in parts {
            if state.standing.contains(&part) {
                state.notes.entry(part).or_default().push(message.clone());
            }
        }
        drop(state);
        self.switch.cluster.tell(EventKind::Cluster { message: format!("fault {}: {message}", names.join(", ")) });
        changed
    }

    /// Handles a new peer. Returns true when labels must be updated.
    async fn peer(&self, namespace: &str, object: &Value) -> bool {
        if !object["metadata"]["deletionTimestamp"].is_null() {
            return false;
        }
        let mut changed = false;
        for peer in self.marked.iter().filter(|peer| peer.namespace == namespace) {
            let pod = pod_ref(object);
            let mark = Mark { object: pod_key(&pod), label: peer.label.0.clone(), value: peer.label.1.clone() };
            {
                let state = self.switch.state();
                let known = state.scheme.parts()[peer.part].peer_marks.contains(&mark)
                    || state.peer_marks.get(&peer.part).is_some_and(|marks| marks.contains(&mark));
                if known {
                    continue;
                }
            }
            if self.switch.cluster.is_selected(object, &peer.selector, namespace).await.unwrap_or(false) {
                let mut state = self.switch.state();
                state.peer_marks.entry(peer.part).or_default().push(mark);
                let standing = state.standing.contains(&peer.part);
                let name = state.scheme.parts()[peer.part].name.clone();
                drop(state);
                let message = format!("fault {name}: pod {} is a new peer and is cut off as well", pod.name);
                self.switch.cluster.tell(EventKind::Cluster { message });
                changed |= standing;
            }
        }
        changed
    }

    /// Handles a peer's new address. Returns true when policies must be updated.
    fn address(&self, object: &Value) -> bool {
        let pod = ApiPod::deserialize(object).ok().and_then(Pod::from_kubernetes);
        pod.is_some_and(|pod| {
            let mut state = self.switch.state();
            state.scheme.see(&pod) && !state.standing.is_empty()
        })
    }

    async fn endpoints(&mut self, namespace: &str, change: Change) {
        let objects = match change {
            Change::Listed(objects) => objects,
            Change::Applied(object) => vec![object],
            Change::Deleted(_) | Change::Broken(_) => return,
        };
        let mut changed = false;
        for peer in self.listed.iter().filter(|peer| peer.namespace == namespace) {
            let Some(object) = objects.iter().find(|it| it["metadata"]["name"] == peer.service.as_str()) else {
                continue;
            };
            let Ok(endpoints) = core::Endpoints::deserialize(object) else { continue };
            let (addresses, ports) = endpoints_behind(&endpoints, &peer.ports);
            // Without any address, the last ones stay cut.
            if !addresses.is_empty() {
                let cidrs = addresses.into_iter().map(Cidr::host).collect();
                changed |= self.switch.set_peer(peer.part, peer.block, Peer::Addresses(cidrs), ports);
            }
        }
        if changed && let Err(error) = self.switch.adjust().await {
            let message = format!("a service's new addresses could not be cut off: {error}");
            self.switch.cluster.tell(EventKind::Warning { message });
        }
    }
}

/// The top owners of pods. A Deployment owns its pods through ReplicaSets, which it replaces.
#[derive(Default)]
pub struct Owners {
    known: BTreeMap<String, String>,
}

impl Owners {
    /// The UID of the top owner; `None` for a pod without an owner.
    pub async fn top(&mut self, cluster: &Cluster, pod: &Value) -> Option<String> {
        let (kind, name, uid) = controller(pod)?;
        if kind != "ReplicaSet" {
            return Some(uid);
        }
        if let Some(top) = self.known.get(&uid) {
            return Some(top.clone());
        }
        let key = ObjectKey {
            kind: Kind::ReplicaSet,
            namespace: pod["metadata"]["namespace"].as_str().unwrap_or_default().to_owned(),
            name,
            uid: Some(uid.clone()),
        };
        // If the owner may not be read or is gone, the ReplicaSet itself is used.
        let set = cluster.get(&key).await.ok().flatten();
        let top = set.as_ref().and_then(controller).map_or_else(|| uid.clone(), |(_, _, top)| top);
        self.known.insert(uid, top.clone());
        Some(top)
    }
}

fn controller(object: &Value) -> Option<(String, String, String)> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    let owner = owners.iter().find(|owner| owner["controller"] == true)?;
    let text = |key: &str| owner[key].as_str().map(str::to_owned);
    Some((text("kind")?, text("name")?, text("uid")?))
}
