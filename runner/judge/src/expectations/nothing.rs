//! No expectation passes without data, except one that requires nothing.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::testing::{self, Timeline};
use shakedown_observe::{Cell, LinesSeen, Outside, PodSeen, PodsSeen};
use shakedown_schemas::result::Verdict;
use shakedown_schemas::scenario::Arrival;

/// Every kind of expectation. A kind without a row in the table is tested with its example. A row is needed where the
/// example does not hold in [`timeline`].
fn every_kind() -> Vec<Value> {
    let mut all = table();
    for kind in Expectation::KINDS {
        if !all.iter().any(|it| it.get(kind.name).is_some()) {
            all.push(serde_json::to_value(kind.example()).expect("JSON"));
        }
    }
    all
}

/// Kinds with limits that every value meets, and with the smallest possible number of samples.
fn table() -> Vec<Value> {
    let percentile = |limits: Value| {
        let mut it = json!({"percentile": "p95", "min_samples": 1});
        it.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
        it
    };
    let value = || percentile(json!({"max": "1h"}));
    let ratio = || percentile(json!({"to": "baseline", "max": 1e6, "or_below": "1h"}));
    let rate = || json!({"to": "baseline", "max": 1e6, "min_samples": 1});
    let prometheus =
        |over: &str| json!({"prometheus": {"url": "http://127.0.0.1:1", "query": "up", "over": over, "max": 1e6}});
    let pods = json!({"prefix": "a"});
    vec![
        json!({"success_rate": {"min": "0%", "min_samples": 1}}),
        json!({"success_rate": {"max": "100%", "min_samples": 1}}),
        json!({"latency": value()}),
        json!({"latency_ratio": ratio()}),
        json!({"time_to_first_token": value()}),
        json!({"time_to_first_token_ratio": ratio()}),
        json!({"inter_token_latency": value()}),
        json!({"inter_token_latency_ratio": ratio()}),
        json!({"output_tokens_per_second": {"max": 1e6, "min_samples": 1}}),
        json!({"output_tokens_per_second_ratio": rate()}),
        json!({"throughput_ratio": rate()}),
        json!({"errors": {"any": {"max": 1000}, "timeout": {"max": 0}}}),
        json!({"goodput": {"min": "0%", "of": {"latency": "1h"}, "min_samples": 1}}),
        json!({"goodput": {"max": "100%", "of": {"latency": "1h"}, "min_samples": 1}}),
        json!({"stuck": {"max": 0}}),
        json!({"recovery_time": {"max": "1h", "hold": "1s"}}),
        json!({"requests": {"max": 1000}}),
        json!({"requests": {"min": 0}}),
        json!({"pods": {"select": pods, "restarts": {"max": 0}}}),
        json!({"pods": {"select": pods, "ready_within": "1h"}}),
        prometheus("mean"),
        prometheus("max"),
        prometheus("min"),
        prometheus("end"),
        json!({"prometheus": {"url": "http://127.0.0.1:1", "query": "up", "to": "baseline", "max": 1e6}}),
        json!({"logs": {"select": pods, "matches": "panic", "max": 0}}),
    ]
}

fn timeline() -> Timeline<'static> {
    timeline_at(20.0)
}

fn timeline_at(rate: f64) -> Timeline<'static> {
    Timeline::new(rate)
        .phase("baseline", 20.0)
        .fault_phase("cut", 20.0)
        .phase("recovery", 20.0)
        .answer(|it| testing::Outcome { first_token_ms: Some(5.0), stream: Some((5.0, 10)), ..it.ok_in(50.0) })
}

/// The phases ran, and no request was due in those that `is_empty` selects.
fn without_requests(is_empty: impl Fn(usize) -> bool) -> Observations {
    let mut observations = timeline().observe();
    for segment in observations.loads[0].segments.iter_mut().filter(|it| is_empty(it.mark.phase)) {
        segment.cells.fill(Cell::default());
        segment.first_success_ns = None;
    }
    observations
}

/// The collected data of every kind, all of it empty.
fn with_outside(mut observations: Observations, it: &Expectation, none: bool) -> Observations {
    let series = |values: &[f64]| (0..3).map(|phase| (phase, Ok(values.to_vec().into()))).collect::<BTreeMap<_, _>>();
    let look = |second: u64| PodsSeen { at_ns: second * 1_000_000_000, pods: BTreeMap::new() };
    let seen = match it {
        Expectation::Pods(_) if none => Outside::Pods(Vec::new()),
        Expectation::Pods(_) => Outside::Pods((0..=60).map(look).collect()),
        Expectation::Prometheus(_) if none => Outside::Series(BTreeMap::new()),
        Expectation::Prometheus(_) => Outside::Series(series(&[f64::NAN, f64::INFINITY])),
        Expectation::Logs(_) => Outside::Lines(LinesSeen::default()),
        _ => return observations,
    };
    observations.outside.insert("phases[2].expect[0]".to_owned(), seen);
    observations
}

fn judge(expect: &Value, observations: &Observations) -> ExpectationResult {
    let cut = json!({"cut": {"partition": {"pods": {"name": "w"}, "from": [{"service": "bus"}]}}});
    let mut scenario = testing::scenario(&json!([
        {"name": "baseline", "duration": "20s"},
        {"name": "cut", "duration": "20s", "faults": cut},
        {"name": "recovery", "duration": "20s", "expect": [expect]},
    ]));
    // With jittered requests, a phase may have some fewer than its pace.
    scenario.load["load"].arrival = Some(Arrival::Steady);
    expectations(&scenario, observations, 1, &|_| None).remove(0)
}

#[test]
fn no_kind_passes_on_nothing() {
    for expect in every_kind() {
        let it: Expectation = serde_json::from_value(expect.clone()).unwrap();
        let cases = [
            ("no phase began", Observations::default()),
            ("there is no load", Observations { loads: Vec::new(), ..timeline().observe() }),
            ("no request was due", without_requests(|_| true)),
            ("no request was due in the phase", without_requests(|phase| phase == 2)),
            ("nothing was collected", with_outside(without_requests(|_| true), &it, true)),
            ("there was nothing to see", with_outside(without_requests(|_| true), &it, false)),
        ];
        for (case, observations) in cases {
            let result = judge(&expect, &observations);
            assert_eq!(result.verdict, Verdict::Inconclusive, "{expect}: {case}: {}", result.reason);
        }
        let compared =
            ["latency_ratio", "throughput_ratio", "recovery_time"].iter().any(|kind| it.kind().ends_with(kind));
        if compared || it.kind().ends_with("_ratio") {
            let result = judge(&expect, &without_requests(|phase| phase == 0));
            assert_eq!(result.verdict, Verdict::Inconclusive, "{expect}: an empty baseline: {}", result.reason);
        }
    }
}

/// The counterpart, so that the table cannot pass for another reason: with requests, samples and values, every kind passes.
#[test]
fn every_kind_passes_on_something() {
    for expect in every_kind() {
        let it: Expectation = serde_json::from_value(expect.clone()).unwrap();
        let mut observations = timeline().observe();
        let pod = PodSeen { name: "a".to_owned(), ready: true, restarts: 0 };
        let look = |second: u64| PodsSeen {
            at_ns: second * 1_000_000_000,
            pods: BTreeMap::from([("uid".to_owned(), pod.clone())]),
        };
        let seen = match it {
            Expectation::Pods(_) => Outside::Pods((0..=60).map(look).collect()),
            Expectation::Prometheus(_) => Outside::Series((0..3).map(|phase| (phase, Ok(vec![1.0].into()))).collect()),
            _ => Outside::Lines(LinesSeen { read: 1, ..LinesSeen::default() }),
        };
        observations.outside.insert("phases[2].expect[0]".to_owned(), seen);
        let result = judge(&expect, &observations);
        assert_eq!(result.verdict, Verdict::Pass, "{expect}: {}", result.reason);
    }
}

/// `validate` refuses a scenario by the number of requests that a kind states. The judge must need exactly as many: a number
/// that is too large refuses scenarios that could pass, one that is too small promises an answer that never comes.
#[test]
fn every_kind_needs_as_many_requests_as_it_states() {
    let mut asked = 0;
    for kind in Expectation::KINDS {
        let mut expect = serde_json::to_value(kind.example()).expect("JSON");
        if expect.get("goodput").is_some() {
            // The synthetic load counts no request within bounds.
            expect = json!({"goodput": {"max": "100%", "of": {"latency": "1h"}}});
        }
        let it: Expectation = serde_json::from_value(expect.clone()).unwrap();
        let Some(needed) = it.requests_needed() else { continue };
        let verdict = |requests: u64| judge(&expect, &timeline_at(requests as f64 / 20.0).observe());
        let (few, enough) = (verdict(needed - 1), verdict(needed));
        assert_eq!(few.verdict, Verdict::Inconclusive, "{expect} with {} requests: {}", needed - 1, few.reason);
        assert_ne!(enough.verdict, Verdict::Inconclusive, "{expect} with {needed} requests: {}", enough.reason);
        asked += 1;
    }
    assert!(asked > 10, "{asked} kinds are not all of them");
}

#[test]
fn limits_of_zero_pass_without_requests() {
    let none = without_requests(|phase| phase == 2);
    let result = judge(&json!({"requests": {"max": 0}}), &none);
    assert_eq!((result.verdict, result.reason.as_str()), (Verdict::Pass, "0 requests were due, expected at most 0"));
    let result = judge(&json!({"requests": {"min": 1}}), &none);
    assert_eq!((result.verdict, result.reason.as_str()), (Verdict::Fail, "0 requests were due, expected at least 1"));
    let result = judge(&json!({"requests": {"max": 5}}), &none);
    assert_eq!(result.reason, "no request was due in `recovery`: this passes only with `max: 0`");
}

#[test]
fn no_requests_show_no_effect() {
    let cut = json!({"cut": {"partition": {"pods": {"name": "w"}, "from": [{"service": "bus"}]}}});
    let ratio = json!({"percentile": "p95", "to": "baseline", "min": 0, "min_samples": 1});
    for effect in [
        json!("any"),
        json!({"success_rate": {"max": "100%", "min_samples": 1}}),
        json!({"latency_ratio": ratio}),
        json!({"time_to_first_token_ratio": ratio}),
        json!({"inter_token_latency_ratio": ratio}),
        json!({"throughput_ratio": {"to": "baseline", "max": 1e6, "min_samples": 1}}),
        json!({"errors": {"any": {"max": 1000}}}),
    ] {
        let scenario = testing::scenario(&json!([
            {"name": "baseline", "duration": "20s"},
            {"name": "cut", "duration": "20s", "faults": cut, "effect": effect},
        ]));
        for observations in [Observations::default(), without_requests(|_| true), without_requests(|phase| phase == 1)]
        {
            let result = expectations(&scenario, &observations, 1, &|_| None).remove(0);
            assert_eq!(result.verdict, Verdict::Inconclusive, "{effect}: {}", result.reason);
        }
    }
}
