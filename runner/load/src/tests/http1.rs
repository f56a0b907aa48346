//! HTTP/1.1: the written requests, the reuse of connections, and answers that arrive early.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use shakedown_fakes::{Answer, Request, Step};

use super::*;

/// The bytes of the request with this number, and the size of the body that is written separately.
fn written(load: serde_json::Value, number: u64) -> (String, usize) {
    let mut planned = planned_at(([127, 0, 0, 1], 1).into(), load);
    planned.endpoint.base = "http://server.test/base".to_owned();
    planned.files = Files::of([("large", [b'x'; 40_000].as_slice())]);
    let requests = target::Target::new(&planned).unwrap().requests;
    let mut bytes = Vec::new();
    let (_, request, data) = requests.of(number);
    let rest = request.write(&data, &mut bytes).unwrap();
    (String::from_utf8(bytes).unwrap(), rest.len())
}

#[test]
fn writes_requests_as_http1() {
    let agent = concat!("user-agent: shakedown/", env!("CARGO_PKG_VERSION"), "\r\n");
    let head =
        |line: &str, more: &str| format!("{line} HTTP/1.1\r\nhost: server.test\r\n{agent}accept: */*\r\n{more}\r\n");
    let http = |more: serde_json::Value| {
        let mut http = json!({"url": "http://x"});
        http.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"http": http, "rate": "1/s"})
    };
    for (more, wanted, rest) in [
        (json!({}), head("GET /base", ""), 0),
        (json!({"path": "/a?b=c"}), head("GET /base/a?b=c", ""), 0),
        (json!({"path": "/{{ n }}", "headers": {"x-n": "{{ n }}"}}), head("GET /base/7", "x-n: 7\r\n"), 0),
        (json!({"method": "POST", "body": "n{{ n }}"}), head("POST /base", "content-length: 2\r\n") + "n7", 0),
        // A length of 0 tells the server that there is no body.
        (json!({"method": "PUT"}), head("PUT /base", "content-length: 0\r\n"), 0),
        (json!({"method": "DELETE"}), head("DELETE /base", ""), 0),
        (json!({"method": "POST", "body_file": "large"}), head("POST /base", "content-length: 40000\r\n"), 40_000),
    ] {
        assert_eq!(written(http(more.clone()), 7), (wanted, rest), "{more}");
    }
}

/// Data cannot end a header early and begin another one.
#[test]
fn data_cannot_break_out_of_a_header() {
    let load = json!({"http": {"url": "http://x", "headers": {"x-name": "{{ row.name }}"}}, "feeder": {"file": "rows.csv"}, "rate": "1/s"});
    let mut planned = planned_at(([127, 0, 0, 1], 1).into(), load);
    planned.files = Files::of([("rows.csv", b"name\n\"a\nb\"\n".as_slice())]);
    assert!(target::Target::new(&planned).unwrap_err().to_string().contains("cannot be sent"));
}

#[tokio::test]
async fn reuses_a_connection_unless_its_answer_ends_it() {
    for (path, is_reused) in [
        ("/", true),
        // It fails by its status alone. The rest is read, and the connection is reused.
        ("/status/503", true),
        ("/status/204-empty", true),
        ("/hints", true),
        ("/until-close", false),
        ("/last", false),
        // Unexpected bytes after the answer.
        ("/more", false),
    ] {
        let server = server::start();
        let load = json!({"http": {"path": path}, "concurrency": 1});
        let mut duration = 50 * MS;
        // A busy machine may need longer for three.
        while server.count() < 3 {
            let connections = server.connections();
            let before = server.count();
            let seen = send(planned(&server, load.clone()), duration, 20_000 * MS).await;
            let (requests, connections) = (server.count() - before, server.connections() - connections);
            assert_eq!(seen.requests(), requests, "{path}: each is sent once");
            let failed = total(&seen).failed;
            assert!(failed.keys().all(|failure| *failure == Failure::Status(503)), "{path}: {failed:?}");
            assert_eq!(connections, if is_reused { 1 } else { requests }, "{path}: {requests} requests");
            duration *= 2;
        }
    }
}

#[tokio::test]
async fn a_large_body_arrives_whole() {
    let server = server::start();
    let body: Vec<u8> = (0..3_000_000_u32).map(|at| b'a' + (at % 23) as u8).collect();
    let load = json!({"http": {"method": "POST", "body_file": "body"}, "concurrency": 2, "timeout": "60s"});
    let mut planned = planned(&server, load);
    planned.files = Files::of([("body", body.as_slice())]);
    let seen = send(planned, 20 * MS, 60_000 * MS).await;
    assert!(total(&seen).succeeded >= 2, "{:?}", total(&seen).failed);
    assert!(server.requests().iter().all(|it| it.body == body));
}

/// A server that reads `reads` times on each connection, sends `says`, and then neither reads nor closes.
async fn server_that_sends(reads: usize, says: &'static [u8]) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut vec![0; reads]).await.unwrap();
            stream.write_all(says).await.unwrap();
            kept.push(stream);
        }
    });
    (address, task)
}

/// A server may answer before it has read the whole request.
#[tokio::test]
async fn reads_an_early_answer() {
    let too_large = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n";
    let (address, task) = server_that_sends(64, too_large).await;
    let large = vec![b'x'; 32 << 20];
    let load = json!({"http": {"method": "POST", "body_file": "large"}, "rate": "20/s", "timeout": "60s"});
    let mut planned = planned_at(address, load);
    planned.files = Files::of([("large", large.as_slice())]);
    let seen = send(planned, 100 * MS, 60_000 * MS).await;
    task.abort();
    assert_eq!(total(&seen).failed, [(Failure::Status(413), due(20, end_ns(&seen)))].into());
}

/// A server that speaks first does not speak HTTP.
#[tokio::test]
async fn a_greeting_is_not_an_answer() {
    let (address, task) = server_that_sends(0, b"SSH-2.0-server\r\n").await;
    let planned = planned_at(address, json!({"http": {}, "rate": "100/s", "timeout": "60s"}));
    let seen = send(planned, 100 * MS, 60_000 * MS).await;
    task.abort();
    assert_eq!(total(&seen).failed, [(Failure::Protocol, due(100, end_ns(&seen)))].into());
}

/// The timeout for idle connections of a server can end a connection while a request is on its way.
#[tokio::test(start_paused = true)]
async fn a_close_that_crosses_a_request_on_an_idle_connection_is_no_failure() {
    let close = |after_ms| Answer::nothing().pause(after_ms * MS).then(Step::Close);
    for (method, rate, crossed, resent) in [
        ("GET", "30/m", close(1), true),
        ("PUT", "30/m", close(1), true),
        // It may have been carried out.
        ("POST", "30/m", close(1), false),
        // The service had the request for longer than a round trip.
        ("GET", "30/m", close(300), false),
        // The connection was not idle.
        ("GET", "10/s", close(1), false),
    ] {
        let answer =
            move |it: &Request| if it.number.is_multiple_of(2) { Answer::new(200, "ok") } else { crossed.clone() };
        let server = MemoryServer::new(answer);
        let load = json!({"http": {"method": method}, "rate": rate});
        let seen = send_paused(wired(&server, &plan(load)), 20_000 * MS, 20_000 * MS).await;
        assert_eq!(seen.resent > 0, resent, "{method} {rate}");
        assert_eq!(total(&seen).failed.is_empty(), resent, "{method} {rate}: {:?}", total(&seen).failed);
    }
}
