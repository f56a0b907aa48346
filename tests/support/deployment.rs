//! The test cluster, and the inference deployment on it: real pods, Debian's real nats-server, a namespace of its own
//! for each test.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::kubectl::{Kubectl, name};
use super::process::run;
use super::shakedown::BINARY;

/// How long an image may take to be packed and loaded.
const LOADING: Duration = Duration::from_secs(120);
/// The frontend's name, as in the sandbox's default topology.
pub const FRONTEND: &str = "vllm-agg-0-frontend";
/// The workers' name, as in the sandbox's default topology.
pub const WORKER: &str = "vllm-agg-0-vllmdecodeworker";

/// A running cluster with the images that the tests need.
#[derive(Debug)]
pub struct TestCluster {
    pub kubectl: Kubectl,
    pub program: String,
    bus: String,
}

impl TestCluster {
    /// The cluster, started once for all tests. A test fails here where there is none.
    #[track_caller]
    pub fn get() -> &'static Self {
        static CLUSTER: OnceLock<Result<TestCluster, String>> = OnceLock::new();
        CLUSTER.get_or_init(Self::start).as_ref().unwrap_or_else(|why| panic!("this test needs a cluster: {why}"))
    }

    fn start() -> Result<Self, String> {
        let bus = super::program("nats-server").or_else(|| existing("/usr/sbin/nats-server"));
        let bus = bus.ok_or("nats-server is not installed")?;
        let kubectl = start(&[])?;
        let (scripts, folder) = (scripts(), tempfile::tempdir().expect("a temporary folder"));
        let this = Self {
            kubectl,
            program: load_image(&scripts, "shakedown-test", &stripped(folder.path())),
            bus: load_image(&scripts, "nats-test", &bus),
        };
        this.keep_images(&scripts);
        Ok(this)
    }

    /// A kubelet whose disk fills up removes images that no container uses, and takes the sandboxes' for one of them. So a
    /// pod of its own holds them, ended containers being enough for that.
    fn keep_images(&self, scripts: &Path) {
        let mut images = vec![self.program.clone(), self.bus.clone()];
        let pause = Path::new("/opt/test-cluster/bin/pause");
        if pause.is_file() {
            run(Command::new(scripts.join("load-image")).arg("pause").arg(pause), LOADING).expect_code(0);
            images.push("docker.io/local/pause:1".to_owned());
        }
        let containers: Vec<Value> = (0..)
            .zip(&images)
            .map(|(at, image)| {
                let name = format!("image-{at}");
                json!({"name": name, "image": image, "imagePullPolicy": "Never", "args": ["--version"]})
            })
            .collect();
        self.kubectl.create(&json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": format!("shakedown-test-images-{}", std::process::id()), "namespace": "default"},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 0,
                "activeDeadlineSeconds": 3600,
                "containers": containers,
            },
        }));
    }
}

/// kubectl on the cluster, for tests that need its API and no images of their own. A test fails here where there is none.
#[track_caller]
pub fn api() -> &'static Kubectl {
    static API: OnceLock<Result<Kubectl, String>> = OnceLock::new();
    API.get_or_init(|| start(&[])).as_ref().unwrap_or_else(|why| panic!("this test needs a cluster: {why}"))
}

/// The scripts of the test cluster.
fn scripts() -> PathBuf {
    super::root().join("../shared/cluster")
}

/// Starts the cluster, if it is not up. The first time on a machine, Kubernetes is built.
///
/// # Errors
/// The reason for which there is no cluster.
pub fn start(args: &[&str]) -> Result<Kubectl, String> {
    let up = scripts().join("up");
    if !up.is_file() {
        return Err(format!("there is no {}", up.display()));
    }
    let finished = run(Command::new(up).args(args), Duration::from_secs(1200));
    if finished.code() != 0 {
        return Err(format!("it does not start: {finished}"));
    }
    let kubeconfig = finished.stdout.lines().last().unwrap_or_default();
    Kubectl::find(Path::new(kubeconfig)).ok_or_else(|| "kubectl is not installed".to_owned())
}

fn existing(path: &str) -> Option<PathBuf> {
    Some(PathBuf::from(path)).filter(|path| path.is_file())
}

/// The binary without what only a debugger reads: every container of the cluster gets a copy of its image.
fn stripped(folder: &Path) -> PathBuf {
    let target = folder.join("shakedown");
    let strip = Command::new("strip").arg("-o").arg(&target).arg(BINARY).status();
    if !strip.is_ok_and(|status| status.success()) {
        std::fs::copy(BINARY, &target).expect("a copy of the binary");
    }
    target
}

/// Packs a program as an image whose name changes with its content: others may use the cluster with their own.
fn load_image(scripts: &Path, prefix: &str, program: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(&std::fs::read(program).expect("a program"));
    let image = format!("{prefix}-{:x}", hasher.finish());
    run(Command::new(scripts.join("load-image")).arg(&image).arg(program), LOADING).expect_code(0);
    format!("docker.io/local/{image}:1")
}

/// A namespace with the inference deployment. It goes with this value.
pub struct Inference {
    pub cluster: &'static TestCluster,
    pub namespace: String,
}

impl Inference {
    /// Creates a namespace with a bus, a frontend and some workers, and waits until the frontend knows all of them.
    #[track_caller]
    pub fn new(cluster: &'static TestCluster, workers: usize) -> Self {
        Self::with(cluster, workers, json!({}))
    }

    /// The same with workers that have these settings.
    #[track_caller]
    pub fn with(cluster: &'static TestCluster, workers: usize, settings: Value) -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("shakedown-test-{}-{serial}", std::process::id());
        let this = Self { cluster, namespace };
        let kubectl = &cluster.kubectl;
        kubectl.run(&["create", "namespace", &this.namespace]);
        for (service, port) in [("nats", 4222), (FRONTEND, 8000)] {
            this.create(service_object(service, port));
        }
        // There is no DNS in this cluster: programs get the service's address.
        let bus = format!("{}:4222", this.address("nats"));
        this.create(this.bus_object());
        this.create(this.program_object(FRONTEND, "Frontend", 1, "frontend", 8000, &json!({"bus": bus})));
        this.create(this.worker_object(WORKER, workers, settings));
        for workload in
            ["statefulset/nats".to_owned(), format!("deployment/{FRONTEND}"), format!("deployment/{WORKER}")]
        {
            this.kubectl(&["rollout", "status", &workload, "--timeout=120s"]);
        }
        this.wait_for_workers(workers);
        this
    }

    /// A deployment of workers with these settings.
    pub fn worker_object(&self, name: &str, replicas: usize, settings: Value) -> Value {
        let mut config = json!({"bus": format!("{}:4222", self.address("nats")), "id": "$(POD_NAME)"});
        if let (Value::Object(config), Value::Object(settings)) = (&mut config, settings) {
            config.extend(settings);
        }
        self.program_object(name, "VllmDecodeWorker", replicas, "worker", 9090, &config)
    }

    fn create(&self, mut object: Value) {
        object["metadata"]["namespace"] = self.namespace.clone().into();
        self.cluster.kubectl.create(&object);
    }

    /// kubectl in this namespace.
    #[track_caller]
    pub fn kubectl(&self, args: &[&str]) -> String {
        self.cluster.kubectl.run(&[&["-n", &self.namespace], args].concat())
    }

    /// Objects of this namespace.
    #[track_caller]
    pub fn items(&self, args: &[&str]) -> Vec<Value> {
        self.cluster.kubectl.items(&[&["-n", &self.namespace], args].concat())
    }

    /// A service's address.
    #[track_caller]
    pub fn address(&self, service: &str) -> String {
        self.kubectl(&["get", "service", service, "-o", "jsonpath={.spec.clusterIP}"])
    }

    /// The workers' pods.
    #[track_caller]
    pub fn workers(&self) -> Vec<String> {
        self.items(&["pods", "-l", &format!("app={WORKER}")]).iter().map(|pod| name(pod).to_owned()).collect()
    }

    /// How many workers the frontend gives requests to.
    pub fn live_workers(&self) -> usize {
        let path = format!("/api/v1/namespaces/{}/services/{FRONTEND}:8000/proxy/health", self.namespace);
        let answer = self.cluster.kubectl.try_run(&["get", "--raw", &path]);
        let health: Value = serde_json::from_str(&answer.stdout).unwrap_or_default();
        let workers = health["workers"].as_array().cloned().unwrap_or_default();
        workers.iter().filter(|worker| worker["state"] == "live").count()
    }

    /// Waits until the frontend gives requests to this number of workers. A question takes long enough to need no pause.
    #[track_caller]
    pub fn wait_for_workers(&self, count: usize) {
        let begun = Instant::now();
        while self.live_workers() != count {
            assert!(begun.elapsed() < Duration::from_secs(60), "the frontend knows {} workers", self.live_workers());
        }
    }

    /// Whether a new connection from inside a pod to this address comes about within 2 s.
    #[track_caller]
    pub fn connects(&self, pod: &str, address: &str, port: u16) -> bool {
        let port = port.to_string();
        let args = ["-n", &self.namespace, "exec", pod, "--", "/bin/busybox", "nc", "-w", "2", address, &port];
        self.cluster.kubectl.try_run(&args).code() == 0
    }

    fn bus_object(&self) -> Value {
        json!({
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "nats"},
            "spec": {
                "serviceName": "nats",
                "replicas": 1,
                "selector": {"matchLabels": {"app": "nats"}},
                "template": {
                    "metadata": {"labels": {"app": "nats", "app.kubernetes.io/name": "nats"}},
                    "spec": {
                        "terminationGracePeriodSeconds": 1,
                        "containers": [{
                            "name": "nats",
                            "image": self.cluster.bus,
                            "imagePullPolicy": "Never",
                            "args": ["-p", "4222"],
                            "ports": [{"name": "nats", "containerPort": 4222}],
                            "readinessProbe": {"tcpSocket": {"port": 4222}, "periodSeconds": 1},
                        }],
                    },
                },
            },
        })
    }

    fn program_object(
        &self,
        name: &str,
        component: &str,
        replicas: usize,
        program: &str,
        port: u16,
        config: &Value,
    ) -> Value {
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {
                        "app": name,
                        "app.kubernetes.io/name": name,
                        "nvidia.com/dynamo-component": component,
                    }},
                    "spec": {
                        "terminationGracePeriodSeconds": 3,
                        "containers": [{
                            "name": program,
                            "image": self.cluster.program,
                            "imagePullPolicy": "Never",
                            "args": ["pod", program, "--config", config.to_string()],
                            // As Dynamo declares them: a witness tries the declared ports of a peer.
                            "ports": [{"containerPort": port}],
                            "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                            "readinessProbe": {"httpGet": {"path": "/health", "port": port}, "periodSeconds": 1},
                        }],
                    },
                },
            },
        })
    }

    /// What the pods were doing, for a test that fails.
    fn show(&self) {
        let kubectl = |args: &[&str]| self.cluster.kubectl.try_run(&[&["-n", &self.namespace], args].concat()).stdout;
        eprintln!("{}", kubectl(&["get", "all,networkpolicies", "-o", "wide", "--show-labels"]));
        eprintln!("{}", kubectl(&["get", "events", "--sort-by=.lastTimestamp"]));
        for app in ["nats", FRONTEND, WORKER] {
            eprintln!("{}", kubectl(&["logs", "-l", &format!("app={app}"), "--prefix", "--tail=30"]));
        }
    }
}

impl Drop for Inference {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show();
        }
        self.cluster.kubectl.try_run(&["delete", "namespace", &self.namespace, "--wait=false"]);
    }
}

fn service_object(name: &str, port: u16) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"name": "main", "port": port}]},
    })
}

/// The path of a kubeconfig that authenticates as a service account.
#[track_caller]
pub fn token(namespace: &str, account: &str) -> String {
    let finished = run(Command::new(scripts().join("token")).args([namespace, account]), LOADING);
    finished.expect_code(0).stdout.trim().to_owned()
}
