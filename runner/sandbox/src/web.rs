//! Serves HTTP/1.1 over the sandbox's network: connections and bodies. The programs supply the answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::debug;

use crate::mesh::units::glob;
use crate::net::{HttpRule, Listener};

/// How long a client may take to send its headers, and how long an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// A whole or streamed body.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Answers requests until the future is dropped. Connections beyond `max_connections` wait.
pub async fn serve<H, F>(listener: Listener, max_connections: usize, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = Arc::new(listener);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            (stream, from) = listener.next(), if connections.len() < max_connections => {
                let handler = handler.clone();
                let listener = Arc::clone(&listener);
                // An HTTP fault applies only to new connections, as in a proxy in front of the program.
                let proxied = !listener.http_rules().is_empty();
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let rules = if proxied { listener.http_rules() } else { Vec::new() };
                        let handler = handler.clone();
                        async move { interfere(&rules, request, handler).await }
                    });
                    let mut server = http1::Builder::new();
                    server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
                    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                        debug!(%from, %error, "a connection ended badly");
                    }
                });
            }
        }
    }
}

/// Closes the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection was aborted on purpose")]
struct Aborted;

/// Lets the program answer a request, subject to the HTTP faults.
async fn interfere<H, F>(rules: &[HttpRule], request: Request<Incoming>, handler: H) -> Result<Response<Body>, Aborted>
where
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<Body>>,
{
    let meant: Vec<&HttpRule> = rules.iter().filter(|rule| is_meant(rule, &request)).collect();
    for rule in meant.iter().filter(|rule| !rule.on_answer) {
        sleep(rule.delay).await;
        if rule.abort {
            return Err(Aborted);
        }
    }
    let mut response = handler(request).await;
    for rule in meant.iter().filter(|rule| rule.on_answer) {
        if rule.code.is_some_and(|code| code != response.status().as_u16()) {
            continue;
        }
        sleep(rule.delay).await;
        if rule.abort {
            return Err(Aborted);
        }
        if let Some(status) = rule.replace_code.and_then(|code| StatusCode::from_u16(code).ok()) {
            *response.status_mut() = status;
        }
    }
    Ok(response)
}

fn is_meant(rule: &HttpRule, request: &Request<Incoming>) -> bool {
    let has = |(name, value): &(String, String)| {
        request.headers().get(name).is_some_and(|found| found.as_bytes() == value.as_bytes())
    };
    rule.method.as_deref().is_none_or(|method| method == request.method().as_str())
        && rule.path.as_deref().is_none_or(|path| glob(path, request.uri().path()))
        && rule.headers.iter().all(has)
}

/// A moment as the value of a `Date` header.
pub fn date(at: SystemTime) -> Option<HeaderValue> {
    let at = Timestamp::try_from(at).ok()?;
    let text = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok()?;
    HeaderValue::from_str(&text).ok()
}

/// An answer of JSON.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    // The programs serialise structs and values with text keys only: that cannot fail.
    let text = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
