//! How often the judge is right: coverage of its intervals, false alarms and power, by simulation. Prints a table.
//!
//! `cargo bench --bench judge` simulates 2,000 runs of each shape; `-- RUNS SECONDS RATE` changes that. A run is a
//! baseline, a phase with a fault and a recovery of the same length each, of a service that did not change or of one that
//! became twice as slow while the fault stood, judged by `latency_ratio: {percentile: p95, to: baseline, max: 1.2}`.

use serde_json::json;
use shakedown::judge::expectations;
use shakedown::judge::testing::Timeline;
use shakedown::judge::testing::shapes::{Service, Shape};
use shakedown_schemas::Scenario;
use shakedown_schemas::result::{ExpectationResult, Verdict};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let numbers: Vec<u32> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let number = |index: usize, default: u32| numbers.get(index).copied().unwrap_or(default);
    let (runs, seconds, rate) = (number(0, 2000), number(1, 60), number(2, 20));
    let scenario = scenario(seconds)?;
    println!("{runs} runs of each shape; phases of {seconds} s at {rate}/s; 95 % intervals; `max: 1.2` on p95\n");
    println!(
        "| shape | covers 1, p50 | covers 1, p95 | unchanged: fail | inconclusive | marked | `interval`: fail | doubled: fail | inconclusive |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for shape in Shape::ALL {
        let mut counts = [0_u32; 8];
        for run in 0..runs {
            let [median, default, interval] = judge(&scenario, shape, u64::from(run), seconds, rate, 1.0)?;
            let [_, doubled, _] = judge(&scenario, shape, u64::from(run) + (1 << 32), seconds, rate, 2.0)?;
            let covers = |it: &ExpectationResult| it.interval.is_some_and(|[low, high]| low <= 1.0 && 1.0 <= high);
            let hits = [
                covers(&median),
                covers(&default),
                default.verdict == Verdict::Fail,
                default.verdict == Verdict::Inconclusive,
                default.verdict != Verdict::Inconclusive && default.terms.contains_key("drifting"),
                interval.verdict == Verdict::Fail,
                doubled.verdict == Verdict::Fail,
                doubled.verdict == Verdict::Inconclusive,
            ];
            counts.iter_mut().zip(hits).for_each(|(count, hit)| *count += u32::from(hit));
        }
        let percent = |count: u32| format!("{:.1} %", f64::from(count) * 100.0 / f64::from(runs));
        println!("| {shape} | {} |", counts.map(percent).join(" | "));
    }
    Ok(())
}

fn scenario(seconds: u32) -> Result<Scenario, serde_json::Error> {
    let ratio = |percentile: &str, decide: &str| json!({"latency_ratio": {"percentile": percentile, "to": "baseline", "max": 1.2, "decide": decide}});
    serde_json::from_value(json!({
        "version": 1,
        "name": "simulation",
        "load": {"load": {"http": {"url": "http://127.0.0.1:1"}, "rate": "1/s"}},
        "phases": [
            {"name": "baseline", "duration": format!("{seconds}s")},
            {"name": "fault", "duration": format!("{seconds}s"), "expect": [
                ratio("p50", "point"), ratio("p95", "point"), ratio("p95", "interval"),
            ]},
            {"name": "recovery", "duration": format!("{seconds}s")},
        ],
    }))
}

fn judge(
    scenario: &Scenario,
    shape: Shape,
    seed: u64,
    seconds: u32,
    rate: u32,
    factor: f64,
) -> Result<[ExpectationResult; 3], String> {
    let mut service = Service::new(shape, seed);
    let observations = Timeline::new(f64::from(rate))
        .phase("baseline", f64::from(seconds))
        .fault_phase("fault", f64::from(seconds))
        .phase("recovery", f64::from(seconds))
        .answer(|it| {
            let ms = service.answer_ms(it.at);
            it.ok_in(if it.phase == "fault" { ms * factor } else { ms })
        })
        .observe();
    let results = expectations(scenario, &observations, seed, &|_| None);
    results.try_into().map_err(|other: Vec<_>| format!("{} answers instead of 3", other.len()))
}
