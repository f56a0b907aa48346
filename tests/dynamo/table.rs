//! The program against the truth: each scenario of `../shared/dynamo` runs next to the independent probe, and both have to tell
//! the same story.
//!
//! The two ask different requests, and each failure that comes alone hits only one of them. So the bounds are: shares of failures
//! three standard deviations and 3 points apart; times as far apart as the windows of the program and a turn of Dynamo's retries.

use std::time::Duration;

use shakedown_schemas::result::{ExpectationResult, PhaseResult, Recovery, Verdict};

use super::probe::{Probe, Questions, Seen};
use super::{Dynamo, LIMIT, folder};
use crate::support::deployment::TestCluster;
use crate::support::none_of;
use crate::support::reports::Reports;
use crate::support::shakedown::Shakedown;

/// How far shares may be apart beyond chance.
const POINTS: f64 = 0.03;
/// Dynamo tries a worker that failed again after this time, in seconds.
const RETRIED: f64 = 5.0;
/// How far the usual durations of failures may be apart, in seconds.
const DURATION: f64 = 0.5;
/// As few failures as these may be missed by one of the two.
const FEW: usize = 4;

/// A row of the table.
struct Row {
    scenario: &'static str,
    /// The request plane, and settings of `deploy.sh`.
    deployed: &'static [&'static str],
    /// What the scenario's load asks, for as long as its phases last.
    asked: Questions,
    /// The gap after which the scenario's load gives a stream up, in seconds.
    stalls: f64,
}

const fn row(scenario: &'static str, deployed: &'static [&'static str], seconds: u32, patience: u32) -> Row {
    Row { scenario, deployed, asked: Questions { seconds, tokens: 10, patience }, stalls: f64::INFINITY }
}

/// With answers of 400 tokens, which take 2.3 s.
const fn long(scenario: &'static str, stalls: f64) -> Row {
    Row { scenario, deployed: &["nats"], asked: Questions { seconds: 72, tokens: 400, patience: 20 }, stalls }
}

/// What the probe saw, next to what the program says.
struct Comparison<'a> {
    row: &'a Row,
    reports: &'a Reports,
    seen: Seen,
    /// The longest that is not bad, in seconds.
    slow: f64,
    problems: Vec<String>,
    table: Vec<String>,
}

impl<'a> Comparison<'a> {
    fn new(row: &'a Row, reports: &'a Reports, seen: Seen) -> Self {
        let baseline = reports.phase("baseline");
        let slow = seen.due(baseline.start_s, baseline.end_s).median() + 1.0;
        Self { row, reports, seen, slow, problems: Vec::new(), table: Vec::new() }
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
        let stalls = probed_stall(self.row, self.slow);
        let (probed_failures, took) = probed.failures(stalls);
        let (all, failures) = (load.stats.requests as f64, (load.stats.requests - load.stats.succeeded) as f64);
        let probed_all = probed.requests() as f64;
        let (share, probed_share) = (failures / all, probed_failures as f64 / probed_all);
        let pooled = (failures + probed_failures as f64) / (all + probed_all);
        let bound = POINTS + 3.0 * (pooled * (1.0 - pooled) * (1.0 / all + 1.0 / probed_all)).sqrt();
        let line =
            format!("{}: {failures} of {all} failed, of the probe's {probed_failures} of {probed_all}", phase.name);
        self.note((share - probed_share).abs() <= bound, line);
        let usual = load.stats.failed_after.values().max_by_key(|it| it.count);
        if let (Some(usual), Some(took)) = (usual.filter(|it| it.count > FEW as u64), took)
            && probed_failures > FEW
            && self.row.stalls.is_infinite()
        {
            let ours = usual.p50_ms / 1000.0;
            let line = format!("{}: failures took {ours:.2} s, the probe's {took:.2} s", phase.name);
            self.note((ours - took).abs() <= DURATION, line);
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
        if let Some(removed) = it.removed_s {
            self.well("failed over", it, it.failover_s.filter(|_| it.onset_s.is_some()), (strike, removed), margin);
        }
        let from = it.removed_s.or(it.struck_s).unwrap_or(phase.end_s);
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
                let failed = probed.failures(probed_stall(self.row, self.slow)).0 as f64;
                let rate = 1.0 - failed / probed.requests() as f64;
                let near = 2.0 * POINTS;
                if rate >= (min + near).min(1.0) {
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

/// A request of the probe that takes longer than this has a gap that the scenario's load does not accept.
fn probed_stall(row: &Row, slow: f64) -> f64 {
    row.stalls + slow - 1.0
}

/// Runs the scenario of a row next to the probe.
#[track_caller]
fn compare(row: &Row) {
    let cluster = TestCluster::get();
    let dynamo = Dynamo::deploy(row.deployed);
    let shakedown = Shakedown::undisturbed();
    let probe = Probe::start(&folder().join("probe.py"), &dynamo.address(), row.asked, shakedown.path("probe.ndjson"));
    let scenario = folder().join(format!("scenarios/{}.yaml", row.scenario));
    let options = ["--out", "out", "--kubeconfig", dynamo.kubectl.kubeconfig(), "--witness-image", &cluster.program];
    let scenario = scenario.to_str().expect("UTF-8");
    let finished = shakedown.start(&[&["run"], &options[..], &[scenario]].concat()).finish(LIMIT);
    let reports = shakedown.reports("out");
    let start = Duration::from_nanos(reports.scenario().started_at.as_nanosecond() as u64).as_secs_f64();
    let seen = probe.finish(start);
    let mut comparison = Comparison::new(row, &reports, seen);
    for phase in &reports.scenario().phases {
        comparison.phase(phase);
    }
    for recovery in &reports.scenario().recoveries {
        comparison.recovery(recovery);
    }
    for expectation in &reports.scenario().expectations {
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
    long_streams_lose_the_frontend: long("long-cut", 3.0);
    a_worker_with_long_streams_is_killed: long("long-kill", f64::INFINITY);
    a_worker_loses_nats_and_needs_it_not: row("tcp-nats", &["tcp"], 81, 15);
    a_worker_loses_etcd: row("tcp-etcd", &["tcp"], 111, 15);
    a_worker_loses_the_frontend: row("tcp-frontend", &["tcp"], 111, 15);
}
