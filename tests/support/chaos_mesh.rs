//! Chaos Mesh on an API server that has none: the sandbox's model of it, which is compared with the recordings of a real one,
//! acts on the objects of that server. It selects, injects and recovers in the books alone, with its failures.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use futures::future::join_all;
use futures::{FutureExt, Stream, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use shakedown_cluster::{Change, ConnectOptions, Kind, connect};
use shakedown_sandbox::{ChaosMesh as Model, Request};

use crate::campaign::server::Server;

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    Well,
    /// The daemons fail on the second worker.
    OneOfTwo,
    /// The first injections fail, and then it works.
    FailsThenHeals,
    /// It injects, and then the daemons find no container any more.
    Sticks,
    /// It selects a pod that the fault does not name.
    AnotherPod,
    /// It finds no pod.
    SelectsNothing,
    /// It changes the images of a pod that is to fail, and its containers never end.
    KeepsRunning,
    /// The nodes lack this, or the cluster: what takes it is never injected, and does not go while its pod is there.
    Lacks(&'static str),
}

/// What a node lacks whose degradations fail.
const NETEM: &str = "sch_netem";
/// How many failures there are before it heals.
const FAILURES: usize = 3;
/// The watch of pods may be behind that of the faults on them.
const BEHIND: Duration = Duration::from_millis(20);
/// How often it looks whether it is to end.
const TICK: Duration = Duration::from_millis(100);

const MERGE: &str = "application/merge-patch+json";

/// The kinds that it sees.
fn kinds() -> impl Iterator<Item = Kind> {
    Kind::CHAOS.into_iter().chain([Kind::PodNetworkChaos, Kind::Pod])
}

/// The controller, for one namespace; it ends with this value.
pub struct ChaosMesh {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ChaosMesh {
    /// Begins to act on what is in a namespace.
    pub fn play(kubeconfig: &Path, namespace: &str, manner: Manner) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, namespace, path) = (stop.clone(), namespace.to_owned(), kubeconfig.to_owned());
        let options = ConnectOptions { kubeconfig: Some(path.clone()), ..ConnectOptions::default() };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                _ = rustls::crypto::ring::default_provider().install_default();
                let cluster = connect(&options).await.expect("an API server");
                let watch = |kind: Kind| cluster.watch(kind, &namespace).map(move |change| (kind, change)).boxed();
                let changes = futures::stream::select_all(kinds().map(watch));
                let model = Model::new().expect("a model");
                let server = Server::of("an API server", &path);
                let (pods, versions, ended_by, is_removed, is_healed) = Default::default();
                let player = Player { model, server, manner, pods, versions, ended_by, is_removed, is_healed };
                player.run(changes, &ended).await;
            });
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for ChaosMesh {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

struct Player {
    model: Model,
    server: Server,
    manner: Manner,
    /// The pods of the namespace, by name.
    pods: BTreeMap<String, Value>,
    /// The latest version of each object that was seen, by UID.
    versions: BTreeMap<String, u64>,
    /// The pods and containers that have ended because of a resource, as `resource namespace/pod`.
    ended_by: BTreeSet<String>,
    /// A removal was asked for.
    is_removed: bool,
    /// There were failures enough.
    is_healed: bool,
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

impl Player {
    /// Acts on what changes, and again when the model asks for it.
    async fn run(mut self, mut changes: impl Stream<Item = (Kind, Change)> + Unpin, ended: &AtomicBool) {
        let mut unlisted: BTreeSet<Kind> = kinds().collect();
        let mut due = Duration::ZERO;
        while !ended.load(Ordering::Relaxed) {
            if let Ok(first) = tokio::time::timeout(due.min(TICK), changes.next()).await {
                tokio::time::sleep(BEHIND).await;
                let mut next = first;
                while let Some((kind, change)) = next {
                    if matches!(change, Change::Listed(_)) {
                        unlisted.remove(&kind);
                    }
                    self.changed(kind, change);
                    next = changes.next().now_or_never().flatten();
                }
            }
            // A pass without the pods would select none, once and for all.
            if unlisted.is_empty() {
                let (requests, next) = self.model.pass();
                due = if requests.is_empty() { next.unwrap_or(TICK) } else { Duration::ZERO };
                self.carry_out(requests).await;
            }
        }
    }

    fn changed(&mut self, kind: Kind, change: Change) {
        let whole = |mut object: Value| {
            // The items of a list do not say what they are.
            object["apiVersion"] = kind.api_version().into();
            object["kind"] = kind.name().into();
            object
        };
        match change {
            Change::Listed(objects) => {
                let uids = objects.iter().map(|object| text(object, "/metadata/uid").to_owned()).collect();
                // One that was made after the list is seen again.
                for uid in self.model.forget_others(kind.name(), &uids) {
                    self.versions.remove(&uid);
                    self.pods.retain(|_, pod| text(pod, "/metadata/uid") != uid);
                }
                objects.into_iter().for_each(|object| self.see(whole(object)));
            }
            Change::Applied(object) => self.see(whole(object)),
            Change::Deleted(object) => self.forget(&whole(object)),
            Change::Broken { .. } => {}
        }
    }

    /// Lets the model see an object, unless it has seen a later version of it.
    fn see(&mut self, object: Value) {
        let version: u64 = text(&object, "/metadata/resourceVersion").parse().unwrap_or_default();
        let known = self.versions.entry(text(&object, "/metadata/uid").to_owned()).or_default();
        if version <= *known {
            return;
        }
        *known = version;
        let is_going = !object["metadata"]["deletionTimestamp"].is_null();
        if object["kind"] == "Pod" {
            self.pods.insert(text(&object, "/metadata/name").to_owned(), object);
            self.show_pods();
        } else if is_going && object["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty) {
            self.forget(&object);
        } else {
            self.model.see(&object, "");
            if is_going && !std::mem::replace(&mut self.is_removed, true) {
                self.show_pods();
            }
        }
    }

    fn forget(&mut self, object: &Value) {
        self.versions.insert(text(object, "/metadata/uid").to_owned(), u64::MAX);
        if object["kind"] == "Pod" {
            self.pods.remove(text(object, "/metadata/name"));
        }
        self.model.forget(object);
    }

    /// Shows the pods to the model, with what their nodes lack now.
    fn show_pods(&self) {
        let last = self.pods.keys().rfind(|name| name.contains("worker"));
        for (name, pod) in &self.pods {
            let lacks = match self.manner {
                Manner::SelectsNothing => continue,
                Manner::Lacks(what) => what,
                Manner::OneOfTwo if Some(name) == last => NETEM,
                Manner::FailsThenHeals if !self.is_healed => NETEM,
                Manner::Sticks if self.is_removed => "containers",
                _ => "",
            };
            self.model.see(pod, lacks);
        }
    }

    /// Sends requests: those about one object in their order, different objects at the same time.
    async fn carry_out(&mut self, requests: Vec<Request>) {
        let mut about: BTreeMap<String, (u64, Vec<Request>)> = BTreeMap::new();
        for mut request in requests {
            let records = request.body.pointer_mut("/status/experiment/containerRecords").and_then(Value::as_array_mut);
            if let (Manner::AnotherPod, Some(records)) = (self.manner, records) {
                let mut other = records[0].clone();
                let id = text(&other, "/id").split('/').next().unwrap_or_default().to_owned() + "/somebody-else";
                (other["id"], other["phase"]) = (id.into(), "Not Injected".into());
                records.push(other);
            }
            let version = self.versions.get(&request.uid).copied().unwrap_or_default();
            about.entry(request.object.clone()).or_insert((version, Vec::new())).1.push(request);
        }
        let server = &self.server;
        let sent = about.into_iter().map(|(path, (version, requests))| send(server, path, version, requests));
        for (object, is_sent) in join_all(sent).await.into_iter().flatten() {
            if object["kind"] == "Event" {
                continue;
            }
            if !is_sent {
                // The model believes what the server did not take.
                self.versions.remove(text(&object, "/metadata/uid"));
            }
            self.kubelet(&object).await;
            let records = object["status"]["experiment"]["containerRecords"].as_array();
            let has_failed = |record: &Value| {
                let events = record["events"].as_array().into_iter().flatten();
                events.filter(|event| event["type"] == "Failed").count() >= FAILURES
            };
            let is_healed = records.is_some_and(|records| records.iter().any(has_failed));
            self.see(object);
            if is_healed && !std::mem::replace(&mut self.is_healed, true) {
                self.show_pods();
            }
        }
    }

    /// The kubelet's part, which comes after all of Chaos Mesh's.
    async fn kubelet(&mut self, object: &Value) {
        let action = text(object, "/spec/action");
        if object["kind"] != "PodChaos" || self.manner == Manner::KeepsRunning {
            return;
        }
        let records = object["status"]["experiment"]["containerRecords"].as_array();
        for record in records.into_iter().flatten() {
            let id = text(record, "/id");
            let ended = format!("{} {id}", text(object, "/metadata/name"));
            match (action, text(record, "/phase")) {
                ("pod-failure", "Injected") if self.ended_by.insert(ended.clone()) => self.ready(id, false).await,
                ("pod-failure", "Not Injected") if self.ended_by.remove(&ended) => self.ready(id, true).await,
                ("container-kill", "Injected") if self.ended_by.insert(ended.clone()) => self.started_again(id).await,
                _ => {}
            }
        }
    }

    /// Makes the server believe that a pod is ready, or not. There is no kubelet that would know better.
    async fn ready(&self, pod: &str, ready: bool) {
        let status = if ready { "True" } else { "False" };
        self.write_pod(pod, json!({"conditions": [{"type": "Ready", "status": status}]})).await;
    }

    /// Makes the server believe that a container (`namespace/pod/container`) was started once more.
    async fn started_again(&self, id: &str) {
        let (pod, container) = id.rsplit_once('/').unwrap_or((id, ""));
        let state = json!({"name": container, "restartCount": 1, "image": "", "imageID": "", "ready": true});
        self.write_pod(pod, json!({"containerStatuses": [state]})).await;
    }

    async fn write_pod(&self, pod: &str, status: Value) {
        let (namespace, name) = pod.split_once('/').unwrap_or(("", pod));
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/status");
        _ = self.server.try_ask(Method::PATCH, &path, Some((MERGE, json!({"status": status})))).await;
    }
}

/// Sends the requests about one object, whose version is known. Returns it as it is then, and whether all were taken; none
/// where it is gone or the server does not answer.
async fn send(server: &Server, path: String, mut version: u64, requests: Vec<Request>) -> Option<(Value, bool)> {
    let mut last = None;
    for Request { creates, path: to, content_type, mut body, .. } in requests {
        // As Chaos Mesh does, it gives way to other clients. The pods are written by more of them.
        if !creates && version > 0 && content_type == MERGE {
            body["metadata"]["resourceVersion"] = version.to_string().into();
        }
        let method = if creates { Method::POST } else { Method::PATCH };
        let (status, answer) = server.try_ask(method, &to, Some((content_type, body))).await.ok()?;
        if !status.is_success() {
            let (status, there) = server.try_ask(Method::GET, &path, None).await.ok()?;
            return status.is_success().then_some((there, false));
        }
        version = text(&answer, "/metadata/resourceVersion").parse().unwrap_or_default();
        last = Some((answer, true));
    }
    last
}
