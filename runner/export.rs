//! A finished result for machines that are not CI systems: an OpenTelemetry collector, Prometheus, a webhook.
//!
//! In scope: turning a result into what they read (pure), and handing it over, once, within a few seconds.
//! Out of scope: secrets (the result comes without) and verdicts: a receiver that is down changes nothing.

pub mod otlp;
pub mod prometheus;
pub mod webhook;

use std::time::Duration;

use serde_json::Value;

/// How long a receiver may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// POSTs JSON, with these headers beside the usual ones. The error says what went wrong, without the URL: it may hold a
/// token.
async fn post(url: &str, headers: &[(String, String)], body: &Value) -> Result<(), String> {
    let mut builder = reqwest::Client::builder().timeout(LIMIT).redirect(reqwest::redirect::Policy::none());
    builder = builder.user_agent(concat!("shakedown/", env!("CARGO_PKG_VERSION")));
    let client = builder.build().map_err(without_url)?;
    let request = headers.iter().fold(client.post(url), |request, (name, value)| request.header(name, value));
    let answer = request.json(body).send().await.map_err(without_url)?;
    let status = answer.status();
    if status.is_success() { Ok(()) } else { Err(format!("the answer was {status}")) }
}

fn without_url(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

/// The scheme and the host of a URL, for messages: a webhook's path and query are often its secret.
fn place(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(url) => url.origin().ascii_serialization(),
        Err(_) => "a URL that is none".to_owned(),
    }
}

/// TLS has one provider in a process; the command line installs it, and tests have no command line.
#[cfg(test)]
fn testing_tls() {
    _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod testing {
    //! What the exports send to a receiver on loopback.

    use serde_json::Value;
    use shakedown_fakes::HttpServer;

    /// The path and the body of each request so far.
    pub fn received(server: &HttpServer) -> Vec<(String, Value)> {
        let requests = server.requests();
        requests.iter().map(|it| (it.target().to_owned(), serde_json::from_slice(&it.body).unwrap())).collect()
    }
}
