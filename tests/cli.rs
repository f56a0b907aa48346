//! The command line without any cluster: reading files, saying what is wrong with them, and the exit codes that scripts
//! depend on.

use std::time::Duration;

use base64::Engine as _;
use shakedown_schemas::result::Verdict;

use crate::support::process::Running;
use crate::support::server::{closed_port, serve};
use crate::support::shakedown::{BINARY, Shakedown};
use crate::support::{need, none_of, root, scenario};

/// Bad input must be refused well within this, whatever it is.
const REFUSED: Duration = Duration::from_secs(40);

/// A scenario that needs no cluster, against this URL. Two late requests of its 200 make it inconclusive, so that a test of
/// its verdict is undisturbed.
pub fn url_scenario(url: &str) -> String {
    format!(
        "version: 1
name: plain
load:
  pages:
    http: {{url: '{url}'}}
    rate: 100/s
    timeout: 2s
phases:
  - name: only
    duration: 2s
    expect:
      - success_rate: {{min: 90%}}
"
    )
}

#[test]
fn what_is_no_id_of_a_run_is_refused() {
    for id in ["", "a b/..", "RUN"] {
        let refused = Shakedown::new().run(&["cleanup", "--check", "--run", id]);
        refused.expect_code(2).expect_stderr(&["this is not the id of a run"]);
    }
}

#[test]
fn a_variable_is_of_the_suite_and_a_namespace_is_the_same_everywhere() {
    let shakedown = Shakedown::new();
    let plain = url_scenario("http://127.0.0.1:1/");
    shakedown.file("suite/one.yaml", format!("{plain}description: \"{{{{ shop }}}}\"\nvars: {{shop: a}}\n"));
    shakedown.file("suite/other.yaml", &plain);
    shakedown.run(&["validate", "suite", "--var", "shop=b"]).expect_code(0);
    shakedown.run(&["validate", "suite", "--var", "shpo=b"]).expect_code(2).expect_stderr(&["--var shpo", "`shop`"]);
    shakedown.run(&["validate", "suite/other.yaml", "--var", "shop=b"]).expect_code(2).expect_stderr(&["--var shop"]);

    shakedown.file("named.yaml", format!("{plain}namespace: shop\n"));
    for command in ["plan", "run"] {
        shakedown
            .run(&[command, "named.yaml", "--namespace", "shpo"])
            .expect_code(2)
            .expect_stderr(&["named.yaml:", "`namespace: shop` does not match `--namespace shpo`"]);
    }
    // The same one is no problem, and nor is a file without one: these get as far as their service.
    for file in ["named.yaml", "suite/other.yaml"] {
        let planned = shakedown.run(&["plan", file, "--namespace", "shop"]);
        planned.expect_code(3).expect_stderr(&["cannot connect to 127.0.0.1:1"]);
    }
}

/// A scenario with a fault, which needs a cluster.
fn cluster_scenario() -> String {
    std::fs::read_to_string(scenario("quickstart.yaml")).expect("the quickstart")
}

#[test]
fn every_shipped_scenario_is_valid_and_in_the_index() {
    let shakedown = Shakedown::new();
    let folder = root().join("scenarios");
    let listed = shakedown.run(&["list", "--json", folder.to_str().expect("UTF-8")]).expect_code(0);
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let index = std::fs::read_to_string(folder.join("README.md")).expect("the index");
    let schema = std::fs::read_to_string(root().join("schemas/scenario.schema.json")).expect("the schema");
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).expect("JSON")).expect("a schema");
    let mut problems = Vec::new();
    for it in listed.as_array().expect("a list") {
        let file = it["file"].as_str().expect("a file");
        let name = file.rsplit('/').next().unwrap_or_default();
        if !index.contains(&format!("({name})")) {
            problems.push(format!("{name} is not in the index"));
        }
        shakedown.run(&["validate", file]).expect_code(0).expect_stdout(&["is valid"]);
        let text = std::fs::read_to_string(file).expect("a scenario");
        let value: serde_json::Value = serde_saphyr::from_str(&text).expect("YAML");
        problems
            .extend(schema.iter_errors(&value).map(|error| format!("{name}: {error} at {}", error.instance_path())));
    }
    assert!(listed.as_array().is_some_and(|all| all.len() >= 6), "{listed}");
    none_of(&problems);
}

#[test]
fn all_errors_of_all_files_come_at_once_with_their_places() {
    let shakedown = Shakedown::new();
    let good = cluster_scenario();
    shakedown.file("typo.yaml", good.replace("duration: 12s", "duraton: 12s"));
    shakedown.file("unit.yaml", good.replace("duration: 12s", "duration: 12"));
    shakedown.file("later.yaml", good.replace("to: baseline", "to: basline"));
    shakedown.file("negative.yaml", good.replace("duration: 12s", "duration: -12s"));
    let line = |part: &str| 1 + good.lines().position(|line| line.contains(part)).expect("the line");
    let (duration, ratio) = (line("duration: 12s"), line("to: baseline"));
    let finished = shakedown
        .run(&["validate", "typo.yaml", "missing.yaml", "unit.yaml", "later.yaml", "negative.yaml"])
        .expect_code(2)
        .expect_stderr(&["in 5 files", "`missing.yaml`", "duraton: 12s", "`duration`", "`baseline`"]);
    for (file, line) in [("typo", duration), ("unit", duration), ("later", ratio), ("negative", duration)] {
        let place = format!("{file}.yaml:{line}:");
        assert!(finished.stderr.contains(&place), "no error points to {place}\n{finished}");
    }
    assert_eq!(finished.stdout, "", "a file that is not valid is not called valid");
}

#[test]
fn an_empty_fault_and_an_unknown_variable_are_errors() {
    let shakedown = Shakedown::new();
    let text = cluster_scenario();
    let begin = text.find("      nats-cut:").expect("the fault");
    let end = text[begin..].find("    expect:").expect("its end") + begin;
    shakedown.file("empty.yaml", format!("{}      nats-cut: {{}}\n{}", &text[..begin], &text[end..]));
    shakedown.run(&["validate", "empty.yaml"]).expect_code(2).expect_stderr(&["empty.yaml:", "nats-cut"]);
    let quickstart = scenario("quickstart.yaml");
    shakedown.run(&["validate", &quickstart, "--var", "wroker=x"]).expect_code(2).expect_stderr(&["wroker", "worker"]);
    shakedown.run(&["validate", &quickstart, "--var", "worker"]).expect_code(2).expect_stderr(&["--var name=value"]);
}

#[test]
fn variables_come_from_the_file_then_the_vars_file_then_the_command_line() {
    let shakedown = Shakedown::new();
    let text = url_scenario("http://127.0.0.1:1").replace("load:", "vars: {name: a}\nload:");
    shakedown.file("named.yaml", text.replace("name: plain", "name: 'is-{{ name }}'"));
    shakedown.file("vars.yaml", "name: b\n");
    for (args, name) in [
        (vec![], "is-a"),
        (vec!["--vars-file", "vars.yaml"], "is-b"),
        (vec!["--vars-file", "vars.yaml", "--var", "name=c"], "is-c"),
    ] {
        shakedown.run(&[&["list", "named.yaml"], &args[..]].concat()).expect_code(0).expect_stdout(&[name]);
    }
}

#[test]
fn the_terminal_says_as_much_as_is_asked_and_colours_only_where_it_may() {
    let shakedown = Shakedown::undisturbed();
    let short = url_scenario(&serve(200)).replace("duration: 2s", "duration: 1s").replace("timeout: 2s", "timeout: 1s");
    shakedown.file("plain.yaml", short);
    let run = |flags: &[&str]| shakedown.run(&[&["run", "plain.yaml", "--out", "out"], flags].concat()).expect_code(0);
    let lines = |text: &str| text.lines().count();
    let usual =
        run(&[]).expect_stderr(&["phase only for 1s", "plain: pass"]).expect_stdout(&["pass  plain", "report.html"]);
    assert!(!usual.stdout.contains('\x1b') && !usual.stderr.contains('\x1b'), "{usual}");
    assert!(lines(&usual.stdout) <= 24, "the summary fits a screen\n{usual}");
    // Where there is no terminal, every line says when.
    let stamped = |line: &str| {
        let at = line.split_once("Z ").map_or("", |(at, _)| at);
        at.len() == 8 && at.chars().enumerate().all(|(i, c)| if i % 3 == 2 { c == ':' } else { c.is_ascii_digit() })
    };
    assert!(usual.stderr.lines().all(stamped), "{usual}");
    let quiet = run(&["-q"]).expect_stdout(&["pass  plain"]);
    assert_eq!(quiet.stderr, "", "{quiet}");
    let verbose = run(&["-v"]).expect_stderr(&["load started", "phase only over"]);
    assert!(lines(&verbose.stderr) > lines(&usual.stderr), "{verbose}");
    // A flag is stronger than NO_COLOR, which these tests set.
    let colored = run(&["--color", "always"]);
    assert!(colored.stdout.contains("\x1b[1;32mpass\x1b[0m") && colored.stderr.contains("\x1b["), "{colored}");
    let forced = Shakedown::command(&shakedown, BINARY)
        .args(["run", "plain.yaml", "--out", "out"])
        .env_remove("NO_COLOR")
        .env("CLICOLOR_FORCE", "1")
        .output()
        .expect("a run");
    assert!(String::from_utf8_lossy(&forced.stdout).contains("\x1b[1;32mpass"), "{forced:?}");
}

#[test]
fn files_that_are_no_scenarios_are_refused_at_once() {
    let shakedown = Shakedown::new();
    let bomb = {
        let mut text = "version: 1\nname: bomb\na0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for level in 1..12 {
            let before = format!("*a{}", level - 1);
            text += &format!("a{level}: &a{level} [{}]\n", [before.as_str(); 9].join(", "));
        }
        text
    };
    let huge = cluster_scenario() + &"# nothing of interest\n".repeat((50 << 20) / 22);
    shakedown.file("empty.yaml", "");
    shakedown.file("comment.yaml", "# later\n");
    shakedown.file("not.yaml", "{ this: is: not [ yaml\n");
    shakedown.file("binary.yaml", [0_u8, 159, 146, 150, 255, 254, 0, 1]);
    shakedown.file("list.yaml", "- version: 1\n");
    shakedown.file("bomb.yaml", bomb);
    shakedown.file("huge.yaml", huge);
    for (file, part) in [
        ("missing.yaml", "missing.yaml"),
        ("empty.yaml", "no content"),
        ("comment.yaml", "no content"),
        ("not.yaml", "not.yaml:1"),
        ("binary.yaml", "UTF-8"),
        ("list.yaml", "list.yaml:1"),
        ("bomb.yaml", "bomb.yaml"),
        ("huge.yaml", "bytes"),
    ] {
        for command in ["validate", "run"] {
            let finished = shakedown.run(&[command, file]).expect_code(2).expect_stderr(&[part]);
            assert!(finished.took < REFUSED, "{command} {file} took {:?}", finished.took);
            assert!(finished.stderr.len() < 5000, "{command} {file} says {} bytes", finished.stderr.len());
        }
    }
    assert!(!shakedown.path("shakedown-results").exists(), "nothing ran, so there are no results");
}

#[test]
fn nothing_selected_is_exit_code_5() {
    let shakedown = Shakedown::new();
    let folder = root().join("scenarios").display().to_string();
    std::fs::create_dir(shakedown.path("none")).expect("a folder");
    for args in [
        vec!["run", &folder, "--tag", "no-such-tag"],
        vec!["list", &folder, "--skip-tag", "network-policy,chaos-mesh,kubernetes,load"],
        vec!["list", "none"],
        vec!["list", "none/*.yaml"],
    ] {
        let finished = shakedown.run(&args).expect_code(5);
        assert!(finished.stdout.is_empty() && !finished.stderr.is_empty(), "{finished}");
    }
    let fast = shakedown.run(&["list", &folder, "--tag", "fast"]).expect_code(0);
    assert!(fast.stdout.contains("quickstart") && !fast.stdout.contains("block-pods"), "{fast}");
}

#[test]
fn schemas_are_printed_as_they_are_checked_in() {
    let shakedown = Shakedown::new();
    for which in ["scenario", "result", "event", "topology"] {
        let printed = shakedown.run(&["schema", which]).expect_code(0).stdout;
        let path = root().join(format!("schemas/{which}.schema.json"));
        let kept = std::fs::read_to_string(path).expect("a schema");
        assert!(printed == kept, "schemas/{which}.schema.json is not fresh: run `shakedown schema --write`");
    }
}

#[test]
fn usage_errors_are_exit_code_2_and_help_is_0() {
    let shakedown = Shakedown::new();
    for args in
        [vec![], vec!["run"], vec!["no-such-command"], vec!["run", "x.yaml", "--no-such-flag"], vec!["report", "x"]]
    {
        shakedown.run(&args).expect_code(2);
    }
    shakedown.run(&["--help"]).expect_code(0).expect_stdout(&["run", "plan", "validate", "report"]);
    shakedown.run(&["--version"]).expect_code(0).expect_stdout(&[env!("CARGO_PKG_VERSION")]);
    shakedown.run(&["completions", "bash"]).expect_code(0).expect_stdout(&["shakedown"]);
}

#[test]
fn a_cluster_that_does_not_answer_is_exit_code_3() {
    let port = closed_port();
    let shakedown = Shakedown::new();
    shakedown.file(
        "kubeconfig",
        format!(
            "{{apiVersion: v1, kind: Config, current-context: c, users: [{{name: u, user: {{token: t}}}}],
             clusters: [{{name: k, cluster: {{server: 'https://127.0.0.1:{port}'}}}}],
             contexts: [{{name: c, context: {{cluster: k, user: u}}}}]}}"
        ),
    );
    let shakedown = shakedown.env("KUBECONFIG", "kubeconfig");
    let address = format!("127.0.0.1:{port}");
    let quickstart = scenario("quickstart.yaml");
    for args in [vec!["plan", &quickstart], vec!["cleanup", "--all"], vec!["run", &quickstart, "--out", "out"]] {
        let finished = shakedown.run(&args).expect_code(3).expect_stderr(&[&address, "does not answer", "help:"]);
        assert!(finished.took < REFUSED, "{args:?} took {:?}", finished.took);
    }
    let reports = shakedown.reports("out");
    assert_eq!((reports.result.exit_code, reports.result.verdict), (3, Verdict::Error), "{}", reports.found());
    assert!(!reports.junit_failures().is_empty(), "a CI system sees that nothing was tested");
    assert!(reports.text("report.html").contains("does not answer"), "the page says why");
}

#[test]
fn no_kubeconfig_at_all_is_exit_code_3_and_names_the_sandbox() {
    let shakedown = Shakedown::new();
    let quickstart = scenario("quickstart.yaml");
    shakedown.run(&["plan", &quickstart]).expect_code(3).expect_stderr(&["no cluster is configured", "--sandbox"]);
    let nowhere = shakedown.run(&["plan", &quickstart, "--kubeconfig", "nowhere"]).expect_code(3);
    assert!(nowhere.stderr.contains("nowhere"), "{nowhere}");
}

#[test]
fn a_url_needs_no_cluster() {
    let shakedown = Shakedown::undisturbed();
    shakedown.file("plain.yaml", url_scenario(&serve(200)));
    shakedown.run(&["run", "plain.yaml", "--out", "out"]).expect_code(0);
    let reports = shakedown.reports("out");
    let requests = reports.expectation("only", "success_rate").samples;
    // 100/s for 2 s: the number is the schedule's, up to the moment when the phase really ended.
    assert!((200..=210).contains(&requests), "{}", reports.found());
    assert_eq!(reports.junit_failures(), Vec::<String>::new());
}

#[test]
fn a_service_that_refuses_every_connection_is_exit_code_3_before_any_load() {
    let shakedown = Shakedown::new();
    let address = format!("127.0.0.1:{}", closed_port());
    shakedown.file("plain.yaml", url_scenario(&format!("http://{address}")));
    let finished = shakedown
        .run(&["run", "plain.yaml", "--out", "out"])
        .expect_code(3)
        .expect_stderr(&[&address, "refused", "help:"]);
    assert!(!finished.stderr.contains("phase only"), "load was sent\n{finished}");
    let reports = shakedown.reports("out");
    assert_eq!(reports.result.verdict, Verdict::Error);
    assert!(!reports.junit_failures().is_empty());
}

#[test]
fn a_machine_without_files_to_open_is_not_held_against_the_service() {
    let shakedown = Shakedown::undisturbed();
    // It takes requests and never answers, so that each one keeps its connection until its timeout.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    std::thread::spawn(move || silent.incoming().collect::<Vec<_>>());
    let text = url_scenario(&url).replace("timeout: 2s", "timeout: 1s").replace("rate: 100/s", "rate: 1000/s");
    assert!(text.contains("timeout: 1s") && text.contains("rate: 1000/s"), "{text}");
    shakedown.file("silent.yaml", text);
    let mut command = shakedown.command("sh");
    command.args(["-c", "ulimit -n 28; exec \"$0\" run silent.yaml --out out", BINARY]);
    Running::start(&mut command).finish(Duration::from_secs(60));
    let reports = shakedown.reports("out");
    let load = &reports.phase("only").loads[0];
    assert_eq!(load.stats.succeeded, 0);
    // Connections that are given up make room for the requests that wait, but not for all of them in time.
    let count = |name: &str| load.stats.errors.get(name).copied().unwrap_or(0);
    assert!(count("not_sent_connections") >= 20 && count("timeout") >= 10, "{:?}", load.stats.errors);
    assert_eq!(count("not_sent_limit"), 0);
    assert!(reports.text("report.html").contains("this machine could not open another connection"));
}

/// How many values a histogram in the exchange format has.
fn values_of(text: &str) -> u64 {
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
    let read = hdrhistogram::serialization::Deserializer::new().deserialize::<u64, _>(&mut bytes.as_slice());
    read.expect("a histogram").len()
}

#[test]
fn load_alone_keeps_the_pace_of_each_phase_and_asks_no_cluster() {
    let shakedown = Shakedown::new();
    let broken = shakedown.file("broken", "this is no kubeconfig");
    let shakedown = shakedown.env("KUBECONFIG", broken);
    let url = format!("url={}", serve(200));
    let file = scenario("load-only.yaml");
    let short = [file.as_str(), "--var", &url, "--var", "length=6s", "--seed", "7"];
    let plan = shakedown.run(&[&["plan"], &short[..]].concat()).expect_code(0);
    plan.expect_stdout(&[
        "50/s, Poisson arrivals",
        "load visitors: 50/s to 200/s, 750 requests",
        "load users: 0 at a time",
    ]);
    let data = shakedown.run(&[&["plan", "--output", "json"], &short[..]].concat()).expect_code(0);
    let data: serde_json::Value = serde_json::from_str(&data.stdout).expect("JSON");
    let plan = &data["plans"][0];
    assert_eq!((&plan["seed"], &plan["loads"][0]["route"]["by"]), (&7.into(), &"url".into()), "{plan}");
    assert_eq!(plan["phases"][1]["loads"]["visitors"], "50/s to 200/s, 750 requests", "{plan}");
    assert_eq!((&plan["faults"], &plan["fuses"]), (&serde_json::json!([]), &serde_json::json!([])), "{plan}");
    shakedown.run(&[&["run", "--out", "out"], &short[..]].concat()).expect_code(0);
    let reports = shakedown.reports("out");
    let scenario = reports.scenario();
    assert!(scenario.cluster.is_none() && scenario.inconsistencies().is_empty(), "{:?}", scenario.inconsistencies());
    let of = |phase: &str, load: usize| reports.phase(phase).loads[load].clone();
    let paces: Vec<String> =
        scenario.phases.iter().filter_map(|it| Some(it.loads[0].generator.as_ref()?.pace.clone())).collect();
    assert_eq!(paces, ["50/s", "50/s to 200/s", "0/s", "50/s"]);
    // Drawn from the seed: 750 on average, four standard deviations around that.
    let climb = of("climb", 0);
    assert!((640..=860).contains(&climb.stats.requests), "{}", climb.stats.requests);
    let planned = climb.generator.as_ref().and_then(|it| it.planned).expect("an open loop");
    assert!((740.0..770.0).contains(&planned), "{planned}");
    let lateness = climb.generator.as_ref().and_then(|it| it.lateness.as_ref()).expect("an open loop");
    assert_eq!(lateness.stats.count, climb.stats.requests);
    assert_eq!(of("pause", 0).stats.requests, 0);
    let users = of("climb", 1).generator.expect("a closed loop");
    assert!(users.planned.is_none() && users.corrected.is_some_and(|it| it.interval_ms > 100.0));
    assert!(scenario.warnings.iter().any(|it| it.contains("`users` is a closed loop")), "{:?}", scenario.warnings);
    // Windows of the series add up to the whole in the exchange format.
    for (load, series) in scenario.loads.iter().zip(&scenario.series) {
        let windows = series.points.iter().filter_map(|point| point.latency_hdr.as_deref());
        assert_eq!(load.issued, Some(windows.map(values_of).sum()), "{}", load.name);
    }
    assert!(reports.text("report.html").contains("The load generator"));
}

#[test]
fn a_service_that_answers_with_errors_fails_and_they_are_named() {
    let shakedown = Shakedown::undisturbed();
    shakedown.file("plain.yaml", url_scenario(&serve(503)));
    shakedown.run(&["run", "plain.yaml", "--out", "out"]).expect_code(1).expect_stdout(&["fail", "http_503"]);
    let reports = shakedown.reports("out");
    let stats = &reports.phase("only").loads[0].stats;
    assert!(stats.requests >= 200 && stats.succeeded == 0, "{stats:?}");
    assert_eq!(stats.errors.iter().collect::<Vec<_>>(), [(&"http_503".to_owned(), &stats.requests)]);
    let rate = reports.expectation("only", "success_rate");
    assert_eq!((rate.verdict, rate.observed), (Verdict::Fail, Some(0.0)));
    assert_eq!(reports.junit_failures().len(), 1);
}

#[test]
fn several_files_run_one_after_the_other_and_the_worst_decides() {
    let shakedown = Shakedown::undisturbed();
    let good = url_scenario(&serve(200));
    shakedown.file("suite/a.yaml", &good);
    shakedown.file("suite/b.yaml", url_scenario(&serve(500)).replace("name: plain", "name: broken"));
    shakedown.file("suite/c.yaml", good.replace("name: plain", "name: third"));
    shakedown.run(&["run", "suite", "--out", "out"]).expect_code(1);
    let reports = shakedown.reports("out");
    let verdicts: Vec<_> = reports.result.scenarios.iter().map(|it| (it.name.as_str(), it.verdict)).collect();
    assert_eq!(verdicts, [("plain", Verdict::Pass), ("broken", Verdict::Fail), ("third", Verdict::Pass)]);
    assert_eq!(reports.junit.test_suites.len(), 3);
}

#[test]
fn without_out_the_results_have_the_runs_id_and_latest_points_to_them() {
    let shakedown = Shakedown::undisturbed();
    shakedown.file("plain.yaml", url_scenario(&serve(200)));
    shakedown.run(&["run", "plain.yaml"]).expect_code(0);
    let reports = shakedown.reports("shakedown-results/latest");
    let id = &reports.result.run.id;
    assert_eq!(shakedown.reports(&format!("shakedown-results/{id}")).result, reports.result);
}

#[test]
fn a_result_folder_that_cannot_be_written_ends_the_run_before_it_begins() {
    let shakedown = Shakedown::new();
    shakedown.file("plain.yaml", url_scenario(&serve(200)));
    shakedown.file("taken", "a file");
    for (out, code) in [("taken", 2), ("taken/below", 2), ("/proc/results", 3)] {
        let finished = shakedown.run(&["run", "plain.yaml", "--out", out]).expect_code(code);
        assert!(finished.stderr.contains(out) && finished.stderr.contains("help:"), "{finished}");
        assert!(!finished.stderr.contains("phase only"), "it began all the same\n{finished}");
    }
    assert_eq!(std::fs::read_to_string(shakedown.path("taken")).expect("the file"), "a file");
}

/// A disk of its own that fills up. It is mounted where only the child and this test see it.
#[test]
#[ignore = "needs the right to mount a disk"]
fn a_full_disk_is_exit_code_3() {
    let shakedown = Shakedown::new();
    shakedown.file("plain.yaml", url_scenario(&serve(200)));
    std::fs::create_dir(shakedown.path("disk")).expect("a folder");
    let user = if rustix::process::geteuid().is_root() { "-m" } else { "-Urm" };
    let unshare = |script: &str| {
        let mut command = shakedown.command("unshare");
        command.args([user, "sh", "-c", script, BINARY, "run", "plain.yaml", "--out", "disk/out"]);
        Running::start(&mut command)
    };
    let mount = "mount -t tmpfs -o size=1m none disk";
    need("unshare");
    let mounted = unshare(mount).finish(REFUSED);
    assert_eq!(mounted.code(), 0, "this test needs the right to mount a disk: {mounted}");
    // Full from the start: nothing may begin.
    let full = unshare(&format!("{mount}; cat /dev/zero 2>/dev/null >disk/filled; exec \"$0\" \"$@\""));
    let full = full.finish(REFUSED).expect_code(3).expect_stderr(&["could not write", "No space left", "help:"]);
    assert!(!full.stderr.contains("phase only"), "{full}");
    // Full at the end: the run has been, its reports do not fit, and each of them is missing rather than half there.
    let running = unshare(&format!("{mount}; \"$0\" \"$@\"; code=$?; ls -A disk/out; exit $code"));
    running.stderr_line("phase only", REFUSED);
    let filled = format!("/proc/{}/root{}", running.id(), shakedown.path("disk/filled").display());
    std::fs::write(filled, vec![0; 2 << 20]).expect_err("the disk is smaller than that");
    let late = running.finish(REFUSED).expect_code(3).expect_stderr(&["could not write", "No space left", "help:"]);
    assert!(late.stdout.ends_with("\nevents.ndjson\n"), "{late}");
}

#[test]
fn a_report_of_something_else_is_exit_code_2() {
    let shakedown = Shakedown::new();
    shakedown.file("other.json", "{\"hello\": 1}");
    shakedown.file("broken.json", "{");
    for file in ["other.json", "broken.json", "missing.json"] {
        shakedown.run(&["report", file, "--out", "out"]).expect_code(2).expect_stderr(&[file]);
    }
    assert!(!shakedown.path("out").exists());
}

/// An error without a next step leaves its reader alone.
#[test]
fn every_error_of_the_command_line_has_a_next_step() {
    let shakedown = Shakedown::new();
    for folder in ["none", "empty"] {
        std::fs::create_dir(shakedown.path(folder)).expect("a folder");
    }
    shakedown.file("plain.yaml", url_scenario("http://127.0.0.1:1"));
    shakedown.file("empty.yaml", "");
    shakedown.file("comment.yaml", "# nothing\n");
    shakedown.file("list.yaml", "- a\n");
    shakedown.file("other.json", "{}");
    shakedown.file("topology.yaml", "namespace: a\nworkloads: [{name: A, program: {}}]\n");
    shakedown.file("binary.dat", [0xff, 0xfe, 0x00]);
    let result = shakedown_reports::sample::passing();
    let mut other = result.clone();
    other.scenarios[0].name = "other".to_owned();
    for (name, result) in [("one.json", &result), ("two.json", &other)] {
        shakedown.file(name, serde_json::to_string(result).expect("JSON"));
    }
    for args in [
        "run none",
        "run none/*.yaml",
        "run missing.yaml",
        "run a[ plain.yaml",
        "run empty.yaml",
        "run comment.yaml",
        "run plain.yaml --tag nothing",
        "run plain.yaml --shard 2/2",
        "run plain.yaml --var x",
        "run plain.yaml --var 1=x",
        "run plain.yaml --vars-file missing.yaml",
        "run plain.yaml --vars-file list.yaml",
        "run plain.yaml --vars-file empty.yaml",
        "run plain.yaml --secret TOKEN_THAT_IS_NOT_SET",
        "run plain.yaml --secret a=b",
        "run plain.yaml --secret a@missing",
        "run plain.yaml --secret a@binary.dat",
        "run plain.yaml --out plain.yaml/x",
        "run plain.yaml --sandbox --sandbox-topology missing.yaml",
        "run plain.yaml --sandbox --sandbox-topology empty.yaml",
        "run plain.yaml --sandbox --sandbox-topology comment.yaml",
        "run plain.yaml --sandbox --sandbox-topology list.yaml",
        "run plain.yaml --sandbox --sandbox-topology topology.yaml",
        "sandbox --print-topology --topology none",
        "sandbox --topology empty.yaml",
        "validate missing.yaml",
        "list none",
        "report",
        "report other.json",
        "report missing.json",
        "report --merge none --out out",
        "report --history none --out out",
        "report --history missing --out out",
        "compare one.json",
        "compare one.json two.json",
        "compare --history none",
        "import missing.yaml",
        "import empty.yaml",
        "import plain.yaml",
        "calibrate plain.yaml --runs 2 --overkill",
        "cleanup none",
        "explain nothing.of.this",
        "explain S999",
        "config no-such-command",
        "init plain.yaml --no-cluster --yes",
    ] {
        let words: Vec<&str> = args.split(' ').collect();
        let finished = shakedown.run(&words);
        assert!(matches!(finished.code(), 2 | 3 | 5), "{args}: {finished}");
        // A usage error of the parser shows the usage.
        let said = ["help: ", "tip: ", "Usage: "].iter().any(|it| finished.stderr.contains(it));
        assert!(said, "{args} has no next step: {finished}");
    }
    // What an empty file could begin with depends on what it is.
    let topology =
        shakedown.run(&["run", "plain.yaml", "--sandbox", "--sandbox-topology", "empty.yaml"]).expect_code(2);
    topology.expect_stderr(&["the file has no content", "help: `shakedown sandbox --print-topology --topology shop`"]);
    shakedown.file("shakedown.yaml", "");
    let project = shakedown.run(&["list", "plain.yaml"]).expect_code(2);
    project.expect_stderr(&["the project file is invalid", "the file has no content", "help: write a flag, such as"]);
}

/// The problems for an editor or for code scanning, and their exit code.
#[test]
fn problems_are_printed_as_json_and_as_sarif() {
    let shakedown = Shakedown::new();
    shakedown.file("good.yaml", url_scenario("http://127.0.0.1:1"));
    shakedown.file("bad.yaml", url_scenario("http://127.0.0.1:1").replace("duration:", "duraton:"));
    for format in ["json", "sarif"] {
        let good = shakedown.run(&["validate", "good.yaml", "--format", format]).expect_code(0);
        let value: serde_json::Value = serde_json::from_str(&good.stdout).expect("JSON");
        let problems = if format == "json" { &value["problems"] } else { &value["runs"][0]["results"] };
        assert_eq!(problems.as_array().map(Vec::len), Some(0), "{good}");
        let bad =
            shakedown.run(&["validate", "good.yaml", "bad.yaml", "missing.yaml", "--format", format]).expect_code(2);
        for part in ["S010", "bad.yaml", "missing.yaml", "did you mean `duration`?"] {
            assert!(bad.stdout.contains(part), "{part} is not in {bad}");
        }
        assert!(bad.stderr.is_empty() && serde_json::from_str::<serde_json::Value>(&bad.stdout).is_ok(), "{bad}");
    }
    let named = shakedown.run(&["validate", "good.yaml", "--format", "json"]).expect_code(0);
    named.expect_stdout(&["\"name\": \"plain\""]);
}

#[test]
fn a_topology_that_is_not_there_is_an_error_of_its_line() {
    let shakedown = Shakedown::new();
    shakedown.file(
        "s.yaml",
        "version: 1\nname: s\nsandbox: {topology: shopp.yaml}\nload: {l: {http: {service: 'checkout:8080'}, rate: 5/s}}\n\
         phases: [{name: only, duration: 30s, expect: [{success_rate: 99%}]}]\n",
    );
    shakedown.run(&["validate", "s.yaml"]).expect_code(2).expect_stderr(&[
        "error[S046]: the topology `shopp.yaml` ",
        "--> s.yaml:3:",
        "or one of `dynamo`, `quick`, `shop`",
    ]);
}

/// A topology was not even read when every load had a URL.
#[test]
fn a_topology_that_no_load_can_reach_is_checked_and_named() {
    let shakedown = Shakedown::new();
    shakedown.file("plain.yaml", url_scenario("http://127.0.0.1:1"));
    shakedown.file("shop.yaml", "workloads: 3\n");
    let with = |topology: &str| shakedown.run(&["plan", "plain.yaml", "--sandbox", "--sandbox-topology", topology]);
    with("shop.yaml").expect_code(2).expect_stderr(&["errors in the topology `shop.yaml`", "help: "]);
    with("shop")
        .expect_code(3)
        .expect_stderr(&["--sandbox-topology shop: every load has a `url`, so no sandbox is started"]);
}

#[test]
fn flags_can_be_given_by_the_environment() {
    let shakedown = Shakedown::new()
        .env("SHAKEDOWN_VAR", "name=from-environment\nurl=http://127.0.0.1:1/")
        .env("SHAKEDOWN_TAG", "")
        .env("SHAKEDOWN_JSON", "1");
    let text = url_scenario("{{ url }}").replace("name: plain", "name: \"{{ name }}\"\nvars: {name: plain, url: x}");
    shakedown.file("plain.yaml", text);
    shakedown.run(&["list", "plain.yaml"]).expect_code(0).expect_stdout(&["\"from-environment\""]);
    shakedown
        .run(&["list", "plain.yaml", "--var", "name=from-the-flag", "--var", "url=http://127.0.0.1:1/"])
        .expect_code(0)
        .expect_stdout(&["from-the-flag"]);
}
