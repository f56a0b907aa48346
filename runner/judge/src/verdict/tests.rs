//! One verdict from many answers, in both directions.

use serde_json::json;
use shakedown_schemas::result::{PhaseResult, PodRef, Unit};

use super::*;

fn expectation(verdict: Verdict, reason: &str) -> ExpectationResult {
    ExpectationResult {
        verdict,
        unit: Unit::Times,
        reason: reason.to_owned(),
        ..ExpectationResult::new("latency_ratio", "partition", "load", "")
    }
}

fn fault(injection: Verdict, undo: Verdict) -> FaultResult {
    FaultResult {
        name: "nats-cut".to_owned(),
        phase: "partition".to_owned(),
        kind: "partition".to_owned(),
        engine: "network-policy".to_owned(),
        description: String::new(),
        targets: vec![],
        peers: vec![],
        objects: vec![],
        state: FaultState::Undone,
        injecting_s: None,
        injected_s: None,
        claimed_s: None,
        claimed_because: None,
        measured: Vec::new(),
        felt: None,
        proven_s: None,
        undoing_s: None,
        undone_s: None,
        evidence: vec![],
        unproven: vec![],
        injection,
        undo,
        problem: None,
        line: None,
    }
}

fn leftover() -> Leftover {
    Leftover { what: "networkpolicy/x".to_owned(), command: "kubectl delete".to_owned(), error: "timeout".to_owned() }
}

const GOOD: Verdict = Verdict::Pass;

#[test]
fn a_pass_lists_the_expectations_and_faults() {
    let held = [expectation(GOOD, ""), expectation(GOOD, "")];
    let Conclusion { verdict, reason, .. } = scenario_verdict(&held, &[fault(GOOD, GOOD)], &[], &[]);
    assert_eq!((verdict, reason.as_str()), (GOOD, "2 expectations hold, 1 fault applied and undone"));
    assert_eq!(scenario_verdict(&held[..1], &[], &[], &[]).reason, "1 expectation holds");
}

#[test]
fn nothing_expected_is_not_a_pass() {
    assert_eq!(scenario_verdict(&[], &[fault(GOOD, GOOD)], &[], &[]).verdict, Verdict::Inconclusive);
}

#[test]
fn the_worst_wins_and_is_named() {
    let fail = expectation(Verdict::Fail, "p95 rose to 3.8 times the baseline (3.4 to 4.3), allowed 3");
    let unsure = expectation(Verdict::Inconclusive, "too few");
    let Conclusion { verdict, reason, .. } =
        scenario_verdict(&[unsure.clone(), fail.clone(), fail.clone()], &[], &[], &[]);
    assert_eq!(verdict, Verdict::Fail);
    let expected = "`partition`: p95 rose to 3.8 times the baseline (3.4 to 4.3), allowed 3; and 1 more";
    assert_eq!(reason, expected);

    let unproven = fault(Verdict::Inconclusive, GOOD);
    let Conclusion { verdict, reason, .. } = scenario_verdict(&[expectation(GOOD, "")], &[unproven], &[], &[]);
    assert_eq!((verdict, reason.as_str()), (Verdict::Inconclusive, "the fault `nats-cut` could not be proven"));

    let Conclusion { verdict, .. } =
        scenario_verdict(std::slice::from_ref(&fail), &[fault(GOOD, Verdict::Error)], &[], &[]);
    assert_eq!(verdict, Verdict::Error);
    let Conclusion { verdict, reason, .. } = scenario_verdict(&[fail], &[], &["the cluster is gone".to_owned()], &[]);
    assert_eq!((verdict, reason.as_str()), (Verdict::Error, "the cluster is gone"));
    assert_eq!(scenario_verdict(&[expectation(GOOD, "")], &[], &[], &[leftover()]).verdict, Verdict::Error);
}

#[test]
fn the_cause_is_what_the_reason_is_about() {
    let slow = expectation(Verdict::Fail, "slow");
    let cause = |expectations: &[ExpectationResult], faults: &[FaultResult], errors: &[String], left: &[Leftover]| {
        scenario_verdict(expectations, faults, errors, left).cause
    };
    let held = expectation(GOOD, "");
    assert_eq!(cause(std::slice::from_ref(&held), &[fault(GOOD, GOOD)], &[], &[]), None);
    assert_eq!(cause(&[], &[], &[], &[]), None);
    assert_eq!(cause(&[held.clone(), slow.clone(), slow.clone()], &[], &[], &[]), Some(Cause::Expectation(1)));
    let faults = [fault(GOOD, GOOD), fault(GOOD, Verdict::Error)];
    assert_eq!(cause(std::slice::from_ref(&slow), &faults, &[], &[]), Some(Cause::Fault(1)));
    let errors = ["the cluster is gone".to_owned()];
    assert_eq!(cause(std::slice::from_ref(&slow), &faults, &errors, &[]), Some(Cause::Error(0)));
    assert_eq!(cause(std::slice::from_ref(&slow), &faults, &errors, &[leftover()]), Some(Cause::Leftover(0)));
    let refusal = ExpectationResult { kind: BASELINE.to_owned(), ..expectation(Verdict::Inconclusive, "unsteady") };
    let follows = expectation(Verdict::Inconclusive, "it never began");
    assert_eq!(cause(&[follows, refusal], &[], &[], &[]), Some(Cause::Expectation(1)));
}

#[test]
fn distinguishes_several_loads() {
    let other = ExpectationResult { load: "other".to_owned(), ..expectation(Verdict::Fail, "slow") };
    let Conclusion { reason, .. } = scenario_verdict(&[expectation(GOOD, ""), other], &[], &[], &[]);
    assert_eq!(reason, "`partition` of load `other`: slow");
    // What others saw is of no load.
    let other = ExpectationResult { load: "other".to_owned(), ..expectation(GOOD, "") };
    let pods = ExpectationResult { load: String::new(), ..expectation(Verdict::Fail, "a pod restarted") };
    let Conclusion { reason, .. } = scenario_verdict(&[expectation(GOOD, ""), other, pods], &[], &[], &[]);
    assert_eq!(reason, "`partition`: a pod restarted");
}

#[test]
fn a_phase_is_named_once() {
    let few = ExpectationResult {
        reason_names_phase: true,
        ..expectation(Verdict::Inconclusive, "`partition` has 120 requests, and p99 needs 300")
    };
    let Conclusion { reason, .. } = scenario_verdict(std::slice::from_ref(&few), &[], &[], &[]);
    assert_eq!(reason, "`partition` has 120 requests, and p99 needs 300");
    let other = ExpectationResult { load: "other".to_owned(), ..expectation(GOOD, "") };
    let Conclusion { reason, .. } = scenario_verdict(&[few, other], &[], &[], &[]);
    assert_eq!(reason, "load `load`: `partition` has 120 requests, and p99 needs 300");
}

/// A fault that was never begun because the baseline was none is no news; one that was injected before that is.
#[test]
fn the_reason_for_no_injection_comes_first() {
    let refusal = ExpectationResult { kind: BASELINE.to_owned(), ..expectation(Verdict::Inconclusive, "unsteady") };
    let follows = expectation(Verdict::Inconclusive, "it never began");
    let planned = FaultResult { state: FaultState::Planned, ..fault(Verdict::Inconclusive, GOOD) };
    let unproven = FaultResult { name: "drain".to_owned(), ..fault(Verdict::Inconclusive, GOOD) };
    let reason = |expectations: &[ExpectationResult], faults: &[FaultResult]| {
        scenario_verdict(expectations, faults, &[], &[]).reason
    };
    let refused = [follows.clone(), refusal];
    assert_eq!(reason(&refused, std::slice::from_ref(&planned)), "unsteady; and 1 more");
    assert_eq!(reason(&refused, &[planned.clone(), unproven]), "unsteady; and 2 more");
    let expected = "the fault `nats-cut` could not be proven; and 1 more";
    assert_eq!(reason(&[follows], &[planned]), expected);
}

#[test]
fn a_pass_says_what_it_does_not_show() {
    let mut result = ended(GOOD, Vec::new());
    let pod = PodRef { namespace: "n".into(), name: "worker-1".into(), uid: "u".into(), node: None, ip: None };
    let injected = |kind: &str, name: &str, felt| FaultResult {
        name: name.to_owned(),
        kind: kind.to_owned(),
        targets: vec![pod.clone()],
        injecting_s: Some(20.0),
        injected_s: Some(21.0),
        undone_s: Some(40.0),
        felt,
        ..fault(GOOD, GOOD)
    };
    let stress = FaultResult { claimed_s: Some(22.0), ..injected("stress", "busy", Some(true)) };
    result.faults = vec![FaultResult { engine: "chaos-mesh".to_owned(), ..stress }];
    assert_eq!(remarks(&result), ["the fault `busy` is claimed by its engine (chaos-mesh), not proven"]);
    let because = Some("`prove: applied` asks for no more".to_owned());
    let applied = FaultResult { claimed_s: Some(22.0), claimed_because: because, ..injected("partition", "cut", None) };
    result.faults = vec![FaultResult { engine: "network-policy".to_owned(), ..applied }];
    assert_eq!(remarks(&result), ["the fault `cut` is applied, not proven: `prove: applied` asks for no more"]);
    result.faults = vec![injected("partition", "cut", Some(false)), injected("partition", "other", None)];
    assert_eq!(remarks(&result), ["`cut` had no effect on any request"]);
    let restarted = |at_s: f64| -> PodEvent {
        serde_json::from_value(json!({
            "at_s": at_s, "namespace": "n", "pod": "worker-1", "role": "target", "change": "restarted", "detail": "",
        }))
        .unwrap()
    };
    result.faults = vec![injected("partition", "cut", Some(true))];
    result.pod_events = vec![restarted(3.0), restarted(31.0), restarted(35.0)];
    assert_eq!(remarks(&result), ["the target worker-1 restarted during `cut`"]);
    result.pod_events.truncate(1);
    assert_eq!(remarks(&result), [] as [String; 0]);
    // A lease that the cut let run out ends the target later, until the next phase with faults.
    result.pod_events = vec![restarted(61.0)];
    assert_eq!(remarks(&result), ["the target worker-1 restarted 21s after `cut`"]);
    result.faults[0].felt = Some(false);
    let both = "`cut` had no effect on any request, but the target worker-1 restarted 21s after `cut`";
    assert_eq!(remarks(&result), [both]);
    let phase = |name: &str, start_s: f64| -> PhaseResult {
        serde_json::from_value(json!({
            "name": name, "start_s": start_s, "active_s": start_s, "judged_from_s": start_s, "judged_to_s": start_s,
            "end_s": start_s, "planned_s": 1.0, "loads": [],
        }))
        .unwrap()
    };
    result.phases = vec![phase("partition", 20.0), phase("calm", 40.0), phase("again", 60.5)];
    assert_eq!(remarks(&result), [both]);
    result.faults.push(FaultResult {
        phase: "again".into(),
        targets: vec![],
        ..injected("partition", "b", Some(true))
    });
    assert_eq!(remarks(&result), ["`cut` had no effect on any request"], "the next fault may have done it");
    // A container that is killed is meant to start again.
    (result.faults, result.pod_events) = (vec![injected("container_kill", "kill", Some(true))], vec![restarted(25.0)]);
    assert_eq!(remarks(&result), [] as [String; 0]);
}

fn ended(verdict: Verdict, leftovers: Vec<Leftover>) -> ScenarioResult {
    let mut result: ScenarioResult = serde_json::from_value(json!({
        "name": "s", "file": "s.yaml", "verdict": "pass", "reason": "", "started_at": "2026-01-31T12:00:00Z",
        "duration_s": 1.0, "loads": [], "phases": [], "faults": [], "expectations": [], "series": [],
    }))
    .unwrap();
    result.verdict = verdict;
    result.leftovers = leftovers;
    result
}

#[test]
fn the_first_of_the_codes_decides() {
    use Verdict::{Error, Fail, Inconclusive, Pass};
    let code =
        |verdicts: &[Verdict]| exit_code(&verdicts.iter().map(|verdict| ended(*verdict, vec![])).collect::<Vec<_>>());
    assert_eq!(code(&[Pass, Pass]), 0);
    assert_eq!(code(&[Pass, Inconclusive]), 4);
    assert_eq!(code(&[Inconclusive, Fail, Pass]), 1);
    assert_eq!(code(&[Fail, Error, Inconclusive]), 3);
    assert_eq!(code(&[]), 5);
    assert_eq!(exit_code(&[ended(Error, vec![]), ended(Error, vec![leftover()])]), 6);
    let mut left = ended(Error, vec![]);
    left.faults.push(FaultResult { state: FaultState::Left, ..fault(GOOD, Error) });
    assert_eq!(exit_code(&[left]), 6);
}
