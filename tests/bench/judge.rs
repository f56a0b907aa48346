//! How often the judge is right: coverage of its intervals, false alarms and power, by simulation. Prints three tables.
//!
//! `cargo bench --bench judge` simulates 2,000 runs of each shape; `-- RUNS SECONDS RATE SHAPE...` changes that, such as
//! `-- 2000 300 20 stalls`. A run is a baseline, a phase with a fault and a recovery of the same length each, of a service
//! that did not change or of one that became twice as slow while the fault stood. Its verdicts are those of
//! `latency_ratio: {percentile: p95, to: baseline, max: 1.2}`. The third table is about `prove: traffic` and `effect: any`:
//! how many unchanged runs count as changed, and how many changed ones do not. Its changes are a doubling of the latency,
//! one request in twenty that fails, an outage of ten seconds, and one of 0.7 s that begins 0.2 s after the fault. The last
//! table is about services that have clumps of failures by themselves. `-- 400 proof` prints the tables about proofs alone,
//! `-- 400 transient` the ones about disturbed baselines, and `seed=1000000` takes other seeds than those that the
//! thresholds were chosen with.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

use serde_json::json;
use shakedown_judge::testing::shapes::{Service, Shape};
use shakedown_judge::testing::{Outcome, Request, Timeline};
use shakedown_judge::{effects, expectations, transients};
use shakedown_observe::Observations;
use shakedown_observe::chance::Chance;
use shakedown_schemas::Scenario;
use shakedown_schemas::result::Verdict;

/// The percentiles whose intervals are looked at.
const PERCENTILES: [f64; 3] = [0.5, 0.95, 0.99];

/// The seconds of a shape that determine its true percentiles.
const LONG: u32 = 200_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let numbers: Vec<u32> = arguments.iter().filter_map(|it| it.parse().ok()).collect();
    let words: Vec<&String> = arguments.iter().filter(|it| it.parse::<u32>().is_err()).collect();
    let first = words.iter().find_map(|it| it.strip_prefix("seed=")?.parse::<u64>().ok()).unwrap_or_default();
    let only_proofs = words.iter().any(|it| *it == "proof");
    let only_transients = words.iter().any(|it| *it == "transient");
    let is_shape = |it: &&String| !["proof", "transient"].contains(&it.as_str()) && !it.starts_with("seed=");
    let words: Vec<&String> = words.into_iter().filter(is_shape).collect();
    let number = |index: usize, default: u32| numbers.get(index).copied().unwrap_or(default);
    let (runs, seconds, rate) = (number(0, 2000), number(1, 60), number(2, 20));
    let scenario = scenario(seconds)?;
    let asked = |shape: &Shape| words.is_empty() || words.iter().any(|word| shape.to_string().contains(word.as_str()));
    if only_transients {
        print_transients(asked, first, [runs, seconds, rate])?;
        return Ok(());
    }
    // Each shape is a thread's own matter; together they take as many cores as there are.
    let rows: Vec<[String; 4]> = std::thread::scope(|scope| {
        let threads: Vec<_> = Shape::ALL
            .into_iter()
            .filter(asked)
            .map(|shape| {
                let scenario = &scenario;
                scope.spawn(move || {
                    let proofs = proofs(scenario, shape, first, [runs, seconds, rate]);
                    let [coverage, verdicts] = if only_proofs {
                        Default::default()
                    } else {
                        simulate(scenario, shape, first, [runs, seconds, rate])
                    };
                    let rows = [coverage, verdicts, proofs, clumps(scenario, shape, first, [runs, seconds, rate])];
                    eprintln!("{shape}: done");
                    rows
                })
            })
            .collect();
        threads.into_iter().map(|it| it.join().expect("a simulation")).collect()
    });
    println!("{runs} runs of each shape from seed {first}; phases of {seconds} s at {rate}/s; 95 % intervals\n");
    if !only_proofs {
        print_intervals(&rows);
    }
    println!("\n`prove: traffic` and `effect: any`: runs that count as changed\n");
    println!("| shape | unchanged (false proofs) | doubled | 5 % fail | all fail for 10 s | all fail for 0.7 s |");
    println!("| --- | --- | --- | --- | --- | --- |");
    rows.iter().for_each(|[_, _, proofs, _]| println!("{proofs}"));
    println!("\nThe same, unchanged, of services with clumps of failures (1 s on average): false proofs\n");
    println!("| shape | every 20 s | 60 s | 150 s | 400 s |");
    println!("| --- | --- | --- | --- | --- |");
    rows.iter().for_each(|[_, _, _, clumps]| println!("{clumps}"));
    Ok(())
}

/// The seconds of the short baseline, in which a stop of 0.9 s is 9 % of the requests.
const SHORT: u32 = 10;

/// What happens to the baseline of a simulated run.
#[derive(Clone, Copy)]
enum Trouble {
    Nothing,
    /// A stop of some seconds, at a random moment.
    Stops(f64),
    /// Two stops of some seconds each, one in either half.
    Twice(f64),
    /// It is some times slower for some seconds.
    Slower(f64, f64),
    /// It is some times slower from the start to its middle: a warm-up that ends by a step.
    WarmsUp(f64),
    /// It is some times slower from its middle on.
    Jumps(f64),
}

/// What a verdict about a disturbed run must not accept, and in which baseline.
#[derive(Clone, Copy)]
enum Broken {
    /// The service is away for the first 3 s of the recovery, which `recovery_time: {max: 1s}` must not accept.
    Away,
    /// The service is some times slower from the fault on, which `latency_ratio: {percentile: p95, max: 1.2}` must not accept.
    SlowerFrom(f64),
}

/// The disturbed runs: their column, the seconds of the phases (none for those of the command), and what is wrong.
const DISTURBED: [(&str, Option<u32>, Trouble, Broken); 11] = [
    ("away for 3 s: undisturbed", None, Trouble::Nothing, Broken::Away),
    ("stop of 3 s", None, Trouble::Stops(3.0), Broken::Away),
    ("stop of 6 s", None, Trouble::Stops(6.0), Broken::Away),
    ("two stops of 2 s", None, Trouble::Twice(2.0), Broken::Away),
    ("5 times slower for 6 s", None, Trouble::Slower(6.0, 5.0), Broken::Away),
    ("5 times slower: undisturbed", None, Trouble::Nothing, Broken::SlowerFrom(5.0)),
    ("two stops of 2 s", None, Trouble::Twice(2.0), Broken::SlowerFrom(5.0)),
    ("stop of 6 s", None, Trouble::Stops(6.0), Broken::SlowerFrom(5.0)),
    ("twice as slow: after a warm-up at 4 times", None, Trouble::WarmsUp(4.0), Broken::SlowerFrom(2.0)),
    ("4 times slower: after a jump to 4 times", None, Trouble::Jumps(4.0), Broken::SlowerFrom(4.0)),
    ("twice as slow, 10 s: stop of 0.9 s", Some(SHORT), Trouble::Stops(0.9), Broken::SlowerFrom(2.0)),
];

/// The scenario about transients: a ratio in the phase of the fault, and a recovery of at most this.
fn settings(seconds: u32, max: &str) -> Result<Scenario, serde_json::Error> {
    let ratio = json!({"latency_ratio": {"percentile": "p95", "to": "baseline", "max": 1.2}});
    let recovery = json!({"recovery_time": {"max": max, "hold": "2s"}});
    let mut scenario = scenario(seconds)?;
    scenario.phases[1].expect = serde_json::from_value(json!([ratio]))?;
    scenario.phases[1].faults =
        serde_json::from_value(json!({"f": {"partition": {"pods": {"name": "a"}, "from": [{"service": "b"}]}}}))?;
    scenario.phases[2].expect = serde_json::from_value(json!([recovery]))?;
    Ok(scenario)
}

/// Two tables about transients. The first is about runs that nothing disturbed and nothing changed: how many have a warning,
/// and how many verdicts a found transient makes inconclusive, which is needless. In the second, something is wrong with
/// the service, and the baseline has a transient: how many runs pass.
fn print_transients(
    asked: impl Fn(&Shape) -> bool,
    first: u64,
    [runs, seconds, rate]: [u32; 3],
) -> Result<(), serde_json::Error> {
    let (unchanged, short) = (&settings(seconds, "10s")?, &settings(SHORT, "5s")?);
    let (away, away_short) = (&settings(seconds, "1s")?, &settings(SHORT, "1s")?);
    let row = move |shape: Shape| {
        let (mut needless, mut passes) = ([0_u32; 5], [0_u32; DISTURBED.len()]);
        for run in 0..runs {
            let seed = first + u64::from(run);
            for (at, (scenario, seconds)) in [(unchanged, seconds), (short, SHORT)].into_iter().enumerate() {
                let seen = observe(shape, seed, seconds, rate, |it, ms| it.ok_in(ms));
                let results = expectations(scenario, &seen, seed, &|_| None);
                let by_it = |index: usize| u32::from(results[index].reason.contains("only because of a part of"));
                needless[at * 3] += by_it(0);
                needless[at * 3 + 1] += by_it(1);
                if at == 0 {
                    needless[2] += u32::from(!transients(scenario, &seen).is_empty());
                }
            }
            let mut chance = Chance::new(seed, &["transient"]);
            let at = [chance.uniform(), chance.uniform()];
            for (count, (_, length, trouble, broken)) in passes.iter_mut().zip(DISTURBED) {
                let (seconds, scenario) = length.map_or((seconds, away), |it| (it, away_short));
                let seen = troubled(shape, seed, [seconds, rate], trouble, broken, at);
                let asked = usize::from(matches!(broken, Broken::Away));
                let result = expectations(scenario, &seen, seed, &|_| None).remove(asked);
                *count += u32::from(result.verdict == Verdict::Pass);
            }
        }
        let row = |counts: &[u32]| counts.iter().map(|it| percent(*it, runs)).collect::<Vec<_>>().join(" | ");
        eprintln!("{shape}: done");
        [format!("| {shape} | {} |", row(&needless)), format!("| {shape} | {} |", row(&passes))]
    };
    let rows: Vec<[String; 2]> = std::thread::scope(|scope| {
        let shapes = Shape::ALL.into_iter().filter(|it| asked(it));
        let threads: Vec<_> = shapes.map(|shape| scope.spawn(move || row(shape))).collect();
        threads.into_iter().map(|it| it.join().expect("a simulation")).collect()
    });
    println!("{runs} runs of each shape from seed {first}; phases of {seconds} s, or {SHORT} s, at {rate}/s\n");
    println!("Undisturbed and unchanged: needlessly inconclusive\n");
    println!("| shape | ratio | recovery | warned | {SHORT} s: ratio | {SHORT} s: recovery |");
    println!("| --- | --- | --- | --- | --- | --- |");
    rows.iter().for_each(|[needless, _]| println!("{needless}"));
    println!("\nDisturbed and broken: passes\n");
    println!("| shape | {} |", DISTURBED.map(|it| it.0).join(" | "));
    println!("| ---{}|", " | ---".repeat(DISTURBED.len()));
    rows.iter().for_each(|[_, passes]| println!("{passes}"));
    Ok(())
}

/// A run with trouble in its baseline, at random moments (two numbers from 0 to 1), of a service that is broken.
fn troubled(
    shape: Shape,
    seed: u64,
    [seconds, rate]: [u32; 2],
    trouble: Trouble,
    broken: Broken,
    at: [f64; 2],
) -> Observations {
    let all = f64::from(seconds);
    let stops = |into: f64, from: f64, length: f64| {
        if (from..from + length).contains(&into) { (from + length - into) * 1000.0 } else { 0.0 }
    };
    let baseline = |into: f64, ms: f64| match trouble {
        Trouble::Nothing => ms,
        Trouble::Stops(length) => ms + stops(into, at[0] * (all - length), length),
        Trouble::Twice(length) => {
            let room = all / 2.0 - 1.0 - length;
            ms + stops(into, at[0] * room, length) + stops(into, all / 2.0 + 1.0 + at[1] * room, length)
        }
        Trouble::Slower(length, times) if (0.0..length).contains(&(into - at[0] * (all - length))) => ms * times,
        Trouble::WarmsUp(times) if into < all / 2.0 => ms * times,
        Trouble::Jumps(times) if into >= all / 2.0 => ms * times,
        Trouble::Slower(..) | Trouble::WarmsUp(_) | Trouble::Jumps(_) => ms,
    };
    observe(shape, seed, seconds, rate, |it, ms| match (it.phase, broken) {
        ("baseline", _) => it.ok_in(baseline(it.into, ms)),
        ("recovery", Broken::Away) => it.ok_in(ms + stops(it.into, 0.0, 3.0)),
        (_, Broken::SlowerFrom(times)) => it.ok_in(ms * times),
        _ => it.ok_in(ms),
    })
}

fn print_intervals(rows: &[[String; 4]]) {
    println!("| shape | ratio, p50 | p95 | p99 | percentile itself, p50 | p95 | p99 |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    rows.iter().for_each(|[coverage, ..]| println!("{coverage}"));
    println!("\nVerdicts with `max: 1.2` on p95\n");
    println!(
        "| shape | unchanged: fails | inconclusive | passes, marked | `decide: interval`: fails | doubled: fails | inconclusive | doubled, by p50: fails |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    rows.iter().for_each(|[_, verdicts, ..]| println!("{verdicts}"));
}

/// A share of the runs, in percent.
fn percent(count: u32, runs: u32) -> String {
    format!("{:.1} %", f64::from(count) * 100.0 / f64::from(runs))
}

fn is_proven(scenario: &Scenario, run: &Observations) -> bool {
    effects(scenario, run).iter().any(|it| !it.changes.is_empty())
}

fn in_fault(it: &Request<'_>) -> bool {
    it.phase == "fault"
}

fn failing(it: Request<'_>, ms: f64, fails: bool) -> Outcome {
    if fails { it.refused() } else { it.ok_in(ms) }
}

/// A shape's row about proofs: an unchanged run, and changed ones.
fn proofs(scenario: &Scenario, shape: Shape, first: u64, [runs, seconds, rate]: [u32; 3]) -> String {
    let mut proven = [0_u32; 5];
    for run in 0..runs {
        let [seed, other] = [first + u64::from(run), first + u64::from(run) + (1 << 32)];
        let unchanged = observe(shape, seed, seconds, rate, |it, ms| it.ok_in(ms));
        let twice = observe(shape, other, seconds, rate, |it, ms| it.ok_in(if in_fault(&it) { ms * 2.0 } else { ms }));
        // A multiplicative hash spreads the failures.
        let one_in_twenty =
            |index: u64| (index + other * 7919).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 < (1 << 32) / 20;
        let some_fail =
            observe(shape, other, seconds, rate, |it, ms| failing(it, ms, in_fault(&it) && one_in_twenty(it.index)));
        let outage = observe(shape, other, seconds, rate, |it, ms| failing(it, ms, in_fault(&it) && it.into < 10.0));
        let clump = observe(shape, other, seconds, rate, |it, ms| {
            failing(it, ms, in_fault(&it) && (0.2..0.9).contains(&it.into))
        });
        for (count, run) in proven.iter_mut().zip([&unchanged, &twice, &some_fail, &outage, &clump]) {
            *count += u32::from(is_proven(scenario, run));
        }
    }
    format!("| {shape} | {} |", proven.map(|count| percent(count, runs)).join(" | "))
}

/// A shape's row of false proofs where clumps of failures come by themselves, at several rates.
fn clumps(scenario: &Scenario, shape: Shape, first: u64, [runs, seconds, rate]: [u32; 3]) -> String {
    let row = [20.0, 60.0, 150.0, 400.0].map(|every_s| {
        let proven = (0..runs).filter(|run| {
            let seed = first + u64::from(*run) + (2 << 32);
            let mut chance = Chance::new(seed, &["clumps"]);
            let (mut next, mut until) = (-every_s * chance.uniform().ln(), 0.0);
            is_proven(
                scenario,
                &observe(shape, seed, seconds, rate, |it, ms| {
                    while it.at >= next {
                        until = next - chance.uniform().ln();
                        next -= every_s * chance.uniform().ln();
                    }
                    let fails = it.at < until;
                    failing(it, ms, fails)
                }),
            )
        });
        percent(proven.count() as u32, runs)
    });
    format!("| {shape} | {} |", row.join(" | "))
}

/// A shape's rows about intervals: how often they cover the truth, and what verdicts there are.
fn simulate(scenario: &Scenario, shape: Shape, first: u64, [runs, seconds, rate]: [u32; 3]) -> [String; 2] {
    let truth = truth(shape, rate);
    let (mut covered, mut judged) = ([0_u32; 6], [0_u32; 7]);
    for run in 0..runs {
        let [seed, other] = [first + u64::from(run), first + u64::from(run) + (1 << 32)];
        let unchanged = observe(shape, seed, seconds, rate, |it, ms| it.ok_in(ms));
        let twice = observe(shape, other, seconds, rate, |it, ms| it.ok_in(if in_fault(&it) { ms * 2.0 } else { ms }));
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
    let percent = |count: u32| percent(count, runs);
    [
        format!("| {shape} | {} |", covered.map(percent).join(" | ")),
        format!("| {shape} | {} |", judged.map(percent).join(" | ")),
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

/// A run of a service of this shape; `answer` returns how a request ends whose answer takes this many milliseconds.
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
