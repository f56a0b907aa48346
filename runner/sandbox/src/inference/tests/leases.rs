//! A deployment whose workers are known by leases in a registry: what a cut of each of its links does.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use shakedown_schemas::units::Duration as Written;
use tokio::time::{Instant, sleep};

use super::harness::{Town, until};
use crate::inference::{BusConfig, DiscoveryConfig, FrontendConfig, Plane, WorkerConfig};

fn frontend() -> FrontendConfig {
    FrontendConfig {
        discovery: Some("etcd:2379".into()),
        accept_timeout: Written::from_millis(400),
        reconcile: Some(Written::from_millis(1500)),
        response_timeout: Written::from_secs(60),
        bus_dead_after: Written::from_secs(60),
        ..FrontendConfig::default()
    }
}

fn worker() -> WorkerConfig {
    WorkerConfig {
        discovery: Some("etcd:2379".into()),
        lease: Written::from_millis(1600),
        bus_dead_after: Written::from_secs(60),
        connect_timeout: Written::from_secs(60),
        ..WorkerConfig::default()
    }
}

async fn town(bus: BusConfig, frontend: FrontendConfig, worker: WorkerConfig) -> Town {
    let mut town = Town::new();
    town.bus(bus);
    town.discovery(DiscoveryConfig::default());
    town.frontend(frontend);
    for name in ["w0", "w1"] {
        town.worker(name, worker.clone());
    }
    town.await_workers(2).await;
    town.await_answers(4).await;
    town
}

#[tokio::test]
async fn a_worker_without_its_bus_stays_registered_and_returns_at_each_reconciliation() {
    let town = town(BusConfig::default(), frontend(), worker()).await;
    town.cut("w0", "nats");
    let onset = [town.complete(1).await, town.complete(1).await];
    let lost: Vec<_> = onset.iter().filter(|(status, _)| *status != StatusCode::OK).collect();
    assert_eq!(lost.len(), 1, "{onset:?}");
    assert_eq!((lost[0].0, &lost[0].1["error"]["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("not_accepted")));
    assert_eq!(town.workers().await, ["w0!", "w1"], "it is registered");
    until("it returns, although nothing is mended", async || town.workers().await == ["w0", "w1"]).await;
    until("it fails again", async || town.complete(1).await.0 != StatusCode::OK).await;
    town.cuts.heal();
    // The packet that was lost first is sent again at its next retransmission.
    town.await_answers(12).await;
}

#[tokio::test]
async fn a_request_that_may_migrate_is_late_and_does_not_fail() {
    let town = town(BusConfig::default(), FrontendConfig { migration_limit: 3, ..frontend() }, worker()).await;
    town.cut("w0", "nats");
    let begun = Instant::now();
    for _ in 0..2 {
        let (status, answer) = town.complete(3).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(answer["usage"]["completion_tokens"], 3);
    }
    assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_request_to_a_worker_that_the_bus_dropped_fails_at_once() {
    let bus = BusConfig { socket_buffer: Some(2), write_deadline: Written::from_millis(300), ..BusConfig::default() };
    let town = town(bus, frontend(), worker()).await;
    town.cut("w0", "nats");
    until("the bus drops the silent client", async || {
        town.complete(1).await;
        town.written("nats").iter().any(|line| line.contains("dropped: Slow Consumer"))
    })
    .await;
    until("a request fails at once", async || {
        let begun = Instant::now();
        let (_, answer) = town.complete(1).await;
        answer["error"]["code"] == "no_responder" && begun.elapsed() < Duration::from_millis(300)
    })
    .await;
}

#[tokio::test]
async fn a_killed_worker_stays_listed_until_its_lease_is_over_and_one_that_stops_leaves() {
    let mut town = town(BusConfig::default(), frontend(), worker()).await;
    town.kill("w0").await;
    town.worker("w0", worker());
    until("both of its lives are listed", async || town.workers().await.len() == 3).await;
    until("the lease of the first is over", async || town.workers().await == ["w0", "w1"]).await;
    town.stop("w1");
    let left = until("it leaves", async || town.workers().await == ["w0"]).await;
    assert!(left < Duration::from_millis(1200), "sooner than its lease ends: {left:?}");
}

#[tokio::test]
async fn a_worker_whose_lease_is_over_ends_once_it_learns_that() {
    let mut town = town(BusConfig::default(), frontend(), worker()).await;
    town.cut("w0", "etcd");
    until("its lease is over", async || town.workers().await == ["w1"]).await;
    assert_eq!(town.complete(1).await.0, StatusCode::OK);
    town.cuts.heal();
    town.until_ended("w0").await;
    let log = town.written("w0");
    assert!(log.iter().any(|line| line.contains("the lease in the registry etcd:2379 is over")), "{log:?}");
}

#[tokio::test]
async fn without_a_bus_a_worker_that_the_frontend_cannot_reach_fails_with_504() {
    let direct = FrontendConfig { plane: Plane::Direct, ..frontend() };
    let town = town(BusConfig::default(), direct, WorkerConfig { plane: Plane::Direct, ..worker() }).await;
    town.cut("w0", "nats");
    sleep(Duration::from_millis(100)).await;
    for _ in 0..4 {
        assert_eq!(town.complete(1).await.0, StatusCode::OK, "nothing depends on the bus");
    }
    town.cut("w0", "frontend");
    let onset = [town.complete(1).await, town.complete(1).await];
    let lost: Vec<_> = onset.iter().filter(|(status, _)| *status != StatusCode::OK).collect();
    assert_eq!(lost.len(), 1, "{onset:?}");
    assert_eq!((lost[0].0, &lost[0].1["error"]["code"]), (StatusCode::GATEWAY_TIMEOUT, &json!("not_reached")));
    town.cuts.heal();
    until("it serves again", async || {
        let answers = [town.complete(1).await, town.complete(1).await, town.complete(1).await];
        answers.iter().all(|(status, _)| *status == StatusCode::OK) && town.workers().await == ["w0", "w1"]
    })
    .await;
}
