//! What a fault must change to count as noticed.

use super::*;
use crate::expectations;
use crate::testing::{Outcome, Request, Timeline, scenario};
use serde_json::json;

fn observe(ms: f64, failing: u64) -> Observations {
    Timeline::new(20.0)
        .phase("baseline", 20.0)
        .fault_phase("cut", 20.0)
        .answer(move |it| match it.phase {
            "cut" if it.index % 100 < failing => it.refused(),
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
fn anything_is_seen_and_nothing_is_inconclusive() {
    let nothing = judge(&observe(10.0, 0), json!("any"));
    assert_eq!((nothing.verdict, nothing.kind.as_str(), nothing.line), (Verdict::Inconclusive, "effect", Some(9)));
    assert!(nothing.reason.starts_with("the faults of `cut` did not change"), "{}", nothing.reason);
    for (observations, words) in [
        (observe(10.0, 10), "the requests changed (load load: success rate 100% to 90%)"),
        (observe(13.0, 0), "the requests changed (load load: p50 10.3ms to 13.3ms, p95 10.6ms to 13.6ms)"),
    ] {
        let result = judge(&observations, json!("any"));
        assert_eq!((result.verdict, result.reason.as_str()), (Verdict::Pass, words));
        assert_eq!(evidence(&observations, 1), [("cut".to_owned(), words.to_owned())]);
    }
    assert_eq!(evidence(&observe(10.0, 0), 1), []);
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
    assert_eq!(judge(&observe(10.0, 30), json!({"success_rate": {"max": "80%"}})).verdict, Verdict::Pass);
    assert_eq!(judge(&observe(10.0, 10), json!({"success_rate": {"max": "80%"}})).verdict, Verdict::Inconclusive);
    assert_eq!(judge(&observe(10.0, 10), json!({"errors": {"connection": {"min": 10}}})).verdict, Verdict::Pass);
}
#[test]
fn an_effect_may_be_asked_of_one_load() {
    let of = |load: &str| json!({"errors": {"connection": {"min": 10}, "load": load}});
    let seen = observe(10.0, 10);
    let asked = judge(&seen, of("load"));
    assert_eq!((asked.verdict, asked.load.as_str()), (Verdict::Pass, "load"));
    assert_eq!(judge(&seen, of("other")).verdict, Verdict::Inconclusive, "there is no such load");
}

#[test]
fn intervals_that_touch_are_not_apart() {
    let apart_from = |low: f64, high: f64| apart([2.0, 3.0], [low, high]);
    assert_eq!([apart_from(0.0, 1.9), apart_from(0.0, 2.0), apart_from(2.5, 2.6)], [true, false, false]);
    assert_eq!([apart_from(3.0, 4.0), apart_from(3.1, 4.0)], [false, true]);
}

/// What changed from so many seconds of a baseline to so many of a fault.
fn changed(rate: f64, seconds: [f64; 2], answer: impl FnMut(Request<'_>) -> Outcome) -> String {
    let timeline = Timeline::new(rate).phase("baseline", seconds[0]).fault_phase("cut", seconds[1]);
    let observations = timeline.answer(answer).observe();
    changes(&observations, &observations.loads[0], 1, 1).join(", ")
}

#[test]
fn a_latency_changes_by_more_than_noise_and_chance() {
    let to = |ms: [f64; 2]| changed(20.0, [20.0, 20.0], |it| it.ok_in(ms[usize::from(it.phase == "cut")]));
    assert_eq!(to([1.0, 2.0]), "p50 1ms to 2ms, p95 1ms to 2ms");
    assert_eq!(to([2.0, 1.0]), "p50 2ms to 1ms, p95 2ms to 1ms");
    assert_eq!([to([1.0, 1.05]), to([1.0, 1.1]), to([1.1, 1.0])], ["", "", ""]);
    // Nine seconds of twenty are slow, and then eleven: the median triples, by chance.
    let drifts = |it: Request<'_>| {
        let slow = if it.phase == "cut" { 11 } else { 9 };
        it.ok_in(if it.into as u64 * 7 % 20 < slow { 30.0 } else { 10.0 })
    };
    assert_eq!(changed(20.0, [20.0, 20.0], drifts), "");
}

#[test]
fn what_too_few_requests_say_is_no_change() {
    let slower = |seconds: [f64; 2]| changed(2.0, seconds, |it| it.ok_in(if it.phase == "cut" { 2.0 } else { 1.0 }));
    // 60 requests have a p95, 20 a median.
    let both = "p50 1ms to 2ms, p95 1ms to 2ms";
    assert_eq!(slower([30.0, 30.0]), both);
    for (short, says) in [(29.5, "p50 1ms to 2ms"), (10.0, "p50 1ms to 2ms"), (9.5, "")] {
        assert_eq!([slower([30.0, short]), slower([short, 30.0])], [says, says], "{short}");
    }
    let refused =
        |seconds: [f64; 2]| changed(20.0, seconds, |it| if it.phase == "cut" { it.refused() } else { it.ok_in(10.0) });
    let all = "success rate 100% to 0%";
    assert_eq!([refused([20.0, 1.0]), refused([1.0, 20.0])], [all, all]);
    assert_eq!([refused([20.0, 0.95]), refused([0.95, 20.0])], ["out of tolerance from 20s on", ""]);
}

#[test]
fn a_success_rate_changes_in_either_direction() {
    let failing = |every: [u64; 2]| {
        changed(20.0, [20.0, 20.0], |it| {
            let failing = it.index % every[usize::from(it.phase == "cut")] == 0;
            if failing { it.refused() } else { it.ok_in(10.0) }
        })
    };
    assert_eq!(failing([2, 5]), "success rate 50% to 80%");
    assert_eq!(failing([5, 2]), "success rate 80% to 50%");
    assert_eq!(failing([5, 5]), "");
}
