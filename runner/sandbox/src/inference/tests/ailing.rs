//! Pods that ail: less processor time, HTTP that goes wrong, disks that fail, clocks that are off.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use shakedown_schemas::units::Duration as Written;
use tokio::time::Instant;

use super::harness::{Town, completion, pace};
use crate::inference::{BusConfig, FrontendConfig, WorkerConfig};
use crate::net::{Ailment, FileRule, HttpRule, Net};

/// A connection to the frontend that is kept.
async fn connection(town: &Town) -> SendRequest<Full<Bytes>> {
    let stream = Net::host().connect(&town.ip("frontend").to_string(), 8000).await.unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// The status of an answer; `None` when the connection ends without one.
async fn status(sender: &mut SendRequest<Full<Bytes>>, method: Method, path: &str) -> Option<StatusCode> {
    let body = if method == Method::POST { completion(1, false) } else { String::new() };
    let request = Request::builder().method(method).uri(path).header("host", "test").body(Full::from(body)).unwrap();
    let response = sender.send_request(request).await.ok()?;
    let status = response.status();
    response.into_body().collect().await.ok()?;
    Some(status)
}

fn rule(change: impl FnOnce(&mut HttpRule)) -> Ailment {
    let mut rule = HttpRule { port: 8000, path: Some("/v1/*".into()), ..HttpRule::default() };
    change(&mut rule);
    Ailment::Http(rule)
}

#[tokio::test]
async fn http_goes_wrong_on_new_connections_and_where_the_rule_says() {
    let town = Town::with_workers(1).await;
    let (ip, ailments) = (town.ip("frontend"), town.cuts.links.ailments().clone());
    let mut before = connection(&town).await;
    assert_eq!(status(&mut before, Method::GET, "/v1/models").await, Some(StatusCode::OK));

    ailments.inflict(ip, "a", rule(|rule| rule.abort = true));
    let mut after = connection(&town).await;
    assert_eq!(status(&mut after, Method::GET, "/health").await, Some(StatusCode::OK), "another path");
    assert_eq!(status(&mut after, Method::GET, "/v1/models").await, None);
    assert_eq!(status(&mut before, Method::GET, "/v1/models").await, Some(StatusCode::OK), "an old connection");

    let teapot = |rule: &mut HttpRule| {
        (rule.on_answer, rule.code, rule.replace_code, rule.method) = (true, Some(200), Some(418), Some("POST".into()));
    };
    ailments.inflict(ip, "a", rule(teapot));
    let mut after = connection(&town).await;
    assert_eq!(status(&mut after, Method::POST, "/v1/completions").await, Some(StatusCode::IM_A_TEAPOT));
    assert_eq!(status(&mut after, Method::GET, "/v1/models").await, Some(StatusCode::OK), "another method");

    ailments.inflict(ip, "a", rule(|rule| rule.delay = Duration::from_millis(150)));
    let began = Instant::now();
    assert_eq!(status(&mut after, Method::GET, "/v1/models").await, Some(StatusCode::OK));
    assert!(began.elapsed() >= Duration::from_millis(150), "{:?}", began.elapsed());
    ailments.heal("a");
    assert_eq!(status(&mut after, Method::POST, "/v1/completions").await, Some(StatusCode::OK), "it goes on unharmed");
}

#[tokio::test]
async fn a_worker_that_shares_its_processor_takes_longer() {
    let mut town = Town::new();
    town.bus(BusConfig::default());
    town.frontend(FrontendConfig::default());
    town.worker("w0", WorkerConfig { jitter: 0.0, ..pace(50, 10) });
    town.await_workers(1).await;
    let ailments = town.cuts.links.ailments().clone();
    ailments.inflict(town.ip("w0"), "a", Ailment::Busy(4.0));
    let began = Instant::now();
    assert_eq!(town.complete(6).await.0, StatusCode::OK);
    // (50 + 5 · 10) ms, four times as long.
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
    ailments.heal("a");
    assert_eq!(town.complete(6).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_worker_whose_disk_fails_works_prompts_out_again_and_says_so() {
    let mut town = Town::new();
    town.bus(BusConfig::default());
    town.frontend(FrontendConfig::default());
    let cache = Some("/data".to_owned());
    town.worker("w0", WorkerConfig { jitter: 0.0, cache, prefill: Written::from_millis(300), ..pace(10, 1) });
    town.await_workers(1).await;
    let (ip, ailments) = (town.ip("w0"), town.cuts.links.ailments().clone());
    let took = async || {
        let began = Instant::now();
        assert_eq!(town.complete(2).await.0, StatusCode::OK);
        began.elapsed()
    };
    let prefill = Duration::from_millis(300);
    let (first, second) = (took().await, took().await);
    assert!(first >= prefill && second < prefill, "{first:?}, {second:?}");
    let rule = FileRule {
        volume: "/data".into(),
        path: None,
        methods: Vec::new(),
        share: 1.0,
        delay: Duration::ZERO,
        error: Some(28),
    };
    ailments.inflict(ip, "full", Ailment::Files(rule));
    let ill = took().await;
    assert!(ill >= prefill, "it is slower, and answers: {ill:?}");
    let said = town.written("w0");
    assert!(said.iter().any(|line| line.contains("WARN the cache in /data cannot be read: No space left")), "{said:?}");
    ailments.heal("full");
    assert!(took().await < prefill, "what was kept before is still there");
}

#[tokio::test]
async fn a_worker_whose_clock_is_off_is_dropped_until_it_is_right_again() {
    let town = Town::with_workers(2).await;
    let ailments = town.cuts.links.ailments().clone();
    ailments.inflict(town.ip("w0"), "late", Ailment::Clock { ahead_ms: -600_000 });
    town.await_workers(1).await;
    assert_eq!(town.complete(2).await.0, StatusCode::OK, "the other one answers");
    let said = town.written("frontend");
    assert!(
        said.iter().any(|line| line.contains("heartbeats of worker w0 are ignored: their time is 600 s off")),
        "{said:?}"
    );
    ailments.heal("late");
    town.await_workers(2).await;
    // To a frontend that is off itself, all others are.
    ailments.inflict(town.ip("frontend"), "early", Ailment::Clock { ahead_ms: 600_000 });
    town.await_workers(0).await;
}
