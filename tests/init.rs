//! `init`: what it writes is valid, plans where it was written for, and fails if its fault takes everything.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use crate::sandbox::run;
use crate::support::shakedown::{BINARY, Shakedown};
use crate::support::{need, none_of_all};

/// The variables that make a scenario short and its phases still long enough to judge.
const SHORT: [&str; 6] = ["--var", "rate=20/s", "--var", "baseline=6s", "--var", "recovery=21s"];

/// A shop whose workloads only listen and connect: enough for names, dependencies and a plan.
const SHOP: &str = r#"
namespace: store
workloads:
  - {name: storefront, replicas: 2, program: {probe: {to: "cart:8081", listen: 8080}}}
  - {name: cart, replicas: 3, program: {probe: {to: "db:5432", listen: 8081}}}
  - {name: db, kind: stateful_set, program: {probe: {to: "", listen: 5432}}}
  - {name: mail, program: {probe: {to: "", listen: 2525}}}
"#;

/// The programs of the sandbox under the names of a shop: its requests need a worker, and the worker needs the database.
const SERVING: &str = r#"
namespace: store
workloads:
  - {name: postgres, kind: stateful_set, program: {bus: {}}}
  - {name: shop, program: {frontend: {model: m, bus: "postgres:4222", heartbeat_timeout: 2s}}}
  - name: checkout
    replicas: 3
    service: false
    program: {worker: {model: m, bus: "postgres:4222", time_to_first_token: 60ms, heartbeat: 500ms}}
"#;

/// A request that such a shop answers only with the help of a worker.
const ORDER: [&str; 6] = [
    "--method",
    "POST",
    "--path",
    "/v1/completions",
    "--body",
    r#"{"model": "m", "prompt": "a mug", "max_tokens": 4}"#,
];

/// The written scenario.
fn written(shakedown: &Shakedown) -> String {
    std::fs::read_to_string(shakedown.path("scenario.yaml")).expect("the scenario")
}

#[track_caller]
fn expect_parts(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
}

#[test]
fn without_a_cluster_it_says_so_and_writes_an_example() {
    let shakedown = Shakedown::new();
    for (from, rehearses) in [("shop", true), ("llm", true), ("queue", false)] {
        let finished = shakedown.run(&["init", "--force", "--from", from]).expect_code(0);
        expect_parts(&finished.stderr, &["no cluster is configured", "the names in the file are examples"]);
        expect_parts(&finished.stdout, &["wrote scenario.yaml", "shakedown plan scenario.yaml"]);
        assert_eq!(finished.stdout.contains("--sandbox"), rehearses, "{from}: {finished}");
        shakedown.run(&["validate", "scenario.yaml"]).expect_code(0).expect_stdout(&["is valid"]);
    }
    assert!(shakedown.path("shakedown.schema.json").is_file(), "editors complete by the schema");
    // An LLM of other names is not in the sandbox either.
    let other = shakedown.run(&["init", "--force", "--no-cluster", "--from", "llm", "--service", "vllm:8000"]);
    let other = other.expect_code(0).expect_stderr(&["no cluster was read"]);
    assert!(!other.stdout.contains("--sandbox"), "{other}");
    // As with kubectl, `-` is stdout.
    let printed = shakedown.run(&["init", "-", "--no-cluster", "--from", "shop"]).expect_code(0);
    shakedown.file("printed.yaml", &printed.stdout);
    shakedown.run(&["validate", "printed.yaml"]).expect_code(0);
    assert!(!shakedown.path("-").exists(), "{printed}");
    // A cluster that is named must answer.
    let missing = shakedown.run(&["init", "--force", "--context", "nowhere"]);
    missing.expect_code(3).expect_stderr(&["no cluster is configured"]);
}

#[test]
fn every_question_has_a_flag_and_nothing_is_written_over() {
    let shakedown = Shakedown::new();
    let own = [
        "init",
        "--no-cluster",
        "--from",
        "shop",
        "-n",
        "web",
        "--service",
        "cart:80",
        "--pods",
        "cart-",
        "--peer",
        "yes",
    ];
    shakedown.run(&[&own[..], &["--name", "first", "--path", "/a?b=1", "--body", "x"]].concat()).expect_code(0);
    shakedown.run(&["validate", "scenario.yaml"]).expect_code(0);
    expect_parts(
        &written(&shakedown),
        &["name: first", "namespace: web", "service: cart:80", "prefix: cart-", "service: \"yes\"", "method: POST"],
    );
    let before = written(&shakedown);
    shakedown.run(&["init"]).expect_code(2).expect_stderr(&["already", "--force"]);
    assert_eq!(written(&shakedown), before);
    shakedown.run(&["init", "other.yaml", "--name", "a b"]).expect_code(2).expect_stderr(&["name"]);
    assert!(!shakedown.path("other.yaml").exists(), "nothing is written that is not valid");
}

#[test]
fn a_shop_on_a_cluster_is_found_by_its_dependencies_and_plans() {
    let shakedown = Shakedown::new();
    shakedown.file("shop.yaml", SHOP);
    let sandbox = shakedown.start(&["sandbox", "--topology", "shop.yaml", "--write-kubeconfig", "kubeconfig"]);
    sandbox.stderr_line("the sandbox listens on", Duration::from_secs(30));
    let finished = shakedown.run(&["init", "--kubeconfig", "kubeconfig"]).expect_code(0);
    expect_parts(
        &finished.stderr,
        &["namespace store: 4 services, 4 workloads", "Chaos Mesh is served", "deployment cart, 3 pods, needs db"],
    );
    assert!(!finished.stderr.contains("warning"), "{finished}");
    // No sandbox can run this shop: its own names are on this cluster only.
    assert!(!finished.stdout.contains("--sandbox"), "{finished}");
    expect_parts(&finished.stdout, &["plan --kubeconfig ", "run --kubeconfig ", "--overkill"]);
    expect_parts(
        &written(&shakedown),
        &[
            "name: cart-loses-db",
            "namespace: store",
            "service: storefront:8080",
            "pods: {labels: {app: cart}, count: 1}",
            "from: [{service: db}]",
            "must need db",
        ],
    );
    let planned = shakedown.run(&["plan", "--kubeconfig", "kubeconfig", "scenario.yaml"]).expect_code(0);
    expect_parts(&planned.stdout, &["cart-"]);
    // What the flags name and the cluster lacks is said.
    let own =
        ["init", "--force", "--kubeconfig", "kubeconfig", "--service", "shop:80", "--pods", "app=x", "--peer", "pg"];
    shakedown.run(&own).expect_code(0).expect_stderr(&[
        "there is no service shop in namespace store",
        "there is no service pg",
        "no workload of namespace store has the pods app=x",
    ]);
    sandbox.signal(Signal::INT);
    sandbox.finish(Duration::from_secs(20)).expect_code(0);
}

/// What is rehearsed: the topology, the flags of `init`, and the length of the fault.
struct Rehearsed {
    topology: &'static str,
    flags: &'static [&'static str],
    fault: &'static str,
}

/// The file with the topology [`SERVING`].
const OWN: &str = "topology.yaml";

const REHEARSED: [Rehearsed; 5] = [
    Rehearsed { topology: "quick", flags: &[], fault: "fault=10s" },
    // A pod without its database gets requests until it is not ready, which takes 4 s: few among those of the phase.
    Rehearsed { topology: "shop", flags: &[], fault: "fault=40s" },
    Rehearsed { topology: "quick", flags: &["--fault", "pod-kill"], fault: "fault=10s" },
    Rehearsed { topology: "quick", flags: &["--fault", "delay"], fault: "fault=10s" },
    Rehearsed { topology: OWN, flags: &["--from", "queue"], fault: "fault=10s" },
];

/// The number of them, from the front, that every `cargo test` runs.
const AMONG_THEM: usize = 1;

#[test]
fn what_it_writes_passes_and_fails_if_every_pod_is_cut_off() {
    none_of_all(&twice(&REHEARSED[..AMONG_THEM]), problem);
}

#[test]
#[ignore = "takes minutes"]
fn every_other_kind_passes_and_fails_if_every_pod_is_cut_off() {
    none_of_all(&twice(&REHEARSED[AMONG_THEM..]), problem);
}

/// Each with the flags of its two runs.
fn twice(rehearsed: &[Rehearsed]) -> Vec<(&Rehearsed, &'static [&'static str])> {
    rehearsed.iter().flat_map(|it| [(it, &[][..]), (it, &["--overkill"][..])]).collect()
}

/// What is wrong with the run, if anything is.
fn problem((rehearsed, further): &(&Rehearsed, &[&str])) -> Option<String> {
    // A full cut fails on a busy machine as well.
    let shakedown = if further.is_empty() { Shakedown::undisturbed() } else { Shakedown::new() };
    let target = ["--sandbox-topology", rehearsed.topology];
    let mut flags = rehearsed.flags.to_vec();
    if rehearsed.topology == OWN {
        shakedown.file(OWN, SERVING);
        flags.extend(ORDER);
    }
    let begun = shakedown.run(&[&["init", "--sandbox"], &target[..], &flags[..]].concat());
    if begun.code() != 0 || begun.stderr.contains("warning") {
        return Some(format!("{flags:?}: {begun}"));
    }
    if !begun.stdout.contains(&format!("run --sandbox --sandbox-topology {}", rehearsed.topology)) {
        return Some(format!("{flags:?}: it proposes no rehearsal: {begun}"));
    }
    let finished =
        run(&shakedown, &[&["scenario.yaml"], &target[..], &SHORT[..], &["--var", rehearsed.fault], further].concat());
    (finished.code() != 0).then(|| format!("{flags:?} {further:?}: {finished}\n{}", written(&shakedown)))
}

#[test]
#[ignore = "needs script"]
fn on_a_terminal_it_asks() {
    use std::io::Write;
    let shakedown = Shakedown::new();
    let line = format!("{BINARY} init --no-cluster");
    let mut command = shakedown.command(need("script").to_str().expect("UTF-8"));
    let command = command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
    // The kind, the namespace, the service, the pods, the fault, the peer, the request.
    let typed = "shop\nweb\n\n\n\n\nPOST /orders\n{\"sku\": 1}\n";
    child.stdin.take().expect("its stdin").write_all(typed.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown}");
    expect_parts(&shown, &["What kind of service is it?", "Which request needs postgres?", "wrote scenario.yaml"]);
    expect_parts(&written(&shakedown), &["namespace: web", "method: POST", "path: /orders", "sku"]);
}
