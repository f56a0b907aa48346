//! Whether an answer is a success: reads its head and its body piece by piece, and knows nothing of connections and
//! time. Never keeps more than a bounded part of a body.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::expects::Expects;
use super::headers::Headers;
use super::path::TooMuch;
use super::scan::Search;
use super::sse;
use super::target::{Kind, Target};
use shakedown_observe::{Failure, SAMPLE_BODY};

/// An answer that is read as JSON is kept until it is whole, and must be smaller than this.
const MAX_JSON: usize = 8 << 20;

/// All answers of a load that are kept at the same time must be smaller than this.
const MAX_KEPT: usize = 256 << 20;

/// What is asked of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'t> {
    kind: Kind,
    expects: &'t Expects,
    kept: &'t Arc<AtomicUsize>,
}

impl<'t> Asked<'t> {
    /// What its status, headers and body must be.
    pub(super) const fn expects(&self) -> &'t Expects {
        self.expects
    }

    /// Whether an answer whose head is as it must be can still fail by what is in its body.
    pub(super) fn may_fail_later(&self) -> bool {
        self.kind != Kind::Http || self.expects.reads_body()
    }

    /// What a load asks of the answer to its request at this place.
    pub(super) fn of(target: &'t Target, place: usize) -> Self {
        Self { kind: target.kind, expects: &target.requests.at(place).expects, kept: &target.kept }
    }
}

/// One answer, as far as it was read.
#[derive(Debug)]
pub(super) struct Answer {
    failure: Option<Failure>,
    body: Body,
    search: Search,
    /// The event that decided it, as far as a report shows it.
    event: Option<Vec<u8>>,
}

/// How an answer ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) failure: Option<Failure>,
    /// How many tokens the server says that a plain answer has.
    pub(super) tokens: Option<u64>,
}

#[derive(Debug)]
enum Body {
    /// Only searched.
    Text,
    /// Searched, and kept to be read as JSON.
    Kept(Kept),
    /// An object of the API.
    Json(Kept),
    Events(Box<Events>),
}

/// A body in memory, counted as long as it is there.
#[derive(Debug)]
struct Kept {
    bytes: Vec<u8>,
    of_all: Arc<AtomicUsize>,
}

impl Kept {
    fn new(asked: &Asked<'_>) -> Self {
        Self { bytes: Vec::new(), of_all: Arc::clone(asked.kept) }
    }

    /// Adds a piece; false when that would be too much.
    fn add(&mut self, piece: &[u8]) -> bool {
        let room = self.bytes.len() + piece.len() <= MAX_JSON
            && self.of_all.load(Ordering::Relaxed).saturating_add(piece.len()) <= MAX_KEPT;
        if room {
            self.of_all.fetch_add(piece.len(), Ordering::Relaxed);
            self.bytes.extend_from_slice(piece);
        }
        room
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.of_all.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Events {
    parser: sse::Parser,
    /// How many events brought tokens.
    pieces: u64,
    /// How many tokens the server says that there were.
    tokens: Option<u64>,
    has_end_mark: bool,
}

impl Answer {
    /// An answer with this head.
    pub(super) fn new(asked: &Asked<'_>, status: u16, headers: &(impl Headers + ?Sized)) -> Self {
        let failure = if !asked.expects.takes_status(status) {
            Some(Failure::Status(status))
        } else if !asked.expects.takes_headers(headers) {
            Some(Failure::Check)
        } else {
            None
        };
        let is_json = || {
            let kind = headers.values(&CONTENT_TYPE).next().unwrap_or_default();
            kind.to_ascii_lowercase().starts_with(b"application/json")
        };
        let body = match asked.kind {
            Kind::Http if asked.expects.wants_json() => Body::Kept(Kept::new(asked)),
            Kind::Http => Body::Text,
            Kind::Json => Body::Json(Kept::new(asked)),
            // A server that cannot stream answers with one object; it says what went wrong.
            Kind::Stream if is_json() => Body::Json(Kept::new(asked)),
            Kind::Stream => Body::Events(Box::default()),
        };
        Self { failure, body, search: Search::default(), event: None }
    }

    /// Takes the next piece of the body.
    pub(super) fn piece(&mut self, asked: &Asked<'_>, piece: &[u8]) {
        if self.failure.is_some() {
            return;
        }
        if let Body::Text | Body::Kept(_) = &self.body {
            asked.expects.look(&mut self.search, piece);
        }
        match &mut self.body {
            Body::Text => {}
            Body::Kept(body) | Body::Json(body) => {
                if !body.add(piece) {
                    self.failure = Some(Failure::TooLarge);
                }
            }
            Body::Events(events) => {
                let Events { parser, pieces, tokens, has_end_mark } = &mut **events;
                let (search, failure, event) = (&mut self.search, &mut self.failure, &mut self.event);
                let fed = parser.feed(piece, |data| {
                    if *has_end_mark || failure.is_some() {
                        return;
                    }
                    if data == b"[DONE]" {
                        *has_end_mark = true;
                        return;
                    }
                    match read_object(asked, data, search) {
                        Ok(object) => {
                            *pieces += u64::from(object.has_text);
                            // Some servers count with every event: the last count is the whole.
                            *tokens = object.tokens.or(*tokens);
                        }
                        Err(error) => {
                            *failure = Some(error);
                            *event = Some(data[..data.len().min(SAMPLE_BODY)].to_vec());
                        }
                    }
                });
                if fed.is_err() {
                    self.failure = Some(Failure::TooLarge);
                }
            }
        }
    }

    /// How many events of a stream have brought tokens.
    pub(super) fn pieces(&self) -> u64 {
        if let Body::Events(events) = &self.body { events.pieces } else { 0 }
    }

    /// How many tokens the stream's server says that there were so far.
    pub(super) fn tokens(&self) -> Option<u64> {
        if let Body::Events(events) = &self.body { events.tokens } else { None }
    }

    /// True once nothing that may still come can change the outcome.
    pub(super) fn is_decided(&self) -> bool {
        self.failure.is_some() || matches!(&self.body, Body::Events(events) if events.has_end_mark)
    }

    /// The outcome of an answer whose body came to its end, or that is decided.
    pub(super) fn outcome(&mut self, asked: &Asked<'_>) -> Outcome {
        let mut tokens = None;
        let failure = self.failure.or_else(|| self.judged(asked, &mut tokens));
        Outcome { failure, tokens }
    }

    /// How it failed, as far as that is known.
    pub(super) const fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// Why an answer that failed did so, in words: which condition, with what was expected and what was found.
    pub(super) fn explain(&self, asked: &Asked<'_>) -> String {
        if let Some(event) = &self.event {
            return format!("the stream's event `{}`", String::from_utf8_lossy(event));
        }
        let json = match &self.body {
            Body::Events(events) if !events.has_end_mark => {
                return "the stream ended without its end mark `data: [DONE]`".to_owned();
            }
            Body::Events(events) if events.pieces == 0 => return "the stream brought no token".to_owned(),
            Body::Json(_) if asked.kind == Kind::Stream => {
                return "the server answered with one JSON object in place of a stream".to_owned();
            }
            Body::Json(body) | Body::Kept(body) => match serde_json::from_slice(&body.bytes) {
                Ok(json) => asked.expects.explain_json(&json, body.bytes.len()),
                Err(error) => return format!("the body is not the JSON that is expected: {error}"),
            },
            Body::Text | Body::Events(_) => None,
        };
        json.or_else(|| asked.expects.explain_text(&self.search)).unwrap_or_default()
    }

    fn judged(&mut self, asked: &Asked<'_>, tokens: &mut Option<u64>) -> Option<Failure> {
        let search = &mut self.search;
        match &self.body {
            Body::Text => {}
            Body::Kept(body) => {
                if let Some(failure) = json_failure(asked, &body.bytes) {
                    return Some(failure);
                }
            }
            Body::Events(events) => {
                if !events.has_end_mark {
                    return Some(Failure::BrokenStream);
                }
                if events.pieces == 0 {
                    return Some(Failure::Protocol);
                }
            }
            Body::Json(body) => {
                match read_object(asked, &body.bytes, search) {
                    Ok(_) if asked.kind == Kind::Stream => return Some(Failure::BrokenStream),
                    Ok(object) if object.choices == 0 => return Some(Failure::Protocol),
                    Ok(object) => *tokens = object.tokens,
                    Err(failure) => return Some(failure),
                };
                let failure = asked.expects.wants_json().then(|| json_failure(asked, &body.bytes)).flatten();
                if failure.is_some() {
                    return failure;
                }
            }
        }
        (!asked.expects.found(search)).then_some(Failure::Check)
    }
}

/// What is wrong with a body that must be JSON of which something is asked.
fn json_failure(asked: &Asked<'_>, body: &[u8]) -> Option<Failure> {
    match serde_json::from_slice(body).map(|json| asked.expects.takes_json(&json, body.len())) {
        Ok(Ok(true)) => None,
        Ok(Ok(false)) | Err(_) => Some(Failure::Check),
        Ok(Err(TooMuch)) => Some(Failure::TooLarge),
    }
}

/// An answer or an event of the API: <https://platform.openai.com/docs/api-reference>, the parts that count here.
#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    error: Option<IgnoredAny>,
    /// Some servers say `"object": "error"` instead.
    #[serde(default)]
    object: Option<String>,
    /// A null stands in every event but the last of servers that count.
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    completion_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default, alias = "delta")]
    message: Option<Message>,
    #[serde(default)]
    text: Option<String>,
}

/// A message, or the part of one that an event adds.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
    #[serde(default, alias = "reasoning")]
    reasoning_content: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<IgnoredAny>>,
}

/// What one object brought.
struct Read {
    choices: usize,
    /// Text of the answer, of its reasoning, or a call of a tool. The empty message that opens a stream is none.
    has_text: bool,
    /// How many tokens the server counts.
    tokens: Option<u64>,
}

fn read_object(asked: &Asked<'_>, json: &[u8], search: &mut Search) -> Result<Read, Failure> {
    let object: Object = serde_json::from_slice(json).map_err(|_| Failure::Protocol)?;
    if object.error.is_some() || object.object.as_deref() == Some("error") {
        return Err(Failure::ApiError);
    }
    let choices = object.choices.unwrap_or_default();
    let mut has_text = false;
    for choice in &choices {
        let message = choice.message.as_ref();
        let texts = [choice.text.as_deref(), message.and_then(|message| message.content.as_deref())];
        for text in texts.into_iter().flatten().filter(|text| !text.is_empty()) {
            has_text = true;
            asked.expects.look(search, text.as_bytes());
        }
        has_text |= message.is_some_and(|message| {
            message.reasoning_content.as_ref().is_some_and(|text| !text.is_empty())
                || message.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty())
        });
    }
    let tokens = object.usage.and_then(|usage| usage.completion_tokens);
    Ok(Read { choices: choices.len(), has_text, tokens })
}

#[cfg(test)]
mod tests {
    use http::header::HeaderMap;
    use serde_json::json;

    use super::super::{Endpoint, PlannedLoad};
    use super::*;

    fn target(load: serde_json::Value) -> Target {
        let mut load = load;
        load["rate"] = "1/s".into();
        Target::new(&PlannedLoad {
            name: "load".to_owned(),
            load: serde_json::from_value(load).unwrap(),
            endpoint: Endpoint { base: "http://x".to_owned(), addresses: Vec::new() },
            files: shakedown_schemas::Files::default(),
            seed: 1,
        })
        .unwrap()
    }

    fn openai(stream: bool) -> Target {
        let check = json!({"contains": "hello"});
        target(json!({"openai": {"url": "http://x", "model": "m", "prompt": "p", "stream": stream, "check": check}}))
    }

    fn outcome(target: &Target, status: u16, kind: &str, body: &str) -> Option<Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        let asked = Asked::of(target, 0);
        let mut answer = Answer::new(&asked, status, &headers);
        for piece in body.as_bytes().chunks(7) {
            answer.piece(&asked, piece);
        }
        let failure = answer.outcome(&asked).failure;
        drop(answer);
        assert_eq!(target.kept.load(Ordering::Relaxed), 0, "what was kept is let go");
        failure
    }

    const SSE: &str = "text/event-stream";
    const JSON: &str = "Application/JSON; charset=utf-8";

    #[test]
    fn http_by_status_and_text() {
        let plain = target(json!({"http": {"url": "http://x"}}));
        assert_eq!(outcome(&plain, 204, "", ""), None);
        assert_eq!(outcome(&plain, 302, "", ""), Some(Failure::Status(302)));
        let checked =
            target(json!({"http": {"url": "http://x", "check": {"status": [200, 404], "contains": "all good"}}}));
        assert_eq!(outcome(&checked, 404, "", "... all good ..."), None);
        assert_eq!(outcome(&checked, 200, "", "... all bad ..."), Some(Failure::Check));
        assert_eq!(outcome(&checked, 201, "", "all good"), Some(Failure::Status(201)));
    }

    #[test]
    fn a_plain_answer_needs_a_choice() {
        let target = openai(false);
        assert_eq!(outcome(&target, 200, JSON, r#"{"choices":[{"message":{"content":"hello"}}]}"#), None);
        assert_eq!(outcome(&target, 200, JSON, r#"{"choices":[{"text":"hello"}],"error":null}"#), None);
        for (body, failure) in [
            (r#"{"choices":[{"message":{"content":"bye"}}]}"#, Failure::Check),
            (r#"{"choices":[]}"#, Failure::Protocol),
            (r#"{"choices":[{"#, Failure::Protocol),
            ("", Failure::Protocol),
            (r#"{"error":{"message":"overloaded"}}"#, Failure::ApiError),
            (r#"{"object":"error","message":"overloaded"}"#, Failure::ApiError),
        ] {
            assert_eq!(outcome(&target, 200, JSON, body), Some(failure), "{body}");
        }
    }

    #[test]
    fn a_stream_needs_a_token_and_its_end_mark() {
        let target = openai(true);
        let role = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
        let hel = "data: {\"choices\":[{\"delta\":{\"content\":\"hel\"}}]}\n\n";
        let lo = "data: {\"choices\":[{\"delta\":{\"content\":\"lo\"}}]}\n\n";
        let usage = "data: {\"choices\":[],\"usage\":{\"completion_tokens\":2}}\n\n";
        let done = "data: [DONE]\n\n";
        assert_eq!(outcome(&target, 200, SSE, &[role, hel, lo, usage, done].concat()), None);
        for (body, failure) in [
            ([role, hel, lo].concat(), Failure::BrokenStream),
            ([role, done].concat(), Failure::Protocol),
            ([hel, done].concat(), Failure::Check),
            ([hel, "data: {\"error\":{\"message\":\"worker lost\"}}\n\n", done].concat(), Failure::ApiError),
            ([hel, "data: {oops\n\n", done].concat(), Failure::Protocol),
            (String::new(), Failure::BrokenStream),
        ] {
            assert_eq!(outcome(&target, 200, SSE, &body), Some(failure), "{body}");
        }
        assert_eq!(outcome(&target, 200, JSON, r#"{"error":{"message":"no"}}"#), Some(Failure::ApiError));
        assert_eq!(outcome(&target, 200, JSON, r#"{"choices":[{"text":"hello"}]}"#), Some(Failure::BrokenStream));
    }

    #[test]
    fn the_first_token_is_the_first_that_is_not_empty() {
        let target = openai(true);
        let asked = Asked::of(&target, 0);
        let mut answer = Answer::new(&asked, 200, &HeaderMap::new());
        answer.piece(&asked, b"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n");
        assert_eq!(answer.pieces(), 0);
        answer.piece(&asked, b"data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n");
        assert!(answer.pieces() == 1 && answer.tokens().is_none() && !answer.is_decided());
        answer.piece(&asked, b"data: {\"choices\":[],\"usage\":{\"completion_tokens\":2}}\n\ndata: [DONE]\n\n");
        assert!(answer.is_decided());
        assert_eq!((answer.pieces(), answer.tokens()), (1, Some(2)));
        let target = openai(false);
        let asked = Asked::of(&target, 0);
        let mut plain = Answer::new(&asked, 200, &HeaderMap::new());
        plain.piece(&asked, br#"{"choices":[{"text":"hello"}],"usage":{"completion_tokens":9}}"#);
        assert_eq!(plain.outcome(&asked), Outcome { failure: None, tokens: Some(9) });
    }

    #[test]
    fn json_and_patterns_are_asked_of_bodies() {
        let check = json!({"matches": "^.\"status", "json": [{"path": "$.status", "equals": "ok"}], "headers": {"content-type": {"contains": "json"}}});
        let checked = target(json!({"http": {"url": "http://x", "check": check}}));
        let json = "application/json";
        assert_eq!(outcome(&checked, 200, json, r#"{"status":"ok"}"#), None);
        for body in [r#"{"status":"no"}"#, r#"{"status":"#, "", r#" {"status":"ok"}"#] {
            assert_eq!(outcome(&checked, 200, json, body), Some(Failure::Check), "{body}");
        }
        assert_eq!(outcome(&checked, 200, "text/plain", r#"{"status":"ok"}"#), Some(Failure::Check));
        let large = format!(r#"{{"status":"{}"}}"#, "x".repeat(MAX_JSON));
        assert_eq!(outcome(&checked, 200, json, &large), Some(Failure::TooLarge));
        // All answers together are limited, too.
        checked.kept.store(MAX_KEPT, Ordering::Relaxed);
        let asked = Asked::of(&checked, 0);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, json.parse().unwrap());
        let mut answer = Answer::new(&asked, 200, &headers);
        answer.piece(&asked, b"{}");
        assert_eq!(answer.outcome(&asked).failure, Some(Failure::TooLarge));
    }
}
