//! The layers between kube's client and the network: they reload credentials that the server no longer accepts, and
//! convert answers of overloaded servers into the one form that kube passes on.
//!
//! `objects` decides which requests are retried, and for how long.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode, header};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::ClusterError;
use super::config::configuration;
use super::error::chain;
use super::options::ConnectOptions;

/// The minimum interval between two readings of the credentials: reading may start a plugin.
const RENEWAL: Duration = Duration::from_secs(2);

/// A client for the configuration that reads it again when its credentials are refused.
pub(super) fn client(options: ConnectOptions, config: kube::Config) -> Result<Client, ClusterError> {
    let namespace = config.default_namespace.clone();
    let transport = Arc::new(Transport {
        options,
        server: config.cluster_url.clone(),
        state: Mutex::new(CurrentClient { client: build(config)?, number: 0 }),
        renewal: tokio::sync::Mutex::new(None),
    });
    let service = tower::service_fn(move |request| {
        let transport = transport.clone();
        async move { transport.send(request).await }
    });
    Ok(Client::new(service, namespace))
}

fn build(config: kube::Config) -> Result<Client, ClusterError> {
    Client::try_from(config).map_err(|error| ClusterError::NotConfigured(chain(&error)))
}

struct Transport {
    options: ConnectOptions,
    server: http::Uri,
    state: Mutex<CurrentClient>,
    /// When the credentials were last read again. Locked during the reading, so that it happens once.
    renewal: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Clone)]
struct CurrentClient {
    client: Client,
    /// The number of times that the credentials were read again.
    number: u64,
}

impl Transport {
    async fn send(self: &Arc<Self>, request: Request<Body>) -> Result<Response<Body>, kube::Error> {
        let (parts, body) = request.into_parts();
        let again = body.try_clone().map(|body| Request::from_parts(parts.clone(), body));
        let state = self.state();
        let mut response = state.client.send(Request::from_parts(parts, body)).await?;
        if let (StatusCode::UNAUTHORIZED, Some(again)) = (response.status(), again)
            && let Some(client) = self.clone().renewed(state.number).await
        {
            // A refused request was not carried out: sending it again is safe.
            response = client.send(again).await?;
        }
        explained(response).await
    }

    fn state(&self) -> CurrentClient {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A client with credentials that were read after those of `number`; None if they cannot be read or were read just now.
    async fn renewed(self: Arc<Self>, number: u64) -> Option<Client> {
        // In a separate task: a plugin may take longer than the request that waits for it, and a later request uses its answer.
        tokio::spawn(async move { self.renew(number).await }).await.ok().flatten()
    }

    async fn renew(&self, number: u64) -> Option<Client> {
        let mut renewal = self.renewal.lock().await;
        let state = self.state();
        if state.number > number {
            return Some(state.client);
        }
        if renewal.is_some_and(|at| at.elapsed() < RENEWAL) {
            return None;
        }
        *renewal = Some(Instant::now());
        let (config, _) = configuration(&self.options).await.ok()?;
        // The run's objects are in this cluster and in no other.
        if config.cluster_url != self.server {
            return None;
        }
        let client = build(config).ok()?;
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) =
            CurrentClient { client: client.clone(), number: number + 1 };
        Some(client)
    }
}

/// An error's answer as a `Status` object with its code, and with the header `Retry-After` as a field of it: kube passes on
/// nothing else, and proxies and an overloaded API server answer with plain text.
async fn explained(response: Response<Body>) -> Result<Response<Body>, kube::Error> {
    let code = response.status();
    if !code.is_client_error() && !code.is_server_error() {
        return Ok(response);
    }
    let wait = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let (mut parts, body) = response.into_parts();
    let bytes = body.collect_bytes().await?;
    let status = status(code.as_u16(), wait, &bytes);
    // The body no longer has the length and type of the header.
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::TRANSFER_ENCODING);
    Ok(Response::from_parts(parts, Body::from(status.to_string().into_bytes())))
}

fn status(code: u16, wait: Option<u32>, body: &[u8]) -> Value {
    let mut status = match serde_json::from_slice::<Value>(body) {
        Ok(status) if status["kind"] == "Status" => status,
        _ => {
            let text: String = String::from_utf8_lossy(body).trim().chars().take(500).collect();
            let message = if text.is_empty() { format!("the server answered {code}") } else { text };
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": ""})
        }
    };
    status["code"] = json!(code);
    if let Some(wait) = wait
        && status["details"]["retryAfterSeconds"].as_u64().unwrap_or_default() == 0
    {
        status["details"]["retryAfterSeconds"] = json!(wait);
    }
    status
}

#[cfg(test)]
mod tests {
    use shakedown_fakes::HttpServer;
    use shakedown_fakes::kubernetes::{VERSION, json_answer, kubeconfig};

    use super::*;
    use crate::{Kind, ObjectKey};

    /// A server that accepts one token and answers with a version or 404.
    fn server(token: Arc<Mutex<String>>) -> HttpServer {
        HttpServer::start(move |request| {
            let known = request.header("authorization") == Some(&format!("Bearer {}", token.lock().unwrap()));
            match (known, request.target()) {
                (false, _) => json_answer(401, r#"{"kind": "Status", "code": 401}"#),
                (true, "/version") => json_answer(200, VERSION),
                (true, _) => json_answer(404, r#"{"kind": "Status", "code": 404}"#),
            }
        })
    }

    #[tokio::test]
    async fn an_expired_token_is_read_again_from_its_file() {
        _ = rustls::crypto::ring::default_provider().install_default();
        let token = Arc::new(Mutex::new("one".to_owned()));
        let server = server(token.clone());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "one").unwrap();
        let kubeconfig = kubeconfig(&server.url(), &json!({"tokenFile": file.path()}));
        let options = ConnectOptions { kubeconfig_text: Some(kubeconfig), ..ConnectOptions::default() };
        let cluster = crate::connect(&options).await.unwrap();
        let pod = ObjectKey { kind: Kind::Pod, namespace: "n".into(), name: "p".into(), uid: None };
        assert_eq!(cluster.get(&pod).await.unwrap(), None);
        // The old token expires immediately; the file has the new one, as kubelets and CI systems write it.
        *token.lock().unwrap() = "two".to_owned();
        std::fs::write(file.path(), "two\n").unwrap();
        assert_eq!(cluster.get(&pod).await.unwrap(), None);
        *token.lock().unwrap() = "three".to_owned();
        assert!(
            matches!(cluster.get(&pod).await, Err(ClusterError::Unauthenticated { .. })),
            "the file does not have it"
        );
    }

    /// Cloud tokens live for minutes: a longer run calls its plugin again, and its open watch continues.
    #[tokio::test]
    async fn an_expired_token_of_a_plugin_is_asked_for_again_during_a_watch() {
        use futures::StreamExt;
        _ = rustls::crypto::ring::default_provider().install_default();
        let token = Arc::new(Mutex::new("one".to_owned()));
        let current = token.clone();
        let server = HttpServer::start(move |request| {
            let is_known = request.header("authorization") == Some(&format!("Bearer {}", current.lock().unwrap()));
            let pods = r#"{"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []}"#;
            match (is_known, request.target()) {
                (false, _) => json_answer(401, r#"{"kind": "Status", "code": 401}"#),
                (true, "/version") => json_answer(200, VERSION),
                // Each watch ends at once, as behind a proxy that cuts it.
                (true, target) if target.contains("watch=") => json_answer(200, ""),
                (true, _) => json_answer(200, pods),
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let (file, runs) = (folder.path().join("token"), folder.path().join("runs"));
        std::fs::write(&file, "one").unwrap();
        let credential =
            r#"{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "%s"}}"#;
        let script = format!("echo run >> {}; printf '{credential}' \"$(cat {})\"", runs.display(), file.display());
        let exec = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh",
            "args": ["-c", script], "interactiveMode": "Never"}});
        let options =
            ConnectOptions { kubeconfig_text: Some(kubeconfig(&server.url(), &exec)), ..ConnectOptions::default() };
        let cluster = crate::connect(&options).await.unwrap();
        let runs = || std::fs::read_to_string(&runs).unwrap().lines().count();
        let mut changes = cluster.watch(Kind::Pod, "n").boxed();
        assert!(matches!(changes.next().await, Some(crate::Change::Listed(_))));
        let before = runs();
        *token.lock().unwrap() = "two".to_owned();
        std::fs::write(&file, "two").unwrap();
        let asked = server.requests().len();
        assert!(cluster.list(Kind::Pod, "n", None).await.unwrap().is_empty());
        assert_eq!(runs(), before + 1, "the plugin was asked once");
        // The watch uses the new token as well, so it is never refused.
        let is_watched = || {
            let later = server.requests().split_off(asked);
            later.iter().any(|it| it.target().contains("watch=") && it.header("authorization") == Some("Bearer two"))
        };
        while !is_watched() {
            let change = tokio::time::timeout(std::time::Duration::from_millis(50), changes.next()).await;
            assert!(!matches!(change, Ok(Some(crate::Change::Broken { .. }))), "{change:?}");
        }
        assert_eq!(runs(), before + 1);
    }

    #[tokio::test]
    async fn credentials_are_read_again_for_the_same_cluster_only() {
        _ = rustls::crypto::ring::default_provider().install_default();
        let token = Arc::new(Mutex::new("one".to_owned()));
        let (first, other) = (server(token.clone()), server(Arc::new(Mutex::new("one".to_owned()))));
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |server: &HttpServer, user: &str| {
            std::fs::write(file.path(), kubeconfig(&server.url(), &json!({"token": user}))).unwrap();
        };
        write(&first, "one");
        let options = ConnectOptions { kubeconfig: Some(file.path().to_owned()), ..ConnectOptions::default() };
        let cluster = crate::connect(&options).await.unwrap();
        // The token ends, and the file has another cluster by then.
        *token.lock().unwrap() = "two".to_owned();
        write(&other, "one");
        let pod = ObjectKey { kind: Kind::Pod, namespace: "n".into(), name: "p".into(), uid: None };
        assert!(matches!(cluster.get(&pod).await, Err(ClusterError::Unauthenticated { .. })));
        assert!(other.requests().is_empty(), "the other cluster is asked nothing");
    }

    #[test]
    fn every_error_becomes_a_status_that_says_when_to_come_back() {
        let plain = status(429, Some(3), b"Too many requests, please try again later.\n");
        assert_eq!(plain["message"], "Too many requests, please try again later.");
        assert_eq!((&plain["code"], &plain["details"]["retryAfterSeconds"]), (&json!(429), &json!(3)));
        let own = br#"{"kind": "Status", "code": 429, "details": {"retryAfterSeconds": 9}, "message": "m"}"#;
        assert_eq!(status(429, Some(3), own)["details"]["retryAfterSeconds"], 9, "the server's own field goes first");
        let other = status(503, None, b"{}");
        assert_eq!((&other["code"], &other["message"]), (&json!(503), &json!("{}")));
        assert_eq!(status(500, None, b"")["message"], "the server answered 500");
    }
}
