//! Each expectation about what others saw, in both directions, and what cannot be decided.

use serde_json::json;

use super::*;
use crate::testing::Timeline;
use shakedown_observe::{LogGap, PodSeen, SeriesSeen};

const S: u64 = 1_000_000_000;

/// A baseline from 0 s to 20 s, a fault until 40 s, and then 20 s more.
fn observations() -> Observations {
    Timeline::new(1.0).phase("baseline", 20.0).fault_phase("cut", 20.0).phase("recovery", 20.0).observe()
}

fn expectation(it: serde_json::Value) -> Expectation {
    serde_json::from_value(it).unwrap()
}

fn whole(phase: usize, expect: serde_json::Value, seen: Outside) -> Answer {
    let mut observations = observations();
    observations.outside.insert("path".to_owned(), seen);
    answer(&observations, phase, &expectation(expect), "path")
}

fn ask(phase: usize, expect: serde_json::Value, seen: Outside) -> (Verdict, String) {
    let answer = whole(phase, expect, seen);
    (answer.verdict, answer.reason)
}

/// Two pods, looked at once a second: who is ready and how often each was started again.
fn pods(look: impl Fn(u64) -> [(bool, u64); 2]) -> Outside {
    let at = |second: u64| PodsSeen {
        at_ns: second * S,
        pods: ["a", "b"]
            .iter()
            .zip(look(second))
            .map(|(name, (ready, restarts))| {
                ((*name).to_owned(), PodSeen { name: format!("pod-{name}"), ready, restarts })
            })
            .collect(),
    };
    Outside::Pods((0..=60).map(at).collect())
}

#[test]
fn restarts_count_within_the_phase_only() {
    let restarted = || pods(|second| [(true, if second < 30 { 3 } else { 5 }), (true, 0)]);
    let none = json!({"pods": {"restarts": {"max": 0}}});
    assert_eq!(
        ask(1, none.clone(), restarted()),
        (Verdict::Fail, "the containers of these pods restarted 2 times, allowed 0".to_owned())
    );
    assert_eq!(ask(2, none.clone(), restarted()).0, Verdict::Pass, "they had them before");
    assert_eq!(ask(1, json!({"pods": {"restarts": {"min": 1, "max": 2}}}), restarted()).0, Verdict::Pass);
    assert_eq!(ask(0, json!({"pods": {"restarts": {"min": 1}}}), restarted()).0, Verdict::Fail);
}

#[test]
fn ready_again_counts_from_the_beginning_of_the_phase() {
    let down = |from: u64, to: u64| pods(move |second| [(!(from..to).contains(&second), 0), (true, 0)]);
    let within = json!({"pods": {"ready_within": "5s"}});
    assert_eq!(
        ask(2, within.clone(), down(25, 44)),
        (Verdict::Pass, "2 pods ready again after 4s, expected at most 5s".to_owned())
    );
    assert_eq!(
        ask(2, within.clone(), down(25, 47)),
        (Verdict::Fail, "2 pods ready again after 7s, allowed 5s".to_owned())
    );
    assert_eq!(ask(2, within.clone(), down(25, 30)).1, "2 pods ready again after 0s, expected at most 5s");
    assert_eq!(
        ask(2, within.clone(), down(58, 70)),
        (Verdict::Fail, "1 of 2 pods were ready at the end of the phase".to_owned())
    );
    assert_eq!(ask(2, within.clone(), pods(|_| [(false, 0), (false, 0)])).0, Verdict::Inconclusive);
    // A time that lies beyond the phase is censored; one that is only too long is not.
    for (from, to, censored, observed) in [(25, 44, false, Some(4.0)), (25, 47, false, Some(7.0)), (58, 70, true, None)]
    {
        let answer = whole(2, within.clone(), down(from, to));
        assert_eq!((answer.censored, answer.observed), (censored, observed), "{from} to {to}");
    }
    let both = json!({"pods": {"ready_within": "5s", "restarts": {"max": 0}}});
    assert_eq!(ask(2, both.clone(), down(25, 44)).0, Verdict::Pass);
    assert_eq!(ask(2, both, down(25, 47)).0, Verdict::Fail);
}

/// Two of three pods were killed, their successors were ready at the next look, and that was "ready again after 0s".
#[test]
fn a_pod_that_is_replaced_between_two_looks_was_away() {
    let looks = |away_at: u64, successor_from: u64| {
        let at = |second: u64| {
            let there = [("a", second < away_at), ("b", true), ("c", second >= successor_from)];
            let seen = |name: &str| PodSeen { name: format!("pod-{name}"), ready: true, restarts: 0 };
            let pods = there.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| ((*name).to_owned(), seen(name)));
            PodsSeen { at_ns: second * S, pods: pods.collect() }
        };
        Outside::Pods((0..=60).map(at).collect())
    };
    let within = json!({"pods": {"ready_within": "5s"}});
    let why = "2 pods ready again after 4s at most, when a sample shows the last replaced one; expected at most 5s";
    assert_eq!(ask(2, within.clone(), looks(44, 44)), (Verdict::Pass, why.to_owned()));
    assert_eq!(whole(2, within.clone(), looks(44, 44)).observed, Some(4.0));
    let why =
        "pods were replaced up to 7s after the beginning, and no sample shows whether 2 pods were ready all the time";
    assert_eq!(ask(2, within.clone(), looks(47, 47)), (Verdict::Inconclusive, why.to_owned()));
    let never_away = "2 pods ready again after 0s, expected at most 5s";
    assert_eq!(
        ask(2, within.clone(), looks(47, 46)),
        (Verdict::Pass, never_away.to_owned()),
        "its successor came first"
    );
    assert_eq!(ask(2, within.clone(), looks(38, 38)), (Verdict::Pass, never_away.to_owned()), "before the phase");
    assert_eq!(ask(2, within, looks(44, 47)).0, Verdict::Fail, "a sample shows that it was away");
}

#[test]
fn unobserved_pods_are_inconclusive() {
    let within = json!({"pods": {"ready_within": "5s"}});
    let Outside::Pods(mut looks) = pods(|_| [(true, 0), (true, 0)]) else { panic!() };
    looks.retain(|look| look.at_ns % (5 * S) == 0);
    assert_eq!(ask(2, within.clone(), Outside::Pods(looks.clone())).0, Verdict::Pass, "five seconds may go unseen");
    looks.retain(|look| look.at_ns != 50 * S);
    assert_eq!(ask(2, within.clone(), Outside::Pods(looks.clone())).0, Verdict::Inconclusive);
    assert_eq!(ask(1, within.clone(), Outside::Pods(looks.clone())).0, Verdict::Pass);
    assert_eq!(whole(1, within.clone(), Outside::Pods(looks.clone())).terms["pods"], "pod-a, pod-b");
    looks.iter_mut().for_each(|look| look.pods.clear());
    assert_eq!(ask(1, within.clone(), Outside::Pods(looks)).1, "no pod matched during `cut`");
    assert_eq!(ask(1, within, Outside::Pods(Vec::new())).0, Verdict::Inconclusive);
}

fn series(phases: &[(usize, Result<Vec<f64>, String>)]) -> Outside {
    Outside::Series(phases.iter().cloned().map(|(phase, seen)| (phase, seen.map(SeriesSeen::from))).collect())
}

#[test]
fn values_of_prometheus_become_one() {
    let ask = |over: &str, limit: &str, value: f64| {
        let expect = json!({"prometheus": {"url": "http://p", "query": "up", "over": over, limit: value}});
        ask(1, expect, series(&[(1, Ok(vec![1.0, f64::NAN, 5.0, 3.0]))])).0
    };
    for (over, value) in [("mean", 3.0), ("max", 5.0), ("min", 1.0), ("end", 3.0)] {
        assert_eq!(ask(over, "max", value), Verdict::Pass, "{over}");
        assert_eq!(ask(over, "max", value - 0.1), Verdict::Fail, "{over}");
        assert_eq!(ask(over, "min", value), Verdict::Pass, "{over}");
        assert_eq!(ask(over, "min", value + 0.1), Verdict::Fail, "{over}");
    }
}

#[test]
fn ratios_of_prometheus_need_both_phases_and_no_data_is_inconclusive() {
    let expect = json!({"prometheus": {"url": "http://p", "query": "up", "to": "baseline", "max": 2}});
    let both = |before: &[f64], during: &[f64]| {
        ask(1, expect.clone(), series(&[(0, Ok(before.to_vec())), (1, Ok(during.to_vec()))]))
    };
    assert_eq!(
        both(&[2.0], &[3.0, 5.0]),
        (Verdict::Pass, "the mean of the query was 2 times the baseline's, expected at most 2".to_owned())
    );
    assert_eq!(both(&[2.0], &[5.0]).0, Verdict::Fail);
    for (under, during) in [(0.0, 5.0), (-2.0, 5.0), (-2.0, -1.0), (0.0, 0.0), (1e-308, 5.0)] {
        let (verdict, why) = both(&[under], &[during]);
        assert_eq!(verdict, Verdict::Inconclusive, "{during} to {under}");
        assert!(why.ends_with(": the ratio is undefined"), "{why}");
    }
    assert_eq!(both(&[2.0], &[-5.0]).0, Verdict::Pass, "less than at most twice 2");
    assert_eq!(both(&[], &[5.0]).1, "Prometheus has no data for `baseline`");
    assert_eq!(both(&[2.0], &[f64::NAN]).1, "Prometheus has no data for `cut`: 1 value is NaN");
    let refused = series(&[(0, Ok(vec![1.0])), (1, Err("the server refused".to_owned()))]);
    assert_eq!(ask(1, expect.clone(), refused), (Verdict::Inconclusive, "`cut`: the server refused".to_owned()));
    assert_eq!(ask(1, expect, series(&[])).0, Verdict::Inconclusive);
}

#[test]
fn gaps_of_prometheus_are_bounded_and_no_numbers_are_named() {
    let seen = |values: &[f64], warnings: &[&str]| SeriesSeen {
        values: values.to_vec(),
        expected: 5,
        warnings: warnings.iter().map(|text| (*text).to_owned()).collect(),
        ..SeriesSeen::default()
    };
    let answer = |more: serde_json::Value, seen: SeriesSeen| {
        let mut expect = json!({"url": "http://p", "query": "up", "max": 2});
        expect.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        whole(1, json!({"prometheus": expect}), Outside::Series([(1, Ok(seen))].into()))
    };
    let one = answer(json!({}), seen(&[1.0], &[]));
    assert_eq!(one.verdict, Verdict::Inconclusive);
    assert_eq!(one.reason, "Prometheus has 1 of 5 values for `cut`, and 75% are needed (`min_coverage`)");
    assert_eq!(answer(json!({"min_coverage": "20%"}), seen(&[1.0], &[])).verdict, Verdict::Pass);
    assert_eq!(answer(json!({}), seen(&[1.0; 4], &[])).verdict, Verdict::Pass);
    let odd = answer(json!({}), seen(&[1.0, f64::INFINITY, f64::NAN, f64::NAN, 1.0], &["a store is down"]));
    assert!(
        odd.reason.ends_with(": 2 values are NaN, 1 value is +Inf; the server warns: a store is down"),
        "{}",
        odd.reason
    );
    let warned = answer(json!({}), seen(&[1.0, 1.0, 1.0, 1.0, f64::NEG_INFINITY], &["a store is down"]));
    assert_eq!((warned.verdict, warned.terms["the server warns"].as_str()), (Verdict::Pass, "a store is down"));
    assert_eq!(warned.terms["left out"], "1 value is -Inf");
    // More than any `max`, however few of them there are.
    let in_the_middle = [1.0, f64::INFINITY, 1.0, 1.0, 1.0];
    for (over, values) in
        [("max", in_the_middle), ("mean", in_the_middle), ("end", [1.0, 1.0, 1.0, 1.0, f64::INFINITY])]
    {
        let infinite = answer(json!({"over": over}), seen(&values, &[]));
        assert_eq!(infinite.verdict, Verdict::Inconclusive, "{}", infinite.reason);
        assert!(infinite.reason.ends_with("an infinite value passes no limit: 1 value is +Inf"), "{}", infinite.reason);
    }
    for over in ["min", "end"] {
        assert_eq!(answer(json!({"over": over}), seen(&in_the_middle, &[])).verdict, Verdict::Pass, "{over}");
    }
    let fails = answer(json!({"over": "max"}), seen(&[3.0, f64::INFINITY, 1.0, 1.0, 1.0], &[]));
    assert_eq!(fails.verdict, Verdict::Fail);
}

#[test]
fn an_answer_of_prometheus_that_may_lack_data_decides_nothing() {
    let ask = |max: f64, doubts: &[&str]| {
        let doubts = doubts.iter().map(|text| (*text).to_owned()).collect();
        let doubted = SeriesSeen { doubts, ..SeriesSeen::from(vec![1.0; 5]) };
        let seen = [(0, Ok(doubted)), (1, Ok(vec![1.0; 5].into()))];
        let expect = json!({"prometheus": {"url": "http://p", "query": "up", "to": "baseline", "max": max}});
        let answer = whole(1, expect, Outside::Series(seen.into()));
        assert_eq!(answer.observed, Some(1.0));
        (answer.verdict, answer.reason)
    };
    assert_eq!((ask(2.0, &[]).0, ask(0.5, &[]).0), (Verdict::Pass, Verdict::Fail));
    for max in [2.0, 0.5] {
        let (verdict, why) = ask(max, &["a store is down"]);
        assert_eq!(verdict, Verdict::Inconclusive);
        assert!(why.ends_with("; the answer for `baseline` may lack data: a store is down"), "{why}");
    }
}

#[test]
fn values_of_prometheus_of_another_time_are_said() {
    let seen = SeriesSeen { elsewhere: 3, expected: 5, ..SeriesSeen::default() };
    let expect = json!({"prometheus": {"url": "http://p", "query": "up", "max": 2}});
    let (verdict, why) = ask(1, expect, Outside::Series([(1, Ok(seen))].into()));
    assert_eq!(
        (verdict, why.as_str()),
        (Verdict::Inconclusive, "Prometheus has no data for `cut`: 3 values are of another time")
    );
}

/// A baseline that is 0 but for a moment: most of it has no ratio.
#[test]
fn a_ratio_to_a_baseline_that_is_mostly_zero_is_inconclusive() {
    let baseline: Vec<f64> = (0..20).map(|at| if (8..14).contains(&at) { 10.0 } else { 0.0 }).collect();
    let expect = json!({"prometheus": {"url": "http://p", "query": "errors", "to": "baseline", "max": 2}});
    let (verdict, why) = ask(1, expect, series(&[(0, Ok(baseline)), (1, Ok(vec![5.0; 20]))]));
    assert_eq!(verdict, Verdict::Inconclusive, "{why}");
}

fn lines(seconds: &[u64], read: u64, gaps: &[&str]) -> Outside {
    lines_without(seconds, read, &gaps.iter().map(|why| (0, 1_000, *why)).collect::<Vec<_>>())
}

/// With gaps from a second to another.
fn lines_without(seconds: &[u64], read: u64, gaps: &[(u64, u64, &str)]) -> Outside {
    let gap = |(from, to, why): &(u64, u64, &str)| LogGap { from_ns: from * S, to_ns: to * S, why: (*why).to_owned() };
    Outside::Lines(LinesSeen {
        matching: seconds.iter().map(|at| (at * S, "pod-a".to_owned(), "panicked".to_owned())).collect(),
        read,
        gaps: gaps.iter().map(gap).collect(),
    })
}

#[test]
fn lines_count_within_the_phase_only() {
    let absent = json!({"logs": {"matches": "panicked", "max": 0}});
    let present = json!({"logs": {"matches": "panicked", "min": 1}});
    assert_eq!(ask(1, absent.clone(), lines(&[5, 45], 2, &[])).0, Verdict::Pass);
    assert_eq!(
        ask(1, absent.clone(), lines(&[5, 25, 45], 2, &[])),
        (Verdict::Fail, "1 line of `cut` match, allowed 0".to_owned())
    );
    assert_eq!(ask(1, present.clone(), lines(&[25], 2, &[])).0, Verdict::Pass);
    assert_eq!(ask(1, present.clone(), lines(&[45], 2, &[])).0, Verdict::Fail);
    // What could not be read leaves open what it could change, and nothing else.
    assert_eq!(ask(1, absent.clone(), lines(&[], 1, &["pod-b is gone"])).0, Verdict::Inconclusive);
    assert_eq!(ask(1, absent.clone(), lines(&[25], 1, &["pod-b is gone"])).0, Verdict::Fail);
    assert_eq!(ask(1, present.clone(), lines(&[25], 1, &["pod-b is gone"])).0, Verdict::Pass);
    assert_eq!(ask(1, present, lines(&[], 1, &["pod-b is gone"])).0, Verdict::Inconclusive);
    assert_eq!(ask(1, absent.clone(), lines(&[], 0, &[])).0, Verdict::Inconclusive);
    let gaps = ask(1, absent, lines(&[], 1, &["a is gone", "b is gone", "c is gone", "d is gone", "e is gone"])).1;
    assert!(gaps.ends_with("expected at most 0; a is gone, b is gone, c is gone and 2 more"), "{gaps}");
}

/// The phase is from 20 s to 40 s.
#[test]
fn only_what_is_missing_from_the_phase_leaves_it_open() {
    for (from, to, verdict) in [
        (0, 10, Verdict::Pass),
        (0, 20, Verdict::Pass),
        (0, 21, Verdict::Inconclusive),
        (25, 30, Verdict::Inconclusive),
        (39, 50, Verdict::Inconclusive),
        (40, 50, Verdict::Pass),
    ] {
        let seen = lines_without(&[], 1, &[(from, to, "pod-b is gone")]);
        assert_eq!(ask(1, json!({"logs": {"matches": "panicked", "max": 0}}), seen).0, verdict, "{from} to {to}");
    }
}

#[test]
fn missing_data_is_inconclusive() {
    let expectation = expectation(json!({"logs": {"matches": "x", "max": 0}}));
    assert_eq!(answer(&observations(), 1, &expectation, "path").verdict, Verdict::Inconclusive);
}
