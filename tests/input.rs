//! Bad input from outside the files' text: readers that go away, disks that are full, files that never end.

use std::fs::File;
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::time::Duration;

use shakedown_reports::sample;

use crate::support::process::run;
use crate::support::scenario;
use crate::support::server::serve;
use crate::support::shakedown::{BINARY, Shakedown};

/// No command here does anything that takes time.
const SHORT: Duration = Duration::from_secs(60);

/// A folder with what commands read: a scenario, a result, a journal of nothing.
fn folder() -> Shakedown {
    let shakedown = Shakedown::new();
    shakedown.file("result.json", serde_json::to_vec(&sample::failing()).expect("JSON"));
    shakedown.file("quickstart.yaml", std::fs::read(scenario("quickstart.yaml")).expect("the quickstart"));
    shakedown
}

/// Commands that print, with their exit codes where they can write.
fn printing() -> Vec<(Vec<&'static str>, i32)> {
    vec![
        (vec!["--help"], 0),
        (vec!["run", "--help"], 0),
        (vec!["--version"], 0),
        (vec!["explain"], 0),
        (vec!["config", "--all"], 0),
        (vec!["import", "nowhere.yaml"], 2),
        (vec!["explain", "netem.loss"], 0),
        (vec!["schema"], 0),
        (vec!["schema", "result"], 0),
        (vec!["completions", "bash"], 0),
        (vec!["list", "quickstart.yaml"], 0),
        (vec!["list", "--json", "quickstart.yaml"], 0),
        (vec!["validate", "quickstart.yaml"], 0),
        (vec!["validate", "nowhere.yaml"], 2),
        (vec!["report", "result.json", "--out", "out"], 0),
        (vec!["compare", "result.json", "result.json"], 0),
        (vec!["sandbox", "--print-topology"], 0),
        (vec!["init", "new.yaml"], 0),
        (vec!["plan", "--sandbox", "quickstart.yaml"], 0),
        (vec!["doctor", "--sandbox"], 0),
        (vec!["cleanup", "--all", "--check", "--sandbox"], 0),
        (vec!["cleanup", "--all", "--sandbox"], 0),
    ]
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let shakedown = folder();
    for (args, code) in printing() {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = shakedown.command(BINARY);
        // Both are gone, as behind `2>&1 | head`: a panic could not even be printed, but has its exit code.
        let other = writer.try_clone().expect("the same pipe");
        let status = command.args(&args).stdin(Stdio::null()).stdout(writer).stderr(other).status();
        assert_eq!(status.expect("the program starts").code(), Some(code), "{args:?}");
        _ = std::fs::remove_file(shakedown.path("new.yaml"));
    }
}

/// The commands that take longer. Their exit codes are those of the load, not of the reader.
#[test]
fn a_run_whose_reader_goes_away_ends_as_it_would_have() {
    let shakedown = folder();
    let url = serve(200);
    let phase = |fault: &str| {
        format!(
            "version: 1\nname: short\nload: {{main: {{http: {{url: '{url}'}}, rate: 20/s}}}}\nphases:\n  - {{name: before, duration: \
             1s}}\n  - {{name: p, duration: 1s{fault}, expect: [{{requests: {{min: 1}}}}]}}\n"
        )
    };
    let kill = "{pod_kill: {pods: {prefix: vllm-agg-0-vllmdecodeworker, count: 1}, grace_period: 0s}}";
    shakedown.file("short.yaml", phase(""));
    shakedown.file("fault.yaml", phase(&format!(", faults: {{kill: {kill}}}")));
    for (args, reports) in [
        (vec!["run", "--sandbox", "--out", "one", "fault.yaml"], Some("one/result.json")),
        (vec!["run", "--out", "two", "short.yaml"], Some("two/result.json")),
        (vec!["calibrate", "--runs", "2", "short.yaml"], None),
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let other = writer.try_clone().expect("the same pipe");
        let status = shakedown.command(BINARY).args(&args).stdin(Stdio::null()).stdout(writer).stderr(other).status();
        let code = status.expect("the program starts").code();
        assert!(matches!(code, Some(0..=4)), "{args:?}: {code:?}");
        assert!(reports.is_none_or(|file| shakedown.path(file).is_file()), "{args:?}");
    }
}

/// A command that is new belongs into one of the tests above.
#[test]
fn every_command_is_run_without_a_reader() {
    let help = Shakedown::new().run(&["--help"]).expect_code(0).stdout;
    let (_, commands) = help.split_once("Commands:\n").expect("the commands");
    let names = commands.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let covered: Vec<&str> = printing().into_iter().map(|(args, _)| args[0]).collect();
    for name in names.filter_map(|line| line.split_whitespace().next()) {
        assert!(covered.contains(&name) || ["calibrate", "help"].contains(&name), "{name}");
    }
}

#[test]
fn a_disk_that_is_full_is_an_error() {
    let shakedown = folder();
    let short =
        "version: 1\nname: short\nload: {main: {http: {url: 'URL'}, rate: 50/s}}\nphases: [{name: p, duration: 1s}]\n";
    shakedown.file("short.yaml", short.replace("URL", &serve(200)));
    for args in [
        vec!["schema"],
        vec!["list", "quickstart.yaml"],
        vec!["completions", "bash"],
        vec!["--help"],
        vec!["run", "--help"],
        vec!["--version"],
        vec!["report", "result.json"],
        vec!["run", "short.yaml", "--out", "run"],
    ] {
        let full = File::options().write(true).open("/dev/full").expect("the device");
        let mut command = shakedown.command(BINARY);
        let output = command.args(&args).stdout(full).stderr(Stdio::piped()).output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // A verdict that is no pass keeps its code.
        let code = output.status.code();
        assert!(code == Some(3) || args[0] == "run" && matches!(code, Some(1 | 4)), "{args:?}: {code:?} {said}");
        assert!(said.contains("could not write to stdout"), "{args:?}: {said}");
    }
}

/// A scenario of which one file is named here.
fn naming(key: &str, file: &str) -> String {
    let http = |inner: &str| format!("http: {{url: 'http://127.0.0.1:1', {inner}}}, rate: 20/s");
    let load = match key {
        "body_file" => http(&format!("method: POST, body_file: '{file}'")),
        "feeder" => format!("{}, feeder: {{file: '{file}'}}", http("path: '/{{ row.a }}'")),
        "prompts" => {
            format!("openai: {{url: 'http://127.0.0.1:1', model: m, prompts: {{file: '{file}'}}}}, rate: 20/s")
        }
        key => format!(
            "http: {{url: 'https://127.0.0.1:1'}}, rate: 20/s, tls: {{{key}: '{file}'{}}}",
            match key {
                "cert" => ", key: 'plain'",
                "key" => ", cert: 'plain'",
                _ => "",
            }
        ),
    };
    format!("version: 1\nname: x\nload: {{main: {{{load}}}}}\nphases: [{{name: p, duration: 30s}}]\n")
}

#[test]
fn files_that_are_none_are_refused_at_once() {
    let shakedown = Shakedown::new();
    shakedown.file("plain", "x");
    std::fs::create_dir(shakedown.path("folder")).expect("a folder");
    let _socket = UnixListener::bind(shakedown.path("socket")).expect("a socket");
    let made = shakedown.command("mkfifo").args(["pipe", "pipe.yaml", "pipe.csv"]).status();
    assert!(made.is_ok_and(|status| status.success()));
    for key in ["body_file", "feeder", "prompts", "ca", "cert", "key"] {
        for (file, what) in [
            ("pipe", "a named pipe"),
            ("pipe.csv", "a named pipe"),
            ("folder", "a directory"),
            ("socket", "a socket"),
            ("/dev/zero", "a device"),
        ] {
            shakedown.file("it.yaml", naming(key, file));
            let refused = run(shakedown.command(BINARY).args(["validate", "it.yaml"]), SHORT).expect_code(2);
            let wanted = format!("`{file}` is {what}, and only regular files can be read");
            refused.expect_stderr(&[&wanted, "it.yaml:3:"]);
        }
    }
    for args in [
        vec!["validate", "pipe.yaml"],
        vec!["validate", "--vars-file", "pipe", "it.yaml"],
        vec!["report", "pipe", "--out", "out"],
        vec!["compare", "pipe", "pipe"],
        vec!["sandbox", "--topology", "pipe"],
        vec!["cleanup", "pipe", "--sandbox"],
    ] {
        run(shakedown.command(BINARY).args(&args), SHORT).expect_code(2).expect_stderr(&["a named pipe"]);
    }
}

#[test]
fn a_file_of_another_tool_becomes_a_scenario_and_what_it_lacks_is_named() {
    let shakedown = Shakedown::new();
    shakedown.file("killed.yaml", KILLED);
    let finished = shakedown.run(&["import", "killed.yaml", "--service", "front:80"]).expect_code(0);
    assert!(finished.stdout.contains("pod_kill:") && finished.stdout.contains("front:80"), "{finished}");
    finished.expect_stderr(&["killed.yaml:8: `spec.remoteCluster` is not carried over"]);
    shakedown
        .run(&["import", "killed.yaml", "--out", "made.yaml"])
        .expect_code(0)
        .expect_stderr(&["--service NAME:PORT"]);
    shakedown.run(&["validate", "made.yaml"]).expect_code(0);
    shakedown
        .run(&["import", "killed.yaml", "--out", "made.yaml"])
        .expect_code(2)
        .expect_stderr(&["already", "--force"]);
    shakedown.run(&["import", "made.yaml"]).expect_code(2).expect_stderr(&["no tool", "help:"]);
    shakedown.run(&["import", "missing.yaml"]).expect_code(2).expect_stderr(&["missing.yaml", "help:"]);
    shakedown.run(&["validate", "killed.yaml"]).expect_code(2).expect_stderr(&["shakedown import"]);
}

const KILLED: &str = "apiVersion: chaos-mesh.org/v1alpha1
kind: PodChaos
metadata: {name: killed, namespace: store}
spec:
  action: pod-kill
  mode: one
  selector: {labelSelectors: {app: cart}}
  remoteCluster: east
";
