//! Several scenarios in one command: which of them run, in which order, what ends them early, and what the reports say of
//! those that did not run.

use std::time::Duration;

use quick_junit::TestCaseStatus;
use rustix::process::Signal;
use shakedown_schemas::result::Verdict;

use crate::cli::url_scenario;
use crate::support::process::Running;
use crate::support::reports::Reports;
use crate::support::server::serve;
use crate::support::shakedown::{BINARY, Shakedown};

/// Longer than any run here.
const LIMIT: Duration = Duration::from_secs(60);

/// Writes scenarios of 1 s to `suite/NAME.yaml`. A service answers each with its status.
fn suite(shakedown: &Shakedown, scenarios: &[(&str, u16)]) {
    for (name, status) in scenarios {
        let text = url_scenario(&serve(*status)).replace("name: plain", &format!("name: {name}"));
        shakedown.file(&format!("suite/{name}.yaml"), text.replace(": 2s", ": 1s"));
    }
}

fn names(reports: &Reports) -> Vec<&str> {
    reports.result.scenarios.iter().map(|it| it.name.as_str()).collect()
}

/// The names of the suites in JUnit that are skipped.
fn skipped(reports: &Reports) -> Vec<String> {
    let is_skipped = |status: &TestCaseStatus| matches!(status, TestCaseStatus::Skipped { .. });
    let suites = reports.junit.test_suites.iter();
    suites
        .filter(|it| it.test_cases.iter().all(|case| is_skipped(&case.status)))
        .map(|it| it.name.to_string())
        .collect()
}

#[test]
fn a_filter_says_what_it_leaves_out() {
    let shakedown = Shakedown::new();
    suite(&shakedown, &[("cart", 200), ("checkout", 200), ("checkout-slow", 200)]);
    let listed = |filters: &[&str]| shakedown.run(&[&["list", "suite"], filters].concat());
    let by_text = listed(&["--filter", "checkout"]).expect_code(0);
    assert!(by_text.stdout.contains("checkout-slow") && !by_text.stdout.contains("cart"), "{by_text}");
    by_text.expect_stderr(&["2 of 3 scenarios selected; --filter leaves out cart"]);
    let by_regex = listed(&["--filter", "/^checkout$/", "--filter", "suite/cart"]).expect_code(0);
    by_regex.expect_stderr(&["2 of 3 scenarios selected; --filter leaves out checkout-slow"]);
    let none = listed(&["--filter", "payment"]).expect_code(5);
    none.expect_stderr(&["no scenario is selected", "--filter leaves out cart, checkout-slow, checkout", "help:"]);
    let quiet = listed(&["--filter", "cart", "-q"]).expect_code(0);
    assert_eq!(quiet.stderr, "");
    listed(&["--filter", "/(/"]).expect_code(2).expect_stderr(&["--filter"]);
}

#[test]
fn a_topology_next_to_scenarios_is_none() {
    const TOPOLOGY: &str = "namespace: shop\nworkloads:\n  - {name: web, program: {redis: {}}}\n";
    let shakedown = Shakedown::new();
    suite(&shakedown, &[("cart", 200)]);
    shakedown.file("suite/topo.yaml", TOPOLOGY);
    for paths in ["suite", "suite/*.yaml"] {
        let listed = shakedown.run(&["list", paths]).expect_code(0).expect_stdout(&["cart"]);
        assert_eq!(listed.stderr.matches("skipped suite/topo.yaml: a sandbox topology").count(), 1, "{listed}");
    }
    shakedown
        .run(&["validate", "suite/topo.yaml"])
        .expect_code(0)
        .expect_stdout(&["topo.yaml is a valid sandbox topology"]);
    shakedown.run(&["list", "suite/topo.yaml"]).expect_code(2).expect_stderr(&["not a scenario", "--sandbox-topology"]);
    shakedown.file("suite/topo.yaml", TOPOLOGY.replace("name: web", "nam: web"));
    shakedown.run(&["validate", "suite/topo.yaml"]).expect_code(2).expect_stderr(&["topo.yaml:3", "`nam`"]);
    let book = std::fs::read_to_string(shakedown.path("suite/cart.yaml")).expect("a scenario");
    shakedown.file("suite/cart.yaml", book + "sandbox: {topology: topo.yaml}\n");
    shakedown.run(&["validate", "suite/cart.yaml"]).expect_code(2).expect_stderr(&["topo.yaml:3", "`nam`"]);
}

#[test]
fn an_invalid_file_is_annotated_on_its_line() {
    let shakedown = Shakedown::new().env("GITHUB_ACTIONS", "true");
    shakedown.file("bad.yaml", "version: 1\nname: bad\nphasen: []\n");
    for command in ["validate", "run"] {
        let run = shakedown.run(&[command, "bad.yaml"]).expect_code(2);
        run.expect_stderr(&["::error file=bad.yaml,line=3,col=1,title=S010::"]);
    }
    let elsewhere = Shakedown::new();
    elsewhere.file("bad.yaml", "version: 1\nname: bad\nphasen: []\n");
    assert!(!elsewhere.run(&["validate", "bad.yaml"]).stderr.contains("::error"));
}

#[test]
fn the_shards_are_the_suite_and_their_merge_is_judged_like_it() {
    let shakedown = Shakedown::undisturbed();
    suite(&shakedown, &[("a", 200), ("b", 500), ("c", 200)]);
    let run = |shard: &str, code| {
        let out = format!("parts/{}", &shard[..1]);
        shakedown.run(&["run", "suite", "--shard", shard, "--out", &out, "--seed", "7"]).expect_code(code);
    };
    run("1/2", 0);
    assert_eq!(names(&shakedown.reports("parts/1")), ["a", "c"]);
    // The job of the second shard was lost: that is no pass.
    let lost = shakedown.run(&["report", "--merge", "parts", "--out", "lost"]).expect_code(4);
    lost.expect_stdout(&["1 did not run (its result is missing): shard 2/2"]);
    run("2/2", 1);
    shakedown
        .run(&["report", "--merge", "parts", "--out", "whole"])
        .expect_code(1)
        .expect_stdout(&["1 of 3 scenarios failed, 2 passed"]);
    let whole = shakedown.reports("whole");
    assert_eq!((names(&whole), whole.result.exit_code), (vec!["a", "b", "c"], 1));
    assert_eq!(whole.result.run.command[1..], ["run", "suite", "--out", "parts/1", "--seed", "7"]);
    assert_eq!(whole.junit.test_suites.len(), 3);
    // A shard that ran twice has an earlier result, which belongs to another run.
    run("1/2", 0);
    assert!(shakedown.path("parts/1/earlier").exists());
    shakedown.run(&["report", "--merge", "parts", "--out", "rerun"]).expect_code(1);
    shakedown.run(&["report", "--merge", "parts/1", "parts/2", "--out", "whole"]).expect_code(1);
    let whole = shakedown.reports("whole");
    let again = ["report", "--merge", "parts/1/result.json", "parts/2", "--out", "same"];
    shakedown.run(&again).expect_code(1);
    assert_eq!(shakedown.reports("same").result, whole.result);
    // A shard twice, more parts than scenarios, and two results without --merge.
    let twice = ["report", "--merge", "parts/1", "parts/1", "--out", "twice"];
    shakedown.run(&twice).expect_code(2).expect_stderr(&["`a` (suite/a.yaml) is in two results", "help:"]);
    let empty = shakedown.run(&["list", "suite", "--shard", "4/4"]).expect_code(5);
    empty.expect_stderr(&["part 4 of 4 is empty: the suite has 3 scenarios"]);
    shakedown.run(&["report", "parts/1", "parts/2"]).expect_code(2).expect_stderr(&["--merge"]);
    shakedown.run(&["list", "suite", "--shard", "0/4"]).expect_code(2).expect_stderr(&["such as 1/3"]);
}

#[test]
fn after_a_failure_the_rest_is_listed_and_skipped() {
    let shakedown = Shakedown::undisturbed();
    suite(&shakedown, &[("a", 200), ("b", 500), ("c", 200), ("d", 200)]);
    let run = |args: &[&str]| shakedown.run(&[&["run", "suite", "--out", "out"], args].concat());
    run(&["--fail-fast"]).expect_code(1).expect_stdout(&["2 did not run (--fail-fast: b did not pass): c, d"]);
    let reports = shakedown.reports("out");
    assert_eq!((names(&reports), skipped(&reports)), (vec!["a", "b"], vec!["c".to_owned(), "d".to_owned()]));
    for file in ["report.html", "summary.md"] {
        assert!(reports.text(file).contains("b did not pass"), "{file}");
    }
    // The same service fails again. What passed does not run again.
    let failed = run(&["--last-failed"]).expect_code(1);
    failed.expect_stderr(&["--last-failed: 3 of 4 scenarios run", "the earlier result in out is now in out/earlier/"]);
    assert_eq!(names(&shakedown.reports("out")), ["b", "c", "d"]);
    let kept = shakedown.path("out/earlier").join(&reports.result.run.id).join("result.json");
    let kept: shakedown_schemas::RunResult =
        serde_json::from_slice(&std::fs::read(kept).expect("the earlier result")).expect("a result");
    assert_eq!(kept, reports.result);
    suite(&shakedown, &[("b", 200)]);
    run(&["--last-failed"]).expect_code(0);
    assert_eq!(names(&shakedown.reports("out")), ["b"]);
    run(&["--last-failed", "--filter", "b"]).expect_code(0).expect_stderr(&["passed in the previous run, so all run"]);
    let first = shakedown.run(&["run", "suite", "--filter", "a", "--last-failed"]).expect_code(0);
    first.expect_stderr(&["there is no `shakedown-results/latest/result.json`, so all scenarios run"]);
}

#[test]
fn the_time_limit_ends_a_run_in_order_and_is_no_pass() {
    let shakedown = Shakedown::undisturbed();
    suite(&shakedown, &[("a", 200), ("b", 200), ("c", 200)]);
    let long = url_scenario(&serve(200)).replace("name: plain", "name: b").replace("duration: 2s", "duration: 60s");
    shakedown.file("suite/b.yaml", long);
    let ended = shakedown.run(&["run", "suite", "--out", "out", "--max-time", "5s"]).expect_code(3);
    ended.expect_stderr(&["the time limit of --max-time has expired"]).expect_stdout(&["1 did not run", ": c"]);
    let reports = shakedown.reports("out");
    let verdicts: Vec<Verdict> = reports.result.scenarios.iter().map(|it| it.verdict).collect();
    assert_eq!((verdicts, skipped(&reports)), (vec![Verdict::Pass, Verdict::Error], vec!["c".to_owned()]));
    assert_eq!(reports.result.run.interrupted.as_deref(), Some("--max-time"));
    assert!(reports.result.scenarios[1].reason.contains("interrupted by --max-time"), "{}", reports.found());
}

#[test]
fn scenarios_run_next_to_each_other_and_one_signal_ends_all() {
    let shakedown = Shakedown::undisturbed();
    suite(&shakedown, &[("a", 200), ("b", 200), ("c", 200)]);
    let both = shakedown.run(&["run", "suite", "--out", "out", "--parallel", "2", "-v"]).expect_code(0);
    both.expect_stderr(&["[a] load started", "[b] load started", "[c] phase only for 1s"]);
    let reports = shakedown.reports("out");
    assert_eq!(names(&reports), ["a", "b", "c"], "in the order of the suite");
    let [a, b, ..] = &reports.result.scenarios[..] else { panic!("{}", reports.found()) };
    let ended = a.started_at + jiff::SignedDuration::from_millis((a.duration_s * 1e3) as i64);
    assert!(b.started_at < ended, "they overlap: {} and {ended}", b.started_at);
    for name in ["a", "b", "c"] {
        let long = url_scenario(&serve(200)).replace("name: plain", &format!("name: {name}"));
        shakedown.file(&format!("suite/{name}.yaml"), long.replace("duration: 2s", "duration: 60s"));
    }
    let running = shakedown.start(&["run", "suite", "--out", "cut", "--parallel", "2", "-v"]);
    for name in ["a", "b"] {
        running.stderr_line(&format!("[{name}] load started"), LIMIT);
    }
    running.signal(Signal::TERM);
    running.finish(LIMIT).expect_code(143).expect_stderr(&["SIGTERM: undoing all faults"]);
    let cut = shakedown.reports("cut");
    assert_eq!((names(&cut), skipped(&cut)), (vec!["a", "b"], vec!["c".to_owned()]));
    assert!(cut.result.scenarios.iter().all(|it| it.verdict == Verdict::Error), "{}", cut.found());
}

/// Two namespaces with the same pods: enough for a partition in each.
const TWO: &str = r#"
namespace: one
namespaces: {two: {}}
workloads:
  - {name: client, namespace: one, replicas: 2, program: {probe: {to: "server.one:8080", listen: 8080}}}
  - {name: server, namespace: one, program: {probe: {to: "", listen: 8080}}}
  - {name: client, namespace: two, replicas: 2, program: {probe: {to: "server.two:8080", listen: 8080}}}
  - {name: server, namespace: two, program: {probe: {to: "", listen: 8080}}}
"#;

/// The end of one scenario must not remove the fault, the lock and the fuse of the other.
#[test]
fn faults_in_two_namespaces_last_for_their_whole_time_next_to_each_other() {
    let shakedown = Shakedown::undisturbed();
    shakedown.file("two.yaml", TWO);
    let sandbox = shakedown.start(&["sandbox", "--topology", "two.yaml", "--write-kubeconfig", "kubeconfig"]);
    sandbox.stderr_line("the sandbox listens on", LIMIT);
    let url = serve(200);
    let lengths = [("one", 5.0), ("two", 14.0)];
    for (namespace, seconds) in lengths {
        let text = format!(
            "version: 1\nname: {namespace}\nnamespace: {namespace}\n\
             load: {{pages: {{http: {{url: '{url}'}}, rate: 50/s}}}}\n\
             phases:\n  - {{name: baseline, duration: 3s}}\n  - name: cut\n    duration: {seconds}s\n    \
             faults: {{cut: {{partition: {{pods: {{owner: deployment/client, count: 1}}, from: [{{service: server}}]}}}}}}\n    \
             expect: [success_rate: {{min: 90%}}]\n"
        );
        shakedown.file(&format!("suite/{namespace}.yaml"), text);
    }
    let both = ["run", "suite", "--kubeconfig", "kubeconfig", "--out", "out", "--parallel", "2"];
    let finished = shakedown.start(&both).finish(LIMIT);
    let reports = shakedown.reports("out");
    assert_eq!(names(&reports), ["one", "two"], "{finished}");
    reports.expect_proven_and_undone();
    for (scenario, (_, seconds)) in reports.result.scenarios.iter().zip(lengths) {
        assert_eq!((scenario.verdict, &scenario.leftovers[..]), (Verdict::Pass, &[][..]), "{}", reports.found());
        let fault = &scenario.faults[0];
        let (from, to) = (fault.injecting_s.expect("injected"), fault.undoing_s.expect("undone"));
        assert!(to - from > seconds - 1.0, "{}: from {from} to {to}", scenario.name);
    }
    let [one, two] = &reports.result.scenarios[..] else { panic!("{}", reports.found()) };
    let gap = (two.started_at.duration_since(one.started_at)).as_secs_f64().abs();
    assert!(gap < 4.0, "they overlap: {gap}");
    shakedown.run(&["cleanup", "--check", "--all", "--kubeconfig", "kubeconfig"]).expect_code(0);
    sandbox.signal(Signal::INT);
    sandbox.finish(LIMIT).expect_code(0);
}

/// An overkill run must fail, and a shortened run cannot pass: neither is a reason to stop or to repeat.
#[test]
fn trials_go_on_and_are_repeated_if_they_did_not_end_as_they_must() {
    let shakedown = Shakedown::undisturbed();
    suite(&shakedown, &[("a", 500), ("b", 200), ("c", 500)]);
    let run = |args: &[&str]| shakedown.run(&[&["run", "suite", "--out", "out"], args].concat());
    let failed = run(&["--overkill", "--fail-fast"]).expect_code(1);
    failed.expect_stdout(&["1 did not run (--fail-fast: b did not fail): c"]);
    assert_eq!(names(&shakedown.reports("out")), ["a", "b"], "what fails is no reason to stop");
    run(&["--overkill", "--last-failed"]).expect_code(1).expect_stderr(&["--last-failed: 2 of 3 scenarios run"]);
    assert_eq!(names(&shakedown.reports("out")), ["b", "c"]);
    let other = run(&["--last-failed", "--filter", "b"]).expect_code(0);
    other.expect_stderr(&["the previous run was an overkill run and this is an ordinary run, so all scenarios run"]);
    let unknown = run(&["--last-failed", "--filter", "c"]).expect_code(1);
    unknown.expect_stderr(&["none of the selected scenarios is in the previous result, so all run"]);
    suite(&shakedown, &[("a", 200), ("c", 200)]);
    run(&["--quick", "--fail-fast"]).expect_code(4);
    assert_eq!(names(&shakedown.reports("out")), ["a", "b", "c"]);
    for flags in [["--dry-run", "--quick"], ["--dry-run", "--last-failed"], ["--dry-run", "--overkill"]] {
        shakedown.run(&[&["run", "suite"], &flags[..]].concat()).expect_code(2).expect_stderr(&flags);
    }
    for flag in ["--quick", "--overkill", "--last-failed"] {
        let refused = shakedown.run(&["calibrate", "suite", flag]).expect_code(2);
        refused.expect_stderr(&[flag, "does not apply to `calibrate`"]);
    }
    assert!(!shakedown.path("shakedown-results").exists(), "nothing ran");
}

/// A scenario without a cluster may be in a suite for a sandbox.
#[test]
fn a_scenario_with_a_url_only_does_not_choose_the_sandbox() {
    let shakedown = Shakedown::new();
    suite(&shakedown, &[("a", 200)]);
    shakedown.file("suite/two.yaml", TWO_AND_A_LOAD.replace("URL", &serve(200)));
    shakedown.file("suite/topology.txt", TWO);
    let planned = shakedown.run(&["plan", "suite", "--sandbox"]).expect_code(0);
    planned.expect_stdout(&["client-"]);
}

/// A fault in the topology [`TWO`].
const TWO_AND_A_LOAD: &str = r#"
version: 1
name: two
sandbox: {topology: topology.txt}
namespace: two
load: {pages: {http: {url: "URL"}, rate: 50/s}}
phases:
  - {name: baseline, duration: 3s}
  - {name: kill, duration: 5s, faults: {kill: {pod_kill: {pods: {owner: deployment/client, count: 1}}}}}
"#;

#[test]
fn a_scenario_comes_from_stdin_and_f_and_dry_run_are_as_in_kubectl() {
    let shakedown = Shakedown::new();
    shakedown.file("plain.yaml", url_scenario(&serve(200)));
    let mut piped = shakedown.command("sh");
    piped.args(["-c", "exec \"$0\" validate - <plain.yaml", BINARY]);
    Running::start(&mut piped).finish(LIMIT).expect_code(0).expect_stdout(&["-: plain is valid"]);
    shakedown.run(&["validate", "-f", "plain.yaml"]).expect_code(0).expect_stdout(&["plain.yaml: plain is valid"]);
    let dry = shakedown.run(&["run", "--dry-run", "-f", "plain.yaml", "--seed", "7"]).expect_code(0);
    let plan = shakedown.run(&["plan", "plain.yaml", "--seed", "7"]).expect_code(0);
    assert_eq!(dry.stdout, plan.stdout);
    assert!(!shakedown.path("shakedown-results").exists(), "nothing ran");
}

#[test]
fn a_report_is_rendered_next_to_its_result() {
    let shakedown = Shakedown::undisturbed();
    suite(&shakedown, &[("a", 200)]);
    shakedown.run(&["run", "suite", "--out", "out"]).expect_code(0);
    let before = shakedown.reports("out");
    let page = before.text("report.html");
    std::fs::remove_file(before.path("report.html")).expect("the page");
    shakedown.run(&["report", "out/result.json"]).expect_code(0).expect_stdout(&["out\n"]);
    let after = shakedown.reports("out");
    assert_eq!((after.text("report.html"), &after.result), (page, &before.result));
    assert!(!shakedown.path("out/earlier").exists(), "it is the same run");
    shakedown.run(&["report", "out"]).expect_code(0);
}

#[test]
fn two_processes_do_not_share_a_result_folder() {
    let shakedown = Shakedown::new();
    shakedown.file("long.yaml", url_scenario(&serve(200)).replace("duration: 2s", "duration: 60s"));
    let first = shakedown.start(&["run", "long.yaml", "--out", "out"]);
    first.stderr_line("phase only", LIMIT);
    let parts = ["another process of shakedown is writing to the result folder `out`", "help: choose another folder"];
    shakedown.run(&["run", "long.yaml", "--out", "out"]).expect_code(2).expect_stderr(&parts);
    first.signal(Signal::TERM);
    let first = first.finish(LIMIT).expect_code(143);
    let reports = shakedown.reports("out");
    assert_eq!(reports.result.run.interrupted.as_deref(), Some("SIGTERM"), "{first}");
    assert!(!shakedown.path("out/earlier").exists(), "nothing was moved");
    // The next run may write there.
    shakedown.run(&["report", "out"]).expect_code(0);
}

#[test]
fn a_shortened_run_is_short_and_never_a_pass() {
    let shakedown = Shakedown::undisturbed();
    let text = url_scenario(&serve(200)).replace("duration: 2s", "duration: 60s");
    shakedown.file("long.yaml", text);
    let run = |args: &[&str], code| {
        let finished = shakedown.run(&[&["run", "long.yaml", "--out", "out"], args].concat()).expect_code(code);
        (finished, shakedown.reports("out"))
    };
    let (finished, reports) = run(&["--quick"], 4);
    finished.expect_stdout(&["inconclusive  plain", "a shortened run, in which every expectation held"]);
    let planned = reports.phase("only").planned_s;
    assert!((6.0..6.1).contains(&planned), "{planned}");
    assert_eq!(reports.junit_failures().len(), 1, "JUnit is not green");
    assert!(reports.text("report.html").contains("shortened run"));
    let (_, reports) = run(&["--speed", "20"], 4);
    assert!((5.0..5.1).contains(&reports.phase("only").planned_s), "no phase has less than 5 s");
    for wrong in [vec!["--speed", "1"], vec!["--speed", "x"], vec!["--quick", "--control"]] {
        shakedown.run(&[&["run", "long.yaml"], &wrong[..]].concat()).expect_code(2);
    }
}

#[test]
fn the_project_file_has_defaults_that_flags_and_variables_precede() {
    let shakedown = Shakedown::new().env("SHAKEDOWN_SKIP_TAG", "slow");
    suite(&shakedown, &[("a", 200), ("b", 200)]);
    std::fs::create_dir_all(shakedown.path(".git")).expect("a checkout");
    shakedown.file(
        "shakedown.yaml",
        "filter: [a]\nskip-tag: never\nrun:\n  out: results\n  retries: 2\n  fail_fast: true\nlist: {json: true}\n",
    );
    shakedown.run(&["list", "suite"]).expect_code(0).expect_stdout(&["\"name\": \"a\""]);
    let flag = shakedown.run(&["list", "suite", "--filter", "b"]).expect_code(0);
    assert!(flag.stdout.contains("\"b\"") && !flag.stdout.contains("\"a\""), "{flag}");
    let row = |text: &str, flag: &str| -> String {
        let line = text.lines().find(|line| line.starts_with(&format!("{flag} "))).unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let shown = shakedown.run(&["config", "run", "--retries", "1"]).expect_code(0).stdout;
    for (flag, line) in [
        ("--filter", "--filter a shakedown.yaml:1"),
        ("--skip-tag", "--skip-tag slow SHAKEDOWN_SKIP_TAG"),
        ("--out", "--out results shakedown.yaml:4"),
        ("--retries", "--retries 1 the command line"),
        ("--fail-fast", "--fail-fast true shakedown.yaml:6"),
        ("--undo-timeout", ""),
    ] {
        assert_eq!(row(&shown, flag), line, "{shown}");
    }
    let all = shakedown.run(&["config", "--all"]).expect_code(0).stdout;
    assert_eq!(row(&all, "--undo-timeout"), "--undo-timeout 60s default", "{all}");
    // Below the file, its paths are its own. A folder with the file is a suite without it.
    let below = |args: &[&str]| {
        let mut command = shakedown.command(BINARY);
        command.args(args).current_dir(shakedown.path("suite"));
        Running::start(&mut command).finish(LIMIT)
    };
    let shown = below(&["config", "run"]).expect_code(0);
    let out = row(&shown.stdout, "--out");
    assert!(out.contains("/results ") && out.ends_with("shakedown.yaml:4"), "{shown}");
    below(&["list", ".."]).expect_code(0);
    for (text, parts) in [
        ("retrys: 1\n", ["shakedown.yaml:1:1", "did you mean `retries`?"]),
        ("runn: {retries: 1}\n", ["there is no command `runn`", "did you mean `run`?"]),
        ("list: {retries: 1}\n", ["shakedown.yaml:1:8", "there is no flag of this command `retries`"]),
        ("retries: x\n", ["--retries", "invalid"]),
    ] {
        shakedown.file("shakedown.yaml", text);
        shakedown.run(&["run", "suite"]).expect_code(2).expect_stderr(&parts);
    }
}

#[test]
fn a_secret_comes_from_a_file() {
    let shakedown = Shakedown::new();
    let text = url_scenario("http://127.0.0.1:1/").replace("vars: {}", "");
    shakedown.file("plain.yaml", format!("{text}description: \"for {{{{ token }}}}\"\nvars: {{token: none}}\n"));
    shakedown.file("token", "hunter2-of-the-file\n");
    let listed = |secret: &str| shakedown.run(&["list", "--json", "plain.yaml", "--secret", secret]);
    listed("token@token").expect_code(0).expect_stdout(&["\"for [redacted]\""]);
    listed("token=a@b=long").expect_code(0).expect_stdout(&["\"for [redacted]\""]);
    listed("token@nowhere").expect_code(2).expect_stderr(&["the file `nowhere` of --secret token cannot be read"]);
}

#[test]
fn a_matrix_is_a_suite_with_a_table_and_curves() {
    let shakedown = Shakedown::undisturbed();
    let text = url_scenario(&serve(200)).replace("rate: 100/s", "rate: \"{{ rate }}/s\"").replace(": 2s", ": 1s");
    let matrix = "matrix:\n  rate: [50, 100, 150]\n  kind: [a, b]\n  exclude: [{rate: 150, kind: b}]\ndescription: \"{{ kind }}\"\n";
    shakedown.file("many.yaml", format!("{text}{matrix}"));
    let listed = shakedown.run(&["list", "many.yaml"]).expect_code(0);
    assert_eq!(listed.stdout.lines().count(), 5, "{listed}");
    let run = ["run", "many.yaml", "--filter", "/-a$/", "--out", "out", "--retry-inconclusive", "2"];
    shakedown.run(&run).expect_code(0);
    let reports = shakedown.reports("out");
    assert_eq!(names(&reports), ["plain-50-a", "plain-100-a", "plain-150-a"]);
    assert_eq!(reports.result.scenarios[1].matrix["rate"], 100);
    let page = reports.text("report.html");
    assert!(page.contains("Combinations of") && page.contains("Success rate over rate"), "the table and the curve");
    assert!(reports.text("summary.md").contains("| rate | kind | Verdict | Success rate | p95 | Recovery |"));
    let one = shakedown.run(&["list", "many.yaml", "--var", "rate=70"]).expect_code(0);
    one.expect_stdout(&["plain-70-a", "plain-70-b"]);
}

#[test]
fn the_resolved_file_is_the_same_scenario_without_its_variables() {
    let shakedown = Shakedown::new();
    let text = url_scenario("http://127.0.0.1:1/").replace("rate: 100/s", "rate: \"{{ rate }}/s\"");
    shakedown.file("one.yaml", format!("{text}vars: {{rate: 100}}\n"));
    let resolved = shakedown.run(&["plan", "--resolved", "one.yaml", "--var", "rate=60"]).expect_code(0);
    assert!(resolved.stdout.contains("rate: \"60/s\"") && !resolved.stdout.contains("vars"), "{resolved}");
    shakedown.file("again.yaml", &resolved.stdout);
    let again = shakedown.run(&["plan", "--resolved", "again.yaml"]).expect_code(0);
    assert_eq!((again.stdout, again.stderr), (resolved.stdout, String::new()));
    shakedown.file("many.yaml", format!("{text}matrix: {{rate: [50, 60]}}\n"));
    let many = shakedown.run(&["plan", "--resolved", "many.yaml"]).expect_code(0);
    assert!(
        many.stdout.contains("name: plain-50\n") && many.stdout.contains("\n---\n") && !many.stdout.contains("matrix"),
        "{many}"
    );
}
