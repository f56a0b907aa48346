//! Test support for other crates: an API server in memory, and hooks before each request.

pub mod store;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use serde_json::Value;

use super::Cluster;

/// A request to an API server: its method, its path with its query, and its body.
pub type Asked = (http::Method, String, Value);

/// The same connection for a separate program, with a task that runs right before each request.
pub fn watched<F>(cluster: &Cluster, before: F) -> Cluster
where
    F: Fn(Asked) -> BoxFuture<'static, ()> + Send + Sync + 'static,
{
    intercepted(cluster, move |asked| before(asked).map(|()| None).boxed())
}

/// The same connection, in which a test answers some requests with a status and a body.
pub fn answering<F>(cluster: &Cluster, answer: F) -> Cluster
where
    F: Fn(&Asked) -> Option<(u16, Value)> + Send + Sync + 'static,
{
    intercepted(cluster, move |asked| ready(answer(&asked)).boxed())
}

/// The same connection for a separate program. Each request is sent unless it is answered here, with a status and a body.
fn intercepted<F>(cluster: &Cluster, before: F) -> Cluster
where
    F: Fn(Asked) -> BoxFuture<'static, Option<(u16, Value)>> + Send + Sync + 'static,
{
    let (before, client) = (Arc::new(before), cluster.client.clone());
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let (before, client) = (before.clone(), client.clone());
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect_bytes().await?;
            let sent = serde_json::from_slice(&bytes).unwrap_or_default();
            let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
            if let Some((code, body)) = before((parts.method.clone(), path, sent)).await {
                let mut response = http::Response::new(kube::client::Body::from(body.to_string().into_bytes()));
                *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
                return Ok(response);
            }
            client.send(http::Request::from_parts(parts, bytes.to_vec().into())).await
        }
    });
    let client = kube::Client::new(service, cluster.default_namespace.clone());
    Cluster { client, ledger: Arc::default(), ..cluster.clone() }
}

/// The same connection without the capabilities of a model, so that it is treated like a user's cluster.
pub fn unknown(cluster: &Cluster) -> Cluster {
    Cluster { capabilities: crate::Capabilities::default(), ..cluster.clone() }
}

/// One request of another client. None if the answer is an error.
pub async fn ask(cluster: &Cluster, method: &str, path: &str, body: Option<&Value>) -> Option<Value> {
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
    let request = http::Request::builder().method(method).uri(path).header("content-type", kind).body(body).unwrap();
    cluster.client.request(request).await.ok()
}
