//! A server that answers as the request's path says: correctly, incorrectly, or not at all.

use std::time::Duration;

use shakedown_fakes::{Answer, HttpServer, MemoryServer, Request, Step};

/// The server on loopback.
pub(super) fn start() -> HttpServer {
    HttpServer::start(answer)
}

/// The server without sockets, for paused time.
pub(super) fn in_memory() -> MemoryServer {
    MemoryServer::new(answer)
}

const OK: &str = "HTTP/1.1 200 OK\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn token(text: &str) -> String {
    chunk(&format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"))
}

/// The start of a body with this announced length.
fn begun(length: usize, start: &str) -> Answer {
    Answer::raw(format!("{OK}content-length: {length}\r\n\r\n{start}"))
}

/// Answers as the path says.
fn answer(request: &Request) -> Answer {
    let path = request.target().to_lowercase();
    let path = path.split('?').next().unwrap_or_default();
    let words: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match words.as_slice() {
        ["status", "204-empty"] => Answer::raw("HTTP/1.1 204 No Content\r\n\r\n"),
        ["hints"] => Answer::raw("HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n")
            .send(format!("{OK}content-length: 2\r\n\r\nok")),
        ["last"] => Answer::with_headers(200, &[("connection", "close")], "ok"),
        ["more"] => begun(2, "ok and more"),
        ["status", status] => Answer::new(status.parse().unwrap_or(200), "no"),
        ["slow", milliseconds] => {
            let time = Duration::from_millis(milliseconds.parse().unwrap_or(0));
            Answer::nothing().pause(time).send(format!("{OK}content-length: 2\r\n\r\nok"))
        }
        // Accepts and never answers.
        ["never"] => Answer::nothing().then(Step::Hang),
        ["never-ends"] => begun(100, "start").then(Step::Hang),
        ["drip"] => begun(100_000, "").then(Step::Repeat(b"x".to_vec(), Duration::from_millis(5))),
        ["close"] => Answer::nothing().then(Step::Close),
        ["half-close"] => Answer::nothing().then(Step::HalfClose),
        ["reset"] => Answer::nothing().then(Step::Reset),
        // The client must read the start first: a reset discards data that is still under way.
        ["reset-in-body"] => begun(100, "start").pause(Duration::from_millis(30)).then(Step::Reset),
        ["short"] => begun(100, "short").then(Step::Close),
        ["cut-chunks"] => Answer::raw(format!("{OK}transfer-encoding: chunked\r\n\r\n5\r\nhel")).then(Step::Close),
        ["bad-chunks"] => Answer::raw(format!("{OK}transfer-encoding: chunked\r\n\r\nxyz\r\nhello")).then(Step::Close),
        // An endless chunk size.
        ["endless-chunk-size"] => Answer::raw(format!("{OK}transfer-encoding: chunked\r\n\r\n"))
            .then(Step::Repeat(vec![b'f'; 4096], Duration::ZERO)),
        ["garbage"] => Answer::raw("220 smtp.example ESMTP ready\r\n\r\n").then(Step::Close),
        // Endless headers.
        ["flood"] => Answer::raw(OK).then(Step::Repeat(format!("x: {}\r\n", "y".repeat(1000)).into(), Duration::ZERO)),
        // Without a length: the body ends with the connection.
        ["until-close"] => Answer::raw(format!("{OK}\r\nall of it")).then(Step::Close),
        // Half a megabyte twenty times, without an announced length.
        ["huge"] => {
            let piece = chunk(&"z".repeat(512 << 10));
            let start = Answer::raw(format!("{OK}transfer-encoding: chunked\r\n\r\n"));
            (0..20).fold(start, |answer, _| answer.send(piece.clone())).send(format!("{}0\r\n\r\n", chunk("needle")))
        }
        // Answers once, and then closes the idle connection without notice.
        ["close-when-idle"] => Answer::new(200, "ok").then(Step::Close),
        [how, "v1", ..] => openai(how),
        _ => Answer::new(200, "hello"),
    }
}

/// The OpenAI API, correct or not as `how` says.
fn openai(how: &str) -> Answer {
    let json = |body: &str| Answer::with_headers(200, &[("content-type", "application/json")], body);
    match how {
        "plain" => return json(r#"{"choices":[{"message":{"role":"assistant","content":"hello there"}}]}"#),
        "no-choice" => return json(r#"{"choices":[]}"#),
        "error" => return json(r#"{"error":{"message":"overloaded"}}"#),
        _ => {}
    }
    let done = chunk("data: [DONE]\n\n") + "0\r\n\r\n";
    if how == "empty" {
        return Answer::raw(CHUNKED.to_owned() + &token("") + &done);
    }
    let start = Answer::raw(format!("{CHUNKED}{}{}", token(""), token("hello ")));
    let (gap, rest) = (Duration::from_millis(60), token("there"));
    match how {
        "hang" => start.then(Step::Hang),
        "stream" => start.pause(gap).send(rest + &done),
        // Its choice has finished long before the end mark.
        "late-done" => {
            let end = chunk("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
            start.pause(gap).send(rest + &end).pause(Duration::from_secs(1)).send(done)
        }
        "no-done" => start.pause(gap).send(rest + "0\r\n\r\n"),
        "mid-error" => start.pause(gap).send(chunk("data: {\"error\":{\"message\":\"worker lost\"}}\n\n") + &done),
        // Sends keep-alive comments, but no token.
        "stall" => {
            let comment = chunk(": still there\n\n");
            start.pause(gap).send(rest).then(Step::Repeat(comment.into(), Duration::from_millis(10)))
        }
        "cut" => start.pause(gap).then(Step::Close),
        _ => panic!("no answer is called `{how}`"),
    }
}
