//! Finds loads without a single success although no fault acts. Such a run tests nothing: the path is wrong, or the service
//! is down. An expectation may require it.

use shakedown_schemas::Scenario;
use shakedown_schemas::result::{ExpectationResult, Verdict};
use shakedown_schemas::scenario::Expectation;

use super::answer::named;
use super::stats::sum;
use super::text;
use shakedown_observe::{Cell, LoadObservations, Observations};
use shakedown_schemas::samples::FLOOR_FOR_FAILURE;

/// The loads without a success while no fault acts, each as an inconclusive answer. A load that fails an expectation already
/// has a reason.
pub fn unserved(
    scenario: &Scenario,
    observations: &Observations,
    answers: &[ExpectationResult],
) -> Vec<ExpectationResult> {
    let loads = observations.loads.iter().filter(|load| {
        !answers.iter().any(|it| it.load == load.name && it.verdict == Verdict::Fail) && !is_asked(scenario, &load.name)
    });
    let answer = |load: &LoadObservations| {
        let (phase, requests) = reference(observations, load)?;
        let why = nothing(&requests)?;
        let name = observations.phases.get(phase).map_or("", |span| &span.name);
        Some(ExpectationResult {
            observed_text: "none".to_owned(),
            limit_text: "at least one".to_owned(),
            samples: requests.requests(),
            reason: format!("{why}, so the run tests nothing; if that is intended, write `success_rate: {{max: 0%}}`"),
            ..ExpectationResult::new("served", name, &load.name, "requests succeed without a fault")
        })
    };
    loads.filter_map(answer).collect()
}

/// Why a load has no success in the phase before the first fault, while that phase is running or has just ended. None if too
/// few requests have ended.
pub(super) fn problem(
    scenario: &Scenario,
    observations: &Observations,
    load: &LoadObservations,
    phase: usize,
) -> Option<String> {
    let requests = of_phases(load, |at| at == phase);
    let is_enough = requests.requests() >= FLOOR_FOR_FAILURE && !is_asked(scenario, &load.name);
    let why = nothing(&requests).filter(|_| is_enough)?;
    Some(format!("`{}` of load `{}`: {why}", observations.phases.get(phase)?.name, load.name))
}

fn nothing(requests: &Cell) -> Option<String> {
    let (all, failed) = (requests.requests(), named(requests));
    (all > 0 && requests.succeeded == 0).then(|| format!("none of {} succeeded ({failed})", text::requests(all)))
}

/// The requests of a load before the first fault, and their phase. If there are none, those of all phases without faults.
fn reference(observations: &Observations, load: &LoadObservations) -> Option<(usize, Cell)> {
    let spans = &observations.phases;
    let before = spans.iter().position(|span| span.has_faults).and_then(|at| at.checked_sub(1));
    let before = before.map(|phase| (phase, of_phases(load, |at| at == phase))).filter(|it| it.1.requests() > 0);
    before.or_else(|| {
        let is_calm = |at: usize| spans.get(at).is_some_and(|span| !span.has_faults);
        let first = spans.iter().position(|span| !span.has_faults)?;
        Some((first, of_phases(load, is_calm)))
    })
}

/// The requests that were due in these phases.
fn of_phases(load: &LoadObservations, is: impl Fn(usize) -> bool) -> Cell {
    let stretches = load.stretches();
    let segments = stretches.iter().filter(|segment| is(segment.mark.phase));
    sum(&segments.flat_map(|segment| &segment.cells).collect::<Vec<_>>(), Cell::merge)
}

/// True if an expectation about a load asks for failures in a phase without faults.
fn is_asked(scenario: &Scenario, load: &str) -> bool {
    let calm = scenario.phases.iter().filter(|phase| phase.faults.is_empty()).flat_map(|phase| &phase.expect);
    calm.filter(|it| it.load().is_none_or(|asked| asked == load)).any(|it| match it {
        Expectation::SuccessRate(it) => it.max.is_some(),
        Expectation::Goodput(it) => it.max.is_some(),
        Expectation::Errors(it) => it.kinds().iter().any(|(_, limits)| limits.min.is_some_and(|min| min > 0)),
        Expectation::Stuck(it) => it.min.is_some_and(|min| min > 0),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{self, Timeline};
    use crate::{expectations, problems};

    fn scenario(before: &Value) -> Scenario {
        let cut = json!({"cut": {"partition": {"pods": {"name": "w"}, "from": [{"service": "bus"}]}}});
        let none = json!([{"errors": {"http_5xx": {"max": 0}}}, {"stuck": {"max": 0}}]);
        testing::scenario(&json!([
            {"name": "baseline", "duration": "20s", "expect": before},
            {"name": "cut", "duration": "20s", "faults": cut, "expect": none},
            {"name": "recovery", "duration": "20s", "expect": none},
        ]))
    }

    fn observe(serves: impl Fn(&str) -> bool) -> Observations {
        let timeline = Timeline::new(20.0).phase("baseline", 20.0).fault_phase("cut", 20.0).phase("recovery", 20.0);
        timeline.answer(|it| if serves(it.phase) { it.ok_in(50.0) } else { it.refused() }).observe()
    }

    /// All answers were 404, no expectation was about those, and the run passed.
    #[test]
    fn a_run_without_any_success_is_inconclusive() {
        let judge = |scenario: &Scenario, observations: &Observations| {
            let answers = expectations(scenario, observations, 1, &|_| None);
            unserved(scenario, observations, &answers).into_iter().map(|it| (it.verdict, it.reason)).collect::<Vec<_>>()
        };
        let never = observe(|_| false);
        let why = "none of 400 requests succeeded (400 connection_refused), so the run tests nothing; if that is intended, write \
                   `success_rate: {max: 0%}`";
        assert_eq!(judge(&scenario(&json!([])), &never), [(Verdict::Inconclusive, why.to_owned())]);
        assert_eq!(judge(&scenario(&json!([])), &observe(|phase| phase == "recovery")).len(), 1, "the baseline counts");
        assert_eq!(judge(&scenario(&json!([])), &observe(|phase| phase == "baseline")), []);
        for asked in [json!({"success_rate": {"max": "0%"}}), json!({"errors": {"connection": {"min": 1}}})] {
            assert_eq!(judge(&scenario(&json!([asked])), &never), [], "{asked}");
        }
        let failed = scenario(&json!([{"errors": {"any": {"max": 0}}}]));
        assert_eq!(judge(&failed, &never), [], "it fails and says so");
        // A load that sends nothing before the fault is checked in the phases without one.
        for (is_back, count) in [(false, 1), (true, 0)] {
            let mut late = observe(|phase| is_back && phase == "recovery");
            late.loads[0].segments.retain(|segment| segment.mark.phase > 0);
            assert_eq!(judge(&scenario(&json!([])), &late).len(), count);
        }
        let mut only_in_fault = observe(|_| false);
        only_in_fault.loads[0].segments.retain(|segment| segment.mark.phase == 1);
        assert_eq!(judge(&scenario(&json!([])), &only_in_fault), [], "the fault may be the reason");
    }

    #[test]
    fn no_fault_is_injected_where_nothing_succeeds() {
        let before = |expect: &Value| problems(&scenario(expect), &observe(|_| false), 1);
        let why = "`baseline` of load `load`: none of 400 requests succeeded (400 connection_refused)";
        assert_eq!(before(&json!([])), [why]);
        assert_eq!(before(&json!([{"success_rate": {"max": "5%"}}])), Vec::<String>::new());
        let failed = before(&json!([{"success_rate": {"min": "99%"}}]));
        assert!(
            failed.len() == 1 && failed[0].starts_with("`baseline` of load `load`: 400 requests failed"),
            "{failed:?}"
        );
    }
}
