//! Canaries against an API server in memory, with a kubelet and a Chaos Mesh that answer as the recorded ones did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use shakedown_cluster::testing::store::{Fate, Store};
use shakedown_fakes::recordings;
use shakedown_schemas::scenario::{Direction, Fault};
use tokio::task::JoinHandle;

use super::*;
use crate::chaos::ability::{Outcome, trials};
use crate::chaos::recipe::Recipe;
use crate::chaos::spec::{Ends, Inside};
use shakedown_schemas::result::PodRef;

/// The longest that canaries may take.
const MINUTE: Duration = Duration::from_secs(60);

/// How a node's kubelet and daemon treat a canary.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    Able,
    /// The daemon fails with these words, in which POD is the pod's name.
    Fails(&'static str),
    /// The manager never answers, and lets nothing go.
    Silent,
    /// The manager has more to do: it has not answered yet.
    Slow,
    /// The image cannot be pulled.
    NoImage,
}

/// The words of the recorded node without `sch_netem`.
fn no_netem() -> &'static str {
    let failed = recordings::read("hostnode").into_iter().rev().find_map(|event| {
        let words = event.object["status"]["failedMessage"].as_str()?.to_owned();
        (event.kind == "PodNetworkChaos" && !words.is_empty()).then(|| words.replace(&event.name, "POD"))
    });
    failed.expect("a failure").leak()
}

/// Plays the nodes until it is dropped.
fn play(store: Store, nodes: BTreeMap<&'static str, Node>) -> JoinHandle<()> {
    watched(store, nodes, Arc::default())
}

/// The same. `most` is the largest number of pods at a time.
fn watched(store: Store, nodes: BTreeMap<&'static str, Node>, most: Arc<AtomicUsize>) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            most.fetch_max(store.all().iter().filter(|path| path.contains("/pods/")).count(), Ordering::Relaxed);
            for path in store.all() {
                let Some(object) = store.get(&path) else { continue };
                match path.rsplit('/').nth(1) {
                    Some("pods") if object["status"].is_null() => {
                        let node = object["spec"]["nodeName"].as_str().map(|name| nodes[name]);
                        store.change(&path, |pod| pod["status"] = kubelet(node));
                    }
                    Some("networkchaos" | "stresschaos" | "httpchaos") => manage(&store, &path, &object, &nodes),
                    _ => {}
                }
            }
        }
    })
}

fn kubelet(node: Option<Node>) -> Value {
    match node {
        Some(Node::NoImage) => json!({"phase": "Pending", "containerStatuses": [
            {"name": "witness", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}]}),
        _ => json!({"phase": "Running", "podIP": "10.0.0.9"}),
    }
}

fn manage(store: &Store, path: &str, chaos: &Value, nodes: &BTreeMap<&'static str, Node>) {
    let source = format!("shop/{}", chaos["metadata"]["name"].as_str().unwrap());
    let names = chaos["spec"]["selector"]["pods"]["shop"].as_array().unwrap().clone();
    let name = names[0].as_str().unwrap();
    assert!(names.len() == 1 && name.contains("-canary-"), "only the canary is selected: {chaos}");
    let is_network = path.contains("/networkchaos/");
    let network = Store::path(Kind::PodNetworkChaos, "shop", name);
    let Some(pod) = store.get(&Store::path(Kind::Pod, "shop", name)) else {
        store.remove(&network);
        let silent = nodes.values().any(|node| *node == Node::Silent);
        if chaos["metadata"]["deletionTimestamp"].is_string() && !silent {
            store.change(path, |chaos| {
                chaos["status"]["experiment"]["containerRecords"][0]["phase"] = "Not Injected".into();
                chaos["status"]["experiment"]["desiredPhase"] = "Stop".into();
            });
            store.remove(path);
        }
        return;
    };
    if chaos["metadata"]["deletionTimestamp"].is_string() && nodes.values().all(|node| *node == Node::Able) {
        store.remove(path);
        return;
    }
    if !chaos["metadata"]["finalizers"].is_null() {
        return;
    }
    let id = format!("shop/{name}") + if is_network || path.contains("/httpchaos/") { "" } else { "/witness" };
    let node = nodes[pod["spec"]["nodeName"].as_str().unwrap()];
    let words = match node {
        Node::Fails(words) => words.replace("POD", name),
        _ => String::new(),
    };
    if is_network {
        let status = json!({"observedGeneration": 1, "failedMessage": words});
        store.set(
            Kind::PodNetworkChaos,
            json!({"metadata": {"name": name, "namespace": "shop", "generation": 1},
                "spec": {"tcs": [{"source": source}]}, "status": status}),
        );
    }
    let failed = json!([{"type": "Failed", "operation": "Apply", "message": words}]);
    let (phase, events) = match node {
        Node::Able => ("Injected", json!([])),
        Node::Fails(_) => ("Not Injected/Wait", failed),
        _ => ("Not Injected/Wait", json!([])),
    };
    store.change(path, |chaos| {
        chaos["metadata"]["finalizers"] = json!(["chaos-mesh/records"]);
        let injected = if phase == "Injected" { "True" } else { "False" };
        chaos["status"] = json!({
            "conditions": [{"type": "Selected", "status": "True"}, {"type": "AllInjected", "status": injected}],
            "experiment": {"desiredPhase": "Run", "containerRecords": [
                {"id": id, "selectorKey": ".", "phase": phase, "injectedCount": 0, "events": events}]},
        });
    });
}

fn fault(recipe: Recipe, nodes: &[&str]) -> ChaosSpec {
    let target = |node: &&str| {
        let name = format!("web-on-{node}");
        let pod =
            PodRef { namespace: "shop".into(), name: name.clone(), uid: name, node: Some((*node).into()), ip: None };
        Inside { pod, containers: vec!["main".into()] }
    };
    ChaosSpec {
        naming: Naming {
            run: "r".into(),
            serial: 0,
            number: 1,
            fault: "late".into(),
            namespace: "shop".into(),
            duration: Duration::from_secs(90),
        },
        targets: nodes.iter().map(target).collect(),
        recipe,
        follow: false,
        observe: false,
        limits: Limits::default(),
    }
}

fn recipe(text: &str) -> Recipe {
    match serde_saphyr::from_str(text).unwrap() {
        Fault::Netem(it) => Recipe::Netem { netem: Box::new(it), ends: None, direction: Direction::Egress },
        Fault::Partition(_) => Recipe::Partition { ends: Ends::default(), direction: Direction::Both },
        Fault::Stress(it) => Recipe::Stress(it),
        Fault::Http(it) => Recipe::Http(it),
        other => panic!("{other:?}"),
    }
}

const DELAY: &str = "netem: {pods: {prefix: web}, delay: 40ms}";
const CUT: &str = "partition: {pods: {prefix: web}, from: [{service: db}]}";
const STRESS: &str = "stress: {pods: {prefix: web}, memory: {size: 400MB}}";
const REFUSED: &str = "http: {pods: {prefix: web}, port: 8080, status: 503}";

/// Runs the canaries of a fault, and checks what holds for all of them: the time, and that nothing is left.
async fn tried(fault_text: &str, nodes: &[(&'static str, Node)]) -> Result<Vec<String>, String> {
    let store = Store::default();
    store.serve_chaos();
    let answer = tried_on(&store, fault_text, nodes).await;
    assert_eq!(store.all(), Vec::<String>::new(), "nothing is left");
    answer
}

/// The same on a server that has more, or that refuses something.
async fn tried_on(store: &Store, fault_text: &str, nodes: &[(&'static str, Node)]) -> Result<Vec<String>, String> {
    let most = Arc::new(AtomicUsize::default());
    let playing = watched(store.clone(), nodes.iter().copied().collect(), most.clone());
    let cluster = store.cluster();
    let (image, fuses) = (WitnessImage::named("shakedown:latest"), Fuses::default());
    let canaries = Canaries { cluster: &cluster, run: "r", serial: 0, image: &image, fuses: &fuses };
    let names: Vec<&str> = nodes.iter().map(|(name, _)| *name).collect();
    let trials = trials([&fault(recipe(fault_text), &names)]);
    assert_eq!(trials.len(), nodes.len());
    let begun = Instant::now();
    let answer = canaries.check(&trials).await;
    assert!(begun.elapsed() <= MINUTE, "{:?}", begun.elapsed());
    assert!(most.load(Ordering::Relaxed) <= 8, "{most:?} pods at a time");
    playing.abort();
    answer
}

#[track_caller]
fn names(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_that_can_are_found_able() {
    for text in [DELAY, CUT, STRESS, REFUSED] {
        assert_eq!(tried(text, &[("node-1", Node::Able), ("node-2", Node::Able)]).await, Ok(vec![]), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_without_netem_is_told_with_its_cause() {
    let error = tried(DELAY, &[("node-1", Node::Fails(no_netem())), ("node-2", Node::Able)]).await.unwrap_err();
    names(&error, &["fault late", "cannot inject netem on node node-1", "unable to set tcs", "modprobe sch_netem"]);
    assert_eq!(error.matches("cannot inject").count(), 1, "the other node can: {error}");
}

#[tokio::test(start_paused = true)]
async fn a_node_without_the_legacy_tables_is_told_with_another_engine() {
    let words = "failed to apply for pod shop/POD: unable to set ip tables chains for pod POD";
    let error = tried(CUT, &[("node-1", Node::Fails(words))]).await.unwrap_err();
    names(&error, &["cannot inject partition on node node-1", "legacy tables", "`engine: network-policy`"]);
}

#[tokio::test(start_paused = true)]
async fn a_kubernetes_that_is_too_old_is_told() {
    let words = "no matches for kind \"EndpointSlice\" in version \"discovery.k8s.io/v1\"";
    for (text, what) in [(DELAY, "netem"), (CUT, "partition"), (STRESS, "stress")] {
        let error = tried(text, &[("node-1", Node::Fails(words))]).await.unwrap_err();
        names(&error, &[&format!("cannot inject {what} on node node-1"), words, "Kubernetes 1.21 or later"]);
    }
}

/// Neither a slow manager nor one that hangs says anything: no event, no message. The run goes on.
#[tokio::test(start_paused = true)]
async fn a_manager_without_an_answer_in_time_shows_nothing_about_a_node() {
    for text in [REFUSED, DELAY] {
        for node in [Node::Slow, Node::Silent] {
            let warnings = tried(text, &[("node-1", node), ("node-2", Node::Able)]).await.unwrap();
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            names(
                &warnings[0],
                &["fault late", "not known", "on node node-1", "no answer in time", "has to be proven"],
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_is_down_refuses() {
    let store = Store::default();
    store.serve_chaos();
    let labels = json!({"app.kubernetes.io/component": "controller-manager"});
    let manager =
        json!({"metadata": {"name": "chaos-controller-manager", "namespace": "chaos-mesh", "labels": labels}});
    store.put(Kind::other("apps/v1", "Deployment", "deployments"), manager);
    let error = tried_on(&store, DELAY, &[("node-1", Node::Slow)]).await.unwrap_err();
    names(
        &error,
        &["cannot inject netem on node node-1", "no chaos-controller-manager is available in namespace chaos-mesh"],
    );
}

/// Another object of the kind has had no answer for a minute, by the server's clock.
#[tokio::test(start_paused = true)]
async fn a_manager_that_is_stuck_refuses_and_one_that_is_busy_does_not() {
    for (age, is_stuck) in [(120, true), (30, false)] {
        let store = Store::default();
        store.serve_chaos();
        let now = jiff::Timestamp::now();
        let created = now - jiff::SignedDuration::from_secs(age);
        let metadata = json!({"name": "other", "namespace": "shop", "generation": 2, "creationTimestamp": created});
        store.put(Kind::PodNetworkChaos, json!({"metadata": metadata, "status": {"observedGeneration": 1}}));
        store.script(move |store, _| {
            // The server's part of a new object.
            for path in store.all().into_iter().filter(|path| path.contains("/networkchaos/")) {
                if store.get(&path).is_some_and(|it| it["metadata"]["creationTimestamp"].is_null()) {
                    store.change(&path, |object| object["metadata"]["creationTimestamp"] = json!(now));
                }
            }
            Fate::Answered
        });
        let answer = tried_on(&store, DELAY, &[("node-1", Node::Slow)]).await;
        assert_eq!(answer.is_err(), is_stuck, "{answer:?}");
        if is_stuck {
            names(&answer.unwrap_err(), &["podnetworkchaos/other in namespace shop", "within 60 s", "rollout restart"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn many_nodes_are_tried_a_few_at_a_time() {
    let nodes = |node: Node| -> Vec<(&'static str, Node)> {
        (0..40).map(|number| (&*format!("node-{number:02}").leak(), node)).collect()
    };
    assert_eq!(tried(DELAY, &nodes(Node::Able)).await, Ok(vec![]));
    // What there was no time for is said, and nothing else about those nodes.
    let warnings = tried(DELAY, &nodes(Node::Slow)).await.unwrap();
    assert_eq!(warnings.len(), 40);
    let untried =
        warnings.iter().filter(|warning| warning.contains("was not tried: the earlier canaries used all of the time"));
    let untried = untried.count();
    assert!((8..=24).contains(&untried), "{untried} of {warnings:#?}");
}

/// A pod that cannot be deleted, or does not go, keeps no fault.
#[tokio::test(start_paused = true)]
async fn the_fault_is_deleted_even_where_the_pod_stays() {
    for goes in [None, Some(false)] {
        let store = Store::default();
        store.serve_chaos();
        store.script(move |store, asked| {
            if !asked.starts_with("DELETE") || !asked.contains("/pods/") {
                return Fate::Answered;
            }
            if goes.is_none() {
                return Fate::Refused(403);
            }
            let path = asked.trim_start_matches("DELETE ").to_owned();
            store.change(&path, |pod| pod["metadata"]["finalizers"] = json!(["kubelet"]));
            Fate::Answered
        });
        let warnings = tried_on(&store, DELAY, &[("node-1", Node::Able)]).await.unwrap();
        names(&warnings[0], &["could not be removed"]);
        let left = store.all();
        assert!(!left.iter().any(|path| path.contains("/networkchaos/")), "{left:?}");
        assert!(left.iter().any(|path| path.contains("/pods/")), "{left:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_cannot_run_shows_nothing_about_its_node() {
    let warnings = tried(DELAY, &[("node-1", Node::NoImage), ("node-2", Node::Able)]).await.unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    names(&warnings[0], &["not known", "netem on node node-1", "ErrImagePull", "--canary-image"]);
}

/// A pod bound to a node whose kubelet is gone never runs.
#[tokio::test(start_paused = true)]
async fn an_account_that_may_not_create_pods_is_warned() {
    let store = Store::default();
    store.serve_chaos();
    store.script(|_, asked| match asked.starts_with("POST") && asked.ends_with("/pods") {
        true => Fate::Refused(403),
        false => Fate::Answered,
    });
    let cluster = store.cluster();
    let (image, fuses) = (WitnessImage::named("shakedown:latest"), Fuses::default());
    let canaries = Canaries { cluster: &cluster, run: "r", serial: 0, image: &image, fuses: &fuses };
    let warnings = canaries.check(&trials([&fault(recipe(DELAY), &["node-1"])])).await.unwrap();
    names(&warnings[0], &["not known", "node-1"]);
    assert_eq!(store.all(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn doctor_looks_at_each_ability_of_each_node() {
    let store = Store::default();
    store.serve_chaos();
    let nodes = [("node-1", Node::Able)].into();
    let playing = play(store.clone(), nodes);
    let cluster = store.cluster();
    let image = WitnessImage::named("shakedown:latest");
    let fuses = Fuses::default();
    let canaries = Canaries { cluster: &cluster, run: "r", serial: SERIAL, image: &image, fuses: &fuses };
    let trials = survey("shop", "node-1");
    let shown: BTreeSet<Ability> = trials.iter().flat_map(|trial| trial.abilities.clone()).collect();
    let networks: Vec<&Trial> = trials.iter().filter(|trial| !trial.abilities.contains(&Ability::Time)).collect();
    let outcomes = canaries.run(&networks, SURVEY_START, SURVEY).await;
    playing.abort();
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Able), "{outcomes:?}");
    assert_eq!((shown.len(), store.all()), (6, vec![]));
}
