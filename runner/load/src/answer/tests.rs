mod choices;
mod endings;

use http::header::HeaderMap;
use serde_json::json;

use std::sync::atomic::Ordering;

use super::super::target::Target;
use super::super::{Endpoint, PlannedLoad};
use super::kept::{MAX_JSON, MAX_KEPT};
use super::*;
use shakedown_observe::Peculiarity;

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
    whole(target, status, kind, body).failure
}

fn whole(target: &Target, status: u16, kind: &str, body: &str) -> Outcome {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, kind.parse().unwrap());
    let asked = Asked::of(target, 0);
    let mut answer = Answer::new(&asked, status, &headers);
    for piece in body.as_bytes().chunks(7) {
        answer.piece(&asked, piece, false);
    }
    let outcome = answer.outcome(&asked, |_| true);
    assert_eq!(target.kept.load(Ordering::Relaxed), 0, "what was kept is let go");
    outcome
}

const SSE: &str = "text/event-stream";
const JSON: &str = "Application/JSON; charset=utf-8";

#[test]
fn http_by_status_and_text() {
    let plain = target(json!({"http": {"url": "http://x"}}));
    assert_eq!(outcome(&plain, 204, "", ""), None);
    assert_eq!(outcome(&plain, 302, "", ""), Some(Failure::Status(302)));
    let checked = target(json!({"http": {"url": "http://x", "check": {"status": [200, 404], "contains": "all good"}}}));
    assert_eq!(outcome(&checked, 404, "", "... all good ..."), None);
    assert_eq!(outcome(&checked, 200, "", "... all bad ..."), Some(Failure::Check));
    assert_eq!(outcome(&checked, 201, "", "all good"), Some(Failure::Status(201)));
}

#[test]
fn a_plain_answer_needs_a_choice() {
    let target = openai(false);
    assert_eq!(outcome(&target, 200, JSON, r#"{"choices":[{"message":{"content":"hello"}}]}"#), None);
    assert_eq!(outcome(&target, 200, JSON, r#"{"choices":[{"text":"hello"}],"error":null}"#), None);
    let any = self::target(json!({"openai": {"url": "http://x", "model": "m", "prompt": "p"}}));
    for body in [
        r#"{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"message":{"refusal":"no"}}]}"#,
    ] {
        assert_eq!(outcome(&any, 200, JSON, body), None, "{body}");
    }
    for (body, failure) in [
        (r#"{"choices":[{"message":{"content":"bye"}}]}"#, Failure::Check),
        (r#"{"choices":[]}"#, Failure::Protocol),
        (r#"{"choices":[{}]}"#, Failure::Protocol),
        (r#"{"choices":[null]}"#, Failure::Protocol),
        (r#"{"choices":[{"message":{"content":null},"finish_reason":null}]}"#, Failure::Protocol),
        (r#"{"choices":[{"text":"","finish_reason":""}]}"#, Failure::Protocol),
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
    answer.piece(&asked, b"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n", false);
    assert_eq!(answer.pieces(), 0);
    answer.piece(&asked, b"data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n", false);
    assert!(answer.pieces() == 1 && answer.tokens().is_none() && !answer.is_decided());
    answer.piece(&asked, b"data: {\"choices\":[],\"usage\":{\"completion_tokens\":2}}\n\ndata: [DONE]\n\n", false);
    assert!(answer.is_decided());
    assert_eq!((answer.pieces(), answer.tokens()), (1, Some(2)));
    let target = openai(false);
    let asked = Asked::of(&target, 0);
    let mut plain = Answer::new(&asked, 200, &HeaderMap::new());
    plain.piece(&asked, br#"{"choices":[{"text":"hello"}],"usage":{"completion_tokens":9}}"#, false);
    let outcome = plain.outcome(&asked, |_| true);
    assert_eq!((outcome.failure, outcome.tokens), (None, Some(9)));
}

#[test]
fn checks_json_and_patterns_in_bodies() {
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
    // The memory of all answers together is limited, too.
    checked.kept.store(MAX_KEPT, Ordering::Relaxed);
    let asked = Asked::of(&checked, 0);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, json.parse().unwrap());
    let mut answer = Answer::new(&asked, 200, &headers);
    answer.piece(&asked, b"{}", false);
    assert_eq!(answer.outcome(&asked, |_| true).failure, Some(Failure::TooLarge));
}

/// The target of a chat stream, with or without a check.
fn stream(check: &serde_json::Value) -> Target {
    target(json!({"openai": {"url": "http://x", "model": "m", "prompt": "p", "stream": true, "check": check}}))
}

fn event(value: &serde_json::Value) -> String {
    format!("data: {value}\n\n")
}

fn text(text: &str) -> String {
    event(&json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]}))
}

fn end(reason: &str) -> String {
    event(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}))
}

const DONE: &str = "data: [DONE]\n\n";

#[test]
fn an_error_event_fails_the_stream_with_the_servers_message() {
    let any = stream(&json!({}));
    for (reported, words) in [
        ("event: error\ndata: {\"message\": \"worker lost\", \"code\": 500}\n\n", "worker lost"),
        ("event: error\ndata: worker lost\n\n", "worker lost"),
        ("event: error\n\n", ""),
        ("error: {\"code\":500,\"message\":\"context shift failed\"}\n\n", "context shift failed"),
        ("data: {\"error\":{\"message\":\"no\"}}\n\n", "no"),
        ("data: {\"error\":\"no\",\"choices\":[]}\n\n", "no"),
        ("data: {\"choices\":[{\"delta\":{\"content\":\"b\"},\"error\":{\"message\":\"no\"}}]}\n\n", "no"),
        ("event: ping\ndata: {\"error\":{\"message\":\"no\"}}\n\n", "no"),
        ("data: {\"object\":\"error\",\"message\":\"no\"}\n\n", "no"),
    ] {
        let outcome = whole(&any, 200, SSE, &[&text("a"), reported, DONE].concat());
        assert_eq!((outcome.failure, outcome.words.as_deref()), (Some(Failure::ApiError), Some(words)), "{reported}");
    }
}

/// As web frameworks and proxies report an error in the middle of a stream: without the key `error`.
#[test]
fn an_error_of_another_form_fails_the_stream() {
    let stream = stream(&json!({}));
    for (name, error, words) in [
        ("", json!({"code": 500, "message": "out of memory"}), "out of memory"),
        ("", json!({"code": "502", "message": "no worker"}), "no worker"),
        ("", json!({"type": "error", "message": "overloaded"}), "overloaded"),
        ("", json!({"detail": "Internal Server Error"}), "Internal Server Error"),
        ("", json!({"status": "error", "msg": "gone"}), "gone"),
        ("", json!({"errors": [{"message": "no"}]}), r#"[{"message":"no"}]"#),
        ("", json!({"message": "no"}), "no"),
        ("", json!({"code": "InternalError", "message": "no"}), "no"),
        ("", json!({"error_code": 50001, "error_msg": "no"}), "no"),
        ("", json!({"choices": [{"delta": {"error": {"message": "no"}}}]}), "no"),
        ("event: Error\n", json!({"message": "no"}), "no"),
        ("event: exception\n", json!({"message": "no"}), "no"),
    ] {
        let body = format!("{}{name}{}data: [DONE]\n\n", text("hello"), event(&error));
        let outcome = whole(&stream, 200, SSE, &body);
        assert_eq!((outcome.failure, outcome.words.as_deref()), (Some(Failure::ApiError), Some(words)), "{body}");
    }
    // None of these is an error.
    for other in [
        json!({"choices": [], "usage": {"completion_tokens": 3}}),
        json!({"type": "ping"}),
        json!({"message": "the queue is long", "status": "queued", "code": 0}),
        json!({"id": "1", "object": "chat.completion.chunk", "status": 200}),
        json!({"detail": null, "errors": []}),
        json!({"message": "success", "code": 0}),
    ] {
        let body = format!("{}{}{}data: [DONE]\n\n", event(&other), text("hello"), end("stop"));
        assert_eq!(outcome(&stream, 200, SSE, &body), None, "{body}");
    }
}

/// A server that splits a character over two events writes half of it in each.
#[test]
fn text_without_characters_does_not_break_an_answer() {
    let half = r#"data: {"choices": [{"index": 0, "delta": {"content": "\ud83d"}}]}"#;
    let body = format!("{half}\n\n{}{}data: [DONE]\n\n", text("hello"), end("stop"));
    let read = whole(
        &stream(&json!({"json": [{"path": "$.choices[0].message.content", "contains": "hello"}]})),
        200,
        SSE,
        &body,
    );
    assert_eq!((read.failure, read.words), (None, None));
    assert_eq!(read.odd.iter().collect::<Vec<_>>(), [Peculiarity::NoCharacters]);
    let checked = target(json!({"http": {"url": "http://x", "check": {"json": [{"path": "$.a", "equals": 1}]}}}));
    assert_eq!(self::outcome(&checked, 200, JSON, "\u{feff}{\"a\": 1, \"b\": \"\\udc00\"}"), None);
}

#[test]
fn a_finish_reason_can_fail_the_answer() {
    let any = stream(&json!({}));
    let plain = openai(false);
    for (reason, failure, finish) in [
        ("stop", None, Finish::Stop),
        ("length", None, Finish::Length),
        ("tool_calls", None, Finish::ToolCalls),
        ("content_filter", None, Finish::ContentFilter),
        ("eos", None, Finish::Other),
        ("server_error", Some(Failure::FinishError), Finish::Error),
        ("abort_request", Some(Failure::FinishAbort), Finish::Abort),
        ("abort", Some(Failure::FinishAbort), Finish::Abort),
        ("cancelled", Some(Failure::FinishAbort), Finish::Abort),
        ("error", Some(Failure::FinishError), Finish::Error),
    ] {
        let streamed = whole(&any, 200, SSE, &[&text("a"), &end(reason), DONE].concat());
        let body = json!({"choices": [{"message": {"content": "hello"}, "finish_reason": reason}]});
        for outcome in [streamed, whole(&plain, 200, JSON, &body.to_string())] {
            assert_eq!((outcome.failure, outcome.finish), (failure, Some(finish)), "{reason}");
            assert_eq!(outcome.words.is_some_and(|words| words.contains(reason)), failure.is_some(), "{reason}");
        }
    }
    let named = stream(&json!({"finish_reason": ["stop", "length"]}));
    for (body, failure) in [
        ([&text("a"), &end("length"), DONE].concat(), None),
        ([&text("a"), &end("tool_calls"), DONE].concat(), Some(Failure::Check)),
        ([&text("a"), &end("abort"), DONE].concat(), Some(Failure::FinishAbort)),
        ([&text("a"), DONE].concat(), Some(Failure::Check)),
    ] {
        assert_eq!(outcome(&named, 200, SSE, &body), failure, "{body}");
    }
}

#[test]
fn an_answer_without_text_succeeds_with_no_tokens() {
    let target = stream(&json!({}));
    let asked = Asked::of(&target, 0);
    let mut answer = Answer::new(&asked, 200, &HeaderMap::new());
    answer.piece(&asked, [&text(""), &end("stop"), DONE].concat().as_bytes(), false);
    assert_eq!((answer.pieces(), answer.tokens(), answer.is_decided()), (0, None, true));
    assert_eq!(answer.outcome(&asked, |_| true).failure, None);
    assert_eq!(outcome(&target, 200, SSE, &[&text(""), DONE].concat()), Some(Failure::Protocol));
}

/// Every case was reported from a real server: the stream succeeds with two tokens, and its peculiarity is recorded.
#[test]
fn peculiarities_do_not_break_a_stream() {
    use Peculiarity as P;
    let any = stream(&json!({}));
    let ab = [text("a"), text("b"), end("stop")].concat();
    let usage = |tokens: serde_json::Value| event(&json!({"choices": [], "usage": {"completion_tokens": tokens}}));
    let both = |delta: &str| event(&json!({"choices": [{"delta": {"content": delta}, "message": {"content": delta}}]}));
    let thought =
        event(&json!({"choices": [{"delta": {"content": null, "reasoning": "x", "reasoning_content": "x"}}]}));
    let parts = event(&json!({"choices": [{"delta": {"content": [{"type": "text", "text": "b"}]}}]}));
    let refusal = event(&json!({"choices": [{"delta": {"refusal": "I cannot"}}]}));
    let call = event(&json!({"choices": [{"delta": {"function_call": {"name": "f", "arguments": ""}}}]}));
    let role = event(&json!({"choices": [{"delta": {"role": "assistant"}}]}));
    let with_error =
        |error: serde_json::Value| event(&json!({"error": error, "choices": [{"delta": {"content": "b"}}]}));
    let large = event(&json!({"choices": [{"delta": {"content": "b"}}], "padding": "x".repeat(2 << 20)}));
    let mut cases = vec![
        ("plain", [&ab, DONE].concat(), None),
        ("reasoning twice", [&text("a"), &end("stop"), &thought, DONE].concat(), Some(P::TwoReasonings)),
        ("parts", [&text("a"), &end("stop"), &parts, DONE].concat(), Some(P::ContentParts)),
        ("delta and message", [&both("a"), &both("b"), &end("stop"), DONE].concat(), Some(P::DeltaAndMessage)),
        ("usage -35", [&ab, &usage(json!(-35)), DONE].concat(), Some(P::OddUsage)),
        ("usage 2.0", [&ab, &usage(json!(2.0)), DONE].concat(), Some(P::OddUsage)),
        ("usage text", [&ab, &usage(json!("2")), DONE].concat(), Some(P::OddUsage)),
        ("role only", [&role, &ab, DONE].concat(), None),
        ("refusal", [&text("a"), &end("stop"), &refusal, DONE].concat(), None),
        ("function call", [&text("a"), &end("stop"), &call, DONE].concat(), None),
        ("comments", [": ping\n\n", &ab, ":\n", DONE].concat(), Some(P::Comments)),
        ("empty event", [&ab, "data: \n\n", DONE].concat(), Some(P::EmptyEvents)),
        ("other event", [&ab, "event: ping\ndata: now\n\n", DONE].concat(), Some(P::OtherEvents)),
        ("blanks", [&ab, "data:   [DONE] \n\n"].concat(), Some(P::BlanksAroundDone)),
        ("one line feed", [&ab, "data: [DONE]\n"].concat(), Some(P::NoLastLine)),
        ("no line feed", [&ab, "data: [DONE]"].concat(), Some(P::NoLastLine)),
        ("CR LF", [&ab, "data: [DONE]\r\n"].concat(), Some(P::NoLastLine)),
        ("large", [&text("a"), &end("stop"), &large, DONE].concat(), Some(P::LargeEvents)),
    ];
    for error in [json!(false), json!(""), json!({}), json!([]), json!(0)] {
        cases.push(("error", [&text("a"), &end("stop"), &with_error(error), DONE].concat(), Some(P::EmptyError)));
    }
    cases.push(("error null", [&text("a"), &end("stop"), &with_error(json!(null)), DONE].concat(), None));
    let mut sse = HeaderMap::new();
    sse.insert(CONTENT_TYPE, SSE.parse().unwrap());
    for (name, body, odd) in cases {
        let asked = Asked::of(&any, 0);
        let mut answer = Answer::new(&asked, 200, &sse);
        body.as_bytes().chunks(1000).for_each(|piece| answer.piece(&asked, piece, false));
        let tokens = answer.tokens().unwrap_or_else(|| answer.pieces());
        let outcome = answer.outcome(&asked, |_| true);
        assert_eq!((outcome.failure, tokens), (None, 2), "{name}: {:?}", outcome.words);
        assert_eq!(outcome.odd.iter().collect::<Vec<_>>(), odd.into_iter().collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn a_truncated_stream_is_broken() {
    let any = stream(&json!({}));
    let half = "data: {\"choices\":[{\"delta\":{\"content\":\"b";
    for body in [[&text("a"), half].concat(), [&text("a"), "data: [DO"].concat(), [text("a"), text("b")].concat()] {
        assert_eq!(outcome(&any, 200, SSE, &body), Some(Failure::BrokenStream), "{body}");
    }
}

#[test]
fn checks_json_in_the_assembled_stream() {
    let checked = stream(&json!({"json": [
        {"path": "$.choices[0].finish_reason", "equals": "stop"},
        {"path": "$.choices[0].message.content", "equals": "hello"},
    ]}));
    let answer = |reason: &str| [&text("hel"), &text("lo"), &end(reason), DONE].concat();
    assert_eq!(outcome(&checked, 200, SSE, &answer("stop")), None);
    assert_eq!(outcome(&checked, 200, SSE, &answer("length")), Some(Failure::Check));
    assert_eq!(outcome(&checked, 200, SSE, &text("hel")), Some(Failure::BrokenStream));
    // The buffered memory is limited.
    checked.kept.store(MAX_KEPT, Ordering::Relaxed);
    let asked = Asked::of(&checked, 0);
    let mut full = Answer::new(&asked, 200, &HeaderMap::new());
    full.piece(&asked, answer("stop").as_bytes(), false);
    assert_eq!(full.outcome(&asked, |_| true).failure, Some(Failure::TooLarge));
}

#[test]
fn detects_repeated_text_after_a_gap() {
    let any = stream(&json!({}));
    let asked = Asked::of(&any, 0);
    for (after_gap, wanted) in [(true, true), (false, false)] {
        let mut answer = Answer::new(&asked, 200, &HeaderMap::new());
        answer.piece(&asked, text("Once upon a time there was").as_bytes(), false);
        answer.piece(&asked, text("Once upon a time there was a run").as_bytes(), after_gap);
        answer.piece(&asked, DONE.as_bytes(), false);
        assert_eq!(answer.outcome(&asked, |_| true).is_repeated, wanted);
    }
}

#[test]
fn a_packed_body_is_unpacked_before_it_is_checked() {
    let packed = |target: &Target, bytes: &[u8]| {
        let mut headers = HeaderMap::new();
        headers.insert("content-encoding", "gzip".parse().unwrap());
        let asked = Asked::of(target, 0);
        let mut answer = Answer::new(&asked, 200, &headers);
        bytes.chunks(5).for_each(|piece| answer.piece(&asked, piece, false));
        let outcome = answer.outcome(&asked, |_| true);
        (outcome.failure, outcome.words.unwrap_or_default())
    };
    let gzip = |text: &str| super::unpacked::packed(text.as_bytes());
    let checked = |check: serde_json::Value| target(json!({"http": {"url": "http://x", "check": check}}));
    let good = checked(json!({"contains": "all good"}));
    assert_eq!(packed(&good, &gzip("now all good again")), (None, String::new()));
    assert_eq!(packed(&good, &gzip("all bad")).0, Some(Failure::Check));
    let json = checked(json!({"json": [{"path": "$.a", "equals": 1}]}));
    assert_eq!(packed(&json, &gzip("{\"a\": 1}")).0, None);
    let large = format!("{{\"a\": \"{}\"}}", "x".repeat(MAX_JSON));
    assert_eq!(packed(&json, &gzip(&large)).0, Some(Failure::TooLarge), "the limit is that of the unpacked body");
    let (failure, words) = packed(&good, b"all good");
    assert!(failure == Some(Failure::Protocol) && words.contains("is not gzip"), "{words}");
    assert_eq!(packed(&good, &gzip("all good")[..10]).0, Some(Failure::Protocol));
    // A request without `Accept-Encoding` takes any coding (RFC 9110, section 12.5.3), so answers of models come packed as well.
    let events = [&text("hello"), &end("stop"), DONE].concat();
    assert_eq!(packed(&stream(&json!({"contains": "hello"})), &gzip(&events)), (None, String::new()));
    // The end mark is flushed before the end of the compression, which may never come.
    let flushed = super::unpacked::flushed(events.as_bytes());
    assert_eq!(packed(&stream(&json!({"contains": "hello"})), &flushed), (None, String::new()));
    assert_eq!(
        packed(&good, &super::unpacked::flushed(b"all good")).0,
        Some(Failure::Protocol),
        "nothing says that it ends"
    );
    let answer = json!({"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]});
    assert_eq!(packed(&openai(false), &gzip(&answer.to_string())), (None, String::new()));
    // No body at all, as to HEAD.
    assert_eq!(packed(&checked(json!({"status": [200]})), b"").0, None);
    assert_eq!(packed(&target(json!({"http": {"url": "http://x"}, "group_by": {"json": "$.by"}})), b"").0, None);
    // Nothing reads the body.
    assert_eq!(packed(&checked(json!({"status": [200]})), b"all good").0, None);
}
