//! The Chaos Mesh that tests play on API servers, against the recordings of a real one: the same order of steps, conditions one
//! pass behind, the same records of both sides, rules in pods and Events. It acts on the API server of a sandbox without one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use shakedown_cluster::{Change, ConnectOptions, Kind, connect};
use shakedown_fakes::recordings::{self, Recorded, Trace};
use shakedown_sandbox::{Sandbox, Topology};
use tokio::time::Instant;

use crate::campaign::server::Server;
use crate::support::chaos_mesh::{ChaosMesh, Manner};

/// How long one step may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);
const API: &str = "chaos-mesh.org/v1alpha1";

/// A cluster whose Chaos Mesh is played, and everything that its objects went through.
struct Place {
    server: Server,
    namespace: String,
    /// Its pods, and the name of their container.
    pods: Vec<String>,
    container: String,
    seen: Arc<Mutex<Vec<Recorded>>>,
}

/// Whether a resource has this name and says that all of it is injected.
fn is_injected(event: &Recorded, name: &str) -> bool {
    let mut conditions = event.object["status"]["conditions"].as_array().into_iter().flatten();
    event.name == name && conditions.any(|it| it["type"] == "AllInjected" && it["status"] == "True")
}

impl Place {
    async fn new(kubeconfig: &Path, namespace: String) -> Self {
        let options = ConnectOptions { kubeconfig: Some(kubeconfig.to_owned()), ..ConnectOptions::default() };
        let cluster = connect(&options).await.expect("the sandbox");
        let event = Kind::Event;
        let kinds = Kind::CHAOS.into_iter().chain([Kind::PodNetworkChaos, event]);
        let watch = |kind: Kind| cluster.watch(kind, &namespace).map(move |change| (kind, change)).boxed();
        let mut changes = futures::stream::select_all(kinds.map(watch));
        let seen: Arc<Mutex<Vec<Recorded>>> = Arc::default();
        let list = seen.clone();
        tokio::spawn(async move {
            while let Some((kind, change)) = changes.next().await {
                let (word, objects) = match change {
                    Change::Listed(objects) => ("ADDED", objects),
                    Change::Applied(object) => ("MODIFIED", vec![object]),
                    Change::Deleted(object) => ("DELETED", vec![object]),
                    Change::Broken { error, .. } => panic!("the watch of {} broke: {error}", kind.name()),
                };
                list.lock().expect("no panic").extend(objects.into_iter().map(|object| Recorded {
                    change: word.to_owned(),
                    kind: kind.name().to_owned(),
                    name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                    object,
                }));
            }
        });
        let server = Server::of("the sandbox", kubeconfig);
        let pods = server.items(&format!("/api/v1/namespaces/{namespace}/pods?labelSelector=app")).await;
        let container = pods[0]["spec"]["containers"][0]["name"].as_str().expect("a name").to_owned();
        let pods = pods.iter().map(|pod| pod["metadata"]["name"].as_str().expect("a name").to_owned()).collect();
        Self { server, namespace, pods, container, seen }
    }

    fn path(&self, kind: &str) -> String {
        format!("/apis/{API}/namespaces/{}/{}", self.namespace, kind.to_ascii_lowercase())
    }

    async fn ask(&self, method: Method, path: &str, body: Option<(&str, Value)>) {
        let (status, answer) = self.server.ask(method.clone(), path, body).await;
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
    }

    async fn create(&self, kind: &str, name: &str, spec: Value) {
        let object = json!({"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec});
        self.ask(Method::POST, &self.path(kind), Some(("application/json", object))).await;
    }

    async fn delete(&self, kind: &str, name: &str) {
        self.ask(Method::DELETE, &format!("{}/{name}", self.path(kind)), None).await;
    }

    fn seen(&self, from: usize) -> Vec<Recorded> {
        self.seen.lock().expect("no panic")[from..].to_vec()
    }

    async fn until(&self, what: &str, from: usize, is_it: impl Fn(&Recorded) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !self.seen(from).iter().any(&is_it) {
            assert!(Instant::now() < deadline, "waited for {what}: {:#?}", self.seen(from));
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn until_injected(&self, from: usize, name: &str) {
        self.until("the injection", from, |event| is_injected(event, name)).await;
    }

    async fn until_gone(&self, from: usize, name: &str) {
        self.until("the end", from, |event| event.name == name && event.change == "DELETED").await;
    }

    /// The kind and the spec of the first resource of a recording, for these pods.
    fn spec(&self, events: &[Recorded], pods: &[&String]) -> (String, Value) {
        let first = recordings::first(events).expect("a resource");
        let spec = &first.object["spec"];
        let namespace = first.object["metadata"]["namespace"].as_str().expect("a namespace");
        let word = |pointer: &str| spec.pointer(pointer).and_then(Value::as_str);
        let mut text = spec.to_string();
        let ends = ["/selector/pods", "/target/selector/pods"].map(|end| format!("{end}/{namespace}/0"));
        let named = ends.iter().zip(pods).map(|(end, pod)| (word(end), *pod));
        let container = (word("/containerNames/0"), &self.container);
        for (recorded, ours) in named.chain([(Some(namespace), &self.namespace), container]) {
            if let Some(recorded) = recorded {
                text = text.replace(&format!("\"{recorded}\""), &format!("\"{ours}\""));
            }
        }
        (first.kind.clone(), serde_json::from_str(&text).expect("a spec"))
    }

    /// Injects the first resource of a recording into these pods and removes it, and expects that it goes as it was recorded.
    async fn goes(&self, recording: &str, real: &[Recorded], pods: &[&String]) {
        let (from, (kind, spec)) = (self.seen(0).len(), self.spec(real, pods));
        self.create(&kind, recording, spec).await;
        self.until_injected(from, recording).await;
        self.delete(&kind, recording).await;
        self.until_gone(from, recording).await;
        self.same(recording, real, from, recording).await;
    }

    /// Puts rules into these pods and takes them out again: the pods of the recordings had had some before.
    async fn has_had_rules(&self, pods: &[&String]) {
        let (kind, spec) = self.spec(&recordings::read("cut"), pods);
        self.create(&kind, "before", spec).await;
        self.until_injected(0, "before").await;
        self.delete(&kind, "before").await;
        self.until_gone(0, "before").await;
    }

    /// Waits until everything went as it was recorded. What is said last comes after the object is gone.
    async fn same(&self, recording: &str, real: &[Recorded], from: usize, name: &str) {
        let resource = &recordings::first(real).expect("a resource").name;
        let real = format!("{:#?}", Trace::of(real, resource).since_the_fault());
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let ours = format!("{:#?}", Trace::of(&self.seen(from), name).since_the_fault());
            if ours == real {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the recording `{recording}`:\n{real}\nand the tests' Chaos Mesh:\n{ours}"
            );
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// A sandbox without Chaos Mesh, and what its objects go through.
async fn place() -> (Sandbox, tempfile::TempDir, Place) {
    let sandbox = Sandbox::start_without_network(Topology::default()).await.expect("a sandbox");
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, sandbox.kubeconfig()).expect("a kubeconfig");
    let place = Place::new(&kubeconfig, Topology::default().namespace).await;
    (sandbox, folder, place)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_injected_goes_as_it_was_recorded() {
    let (sandbox, folder, place) = place().await;
    let mesh = ChaosMesh::play(&folder.path().join("kubeconfig"), &place.namespace, Manner::Well);
    let pods = [&place.pods[0], &place.pods[1]];
    place.has_had_rules(&pods).await;
    let all = "delay loss bandwidth combined reorder graceful cut fail ckill stress memory skew";
    for recording in all.split(' ') {
        place.goes(recording, &recordings::read(recording), &pods).await;
    }
    drop(mesh);
    sandbox.stop().await;
}

/// Recordings as they were sent to us, each in a folder: those of `SHAKEDOWN_RECORDINGS`, or the ones of which `tests/recordings`
/// is the short form. Only faults that took hold are compared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs recordings"]
async fn recordings_that_were_sent_go_the_same_way_in_the_model() {
    let root = std::env::var("SHAKEDOWN_RECORDINGS").map(Into::into);
    let root: PathBuf = root.unwrap_or_else(|_| crate::support::root().join("../shared/chaos-mesh/recordings"));
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(&root).expect("recordings").map(|it| it.expect("an entry").path()).collect();
    folders.retain(|folder| folder.join("scenario.yaml").is_file());
    folders.sort();
    let (mut compared, (sandbox, folder, place)) = (0, place().await);
    let mesh = ChaosMesh::play(&folder.path().join("kubeconfig"), &place.namespace, Manner::Well);
    let pods = [&place.pods[0], &place.pods[1]];
    place.has_had_rules(&pods).await;
    for path in folders {
        let mut real = recordings::folder(&path);
        let Some(first) = recordings::first(&real).cloned() else { continue };
        // A recording may begin with the Events of earlier runs.
        let mut is_begun = false;
        real.retain(|event| {
            is_begun |= event.name == first.name;
            is_begun || event.kind != "Event"
        });
        // A selection by labels meets other pods here, and several pods go through their phases in any order.
        let selected = first.object["spec"]["selector"]["pods"].as_object();
        let of_one = selected.is_some_and(|all| all.values().filter_map(Value::as_array).flatten().count() == 1);
        if !of_one || !real.iter().any(|it| is_injected(it, &first.name)) {
            println!("not compared: {}", path.display());
            continue;
        }
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        place.goes(&name, &real, &pods).await;
        compared += 1;
    }
    assert!(compared > 0, "no recording in {}", root.display());
    drop(mesh);
    sandbox.stop().await;
}

/// On a node without netem. Once another client has taken its rules out of the pod, it goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_succeeds_fails_as_it_was_recorded() {
    let (sandbox, folder, place) = place().await;
    let mesh = ChaosMesh::play(&folder.path().join("kubeconfig"), &place.namespace, Manner::Lacks("sch_netem"));
    let pod = &place.pods[0];
    let real = recordings::read("hostnode");
    let (kind, spec) = place.spec(&real, &[pod]);
    place.create(&kind, "f", spec).await;
    let failed = |event: &Recorded| event.object["message"].as_str().is_some_and(|it| it.contains("Failed to apply"));
    place.until("a failure", 0, failed).await;
    place.delete(&kind, "f").await;
    place.same("hostnode", &real, 0, "f").await;
    let rules = json!({"spec": {"tcs": null, "ipsets": null, "iptables": null}});
    let path = format!("{}/{pod}", place.path("PodNetworkChaos"));
    place.ask(Method::PATCH, &path, Some(("application/merge-patch+json", rules))).await;
    place.until_gone(0, "f").await;
    place.same("hostended", &recordings::read("hostended"), 0, "f").await;
    drop(mesh);
    sandbox.stop().await;
}
