//! An API server and what is in it, asked directly: by plain HTTP, with none of shakedown's own code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use reqwest::{Certificate, Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::actor::is_strange;
use crate::support::leftovers::MANAGED;

/// The label that marks the campaign's own namespaces.
const OURS: &str = "shakedown-campaign";

/// The name of the sandbox as a server.
pub const SANDBOX: &str = "sandbox";

/// A kind of objects that runs create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collection {
    root: &'static str,
    pub plural: &'static str,
    pub kind: &'static str,
}

impl Collection {
    /// The faults first.
    pub const ALL: [Self; 6] = [
        Self { root: "apis/chaos-mesh.org/v1alpha1", plural: "networkchaos", kind: "NetworkChaos" },
        Self { root: "api/v1", plural: "configmaps", kind: "ConfigMap" },
        Self { root: "apis/networking.k8s.io/v1", plural: "networkpolicies", kind: "NetworkPolicy" },
        Self { root: "api/v1", plural: "pods", kind: "Pod" },
        Self { root: "apis/coordination.k8s.io/v1", plural: "leases", kind: "Lease" },
        Self { root: "apis/batch/v1", plural: "jobs", kind: "Job" },
    ];

    /// Where its objects are.
    pub fn path(&self, namespace: &str) -> String {
        format!("/{}/namespaces/{namespace}/{}", self.root, self.plural)
    }

    /// The version of the API.
    pub fn version(&self) -> &'static str {
        self.root.strip_prefix("apis/").unwrap_or("v1")
    }
}

/// Whether an object carries the label of everything that runs create.
pub fn is_managed(object: &Value) -> bool {
    let (label, value) = MANAGED.split_once('=').expect("a label and its value");
    object["metadata"]["labels"][label] == value
}

/// An API server.
#[derive(Clone)]
pub struct Server {
    pub name: &'static str,
    /// Whether it has the kinds of Chaos Mesh.
    pub has_chaos_mesh: bool,
    /// Whether a controller of its own acts on objects of those kinds. Else a case brings one with it.
    pub plays_chaos_mesh: bool,
    pub kubeconfig: PathBuf,
    pub url: String,
    pub client: Client,
    pub token: Option<String>,
}

impl Server {
    /// Whether it is the sandbox and not a real control plane.
    pub fn is_sandbox(&self) -> bool {
        self.name == SANDBOX
    }

    /// The server of a kubeconfig with one cluster and one user.
    pub fn of(name: &'static str, kubeconfig: &Path) -> Self {
        let text = std::fs::read_to_string(kubeconfig).expect("a kubeconfig");
        let config: Value = serde_saphyr::from_str(&text).expect("YAML");
        let cluster = &config["clusters"][0]["cluster"];
        _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder().no_proxy().timeout(Duration::from_secs(60));
        let authority = match (&cluster["certificate-authority"], &cluster["certificate-authority-data"]) {
            (Value::String(path), _) => Some(std::fs::read(path).expect("a certificate")),
            (_, Value::String(data)) => Some(base64::engine::general_purpose::STANDARD.decode(data).expect("base64")),
            _ => None,
        };
        if let Some(authority) = authority {
            let authority = Certificate::from_pem(&authority).expect("PEM");
            builder = builder.tls_certs_only([authority]);
        }
        Self {
            name,
            has_chaos_mesh: true,
            plays_chaos_mesh: name == SANDBOX,
            kubeconfig: kubeconfig.to_owned(),
            url: cluster["server"].as_str().expect("an address").trim_end_matches('/').to_owned(),
            client: builder.build().expect("an HTTP client"),
            token: config["users"][0]["user"]["token"].as_str().map(str::to_owned),
        }
    }

    /// Its release of Kubernetes.
    pub async fn release(&self) -> String {
        let (_, version) = self.ask(Method::GET, "/version", None).await;
        version["gitVersion"].as_str().unwrap_or_default().to_owned()
    }

    /// A request with this server's credentials.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub async fn ask(&self, method: Method, path: &str, body: Option<(&str, Value)>) -> (StatusCode, Value) {
        let answer = self.try_ask(method.clone(), path, body).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// The same where the server may be gone.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn try_ask(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Value)>,
    ) -> Result<(StatusCode, Value), reqwest::Error> {
        let mut request = self.request(method, path);
        if let Some((kind, body)) = body {
            request = request.header("content-type", kind).body(body.to_string());
        }
        let answer = request.send().await?;
        let status = answer.status();
        Ok((status, serde_json::from_slice(&answer.bytes().await.unwrap_or_default()).unwrap_or_default()))
    }

    /// The kinds of objects that runs create here.
    pub fn collections(&self) -> Vec<Collection> {
        let of_chaos_mesh = |it: &Collection| it.plural == "networkchaos";
        Collection::ALL.into_iter().filter(|it| self.has_chaos_mesh || !of_chaos_mesh(it)).collect()
    }

    async fn create(&self, path: &str, object: Value) -> Value {
        for _ in 0..100 {
            let (status, answer) = self.ask(Method::POST, path, Some(("application/json", object.clone()))).await;
            match status {
                status if status.is_success() => return answer,
                // The namespace's service account is made by a controller, a moment after the namespace.
                StatusCode::FORBIDDEN => tokio::time::sleep(Duration::from_millis(100)).await,
                status => panic!("POST {path}: {status} {answer}"),
            }
        }
        panic!("POST {path}: forbidden for 10 s")
    }

    /// A namespace with pods that run according to the API server: no node has them, and the test writes their status.
    pub async fn namespace(&self, name: &str, pods: &[&str]) {
        let labels = json!({OURS: "true"});
        self.create(
            "/api/v1/namespaces",
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}),
        )
        .await;
        // A pod without an owner is not killed. This object owns them, and creates none.
        let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}});
        let owner = self.create(&format!("/api/v1/namespaces/{name}/configmaps"), owner).await;
        let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"],
            "controller": true}]);
        for (index, pod) in pods.iter().enumerate() {
            let path = format!("/api/v1/namespaces/{name}/pods");
            let object = json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": pod, "labels": {"app": pod}, "ownerReferences": owner},
                "spec": {
                    "schedulerName": "nobody",
                    "automountServiceAccountToken": false,
                    "containers": [{"name": "c", "image": "nothing.invalid/nothing"}],
                },
            });
            self.create(&path, object).await;
            let ip = format!("10.99.0.{}", index + 1);
            let status = json!({"status": {
                "phase": "Running",
                "podIP": ip,
                "podIPs": [{"ip": ip}],
                "conditions": [{"type": "Ready", "status": "True"}],
            }});
            let body = Some(("application/merge-patch+json", status));
            let (code, answer) = self.ask(Method::PATCH, &format!("{path}/{pod}/status"), body).await;
            assert!(code.is_success(), "{code} {answer}");
        }
    }

    /// Deletes a namespace of the campaign, without waiting for its end.
    pub async fn forget(&self, namespace: &str) {
        self.ask(Method::DELETE, &format!("/api/v1/namespaces/{namespace}"), None).await;
    }

    pub async fn items(&self, path: &str) -> Vec<Value> {
        let (status, answer) = self.ask(Method::GET, path, None).await;
        assert!(status.is_success(), "GET {path}: {status} {answer}");
        answer["items"].as_array().cloned().unwrap_or_default()
    }

    /// Everything of shakedown's in a namespace but the marks, by kind and name; the faults first. What has one of these UIDs is
    /// among it whatever labels it carries, and what another actor made is not.
    pub async fn left(&self, namespace: &str, ours: &BTreeSet<String>) -> Vec<String> {
        let mut left = Vec::new();
        for collection in self.collections() {
            for object in self.items(&collection.path(namespace)).await {
                let made = object["metadata"]["uid"].as_str().is_some_and(|uid| ours.contains(uid));
                if (made || is_managed(&object)) && !is_strange(&object) {
                    let name = object["metadata"]["name"].as_str().unwrap_or_default();
                    left.push(format!("{}/{name}", collection.plural));
                }
            }
        }
        if self.has_chaos_mesh {
            let path = format!("/apis/chaos-mesh.org/v1alpha1/namespaces/{namespace}/podnetworkchaos");
            let rules = |it: &Value| it["spec"]["tcs"].as_array().is_some_and(|rules| !rules.is_empty());
            left.extend(
                self.items(&path)
                    .await
                    .iter()
                    .filter(|it| rules(it))
                    .map(|it| format!("rules of {}", it["metadata"]["name"])),
            );
        }
        left
    }

    /// The pods that carry a mark.
    pub async fn marked(&self, namespace: &str) -> Vec<String> {
        let pods = self.items(&format!("/api/v1/namespaces/{namespace}/pods")).await;
        let is_marked = |pod: &&Value| crate::support::leftovers::marks(pod).next().is_some() && !is_strange(pod);
        let marked = pods.iter().filter(is_marked);
        marked.map(|pod| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect()
    }
}
