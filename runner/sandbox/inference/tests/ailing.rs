//! Pods that ail: less processor time, and HTTP that goes wrong.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::harness::{Town, completion, pace};
use crate::sandbox::inference::{BusConfig, FrontendConfig, WorkerConfig};
use crate::sandbox::net::{Ailment, HttpRule, Net};

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
