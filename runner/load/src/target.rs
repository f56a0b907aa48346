//! A planned load, compiled to the form that the engine uses for every request: the requests, the pace, the limits, and the
//! conditions of success. Every error of a load is found here, before anything is sent.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http::header::{self, HeaderMap, HeaderValue};
use serde_json::json;
use shakedown_schemas::scenario::{
    Connections, Http, HttpRequest, HttpVersion, OpenAi, OpenAiEndpoint, Order, RequestText, Sent, Source,
};
use shakedown_schemas::tables::{Table, prompts};

use super::addresses::Addresses;
use super::capture::{Captures, names_credential};
use super::dice::Dice;
use super::group::GroupRule;
use super::names::Resolver;
use super::oracle::Oracle;
use super::pacing::Pacing;
use super::planned::{LoadError, PlannedLoad};
use super::record::Bounds;
use super::request::{Base, Body, Request, Requests};
use super::text::{Compiler, Escape, Piece, Rows, Text};
use super::tls::Tls;
use super::tunnel::Tunnel;

/// The default limit of requests under way.
pub(super) const DEFAULT_MAX_IN_FLIGHT: usize = 10_000;

/// The default limit of requests under way on one HTTP/2 connection.
const DEFAULT_STREAMS: usize = 100;

/// How an answer is parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerFormat {
    /// Any HTTP answer.
    Http,
    /// One JSON object of the OpenAI API.
    Json,
    /// A stream of events of the OpenAI API.
    Stream,
}

/// How requests share a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// HTTP/1.1: one request at a time.
    InTurn,
    /// HTTP/2: at most this many requests at a time.
    Streams(usize),
}

/// The requests of one load and the conditions on their answers.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) format: AnswerFormat,
    /// The number of choices that an answer of the API must have.
    pub(super) choices: usize,
    pub(super) pacing: Pacing,
    /// From the due moment to the last byte.
    pub(super) timeout: Duration,
    /// The observation timeout as a multiple of the timeout, at least 1.
    pub(super) observed_timeouts: f64,
    /// The limit of requests under way of an open loop.
    pub(super) max_in_flight: usize,
    /// The addresses to connect to. Empty to resolve `host`.
    pub(super) addresses: Addresses,
    /// The addresses may change during the run. A removed address takes no further request.
    pub(super) is_followed: bool,
    /// Makes the connections, in place of the engine.
    pub(super) tunnel: Option<Arc<dyn Tunnel>>,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) resolver: Resolver,
    pub(super) tls: Option<Tls>,
    /// A test server without sockets, which replaces the network.
    #[cfg(test)]
    pub(super) wire: Option<super::tests::Wire>,
    pub(super) sharing: Sharing,
    /// Each request has its own connection.
    pub(super) fresh: bool,
    /// A stream without a token for this long after its last one is given up.
    pub(super) stall_after: Option<Duration>,
    pub(super) requests: Requests,
    /// The value of an answer that names its group.
    pub(super) group: Option<GroupRule>,
    /// The same in words, or nothing.
    pub(super) group_by: String,
    /// The bounds of each `goodput` expectation.
    pub(super) goodput: Vec<Bounds>,
    /// The reference answers.
    pub(super) oracle: Option<Oracle>,
    /// The bytes of answers that are buffered at the moment, over all of them.
    pub(super) kept: Arc<AtomicUsize>,
    /// The credentials differ from request to request, so that reports cannot redact them in answers that repeat them.
    pub(super) credentials_vary: bool,
    /// The `Date` headers of answers are recorded.
    pub(super) reads_dates: bool,
}

impl Target {
    /// Checks a load and prepares its requests.
    ///
    /// # Errors
    /// When the load cannot be sent: HTTP does not allow a URL, method, path or header, a file has the wrong content, or
    /// there are no trusted roots for TLS.
    pub(super) fn new(planned: &PlannedLoad) -> Result<Self, LoadError> {
        Self::prepared(planned).map_err(|message| LoadError { load: planned.name.clone(), message })
    }

    fn prepared(planned: &PlannedLoad) -> Result<Self, String> {
        let load = &planned.load;
        let base = &planned.endpoint.base;
        let base_uri: Uri = base
            .parse()
            .map_err(|cause| format!("`{base}` is not a URL ({cause}): write one such as `http://127.0.0.1:8080`"))?;
        let sent = load.sent().ok_or_else(|| "needs exactly one kind of request, such as `http`".to_owned())?;
        let schemes = sent.info().facts.schemes;
        let scheme = schemes.iter().find(|scheme| base_uri.scheme_str() == Some(scheme.name));
        let (Some(scheme), Some(authority)) = (scheme, base_uri.authority()) else {
            let [plain, tls] = schemes.map(|it| it.name);
            let end = if base_uri.authority().is_some() { "" } else { ", and name a host" };
            return Err(format!("`{base}` must begin with `{plain}://` or `{tls}://`{end}"));
        };
        let is_tls = *scheme == schemes[1];
        let pacing = Pacing::new(load).ok_or_else(|| "needs exactly one of `rate` and `concurrency`".to_owned())?;
        let table = match &load.feeder {
            None => None,
            Some(feeder) => {
                let table = Table::read(&feeder.file, &planned.file(&feeder.file)?);
                Some((table.map_err(|error| format!("`{}`: {error}", feeder.file))?, feeder.order))
            }
        };
        let rows = Rows::new(table.as_ref().map(|(table, order)| (table, order.unwrap_or(Order::Sequential))));
        let captures = captured_names(sent);
        let mut compiler = Compiler::new(table.as_ref().map(|(table, _)| table)).with_captures(&captures);
        let dice = Dice::new(planned.seed, &planned.name);
        let http2 = load.version == Some(HttpVersion::Http2);
        let fresh = load.connections == Some(Connections::PerRequest);

        let host_header = authority.as_str().rsplit('@').next().unwrap_or_default();
        let mut headers = HeaderMap::new();
        let host = HeaderValue::from_str(host_header)
            .map_err(|_| format!("`{authority}` cannot be sent as a `Host` header"))?;
        headers.insert(header::HOST, host);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("shakedown/", env!("CARGO_PKG_VERSION"))));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        let base = Base {
            scheme: scheme.name.parse().map_err(|_| "no scheme".to_owned())?,
            authority: host_header.parse().map_err(|_| format!("`{authority}` is not a host"))?,
            path: base_uri.path(),
            http2,
            fresh,
            headers,
            rows: table.as_ref().map_or(1, |(table, _)| table.rows.len()),
            dice,
        };
        let over_http = match (http2, fresh) {
            (false, _) => Sharing::InTurn,
            (true, true) => Sharing::Streams(1),
            (true, false) => Sharing::Streams(load.streams.map_or(DEFAULT_STREAMS, |streams| streams.max(1) as usize)),
        };
        let Sending { format, choices, sharing, requests, stall_after, credentials_vary } = match sent {
            Sent::Http(http) => http_requests(planned, http, over_http, &base, &mut compiler, &captures),
            Sent::OpenAi(openai) => openai_requests(planned, openai, over_http, base, &mut compiler),
        }?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let tls = match is_tls {
            true => Some(Tls::new(&host, load.tls.as_ref(), http2, |name| planned.file(name))?),
            false => None,
        };
        Ok(Self {
            name: planned.name.clone(),
            format,
            choices,
            pacing,
            timeout: load.timeout.get(),
            observed_timeouts: 1.0,
            max_in_flight: load.max_in_flight.map_or(DEFAULT_MAX_IN_FLIGHT, |limit| limit.max(1) as usize),
            addresses: Addresses::new(&planned.endpoint.addresses),
            is_followed: false,
            tunnel: None,
            host,
            port: authority
                .port_u16()
                .or(scheme.port)
                .ok_or_else(|| format!("`{}` names no port", planned.endpoint.base))?,
            resolver: Resolver::default(),
            #[cfg(test)]
            wire: None,
            tls,
            sharing,
            fresh,
            stall_after,
            requests: if matches!(sent, Sent::Http(Http { steps, .. }) if !steps.is_empty()) {
                Requests::new(requests, rows, dice).with_steps(captures.len())
            } else {
                Requests::new(requests, rows, dice)
            },
            group: load.group_by.as_ref().map(GroupRule::new).transpose()?,
            group_by: load.group_by.as_ref().map(ToString::to_string).unwrap_or_default(),
            goodput: Vec::new(),
            oracle: None,
            kept: Arc::default(),
            credentials_vary,
            reads_dates: false,
        })
    }

    /// Whether nothing needs an answer at once: neither a handshake, nor a stream's next chunk, nor another stream of the
    /// connection, nor the next step of a user.
    pub(super) fn can_wait_for_answers(&self) -> bool {
        !self.fresh
            && matches!(self.sharing, Sharing::InTurn)
            && self.format != AnswerFormat::Stream
            && !self.requests.are_steps
    }

    pub(super) fn per_connection(&self) -> usize {
        match self.sharing {
            Sharing::InTurn => 1,
            Sharing::Streams(streams) => streams,
        }
    }
}

/// What follows from the kind of a load.
struct Sending {
    format: AnswerFormat,
    choices: usize,
    sharing: Sharing,
    /// The requests with their weights.
    requests: Vec<(Request, u32)>,
    stall_after: Option<Duration>,
    credentials_vary: bool,
}

fn http_requests(
    planned: &PlannedLoad,
    http: &Http,
    sharing: Sharing,
    base: &Base<'_>,
    compiler: &mut Compiler<'_>,
    captures: &[String],
) -> Result<Sending, String> {
    let all = http.all_requests();
    let mut request = |it: &HttpRequest| {
        let body = body(planned, it, compiler)?;
        Ok((Request::new(it, body, base, compiler)?, it.weight.max(1)))
    };
    let mut requests = all.iter().map(&mut request).collect::<Result<Vec<_>, String>>()?;
    for ((request, _), step) in requests.iter_mut().zip(&http.steps) {
        request.captures = Captures::new(&step.capture, captures, |name| is_sent_as_credential(&all, name))?;
    }
    Ok(Sending {
        format: AnswerFormat::Http,
        choices: 0,
        sharing,
        requests,
        stall_after: None,
        credentials_vary: all.iter().any(|it| vary(&it.headers)),
    })
}

fn openai_requests(
    planned: &PlannedLoad,
    openai: &OpenAi,
    sharing: Sharing,
    mut base: Base<'_>,
    compiler: &mut Compiler<'_>,
) -> Result<Sending, String> {
    base.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = openai_body(planned, openai, compiler)?;
    Ok(Sending {
        format: if openai.stream { AnswerFormat::Stream } else { AnswerFormat::Json },
        choices: openai.parameters.get("n").and_then(serde_json::Value::as_u64).unwrap_or(1) as usize,
        sharing,
        requests: vec![(Request::new(&openai_request(openai), body, &base, compiler)?, 1)],
        stall_after: openai.stall_after.map(|it| it.get()),
        credentials_vary: vary(&openai.headers),
    })
}

/// Whether a header with a credential has data of each request. Captured values are known, so that they can be redacted.
fn vary<'h>(headers: impl IntoIterator<Item = (&'h String, &'h RequestText)>) -> bool {
    headers.into_iter().any(|(name, value)| {
        names_credential(name) && value.data().any(|data| !matches!(data.source, Source::Capture(_)))
    })
}

/// The names of the values that the steps of a load capture, each once.
fn captured_names(sent: Sent<'_>) -> Vec<String> {
    let Sent::Http(http) = sent else { return Vec::new() };
    let mut names: Vec<String> = Vec::new();
    for name in http.steps.iter().flat_map(|step| step.capture.keys()) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Whether a request sends a captured value in a header with credentials.
fn is_sent_as_credential(requests: &[HttpRequest], name: &str) -> bool {
    let headers = requests.iter().flat_map(|it| &it.headers).filter(|(header, _)| names_credential(header));
    headers.flat_map(|(_, value)| value.data()).any(|data| matches!(&data.source, Source::Capture(it) if it == name))
}

/// The body of an HTTP request.
fn body(planned: &PlannedLoad, it: &HttpRequest, compiler: &mut Compiler<'_>) -> Result<Body, String> {
    let text = match (&it.body, &it.body_file, &it.body_template) {
        (None, None, None) => return Ok(Body::Same(Bytes::new())),
        (None, Some(file), None) => return Ok(Body::Same(Bytes::from_owner(planned.file(file)?))),
        (None, None, Some(file)) => {
            let bytes = planned.file(file)?;
            let text = std::str::from_utf8(&bytes).map_err(|_| format!("`{file}` is not UTF-8"))?;
            compiler.text(&RequestText::parse(text).map_err(|error| format!("`{file}`: {error}"))?, Escape::No)
        }
        (Some(text), None, None) => compiler.text(text, Escape::No),
        _ => return Err("a request has more than one body".to_owned()),
    };
    Ok(match text? {
        Text::Same(body) => Body::Same(body.into()),
        text => Body::Each(text),
    })
}

/// The HTTP request of a call of the OpenAI API, without its body.
fn openai_request(openai: &OpenAi) -> HttpRequest {
    HttpRequest {
        name: String::new(),
        weight: 1,
        method: "POST".to_owned(),
        path: Some(RequestText::plain(openai.endpoint.path())),
        headers: openai.headers.clone(),
        body: None,
        body_file: None,
        body_template: None,
        check: openai.check.clone(),
    }
}

/// The body of a request of the OpenAI API.
fn openai_body(planned: &PlannedLoad, openai: &OpenAi, compiler: &mut Compiler<'_>) -> Result<Body, String> {
    let chat = |content: serde_json::Value| json!([{"role": "user", "content": content}]);
    if let Some(set) = &openai.prompts {
        let all = prompts(&set.file, &planned.file(&set.file)?).map_err(|error| format!("`{}`: {error}", set.file))?;
        let range = set.words.unwrap_or_default();
        let bodies: Vec<Bytes> = all
            .into_iter()
            .filter(|prompt| range.holds(prompt.words))
            .map(|prompt| {
                let is_text = prompt.content.is_string();
                let content = match openai.endpoint {
                    OpenAiEndpoint::Chat if is_text => chat(prompt.content),
                    _ => prompt.content,
                };
                let max_tokens = prompt.max_tokens.unwrap_or(openai.max_tokens);
                Bytes::from(openai_object(openai, content, max_tokens).to_string())
            })
            .collect();
        return match bodies.is_empty() {
            true => Err(format!("no prompt of `{}` is within the limits of `words`", set.file)),
            false => Ok(Body::OneOf(bodies, set.order.unwrap_or(Order::Random))),
        };
    }
    // This mark is where the prompt is inserted.
    const MARK: &str = "\u{1}the prompt of shakedown\u{1}";
    let content = match openai.endpoint {
        OpenAiEndpoint::Chat => chat(MARK.into()),
        OpenAiEndpoint::Completions => MARK.into(),
    };
    let object = openai_object(openai, content, openai.max_tokens).to_string();
    let mark = serde_json::Value::from(MARK).to_string();
    let (before, behind) = object.split_once(mark.trim_matches('"')).ok_or("the request cannot be written")?;
    let same = |text: &str| Piece::Same(text.as_bytes().into());
    let prompt =
        match compiler.text(openai.prompt.as_ref().ok_or("needs one of `prompt` and `prompts`")?, Escape::Json)? {
            Text::Same(text) => vec![Piece::Same(text.into())],
            Text::Pieces(pieces) => pieces,
        };
    let all = [vec![same(before)], prompt, vec![same(behind)]].concat();
    Ok(match Text::of(all) {
        Text::Same(body) => Body::Same(body.into()),
        text => Body::Each(text),
    })
}

fn openai_object(openai: &OpenAi, content: serde_json::Value, max_tokens: u32) -> serde_json::Value {
    let key = match openai.endpoint {
        OpenAiEndpoint::Chat => "messages",
        OpenAiEndpoint::Completions => "prompt",
    };
    let mut body = json!({"model": openai.model, key: content, "max_tokens": max_tokens, "stream": openai.stream});
    if openai.stream && openai.usage {
        body["stream_options"] = json!({"include_usage": true});
    }
    for (name, value) in &openai.parameters {
        match value {
            serde_json::Value::Null => drop(body.as_object_mut().and_then(|body| body.shift_remove(name))),
            value => body[name] = value.clone(),
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use shakedown_schemas::Files;

    use super::super::Endpoint;
    use super::*;

    fn request(target: &Target, number: u64) -> http::Request<http_body_util::Full<Bytes>> {
        let (_, request, data) = target.requests.of(number);
        request.to_send(&data).unwrap()
    }

    fn body_of(request: http::Request<http_body_util::Full<Bytes>>) -> Vec<u8> {
        use futures::FutureExt;
        use http_body_util::BodyExt;
        request.into_body().collect().now_or_never().unwrap().unwrap().to_bytes().to_vec()
    }

    fn target(base: &str, load: serde_json::Value) -> Result<Target, String> {
        let planned = PlannedLoad {
            name: "shop".to_owned(),
            load: serde_json::from_value(load).unwrap(),
            endpoint: Endpoint { base: base.to_owned(), addresses: Vec::new() },
            files: Files::of([
                ("rows.csv", b"q\ngreen tea\n"),
                ("prompts.jsonl", b"{\"prompt\":\"one\"}\n{\"messages\":[{\"role\":\"user\",\"content\":\"a b\"}],\"max_tokens\":3}\n"),
                ("bytes", b"\x00\xff"),
            ]),
            seed: 1,
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
        let request = request(&target, 0);
        assert_eq!(request.uri(), "/api/v?a=1");
        assert_eq!(request.headers()["host"], "[::1]:81");
        assert_eq!(request.headers()["accept"], "text/plain");
        assert_eq!((target.host.as_str(), target.port), ("::1", 81));
    }

    #[test]
    fn a_request_without_a_path_goes_to_the_url() {
        for (url, path, goes_to) in [
            ("http://x", None, "/"),
            ("http://x/", None, "/"),
            ("http://x/health", None, "/health"),
            ("http://x/api/", None, "/api/"),
            ("http://x/api/", Some("/"), "/api/"),
            ("http://x/api", Some("/"), "/api/"),
            ("http://x/api", Some("?a=1"), "/api?a=1"),
        ] {
            for version in ["http1", "http2"] {
                let mut load = json!({"http": {"url": "http://x"}, "version": version, "rate": "1/s"});
                if let Some(path) = path {
                    load["http"]["path"] = path.into();
                }
                let asked = request(&target(url, load.clone()).unwrap(), 0);
                assert_eq!(asked.uri().path_and_query().unwrap(), goes_to, "{url} {load}");
            }
        }
    }

    #[test]
    fn http2_has_the_host_in_its_uri_and_a_fresh_connection_is_closed() {
        let load = json!({"http": {"url": "http://x", "path": "/a", "headers": {"Host": "other.test", "Connection": "x"}},
                          "version": "http2", "rate": "1/s"});
        let request = request(&target("http://x:81/b", load).unwrap(), 0);
        assert_eq!(request.uri(), "http://other.test/b/a");
        assert!(request.headers().get("host").is_none() && request.headers().get("connection").is_none());
        let fresh = json!({"http": {"url": "http://x"}, "connections": "per_request", "rate": "1/s"});
        let request = super::tests::request(&target("http://x", fresh).unwrap(), 0);
        assert_eq!(request.headers()["connection"], "close");
    }

    #[test]
    fn each_request_has_its_own_data() {
        let load = json!({
            "http": {
                "url": "http://x",
                "path": "/{{ n }}/{{ row.q | urlencode }}",
                "headers": {"accept": "{{ uuid }}", "x-n": "{{ n }}"},
                "body": "{\"q\": {{ row.q | tojson }}}",
            },
            "feeder": {"file": "rows.csv"},
            "rate": "1/s",
        });
        let target = target("http://x", load).unwrap();
        let (first, second) = (request(&target, 0), request(&target, 7));
        assert_eq!((first.uri().path(), second.uri().path()), ("/0/green%20tea", "/7/green%20tea"));
        assert_eq!(second.headers()["x-n"], "7");
        assert_eq!(second.headers().get_all("accept").iter().count(), 1);
        assert_ne!(first.headers()["accept"], second.headers()["accept"]);
        assert_eq!(body_of(second), b"{\"q\": \"green tea\"}");
    }

    #[test]
    fn weights_and_bodies_from_files() {
        let load = json!({
            "http": {"url": "http://x", "headers": {"x-all": "1", "x-own": "all"}, "requests": [
                {"name": "a", "weight": 3},
                {"name": "b", "method": "PUT", "path": "/b", "body_file": "bytes", "headers": {"x-own": "b"}},
            ]},
            "rate": "1/s",
        });
        let target = target("http://x", load).unwrap();
        let puts: Vec<u64> = (0..4_000).filter(|number| request(&target, *number).method() == "PUT").collect();
        assert!((900..1_100).contains(&puts.len()), "{}", puts.len());
        let put = request(&target, puts[0]);
        assert_eq!((&put.headers()["x-all"], &put.headers()["x-own"]), (&"1".parse().unwrap(), &"b".parse().unwrap()));
        assert_eq!(body_of(put), b"\x00\xff");
    }

    #[test]
    fn sends_valid_requests_of_the_openai_api() {
        let mut openai = json!({"openai": {"url": "http://x", "model": "m", "prompt": "say \"{{ n }}\"", "stream": true}, "rate": "1/s"});
        let asked = request(&target("http://x", openai.clone()).unwrap(), 5);
        assert_eq!(asked.uri(), "/v1/chat/completions");
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&body_of(asked)).unwrap(),
            json!({"model": "m", "messages": [{"role": "user", "content": "say \"5\""}], "max_tokens": 16, "stream": true,
                   "stream_options": {"include_usage": true}}),
        );
        let more = json!({"endpoint": "completions", "usage": false, "parameters": {"temperature": 0}, "prompt": "p"});
        openai["openai"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let asked = request(&target("http://x/base", openai).unwrap(), 0);
        assert_eq!(asked.uri(), "/base/v1/completions");
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&body_of(asked)).unwrap(),
            json!({"model": "m", "prompt": "p", "max_tokens": 16, "stream": true, "temperature": 0}),
        );
    }

    #[test]
    fn prompts_are_filtered_by_length_and_sent_in_turn() {
        let load = |words: serde_json::Value, order: &str| {
            json!({"openai": {"url": "http://x", "model": "m", "prompts": {"file": "prompts.jsonl", "words": words, "order": order}},
                   "rate": "1/s"})
        };
        let asked = |target: &Target, number| -> serde_json::Value {
            serde_json::from_slice(&body_of(request(target, number))).unwrap()
        };
        let both = target("http://x", load(json!({}), "sequential")).unwrap();
        assert_eq!(asked(&both, 2)["messages"][0]["content"], "one");
        assert_eq!(
            (&asked(&both, 3)["messages"][0]["content"], &asked(&both, 3)["max_tokens"]),
            (&json!("a b"), &json!(3))
        );
        let long = target("http://x", load(json!({"min": 2}), "random")).unwrap();
        assert!((0..5).all(|number| asked(&long, number)["messages"][0]["content"] == "a b"));
        let none = target("http://x", load(json!({"min": 3}), "random")).unwrap_err();
        assert!(none.contains("is within the limits of `words`"), "{none}");
    }

    #[test]
    fn explains_invalid_requests() {
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
            ("http://x", http(json!({"path": "/{{ row.q }}"})), "needs a `feeder`"),
            ("http://x", http(json!({"body_file": "none"})), "was not read"),
            ("http://x", http(json!({"headers": {"a b": "c"}})), "cannot be sent"),
            ("http://x", http(json!({"headers": {"content-length": "7"}})), "remove it"),
            ("http://x", json!({"http": {"url": "http://x"}}), "exactly one of `rate`"),
            (
                "http://x",
                json!({"http": {"url": "http://x", "path": "/{{ row.q }}"}, "feeder": {"file": "rows.csv"}, "rate": "1/s"}),
                "not a path",
            ),
        ] {
            let message = target(base, load).unwrap_err();
            assert!(message.contains(words), "{message}");
        }
    }
}
