//! HTTP: paths, status codes, and streams of server-sent events.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::answer::{Answer, Failure};
use super::openai::{Asked, CallKind, Writer, error};
use super::shared::Frontend;
use crate::web::{Body, json as respond};

const INVALID: &str = "invalid_request_error";

/// The paths that answer GET.
pub(crate) const GETS: &[&str] = &["/v1/models", "/health", "/ready", "/live"];

/// Answers one request.
pub(super) async fn handle(frontend: Arc<Frontend>, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let (expected, kind) = match path.as_str() {
        "/v1/completions" => (Method::POST, Some(CallKind::Completion)),
        "/v1/chat/completions" => (Method::POST, Some(CallKind::Chat)),
        other if GETS.contains(&other) => (Method::GET, None),
        _ => return refuse(StatusCode::NOT_FOUND, &format!("there is no `{path}` here"), "not_found"),
    };
    if *request.method() != expected {
        let message = format!("`{path}` answers {expected} only");
        let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, &message, "method_not_allowed");
        if let Ok(allowed) = HeaderValue::from_str(expected.as_str()) {
            response.headers_mut().insert(ALLOW, allowed);
        }
        return response;
    }
    match kind {
        Some(kind) => frontend.complete(kind, request).await,
        None if path == "/v1/models" => {
            let model = json!({"id": frontend.config.model, "object": "model", "created": 0, "owned_by": "shakedown"});
            respond(StatusCode::OK, &json!({"object": "list", "data": [model]}))
        }
        None => frontend.health(),
    }
}

fn refuse(status: StatusCode, message: &str, code: &str) -> Response<Body> {
    respond(status, &error(message, INVALID, code))
}

impl Failure {
    fn status(self) -> StatusCode {
        match self {
            Self::TimedOut | Self::NotReached => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn json(self) -> Value {
        let (kind, code) = match self {
            Self::NoWorker => ("service_unavailable", "no_worker"),
            Self::NoBus => ("service_unavailable", "no_bus"),
            Self::NoResponder => ("service_unavailable", "no_responder"),
            Self::NotAccepted => ("service_unavailable", "not_accepted"),
            Self::NotReached => ("timeout", "not_reached"),
            Self::Gone => ("service_unavailable", "worker_gone"),
            Self::Broken => ("service_unavailable", "answer_broken"),
            Self::Overloaded => ("service_unavailable", "overloaded"),
            Self::TimedOut => ("timeout", "worker_timeout"),
        };
        error(&self.to_string(), kind, code)
    }

    fn response(self) -> Response<Body> {
        respond(self.status(), &self.json())
    }
}

impl Frontend {
    fn health(&self) -> Response<Body> {
        let workers = self.registry().shown(Instant::now());
        let status = if workers.is_empty() { "no workers" } else { "healthy" };
        respond(StatusCode::OK, &json!({"status": status, "workers": workers}))
    }

    async fn complete(self: Arc<Self>, kind: CallKind, request: Request<Incoming>) -> Response<Body> {
        let body = match Limited::new(request.into_body(), self.config.max_body).collect().await {
            Ok(body) => body.to_bytes(),
            Err(problem) if problem.is::<LengthLimitError>() => {
                let message = format!("the body has more than {} bytes", self.config.max_body);
                return refuse(StatusCode::PAYLOAD_TOO_LARGE, &message, "body_too_large");
            }
            Err(problem) => return refuse(StatusCode::BAD_REQUEST, &problem.to_string(), "body_broken"),
        };
        let asked = match Asked::read(kind, &body) {
            Ok(asked) => asked,
            Err(message) => return refuse(StatusCode::BAD_REQUEST, &message, "invalid_body"),
        };
        if asked.model != self.config.model {
            let message = format!("there is no model `{}` here, only `{}`", asked.model, self.config.model);
            return refuse(StatusCode::NOT_FOUND, &message, "model_not_found");
        }
        if asked.max_tokens > self.config.max_tokens {
            let message = format!("`max_tokens` is more than {}", self.config.max_tokens);
            return refuse(StatusCode::BAD_REQUEST, &message, "too_many_tokens");
        }
        let mut answer = match self.ask(asked.prompt.clone(), asked.max_tokens) {
            Ok(answer) => answer,
            Err(failure) => return failure.response(),
        };
        // Before the first token, a failure can still become a status code.
        let first = match answer.next().await {
            Ok(Some(text)) => text,
            Ok(None) => String::new(),
            Err(failure) => return failure.response(),
        };
        let prefix = if kind == CallKind::Chat { "chatcmpl" } else { "cmpl" };
        let id = format!("{prefix}-{:024x}", rand::random::<u128>() >> 32);
        let writer = Writer { asked, id, created: jiff::Timestamp::now().as_second() };
        if writer.asked.stream { events(writer, answer, first) } else { whole(&writer, answer, first).await }
    }
}

async fn whole(writer: &Writer, mut answer: Answer, first: String) -> Response<Body> {
    let (mut text, mut tokens) = (first, 1);
    loop {
        match answer.next().await {
            Ok(Some(token)) => {
                text.push_str(&token);
                tokens += 1;
            }
            Ok(None) => return respond(StatusCode::OK, &writer.whole(&text, tokens)),
            Err(failure) => return failure.response(),
        }
    }
}

/// A stream of server-sent events. A failure in the middle is an event of its own, and no `[DONE]` follows.
fn events(writer: Writer, answer: Answer, first: String) -> Response<Body> {
    let first = event(&writer.token(&first, 0));
    let parts = stream::unfold(Some((writer, answer, 1_u32)), |state| async move {
        let (writer, mut answer, tokens) = state?;
        Some(match answer.next().await {
            Ok(Some(token)) => (event(&writer.token(&token, tokens)), Some((writer, answer, tokens + 1))),
            Ok(None) => {
                let mut last: String = writer.end(tokens).iter().map(event).collect();
                last.push_str("data: [DONE]\n\n");
                (last, None)
            }
            Err(failure) => (event(&failure.json()), None),
        })
    });
    let parts = stream::StreamExt::chain(stream::once(async { first }), parts);
    let frames = stream::StreamExt::map(parts, |part| Ok::<_, Infallible>(Frame::data(Bytes::from(part))));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}
