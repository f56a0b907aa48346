//! Every expectation of a scenario, asked of every load that it means.

use shakedown_schemas::Scenario;
use shakedown_schemas::result::{ExpectationResult, Unit, Verdict};
use shakedown_schemas::scenario::Expectation;
use shakedown_schemas::units::{Percent, short};

use super::answer::{Answer, Asked};
use super::limits::Limits;
use super::percentiles::Of;
use super::{counts, percentiles, recovery, seconds, text};
use crate::observe::Observations;

/// Answers every expectation, in the order of the file, once for each load that it asks.
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
        for (index, expectation) in spec.expect.iter().enumerate() {
            let path = format!("phases[{phase}].expect[{index}]");
            let line = line_of(&path);
            let loads = scenario.load.keys().filter(|name| expectation.load().is_none_or(|asked| asked == *name));
            for load in loads {
                let answer = one(scenario, observations, phase, expectation, load, &path, seed);
                results.push(result(expectation, &spec.name, load, line, answer));
            }
        }
    }
    results
}

fn one(
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
    let asked = Asked { observations, load, phase, path, seed };
    let mut answer = match expectation {
        Expectation::SuccessRate(it) => counts::success_rate(&asked, it),
        Expectation::Requests(it) => counts::requests(&asked, it),
        Expectation::Latency(it) => percentiles::value(&asked, it, Of::Latency),
        Expectation::LatencyRatio(it) => percentiles::ratio(&asked, it, Of::Latency),
        Expectation::TimeToFirstToken(it) => percentiles::value(&asked, it, Of::FirstToken),
        Expectation::TimeToFirstTokenRatio(it) => percentiles::ratio(&asked, it, Of::FirstToken),
        Expectation::Errors(it) => counts::errors(&asked, it),
        Expectation::RecoveryTime(it) => recovery::recovery_time(&asked, it),
    };
    if !span.complete && answer.verdict != Verdict::Inconclusive {
        let lasted = text::seconds(seconds(span.judged_to_ns.saturating_sub(span.active_ns)));
        let planned = text::seconds(seconds(span.planned_ns));
        answer.verdict = Verdict::Inconclusive;
        answer.reason = format!("`{name}` ended after {lasted} of {planned}; until then: {}", answer.reason);
    }
    answer
}

fn result(expectation: &Expectation, phase: &str, load: &str, line: Option<u32>, answer: Answer) -> ExpectationResult {
    let (title, unit, limits, limit_text) = question(expectation);
    ExpectationResult {
        phase: phase.to_owned(),
        load: load.to_owned(),
        kind: expectation.kind().to_owned(),
        title,
        verdict: answer.verdict,
        observed: answer.observed,
        unit: answer.unit().unwrap_or(unit),
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

/// The question: its title, the unit and the limits of its answer, and the limits in words.
fn question(expectation: &Expectation) -> (String, Unit, Limits, String) {
    let of = |limits: Limits, show: fn(f64) -> String| (limits, limits.text(show));
    match expectation {
        Expectation::SuccessRate(it) => {
            let limits = Limits { min: it.min.map(Percent::fraction), max: it.max.map(Percent::fraction) };
            let (limits, words) = of(limits, |value| Percent::from_fraction(value).to_string());
            (format!("success rate {words}"), Unit::Fraction, limits, words)
        }
        Expectation::Latency(it) | Expectation::TimeToFirstToken(it) => {
            let limits = Limits { min: it.min.map(|it| it.as_secs_f64()), max: it.max.map(|it| it.as_secs_f64()) };
            let (limits, words) = of(limits, text::seconds);
            (format!("{}{} {words}", what(expectation), it.percentile), Unit::Seconds, limits, words)
        }
        Expectation::LatencyRatio(it) | Expectation::TimeToFirstTokenRatio(it) => {
            let (limits, words) = of(Limits { min: it.min, max: it.max }, short);
            let floor = it.or_below.map_or_else(String::new, |floor| format!(", or at most {floor}"));
            let title = format!("{}{} {words} times {}{floor}", what(expectation), it.percentile, it.to);
            (title, Unit::Times, limits, words)
        }
        Expectation::Errors(it) => {
            let kinds: Vec<String> = it
                .kinds()
                .into_iter()
                .map(|(kind, limits)| format!("{kind} {}", counts::limits(limits).text(short)))
                .collect();
            let words = kinds.join(", ");
            // Several kinds have several limits, which only words can hold.
            let limits = match it.kinds().as_slice() {
                [(_, one)] => counts::limits(*one),
                _ => Limits::default(),
            };
            (format!("errors: {words}"), Unit::Count, limits, words)
        }
        Expectation::RecoveryTime(it) => {
            let limits = Limits { min: it.min.map(|it| it.as_secs_f64()), max: it.max.map(|it| it.as_secs_f64()) };
            let (limits, words) = of(limits, text::seconds);
            (format!("recovery time {words}, holding {}", it.hold), Unit::Seconds, limits, words)
        }
        Expectation::Requests(it) => {
            let limits = Limits { min: it.min.map(|min| min as f64), max: it.max.map(|max| max as f64) };
            let (limits, words) = of(limits, short);
            (format!("{words} requests"), Unit::Count, limits, words)
        }
    }
}

/// What a percentile is of, for the beginning of a title; nothing for the latency.
fn what(expectation: &Expectation) -> &'static str {
    match expectation {
        Expectation::TimeToFirstToken(_) | Expectation::TimeToFirstTokenRatio(_) => "time to first token ",
        _ => "",
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
