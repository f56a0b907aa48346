//! Transients on synthetic requests, the statistic on cases that can be counted, and no transient that makes anything pass.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use shakedown_observe::chance::Chance;
use shakedown_observe::{Failure, Observations, Outside, PodSeen, PodsSeen};
use shakedown_schemas::result::ExpectationResult;

use super::*;
use crate::expectations;
use crate::stats;
use crate::testing::shapes::{Service, Shape};
use crate::testing::{self, Outcome, Request, Timeline, near};

/// Seconds of each phase.
const BASELINE: f64 = 24.0;
const PHASE: f64 = 20.0;

/// What happens to the service for some seconds of its baseline.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// It stops, and answers all that waited at the end.
    Hang,
    Slow(f64),
    Failing,
    TimesOut,
    /// It answers at once.
    Quick,
}

impl Trouble {
    fn answer(self, it: &Request<'_>, usual: Outcome, left_s: f64) -> Outcome {
        let slower = |ms: f64, factor: f64| Outcome {
            ms,
            first_token_ms: Some(ms / 2.0),
            stream: usual.stream.map(|(gap, tokens)| (gap * factor, tokens)),
            ..usual
        };
        match self {
            Self::Hang => slower(usual.ms + left_s * 1e3, 1.0 + left_s * 1e3 / usual.ms),
            Self::Slow(factor) => slower(usual.ms * factor, factor),
            Self::Failing => Outcome { stream: None, ..it.refused() },
            Self::TimesOut => Outcome { failure: Some(Failure::Timeout), ..slower(10_000.0, 1.0) },
            Self::Quick => slower(usual.ms / 20.0, 0.05),
        }
    }
}

/// Trouble between two moments of the baseline, in seconds.
type Spell = (Trouble, f64, f64);

/// A baseline with trouble, a fault, and a recovery. `fault` answers in the phases after the baseline.
fn observe(
    troubles: impl IntoIterator<Item = Spell>,
    fault: impl Fn(&Request<'_>, Outcome) -> Outcome,
) -> Observations {
    let troubles: Vec<Spell> = troubles.into_iter().collect();
    let mut service = Service::new(Shape::Independent, 3);
    let timeline = Timeline::new(20.0).phase("baseline", BASELINE).fault_phase("cut", PHASE).phase("recovery", PHASE);
    timeline
        .answer(|it| {
            let ms = service.answer_ms(it.at);
            let usual = Outcome { first_token_ms: Some(ms / 2.0), stream: Some((ms / 10.0, 10)), ..it.ok_in(ms) };
            match troubles.iter().find(|(_, from, to)| (*from..*to).contains(&it.into)) {
                _ if it.phase != "baseline" => fault(&it, usual),
                Some((trouble, _, to)) => trouble.answer(&it, usual, to - it.into),
                None => usual,
            }
        })
        .observe()
}

/// Every trouble in the middle, at the start and at the end of the baseline.
fn troubles() -> Vec<Spell> {
    let stretches = [(10.0, 13.0), (0.0, 5.0), (20.0, 24.0), (6.0, 15.0)];
    KINDS.into_iter().flat_map(|kind| stretches.map(|(from, to)| (kind, from, to))).collect()
}

const KINDS: [Trouble; 5] = [Trouble::Hang, Trouble::Slow(4.0), Trouble::Failing, Trouble::TimesOut, Trouble::Quick];

/// An expectation that compares with the baseline, the key where it belongs, and how the service answers so that it does
/// not hold.
struct Case {
    key: &'static str,
    expect: Value,
    phase: &'static str,
    answer: fn(&Request<'_>, Outcome) -> Outcome,
}

fn slower(it: &Request<'_>, usual: Outcome) -> Outcome {
    if it.phase == "cut" { Trouble::Slow(2.5).answer(it, usual, 0.0) } else { usual }
}

fn three_seconds_away(it: &Request<'_>, usual: Outcome) -> Outcome {
    match it.phase {
        "recovery" if it.into < 3.0 => Trouble::Hang.answer(it, usual, 3.0 - it.into),
        _ => usual,
    }
}

fn some_fail_after(it: &Request<'_>, usual: Outcome) -> Outcome {
    if it.phase == "recovery" && it.index.is_multiple_of(9) { Outcome { stream: None, ..it.refused() } } else { usual }
}

fn some_fail(it: &Request<'_>, usual: Outcome) -> Outcome {
    if it.phase == "cut" && it.index.is_multiple_of(5) { Outcome { stream: None, ..it.refused() } } else { usual }
}

fn as_ever(_: &Request<'_>, usual: Outcome) -> Outcome {
    usual
}

fn cases() -> Vec<Case> {
    let case = |key, phase, answer, expect| Case { key, expect, phase, answer };
    let ratio = |kind: &str, percentile: &str| json!({kind: {"percentile": percentile, "to": "baseline", "max": 1.7}});
    let raised = |kind: &str| json!({kind: {"percentile": "p50", "to": "baseline", "min": 1.5}});
    let lowered = |kind: &str| json!({kind: {"percentile": "p50", "to": "baseline", "max": 0.7}});
    let slow: fn(&Request<'_>, Outcome) -> Outcome = slower;
    let mut cases = vec![
        case("expect", "recovery", three_seconds_away, json!({"recovery_time": {"max": "1s", "hold": "2s"}})),
        case("expect", "recovery", some_fail_after, json!({"recovery_time": {"max": "1s", "hold": "2s"}})),
        case(
            "expect",
            "recovery",
            three_seconds_away,
            json!({"recovery_time": {"max": "1s", "hold": "2s", "to": "baseline"}}),
        ),
        case("expect", "cut", some_fail, json!({"throughput_ratio": {"to": "baseline", "min": 0.9}})),
        case("expect", "cut", some_fail, json!({"output_tokens_per_second_ratio": {"to": "baseline", "min": 0.9}})),
        case("effect", "cut", as_ever, json!("any")),
        case("effect", "cut", as_ever, json!({"throughput_ratio": {"to": "baseline", "max": 0.9}})),
        case("effect", "cut", as_ever, json!({"throughput_ratio": {"to": "baseline", "min": 1.1}})),
    ];
    for kind in ["latency_ratio", "time_to_first_token_ratio", "inter_token_latency_ratio"] {
        cases.extend(["p50", "p95"].map(|percentile| case("expect", "cut", slow, ratio(kind, percentile))));
        cases.push(case("effect", "cut", as_ever, raised(kind)));
        cases.push(case("effect", "cut", as_ever, lowered(kind)));
    }
    cases
}

fn judge(case: &Case, observations: &Observations) -> ExpectationResult {
    let cut = json!({"cut": {"partition": {"pods": {"name": "w"}, "from": [{"service": "bus"}]}}});
    let mut phases = json!([
        {"name": "baseline", "duration": "24s"},
        {"name": "cut", "duration": "20s", "faults": cut},
        {"name": "recovery", "duration": "20s"},
    ]);
    let phase = phases.as_array_mut().unwrap().iter_mut().find(|it| it["name"] == case.phase).unwrap();
    phase[case.key] = if case.key == "effect" { case.expect.clone() } else { json!([case.expect]) };
    expectations(&testing::scenario(&phases), observations, 1, &|_| None).remove(0)
}

/// The kind of the adversary's finding: a service that was away for 3 s "recovered after 1 s", because 4 s of the baseline
/// had raised the limit.
#[test]
fn no_transient_makes_anything_pass() {
    let mut wrong = Vec::new();
    for case in cases() {
        let clean = judge(&case, &observe(None, case.answer));
        assert_ne!(clean.verdict, Verdict::Pass, "{}: {}", case.expect, clean.reason);
        for trouble in troubles() {
            let result = judge(&case, &observe(Some(trouble), case.answer));
            if result.verdict == Verdict::Pass {
                wrong.push(format!("{} {}: {trouble:?}: {}", case.key, case.expect, result.reason));
            }
        }
    }
    assert!(wrong.is_empty(), "{} passes:\n{}", wrong.len(), wrong.join("\n"));
}

/// The kinds of the second adversary's findings: two or three like stops hid each other, and a limit came from a mixture of two
/// levels.
#[test]
fn neither_several_transients_nor_a_jump_make_anything_pass() {
    let mut wrong = Vec::new();
    let several: [&[(f64, f64)]; 4] =
        [&[(4.0, 6.0), (16.0, 18.0)], &[(2.0, 4.0), (10.0, 12.0), (19.0, 21.0)], &[(0.0, 12.0)], &[(12.0, 24.0)]];
    let spells =
        several.iter().flat_map(|parts| KINDS.map(|kind| parts.iter().map(move |(from, to)| (kind, *from, *to))));
    for spells in spells.map(Iterator::collect::<Vec<Spell>>) {
        for case in cases() {
            let result = judge(&case, &observe(spells.clone(), case.answer));
            if result.verdict == Verdict::Pass {
                wrong.push(format!("{} {}: {spells:?}: {}", case.key, case.expect, result.reason));
            }
        }
    }
    assert!(wrong.is_empty(), "{} passes:\n{}", wrong.len(), wrong.join("\n"));
}

/// A ratio of p95 with these seconds of a baseline, in which the service stops, and of a phase in which it is slower.
fn ratio_after(baseline_s: f64, stops: &[(f64, f64)], times: f64, seed: u64) -> ExpectationResult {
    let mut service = Service::new(Shape::Independent, seed);
    let timeline = Timeline::new(20.0).phase("baseline", baseline_s).fault_phase("cut", 20.0);
    let observations = timeline
        .answer(|it| {
            let usual = it.ok_in(service.answer_ms(it.at));
            let stop = stops.iter().find(|(from, length)| (*from..from + length).contains(&it.into));
            match stop.filter(|_| it.phase == "baseline") {
                Some((from, length)) => Trouble::Hang.answer(&it, usual, from + length - it.into),
                None if it.phase == "cut" => it.ok_in(usual.ms * times),
                None => usual,
            }
        })
        .observe();
    let cut = json!({"cut": {"partition": {"pods": {"name": "w"}, "from": [{"service": "bus"}]}}});
    let expect = json!({"latency_ratio": {"percentile": "p95", "to": "baseline", "max": 1.5}});
    let scenario = testing::scenario(&json!([
        {"name": "baseline", "duration": format!("{baseline_s}s")},
        {"name": "cut", "duration": "20s", "faults": cut, "expect": [expect]},
    ]));
    expectations(&scenario, &observations, seed, &|_| None).remove(0)
}

#[test]
fn a_short_stop_in_a_short_baseline_does_not_make_a_ratio_pass() {
    for from in [0.0, 1.3, 4.6, 7.9] {
        for seed in 0..10 {
            let result = ratio_after(10.0, &[(from, 0.9)], 2.0, seed);
            assert_ne!(result.verdict, Verdict::Pass, "{from}, {seed}: {}", result.reason);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever stops of whatever length are in the baseline, as long as the service answers for more than half of it.
    #[test]
    fn no_stops_make_a_service_pass_that_is_five_times_slower(
        baseline_s in 10.0_f64..60.0, lengths in proptest::collection::vec(0.3_f64..3.0, 1..4),
        places in proptest::array::uniform3(0.0_f64..1.0), seed in 0_u64..1000,
    ) {
        let share = baseline_s / lengths.len() as f64;
        let stops = lengths.iter().zip(places).enumerate().map(|(at, (length, place))| {
            let length = length.min(share / 3.0);
            (share * at as f64 + place * (share - length), length)
        });
        let stops: Vec<(f64, f64)> = stops.collect();
        let result = ratio_after(baseline_s, &stops, 5.0, seed);
        prop_assert_ne!(result.verdict, Verdict::Pass, "{:?}: {}", stops, result.reason);
    }

    /// A service whose latency is within 30 % of a level, whatever the level, stays judged.
    #[test]
    fn an_undisturbed_baseline_stays_judged(
        baseline_s in 10.0_f64..60.0, level_ms in 1.0_f64..3000.0, seed in 0_u64..1000,
    ) {
        let mut chance = Chance::new(seed, &["level"]);
        let timeline = Timeline::new(20.0).phase("baseline", baseline_s);
        let observations = timeline.answer(|it| it.ok_in(level_ms * (0.7 + 0.6 * chance.uniform()))).observe();
        let load = &observations.loads[0];
        prop_assert_eq!(Transient::all(load, 0), Vec::new());
        prop_assert_eq!(Transient::unusual(load, 0, Side::Either), None);
    }
}

/// The readings of an undisturbed baseline rarely change a verdict, also of services that stall or wander by themselves:
/// `cargo bench --bench judge -- 40 transient` measures how rarely.
#[test]
fn unchanged_services_stay_judged() {
    let expect = json!({"latency_ratio": {"percentile": "p95", "to": "baseline", "max": 1.2}});
    let recovery = json!({"recovery_time": {"max": "10s", "hold": "2s"}});
    let cut = json!({"cut": {"partition": {"pods": {"name": "w"}, "from": [{"service": "bus"}]}}});
    let scenario = testing::scenario(&json!([
        {"name": "baseline", "duration": "60s"},
        {"name": "cut", "duration": "60s", "faults": cut, "expect": [expect]},
        {"name": "recovery", "duration": "60s", "expect": [recovery]},
    ]));
    for shape in Shape::ALL {
        let mut undecided = [0; 2];
        for seed in 0..40 {
            let mut service = Service::new(shape, seed);
            let timeline = Timeline::new(20.0).phase("baseline", 60.0).fault_phase("cut", 60.0).phase("recovery", 60.0);
            let observations = timeline.answer(|it| it.ok_in(service.answer_ms(it.at))).observe();
            let results = expectations(&scenario, &observations, seed, &|_| None);
            for (count, result) in undecided.iter_mut().zip(results) {
                *count += usize::from(result.reason.contains("only because of a part of"));
            }
        }
        assert!(undecided.into_iter().all(|it| it <= 4), "{shape}: {undecided:?} of 40");
    }
}

#[test]
fn the_reason_and_the_terms_say_what_was_unusual_and_when() {
    let case = &cases()[0];
    let result = judge(case, &observe(Some((Trouble::Hang, 10.0, 14.0)), case.answer));
    assert_eq!(result.verdict, Verdict::Inconclusive, "{}", result.reason);
    let begin = "it holds only because of a part of `baseline` that is unlike the rest: from 9.75s to 14.3s, its p";
    assert!(result.reason.starts_with(begin), "{}", result.reason);
    for part in
        ["in the rest; with it: recovered after 0s", "; without it: ", "; repeat the run, or lengthen `baseline`"]
    {
        assert!(result.reason.contains(part), "{part}: {}", result.reason);
    }
    assert!(result.terms["unusual in baseline"].starts_with("from 9.75s to 14.3s"), "{:?}", result.terms);
    assert!(result.terms.contains_key("p95 allowed without it"), "{:?}", result.terms);
    // What is slow either way fails, and what is in order either way passes, with the same sentence.
    fn down(it: &Request<'_>, usual: Outcome) -> Outcome {
        if it.phase == "recovery" { it.refused() } else { usual }
    }
    let verdict =
        |answer: fn(&Request<'_>, Outcome) -> Outcome| judge(case, &observe(Some((Trouble::Hang, 10.0, 14.0)), answer));
    assert_eq!(verdict(down).verdict, Verdict::Fail);
    let passes = verdict(as_ever);
    assert_eq!((passes.verdict, passes.terms.contains_key("unusual in baseline")), (Verdict::Pass, true));
}

#[test]
fn a_baseline_with_a_transient_has_a_warning() {
    let cut = json!({"cut": {"partition": {"pods": {"name": "w"}, "from": [{"service": "bus"}]}}});
    let scenario = testing::scenario(&json!([
        {"name": "baseline", "duration": "24s"}, {"name": "cut", "duration": "20s", "faults": cut},
    ]));
    let words = crate::transients(&scenario, &observe(Some((Trouble::Failing, 10.0, 14.0)), as_ever));
    let expected = "`baseline` of load `load` is not homogeneous: from 9.75s to 14.3s, its success rate was 11.11%, and 100% in \
        the rest; expectations that compare with it are judged with and without this part; the numbers are of the whole phase";
    assert_eq!(words, [expected]);
    assert_eq!(crate::transients(&scenario, &observe(None, as_ever)), Vec::<String>::new());
}

/// A service that is in trouble when the fault would strike is no steady state.
#[test]
fn a_baseline_that_ends_in_trouble_is_not_steady() {
    let at = |trouble, from, to| {
        let observations = observe(Some((trouble, from, to)), as_ever);
        slow_at_end(&observations.loads[0], 0)
    };
    assert!(at(Trouble::Slow(30.0), 20.0, 24.0).is_some());
    assert_eq!(at(Trouble::Slow(30.0), 16.0, 20.0), None);
    assert_eq!(at(Trouble::Quick, 20.0, 24.0), None, "slow answers have not come yet");
    assert_eq!(at(Trouble::Failing, 20.0, 24.0), None);
}

/// Without the transient, its seconds do not count either.
#[test]
fn rates_are_of_the_rest() {
    let observations = observe(Some((Trouble::Failing, 10.0, 14.0)), as_ever);
    let load = &observations.loads[0];
    let transient = Transient::of(load, 0).unwrap();
    let rest = transient.without(load);
    let span = &observations.phases[0];
    near(stats::counted_seconds(&rest, 0, span), BASELINE - 4.5, 1e-9);
    near(stats::counted_seconds(load, 0, span), BASELINE, 1e-9);
    assert_eq!(stats::total(&rest, 0).requests(), 390);
    assert_eq!(rest.requests(), load.requests());
    assert_eq!(
        rest.segments.iter().map(|it| it.cells.len()).sum::<usize>(),
        load.segments.iter().map(|it| it.cells.len()).sum::<usize>()
    );
    let covered = transient.covers(0, span.judged_to_ns, 12);
    assert_eq!((0..12).filter(|at| covered[*at]).collect::<Vec<_>>(), [5, 6]);
}

/// The number of orders in which the marked windows are this close, of all.
#[test]
fn the_chance_of_a_cluster_is_bonferroni_s() {
    let out = |marked: &[usize], n: usize| (0..n).map(|at| marked.contains(&at)).collect::<Vec<_>>();
    // Four of 20 in a row: 17 places of 4,845 sets, and the lengths 1, 2, 4, 5, 8.
    let (stretch, chance) = cluster(&out(&[7, 8, 9, 10], 20), &[]).unwrap();
    assert_eq!(stretch, 7..11);
    near(chance, 5.0 * 17.0 / 4845.0, 1e-9);
    // Scattered ones are no cluster.
    assert!(cluster(&out(&[1, 6, 11, 17], 20), &[]).unwrap().1 >= 1.0);
    assert_eq!(cluster(&out(&[], 20), &[]), None);
    // Where two others come in pairs, four in a row count as two.
    let pairs = cluster(&out(&[2, 3, 30, 31, 16, 17, 18, 19], 40), &[]).unwrap();
    assert!(pairs.1 > 0.1, "{pairs:?}");
}

/// A row as long as this, of the orders of the marked windows.
#[test]
fn the_chance_of_rows_is_bonferroni_s() {
    let out = |marked: &[usize], n: usize| (0..n).map(|at| marked.contains(&at)).collect::<Vec<_>>();
    // Two rows of three among 20: 15 gaps, each with three of the six at a chance of 6/20 · 5/19 · 4/18.
    let (found, chance) = rows(&out(&[2, 3, 4, 12, 13, 14], 20), &[]).unwrap();
    assert_eq!(found, [2..5, 12..15]);
    near(chance, 15.0 * (6.0 * 5.0 * 4.0) / (20.0 * 19.0 * 18.0), 1e-9);
    // Single ones next to them: 14 gaps, and two lengths are tried.
    let (found, chance) = rows(&out(&[2, 3, 4, 8, 12, 13, 14], 20), &[]).unwrap();
    assert_eq!(found, [2..5, 12..15]);
    near(chance, 2.0 * 14.0 * (7.0 * 6.0 * 5.0) / (20.0 * 19.0 * 18.0), 1e-9);
    assert_eq!(rows(&out(&[], 20), &[]), None);
    assert_eq!(rows(&[true; 20], &[]), None, "more than half");
}

/// Few unchanged services have one that moves a limit. `cargo bench --bench judge -- 40 transient` measures how many.
#[test]
fn unchanged_services_rarely_have_one_that_matters() {
    for shape in Shape::ALL {
        let mut at_end = 0;
        let found = (0..100).filter(|seed| {
            let mut service = Service::new(shape, *seed);
            let observations =
                Timeline::new(20.0).phase("p", 60.0).answer(|it| it.ok_in(service.answer_ms(it.at))).observe();
            at_end += usize::from(slow_at_end(&observations.loads[0], 0).is_some());
            Transient::of(&observations.loads[0], 0).is_some_and(|it| it.matters)
        });
        let found = found.count();
        assert!(found <= 12 && at_end <= 3, "{shape}: {found} of 100, {at_end} of them at the end");
    }
}

#[test]
fn values_have_transients_too() {
    let with = |high: &[usize]| {
        (0..20).map(|at| if high.contains(&at) { 50.0 } else { 10.0 + (at % 3) as f64 }).collect::<Vec<f64>>()
    };
    assert_eq!(of_values(&with(&[8, 9, 10])), Some(8..11));
    assert_eq!(of_values(&with(&[8])), Some(8..9));
    assert_eq!(of_values(&with(&[8, 12])), None, "twice is what it does");
    assert_eq!(of_values(&with(&[])), None);
    let low: Vec<f64> = with(&[8, 9, 10]).iter().map(|value| 100.0 / value).collect();
    assert_eq!(of_values(&low), Some(8..11));
    assert_eq!(of_values(&with(&[8])[7..10]), None, "three values");
    let mut gaps = with(&[8, 9]);
    gaps[3] = f64::NAN;
    assert_eq!(of_values(&gaps), Some(8..10));
}

fn outside(expect: &Value, seen: Outside) -> ExpectationResult {
    let mut observations = observe(None, as_ever);
    observations.outside.insert("phases[1].expect[0]".to_owned(), seen);
    judge(&Case { key: "expect", expect: expect.clone(), phase: "cut", answer: as_ever }, &observations)
}

/// The query has twice the value of the baseline's usual one, and six of 20 values of the baseline are five times as high.
#[test]
fn no_transient_of_a_query_makes_its_ratio_pass() {
    for over in ["mean", "max"] {
        let expect = json!({"prometheus": {"url": "http://127.0.0.1:1", "query": "up", "over": over, "to": "baseline", "max": 1.5}});
        let ask = |high: f64| {
            let baseline = (0..20).map(|at| if (8..14).contains(&at) { high } else { 10.0 }).collect::<Vec<f64>>();
            let series = [(0, baseline), (1, vec![20.0; 20])].map(|(phase, values)| (phase, Ok(values.into())));
            outside(&expect, Outside::Series(BTreeMap::from(series)))
        };
        assert_eq!(ask(10.0).verdict, Verdict::Fail);
        let result = ask(50.0);
        assert_eq!(result.verdict, Verdict::Inconclusive, "{}", result.reason);
        assert!(
            result.reason.contains("the mean of its values 9 to 14 was 50, and 10 in the rest"),
            "{}",
            result.reason
        );
    }
}

/// One of three pods is away for a second before the fault, and stays away in it.
#[test]
fn a_pod_that_was_away_for_a_moment_does_not_lower_the_number() {
    let ask = |away_at: u64| {
        let look = |second: u64| {
            let pod = |at: u64| {
                let ready = at > 0 || !(second == away_at || (25..44).contains(&second));
                (format!("uid-{at}"), PodSeen { name: format!("a-{at}"), ready, restarts: 0 })
            };
            PodsSeen { at_ns: second * 1_000_000_000, pods: (0..3).map(pod).collect() }
        };
        let expect = json!({"pods": {"select": {"prefix": "a"}, "ready_within": "10s"}});
        outside(&expect, Outside::Pods((0..=64).map(look).collect()))
    };
    assert_eq!(ask(5).verdict, Verdict::Fail, "2 of 3 are ready");
    let result = ask(24);
    assert_eq!(result.verdict, Verdict::Inconclusive, "{}", result.reason);
    assert!(
        result.reason.starts_with("2 pods ready right before the first fault and 3 for most of the baseline"),
        "{}",
        result.reason
    );
}
