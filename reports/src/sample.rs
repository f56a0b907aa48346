//! Synthetic results for tests: the four verdicts, a long run, and one in which every text is hostile. Made from
//! arithmetic only, so that they are the same everywhere and for ever.

use base64::Engine as _;
use indexmap::IndexMap;
use serde_json::{Value, json};
use shakedown_schemas::event::{Event, EventKind, FaultState};
use shakedown_schemas::result::{
    ClusterInfo, Evidence, ExpectationResult, FaultResult, LatencyStats, Leftover, LoadInfo, LoadSeries, ObjectRecord,
    PhaseLoad, PhaseResult, PodRef, Point, Proof, RESULT_VERSION, Recovery, RunInfo, RunResult, ScenarioResult, Stats,
    Unit, Verdict,
};

/// A text with everything in it that has ever broken a report.
pub const HOSTILE: &str =
    "</script><img src=x onerror=alert(1)>]]>\u{1b}[31m\u{0}|`$(id)`\"'&amp;\u{202e}txt.exe\u{fffe}\r\n::error::x%0A";

/// The scenario that the samples claim to have run.
pub const SOURCE: &str = r#"version: 1
name: worker-loses-nats
description: One decode worker of three is cut off from NATS; the other two carry the load.
tags: [network-policy, fast]

vars:
  namespace: dynamo
  worker: vllm-agg-0-vllmdecodeworker

namespace: "{{ namespace }}"

load:
  completions:
    openai:
      service: vllm-agg-0-frontend:8000
      model: Qwen/Qwen3-0.6B
      prompt: Say hello.
      max_tokens: 10
      stream: true
    rate: 20/s
    timeout: 30s

phases:
  - name: baseline
    duration: 30s
    expect:
      - success_rate: {min: 99%}

  - name: partition
    duration: 60s
    settle: 5s
    faults:
      nats-cut:
        partition:
          pods: {prefix: "{{ worker }}", count: 1}
          from: [{service: nats}]
    expect:
      - success_rate: {min: 80%}
      - latency_ratio: {percentile: p95, to: baseline, max: 3}

  - name: recovery
    duration: 30s
    expect:
      - recovery_time: {max: 15s, hold: 5s}
      - latency_ratio: {percentile: p95, to: baseline, max: 1.2}
"#;

/// Even noise between 0 and 1 for an index.
fn noise(index: u64) -> f64 {
    let mut x = index.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Three decimals, as a measured time has them.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// How the service does at a moment: (share that fails, factor on its latency).
fn weather(t: f64, start: f64, end: f64) -> (f64, f64) {
    if t < start + 1.0 || t >= end + 4.0 {
        (0.0, 1.0)
    } else if t < start + 9.0 {
        (0.3, 3.4)
    } else if t < end {
        (0.01, 1.9)
    } else {
        (0.05, 2.4)
    }
}

/// Windows of one second over `length` seconds at `rate` requests a second, with a fault between two moments.
pub fn series(load: &str, length: u64, rate: u64, (start, end): (f64, f64)) -> LoadSeries {
    let points = (0..length)
        .map(|second| {
            let t = second as f64;
            let (share, factor) = weather(t, start, end);
            let failed = ((rate as f64 * share) + noise(second * 7) * share.min(0.05) * 20.0) as u64;
            let failed = failed.min(rate);
            let mut errors = IndexMap::new();
            if failed > 0 {
                errors.insert("timeout".to_owned(), failed - failed / 3);
            }
            if failed / 3 > 0 {
                errors.insert("http_503".to_owned(), failed / 3);
            }
            let p50 = 84.0 * factor * (0.95 + 0.1 * noise(second * 3));
            Point {
                t_s: t,
                length_s: 1.0,
                requests: rate,
                succeeded: rate - failed,
                errors,
                p50_ms: Some(rounded(p50)),
                p95_ms: Some(rounded(p50 * (1.6 + 0.2 * noise(second * 5)))),
                p99_ms: Some(rounded(p50 * (2.0 + 0.5 * noise(second * 11)))),
                max_ms: Some(rounded(p50 * (2.6 + 1.5 * noise(second * 13)))),
                in_flight: (rate as f64 * p50 / 1e3 * (1.0 + noise(second * 17))) as u64,
            }
        })
        .collect();
    LoadSeries { load: load.to_owned(), window_s: 1.0, points }
}

/// What a load's requests show between two moments of its series, with a matching histogram.
pub fn phase_load(series: &LoadSeries, from: f64, to: f64) -> PhaseLoad {
    let points: Vec<&Point> = series.points.iter().filter(|p| p.t_s >= from && p.t_s < to).collect();
    let mut histogram =
        hdrhistogram::Histogram::<u64>::new_with_max(60_000_000, 3).expect("a minute and three digits are allowed");
    let mut errors: IndexMap<String, u64> = IndexMap::new();
    let (mut requests, mut succeeded) = (0, 0);
    for (index, point) in points.iter().enumerate() {
        requests += point.requests;
        succeeded += point.succeeded;
        for (kind, count) in &point.errors {
            *errors.entry(kind.clone()).or_default() += count;
        }
        let (p50, p99) = (point.p50_ms.unwrap_or(1.0), point.p99_ms.unwrap_or(2.0));
        for k in 0..point.requests {
            let u = noise(index as u64 * 1000 + k);
            let ms = p50 * (0.7 + 0.6 * u) + if u > 0.9 { (p99 - p50) * (u - 0.9) * 10.0 } else { 0.0 };
            histogram.saturating_record((ms * 1e3) as u64);
        }
    }
    let ms = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    let latency = (requests > 0).then(|| LatencyStats {
        count: histogram.len(),
        mean_ms: rounded(histogram.mean() / 1e3),
        min_ms: histogram.min() as f64 / 1e3,
        p50_ms: ms(0.5),
        p90_ms: ms(0.9),
        p95_ms: ms(0.95),
        p99_ms: ms(0.99),
        p999_ms: ms(0.999),
        max_ms: histogram.max() as f64 / 1e3,
    });
    let mut bytes = Vec::new();
    let mut serializer = hdrhistogram::serialization::V2DeflateSerializer::new();
    let encoded = hdrhistogram::serialization::Serializer::serialize(&mut serializer, &histogram, &mut bytes);
    encoded.expect("a histogram fits into memory");
    PhaseLoad {
        load: series.load.clone(),
        stats: Stats {
            requests,
            succeeded,
            errors,
            throughput: requests as f64 / (to - from),
            latency,
            time_to_first_token: latency.map(|l| LatencyStats {
                count: l.count,
                mean_ms: rounded(l.mean_ms * 0.4),
                min_ms: rounded(l.min_ms * 0.4),
                p50_ms: rounded(l.p50_ms * 0.4),
                p90_ms: rounded(l.p90_ms * 0.4),
                p95_ms: rounded(l.p95_ms * 0.4),
                p99_ms: rounded(l.p99_ms * 0.4),
                p999_ms: rounded(l.p999_ms * 0.4),
                max_ms: rounded(l.max_ms * 0.4),
            }),
        },
        latency_hdr: Some(base64::engine::general_purpose::STANDARD.encode(bytes)),
    }
}

fn at(seconds: f64) -> jiff::Timestamp {
    let base = 1_769_860_800_000; // 2026-01-31T12:00:00Z
    jiff::Timestamp::from_millisecond(base + (seconds * 1e3) as i64).expect("within a day of a fixed moment")
}

fn phase(name: &str, times: [f64; 5], planned_s: f64, all: &[LoadSeries]) -> PhaseResult {
    let [start_s, active_s, judged_from_s, judged_to_s, end_s] = times;
    let loads = all.iter().map(|series| phase_load(series, judged_from_s, judged_to_s)).collect();
    PhaseResult { name: name.to_owned(), start_s, active_s, judged_from_s, judged_to_s, end_s, planned_s, loads }
}

fn pod(name: &str, octet: u8) -> PodRef {
    PodRef {
        namespace: "dynamo".to_owned(),
        name: name.to_owned(),
        uid: format!("6f1c7f0e-4f3a-4c8e-9d55-0000000000{octet:02x}"),
        node: Some("node-a".to_owned()),
        ip: Some(format!("10.42.0.{octet}")),
    }
}

fn policy() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": "shakedown-nats-cut-k3x9",
            "namespace": "dynamo",
            "labels": {"app.kubernetes.io/managed-by": "shakedown", "shakedown.dev/run": "20260131-120000-k3x9"},
        },
        "spec": {
            "podSelector": {"matchLabels": {"shakedown.dev/fault": "nats-cut"}},
            "policyTypes": ["Egress", "Ingress"],
            "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.43.7.12/32", "10.42.0.9/32"]}}]}],
            "ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.42.0.9/32"]}}]}],
        },
    })
}

fn fault(start: f64, end: f64) -> FaultResult {
    FaultResult {
        name: "nats-cut".to_owned(),
        phase: "partition".to_owned(),
        kind: "partition".to_owned(),
        engine: "network-policy".to_owned(),
        description: "Cuts 1 pod off from service nats in both directions; everything else stays reachable.".to_owned(),
        targets: vec![pod("vllm-agg-0-vllmdecodeworker-7c9f8-x2k4p", 17)],
        peers: vec!["service nats (10.43.7.12:4222; pod nats-0 10.42.0.9)".to_owned()],
        objects: vec![ObjectRecord {
            api_version: "networking.k8s.io/v1".to_owned(),
            kind: "NetworkPolicy".to_owned(),
            namespace: "dynamo".to_owned(),
            name: "shakedown-nats-cut-k3x9".to_owned(),
            manifest: policy(),
        }],
        state: FaultState::Undone,
        injecting_s: Some(start),
        injected_s: Some(start + 0.21),
        proven_s: Some(start + 0.84),
        undoing_s: Some(end),
        undone_s: Some(end + 0.4),
        evidence: vec![
            Evidence {
                at_s: start + 0.25,
                shows: Proof::Applied,
                holds: true,
                detail: "networkpolicy/shakedown-nats-cut-k3x9 read back as sent, and selects exactly 1 pod".to_owned(),
            },
            Evidence {
                at_s: start + 0.84,
                shows: Proof::Effective,
                holds: true,
                detail: "the target's connections to nats carry no bytes; a control pod's still do".to_owned(),
            },
            Evidence {
                at_s: end + 0.4,
                shows: Proof::Removed,
                holds: true,
                detail: "networkpolicy/shakedown-nats-cut-k3x9 is not found any more".to_owned(),
            },
        ],
        injection: Verdict::Pass,
        undo: Verdict::Pass,
        problem: None,
        line: Some(33),
    }
}

/// An expectation that is answered with `observed` within its interval.
#[expect(clippy::too_many_arguments, reason = "a row of a table of literals, read column by column")]
fn expectation(
    (phase, kind, title, line): (&str, &str, &str, u32),
    unit: Unit,
    verdict: Verdict,
    observed: f64,
    interval: Option<[f64; 2]>,
    samples: u64,
    (min, max): (Option<f64>, Option<f64>),
    reason: &str,
) -> ExpectationResult {
    let limit = match (min, max) {
        (Some(min), _) => format!("at least {}", crate::words::value(unit, min)),
        (None, Some(max)) => format!("at most {}", crate::words::value(unit, max)),
        (None, None) => String::new(),
    };
    ExpectationResult {
        phase: phase.to_owned(),
        load: "completions".to_owned(),
        kind: kind.to_owned(),
        title: title.to_owned(),
        verdict,
        observed: Some(observed),
        observed_text: crate::words::value(unit, observed),
        unit,
        interval,
        censored: false,
        samples,
        min,
        max,
        limit_text: limit,
        reason: reason.to_owned(),
        terms: IndexMap::new(),
        line: Some(line),
    }
}

fn expectations() -> Vec<ExpectationResult> {
    let p = Verdict::Pass;
    let mut ratio = expectation(
        ("partition", "latency_ratio", "p95 at most 3 times baseline", 39),
        Unit::Times,
        p,
        2.14,
        Some([1.98, 2.31]),
        1_100,
        (None, Some(3.0)),
        "p95 rose to 2.14 times baseline's (1.98 to 2.31), allowed 3",
    );
    ratio.terms.insert("p95 of partition".to_owned(), "301ms".to_owned());
    ratio.terms.insert("p95 of baseline".to_owned(), "141ms".to_owned());
    vec![
        expectation(
            ("baseline", "success_rate", "success rate at least 99 %", 27),
            Unit::Fraction,
            p,
            1.0,
            Some([0.9936, 1.0]),
            600,
            (Some(0.99), None),
            "all 600 requests succeeded",
        ),
        expectation(
            ("partition", "success_rate", "success rate at least 80 %", 38),
            Unit::Fraction,
            p,
            0.9724,
            Some([0.961, 0.981]),
            1_100,
            (Some(0.8), None),
            "97.24% of 1,100 requests succeeded (96.1% to 98.1%), at least 80% asked",
        ),
        ratio,
        expectation(
            ("recovery", "recovery_time", "recovered within 15s", 44),
            Unit::Seconds,
            p,
            4.0,
            None,
            600,
            (None, Some(15.0)),
            "recovered 4s after the removal was confirmed, and stayed so for 5s",
        ),
        expectation(
            ("recovery", "latency_ratio", "p95 at most 1.2 times baseline", 45),
            Unit::Times,
            p,
            1.03,
            Some([0.98, 1.09]),
            600,
            (None, Some(1.2)),
            "p95 is 1.03 times baseline's (0.98 to 1.09), allowed 1.2",
        ),
    ]
}

fn events(start: f64, end: f64) -> Vec<Event> {
    let event =
        |t: f64, kind| Event { at: at(t), scenario: Some("worker-loses-nats".to_owned()), elapsed_s: Some(t), kind };
    let state = |t, state, detail: &str| {
        event(t, EventKind::Fault { fault: "nats-cut".to_owned(), state, detail: detail.to_owned() })
    };
    let phase = |t, name: &str, planned_s| event(t, EventKind::PhaseStarted { phase: name.to_owned(), planned_s });
    vec![
        event(-0.6, EventKind::ScenarioStarted { file: "scenarios/quickstart.yaml".to_owned() }),
        event(-0.4, EventKind::Reached { load: "completions".to_owned(), how: "direct, 10.43.7.3:8000".to_owned() }),
        event(
            -0.2,
            EventKind::TargetsChosen {
                fault: "nats-cut".to_owned(),
                pods: vec!["vllm-agg-0-vllmdecodeworker-7c9f8-x2k4p".to_owned()],
            },
        ),
        event(0.0, EventKind::LoadStarted),
        phase(0.0, "baseline", 30.0),
        phase(start, "partition", 60.0),
        state(start, FaultState::Injecting, ""),
        state(start + 0.21, FaultState::Injected, "networkpolicy/shakedown-nats-cut-k3x9"),
        state(start + 0.84, FaultState::Proven, "the target's connections to nats carry no bytes"),
        event(
            start + 9.2,
            EventKind::Cluster { message: "the frontend dropped vllm-agg-0-vllmdecodeworker-7c9f8-x2k4p".to_owned() },
        ),
        state(end, FaultState::Undoing, ""),
        state(end + 0.4, FaultState::Undone, "not found any more"),
        phase(end + 0.4, "recovery", 30.0),
        event(121.3, EventKind::ScenarioEnded { verdict: Verdict::Pass, reason: "all 5 expectations hold".to_owned() }),
    ]
}

/// The quickstart's scenario, passed.
pub fn passing() -> RunResult {
    let (start, end) = (30.0, 90.9);
    let all = vec![series("completions", 121, 20, (start, end))];
    let phases = vec![
        phase("baseline", [0.0, 0.0, 0.0, 30.0, 30.0], 30.0, &all),
        phase("partition", [30.0, 30.84, 35.84, 90.9, 91.3], 60.0, &all),
        phase("recovery", [91.3, 91.3, 91.3, 121.0, 121.0], 30.0, &all),
    ];
    let vars = [("namespace", json!("dynamo")), ("worker", json!("vllm-agg-0-vllmdecodeworker"))];
    let scenario = ScenarioResult {
        name: "worker-loses-nats".to_owned(),
        description: Some("One decode worker of three is cut off from NATS; the other two carry the load.".to_owned()),
        file: "scenarios/quickstart.yaml".to_owned(),
        tags: vec!["network-policy".to_owned(), "fast".to_owned()],
        verdict: Verdict::Pass,
        reason: "passed: all 5 expectations hold, 1 fault was proven and undone".to_owned(),
        started_at: at(0.0),
        duration_s: 121.3,
        cluster: Some(ClusterInfo {
            server: "127.0.0.1:40211".to_owned(),
            version: "v1.33.0".to_owned(),
            context: None,
            sandbox: true,
        }),
        namespace: "dynamo".to_owned(),
        vars: vars.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        source: SOURCE.to_owned(),
        loads: vec![LoadInfo {
            name: "completions".to_owned(),
            kind: "openai".to_owned(),
            target: "service vllm-agg-0-frontend:8000".to_owned(),
            open_loop: true,
            schedule: "20/s".to_owned(),
            reach: "direct".to_owned(),
            address: "10.43.7.3:8000".to_owned(),
            reconnects: 0,
        }],
        phases,
        faults: vec![fault(start, end)],
        expectations: expectations(),
        series: all,
        recoveries: vec![Recovery {
            load: "completions".to_owned(),
            phase: "partition".to_owned(),
            onset_s: Some(31.0),
            failover_s: Some(39.0),
            removed_s: Some(91.3),
            first_success_s: Some(91.35),
            recovered_s: Some(95.3),
            out_of_tolerance_s: 12.0,
            failed_requests: 57,
            resolution_s: 1.0,
        }],
        errors: vec![],
        warnings: vec![],
        leftovers: vec![],
        events: events(start, end),
    };
    RunResult {
        format_version: RESULT_VERSION,
        run: RunInfo {
            id: "20260131-120000-k3x9".to_owned(),
            started_at: at(-1.0),
            duration_s: 123.4,
            tool_version: "0.1.0".to_owned(),
            command: ["shakedown", "run", "--sandbox", "scenarios/quickstart.yaml"].map(str::to_owned).to_vec(),
            seed: 4242,
            host: "ci-runner-7".to_owned(),
            git_sha: Some("9fceb02d0ae598e95dc970b74767f19372d61af8".to_owned()),
            ci_job_url: None,
            interrupted: None,
        },
        verdict: Verdict::Pass,
        exit_code: 0,
        scenarios: vec![scenario],
        events: vec![],
    }
}

/// The same against a real cluster through a port-forward, with two expectations that do not hold, one of them
/// censored.
pub fn failing() -> RunResult {
    let mut result = passing();
    result.verdict = Verdict::Fail;
    result.exit_code = 1;
    result.run.command = ["shakedown", "run", "scenarios/quickstart.yaml"].map(str::to_owned).to_vec();
    let scenario = &mut result.scenarios[0];
    scenario.verdict = Verdict::Fail;
    scenario.reason = "failed: p95 rose to 3.8 times the baseline (3.4 to 4.3), allowed 3; and 1 more".to_owned();
    scenario.cluster = Some(ClusterInfo {
        server: "10.0.0.1:6443".to_owned(),
        version: "v1.31.4+k3s1".to_owned(),
        context: Some("staging".to_owned()),
        sandbox: false,
    });
    scenario.loads[0].reach = "port-forward".to_owned();
    scenario.loads[0].address = "127.0.0.1:43121".to_owned();
    scenario.loads[0].reconnects = 1;
    scenario
        .warnings
        .push("the port-forward to vllm-agg-0-frontend-5d8 was made anew once; 2 requests failed by that".to_owned());
    let ratio = &mut scenario.expectations[2];
    ratio.verdict = Verdict::Fail;
    ratio.observed = Some(3.8);
    ratio.observed_text = "3.8x".to_owned();
    ratio.interval = Some([3.4, 4.3]);
    ratio.reason = "p95 rose to 3.8 times baseline's (3.4 to 4.3), allowed 3".to_owned();
    let recovery = &mut scenario.expectations[3];
    recovery.verdict = Verdict::Fail;
    recovery.observed = Some(29.7);
    recovery.observed_text = "> 29.7s".to_owned();
    recovery.censored = true;
    recovery.reason = "not recovered within the 29.7s that were watched, allowed 15s".to_owned();
    scenario.recoveries[0].recovered_s = None;
    result
}

/// Not enough to tell: the fault is not proven, and a phase had too few requests.
pub fn inconclusive() -> RunResult {
    let mut result = passing();
    result.verdict = Verdict::Inconclusive;
    result.exit_code = 4;
    let scenario = &mut result.scenarios[0];
    scenario.verdict = Verdict::Inconclusive;
    scenario.reason = "inconclusive: fault nats-cut was not proven to act".to_owned();
    let fault = &mut scenario.faults[0];
    fault.injection = Verdict::Inconclusive;
    fault.proven_s = None;
    fault.evidence[1].holds = false;
    fault.evidence[1].detail = "the target's connection to nats still carries bytes after 10s".to_owned();
    fault.problem = Some("the network plugin does not seem to enforce NetworkPolicies".to_owned());
    let ratio = &mut scenario.expectations[2];
    ratio.verdict = Verdict::Inconclusive;
    ratio.observed = None;
    ratio.observed_text = "–".to_owned();
    ratio.interval = None;
    ratio.samples = 12;
    ratio.reason = "12 requests are too few for p95; at least 60 are needed".to_owned();
    result
}

/// The run itself went wrong: an undo failed, and no expectation was answered.
pub fn errored() -> RunResult {
    let mut result = passing();
    result.verdict = Verdict::Error;
    result.exit_code = 6;
    result.run.interrupted = Some("SIGINT".to_owned());
    let scenario = &mut result.scenarios[0];
    scenario.verdict = Verdict::Error;
    scenario.reason = "error: networkpolicy/shakedown-nats-cut-k3x9 could not be removed".to_owned();
    scenario.phases.truncate(2);
    scenario.expectations.clear();
    scenario.recoveries.clear();
    scenario.errors.push("the API server answered 503 to DELETE networkpolicies/shakedown-nats-cut-k3x9".to_owned());
    scenario.leftovers.push(Leftover {
        what: "networkpolicy/shakedown-nats-cut-k3x9 in namespace dynamo".to_owned(),
        command: "kubectl delete networkpolicy shakedown-nats-cut-k3x9 -n dynamo".to_owned(),
        error: "503 Service Unavailable, 5 times".to_owned(),
    });
    let fault = &mut scenario.faults[0];
    fault.state = FaultState::Left;
    fault.undone_s = None;
    fault.undo = Verdict::Error;
    fault.evidence[2].holds = false;
    fault.evidence[2].detail = "networkpolicy/shakedown-nats-cut-k3x9 is still there".to_owned();
    result
}

/// A scenario that never got anywhere: an error, and nothing else.
pub fn stillborn() -> RunResult {
    let mut result = errored();
    result.exit_code = 3;
    let scenario = &mut result.scenarios[0];
    scenario.reason = "error: the cluster cannot be reached".to_owned();
    scenario.errors = vec!["GET https://10.0.0.1:6443/version: connection refused".to_owned()];
    scenario.cluster = None;
    scenario.phases.clear();
    scenario.faults.clear();
    scenario.series.clear();
    scenario.leftovers.clear();
    scenario.events.clear();
    scenario.duration_s = 0.0;
    result
}

/// Three scenarios in one run: passed, failed and inconclusive.
pub fn suite() -> RunResult {
    let mut result = passing();
    for (other, name) in [(failing(), "single-worker"), (inconclusive(), "unenforced-policy")] {
        result.scenarios.extend(other.scenarios.into_iter().map(|mut scenario| {
            scenario.name = name.to_owned();
            scenario.file = format!("scenarios/{name}.yaml");
            scenario
        }));
    }
    result.verdict = Verdict::Fail;
    result.exit_code = 1;
    result
}

/// An hour of windows of one second with two loads, as a soak test leaves it.
pub fn hour() -> RunResult {
    let mut result = failing();
    let scenario = &mut result.scenarios[0];
    let (start, end) = (1200.0, 2400.0);
    let all = vec![series("completions", 3600, 100, (start, end)), series("embeddings", 3600, 35, (start, end))];
    scenario.phases = vec![
        phase("baseline", [0.0, 0.0, 0.0, 1200.0, 1200.0], 1200.0, &all),
        phase("partition", [1200.0, 1200.8, 1230.8, 2400.0, 2400.4], 1200.0, &all),
        phase("recovery", [2400.4, 2400.4, 2400.4, 3600.0, 3600.0], 1200.0, &all),
    ];
    scenario.faults = vec![fault(start, end)];
    scenario.recoveries[0].onset_s = Some(1201.0);
    scenario.recoveries[0].failover_s = Some(1209.0);
    scenario.recoveries[0].removed_s = Some(2400.4);
    scenario.recoveries[0].first_success_s = Some(2400.43);
    scenario.recoveries[0].recovered_s = Some(2404.4);
    let mut second = scenario.loads[0].clone();
    second.name = "embeddings".to_owned();
    second.schedule = "35/s".to_owned();
    scenario.loads.push(second);
    scenario.duration_s = 3600.0;
    scenario.series = all;
    for k in 0..3000 {
        scenario.events.push(Event {
            at: at(f64::from(k)),
            scenario: None,
            elapsed_s: Some(f64::from(k)),
            kind: EventKind::Cluster { message: format!("pod worker-{k} was replaced, its readiness probe failed") },
        });
    }
    result
}

/// A result in which every free text is [`HOSTILE`], and names are a megabyte long.
pub fn hostile() -> RunResult {
    let mut value = serde_json::to_value(errored()).expect("a sample is JSON");
    let failing = serde_json::to_value(failing()).expect("a sample is JSON");
    for list in ["expectations", "recoveries", "warnings", "phases"] {
        value["scenarios"][0][list] = failing["scenarios"][0][list].clone();
    }
    value["events"] = value["scenarios"][0]["events"].clone();
    poison(&mut value, "");
    value["scenarios"][0]["name"] = Value::String(format!("{HOSTILE}{}", "x".repeat(1_000_000)));
    serde_json::from_value(value).expect("texts only")
}

/// Makes every free text hostile; enumerations, moments and the discriminants of events stay.
fn poison(value: &mut Value, key: &str) {
    const FIXED: [&str; 10] =
        ["verdict", "started_at", "at", "unit", "state", "shows", "injection", "undo", "event", "exit_code"];
    const OPEN_MAPS: [&str; 4] = ["vars", "errors", "terms", "manifest"];
    match value {
        Value::String(text) if !FIXED.contains(&key) => {
            *text = format!("{text}{HOSTILE}");
        }
        Value::Array(list) => list.iter_mut().for_each(|item| poison(item, key)),
        Value::Object(map) if OPEN_MAPS.contains(&key) => {
            *map = std::mem::take(map)
                .into_iter()
                .map(|(name, mut item)| {
                    poison(&mut item, "");
                    (format!("{name}{HOSTILE}"), item)
                })
                .collect();
        }
        Value::Object(map) => map.iter_mut().for_each(|(key, item)| poison(item, key)),
        _ => {}
    }
}
