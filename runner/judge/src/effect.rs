//! Checks whether a fault changed the run's requests. A fault without effect does not test the service: a phase that
//! requires an effect and has none is inconclusive.

use shakedown_schemas::Scenario;
use shakedown_schemas::result::{ExpectationResult, NO_CHANGE, NO_SIGNIFICANT_CHANGE, Verdict};
use shakedown_schemas::scenario::{Effect, Expectation};

use super::answer::Answer;
use super::around::Views;
use super::comparable::{incomparable, rounds};
use super::counts;
use super::expectations::one;
use super::proof::{self, FALSE_PROOFS};
use super::question::Question;
use super::recovery::baseline_index;
use super::stats::{self, total};
use super::{seconds, text};
use shakedown_observe::{LoadObservations, Observations};

/// The effect of the faults of one phase on the requests of one load, compared with the baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct Felt {
    /// The phase.
    pub phase: String,
    /// The load.
    pub load: String,
    /// The significant changes, in words; empty without any.
    pub changes: Vec<String>,
    /// When the change was first observed, in seconds since the load's start: the first window out of tolerance, otherwise
    /// the start of the judged part.
    pub at_s: f64,
    /// The number of windows out of tolerance, in words, even if it is no more than chance. None if the baseline has too
    /// few requests for a tolerance.
    pub windows: Option<String>,
    /// More requests failed or were slow than in the baseline, in words, whether or not that is more than chance.
    pub hint: Option<String>,
    /// Why the requests cannot be compared with those of the baseline. None if they can.
    pub incomparable: Option<String>,
}

/// The effects of each phase with faults on each load. Of the runs without any change, at most a share of [`FALSE_PROOFS`]
/// has an entry with changes. Without a baseline there are no entries.
pub fn effects(scenario: &Scenario, observations: &Observations) -> Vec<Felt> {
    (0..observations.phases.len()).flat_map(|phase| of_phase(scenario, observations, phase)).collect()
}

/// The effects of a phase on each load; none of a phase without faults.
fn of_phase(scenario: &Scenario, observations: &Observations, phase: usize) -> Vec<Felt> {
    let Some(span) = observations.phases.get(phase).filter(|span| span.has_faults) else { return Vec::new() };
    let of_load = |load: &LoadObservations| {
        let first = baseline_index(observations).ok()?;
        let load = &*stats::from_strike(load, span, phase);
        let incomparable = incomparable(scenario, load, (first, phase));
        let mut seen = proof::compare(observations, &rounds(scenario, load, [first, phase]), phase)?;
        if incomparable.is_some() {
            (seen.changes, seen.windows, seen.hint) = (Vec::new(), None, None);
        }
        Some(Felt {
            incomparable,
            phase: span.name.clone(),
            load: load.name.clone(),
            changes: seen.changes,
            at_s: seen.onset_s.unwrap_or(seconds(span.judged_from_ns)),
            windows: seen.windows,
            hint: seen.hint,
        })
    };
    observations.loads.iter().filter_map(of_load).collect()
}

/// The changes in a phase, in one sentence. None without changes.
pub fn changed(phase: &str, felt: &[Felt]) -> Option<String> {
    let by_load = felt.iter().filter(|it| it.phase == phase && !it.changes.is_empty());
    let words: Vec<String> = by_load.map(|it| format!("load {}: {}", it.load, it.changes.join(", "))).collect();
    (!words.is_empty()).then(|| format!("the requests changed ({})", words.join("; ")))
}

/// The answer to a phase's `effect`: one for all the loads that it covers. An effect on any of them is enough.
pub(super) fn result(
    scenario: &Scenario,
    views: &Views<'_>,
    phase: usize,
    wanted: &Effect,
    seed: u64,
    line: Option<u32>,
) -> ExpectationResult {
    let observations = views.plain;
    let name = &scenario.phases[phase].name;
    let mut result = ExpectationResult {
        observed_text: "nothing".to_owned(),
        limit_text: "any change".to_owned(),
        reason_names_phase: true,
        line,
        ..ExpectationResult::new("effect", name, "", "effect: any change in the requests")
    };
    let Some(span) = observations.phases.get(phase) else {
        result.reason = format!("`{name}` never began");
        return result;
    };
    let Some(expectation) = wanted.expectation() else {
        let rate = text::percent(FALSE_PROOFS);
        let rule = format!(
            "success rate, p50, p95, windows with failures, slow windows, failures from the start; false in at most {rate} of unchanged runs"
        );
        result.terms.insert("decided by".to_owned(), rule);
        result.samples = observations.loads.iter().map(|load| total(load, phase).requests()).sum();
        let felt = of_phase(scenario, observations, phase);
        if felt.is_empty() {
            result.reason = format!("there is no phase before the faults of `{name}` whose requests could be compared");
            return result;
        }
        let differs = felt.iter().find_map(|it| it.incomparable.as_ref());
        (result.verdict, result.reason, result.observed_text) = match (changed(&span.name, &felt), differs) {
            (Some(words), _) => (Verdict::Pass, words, "a change".to_owned()),
            (None, Some(why)) => (Verdict::Inconclusive, unshown(name, why), "nothing".to_owned()),
            (None, None) => {
                let windows = felt.iter().filter_map(|it| it.windows.as_deref());
                let seen: String = windows.map(|words| format!("; {words}")).collect();
                let hints: Vec<&str> = felt.iter().filter_map(|it| it.hint.as_deref()).collect();
                let observed = match hints.as_slice() {
                    [] => NO_CHANGE.to_owned(),
                    hints => format!("{NO_SIGNIFICANT_CHANGE} ({}, too few to tell)", hints.join("; ")),
                };
                (Verdict::Inconclusive, unnoticed(name) + &seen, observed)
            }
        };
        return result;
    };
    let question = Question::of(&expectation);
    let path = format!("phases[{phase}].effect");
    let loads = scenario.load.keys().filter(|load| expectation.load().is_none_or(|asked| asked == *load));
    let first = expectation.to().and_then(|to| scenario.phases.iter().position(|it| it.name == to));
    let answers = loads.map(|load| {
        let differs =
            first.zip(observations.load(load)).and_then(|(first, it)| incomparable(scenario, it, (first, phase)));
        let ask = |phase| one(scenario, views.of(&expectation), phase, &expectation, load, &path, seed);
        let answer = match differs {
            Some(why) => Answer::inconclusive(unshown(name, &why)).naming_phase(),
            None => ask(phase),
        };
        (load, unless_by_chance(unless_before(answer, observations, (phase, load), &expectation, ask)))
    });
    // A pass first, then a conclusive answer before an inconclusive one.
    let rank = |verdict: Verdict| match verdict {
        Verdict::Pass => 0,
        Verdict::Fail => 1,
        Verdict::Inconclusive | Verdict::Error => 2,
    };
    result.title = format!("effect: {}", question.title);
    result.limit_text = question.limit_text;
    result.measure = question.measure;
    result.unit = question.unit;
    (result.min, result.max) = (question.limits.min, question.limits.max);
    if let Some((load, answer)) = answers.min_by_key(|(_, answer)| rank(answer.verdict)) {
        result.load = load.clone();
        result.reason = match answer.verdict {
            Verdict::Fail => format!("{}: {}, {} required", unnoticed(name), answer.fact, result.limit_text),
            _ => answer.reason.clone(),
        };
        result.reason_names_phase = answer.names_phase || answer.verdict == Verdict::Fail;
        result.verdict = if answer.verdict == Verdict::Pass { Verdict::Pass } else { Verdict::Inconclusive };
        (result.observed, result.observed_text) = (answer.observed, answer.observed_text);
        (result.interval, result.censored) = (answer.interval, answer.censored);
        (result.samples, result.terms) = (answer.samples, answer.terms);
    }
    result
}

/// The same, unless the interval of a ratio contains 1: then the requests may not have changed at all. Without a fault, this is
/// so in all but 2.5 % of the runs that a limit on this side would take for affected.
fn unless_by_chance(answer: Answer) -> Answer {
    let Some([low, high]) = answer.interval.filter(|_| answer.is_ratio() && answer.verdict == Verdict::Pass) else {
        return answer;
    };
    if low > 1.0 || high < 1.0 {
        return answer;
    }
    let why = format!("{}; its interval contains 1, so that it may be no change", answer.reason);
    answer.verdict(Verdict::Inconclusive, why)
}

/// The same, unless the condition held before the first fault as well: then no fault is its cause. A ratio is about a change by
/// itself.
fn unless_before(
    answer: Answer,
    observations: &Observations,
    (phase, load): (usize, &str),
    expectation: &Expectation,
    ask: impl Fn(usize) -> Answer,
) -> Answer {
    let first = baseline_index(observations).ok().filter(|_| expectation.to().is_none());
    let (Verdict::Pass, Some(first), Some(load)) = (answer.verdict, first, observations.load(load)) else {
        return answer;
    };
    let before = ask(first);
    let held = if let Expectation::Errors(it) = expectation {
        counts::would_hold(it, &total(load, first), &total(load, phase))
    } else {
        before.observed.is_some() && !before.misses()
    };
    if !held {
        return answer;
    }
    let [first, phase] = [first, phase].map(|index| &observations.phases[index].name);
    let fact = if before.fact.is_empty() { &before.reason } else { &before.fact };
    let why = format!(
        "the condition held before the faults of `{phase}`, so it does not show their effect: {fact} in `{first}`"
    );
    answer.verdict(Verdict::Inconclusive, why).naming_phase()
}

fn unshown(phase: &str, why: &str) -> String {
    format!("the requests of `{phase}` cannot show an effect of its faults: {why}")
}

fn unnoticed(phase: &str) -> String {
    format!("the faults of `{phase}` did not have the required effect, so the phase does not test the service")
}

#[cfg(test)]
mod tests;
