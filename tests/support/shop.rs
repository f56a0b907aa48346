//! Plain pods on the test cluster that connect and are connected to, in a namespace of their own: for tests of which
//! links a partition cuts and which it leaves.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::deployment::TestCluster;
use super::kubectl::name;
use super::server::serve;

/// The two ports on which every pod listens.
pub const PORTS: [u16; 2] = [8080, 9090];

/// A namespace with workloads. It goes with this value.
pub struct Shop {
    pub cluster: &'static TestCluster,
    pub namespace: String,
}

impl Shop {
    /// A namespace with these workloads (name and replicas), each with a service of its name, all of them ready.
    #[track_caller]
    pub fn new(cluster: &'static TestCluster, workloads: &[(&str, usize)]) -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let this = Self { cluster, namespace: format!("shakedown-shop-{}-{serial}", std::process::id()) };
        cluster.kubectl.run(&["create", "namespace", &this.namespace]);
        for (name, replicas) in workloads {
            this.create(service(name));
            this.create(this.deployment(name, *replicas));
        }
        for (name, _) in workloads {
            this.wait_for(name);
        }
        this
    }

    /// Waits until a workload has all its pods, and no others.
    #[track_caller]
    pub fn wait_for(&self, workload: &str) {
        self.kubectl(&["rollout", "status", &format!("deployment/{workload}"), "--timeout=120s"]);
    }

    /// Creates an object here.
    pub fn create(&self, mut object: Value) {
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

    /// The pods of a workload that are not ending: names and addresses.
    #[track_caller]
    pub fn pods(&self, workload: &str) -> Vec<(String, String)> {
        let pods = self.items(&["pods", "-l", &format!("app={workload}")]);
        let alive = pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        alive.map(|pod| (name(pod).to_owned(), text(&pod["status"]["podIP"]))).collect()
    }

    /// The address of a workload's only pod.
    #[track_caller]
    pub fn address(&self, workload: &str) -> String {
        let pods = self.pods(workload);
        assert_eq!(pods.len(), 1, "{pods:?}");
        pods[0].1.clone()
    }

    /// The address of a workload's service.
    #[track_caller]
    pub fn service(&self, workload: &str) -> String {
        self.kubectl(&["get", "service", workload, "-o", "jsonpath={.spec.clusterIP}"])
    }

    /// A scenario with these faults for some seconds, whose only load has nothing to do with the cluster: for tests that look at
    /// links, not at requests.
    pub fn cutting(&self, seconds: u32, faults: &str) -> String {
        format!(
            "version: 1
name: links
namespace: {}
blast_radius: {{max_percent: 100%}}
load: {{aside: {{http: {{url: '{}'}}, rate: 5/s}}}}
phases:
  - {{name: before, duration: 1s}}
  - name: cut
    duration: {seconds}s
    faults:
{faults}
    expect: [{{requests: {{min: 1}}}}]
",
            self.namespace,
            serve(200)
        )
    }

    /// Replaces a pod, and returns when its replacement is ready.
    #[track_caller]
    pub fn replace(&self, workload: &str, pod: &str) {
        self.kubectl(&["delete", "pod", pod, "--wait=true"]);
        self.wait_for(workload);
    }

    /// Whether a new connection from inside a pod comes about within 2 s.
    #[track_caller]
    pub fn connects(&self, pod: &str, address: &str, port: u16) -> bool {
        let port = port.to_string();
        let args = ["-n", &self.namespace, "exec", pod, "--", "/bin/busybox", "nc", "-w", "2", address, &port];
        self.cluster.kubectl.try_run(&args).code() == 0
    }

    /// Waits until a link is open or cut: the network plugin takes a moment. Asking takes time enough to need no pause.
    #[track_caller]
    pub fn expect_link(&self, pod: &str, address: &str, port: u16, open: bool) {
        let begun = Instant::now();
        while self.connects(pod, address, port) != open {
            let word = if open { "cut" } else { "open" };
            assert!(begun.elapsed() < Duration::from_secs(15), "{pod} to {address}:{port} is still {word}");
        }
    }

    fn deployment(&self, name: &str, replicas: usize) -> Value {
        let container = |port: u16| {
            json!({
                "name": format!("port-{port}"),
                "image": self.cluster.program,
                "imagePullPolicy": "Never",
                "args": ["pod", "probe", "--config", json!({"listen": port}).to_string()],
                "ports": [{"containerPort": port}],
                "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
            })
        };
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"terminationGracePeriodSeconds": 0, "containers": PORTS.map(container)},
                },
            },
        })
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let show = |args: &[&str]| self.cluster.kubectl.try_run(&[&["-n", &self.namespace], args].concat()).stdout;
            eprintln!("{}", show(&["get", "pods,networkpolicies,jobs", "-o", "wide", "--show-labels"]));
            eprintln!("{}", show(&["get", "networkpolicies", "-o", "yaml"]));
        }
        self.cluster.kubectl.try_run(&["delete", "namespace", &self.namespace, "--wait=false"]);
    }
}

fn service(name: &str) -> Value {
    let ports: Vec<Value> = PORTS.iter().map(|port| json!({"name": format!("port-{port}"), "port": port})).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": ports},
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
