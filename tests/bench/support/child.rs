//! The child that is measured: the engine alone, sending one load, and what it saw as one line of JSON.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shakedown_judge as judge;
use shakedown_load::{Endpoint, Engine, LoadDriver, PlannedLoad};
use shakedown_observe::{Cell, Histogram, LoadObservations, Mark, Marks, Observations, PhasePart, PhaseSpan};
use shakedown_schemas::Scenario;

use super::server::monotonic_ns;

/// How often the live display looks, as in a run.
const LOOK: Duration = Duration::from_millis(500);

/// `URL SECONDS`, and then pairs: `closed WORKERS`, `rate PER_SECOND`, `streams_per_second PER_SECOND`, `limit IN_FLIGHT`, and
/// `result 1` to say how large this load is in a result.
pub fn run(words: &[String]) {
    let [url, seconds, options @ ..] = words else { panic!("the child needs a URL and a number of seconds") };
    let seconds: u64 = seconds.parse().expect("a number of seconds");
    let mut load = json!({"http": {"url": url}, "arrival": "steady"});
    let mut rate = None;
    let mut wants_result = false;
    for pair in options.chunks_exact(2) {
        let value: f64 = pair[1].parse().expect("a number");
        match pair[0].as_str() {
            "closed" => load["concurrency"] = (value as u64).into(),
            "rate" => {
                rate = Some(value);
                load["rate"] = format!("{value}/s").into();
            }
            "streams_per_second" => {
                rate = Some(value);
                let stream = json!({"url": url, "model": "m", "prompt": "p", "max_tokens": 100, "stream": true});
                load = json!({"openai": stream, "rate": format!("{value}/s"), "arrival": "steady"});
            }
            "limit" => load["max_in_flight"] = (value as u64).into(),
            "result" => wants_result = true,
            other => panic!("unknown option {other}"),
        }
    }
    let planned = PlannedLoad {
        name: "bench".to_owned(),
        load: serde_json::from_value(load.clone()).expect("a load"),
        endpoint: Endpoint { base: url.clone(), addresses: Vec::new() },
        files: Default::default(),
        seed: 1,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut zero_ns = 0;
    let seen = runtime.block_on(async {
        let mut engine = Engine::new(&[planned]).expect("the load can be sent");
        let marks = Arc::new(Marks::default());
        marks.begin(Mark { at_ns: 0, phase: 0, part: PhasePart::Judged });
        let lead = Duration::from_millis(5);
        zero_ns = monotonic_ns() + lead.as_nanos() as u64;
        engine.start(Instant::now() + lead, marks).await.expect("the engine starts");
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            tokio::time::sleep(LOOK.min(end - Instant::now())).await;
            engine.live();
        }
        engine.finish(Duration::from_secs(30)).await.expect("the engine finishes").remove(0)
    });
    let mut figures = tell(&seen, rate);
    figures["zero_ns"] = zero_ns.into();
    if wants_result {
        figures["result_bytes"] = result_bytes(seen, load, seconds).into();
    }
    println!("{figures}");
}

fn tell(seen: &LoadObservations, rate: Option<f64>) -> Value {
    let mut total = Cell::default();
    seen.segments.iter().flat_map(|segment| &segment.cells).for_each(|cell| total.merge(cell));
    let timings = seen.timings();
    let ms = |histogram: &Histogram, quantile: f64| histogram.quantile(quantile).map(|micros| micros / 1e3);
    let end_ns = seen.segments.last().map_or(0, |segment| segment.end_ns);
    json!({
        "due": rate.map(|rate| (end_ns as f64 * rate / 1e9).ceil()),
        "issued": seen.issued,
        "outcomes": total.requests(),
        "not_sent": seen.not_sent(),
        "failures": total.failed.values().sum::<u64>(),
        "failed": total.failed.iter().map(|(failure, count)| format!("{failure} {count}")).collect::<Vec<_>>(),
        "in_flight": total.in_flight,
        "connections": timings.connect.len(),
        "succeeded": total.succeeded,
        "first_token_p50_ms": ms(&total.first_token, 0.5),
        "first_token_p90_ms": ms(&total.first_token, 0.9),
        "first_token_p99_ms": ms(&total.first_token, 0.99),
        "longest_gap_max_ms": ms(&timings.longest_gap, 1.0),
        "p50_ms": ms(&total.latency, 0.5),
        "p90_ms": ms(&total.latency, 0.9),
        "p99_ms": ms(&total.latency, 0.99),
        "max_ms": ms(&total.latency, 1.0),
        "service_p50_us": timings.service.quantile(0.5),
        "service_p99_us": timings.service.quantile(0.99),
        "late_p50_ms": ms(&timings.lateness, 0.5),
        "late_p99_ms": ms(&timings.lateness, 0.99),
    })
}

/// How many bytes the load takes in a result: its series and one phase, with all histograms.
fn result_bytes(seen: LoadObservations, load: Value, seconds: u64) -> usize {
    let scenario: Scenario = serde_json::from_value(json!({
        "version": 1,
        "name": "bench",
        "load": {"bench": load},
        "phases": [{"name": "only", "duration": format!("{seconds}s")}],
    }))
    .expect("a scenario");
    let end_ns = seen.segments.last().map_or(0, |segment| segment.end_ns);
    let only = PhaseSpan {
        name: "only".to_owned(),
        judged_to_ns: end_ns,
        end_ns,
        planned_ns: end_ns,
        complete: true,
        ..PhaseSpan::default()
    };
    let observations = Observations { phases: vec![only], loads: vec![seen], ..Observations::default() };
    let series = serde_json::to_vec(&judge::series(&observations)).expect("JSON");
    let phases = serde_json::to_vec(&judge::phases(&scenario, &observations)).expect("JSON");
    series.len() + phases.len()
}
