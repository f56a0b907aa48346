//! Samples of failed requests: one for each failure, with its answer or its error.

use shakedown_fakes::{Answer, Step};

use super::*;
use shakedown_observe::{Sample, Segment};

/// The samples of a load that is sent to this server for a moment.
async fn samples(server: &MemoryServer, load: serde_json::Value) -> Vec<(Failure, Sample)> {
    let seen = send_paused(wired(server, &plan(load)), 100 * MS, 20_000 * MS).await;
    seen.segments.iter().flat_map(|it| it.samples.iter()).map(|(kind, sample)| (kind, sample.clone())).collect()
}

/// The sample of a load whose requests all fail in the same way.
async fn sample(server: &MemoryServer, load: serde_json::Value) -> (Failure, Sample) {
    let mut all = samples(server, load).await;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[tokio::test(start_paused = true)]
async fn keeps_the_answer_of_one_rejected_request() {
    let body = format!(r#"{{"error": "Unsupported parameter: 'max_tokens'"}}{}"#, "x".repeat(2_000));
    let server = MemoryServer::new(move |_| {
        let long = "e".repeat(900);
        let headers =
            [("content-type", "application/json"), ("x-request-id", "7"), ("set-cookie", "a=b"), ("x-error", &long)];
        Answer::with_headers(400, &headers, body.clone())
    });
    let (kind, it) = sample(&server, json!({"http": {}, "rate": "100/s"})).await;
    assert_eq!((kind, it.status, it.due_ns), (Failure::Status(400), Some(400), 0));
    assert!(it.body.starts_with(br#"{"error": "Unsupported"#) && it.body.len() == 512 && it.is_cut);
    let names: Vec<&str> = it.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["content-length", "content-type", "x-request-id", "x-error"]);
    assert_eq!(it.headers[3].1, format!("{}…", "e".repeat(200)), "a cut is shown");
    assert_eq!(it.cause, "expected a status of 200 to 299");
}

#[tokio::test(start_paused = true)]
async fn names_the_failed_condition_with_expected_and_actual_value() {
    let server = MemoryServer::new(|request| {
        let kind = if request.target() == "/html" { "text/html" } else { "application/json" };
        Answer::with_headers(200, &[("content-type", kind)], r#"{"status": "degraded", "n": [1, 2]}"#)
    });
    for (path, check, cause) in [
        ("/", json!({"contains": "ok"}), "`check.contains`: expected `ok`, which is not in the body"),
        ("/", json!({"matches": "^ok"}), "`check.matches`: nothing in the body matches `^ok`"),
        ("/", json!({"status": [201, 204]}), "`check.status`: expected 201 or 204, found 200"),
        (
            "/",
            json!({"json": [{"path": "$.status", "equals": "ok"}]}),
            "`check.json` `$.status`: expected `\"ok\"`, found `\"degraded\"`",
        ),
        (
            "/",
            json!({"json": [{"path": "$.n[*]", "equals": 3}]}),
            "`check.json` `$.n[*]`: expected `3`, found `1`, `2`",
        ),
        (
            "/",
            json!({"json": [{"path": "$.x", "exists": true}]}),
            "`check.json` `$.x`: expected something, found nothing there",
        ),
        (
            "/html",
            json!({"headers": {"content-type": {"contains": "json"}}}),
            "`check.headers` `content-type`: expected to contain `json`, found `text/html`",
        ),
        (
            "/",
            json!({"headers": {"x-ok": {"exists": true}}}),
            "`check.headers` `x-ok`: expected one, found no such header",
        ),
    ] {
        let (_, it) = sample(&server, json!({"http": {"path": path, "check": check}, "rate": "100/s"})).await;
        assert_eq!(it.cause, cause, "{check}");
        assert!(it.body.starts_with(b"{\"status\"") && !it.is_cut && it.status == Some(200), "{it:?}");
        assert!(it.headers.iter().any(|(name, _)| name == "content-type"), "{it:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn names_the_progress_of_an_answer() {
    let server = server::in_memory();
    for (path, kind, cause) in [
        ("/never", Failure::Timeout, "the request was sent and no byte of an answer came"),
        ("/never-ends", Failure::Timeout, "the answer began but did not end: 5 of 100 bytes of its body were received"),
        ("/close", Failure::Closed, "the server closed the connection before it answered"),
        (
            "/short",
            Failure::Truncated,
            "the server closed the connection before the body was whole; 5 of 100 bytes of its body were received",
        ),
        ("/garbage", Failure::Protocol, "the answer is not HTTP/1.1"),
        ("/bad-chunks", Failure::Protocol, "the body is not chunked, although its head says so"),
        ("/flood", Failure::Protocol, "the head of the answer is longer than 64 KiB"),
    ] {
        let load = json!({"http": {"path": path}, "rate": "20/s", "timeout": "1s"});
        let (found, it) = sample(&server, load).await;
        assert_eq!((found, it.cause.as_str()), (kind, cause), "{path}");
    }
}

/// What is no head, or the beginning of one, says what answered.
#[tokio::test(start_paused = true)]
async fn keeps_the_bytes_of_a_head_that_cannot_be_read() {
    let long = format!(
        "HTTP/1.1 200 OK\r\nserver: old\r\nset-cookie: sid=geheim\r\n authorization=geheim\r\nX-API-Key: geheim\r\n\u{1}{}\r\n\r\n",
        "y".repeat(900)
    );
    for (bytes, then, kind, begin) in [
        ("220 smtp.example ESMTP ready\r\n\r\n", Step::Close, Failure::Protocol, "220 smtp.example ESMTP ready"),
        (&long, Step::Close, Failure::Protocol, "HTTP/1.1 200 OK\r\nserver: old\r\nset-cookie: [redacted]\r\n"),
        ("HTTP/1.1 200 OK\r\nserver: half\r\n", Step::Close, Failure::Closed, "HTTP/1.1 200 OK\r\nserver: half\r\n"),
        ("HTTP/1.1 200 OK\r\nserver: half\r\n", Step::Hang, Failure::Timeout, "HTTP/1.1 200 OK\r\nserver: half\r\n"),
        (
            "HTTP/1.1 200 OK\r\nset-cookie: sid=geh",
            Step::Reset,
            Failure::Closed,
            "HTTP/1.1 200 OK\r\nset-cookie: [redacted]",
        ),
    ] {
        let bytes = bytes.to_owned();
        let server = MemoryServer::new(move |_| Answer::raw(bytes.clone()).pause(30 * MS).then(then.clone()));
        let (found, it) = sample(&server, json!({"http": {}, "rate": "20/s", "timeout": "1s"})).await;
        let text = String::from_utf8_lossy(&it.body);
        assert!(found == kind && text.starts_with(begin) && it.body.len() <= 512, "{kind}: {found} {text}");
        assert!(!text.contains("geh"), "{text}");
        assert!(!it.cause.contains("no byte"), "{}", it.cause);
        assert_eq!(it.is_cut, text.contains("yyy"), "{text}");
    }
    // The head that could be read is no part of the body.
    let server = server::in_memory();
    let (_, it) =
        sample(&server, json!({"http": {"path": "/bad-chunks", "check": {"contains": "x"}}, "rate": "20/s"})).await;
    assert_eq!((it.status, it.body.as_slice()), (Some(200), &b""[..]));
}

/// An answer that was accepted by its head keeps what a report shows, in case its body is not whole.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_whole_is_shown_with_its_head() {
    for (then, kind, cause) in [
        (Step::Close, Failure::Truncated, "before the body was whole; 18 of 100 bytes of its body were received"),
        (Step::Hang, Failure::Timeout, "did not end: 18 of 100 bytes of its body were received"),
    ] {
        let bytes = "HTTP/1.1 200 OK\r\nserver: a\r\ncontent-length: 100\r\n\r\nhalf of an answer:";
        let server = MemoryServer::new(move |_| Answer::raw(bytes).pause(30 * MS).then(then.clone()));
        let (found, it) = sample(&server, json!({"http": {}, "rate": "20/s", "timeout": "1s"})).await;
        assert_eq!((found, it.body.as_slice()), (kind, &b"half of an answer:"[..]));
        assert!(it.headers.contains(&("server".to_owned(), "a".to_owned())), "{:?}", it.headers);
        assert!(it.cause.ends_with(cause), "{}", it.cause);
    }
}

#[tokio::test(start_paused = true)]
async fn a_packed_body_is_shown_unpacked() {
    let text = "the database is away; ".repeat(400);
    let body = crate::answer::packed(text.as_bytes());
    let server = MemoryServer::new(move |_| Answer::with_headers(503, &[("content-encoding", "gzip")], body.clone()));
    let (_, it) = sample(&server, json!({"http": {}, "rate": "20/s"})).await;
    assert!(it.body.len() == 512 && text.as_bytes().starts_with(&it.body) && it.is_cut, "{it:?}");
}

#[tokio::test(start_paused = true)]
async fn keeps_the_event_that_ends_a_stream() {
    let server = server::in_memory();
    let mut load = openai("mid-error", true);
    load["openai"]["url"] = "http://server.test/mid-error".into();
    let mut planned = plan(load);
    planned.endpoint.base = "http://server.test/mid-error".to_owned();
    let seen = send_paused(wired(&server, &planned), 100 * MS, 20_000 * MS).await;
    let (kind, it) = seen.segments[0].samples.iter().next().unwrap();
    assert_eq!(kind, Failure::ApiError);
    assert!(it.cause.contains("worker lost") && it.body.starts_with(b"data: "), "{it:?}");
}

/// The sample of an `openai` load whose server answers each request with this stream, or with this object.
async fn said(kind: &'static str, body: &'static str, check: serde_json::Value) -> (Failure, String) {
    let server = MemoryServer::new(move |_| Answer::with_headers(200, &[("content-type", kind)], body));
    let openai = json!({"model": "m", "prompt": "p", "stream": kind == "text/event-stream", "check": check});
    let (kind, it) = sample(&server, json!({"openai": openai, "rate": "100/s"})).await;
    (kind, it.cause)
}

#[tokio::test(start_paused = true)]
async fn the_cause_is_the_servers_error_message() {
    let (sse, json) = ("text/event-stream", "application/json");
    let none = || json!({});
    for (kind, body, check, failure, cause) in [
        (
            sse,
            "error: {\"code\":500,\"message\":\"context shift failed\"}\n\ndata: [DONE]\n\n",
            none(),
            Failure::ApiError,
            "the server says: context shift failed",
        ),
        (sse, "event: error\n\n", none(), Failure::ApiError, "the server reports an error without a message"),
        (
            sse,
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"abort\"}]}\n\ndata: [DONE]\n\n",
            none(),
            Failure::FinishAbort,
            "`finish_reason` is `abort`",
        ),
        (
            sse,
            "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n",
            none(),
            Failure::BrokenStream,
            "the stream ended with neither a `finish_reason` nor `[DONE]`",
        ),
        (
            sse,
            "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n",
            json!({"contains": "hello"}),
            Failure::Check,
            "`check.contains`: expected `hello`, which is not in the body",
        ),
        (
            sse,
            "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n",
            json!({"json": [{"path": "$.choices[0].message.content", "equals": "b"}]}),
            Failure::Check,
            "`check.json` `$.choices[0].message.content`: expected `\"b\"`, found `\"a\"`",
        ),
        (json, "upstream down", none(), Failure::Protocol, "the answer does not follow the API: upstream down"),
        (json, "", none(), Failure::Protocol, "the answer is empty"),
    ] {
        assert_eq!(said(kind, body, check).await, (failure, cause.to_owned()), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_phase_has_its_own_samples() {
    let server = server::in_memory();
    let engine = wired(&server, &plan(json!({"http": {"path": "/status/503"}, "rate": "100/s"})));
    let during = async |_: &mut Engine, marks: &Marks| {
        sleep(100 * MS).await;
        marks.begin(Mark { at_ns: 100_000_000, phase: 1, part: PhasePart::Judged });
        sleep(100 * MS).await;
    };
    let seen = paused(engine, during, 1_000 * MS).await;
    let due: Vec<Vec<u64>> =
        seen.segments.iter().map(|it| it.samples.iter().map(|(_, sample)| sample.due_ns).collect()).collect();
    assert_eq!(due, [vec![0], vec![100_000_000]]);
    let (_, first) = seen.segments[1].samples.iter().next().unwrap();
    assert_eq!(first.body, b"no");
}

/// A request that a fault strikes while it is in flight has its own sample, even if another of its segment failed in the
/// same way before.
#[tokio::test(start_paused = true)]
async fn requests_in_flight_at_a_strike_have_their_own_samples() {
    let server = server::in_memory();
    let load = json!({"http": {"path": "/never"}, "rate": "20/s", "timeout": "1s"});
    let strike = 1_020_000_000;
    let during = async |_: &mut Engine, marks: &Marks| {
        sleep(1_020 * MS).await;
        marks.begin(Mark { at_ns: strike, phase: 1, part: PhasePart::Injecting });
        marks.strike_now(1, || strike);
        sleep(10 * MS).await;
    };
    let seen = paused(wired(&server, &plan(load)), during, 5_000 * MS).await;
    let due = |it: &Segment| it.samples.iter().map(|(_, sample)| sample.due_ns / 1_000_000).collect::<Vec<_>>();
    let found: Vec<_> = seen.segments.iter().map(|it| (it.mark.phase, it.mark.part, due(it))).collect();
    let expected =
        [(0, PhasePart::Judged, vec![0]), (1, PhasePart::InFlight, vec![50]), (1, PhasePart::Injecting, vec![])];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn explains_a_refused_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let seen = send(planned_at(address, json!({"http": {}, "rate": "50/s"})), 50 * MS, 1_000 * MS).await;
    let (kind, it) = seen.segments[0].samples.iter().next().unwrap();
    assert!(kind == Failure::Refused && it.cause.contains("refused"), "{it:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_have_more_than_a_hundred_headers() {
    let names: Vec<String> = (0..250).map(|number| format!("x-{number}")).collect();
    let server = MemoryServer::new(move |_| {
        let headers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
        Answer::with_headers(200, &headers, "ok")
    });
    let load = json!({"http": {"check": {"headers": {"x-249": {"equals": "v"}}}}, "rate": "100/s"});
    let seen = send_paused(wired(&server, &plan(load)), 100 * MS, 1_000 * MS).await;
    assert_eq!(total(&seen).failed, Default::default());
}
