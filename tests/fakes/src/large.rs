//! A large cluster. Its objects are made when they are asked for, so that the server needs no memory for them. Their size and
//! fields are those of a Deployment's pod and of a node as an API server sends them.

use std::fmt::Write as _;

use serde_json::json;

use crate::kubernetes::json_answer;
use crate::{Answer, Request};

const POD: &str = include_str!("large/pod.json");
const NODE: &str = include_str!("large/node.json");

/// The apps of each namespace. Pods belong to them in turn.
const APPS: [&str; 2] = ["web", "bus"];

/// The numbers of objects of a cluster. Each namespace has the Deployments `web` and `bus`, with a Service `bus` on port 80.
/// Node N has the pod range number N below 10.0.0.0/8, in steps of a /24.
#[derive(Debug, Clone, Copy)]
pub struct LargeCluster {
    /// The number of namespaces, named `team-0` and so on.
    pub namespaces: usize,
    /// The number of pods in all namespaces, at most 250 for each node.
    pub pods: usize,
    /// The number of nodes, at most 65,536.
    pub nodes: usize,
}

/// What a request for a list asks for.
struct Asked<'a> {
    limit: usize,
    offset: usize,
    app: Option<&'a str>,
    only_metadata: bool,
}

impl LargeCluster {
    /// The answer of its API server.
    pub fn answer(&self, request: &Request) -> Answer {
        let (path, query) = request.target().split_once('?').unwrap_or((request.target(), ""));
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let asked = Asked {
            limit: value("limit").and_then(|text| text.parse().ok()).unwrap_or(usize::MAX),
            offset: value("continue").and_then(|text| text.parse().ok()).unwrap_or(0),
            app: value("labelSelector").and_then(|text| text.strip_prefix("app%3D")),
            only_metadata: request.header("accept").is_some_and(|accept| accept.contains("PartialObjectMetadata")),
        };
        let number = |namespace: &str| namespace.strip_prefix("team-")?.parse().ok().filter(|it| *it < self.namespaces);
        match (request.method(), parts.as_slice()) {
            ("POST", ["apis", "authorization.k8s.io", "v1", ..]) => {
                let rules = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]);
                let status =
                    json!({"allowed": true, "resourceRules": rules, "nonResourceRules": [], "incomplete": false});
                json_answer(201, json!({"metadata": {}, "spec": {}, "status": status}).to_string())
            }
            ("GET", ["api", "v1"]) => {
                let verbs = json!(["create", "delete", "get", "list"]);
                let map = json!({"name": "configmaps", "kind": "ConfigMap", "namespaced": true, "verbs": verbs});
                json_answer(200, json!({"groupVersion": "v1", "resources": [map]}).to_string())
            }
            ("GET", ["api", "v1", "nodes"]) => list(&asked, 0..self.nodes, |node| self.node(node)),
            ("GET", ["api", "v1", "namespaces"]) => list(&asked, 0..self.namespaces, namespace),
            ("GET", ["api", "v1", "pods"]) => self.pods(&asked, 0..self.pods),
            ("GET", ["api", "v1", "namespaces", name, rest @ ..]) => match (number(name), rest) {
                (Some(at), []) => json_answer(200, namespace(at)),
                (Some(at), ["pods"]) => self.pods(&asked, (at..self.pods).step_by(self.namespaces)),
                (Some(_), ["services", "bus"]) => json_answer(200, service(name)),
                _ => absent(),
            },
            ("GET", ["apis", "apps", "v1", "namespaces", namespace, "deployments", name]) if APPS.contains(name) => {
                let metadata = json!({"name": name, "namespace": namespace, "uid": uid("deployment", namespace, name)});
                json_answer(
                    200,
                    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}).to_string(),
                )
            }
            ("GET", ["apis", "apps", "v1", "namespaces", name, "replicasets"]) => {
                list(&asked, 0..APPS.len(), |app| replica_set(name, APPS[app]))
            }
            ("GET", ["apis", "networking.k8s.io", "v1", "networkpolicies"]) => {
                list(&asked, 0..self.namespaces, |at| policy(&format!("team-{at}")))
            }
            ("GET", ["apis", "networking.k8s.io", "v1", "namespaces", name, "networkpolicies"]) => {
                list(&asked, 0..1, |_| policy(name))
            }
            _ => absent(),
        }
    }

    /// A list of pods by their numbers.
    fn pods(&self, asked: &Asked<'_>, numbers: impl Iterator<Item = usize>) -> Answer {
        let wanted = numbers.filter(|pod| asked.app.is_none_or(|app| self.app(*pod) == app));
        list(asked, wanted, |pod| self.pod(pod))
    }

    fn app(&self, pod: usize) -> &'static str {
        APPS[pod / self.namespaces % APPS.len()]
    }

    fn pod(&self, number: usize) -> String {
        let (app, namespace, node) = (self.app(number), number % self.namespaces, number % self.nodes);
        let ip = format!("10.{}.{}.{}", node >> 8, node & 255, 2 + number / self.nodes);
        POD.replace("@namespace@", &format!("team-{namespace}"))
            .replace("@name@", &format!("{app}-7d4b9c6f58-{number:05}"))
            .replace("@set@", &format!("{app}-7d4b9c6f58"))
            .replace("@owner@", &uid("set", &format!("team-{namespace}"), app))
            .replace("@app@", app)
            .replace("@uid@", &format!("00000000-0000-4000-8000-{number:012}"))
            .replace("@node@", &format!("node-{node}"))
            .replace("@host@", &host(node))
            .replace("@ip@", &ip)
    }

    fn node(&self, number: usize) -> String {
        NODE.replace("@node@", &format!("node-{number}"))
            .replace("@uid@", &format!("00000000-0000-4000-9000-{number:012}"))
            .replace("@host@", &host(number))
            .replace("@cidr@", &format!("10.{}.{}.0/24", number >> 8, number & 255))
    }
}

fn absent() -> Answer {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
        "message": "the server could not find the requested resource"});
    json_answer(404, status.to_string())
}

/// A part of a list, with a token for the next one.
fn list(asked: &Asked<'_>, numbers: impl Iterator<Item = usize>, object: impl Fn(usize) -> String) -> Answer {
    let mut numbers = numbers.skip(asked.offset);
    let mut body = String::from(r#"{"kind":"List","apiVersion":"v1","items":["#);
    let mut count = 0;
    for number in numbers.by_ref().take(asked.limit) {
        if count > 0 {
            body.push(',');
        }
        let mut whole = object(number);
        if asked.only_metadata {
            let metadata = serde_json::from_str::<serde_json::Value>(&whole).unwrap_or_default();
            whole = json!({"metadata": metadata["metadata"]}).to_string();
        }
        body.push_str(&whole);
        count += 1;
    }
    let left = numbers.count();
    let go_on = if left > 0 { (asked.offset + count).to_string() } else { String::new() };
    _ = write!(body, r#"],"metadata":{{"resourceVersion":"48211907","continue":"{go_on}"}}}}"#);
    json_answer(200, body)
}

fn host(node: usize) -> String {
    format!("172.16.{}.{}", node >> 8, node & 255)
}

fn uid(what: &str, namespace: &str, name: &str) -> String {
    format!("{what}-{namespace}-{name}")
}

fn namespace(number: usize) -> String {
    let name = format!("team-{number}");
    let labels = json!({"kubernetes.io/metadata.name": name, "team": name});
    json!({"metadata": {"name": name, "labels": labels}, "status": {"phase": "Active"}}).to_string()
}

fn service(namespace: &str) -> String {
    let ports = json!([{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]);
    let spec =
        json!({"clusterIP": "10.255.0.10", "clusterIPs": ["10.255.0.10"], "ports": ports, "selector": {"app": "bus"}});
    let metadata = json!({"name": "bus", "namespace": namespace});
    json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}).to_string()
}

fn replica_set(namespace: &str, app: &str) -> String {
    let owner = uid("deployment", namespace, app);
    let owners =
        json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": app, "uid": owner, "controller": true}]);
    let name = format!("{app}-7d4b9c6f58");
    let metadata =
        json!({"name": name, "namespace": namespace, "uid": uid("set", namespace, app), "ownerReferences": owners});
    json!({"metadata": metadata, "spec": {"replicas": 10}}).to_string()
}

/// A policy that selects none of the pods.
fn policy(namespace: &str) -> String {
    let spec = json!({"podSelector": {"matchLabels": {"app": "database"}}, "policyTypes": ["Ingress"]});
    json!({"metadata": {"name": "database", "namespace": namespace}, "spec": spec}).to_string()
}
