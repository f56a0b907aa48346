//! Faults by Chaos Mesh on a real API server with its definitions, and a small controller in its place: the runner cannot
//! tell. No network is shaped here; what is tested is the contract, in all the ways in which it can be broken.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::{Value, json};
use shakedown_schemas::event::FaultState;
use shakedown_schemas::result::{Leftover, Verdict};

use crate::support::chaos_mesh::{ChaosMesh, Manner};
use crate::support::deployment::{Inference, TestCluster, api};
use crate::support::kubectl::name;
use crate::support::reports::Reports;
use crate::support::shakedown::Shakedown;
use crate::support::stage::{KINDS, Stage, define, wait};
use crate::support::{none_of, root, scenario};

#[path = "../runner/faults/src/chaos/spec/combinations.rs"]
mod combinations;

/// How long any run here may take.
const LIMIT: Duration = Duration::from_secs(240);

const LOSS: &str = "    lossy: {netem: {pods: {prefix: worker}, to: [{service: bus}], loss: 50%}}";

#[track_caller]
fn refused(reports: &Reports, words: &[&str]) {
    let text = reports.fault().problem.clone().unwrap_or_default();
    for word in words {
        assert!(text.contains(word), "`{word}` is missing:\n{text}\n{}", reports.found());
    }
    assert_eq!(reports.fault().injection, Verdict::Error, "{}", reports.found());
}

#[test]
#[ignore = "needs a cluster"]
fn every_kind_is_injected_proven_and_undone() {
    let stage = Stage::new(api());
    let (_mesh, shakedown) = (stage.play(Manner::Well), Shakedown::new());
    let faults =
        "    lossy: {netem: {pods: {prefix: worker}, to: [{service: bus}], loss: 50%, delay: 100ms, jitter: 50ms}}
    thin: {netem: {pods: {prefix: bus}, bandwidth: 1Mbit/s, delay: 1ms}}
    cut: {partition: {pods: {prefix: worker}, from: [{service: bus}], engine: chaos-mesh}}
    failing: {pod_failure: {pods: {prefix: worker}}}
    killed: {container_kill: {pods: {prefix: bus}, containers: [sidecar]}}
    stressed: {stress: {pods: {prefix: worker}, cpu: {workers: 1, load: 50%}, memory: {size: 64MiB}}}
    requests: {http: {pods: {prefix: worker}, port: 8000, status: 503}}
    names: {dns: {pods: {prefix: worker}, patterns: [nats.*]}}
    files: {io: {pods: {prefix: worker}, volume: /data, error: EIO}}
    clock: {time: {pods: {prefix: worker}, offset: -10m}}
";
    let scenario = stage.scenario(&shakedown, &format!("{faults}{}", stage.written()), 3);
    let shown = shakedown.run(&["plan", "--kubeconfig", stage.kubectl.kubeconfig(), &scenario]).expect_code(0).stdout;
    for words in
        ["kind: NetworkChaos", "rate: \"1mbit\"", "limit: ", "latency: \"100ms\"", "externalTargets:", "duration: \""]
    {
        assert!(shown.contains(words), "`{words}` is missing:\n{shown}");
    }
    assert!(stage.resources().is_empty(), "a plan changes nothing");
    let finished = stage.start(&shakedown, &scenario, &[]).finish(LIMIT);
    let reports = shakedown.reports("out");
    assert_eq!(finished.code(), 0, "{finished}\n{}", reports.found());
    reports.expect_proven_and_undone();
    assert_eq!(reports.scenario().faults.len(), 11);
    let lossy = &reports.scenario().faults[0];
    assert_eq!((lossy.engine.as_str(), lossy.objects.len()), ("chaos-mesh", 2));
    let stopped =
        reports.scenario().faults[3].evidence.iter().filter(|it| it.detail.contains("do not run: it is not ready"));
    assert!(stopped.count() >= 2, "{:#?}", reports.scenario().faults[3].evidence);
    let killed = &reports.scenario().faults[4].evidence;
    assert!(killed.iter().any(|it| it.detail.contains("/sidecar was killed: it was started again")), "{killed:#?}");
    let gone = lossy.evidence.iter().any(|it| it.detail.contains("was recovered and is gone with its rules"));
    assert!(gone, "{:#?}", lossy.evidence);
    stage.expect_clean();
}

/// The guide's patterns, the files as they ship, against real pods: proven and undone, by a Chaos Mesh that keeps its side of
/// the contract and shapes nothing. An expectation of an effect must then fail; where it asks for little, a busy machine
/// may be slow enough for it, so a copy asks for more.
#[test]
#[ignore = "needs a cluster"]
fn the_patterns_of_the_guide_run_unchanged() {
    let cluster = TestCluster::get();
    define(&cluster.kubectl);
    let run = |names: &[&str], strict: Option<(&str, &str)>, code: i32| {
        let inference = Inference::new(cluster, 2);
        let (_mesh, shakedown) = (
            ChaosMesh::play(cluster.kubectl.kubeconfig().as_ref(), &inference.namespace, Manner::Well),
            Shakedown::new(),
        );
        let (kubeconfig, namespace) = (cluster.kubectl.kubeconfig(), format!("namespace={}", inference.namespace));
        let mut files: Vec<String> = names.iter().map(|name| scenario(&format!("{name}.yaml"))).collect();
        if let Some((before, after)) = strict {
            let text = std::fs::read_to_string(files.last().expect("a file")).expect("a scenario");
            assert!(text.contains(before), "{text}");
            shakedown.file("strict.yaml", text.replace(before, after));
            files.push("strict.yaml".to_owned());
        }
        let mut args =
            vec!["run", "--out", "out", "--kubeconfig", kubeconfig, "--var", &namespace, "--var", "rate=25/s"];
        args.extend(["--var", "baseline=5s", "--var", "fault=3s", "--var", "recovery=14s"]);
        args.extend(files.iter().map(String::as_str));
        let finished = shakedown.start(&args).finish(LIMIT);
        let reports = shakedown.reports("out");
        assert_eq!(finished.code(), code, "{finished}\n{}", reports.found());
        assert!(reports.result.scenarios.iter().all(|it| !it.faults.is_empty()), "{}", reports.found());
        reports.expect_injected_and_undone();
        none_of(&inference.items(&[KINDS]).iter().map(|it| name(it).to_owned()).collect::<Vec<_>>());
        reports
    };
    std::thread::scope(|scope| {
        let patterns = scope.spawn(|| run(&["degrade-loss", "degrade-delay", "degrade-bandwidth"], None, 0));
        let strict = Some(("min: 1.1, max: 3", "min: 3, max: 9"));
        let reports = run(&["degrade-combined", "graceful-degradation"], strict, 1);
        let verdicts: Vec<Verdict> = reports.result.scenarios.iter().map(|it| it.verdict).collect();
        assert_eq!((verdicts[0], verdicts[2]), (Verdict::Pass, Verdict::Fail), "{}", reports.found());
        let unfelt = reports.result.scenarios[2].expectations.iter().find(|it| it.verdict == Verdict::Fail);
        assert_eq!(unfelt.map(|it| it.kind.as_str()), Some("latency_ratio"));
        patterns.join().expect("the patterns");
    });
}

#[test]
#[ignore = "needs a cluster"]
fn the_server_takes_every_golden_file() {
    let stage = Stage::new(api());
    let folder = root().join("runner/faults/src/chaos/spec/snapshots");
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).expect("the golden files") {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("UTF-8");
        all.push_str("---\n");
        all.push_str(text.splitn(3, "---\n").nth(2).expect("a snapshot has a head"));
    }
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let here = all.replace("  namespace: shop", &format!("  namespace: {}", stage.namespace));
    std::fs::write(file.path(), here).expect("a temporary file");
    let file = file.path().to_str().expect("UTF-8");
    let objects = |dry_run: &str| -> Vec<Value> {
        let text = stage.kubectl.run(&["create", dry_run, "-o", "json", "-f", file]);
        let stream = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
        stream.map(|object| object.expect("JSON")).collect()
    };
    let (made, sent) = (objects("--dry-run=server"), objects("--dry-run=client"));
    assert!(made.len() == sent.len() && made.len() >= 29, "{} of {}", made.len(), sent.len());
    for (made, sent) in made.iter().zip(sent) {
        // Nothing may be dropped without a word: what the server would keep is what was sent.
        for (key, value) in sent["spec"].as_object().expect("a spec") {
            assert_eq!(&made["spec"][key], value, "{sent:#}");
        }
    }
}

/// Every combination of a degradation's fields, to a service in both directions and for all traffic, by the real schemas.
#[test]
#[ignore = "needs a cluster"]
fn the_server_takes_every_combination_of_a_degradation() {
    use shakedown_cluster::{ConnectOptions, connect};
    use shakedown_faults::chaos::spec::{Ends, netem};
    use shakedown_faults::chaos::{Naming, object};
    use shakedown_schemas::result::PodRef;
    use shakedown_schemas::scenario::Direction;

    let stage = Stage::new(api());
    let pod = |name: &str| PodRef {
        namespace: stage.namespace.clone(),
        name: name.into(),
        uid: name.into(),
        node: None,
        ip: Some("10.250.0.1".into()),
    };
    let (targets, peers) = ([pod("worker-0")], vec![pod("bus-0")]);
    let service = Ends { pods: peers, addresses: ["10.96.0.7".to_owned()].into(), ..Ends::default() };
    let naming = Naming {
        run: "20260301-105959-abcde".into(),
        serial: 0,
        number: 1,
        fault: "fault".into(),
        namespace: stage.namespace.clone(),
        duration: Duration::from_secs(60),
    };
    let mut resources = Vec::new();
    for mut fields in combinations::combinations() {
        fields.insert("pods".to_owned(), json!({"prefix": "worker"}));
        let fault = serde_json::from_value(fields.into()).expect("a degradation");
        for (ends, direction) in [(None, Direction::Egress), (Some(&service), Direction::Both)] {
            resources.extend(netem(&fault, &targets, ends, direction));
        }
    }
    assert!(resources.len() > 500, "{}", resources.len());
    let options = ConnectOptions { kubeconfig: Some(stage.kubectl.kubeconfig().into()), ..ConnectOptions::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        _ = rustls::crypto::ring::default_provider().install_default();
        let cluster = connect(&options).await.expect("the test cluster");
        futures::stream::iter(&resources)
            .for_each_concurrent(16, async |resource| {
                let sent = object(resource, &naming, 0);
                let made = cluster.dry_run(resource.kind, &stage.namespace, &sent).await;
                let made = made.unwrap_or_else(|error| panic!("{sent:#}: {error}"));
                // Nothing may be dropped without a word.
                assert_eq!(made["spec"], sent["spec"]);
            })
            .await;
    });
}

#[test]
#[ignore = "needs a cluster"]
fn without_a_controller_it_says_so() {
    let stage = Stage::new(api());
    let shakedown = Shakedown::new();
    stage.run(&shakedown, LOSS, &["--inject-timeout", "3s"]).expect_code(3);
    refused(&shakedown.reports("out"), &["no controller has processed it", "clusterScoped=false", "doctor"]);
    stage.expect_clean();
}

#[test]
#[ignore = "needs a cluster"]
fn an_injection_that_never_succeeds_names_the_pod_and_the_remedy() {
    let stage = Stage::new(api());
    let (_mesh, shakedown) = (stage.play(Manner::Lacks("sch_netem")), Shakedown::new());
    stage.run(&shakedown, LOSS, &["--inject-timeout", "3s"]).expect_code(3);
    let worker = stage.workers()[0].clone();
    refused(&shakedown.reports("out"), &[&worker, "unable to set tcs", "modprobe sch_netem"]);
    stage.expect_clean();
}

#[test]
#[ignore = "needs a cluster"]
fn pods_whose_containers_do_not_end_have_not_failed() {
    let stage = Stage::new(api());
    let (_mesh, shakedown) = (stage.play(Manner::KeepsRunning), Shakedown::new());
    let faults = "    failing: {pod_failure: {pods: {prefix: worker}}}";
    stage.run(&shakedown, faults, &["--inject-timeout", "3s"]).expect_code(3);
    refused(&shakedown.reports("out"), &["have not ended yet"]);
    stage.expect_clean();
}

#[test]
#[ignore = "needs a cluster"]
fn one_of_two_is_not_injected() {
    let stage = Stage::new(api());
    let (_mesh, shakedown) = (stage.play(Manner::OneOfTwo), Shakedown::new());
    stage.run(&shakedown, LOSS, &["--inject-timeout", "3s"]).expect_code(3);
    refused(&shakedown.reports("out"), &["Not Injected/Wait"]);
    stage.expect_clean();
}

#[test]
#[ignore = "needs a cluster"]
fn a_failure_that_heals_in_time_is_none() {
    let stage = Stage::new(api());
    let (_mesh, shakedown) = (stage.play(Manner::FailsThenHeals), Shakedown::new());
    let finished = stage.run(&shakedown, LOSS, &[]);
    let reports = shakedown.reports("out");
    assert_eq!(finished.code(), 0, "{finished}\n{}", reports.found());
    reports.expect_proven_and_undone();
    stage.expect_clean();
}

#[test]
#[ignore = "needs a cluster"]
fn a_record_of_another_pod_ends_it_at_once() {
    let stage = Stage::new(api());
    let (_mesh, shakedown) = (stage.play(Manner::AnotherPod), Shakedown::new());
    let begun = Instant::now();
    stage.run(&shakedown, LOSS, &[]).expect_code(3);
    refused(&shakedown.reports("out"), &["somebody-else, which was not chosen"]);
    assert!(begun.elapsed() < Duration::from_secs(45), "it does not wait for its time to be over");
    stage.expect_clean();
}

#[test]
#[ignore = "needs a cluster"]
fn a_selection_of_nothing_is_not_waited_for() {
    let stage = Stage::new(api());
    let (_mesh, shakedown) = (stage.play(Manner::SelectsNothing), Shakedown::new());
    stage.run(&shakedown, LOSS, &[]).expect_code(3);
    refused(&shakedown.reports("out"), &["no pod is selected", "enableFilterNamespace"]);
    stage.expect_clean();
}

#[test]
#[ignore = "needs a cluster"]
fn a_stuck_removal_is_left_behind_and_force_marks_it() {
    let stage = Stage::new(api());
    let (_mesh, shakedown) = (stage.play(Manner::Sticks), Shakedown::new());
    stage.run(&shakedown, LOSS, &["--undo-timeout", "12s"]).expect_code(6);
    let reports = shakedown.reports("out");
    assert_eq!(reports.fault().state, FaultState::Left);
    let problem = reports.fault().problem.clone().unwrap_or_default();
    assert!(problem.contains("no running task found") && problem.contains("--force-cleanup"), "{problem}");
    assert_eq!(stage.resources().len(), 2);
    let check = ["cleanup", "--check", "--run", &reports.result.run.id, "--kubeconfig", stage.kubectl.kubeconfig()];
    let left = shakedown.run(&check).expect_code(6).stdout;
    assert!(left.contains("delete networkchaos"), "{left}");
    // Each leftover is listed once. Its command works as it is printed, in a folder without the run's journal as well.
    let left = &reports.scenario().leftovers;
    let listed: BTreeSet<&str> = left.iter().map(|left| left.what.as_str()).collect();
    assert_eq!((left.len(), listed.len()), (2, 2), "{left:#?}");
    let elsewhere = Shakedown::new();
    for (number, place) in [&elsewhere, &shakedown].into_iter().enumerate() {
        let words: Vec<&str> = left[number].command.split_whitespace().collect();
        assert_eq!(words[0], "shakedown", "{left:#?}");
        let forced = place.start(&words[1..]).finish(LIMIT);
        let expected = if number == 0 { 6 } else { 0 };
        assert_eq!(forced.code(), expected, "what is in the pods may stay: {forced}");
        assert!(!forced.stderr.contains("could not remove"), "{forced}");
        none_of(&stage.resources());
    }
}

#[test]
#[ignore = "needs a cluster"]
fn a_run_may_force_and_is_marked() {
    let stage = Stage::new(api());
    let (_mesh, shakedown) = (stage.play(Manner::Sticks), Shakedown::new());
    // What the scenario writes out itself has the same promises.
    let faults = format!("{LOSS}\n{}", stage.written());
    stage.run(&shakedown, &faults, &["--undo-timeout", "30s", "--force-cleanup"]).expect_code(6);
    let reports = shakedown.reports("out");
    let left = &reports.scenario().leftovers;
    for kind in ["networkchaos", "stresschaos"] {
        let is_named = |it: &Leftover| {
            it.what.contains(kind) && it.command.contains("delete pod") && it.error.contains("by force")
        };
        assert!(left.iter().any(is_named), "{left:#?}");
    }
    none_of(&stage.resources());
}

/// The clusters on which an injection is impossible: a canary on the targets' node shows it before any load.
#[test]
#[ignore = "needs a cluster"]
fn where_nothing_can_be_injected_the_run_is_refused_before_the_load() {
    let cluster = TestCluster::get();
    define(&cluster.kubectl);
    let inference = Inference::new(cluster, 1);
    let kubeconfig = cluster.kubectl.kubeconfig();
    for (number, (lacks, fault, words)) in [
        ("sch_netem", "netem: {pods: {prefix: vllm}, delay: 40ms}", ["cannot inject netem", "modprobe sch_netem"]),
        (
            "iptables",
            "partition: {pods: {prefix: vllm}, from: [{service: nats}], engine: chaos-mesh}",
            ["cannot inject partition", "engine: network-policy"],
        ),
        ("discovery.k8s.io/v1", "time: {pods: {prefix: vllm}, offset: -10m}", ["cannot inject time", "1.21 or later"]),
    ]
    .into_iter()
    .enumerate()
    {
        let _mesh = ChaosMesh::play(kubeconfig.as_ref(), &inference.namespace, Manner::Lacks(lacks));
        let shakedown = Shakedown::new();
        let file = shakedown.file(
            "scenario.yaml",
            format!(
                "version: 1\nname: impossible\nnamespace: {}\nblast_radius: {{max_percent: 100%}}\n\
                 load: {{main: {{http: {{url: \"{}\"}}, rate: 5/s}}}}\nphases:\n\
                 - {{name: before, duration: 2s, expect: [success_rate: {{min: 50%}}]}}\n\
                 - {{name: during, duration: 2s, faults: {{late: {{{fault}}}}}}}\n",
                inference.namespace,
                crate::support::server::serve(200)
            ),
        );
        let out = format!("out-{number}");
        let args = ["run", "--out", &out, "--kubeconfig", kubeconfig, "--canary-image", &cluster.program, &file];
        let finished = shakedown.start(&args).finish(LIMIT).expect_code(3).expect_stderr(&words);
        assert!(finished.took < Duration::from_secs(60), "{finished}");
        assert!(!finished.stderr.contains("phase before"), "{finished}");
        let reports = shakedown.reports(&out);
        assert!(reports.scenario().leftovers.is_empty(), "{:#?}", reports.scenario().leftovers);
        none_of(&inference.items(&[KINDS]).iter().map(|it| name(it).to_owned()).collect::<Vec<_>>());
    }
}

#[test]
#[ignore = "needs a cluster"]
fn somebody_else_deletes_it_in_the_middle() {
    let stage = Stage::new(api());
    let (_mesh, shakedown) = (stage.play(Manner::Well), Shakedown::new());
    let scenario = stage.scenario(&shakedown, LOSS, 8);
    let running = stage.start(&shakedown, &scenario, &[]);
    running.stderr_line("fault lossy: proven", LIMIT);
    stage.kubectl.run(&["delete", "networkchaos", "--all", "-n", &stage.namespace]);
    running.finish(LIMIT).expect_code(4);
    let reports = shakedown.reports("out");
    let problem = reports.fault().problem.clone().unwrap_or_default();
    assert!(problem.contains("another client deleted it"), "{problem}");
    assert_eq!(reports.fault().undo, Verdict::Pass);
    stage.expect_clean();
}

#[test]
#[ignore = "needs a cluster"]
fn a_replaced_target_is_reported_and_followed() {
    let stage = Stage::new(api());
    let (_mesh, shakedown) = (stage.play(Manner::Well), Shakedown::new());
    let faults = LOSS.replace("loss: 50%", "loss: 50%, follow: true");
    let scenario = stage.scenario(&shakedown, &faults, 25);
    let running = stage.start(&shakedown, &scenario, &[]);
    running.stderr_line("fault lossy: proven", LIMIT);
    let before = stage.workers();
    stage.kubectl.run(&["delete", "pod", "-n", &stage.namespace, &before[0]]);
    wait("the replacement", || stage.workers().len() == 2 && stage.workers() != before);
    stage.run_pods(3);
    let new = stage.workers().into_iter().find(|worker| !before.contains(worker)).expect("a replacement");
    wait("the replacement to be acted on", || {
        let there = stage.kubectl.items(&["networkchaos", "-n", &stage.namespace]);
        let on = |it: &Value| it["spec"]["selector"]["pods"].to_string().contains(&new);
        // One for both targets has taken the place of the first.
        there.len() == 2 && there.iter().any(on)
    });
    let finished = running.finish(LIMIT);
    let reports = shakedown.reports("out");
    assert_eq!(finished.code(), 0, "{finished}\n{}", reports.found());
    let is_recorded = reports.fault().evidence.iter().any(|it| it.detail.contains("has replaced target"));
    assert!(is_recorded, "{:#?}", reports.fault().evidence);
    stage.expect_clean();
}

#[test]
#[ignore = "needs a cluster"]
fn the_fuse_removes_what_a_killed_runner_leaves() {
    let stage = Stage::new(api());
    let (_mesh, shakedown) = (stage.play(Manner::Well), Shakedown::new());
    let scenario = stage.scenario(&shakedown, LOSS, 3);
    let running = stage.start(&shakedown, &scenario, &["--fuse-margin", "10s"]);
    running.stderr_line("fault lossy: proven", LIMIT);
    running.signal(rustix::process::Signal::KILL);
    drop(running);
    wait("the fuse", || stage.resources().is_empty());
    stage.expect_clean();
}

#[test]
#[ignore = "needs a cluster"]
fn a_pod_that_has_rules_of_others_is_refused_first() {
    let stage = Stage::new(api());
    let (_mesh, shakedown) = (stage.play(Manner::Well), Shakedown::new());
    stage.kubectl.create(&json!({
        "apiVersion": "chaos-mesh.org/v1alpha1", "kind": "PodNetworkChaos",
        "metadata": {"name": stage.workers()[0], "namespace": stage.namespace},
        "spec": {"tcs": [{"type": "netem", "source": "somebody/elses"}]},
    }));
    stage
        .run(&shakedown, LOSS, &[])
        .expect_code(3)
        .expect_stderr(&["another network fault acts on pod", "somebody/elses"]);
    none_of(&stage.resources());
}

#[test]
#[ignore = "needs a cluster"]
fn faults_that_override_each_other_are_refused() {
    let stage = Stage::new(api());
    let shakedown = Shakedown::new();
    let two = format!(
        "{LOSS}\n    late: {{netem: {{pods: {{prefix: worker}}, to: [{{service: bus}}], delay: 1s, direction: egress}}}}"
    );
    stage
        .run(&shakedown, &two, &[])
        .expect_code(3)
        .expect_stderr(&["overrides the earlier one", "make them one `netem`"]);
}

#[test]
#[ignore = "needs a cluster"]
fn kills_respect_budgets_only_when_asked() {
    let stage = Stage::new(api());
    let shakedown = Shakedown::new();
    // Kubernetes 1.20 has no `policy/v1` yet, and 1.25 and later have no `policy/v1beta1` any more.
    let versions = stage.kubectl.run(&["api-versions"]);
    let version = if versions.lines().any(|it| it == "policy/v1") { "policy/v1" } else { "policy/v1beta1" };
    stage.kubectl.create(&json!({
        "apiVersion": version, "kind": "PodDisruptionBudget",
        "metadata": {"name": "bus", "namespace": stage.namespace},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "bus"}}},
    }));
    wait("the budget", || stage.kubectl.get(&["pdb", "bus", "-n", &stage.namespace])["status"]["currentHealthy"] == 1);
    let evict = "    gone: {pod_kill: {pods: {prefix: bus}, evict: true}}";
    // Said before any load is sent.
    let refusal =
        stage.run(&shakedown, evict, &[]).expect_code(3).expect_stderr(&["disruption budget", "omit `evict`"]);
    assert!(!refusal.stderr.contains("phase before"), "{refusal}");
    let kill = "    gone: {pod_kill: {pods: {prefix: bus}, grace_period: 0s}}";
    let scenario = stage.scenario(&shakedown, kill, 3);
    let finished = stage.start(&shakedown, &scenario, &["--out", "killed"]).finish(LIMIT);
    let reports = shakedown.reports("killed");
    assert_eq!(finished.code(), 0, "{finished}\n{}", reports.found());
    assert_eq!((reports.fault().engine.as_str(), reports.fault().injection), ("kubernetes", Verdict::Pass));
}
