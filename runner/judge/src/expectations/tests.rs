//! Each kind of expectation in both directions, and what cannot be decided.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing::shapes::{Service, Shape};
use crate::testing::{self, Outcome, Request, Timeline};
use shakedown_observe::Failure;
use shakedown_schemas::result::Verdict;

fn scenario(expect: serde_json::Value) -> Scenario {
    testing::scenario(&json!([
        {"name": "baseline", "duration": "20s"}, {"name": "cut", "duration": "20s", "expect": [expect]},
    ]))
}

/// 20 s of baseline at 10 ms, then this many seconds in which requests end as given.
fn observe(seconds: f64, mut answer: impl FnMut(Request<'_>) -> Outcome) -> Observations {
    Timeline::new(20.0)
        .phase("baseline", 20.0)
        .phase("cut", seconds)
        .answer(move |it| if it.phase == "baseline" { it.ok_in(10.0) } else { answer(it) })
        .observe()
}

fn judge(observations: &Observations, expect: serde_json::Value) -> ExpectationResult {
    expectations(&scenario(expect), observations, 1, &|path| (path == "phases[1].expect[0]").then_some(12)).remove(0)
}

#[track_caller]
fn check(result: &ExpectationResult, verdict: Verdict, reason: &str) {
    assert_eq!((result.verdict, result.reason.as_str()), (verdict, reason));
}

#[test]
fn success_rates() {
    let observations = observe(20.0, |it| if it.index % 10 == 0 { it.refused() } else { it.ok_in(10.0) });
    let pass = judge(&observations, json!({"success_rate": {"min": "80%"}}));
    check(
        &pass,
        Verdict::Pass,
        "40 requests failed (40 connection_refused): 90% of 400 requests succeeded (86.67% to 92.57%), expected at \
         least 80%",
    );
    assert_eq!((pass.title.as_str(), pass.observed_text.as_str()), ("success rate at least 80%", "90%"));
    assert_eq!((pass.samples, pass.line, pass.min), (400, Some(12), Some(0.8)));
    assert_eq!(judge(&observations, json!({"success_rate": {"min": "90%"}})).verdict, Verdict::Pass);
    assert_eq!(judge(&observations, json!({"success_rate": {"min": "91%"}})).verdict, Verdict::Fail);
    assert_eq!(judge(&observations, json!({"success_rate": {"max": "95%"}})).verdict, Verdict::Pass);
    assert_eq!(judge(&observations, json!({"success_rate": {"max": "50%"}})).verdict, Verdict::Fail);
}

#[test]
fn an_interval_that_contains_the_limit_decides_nothing() {
    let observations = observe(20.0, |it| if it.index % 10 == 0 { it.refused() } else { it.ok_in(10.0) });
    let expect = |min: &str| json!({"success_rate": {"min": min, "decide": "interval"}});
    assert_eq!(judge(&observations, expect("86%")).verdict, Verdict::Pass);
    assert_eq!(judge(&observations, expect("93%")).verdict, Verdict::Fail);
    let open = judge(&observations, expect("88%"));
    assert_eq!(open.verdict, Verdict::Inconclusive);
    assert!(open.reason.ends_with("; a phase about 3 times as long would decide"), "{}", open.reason);
    let sure = json!({"success_rate": {"min": "86%", "decide": "interval", "confidence": "99.9%"}});
    assert_eq!(judge(&observations, sure).verdict, Verdict::Inconclusive);
}

#[test]
fn few_requests_are_inconclusive_unless_they_refute() {
    let few = observe(2.0, |it| it.ok_in(10.0));
    let result = judge(&few, json!({"success_rate": {"min": "99%"}}));
    check(
        &result,
        Verdict::Inconclusive,
        "`cut` has 40 requests, and `at least 99%` needs 100: lengthen the phase, raise the load, or set `min_samples`",
    );
    assert_eq!(judge(&few, json!({"success_rate": {"min": "99%", "min_samples": 40}})).verdict, Verdict::Pass);
    assert_eq!(judge(&few, json!({"success_rate": {"min": "80%", "min_samples": 41}})).verdict, Verdict::Inconclusive);
    let refused = observe(0.5, |it| it.refused());
    assert_eq!(judge(&refused, json!({"success_rate": {"min": "80%"}})).verdict, Verdict::Fail);
    assert_eq!(judge(&refused, json!({"success_rate": {"max": "20%"}})).verdict, Verdict::Inconclusive);
    let slow = observe(2.0, |it| it.ok_in(500.0));
    assert_eq!(judge(&slow, json!({"latency": {"percentile": "p95", "max": "100ms"}})).verdict, Verdict::Fail);
    assert_eq!(judge(&slow, json!({"latency": {"percentile": "p95", "max": "1s"}})).verdict, Verdict::Inconclusive);
    let ratio = |max: f64| json!({"latency_ratio": {"percentile": "p95", "to": "baseline", "max": max}});
    assert_eq!(judge(&slow, ratio(3.0)).verdict, Verdict::Fail);
    assert_eq!(judge(&slow, ratio(60.0)).verdict, Verdict::Inconclusive);
}

#[test]
fn no_requests_are_never_a_pass() {
    let nothing = observe(0.0, |it| it.ok_in(10.0));
    for expect in [
        json!({"success_rate": {"max": "100%"}}),
        json!({"latency": {"percentile": "p50", "max": "1h"}}),
        json!({"latency_ratio": {"percentile": "p50", "to": "baseline", "max": 1e9}}),
    ] {
        assert_eq!(judge(&nothing, expect.clone()).verdict, Verdict::Inconclusive, "{expect}");
    }
    assert_eq!(judge(&nothing, json!({"requests": {"min": 1}})).verdict, Verdict::Fail);
    let refused = observe(20.0, |it| it.refused());
    let result = judge(&refused, json!({"latency": {"percentile": "p95", "max": "1s"}}));
    check(
        &result,
        Verdict::Inconclusive,
        "no request of `cut` has a latency: 400 of 400 requests failed (400 connection_refused)",
    );
}

#[test]
fn latencies() {
    let observations = observe(20.0, |it| it.ok_in(if it.index % 10 == 0 { 300.0 } else { 20.0 }));
    let at = |percentile: &str, limit: &str, value: &str| json!({"latency": {"percentile": percentile, limit: value}});
    assert_eq!(judge(&observations, at("p50", "max", "25ms")).verdict, Verdict::Pass);
    assert_eq!(judge(&observations, at("p95", "max", "25ms")).verdict, Verdict::Fail);
    assert_eq!(judge(&observations, at("p95", "min", "250ms")).verdict, Verdict::Pass);
    assert_eq!(judge(&observations, at("p50", "min", "250ms")).verdict, Verdict::Fail);
    let p95 = judge(&observations, at("p95", "max", "25ms"));
    check(&p95, Verdict::Fail, "p95 was 300ms (300ms to 300ms), allowed 25ms");
    assert_eq!(judge(&observations, at("p99.9", "max", "1s")).verdict, Verdict::Inconclusive, "400 carry no p99.9");
}

#[test]
fn a_percentile_among_requests_that_were_given_up_cannot_pass() {
    let observations = observe(20.0, |it| if it.index % 10 == 0 { it.timeout() } else { it.ok_in(20.0) });
    let at = |max: &str| json!({"latency": {"percentile": "p95", "max": max}});
    let high = judge(&observations, at("60s"));
    assert_eq!(
        (high.verdict, high.censored, high.observed_text.as_str()),
        (Verdict::Inconclusive, true, "at least 30s")
    );
    assert_eq!(judge(&observations, at("10s")).verdict, Verdict::Fail);
    let median = judge(&observations, json!({"latency": {"percentile": "p50", "max": "25ms"}}));
    assert_eq!((median.verdict, median.censored), (Verdict::Pass, false));
}

#[test]
fn ratios() {
    let ratio = |max: f64| json!({"latency_ratio": {"percentile": "p95", "to": "baseline", "max": max}});
    let doubled = observe(20.0, |it| it.ok_in(20.0));
    let result = judge(&doubled, ratio(3.0));
    check(&result, Verdict::Pass, "p95 rose to 2 times the baseline (2 to 2), expected at most 3");
    assert_eq!(result.title, "p95 at most 3 times baseline");
    assert_eq!(result.terms["cut p95"], "20ms (400 requests)");
    assert_eq!(result.terms["baseline p95"], "10ms (400 requests)");
    let failed = judge(&doubled, ratio(1.5));
    check(&failed, Verdict::Fail, "p95 rose to 2 times the baseline (2 to 2), allowed 1.5");
    let floor =
        |floor: &str| json!({"latency_ratio": {"percentile": "p95", "to": "baseline", "max": 1.5, "or_below": floor}});
    assert_eq!(judge(&doubled, floor("50ms")).verdict, Verdict::Pass);
    assert_eq!(judge(&doubled, floor("50ms")).terms["decided by"], "or_below 50ms");
    assert_eq!(judge(&doubled, floor("15ms")).verdict, Verdict::Fail);
    let min = json!({"latency_ratio": {"percentile": "p95", "to": "baseline", "min": 3.0, "or_below": "50ms"}});
    assert_eq!(judge(&doubled, min).verdict, Verdict::Fail, "the floor is about `max` only");
    let missing = json!({"latency_ratio": {"percentile": "p95", "to": "later", "max": 3.0}});
    assert_eq!(judge(&doubled, missing).verdict, Verdict::Inconclusive);
}

#[test]
fn times_to_first_token() {
    let streamed = |it: Request<'_>, first: f64| Outcome { first_token_ms: Some(first), ..it.ok_in(100.0) };
    let observations = Timeline::new(20.0)
        .phase("baseline", 20.0)
        .phase("cut", 20.0)
        .answer(|it| streamed(it, if it.phase == "cut" { 40.0 } else { 10.0 }))
        .observe();
    let expect = |max: &str| json!({"time_to_first_token": {"percentile": "p95", "max": max}});
    let failed = judge(&observations, expect("30ms"));
    check(&failed, Verdict::Fail, "time to first token p95 was 40ms (40ms to 40ms), allowed 30ms");
    assert_eq!(failed.title, "time to first token p95 at most 30ms");
    assert_eq!(judge(&observations, expect("50ms")).verdict, Verdict::Pass);
    let ratio = |max: f64| json!({"time_to_first_token_ratio": {"percentile": "p95", "to": "baseline", "max": max}});
    assert_eq!(judge(&observations, ratio(3.0)).verdict, Verdict::Fail);
    assert_eq!(judge(&observations, ratio(5.0)).verdict, Verdict::Pass);
    let plain = observe(20.0, |it| it.ok_in(10.0));
    check(&judge(&plain, expect("50ms")), Verdict::Inconclusive, "no request of `cut` has a first token");
}

#[test]
fn errors_by_kind() {
    let observations = observe(20.0, |it| match it.index % 100 {
        0 => it.timeout(),
        1 => it.refused(),
        2 => Outcome { failure: Some(Failure::Status(503)), ..it.ok_in(1.0) },
        3 => Outcome { failure: Some(Failure::Status(404)), ..it.ok_in(1.0) },
        _ => it.ok_in(10.0),
    });
    for (expect, verdict) in [
        (json!({"timeout": {"max": 4}}), Verdict::Pass),
        (json!({"timeout": {"max": 3}}), Verdict::Fail),
        (json!({"connection": {"max": 4}, "http_5xx": {"max": 4}, "http_4xx": {"max": 4}}), Verdict::Pass),
        (json!({"connection": {"max": 4}, "http_5xx": {"max": 3}}), Verdict::Fail),
        (json!({"any": {"max": 16}}), Verdict::Pass),
        (json!({"any": {"max": 15}}), Verdict::Fail),
        (json!({"reset": {"max": 0}, "check": {"max": 0}, "not_sent": {"max": 0}}), Verdict::Pass),
        (json!({"http_5xx": {"min": 4}}), Verdict::Pass),
        (json!({"http_5xx": {"min": 5}}), Verdict::Fail),
    ] {
        assert_eq!(judge(&observations, json!({"errors": expect.clone()})).verdict, verdict, "{expect}");
    }
    let result = judge(&observations, json!({"errors": {"timeout": {"max": 0}}}));
    check(&result, Verdict::Fail, "of 400 requests: timeout 4, allowed 0");
    assert_eq!(
        (result.title.as_str(), result.max, result.observed),
        ("errors: timeout at most 0", Some(0.0), Some(4.0))
    );
    let few = observe(0.5, |it| it.ok_in(10.0));
    assert_eq!(judge(&few, json!({"errors": {"any": {"max": 0}}})).verdict, Verdict::Inconclusive);
    let bad = observe(0.5, |it| it.refused());
    assert_eq!(judge(&bad, json!({"errors": {"any": {"max": 0}}})).verdict, Verdict::Fail);
}

/// The short form of `benches/judge.rs`: an unchanged service is not failed, a doubled one is found, and the interval
/// holds the truth. Twelve runs with fixed seeds: a coverage of 95 % gives ten or more in 98 of 100 choices of seeds.
#[test]
fn a_simulation_covers_the_truth_and_raises_no_false_alarm() {
    for shape in [Shape::Independent, Shape::Drifting(0.05), Shape::Drifting(0.15)] {
        let (mut covered, mut alarms, mut found) = (0, 0, 0);
        for run in 0..12 {
            let at = |factor: f64, seed: u64| {
                let mut service = Service::new(shape, seed);
                let timeline = Timeline::new(20.0).phase("baseline", 60.0).phase("cut", 60.0);
                let observations = timeline
                    .answer(|it| it.ok_in(service.answer_ms(it.at) * if it.phase == "cut" { factor } else { 1.0 }))
                    .observe();
                judge(&observations, json!({"latency_ratio": {"percentile": "p95", "to": "baseline", "max": 1.25}}))
            };
            let same = at(1.0, run);
            covered += u32::from(same.interval.is_some_and(|[low, high]| low <= 1.0 && 1.0 <= high));
            alarms += u32::from(same.verdict == Verdict::Fail);
            found += u32::from(at(2.0, run + 1000).verdict == Verdict::Fail);
        }
        assert!(
            covered >= 10 && alarms <= 1 && found >= 11,
            "{shape}: {covered} covered, {alarms} alarms, {found} found"
        );
    }
}

/// A baseline whose level goes up and down moves a ratio by itself; a constant level does not.
#[test]
fn a_ratio_that_drift_explains_is_inconclusive_and_one_that_it_does_not_fails() {
    let at = |wave: f64, factor: f64, limits: serde_json::Value| {
        let observations = Timeline::new(20.0)
            .phase("baseline", 20.0)
            .phase("cut", 20.0)
            .answer(|it| {
                let level = 100.0 * (1.0 + wave * (it.into / 3.0).sin()) + (it.index * 7 % 20) as f64;
                it.ok_in(if it.phase == "cut" { level * factor } else { level })
            })
            .observe();
        let mut expect = json!({"latency_ratio": {"percentile": "p50", "to": "baseline"}});
        expect["latency_ratio"].as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
        judge(&observations, expect)
    };
    let (most, least) = (json!({"max": 1.1}), json!({"min": 0.9}));
    let drifting = at(0.3, 1.2, most.clone());
    assert_eq!(drifting.verdict, Verdict::Inconclusive, "{}", drifting.reason);
    let why = "the baseline drifts without a fault, which may explain the whole change; both phases about ";
    assert!(drifting.reason.contains(why) && drifting.reason.ends_with(" times as long would decide"), "{drifting:?}");
    assert_eq!(drifting.terms["decided by"], "the baseline drifts without a fault, which may explain the whole change");
    assert!(drifting.terms["baseline drifts"].ends_with(" times the variance of independent requests"));
    assert_eq!(at(0.3, 0.85, least.clone()).verdict, Verdict::Inconclusive, "faster");
    assert_eq!(at(0.3, 3.0, most.clone()).verdict, Verdict::Fail, "three times is no drift");
    assert_eq!(at(0.3, 0.3, least.clone()).verdict, Verdict::Fail);
    assert_eq!(at(0.3, 1.05, most.clone()).verdict, Verdict::Pass, "drift fails no expectation that holds");
    let steady = at(0.0, 1.2, most);
    assert_eq!((steady.verdict, steady.terms.contains_key("baseline drifts")), (Verdict::Fail, false));
    assert_eq!(at(0.0, 0.85, least).verdict, Verdict::Fail);
}

#[test]
fn requests_are_counted_exactly() {
    let observations = observe(20.0, |it| it.refused());
    for (expect, verdict) in [
        (json!({"min": 400}), Verdict::Pass),
        (json!({"min": 401}), Verdict::Fail),
        (json!({"max": 400}), Verdict::Pass),
        (json!({"max": 399}), Verdict::Fail),
    ] {
        assert_eq!(judge(&observations, json!({"requests": expect.clone()})).verdict, verdict, "{expect}");
    }
    let result = judge(&observations, json!({"requests": {"max": 399}}));
    check(&result, Verdict::Fail, "400 requests were due, allowed 399");
}

#[test]
fn phases_that_never_began_or_ended_early_are_inconclusive() {
    let mut observations = observe(20.0, |it| it.refused());
    observations.phases[1].complete = false;
    observations.phases[1].planned_ns = 60_000_000_000;
    let result = judge(&observations, json!({"success_rate": {"min": "99%"}}));
    assert_eq!(result.verdict, Verdict::Inconclusive);
    assert!(
        result.reason.starts_with("`cut` ended after 20s of 60s; observed until then: 400 requests failed"),
        "{}",
        result.reason
    );
    observations.phases[1].complete = true;
    observations.phases[0].complete = false;
    let ratio = json!({"latency_ratio": {"percentile": "p95", "to": "baseline", "max": 3.0}});
    assert_eq!(judge(&observations, ratio).verdict, Verdict::Inconclusive);
    observations.phases.truncate(1);
    let result = judge(&observations, json!({"requests": {"min": 1}}));
    check(&result, Verdict::Inconclusive, "`cut` never began");
    observations.loads.clear();
    observations.phases.push(observations.phases[0].clone());
    check(&judge(&observations, json!({"requests": {"min": 1}})), Verdict::Inconclusive, "load `load` sent nothing");
}

#[test]
fn every_load_is_evaluated_unless_one_is_named() {
    let mut two = scenario(json!({"requests": {"min": 1}}));
    let load = two.load["load"].clone();
    two.load.insert("other".to_owned(), load);
    let mut observations = observe(20.0, |it| it.ok_in(1.0));
    let mut other = observations.loads[0].clone();
    other.name = "other".to_owned();
    other.segments.clear();
    observations.loads.push(other);
    let results = expectations(&two, &observations, 1, &|_| None);
    let answers: Vec<_> = results.iter().map(|it| (it.load.as_str(), it.verdict)).collect();
    assert_eq!(answers, [("load", Verdict::Pass), ("other", Verdict::Fail)]);
    if let Expectation::Requests(it) = &mut two.phases[1].expect[0] {
        it.load = Some("other".to_owned());
    }
    let named = expectations(&two, &observations, 1, &|_| None);
    assert_eq!(named.iter().map(|it| it.load.as_str()).collect::<Vec<_>>(), ["other"]);
}

#[test]
fn the_same_observations_give_the_same_bytes() {
    let observations = observe(20.0, |it| it.ok_in(20.0 + (it.index * 7919 % 101) as f64));
    let expect = json!({"latency_ratio": {"percentile": "p95", "to": "baseline", "max": 20.0}});
    let bytes = || serde_json::to_string(&judge(&observations, expect.clone())).unwrap();
    assert_eq!(bytes(), bytes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// More failures never turn a fail into a pass, and neither does a stricter limit.
    #[test]
    fn success_is_monotone(every in 1_u64..40, limit in 1_u32..100, seconds in 1_u32..20) {
        let rank = |verdict| match verdict { Verdict::Pass => 2, Verdict::Inconclusive => 1, _ => 0 };
        let at = |every: u64, limit: u32| {
            let observations = observe(f64::from(seconds), |it| if it.index % every == 0 { it.refused() } else { it.ok_in(10.0) });
            rank(judge(&observations, json!({"success_rate": {"min": format!("{limit}%")}})).verdict)
        };
        prop_assert!(at(every, limit) <= at(every * 2, limit));
        // A stricter limit may need more requests than there are: what failed is inconclusive then, and never passes.
        let (less, more) = (at(every, limit), at(every, limit + 1));
        prop_assert!(less >= more || (less, more) == (0, 1));
    }
}

/// Streams of this many tokens with a gap between them.
fn streams(gap_ms: f64, tokens: u64) -> impl FnMut(Request<'_>) -> Outcome {
    move |it| Outcome { first_token_ms: Some(5.0), stream: Some((gap_ms, tokens)), ..it.ok_in(10.0) }
}

fn observe_streams(seconds: f64, mut cut: impl FnMut(Request<'_>) -> Outcome) -> Observations {
    let mut before = streams(20.0, 10);
    Timeline::new(20.0)
        .phase("baseline", 20.0)
        .phase("cut", seconds)
        .answer(move |it| if it.phase == "baseline" { before(it) } else { cut(it) })
        .observe()
}

#[test]
fn times_between_tokens() {
    let slower = observe_streams(20.0, streams(50.0, 10));
    let value = |limit: &str, at: &str| json!({"inter_token_latency": {"percentile": "p95", limit: at}});
    assert_eq!(judge(&slower, value("max", "60ms")).verdict, Verdict::Pass);
    let result = judge(&slower, value("max", "40ms"));
    check(&result, Verdict::Fail, "inter-token latency p95 was 50ms (50ms to 50ms), allowed 40ms");
    assert_eq!((result.samples, result.terms["token gaps"].as_str()), (3600, "3600"));
    assert_eq!(result.title, "inter-token latency p95 at most 40ms");
    let ratio = |max: f64| json!({"inter_token_latency_ratio": {"percentile": "p50", "to": "baseline", "max": max}});
    assert_eq!(judge(&slower, ratio(3.0)).verdict, Verdict::Pass);
    let result = judge(&slower, ratio(2.0));
    check(&result, Verdict::Fail, "inter-token latency p50 rose to 2.5 times the baseline (2.5 to 2.5), allowed 2");
    // Many tokens of few streams share their fate.
    let few = observe_streams(0.5, streams(50.0, 500));
    check(
        &judge(&few, value("max", "40ms")),
        Verdict::Inconclusive,
        "the tokens of `cut` come from 10 streams, and 20 are needed: lengthen the phase, raise the load, or set \
         `min_samples`",
    );
    let asked = json!({"inter_token_latency": {"percentile": "p95", "max": "40ms", "min_samples": 100}});
    assert_eq!(judge(&few, asked).verdict, Verdict::Fail);
    let none = observe(20.0, |it| it.ok_in(10.0));
    check(&judge(&none, value("max", "1s")), Verdict::Inconclusive, "no request of `cut` has an inter-token latency");
    // Tokens that come together have no time between them, and that is no reason for a number that is none.
    let at_once = observe_streams(20.0, streams(0.0, 10));
    let result = judge(&at_once, ratio(2.0));
    assert_eq!((result.verdict, result.observed), (Verdict::Pass, Some(0.0)));
    assert!(result.interval.is_some_and(|interval| interval.iter().all(|end| end.is_finite())), "{result:?}");
}

#[test]
fn tokens_per_second_and_their_ratio() {
    // Every second request of the cut fails, and its tokens do not count.
    let half = observe_streams(20.0, |it| {
        let failure = (it.index % 2 == 0).then_some(Failure::BrokenStream);
        Outcome { failure, stream: Some((20.0, 10)), first_token_ms: Some(5.0), ..it.ok_in(10.0) }
    });
    let value = |limit: &str, at: f64| json!({"output_tokens_per_second": {limit: at}});
    let result = judge(&half, value("min", 120.0));
    check(&result, Verdict::Fail, "100 tokens per second were received (99.2 to 101), expected at least 120");
    assert_eq!((result.observed, result.terms["tokens"].as_str()), (Some(100.0), "2000"));
    assert_eq!(judge(&half, value("min", 100.0)).verdict, Verdict::Pass);
    assert_eq!(judge(&half, value("max", 90.0)).verdict, Verdict::Fail);
    let ratio = |min: f64| json!({"output_tokens_per_second_ratio": {"to": "baseline", "min": min}});
    assert_eq!(judge(&half, ratio(0.5)).verdict, Verdict::Pass);
    check(
        &judge(&half, ratio(0.6)),
        Verdict::Fail,
        "output tokens per second were 0.5 times those of the baseline (0.496 to 0.504), expected at least 0.6",
    );
    let plain = observe(20.0, |it| it.ok_in(10.0));
    assert_eq!(judge(&plain, value("max", 1e9)).verdict, Verdict::Inconclusive, "these answers have no tokens");
}

#[test]
fn throughput_ratios() {
    let quarter = observe(20.0, |it| if it.index % 4 == 0 { it.ok_in(10.0) } else { it.refused() });
    let ratio = |limit: &str, at: f64| json!({"throughput_ratio": {"to": "baseline", limit: at}});
    assert_eq!(judge(&quarter, ratio("min", 0.25)).verdict, Verdict::Pass);
    let result = judge(&quarter, ratio("min", 0.5));
    check(
        &result,
        Verdict::Fail,
        "successful answers per second were 0.25 times those of the baseline (0.248 to 0.252), expected at least 0.5",
    );
    assert_eq!((result.title.as_str(), result.samples), ("throughput at least 0.5 times baseline", 400));
    assert_eq!(result.terms["cut successful answers per second"], "5 per second (400 requests)");
    assert_eq!(judge(&quarter, ratio("max", 0.2)).verdict, Verdict::Fail);
    let nothing = judge(&observe(20.0, |it| it.refused()), ratio("max", 0.5));
    assert_eq!((nothing.verdict, nothing.observed), (Verdict::Pass, Some(0.0)));
    assert_eq!(
        nothing.interval.map(|[low, high]| (low, (high * 1e6).round())),
        Some((0.0, 7500.0)),
        "three answers in 20 s, of 20 in each second"
    );
    assert_eq!(judge(&observe(0.5, |it| it.ok_in(10.0)), ratio("min", 0.1)).verdict, Verdict::Inconclusive);
    // A queue that grows: the answers come at a third of the rate, but each counts where it was due.
    let queue = observe(20.0, |it| it.ok_in(10.0 + it.into * 2e3));
    let result = judge(&queue, ratio("min", 0.8));
    assert!(result.reason.contains("answers ended after `cut`)"), "{}", result.reason);
    // A rate that moves around its mean decides nothing near it when the whole interval is asked.
    let mut chance = shakedown_observe::chance::Chance::new(5, &["requests"]);
    let noisy = observe(20.0, |it| if chance.uniform() < 0.5 { it.ok_in(10.0) } else { it.refused() });
    let strict = json!({"throughput_ratio": {"to": "baseline", "min": 0.48, "decide": "interval"}});
    assert_eq!(judge(&noisy, strict).verdict, Verdict::Inconclusive);
}

#[test]
fn throughput_names_the_planned_rates_if_they_differ() {
    // Twice as many are asked for in the second phase, where every other one fails: as many answers as before.
    let mut observations = observe(20.0, |it| if it.index % 2 == 0 { it.ok_in(10.0) } else { it.refused() });
    for cell in &mut observations.loads[0].segments[1].cells {
        let twice = cell.clone();
        cell.merge(&twice);
    }
    let mut scenario = scenario(json!({"throughput_ratio": {"to": "baseline", "min": 1.9}}));
    scenario.phases[1].load = serde_json::from_value(json!({"load": {"rate": "40/s"}})).unwrap();
    let result = expectations(&scenario, &observations, 1, &|_| None).remove(0);
    check(
        &result,
        Verdict::Fail,
        "successful answers per second were 1 times those of the baseline, while 2 times as many requests were due \
         (0.993 to 1.01), expected at least 1.9",
    );
}

#[test]
fn a_late_generator_makes_the_phase_inconclusive() {
    let slow = observe(20.0, |it| it.ok_in(80.0));
    let with = |late_ms: u64, phase: usize| {
        let mut observations = slow.clone();
        for segment in &mut observations.loads[0].segments {
            segment.timings.lateness.record_n(if segment.mark.phase == phase { late_ms * 1000 } else { 10 }, 400);
        }
        observations
    };
    let latency = json!({"latency": {"percentile": "p95", "max": "50ms"}});
    let ratio = json!({"latency_ratio": {"percentile": "p95", "to": "baseline", "max": 5}});
    for expect in [&latency, &ratio] {
        assert_eq!(judge(&with(20, 1), expect.clone()).verdict, Verdict::Fail, "60 ms without the lateness");
        let ours = judge(&with(40, 1), expect.clone());
        assert_eq!(ours.verdict, Verdict::Inconclusive);
        assert!(ours.reason.contains("up to 40ms of that is lateness of the load generator"), "{}", ours.reason);
    }
    // Beyond the limit everything is open, in the phase itself and in what is compared with it, but for the count.
    for (phase, expect, verdict) in [
        (1, latency, Verdict::Inconclusive),
        (1, json!({"success_rate": {"min": "99%"}}), Verdict::Inconclusive),
        (0, ratio, Verdict::Inconclusive),
        (0, json!({"success_rate": {"min": "99%"}}), Verdict::Pass),
        (1, json!({"requests": {"min": 400}}), Verdict::Pass),
    ] {
        let result = judge(&with(300, phase), expect);
        assert_eq!(result.verdict, verdict, "{}", result.reason);
        assert_eq!(
            verdict == Verdict::Pass,
            !result.reason.contains("could not keep its schedule"),
            "{}",
            result.reason
        );
    }
}

#[test]
fn requests_that_never_end_are_stuck() {
    let seen = observe(20.0, |it| match it.index % 100 {
        0 => it.timeout(),
        1 => Outcome { failure: Some(Failure::Unfinished), ..it.timeout() },
        2 => it.refused(),
        _ => it.ok_in(10.0),
    });
    let result = judge(&seen, json!({"stuck": {"max": 0}}));
    check(&result, Verdict::Fail, "8 of 400 requests never ended, allowed 0");
    assert_eq!(result.terms["listened to for"], "1 times the timeout");
    assert_eq!(judge(&seen, json!({"stuck": {"max": 8}})).verdict, Verdict::Pass);
    assert_eq!(judge(&seen, json!({"stuck": {"min": 9}})).verdict, Verdict::Fail);
    let few = observe(0.5, |it| it.ok_in(10.0));
    assert_eq!(judge(&few, json!({"stuck": {"max": 0}})).verdict, Verdict::Inconclusive);
    let stuck = observe(0.5, |it| it.timeout());
    assert_eq!(judge(&stuck, json!({"stuck": {"max": 0, "times": 2}})).verdict, Verdict::Fail);
}

#[test]
fn a_closed_loop_is_warned_of_by_name() {
    let warning = closed_loop_warning("chat");
    assert!(warning.starts_with("load `chat` is a closed loop (`concurrency`): "), "{warning}");
}
