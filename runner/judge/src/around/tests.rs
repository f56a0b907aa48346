use serde_json::json;
use shakedown_observe::Failure;
use shakedown_schemas::result::{ExpectationResult, Verdict};

use super::*;
use crate::testing::{self, Outcome, Request, Timeline};
use crate::{expectations, phases, recoveries, series};

/// Streams of 2 s, one a second; the fault stalls those that it meets and those that begin while it is injected or undone.
fn stalled() -> Observations {
    let stall = |it: &Request<'_>| Outcome { failure: Some(Failure::Stalled), ..it.ok_in(8_000.0) };
    Timeline::new(2.0)
        .phase("baseline", 60.0)
        .fault_phase("cut", 60.0)
        .edit(|span| {
            span.active_ns = span.start_ns + 4_000_000_000;
            span.judged_from_ns = span.active_ns;
        })
        .undoing(3.0)
        .strikes()
        .answer(move |it| match (it.phase, it.into) {
            ("baseline", into) if into >= 58.0 => stall(&it),
            ("cut", into) if !(4.0..57.0).contains(&into) => stall(&it),
            _ => it.ok_in(1_500.0),
        })
        .observe()
}

fn scenario(including: Option<&[&str]>, expect: serde_json::Value) -> Scenario {
    let mut cut = json!({"name": "cut", "duration": "53s", "expect": [expect]});
    if let Some(including) = including {
        cut["including"] = json!(including);
    }
    testing::scenario(&json!([{"name": "baseline", "duration": "60s"}, cut]))
}

fn judge(including: Option<&[&str]>, expect: serde_json::Value) -> ExpectationResult {
    expectations(&scenario(including, expect), &stalled(), 1, &|_| None).remove(0)
}

#[test]
fn requests_in_flight_at_a_strike_count_in_its_phase() {
    let stalled = json!({"errors": {"stalled": {"max": 0}}});
    let usual = judge(None, stalled.clone());
    assert_eq!((usual.verdict, usual.observed, usual.samples), (Verdict::Fail, Some(4.0), 110), "{}", usual.reason);
    assert_eq!(usual.terms["in flight when the fault struck"], "4 requests, 4 failed (4 stalled); included");
    assert_eq!(usual.terms["due during the injection"], "8 requests, 8 failed (8 stalled); not included");
    let none = judge(Some(&[]), stalled.clone());
    assert_eq!((none.verdict, none.observed), (Verdict::Pass, Some(0.0)), "{}", none.reason);
    assert_eq!(none.terms["in flight when the fault struck"], "4 requests, 4 failed (4 stalled); not included");
    for (including, count) in
        [(vec!["injection"], 8.0), (vec!["removal"], 6.0), (vec!["in_flight", "injection", "removal"], 18.0)]
    {
        assert_eq!(judge(Some(&including), stalled.clone()).observed, Some(count), "{including:?}");
    }
}

#[test]
fn success_rates_and_latencies_include_them_and_rates_do_not() {
    let rate = judge(None, json!({"success_rate": {"min": "99%"}}));
    assert_eq!((rate.verdict, rate.samples), (Verdict::Fail, 110), "{}", rate.reason);
    let latency = |including: &[&str]| {
        judge(Some(including), json!({"latency": {"percentile": "p99", "max": "5s", "min_samples": 60}})).observed
    };
    let [with, without] = [latency(&["in_flight"]), latency(&[])].map(Option::unwrap);
    assert!(with > 7.9 && without < 1.6, "{with} {without}");
    let answers = judge(None, json!({"throughput_ratio": {"to": "baseline", "min": 0.5}}));
    testing::near(answers.observed.unwrap(), 1.0 / (116.0 / 120.0), 0.01);
    assert!(answers.terms.keys().all(|term| !term.contains("in flight")));
    assert_eq!(judge(None, json!({"requests": {"min": 106, "max": 106}})).verdict, Verdict::Pass);
}

/// They are in one place only, and no longer in the phase in which they were due.
#[test]
fn every_request_is_counted_once() {
    let observations = stalled();
    let scenario = scenario(None, json!({"success_rate": {"min": "99%"}}));
    let phases = phases(&scenario, &observations);
    let before = &phases[0].loads[0];
    assert_eq!((before.stats.requests, before.stats.succeeded, before.around.len()), (116, 116, 0));
    let during = &phases[1].loads[0];
    let groups: Vec<_> =
        during.around.iter().map(|it| (it.group, it.included, it.stats.requests, it.length_s)).collect();
    assert_eq!(
        groups,
        [
            (Including::InFlight, true, 4, 0.0),
            (Including::Injection, false, 8, 4.0),
            (Including::Removal, false, 6, 3.0),
        ]
    );
    let all: u64 = series(&observations)[0].points.iter().map(|point| point.requests).sum();
    assert_eq!((all, observations.loads[0].requests()), (240, 240));
    let recovery = &recoveries(&scenario, &observations, &|_| Some(64.0))[0];
    assert_eq!(recovery.failed_requests, 18);
    assert!(recovery.onset_s.is_none_or(|onset| onset >= 60.0), "nothing goes wrong before the fault strikes");
}
