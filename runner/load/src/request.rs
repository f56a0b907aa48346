//! The compiled requests of a load. The constant parts are prepared once, so each request only joins pieces. Every error of
//! a request is found here, before anything is sent.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Uri};
use http_body_util::Full;
use shakedown_schemas::scenario::{HttpRequest, Order};

use super::capture::{Captures, Values};
use super::dice::{Dice, Question};
use super::expects::Expects;
use super::job::Job;
use super::root::{Root, Unwritable};
use super::text::{Compiler, Draw, Escape, Piece, Rows, Text};

/// The largest body that is sent in one piece with the head of its request, in bytes.
const MAX_JOINED: usize = 16 << 10;

/// One compiled request of a load.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// Its name. Empty for a load with one request.
    pub(super) name: String,
    pub(super) expects: Expects,
    /// The values that a step takes from its answer.
    pub(super) captures: Captures,
    method: Method,
    path: Path,
    headers: HeaderMap,
    /// Headers with data of each request.
    more_headers: Vec<(HeaderName, Text)>,
    body: Body,
}

/// The path of a request.
#[derive(Debug, Clone)]
enum Path {
    Same(Uri),
    /// The text, with the scheme and host at its beginning if they are sent.
    Each(Text),
    /// The text begins with a captured value, which may be a URL.
    Captured(Text, Root),
}

/// The body of a request.
#[derive(Debug, Clone)]
pub(super) enum Body {
    Same(Bytes),
    Each(Text),
    /// One of several bodies.
    OneOf(Vec<Bytes>, Order),
}

/// The settings that all requests of a load share.
#[derive(Debug)]
pub(super) struct Base<'b> {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    /// The path of the URL: the path of a request without its own, and the prefix of every other.
    pub(super) path: &'b str,
    pub(super) http2: bool,
    /// Each request has its own connection.
    pub(super) fresh: bool,
    /// Default headers, which the scenario may replace.
    pub(super) headers: HeaderMap,
    /// The number of rows of the load's table.
    pub(super) rows: usize,
    pub(super) dice: Dice,
}

impl Request {
    /// Compiles a request.
    ///
    /// # Errors
    /// A sentence about a method, path or header that HTTP does not allow, or about missing data.
    pub(super) fn new(
        it: &HttpRequest,
        body: Body,
        base: &Base<'_>,
        compiler: &mut Compiler<'_>,
    ) -> Result<Self, String> {
        let mut headers = base.headers.clone();
        let mut more_headers = Vec::new();
        for (name, value) in &it.headers {
            let bad = || format!("the header `{name}` or its value cannot be sent over HTTP");
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            if name == header::CONTENT_LENGTH || name == header::TRANSFER_ENCODING {
                return Err(format!("the header `{name}` follows from the body: remove it"));
            }
            let text = compiler.text(value, Escape::No)?;
            for value in text.each(base.rows, base.dice) {
                HeaderValue::from_bytes(&value).map_err(|_| bad())?;
            }
            match text {
                Text::Same(value) => drop(headers.insert(name, HeaderValue::from_bytes(&value).map_err(|_| bad())?)),
                Text::Pieces(_) => {
                    // The scenario's value replaces the default.
                    headers.remove(&name);
                    more_headers.push((name, text));
                }
            }
        }
        let sent_host = headers.get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
        let mut base =
            Base { authority: base.authority.clone(), scheme: base.scheme.clone(), headers: HeaderMap::new(), ..*base };
        if base.http2 {
            // HTTP/2 has the host in the URI, and forbids headers about a single connection (RFC 9113, sections 8.2.2 and
            // 8.3.1).
            if let Some(host) = headers.remove(header::HOST) {
                base.authority = Authority::try_from(host.as_bytes()).map_err(|_| "`Host` is not a host".to_owned())?;
            }
            [header::CONNECTION, header::UPGRADE].iter().for_each(|name| drop(headers.remove(name)));
        } else if base.fresh && !headers.contains_key(header::CONNECTION) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let text = match &it.path {
            Some(path) => compiler.text(path, Escape::No)?,
            // The part of the URL's path that the stem omits: together they are the path as written.
            None => Text::Same(base.path[base.stem().len()..].into()),
        };
        for path in text.each(base.rows, base.dice) {
            base.uri(&path)?;
        }
        let path = match text {
            Text::Same(path) => Path::Same(base.uri(&path)?),
            Text::Pieces(pieces) if matches!(pieces.first(), Some(Piece::Captured(..))) => {
                Path::Captured(Text::Pieces(pieces), base.root(sent_host))
            }
            Text::Pieces(_) => Path::Each(base.prefixed(text)),
        };
        Ok(Self {
            name: it.name.clone(),
            expects: Expects::new(it.check.as_ref())?,
            captures: Captures::default(),
            method: Method::from_bytes(it.method.as_bytes())
                .map_err(|_| format!("`{}` is not an HTTP method", it.method))?,
            path,
            headers,
            more_headers,
            body,
        })
    }

    /// True when the answer has no body, regardless of its head.
    pub(super) fn has_no_answer_body(&self) -> bool {
        self.method == Method::HEAD
    }

    /// Whether a client may repeat it without asking (RFC 9110, section 9.2.2).
    pub(super) fn is_idempotent(&self) -> bool {
        self.method.is_idempotent()
    }

    pub(super) fn body(&self, draw: &Draw<'_>) -> Bytes {
        match &self.body {
            Body::Same(body) => body.clone(),
            Body::Each(text) => {
                let mut body = Vec::new();
                text.write(draw, &mut body);
                body.into()
            }
            Body::OneOf(bodies, order) => {
                let count = bodies.len() as u64;
                let at = match order {
                    Order::Sequential => draw.number % count,
                    Order::Random => draw.dice.below(Question::Prompt, draw.number, count),
                };
                bodies[at as usize].clone()
            }
        }
    }

    /// Writes one request as HTTP/1.1 (RFC 9112, section 3). Returns the body if it is too large to be written with the
    /// head.
    ///
    /// # Errors
    /// When the result is not a valid request. [`Request::new`] has already tried all possible results but captured values.
    pub(super) fn write(&self, draw: &Draw<'_>, into: &mut Vec<u8>) -> Result<Bytes, Unwritable> {
        let header = |name: &HeaderName, value: &[u8], into: &mut Vec<u8>| {
            [name.as_str().as_bytes(), b": ", value, b"\r\n"].iter().for_each(|part| into.extend_from_slice(part));
        };
        into.extend_from_slice(self.method.as_str().as_bytes());
        into.push(b' ');
        match &self.path {
            Path::Same(uri) => {
                into.extend_from_slice(uri.path_and_query().map_or("/", PathAndQuery::as_str).as_bytes())
            }
            Path::Each(text) => {
                let begin = into.len();
                text.write(draw, into);
                PathAndQuery::try_from(&into[begin..])?;
            }
            Path::Captured(text, root) => {
                let path = root.path(text, draw)?;
                into.extend_from_slice(PathAndQuery::try_from(path)?.as_str().as_bytes());
            }
        }
        into.extend_from_slice(b" HTTP/1.1\r\n");
        for (name, value) in &self.headers {
            header(name, value.as_bytes(), into);
        }
        let mut value = Vec::new();
        for (name, text) in &self.more_headers {
            value.clear();
            text.write(draw, &mut value);
            header(name, HeaderValue::from_bytes(&value)?.as_bytes(), into);
        }
        let body = self.body(draw);
        // Methods with an expected body announce a length of 0 (RFC 9110, section 8.6).
        if !body.is_empty() || [Method::POST, Method::PUT, Method::PATCH].contains(&self.method) {
            header(&header::CONTENT_LENGTH, body.len().to_string().as_bytes(), into);
        }
        into.extend_from_slice(b"\r\n");
        if body.len() > MAX_JOINED {
            return Ok(body);
        }
        into.extend_from_slice(&body);
        Ok(Bytes::new())
    }

    /// One HTTP/2 request.
    ///
    /// # Errors
    /// When the result is not a valid request. [`Request::new`] has already tried all possible results but captured values.
    pub(super) fn to_send(&self, draw: &Draw<'_>) -> Result<http::Request<Full<Bytes>>, Unwritable> {
        let mut buffer = Vec::new();
        let mut request = http::Request::new(Full::new(self.body(draw)));
        request.method_mut().clone_from(&self.method);
        match &self.path {
            Path::Same(uri) => request.uri_mut().clone_from(uri),
            Path::Each(text) => {
                text.write(draw, &mut buffer);
                *request.uri_mut() = Uri::try_from(buffer.as_slice())?;
                buffer.clear();
            }
            Path::Captured(text, root) => {
                let path = root.path(text, draw)?;
                *request.uri_mut() = Uri::try_from([root.origin.as_bytes(), &path].concat())?;
            }
        }
        request.headers_mut().clone_from(&self.headers);
        for (name, text) in &self.more_headers {
            text.write(draw, &mut buffer);
            request.headers_mut().insert(name, HeaderValue::from_bytes(&buffer)?);
            buffer.clear();
        }
        Ok(request)
    }
}

impl Base<'_> {
    /// The path of the URL without a trailing `/`, to be joined with another.
    fn stem(&self) -> &str {
        self.path.trim_end_matches('/')
    }

    /// The scheme and host before every path. HTTP/1.1 has the host in a header, and only the path in the request line
    /// (RFC 9112, section 3.2.1).
    fn origin(&self) -> String {
        if self.http2 { format!("{}://{}", self.scheme, self.authority) } else { String::new() }
    }

    /// The prefix of every path.
    fn prefix(&self) -> String {
        self.origin() + self.stem()
    }

    /// The base of a captured URL. `sent_host` is the host in the header of the request.
    fn root(&self, sent_host: Option<Authority>) -> Root {
        let hosts = [Some(self.authority.clone()), sent_host].into_iter().flatten().collect();
        Root { scheme: self.scheme.clone(), hosts, origin: self.origin(), stem: self.stem().to_owned() }
    }

    fn uri(&self, path: &[u8]) -> Result<Uri, String> {
        let path = String::from_utf8_lossy(path);
        let bad = |cause: &dyn std::fmt::Display| format!("`{path}` is not a path ({cause})");
        // Not through `Uri` alone, which parses `//host/path` as a host.
        let whole = format!("{}{path}", self.stem());
        let path_and_query = PathAndQuery::try_from(whole.as_str()).map_err(|cause| bad(&cause))?;
        if !whole.starts_with('/') {
            return Err(bad(&"it does not begin with `/`"));
        }
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(path_and_query);
        if self.http2 {
            (parts.scheme, parts.authority) = (Some(self.scheme.clone()), Some(self.authority.clone()));
        }
        Uri::from_parts(parts).map_err(|cause| bad(&cause))
    }

    fn prefixed(&self, text: Text) -> Text {
        let Text::Pieces(mut pieces) = text else { return text };
        pieces.insert(0, Piece::Same(self.prefix().into_bytes().into()));
        Text::of(pieces)
    }
}

/// The requests of a load, and the choice among them.
#[derive(Debug, Clone)]
pub(super) struct Requests {
    all: Vec<Request>,
    /// The cumulative weights.
    weights: Vec<u64>,
    rows: Rows,
    dice: Dice,
    /// The requests are the steps of one user, sent one after the other.
    pub(super) are_steps: bool,
    /// The number of values that steps capture.
    pub(super) values: usize,
}

impl Requests {
    /// Requests with their weights, at least one.
    pub(super) fn new(all: Vec<(Request, u32)>, rows: Rows, dice: Dice) -> Self {
        let weights = all.iter().scan(0, |sum, (_, weight)| {
            *sum += u64::from(*weight);
            Some(*sum)
        });
        Self {
            weights: weights.collect(),
            all: all.into_iter().map(|(request, _)| request).collect(),
            rows,
            dice,
            are_steps: false,
            values: 0,
        }
    }

    /// The requests are the steps of one user, which capture this number of values.
    pub(super) fn with_steps(mut self, values: usize) -> Self {
        (self.are_steps, self.values) = (true, values);
        self
    }

    /// The index of the request that is sent as number `number`.
    pub(super) fn choose(&self, number: u64) -> usize {
        let [.., total] = self.weights.as_slice() else { return 0 };
        if self.all.len() == 1 {
            return 0;
        }
        let drawn = self.dice.below(Question::Request, number, *total);
        self.weights.partition_point(|sum| *sum <= drawn)
    }

    /// The index of the request that a job sends now.
    pub(super) fn place(&self, job: &Job) -> usize {
        if self.are_steps { usize::from(job.step) } else { self.choose(job.number) }
    }

    /// Whether another step follows the current one.
    pub(super) fn has_next(&self, job: &Job) -> bool {
        self.are_steps && usize::from(job.step) + 1 < self.all.len()
    }

    pub(super) fn at(&self, place: usize) -> &Request {
        &self.all[place]
    }

    /// The request with this number: its index, and its data.
    pub(super) fn of(&self, number: u64) -> (usize, &Request, Draw<'_>) {
        let place = self.choose(number);
        (place, self.at(place), self.rows.draw(number, self.dice))
    }

    /// The request that a job sends now: its index, and its data with captured values.
    pub(super) fn now<'s>(&'s self, job: &Job, values: &'s Values) -> (usize, &'s Request, Draw<'s>) {
        let place = self.place(job);
        (place, self.at(place), self.rows.draw(job.number, self.dice).with(values))
    }

    /// Whether the requests have names, by which they are counted.
    pub(super) fn have_names(&self) -> bool {
        self.names().next().is_some()
    }

    /// The names of the named requests.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|request| request.name.as_str()).filter(|name| !name.is_empty())
    }
}
