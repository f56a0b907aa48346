//! Evaluates one expectation for one load.

use shakedown_schemas::Scenario;
use shakedown_schemas::result::Verdict;
use shakedown_schemas::scenario::Expectation;

use super::answer::{Answer, Asked};
use super::measure::{Timing, Work};
use super::transient::{Again, Usual};
use super::{counts, goodput, lateness, outside, percentiles, rates, recovery, seconds, text, transient, waits};
use shakedown_observe::{LoadObservations, Observations, PhaseSpan};

/// The answer of one load to an expectation about requests.
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
        return Answer::inconclusive(format!("`{name}` never began")).naming_phase();
    };
    let Some(load) = observations.load(load) else {
        return Answer::inconclusive(format!("load `{load}` sent nothing"));
    };
    let to = expectation.to().and_then(|name| observations.phase(name));
    let asked = Asked { scenario, observations, load, usual: None, phase, to, path, seed };
    let mut answer = evaluate(&asked, expectation);
    if let Some(reference) = reference(&asked, expectation) {
        let name = asked.phase_name(reference);
        let again = |it: Again<'_>| evaluate(&Asked { load: it.load, usual: it.usual, ..asked }, expectation);
        answer = transient::settle((asked.load, reference, name), usual(expectation, phase), answer, again);
    }
    let phases = reference(&asked, expectation).into_iter().chain([phase]);
    let again = |load: &LoadObservations| evaluate(&Asked { load, ..asked }, expectation);
    if !asks_for_the_unsent(expectation) {
        answer = waits::settle(asked.load, phases, answer, again);
    }
    unless_early(span, unless_late(&asked, expectation, answer))
}

/// True if the expectation limits the requests that were not sent, which a wait does not excuse.
const fn asks_for_the_unsent(expectation: &Expectation) -> bool {
    matches!(expectation, Expectation::Errors(it) if it.not_sent.is_some() || it.not_sent_limit.is_some())
}

/// The phase whose requests an expectation about requests compares with.
fn reference(asked: &Asked<'_>, expectation: &Expectation) -> Option<usize> {
    match expectation {
        Expectation::RecoveryTime(it) => recovery::baseline(asked.observations, it.to.as_deref()).ok(),
        // Its ratio only describes.
        Expectation::Goodput(_) => None,
        it => it.to().and_then(|name| asked.complete_phase(name).ok()),
    }
}

/// The second reading that a pass must survive, in the usual state of the reference. A pass that says that the service was
/// well enough also needs the phase's usual state; a pass that says that a fault had an effect needs all of the phase.
fn usual(expectation: &Expectation, phase: usize) -> Usual {
    let is_claim_of_health = match expectation {
        Expectation::RecoveryTime(_) => return Usual::Tolerance,
        Expectation::LatencyRatio(it)
        | Expectation::TimeToFirstTokenRatio(it)
        | Expectation::InterTokenLatencyRatio(it) => it.max.is_some(),
        Expectation::ThroughputRatio(it) | Expectation::OutputTokensPerSecondRatio(it) => it.min.is_some(),
        // These do not depend on the requests of another phase.
        Expectation::SuccessRate(_)
        | Expectation::Latency(_)
        | Expectation::TimeToFirstToken(_)
        | Expectation::InterTokenLatency(_)
        | Expectation::OutputTokensPerSecond(_)
        | Expectation::Goodput(_)
        | Expectation::Errors(_)
        | Expectation::Stuck(_)
        | Expectation::Requests(_)
        | Expectation::Pods(_)
        | Expectation::Prometheus(_)
        | Expectation::Logs(_) => false,
    };
    if is_claim_of_health { Usual::Phase(phase) } else { Usual::All }
}

/// The answer from these observations alone.
fn evaluate(asked: &Asked<'_>, expectation: &Expectation) -> Answer {
    let (scenario, observations, phase) = (asked.scenario, asked.observations, asked.phase);
    match expectation {
        Expectation::SuccessRate(it) => counts::success_rate(asked, it),
        Expectation::Requests(it) => counts::requests(asked, it),
        Expectation::Latency(it) => percentiles::value(asked, it, Timing::Latency),
        Expectation::LatencyRatio(it) => percentiles::ratio(asked, it, Timing::Latency),
        Expectation::TimeToFirstToken(it) => percentiles::value(asked, it, Timing::FirstToken),
        Expectation::TimeToFirstTokenRatio(it) => percentiles::ratio(asked, it, Timing::FirstToken),
        Expectation::InterTokenLatency(it) => percentiles::value(asked, it, Timing::TokenGap),
        Expectation::InterTokenLatencyRatio(it) => percentiles::ratio(asked, it, Timing::TokenGap),
        Expectation::OutputTokensPerSecond(it) => rates::tokens(asked, it),
        Expectation::OutputTokensPerSecondRatio(it) => rates::ratio(asked, it, Work::Tokens),
        Expectation::ThroughputRatio(it) => rates::ratio(asked, it, Work::Answers),
        Expectation::Goodput(it) => goodput::goodput(asked, it),
        Expectation::Errors(it) => counts::errors(asked, it),
        Expectation::Stuck(it) => counts::stuck(asked, it, scenario.observed_timeouts(&asked.load.name)),
        Expectation::RecoveryTime(it) => recovery::recovery_time(asked, it),
        Expectation::Pods(_) | Expectation::Prometheus(_) | Expectation::Logs(_) => {
            outside::answer(observations, phase, expectation, asked.path)
        }
    }
}

/// The answer, unless the load generator was too late in one of the phases whose requests it is of: the delays of the
/// service and of the machine cannot be separated then. The number of due requests is always known.
fn unless_late(asked: &Asked<'_>, expectation: &Expectation, mut answer: Answer) -> Answer {
    let since = match expectation {
        Expectation::RecoveryTime(_) => recovery::watched_before(asked.observations, asked.phase),
        _ => 0..0,
    };
    let mut phases = asked.to.into_iter().chain(since).chain([asked.phase]);
    let late = phases.find_map(|phase| Some((phase, lateness::too_late(asked.load, phase)?)));
    if let Some((phase, why)) = late.filter(|_| !matches!(expectation, Expectation::Requests(_))) {
        answer.verdict = Verdict::Inconclusive;
        answer.names_phase |= phase == asked.phase;
        answer.reason = format!("`{}`: {why}; observed: {}", asked.phase_name(phase), answer.reason);
    }
    answer
}

/// The answer, unless the phase ended early: then the rest of the phase is unknown.
pub(super) fn unless_early(span: &PhaseSpan, mut answer: Answer) -> Answer {
    if !span.complete && answer.verdict != Verdict::Inconclusive {
        let lasted = text::seconds(seconds(span.judged_to_ns.saturating_sub(span.active_ns)));
        let planned = text::seconds(seconds(span.planned_ns));
        answer.verdict = Verdict::Inconclusive;
        answer.names_phase = true;
        answer.reason =
            format!("`{}` ended after {lasted} of {planned}; observed until then: {}", span.name, answer.reason);
    }
    answer
}
