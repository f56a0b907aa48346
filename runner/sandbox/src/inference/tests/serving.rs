//! The OpenAI API while nothing is broken.

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use shakedown_schemas::units::Duration as Written;
use tokio::time::{Instant, timeout};

use super::harness::{LIMIT, MODEL, Town, completion, events, pace, request, until};
use crate::inference::{BusConfig, FrontendConfig, Log, WorkerConfig};

#[tokio::test]
async fn plain_answers_have_text_and_usage() {
    let town = Town::with_workers(1).await;
    let (status, answer) = town.complete(5).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["object"], "text_completion");
    assert_eq!(answer["model"], MODEL);
    assert_eq!(answer["choices"][0]["text"].as_str().unwrap().split(' ').count(), 5);
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    assert_eq!(answer["usage"], json!({"prompt_tokens": 2, "completion_tokens": 5, "total_tokens": 7}));

    let body = json!({
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
        ],
        "max_completion_tokens": 3,
        "temperature": 0.5,
    });
    let (status, answer) = town.call(Method::POST, "/v1/chat/completions", &body.to_string()).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["choices"][0]["message"]["role"], "assistant");
    assert_eq!(answer["choices"][0]["message"]["content"].as_str().unwrap().split(' ').count(), 3);
    assert_eq!(answer["usage"]["completion_tokens"], 3);

    let (status, models) = town.call(Method::GET, "/v1/models", "").await;
    let models: Value = serde_json::from_str(&models).unwrap();
    assert_eq!((status, &models["data"][0]["id"]), (StatusCode::OK, &json!(MODEL)));
}

#[tokio::test]
async fn streams_have_one_event_per_token_and_end_with_done() {
    let town = Town::with_workers(1).await;
    let (status, whole) = town.complete(4).await;
    assert_eq!(status, StatusCode::OK);
    let (status, body) = town.call(Method::POST, "/v1/completions", &completion(4, true)).await;
    assert_eq!(status, StatusCode::OK);
    let (parts, done) = events(&body);
    assert!(done, "{body}");
    let text: String = parts.iter().map(|part| part["choices"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(json!(text), whole["choices"][0]["text"], "streamed or not, the same prompt gets the same answer");
    assert_eq!(parts.len(), 5);
    assert_eq!(parts[3]["choices"][0]["finish_reason"], Value::Null);
    assert_eq!(parts[4]["choices"][0]["finish_reason"], "length");

    let body = json!({
        "model": MODEL,
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 2,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    let (_, body) = town.call(Method::POST, "/v1/chat/completions", &body.to_string()).await;
    let (parts, done) = events(&body);
    assert!(done, "{body}");
    assert_eq!(parts[0]["object"], "chat.completion.chunk");
    assert_eq!(parts[0]["choices"][0]["delta"]["role"], "assistant");
    assert!(parts[1]["choices"][0]["delta"]["content"].is_string());
    assert_eq!(parts[2]["choices"][0], json!({"index": 0, "delta": {}, "finish_reason": "length"}));
    assert_eq!(parts[3]["choices"], json!([]));
    assert_eq!(parts[3]["usage"]["completion_tokens"], 2);
    assert_eq!(parts.len(), 4);
}

#[tokio::test]
async fn tokens_arrive_as_they_are_made() {
    let mut town = Town::new();
    town.bus(BusConfig::default());
    town.frontend(FrontendConfig::default());
    town.worker("w0", pace(50, 50));
    town.await_workers(1).await;
    let start = Instant::now();
    let mut body = town.open(Method::POST, "/v1/completions", &completion(10, true)).await.into_body();
    let mut times = Vec::new();
    while let Some(frame) = timeout(LIMIT, body.frame()).await.expect("it stalls") {
        assert!(frame.unwrap().is_data());
        times.push(start.elapsed().as_millis());
    }
    assert!(times.len() >= 8, "ten tokens came in {} pieces", times.len());
    assert!(times[0] >= 40, "{times:?}");
    assert!(times[times.len() - 1] >= times[0] + 9 * 40, "{times:?}");
}

#[tokio::test]
async fn what_cannot_be_answered_gets_the_apis_error_objects() {
    let mut town = Town::new();
    town.bus(BusConfig::default());
    town.frontend(FrontendConfig { max_body: 2000, ..FrontendConfig::default() });
    town.await_workers(0).await;
    let many_tokens = completion(1_000_000, false);
    let long = format!("{{\"prompt\": \"{}\"}}", "x".repeat(3000));
    let other = json!({"model": "gpt-9", "prompt": "Hi"}).to_string();
    let post = |path| (Method::POST, path);
    let cases = [
        (post("/v1/completions"), "{", StatusCode::BAD_REQUEST, "invalid_body"),
        (post("/v1/completions"), "{\"model\": \"m\"}", StatusCode::BAD_REQUEST, "invalid_body"),
        (post("/v1/completions"), "{\"model\": \"m\", \"prompt\": 7}", StatusCode::BAD_REQUEST, "invalid_body"),
        (post("/v1/chat/completions"), "{\"model\": \"m\", \"messages\": []}", StatusCode::BAD_REQUEST, "invalid_body"),
        (post("/v1/completions"), many_tokens.as_str(), StatusCode::BAD_REQUEST, "too_many_tokens"),
        (post("/v1/completions"), long.as_str(), StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
        (post("/v1/completions"), other.as_str(), StatusCode::NOT_FOUND, "model_not_found"),
        (post("/v1/embeddings"), "{}", StatusCode::NOT_FOUND, "not_found"),
        ((Method::GET, "/v1/completions"), "", StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        (post("/v1/completions"), &completion(1, true), StatusCode::SERVICE_UNAVAILABLE, "no_worker"),
    ];
    for ((method, path), body, status, code) in cases {
        let (seen, answer) = town.call(method, path, body).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((seen, &answer["error"]["code"]), (status, &json!(code)), "{path} {body}");
        assert!(answer["error"]["message"].is_string() && answer["error"]["type"].is_string(), "{answer}");
    }
}

#[tokio::test]
async fn load_makes_latency_grow_and_too_much_is_refused() {
    let mut town = Town::new();
    town.bus(BusConfig::default());
    town.frontend(FrontendConfig::default());
    town.worker("w0", WorkerConfig { slots: 1, queue: 2, ..pace(200, 0) });
    town.await_workers(1).await;
    let start = Instant::now();
    let calls = (0..4).map(|_| async {
        let (status, answer) = town.complete(1).await;
        (status, answer["error"]["code"].clone(), start.elapsed().as_millis())
    });
    let mut seen = futures::future::join_all(calls).await;
    seen.sort_by_key(|(status, _, time)| (status.as_u16(), *time));
    assert_eq!(seen[3].0, StatusCode::SERVICE_UNAVAILABLE, "{seen:?}");
    assert_eq!(seen[3].1, "overloaded");
    for (turn, (status, _, time)) in seen[..3].iter().enumerate() {
        assert_eq!(*status, StatusCode::OK, "{seen:?}");
        assert!(*time >= (turn as u128 + 1) * 180, "one after the other: {seen:?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_workers_slot() {
    let mut town = Town::new();
    town.bus(BusConfig::default());
    town.frontend(FrontendConfig::default());
    // By its next token it would notice as well, but that is far away.
    town.worker("w0", pace(1, 60_000));
    town.await_workers(1).await;
    let host = town.ip("w0").to_string();
    let running = async || {
        let response = request(&host, 9090, Method::GET, "/health", "").await;
        assert_eq!(response.status(), StatusCode::OK);
        let state: Value = serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
        state["running"].as_u64().unwrap()
    };
    let response = town.open(Method::POST, "/v1/completions", &completion(1000, true)).await;
    assert_eq!(running().await, 1);
    drop(response);
    until("the slot is free", async || running().await == 0).await;
}

#[tokio::test]
async fn a_worker_is_ready_without_a_bus_unless_it_is_told_otherwise() {
    let mut town = Town::new();
    town.worker("w0", WorkerConfig::default());
    town.worker("w1", WorkerConfig { ready_needs_bus: true, ..WorkerConfig::default() });
    let status = async |worker: &str, path: &str| {
        let host = town.ip(worker).to_string();
        let net = crate::net::Net::host();
        until("it listens", async || net.connect(&host, 9090).await.is_ok()).await;
        request(&host, 9090, Method::GET, path, "").await.status().as_u16()
    };
    assert_eq!(
        [status("w0", "/health").await, status("w0", "/ready").await, status("w0", "/x").await],
        [200, 200, 404]
    );
    assert_eq!([status("w1", "/health").await, status("w1", "/ready").await], [200, 503]);
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_ends_what_it_began() {
    let mut town = Town::new();
    town.bus(BusConfig::default());
    town.frontend(FrontendConfig::default());
    town.worker("w0", pace(10, 40));
    town.await_workers(1).await;
    let response = town.open(Method::POST, "/v1/completions", &completion(10, true)).await;
    town.stop("w0");
    until("it takes leave", async || town.workers().await.is_empty()).await;
    let body = timeout(LIMIT, response.into_body().collect()).await.expect("it never ends").unwrap();
    let (parts, done) = events(std::str::from_utf8(&body.to_bytes()).unwrap());
    assert!(done, "{parts:?}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let town = Town::new();
    let stop = tokio_util::sync::CancellationToken::new;
    for config in [
        WorkerConfig { id: "a.b".into(), ..WorkerConfig::default() },
        WorkerConfig { id: String::new(), ..WorkerConfig::default() },
        WorkerConfig { jitter: f64::NAN, ..WorkerConfig::default() },
        WorkerConfig { slots: 0, ..WorkerConfig::default() },
        WorkerConfig { heartbeat: Written::ZERO, ..WorkerConfig::default() },
    ] {
        let refused = crate::inference::worker(town.net("w"), config.clone(), Log::unread(), stop()).await;
        assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::InvalidInput, "{config:?}");
    }
    let config: WorkerConfig = serde_json::from_value(json!({"id": "w7", "inter_token": "7ms"})).unwrap();
    assert_eq!((config.inter_token, config.slots), (Written::from_millis(7), 8));
    assert!(serde_json::from_value::<WorkerConfig>(json!({"inter_tokens": "7ms"})).is_err());
}

#[tokio::test]
async fn the_same_programs_run_on_a_host() {
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (port, api) = (free(), free());
    let bus = format!("127.0.0.1:{port}");
    let net = crate::net::Net::host();
    let stop = tokio_util::sync::CancellationToken::new();
    let (bus_config, worker_config, frontend_config) = (
        BusConfig { port, ..BusConfig::default() },
        WorkerConfig { bus: bus.clone(), health_port: 0, ..WorkerConfig::default() },
        // Where workers reach it, it learns from its connection to the bus.
        FrontendConfig { bus, port: api, response_port: 0, ..FrontendConfig::default() },
    );
    let programs = tokio::spawn({
        let (net, stop) = (net.clone(), stop.clone());
        async move {
            tokio::try_join!(
                crate::inference::bus(net.clone(), bus_config, Log::unread(), stop.clone()),
                crate::inference::worker(net.clone(), worker_config, Log::unread(), stop.clone()),
                crate::inference::frontend(net, frontend_config, Log::unread(), stop),
            )
        }
    });
    until("it listens", async || net.connect("127.0.0.1", api).await.is_ok()).await;
    until("it answers", async || {
        let answer = request("127.0.0.1", api, Method::POST, "/v1/completions", &completion(3, false)).await;
        answer.status() == StatusCode::OK
    })
    .await;
    stop.cancel();
    timeout(LIMIT, programs).await.expect("they do not stop").unwrap().unwrap();
}
