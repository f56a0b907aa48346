//! The effects of a cut on the service: its onset, the failover and the recovery.

use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use shakedown_schemas::units::Duration as Written;
use tokio::time::{sleep, timeout};

use super::harness::{LIMIT, Town, completion, events, pace, until};
use crate::inference::{BusConfig, FrontendConfig, WorkerConfig};

/// A frontend that loses patience quickly, for tests that are not about how long it takes.
fn impatient() -> FrontendConfig {
    FrontendConfig {
        heartbeat_timeout: Written::from_millis(800),
        response_timeout: Written::from_millis(400),
        sidelined: Written::from_millis(400),
        ..FrontendConfig::default()
    }
}

async fn town(workers: usize, frontend: FrontendConfig, worker: WorkerConfig) -> Town {
    let mut town = Town::new();
    town.bus(BusConfig::default());
    town.frontend(frontend);
    for index in 0..workers {
        town.worker(&format!("w{index}"), worker.clone());
    }
    town.await_workers(workers).await;
    town
}

/// How many of `count` requests, one after the other, succeed.
async fn succeed(town: &Town, count: usize) -> usize {
    let mut succeeded = 0;
    for _ in 0..count {
        succeeded += usize::from(town.complete(1).await.0 == StatusCode::OK);
    }
    succeeded
}

#[tokio::test]
async fn a_worker_of_three_that_loses_the_bus_is_dropped_and_comes_back() {
    let town = Town::with_workers(3).await;
    assert_eq!(succeed(&town, 6).await, 6);
    town.cut("w1", "nats");
    // Onset: one request of three vanishes, and fails when its worker is dropped.
    let onset = futures::future::join_all((0..6).map(|_| town.complete(1))).await;
    let lost: Vec<_> = onset.iter().filter(|(status, _)| *status != StatusCode::OK).collect();
    assert_eq!(lost.len(), 2, "{onset:?}");
    for (status, answer) in lost {
        assert_eq!((*status, &answer["error"]["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("worker_gone")));
    }
    // Failover.
    let dropped = until("it is dropped", async || town.workers().await == ["w0", "w2"]).await;
    assert!(dropped < Duration::from_millis(2500), "{dropped:?}");
    assert_eq!(succeed(&town, 10).await, 10);
    let wrote = |pod: &str, part: &str| town.written(pod).iter().any(|line| line.contains(part));
    assert!(wrote("frontend", "WARN worker w1 is dropped: no heartbeat for 2s"), "{:?}", town.written("frontend"));
    assert!(wrote("w1", "INFO registered as w1") && wrote("w1", "WARN lost the bus"), "{:?}", town.written("w1"));
    // The cut goes on for longer than the client waits for its connection, and for several fresh ones.
    sleep(Duration::from_secs(3)).await;
    assert_eq!(town.workers().await, ["w0", "w2"]);
    // Recovery.
    town.cuts.heal();
    let back = until("it is back", async || town.workers().await.len() == 3).await;
    assert!(back < Duration::from_secs(3), "{back:?}");
    assert_eq!(succeed(&town, 6).await, 6);
}

#[tokio::test]
async fn the_only_worker_takes_the_service_with_it() {
    let town = town(1, impatient(), WorkerConfig::default()).await;
    town.cut("w0", "nats");
    until("it is dropped", async || town.workers().await.is_empty()).await;
    let (status, answer) = town.complete(1).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("no_worker")));
    town.cuts.heal();
    let back = until("it is back", async || town.complete(1).await.0 == StatusCode::OK).await;
    assert!(back < Duration::from_secs(3), "{back:?}");
}

#[tokio::test]
async fn a_stream_of_a_dropped_worker_ends_with_an_error_and_without_done() {
    let town = town(1, impatient(), pace(10, 50)).await;
    let response = town.open(Method::POST, "/v1/completions", &completion(1000, true)).await;
    assert_eq!(response.status(), StatusCode::OK);
    town.cut("w0", "nats");
    let body = timeout(LIMIT, response.into_body().collect()).await.expect("it never ends").unwrap();
    let (parts, done) = events(std::str::from_utf8(&body.to_bytes()).unwrap());
    assert!(!done);
    assert_eq!(parts.last().unwrap()["error"]["code"], "worker_gone");
    assert!(parts.len() > 2, "tokens came before");
}

#[tokio::test]
async fn a_worker_that_cannot_answer_is_set_aside_and_comes_back() {
    let config = FrontendConfig { sidelined: Written::from_secs(2), ..impatient() };
    let town = town(2, config, WorkerConfig::default()).await;
    town.cut("w0", "frontend");
    let onset = [town.complete(1).await, town.complete(1).await];
    let lost: Vec<_> = onset.iter().filter(|(status, _)| *status != StatusCode::OK).collect();
    assert_eq!(lost.len(), 1, "{onset:?}");
    assert_eq!((lost[0].0, &lost[0].1["error"]["code"]), (StatusCode::GATEWAY_TIMEOUT, &json!("worker_timeout")));
    assert_eq!(town.workers().await, ["w0!", "w1"], "it still has its bus");
    assert_eq!(succeed(&town, 10).await, 10);
    town.cuts.heal();
    until("it is back", async || {
        succeed(&town, 2).await;
        town.workers().await == ["w0", "w1"]
    })
    .await;
    assert_eq!(succeed(&town, 6).await, 6);
}

#[tokio::test]
async fn a_stream_that_stalls_ends_with_an_error() {
    let town = town(1, impatient(), pace(10, 50)).await;
    let response = town.open(Method::POST, "/v1/completions", &completion(1000, true)).await;
    town.cut("w0", "frontend");
    let body = timeout(LIMIT, response.into_body().collect()).await.expect("it never ends").unwrap();
    let (parts, done) = events(std::str::from_utf8(&body.to_bytes()).unwrap());
    assert!(!done);
    assert_eq!(parts.last().unwrap()["error"]["code"], "worker_timeout");
}

#[tokio::test]
async fn a_frontend_without_a_bus_says_so_and_recovers() {
    let town = town(2, impatient(), WorkerConfig::default()).await;
    town.cut("frontend", "nats");
    until("all workers are dropped", async || town.workers().await.is_empty()).await;
    assert_eq!(succeed(&town, 2).await, 0);
    town.cuts.heal();
    let back = until("they are back", async || town.workers().await.len() == 2).await;
    assert!(back < Duration::from_secs(3), "{back:?}");
    assert_eq!(succeed(&town, 4).await, 4);
}

#[tokio::test]
async fn everybody_comes_back_to_a_bus_that_was_started_again() {
    let mut town = town(2, impatient(), WorkerConfig::default()).await;
    town.kill("nats").await;
    until("all workers are dropped", async || town.workers().await.is_empty()).await;
    town.bus(BusConfig::default());
    let back = until("they are back", async || town.workers().await.len() == 2).await;
    assert!(back < Duration::from_secs(2), "{back:?}");
    assert_eq!(succeed(&town, 4).await, 4);
}

#[tokio::test]
async fn a_killed_worker_breaks_its_answers_and_a_new_one_takes_over() {
    let mut town = town(1, FrontendConfig::default(), pace(10, 50)).await;
    let streamed = town.open(Method::POST, "/v1/completions", &completion(1000, true)).await;
    town.kill("w0").await;
    let body = timeout(LIMIT, streamed.into_body().collect()).await.expect("it never ends").unwrap();
    let (parts, done) = events(std::str::from_utf8(&body.to_bytes()).unwrap());
    assert!(!done);
    assert_eq!(parts.last().unwrap()["error"]["code"], "answer_broken");
    town.worker("w1", WorkerConfig::default());
    until("the new one answers", async || town.complete(1).await.0 == StatusCode::OK).await;
    until("the old one is dropped", async || town.workers().await == ["w1"]).await;
}
