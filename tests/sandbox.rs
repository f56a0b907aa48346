//! Whole runs against the embedded sandbox: every stage of the pipeline, through the binary, with no cluster.

use std::time::Duration;

use rustix::process::Signal;
use shakedown_schemas::EventKind;
use shakedown_schemas::event::FaultState;
use shakedown_schemas::result::Verdict;

use crate::support::kubectl::{Kubectl, name};
use crate::support::process::{Finished, Running};
use crate::support::reports::{FILES, Reports};
use crate::support::shakedown::Shakedown;
use crate::support::{self, leftovers, none_of_all, root, scenario};

/// How long any run here may take.
const LIMIT: Duration = Duration::from_secs(180);
/// The variables that make a scenario short and its phases still long enough to judge: what a cut worker gets until it is
/// dropped is well below 5 % of the phase, so that the 95th percentile is one of the answers of the others.
const SHORT: [&str; 8] = ["--var", "rate=12/s", "--var", "baseline=12s", "--var", "fault=25s", "--var", "recovery=14s"];
/// A run of scenarios in the sandbox, into the folder `out`.
pub fn run(shakedown: &Shakedown, args: &[&str]) -> Finished {
    shakedown.start(&[&["run", "--sandbox", "--out", "out"], args].concat()).finish(LIMIT)
}

/// A sandbox in a process of its own, which still exists after a run against it.
struct Standing {
    process: Running,
    kubeconfig: String,
}

impl Standing {
    fn start(shakedown: &Shakedown) -> Self {
        let kubeconfig = shakedown.path("kubeconfig").display().to_string();
        let process = shakedown.start(&["sandbox", "--topology", "quick", "--write-kubeconfig", &kubeconfig]);
        process.stderr_line("the sandbox listens on", Duration::from_secs(30));
        Self { process, kubeconfig }
    }

    fn end(self) {
        self.process.signal(Signal::INT);
        self.process.finish(Duration::from_secs(20)).expect_code(0);
    }
}

#[test]
fn quickstart_passes_within_a_minute_and_leaves_every_report() {
    let shakedown = Shakedown::undisturbed();
    let finished = run(&shakedown, &[&scenario("quickstart.yaml")]).expect_code(0);
    assert!(finished.took < Duration::from_secs(60), "{finished}");
    let reports = shakedown.reports("out");
    for it in &reports.scenario().expectations {
        assert!(finished.stdout.contains(&it.observed_text), "stdout lacks {}\n{finished}", it.observed_text);
    }
    assert!(finished.stdout.contains("report.html") && finished.stdout.contains("rehearsal"), "{finished}");
    assert!(finished.stderr.contains("phase partition"), "progress is shown\n{finished}");

    assert_eq!(reports.result.verdict, Verdict::Pass, "{}", reports.found());
    reports.expect_proven_and_undone();
    the_partition_was_felt(&reports);
    let recovery = reports.expectation("recovery", "recovery_time");
    assert!(!recovery.censored && recovery.observed.is_some_and(|seconds| (0.0..=10.0).contains(&seconds)));
    assert!(reports.expectation("partition", "success_rate").observed.is_some_and(|rate| (0.8..1.0).contains(&rate)));
    assert!(reports.scenario().cluster.as_ref().is_some_and(|cluster| cluster.sandbox));
    the_events_tell_the_story(&reports);
    the_log_tells_it_too(&reports);
    the_reports_agree(&reports);

    // There is no cluster to clean up, and none is asked for.
    for args in [&["cleanup", "out"][..], &["cleanup", "out", "--check"]] {
        shakedown.run(args).expect_code(0).expect_stdout(&["a run in the sandbox", "nothing is left in a cluster"]);
    }

    let again = shakedown.path("again").display().to_string();
    shakedown.run(&["report", "out/result.json", "--out", &again]).expect_code(0);
    for file in FILES {
        assert!(
            reports.bytes(file) == std::fs::read(shakedown.path("again").join(file)).expect("a report"),
            "{file} differs"
        );
    }
}

/// What the target wrote around the fault's marks is in the report: it lost the bus, and it came back.
#[track_caller]
fn the_log_tells_it_too(reports: &Reports) {
    let logs = &reports.scenario().logs;
    let around = |mark: &str| logs.iter().find(|it| it.around.ends_with(mark)).unwrap_or_else(|| panic!("{logs:?}"));
    for (mark, part) in [("injected", "WARN lost the bus"), ("undone", "INFO reconnected to the bus")] {
        let excerpt = around(mark);
        assert!(excerpt.lines.iter().any(|line| line.text.contains(part)), "{part} is not in {excerpt:?}");
        assert!(excerpt.lines.iter().all(|line| (line.at_s - excerpt.at_s).abs() <= 5.0), "{excerpt:?}");
        assert!(reports.text("report.html").contains(part), "{part} is not on the page");
    }
}

/// A cut that no request notices is no test: some requests to the worker that is cut off must have failed.
#[track_caller]
fn the_partition_was_felt(reports: &Reports) {
    let baseline = &reports.phase("baseline").loads[0].stats;
    let partition = &reports.phase("partition").loads[0].stats;
    let rates = (baseline.success_rate().expect("requests"), partition.success_rate().expect("requests"));
    assert!(rates.1 < rates.0, "{baseline:?}, {partition:?}");
    let recovery = reports.scenario().recoveries.first().expect("the course of the fault");
    let Some(onset) = recovery.onset_s else {
        // Users wait for their answers: what fails of theirs may be few requests, most of them in flight at the strike.
        let around: u64 = reports.phase("partition").loads[0]
            .around
            .iter()
            .map(|group| group.stats.requests - group.stats.succeeded)
            .sum();
        assert!(recovery.failed_requests + around > 0, "no request failed: {recovery:?}");
        return;
    };
    // The window in which it began holds the injection or comes after it.
    let injecting = reports.fault().injecting_s.expect("the injection");
    assert!(onset + recovery.resolution_s >= injecting, "{recovery:?}, injected at {injecting}");
}

#[track_caller]
fn the_events_tell_the_story(reports: &Reports) {
    let mut states = Vec::new();
    for event in &reports.events {
        if let EventKind::Fault { state, .. } = &event.kind {
            states.push(*state);
        }
    }
    let story =
        [FaultState::Injecting, FaultState::Injected, FaultState::Proven, FaultState::Undoing, FaultState::Undone];
    assert_eq!(states, story);
    assert!(matches!(reports.events.first().map(|event| &event.kind), Some(EventKind::RunStarted { .. })));
    let ended = reports.events.last().map(|event| &event.kind);
    assert!(matches!(ended, Some(EventKind::RunEnded { exit_code: 0, .. })), "{ended:?}");
}

#[track_caller]
fn the_reports_agree(reports: &Reports) {
    let scenario = reports.scenario();
    let suite = &reports.junit.test_suites[0];
    assert_eq!(suite.name.as_str(), scenario.name);
    assert_eq!(suite.test_cases.len(), scenario.expectations.len() + 2 * scenario.faults.len());
    assert_eq!(reports.junit_failures(), Vec::<String>::new());
    let (html, markdown) = (reports.text("report.html"), reports.text("summary.md"));
    for text in [&html, &markdown] {
        assert!(text.contains(&scenario.name) && text.to_lowercase().contains("pass"));
    }
    // Whatever a page can load, it loads by one of these; the URLs in its text are no loads.
    for load in ["src=\"http", "href=\"http", "url(http", "@import", "<link", "<iframe", "fetch(", "XMLHttpRequest"] {
        assert!(!html.contains(load), "the page loads something: {load}");
    }
}

/// One for each way in which faults act in the sandbox: by the network, on packets, on pods, and by others. On requests they do
/// in `rehearsal`.
const AMONG_THEM: [&str; 6] = [
    "block-nats.yaml",
    "degrade-combined.yaml",
    "graceful-degradation.yaml",
    "kill-worker.yaml",
    "io-errors.yaml",
    "manifest.yaml",
];

/// The shipped scenarios whose name is as `wanted` says.
fn shipped(wanted: impl Fn(&str) -> bool) -> Vec<String> {
    // The quickstart and the shop have tests of their own, and load alone needs no sandbox.
    let shipped: Vec<String> = std::fs::read_dir(root().join("scenarios"))
        .expect("the scenarios")
        .map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned())
        .filter(|name| {
            name.ends_with(".yaml")
                && !["quickstart.yaml", "shop-database.yaml", "load-only.yaml"].contains(&name.as_str())
        })
        .collect();
    assert!(shipped.len() >= 19, "{shipped:?}");
    shipped.into_iter().filter(|name| wanted(name)).collect()
}

#[test]
fn shipped_scenarios_of_every_kind_pass() {
    let shipped = shipped(|name| AMONG_THEM.contains(&name));
    assert_eq!(shipped.len(), AMONG_THEM.len());
    none_of_all(&shipped, |file| does_not_pass(file));
}

#[test]
#[ignore = "takes minutes"]
fn every_other_shipped_scenario_passes() {
    none_of_all(&shipped(|name| !AMONG_THEM.contains(&name)), |file| does_not_pass(file));
}

/// An ordinary deployment: HTTP services, a cache and a database.
#[test]
fn a_shop_whose_payments_lose_their_database_passes_and_fails_if_all_of_them_lose_everything() {
    let shakedown = Shakedown::undisturbed();
    let file = scenario("shop-database.yaml");
    let with = |out: &str, trial: &[&str]| {
        let args = [&["run", "--sandbox", "--out", out, &file][..], &SHORT[..], trial].concat();
        shakedown.start(&args).finish(LIMIT)
    };
    std::thread::scope(|scope| {
        let overkill = scope.spawn(|| with("overkill", &["--overkill"]));
        let finished = with("out", &[]);
        let reports = shakedown.reports("out");
        assert_eq!(finished.code(), 0, "{finished}\n{}", reports.found());
        reports.expect_proven_and_undone();
        the_partition_was_felt(&reports);
        overkill.join().expect("a run").expect_code(0);
        let overkill = shakedown.reports("overkill");
        assert_eq!(overkill.expectation("partition", "success_rate").verdict, Verdict::Fail, "{}", overkill.found());
    });
}

#[test]
fn a_topology_that_cannot_be_read_is_exit_code_2_with_line_column_and_the_key_that_was_meant() {
    let shakedown = Shakedown::new();
    let text = "namespace: shop\nworkloads:\n  - name: checkout\n    program:\n      service: {prot: 80}\n";
    shakedown.file("topology.yaml", text);
    for args in [
        &["sandbox", "--topology", "topology.yaml"][..],
        &["plan", "--sandbox", "--sandbox-topology", "topology.yaml", &scenario("quickstart.yaml")],
    ] {
        let parts = ["topology.yaml:5:17", "no key `prot`", "did you mean `port`?", "1 error in the topology"];
        shakedown.run(args).expect_code(2).expect_stderr(&parts);
    }
    shakedown
        .run(&["sandbox", "--topology", "qick"])
        .expect_code(2)
        .expect_stderr(&["`qick`", "`dynamo`, `quick`, `shop`"]);
}

/// They have the same namespace, so that in one cluster they would run one after the other.
#[test]
fn scenarios_of_several_topologies_run_side_by_side_each_in_its_own_sandbox() {
    let shakedown = Shakedown::new();
    let topology = |pod: &str| {
        format!(
            "namespace: shop\nworkloads:\n  - {{name: web, replicas: 1, labels: {{is: {pod}}}, program: {{service: {{}}}}}}\n"
        )
    };
    let file = |name: &str| {
        format!(
            "version: 1\nname: {name}\nnamespace: shop\nsandbox: {{topology: {name}-topology.yaml}}\nload:\n  \
             main: {{http: {{service: \"web:8080\"}}, rate: 30/s}}\nphases:\n  - name: steady\n    duration: 5s\n    \
             expect: [{{requests: {{min: 100}}}}, {{pods: {{select: {{labels: {{is: {name}}}}}, restarts: {{max: 0}}}}}}]\n"
        )
    };
    for name in ["one", "two"] {
        shakedown.file(&format!("{name}-topology.yaml"), topology(name));
        shakedown.file(&format!("{name}.yaml"), file(name));
    }
    let args = ["--parallel", "2", "one.yaml", "two.yaml"];
    let named = |name: &str| format!("sandbox with topology {name}-topology.yaml");
    run(&shakedown, &args)
        .expect_code(0)
        .expect_stderr(&[&format!("[one] {}", named("one")), &format!("[two] {}", named("two"))])
        .expect_stdout(&[&format!("the {} models", named("one")), &format!("the {} models", named("two"))]);
    let result = shakedown.reports("out").result;
    let infos: Vec<_> = result.scenarios.iter().filter_map(|it| it.cluster.clone()).collect();
    assert_eq!(
        infos.iter().map(|it| it.topology.as_deref().unwrap_or_default()).collect::<Vec<_>>(),
        ["one-topology.yaml", "two-topology.yaml"]
    );
    assert_ne!(infos[0].server, infos[1].server);
    let [first, second] = [0, 1].map(|index| &result.scenarios[index]);
    let ends =
        |it: &shakedown_schemas::result::ScenarioResult| it.started_at.as_millisecond() as f64 / 1e3 + it.duration_s;
    assert!(second.started_at.as_millisecond() as f64 / 1e3 < ends(first), "they ran at the same time");
    // Scenarios of one topology share its sandbox.
    shakedown.file("again.yaml", file("one").replace("name: one", "name: again"));
    let plan = shakedown.run(&["plan", "--sandbox", "one.yaml", "again.yaml"]).expect_code(0).stdout;
    let clusters: Vec<&str> = plan.lines().filter(|line| line.contains("sandbox with topology")).collect();
    assert!(clusters.len() == 2 && clusters[0] == clusters[1], "{plan}");
    let plan = shakedown.run(&["plan", "--sandbox", "one.yaml", &scenario("shop-database.yaml")]).expect_code(0).stdout;
    for part in ["sandbox with topology one-topology.yaml", "sandbox with topology shop,"] {
        assert!(plan.contains(part), "{part}: {plan}");
    }
}

#[test]
fn a_name_that_the_sandbox_does_not_have_is_answered_with_the_one_that_was_meant() {
    let shakedown = Shakedown::new();
    let file = |service: &str, pods: &str, peer: &str| {
        format!(
            "version: 1\nname: typo\nnamespace: shop\nsandbox: {{topology: shop}}\nload:\n  \
             main: {{http: {{service: \"{service}:8080\"}}, rate: 20/s}}\nphases:\n  - {{name: baseline, duration: 60s}}\n  - name: cut\n    \
             duration: 60s\n    faults: {{f: {{partition: {{pods: {{{pods}, count: 1}}, from: [{{service: {peer}}}]}}}}}}\n    \
             expect: [{{success_rate: {{min: 90%}}}}]\n"
        )
    };
    let (service, pods, peer) = ("checkout", "prefix: checkout", "redis");
    shakedown.file("good.yaml", file(service, pods, peer));
    shakedown.run(&["plan", "--sandbox", "good.yaml"]).expect_code(0);
    for (text, meant) in [
        (file("chekout", pods, peer), "checkout"),
        (file(service, "prefix: chekout", peer), "checkout"),
        (file(service, "labels: {app: paymnts}", peer), "payments"),
        (file(service, "owner: deployment/paymens", peer), "payments"),
        (file(service, "name: redis-1", peer), "redis-0"),
        (file(service, pods, "reddis"), "redis"),
    ] {
        shakedown.file("typo.yaml", text);
        let help = format!("help: did you mean `{meant}`?");
        let run = shakedown.run(&["plan", "--sandbox", "typo.yaml"]).expect_code(3).expect_stderr(&[&help]);
        assert!(!run.stderr.contains("kubectl"), "a sandbox ends with its command\n{run}");
    }
}

/// What is wrong with the run of a shipped scenario, if anything is.
fn does_not_pass(file: &str) -> Option<String> {
    let shakedown = Shakedown::new();
    // A variable of this file may be of another scenario.
    shakedown.file("short.yaml", "{rate: 12/s, users: 24, ramp: 5s, baseline: 12s, fault: 25s, recovery: 14s}");
    let finished = run(&shakedown, &[scenario(file).as_str(), "--vars-file", "short.yaml"]);
    if finished.code() != 0 {
        return Some(format!("{file}: {finished}"));
    }
    let reports = shakedown.reports("out");
    reports.expect_proven_and_undone();
    if reports.fault().kind == "partition" {
        the_partition_was_felt(&reports);
    }
    None
}

#[test]
fn a_single_worker_fails_the_same_scenario_and_the_run_says_why() {
    let shakedown = Shakedown::new();
    let topology = shakedown.run(&["sandbox", "--topology", "quick", "--print-topology"]).expect_code(0).stdout;
    assert!(topology.contains("replicas: 3"), "{topology}");
    shakedown.file("one.yaml", topology.replace("replicas: 3", "replicas: 1"));
    // One worker for all requests is slow where the machine is: whether the baseline is steady is not the question here.
    // What fails is the fault's phase, so that the others are short.
    let quickstart = std::fs::read_to_string(scenario("quickstart.yaml")).expect("the quickstart");
    let (before, recovery) = quickstart.split_once("  - name: recovery\n").expect("a recovery");
    let recovery = recovery.replace("duration: 16s", "duration: 6s").replace("hold: 5s", "hold: 2s");
    let before = before.replace("duration: 4s", "duration: 2s").replace("duration: 16s", "duration: 10s");
    shakedown.file("short.yaml", format!("{before}  - name: recovery\n{recovery}"));
    let args = ["--sandbox-topology", "one.yaml", "--inject-anyway", "short.yaml"];
    let finished = run(&shakedown, &args).expect_code(1);
    let reports = shakedown.reports("out");
    let rate = reports.expectation("partition", "success_rate");
    assert_eq!(rate.verdict, Verdict::Fail, "{}", reports.found());
    assert!(rate.observed.is_some_and(|rate| rate < 0.5), "{}", reports.found());
    assert!(finished.stdout.contains(&rate.reason), "stdout does not say why\n{finished}");
    assert!(reports.junit_failures().iter().any(|name| name.contains("partition")), "{:?}", reports.junit_failures());
    reports.expect_proven_and_undone();
}

#[test]
fn sigint_in_the_middle_of_a_fault_undoes_everything_and_reports() {
    interrupted_in_the_middle_of_a_fault(Signal::INT, 130);
}

#[test]
fn sigterm_in_the_middle_of_a_fault_undoes_everything_and_reports() {
    interrupted_in_the_middle_of_a_fault(Signal::TERM, 143);
}

#[test]
fn sighup_in_the_middle_of_a_fault_undoes_everything_and_reports() {
    interrupted_in_the_middle_of_a_fault(Signal::HUP, 129);
}

#[track_caller]
fn interrupted_in_the_middle_of_a_fault(signal: Signal, code: u8) {
    let shakedown = Shakedown::new();
    let standing = Standing::start(&shakedown);
    // The baseline does not matter here.
    let args = ["run", "--kubeconfig", &standing.kubeconfig, "--inject-anyway", "--out", "out"];
    let running = shakedown.start(&[&args[..], &[&scenario("fault-tolerance.yaml")], &SHORT[..]].concat());
    running.stderr_line("fault nats-cut: proven", LIMIT);
    // A live run keeps what it holds, also from its own user's cleanup.
    let live = shakedown.run(&["cleanup", "out", "--kubeconfig", &standing.kubeconfig]);
    live.expect_code(3).expect_stderr(&["still active", "help:"]);
    running.signal(signal);
    running.stderr_line("undoing all faults", Duration::from_secs(2));
    let finished = running.finish(Duration::from_secs(20)).expect_code(code.into());
    let reports = shakedown.reports("out");
    assert_eq!(reports.result.exit_code, code);
    assert!(reports.result.run.interrupted.is_some() && reports.result.verdict == Verdict::Error);
    assert_eq!(reports.fault().state, FaultState::Undone, "{finished}");
    assert!(reports.scenario().leftovers.is_empty());
    assert!(!reports.junit_failures().is_empty(), "an interrupted run is no green suite");
    shakedown.run(&["cleanup", "--all", "--check", "--kubeconfig", &standing.kubeconfig]).expect_code(0);
    standing.end();
}

#[test]
fn what_is_not_there_is_exit_code_3_before_any_load() {
    let shakedown = Shakedown::new();
    let standing = Standing::start(&shakedown);
    let quickstart = scenario("quickstart.yaml");
    for (var, parts) in [
        ("namespace=nowhere", ["nowhere", "help:"]),
        ("worker=nobody", ["nobody", "help:"]),
        ("frontend=nothing:8000", ["nothing", "help:"]),
    ] {
        let out = var.split('=').next().unwrap_or_default();
        let args = ["--kubeconfig", &standing.kubeconfig, "--var", var, &quickstart];
        shakedown.run(&[&["plan"], &args[..]].concat()).expect_code(3).expect_stderr(&parts);
        let finished =
            shakedown.run(&[&["run", "--out", out], &args[..]].concat()).expect_code(3).expect_stderr(&parts);
        assert!(!finished.stderr.contains("phase "), "load was sent\n{finished}");
        let reports = shakedown.reports(out);
        assert_eq!(reports.result.verdict, Verdict::Error);
        assert!(reports.scenario().phases.is_empty() && !reports.junit_failures().is_empty());
    }
    shakedown.run(&["cleanup", "--all", "--check", "--kubeconfig", &standing.kubeconfig]).expect_code(0);
    standing.end();
}

#[test]
#[ignore = "needs kubectl"]
fn kubectl_can_look_around_and_a_plan_changes_nothing() {
    let shakedown = Shakedown::new();
    let standing = Standing::start(&shakedown);
    let kubectl = Kubectl::find(&shakedown.path("kubeconfig")).expect("kubectl, which this test needs");
    let worker = "vllm-agg-0-vllmdecodeworker";
    kubectl.run(&["-n", "dynamo", "wait", "pods", "--all", "--for=condition=Ready", "--timeout=60s"]);
    let pods = kubectl.items(&["pods", "-n", "dynamo"]);
    let workers: Vec<_> = pods.iter().filter(|pod| name(pod).starts_with(worker)).collect();
    assert_eq!((pods.len(), workers.len()), (5, 3), "{pods:?}");
    let table = kubectl.run(&["-n", "dynamo", "get", "pods,services"]);
    assert!(table.contains("service/nats") && table.contains("Running"), "{table}");

    let versions = |kubectl: &Kubectl| -> Vec<String> {
        let kinds = "pods,services,endpoints,networkpolicies,jobs,namespaces";
        let objects = kubectl.items(&[kinds, "-A"]);
        objects.iter().map(|it| format!("{} {} {}", it["kind"], name(it), it["metadata"]["labels"])).collect()
    };
    let before = versions(&kubectl);
    let args = ["plan", "--seed", "7", "--kubeconfig", &standing.kubeconfig, &scenario("quickstart.yaml")];
    let first = shakedown.run(&args).expect_code(0).expect_stdout(&["NetworkPolicy", "Job", "partition", "seed     7"]);
    let chosen: Vec<_> = workers.iter().filter(|pod| first.stdout.contains(name(pod))).collect();
    assert_eq!(chosen.len(), 1, "one worker is chosen\n{first}");
    assert!(first.stdout.contains(chosen[0]["metadata"]["uid"].as_str().expect("a UID")), "{first}");
    assert_eq!(versions(&kubectl), before, "a plan changes nothing");

    // What the plan names is what a run with the same seed takes, and what kubectl sees while it lasts.
    let quickstart = scenario("quickstart.yaml");
    let running =
        shakedown.start(&["run", "--seed", "7", "--out", "out", "--kubeconfig", &standing.kubeconfig, &quickstart]);
    let proven = running.stderr_line("fault nats-cut: proven", LIMIT);
    let targets = running.stderr_line("fault nats-cut: targets", LIMIT);
    assert!(targets.ends_with(name(chosen[0])), "{targets}; planned: {}; {proven}", name(chosen[0]));
    let policies = kubectl.items(&["networkpolicies", "-n", "dynamo", "-l", leftovers::MANAGED]);
    let jobs = kubectl.items(&["jobs", "-n", "dynamo", "-l", leftovers::MANAGED]);
    assert_eq!((policies.len(), jobs.len()), (1, 1));
    running.signal(Signal::INT);
    running.finish(Duration::from_secs(30)).expect_code(130);
    let run = shakedown.reports("out").result.run.id;
    assert_eq!(policies[0]["metadata"]["labels"][leftovers::RUN], run.as_str());
    assert_eq!(policies[0]["metadata"]["ownerReferences"][0]["uid"], jobs[0]["metadata"]["uid"]);
    support::none_of(&leftovers::find(&kubectl, "dynamo", &run));
    standing.end();
}
