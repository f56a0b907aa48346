//! Faults inside pods in the sandbox: what is seen of them is reported with its figure, and what only Chaos Mesh reports is claimed
//! in every output.

use shakedown_schemas::result::{FaultResult, Quantity, Verdict};

use crate::sandbox::run;
use crate::support::reports::Reports;
use crate::support::root;
use crate::support::shakedown::Shakedown;

/// Variables that make a shipped scenario short.
const SHORT: [&str; 8] = ["--var", "rate=20/s", "--var", "baseline=8s", "--var", "fault=12s", "--var", "recovery=14s"];

/// The folder and the reports of a shipped scenario with changes in it, which passes.
#[track_caller]
fn passed(file: &str, changes: &[(&str, &str)]) -> (Shakedown, Reports) {
    let mut text = std::fs::read_to_string(root().join("scenarios").join(file)).expect("a shipped scenario");
    for (before, after) in changes {
        assert!(text.contains(before), "{file} has no `{before}`");
        text = text.replace(before, after);
    }
    let shakedown = Shakedown::new();
    shakedown.file("changed.yaml", text);
    let finished = run(&shakedown, &[&["changed.yaml"], &SHORT[..]].concat());
    assert_eq!(finished.code(), 0, "{finished}");
    let reports = shakedown.reports("out");
    reports.expect_injected_and_undone();
    (shakedown, reports)
}

/// Every output that names the fault's proof has these words.
#[track_caller]
fn every_output_says(reports: &Reports, words: &str) {
    for file in ["report.html", "summary.md", "junit.xml"] {
        let text = reports.text(file);
        assert!(text.contains(words), "{file} does not say `{words}`");
    }
}

fn figures(fault: &FaultResult) -> Vec<String> {
    fault.measured.iter().map(ToString::to_string).collect()
}

#[test]
fn stress_is_proven_by_what_its_containers_use_and_the_figure_is_told() {
    let both = [
        ("cpu: {workers: 2, load: 100%}", "cpu: {workers: 2, load: 100%}\n          memory: {size: 64MB}"),
        // How much slower the worker gets depends on how busy this machine is.
        ("      - latency_ratio: {percentile: p95, to: baseline, min: 1.1}\n", ""),
    ];
    let (_folder, reports) = passed("stress-worker.yaml", &both);
    let fault = reports.fault();
    assert!(fault.proven_s.is_some() && fault.measured.iter().all(|it| it.is_enough), "{fault:?}");
    // A worker is limited to one core, and uses a hundredth of it by itself.
    assert_eq!(figures(fault), ["asked 64 MB, seen 64 MB", "asked 2 cores, seen 0.99"]);
    every_output_says(&reports, "asked 64 MB, seen 64 MB");
    assert!(!reports.scenario().reason.contains("claimed"), "{}", reports.scenario().reason);
}

/// The load's answers come from the frontend, and its clock is 20 s late.
#[test]
fn a_clock_is_seen_in_the_answers_of_the_target() {
    let frontend =
        [("pods: {prefix: \"{{ worker }}\", count: 1}", "pods: {prefix: vllm-agg-0-frontend}"), ("-10m", "-20s")];
    let whole =
        ("namespace: \"{{ namespace }}\"\n", "namespace: \"{{ namespace }}\"\nblast_radius: {max_percent: 100%}\n");
    let (_folder, reports) = passed("clock-skew.yaml", &[&frontend[..], &[whole]].concat());
    let fault = reports.fault();
    assert_eq!(fault.measured.len(), 1, "{fault:?}");
    assert_eq!((fault.measured[0].what, fault.measured[0].asked), (Quantity::Clock, -20.0));
    assert!((fault.measured[0].seen + 20.0).abs() <= 2.0 && !fault.is_claimed(), "{fault:?}");
    every_output_says(&reports, "asked 20s behind, seen ");
}

#[test]
fn a_clock_that_no_answer_shows_is_claimed() {
    let (_folder, reports) = passed("clock-skew.yaml", &[]);
    let fault = reports.fault();
    assert!(fault.measured.is_empty(), "{fault:?}");
    if fault.is_claimed() {
        let why = fault.claimed_because.as_deref().unwrap_or_default();
        assert_eq!(why, "no load gets all its answers from its targets, so their clocks cannot be observed");
        assert!(reports.scenario().reason.contains("is claimed by its engine (chaos-mesh), not proven: no load gets"));
        every_output_says(&reports, "claimed by Chaos Mesh");
        assert_eq!(reports.scenario().verdict, Verdict::Pass);
    }
}
