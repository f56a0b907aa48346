//! The sandbox's only node: it accepts pods, assigns them addresses, and runs their programs as tasks.
//!
//! In scope: scheduling, starting and ending pods (`life`). Out of scope: creating and deleting pods (`controllers`).

mod container;
mod ground;
mod life;
mod probe;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use self::ground::{ADDRESS, Ground, NODE};
use super::controllers::events;
use super::net::{Links, Resolve};
use super::object;
use super::registry::{Registry, WriteOptions};
use super::resource::{NODES, PODS};
use super::store::Key;

/// The scheduler of the pods that the node accepts.
const SCHEDULER: &str = "default-scheduler";

/// A pod on this node.
struct Living {
    stop: CancellationToken,
    life: AbortHandle,
    /// The desired images of its containers: the only part of a running pod that may change.
    images: watch::Sender<Vec<String>>,
}

/// The node and its pods, by uid.
pub(crate) struct Node {
    ground: Ground,
    pods: BTreeMap<String, Living>,
    lives: JoinSet<()>,
}

impl Node {
    /// A node without pods.
    pub fn new(registry: Arc<Registry>, links: Links, dns: Arc<dyn Resolve>) -> Self {
        Self { ground: Ground { registry, links, dns }, pods: BTreeMap::new(), lives: JoinSet::new() }
    }

    /// The node as an object.
    pub fn register(registry: &Registry) -> Result<(), super::error::ApiError> {
        let labels = json!({"kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux"});
        let range = registry.addresses.pod_range();
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": labels},
            "spec": {"podCIDR": range, "podCIDRs": [range]}});
        let node = registry.create(&NODES, "", node, WriteOptions::default())?.object;
        let now = registry.store.clock.stamp();
        let processors = std::thread::available_parallelism().map_or(1, usize::from).to_string();
        let capacity = json!({"cpu": processors, "memory": "8Gi", "pods": "110"});
        registry.modify(&Key::new(&NODES, "", NODE), object::uid(&node), |node| {
            node["status"] = json!({
                "addresses": [{"type": "InternalIP", "address": ADDRESS}, {"type": "Hostname", "address": NODE}],
                "conditions": [{"type": "Ready", "status": "True", "reason": "SandboxReady",
                    "message": "the sandbox runs", "lastTransitionTime": now, "lastHeartbeatTime": now}],
                "nodeInfo": {"kubeletVersion": "v1.33.0+shakedown-sandbox", "kubeProxyVersion": "", "machineID": "",
                    "systemUUID": "", "bootID": "", "kernelVersion": "", "osImage": "", "operatingSystem": "linux",
                    "containerRuntimeVersion": "tasks://1", "architecture": std::env::consts::ARCH},
                "capacity": capacity, "allocatable": capacity,
            });
        });
        Ok(())
    }

    /// Starts new pods, and ends pods that are deleted or gone.
    pub fn reconcile(&mut self) -> Option<Duration> {
        while self.lives.try_join_next().is_some() {}
        let pods = self.ground.registry.store.list(&PODS, "");
        let registry = &self.ground.registry;
        self.pods.retain(|uid, Living { stop, life, images }| {
            let Some(pod) = pods.iter().find(|pod| object::uid(pod) == uid) else {
                // Removed without grace. Its programs still get SIGTERM and a moment, as from a real kubelet.
                stop.cancel();
                if life.is_finished() {
                    registry.logs.forget(uid);
                }
                return !life.is_finished();
            };
            if object::is_terminating(pod) {
                if life.is_finished() {
                    registry.finish_deletion(&Key::of(&PODS, pod), uid);
                    registry.logs.forget(uid);
                    return false;
                }
                stop.cancel();
            }
            let wanted = images_of(pod);
            images.send_if_modified(|known| {
                let changed = *known != wanted;
                *known = wanted;
                changed
            });
            true
        });
        for pod in &pods {
            let is_new = !self.pods.contains_key(object::uid(pod));
            let on_this_node = object::text(pod, "/spec/nodeName") == NODE;
            if object::is_terminating(pod) {
                if is_new && on_this_node {
                    registry.finish_deletion(&Key::of(&PODS, pod), object::uid(pod));
                }
            } else if on_this_node && is_new && object::text(pod, "/status/phase") == "Pending" {
                let stop = CancellationToken::new();
                let (images, wanted) = watch::channel(images_of(pod));
                let life = self.lives.spawn(life::live(self.ground.clone(), pod.clone(), wanted, stop.clone()));
                self.pods.insert(object::uid(pod).to_string(), Living { stop, life, images });
            } else if object::text(pod, "/spec/nodeName").is_empty() {
                schedule(registry, pod);
            }
        }
        None
    }
}

fn images_of(pod: &Value) -> Vec<String> {
    object::list(pod, "/spec/containers").iter().map(|c| object::text(c, "/image").to_owned()).collect()
}

/// Assigns a pod to the node, if it uses this scheduler. Pods of another scheduler wait without an event.
fn schedule(registry: &Registry, pod: &Value) {
    if object::text(pod, "/spec/schedulerName") != SCHEDULER || !object::list(pod, "/spec/schedulingGates").is_empty() {
        return;
    }
    let now = registry.store.clock.stamp();
    let misfit = pod["spec"]["nodeSelector"].as_object().is_some_and(|wanted| {
        let node = registry.store.get(&NODES, "", NODE);
        let labels = node.as_ref().and_then(|n| object::labels(n));
        wanted.iter().any(|(key, value)| labels.and_then(|l| l.get(key)) != Some(value))
    });
    let key = Key::of(&PODS, pod);
    if misfit {
        let message = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.";
        if object::condition(pod, "PodScheduled").is_none() {
            events::emit(registry, pod, SCHEDULER, true, "FailedScheduling", message);
            registry.modify(&key, object::uid(pod), |pod| {
                status::set_condition(pod, "PodScheduled", false, Some(("Unschedulable", message)), &now);
            });
        }
        return;
    }
    registry.modify(&key, object::uid(pod), |pod| {
        pod["spec"]["nodeName"] = NODE.into();
        status::set_condition(pod, "PodScheduled", true, None, &now);
    });
    let message = format!("Successfully assigned {}/{} to {NODE}", object::namespace(pod), object::name(pod));
    events::emit(registry, pod, SCHEDULER, false, "Scheduled", &message);
}

/// Runs the node until dropped.
pub(crate) async fn run(registry: Arc<Registry>, links: Links, dns: Arc<dyn Resolve>) {
    let mut node = Node::new(registry.clone(), links, dns);
    super::controllers::run(registry, move |_| node.reconcile()).await;
}
