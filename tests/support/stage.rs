//! A stage for faults of Chaos Mesh on a real API server: its definitions, and a namespace with pods that are objects alone.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::chaos_mesh::{ChaosMesh, Manner};
use super::kubectl::{Kubectl, name};
use super::process::{Finished, Running};
use super::server::serve;
use super::shakedown::Shakedown;
use super::{none_of, root};

/// How long any run may take.
const LIMIT: Duration = Duration::from_secs(240);
/// Everything of Chaos Mesh that a run may create.
pub const KINDS: &str = "networkchaos,podchaos,stresschaos,httpchaos,dnschaos,iochaos,timechaos";

/// A namespace with two workers and a bus behind a service. Their pods are objects alone: no node runs them.
pub struct Stage {
    pub kubectl: &'static Kubectl,
    pub namespace: String,
}

impl Stage {
    pub fn new(kubectl: &'static Kubectl) -> Self {
        define(kubectl);
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let this = Self { kubectl, namespace: format!("shakedown-chaos-{}-{serial}", std::process::id()) };
        kubectl.run(&["create", "namespace", &this.namespace]);
        for (app, replicas) in [("worker", 2), ("bus", 1)] {
            kubectl.create(&this.replica_set(app, replicas));
        }
        kubectl.create(&json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "bus", "namespace": this.namespace},
            "spec": {"selector": {"app": "bus"}, "ports": [{"port": 4222}]},
        }));
        this.run_pods(3);
        this
    }

    fn replica_set(&self, app: &str, replicas: u32) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": app, "namespace": self.namespace},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": app}},
                "template": {
                    "metadata": {"labels": {"app": app}},
                    "spec": {
                        // No scheduler has this name, so no node takes these pods.
                        "schedulerName": "shakedown-test",
                        "terminationGracePeriodSeconds": 0,
                        "containers": [
                            {"name": "main", "image": "shakedown.invalid/x", "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
                            {"name": "sidecar", "image": "shakedown.invalid/x"},
                        ],
                        "volumes": [{"name": "data", "emptyDir": {}}],
                    },
                },
            },
        })
    }

    fn pods(&self) -> Vec<Value> {
        self.kubectl.items(&["pods", "-n", &self.namespace, "-l", "app in (worker,bus)"])
    }

    /// Waits for this number of pods and writes the status of running pods.
    #[track_caller]
    pub fn run_pods(&self, count: usize) {
        wait("pods", || self.pods().len() == count);
        for (number, mut pod) in self.pods().into_iter().enumerate() {
            if pod["status"]["phase"] == "Running" {
                continue;
            }
            let serial: u32 = self.namespace.rsplit('-').next().and_then(|it| it.parse().ok()).unwrap_or(0);
            let ip = format!("10.250.{}.{}", serial % 250, number + 10);
            pod["status"] = json!({
                "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                "conditions": [{"type": "Ready", "status": "True"}],
            });
            let file = tempfile::NamedTempFile::new().expect("a temporary file");
            std::fs::write(file.path(), pod.to_string()).expect("a temporary file");
            let path = format!("/api/v1/namespaces/{}/pods/{}/status", self.namespace, name(&pod));
            self.kubectl.run(&["replace", "--raw", &path, "-f", file.path().to_str().expect("UTF-8")]);
        }
    }

    pub fn workers(&self) -> Vec<String> {
        let pods = self.kubectl.items(&["pods", "-n", &self.namespace, "-l", "app=worker"]);
        pods.iter().map(|pod| name(pod).to_owned()).collect()
    }

    pub fn play(&self, manner: Manner) -> ChaosMesh {
        ChaosMesh::play(self.kubectl.kubeconfig().as_ref(), &self.namespace, manner)
    }

    /// The scenario with these faults in a phase of its own. Its users wait for their answers: what they see is not what is
    /// tested, and a schedule could not be kept on a busy machine.
    pub fn scenario(&self, shakedown: &Shakedown, faults: &str, seconds: u32) -> String {
        let url = serve(200);
        shakedown.file(
            "scenario.yaml",
            format!(
                "version: 1\nname: chaos\nnamespace: {}\nblast_radius: {{max_percent: 100%}}\n\
                 load: {{main: {{http: {{url: \"{url}\"}}, concurrency: 4, think_time: 100ms}}}}\nphases:\n\
                 - {{name: before, duration: 2s, expect: [success_rate: {{min: 50%}}]}}\n\
                 - name: fault\n  duration: {seconds}s\n  expect: [success_rate: {{min: 50%}}]\n  faults:\n{faults}\n",
                self.namespace
            ),
        )
    }

    pub fn start(&self, shakedown: &Shakedown, scenario: &str, args: &[&str]) -> Running {
        let out: &[&str] = if args.contains(&"--out") { &[] } else { &["--out", "out"] };
        shakedown.start(&[&["run", "--kubeconfig", self.kubectl.kubeconfig(), scenario], out, args].concat())
    }

    pub fn run(&self, shakedown: &Shakedown, faults: &str, args: &[&str]) -> Finished {
        let scenario = self.scenario(shakedown, faults, 3);
        self.start(shakedown, &scenario, args).finish(LIMIT)
    }

    /// A fault that the scenario writes out itself.
    pub fn written(&self) -> String {
        let text = "    written:
      manifest:
        object:
          apiVersion: chaos-mesh.org/v1alpha1
          kind: StressChaos
          spec: {mode: all, selector: {pods: {NAMESPACE: [POD]}}, stressors: {cpu: {workers: 1}}}
        pods: {prefix: worker}
        active_when: [{field: \"status.conditions[type=AllInjected].status\", equals: \"True\"}]";
        text.replace("NAMESPACE", &self.namespace).replace("POD", &self.workers()[0])
    }

    /// What is there of Chaos Mesh.
    pub fn resources(&self) -> Vec<String> {
        self.kubectl.items(&[KINDS, "-n", &self.namespace]).iter().map(|it| name(it).to_owned()).collect()
    }

    /// The rules that pods still have.
    fn rules(&self) -> Vec<String> {
        let networks = self.kubectl.items(&["podnetworkchaos", "-n", &self.namespace]);
        let rules = networks.iter().flat_map(|it| it["spec"]["tcs"].as_array().cloned().unwrap_or_default());
        rules.map(|rule| rule["source"].as_str().unwrap_or_default().to_owned()).collect()
    }

    #[track_caller]
    pub fn expect_clean(&self) {
        none_of(&self.resources());
        none_of(&self.rules());
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Without a controller, finalizers stay.
        for kind in KINDS.split(',') {
            for object in self.kubectl.items(&[kind, "-n", &self.namespace]) {
                let free = r#"{"metadata": {"finalizers": null}}"#;
                let place = ["-n", &self.namespace, "patch", kind, name(&object), "--type", "merge", "-p", free];
                _ = self.kubectl.try_run(&place);
            }
        }
        _ = self.kubectl.try_run(&["delete", "namespace", &self.namespace, "--wait=false"]);
    }
}

/// The definitions, once: the real ones where they are, else our own.
pub fn define(kubectl: &Kubectl) {
    static DEFINED: OnceLock<()> = OnceLock::new();
    DEFINED.get_or_init(|| define_now(kubectl));
}

fn define_now(kubectl: &Kubectl) {
    let real = root().join("../shared/chaos-mesh/crds");
    let own = root().join("tests/support/crds");
    let folder = if real.is_dir() { real } else { own.join("chaos-mesh.yaml") };
    for path in [folder, own.join("podnetworkchaos.yaml")] {
        kubectl.run(&["apply", "--server-side", "--force-conflicts", "-f", path.to_str().expect("UTF-8")]);
    }
    for kind in KINDS.split(',').chain(["podnetworkchaos"]) {
        let definition = format!("crd/{kind}.chaos-mesh.org");
        kubectl.run(&["wait", "--for=condition=Established", "--timeout=60s", &definition]);
    }
    // A new kind is in the server's list of kinds a moment later.
    wait("kinds", || kubectl.try_run(&["get", KINDS, "-n", "default"]).code() == 0);
}

#[track_caller]
pub fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
