//! A planned load, turned into what the engine sends again and again: the request as bytes, the pace, the limits, and
//! what makes an answer a success. Everything that can be wrong with a load is found here, before anything is sent.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use http_body_util::Full;
use serde_json::json;
use shakedown_schemas::scenario::{Check, OpenAi, OpenAiEndpoint};

use super::pacing::Pacing;
use super::scan::Needle;
use super::tls::Tls;
use super::{LoadError, PlannedLoad};

/// How many requests may be under way at once when the scenario does not say.
pub(super) const DEFAULT_MAX_IN_FLIGHT: usize = 10_000;

/// What an answer is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any HTTP answer.
    Http,
    /// One JSON object of the OpenAI API.
    Json,
    /// A stream of events of the OpenAI API.
    Stream,
}

/// What one load sends, and what it wants back.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) pacing: Pacing,
    /// From the due moment to the last byte.
    pub(super) timeout: Duration,
    /// How many times its timeout a request is listened to, at least once.
    pub(super) linger: f64,
    /// How many requests of an open loop may be under way at once.
    pub(super) max_in_flight: usize,
    /// Where to connect; empty to resolve `host`.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<Tls>,
    /// The statuses that count as success; empty for 200 to 299.
    pub(super) statuses: Vec<u16>,
    pub(super) contains: Option<Needle>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Target {
    /// Checks a load and prepares its request.
    ///
    /// # Errors
    /// When the load cannot be sent: a URL, method, path or header that HTTP does not allow, or TLS without any root.
    pub(super) fn new(planned: &PlannedLoad) -> Result<Self, LoadError> {
        let error = |message: String| LoadError { load: planned.name.clone(), message };
        let load = &planned.load;
        let base = &planned.endpoint.base;
        let base_uri: Uri = base.parse().map_err(|cause| {
            error(format!("`{base}` is not a URL ({cause}): write one such as `http://127.0.0.1:8080`"))
        })?;
        let is_tls = match base_uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(error(format!("`{base}` must begin with `http://` or `https://`"))),
        };
        let authority = base_uri.authority().ok_or_else(|| error(format!("`{base}` names no host")))?;
        let request = match (&load.http, &load.openai) {
            (Some(http), None) => Request {
                kind: Kind::Http,
                method: Method::from_bytes(http.method.as_bytes())
                    .map_err(|_| error(format!("`{}` is not an HTTP method", http.method)))?,
                path: http.path.clone(),
                headers: &http.headers,
                body: http.body.clone().unwrap_or_default(),
                check: http.check.as_ref(),
            },
            (None, Some(openai)) => Request {
                kind: if openai.stream { Kind::Stream } else { Kind::Json },
                method: Method::POST,
                path: openai.endpoint.path().to_owned(),
                headers: &openai.headers,
                body: openai_body(openai),
                check: openai.check.as_ref(),
            },
            _ => return Err(error("needs exactly one of `http` and `openai`".to_owned())),
        };
        let pacing =
            Pacing::new(load).ok_or_else(|| error("needs exactly one of `rate` and `concurrency`".to_owned()))?;
        let path = format!("{}/{}", base_uri.path().trim_end_matches('/'), request.path.trim_start_matches('/'));
        let uri: Uri = path.parse().map_err(|cause| error(format!("`{path}` is not a path ({cause})")))?;

        let mut headers = HeaderMap::new();
        let host = HeaderValue::from_str(authority.as_str().rsplit('@').next().unwrap_or_default())
            .map_err(|_| error(format!("`{authority}` cannot be sent as a `Host` header")))?;
        headers.insert(header::HOST, host);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("shakedown/", env!("CARGO_PKG_VERSION"))));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        if request.kind != Kind::Http {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in request.headers {
            let bad = || error(format!("the header `{name}` or its value cannot be sent over HTTP"));
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            if name == header::CONTENT_LENGTH || name == header::TRANSFER_ENCODING {
                return Err(error(format!("the header `{name}` follows from the body: leave it out")));
            }
            headers.insert(name, HeaderValue::from_str(value).map_err(|_| bad())?);
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let check = request.check.cloned().unwrap_or(Check { status: Vec::new(), contains: None });
        Ok(Self {
            name: planned.name.clone(),
            kind: request.kind,
            pacing,
            timeout: load.timeout.get(),
            linger: 1.0,
            max_in_flight: load.max_in_flight.map_or(DEFAULT_MAX_IN_FLIGHT, |limit| limit.max(1) as usize),
            addresses: planned.endpoint.addresses.clone(),
            tls: if is_tls { Some(Tls::new(&host).map_err(error)?) } else { None },
            host,
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            statuses: check.status,
            contains: check.contains.as_deref().map(Needle::new),
            method: request.method,
            uri,
            headers,
            body: Bytes::from(request.body),
        })
    }

    /// The request to send.
    pub(super) fn request(&self) -> http::Request<Full<Bytes>> {
        let mut request = http::Request::new(Full::new(self.body.clone()));
        request.method_mut().clone_from(&self.method);
        request.uri_mut().clone_from(&self.uri);
        request.headers_mut().clone_from(&self.headers);
        request
    }
}

/// What the two kinds of load have in common.
struct Request<'a> {
    kind: Kind,
    method: Method,
    path: String,
    headers: &'a indexmap::IndexMap<String, String>,
    body: String,
    check: Option<&'a Check>,
}

fn openai_body(openai: &OpenAi) -> String {
    let mut body = match openai.endpoint {
        OpenAiEndpoint::Chat => json!({
            "model": openai.model,
            "messages": [{"role": "user", "content": openai.prompt}],
        }),
        OpenAiEndpoint::Completions => json!({"model": openai.model, "prompt": openai.prompt}),
    };
    body["max_tokens"] = openai.max_tokens.into();
    body["stream"] = openai.stream.into();
    body.to_string()
}

#[cfg(test)]
mod tests {
    use super::super::Endpoint;
    use super::*;

    fn target(base: &str, load: serde_json::Value) -> Result<Target, String> {
        let planned = PlannedLoad {
            name: "shop".to_owned(),
            load: serde_json::from_value(load).unwrap(),
            endpoint: Endpoint { base: base.to_owned(), addresses: Vec::new() },
        };
        Target::new(&planned).map_err(|error| error.to_string())
    }

    #[test]
    fn joins_base_and_path_and_keeps_the_authors_headers() {
        let target = target(
            "http://[::1]:81/api/",
            json!({"http": {"url": "http://x", "path": "/v?a=1", "headers": {"accept": "text/plain"}}, "rate": "1/s"}),
        )
        .unwrap();
        let request = target.request();
        assert_eq!(request.uri(), "/api/v?a=1");
        assert_eq!(request.headers()["host"], "[::1]:81");
        assert_eq!(request.headers()["accept"], "text/plain");
        assert_eq!((target.host.as_str(), target.port), ("::1", 81));
    }

    #[test]
    fn asks_the_openai_api_as_it_wants_to_be_asked() {
        let openai = json!({"openai": {"url": "http://x", "model": "m", "prompt": "p", "stream": true}, "rate": "1/s"});
        let target = target("http://x", openai).unwrap();
        assert_eq!(target.request().uri(), "/v1/chat/completions");
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&target.body).unwrap(),
            json!({"model": "m", "messages": [{"role": "user", "content": "p"}], "max_tokens": 16, "stream": true}),
        );
    }

    #[test]
    fn says_what_cannot_be_sent() {
        let http = |more: serde_json::Value| {
            let mut http = json!({"url": "http://x"});
            http.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"http": http, "rate": "1/s"})
        };
        for (base, load, words) in [
            ("ftp://x", http(json!({})), "must begin with `http://`"),
            ("x:80", http(json!({})), "must begin with `http://`"),
            ("http://x", http(json!({"method": "G T"})), "not an HTTP method"),
            ("http://x", http(json!({"path": "/a b"})), "not a path"),
            ("http://x", http(json!({"headers": {"a b": "c"}})), "cannot be sent"),
            ("http://x", http(json!({"headers": {"content-length": "7"}})), "leave it out"),
            ("http://x", json!({"http": {"url": "http://x"}}), "exactly one of `rate`"),
        ] {
            let message = target(base, load).unwrap_err();
            assert!(message.contains(words), "{message}");
        }
    }
}
