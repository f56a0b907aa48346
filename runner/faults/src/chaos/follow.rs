//! Replaced targets while a fault acts. Chaos Mesh acts only on the pods that it selected first. This task watches for
//! replacements, reports them and, with `follow`, injects the fault for them as well.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use serde_json::Value;
use shakedown_schemas::EventKind;
use shakedown_schemas::result::PodRef;
use tokio_util::task::AbortOnDropHandle;

use super::spec::{Inside, pod_id};
use super::{Inner, pod_key};
use crate::FaultError;
use crate::partition::{Note, Owners, Roster, RosterPod};
use shakedown_cluster::{Change, ClusterError, Kind, pod_ref};

/// The task that watches the targets, until this is dropped.
pub(super) fn watch(inner: Arc<Inner>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let namespace = inner.naming.namespace.clone();
        let mut changes = inner.cluster.watch(Kind::Pod, &namespace).boxed();
        let mut follower = Follower::new(inner).await;
        let mut complained = false;
        while let Some(change) = changes.next().await {
            if let Change::Broken(error) = change {
                if !std::mem::replace(&mut complained, true) {
                    let text = format!("the watch of pods failed, so replacements are noticed late: {error}");
                    follower.inner.cluster.tell(EventKind::Warning { message: text });
                }
                if matches!(error, ClusterError::Forbidden { .. }) {
                    return;
                }
            } else {
                complained = false;
                follower.take(&namespace, change).await;
            }
        }
    }))
}

struct Follower {
    inner: Arc<Inner>,
    owners: Owners,
    pods: BTreeMap<String, RosterPod>,
    roster: Roster,
    /// Replacements that do not run yet.
    coming: Vec<PodRef>,
}

impl Follower {
    async fn new(inner: Arc<Inner>) -> Self {
        let (mut owners, mut roster) = (Owners::default(), Roster::default());
        let targets: Vec<PodRef> = inner.state().targets.iter().map(|target| target.pod.clone()).collect();
        for pod in targets {
            let object = inner.cluster.get(&pod_key(&pod)).await.ok().flatten();
            let owner = match &object {
                Some(object) => owners.top(&inner.cluster, object).await,
                None => None,
            };
            roster.expect(0, pod, owner, inner.follow);
        }
        Self { inner, owners, pods: BTreeMap::new(), roster, coming: Vec::new() }
    }

    async fn take(&mut self, namespace: &str, change: Change) {
        let objects: Vec<Value> = match change {
            Change::Listed(objects) => {
                self.pods.clear();
                objects
            }
            Change::Applied(object) => vec![object],
            Change::Deleted(object) => {
                self.pods.remove(object["metadata"]["uid"].as_str().unwrap_or_default());
                Vec::new()
            }
            Change::Broken(_) => return,
        };
        for object in &objects {
            let seen = RosterPod {
                pod: pod_ref(object),
                owner: self.owners.top(&self.inner.cluster, object).await,
                created: object["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned(),
                going: !object["metadata"]["deletionTimestamp"].is_null()
                    || matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed")),
            };
            self.pods.insert(seen.pod.uid.clone(), seen);
        }
        for note in self.roster.compare(namespace, &self.pods) {
            self.note(note);
        }
        for object in &objects {
            self.up(object).await;
        }
    }

    fn note(&mut self, note: Note) {
        let message = match note {
            Note::Lost { pod, .. } => {
                self.inner.state().targets.retain(|target| target.pod.uid != pod.uid);
                self.coming.retain(|coming| coming.uid != pod.uid);
                format!("target pod {} (uid {}) is gone", pod.name, pod.uid)
            }
            Note::Replaced { pod, by, follow, .. } => {
                let so = if follow {
                    self.coming.push(by.clone());
                    "it is acted on as well (follow)"
                } else {
                    "it is not acted on, because `follow` is not set"
                };
                format!("pod {} (uid {}) has replaced target {}: {so}", by.name, by.uid, pod.name)
            }
        };
        let mut state = self.inner.state();
        if state.standing {
            state.notes.push(message.clone());
        }
        drop(state);
        let fault = &self.inner.naming.fault;
        self.inner.cluster.tell(EventKind::Cluster { message: format!("fault {fault}: {message}") });
    }

    /// Injects the fault for a replacement once it runs. Chaos Mesh would also select one that does not run, and wait for it.
    async fn up(&mut self, object: &Value) {
        let pod = pod_ref(object);
        let Some(place) = self.coming.iter().position(|coming| coming.uid == pod.uid) else { return };
        if object["status"]["phase"] != "Running" || pod.ip.is_none() {
            return;
        }
        self.coming.remove(place);
        let target = Inside { containers: container_names(object), pod };
        if let Err(error) = self.inner.again(target.clone()).await {
            let message = format!(
                "fault {}: pod {} could not be acted on: {error}",
                self.inner.naming.fault,
                pod_id(&target.pod)
            );
            self.inner.state().notes.push(message.clone());
            self.inner.cluster.tell(EventKind::Warning { message });
        }
    }
}

/// The names of a pod's containers, in their order.
pub fn container_names(pod: &Value) -> Vec<String> {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    containers.filter_map(|container| container["name"].as_str().map(str::to_owned)).collect()
}

impl Inner {
    /// Injects the fault for a replacement of a target.
    async fn again(&self, target: Inside) -> Result<(), FaultError> {
        let _gate = self.gate.lock().await;
        let (targets, old) = {
            let mut state = self.state();
            state.targets.push(target.clone());
            if !state.standing {
                return Ok(());
            }
            state.round += 1;
            let old: Vec<usize> = (0..state.made.len()).filter(|place| !state.made[*place].going).collect();
            // Resources for links override each other on common peers, so one resource for all targets replaces them.
            let filtered = old.iter().any(|place| state.made[*place].resource.filtered);
            if filtered { (state.targets.clone(), old) } else { (vec![target], Vec::new()) }
        };
        self.create(&targets).await?;
        for place in old {
            if let Err(error) = self.remove(place).await {
                // The new resource acts already; the undo retries this removal.
                let message = format!("fault {}: {error}", self.naming.fault);
                self.cluster.tell(EventKind::Warning { message });
            }
        }
        Ok(())
    }
}
