//! Rates of known windows, and what is said where paces differ or nothing came.

use serde_json::json;
use shakedown_schemas::Scenario;
use shakedown_schemas::result::{ExpectationResult, Verdict};

use super::*;
use crate::expectations;
use crate::testing::{self, Outcome, Timeline, near};
use shakedown_observe::Observations;
use shakedown_observe::chance::Chance;

/// Seconds of 20 requests each, of which this many succeed with ten tokens each, in a baseline and in a later phase.
fn observe(before: &[u64], after: &[u64]) -> Observations {
    Timeline::new(20.0)
        .phase("baseline", before.len() as f64)
        .phase("cut", after.len() as f64)
        .answer(|it| {
            let seconds = if it.phase == "cut" { after } else { before };
            let answer = if it.index % 20 < seconds[it.into as usize] { it.ok_in(10.0) } else { it.refused() };
            Outcome { stream: Some((1.0, 10)), ..answer }
        })
        .observe()
}

fn scenario(rate: &str, expect: serde_json::Value) -> Scenario {
    let mut scenario = testing::scenario(&json!([
        {"name": "baseline", "duration": "8s"},
        {"name": "cut", "duration": "8s", "expect": [expect], "load": {"load": {"rate": "20/s"}}},
    ]));
    scenario.load["load"].rate = serde_json::from_value(json!(rate)).unwrap();
    scenario
}

/// Asked of a baseline at a rate and a later phase at 20/s.
fn judge(observations: &Observations, rate: &str, expect: serde_json::Value) -> ExpectationResult {
    expectations(&scenario(rate, expect), observations, 1, &|_| None).remove(0)
}

fn throughput() -> serde_json::Value {
    json!({"throughput_ratio": {"to": "baseline", "min": 0.1}})
}

/// So many requests that one more or less is nothing.
const MANY: u64 = 1_000_000_000_000;

/// The only variation is that of where the phase begins and ends.
#[test]
fn a_constant_rate_is_known_to_one_request() {
    let [low, high] = interval(4.0, spread(&[(20.0, 1.0); 30], 600).unwrap(), 0.95);
    let request = 4.0 / 600.0;
    assert!(((1.5 * request)..(4.0 * request)).contains(&(4.0 - low)), "{low}");
    assert!(((1.5 * request)..(4.0 * request)).contains(&(high - 4.0)), "{high}");
    assert!(spread(&[(20.0, 1.0); 6], MANY).is_some());
    assert_eq!(spread(&[(20.0, 1.0); 5], MANY), None);
    assert_eq!(spread(&[(0.0, 1.0); 30], MANY), None);
    assert_eq!(spread(&[(20.0, 0.0); 30], MANY), None, "none of them was planned");
}

#[test]
fn a_ramp_is_no_noise() {
    let ramp: Vec<_> = (0..30).map(|second| (f64::from(second) * 9.0, f64::from(second) * 10.0)).collect();
    let (variance, _) = spread(&ramp, MANY).unwrap();
    assert!(variance < 1e-20, "{variance}");
    let flat: Vec<_> = ramp.iter().map(|(count, _)| (*count, 1.0)).collect();
    assert!(spread(&flat, MANY).unwrap().0 > 0.01);
}

/// A sum of independent windows: the half-width is known, `1.96 * sqrt(variance / n) / mean`.
#[test]
fn independent_windows_have_the_analytic_width() {
    let mut widths = 0.0;
    for seed in 0..40 {
        let mut chance = Chance::new(seed, &["rates"]);
        let windows: Vec<_> = (0..240).map(|_| (100.0 + 10.0 * chance.normal(), 1.0)).collect();
        let [low, high] = interval(1.0, spread(&windows, MANY).unwrap(), 0.95);
        widths += (high / low).ln() / 2.0 / 40.0;
    }
    let analytic = 1.96 * 10.0 / 240_f64.sqrt() / 100.0;
    assert!((0.8..1.7).contains(&(widths / analytic)), "{widths} against {analytic}");
}

/// 112 answers of 14 planned shares: each share is worth 8.
#[test]
fn the_deviation_from_the_planned_share_counts() {
    let windows = [(7.0, 1.0), (9.0, 1.0), (17.0, 2.0), (15.0, 2.0), (26.0, 3.0), (22.0, 3.0), (10.0, 1.0), (6.0, 1.0)];
    let LongRun { variance, freedom } = LongRun::of(&[-1.0, 1.0, 1.0, -1.0, 2.0, -2.0, 2.0, -2.0]);
    let (of_logarithm, its_freedom) = spread(&windows, MANY).unwrap();
    near(of_logarithm, variance / (8.0 * 14.0 * 14.0), 1e-12);
    assert_eq!(its_freedom, freedom);
}

#[test]
fn a_ratio_is_as_unsure_as_both_of_its_rates() {
    let (before, after) = ([20, 18, 20, 17, 19, 20, 16, 20], [10, 13, 9, 12, 10, 11, 7, 8]);
    let of = |counts: [u64; 8]| spread(&counts.map(|it| (it as f64, 20.0)), MANY).unwrap();
    let (now, then) = (of(after), of(before));
    let both = (now.0 + then.0, freedom_of_sum(now, then));
    let [low, high] = judge(&observe(&before, &after), "20/s", throughput()).interval.unwrap();
    let [expected_low, expected_high] = interval(80.0 / 150.0, both, 0.95);
    near(low, expected_low, 1e-12);
    near(high, expected_high, 1e-12);
}

#[test]
fn paces_are_named_if_they_differ_by_one_percent() {
    let named = |rate: &str| {
        let result = judge(&observe(&[20; 8], &[20; 8]), rate, throughput());
        let (_, paces) = result.reason.split_once(", while ")?;
        paces.split_once(" times as many requests were due").map(|(times, _)| times.to_owned())
    };
    let paces = ["10/s", "19.7/s", "19.9/s", "20/s", "20.1/s", "20.3/s", "0/s"].map(named);
    let expected = [Some("2"), Some("1.02"), None, None, None, Some("0.985"), None];
    assert_eq!(paces, expected.map(|it| it.map(str::to_owned)), "and nothing is no pace");
}

#[test]
fn zero_answers_may_be_up_to_three() {
    let ends = |after: &[u64]| judge(&observe(&[20; 8], after), "20/s", throughput()).interval;
    let [low, high] = ends(&[0; 4]).expect("an interval");
    assert!(low == 0.0 && (high - 3.0 / 4.0 / 20.0).abs() < 1e-9, "{low} to {high}");
    assert_eq!([ends(&[20; 4]), ends(&[])], [None, None], "too few windows, and no request at all");
    // Where every answer failed, none came to tell whether they have tokens: there were none.
    let tokens = json!({"output_tokens_per_second": {"min": 1}});
    let failed = judge(&observe(&[20; 8], &[0; 8]), "20/s", tokens);
    assert_eq!((failed.verdict, failed.observed), (Verdict::Fail, Some(0.0)), "{}", failed.reason);
    assert_eq!(failed.interval.map(|[_, high]| high), Some(3.0 * 10.0 / 8.0), "as many tokens each as the others have");
}

/// Ten workers in step begin a wave every 3 s: 7 in one phase of 20 s and 6 in the next were 0.857 times the throughput.
#[test]
fn a_wave_of_workers_more_or_less_decides_nothing() {
    let judge = |waves: u64, workers: u32, limits: serde_json::Value| {
        let observations = Timeline::new(20.0)
            .phase("baseline", 20.0)
            .phase("cut", 20.0)
            .answer(|it| {
                let second = it.into as u64;
                let wave = second / 3;
                let is_sent =
                    second.is_multiple_of(3) && it.index.is_multiple_of(2) && (it.phase == "baseline" || wave < waves);
                if is_sent { it.ok_in(3000.0) } else { it.refused() }
            })
            .observe();
        let mut limits = limits;
        limits["to"] = json!("baseline");
        let mut scenario = scenario("20/s", json!({"throughput_ratio": limits}));
        scenario.phases.iter_mut().for_each(|phase| phase.load.clear());
        let load = &mut scenario.load["load"];
        // Of 400 requests 70 succeed, so that a wave of ten answers is of 57 workers.
        (load.rate, load.concurrency) = (None, Some(workers.into()));
        let result = expectations(&scenario, &observations, 1, &|_| None).remove(0);
        (result.verdict, result.observed, result.reason)
    };
    let (verdict, observed, reason) = judge(6, 58, json!({"min": 0.9}));
    assert!(verdict == Verdict::Inconclusive && observed.is_some_and(|it| (it - 6.0 / 7.0).abs() < 1e-9), "{reason}");
    assert!(reason.contains("a wave of the workers' requests more or less makes it 0.7"), "{reason}");
    assert_eq!(judge(7, 58, json!({"min": 0.9})).0, Verdict::Pass);
    assert_eq!(judge(5, 58, json!({"min": 0.9})).0, Verdict::Fail, "two waves are missing");
    assert_eq!(judge(6, 1, json!({"min": 0.9})).0, Verdict::Fail, "one worker has no such waves");
    // A maximum is that of an effect.
    assert_eq!(judge(6, 58, json!({"max": 0.9})).0, Verdict::Inconclusive);
    assert_eq!(judge(2, 58, json!({"max": 0.9})).0, Verdict::Pass);
}
