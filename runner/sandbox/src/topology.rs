//! The topology of the sandbox: a small file, and its Kubernetes objects.
//!
//! In scope: the file's format, its checks, and the objects. Out of scope: running the objects (`controllers`, `node`).

use std::collections::BTreeSet;

use anyhow::{Context, bail, ensure};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shakedown_schemas::units::Duration;

use super::inference::WorkerConfig;
use super::program::Program;

/// The most pods of a sandbox. Each has its own address.
const MAX_PODS: u32 = 100;
/// The annotation of a pod with the time from its scheduling to the start of its program.
pub(crate) const START_ANNOTATION: &str = "sandbox.shakedown.dev/start";
/// The image of the topology's containers: this program itself.
const IMAGE: &str = "shakedown:latest";

/// The topology of the sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// The default namespace of workloads, and the current namespace of the kubeconfig.
    pub namespace: String,
    /// Further namespaces with their labels.
    #[serde(default)]
    pub namespaces: IndexMap<String, IndexMap<String, String>>,
    /// The deployed parts.
    pub workloads: Vec<Workload>,
}

/// A group of pods that run the same program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// The name of the Deployment or StatefulSet, of its service, and the value of the label `app` of its pods.
    pub name: String,
    /// The namespace, if not the topology's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The kind of object that owns the pods.
    #[serde(default)]
    pub kind: WorkloadKind,
    /// The number of pods.
    #[serde(default = "one")]
    pub replicas: u32,
    /// Labels of the pods in addition to `app`.
    #[serde(default)]
    pub labels: IndexMap<String, String>,
    /// Whether a service of the same name leads to the pods.
    #[serde(default = "yes")]
    pub service: bool,
    /// The time from the scheduling of a pod to the start of its program.
    #[serde(default = "default_start")]
    pub start: Duration,
    /// The program of the pods.
    pub program: Program,
}

/// The kind of object that owns pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkloadKind {
    /// A Deployment: a replaced pod has a new name.
    #[default]
    Deployment,
    /// A StatefulSet: a replaced pod has the same name.
    StatefulSet,
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

fn default_start() -> Duration {
    Duration::from_millis(500)
}

impl Default for Topology {
    /// A frontend, three workers and a bus.
    fn default() -> Self {
        match Self::parse(Self::DEFAULT) {
            Ok(topology) => topology,
            Err(error) => unreachable!("the embedded topology is tested: {error:#}"),
        }
    }
}

impl Topology {
    /// The default topology's file.
    pub const DEFAULT: &str = include_str!("topology.yaml");

    /// Reads a topology from YAML.
    ///
    /// # Errors
    /// When the text is not YAML or has unknown keys, when names are not unique DNS labels, or when there are more than 100
    /// pods.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let topology: Self = serde_saphyr::from_str(text).context("the topology cannot be read")?;
        topology.check()?;
        Ok(topology)
    }

    /// The workload of that name.
    pub fn workload_mut(&mut self, name: &str) -> Option<&mut Workload> {
        self.workloads.iter_mut().find(|w| w.name == name)
    }

    /// The workloads that run workers.
    pub fn workers_mut(&mut self) -> impl Iterator<Item = (&mut u32, &mut WorkerConfig)> {
        self.workloads.iter_mut().filter_map(|workload| match &mut workload.program {
            Program::Worker(config) => Some((&mut workload.replicas, config)),
            _ => None,
        })
    }

    /// Checks the rules that the file's format cannot express.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let mut names = BTreeSet::new();
        for namespace in self.namespaces.keys().chain([&self.namespace]) {
            ensure!(is_dns_label(namespace), "`{namespace}` cannot be the name of a namespace");
        }
        for workload in &self.workloads {
            let name = &workload.name;
            ensure!(is_dns_label(name), "`{name}` cannot be the name of a workload");
            if !names.insert((self.namespace_of(workload), name)) {
                bail!("there are two workloads `{name}`");
            }
        }
        let pods: u64 = self.workloads.iter().map(|w| u64::from(w.replicas)).sum();
        ensure!(pods <= u64::from(MAX_PODS), "{pods} pods are more than the {MAX_PODS} that a sandbox can hold");
        Ok(())
    }

    /// The namespace of a workload.
    pub(crate) fn namespace_of<'a>(&'a self, workload: &'a Workload) -> &'a str {
        workload.namespace.as_deref().unwrap_or(&self.namespace)
    }

    /// The namespaces that it needs, in order, with their labels.
    pub(crate) fn namespace_objects(&self) -> Vec<Value> {
        let mut all: IndexMap<&str, IndexMap<String, String>> =
            ["default", "kube-node-lease", "kube-public", "kube-system"].map(|name| (name, IndexMap::new())).into();
        all.entry(&self.namespace).or_default();
        for workload in &self.workloads {
            all.entry(self.namespace_of(workload)).or_default();
        }
        for (name, labels) in &self.namespaces {
            all.insert(name, labels.clone());
        }
        all.into_iter()
            .map(|(name, labels)| {
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
            })
            .collect()
    }

    /// Services and workloads, in the order of creation.
    pub(crate) fn objects(&self) -> Vec<Value> {
        let services = self.workloads.iter().filter(|w| w.service).map(|w| self.service(w));
        services.chain(self.workloads.iter().map(|w| self.owner(w))).collect()
    }

    fn service(&self, workload: &Workload) -> Value {
        let ports: Vec<Value> = workload
            .ports()
            .into_iter()
            .map(|(name, port)| json!({"name": name, "port": port, "targetPort": name, "protocol": "TCP"}))
            .collect();
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": workload.name, "namespace": self.namespace_of(workload), "labels": workload.all_labels()},
            "spec": {"selector": {"app": workload.name}, "ports": ports},
        })
    }

    fn owner(&self, workload: &Workload) -> Value {
        let ports: Vec<Value> =
            workload.ports().into_iter().map(|(name, port)| json!({"name": name, "containerPort": port})).collect();
        let mut program = workload.program.clone();
        let mut env = json!([]);
        if let Program::Worker(config) = &mut program {
            // The kubelet puts the variable's value in its place, here and on a real node.
            config.id = "$(POD_NAME)".into();
            env = json!([{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]);
        }
        let volume = match &program {
            Program::Worker(WorkerConfig { cache: Some(folder), .. }) => Some(folder.clone()),
            _ => None,
        };
        let mut container = json!({
            "name": workload.program.name(),
            "image": IMAGE,
            "imagePullPolicy": "Never",
            "command": ["shakedown", "pod"],
            "args": program.to_args(),
            "env": env,
            "ports": ports,
            "readinessProbe": workload.probe(),
        });
        if let Program::Worker(_) = &workload.program {
            // The processor that its work shares with stress.
            container["resources"] = json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}});
        }
        let mut pod = json!({"terminationGracePeriodSeconds": 5});
        if let Some(folder) = volume {
            container["volumeMounts"] = json!([{"name": "data", "mountPath": folder}]);
            pod["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
        }
        pod["containers"] = json!([container]);
        let labels = workload.all_labels();
        let kind = match workload.kind {
            WorkloadKind::Deployment => "Deployment",
            WorkloadKind::StatefulSet => "StatefulSet",
        };
        let mut object = json!({
            "apiVersion": "apps/v1", "kind": kind,
            "metadata": {"name": workload.name, "namespace": self.namespace_of(workload), "labels": labels},
            "spec": {
                "replicas": workload.replicas,
                "selector": {"matchLabels": {"app": workload.name}},
                "template": {
                    "metadata": {"labels": labels, "annotations": {START_ANNOTATION: workload.start.to_string()}},
                    "spec": pod,
                },
            },
        });
        if workload.kind == WorkloadKind::StatefulSet {
            object["spec"]["serviceName"] = workload.name.clone().into();
        }
        object
    }
}

impl Workload {
    fn all_labels(&self) -> IndexMap<String, String> {
        let mut labels: IndexMap<_, _> = [("app".to_string(), self.name.clone())].into();
        labels.extend(self.labels.clone());
        labels
    }

    fn ports(&self) -> Vec<(&'static str, u16)> {
        match &self.program {
            Program::Bus(config) => vec![("client", config.port)],
            Program::Frontend(config) => vec![("http", config.port), ("responses", config.response_port)],
            Program::Worker(config) => vec![("health", config.health_port)],
            Program::Probe(config) if config.listen == 0 => Vec::new(),
            Program::Probe(config) => vec![("listen", config.listen)],
        }
    }

    fn probe(&self) -> Value {
        match &self.program {
            Program::Bus(_) => json!({"tcpSocket": {"port": "client"}, "periodSeconds": 1}),
            Program::Frontend(_) => json!({"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1}),
            Program::Worker(_) => json!({"httpGet": {"path": "/ready", "port": "health"}, "periodSeconds": 1}),
            Program::Probe(config) if config.listen == 0 => Value::Null,
            Program::Probe(_) => json!({"tcpSocket": {"port": "listen"}, "periodSeconds": 1}),
        }
    }
}

fn is_dns_label(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 52
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.ends_with(edge)
        && text.chars().all(|c| edge(c) || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_a_frontend_three_workers_and_a_bus() {
        let topology = Topology::default();
        let shown: Vec<_> =
            topology.workloads.iter().map(|w| (w.name.as_str(), w.replicas, w.program.name())).collect();
        assert_eq!(
            shown,
            [("nats", 1, "bus"), ("vllm-agg-0-frontend", 1, "frontend"), ("vllm-agg-0-vllmdecodeworker", 3, "worker"),]
        );
        let text = serde_json::to_string(&topology).unwrap();
        assert_eq!(serde_json::from_str::<Topology>(&text).unwrap(), topology);
    }

    #[test]
    fn replicas_can_be_set() {
        let mut topology = Topology::default();
        topology.workers_mut().for_each(|(replicas, _)| *replicas = 1);
        assert_eq!(topology.workload_mut("vllm-agg-0-vllmdecodeworker").unwrap().replicas, 1);
    }

    #[test]
    fn what_cannot_run_is_refused() {
        for (text, part) in [
            ("namespace: a\nworkloads: []\nextra: 1\n", "extra"),
            ("namespace: A\nworkloads: []\n", "`A` cannot be"),
            ("namespace: a\nworkloads: [{name: b, program: {nginx: {}}}]\n", "nginx"),
            ("namespace: a\nworkloads: [{name: b, replicas: 101, program: {bus: {}}}]\n", "101 pods"),
            (
                "namespace: a\nworkloads: [{name: b, program: {bus: {}}}, {name: b, program: {bus: {}}}]\n",
                "two workloads",
            ),
            ("namespace: a\nworkloads: [{name: b, program: {worker: {heartbeat: 5}}}]\n", "5"),
            ("", "topology"),
        ] {
            let error = format!("{:#}", Topology::parse(text).unwrap_err());
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
