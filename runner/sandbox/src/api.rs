//! The API server: HTTP on loopback in front of the registry.
//!
//! In scope: connections, bodies, content types, and handing a request to the right verb. Out of scope: what
//! a verb does (`verbs`, `watch`) and the rules of objects (`registry`).

mod access;
mod discovery;
mod format;
mod options;
mod partial;
mod protobuf;
mod route;
mod table;
#[cfg(test)]
mod tests;
mod verbs;
mod watch;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, WARNING};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::error::ApiError;
use super::object;
use super::patch;
use super::registry::Registry;
use super::resource::NODES;
use super::usage;
pub(crate) use access::Access;
use format::Form;
use options::{ListOptions, Query};
use route::Route;
use verbs::{Answer, Verbs};

/// The longest body that is read, in bytes. On a real cluster, etcd sets this limit.
const BODY_LIMIT: usize = 3 << 20;

type Body = BoxBody<Bytes, Infallible>;

/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves until it is dropped, which also ends all connections.
pub(crate) async fn serve(listener: TcpListener, registry: Arc<Registry>, access: Arc<Access>) {
    let address: Arc<str> = listener.local_addr().map(|a| a.to_string()).unwrap_or_default().into();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Watches send small lines, which must not be delayed.
                    let _ = stream.set_nodelay(true);
                    let (registry, address, access) = (registry.clone(), address.clone(), access.clone());
                    connections.spawn(async move {
                        let Ok(Ok(stream)) = timeout(HANDSHAKE, access.tls.accept(stream)).await else { return };
                        let service = service_fn(move |request: Request<Incoming>| {
                            let (registry, address, access) = (registry.clone(), address.clone(), access.clone());
                            async move {
                                let (parts, body) = request.into_parts();
                                match access.check(&parts) {
                                    Ok(()) => answer(registry, address, Request::from_parts(parts, body)).await,
                                    Err(error) => Ok(refuse(&error)),
                                }
                            }
                        });
                        let connection = auto::Builder::new(TokioExecutor::new());
                        if let Err(error) = connection.serve_connection(TokioIo::new(stream), service).await {
                            tracing::debug!(error, "a connection to the sandbox's API server ended badly");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the sandbox's API server cannot accept a connection");
                    // Usually too many open files. Wait until some are closed.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn answer(
    registry: Arc<Registry>,
    address: Arc<str>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_string();
    if let Some(response) = plain(&path, request.headers()) {
        return Ok(response);
    }
    if let Some(found) = discovery::answer(&path, &address) {
        return Ok(if request.method() == Method::GET {
            send(Answer::ok(found))
        } else {
            refuse(&ApiError::method_not_allowed())
        });
    }
    if path.trim_matches('/') == "apis/authorization.k8s.io/v1/selfsubjectaccessreviews" {
        return Ok(review(request).await.map_or_else(|error| refuse(&error), send));
    }
    if let Some(node) = path.strip_prefix("/api/v1/nodes/").and_then(|rest| rest.strip_suffix("/proxy/stats/summary")) {
        let found = usage::summary(&registry, node).ok_or_else(|| ApiError::not_found(&NODES, node));
        return Ok(found.map_or_else(|error| refuse(&error), |found| send(Answer::ok(found))));
    }
    let Some(route) = Route::parse(&path) else { return Ok(text(StatusCode::NOT_FOUND, "404 page not found\n")) };
    Ok(about_objects(registry, route, request).await.unwrap_or_else(|error| refuse(&error)))
}

/// Answers that are not JSON.
fn plain(path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
    const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    let accepted = || headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let wants_protobuf = || accepted().contains("proto-openapi.spec.v2");
    match path {
        "/healthz" | "/livez" | "/readyz" => Some(text(StatusCode::OK, "ok")),
        "/openapi/v2" if wants_protobuf() => Some(respond(200, PROTOBUF, discovery::openapi_v2_protobuf())),
        _ => None,
    }
}

/// The sandbox knows no users: everything is allowed.
async fn review(request: Request<Incoming>) -> Result<Answer, ApiError> {
    if request.method() != Method::POST {
        return Err(ApiError::method_not_allowed());
    }
    let (parts, body) = request.into_parts();
    let mut review = read(&parts.headers, body).await?;
    if review["spec"]
        .as_object()
        .is_none_or(|spec| !spec.contains_key("resourceAttributes") && !spec.contains_key("nonResourceAttributes"))
    {
        return Err(ApiError::unprocessable(
            "SelfSubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.resourceAttributes: Invalid value: \
             exactly \
             one of nonResourceAttributes or resourceAttributes must be specified",
        ));
    }
    review["status"] = json!({"allowed": true, "reason": "the sandbox allows everything"});
    Ok(Answer { code: 201, body: review, warnings: Vec::new() })
}

async fn about_objects(
    registry: Arc<Registry>,
    route: Route,
    request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let query = Query::of(request.uri());
    let (parts, body) = request.into_parts();
    if parts.method == Method::GET && route.subresource.as_deref() == Some("log") {
        return log(&registry, &route, &query);
    }
    let form = Form::of(&parts.headers, query.get("includeObject"))?;
    let is_read = parts.method == Method::GET && route.subresource.is_none();
    if is_read && (route.name.is_none() || query.is_on("watch")) {
        let options = ListOptions::parse(route.resource, &query)?;
        if options.watch {
            return Ok(stream(watch::start(registry, route, options, form)));
        }
        let verbs = Verbs { registry: &registry, route: &route, query: &query, form };
        return verbs.list(&options).map(send);
    }
    let verbs = Verbs { registry: &registry, route: &route, query: &query, form };
    let answer = match parts.method {
        Method::GET => verbs.get(),
        Method::POST => verbs.create(read(&parts.headers, body).await?),
        Method::PUT => verbs.update(read(&parts.headers, body).await?),
        Method::PATCH => {
            let media_type = media_type(&parts.headers);
            let kind = patch::PatchKind::from_content_type(&media_type)
                .ok_or_else(|| ApiError::unsupported_media_type(patch::PatchKind::ACCEPTED))?;
            let form = if kind == patch::PatchKind::Apply { &media_type } else { "application/json" };
            verbs.patch(kind, parse(form, &collect(body).await?)?)
        }
        Method::DELETE => {
            let body = collect(body).await?;
            let body = if body.is_empty() { Value::Null } else { parse(&media_type(&parts.headers), &body)? };
            match route.name {
                Some(_) => verbs.delete(&body),
                None => verbs.delete_all(&ListOptions::parse(route.resource, &query)?, &body),
            }
        }
        _ => Err(ApiError::method_not_allowed()),
    };
    answer.map(send)
}

/// The output of a pod's program.
fn log(registry: &Registry, route: &Route, query: &Query) -> Result<Response<Body>, ApiError> {
    let name = route.name.as_deref().unwrap_or_default();
    match registry.store.get(route.resource, &route.namespace, name) {
        Some(pod) => {
            let wanted = query.logs(registry.store.clock.now())?;
            Ok(text(StatusCode::OK, &registry.logs.read(object::uid(&pod), wanted)))
        }
        None => Err(ApiError::not_found(route.resource, name)),
    }
}

async fn collect(body: Incoming) -> Result<Bytes, ApiError> {
    match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::too_large()),
        Err(error) => Err(ApiError::bad_request(format!("the body of the request could not be read: {error}"))),
    }
}

async fn read(headers: &HeaderMap, body: Incoming) -> Result<Value, ApiError> {
    parse(&media_type(headers), &collect(body).await?)
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn parse(media_type: &str, body: &Bytes) -> Result<Value, ApiError> {
    let refused = |error: String| ApiError::bad_request(format!("the object provided is unrecognized: {error}"));
    let unsupported = || ApiError::unsupported_media_type("application/json, application/yaml");
    match media_type {
        "" | "application/json" => serde_json::from_slice(body).map_err(|e| refused(e.to_string())),
        "application/yaml" | "application/apply-patch+yaml" => {
            let text = std::str::from_utf8(body).map_err(|e| refused(e.to_string()))?;
            serde_saphyr::from_str(text).map_err(|e| refused(e.to_string()))
        }
        "application/vnd.kubernetes.protobuf" => protobuf::read(body).ok_or_else(unsupported),
        _ => Err(unsupported()),
    }
}

fn send(answer: Answer) -> Response<Body> {
    let mut response = respond(answer.code, "application/json", answer.body.to_string());
    for warning in answer.warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(WARNING, value);
        }
    }
    response
}

fn refuse(error: &ApiError) -> Response<Body> {
    respond(error.code, "application/json", error.to_status().to_string())
}

fn text(code: StatusCode, body: &str) -> Response<Body> {
    respond(code.as_u16(), "text/plain; charset=utf-8", body.to_string())
}

fn respond(code: u16, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn stream(lines: impl futures::Stream<Item = Bytes> + Send + Sync + 'static) -> Response<Body> {
    let body = StreamBody::new(lines.map(|line| Ok::<_, Infallible>(Frame::data(line))));
    let mut response = Response::new(BodyExt::boxed(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
