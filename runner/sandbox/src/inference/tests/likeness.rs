//! The default deployment behaves as NVIDIA Dynamo 1.6.1 does: the same faults, and what the same open-loop probe saw of both.
//!
//! `likeness.json` has several runs of each case with the real one, of 2026-11-29: Dynamo from PyPI with its frontend, three
//! mocker workers, nats-server 2.9.10 and etcd as processes in network namespaces on Linux 6.18, packets dropped between two of
//! them, `probe.py` of the project's shared folder at 10/s. A run depends on chance: where the fault falls between two ticks of
//! the frontend, and how the kernel rounds its timers. So what the runs span, and the case's margin around it, is the bound. The
//! model runs on paused time, so that the test takes seconds and the machine's load does not count.

mod real;

use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde::Deserialize;
use shakedown_schemas::units::Duration as Written;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::harness::{Town, completion, request_unlimited};
use crate::inference::{FrontendConfig, Plane, WorkerConfig};
use crate::program::Program;
use crate::topology::Topology;

/// How long the probe waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The time before the fault.
const BEFORE: Duration = Duration::from_secs(3);
/// When the fault begins after a tick of the frontend, in seconds: one run each. The tick comes every 5 s.
const PHASES: [f64; 3] = [0.6, 2.3, 4.1];
/// The table that this test checks.
const README: &str = include_str!("../../../README.md");

/// What happens to the first worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It is cut off from this pod.
    Cut(&'static str),
    /// SIGKILL; it starts again one second later.
    Kill,
    /// SIGTERM; it starts again.
    Stop,
}

/// A fault, and how far the model may be from the span of the recorded runs.
struct Case {
    /// Its name in the recording.
    name: &'static str,
    fault: Fault,
    plane: Plane,
    migration_limit: u32,
    /// How long the fault acts, and how long the probe goes on after it, seconds.
    lasts: u64,
    after: u64,
    /// The margin of the number of failures.
    failures: f64,
    /// The margin of times, seconds.
    seconds: f64,
}

/// A worker's share of the requests between two ticks, which fail together.
const WAVE: f64 = 17.0;
/// Half of the time between two ticks: the recorded runs are too few to have seen every phase.
const HALF_A_TICK: f64 = 2.5;

const fn case(name: &'static str, fault: Fault, lasts: u64, after: u64) -> Case {
    let (plane, migration_limit) = (Plane::Bus, 0);
    Case { name, fault, plane, migration_limit, lasts, after, failures: WAVE, seconds: HALF_A_TICK }
}

const NATS_60: Case = case("nats cut for 60 s", Fault::Cut("nats"), 60, 65);
const NATS_20: Case = case("nats cut for 20 s", Fault::Cut("nats"), 20, 25);
const NATS_MIGRATING: Case =
    Case { failures: 0.0, migration_limit: 3, ..case("nats cut for 60 s, 3 migrations", Fault::Cut("nats"), 60, 65) };
const FRONTEND: Case =
    Case { failures: 5.0, seconds: 1.0, ..case("frontend cut for 40 s", Fault::Cut("frontend"), 40, 25) };
const FRONTEND_DIRECT: Case =
    Case { plane: Plane::Direct, ..case("frontend cut for 40 s, direct", Fault::Cut("frontend"), 40, 25) };
const NATS_DIRECT: Case =
    Case { failures: 0.0, plane: Plane::Direct, ..case("nats cut for 60 s, direct", Fault::Cut("nats"), 60, 5) };
const KILLED: Case = Case { failures: 1.0, ..case("killed", Fault::Kill, 0, 35) };
const STOPPED: Case = Case { failures: 0.0, seconds: 1.0, ..case("stopped", Fault::Stop, 0, 10) };

/// What the probe saw of one run with the real system.
#[derive(Debug, Deserialize)]
struct Recorded {
    case: String,
    requests: u32,
    /// The requests that failed or took more than 1 s: due, in seconds since the fault began; status, 0 without a whole answer;
    /// seconds.
    bad: Vec<(f64, u16, f64)>,
}

impl Recorded {
    /// The runs of a case.
    fn of(case: &Case) -> Vec<Self> {
        let all: Vec<Self> = serde_json::from_str(include_str!("likeness.json")).unwrap();
        let runs: Vec<Self> = all.into_iter().filter(|it| it.case == case.name).collect();
        assert!(runs.len() >= 2, "{} has {} runs", case.name, runs.len());
        assert!(runs.iter().all(|run| run.requests > 200));
        runs
    }

    fn outcome(&self, case: &Case) -> Outcome {
        let seen: Vec<Seen> = self.bad.iter().map(|&(due, status, took)| Seen { due, status, took }).collect();
        Outcome::of(&seen, case.lasts as f64)
    }
}

/// What counts of a fault's course. A request is bad if it failed or took more than 1 s.
#[derive(Debug)]
struct Outcome {
    failed: f64,
    /// The status of the failures, and their duration: the median.
    usual: Option<(u16, f64)>,
    /// When the first bad request was due, seconds since the fault began.
    onset: Option<f64>,
    /// When the last one of the first wave was due, after which there was none for 1 s.
    failover: Option<f64>,
    /// When the last one was due, seconds since the end of the fault; 0 if that was before the end.
    settled: Option<f64>,
}

impl Outcome {
    fn of(seen: &[Seen], end: f64) -> Self {
        let mut failed: Vec<&Seen> = seen.iter().filter(|it| it.failed()).collect();
        failed.sort_by(|one, other| one.took.total_cmp(&other.took));
        let usual = failed.get(failed.len() / 2).map(|it| (it.status, it.took));
        let mut bad: Vec<f64> = seen.iter().filter(|it| it.failed() || it.took > 1.0).map(|it| it.due).collect();
        bad.sort_by(f64::total_cmp);
        let wave = bad.windows(2).position(|pair| pair[1] - pair[0] > 1.0).or(bad.len().checked_sub(1));
        Self {
            failed: failed.len() as f64,
            usual,
            onset: bad.first().copied(),
            failover: wave.map(|last| bad[last]),
            settled: bad.last().map(|due| (due - end).max(0.0)),
        }
    }
}

/// What several runs span. Nothing if none of them has a value.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span(Option<(f64, f64)>);

impl Span {
    fn of(values: impl Iterator<Item = Option<f64>>) -> Self {
        // Not -0.0.
        let values: Vec<f64> = values.flatten().map(|value| value + 0.0).collect();
        let least = values.iter().copied().reduce(f64::min);
        Self(least.zip(values.iter().copied().reduce(f64::max)))
    }

    /// Whether this is within the other one and a margin around it.
    fn is_within(self, bound: Self, margin: f64) -> bool {
        match (self.0, bound.0) {
            (Some((least, most)), Some((from, to))) => least >= from - margin && most <= to + margin,
            (None, None) => true,
            _ => false,
        }
    }

    /// As the table shows it, with this number of digits.
    fn shown(self, digits: usize, unit: &str) -> String {
        let Some((least, most)) = self.0 else { return "-".to_owned() };
        let (least, most) = (format!("{least:.digits$}"), format!("{most:.digits$}"));
        if least == most { format!("{least}{unit}") } else { format!("{least} to {most}{unit}") }
    }

    /// Reads what `shown` writes.
    fn parse(text: &str) -> Self {
        let mut values = text.split(" to ").filter_map(|it| it.trim_end_matches(" s").parse().ok());
        let least: Option<f64> = values.next();
        Self(least.map(|least| (least, values.next().unwrap_or(least))))
    }
}

/// The measures of several runs.
struct Spans {
    failed: Span,
    took: Span,
    onset: Span,
    failover: Span,
    settled: Span,
}

impl Spans {
    fn of(runs: &[Outcome]) -> Self {
        let span = |of: fn(&Outcome) -> Option<f64>| Span::of(runs.iter().map(of));
        Self {
            failed: span(|run| Some(run.failed)),
            took: span(|run| run.usual.map(|usual| usual.1)),
            onset: span(|run| run.onset),
            failover: span(|run| run.failover),
            settled: span(|run| run.settled),
        }
    }

    /// Each measure with its margin, its name, and how it is shown.
    fn measures(&self, case: &Case) -> [(&'static str, Span, f64, usize, &'static str); 5] {
        [
            ("failures", self.failed, case.failures, 0, ""),
            ("their duration", self.took, 0.5, 0, " s"),
            ("onset", self.onset, 0.5, 1, " s"),
            ("failover", self.failover, case.seconds, 1, " s"),
            ("settled", self.settled, case.seconds, 1, " s"),
        ]
    }
}

/// The row of the table.
fn row(case: &Case, runs: usize, real: &Spans, ours: &Spans) -> String {
    let mut row = format!("| {} | {runs} |", case.name);
    for ((_, real, margin, digits, unit), (_, ours, ..)) in real.measures(case).into_iter().zip(ours.measures(case)) {
        let around = if margin > 0.0 && real.0.is_some() { format!(" ± {margin}") } else { String::new() };
        write!(row, " {}{around} | {} |", real.shown(digits, unit), ours.shown(digits, unit)).unwrap();
    }
    row
}

/// The default deployment, all of it started, with these settings in place of its own, and when its frontend started.
async fn town(case: &Case) -> (Town, Instant) {
    let (mut town, mut started) = (Town::new(), Instant::now());
    for workload in Topology::default().workloads {
        match workload.program {
            Program::Bus(config) => town.bus(config),
            Program::Discovery(config) => town.discovery(config),
            Program::Frontend(config) => {
                let migration_limit = case.migration_limit;
                // The settings of Dynamo's own default plane.
                let accept_timeout =
                    if case.plane == Plane::Direct { Written::from_secs(5) } else { config.accept_timeout };
                let plane = case.plane;
                started = Instant::now();
                town.frontend(FrontendConfig { plane, migration_limit, accept_timeout, ..config });
            }
            Program::Worker(config) => {
                for index in 0..workload.replicas {
                    town.worker(&format!("w{index}"), worker(case, &config));
                }
            }
            other => panic!("the default has no {}", other.name()),
        }
    }
    town.await_workers(3).await;
    town.await_answers(6).await;
    (town, started)
}

fn worker(case: &Case, config: &WorkerConfig) -> WorkerConfig {
    WorkerConfig { plane: case.plane, cache: None, prefill: Written::ZERO, ..config.clone() }
}

/// One request of the probe: when it was due, in seconds since the fault began; its status, 0 without a whole answer; and how
/// long it took.
#[derive(Debug, Clone, Copy)]
struct Seen {
    due: f64,
    status: u16,
    took: f64,
}

impl Seen {
    fn failed(&self) -> bool {
        self.status != 200
    }
}

async fn probe(host: String, start: Instant, count: u64) -> Vec<Seen> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut all = JoinSet::new();
    for index in 0..count {
        let (host, seen) = (host.clone(), Arc::clone(&seen));
        all.spawn(async move {
            let due = start + Duration::from_millis(100 * index);
            sleep_until(due).await;
            let call = async {
                let body = completion(10, true);
                let answer = request_unlimited(&host, 8000, Method::POST, "/v1/completions", &body).await;
                let status = answer.status();
                let body = answer.into_body().collect().await.map(|body| body.to_bytes());
                let is_whole = body.is_ok_and(|body| body.ends_with(b"data: [DONE]\n\n"));
                if status == StatusCode::OK && !is_whole { 0 } else { status.as_u16() }
            };
            let status = timeout(PATIENCE, call).await.unwrap_or(0);
            let took = due.elapsed().as_secs_f64();
            let due = (due - start).as_secs_f64() - BEFORE.as_secs_f64();
            seen.lock().unwrap().push(Seen { due, status, took });
        });
    }
    while let Some(ended) = all.join_next().await {
        ended.unwrap();
    }
    let mut seen = seen.lock().unwrap().clone();
    seen.sort_by(|one, other| one.due.total_cmp(&other.due));
    seen
}

/// Runs a case with the model. The fault begins `phase` seconds after a tick of the frontend.
async fn run(case: &Case, phase: f64) -> Outcome {
    let (mut town, started) = town(case).await;
    let mut begins = started + Duration::from_secs_f64(phase);
    while begins < Instant::now() + BEFORE {
        begins += Duration::from_secs(5);
    }
    let (host, start) = (town.ip("frontend").to_string(), begins - BEFORE);
    let probing = tokio::spawn(probe(host, start, (BEFORE.as_secs() + case.lasts + case.after) * 10));
    sleep_until(begins).await;
    let Some(Program::Worker(config)) =
        Topology::default().workloads.into_iter().map(|it| it.program).find(|it| it.name() == "worker")
    else {
        panic!("the default has workers")
    };
    match case.fault {
        Fault::Cut(other) => {
            town.cut("w0", other);
            sleep_until(begins + Duration::from_secs(case.lasts)).await;
            town.cuts.heal();
        }
        Fault::Kill => {
            town.kill("w0").await;
            sleep_until(begins + Duration::from_secs(1)).await;
            town.worker("w0", worker(case, &config));
        }
        Fault::Stop => {
            town.stop("w0");
            town.until_ended("w0").await;
            town.worker("w0", worker(case, &config));
        }
    }
    let seen = probing.await.unwrap();
    let early: Vec<&Seen> = seen.iter().filter(|it| it.due + it.took < 0.0 && (it.failed() || it.took > 1.0)).collect();
    assert!(early.is_empty(), "before the fault: {early:?}");
    Outcome::of(&seen, case.lasts as f64)
}

/// Compares the model with the recording, and the table with both.
async fn compare(case: Case) {
    let recorded: Vec<Outcome> = Recorded::of(&case).iter().map(|run| run.outcome(&case)).collect();
    let mut runs = Vec::new();
    for phase in PHASES {
        runs.push(run(&case, phase).await);
    }
    let (real, ours) = (Spans::of(&recorded), Spans::of(&runs));
    let row = row(&case, recorded.len(), &real, &ours);
    // With `--nocapture`: the rows of the README's table.
    std::io::Write::write_all(&mut std::io::stderr(), format!("{row}\n").as_bytes()).unwrap();
    let statuses = |runs: &[Outcome]| -> std::collections::BTreeSet<u16> {
        runs.iter().filter_map(|run| run.usual).map(|usual| usual.0).collect()
    };
    assert_eq!(statuses(&recorded), statuses(&runs), "{row}\n{runs:#?}");
    let mut cells = written(&case).into_iter().skip(2);
    for ((name, real, margin, digits, unit), (_, ours, ..)) in
        real.measures(&case).into_iter().zip(ours.measures(&case))
    {
        assert!(ours.is_within(real, margin), "{name}: {row}\n{runs:#?}\nrecorded: {recorded:#?}");
        let (of_real, of_ours) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
        let bound = real.shown(digits, unit);
        assert!(of_real == bound || of_real == format!("{bound} ± {margin}"), "the README has {of_real}:\n{row}");
        assert!(Span::parse(of_ours).is_within(real, margin + 0.5), "the README has {of_ours}:\n{row}");
    }
}

/// The cells of the README's row.
fn written(case: &Case) -> Vec<&'static str> {
    let start = format!("| {} |", case.name);
    let row = README.lines().find(|line| line.starts_with(&start)).unwrap_or_default();
    row.trim_matches('|').split('|').map(str::trim).collect()
}

/// One test for each case.
macro_rules! likeness {
    ($($name:ident: $case:expr;)*) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $name() {
                compare($case).await;
            }
        )*
    };
}

likeness! {
    a_worker_without_nats_for_a_minute: NATS_60;
    a_worker_without_nats_for_20_s: NATS_20;
    a_worker_without_nats_whose_requests_migrate: NATS_MIGRATING;
    a_worker_without_nats_that_takes_requests_directly: NATS_DIRECT;
    a_worker_without_the_frontend: FRONTEND;
    a_worker_without_the_frontend_that_takes_requests_directly: FRONTEND_DIRECT;
    a_worker_that_is_killed: KILLED;
    a_worker_that_is_stopped: STOPPED;
}
