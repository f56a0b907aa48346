//! The changes that count as an effect of a fault.

use super::*;
use crate::expectations;
use crate::testing::shapes::{Service, Shape};
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

fn plain() -> Scenario {
    scenario(&json!([{"name": "baseline", "duration": "20s"}, {"name": "cut", "duration": "20s"}]))
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
        assert_eq!(changed("cut", &effects(&plain(), &observations)).as_deref(), Some(words));
    }
    assert_eq!(changed("cut", &effects(&plain(), &observe(10.0, 0))), None);
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

/// A service that stalls by itself "had the effect" of a fault that did nothing in 4 to 19 of 40 runs.
#[test]
fn a_ratio_that_may_be_no_change_is_no_effect() {
    let passes = |shape: Shape, times: f64, percentile: &str| {
        let effect = json!({"latency_ratio": {"percentile": percentile, "to": "baseline", "min": 1.2}});
        let is_pass = |seed: &u64| {
            let mut service = Service::new(shape, *seed);
            let timeline = Timeline::new(20.0).phase("baseline", 60.0).fault_phase("cut", 60.0);
            let seen = timeline.answer(|it| {
                let ms = service.answer_ms(it.at);
                it.ok_in(if it.phase == "cut" { ms * times } else { ms })
            });
            judge(&seen.observe(), effect.clone()).verdict == Verdict::Pass
        };
        (0..20).filter(is_pass).count()
    };
    for shape in [Shape::Stalls(10), Shape::Stalls(5), Shape::Drifting(0.3), Shape::Bimodal, Shape::Queue] {
        let unchanged = passes(shape, 1.0, "p95");
        assert!(unchanged <= 2, "{shape}: {unchanged} of 20 unchanged");
    }
    for shape in [Shape::Independent, Shape::Drifting(0.15), Shape::Bimodal, Shape::HeavyTailed, Shape::Pauses] {
        let doubled = passes(shape, 2.0, "p95");
        assert!(doubled >= 16, "{shape}: {doubled} of 20 doubled");
    }
    assert!(passes(Shape::Stalls(10), 2.0, "p50") >= 16);
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
        let felt = effects(&plain(), &observations).remove(0);
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

/// The service was slower at 40/s than at 15/s, and a fault that did nothing was "proven". So is one by the pace of another load,
/// by more workers, and by a ramp that takes another time.
#[test]
fn another_pace_proves_nothing() {
    let fault = json!({"f": {"partition": {"pods": {"prefix": "a"}, "from": [{"service": "b"}]}}});
    let judge = |loads: &serde_json::Value, change: serde_json::Value, seconds: u32, effect: &serde_json::Value| {
        let scenario: Scenario =
            serde_json::from_value(json!({"version": 1, "name": "test", "load": loads, "phases": [
                {"name": "baseline", "duration": "20s"},
                {"name": "cut", "duration": format!("{seconds}s"), "load": change, "faults": fault, "effect": effect},
            ]}))
            .unwrap();
        let result = expectations(&scenario, &observe(30.0, 0), 1, &|_| None).remove(0);
        (result.verdict, result.reason)
    };
    let http = json!({"url": "http://127.0.0.1:1"});
    let open = json!({"load": {"http": http, "rate": "15/s"}, "other": {"http": http, "rate": "5/s"}});
    let ramp = json!({"load": {"http": http, "rate": {"from": "10/s", "to": "30/s"}}});
    let closed = json!({"load": {"http": http, "concurrency": 1}});
    let ratio = json!({"latency_ratio": {"percentile": "p50", "to": "baseline", "min": 2}});
    for effect in [json!("any"), ratio] {
        for (loads, change, seconds, words) in [
            (&open, json!({"load": {"rate": "40/s"}}), 20, "another pace in `baseline` (15/s) than in `cut` (40/s)"),
            (&open, json!({"other": {"rate": "90/s"}}), 20, "another pace in `baseline` (5/s) than in `cut` (90/s)"),
            (&closed, json!({"load": {"concurrency": 4}}), 20, "(1 at a time) than in `cut` (4 at a time)"),
            (
                &ramp,
                json!({}),
                40,
                "another pace in `baseline` (10/s to 30/s in 20s) than in `cut` (10/s to 30/s in 40s)",
            ),
        ] {
            let (verdict, reason) = judge(loads, change, seconds, &effect);
            assert!(verdict == Verdict::Inconclusive && reason.contains(words), "{verdict:?} {reason}");
        }
        for loads in [&open, &ramp, &closed] {
            assert_eq!(judge(loads, json!({}), 20, &effect).0, Verdict::Pass, "{loads}");
        }
    }
}

/// The rows after the first 250 are heavier, and a fault that did nothing was "proven".
#[test]
fn data_in_order_proves_nothing_before_it_repeats() {
    let fault = json!({"f": {"partition": {"pods": {"prefix": "a"}, "from": [{"service": "b"}]}}});
    let judge = |rows: u64, slower: f64, effect: &serde_json::Value| {
        let observations = Timeline::new(20.0)
            .phase("baseline", 20.0)
            .fault_phase("cut", 20.0)
            .answer(|it| {
                let heavy = if it.index % rows >= rows / 2 { 60.0 } else { 20.0 };
                it.ok_in(if it.phase == "cut" { heavy * slower } else { heavy })
            })
            .observe();
        let mut scenario = scenario(&json!([
            {"name": "baseline", "duration": "20s"},
            {"name": "cut", "duration": "20s", "faults": fault, "effect": effect},
        ]));
        scenario.load["load"].cycle = Some(rows);
        let result = expectations(&scenario, &observations, 1, &|_| None).remove(0);
        (result.verdict, result.reason)
    };
    let ratio = json!({"latency_ratio": {"percentile": "p50", "to": "baseline", "min": 2}});
    for effect in [json!("any"), ratio] {
        let (verdict, reason) = judge(800, 1.0, &effect);
        assert_eq!(verdict, Verdict::Inconclusive, "{reason}");
        assert!(reason.contains("takes its 800 rows of data in order, and 400 requests in `baseline`"), "{reason}");
        assert_eq!(judge(10, 3.0, &effect).0, Verdict::Pass);
    }
    // With 3.5 rounds in each phase, the one has more of the heavy rows and the other more of the light ones.
    for rows in [10, 90, 114, 133] {
        let (verdict, reason) = judge(rows, 1.0, &json!("any"));
        assert_eq!(verdict, Verdict::Inconclusive, "{rows}: {reason}");
    }
}

/// A service that always fails now and then "felt" a fault that did nothing.
#[test]
fn a_condition_that_held_before_shows_no_effect() {
    let observe = |before: u64, during: u64, seconds: f64| {
        Timeline::new(20.0)
            .phase("baseline", 20.0)
            .fault_phase("cut", seconds)
            .answer(move |it| {
                let failing = if it.phase == "cut" { during } else { before };
                if it.index * 37 % 100 < failing { it.refused() } else { it.ok_in(10.0) }
            })
            .observe()
    };
    for (condition, before, during, seconds, held) in [
        (json!({"success_rate": {"max": "99%"}}), 3, 3, 20.0, Some("97% of 400 requests succeeded")),
        // Too few requests for a verdict on the baseline.
        (json!({"success_rate": {"max": "99%"}}), 2, 2, 200.0, Some("98% of 400 requests succeeded")),
        (json!({"success_rate": {"max": "80%"}}), 30, 30, 20.0, Some("70% of 400 requests succeeded")),
        (json!({"success_rate": {"max": "80%"}}), 15, 30, 20.0, None),
        (json!({"success_rate": {"max": "99%"}}), 0, 30, 20.0, None),
        (json!({"errors": {"connection": {"min": 1}}}), 1, 1, 20.0, Some("of 400 requests: connection 4")),
        (json!({"errors": {"connection": {"min": 1}}}), 0, 10, 20.0, None),
        // As many in a phase that is three times as long.
        (json!({"errors": {"connection": {"min": 10}}}), 1, 1, 60.0, Some("connection 4")),
        (json!({"errors": {"connection": {"min": 10}}}), 1, 10, 20.0, None),
    ] {
        let result = judge(&observe(before, during, seconds), condition.clone());
        match held {
            None => assert_eq!(result.verdict, Verdict::Pass, "{condition}: {}", result.reason),
            Some(words) => {
                assert_eq!(result.verdict, Verdict::Inconclusive, "{condition}: {}", result.reason);
                assert!(
                    result.reason.starts_with("the condition held before the faults of `cut`"),
                    "{}",
                    result.reason
                );
                assert!(result.reason.contains(words), "{}", result.reason);
                assert!(result.reason.ends_with(" in `baseline`"), "{}", result.reason);
            }
        }
    }
}

/// "No request changed" stood above 20 failed requests.
#[test]
fn failures_that_are_too_few_are_still_told() {
    let observed = |seconds: f64| {
        let observations = Timeline::new(20.0)
            .phase("baseline", 10.0)
            .fault_phase("cut", 10.0)
            .answer(move |it| match it.phase {
                "cut" if (4.0..4.0 + seconds).contains(&it.into) => it.refused(),
                _ => it.ok_in(10.0),
            })
            .observe();
        judge(&observations, json!("any")).observed_text
    };
    assert_eq!(observed(1.0), "no significant change (20 of 200 requests failed, too few to tell)");
    assert_eq!(observed(0.0), "no change");
}
