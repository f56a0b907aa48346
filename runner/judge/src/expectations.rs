//! Evaluates every expectation of a scenario for every load that it covers.

use shakedown_schemas::Scenario;
use shakedown_schemas::result::ExpectationResult;
use shakedown_schemas::scenario::Expectation;

use super::answer::Answer;
use super::around::{Views, is_by_due, terms};
pub(super) use super::ask::one;
use super::ask::unless_early;
use super::question::Question;
use super::{effect, outside};
use shakedown_observe::Observations;

/// Evaluates every expectation in the order of the file, once for each load that it covers. A phase's `effect` comes before
/// the expectations of that phase.
///
/// `seed` makes the draws of the intervals repeatable. `line_of` returns the line of a path such as `phases[1].expect[0]`.
/// An expectation of a phase that never began, or of a load that sent nothing, is included as inconclusive.
pub fn expectations(
    scenario: &Scenario,
    observations: &Observations,
    seed: u64,
    line_of: &dyn Fn(&str) -> Option<u32>,
) -> Vec<ExpectationResult> {
    let mut results = Vec::new();
    let views = Views::new(scenario, observations);
    for (phase, spec) in scenario.phases.iter().enumerate() {
        if let Some(wanted) = &spec.effect {
            let line = line_of(&format!("phases[{phase}].effect"));
            results.push(effect::result(scenario, &views, phase, wanted, seed, line));
        }
        for (index, expectation) in spec.expect.iter().enumerate() {
            let path = format!("phases[{phase}].expect[{index}]");
            let line = line_of(&path);
            if !expectation.is_about_requests() {
                let answer = outside(scenario, observations, phase, expectation, &path);
                results.push(result(expectation, &spec.name, "", line, answer));
                continue;
            }
            let loads = scenario.load.keys().filter(|name| expectation.load().is_none_or(|asked| asked == *name));
            for load in loads {
                let mut answer = one(scenario, views.of(expectation), phase, expectation, load, &path, seed);
                if !is_by_due(expectation) {
                    answer.terms.extend(terms(scenario, observations, load, phase));
                }
                results.push(result(expectation, &spec.name, load, line, answer));
            }
        }
    }
    results
}

/// An expectation about collected data.
fn outside(
    scenario: &Scenario,
    observations: &Observations,
    phase: usize,
    expectation: &Expectation,
    path: &str,
) -> Answer {
    let name = &scenario.phases[phase].name;
    let Some(span) = observations.phases.get(phase) else {
        return Answer::inconclusive(format!("`{name}` never began")).naming_phase();
    };
    unless_early(span, outside::answer(observations, phase, expectation, path))
}

fn result(expectation: &Expectation, phase: &str, load: &str, line: Option<u32>, answer: Answer) -> ExpectationResult {
    let Question { title, measure, unit, limits, limit_text } = Question::of(expectation);
    ExpectationResult {
        verdict: answer.verdict,
        observed: answer.observed,
        unit,
        interval: answer.interval,
        censored: answer.censored,
        samples: answer.samples,
        min: limits.min,
        max: limits.max,
        limit_text,
        measure,
        observed_text: answer.observed_text,
        reason: answer.reason,
        reason_names_phase: answer.names_phase,
        terms: answer.terms,
        line,
        ..ExpectationResult::new(expectation.kind(), phase, load, title)
    }
}

/// The warning about a closed loop.
pub fn closed_loop_warning(load: &str) -> String {
    format!(
        "load `{load}` is a closed loop (`concurrency`): it sends fewer requests while the service hangs, so its \
         success rate and percentiles look better than those of an open loop (`rate`)"
    )
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod nothing;
