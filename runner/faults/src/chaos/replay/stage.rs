//! A recording that is played to the driver, as the watch events of an API server that stores what they say.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use shakedown_cluster::testing::store::{Fate, Store};
use shakedown_cluster::{CHAOS_GROUP, Cluster, Kind, ObjectKey};
use shakedown_fakes::recordings::{self, Recorded};
use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::Fault;

use crate::chaos::spec::{Ends, Inside};
use crate::chaos::{ChaosFault, ChaosSpec, Limits, Naming, Recipe, Scope};

/// The time between two recorded events.
pub const STEP: Duration = Duration::from_millis(70);

/// Which recording is played, and the fault that it is of.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    /// The fault, as a scenario has it.
    pub fault: &'static str,
}

/// The kind with this name: one of Chaos Mesh, or of its children.
pub fn kind(name: &str) -> Kind {
    let all = Kind::CHAOS.into_iter().flat_map(|kind| [Some(kind), kind.child()]).flatten();
    all.chain([Kind::Event]).find(|kind| kind.name() == name).unwrap_or_else(|| panic!("{name} in a recording"))
}

/// The path of an object of a recording.
fn path(recorded: &Recorded) -> String {
    let namespace = recorded.object["metadata"]["namespace"].as_str().unwrap_or_default();
    Store::path(kind(&recorded.kind), namespace, &recorded.name)
}

pub fn is_chaos(recorded: &Recorded) -> bool {
    Kind::CHAOS.iter().any(|kind| kind.name() == recorded.kind)
}

/// The recorded events; those of HTTP faults are rebuilt from what Chaos Mesh said about their object.
pub fn events(case: Case) -> Vec<Recorded> {
    whole(recordings::read(case.name))
}

/// The same events, with the objects of which only the Events were recorded, and without the Events of earlier runs.
pub fn whole(mut recorded: Vec<Recorded>) -> Vec<Recorded> {
    let Some(first) = recorded.iter().position(is_chaos) else { return rebuilt(recorded) };
    let mut number = 0..;
    recorded.retain(|event| number.next().is_some_and(|number: usize| number >= first) || event.kind != "Event");
    recorded
}

/// The name of the pod and of the resource in the recordings of HTTP faults, which are of Events alone.
const HTTP_POD: &str = "backend-0-56d56b44b8-5vhfh";

/// An HTTPChaos, and the PodHttpChaos below it, as the Events describe them.
fn rebuilt(events: Vec<Recorded>) -> Vec<Recorded> {
    let text = |event: &Recorded, key: &str| event.object[key].as_str().unwrap_or_default().to_owned();
    let about = |event: &Recorded| event.object["involvedObject"].clone();
    let name = events.iter().rev().map(about).find(|about| about["kind"] == "HTTPChaos").expect("a resource");
    let name = name["name"].as_str().unwrap_or_default().to_owned();
    // A recording may begin with the Events of earlier runs.
    let is_other = |event: &Recorded| about(event)["kind"] == "HTTPChaos" && about(event)["name"] != name.as_str();
    let events: Vec<Recorded> = events.into_iter().filter(|event| !is_other(event)).collect();
    let id = format!("shop/{HTTP_POD}");
    let mut object = json!({
        "apiVersion": "chaos-mesh.org/v1alpha1", "kind": "HTTPChaos",
        "metadata": {"name": name, "namespace": "shop", "uid": "http", "generation": 1}, "status": {"experiment": {}},
    });
    let mut child = json!({
        "apiVersion": "chaos-mesh.org/v1alpha1", "kind": "PodHttpChaos",
        "metadata": {"name": HTTP_POD, "namespace": "shop", "uid": "child", "generation": 1},
        "spec": {"rules": [{"source": format!("shop/{name}")}]},
    });
    let mut record =
        json!({"id": id, "selectorKey": ".", "phase": "Not Injected/Wait", "injectedCount": 0, "recoveredCount": 0});
    let mut all =
        vec![Recorded { change: "ADDED".into(), kind: "HTTPChaos".into(), name: name.clone(), object: object.clone() }];
    for event in events {
        let (reason, message) = (text(&event, "reason"), text(&event, "message"));
        let about = event.object["involvedObject"]["kind"].clone();
        let mut was_written = about == "HTTPChaos";
        match (reason.as_str(), message.as_str()) {
            ("FinalizerInited", "Finalizer has been inited") => {
                object["metadata"]["finalizers"] = json!(["chaos-mesh/records"]);
            }
            ("Started", _) => object["status"]["experiment"]["desiredPhase"] = json!("Run"),
            ("Deleted", _) => {
                object["metadata"]["deletionTimestamp"] = json!("2026-11-28T20:51:30Z");
                object["status"]["experiment"]["desiredPhase"] = json!("Stop");
            }
            ("Applied", _) => {
                record["phase"] = json!("Injected");
                record["injectedCount"] = json!(1);
                child["status"] = json!({"observedGeneration": 1});
                all.push(Recorded {
                    change: "MODIFIED".into(),
                    kind: "PodHttpChaos".into(),
                    name: HTTP_POD.into(),
                    object: child.clone(),
                });
            }
            ("Failed", _) if about == "HTTPChaos" => {
                record["phase"] = json!("Injected/Wait");
                let words = message.trim_start_matches("Failed to recover chaos: ");
                record["events"] = json!([{"operation": "Recover", "type": "Failed", "message": words}]);
            }
            ("Updated", "Successfully update records of resource") => {
                if child["status"].is_null() {
                    all.push(Recorded {
                        change: "ADDED".into(),
                        kind: "PodHttpChaos".into(),
                        name: HTTP_POD.into(),
                        object: child.clone(),
                    });
                }
                if object["status"]["experiment"]["desiredPhase"] == "Stop" && record["phase"] == "Injected" {
                    record["phase"] = json!("Injected/Wait");
                }
                object["status"]["experiment"]["containerRecords"] = json!([record]);
            }
            _ => was_written = false,
        }
        all.push(event);
        if was_written {
            all.push(Recorded {
                change: "MODIFIED".into(),
                kind: "HTTPChaos".into(),
                name: name.clone(),
                object: object.clone(),
            });
            // The conditions follow one write later.
            let injected = if record["phase"] == "Injected" { "True" } else { "False" };
            let selected = if object["status"]["experiment"]["containerRecords"].is_null() { "False" } else { "True" };
            object["status"]["conditions"] = json!([
                {"type": "Selected", "status": selected}, {"type": "AllInjected", "status": injected},
                {"type": "AllRecovered", "status": "False"}, {"type": "Paused", "status": "False"},
            ]);
            all.push(Recorded {
                change: "MODIFIED".into(),
                kind: "HTTPChaos".into(),
                name: name.clone(),
                object: object.clone(),
            });
        }
    }
    all
}

/// An API server with the recorded pods, and the driver of the recorded fault.
pub struct Stage {
    pub store: Store,
    pub fault: ChaosFault,
}

/// The pods and containers of a recording, and the ends of its links. A pod is `namespace/name`.
struct Cast {
    targets: Vec<String>,
    containers: Vec<String>,
    peers: Vec<String>,
    addresses: Vec<String>,
    back: Vec<String>,
}

fn named(selector: &Value) -> Vec<String> {
    let namespaces = selector["pods"].as_object().into_iter().flatten();
    let of = |(namespace, names): (&String, &Value)| {
        texts(names).into_iter().map(move |name| format!("{namespace}/{name}")).collect::<Vec<_>>()
    };
    namespaces.flat_map(of).collect()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|it| it.as_str().map(str::to_owned)).collect()
}

impl Cast {
    fn of(events: &[Recorded]) -> Self {
        let firsts: Vec<&Recorded> = events.iter().filter(|event| is_chaos(event) && event.change == "ADDED").collect();
        let spec = &firsts[0].object["spec"];
        let mut targets = named(&spec["selector"]);
        if targets.is_empty() {
            targets.push(format!("shop/{HTTP_POD}"));
        }
        let records = events.iter().filter(|event| is_chaos(event)).flat_map(|event| {
            event.object["status"]["experiment"]["containerRecords"].as_array().into_iter().flatten()
        });
        let mut inside = records.filter_map(|record| record["id"].as_str()?.split('/').nth(2));
        let containers = vec![inside.next().unwrap_or("nginx").to_owned()];
        let back = firsts.iter().find(|event| event.name.ends_with("back") || event.name.contains("-back-"));
        Self {
            targets,
            containers,
            peers: named(&spec["target"]["selector"]),
            addresses: texts(&spec["externalTargets"]),
            back: back.map(|event| texts(&event.object["spec"]["externalTargets"])).unwrap_or_default(),
        }
    }
}

/// The names of the fault of a recorded resource: `shakedown-RUN-SERIAL-NUMBER-FAULT-ROLE`, where a run's id has three parts.
fn naming(recorded: &Recorded) -> Naming {
    let parts: Vec<&str> = recorded.name.trim_start_matches("shakedown-").splitn(6, '-').collect();
    let [day, time, random, serial, number, rest] = parts[..] else { panic!("the name {}", recorded.name) };
    let fault = rest.trim_end_matches("-rate").rsplit_once('-').map_or(rest, |(fault, _)| fault);
    Naming {
        run: format!("{day}-{time}-{random}"),
        serial: serial.parse().expect("a number"),
        number: number.parse().expect("a number"),
        fault: fault.to_owned(),
        namespace: recorded.object["metadata"]["namespace"].as_str().expect("a namespace").to_owned(),
        duration: Duration::from_secs(135),
    }
}

/// The name of the fault of a recording's first resource, as it is in the names of objects.
pub fn fault_name(events: &[Recorded]) -> Option<String> {
    events.iter().find(|event| is_chaos(event)).map(|first| naming(first).fault)
}

/// The same events without the resources of other faults.
pub fn of_first_fault(mut events: Vec<Recorded>) -> Vec<Recorded> {
    let own = |event: &Recorded| {
        let Naming { run, serial, number, .. } = naming(event);
        format!("shakedown-{run}-{serial}-{number}-")
    };
    let Some(ours) = events.iter().find(|event| is_chaos(event)).map(own) else { return events };
    events.retain(|event| !is_chaos(event) || event.name.starts_with(&ours));
    events
}

/// The driver's recipe for a fault of a scenario.
fn recipe(fault: &str, cast: &Cast, peers: Vec<PodRef>) -> Recipe {
    let fault: Fault = serde_saphyr::from_str(fault).unwrap_or_else(|error| panic!("{fault}: {error}"));
    let ends = Ends {
        pods: peers,
        addresses: cast.addresses.iter().cloned().collect(),
        back: cast.back.iter().cloned().collect(),
    };
    match fault.clone() {
        Fault::Netem(it) => {
            let direction = it.direction.unwrap_or_default();
            let ends = (!ends.pods.is_empty() || !ends.addresses.is_empty()).then_some(ends);
            Recipe::Netem { netem: Box::new(it), ends, direction }
        }
        Fault::Partition(it) => Recipe::Partition { ends, direction: it.direction },
        Fault::PodFailure(it) => Recipe::PodFailure(it),
        Fault::ContainerKill(it) => Recipe::ContainerKill(it),
        Fault::Stress(it) => Recipe::Stress(it),
        Fault::Http(it) => Recipe::Http(it),
        Fault::Time(it) => Recipe::Time(it),
        Fault::Dns(it) => Recipe::Dns(it),
        Fault::Io(it) => Recipe::Io(it),
        other => panic!("this driver does not act for {}", other.kind()),
    }
}

impl Stage {
    /// An API server before the recorded fault.
    pub fn new(case: Case, events: &[Recorded]) -> Self {
        Self::reached(case, events, |cluster, _| cluster)
    }

    /// The same, where the driver's connection is changed. The first pod is the target.
    pub fn reached(case: Case, events: &[Recorded], way: impl FnOnce(Cluster, &PodRef) -> Cluster) -> Self {
        let store = Store::default();
        store.serve_chaos();
        let cast = Cast::of(events);
        let containers = cast.containers.clone();
        let pod = |id: &String| -> PodRef {
            let (namespace, name) = id.split_once('/').expect("a namespace");
            let status =
                |name: &String| json!({"name": name, "ready": true, "restartCount": 0, "state": {"running": {}}});
            let statuses: Vec<Value> = containers.iter().map(status).collect();
            let named: Vec<Value> = containers.iter().map(|name| json!({"name": name})).collect();
            let status = json!({
                "phase": "Running", "podIP": "10.244.1.9", "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": statuses,
            });
            let made = store.put(
                Kind::Pod,
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
                    "spec": {"nodeName": "node-1", "containers": named}, "status": status}),
            );
            let uid = made["metadata"]["uid"].as_str().expect("a UID").to_owned();
            let (node, ip) = (Some("node-1".into()), Some("10.244.1.9".into()));
            PodRef { namespace: namespace.to_owned(), name: name.to_owned(), uid, node, ip }
        };
        let targets: Vec<PodRef> = cast.targets.iter().map(pod).collect();
        let peers: Vec<PodRef> = cast.peers.iter().map(pod).collect();
        let cluster = way(store.cluster(), &targets[0]);
        let first = events.iter().find(|event| is_chaos(event)).expect("a resource");
        let inside = |pod: PodRef| Inside { pod, containers: containers.clone() };
        let spec = ChaosSpec {
            naming: naming(first),
            targets: targets.into_iter().map(inside).collect(),
            recipe: recipe(case.fault, &cast, peers),
            follow: false,
            observe: true,
            limits: Limits::default(),
        };
        let stage = Self { fault: ChaosFault::new(cluster, spec), store };
        for event in events.iter().take_while(|event| !is_chaos(event)) {
            stage.player().show(event);
        }
        stage
    }

    pub fn player(&self) -> Player {
        Player { store: self.store.clone() }
    }

    pub fn cluster(&self) -> Cluster {
        self.store.cluster()
    }

    /// What a recording of the fault contains.
    pub fn scope(&self) -> Scope {
        let inner = &self.fault.inner;
        let mut scope = Scope::default();
        scope.fault(&ChaosSpec {
            naming: inner.naming.clone(),
            targets: inner.state().targets.clone(),
            recipe: inner.recipe.clone(),
            follow: inner.follow,
            observe: inner.observe,
            limits: inner.limits.clone(),
        });
        scope
    }

    /// The resources that the driver has made, with their UIDs.
    pub fn made(&self) -> Vec<ObjectKey> {
        self.fault.inner.state().made.iter().map(|made| made.key.clone()).collect()
    }
}

/// The side of the stream that sends.
#[derive(Clone)]
pub struct Player {
    store: Store,
}

impl Player {
    fn there(&self, recorded: &Recorded) -> Option<Value> {
        self.store.get(&path(recorded))
    }

    /// Lets the server know what was recorded. The driver's own object keeps the UID that the driver was told.
    pub fn show(&self, recorded: &Recorded) {
        let mut object = recorded.object.clone();
        let there = self.there(recorded);
        if is_chaos(recorded) {
            // An object that has gone does not come back.
            let Some(there) = there else { return };
            object["metadata"]["uid"] = there["metadata"]["uid"].clone();
            if there["metadata"]["deletionTimestamp"].is_string() {
                object["metadata"]["deletionTimestamp"] = there["metadata"]["deletionTimestamp"].clone();
            }
            object["metadata"]["labels"] = there["metadata"]["labels"].clone();
            if object["spec"].is_null() {
                object["spec"] = there["spec"].clone();
            }
            self.kubelet(&object);
        }
        if recorded.kind == "Event" {
            let about = &object["involvedObject"];
            let text = |field: &str| about[field].as_str().unwrap_or_default();
            let path = Store::path(kind(text("kind")), text("namespace"), text("name"));
            let uid = self.store.get(&path).map(|its| its["metadata"]["uid"].clone());
            object["involvedObject"]["uid"] = uid.unwrap_or_default();
        }
        match recorded.change.as_str() {
            "DELETED" => _ = self.store.remove(&path(recorded)),
            _ => self.store.set(kind(&recorded.kind), object),
        }
    }

    /// What the kubelet does to a pod once Chaos Mesh has changed its images or killed a container: not recorded.
    fn kubelet(&self, object: &Value) {
        let action = object["spec"]["action"].as_str().unwrap_or_default();
        for record in object["status"]["experiment"]["containerRecords"].as_array().into_iter().flatten() {
            let mut parts = record["id"].as_str().unwrap_or_default().split('/');
            let (namespace, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let injected = record["phase"] == "Injected";
            let path = Store::path(Kind::Pod, namespace, name);
            match action {
                "pod-failure" => self.store.change(&path, |pod| {
                    pod["status"]["containerStatuses"][0]["ready"] = json!(!injected);
                }),
                "container-kill" if injected => self.store.change(&path, |pod| {
                    pod["status"]["containerStatuses"][0]["restartCount"] = json!(1);
                }),
                _ => {}
            }
        }
    }

    fn is_being_removed(&self) -> bool {
        let of_chaos = |path: &String| path.contains(CHAOS_GROUP) && path.contains("/shakedown-");
        let mut left =
            self.store.all().into_iter().filter(of_chaos).filter_map(|path| self.store.get(&path)).peekable();
        left.peek().is_none() || left.any(|object| object["metadata"]["deletionTimestamp"].is_string())
    }

    /// Plays the events in time: those of the removal begin once the driver has asked for it. The connection is lost for
    /// a second at event `cut`.
    pub async fn play(self, events: Vec<Recorded>, turn: usize, cut: Option<usize>) {
        for (number, event) in events.iter().enumerate() {
            while number >= turn && !self.is_being_removed() {
                tokio::time::sleep(STEP).await;
            }
            if cut == Some(number) {
                self.lose().await;
            }
            tokio::time::sleep(STEP).await;
            self.show(event);
        }
    }

    /// The connection is lost, and comes back a second later.
    async fn lose(&self) {
        let back = tokio::time::Instant::now() + Duration::from_secs(1);
        self.store.script(move |_, _| match tokio::time::Instant::now() < back {
            true => Fate::Refused(503),
            false => Fate::Answered,
        });
        self.store.cut();
    }
}

/// Where the recorded removal begins.
pub fn turn(events: &[Recorded]) -> usize {
    let going = |event: &Recorded| is_chaos(event) && event.object["metadata"]["deletionTimestamp"].is_string();
    events.iter().position(going).unwrap_or(events.len())
}

/// The events of each kind in their order, and the kinds mixed at random.
pub fn mixed(events: &[Recorded], seed: u64) -> Vec<Recorded> {
    let mut kinds: BTreeMap<&str, VecDeque<&Recorded>> = BTreeMap::new();
    for event in events {
        kinds.entry(&event.kind).or_default().push_back(event);
    }
    let (mut all, mut state) = (Vec::new(), seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    while !kinds.is_empty() {
        // An xorshift: its quality does not matter here, its repetition does.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let left: Vec<&str> = kinds.keys().copied().collect();
        let chosen = left[usize::try_from(state % left.len() as u64).expect("a small number")];
        let queue = kinds.get_mut(chosen).expect("a kind");
        all.extend(queue.pop_front().cloned());
        if queue.is_empty() {
            kinds.remove(chosen);
        }
    }
    all
}
