//! Exports of a finished result to systems other than CI: an OpenTelemetry collector, Prometheus, a webhook.
//!
//! In scope: converting a result to their formats (pure), and sending it once, within a few seconds. Out of scope:
//! secrets (the result contains none) and verdicts (an unavailable receiver does not change them).

pub mod otlp;
pub mod prometheus;
pub mod webhook;

use std::time::Duration;

use serde_json::Value;

/// The timeout for a receiver's answer.
const LIMIT: Duration = Duration::from_secs(10);

/// POSTs JSON, with these headers in addition to the usual ones. The error does not contain the URL, which may contain
/// a token.
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

/// The scheme and the host of a URL, for messages. The path and the query of a webhook are often secret.
fn place(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(url) => url.origin().ascii_serialization(),
        Err(_) => "a URL that is none".to_owned(),
    }
}

/// Installs the TLS provider of the process for tests. In the program, the command line does this.
#[cfg(test)]
fn testing_tls() {
    _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod testing {
    //! A receiver on loopback for the exports.

    use serde_json::Value;
    use shakedown_fakes::HttpServer;

    /// The path and the body of each request so far.
    pub fn received(server: &HttpServer) -> Vec<(String, Value)> {
        let requests = server.requests();
        requests.iter().map(|it| (it.target().to_owned(), serde_json::from_slice(&it.body).unwrap())).collect()
    }
}
