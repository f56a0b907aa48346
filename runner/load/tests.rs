//! The engine against a server of our own that misbehaves on demand: each outcome by its name, and the counts exactly.

mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::observe::{Cell, Failure, LoadObservations, Mark, Part};
use server::Server;

/// Loads of one server by name, each as the scenario has it (without `url`).
fn planned(server: &Server, load: serde_json::Value) -> PlannedLoad {
    let mut load = load;
    for kind in ["http", "openai"] {
        if let Some(kind) = load.get_mut(kind) {
            kind["url"] = "http://ignored".into();
        }
    }
    PlannedLoad {
        name: "load".to_owned(),
        load: serde_json::from_value(load).unwrap(),
        endpoint: Endpoint { base: "http://server.test".to_owned(), addresses: vec![server.address()] },
    }
}

/// Sends a load for so long, and waits for the rest of it for at most `grace`.
async fn send(planned: PlannedLoad, duration: Duration, grace: Duration) -> LoadObservations {
    let mut engine = Engine::new(&[planned]).unwrap();
    let marks = Arc::new(Marks::default());
    marks.begin(Mark { at_ns: 0, phase: 0, part: Part::Judged });
    engine.start(Instant::now(), marks).await.unwrap();
    tokio::time::sleep(duration).await;
    engine.finish(grace).await.unwrap().remove(0)
}

fn total(seen: &LoadObservations) -> Cell {
    let mut total = Cell::default();
    for cell in seen.segments.iter().flat_map(|segment| &segment.cells) {
        total.merge(cell);
    }
    total
}

fn end_ns(seen: &LoadObservations) -> u64 {
    seen.segments.last().unwrap().end_ns
}

/// Requests of a constant rate that are due before `end_ns`.
fn due(rate: u64, end_ns: u64) -> u64 {
    (end_ns * rate).div_ceil(1_000_000_000)
}

const MS: Duration = Duration::from_millis(1);

#[tokio::test]
async fn a_healthy_server_answers_everything() {
    let server = Server::start().await;
    let seen = send(planned(&server, json!({"http": {}, "rate": "500/s"})), 400 * MS, 2000 * MS).await;
    let total = total(&seen);
    assert_eq!(total.succeeded, due(500, end_ns(&seen)), "{:?}", total.failed);
    assert_eq!(total.requests(), total.succeeded);
    assert_eq!(total.latency.len(), total.succeeded);
    assert_eq!(seen.lateness.len(), total.succeeded);
    assert_eq!(server.requests(), total.succeeded);
}
