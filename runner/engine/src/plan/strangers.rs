//! Every act of every driver, against an object that another client made at each possible moment: before a creation
//! another object has the name, and before everything else ours is taken away and replaced by one that looks the same.
//! What is theirs is never changed, deleted or taken for ours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use http::Method;
use serde_json::{Value, json};
use shakedown_schemas::{Document, Overrides};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::arm;
use crate::plan::{self, Options, Proof};
use shakedown_cluster::labels;
use shakedown_cluster::testing::{Asked, ask, watched};
use shakedown_cluster::{Cluster, ConnectOptions, Kind, WitnessImage, connect};
use shakedown_faults::{FaultDriver, canary};
use shakedown_guard::fuse::{self, Fuses};
use shakedown_guard::leftovers::{self, Kinds};
use shakedown_guard::lock::{Holder, Locks};
use shakedown_sandbox::{Sandbox, Topology};

/// How long anything may take on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(30);

/// What the object of the other client looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looks {
    /// Its name is all that it has of ours.
    Alike,
    /// It carries our labels as well.
    Labelled,
}

/// Another client, which acts once, right before a request of that number.
struct Stranger {
    raw: Cluster,
    looks: Looks,
    at: usize,
    /// The requests at which it could have acted so far; none while it only watches the plan being made.
    count: Option<usize>,
    /// What it made, by path, as it was then.
    made: BTreeMap<String, Value>,
    /// What it acted before.
    before: String,
}

type Shared = Arc<tokio::sync::Mutex<Stranger>>;

/// A path without its query.
fn plain(path: &str) -> &str {
    path.split('?').next().unwrap_or_default()
}

/// What the other client wrote of an object: everything but what servers and controllers write.
fn essence(object: &Value) -> Value {
    let mut object = object.clone();
    object["status"] = Value::Null;
    // The scheduler's.
    object["spec"].as_object_mut().map(|spec| spec.remove("nodeName"));
    for field in ["resourceVersion", "managedFields", "generation", "finalizers"] {
        object["metadata"].as_object_mut().map(|metadata| metadata.remove(field));
    }
    object
}

impl Stranger {
    async fn before(&mut self, (method, path, body): Asked) {
        let Some(count) = self.count else { return };
        let (path, evicts) = match plain(&path).strip_suffix("/eviction") {
            Some(pod) => (pod.to_owned(), body["deleteOptions"]["dryRun"].is_null()),
            None => (path, false),
        };
        let creates = method == Method::POST && body["metadata"]["name"].is_string() && !path.contains("/pods/");
        let changes = [Method::PUT, Method::PATCH, Method::DELETE].contains(&method) || evicts;
        let reads = method == Method::GET && !path.contains("watch=") && !path.contains("/log");
        if path.contains("dryRun") || path.contains("access") || !(creates || changes || reads) {
            return;
        }
        let path = plain(&path).to_owned();
        let there = if creates { None } else { ask(&self.raw, "GET", &path, None).await };
        let is_ours = there.as_ref().is_some_and(|it| it["metadata"]["labels"][labels::MANAGED_BY] == labels::MANAGER);
        if !creates && (there.is_none() || !changes && !is_ours) {
            return;
        }
        self.count = Some(count + 1);
        if count != self.at {
            return;
        }
        self.before = format!("{method} {path}");
        let (collection, mut object) = match there {
            None => (path.clone(), body),
            Some(there) => (path.rsplit_once('/').unwrap().0.to_owned(), there),
        };
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let own = format!("{collection}/{name}");
        if !creates {
            self.take_away(&own).await;
        }
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.retain(|key, _| ["name", "namespace", "labels", "annotations"].contains(&key.as_str()));
        match self.looks {
            Looks::Alike => _ = metadata.insert("labels".to_owned(), json!({"owner": "another-client"})),
            // What has a controller's labels would be taken by that.
            Looks::Labelled => metadata.values_mut().for_each(|map| {
                if let Some(map) = map.as_object_mut() {
                    map.retain(|key, _| key.contains("shakedown") || key == labels::MANAGED_BY);
                }
            }),
        }
        if creates && let Some(annotations) = metadata.get_mut("annotations") {
            // The token cannot be known before it is sent.
            annotations.as_object_mut().unwrap().remove(labels::CREATED);
        }
        object.as_object_mut().unwrap().remove("status");
        let made = ask(&self.raw, "POST", &collection, Some(&object)).await;
        let made = made.unwrap_or_else(|| panic!("the other client could not create {object:#}"));
        self.made.insert(own, essence(&made));
    }

    async fn take_away(&self, path: &str) {
        let deadline = Instant::now() + LIMIT;
        let now = json!({"gracePeriodSeconds": 0, "propagationPolicy": "Background"});
        while ask(&self.raw, "GET", path, None).await.is_some() {
            ask(&self.raw, "DELETE", path, Some(&now)).await;
            ask(&self.raw, "PATCH", path, Some(&json!({"metadata": {"finalizers": null}}))).await;
            assert!(Instant::now() < deadline, "{path} does not go");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What became of its objects, and of ours.
    async fn problems(&self, run: &str) -> Vec<String> {
        let mut problems = Vec::new();
        for (path, made) in &self.made {
            match ask(&self.raw, "GET", path, None).await {
                None => problems.push(format!("{path} is gone")),
                Some(there) if essence(&there) != *made => {
                    problems.push(format!("{path} was {made:#} and is {:#}", essence(&there)));
                }
                Some(_) => {}
            }
        }
        let theirs: Vec<&Value> = self.made.values().map(|made| &made["metadata"]["uid"]).collect();
        let kinds = Kinds::every(&self.raw).await.unwrap();
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = leftovers::find(&self.raw, Some(run), "", &kinds).await.unwrap().found;
            let left: Vec<String> = left
                .iter()
                .filter(|(_, item)| !theirs.iter().any(|uid| item.key().uid.as_deref() == uid.as_str()))
                .map(|(_, item)| item.to_string())
                .collect();
            if left.is_empty() || Instant::now() >= deadline {
                problems.extend(left.iter().map(|item| format!("{item} is left")));
                return problems;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn tidy(&mut self) {
        for path in std::mem::take(&mut self.made).into_keys() {
            self.take_away(&path).await;
        }
    }
}

/// A cluster with another client in it.
struct World {
    _sandbox: Sandbox,
    raw: Cluster,
    load: TcpListener,
}

impl World {
    async fn new() -> Self {
        _ = rustls::crypto::ring::default_provider().install_default();
        let workload = |name: &str| {
            format!(
                "- {{name: {name}, namespace: one, start: 20ms, program: {{probe: {{to: 'server.one:8080', listen: 8080}}}}}}\n"
            )
        };
        let text = format!("namespace: one\nworkloads:\n{}{}", workload("client"), workload("server"));
        let sandbox = Sandbox::start(Topology::parse(&text).unwrap()).await.unwrap();
        let options = ConnectOptions { kubeconfig_text: Some(sandbox.kubeconfig()), ..ConnectOptions::default() };
        let raw = connect(&options).await.unwrap();
        Self { _sandbox: sandbox, raw, load: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    /// Both workloads run, each once.
    async fn ready(&self) {
        let deadline = Instant::now() + LIMIT;
        for name in ["client", "server"] {
            loop {
                let pods = self.raw.list(Kind::Pod, "one", Some(&format!("app={name}"))).await.unwrap();
                let runs = |pod: &&Value| {
                    pod["metadata"]["deletionTimestamp"].is_null() && pod["status"]["phase"] == "Running"
                };
                if pods.len() == 1 && pods.iter().filter(runs).count() == 1 {
                    break;
                }
                assert!(Instant::now() < deadline, "{name} does not run");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Plays something once for each moment at which the other client can act, and once undisturbed at the end.
    async fn play(&self, name: &str, looks: Looks, play: impl AsyncFn(&Cluster, &str, &Shared) -> Option<String>) {
        let mut problems = Vec::new();
        let mut moments = 0;
        for at in 0.. {
            assert!(at < 200, "{name} never ends");
            self.ready().await;
            let (acted, found) = self.play_at(name, looks, at, &play).await;
            problems.extend(found);
            if !acted {
                break;
            }
            moments += 1;
        }
        assert!(problems.is_empty(), "{}", problems.join("\n"));
        assert!(moments > 0, "{name}: nothing was tried");
    }

    /// Plays something while the other client acts at one moment. Returns whether that moment came, and what was wrong then.
    async fn play_at(
        &self,
        name: &str,
        looks: Looks,
        at: usize,
        play: &impl AsyncFn(&Cluster, &str, &Shared) -> Option<String>,
    ) -> (bool, Vec<String>) {
        let run = format!("20260301-105959-{name}{at}");
        let stranger: Shared = Arc::new(tokio::sync::Mutex::new(Stranger {
            raw: self.raw.clone(),
            looks,
            at,
            count: None,
            made: BTreeMap::new(),
            before: String::new(),
        }));
        let acting = stranger.clone();
        let cluster = watched(&self.raw, move |asked| -> BoxFuture<'static, ()> {
            let acting = acting.clone();
            async move { acting.lock().await.before(asked).await }.boxed()
        })
        .with_retry_limit(Duration::from_secs(2));
        let failed = play(&cluster, &run, &stranger).await;
        let mut stranger = stranger.lock().await;
        stranger.count = None;
        let mut found = stranger.problems(&run).await;
        found.extend(failed);
        let acted = !stranger.made.is_empty();
        stranger.tidy().await;
        let before = format!("{name} {looks:?}, {at} before {}", stranger.before);
        (acted, found.into_iter().map(|it| format!("{before}: {it}")).collect())
    }

    async fn plan(&self, cluster: &Cluster, run: &str, fault: &str) -> Box<dyn FaultDriver> {
        let url = format!("http://{}", self.load.local_addr().unwrap());
        let radius = if fault.contains("pods:") { "blast_radius: {max_percent: 100%}\n" } else { "" };
        let text = format!(
            "version: 1\nname: strangers\nnamespace: one\n{radius}\
             load: {{aside: {{http: {{url: '{url}'}}, rate: 1/s}}}}\n\
             phases:\n  - name: cut\n    duration: 60s\n    faults: {{only: {fault}}}\n    expect: [{{requests: {{min: 1}}}}]\n"
        );
        let document: Document = shakedown_schemas::parse("strangers.yaml", text.as_bytes(), &Overrides::default())
            .unwrap_or_else(|problems| panic!("{text}\n{problems:?}"));
        let options = Options {
            run: run.to_owned(),
            proof: Proof { image: Some(WitnessImage::named("shakedown:latest")), ..Proof::default() },
            ..Options::for_tests()
        };
        let plan = plan::plan(&document, Some(cluster), &options).await.unwrap();
        arm::arm(&plan, Some(cluster)).await.unwrap().faults.remove(0).1
    }
}

/// A driver from its beginning to its end, as the timeline calls it. Some of it fails, because the other client acted; what must
/// not fail is the proof that nothing of ours is left.
async fn drive(mut driver: Box<dyn FaultDriver>) -> Option<String> {
    let begins = async {
        driver.preflight().await?;
        driver.prepare().await?;
        driver.inject().await?;
        driver.become_active().await?;
        driver.prove().await?;
        driver.settle().await
    };
    let begun = tokio::time::timeout(LIMIT, begins).await;
    let mut last = String::new();
    for _ in 0..3 {
        let undone = driver.undo().await;
        match driver.prove_undone().await {
            Ok(findings) if undone.is_ok() && findings.iter().all(|finding| finding.holds) => {
                return driver.dismiss().await.err().map(|error| error.to_string());
            }
            looked => last = format!("{undone:?} {looked:?}"),
        }
    }
    // To take a finalizer of Chaos Mesh off keeps it from recovering, and another object of that name goes on with the
    // rules, which bear its name. Both are reported.
    let forced = last.contains("without being recovered") || last.contains("its rules are still in");
    (!forced).then(|| format!("the undo is not proven: {last} (begun: {begun:?})"))
}

/// Both looks at the same time, each in a cluster of its own: most of the time is waited.
async fn faults_meet_strangers(name: &str, fault: &str) {
    let meet = async |looks| {
        let world = World::new().await;
        let play = async |cluster: &Cluster, run: &str, stranger: &Shared| {
            let driver = world.plan(cluster, run, fault).await;
            stranger.lock().await.count = Some(0);
            drive(driver).await
        };
        world.play(name, looks, play).await;
    };
    tokio::join!(meet(Looks::Alike), meet(Looks::Labelled));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_touches_nothing_of_others() {
    let fault = "{partition: {pods: {prefix: client}, from: [{pods: {prefix: server}}], prove: applied}}";
    faults_meet_strangers("cut", fault).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_touches_nothing_of_others() {
    let fault = "{partition: {pods: {prefix: client}, from: [{service: server}], direction: egress, prove: witness}}";
    faults_meet_strangers("witness", fault).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_touches_nothing_of_others() {
    let fault = "{manifest: {object: {apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {key: value}}, \
                 active_when: [{field: data.key, equals: value}], within: 1s}}";
    faults_meet_strangers("manifest", fault).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_of_chaos_mesh_touches_nothing_of_others() {
    let fault = "{netem: {pods: {prefix: client}, to: [{cidr: 203.0.113.0/24}], loss: 10%}}";
    faults_meet_strangers("netem", fault).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fuses_and_locks_touch_nothing_of_others() {
    let world = World::new().await;
    for looks in [Looks::Alike, Looks::Labelled] {
        let fuse = async |cluster: &Cluster, run: &str, stranger: &Shared| {
            stranger.lock().await.count = Some(0);
            let mut fuses = Fuses::default();
            _ = fuses.light(cluster, &fuse::job(run, 0, "one", Duration::from_secs(600), None)).await;
            let left = fuses.remove(cluster).await;
            (!left.is_empty()).then(|| format!("{left:?}"))
        };
        world.play("fuse", looks, fuse).await;
        let lock = async |cluster: &Cluster, run: &str, stranger: &Shared| {
            stranger.lock().await.count = Some(0);
            let me = Holder { run: run.to_owned(), host: "h".to_owned(), ci_job_url: None };
            let mut locks = Locks::new(cluster.clone());
            _ = locks.wait("one", &me, Instant::now()).await;
            _ = locks.take("one", &me, &Fuses::default()).await;
            let left = locks.release(cluster, &me).await;
            (!left.is_empty()).then(|| format!("{left:?}"))
        };
        world.play("lock", looks, lock).await;
    }
}

/// A canary waits for pods that run and meet; so all moments are tried at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_touches_nothing_of_others() {
    const MOMENTS: usize = 20;
    let world = World::new().await;
    let probe = async |cluster: &Cluster, run: &str, stranger: &Shared| {
        stranger.lock().await.count = Some(0);
        // A pod of the sandbox starts at once. Where the other client replaced one, it never connects.
        let image = WitnessImage::named("shakedown:latest");
        _ = canary::run(cluster, run, "one", &image, Duration::from_secs(10)).await;
        None
    };
    let played = (0..MOMENTS).map(|at| world.play_at("canary", Looks::Labelled, at, &probe));
    let (acted, problems): (Vec<bool>, Vec<Vec<String>>) = join_all(played).await.into_iter().unzip();
    assert_eq!(problems.concat(), Vec::<String>::new());
    assert!(acted.iter().filter(|acted| **acted).count() >= 8, "{acted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_touches_nothing_of_others() {
    for (name, evict) in [("kill", false), ("evict", true)] {
        let fault = format!("{{pod_kill: {{pods: {{prefix: client}}, grace_period: 0s, evict: {evict}}}}}");
        faults_meet_strangers(name, &fault).await;
    }
}
