//! The child that is measured: the engine alone, sending one load, and what it saw as one line of JSON.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use shakedown::load::{Endpoint, Engine, LoadDriver, PlannedLoad};
use shakedown::observe::{Cell, Mark, Marks, Part};

/// `URL SECONDS closed WORKERS`, `URL SECONDS rate PER_SECOND [limit IN_FLIGHT]` or `URL SECONDS streams WORKERS`.
pub fn run(words: &[String]) {
    let [url, seconds, options @ ..] = words else { panic!("the child needs a URL and a number of seconds") };
    let seconds: u64 = seconds.parse().expect("a number of seconds");
    let mut load = json!({"http": {"url": url}});
    let mut rate = None;
    for pair in options.chunks_exact(2) {
        let value: u64 = pair[1].parse().expect("a number");
        match pair[0].as_str() {
            "closed" => load["concurrency"] = value.into(),
            "rate" => {
                rate = Some(value);
                load["rate"] = format!("{value}/s").into();
            }
            "streams" => {
                let stream = json!({"url": url, "model": "m", "prompt": "p", "max_tokens": 100, "stream": true});
                load = json!({"openai": stream, "concurrency": value});
            }
            "limit" => load["max_in_flight"] = value.into(),
            other => panic!("unknown option {other}"),
        }
    }
    let planned = PlannedLoad {
        name: "bench".to_owned(),
        load: serde_json::from_value(load).expect("a load"),
        endpoint: Endpoint { base: url.clone(), addresses: Vec::new() },
        files: Default::default(),
        seed: 1,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let seen = runtime.block_on(async {
        let mut engine = Engine::new(&[planned]).expect("the load can be sent");
        let marks = Arc::new(Marks::default());
        marks.begin(Mark { at_ns: 0, phase: 0, part: Part::Judged });
        engine.start(Instant::now() + Duration::from_millis(5), marks).await.expect("the engine starts");
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        engine.finish(Duration::from_secs(30)).await.expect("the engine finishes").remove(0)
    });
    let mut total = Cell::default();
    for cell in seen.segments.iter().flat_map(|segment| &segment.cells) {
        total.merge(cell);
    }
    let milliseconds = |value: Option<f64>| value.map(|micros| micros / 1e3);
    let timings = seen.timings();
    let end_ns = seen.segments.last().map_or(0, |segment| segment.end_ns);
    println!(
        "{}",
        json!({
            "due": rate.map(|rate| (end_ns * rate).div_ceil(1_000_000_000)),
            "issued": seen.issued,
            "outcomes": total.requests(),
            "failed": total.failed.iter().map(|(failure, count)| format!("{failure} {count}")).collect::<Vec<_>>(),
            "in_flight": total.in_flight,
            "succeeded": total.succeeded,
            "first_token_p50_ms": milliseconds(total.first_token.quantile(0.5)),
            "first_token_p99_ms": milliseconds(total.first_token.quantile(0.99)),
            "p50_ms": milliseconds(total.latency.quantile(0.5)),
            "p90_ms": milliseconds(total.latency.quantile(0.9)),
            "p99_ms": milliseconds(total.latency.quantile(0.99)),
            "max_ms": milliseconds(total.latency.max()),
            "late_p50_ms": milliseconds(timings.lateness.quantile(0.5)),
            "late_p99_ms": milliseconds(timings.lateness.quantile(0.99)),
        })
    );
}
