//! The real cluster: the same scenarios against real pods, a real bus and NetworkPolicies that really cut. They are
//! ignored by default. `.ci/run` runs them with `--ignored` where `../shared/cluster/up` exists.

mod today;

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use shakedown_schemas::event::FaultState;
use shakedown_schemas::result::{ReachedBy, Verdict};

use crate::support::deployment::{FRONTEND, Inference, TestCluster, WORKER};
use crate::support::kubectl::name;
use crate::support::process::{Finished, Running};
use crate::support::reports::Reports;
use crate::support::shakedown::Shakedown;
use crate::support::{leftovers, none_of, scenario};

/// How long any run here may take.
const LIMIT: Duration = Duration::from_secs(240);
/// The variables that make a scenario short and its phases still long enough to judge.
const SHORT: [&str; 8] = ["--var", "rate=20/s", "--var", "baseline=8s", "--var", "fault=12s", "--var", "recovery=20s"];

fn start(shakedown: &Shakedown, inference: &Inference, command: &[&str], args: &[&str]) -> Running {
    let namespace = format!("namespace={}", inference.namespace);
    let cluster = ["--kubeconfig", inference.cluster.kubectl.kubeconfig(), "--var", &namespace];
    shakedown.start(&[command, &cluster, args].concat())
}

/// With witnesses: phases of some seconds are too short for a proof by traffic.
fn run(shakedown: &Shakedown, inference: &Inference, args: &[&str]) -> Finished {
    let command = ["run", "--out", "out", "--witness-image", &inference.cluster.program];
    start(shakedown, inference, &command, args).finish(LIMIT)
}

/// Nothing of the run is left, by kubectl's word and by the program's own.
#[track_caller]
fn expect_clean(shakedown: &Shakedown, inference: &Inference, reports: &Reports) {
    let run = &reports.result.run.id;
    none_of(&leftovers::find(&inference.cluster.kubectl, &inference.namespace, run));
    let kubeconfig = inference.cluster.kubectl.kubeconfig();
    shakedown.run(&["cleanup", "--check", "--run", run, "--kubeconfig", kubeconfig]).expect_code(0);
}

/// The pod that a line about a fault's targets names.
fn target(line: &str) -> &str {
    line.rsplit(' ').next().unwrap_or_default()
}

#[test]
#[ignore = "needs a cluster"]
fn quickstart_passes_with_three_workers() {
    let inference = Inference::new(TestCluster::get(), 3);
    let shakedown = Shakedown::undisturbed();
    let finished = run(&shakedown, &inference, &[&scenario("quickstart.yaml")]).expect_code(0);
    let reports = shakedown.reports("out");
    reports.expect_proven_and_undone();
    let rate = reports.expectation("partition", "success_rate");
    assert!(rate.observed.is_some_and(|rate| (0.8..1.0).contains(&rate)), "{}", reports.found());
    let recovery = reports.expectation("recovery", "recovery_time");
    assert!(recovery.observed.is_some() && !recovery.censored, "{}", reports.found());
    assert!(inference.workers().contains(&reports.fault().targets[0].name));
    let cluster = reports.scenario().cluster.as_ref().expect("a cluster");
    assert!(!cluster.sandbox && cluster.version.starts_with('v'), "{cluster:?}");
    assert!(!finished.stdout.contains("rehearsal"), "{finished}");
    expect_clean(&shakedown, &inference, &reports);
    inference.wait_for_workers(3);
}

#[test]
#[ignore = "needs a cluster"]
fn the_same_file_fails_with_a_single_worker_and_says_why() {
    let inference = Inference::new(TestCluster::get(), 1);
    let shakedown = Shakedown::new();
    let finished = run(&shakedown, &inference, &[&scenario("quickstart.yaml")]).expect_code(1);
    let reports = shakedown.reports("out");
    let rate = reports.expectation("partition", "success_rate");
    assert_eq!(rate.verdict, Verdict::Fail, "{}", reports.found());
    assert!(finished.stdout.contains(&rate.reason), "stdout does not say why\n{finished}");
    assert!(reports.junit_failures().iter().any(|name| name.contains("partition")), "{:?}", reports.junit_failures());
    reports.expect_proven_and_undone();
    expect_clean(&shakedown, &inference, &reports);
}

#[test]
#[ignore = "needs a cluster"]
fn patterns_pass_one_after_the_other() {
    pass_one_after_the_other(&["block-nats.yaml", "block-pods.yaml", "block-nats-and-pods.yaml"]);
}

#[test]
#[ignore = "needs a cluster"]
fn strategies_pass_one_after_the_other() {
    pass_one_after_the_other(&["fault-tolerance.yaml", "recovery-speed.yaml"]);
}

/// One deployment serves all of these files: each run has to leave it as it found it.
fn pass_one_after_the_other(files: &[&str]) {
    let inference = Inference::new(TestCluster::get(), 3);
    for file in files {
        inference.wait_for_workers(3);
        let shakedown = Shakedown::new();
        run(&shakedown, &inference, &[&[scenario(file).as_str()], &SHORT[..]].concat()).expect_code(0);
        let reports = shakedown.reports("out");
        reports.expect_proven_and_undone();
        assert!(reports.scenario().recoveries.iter().all(|it| it.onset_s.is_some()), "{file}: no request felt it");
        let recovery = reports.expectation("recovery", "recovery_time");
        assert!(recovery.observed.is_some() && !recovery.censored, "{file}: {}", reports.found());
        expect_clean(&shakedown, &inference, &reports);
    }
}

/// The strategies in the other direction: no replica takes over the load, and none recovers in time.
#[test]
#[ignore = "needs a cluster"]
fn fault_tolerance_and_recovery_speed_fail_where_the_service_has_neither() {
    // It looks for the bus again only when the run is over.
    let inference = Inference::with(TestCluster::get(), 1, json!({"reconnect_after": "60s"}));
    for (file, phase, kind) in
        [("fault-tolerance.yaml", "partition", "success_rate"), ("recovery-speed.yaml", "recovery", "recovery_time")]
    {
        inference.wait_for_workers(1);
        let shakedown = Shakedown::new();
        run(&shakedown, &inference, &[&[scenario(file).as_str()], &SHORT[..]].concat()).expect_code(1);
        let reports = shakedown.reports("out");
        reports.expect_proven_and_undone();
        let failed = reports.expectation(phase, kind);
        assert_eq!(failed.verdict, Verdict::Fail, "{file}: {}", reports.found());
        assert!(kind != "recovery_time" || failed.censored, "{file}: {}", reports.found());
        expect_clean(&shakedown, &inference, &reports);
    }
}

/// This cluster has no Chaos Mesh, so that no link can be made slow. What degrades the service instead: three replicas
/// next to the one that there is, each so much slower, as on a node that throttles. The load and the expectations are the
/// shipped scenario's, word for word.
#[test]
#[ignore = "needs a cluster"]
fn graceful_degradation_passes_or_fails_with_how_slow_the_replicas_are_that_join() {
    let inference = Inference::new(TestCluster::get(), 1);
    let shipped = std::fs::read_to_string(scenario("graceful-degradation.yaml")).expect("a scenario");
    let (before, rest) = shipped.split_once("    faults:\n").expect("faults");
    let (_, expectations) = rest.split_once("    expect:\n").expect("expectations");
    for (first_token, verdict) in [("80ms", Verdict::Pass), ("600ms", Verdict::Fail)] {
        inference.wait_for_workers(1);
        let mut object = inference.worker_object("slow", 3, json!({"time_to_first_token": first_token}));
        object["metadata"] = json!({});
        let active = json!([{"field": "status.readyReplicas", "equals": 3}]);
        // What it takes requests away from: the one worker that there is.
        let pods = json!({"prefix": "{{ worker }}"});
        let fault = json!({"slow": {"manifest": {"object": object, "active_when": active, "pods": pods}}});
        let shakedown = Shakedown::new();
        shakedown
            .file("degraded.yaml", format!("{before}    faults: {fault}\n    settle: 2s\n    expect:\n{expectations}"));
        let finished = run(&shakedown, &inference, &[&["degraded.yaml"], &SHORT[..]].concat());
        let reports = shakedown.reports("out");
        assert_eq!(reports.result.verdict, verdict, "{}\n{finished}", reports.found());
        reports.expect_proven_and_undone();
        let ratio = reports.expectation("degradation", "latency_ratio");
        assert_eq!(ratio.verdict, verdict, "{}", reports.found());
        assert_eq!(reports.expectation("degradation", "success_rate").verdict, Verdict::Pass, "{}", reports.found());
        expect_clean(&shakedown, &inference, &reports);
    }
}

#[test]
#[ignore = "needs a cluster"]
fn only_the_chosen_pod_is_cut_and_an_interrupt_takes_it_all_back() {
    let inference = Inference::new(TestCluster::get(), 3);
    let shakedown = Shakedown::new();
    let pods = inference.items(&["pods"]);
    let uids: Vec<_> = pods.iter().map(|pod| pod["metadata"]["uid"].clone()).collect();
    let quickstart = scenario("quickstart.yaml");
    let run = ["run", "--out", "out"];
    // Long enough to look around in.
    let running = {
        let text =
            std::fs::read_to_string(&quickstart).expect("the quickstart").replace("duration: 16s", "duration: 120s");
        start(&shakedown, &inference, &run, &[&shakedown.file("long.yaml", text)])
    };
    let chosen = target(&running.stderr_line("fault nats-cut: targets", LIMIT)).to_owned();
    let (nats, frontend) = (inference.address("nats"), inference.address(FRONTEND));
    assert!(inference.connects(&chosen, &nats, 4222), "the chosen worker reaches the bus before the fault");
    running.stderr_line("fault nats-cut: proven", LIMIT);

    let workers = inference.workers();
    assert_eq!(workers.len(), 3, "{workers:?}");
    let pod_address = pods.iter().find(|pod| name(pod) == "nats-0").expect("the bus")["status"]["podIP"].clone();
    for worker in &workers {
        let cut = *worker == chosen;
        assert_eq!(inference.connects(worker, &nats, 4222), !cut, "{worker} to the bus's service (cut: {chosen})");
        let address = pod_address.as_str().expect("an address");
        assert_eq!(inference.connects(worker, address, 4222), !cut, "{worker} to the bus's pod (cut: {chosen})");
        assert!(inference.connects(worker, &frontend, 8000), "{worker} to the frontend (cut: {chosen})");
    }

    // Everything of ours carries both labels, and the cluster would remove it by itself.
    let policies = inference.items(&["networkpolicies"]);
    let jobs = inference.items(&["jobs"]);
    assert_eq!((policies.len(), jobs.len()), (1, 1), "{policies:?} {jobs:?}");
    assert_eq!(policies[0]["metadata"]["ownerReferences"][0]["uid"], jobs[0]["metadata"]["uid"]);
    let id = policies[0]["metadata"]["labels"][leftovers::RUN].as_str().unwrap_or_default().to_owned();
    for object in policies.iter().chain(&jobs) {
        let labels = &object["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/managed-by"], "shakedown", "{object}");
        assert_eq!(labels[leftovers::RUN], id.as_str(), "{object}");
    }
    let marked: Vec<_> =
        inference.items(&["pods"]).into_iter().filter(|pod| leftovers::marks(pod).next().is_some()).collect();
    assert_eq!(marked.iter().map(name).collect::<Vec<_>>(), [&chosen], "only the chosen pod is marked");

    running.signal(Signal::INT);
    let finished = running.finish(Duration::from_secs(60)).expect_code(130);
    let reports = shakedown.reports("out");
    assert_eq!(reports.result.run.id, id);
    assert_eq!(reports.fault().state, FaultState::Undone, "{finished}");
    assert_eq!(reports.result.verdict, Verdict::Error);
    expect_clean(&shakedown, &inference, &reports);
    assert!(inference.connects(&chosen, &nats, 4222), "the chosen worker reaches the bus again");
    inference.wait_for_workers(3);
    let after: Vec<_> = inference.items(&["pods"]).iter().map(|pod| pod["metadata"]["uid"].clone()).collect();
    assert_eq!(after, uids, "the pods are the same as before");
}

#[test]
#[ignore = "needs a cluster"]
fn a_plan_names_the_pods_and_changes_nothing() {
    let inference = Inference::new(TestCluster::get(), 2);
    let shakedown = Shakedown::new();
    let state = || -> Vec<String> {
        let kinds = "pods,services,deployments,replicasets,statefulsets,networkpolicies,jobs";
        let mut objects = inference.items(&[kinds]);
        objects.extend(
            inference.cluster.kubectl.items(&["namespaces"]).into_iter().filter(|it| name(it) == inference.namespace),
        );
        objects
            .iter()
            .map(|it| format!("{} {} {}", it["kind"], it["metadata"]["uid"], it["metadata"]["labels"]))
            .collect()
    };
    let before = state();
    let recovery = scenario("recovery-speed.yaml");
    let plan = start(&shakedown, &inference, &["plan"], &[&recovery]).finish(LIMIT).expect_code(0);
    for pod in inference.items(&["pods", "-l", &format!("app={WORKER}")]) {
        let uid = pod["metadata"]["uid"].as_str().expect("a UID");
        assert!(plan.stdout.contains(name(&pod)) && plan.stdout.contains(uid), "the plan lacks a pod\n{plan}");
    }
    let plan = plan.expect_stdout(&["NetworkPolicy", "Job", "warm-up", "partition", "recovery"]);
    assert_eq!(state(), before, "{plan}");

    // A selector that matches nothing is an error before any load is sent.
    for command in [&["plan"][..], &["run", "--out", "out"]] {
        let finished = start(&shakedown, &inference, command, &[&recovery, "--var", "worker=nobody"]).finish(LIMIT);
        finished.expect_code(3).expect_stderr(&["nobody", "help:"]);
    }
    assert!(shakedown.reports("out").scenario().phases.is_empty(), "load was sent");
    assert_eq!(state(), before);
}

#[test]
#[ignore = "needs a cluster"]
fn a_target_that_goes_before_the_injection_is_said_and_nothing_is_left() {
    let inference = Inference::new(TestCluster::get(), 2);
    let shakedown = Shakedown::new();
    let running = start(&shakedown, &inference, &["run", "--out", "out"], &[&scenario("quickstart.yaml")]);
    let chosen = target(&running.stderr_line("fault nats-cut: targets", LIMIT)).to_owned();
    running.stderr_line("phase baseline", LIMIT);
    inference.kubectl(&["delete", "pod", &chosen, "--wait=true"]);
    let finished = running.finish(LIMIT).expect_code(3).expect_stderr(&[&chosen, "help:"]);
    let reports = shakedown.reports("out");
    assert_eq!(reports.result.verdict, Verdict::Error, "{finished}");
    assert_eq!(reports.fault().injection, Verdict::Error, "{finished}");
    assert!(!reports.junit_failures().is_empty());
    expect_clean(&shakedown, &inference, &reports);
}

#[test]
#[ignore = "needs a cluster"]
fn the_service_is_reached_directly_or_by_a_port_forward_that_reconnects() {
    let inference = Inference::new(TestCluster::get(), 2);
    let shakedown = Shakedown::new();
    let text = format!(
        "version: 1
name: reach
vars: {{namespace: none}}
namespace: '{{{{ namespace }}}}'
load:
  health:
    http: {{service: '{FRONTEND}:8000', path: /health, reach: REACH}}
    rate: 20/s
    timeout: 5s
phases:
  - name: only
    duration: 10s
    expect:
      - success_rate: {{min: 50%}}
"
    );
    shakedown.file("direct.yaml", text.replace("REACH", "direct"));
    shakedown.file("forward.yaml", text.replace("REACH", "port-forward"));
    run(&shakedown, &inference, &["direct.yaml"]).expect_code(0);
    let direct = shakedown.reports("out");
    assert_eq!(direct.scenario().loads[0].reach, ReachedBy::Direct);
    assert_eq!(direct.expectation("only", "success_rate").observed, Some(1.0), "{}", direct.found());

    // The pod behind the forward is replaced while requests go through it; the next one takes over.
    let running = start(&shakedown, &inference, &["run", "--out", "forward"], &["forward.yaml"]);
    running.stderr_line("phase only", LIMIT);
    inference.kubectl(&["delete", "pod", "-l", &format!("app={FRONTEND}"), "--wait=false"]);
    let finished = running.finish(LIMIT).expect_code(0);
    let reports = shakedown.reports("forward");
    let load = &reports.scenario().loads[0];
    assert_eq!(load.reach, ReachedBy::PortForward, "{finished}");
    assert!(load.reconnects > 0, "it did not notice that its pod went away\n{finished}");
    assert!(reports.text("report.html").contains("port-forward"), "the page says how the service was reached");
    let warnings = reports.scenario().warnings.join("\n");
    assert!(warnings.contains("adds its own latency"), "{warnings}");
    expect_clean(&shakedown, &inference, &reports);
}
