//! An API server and what is in it, asked directly: by plain HTTP, with none of shakedown's own code.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::support::leftovers::MANAGED;

/// The label that marks the campaign's own namespaces.
const OURS: &str = "shakedown-campaign";

/// The name of the sandbox as a server.
pub const SANDBOX: &str = "sandbox";

/// An API server.
#[derive(Clone)]
pub struct Server {
    pub name: &'static str,
    /// Whether anybody acts on objects of Chaos Mesh there.
    pub has_chaos_mesh: bool,
    pub kubeconfig: PathBuf,
    pub url: String,
    pub client: Client,
    pub token: Option<String>,
}

impl Server {
    /// The server of a kubeconfig with one cluster and one user.
    pub fn of(name: &'static str, kubeconfig: &Path) -> Self {
        let text = std::fs::read_to_string(kubeconfig).expect("a kubeconfig");
        let config: Value = serde_saphyr::from_str(&text).expect("YAML");
        let cluster = &config["clusters"][0]["cluster"];
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
            has_chaos_mesh: name == SANDBOX,
            kubeconfig: kubeconfig.to_owned(),
            url: cluster["server"].as_str().expect("an address").trim_end_matches('/').to_owned(),
            client: builder.build().expect("an HTTP client"),
            token: config["users"][0]["user"]["token"].as_str().map(str::to_owned),
        }
    }

    pub async fn ask(&self, method: Method, path: &str, body: Option<(&str, Value)>) -> (StatusCode, Value) {
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some((kind, body)) = body {
            request = request.header("content-type", kind).body(body.to_string());
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let status = answer.status();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap_or_default()).unwrap_or_default())
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

    /// A namespace with pods that run as far as the API server knows: nobody schedules them, and their status is ours.
    pub async fn namespace(&self, name: &str, pods: &[&str]) {
        let labels = json!({OURS: "true"});
        self.create(
            "/api/v1/namespaces",
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}),
        )
        .await;
        // Pods that nobody would make anew are not killed; this object owns them, and makes none.
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

    async fn items(&self, path: &str) -> Vec<Value> {
        let (status, answer) = self.ask(Method::GET, path, None).await;
        assert!(status.is_success(), "GET {path}: {status} {answer}");
        answer["items"].as_array().cloned().unwrap_or_default()
    }

    /// Everything of shakedown's in a namespace but the marks, by kind and name; the faults first.
    pub async fn left(&self, namespace: &str) -> Vec<String> {
        let mut left = Vec::new();
        let of_chaos_mesh = [("apis/chaos-mesh.org/v1alpha1", "networkchaos"), ("api/v1", "configmaps")];
        let of_chaos_mesh = of_chaos_mesh.into_iter().filter(|_| self.has_chaos_mesh);
        for (api, plural) in of_chaos_mesh.chain([
            ("apis/networking.k8s.io/v1", "networkpolicies"),
            ("api/v1", "pods"),
            ("apis/coordination.k8s.io/v1", "leases"),
            ("apis/batch/v1", "jobs"),
        ]) {
            let path = format!("/{api}/namespaces/{namespace}/{plural}?labelSelector={}", MANAGED.replace('=', "%3D"));
            let names =
                self.items(&path).await.into_iter().map(|item| item["metadata"]["name"].as_str().map(str::to_owned));
            left.extend(names.flatten().map(|name| format!("{plural}/{name}")));
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
        let marked = pods.iter().filter(|pod| crate::support::leftovers::marks(pod).next().is_some());
        marked.map(|pod| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect()
    }
}
