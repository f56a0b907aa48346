//! The default deployment behaves as NVIDIA Dynamo 1.6.1 does: the same cuts, and what the same open-loop probe saw of both.
//!
//! The truth was recorded on 2026-11-29 with Dynamo from PyPI: its frontend, three mocker workers, nats-server 2.9.10 and etcd
//! as processes in network namespaces on Linux 6.18, packets dropped between two of them, `probe.py` of the project's shared
//! folder at 10/s. `likeness.json` has what the probe saw, and the README the table.

use std::io::Write;
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

/// A fault, and how far the model may be from the recording.
struct Case {
    /// Its name in the recording.
    name: &'static str,
    fault: Fault,
    plane: Plane,
    migration_limit: u32,
    /// How long the fault acts, and how long the probe goes on after it, seconds.
    lasts: u64,
    after: u64,
    /// The largest difference of the number of failures: a share of those recorded.
    failures: f64,
    /// The largest difference of the time until the service has settled, seconds.
    settling: f64,
}

const fn case(name: &'static str, fault: Fault, lasts: u64, after: u64) -> Case {
    Case { name, fault, plane: Plane::Bus, migration_limit: 0, lasts, after, failures: 0.5, settling: 10.0 }
}

const CASES: [Case; 8] = [
    case("nats cut for 60 s", Fault::Cut("nats"), 60, 65),
    // The worker resumes 6 s after the cut. It depends on chance whether it gets a request just before.
    Case { settling: 15.0, ..case("nats cut for 20 s", Fault::Cut("nats"), 20, 20) },
    // How much of the last wave is late depends on when the ticks are: the settling has no bound but the end of the cut.
    Case { migration_limit: 3, settling: 60.0, ..case("nats cut for 60 s, 3 migrations", Fault::Cut("nats"), 60, 65) },
    Case { failures: 0.3, settling: 3.0, ..case("frontend cut for 40 s", Fault::Cut("frontend"), 40, 15) },
    Case {
        plane: Plane::Direct,
        settling: 5.0,
        ..case("frontend cut for 40 s, direct", Fault::Cut("frontend"), 40, 25)
    },
    Case { plane: Plane::Direct, settling: 1.0, ..case("nats cut for 60 s, direct", Fault::Cut("nats"), 60, 5) },
    Case { settling: 5.0, ..case("killed", Fault::Kill, 0, 35) },
    Case { settling: 1.0, ..case("stopped", Fault::Stop, 0, 10) },
];

/// What the probe saw of the real system.
#[derive(Debug, Deserialize)]
struct Recorded {
    case: String,
    requests: u32,
    /// The failed requests: due, in seconds since the fault began; status, 0 without an answer; seconds.
    not_ok: Vec<(f64, u16, f64)>,
    /// The requests that succeeded after more than 1 s, in the same form.
    slow: Vec<(f64, u16, f64)>,
    /// The number of listed workers, from these seconds on.
    listed: Vec<(f64, u32)>,
}

impl Recorded {
    fn read(case: &Case) -> Self {
        let all: Vec<Self> = serde_json::from_str(include_str!("likeness.json")).unwrap();
        let one = all.into_iter().find(|it| it.case == case.name).expect("a recording of this name");
        assert!(one.requests > 400 && !one.listed.is_empty());
        one
    }

    fn seen(&self) -> Vec<Seen> {
        let of = |&(due, status, took): &(f64, u16, f64)| Seen { due, status, took };
        self.not_ok.iter().chain(&self.slow).map(of).collect()
    }
}

/// What counts of a fault's course. A request is bad if it failed or took more than 1 s.
#[derive(Debug)]
struct Outcome {
    failed: usize,
    /// The status of the failures, and their duration: the median.
    usual: Option<(u16, f64)>,
    /// When the first bad request was due, seconds since the fault began.
    onset: Option<f64>,
    /// When the last one of the first wave was due, after which there was none for 1 s.
    failover: Option<f64>,
    /// When the last one was due, seconds since the end of the fault.
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
            failed: failed.len(),
            usual,
            onset: bad.first().copied(),
            failover: wave.map(|last| bad[last]),
            settled: bad.last().map(|due| due - end),
        }
    }

    /// Its columns of the README's table.
    fn columns(&self) -> [String; 4] {
        let time = |time: Option<f64>| time.map_or("-".to_owned(), |time| format!("{time:.1} s"));
        let kind = match self.usual {
            None => String::new(),
            Some((0, took)) => format!(", no answer in {took:.0} s"),
            Some((status, took)) => format!(", {status} after {took:.0} s"),
        };
        [format!("{} failed{kind}", self.failed), time(self.onset), time(self.failover), time(self.settled)]
    }
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

/// One request of the probe: when it was due, in seconds since the fault began; its status, 0 without a whole answer; and how long
/// it took.
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

/// Runs a case, and returns both outcomes as text, and once more if they differ by more than the bounds.
async fn compare(case: &Case) -> (String, Option<String>) {
    let (mut town, started) = town(case).await;
    // The fault begins 2 s before the workers that were set aside return, as it happened to in the recordings.
    let tick = Duration::from_secs(5);
    let mut begins = started + Duration::from_secs(3);
    while begins < Instant::now() + BEFORE {
        begins += tick;
    }
    let (host, start) = (town.ip("frontend").to_string(), begins - BEFORE);
    let probing = tokio::spawn(probe(host, start, (BEFORE.as_secs() + case.lasts + case.after) * 10));
    sleep_until(start + BEFORE).await;
    let Some(Program::Worker(config)) =
        Topology::default().workloads.into_iter().map(|it| it.program).find(|it| it.name() == "worker")
    else {
        panic!("the default has workers")
    };
    match case.fault {
        Fault::Cut(other) => {
            town.cut("w0", other);
            sleep_until(start + BEFORE + Duration::from_secs(case.lasts)).await;
            town.cuts.heal();
        }
        Fault::Kill => {
            town.kill("w0").await;
            sleep_until(start + BEFORE + Duration::from_secs(1)).await;
            town.worker("w0", worker(case, &config));
        }
        Fault::Stop => {
            town.stop("w0");
            town.until_ended("w0").await;
            town.worker("w0", worker(case, &config));
        }
    }
    let seen = probing.await.unwrap();
    let end = case.lasts as f64;
    let (real, ours) = (Outcome::of(&Recorded::read(case).seen(), end), Outcome::of(&seen, end));
    let (some, few) = (real.failed as f64, (ours.failed as f64 - real.failed as f64).abs());
    let same_kind = match (real.usual, ours.usual) {
        (Some((status, took)), Some((ours, ours_took))) => status == ours && (took - ours_took).abs() < 1.0,
        (None, None) => true,
        _ => false,
    };
    let settles = match (real.settled, ours.settled) {
        (Some(real), Some(ours)) => (real - ours).abs() <= case.settling,
        (real, ours) => real == ours,
    };
    let early = seen.iter().any(|it| it.due + it.took < 0.0 && it.failed());
    let is_like = !early && same_kind && settles && few <= some * case.failures;
    let row: Vec<String> =
        real.columns().iter().zip(&ours.columns()).map(|(real, ours)| format!("{real} | {ours}")).collect();
    let shown = format!("| {} | {} |", case.name, row.join(" | "));
    let failed: Vec<String> =
        seen.iter().filter(|it| it.failed()).map(|it| format!("{:.1} {} {:.1}", it.due, it.status, it.took)).collect();
    (shown.clone(), (!is_like).then(|| format!("{shown}; {failed:?}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn the_likeness_of_the_default_deployment_to_dynamo_is_within_bounds() {
    let compared = futures::future::join_all(CASES.iter().map(compare)).await;
    let (shown, problems): (Vec<_>, Vec<_>) = compared.into_iter().unzip();
    let problems: Vec<String> = problems.into_iter().flatten().collect();
    // With `--nocapture`: the rows of the README's table.
    writeln!(std::io::stderr(), "{}", shown.join("\n")).unwrap();
    assert!(problems.is_empty(), "too unlike:\n{}\n\nall of them:\n{}", problems.join("\n"), shown.join("\n"));
}
