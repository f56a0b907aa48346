//! How often the judge is right: coverage of its intervals, false alarms and power, by simulation. Prints three tables.
//!
//! `cargo bench --bench judge` simulates 2,000 runs of each shape; `-- RUNS SECONDS RATE SHAPE...` changes that, such as
//! `-- 2000 300 20 stalls`. A run is a baseline, a phase with a fault and a recovery of the same length each, of a service
//! that did not change or of one that became twice as slow while the fault stood. Its verdicts are those of
//! `latency_ratio: {percentile: p95, to: baseline, max: 1.2}`. The third table is about `prove: traffic` and `effect: any`:
//! how many unchanged runs count as changed, and how many changed ones do not. Its changes are a doubling of the latency,
//! one request in twenty that fails, and an outage of ten seconds.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

use serde_json::json;
use shakedown_judge::testing::shapes::{Service, Shape};
use shakedown_judge::testing::{Outcome, Request, Timeline};
use shakedown_judge::{effects, expectations};
use shakedown_observe::Observations;
use shakedown_schemas::Scenario;
use shakedown_schemas::result::Verdict;

/// The percentiles whose intervals are looked at.
const PERCENTILES: [f64; 3] = [0.5, 0.95, 0.99];

/// So many seconds of a shape say what its percentiles truly are.
const LONG: u32 = 200_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let numbers: Vec<u32> = arguments.iter().filter_map(|it| it.parse().ok()).collect();
    let words: Vec<&String> = arguments.iter().filter(|it| it.parse::<u32>().is_err()).collect();
    let number = |index: usize, default: u32| numbers.get(index).copied().unwrap_or(default);
    let (runs, seconds, rate) = (number(0, 2000), number(1, 60), number(2, 20));
    let scenario = scenario(seconds)?;
    let asked = |shape: &Shape| words.is_empty() || words.iter().any(|word| shape.to_string().contains(word.as_str()));
    // Each shape is a thread's own matter; together they take as many cores as there are.
    let rows: Vec<[String; 3]> = std::thread::scope(|scope| {
        let threads: Vec<_> = Shape::ALL
            .into_iter()
            .filter(asked)
            .map(|shape| {
                let scenario = &scenario;
                scope.spawn(move || {
                    let rows = simulate(scenario, shape, [runs, seconds, rate]);
                    eprintln!("{shape}: done");
                    rows
                })
            })
            .collect();
        threads.into_iter().map(|it| it.join().expect("a simulation")).collect()
    });
    println!("{runs} runs of each shape; phases of {seconds} s at {rate}/s; 95 % intervals\n");
    println!("| shape | ratio, p50 | p95 | p99 | percentile itself, p50 | p95 | p99 |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    rows.iter().for_each(|[coverage, ..]| println!("{coverage}"));
    println!("\nVerdicts with `max: 1.2` on p95\n");
    println!(
        "| shape | unchanged: fails | inconclusive | passes, marked | `decide: interval`: fails | doubled: fails | inconclusive | doubled, by p50: fails |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    rows.iter().for_each(|[_, verdicts, _]| println!("{verdicts}"));
    println!("\n`prove: traffic` and `effect: any`: runs that count as changed\n");
    println!("| shape | unchanged (false proofs) | doubled | 5 % fail | all fail for 10 s |");
    println!("| --- | --- | --- | --- | --- |");
    rows.iter().for_each(|[_, _, proofs]| println!("{proofs}"));
    Ok(())
}

/// A shape's rows of the tables: how often intervals cover the truth, what verdicts there are, and what is proven.
fn simulate(scenario: &Scenario, shape: Shape, [runs, seconds, rate]: [u32; 3]) -> [String; 3] {
    let truth = truth(shape, rate);
    let (mut covered, mut judged, mut proven) = ([0_u32; 6], [0_u32; 7], [0_u32; 4]);
    for run in 0..runs {
        let [seed, other] = [u64::from(run), u64::from(run) + (1 << 32)];
        let in_fault = |it: &Request<'_>| it.phase == "fault";
        let unchanged = observe(shape, seed, seconds, rate, |it, ms| it.ok_in(ms));
        let twice = observe(shape, other, seconds, rate, |it, ms| it.ok_in(if in_fault(&it) { ms * 2.0 } else { ms }));
        let failing = |it: Request<'_>, ms: f64, fails: bool| if fails { it.refused() } else { it.ok_in(ms) };
        // A multiplicative hash spreads the failures.
        let one_in_twenty =
            |index: u64| (index + other * 7919).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 < (1 << 32) / 20;
        let some_fail =
            observe(shape, other, seconds, rate, |it, ms| failing(it, ms, in_fault(&it) && one_in_twenty(it.index)));
        let outage = observe(shape, other, seconds, rate, |it, ms| failing(it, ms, in_fault(&it) && it.into < 10.0));
        for (count, run) in proven.iter_mut().zip([&unchanged, &twice, &some_fail, &outage]) {
            *count += u32::from(effects(run).iter().any(|it| !it.changes.is_empty()));
        }
        let same = expectations(scenario, &unchanged, seed, &|_| None);
        let doubled = expectations(scenario, &twice, other, &|_| None);
        for (index, count) in covered.iter_mut().enumerate() {
            let truth = if index < 3 { 1.0 } else { truth[index - 3] };
            let covers = same[index].interval.is_some_and(|[low, high]| low <= truth && truth <= high);
            *count += u32::from(covers);
        }
        let (default, interval) = (&same[1], &same[6]);
        let hits = [
            default.verdict == Verdict::Fail,
            default.verdict == Verdict::Inconclusive,
            default.verdict == Verdict::Pass && default.terms.contains_key("drifting"),
            interval.verdict == Verdict::Fail,
            doubled[1].verdict == Verdict::Fail,
            doubled[1].verdict == Verdict::Inconclusive,
            doubled[0].verdict == Verdict::Fail,
        ];
        judged.iter_mut().zip(hits).for_each(|(count, hit)| *count += u32::from(hit));
    }
    let percent = |count: u32| format!("{:.1} %", f64::from(count) * 100.0 / f64::from(runs));
    [
        format!("| {shape} | {} |", covered.map(percent).join(" | ")),
        format!("| {shape} | {} |", judged.map(percent).join(" | ")),
        format!("| {shape} | {} |", proven.map(percent).join(" | ")),
    ]
}

fn scenario(seconds: u32) -> Result<Scenario, serde_json::Error> {
    let ratio = |percentile: &str, decide: &str| json!({"latency_ratio": {"percentile": percentile, "to": "baseline", "max": 1.2, "decide": decide}});
    let value = |percentile: &str| json!({"latency": {"percentile": percentile, "max": "1h"}});
    serde_json::from_value(json!({
        "version": 1,
        "name": "simulation",
        "load": {"load": {"http": {"url": "http://127.0.0.1:1"}, "rate": "1/s"}},
        "phases": [
            {"name": "baseline", "duration": format!("{seconds}s")},
            {"name": "fault", "duration": format!("{seconds}s"), "expect": [
                ratio("p50", "point"), ratio("p95", "point"), ratio("p99", "point"),
                value("p50"), value("p95"), value("p99"),
                ratio("p95", "interval"),
            ]},
            {"name": "recovery", "duration": format!("{seconds}s")},
        ],
    }))
}

/// A shape's percentiles, in seconds.
fn truth(shape: Shape, rate: u32) -> [f64; 3] {
    let mut service = Service::new(shape, u64::MAX);
    let mut all: Vec<f64> =
        (0..LONG * rate).map(|index| service.answer_ms(f64::from(index) / f64::from(rate))).collect();
    all.sort_by(f64::total_cmp);
    PERCENTILES.map(|quantile| all[(quantile * all.len() as f64) as usize] / 1e3)
}

/// A run of a service of this shape; `answer` says how each request ends that it would answer after so many milliseconds.
fn observe(
    shape: Shape,
    seed: u64,
    seconds: u32,
    rate: u32,
    mut answer: impl FnMut(Request<'_>, f64) -> Outcome,
) -> Observations {
    let mut service = Service::new(shape, seed);
    Timeline::new(f64::from(rate))
        .phase("baseline", f64::from(seconds))
        .fault_phase("fault", f64::from(seconds))
        .phase("recovery", f64::from(seconds))
        .answer(|it| {
            let ms = service.answer_ms(it.at);
            answer(it, ms)
        })
        .observe()
}
