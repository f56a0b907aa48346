//! The changes that count as an effect of a fault.

use super::*;
use crate::expectations;
use crate::testing::{Timeline, scenario};
use serde_json::json;

fn observe(ms: f64, failing: u64) -> Observations {
    Timeline::new(20.0)
        .phase("baseline", 20.0)
        .fault_phase("cut", 20.0)
        .answer(move |it| match it.phase {
            "cut" if it.index * 37 % 100 < failing => it.refused(),
            "cut" => it.ok_in(ms + (it.index % 7) as f64 / 10.0),
            _ => it.ok_in(10.0 + (it.index % 7) as f64 / 10.0),
        })
        .observe()
}

fn judge(observations: &Observations, effect: serde_json::Value) -> ExpectationResult {
    let fault = json!({"f": {"partition": {"pods": {"prefix": "a"}, "from": [{"service": "b"}]}}});
    let scenario = scenario(&json!([
        {"name": "baseline", "duration": "20s"},
        {"name": "cut", "duration": "20s", "faults": fault, "effect": effect},
    ]));
    expectations(&scenario, observations, 1, &|path| (path == "phases[1].effect").then_some(9)).remove(0)
}

#[test]
fn any_change_passes_and_no_change_is_inconclusive() {
    let nothing = judge(&observe(10.0, 0), json!("any"));
    assert_eq!((nothing.verdict, nothing.kind.as_str(), nothing.line), (Verdict::Inconclusive, "effect", Some(9)));
    assert!(nothing.reason.starts_with("the faults of `cut` did not have the required effect"), "{}", nothing.reason);
    for (observations, words) in [
        (
            observe(10.0, 10),
            "the requests changed (load load: success rate 100% to 90%, 20 of 20 windows with too many failures, 0 of \
             20 in the \
             baseline)",
        ),
        (observe(13.0, 0), "the requests changed (load load: p50 10.3ms to 13.3ms, p95 10.6ms to 13.6ms)"),
    ] {
        let result = judge(&observations, json!("any"));
        assert_eq!((result.verdict, result.reason.as_str()), (Verdict::Pass, words));
        assert_eq!(changed("cut", &effects(&observations)).as_deref(), Some(words));
    }
    assert_eq!(changed("cut", &effects(&observe(10.0, 0))), None);
}

#[test]
fn a_demanded_effect_is_there_or_the_phase_is_inconclusive() {
    let wanted = json!({"latency_ratio": {"percentile": "p50", "to": "baseline", "min": 2}});
    let result = judge(&observe(30.0, 0), wanted.clone());
    assert_eq!((result.verdict, result.title.as_str()), (Verdict::Pass, "effect: p50 at least 2 times baseline"));
    let result = judge(&observe(15.0, 0), wanted);
    assert_eq!(result.verdict, Verdict::Inconclusive);
    let reason = format!("{}: p50 rose to 1.49 times", unnoticed("cut"));
    assert!(result.reason.starts_with(&reason) && result.observed.is_some(), "{}", result.reason);
    assert!(result.reason.ends_with(", at least 2 required"), "{}", result.reason);
    assert_eq!(judge(&observe(10.0, 30), json!({"success_rate": {"max": "80%"}})).verdict, Verdict::Pass);
    assert_eq!(judge(&observe(10.0, 10), json!({"success_rate": {"max": "80%"}})).verdict, Verdict::Inconclusive);
    assert_eq!(judge(&observe(10.0, 10), json!({"errors": {"connection": {"min": 10}}})).verdict, Verdict::Pass);
}

/// What a partition does to a service that soon does without the target: failures for two seconds of a short run.
#[test]
fn one_clump_in_a_short_run_is_no_proof_and_still_a_hint() {
    let clump = |failing: fn(f64) -> bool, slow_ms: f64| {
        let observations = Timeline::new(20.0)
            .phase("baseline", 10.0)
            .fault_phase("cut", 10.0)
            .answer(move |it| match it.phase {
                "cut" if failing(it.into) && slow_ms == 0.0 => it.refused(),
                "cut" if failing(it.into) => it.ok_in(slow_ms),
                _ => it.ok_in(10.0),
            })
            .observe();
        let felt = effects(&observations).remove(0);
        (felt.changes, felt.hint.unwrap_or_default())
    };
    assert_eq!(clump(|into| (4.0..5.0).contains(&into), 0.0), (vec![], "20 of 200 requests failed".to_owned()));
    let slow = "20 of 200 requests took longer than 11ms".to_owned();
    assert_eq!(clump(|into| (4.0..5.0).contains(&into), 90.0), (vec![], slow));
    assert_eq!(clump(|_| false, 0.0), (vec![], String::new()));
    // A single one is no chance of a service that never failed before.
    assert_eq!(clump(|into| (4.0..4.05).contains(&into), 0.0), (vec![], "1 of 200 requests failed".to_owned()));
}

#[test]
fn an_effect_without_a_baseline_is_not_denied() {
    let observations = Timeline::new(20.0)
        .fault_phase("cut", 20.0)
        .answer(|it| if it.index % 3 == 0 { it.refused() } else { it.ok_in(9.0) });
    let fault = json!({"f": {"partition": {"pods": {"prefix": "a"}, "from": [{"service": "b"}]}}});
    let scenario = scenario(&json!([{"name": "cut", "duration": "20s", "faults": fault, "effect": "any"}]));
    let result = expectations(&scenario, &observations.observe(), 1, &|_| None).remove(0);
    let reason = "there is no phase before the faults of `cut` whose requests could be compared";
    assert_eq!((result.verdict, result.reason.as_str()), (Verdict::Inconclusive, reason));
}

#[test]
fn an_effect_may_cover_one_load() {
    let of = |load: &str| json!({"errors": {"connection": {"min": 10}, "load": load}});
    let seen = observe(10.0, 10);
    let asked = judge(&seen, of("load"));
    assert_eq!((asked.verdict, asked.load.as_str()), (Verdict::Pass, "load"));
    assert_eq!(judge(&seen, of("other")).verdict, Verdict::Inconclusive, "there is no such load");
}
