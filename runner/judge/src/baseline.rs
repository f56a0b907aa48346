//! Checks that a baseline is healthy and in a steady state, so that a fault may be injected and its effect measured.
//!
//! The check runs before the first fault, on the observations until then. Requests in flight are missing; their
//! outcomes are judged at the end.

use std::collections::BTreeSet;

use shakedown_schemas::Scenario;
use shakedown_schemas::result::{ExpectationResult, Verdict};
use shakedown_schemas::scenario::{Expectation, Model};

use super::expectations::one;
use super::phases::before_faults;
use super::transient::{self, Transient};
use super::{lateness, served, stats, steady, waits};
use shakedown_observe::Observations;

/// False for expectations that count requests, because requests in flight are missing.
fn can_be_asked_early(it: &Expectation) -> bool {
    it.is_about_requests() && !it.info().facts.counts_work
}

/// The problems of the baseline, in sentences; empty for a healthy one. Problems are an expectation about requests that
/// fails in a phase before the first fault, a load without a success, and a compared phase without a steady state.
pub fn problems(scenario: &Scenario, observations: &Observations, seed: u64) -> Vec<String> {
    let (mut found, mut failed) = (Vec::new(), BTreeSet::new());
    let end = before_faults(scenario).min(observations.phases.len());
    for (phase, spec) in scenario.phases.iter().enumerate().take(end) {
        for (index, expectation) in spec.expect.iter().enumerate().filter(|(_, it)| can_be_asked_early(it)) {
            let path = format!("phases[{phase}].expect[{index}]");
            for load in scenario.load.keys().filter(|name| expectation.load().is_none_or(|asked| asked == *name)) {
                let answer = one(scenario, observations, phase, expectation, load, &path, seed);
                if answer.verdict == Verdict::Fail {
                    failed.insert((phase, load.as_str()));
                    found.push(format!("`{}` of load `{load}`: {}", spec.name, answer.reason));
                }
            }
        }
    }
    if let Some(phase) = end.checked_sub(1) {
        let others = observations.loads.iter().filter(|load| !failed.contains(&(phase, load.name.as_str())));
        found.extend(others.filter_map(|load| served::problem(scenario, observations, load, phase)));
    }
    found.extend(unsteady(scenario, observations));
    found
}

/// The phases that later ones compare with and that were not in a steady state.
pub(super) fn unsteady(scenario: &Scenario, observations: &Observations) -> Vec<String> {
    let mut found = Vec::new();
    for phase in compared(scenario, observations) {
        let spec = &scenario.phases[phase];
        for load in &observations.loads {
            if let Some(why) = lateness::too_late(load, phase) {
                found.push(format!("`{}`: {why}", spec.name));
            } else if let Some(why) = waits::too_many(load, phase) {
                found.push(format!("`{}` of load `{}`: {why}", spec.name, load.name));
            } else if let Some(what) = steady::unsteady(stats::judged(load, phase)) {
                let name = &spec.name;
                let pace = match scenario.model(&load.name, phase) {
                    Some(Model::Open(pace)) if pace.changes() => format!(", while its pace changes ({pace})"),
                    Some(Model::Closed(workers)) if workers.changes() => {
                        format!(", while its pace changes ({workers})")
                    }
                    _ => String::new(),
                };
                found.push(format!("`{name}` of load `{}` is not in a steady state: {what}{pace}", load.name));
            } else if let Some(what) = transient::slow_at_end(load, phase) {
                let name = &spec.name;
                found.push(format!("`{name}` of load `{}` does not end in a steady state: {what}", load.name));
            }
        }
    }
    found
}

/// The observed phases before the first fault that later ones compare with. Recovery and proof by traffic compare with the
/// last one.
fn compared(scenario: &Scenario, observations: &Observations) -> Vec<usize> {
    let end = before_faults(scenario);
    let is_compared = |phase: &usize| is_compared_with(scenario, &scenario.phases[*phase].name) || phase + 1 == end;
    (0..end.min(observations.phases.len())).filter(is_compared).collect()
}

/// A sentence for each load and each compared phase with a transient that moves its limits.
pub fn transients(scenario: &Scenario, observations: &Observations) -> Vec<String> {
    let phases = compared(scenario, observations);
    let of_phase = |phase: usize| {
        observations.loads.iter().filter_map(move |load| {
            let it = Transient::all(load, phase).into_iter().find(|it| it.matters)?;
            let name = &observations.phases[phase].name;
            Some(format!(
                "`{name}` of load `{}` is not homogeneous: {}; expectations that compare with it are judged with and \
                 without this part; the numbers are of the whole phase",
                load.name,
                it.words()
            ))
        })
    };
    phases.into_iter().flat_map(of_phase).collect()
}

fn is_compared_with(scenario: &Scenario, name: &str) -> bool {
    let effects = scenario.phases.iter().filter_map(|phase| phase.effect.as_ref()?.expectation());
    let all = scenario.phases.iter().flat_map(|phase| &phase.expect).cloned().chain(effects);
    all.into_iter().any(|expectation| expectation.to() == Some(name))
}

/// A failure before the first fault means that the test could not start, not that the service failed it: it becomes
/// inconclusive. Scenarios without faults test exactly those phases and are unchanged.
pub fn demote(scenario: &Scenario, results: &mut [ExpectationResult]) {
    let before: Vec<&String> = scenario.phases[..before_faults(scenario)].iter().map(|phase| &phase.name).collect();
    for result in results.iter_mut().filter(|it| it.verdict == Verdict::Fail && before.contains(&&it.phase)) {
        result.verdict = Verdict::Inconclusive;
        result.reason = format!("the baseline is not healthy: {}", result.reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expectations;
    use crate::testing::{self, Timeline};
    use serde_json::json;

    fn scenario() -> Scenario {
        let fault = json!({"f": {"partition": {"pods": {"prefix": "a"}, "from": [{"service": "b"}]}}});
        testing::scenario(&json!([
            {"name": "warm-up", "duration": "15s"},
            {"name": "baseline", "duration": "20s", "expect": [{"success_rate": {"min": "99%"}}]},
            {"name": "cut", "duration": "20s", "faults": fault, "expect": [{"success_rate": {"min": "80%"}}]},
        ]))
    }

    fn until_the_fault() -> Timeline<'static> {
        Timeline::new(20.0).phase("warm-up", 15.0).phase("baseline", 20.0)
    }

    #[test]
    fn a_healthy_baseline_has_no_problems_whatever_came_before_it() {
        let seen = until_the_fault()
            .answer(|it| if it.phase == "warm-up" { it.ok_in(20.0 + 20.0 * it.into) } else { it.ok_in(10.0) })
            .observe();
        assert_eq!(problems(&scenario(), &seen, 1), Vec::<String>::new());
    }

    #[test]
    fn failures_and_trends_of_a_baseline_are_problems() {
        let failing = until_the_fault().answer(|it| if it.at > 33.0 { it.refused() } else { it.ok_in(10.0) }).observe();
        assert_eq!(
            problems(&scenario(), &failing, 1),
            ["`baseline` of load `load`: 39 requests failed (39 connection_refused): 90.25% of 400 requests \
                 succeeded \
              (86.95% to 92.79%), expected at least 99%"]
        );
        let rising = until_the_fault().answer(|it| it.ok_in(20.0 + 5.0 * it.at)).observe();
        assert_eq!(
            problems(&scenario(), &rising, 1),
            ["`baseline` of load `load` is not in a steady state: p50 rises throughout, from 102ms to 199ms"]
        );
    }

    #[test]
    fn counts_are_not_checked_before_all_requests_have_ended() {
        let mut asked = scenario();
        asked.phases[1].expect = serde_json::from_value(json!([
            {"requests": {"min": 401}}, {"throughput_ratio": {"to": "warm-up", "min": 2}}, {"requests": {"max": 0}},
        ]))
        .unwrap();
        assert_eq!(problems(&asked, &until_the_fault().observe(), 1), Vec::<String>::new());
    }

    #[test]
    fn an_expectation_of_one_load_does_not_cover_another() {
        let refused =
            until_the_fault().answer(|it| if it.index % 2 > 0 { it.refused() } else { it.ok_in(10.0) }).observe();
        let about = |load: &str| {
            let mut two = scenario();
            two.load.insert("idle".to_owned(), two.load["load"].clone());
            two.phases[1].expect =
                serde_json::from_value(json!([{"success_rate": {"min": "99%", "load": load}}])).unwrap();
            problems(&two, &refused, 1).len()
        };
        assert_eq!((about("load"), about("idle")), (1, 0), "the idle one sent nothing");
    }

    #[test]
    fn any_phase_that_a_later_one_compares_with_must_be_steady() {
        let seen = until_the_fault()
            .answer(|it| if it.phase == "warm-up" { it.ok_in(20.0 * (it.into / 5.0).exp2()) } else { it.ok_in(10.0) })
            .observe();
        let mut compared = scenario();
        let rising = "`warm-up` of load `load` is not in a steady state: p50 rises throughout, from 21.3ms to 148ms";
        let ratio = json!({"latency_ratio": {"percentile": "p50", "to": "warm-up", "max": 2}});
        compared.phases[2].expect = serde_json::from_value(json!([ratio])).unwrap();
        assert_eq!(unsteady(&compared, &seen), [rising]);
        // A changing pace is the likely reason.
        compared.load["load"].rate = serde_json::from_value(json!({"from": "10/s", "to": "40/s"})).unwrap();
        assert_eq!(unsteady(&compared, &seen), [format!("{rising}, while its pace changes (10/s to 40/s)")]);
    }

    #[test]
    fn a_failed_baseline_is_inconclusive_and_a_failed_fault_phase_fails() {
        let seen = until_the_fault().fault_phase("cut", 20.0).answer(|it| it.refused()).observe();
        let mut results = expectations(&scenario(), &seen, 1, &|_| None);
        demote(&scenario(), &mut results);
        assert_eq!(results.iter().map(|it| it.verdict).collect::<Vec<_>>(), [Verdict::Inconclusive, Verdict::Fail]);
        assert!(
            results[0].reason.starts_with("the baseline is not healthy: 400 requests failed"),
            "{}",
            results[0].reason
        );
        let mut without = scenario();
        without.phases[2].faults.clear();
        let mut results = expectations(&without, &seen, 1, &|_| None);
        demote(&without, &mut results);
        assert_eq!(results[0].verdict, Verdict::Fail);
    }
}
