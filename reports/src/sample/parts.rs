//! The parts of a synthetic result: computed windows and histograms, one fault, its expectations and its events.

use base64::Engine as _;
use indexmap::IndexMap;
use serde_json::{Value, json};
use shakedown_schemas::event::{Event, EventKind, FaultState};
use shakedown_schemas::result::{
    Evidence, ExpectationResult, FailureSample, FaultResult, Generator, Heat, LatencyStats, LoadSeries, LogExcerpt,
    LogLine, Measure, ObjectRecord, PhaseLoad, PhaseResult, PodChange, PodEvent, PodRef, PodRole, Point, Proof, Stats,
    Timing, Unit, Verdict,
};

/// The scenario of the samples.
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

/// Uniform noise between 0 and 1 for an index.
fn noise(index: u64) -> f64 {
    let mut x = index.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Rounds to three decimals, like a measured time.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// The state of the service at a moment: the share of failed requests, and a factor for its latency.
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

/// Windows of 1 s over `length` seconds at `rate` requests per second, with a fault between two moments.
pub fn series(load: &str, length: u64, rate: u64, (start, end): (f64, f64)) -> LoadSeries {
    let points: Vec<Point> = (0..length)
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
                latency_hdr: None,
                in_flight: (rate as f64 * p50 / 1e3 * (1.0 + noise(second * 17))) as u64,
            }
        })
        .collect();
    let heat = heat(&points);
    LoadSeries { load: load.to_owned(), window_s: 1.0, points, heat: Some(heat) }
}

/// A heat map with two groups, around the median and around p99, each spread over many rows as in real runs.
fn heat(points: &[Point]) -> Heat {
    let column_s = (points.len() as f64 / 60.0).ceil().max(1.0);
    let edges_ms: Vec<f64> = (0..=40).map(|row| rounded(20.0 * 1.12_f64.powi(row))).collect();
    let mut counts = std::collections::BTreeMap::new();
    for (index, point) in points.iter().enumerate() {
        for (ms, share, spread) in [(point.p50_ms, 12, 0.5), (point.p99_ms, 40, 0.2)] {
            // A long run has enough of them.
            for k in 0..if points.len() > 10_000 { 1 } else { 8 } {
                let ms = ms.unwrap_or(20.0) * (1.0 + spread * (noise(index as u64 * 8 + k) - 0.5));
                let row = ((ms / 20.0).ln() / 1.12_f64.ln()).clamp(0.0, 39.0) as u32;
                *counts.entry(((point.t_s / column_s) as u32, row)).or_default() += (point.requests / share).max(1);
            }
        }
    }
    let cells = counts.into_iter().map(|((column, row), count)| (column, row, count));
    Heat { column_s, edges_ms, cells: cells.collect() }
}

/// The cluster's events of the target and its peer.
pub(super) fn pod_events(start: f64) -> Vec<PodEvent> {
    let event = |at_s, role, change, reason: &str, detail: &str| PodEvent {
        at_s,
        namespace: "dynamo".to_owned(),
        pod: if role == PodRole::Peer { "nats-0" } else { "vllm-agg-0-vllmdecodeworker-7c9f8-x2k4p" }.to_owned(),
        role,
        change,
        reason: reason.to_owned(),
        detail: detail.to_owned(),
        count: 1,
    };
    vec![
        event(start + 6.0, PodRole::Target, PodChange::Warning, "Unhealthy", "Readiness probe failed: HTTP 503"),
        event(start + 7.0, PodRole::Target, PodChange::NotReady, "", "not ready: ContainersNotReady"),
        event(start + 20.0, PodRole::Target, PodChange::Restarted, "", "container worker started again (1 restart)"),
        event(start + 31.0, PodRole::Target, PodChange::Ready, "", "ready"),
        event(start + 8.0, PodRole::Peer, PodChange::Normal, "Pulled", "Container image is present"),
    ]
}

/// The target's log lines at the beginning of the fault.
pub(super) fn logs(start: f64) -> Vec<LogExcerpt> {
    let line = |at_s, text: &str| LogLine { at_s, text: text.to_owned() };
    let excerpt = |container: &str, lines, missing| LogExcerpt {
        namespace: "dynamo".to_owned(),
        pod: "vllm-agg-0-vllmdecodeworker-7c9f8-x2k4p".to_owned(),
        container: container.to_owned(),
        around: "fault nats-cut injected".to_owned(),
        at_s: start + 0.2,
        lines,
        missing,
    };
    vec![
        excerpt(
            "worker",
            vec![line(start - 0.4, "served 20 requests"), line(start + 1.9, "ERROR nats: timed out")],
            None,
        ),
        excerpt("sidecar", vec![], Some("the cluster does not let us read its log: pods/log is forbidden".to_owned())),
    ]
}

/// A sample of one kind of failure.
fn failed(kind: &str, from: f64) -> FailureSample {
    let mut sample = FailureSample { failure: kind.to_owned(), at_s: from + 1.5, ..FailureSample::default() };
    match kind.strip_prefix("http_") {
        None => sample.cause = "the request was sent and no byte of an answer came".to_owned(),
        Some(status) => {
            sample.status = status.parse().ok();
            sample.headers = IndexMap::from([("content-type".to_owned(), "application/json".to_owned())]);
            sample.body =
                r#"{"error": {"message": "no worker is <ready>: NATS request timed out", "code": 503}}"#.to_owned();
            sample.body_is_cut = true;
            sample.cause = "expected a status of 200 to 299".to_owned();
        }
    }
    sample
}

/// The statistics of a load between two moments of its series, with a matching histogram.
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
    let samples = errors.keys().map(|kind| failed(kind, from)).collect();
    PhaseLoad {
        around: Vec::new(),
        steps: Vec::new(),
        groups: Vec::new(),
        samples,
        load: series.load.clone(),
        stats: Stats {
            requests,
            succeeded,
            errors,
            failed_after: IndexMap::new(),
            throughput: succeeded as f64 / (to - from),
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
            answers: None,
        },
        latency_hdr: Some(base64::engine::general_purpose::STANDARD.encode(bytes)),
        generator: Some(generator(requests, (to - from).max(0.0), latency)),
    }
}

/// The generator's measurements for `requests` requests: on time, with nearly all latency in the service.
fn generator(requests: u64, seconds: f64, latency: Option<LatencyStats>) -> Generator {
    let timing = |share: f64| {
        latency.map(|l| Timing {
            stats: LatencyStats {
                count: l.count,
                mean_ms: rounded(l.mean_ms * share),
                min_ms: rounded(l.min_ms * share),
                p50_ms: rounded(l.p50_ms * share),
                p90_ms: rounded(l.p90_ms * share),
                p95_ms: rounded(l.p95_ms * share),
                p99_ms: rounded(l.p99_ms * share),
                p999_ms: rounded(l.p999_ms * share),
                max_ms: rounded(l.max_ms * share),
            },
            hdr: None,
        })
    };
    Generator {
        pace: format!("{}/s", (requests as f64 / seconds.max(1.0)).round()),
        planned: Some(requests as f64),
        not_sent: 0,
        lateness: timing(0.001),
        service: timing(0.98),
        first_byte: timing(0.35),
        connect: timing(0.004),
        tls: None,
        longest_gap: timing(0.1),
        mean_gap: timing(0.05),
        corrected: None,
    }
}

pub(super) fn at(seconds: f64) -> jiff::Timestamp {
    let base = 1_769_860_800_000; // 2026-01-31T12:00:00Z
    jiff::Timestamp::from_millisecond(base + (seconds * 1e3) as i64).expect("within a day of a fixed moment")
}

pub(super) fn phase(name: &str, times: [f64; 5], planned_s: f64, all: &[LoadSeries]) -> PhaseResult {
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

pub(super) fn fault(start: f64, end: f64) -> FaultResult {
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
        claimed_s: None,
        claimed_because: None,
        measured: Vec::new(),
        felt: Some(true),
        proven_s: Some(start + 0.84),
        undoing_s: Some(end),
        undone_s: Some(end + 0.4),
        unproven: vec![],
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

/// An expectation with the value `observed` within its interval.
#[expect(clippy::too_many_arguments, reason = "a row of a table of literals, read column by column")]
fn expectation(
    (phase, kind, measure, line): (&str, &str, Measure, u32),
    unit: Unit,
    verdict: Verdict,
    observed: f64,
    interval: Option<[f64; 2]>,
    samples: u64,
    (min, max): (Option<f64>, Option<f64>),
    reason: &str,
) -> ExpectationResult {
    // A factor has no sign in a limit.
    let show = |value| crate::words::value(unit, value).trim_end_matches('x').to_owned();
    let limit = match (min, max) {
        (Some(min), _) => format!("at least {}", show(min)),
        (None, Some(max)) => format!("at most {}", show(max)),
        (None, None) => String::new(),
    };
    let title = format!("{} {limit}{}", measure.subject, measure.condition);
    ExpectationResult {
        verdict,
        observed: Some(observed),
        observed_text: crate::words::value(unit, observed),
        unit,
        interval,
        samples,
        min,
        max,
        limit_text: limit,
        reason: reason.to_owned(),
        line: Some(line),
        measure: Some(measure),
        ..ExpectationResult::new(kind, phase, "completions", title)
    }
}

/// The p95 relative to that of the baseline.
fn to_baseline() -> Measure {
    Measure {
        percentile: "p95".parse().ok(),
        to: Some("baseline".to_owned()),
        condition: " times baseline".to_owned(),
        ..Measure::new("p95")
    }
}

pub(super) fn expectations() -> Vec<ExpectationResult> {
    let p = Verdict::Pass;
    let mut ratio = expectation(
        ("partition", "latency_ratio", to_baseline(), 39),
        Unit::Times,
        p,
        2.14,
        Some([1.98, 2.31]),
        1_100,
        (None, Some(3.0)),
        "p95 rose to 2.14 times the baseline (1.98 to 2.31), expected at most 3",
    );
    for (name, value) in [
        ("partition p95", "301ms (1100 requests)"),
        ("baseline p95", "141ms (600 requests)"),
        ("decided by", "the observed value; the 95% interval is for information"),
    ] {
        ratio.terms.insert(name.to_owned(), value.to_owned());
    }
    vec![
        expectation(
            ("baseline", "success_rate", Measure::new("success rate"), 27),
            Unit::Fraction,
            p,
            1.0,
            Some([0.9936, 1.0]),
            600,
            (Some(0.99), None),
            "100% of 600 requests succeeded (99.36% to 100%), expected at least 99%",
        ),
        expectation(
            ("partition", "success_rate", Measure::new("success rate"), 38),
            Unit::Fraction,
            p,
            0.9724,
            Some([0.961, 0.981]),
            1_100,
            (Some(0.8), None),
            "30 requests failed (20 timeout, 10 http_503): 97.24% of 1100 requests succeeded (96.1% to 98.1%), expected at least 80%",
        ),
        ratio,
        ExpectationResult {
            title: "recovery time at most 15s, holding 5s".to_owned(),
            ..expectation(
                ("recovery", "recovery_time", Measure::new("recovery time"), 44),
                Unit::Seconds,
                p,
                4.0,
                None,
                600,
                (None, Some(15.0)),
                "recovered after 4s ± 1s, expected at most 15s",
            )
        },
        expectation(
            ("recovery", "latency_ratio", to_baseline(), 45),
            Unit::Times,
            p,
            1.03,
            Some([0.98, 1.09]),
            600,
            (None, Some(1.2)),
            "p95 rose to 1.03 times the baseline (0.98 to 1.09), expected at most 1.2",
        ),
    ]
}

pub(super) fn events(start: f64, end: f64) -> Vec<Event> {
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
        event(
            121.3,
            EventKind::ScenarioEnded {
                verdict: Verdict::Pass,
                reason: "5 expectations hold, 1 fault applied and undone".to_owned(),
            },
        ),
    ]
}

/// The resolved part of the scenario that variables change.
pub(super) fn resolved() -> Value {
    json!({
        "version": 1,
        "name": "worker-loses-nats",
        "namespace": "dynamo",
        "phases": [{"name": "partition", "faults": {"nats-cut": {"partition": {
            "pods": {"prefix": "vllm-agg-0-vllmdecodeworker", "count": 1}, "from": [{"service": "nats"}],
        }}}}],
    })
}
