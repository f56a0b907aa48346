//! A Kubernetes API server that answers by a function.

use serde_json::json;

use crate::{Answer, HttpServer, Request};

/// The answer to `GET /version`.
pub const VERSION: &str = r#"{"major": "1", "minor": "33", "gitVersion": "v1.33.0", "gitCommit": "", "gitTreeState": "",
    "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}"#;

/// Starts an API server that answers by this function until the process ends, and returns its kubeconfig. It answers
/// `GET /version` by itself.
///
/// # Panics
/// As [`HttpServer::start`].
pub fn server(respond: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> String {
    let url = HttpServer::forever(move |request| match request.target() {
        "/version" => json_answer(200, VERSION),
        _ => respond(request),
    });
    kubeconfig(&url, &json!({}))
}

/// A complete answer with a body in JSON.
pub fn json_answer(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Answer::with_headers(status, &[("content-type", "application/json")], body)
}

/// A kubeconfig with this server and this user, such as `{"token": "x"}`.
pub fn kubeconfig(url: &str, user: &serde_json::Value) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    })
    .to_string()
}
