//! Every expectation of a scenario, asked of every load that it means.

use shakedown_schemas::Scenario;
use shakedown_schemas::result::{ExpectationResult, Verdict};
use shakedown_schemas::scenario::Expectation;

use super::answer::{Answer, Asked};
use super::percentiles::Of;
use super::question::Question;
use super::{counts, effect, lateness, outside, percentiles, rates, recovery, seconds, text};
use shakedown_observe::{Observations, PhaseSpan};

/// Answers every expectation, in the order of the file, once for each load that it asks, and what a phase's faults must
/// change (`effect`) before the expectations of that phase.
///
/// `seed` makes the draws of the intervals repeatable; `line_of` says on which line a path such as
/// `phases[1].expect[0]` stands. An expectation of a phase that never began, or of a load that sent nothing, is there
/// too, as inconclusive.
pub fn expectations(
    scenario: &Scenario,
    observations: &Observations,
    seed: u64,
    line_of: &dyn Fn(&str) -> Option<u32>,
) -> Vec<ExpectationResult> {
    let mut results = Vec::new();
    for (phase, spec) in scenario.phases.iter().enumerate() {
        if let Some(wanted) = &spec.effect {
            let line = line_of(&format!("phases[{phase}].effect"));
            results.push(effect::result(scenario, observations, phase, wanted, seed, line));
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
                let answer = one(scenario, observations, phase, expectation, load, &path, seed);
                results.push(result(expectation, &spec.name, load, line, answer));
            }
        }
    }
    results
}

/// An expectation about what others saw.
fn outside(
    scenario: &Scenario,
    observations: &Observations,
    phase: usize,
    expectation: &Expectation,
    path: &str,
) -> Answer {
    let name = &scenario.phases[phase].name;
    let Some(span) = observations.phases.get(phase) else {
        return Answer::inconclusive(format!("`{name}` never began"));
    };
    unless_early(span, outside::answer(observations, phase, expectation, path))
}

/// The answer, unless the phase ended early: then nobody knows what would have come.
fn unless_early(span: &PhaseSpan, mut answer: Answer) -> Answer {
    if !span.complete && answer.verdict != Verdict::Inconclusive {
        let lasted = text::seconds(seconds(span.judged_to_ns.saturating_sub(span.active_ns)));
        let planned = text::seconds(seconds(span.planned_ns));
        answer.verdict = Verdict::Inconclusive;
        answer.reason = format!("`{}` ended after {lasted} of {planned}; until then: {}", span.name, answer.reason);
    }
    answer
}

pub(super) fn one(
    scenario: &Scenario,
    observations: &Observations,
    phase: usize,
    expectation: &Expectation,
    load: &str,
    path: &str,
    seed: u64,
) -> Answer {
    let name = &scenario.phases[phase].name;
    let Some(span) = observations.phases.get(phase) else {
        return Answer::inconclusive(format!("`{name}` never began"));
    };
    let Some(load) = observations.loads.iter().find(|it| it.name == load) else {
        return Answer::inconclusive(format!("load `{load}` sent nothing"));
    };
    let asked = Asked { scenario, observations, load, phase, path, seed };
    let answer = match expectation {
        Expectation::SuccessRate(it) => counts::success_rate(&asked, it),
        Expectation::Requests(it) => counts::requests(&asked, it),
        Expectation::Latency(it) => percentiles::value(&asked, it, Of::Latency),
        Expectation::LatencyRatio(it) => percentiles::ratio(&asked, it, Of::Latency),
        Expectation::TimeToFirstToken(it) => percentiles::value(&asked, it, Of::FirstToken),
        Expectation::TimeToFirstTokenRatio(it) => percentiles::ratio(&asked, it, Of::FirstToken),
        Expectation::InterTokenLatency(it) => percentiles::value(&asked, it, Of::TokenGap),
        Expectation::InterTokenLatencyRatio(it) => percentiles::ratio(&asked, it, Of::TokenGap),
        Expectation::OutputTokensPerSecond(it) => rates::tokens(&asked, it),
        Expectation::OutputTokensPerSecondRatio(it) => rates::ratio(&asked, it, rates::Of::Tokens),
        Expectation::ThroughputRatio(it) => rates::ratio(&asked, it, rates::Of::Answers),
        Expectation::Errors(it) => counts::errors(&asked, it),
        Expectation::Stuck(it) => counts::stuck(&asked, it, scenario.linger(&load.name)),
        Expectation::RecoveryTime(it) => recovery::recovery_time(&asked, it),
        Expectation::Pods(_) | Expectation::Prometheus(_) | Expectation::Logs(_) => {
            outside::answer(observations, phase, expectation, path)
        }
    };
    unless_early(span, unless_late(&asked, expectation, answer))
}

/// The answer, unless the load generator was too late in one of the phases that it rests on: then nobody knows what was
/// the service's and what the machine's. How many requests were due is known all the same.
fn unless_late(asked: &Asked<'_>, expectation: &Expectation, mut answer: Answer) -> Answer {
    let first = expectation.to().and_then(|name| asked.observations.phases.iter().position(|span| span.name == name));
    let late = [first, Some(asked.phase)].into_iter().flatten().find_map(|phase| {
        lateness::too_late(asked.load, phase).map(|why| format!("`{}`: {why}", asked.phase_name(phase)))
    });
    if let Some(why) = late.filter(|_| !matches!(expectation, Expectation::Requests(_))) {
        answer.verdict = Verdict::Inconclusive;
        answer.reason = format!("{why}; what was seen: {}", answer.reason);
    }
    answer
}

fn result(expectation: &Expectation, phase: &str, load: &str, line: Option<u32>, answer: Answer) -> ExpectationResult {
    let Question { title, unit, limits, limit_text } = Question::of(expectation);
    ExpectationResult {
        phase: phase.to_owned(),
        load: load.to_owned(),
        kind: expectation.kind().to_owned(),
        title,
        verdict: answer.verdict,
        observed: answer.observed,
        unit,
        interval: answer.interval,
        censored: answer.censored,
        samples: answer.samples,
        min: limits.min,
        max: limits.max,
        limit_text,
        observed_text: answer.observed_text,
        reason: answer.reason,
        terms: answer.terms,
        line,
    }
}

/// What a reader must know about a load in closed loop.
pub fn closed_loop_warning(load: &str) -> String {
    format!(
        "load `{load}` is a closed loop (`concurrency`): while the service hangs it is asked less often, so that its \
         success rate and percentiles look better than what clients on a schedule (`rate`) would have seen"
    )
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod nothing;
