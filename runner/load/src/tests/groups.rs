//! The measurements of each worker that answered.

use shakedown_fakes::{Answer, Request};
use shakedown_observe::LoadPart;

use super::*;

/// Answers as three workers in turn: `w0` is slow, `w2` fails, and a fourth answer has no name.
fn workers(request: &Request) -> Answer {
    let worker = format!("w{}", request.number % 4);
    let body = json!({"served_by": {"pod": worker}}).to_string();
    let headers = [("x-worker-id", worker.as_str())];
    match request.number % 4 {
        0 => Answer::nothing().pause(40 * MS).after(Answer::with_headers(200, &headers, body)),
        1 => Answer::with_headers(200, &headers, body),
        2 => Answer::with_headers(503, &headers, body),
        _ => Answer::new(200, "{}"),
    }
}

async fn parts(server: &MemoryServer, load: serde_json::Value) -> Vec<(String, u64, u64, u64)> {
    let seen = send_paused(wired(server, &plan(load)), 1_000 * MS, 20_000 * MS).await;
    let segment = &seen.segments[0];
    let sum: u64 = segment.parts.values().map(Cell::requests).sum();
    assert_eq!(sum, seen.requests(), "each request is in one group");
    let row = |(part, cell): (&LoadPart, &Cell)| {
        let median_ms = cell.latency.quantile(0.5).unwrap_or_default() / 1e3;
        let name = match part {
            LoadPart::Group(name) => name.clone(),
            other => format!("{other:?}"),
        };
        (name, cell.succeeded, cell.requests() - cell.succeeded, median_ms as u64 / 10 * 10)
    };
    segment.parts.iter().map(row).collect()
}

fn rows<const N: usize>(rows: [(&str, u64, u64, u64); N]) -> Vec<(String, u64, u64, u64)> {
    rows.map(|(name, good, bad, ms)| (name.to_owned(), good, bad, ms)).to_vec()
}

#[tokio::test(start_paused = true)]
async fn by_a_header() {
    let load = json!({"http": {}, "rate": "40/s", "group_by": {"header": "X-Worker-Id"}});
    let seen = parts(&MemoryServer::new(workers), load).await;
    assert_eq!(seen, rows([("w0", 10, 0, 40), ("w1", 10, 0, 0), ("w2", 0, 10, 0), ("Unnamed", 10, 0, 0)]));
}

#[tokio::test(start_paused = true)]
async fn by_a_value_of_the_body() {
    let load = json!({"http": {}, "rate": "40/s", "group_by": {"json": "$.served_by.pod"}});
    let seen = parts(&MemoryServer::new(workers), load).await;
    // The body of a rejected answer is not parsed.
    assert_eq!(seen, rows([("w0", 10, 0, 40), ("w1", 10, 0, 0), ("Unnamed", 10, 10, 0)]));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_names_no_group_fails_nothing() {
    let server = MemoryServer::new(|request: &Request| match request.number % 2 {
        0 => Answer::new(200, "no JSON"),
        _ => Answer::new(200, vec![b'1'; 9 << 20]),
    });
    let seen = parts(&server, json!({"http": {}, "rate": "4/s", "group_by": {"json": "$.served_by"}})).await;
    assert_eq!(seen, rows([("Unnamed", 4, 0, 0)]));
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_is_in_a_group_of_its_own() {
    let server = MemoryServer::new(|request: &Request| match request.number % 2 {
        0 => Answer::nothing().then(shakedown_fakes::Step::Close),
        _ => Answer::with_headers(200, &[("x-worker-id", "w")], "ok"),
    });
    let seen = parts(&server, json!({"http": {}, "rate": "20/s", "group_by": {"header": "x-worker-id"}})).await;
    assert_eq!(seen, rows([("w", 10, 0, 0), ("Unanswered", 0, 10, 0)]));
}

#[tokio::test(start_paused = true)]
async fn the_number_of_groups_is_bounded() {
    let server = MemoryServer::new(|request: &Request| {
        Answer::with_headers(200, &[("x-worker-id", &format!("w{}", request.number))], "ok")
    });
    let seen = parts(&server, json!({"http": {}, "rate": "300/s", "group_by": {"header": "x-worker-id"}})).await;
    assert_eq!(seen.len(), 101);
    assert_eq!(seen.last().map(|row| (row.0.as_str(), row.1)), Some(("Others", 200)));
}
