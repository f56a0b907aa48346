//! HTTP/2 with a server that can refuse, reset and shut down.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpListener;

use super::*;

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) connections: AtomicU64,
    pub(super) requests: AtomicU64,
    at_once: AtomicU64,
    most_at_once: AtomicU64,
}

/// Answers requests on a connection as their paths say, at most `most` at the same time.
pub(super) async fn serve<T: AsyncRead + AsyncWrite + Unpin>(stream: T, most: Option<u32>, counts: Arc<Counts>) {
    counts.connections.fetch_add(1, Ordering::Relaxed);
    let mut builder = server::Builder::new();
    if let Some(most) = most {
        builder.max_concurrent_streams(most);
    }
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let mut tasks = tokio::task::JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        counts.requests.fetch_add(1, Ordering::Relaxed);
        match request.uri().path() {
            "/goaway" => connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM),
            // Accepts no more requests, and completes those that it has begun.
            "/graceful" => connection.graceful_shutdown(),
            _ => {}
        }
        tasks.spawn(answer(request, respond, Arc::clone(&counts)));
    }
}

async fn answer(request: http::Request<RecvStream>, mut respond: SendResponse<Bytes>, counts: Arc<Counts>) {
    let now = counts.at_once.fetch_add(1, Ordering::Relaxed) + 1;
    counts.most_at_once.fetch_max(now, Ordering::Relaxed);
    let head = |status: u16| http::Response::builder().status(status).body(()).unwrap();
    match request.uri().path() {
        "/refuse" => respond.send_reset(Reason::REFUSED_STREAM),
        "/reset" => respond.send_reset(Reason::INTERNAL_ERROR),
        "/reset-in-body" => reset_in_body(respond, head(200), Reason::CANCEL).await,
        "/end-in-body" => reset_in_body(respond, head(200), Reason::NO_ERROR).await,
        "/end-before-length" => {
            let mut head = head(200);
            head.headers_mut().insert("content-length", 10.into());
            reset_in_body(respond, head, Reason::NO_ERROR).await;
        }
        "/never" => std::future::pending().await,
        "/never-ends" => {
            let _body = respond.send_response(head(200), false).unwrap();
            std::future::pending::<()>().await;
        }
        "/goaway" => {}
        "/503" => drop(respond.send_response(head(503), true)),
        path => {
            if path == "/slow" {
                tokio::time::sleep(50 * MS).await;
            }
            let mut body = respond.send_response(head(200), false).unwrap();
            body.send_data(Bytes::from_static(b"hello"), true).unwrap();
        }
    }
    counts.at_once.fetch_sub(1, Ordering::Relaxed);
}

/// Begins a body, and resets its stream.
async fn reset_in_body(mut respond: SendResponse<Bytes>, head: http::Response<()>, reason: Reason) {
    let mut body = respond.send_response(head, false).unwrap();
    body.send_data(Bytes::from_static(b"start"), false).unwrap();
    tokio::time::sleep(20 * MS).await;
    body.send_reset(reason);
}

/// A server on loopback in clear text.
async fn start(most: Option<u32>) -> (SocketAddr, Arc<Counts>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let counts = Arc::new(Counts::default());
    let task = tokio::spawn({
        let counts = Arc::clone(&counts);
        async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                connections.spawn(serve(stream, most, Arc::clone(&counts)));
            }
        }
    });
    (address, counts, task)
}

fn at(address: SocketAddr, mut load: serde_json::Value) -> PlannedLoad {
    load["version"] = "http2".into();
    planned_at(address, load)
}

#[tokio::test]
async fn requests_share_connections_up_to_the_limit() {
    // The limit for 30 concurrent requests: 10 per connection by the client; 4 by the server; and none, so that 30 workers
    // need one connection.
    for (most, streams, connections) in [(None, 10, 3..=3), (Some(4), 10, 8..=8), (None, 100, 1..=1)] {
        let (address, counts, task) = start(most).await;
        let load = json!({"http": {"path": "/slow"}, "concurrency": 30, "streams": streams, "timeout": "20s"});
        let seen = send(at(address, load), 300 * MS, 20_000 * MS).await;
        let total = total(&seen);
        assert_eq!(total.succeeded, total.requests(), "{:?}", total.failed);
        assert_eq!(total.requests(), counts.requests.load(Ordering::Relaxed));
        let made = counts.connections.load(Ordering::Relaxed);
        // Until a slow machine has read a server's settings, more connections are made. One per request would be 30.
        assert!(
            made >= *connections.start() && made <= *connections.end() + 12,
            "{most:?} {streams}: {made} connections"
        );
        assert!(counts.most_at_once.load(Ordering::Relaxed) <= 30);
        task.abort();
    }
}

#[tokio::test]
async fn each_outcome_of_http2_has_its_name() {
    let (address, _, task) = start(None).await;
    let outcomes = [
        ("/", None),
        ("/503", Some(Failure::Status(503))),
        ("/refuse", Some(Failure::StreamRefused)),
        ("/reset", Some(Failure::StreamReset)),
        ("/reset-in-body", Some(Failure::Truncated)),
        ("/end-in-body", Some(Failure::Truncated)),
        ("/end-before-length", Some(Failure::Truncated)),
        ("/goaway", Some(Failure::GoAway)),
        ("/never", Some(Failure::Timeout)),
        ("/never-ends", Some(Failure::Timeout)),
    ];
    join_all(outcomes.map(async |(path, wanted)| {
        let timeout = if wanted == Some(Failure::Timeout) { "200ms" } else { "20s" };
        let load = json!({"http": {"path": path}, "rate": "100/s", "timeout": timeout});
        let seen = send(at(address, load), 100 * MS, 20_000 * MS).await;
        let total = total(&seen);
        let of = |failure| total.failed.get(&failure).copied().unwrap_or(0);
        let mut named = wanted.map_or(total.succeeded, of);
        if path == "/goaway" {
            // Sometimes the end of the socket is seen first.
            let overtaken = of(Failure::Reset) + of(Failure::Closed);
            assert!(named > overtaken, "{:?}", total.failed);
            named += overtaken;
        }
        assert_eq!(named, due(100, end_ns(&seen)), "{path}: {} succeeded, {:?}", total.succeeded, total.failed);
    }))
    .await;
    task.abort();
}

#[tokio::test]
async fn a_graceful_shutdown_loses_no_request() {
    let (address, counts, task) = start(None).await;
    let load = json!({"http": {"path": "/graceful"}, "rate": "100/s", "timeout": "20s"});
    let seen = send(at(address, load), 200 * MS, 20_000 * MS).await;
    let total = total(&seen);
    // Requests that were on their way at that time are not silently sent again. They have a named failure.
    let is_named = |it: &Failure| matches!(it, Failure::GoAway | Failure::Closed | Failure::Reset);
    assert!(total.failed.keys().all(is_named), "{:?}", total.failed);
    assert_eq!(total.requests(), due(100, end_ns(&seen)));
    // The requests that the server accepted before were answered.
    assert_eq!(total.succeeded, counts.requests.load(Ordering::Relaxed), "{:?}", total.failed);
    assert!(counts.connections.load(Ordering::Relaxed) > 3);
    task.abort();
}

#[tokio::test]
async fn gives_up_a_silent_connection() {
    // The listener accepts and reads but sends nothing, not even its HTTP/2 settings.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicU64::new(0));
    let task = tokio::spawn({
        let accepted = Arc::clone(&accepted);
        async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::Relaxed);
                connections.spawn(async move {
                    let mut buffer = vec![0; 4096];
                    while stream.read(&mut buffer).await.is_ok_and(|size| size > 0) {}
                });
            }
        }
    });
    let load = json!({"http": {}, "concurrency": 3, "timeout": "50ms"});
    let seen = send(at(address, load), 300 * MS, 20_000 * MS).await;
    let total = total(&seen);
    assert_eq!(total.failed, [(Failure::Timeout, total.requests())].into());
    assert!(total.requests() >= 6 && accepted.load(Ordering::Relaxed) >= 2, "{} on {accepted:?}", total.requests());
    task.abort();
}

#[tokio::test]
async fn rejects_a_server_that_speaks_http1() {
    let server = super::server::start();
    let seen =
        send(at(server.address(), json!({"http": {}, "rate": "100/s", "timeout": "5s"})), 50 * MS, 5_000 * MS).await;
    let total = total(&seen);
    assert_eq!(total.succeeded, 0);
    assert!(
        total.failed.keys().all(|it| matches!(it, Failure::Protocol | Failure::Closed | Failure::Reset)),
        "{:?}",
        total.failed
    );
}

#[tokio::test]
async fn each_request_can_have_its_own_connection() {
    let (address, counts, task) = start(None).await;
    let load = json!({"http": {}, "rate": "100/s", "connections": "per_request", "timeout": "20s"});
    let seen = send(at(address, load), 100 * MS, 20_000 * MS).await;
    let total = total(&seen);
    assert_eq!(total.succeeded, total.requests(), "{:?}", total.failed);
    assert_eq!(counts.connections.load(Ordering::Relaxed), total.succeeded);
    task.abort();
}
