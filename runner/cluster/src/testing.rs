//! An API server for tests that answers what it is told to, by the first line of each request.

pub mod store;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpListener;

use super::{Cluster, ConnectOptions, connect};

/// What is answered: a status, further headers, and a body.
pub type Answer = (u16, &'static str, String);

/// A server that answers each request by its first line, which its body follows, and its number among those but the
/// version's, from 0.
pub async fn server(answer: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Cluster {
    _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let count = AtomicUsize::new(0);
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufStream::new(stream);
            let (mut first, mut line, mut body) = (String::new(), String::new(), 0);
            while stream.read_line(&mut line).await.is_ok() && line != "\r\n" && !line.is_empty() {
                if first.is_empty() {
                    first = line.clone();
                }
                if let Some(length) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    body = length.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut sent = vec![0; body];
            _ = stream.read_exact(&mut sent).await;
            let asked = first + &String::from_utf8_lossy(&sent);
            let (status, headers, body) = match asked.starts_with("GET /version") {
                true => (200, "", VERSION.to_owned()),
                false => answer(&asked, count.fetch_add(1, Ordering::SeqCst)),
            };
            let length = body.len();
            let head = format!("HTTP/1.1 {status} S\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n");
            _ = stream.write_all((head + &body).as_bytes()).await;
            _ = stream.flush().await;
        }
    });
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    let options = ConnectOptions { kubeconfig_text: Some(kubeconfig.to_string()), ..ConnectOptions::default() };
    connect(&options).await.unwrap()
}

/// A request to an API server: its method, its path with its query, and its body.
pub type Asked = (http::Method, String, serde_json::Value);

/// The same connection for a program of its own, with a task that is carried out right before each request.
pub fn watched<F>(cluster: &Cluster, before: F) -> Cluster
where
    F: Fn(Asked) -> futures::future::BoxFuture<'static, ()> + Send + Sync + 'static,
{
    let (before, client) = (std::sync::Arc::new(before), cluster.client.clone());
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let (before, client) = (before.clone(), client.clone());
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect_bytes().await?;
            let sent = serde_json::from_slice(&bytes).unwrap_or_default();
            let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
            before((parts.method.clone(), path, sent)).await;
            client.send(http::Request::from_parts(parts, bytes.to_vec().into())).await
        }
    });
    let client = kube::Client::new(service, cluster.default_namespace.clone());
    Cluster { client, ledger: std::sync::Arc::default(), ..cluster.clone() }
}

/// One request of another client; none where the answer is an error.
pub async fn ask(
    cluster: &Cluster,
    method: &str,
    path: &str,
    body: Option<&serde_json::Value>,
) -> Option<serde_json::Value> {
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
    let request = http::Request::builder().method(method).uri(path).header("content-type", kind).body(body).unwrap();
    cluster.client.request(request).await.ok()
}

const VERSION: &str = r#"{"major": "1", "minor": "33", "gitVersion": "v1.33.0", "gitCommit": "", "gitTreeState": "",
    "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}"#;
