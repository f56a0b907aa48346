//! How servers end their answers, count their tokens and announce their streams.

use super::*;

fn seen(target: &Target, kind: &str, body: &str) -> (Option<Failure>, Vec<Peculiarity>, String) {
    let outcome = whole(target, 200, kind, body);
    (outcome.failure, outcome.odd.iter().collect(), outcome.words.unwrap_or_default())
}

fn usage(tokens: i64) -> String {
    event(&json!({"choices": [], "usage": {"completion_tokens": tokens}}))
}

/// Servers without `[DONE]` and servers without a `finish_reason` have public reports. A stream with neither was cut.
#[test]
fn a_stream_needs_a_finish_reason_or_an_end_mark() {
    let any = stream(&json!({}));
    let complete = |odd: &[Peculiarity]| (None, odd.to_vec(), String::new());
    let seen = |events: &[String]| seen(&any, SSE, &events.concat());
    let (text, end, done) = (text("a"), end("stop"), DONE.to_owned());
    let one = [text.clone(), end.clone(), done.clone()];
    assert_eq!(seen(&one), complete(&[]));
    assert_eq!(whole(&any, 200, SSE, &one.concat()).finish, Some(Finish::Stop));
    let without = [text.clone(), done];
    assert_eq!(seen(&without), complete(&[Peculiarity::NoFinish]));
    assert_eq!(whole(&any, 200, SSE, &without.concat()).finish, Some(Finish::None), "it is counted");
    assert_eq!(seen(&[text.clone(), end.clone()]), complete(&[Peculiarity::NoDone]));
    assert_eq!(seen(&[text.clone(), end.clone(), usage(1)]), complete(&[Peculiarity::NoDone]));
    let broken = |events: &[String], words: &str| {
        let (failure, _, found) = seen(events);
        assert_eq!((failure, found.as_str()), (Some(Failure::BrokenStream), words), "{events:?}");
    };
    broken(std::slice::from_ref(&text), "the stream ended with neither a `finish_reason` nor `[DONE]`");
    let second = event(&json!({"choices": [{"index": 1, "delta": {"content": "b"}}]}));
    broken(
        &[text.clone(), second, end.clone()],
        "the stream ended without `[DONE]`, and not every choice has a `finish_reason`",
    );
    broken(&[text, end, "data: {\"choices\": [], \"usa".to_owned()], "the stream ended within an event");
    let plain = openai(false);
    let body = r#"{"choices":[{"message":{"content":"hello"}}]}"#;
    assert_eq!(self::seen(&plain, JSON, body), complete(&[Peculiarity::NoFinish]));
}

/// Some servers send the reason as an object.
#[test]
fn a_finish_reason_may_be_an_object() {
    for (kind, failure) in [("stop", None), ("abort", Some(Failure::FinishAbort))] {
        let reason = json!({"type": kind, "stop_sequence": null});
        let last = event(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}));
        let (found, odd, _) = seen(&stream(&json!({})), SSE, &[text("a"), last, DONE.to_owned()].concat());
        assert_eq!(found, failure, "{kind}");
        assert!(odd.contains(&Peculiarity::OddType), "{odd:?}");
    }
}

/// A chunk has one token or more, so a lower count is no count.
#[test]
fn a_count_of_fewer_tokens_than_chunks_is_recorded() {
    let any = stream(&json!({}));
    let with = |tokens: i64| [text("a"), text("b"), end("stop"), usage(tokens), DONE.to_owned()].concat();
    for (tokens, odd) in
        [(0, vec![Peculiarity::FewTokens]), (1, vec![Peculiarity::FewTokens]), (2, vec![]), (9, vec![])]
    {
        assert_eq!(seen(&any, SSE, &with(tokens)), (None, odd, String::new()), "{tokens}");
    }
    let plain = openai(false);
    let answer = |tokens: i64| json!({"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}], "usage": {"completion_tokens": tokens}});
    let none = whole(&plain, 200, JSON, &answer(0).to_string());
    assert_eq!((none.tokens, none.odd.iter().collect::<Vec<_>>()), (None, vec![Peculiarity::FewTokens]));
    assert_eq!(whole(&plain, 200, JSON, &answer(5).to_string()).tokens, Some(5));
}

#[test]
fn a_stream_is_known_by_its_first_bytes() {
    let hello = stream(&json!({"contains": "hello"}));
    let events = [text("hel"), text("lo"), end("stop"), DONE.to_owned()].concat();
    for begin in ["", ": ping\n\n", "event: message\n", "id: 7\n", "\n", "\u{feff}"] {
        let (failure, odd, words) = seen(&hello, JSON, &format!("{begin}{events}"));
        assert!(failure.is_none() && odd.contains(&Peculiarity::StreamType), "{begin:?}: {failure:?} {words} {odd:?}");
    }
    assert_eq!(seen(&hello, SSE, &events), (None, vec![], String::new()));
    assert_eq!(seen(&hello, "text/plain", &events), (None, vec![Peculiarity::StreamType], String::new()));
    let whole_answer = r#"{"choices":[{"message":{"content":"hello"}}]}"#;
    for begin in ["", "\n  "] {
        let (failure, _, words) = seen(&hello, JSON, &format!("{begin}{whole_answer}"));
        assert_eq!((failure, words.as_str()), (Some(Failure::BrokenStream), "the answer is not a stream"));
    }
    // Whatever the type says, an object that reports an error is read as one.
    for kind in [JSON, SSE, "text/plain"] {
        let (failure, _, words) = seen(&hello, kind, r#"{"error": {"message": "no such model"}}"#);
        assert_eq!((failure, words.as_str()), (Some(Failure::ApiError), "no such model"), "{kind}");
    }
}

/// The first token is known as soon as it comes, not at the end of the body.
#[test]
fn tokens_of_a_stream_with_another_type_are_seen_as_they_come() {
    let any = stream(&json!({}));
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, JSON.parse().unwrap());
    let asked = Asked::of(&any, 0);
    let mut answer = Answer::new(&asked, 200, &headers);
    answer.piece(&asked, text("a").as_bytes(), false);
    assert!(answer.is_stream() && answer.pieces() == 1);
}

/// As some servers stream: one JSON object per line, without `data:` and without an end mark.
#[test]
fn lines_of_json_are_a_stream() {
    let hello =
        stream(&json!({"contains": "hello", "json": [{"path": "$.choices[0].message.content", "equals": "hello"}]}));
    let line = |text: &str, finish: serde_json::Value| {
        json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}).to_string() + "\n"
    };
    let (hel, lo) = (line("hel", json!(null)), line("lo", json!("stop")));
    for kind in ["application/x-ndjson", "application/nd-json; charset=utf-8", "application/jsonl"] {
        let (failure, odd, words) = seen(&hello, kind, &format!("{hel}\n{lo}"));
        assert_eq!((failure, words.as_str()), (None, ""), "{kind}");
        assert_eq!(odd, [Peculiarity::StreamType, Peculiarity::NoDone], "{kind}");
    }
    let (failure, _, _) = seen(&hello, "application/x-ndjson", &hel);
    assert_eq!(failure, Some(Failure::BrokenStream), "it was cut");
    let (failure, _, words) = seen(&hello, "application/x-ndjson", &(hel + "{\"error\": \"worker lost\"}\n"));
    assert_eq!((failure, words.as_str()), (Some(Failure::ApiError), "worker lost"));
}

/// A stream of two choices that ended before the second one came was a success.
#[test]
fn a_choice_that_was_asked_for_is_missing_without_an_end_mark() {
    let target = target(json!({
        "openai": {"url": "http://x", "model": "m", "prompt": "p", "stream": true, "parameters": {"n": 2}}
    }));
    let first = format!("{}{}", text("a"), end("stop"));
    assert_eq!(outcome(&target, 200, "text/event-stream", &first), Some(Failure::BrokenStream));
    assert_eq!(outcome(&target, 200, "text/event-stream", &format!("{first}{DONE}")), None);
    let second = event(&json!({"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": "stop"}]}));
    assert_eq!(outcome(&target, 200, "text/event-stream", &format!("{first}{second}")), None);
}
