//! The Kubernetes objects of a topology.

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::{START_ANNOTATION, Topology, Workload, WorkloadKind};
use crate::inference::{Plane, WorkerConfig};
use crate::program::Program;

/// The image of the topology's containers: this program itself.
const IMAGE: &str = "shakedown:latest";

impl Topology {
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
            Program::Discovery(config) => vec![("client", config.port)],
            Program::Worker(config) if config.plane == Plane::Direct => {
                vec![("health", config.health_port), ("requests", config.request_port)]
            }
            Program::Worker(config) => vec![("health", config.health_port)],
            Program::Service(config) => vec![("http", config.port)],
            Program::Redis(config) => vec![("redis", config.port)],
            Program::Postgres(config) => vec![("postgres", config.port)],
            Program::Probe(config) if config.listen == 0 => Vec::new(),
            Program::Probe(config) => vec![("listen", config.listen)],
        }
    }

    fn probe(&self) -> Value {
        let mut probe = self.quick_probe();
        if !self.ready_after.is_zero() && !probe.is_null() {
            // Kubernetes counts in whole seconds.
            let delay = self.ready_after.get();
            probe["initialDelaySeconds"] = (delay.as_secs() + u64::from(delay.subsec_nanos() > 0)).into();
        }
        probe
    }

    fn quick_probe(&self) -> Value {
        match &self.program {
            Program::Bus(_) | Program::Discovery(_) => json!({"tcpSocket": {"port": "client"}, "periodSeconds": 1}),
            Program::Frontend(_) => json!({"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1}),
            Program::Worker(_) => json!({"httpGet": {"path": "/ready", "port": "health"}, "periodSeconds": 1}),
            Program::Service(_) => json!({"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1}),
            Program::Redis(_) => json!({"tcpSocket": {"port": "redis"}, "periodSeconds": 1}),
            Program::Postgres(_) => json!({"tcpSocket": {"port": "postgres"}, "periodSeconds": 1}),
            Program::Probe(config) if config.listen == 0 => Value::Null,
            Program::Probe(_) => json!({"tcpSocket": {"port": "listen"}, "periodSeconds": 1}),
        }
    }
}
