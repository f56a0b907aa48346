//! A small controller that plays Chaos Mesh's side of its status contract on a real API server, with its failures: it
//! selects, injects and recovers in its books alone. The facts are those of Chaos Mesh's own controllers: finalizer first,
//! then the desired phase, then records, and conditions a step later.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use reqwest::Method;
use serde_json::{Value, json};
use shakedown_cluster::{Change, Cluster, ClusterError, ConnectOptions, Kind, ObjectKey, connect};
use tokio::time::Instant;

use crate::campaign::server::Server;

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    Well,
    /// It takes the resource, and every injection fails.
    NeverInjects,
    /// Only the first record is injected.
    OneOfTwo,
    /// The first injections fail, and then it works.
    FailsThenHeals,
    /// It injects, and never takes its finalizer off.
    Sticks,
    /// It selects a pod that the fault does not name.
    AnotherPod,
    /// It finds no pod.
    SelectsNothing,
    /// It changes the images of a pod that is to fail, and its containers never end.
    KeepsRunning,
    /// The node lacks this, or the cluster: what takes it is never injected, and does not go while its pod is there.
    Lacks(&'static str),
}

/// How often a failing injection is tried before it heals.
const FAILURES: usize = 3;
/// How often it looks what has not changed for a while, and what it takes for that.
const TICK: Duration = Duration::from_millis(100);
const AGAIN: Duration = Duration::from_millis(300);

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
                let server = Server::of("the test cluster", &path);
                let cluster = connect(&options).await.expect("the test cluster");
                let (failures, stopped, networks) = Default::default();
                let player = Player { cluster, server, namespace, manner, failures, stopped, networks };
                player.run(&ended).await;
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
    cluster: Cluster,
    /// The same, for what the runner's own client has no words for.
    server: Server,
    namespace: String,
    manner: Manner,
    failures: Mutex<BTreeMap<String, usize>>,
    /// The pods and containers that have ended because of a resource, as `resource namespace/pod`.
    stopped: Mutex<BTreeSet<String>>,
    /// Held while the record of a pod's network is read and written: several resources share it.
    networks: tokio::sync::Mutex<()>,
}

impl Player {
    /// Acts on what changes, and again on what has not changed for a while: what fails is tried anew. Resources do not wait
    /// for each other.
    async fn run(&self, ended: &AtomicBool) {
        let mut changes = futures::stream::select_all(
            Kind::CHAOS.map(|kind| self.cluster.watch(kind, &self.namespace).map(move |change| (kind, change)).boxed()),
        );
        // Each with when it was acted on last; none for never since it changed.
        let mut known: BTreeMap<String, (Kind, Value, Option<Instant>)> = BTreeMap::new();
        let (mut running, mut busy) = (FuturesUnordered::new(), BTreeSet::new());
        let mut tick = tokio::time::interval(TICK);
        while !ended.load(Ordering::Relaxed) {
            let uid = |object: &Value| object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
            tokio::select! {
                Some((kind, change)) = changes.next() => match change {
                    Change::Listed(objects) => {
                        known.extend(objects.into_iter().map(|object| (uid(&object), (kind, object, None))));
                    }
                    Change::Applied(object) => _ = known.insert(uid(&object), (kind, object, None)),
                    Change::Deleted(object) => _ = known.remove(&uid(&object)),
                    Change::Broken { .. } => {}
                },
                Some(uid) = running.next() => {
                    busy.remove(&uid);
                }
                _ = tick.tick() => {}
            }
            for (uid, (kind, object, at)) in &mut known {
                if at.is_none_or(|at| at.elapsed() >= AGAIN) && busy.insert(uid.clone()) {
                    *at = Some(Instant::now());
                    let (kind, object, uid) = (*kind, object.clone(), uid.clone());
                    running.push(async move {
                        // A client may delete it at any moment, as with any controller.
                        _ = self.step(kind, &object).await;
                        uid
                    });
                }
            }
        }
    }

    /// One step of one resource.
    async fn step(&self, kind: Kind, object: &Value) -> Result<(), ClusterError> {
        let key = ObjectKey {
            kind,
            namespace: self.namespace.clone(),
            name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            uid: object["metadata"]["uid"].as_str().map(str::to_owned),
        };
        let going = !object["metadata"]["deletionTimestamp"].is_null();
        let experiment = &object["status"]["experiment"];
        if object["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty) {
            if going {
                return Ok(());
            }
            let first = json!({
                "metadata": {"finalizers": ["chaos-mesh/records"]},
                "status": {"experiment": {"desiredPhase": "Run"}},
            });
            return self.cluster.patch(&key, &first).await.map(|_| ());
        }
        let Some(records) = experiment["containerRecords"].as_array() else {
            if going {
                return self.cluster.patch(&key, &json!({"metadata": {"finalizers": null}})).await.map(|_| ());
            }
            return self.select(&key, object).await;
        };
        if going {
            return self.recover(&key, object, records).await;
        }
        self.inject(&key, object, records).await
    }

    async fn select(&self, key: &ObjectKey, object: &Value) -> Result<(), ClusterError> {
        let mut records = Vec::new();
        let ends = [(".", &object["spec"]["selector"]), (".Target", &object["spec"]["target"]["selector"])];
        for (end, selector) in ends {
            for (namespace, names) in selector["pods"].as_object().into_iter().flatten() {
                for name in names.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    for id in self.ids(key.kind, object, namespace, name).await? {
                        records.push(record(&id, end, "Not Injected", None));
                    }
                }
            }
        }
        if records.is_empty() || self.manner == Manner::SelectsNothing {
            let event = json!({
                "apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": "Failed",
                "metadata": {"name": format!("{}.1", key.name), "namespace": key.namespace},
                "involvedObject": {"kind": key.kind.name(), "name": key.name, "namespace": key.namespace, "uid": key.uid},
                "message": "Failed to select targets: no pod is selected",
            });
            let conditions = json!({"status": {"conditions": conditions(false, false, true)}});
            self.cluster.patch(key, &conditions).await?;
            return match self.cluster.create(Kind::other("v1", "Event", "events"), &key.namespace, &event).await {
                Ok(_) | Err(ClusterError::Conflict { .. }) => Ok(()),
                Err(error) => Err(error),
            };
        }
        if self.manner == Manner::AnotherPod {
            records.push(record(&format!("{}/somebody-else", key.namespace), ".", "Not Injected", None));
        }
        self.write(key, "Run", &records, conditions(true, false, true)).await
    }

    /// What a record is called: kinds that act on containers name those as well. A pod that is not there has none.
    async fn ids(&self, kind: Kind, object: &Value, namespace: &str, name: &str) -> Result<Vec<String>, ClusterError> {
        let pod = ObjectKey { kind: Kind::Pod, namespace: namespace.into(), name: name.into(), uid: None };
        let Some(pod) = self.cluster.get(&pod).await? else { return Ok(Vec::new()) };
        let whole = matches!(kind, Kind::NetworkChaos | Kind::HttpChaos) || object["spec"]["action"] == "pod-failure";
        if whole {
            return Ok(vec![format!("{namespace}/{name}")]);
        }
        let first = pod["spec"]["containers"][0]["name"].clone();
        let named = object["spec"]["containerNames"].as_array().cloned().unwrap_or_else(|| vec![first]);
        Ok(named.iter().filter_map(Value::as_str).map(|it| format!("{namespace}/{name}/{it}")).collect())
    }

    async fn inject(&self, key: &ObjectKey, object: &Value, records: &[Value]) -> Result<(), ClusterError> {
        let done = |record: &Value| record["phase"] == "Injected";
        if records.iter().all(done) {
            // The kubelet's part, which comes after all of Chaos Mesh's.
            let action = object["spec"]["action"].as_str().filter(|_| self.manner != Manner::KeepsRunning);
            for id in records.iter().filter_map(|record| record["id"].as_str()) {
                let first = || self.stopped.lock().expect("no panic").insert(format!("{} {id}", key.name));
                match action {
                    Some("pod-failure") if first() => self.ready(id, false).await?,
                    Some("container-kill") if first() => self.started_again(id).await?,
                    _ => {}
                }
            }
            let told = conditions(true, true, false);
            return match object["status"]["conditions"] == told {
                true => Ok(()),
                false => self.write(key, "Run", records, told).await,
            };
        }
        let tries = {
            let mut failures = self.failures.lock().expect("no panic");
            let tries = failures.entry(key.name.clone()).or_default();
            *tries += 1;
            *tries
        };
        let fails = match self.manner {
            Manner::NeverInjects => true,
            Manner::Lacks(what) => lacking(what, key.kind, object, "").is_some(),
            Manner::FailsThenHeals => tries <= FAILURES,
            _ => false,
        };
        let mut next = Vec::new();
        for (number, it) in records.iter().enumerate() {
            let (id, end) = (it["id"].as_str().unwrap_or_default(), it["selectorKey"].as_str().unwrap_or("."));
            if fails || self.manner == Manner::OneOfTwo && number > 0 {
                let lacking = match self.manner {
                    Manner::Lacks(what) => lacking(what, key.kind, object, id),
                    _ => None,
                };
                let words = lacking.unwrap_or_else(|| format!("unable to set tcs for pod {id}"));
                next.push(record(id, end, "Not Injected/Wait", Some(("Apply", &words))));
                continue;
            }
            if key.kind == Kind::NetworkChaos {
                self.rules(id, key, true).await?;
            }
            next.push(record(id, end, "Injected", None));
        }
        self.write(key, "Run", &next, conditions(true, false, false)).await
    }

    async fn recover(&self, key: &ObjectKey, object: &Value, records: &[Value]) -> Result<(), ClusterError> {
        if self.manner == Manner::Sticks {
            let words = "rpc error: no running task found for the container";
            let stuck = |it: &Value| {
                let (id, end) = (it["id"].as_str().unwrap_or_default(), it["selectorKey"].as_str().unwrap_or("."));
                record(id, end, "Injected/Wait", Some(("Recover", words)))
            };
            let next: Vec<Value> = records.iter().map(stuck).collect();
            return match object["status"]["experiment"]["containerRecords"] == json!(next) {
                true => Ok(()),
                false => self.write(key, "Stop", &next, conditions(true, true, false)).await,
            };
        }
        if let Manner::Lacks(what) = self.manner
            && lacking(what, key.kind, object, "").is_some()
        {
            for id in records.iter().filter_map(|record| record["id"].as_str()) {
                let mut parts = id.split('/').map(str::to_owned);
                let (namespace, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                let pod = ObjectKey { kind: Kind::Pod, namespace, name, uid: None };
                if self.cluster.get(&pod).await?.is_some() {
                    return Ok(());
                }
            }
            return self.cluster.patch(key, &json!({"metadata": {"finalizers": null}})).await.map(|_| ());
        }
        if records.iter().any(|record| record["phase"] != "Not Injected")
            || object["status"]["experiment"]["desiredPhase"] != "Stop"
        {
            let mut next = Vec::new();
            for it in records {
                let (id, end) = (it["id"].as_str().unwrap_or_default(), it["selectorKey"].as_str().unwrap_or("."));
                if key.kind == Kind::NetworkChaos {
                    self.rules(id, key, false).await?;
                }
                let failed = object["spec"]["action"] == "pod-failure";
                if failed && self.stopped.lock().expect("no panic").remove(&format!("{} {id}", key.name)) {
                    self.ready(id, true).await?;
                }
                next.push(record(id, end, "Not Injected", None));
            }
            return self.write(key, "Stop", &next, conditions(true, false, true)).await;
        }
        self.cluster.patch(key, &json!({"metadata": {"finalizers": null}})).await.map(|_| ())
    }

    async fn write(&self, key: &ObjectKey, phase: &str, records: &[Value], told: Value) -> Result<(), ClusterError> {
        let status = json!({"conditions": told, "experiment": {"desiredPhase": phase, "containerRecords": records}});
        self.cluster.patch(key, &json!({"status": status})).await.map(|_| ())
    }

    /// Makes the server believe that a pod is ready, or not. There is no kubelet that would know better.
    async fn ready(&self, pod: &str, ready: bool) -> Result<(), ClusterError> {
        let status = if ready { "True" } else { "False" };
        self.write_pod(pod, json!({"conditions": [{"type": "Ready", "status": status}]})).await
    }

    /// Makes the server believe that a container (`namespace/pod/container`) was started once more.
    async fn started_again(&self, id: &str) -> Result<(), ClusterError> {
        let (pod, container) = id.rsplit_once('/').unwrap_or((id, ""));
        let state = json!({"name": container, "restartCount": 1, "image": "", "imageID": "", "ready": true});
        self.write_pod(pod, json!({"containerStatuses": [state]})).await
    }

    async fn write_pod(&self, pod: &str, status: Value) -> Result<(), ClusterError> {
        let (namespace, name) = pod.split_once('/').unwrap_or(("", pod));
        let key = ObjectKey { kind: Kind::Pod, namespace: namespace.into(), name: name.into(), uid: None };
        if self.cluster.get(&key).await?.is_some() {
            let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/status");
            let body = json!({"status": status});
            self.server.ask(Method::PATCH, &path, Some(("application/merge-patch+json", body))).await;
        }
        Ok(())
    }

    /// Puts a resource among the sources of a pod's rules, or takes it out.
    async fn rules(&self, pod: &str, source: &ObjectKey, there: bool) -> Result<(), ClusterError> {
        let _gate = self.networks.lock().await;
        let (namespace, name) = pod.split_once('/').unwrap_or(("", pod));
        let source = format!("{}/{}", source.namespace, source.name);
        let key = ObjectKey { kind: Kind::PodNetworkChaos, namespace: namespace.into(), name: name.into(), uid: None };
        let rule = json!({"type": "netem", "device": "eth0", "source": source});
        let Some(network) = self.cluster.get(&key).await? else {
            let rules = if there { vec![rule] } else { Vec::new() };
            let made = json!({
                "apiVersion": "chaos-mesh.org/v1alpha1", "kind": "PodNetworkChaos",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"tcs": rules},
                "status": {"observedGeneration": 1},
            });
            return self.cluster.create(key.kind, namespace, &made).await.map(|_| ());
        };
        let mut rules = network["spec"]["tcs"].as_array().cloned().unwrap_or_default();
        let before = rules.len();
        rules.retain(|rule| rule["source"] != source.as_str());
        let had = rules.len() < before;
        if had == there {
            return Ok(());
        }
        if there {
            rules.push(rule);
        }
        // Without a status subresource, this very write counts as the next generation.
        let generation = network["metadata"]["generation"].as_i64().unwrap_or_default() + 1;
        let seen = json!({"spec": {"tcs": rules}, "status": {"observedGeneration": generation, "failedMessage": ""}});
        self.cluster.patch(&key, &seen).await.map(|_| ())
    }
}

/// Why a resource cannot be injected into a pod where something is missing, in the words of the real one; none where it can.
fn lacking(what: &str, kind: Kind, object: &Value, id: &str) -> Option<String> {
    let name = id.rsplit('/').next().unwrap_or_default();
    let failed = |step: &str| Some(format!("failed to apply for pod {id}: unable to set {step} for pod {name}"));
    match (what, kind, object["spec"]["action"].as_str()) {
        ("sch_netem", Kind::NetworkChaos, Some("netem")) => failed("tcs"),
        ("iptables", Kind::NetworkChaos, Some("partition")) => failed("iptables"),
        ("discovery.k8s.io/v1", ..) => {
            Some("no matches for kind \"EndpointSlice\" in version \"discovery.k8s.io/v1\"".to_owned())
        }
        _ => None,
    }
}

fn conditions(selected: bool, injected: bool, recovered: bool) -> Value {
    let word = |holds: bool| if holds { "True" } else { "False" };
    json!([
        {"type": "Selected", "status": word(selected)},
        {"type": "AllInjected", "status": word(injected)},
        {"type": "AllRecovered", "status": word(recovered)},
        {"type": "Paused", "status": "False"},
    ])
}

fn record(id: &str, end: &str, phase: &str, failed: Option<(&str, &str)>) -> Value {
    let events: Vec<Value> = failed
        .into_iter()
        .map(|(operation, message)| {
            json!({"type": "Failed", "operation": operation, "message": message, "timestamp": "2026-01-31T12:00:00Z"})
        })
        .collect();
    json!({"id": id, "selectorKey": end, "phase": phase, "injectedCount": 0, "recoveredCount": 0, "events": events})
}
