//! Synthetic results for tests: the four verdicts, a long run, and one with hostile text everywhere. Computed only from
//! arithmetic, so that they are identical on every machine.

mod parts;

use serde_json::{Value, json};
use shakedown_schemas::event::{Event, EventKind, FaultState};
use shakedown_schemas::result::{
    Cause, ClusterInfo, Leftover, LoadInfo, NotRun, RESULT_VERSION, Recovery, RunInfo, RunResult, ScenarioResult,
    Verdict,
};

pub use self::parts::{SOURCE, phase_load, series};
use self::parts::{at, events, expectations, fault, phase};

/// A text that contains everything that has ever broken a report.
pub const HOSTILE: &str =
    "</script><img src=x onerror=alert(1)>]]>\u{1b}[31m\u{0}|`$(id)`\"'&amp;\u{202e}txt.exe\u{fffe}\r\n::error::x%0A";

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
        reason: "5 expectations hold, 1 fault applied and undone".to_owned(),
        cause: None,
        trial: None,
        shard_run: None,
        flaky: false,
        attempts: vec![],
        started_at: at(0.0),
        duration_s: 121.3,
        cluster: Some(ClusterInfo {
            server: "127.0.0.1:40211".to_owned(),
            version: "v1.33.0".to_owned(),
            context: None,
            sandbox: true,
            topology: Some("quick".to_owned()),
        }),
        namespace: "dynamo".to_owned(),
        vars: vars.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        matrix: Default::default(),
        source: SOURCE.to_owned(),
        resolved: parts::resolved(),
        loads: vec![LoadInfo {
            name: "completions".to_owned(),
            kind: "openai".to_owned(),
            target: "service vllm-agg-0-frontend:8000".to_owned(),
            service: "vllm-agg-0-frontend:8000".to_owned(),
            open_loop: true,
            schedule: "20/s".to_owned(),
            reach: "direct".to_owned(),
            address: "10.43.7.3:8000".to_owned(),
            reconnects: 0,
            issued: None,
            resent: 0,
            endpoint: String::new(),
            peculiarities: Vec::new(),
            addresses: Vec::new(),
            requests: Vec::new(),
            group_by: String::new(),
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
            struck_s: None,
            removed_s: Some(91.3),
            first_success_s: Some(91.35),
            recovered_s: Some(95.3),
            relapses_s: Vec::new(),
            out_of_tolerance_s: 12.0,
            failed_requests: 57,
            resolution_s: 1.0,
            seen_until_s: Some(121.0),
            next_faults: None,
        }],
        errors: vec![],
        warnings: vec![],
        leftovers: vec![],
        pod_events: parts::pod_events(start),
        logs: parts::logs(start),
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
            shard: None,
        },
        verdict: Verdict::Pass,
        exit_code: 0,
        scenarios: vec![scenario],
        not_run: vec![],
        events: vec![],
    }
}

/// The same on a real cluster through a port-forward, with two failed expectations, one of them censored.
pub fn failing() -> RunResult {
    let mut result = passing();
    result.verdict = Verdict::Fail;
    result.exit_code = 1;
    result.run.command = ["shakedown", "run", "scenarios/quickstart.yaml"].map(str::to_owned).to_vec();
    let scenario = &mut result.scenarios[0];
    scenario.verdict = Verdict::Fail;
    scenario.reason = "`partition`: p95 rose to 3.8 times the baseline (3.4 to 4.3), allowed 3; and 1 more".to_owned();
    scenario.cause = Some(Cause::Expectation(2));
    scenario.cluster = Some(ClusterInfo {
        server: "10.0.0.1:6443".to_owned(),
        version: "v1.31.4+k3s1".to_owned(),
        context: Some("staging".to_owned()),
        sandbox: false,
        topology: None,
    });
    scenario.loads[0].reach = "port-forward".to_owned();
    scenario.loads[0].address = "127.0.0.1:43121".to_owned();
    scenario.loads[0].reconnects = 1;
    scenario.warnings.push(
        "the port-forward to vllm-agg-0-frontend-5d8 was reconnected once; 2 requests failed because of it".to_owned(),
    );
    let ratio = &mut scenario.expectations[2];
    ratio.verdict = Verdict::Fail;
    ratio.observed = Some(3.8);
    ratio.observed_text = "3.8x".to_owned();
    ratio.interval = Some([3.4, 4.3]);
    ratio.reason = "p95 rose to 3.8 times the baseline (3.4 to 4.3), allowed 3".to_owned();
    let recovery = &mut scenario.expectations[3];
    recovery.verdict = Verdict::Fail;
    recovery.observed = Some(29.7);
    recovery.observed_text = "> 29.7s".to_owned();
    recovery.censored = true;
    recovery.reason = "not recovered within the 29.7s that were watched, allowed 15s".to_owned();
    scenario.recoveries[0].recovered_s = None;
    end(scenario);
    result
}

/// Sets the scenario's verdict in the last event.
fn end(scenario: &mut ScenarioResult) {
    let (word, said) = (scenario.verdict, scenario.reason.clone());
    for event in &mut scenario.events {
        if let EventKind::ScenarioEnded { verdict, reason } = &mut event.kind {
            (*verdict, *reason) = (word, said.clone());
        }
    }
}

/// An inconclusive scenario: the fault is not proven, and a phase had too few requests.
pub fn inconclusive() -> RunResult {
    let mut result = passing();
    result.verdict = Verdict::Inconclusive;
    result.exit_code = 4;
    let scenario = &mut result.scenarios[0];
    scenario.verdict = Verdict::Inconclusive;
    scenario.reason = "the fault `nats-cut` could not be proven: the network plugin does not seem to enforce \
     NetworkPolicies; and 1 more"
        .to_owned();
    scenario.cause = Some(Cause::Fault(0));
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
    ratio.terms.clear();
    end(scenario);
    result
}

/// An error of the run: an undo failed, and no expectation was evaluated.
pub fn errored() -> RunResult {
    let mut result = passing();
    result.verdict = Verdict::Error;
    result.exit_code = 6;
    result.run.interrupted = Some("SIGINT".to_owned());
    let scenario = &mut result.scenarios[0];
    scenario.verdict = Verdict::Error;
    scenario.reason = "networkpolicy/shakedown-nats-cut-k3x9 could not be removed".to_owned();
    scenario.cause = Some(Cause::Leftover(0));
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
    end(scenario);
    result
}

/// A scenario that never started: only an error.
pub fn stillborn() -> RunResult {
    let mut result = errored();
    result.exit_code = 3;
    let scenario = &mut result.scenarios[0];
    scenario.reason = "the cluster cannot be reached".to_owned();
    scenario.cause = Some(Cause::Error(0));
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

/// One file with a matrix of two axes: the more packets are lost, the fewer requests succeed. `prefill` suffers more.
pub fn matrix() -> RunResult {
    let mut result = passing();
    let one = result.scenarios.remove(0);
    for loss in [10, 30, 50] {
        for (worker, factor) in [("decode", 1.0), ("prefill", 1.5)] {
            let mut it = one.clone();
            it.name = format!("degrade-{loss}-{worker}");
            it.file = "scenarios/degrade.yaml".to_owned();
            it.matrix = [("loss", json!(format!("{loss}%"))), ("worker", json!(worker))]
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
            let stats = &mut it.phases[1].loads[0].stats;
            let failed = (stats.requests as f64 * f64::from(loss) / 100.0 * factor / 2.0).round() as u64;
            stats.succeeded = stats.requests - failed.min(stats.requests);
            if let Some(latency) = &mut stats.latency {
                latency.p95_ms *= 1.0 + f64::from(loss) / 10.0 * factor;
            }
            if loss == 50 {
                it.verdict = Verdict::Fail;
                it.reason = "too few requests succeeded".to_owned();
            }
            result.scenarios.push(it);
        }
    }
    result.verdict = Verdict::Fail;
    result.exit_code = 1;
    result
}

/// The same suite, cut short after its first failure.
pub fn cut_short() -> RunResult {
    let mut result = suite();
    result.scenarios.pop();
    result.not_run = ["unenforced-policy", "worker-killed"].map(not_run).to_vec();
    result
}

fn not_run(name: &str) -> NotRun {
    NotRun {
        name: name.to_owned(),
        file: format!("scenarios/{name}.yaml"),
        reason: "--fail-fast: single-worker did not pass".to_owned(),
    }
}

/// Eight short phases with faults in half of them, names that are longer than their bands, a period without requests,
/// latencies over three decades and seven kinds of errors.
pub fn busy() -> RunResult {
    let mut result = failing();
    let scenario = &mut result.scenarios[0];
    let mut load = series("completions", 160, 20, (40.0, 60.0));
    for point in &mut load.points {
        let second = point.t_s as u64;
        let factor = if (100..110).contains(&second) { 180.0 } else { 1.0 };
        for value in [&mut point.p50_ms, &mut point.p95_ms, &mut point.p99_ms, &mut point.max_ms] {
            *value = value.map(|ms| ms * factor);
        }
        if second.is_multiple_of(20) {
            point.succeeded -= 7;
            for kind in ["timeout", "http_500", "http_503", "connection_reset", "dns", "tls", "check"] {
                *point.errors.entry(kind.to_owned()).or_default() += 1;
            }
        }
    }
    load.points.retain(|point| !(70.0..78.0).contains(&point.t_s));
    let all = vec![load];
    scenario.phases.clear();
    scenario.faults.clear();
    for k in 0..8_u8 {
        let start = f64::from(k) * 20.0;
        let name = format!("phase-{k}-with-a-name-that-is-long");
        scenario.phases.push(phase(&name, [start, start, start + 2.0, start + 19.0, start + 20.0], 20.0, &all));
        if k % 2 == 1 {
            let mut it = fault(start + 1.0, start + 18.0);
            it.name = format!("cut-{k}");
            it.phase = name;
            scenario.faults.push(it);
        }
    }
    let one = scenario.recoveries[0].clone();
    scenario.recoveries = scenario
        .faults
        .iter()
        .map(|it| Recovery {
            phase: it.phase.clone(),
            onset_s: it.injected_s.map(|t| t + 1.0),
            failover_s: it.injected_s.map(|t| t + 4.0),
            removed_s: it.undone_s,
            recovered_s: it.undone_s.map(|t| t + 2.0),
            ..one.clone()
        })
        .collect();
    scenario.series = all;
    scenario.duration_s = 160.0;
    result
}

/// An hour of 1 s windows with two loads, as in a soak test.
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

/// A day at 1,000 requests per second, with every 1 s window, which is far more than the judge keeps: its heat map, the
/// histograms of three phases, and 3,000 events.
pub fn day() -> RunResult {
    let mut result = hour();
    let scenario = &mut result.scenarios[0];
    let (start, end) = (30_000.0, 60_000.0);
    let all = vec![series("completions", 86_400, 1_000, (start, end))];
    scenario.phases = vec![
        phase("baseline", [0.0, 0.0, 0.0, start, start], start, &all),
        phase("partition", [start, start + 0.8, start + 30.8, end, end + 0.4], 30_000.0, &all),
        phase("recovery", [end + 0.4, end + 0.4, end + 0.4, 86_400.0, 86_400.0], 26_400.0, &all),
    ];
    scenario.faults = vec![fault(start, end)];
    scenario.loads.truncate(1);
    scenario.loads[0].schedule = "1,000/s".to_owned();
    scenario.series = all;
    scenario.duration_s = 86_400.0;
    result
}

/// A result in which every free text is [`HOSTILE`] and names have a length of 1 MB.
pub fn hostile() -> RunResult {
    let mut value = serde_json::to_value(errored()).expect("a sample is JSON");
    let failing = serde_json::to_value(failing()).expect("a sample is JSON");
    for list in ["expectations", "recoveries", "warnings", "phases"] {
        value["scenarios"][0][list] = failing["scenarios"][0][list].clone();
    }
    value["events"] = value["scenarios"][0]["events"].clone();
    value["not_run"] = serde_json::json!([not_run("worker-killed")]);
    poison(&mut value, "");
    value["scenarios"][0]["name"] = Value::String(format!("{HOSTILE}{}", "x".repeat(1_000_000)));
    serde_json::from_value(value).expect("texts only")
}

/// Replaces every free text with a hostile one. Enumerations, times and the discriminants of events stay.
fn poison(value: &mut Value, key: &str) {
    const FIXED: [&str; 13] = [
        "verdict",
        "started_at",
        "at",
        "unit",
        "state",
        "shows",
        "injection",
        "undo",
        "event",
        "exit_code",
        "role",
        "change",
        "percentile",
    ];
    const OPEN_MAPS: [&str; 5] = ["vars", "errors", "terms", "manifest", "headers"];
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
