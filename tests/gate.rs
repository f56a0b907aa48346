//! The gate and what tests it: control and overkill runs, unfit baselines, effects, what others saw, comparison and
//! retries. Through the binary, in the sandbox.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;
use shakedown_fakes::{Answer, HttpServer, Request};
use shakedown_schemas::event::FaultState;
use shakedown_schemas::result::{Trial, Verdict};

use crate::support::process::Finished;
use crate::support::scenario;
use crate::support::shakedown::Shakedown;

/// How long any run here may take.
const LIMIT: Duration = Duration::from_secs(180);
const SHORT: [&str; 8] = ["--var", "rate=20/s", "--var", "baseline=8s", "--var", "fault=10s", "--var", "recovery=14s"];

fn run(shakedown: &Shakedown, args: &[&str]) -> Finished {
    shakedown.start(&[&["run", "--sandbox"], args].concat()).finish(LIMIT)
}

/// The head of a scenario with a load on the sandbox's frontend and a baseline of eight seconds.
const HEAD: &str = r#"
version: 1
name: gate
namespace: dynamo
sandbox: {topology: quick}
load:
  chat:
    openai: {service: "vllm-agg-0-frontend:8000", model: Qwen/Qwen3-0.6B, prompt: Say hello., max_tokens: 10, stream: true}
    rate: 20/s
    timeout: 10s
"#;

/// A Prometheus that answers every query with values of which the mean is 4: one for each step that is asked for.
fn prometheus() -> HttpServer {
    HttpServer::start(|request| {
        let asked = String::from_utf8_lossy(&request.body);
        let [start, end, step] = ["start=", "end=", "step="].map(|key| {
            let number = asked.split('&').find_map(|pair| pair.strip_prefix(key)).expect("a range");
            number.parse::<f64>().expect("a number")
        });
        let times = (0..).map(|at| f64::from(at).mul_add(step, start)).take_while(|at| *at <= end);
        let value = |at: f64| if at.rem_euclid(2.0) < 1.0 { "3" } else { "5" };
        let values: Vec<_> = times.map(|at| json!([at, value(at)])).collect();
        let body = json!({"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": values}]}});
        Answer::with_headers(200, &[("content-type", "application/json")], body.to_string())
    })
}

#[test]
fn a_control_run_passes_an_overkill_run_fails_and_both_say_what_they_are() {
    let shakedown = Shakedown::undisturbed();
    let file = scenario("fault-tolerance.yaml");
    let run = |trial: &str| run(&shakedown, &[&[trial, "--out", &trial[2..], &file], &SHORT[..]].concat());
    let (controlled, overkilled) = std::thread::scope(|scope| {
        let control = scope.spawn(|| run("--control"));
        let overkilled = run("--overkill");
        (control.join().expect("a run"), overkilled)
    });
    controlled.expect_code(0);
    let control = shakedown.reports("control");
    assert_eq!((control.result.verdict, control.scenario().trial), (Verdict::Pass, Some(Trial::Control)));
    assert!(control.scenario().faults.is_empty(), "{}", control.found());
    let recovery = control.expectation("recovery", "recovery_time");
    assert_eq!((recovery.verdict, recovery.observed), (Verdict::Pass, Some(0.0)), "nothing was there to recover from");
    assert!(control.text("summary.md").contains("control run") && control.text("report.html").contains("control run"));

    let overkilled = overkilled.expect_code(0);
    let overkill = shakedown.reports("overkill");
    assert_eq!((overkill.result.verdict, overkill.scenario().trial), (Verdict::Pass, Some(Trial::Overkill)));
    assert_eq!(overkill.scenario().verdict, Verdict::Fail);
    assert_eq!(overkill.expectation("partition", "success_rate").verdict, Verdict::Fail, "{}", overkill.found());
    assert_eq!(overkill.fault().targets.len(), 3, "every worker: {:?}", overkill.fault().targets);
    overkill.expect_proven_and_undone();
    let junit = overkill.text("junit.xml");
    assert!(junit.contains(r#"failures="0" errors="0""#), "the exit code is 0: {junit}");
    assert!(
        overkilled.stdout.contains("overkill run: the scenario failed under full cuts, as it must"),
        "{overkilled}"
    );
    let evidence = overkill.fault().evidence.iter().map(|it| it.detail.as_str()).collect::<Vec<_>>().join("; ");
    assert!(!evidence.contains("new peer") && !overkilled.stderr.contains("is a new peer"), "{evidence}");
    assert_eq!(overkill.fault().unproven, Vec::new(), "the witness is no peer");

    // What one of them must do, the other must not.
    let refused = shakedown.run(&["compare", "control", "overkill", "--fail-on-regression"]).expect_code(2);
    refused.expect_stderr(&[
        "is a control run, and run ",
        " is an overkill run\nhelp: give results of runs with the same flags",
    ]);
    shakedown.run(&["compare", "control", "control", "--fail-on-regression"]).expect_code(0);
    // And none of them says how the service does over time.
    let history = shakedown.run(&["compare", "--history", "."]).expect_code(5);
    assert!(history.stderr.contains("no scenario ran more than once there"), "{history}");
}

#[test]
fn a_baseline_that_fails_keeps_the_fault_out_unless_it_is_forced() {
    let shakedown = Shakedown::new();
    let phases = r#"
phases:
  - name: baseline
    duration: 8s
    expect: [latency: {percentile: p50, max: 1ms}]
  - name: cut
    duration: 6s
    faults:
      nats-cut: {partition: {pods: {prefix: vllm-agg-0-vllmdecodeworker, count: 1}, from: [{service: nats}]}}
    expect: [success_rate: {min: 10%}]
"#;
    shakedown.file("sick.yaml", format!("{HEAD}{phases}"));
    let finished = run(&shakedown, &["--out", "refused", "sick.yaml"]).expect_code(4);
    let refused = shakedown.reports("refused");
    let scenario = refused.scenario();
    assert_eq!(scenario.verdict, Verdict::Inconclusive);
    assert!(
        scenario.reason.contains("no fault was injected, because the baseline is not healthy"),
        "{}",
        scenario.reason
    );
    assert_eq!((refused.fault().state, refused.fault().injecting_s), (FaultState::Planned, None), "{finished}");
    assert_eq!(scenario.phases.len(), 1, "the phase with the fault never began");
    assert_eq!(refused.expectation("baseline", "latency").verdict, Verdict::Inconclusive);

    run(&shakedown, &["--inject-anyway", "--out", "forced", "sick.yaml"]).expect_code(1);
    let forced = shakedown.reports("forced");
    forced.expect_proven_and_undone();
    assert_eq!(forced.expectation("baseline", "latency").verdict, Verdict::Fail, "{}", forced.found());
}

#[test]
fn tokens_pods_logs_and_prometheus_are_asked_and_an_effect_that_is_not_there_is_inconclusive() {
    let shakedown = Shakedown::new();
    let prometheus = prometheus();
    let url = prometheus.url();
    let phases = format!(
        r#"
phases:
  - name: baseline
    duration: 8s
    expect:
      - inter_token_latency: {{percentile: p50, max: 5s}}
      - output_tokens_per_second: {{min: 1}}
      - stuck: {{max: 0, times: 2}}
      - pods: {{select: {{prefix: vllm-agg-0-vllmdecodeworker}}, restarts: {{max: 0}}, ready_within: 3s}}
      - logs: {{select: {{prefix: vllm-agg-0-vllmdecodeworker}}, matches: "no program writes this", max: 0}}
      - prometheus: {{url: "{url}", query: "sum(up)", min: 4, max: 4}}
  - name: cut
    duration: 8s
    faults:
      # The workers do not use these addresses: the cut acts, and no request can notice.
      useless: {{partition: {{pods: {{prefix: vllm-agg-0-vllmdecodeworker, count: 1}}, from: [{{cidr: 203.0.113.0/24}}], prove: applied}}}}
    effect: {{success_rate: {{max: 50%}}}}
    expect:
      - throughput_ratio: {{to: baseline, min: 0.1}}
      - prometheus: {{url: "{url}", query: "sum(up)", to: baseline, over: max, max: 1}}
"#
    );
    shakedown.file("asks.yaml", format!("{HEAD}{phases}"));
    run(&shakedown, &["--out", "out", "asks.yaml"]).expect_code(4);
    let reports = shakedown.reports("out");
    let effect = reports.expectation("cut", "effect");
    assert_eq!((effect.verdict, effect.observed.is_some()), (Verdict::Inconclusive, true), "{}", reports.found());
    assert!(reports.scenario().reason.contains("did not have the required effect"), "{}", reports.scenario().reason);
    for (phase, kind) in [
        ("baseline", "inter_token_latency"),
        ("baseline", "output_tokens_per_second"),
        ("baseline", "stuck"),
        ("baseline", "pods"),
        ("baseline", "logs"),
        ("baseline", "prometheus"),
        ("cut", "throughput_ratio"),
        ("cut", "prometheus"),
    ] {
        assert_eq!(reports.expectation(phase, kind).verdict, Verdict::Pass, "{phase} {kind}\n{}", reports.found());
    }
    let tokens = reports.expectation("baseline", "output_tokens_per_second");
    assert!(tokens.observed.is_some_and(|rate| (100.0..=210.0).contains(&rate)), "ten of each answer: {tokens:?}");
    assert_eq!(reports.expectation("baseline", "prometheus").observed, Some(4.0));
    let requests: Vec<String> = prometheus.requests().iter().map(Request::whole).collect();
    assert!(
        requests.iter().all(|it| it.starts_with("POST /api/v1/query_range") && it.contains("sum%28up%29")),
        "{requests:?}"
    );
    let of_a_phase = requests.iter().filter(|it| it.contains("lookback_delta=1")).count();
    assert!(of_a_phase >= 3, "some for each phase that is asked or compared with: {requests:?}");
}

#[test]
fn retries_are_told_and_a_flaky_pass_fails() {
    let shakedown = Shakedown::new();
    // The first run of each pair fails for its first request, every one after it is answered.
    let good_after = Arc::new(AtomicU32::new(60));
    let left = Arc::clone(&good_after);
    let server = HttpServer::start(move |_| {
        let before = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| Some(left.saturating_sub(1)));
        if before.unwrap_or(0) > 0 { 503.into() } else { 200.into() }
    });
    let url = server.url();
    let text = format!(
        "version: 1\nname: flaky\nload: {{main: {{http: {{url: \"{url}\"}}, rate: 40/s}}}}\nphases:\n  - {{name: only, \
         duration: 2s, expect: [success_rate: {{min: 99%, min_samples: 20}}]}}\n"
    );
    shakedown.file("flaky.yaml", text);
    let run = |args: &[&str]| shakedown.start(&[&["run", "flaky.yaml"], args].concat()).finish(LIMIT);
    run(&["--retries", "2", "--out", "out"]).expect_code(1);
    let reports = shakedown.reports("out");
    let scenario = reports.scenario();
    assert_eq!(
        (scenario.verdict, scenario.flaky, scenario.attempts.len()),
        (Verdict::Fail, true, 1),
        "{}",
        reports.found()
    );
    for file in ["summary.md", "report.html", "junit.xml"] {
        assert!(reports.text(file).contains("flaky"), "{file} does not say it");
    }
    good_after.store(60, Ordering::SeqCst);
    run(&["--retries", "2", "--flaky", "pass", "--out", "again"]).expect_code(0);
    assert!(shakedown.reports("again").scenario().flaky);
    good_after.store(60, Ordering::SeqCst);
    run(&["--retry-inconclusive", "2", "--out", "once"]).expect_code(1);
    assert!(shakedown.reports("once").scenario().attempts.is_empty(), "a failure is not inconclusive");
}
