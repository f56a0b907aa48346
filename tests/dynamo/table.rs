//! The program against the truth: each scenario of `../shared/dynamo` runs next to the independent probe, and both have to tell
//! the same story.
//!
//! The two ask different requests, and each failure that comes alone hits only one of them. So the bounds are: shares of failures
//! three standard deviations and 3 points apart; durations of failures three standard deviations of the median and half a second;
//! times as far apart as the windows of the program and a turn of Dynamo's retries.

use std::time::Duration;

use shakedown_schemas::result::{ExpectationResult, PhaseResult, Recovery, Verdict};

use super::probe::{Probe, Questions, Seen, quantile};
use super::{Dynamo, LIMIT, folder};
use crate::support::deployment::TestCluster;
use crate::support::none_of;
use crate::support::reports::Reports;
use crate::support::shakedown::Shakedown;

/// How far shares may be apart beyond chance.
const POINTS: f64 = 0.03;
/// Dynamo tries a worker that failed again after this time, in seconds.
const RETRIED: f64 = 5.0;
/// How far the usual durations of failures may be apart beyond chance, in seconds.
const DURATION: f64 = 0.5;
/// How much longer than the baseline's p95 a request may take, as in the program's `recovery_time`.
const SLOWER: f64 = 2.0;
/// The program's word for a stream that stood still for `stall_after`.
const STALLED: &str = "stalled";
/// As few failures as these may be missed by one of the two.
const FEW: usize = 4;

/// A row of the table.
struct Row {
    scenario: &'static str,
    /// The request plane, and settings of `deploy.sh`.
    deployed: &'static [&'static str],
    /// What the scenario's load asks, for as long as its phases last.
    asked: Questions,
}

const fn row(scenario: &'static str, deployed: &'static [&'static str], seconds: u32, patience: u32) -> Row {
    Row { scenario, deployed, asked: Questions { seconds, tokens: 10, patience } }
}

/// With answers of 400 tokens, which take 2.3 s.
const fn long(scenario: &'static str) -> Row {
    Row { scenario, deployed: &["nats"], asked: Questions { seconds: 72, tokens: 400, patience: 20 } }
}

/// What the probe saw, next to what the program says.
struct Comparison<'a> {
    reports: &'a Reports,
    seen: Seen,
    /// The longest that is not bad, in seconds.
    slow: f64,
    problems: Vec<String>,
    table: Vec<String>,
}

impl<'a> Comparison<'a> {
    fn new(reports: &'a Reports, seen: Seen) -> Self {
        let baseline = reports.phase("baseline");
        let usual = seen.due(baseline.start_s, baseline.end_s).durations();
        let slow = (SLOWER * quantile(&usual, 0.95)).max(quantile(&usual, 0.5) + 1.0);
        Self { reports, seen, slow, problems: Vec::new(), table: Vec::new() }
    }

    /// Adds a line to the table, and to the problems if the two disagree.
    fn note(&mut self, agree: bool, line: String) {
        if !agree {
            self.problems.push(line.clone());
        }
        self.table.push(line);
    }

    fn phase(&mut self, phase: &PhaseResult) {
        let Some(load) = phase.loads.first() else { return };
        let probed = self.seen.due(phase.judged_from_s, phase.judged_to_s);
        let took = probed.failures().durations();
        let (all, probed_all) = (load.stats.requests as f64, probed.requests() as f64);
        let failures = (load.stats.requests - load.stats.succeeded) as f64;
        // A stream that the program gives up may come to its end for the probe, which knows no gaps.
        let share = took.len() as f64 / probed_all;
        let nearest = share.clamp((failures - stalled(phase) as f64) / all, failures / all);
        let pooled = (nearest * all + took.len() as f64) / (all + probed_all);
        let bound = POINTS + 3.0 * (pooled * (1.0 - pooled) * (1.0 / all + 1.0 / probed_all)).sqrt();
        let line = format!("{}: {failures} of {all} failed, of the probe's {} of {probed_all}", phase.name, took.len());
        self.note((nearest - share).abs() <= bound, line);
        let usual = load.stats.failed_after.iter().filter(|(kind, _)| kind.as_str() != STALLED);
        let Some((_, usual)) = usual.max_by_key(|(_, it)| it.count).filter(|(_, it)| it.count > FEW as u64) else {
            return;
        };
        if took.len() > FEW {
            let ours = usual.p50_ms / 1000.0;
            // Which of the probe's could be a median of as many as these.
            let spread = 1.5 * (1.0 / usual.count as f64 + 1.0 / took.len() as f64).sqrt();
            let [least, median, most] = [0.5 - spread, 0.5, 0.5 + spread].map(|share| quantile(&took, share));
            let line = format!(
                "{}: failures took {ours:.2} s, the probe's {median:.2} s ({least:.2} to {most:.2} s)",
                phase.name
            );
            self.note((least - DURATION..=most + DURATION).contains(&ours), line);
        }
    }

    fn recovery(&mut self, it: &Recovery) {
        let phase = self.reports.phase(&it.phase);
        let strike = phase.active_s;
        let end = it.seen_until_s.unwrap_or(phase.end_s);
        let margin = RETRIED + 2.0 * it.resolution_s;
        // Those in flight when the fault struck are the first to feel it.
        let first = self.seen.due(strike - self.slow, end).bad(self.slow).first().map(|due| due.max(phase.start_s));
        let line = format!("{}: first felt at {:.1?} s, by the probe at {first:.1?} s", it.phase, it.onset_s);
        let bad = self.seen.due(strike - self.slow, end).bad(self.slow).len();
        let agree = match (it.onset_s, first) {
            (Some(ours), Some(first)) => (ours - first).abs() <= margin,
            (None, None) => true,
            (Some(_), None) => it.failed_requests <= FEW as u64,
            (None, Some(_)) => bad <= FEW,
        };
        self.note(agree, line);
        // Everything after a strike is recovery: there is nothing to fail over from.
        if let (Some(removed), None) = (it.removed_s, it.struck_s) {
            self.well("failed over", it, it.failover_s.filter(|_| it.onset_s.is_some()), (strike, removed), margin);
        }
        let from = it.struck_s.or(it.removed_s).unwrap_or(phase.end_s);
        self.well("recovered", it, it.recovered_s, (from, end), margin);
    }

    /// Whether a service that the program calls well from a moment on was so for the probe.
    fn well(&mut self, what: &str, it: &Recovery, ours: Option<f64>, (from, to): (f64, f64), margin: f64) {
        if it.onset_s.is_none() {
            return;
        }
        let (wave, last) = self.seen.well(from, to, self.slow);
        let line = format!(
            "{}: {what} at {ours:.1?} s of {from:.1} to {to:.1} s; the probe's last wave ended at {wave:.1} s, its last failure was \
             due at {last:.1} s",
            it.phase
        );
        let agree = match ours {
            Some(ours) => wave - margin <= ours && ours <= last + margin,
            None => last >= to - 2.0 * margin,
        };
        self.note(agree, line);
    }

    /// Whether the probe would have given the same verdict. It has none where its value is near the limit.
    fn verdict(&mut self, it: &ExpectationResult) {
        let phase = self.reports.phase(&it.phase);
        let probed = self.seen.due(phase.judged_from_s, phase.judged_to_s);
        let verdict = match it.kind.as_str() {
            "success_rate" => {
                let Some(min) = it.min else { return };
                let rate = 1.0 - probed.failures().requests() as f64 / probed.requests() as f64;
                let near = 2.0 * POINTS;
                if rate >= (min + near).min(1.0) && stalled(phase) == 0 {
                    Verdict::Pass
                } else if rate < min - near {
                    Verdict::Fail
                } else {
                    return;
                }
            }
            "time_to_first_token" | "inter_token_latency" => Verdict::Pass,
            _ => return,
        };
        self.note(
            it.verdict == verdict,
            format!("{}: {}: {:?}, the probe's {verdict:?}", it.phase, it.title, it.verdict),
        );
    }

    /// The verdict on the whole is the worst of them, as every fault was proven and removed.
    fn whole(&mut self) {
        let scenario = self.reports.scenario();
        let has = |verdict| scenario.expectations.iter().any(|it| it.verdict == verdict);
        let worst = [Verdict::Fail, Verdict::Inconclusive].into_iter().find(|it| has(*it)).unwrap_or(Verdict::Pass);
        self.note(scenario.verdict == worst, format!("verdict: {:?}, of the expectations {worst:?}", scenario.verdict));
    }
}

/// The streams of a phase that the program gave up.
fn stalled(phase: &PhaseResult) -> u64 {
    phase.loads.iter().filter_map(|load| load.stats.failed_after.get(STALLED)).map(|it| it.count).sum()
}

/// Runs the scenario of a row next to the probe.
#[track_caller]
fn compare(row: &Row) {
    let cluster = TestCluster::get();
    let dynamo = Dynamo::deploy(row.deployed);
    let shakedown = Shakedown::undisturbed();
    let probe = Probe::start(&folder().join("probe.py"), &dynamo.address(), row.asked, shakedown.path("probe.ndjson"));
    let file = folder().join(format!("scenarios/{}.yaml", row.scenario));
    let options = ["--out", "out", "--kubeconfig", dynamo.kubectl.kubeconfig(), "--witness-image", &cluster.program];
    let file = file.to_str().expect("UTF-8");
    let finished = shakedown.start(&[&["run"], &options[..], &[file]].concat()).finish(LIMIT);
    let reports = shakedown.reports("out");
    let start = Duration::from_nanos(reports.scenario().started_at.as_nanosecond() as u64).as_secs_f64();
    let seen = probe.finish(start);
    let scenario = reports.scenario();
    let has_run = |name: &str| scenario.phases.iter().any(|phase| phase.name == name);
    if let Some(it) = scenario.expectations.iter().find(|it| !has_run(&it.phase)) {
        panic!(
            "nothing to compare: {} ended before its phase {}: {}\n{finished}",
            row.scenario, it.phase, scenario.reason
        );
    }
    let mut comparison = Comparison::new(&reports, seen);
    for phase in &scenario.phases {
        comparison.phase(phase);
    }
    for recovery in &scenario.recoveries {
        comparison.recovery(recovery);
    }
    for expectation in &scenario.expectations {
        comparison.verdict(expectation);
    }
    comparison.whole();
    // With `--nocapture`, and where the test fails: the row.
    println!("{} {}\n  {}", row.scenario, row.deployed.join(" "), comparison.table.join("\n  "));
    println!("{finished}");
    reports.expect_injected_and_undone();
    none_of(&comparison.problems);
}

/// One test for each row.
macro_rules! rows {
    ($($name:ident: $row:expr;)*) => {
        $(
            #[test]
            #[ignore = "needs a cluster and Dynamo"]
            fn $name() {
                compare(&$row);
            }
        )*
    };
}

rows! {
    a_worker_loses_nats_for_a_minute: row("p1-nats", &["nats"], 137, 30);
    a_worker_loses_nats_and_requests_migrate: row("p1-nats", &["nats", "MIGRATION=3"], 137, 30);
    nats_is_killed: row("kill-nats", &["nats"], 112, 10);
    the_frontend_is_killed: row("kill-frontend", &["nats"], 92, 10);
    long_streams_lose_the_frontend: long("long-cut");
    a_worker_with_long_streams_is_killed: long("long-kill");
    a_worker_loses_nats_and_needs_it_not: row("tcp-nats", &["tcp"], 81, 15);
    a_worker_loses_etcd: row("tcp-etcd", &["tcp"], 111, 15);
    a_worker_loses_the_frontend: row("tcp-frontend", &["tcp"], 111, 15);
}
