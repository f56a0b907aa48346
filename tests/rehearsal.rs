//! Faults act in the sandbox: each test changes one thing in a shipped scenario, so that an expectation has to fail. A rehearsal
//! that can only pass proves nothing.

use shakedown_schemas::result::Verdict;

use crate::sandbox::run;
use crate::support::shakedown::Shakedown;
use crate::support::{none_of_all, root};

/// The variables that make a scenario short and its phases still long enough to judge.
const SHORT: [&str; 8] = ["--var", "rate=20/s", "--var", "baseline=6s", "--var", "fault=10s", "--var", "recovery=14s"];

/// A shipped scenario, what is changed in it, what is changed in what runs in the sandbox, and the phase and kind of the
/// expectation that then fails.
struct Changed {
    file: &'static str,
    changes: &'static [(&'static str, &'static str)],
    topology: &'static [(&'static str, &'static str)],
    fails: (&'static str, &'static str),
}

/// All workers instead of one of them: no worker is left to take over the load.
const ALL: [(&str, &str); 2] = [
    (", count: 1}", "}"),
    ("namespace: \"{{ namespace }}\"\n", "namespace: \"{{ namespace }}\"\nblast_radius: {max_percent: 100%}\n"),
];

/// The number of scenarios from the front of the list that every `cargo test` runs: one for each kind of expectation.
const AMONG_THEM: usize = 3;

const CHANGED: [Changed; 7] = [
    Changed {
        file: "graceful-degradation.yaml",
        changes: &[("delay: 40ms", "delay: 900ms")],
        topology: &[],
        fails: ("degradation", "latency_ratio"),
    },
    // Workers that reconnect to the bus only after the end of the run.
    Changed {
        file: "recovery-speed.yaml",
        // The observation has to last as long as the limit.
        changes: &[("max: 15s", "max: 8s")],
        topology: &[("heartbeat: 500ms", "heartbeat: 500ms\n        reconnect_after: 60s")],
        fails: ("recovery", "recovery_time"),
    },
    // The fault acts on requests that the load does not send.
    Changed {
        file: "http-errors.yaml",
        changes: &[("port: 8000\n", "port: 8000\n          path: /v2/*\n")],
        topology: &[],
        fails: ("errors", "success_rate"),
    },
    // Of half of the packets, retransmissions save many requests.
    Changed {
        file: "degrade-loss.yaml",
        changes: &[ALL[0], ALL[1], ("loss: 50%", "loss: 90%")],
        topology: &[],
        fails: ("loss", "success_rate"),
    },
    // A kilobyte each second is less than the requests alone.
    Changed {
        file: "degrade-bandwidth.yaml",
        changes: &[ALL[0], ALL[1], ("1Mbit/s", "8kbit/s")],
        topology: &[],
        fails: ("bandwidth", "success_rate"),
    },
    Changed { file: "fail-worker.yaml", changes: &ALL, topology: &[], fails: ("failure", "success_rate") },
    // Packets of connections that stand are dropped as well: without NATS no worker gets a request.
    Changed {
        file: "fault-tolerance.yaml",
        changes: &[
            ALL[0],
            ALL[1],
            ("from: [{service: nats}]", "from: [{service: nats}]\n          engine: chaos-mesh"),
        ],
        topology: &[],
        fails: ("partition", "success_rate"),
    },
];

#[test]
fn what_a_fault_does_makes_expectations_fail() {
    none_of_all(&CHANGED[..AMONG_THEM], problem);
}

#[test]
#[ignore = "takes minutes"]
fn what_other_faults_do_makes_expectations_fail() {
    none_of_all(&CHANGED[AMONG_THEM..], problem);
}

/// What is wrong with the run of a changed scenario, if anything is.
fn problem(changed: &Changed) -> Option<String> {
    let with = |file: &str, changes: &[(&str, &str)]| {
        let mut text = std::fs::read_to_string(root().join(file)).expect("a file of this project");
        for (before, after) in changes {
            assert!(text.contains(before), "{file} has no `{before}`");
            text = text.replace(before, after);
        }
        text
    };
    let file = changed.file;
    let shakedown = Shakedown::new();
    shakedown.file("changed.yaml", with(&format!("scenarios/{file}"), changed.changes));
    shakedown.file("topology.yaml", with("runner/sandbox/src/topologies/quick.yaml", changed.topology));
    let finished = run(&shakedown, &[&["changed.yaml", "--sandbox-topology", "topology.yaml"], &SHORT[..]].concat());
    if finished.code() != 1 {
        return Some(format!("{file}: {finished}"));
    }
    let reports = shakedown.reports("out");
    reports.expect_proven_and_undone();
    let failed = |phase: &str, kind: &str| {
        let expectations = &reports.scenario().expectations;
        expectations.iter().any(|it| it.verdict == Verdict::Fail && it.phase == phase && it.kind == kind)
    };
    (!failed(changed.fails.0, changed.fails.1)).then(|| format!("{file}: {}", reports.found()))
}
